"""One row of a plan as NumPy indices: the plain way, for what the native copy cannot handle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.plan.chunk_plan import PlanRows

Index = tuple[Any, ...]


def scatter_row(
    rows: PlanRows, i: int, chunk: npt.NDArray[Any] | np.generic, out: npt.NDArray[Any]
) -> None:
    """Copy row ``i`` from a decoded chunk, or from one scalar (missing chunk), to the output."""
    inside, outside = _indices(rows, i)
    if not isinstance(chunk, np.ndarray):
        out[outside] = chunk
    elif rows.flat:
        out[outside] = chunk.reshape(-1)[inside]
    else:
        out[outside] = chunk[inside]


def gather_row(rows: PlanRows, i: int, value: npt.NDArray[Any], chunk: npt.NDArray[Any]) -> None:
    """Copy row ``i`` from the value to a C-contiguous decoded chunk."""
    inside, outside = _indices(rows, i)
    target = chunk.reshape(-1) if rows.flat else chunk
    if not chunk.dtype.hasobject:
        outside = (*outside, ...)  # never a scalar, whose range NumPy would check
    target[inside] = value[outside]


def _indices(rows: PlanRows, i: int) -> tuple[Index, Index]:
    inside: list[Any] = []
    outside: list[Any] = []
    for a, table in enumerate(rows.lists):
        start, count = int(rows.start[i, a]), int(rows.count[i, a])
        if table is None:
            step, out = int(rows.step[a]), int(rows.out[i, a])
            stop = start + count * step
            inside.append(slice(start, stop if stop >= 0 else None, step))
            outside.append(slice(out, out + count))
        else:
            inside.append(table[0][start : start + count])
            outside.append(table[1][start : start + count])
    if sum(table is not None for table in rows.lists) > 1:
        return _orthogonal(rows, i, inside, 0), _orthogonal(rows, i, outside, 1)
    return tuple(inside), tuple(outside)


def _orthogonal(rows: PlanRows, i: int, index: list[Any], side: int) -> Index:
    ranges = []
    for a, item in enumerate(index):
        if isinstance(item, slice):
            first = int(rows.out[i, a] if side else rows.start[i, a])
            step = 1 if side else int(rows.step[a])
            item = first + step * np.arange(int(rows.count[i, a]))
        ranges.append(item)
    return np.ix_(*ranges)
