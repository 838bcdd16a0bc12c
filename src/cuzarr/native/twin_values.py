"""Twin of ``values.c``: where values lie in memory, and copies of many of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np

from cuzarr.native.memory import memory
from cuzarr.native.tables import READ_MISSING, READ_OK, READ_SHORT, Buffer, Int32, Int64, UInt64
from cuzarr.native.twin_files import check_ranges

NO_BUFFER = -1


def find_values(
    mapping: Any, keys: bytes, offsets: Int64, starts: Int64, lengths: Int64, pointers: UInt64,
    sizes: Int64, statuses: Int32, /,
) -> list[Any]:  # fmt: skip
    """Look every key up."""
    if type(mapping) is not dict:
        raise TypeError("mapping: expected a dict")
    check_ranges(len(starts), b"", keys, offsets, starts, lengths)
    values = [mapping.get(keys[first:last].decode()) for first, last in pairwise(offsets.tolist())]
    owners = value_addresses(values, pointers, sizes, statuses)
    for i in np.flatnonzero(statuses == READ_OK).tolist():
        size, start, length = int(sizes[i]), int(starts[i]), int(lengths[i])
        first = start if start >= 0 else size + start
        last = size if length < 0 else first + length
        if 0 <= first <= last <= size:
            pointers[i] += np.uint64(first)
            sizes[i] = last - first
        else:
            pointers[i], sizes[i], statuses[i] = 0, -1, READ_SHORT
    return owners


def value_addresses(values: Any, pointers: UInt64, sizes: Int64, statuses: Int32, /) -> list[Any]:
    """Take the address of every value."""
    if not isinstance(values, list):
        raise TypeError("values: expected a list")
    pointers[:], sizes[:], statuses[:] = 0, -1, READ_MISSING
    owners: list[Any] = [None] * len(values)
    for i, value in enumerate(values):
        if value is None:
            continue
        try:
            view = memoryview(value)
            array = np.frombuffer(view.cast("B") if view.nbytes else b"", np.uint8)
        except TypeError:
            statuses[i] = NO_BUFFER
            continue
        owners[i] = array
        pointers[i], sizes[i], statuses[i] = array.ctypes.data or 1, array.nbytes, READ_OK
    return owners


def copy_values(
    pointers: UInt64, sizes: Int64, positions: Int64, slab: Buffer, threads: int, /
) -> None:
    """Copy on the calling thread alone."""
    del threads
    target = memoryview(cast("Any", slab)).cast("B")
    if target.readonly:
        raise BufferError("slab: read-only")
    wanted = (pointers != 0) & (sizes > 0)
    if (wanted & ((positions < 0) | (positions > target.nbytes - sizes))).any():
        raise ValueError("positions: outside the slab")
    for i in np.flatnonzero(wanted).tolist():
        first, size = int(positions[i]), int(sizes[i])
        target[first : first + size] = memory(int(pointers[i]), size)
