"""Twin of ``copy.c``: strided copies with NumPy views of the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.native.memory import memory
from cuzarr.native.tables import MAX_AXES, Int64, Lists, UInt64

Rows = tuple[
    Int64, Int64, Int64, Int64, Lists, Int64, int, Int64, int, int, bytes
]  #: start, count, out, step, lists, chunk_strides, array_ptr, array_strides, itemsize, swap, fill


def copy_rows(scatter: bool, chunk_ptrs: UInt64, rows: Rows, /) -> None:
    """Copy row by row with NumPy views of the memory."""
    check_rows(len(chunk_ptrs), rows)
    start, count, out, step, lists, chunk_strides, array_ptr, array_strides = rows[:8]
    itemsize, swap_unit, fill = rows[8:]
    sides = (chunk_strides.tolist(), array_strides.tolist())
    for i, chunk_ptr in enumerate(chunk_ptrs.tolist()):
        axes = list(
            zip(start[i].tolist(), count[i].tolist(), out[i].tolist(), step.tolist(), lists,
                strict=True)
        )  # fmt: skip
        if any(axis[1] <= 0 for axis in axes) or not (chunk_ptr or scatter):
            continue
        where = [_positions(*axis) for axis in axes]
        in_array = _view(array_ptr, [w[1] for w in where], sides[1], itemsize, swap_unit)
        if not chunk_ptr:
            in_array.write(np.frombuffer(fill, in_array.dtype))
            continue
        in_chunk = _view(chunk_ptr, [w[0] for w in where], sides[0], itemsize, swap_unit)
        source, target = (in_chunk, in_array) if scatter else (in_array, in_chunk)
        items = source.read()
        target.write(items.byteswap() if swap_unit else items)


def check_rows(n: int, rows: Rows) -> None:
    """Raise ValueError where the columns of ``n`` rows do not fit together."""
    start, count, out, step, lists, chunk_strides, _, array_strides, itemsize, swap_unit, fill = (
        rows
    )
    axes = len(step)
    if axes > MAX_AXES:
        raise ValueError("step: more than 64 axes")
    if len(lists) != axes:
        raise ValueError("lists: expected one entry per axis")
    if itemsize < 1 or len(fill) != itemsize:
        raise ValueError("fill: expected itemsize bytes")
    if swap_unit not in (0, 2, 4, 8) or (swap_unit and itemsize % swap_unit):
        raise ValueError("swap_unit: expected 0, 2, 4 or 8, a divisor of itemsize")
    for name, column, size in (
        ("start", start, n * axes), ("count", count, n * axes), ("out", out, n * axes),
        ("chunk_strides", chunk_strides, axes), ("array_strides", array_strides, axes),
    ):  # fmt: skip
        if column.size != size:
            raise ValueError(f"{name}: expected {size} items, found {column.size}")
    for a, pair in enumerate(lists):
        if pair is None:
            continue
        length = len(pair[0])
        if len(pair[1]) != length:
            raise ValueError(f"out_index: expected {length} items, found {len(pair[1])}")
        first, wanted = start[:, a], count[:, a]
        # written so that no sum can overflow
        outside = (first < 0) | (first > length) | (wanted > length - np.clip(first, 0, length))
        if np.any((wanted > 0) & outside):
            raise ValueError("lists: a row reaches outside")


@dataclass(frozen=True, slots=True)
class _View:
    """Items in memory: those that ``key`` picks of ``items``."""

    items: npt.NDArray[Any]
    key: tuple[Any, ...]
    dtype: np.dtype[Any]

    def read(self) -> npt.NDArray[Any]:
        return np.asarray(self.items[self.key])

    def write(self, values: npt.NDArray[Any]) -> None:
        self.items[self.key] = values if self.items.ndim else values.reshape(())


def _positions(
    start: int, count: int, out: int, step: int, pair: tuple[Int64, Int64] | None
) -> tuple[Int64, Int64]:
    if pair is not None:
        return pair[0][start : start + count], pair[1][start : start + count]
    steps = np.arange(count, dtype=np.int64)
    return start + step * steps, out + steps


def _view(
    address: int, positions: list[Int64], strides: list[int], itemsize: int, unit: int
) -> _View:
    """View what lies between the lowest and the highest position of every axis."""
    lows = [int(p.min()) for p in positions]
    spans = [int(p.max()) - low for p, low in zip(positions, lows, strict=True)]
    reach = [span * stride for span, stride in zip(spans, strides, strict=True)]
    below = sum(min(r, 0) for r in reach)
    size = sum(max(r, 0) for r in reach) + itemsize - below
    base = address + sum(low * stride for low, stride in zip(lows, strides, strict=True))
    dtype = np.dtype(f"u{unit}" if unit else f"V{itemsize}")
    units = (itemsize // unit,) if unit else ()
    items: npt.NDArray[Any] = np.ndarray(
        tuple(span + 1 for span in spans) + units, dtype, memory(base + below, size), -below,
        (*strides, *((unit,) if unit else ())),
    )  # fmt: skip
    key = np.ix_(*(p - low for p, low in zip(positions, lows, strict=True))) if positions else ()
    return _View(items, key, dtype)
