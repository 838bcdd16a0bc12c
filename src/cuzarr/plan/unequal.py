"""Plans over chunks of several shapes, as plans over chunks of one shape each.

A plan names the chunks of any grid; a backend binds codecs and layouts to one chunk shape. So a
plan is split: along each axis its chunks are grouped by length, and every combination of lengths is
a plan of its own. All have the shape of the whole plan, and together they fill its output.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import TypeAlias

import numpy as np

from cuzarr.meta.edges import Edges, Spacing, length_of, on_axes
from cuzarr.plan.chunk_plan import Axis, Boxes, ChunkPlan, Int64, Points
from cuzarr.plan.grouping import freeze, group_rows

Part: TypeAlias = tuple[tuple[int, ...], ChunkPlan]


def split_by_shape(plan: ChunkPlan, grid: Sequence[Spacing]) -> Iterator[Part]:
    """Yield the shape of some chunks, and the plan of them, for each shape that occurs.

    Parameters
    ----------
    plan : ChunkPlan
    grid : sequence of (int or Edges)
        Of the chunks, one entry per dimension.
    """
    if plan.points is not None:
        yield from _points(plan, plan.points, grid)
    elif plan.boxes is not None:
        yield from _boxes(plan, plan.boxes, grid)
    else:
        axes = [_axis(axis, chunk) for axis, chunk in zip(plan.axes, grid, strict=True)]
        for parts in product(*axes):
            chosen = tuple(axis for _, axis in parts)
            n_chunks = prod(len(axis.chunk) for axis in chosen)
            part = ChunkPlan(plan.shape, plan.out_shape, n_chunks, chosen, partial=True)
            yield tuple(length for length, _ in parts), part


def _axis(axis: Axis, chunk: Spacing) -> list[tuple[int, Axis]]:
    """Group the chunks of an axis by length."""
    if not isinstance(chunk, Edges):
        return [(chunk, axis)] if len(axis.chunk) else []
    lengths = chunk.length(axis.chunk)
    groups = []
    for length in np.unique(lengths).tolist():
        which = np.flatnonzero(lengths == length)
        at, start, count, out = (c[which] for c in (axis.chunk, axis.start, axis.count, axis.out))
        complete = axis.complete[which]
        freeze(at, start, count, out, complete)
        part = replace(axis, chunk=at, start=start, count=count, out=out, complete=complete)
        groups.append((length, part))
    return groups


def _points(plan: ChunkPlan, points: Points, grid: Sequence[Spacing]) -> Iterator[Part]:
    for shape, which in _by_shape(points.coords, grid):
        ptr, rows = _chosen(points.ptr, which)
        part = Points(
            points.coords[which], ptr, points.index[rows], points.out_index[rows],
            points.complete[which],
        )  # fmt: skip
        freeze(part.coords, part.ptr, part.index, part.out_index, part.complete)
        yield shape, replace(plan, n_chunks=len(which), points=part, partial=True)


def _boxes(plan: ChunkPlan, boxes: Boxes, grid: Sequence[Spacing]) -> Iterator[Part]:
    for shape, which in _by_shape(boxes.coords, grid):
        first, rows = _chosen(boxes.first, which)
        part = replace(boxes, coords=boxes.coords[which], first=first, box=boxes.box[rows])
        freeze(part.coords, part.first, part.box)
        yield shape, replace(plan, n_chunks=len(which), boxes=part, partial=True)


def _by_shape(coords: Int64, grid: Sequence[Spacing]) -> Iterator[tuple[tuple[int, ...], Int64]]:
    """Yield each shape, and which of the chunks at ``coords`` have it, ascending."""
    n = len(coords)
    if not n:
        return
    groups = group_rows(list(on_axes(length_of, coords, grid).T), (n,))
    order = np.arange(n) if groups.order is None else groups.order
    for shape, which in zip(groups.coords, np.split(order, groups.first[1:]), strict=True):
        yield tuple(shape.tolist()), which


def _chosen(ptr: Int64, which: Int64) -> tuple[Int64, Int64]:
    """Return the bounds of some groups of a CSR list, and the entries that they have."""
    begins, counts = ptr[which], ptr[which + 1] - ptr[which]
    bounds = np.zeros(len(which) + 1, np.int64)
    np.cumsum(counts, out=bounds[1:])
    return bounds, np.arange(int(bounds[-1])) + np.repeat(begins - bounds[:-1], counts)
