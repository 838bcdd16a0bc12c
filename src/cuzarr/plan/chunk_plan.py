"""What a selection touches: waist 2 of the design.

1. A separable selection (basic, stepped, orthogonal, block) is one :class:`Axis` per dimension;
   the chunks it touches are the product of the axes, in C order of their grid coordinates.
2. A point selection (coordinate, mask) is a CSR list of points per touched chunk.
3. Many equal boxes are a CSR list of boxes per touched chunk.
4. The engine asks for a range of chunks, ``plan.rows(first, last)``, and gets a
   :class:`PlanRows`: one row per chunk, with everything that a scatter or gather needs. A point
   selection becomes rows over one flattened axis, so backends see a single form. Of boxes a chunk
   may have several rows, with one axis more: that of the boxes in the output.

Plans hold read-only int64 arrays, know nothing of devices, stores or codecs, and can be cached.
"Chunk" here is the unit that is decoded: the inner chunk of a sharded array.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cuzarr.meta.edges import Spacing, begin, length_of, on_axes

Int64: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """What a selection takes of one dimension, chunk by chunk.

    Affine (``index is None``): element ``i < count[k]`` of chunk ``chunk[k]`` is found at
    ``start[k] + i * step`` in the chunk and goes to ``out[k] + i`` in the output.

    List (``index`` given): the positions ``start[k] <= j < start[k] + count[k]`` of the two
    parallel lists say so: chunk offset ``index[j]`` goes to output offset ``out_index[j]``.

    Attributes
    ----------
    chunk : (k,) int64, strictly ascending
    start, count, out : (k,) int64
    step : int, may be negative; 1 for lists, and for fewer than two elements
    length : int
        Elements of the selection along this dimension.
    index, out_index : (length,) int64, or None
    complete : (k,) bool
        Every element of the chunk that lies inside the array is selected.
    """

    chunk: Int64
    start: Int64
    count: Int64
    out: Int64
    step: int
    length: int
    complete: npt.NDArray[np.bool_]
    index: Int64 | None = None
    out_index: Int64 | None = None


@dataclass(frozen=True, slots=True)
class PlanRows:
    """A range of chunks of a plan, expanded: row ``i`` copies between chunk ``i`` and the output.

    Where ``first`` is given, chunk ``i`` has the rows ``first[i] <= row < first[i + 1]`` instead.
    Along axis ``a`` row ``i`` covers ``count[i, a]`` elements. Element ``e`` sits in the chunk at
    ``start[i, a] + e * step[a]`` and in the output at ``out[i, a] + e``; where ``lists[a]`` is
    given, at ``lists[a][0][start[i, a] + e]`` and ``lists[a][1][start[i, a] + e]`` instead.

    Attributes
    ----------
    coords : (n, d) int64
        Grid coordinates of the chunks, d dimensions of the array.
    start, count, out : (rows, s) int64
        s axes of the copy: s == d, or 1 for points, whose chunk axis is the flattened chunk (C
        order of the logical chunk shape) and whose output axis is the flattened output, or d + 1
        for boxes, whose chunks are seen with a first axis of length 1.
    step : (s,) int64
    lists : tuple, one entry per axis: None or (chunk offsets, output offsets), int64
    complete : (n,) bool
        The row selects every element of the chunk that lies inside the array.
    flat : bool
        True for points.
    first : (n + 1,) int64, or None
    """

    coords: Int64
    start: Int64
    count: Int64
    out: Int64
    step: Int64
    lists: tuple[tuple[Int64, Int64] | None, ...]
    complete: npt.NDArray[np.bool_]
    flat: bool = False
    first: Int64 | None = None

    def __len__(self) -> int:
        return len(self.coords)

    def of(self, i: int) -> range:
        """Return the rows of chunk ``i``."""
        if self.first is None:
            return range(i, i + 1)
        return range(int(self.first[i]), int(self.first[i + 1]))

    def chunk_of(self) -> Int64 | slice:
        """Return the chunk of each row, as an index."""
        if self.first is None:
            return slice(None)
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def take(self, which: Any) -> PlanRows:
        """Return the chunks ``which`` (a slice, or an index array)."""
        rows, first = which, None
        if self.first is not None:
            begins, counts = self.first[:-1][which], np.diff(self.first)[which]
            first = np.zeros(len(counts) + 1, np.int64)
            np.cumsum(counts, out=first[1:])
            rows = np.arange(int(first[-1])) + np.repeat(begins - first[:-1], counts)
        return PlanRows(
            self.coords[which], self.start[rows], self.count[rows], self.out[rows],
            self.step, self.lists, self.complete[which], self.flat, first,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """A selection against a chunk grid.

    Attributes
    ----------
    shape : tuple of int
        Shape of the selection with every dimension of the array kept (integers have length 1);
        for points ``(number of points,)``.
    out_shape : tuple of int
        Shape of what the user gets (integers dropped; points in the shape of their broadcast
        coordinates). Same number of elements as ``shape``.
    n_chunks : int
        As many as decode; one that is in the plan twice counts twice.
    axes : tuple of Axis, empty for points and boxes
    points : Points or None
    boxes : Boxes or None
    partial : bool
        True for a part of a selection, which fills some elements of ``shape`` only: see
        ``plan.unequal``.
    """

    shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    n_chunks: int
    axes: tuple[Axis, ...] = ()
    points: Points | None = None
    boxes: Boxes | None = None
    partial: bool = False

    def wave_end(self, first: int, chunks: int) -> int:
        """Return the end of a wave that begins with chunk ``first`` and has at most ``chunks``."""
        last = min(first + chunks, self.n_chunks)
        return last if self.boxes is None else self.boxes.wave_end(first, last)

    def rows(self, first: int, last: int) -> PlanRows:
        """Expand chunks ``first <= i < last``, in C order of the grid."""
        if self.points is not None:
            return self.points.rows(first, last)
        if self.boxes is not None:
            return self.boxes.rows(first, last)
        return _product_rows(self.axes, np.arange(first, last))

    def rows_of(self, chunks: Int64) -> PlanRows:
        """Expand some chunks of a separable selection, by their C order in the grid."""
        return _product_rows(self.axes, chunks)


@dataclass(frozen=True, slots=True)
class Points:
    """Points grouped by chunk.

    Attributes
    ----------
    coords : (n, d) int64
        Touched chunks, distinct, in C order of the grid.
    ptr : (n + 1,) int64
        Points of chunk ``i`` are ``ptr[i] <= j < ptr[i + 1]``.
    index : (p,) int64
        Offset of each point in its flattened chunk (C order of the logical chunk shape).
    out_index : (p,) int64
        Offset of each point in the flattened output.
    complete : (n,) bool
    """

    coords: Int64
    ptr: Int64
    index: Int64
    out_index: Int64
    complete: npt.NDArray[np.bool_]

    def rows(self, first: int, last: int) -> PlanRows:
        """Expand chunks ``first <= i < last`` over the flattened axis."""
        start = self.ptr[first:last, None]
        count = self.ptr[first + 1 : last + 1, None] - start
        return PlanRows(
            self.coords[first:last], start, count, np.zeros_like(start),
            np.ones(1, np.int64), ((self.index, self.out_index),),
            self.complete[first:last], flat=True,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Boxes:
    """Equal boxes grouped by chunk.

    Attributes
    ----------
    coords : (n, d) int64
        Touched chunks, in C order of the grid; one of very many boxes is there several times.
    first : (n + 1,) int64
        Chunk ``i`` is touched by the boxes ``box[first[i]:first[i + 1]]``.
    box : (rows,) int64
    starts : (boxes, d) int64
        First element of each box.
    lengths : tuple of int
    chunk_shape : tuple of (int or Edges)
    """

    coords: Int64
    first: Int64
    box: Int64
    starts: Int64
    lengths: tuple[int, ...]
    chunk_shape: tuple[Spacing, ...]

    def wave_end(self, first: int, last: int) -> int:
        """Return an end, at most ``last``, such that the rows of the wave are not too many."""
        most = int(self.first[first]) + _WAVE_ROWS
        if self.first[last] <= most:
            return last
        return max(first + 1, int(np.searchsorted(self.first, most, side="right")) - 1)

    def rows(self, first: int, last: int) -> PlanRows:
        """Expand chunks ``first <= i < last``; the axis of the boxes is the first one."""
        at, d = self.first[first], len(self.chunk_shape)
        bounds = self.first[first : last + 1] - at
        coords = self.coords[first:last]
        box = self.box[at : self.first[last]]
        # where the box begins, from the first element of the chunk
        begins = self.starts[box] - np.repeat(
            on_axes(begin, coords, self.chunk_shape), np.diff(bounds), axis=0
        )
        start, count, out = (np.zeros((len(box), d + 1), np.int64) for _ in range(3))
        np.maximum(begins, 0, out=start[:, 1:])
        np.subtract(start[:, 1:], begins, out=out[:, 1:])
        begins += np.array(self.lengths, np.int64)
        chunk = on_axes(length_of, coords, self.chunk_shape)
        if len(chunk) > 1:
            chunk = np.repeat(chunk, np.diff(bounds), axis=0)
        np.subtract(np.minimum(begins, chunk), start[:, 1:], out=count[:, 1:])
        out[:, 0], count[:, 0] = box, 1
        return PlanRows(
            coords, start, count, out, np.ones(d + 1, np.int64), (None,) * (d + 1),
            np.zeros(last - first, np.bool_), first=bounds,
        )  # fmt: skip


_WAVE_ROWS = 2**18  #: some tens of bytes each, per axis


def _product_rows(axes: tuple[Axis, ...], chunks: Int64) -> PlanRows:
    lengths = tuple(len(axis.chunk) for axis in axes)
    step = np.array([axis.step for axis in axes], np.int64)
    lists = tuple(
        None if axis.index is None or axis.out_index is None else (axis.index, axis.out_index)
        for axis in axes
    )
    if axes and len(chunks) == 1 and prod(lengths) == 1:  # a small call: what counts is its steps
        table = np.array([(a.chunk[0], a.start[0], a.count[0], a.out[0]) for a in axes], np.int64)
        whole = np.array([all(bool(axis.complete[0]) for axis in axes)])
        at, start, count, out = table.T[:, None].copy()
        return PlanRows(at, start, count, out, step, lists, whole)
    which = np.unravel_index(chunks, lengths) if axes else ()
    n, d = len(chunks), len(axes)
    columns = {name: np.empty((n, d), np.int64) for name in ("chunk", "start", "count", "out")}
    complete = np.ones(n, np.bool_)
    for a, (axis, k) in enumerate(zip(axes, which, strict=True)):
        for name, column in columns.items():
            column[:, a] = getattr(axis, name)[k]
        complete &= axis.complete[k]
    return PlanRows(
        columns["chunk"], columns["start"], columns["count"], columns["out"], step, lists, complete
    )
