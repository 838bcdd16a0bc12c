"""Writing one element several times: the last value wins, as in NumPy.

A list keeps the caller's order within each chunk, so whoever applies it in order gets this for
free. Whoever writes elements in parallel asks :func:`last_wins` for a plan in which every element
is written once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cuzarr.plan.chunk_plan import Axis, ChunkPlan, Int64, Points
from cuzarr.plan.grouping import freeze


def last_wins(plan: ChunkPlan) -> ChunkPlan:
    """Drop every list entry that a later one overwrites.

    The shapes of the plan stay, and so do its chunks; a plan without repeated elements is returned
    itself. The result is for writing: read by it, dropped elements of the output stay untouched.
    """
    if plan.points is not None:
        points = _points(plan.points)
        return plan if points is plan.points else replace(plan, points=points)
    axes = tuple([_axis(axis) for axis in plan.axes])
    if all(new is old for new, old in zip(axes, plan.axes, strict=True)):
        return plan
    return replace(plan, axes=axes)


def _points(points: Points) -> Points:
    kept = _last(points.index, np.diff(points.ptr))
    if kept is None:
        return points
    before = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    ptr, index, out_index = before[points.ptr], points.index[kept], points.out_index[kept]
    freeze(ptr, index, out_index)
    return replace(points, ptr=ptr, index=index, out_index=out_index)


def _axis(axis: Axis) -> Axis:
    if axis.index is None or axis.out_index is None:
        return axis
    kept = _last(axis.index, axis.count)
    if kept is None:
        return axis
    count = np.add.reduceat(kept, axis.start)
    start = np.cumsum(count) - count
    index, out_index = axis.index[kept], axis.out_index[kept]
    freeze(start, count, index, out_index)
    return replace(axis, start=start, count=count, index=index, out_index=out_index)


def _last(index: Int64, count: Int64) -> npt.NDArray[np.bool_] | None:
    """Tell which offsets do not occur again in the same chunk; None if none does."""
    chunk = np.repeat(np.arange(len(count)), count)
    order = np.lexsort((index, chunk))  # stable: equal ones stay in order
    index, chunk = index[order], chunk[order]
    again = (index[1:] == index[:-1]) & (chunk[1:] == chunk[:-1])
    if not again.any():
        return None
    kept = np.ones(len(index), np.bool_)
    kept[order[:-1][again]] = False
    return kept
