"""Many equal boxes: the windows of a training batch as one plan.

1. A box touches, along each dimension, the chunks from that of its first element to that of its
   last; all its chunks are the product. Every pair of a box and a chunk is one row of the copy.
2. The rows are grouped by chunk, so that a chunk that several boxes share is fetched and decoded
   once. A very large group is cut, so that no wave grows with the number of boxes.
3. The plan keeps the box of each row alone; the rest of a row is computed when a wave asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.meta.edges import Spacing, find, on_axes
from cuzarr.plan.chunk_plan import Boxes, ChunkPlan, Int64
from cuzarr.plan.grouping import freeze, group_rows

_MOST_ROWS = 2**16  #: of one chunk; past it the chunk is decoded again


def plan_boxes(
    starts: Any, box: int | Sequence[int], shape: Sequence[int], chunk_shape: Sequence[Spacing]
) -> ChunkPlan:
    """Plan the reading of equal boxes, stacked along a new first axis.

    Parameters
    ----------
    starts : (n, d) integers
        First element of each box, in any order; boxes may overlap. ``(n,)`` where d is 1.
    box : int or sequence of int
        Shape of a box, d lengths; one integer stands for all of them.
    shape : sequence of int
    chunk_shape : sequence of (int or Edges)

    Raises
    ------
    SelectionError
        Not integers, or not of these shapes.
    BoundsCheckError
        A box reaches outside the array.
    """
    d = len(shape)
    lengths = _lengths(box, d)
    corners = _corners(starts, d)
    _check_bounds(corners, lengths, shape)
    n = len(corners)
    out_shape = (n, *lengths)
    if n == 0 or 0 in lengths:
        boxes = Boxes(
            np.empty((0, d), np.int64), np.zeros(1, np.int64), np.empty(0, np.int64), corners,
            lengths, tuple(chunk_shape),
        )  # fmt: skip
    else:
        boxes = _group(corners, lengths, chunk_shape)
    freeze(boxes.coords, boxes.first, boxes.box, boxes.starts)
    return ChunkPlan(out_shape, out_shape, len(boxes.coords), boxes=boxes)


def _lengths(box: Any, d: int) -> tuple[int, ...]:
    given = np.asarray(box)
    if given.size and given.dtype.kind not in "iu":
        raise SelectionError(f"the shape of a box must be integers, not {box!r}"[:120])
    if given.ndim == 0:
        given = np.repeat(given, d)
    lengths = tuple(given.ravel().tolist())
    if given.ndim != 1 or len(lengths) != d:
        raise SelectionError(f"the shape of a box needs {d} lengths, not {box!r}"[:120])
    if any(n < 0 for n in lengths):
        raise SelectionError(f"the lengths of a box cannot be negative: {lengths}")
    return lengths


def _corners(starts: Any, d: int) -> Int64:
    """Return the starts as a new (n, d) int64 array."""
    given = np.asarray(starts)
    if given.shape == (0,):
        return np.empty((0, d), np.int64)
    if given.ndim == 1 and d == 1:
        given = given[:, None]
    if given.ndim != 2 or given.shape[1] != d:
        raise SelectionError(
            f"the starts of boxes have shape (n, {d}) for an array of {d} dimensions, "
            f"not {given.shape}"
        )
    if given.size and given.dtype.kind not in "iu":
        raise SelectionError(f"the starts of boxes must be integers, not {given.dtype}")
    if given.size and int(given.max()) > 2**63 - 1:
        raise BoundsCheckError(f"a box starts at {int(given.max())}, outside any array")
    return np.array(given, np.int64)


def _check_bounds(corners: Int64, lengths: tuple[int, ...], shape: Sequence[int]) -> None:
    room = np.array([n - length for n, length in zip(shape, lengths, strict=True)], np.int64)
    bad = ((corners < 0) | (corners > room)).any(axis=1)
    if bad.any():
        i = int(np.argmax(bad))
        raise BoundsCheckError(
            f"box {i} of shape {lengths} at {tuple(corners[i].tolist())} reaches outside the array "
            f"of shape {tuple(shape)}"
        )


def _group(corners: Int64, lengths: tuple[int, ...], chunk_shape: Sequence[Spacing]) -> Boxes:
    n, d = corners.shape
    low = on_axes(find, corners, chunk_shape)
    last = corners + (np.array(lengths, np.int64) - 1)
    number = on_axes(find, last, chunk_shape) - low + 1
    each = number.prod(axis=1)
    if (each == 1).all():
        box, columns = np.arange(n), list(low.T)
    else:
        box = np.repeat(np.arange(n), each)
        # Consecutive numbers, as many as a box has chunks, count them all from any of them on.
        within = np.arange(len(box))
        columns = []
        for a in reversed(range(d)):
            if (number[:, a] == 1).all():
                columns.append(low[box, a])
                continue
            extent = number[box, a]
            within, k = np.divmod(within, extent)
            columns.append(low[box, a] + k)
        columns.reverse()
    groups = group_rows(columns, (len(box),)) if d else None
    if groups is None:  # one chunk, which every box is
        coords, first = np.empty((1, 0), np.int64), np.zeros(1, np.int64)
    else:
        coords, first = groups.coords, groups.first
        box = box if groups.order is None else box[groups.order]
    first = np.append(first, len(box))
    coords, first = _cut(coords, first)
    return Boxes(coords, first, box, corners, lengths, tuple(chunk_shape))


def _cut(coords: Int64, first: Int64) -> tuple[Int64, Int64]:
    """Make several groups of the same chunk where one has too many rows."""
    size = np.diff(first)
    if size.max() <= _MOST_ROWS:
        return coords, first
    parts = -(-size // _MOST_ROWS)
    ends = np.cumsum(parts)
    part = np.arange(int(ends[-1])) - np.repeat(ends - parts, parts)
    begins = np.repeat(first[:-1], parts) + part * _MOST_ROWS
    return np.repeat(coords, parts, axis=0), np.append(begins, first[-1])
