"""Arguments of the native functions, brought to the types that they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.native.tables import Int64, Lists, UInt64


def path(root: str | bytes) -> bytes:
    """Return a path as the bytes that the system takes."""
    return root if isinstance(root, bytes) else str(root).encode("utf-8", "surrogateescape")


def thread_count(threads: int) -> int:
    """Return a number of threads that the native code takes."""
    return min(max(int(threads), 1), 2**31 - 1)


def row_columns(
    start: Int64, count: Int64, out: Int64, step: Int64, lists: Lists, chunk_strides: Int64,
    array_ptr: int, array_strides: Int64, itemsize: int, swap_unit: int, fill: bytes,
) -> tuple[Any, ...]:  # fmt: skip
    """Return the rows of a plan as the native code takes them."""
    return (
        int64("start", start), int64("count", count), int64("out", out), int64("step", step),
        tuple(
            None if pair is None else (int64("index", pair[0]), int64("out_index", pair[1]))
            for pair in lists
        ),
        int64("chunk_strides", chunk_strides), int(array_ptr),
        int64("array_strides", array_strides), int(itemsize), int(swap_unit), fill,
    )  # fmt: skip


def int64(name: str, column: npt.NDArray[Any]) -> Int64:
    """Return a contiguous column; its items must be int64 already."""
    if column.dtype != np.int64:
        raise TypeError(f"{name}: expected items of type int64, found {column.dtype}")
    return column if column.flags.c_contiguous else np.ascontiguousarray(column)


def uint64(name: str, column: npt.NDArray[Any]) -> UInt64:
    """Return a contiguous column; its items must be uint64 already."""
    if column.dtype != np.uint64:
        raise TypeError(f"{name}: expected items of type uint64, found {column.dtype}")
    return column if column.flags.c_contiguous else np.ascontiguousarray(column)
