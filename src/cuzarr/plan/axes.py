"""One dimension of a separable selection as an :class:`~cuzarr.plan.chunk_plan.Axis`.

1. Positions ``start + i * step`` (integers, slices, and index arrays that happen to be evenly
   spaced) are affine: :func:`affine_axis`. Axes of few chunks are cached, since training loops ask
   for the same rows and whole dimensions again and again.
2. Other index arrays are lists, grouped by chunk: :func:`index_axis`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from cuzarr.errors import SelectionError
from cuzarr.meta.edges import Edges, Spacing, begin, find
from cuzarr.plan.chunk_plan import Axis, Int64
from cuzarr.plan.grid import clipped
from cuzarr.plan.grouping import freeze

_CACHED_CHUNKS = 32  # an entry stays below two kilobytes
_MOST_CHUNKS = 2**26  #: their columns take 4 GiB at the peak


def affine_axis(start: int, count: int, step: int, length: int, chunk: Spacing) -> Axis:
    """Return the axis of the positions ``start + i * step``, ``0 <= i < count``.

    Parameters
    ----------
    start, count, step : int
        All positions lie in ``0 <= position < length``; the step is not 0.
    length : int
        Of the array along this dimension.
    chunk : int or Edges
        Of its chunks.
    """
    if count < 2:
        step = 1
    if not count:
        return _EMPTY
    if isinstance(chunk, Edges):
        return _edges_axis(start, count, step, length, chunk)
    if abs(step) * count <= _CACHED_CHUNKS * chunk:
        return _cached_axis(start, count, step, length, chunk)
    return _affine_axis(start, count, step, length, chunk)


def index_axis(indices: Int64, length: int, chunk: Spacing, *, distinct: bool = False) -> Axis:
    """Return the axis of the positions ``indices``, in that order.

    Parameters
    ----------
    indices : (n,) int64
        In ``0 <= index < length``; unsorted and repeated ones allowed.
    length : int
        Of the array along this dimension.
    chunk : int or Edges
        Of its chunks.
    distinct : bool
        No index occurs twice.
    """
    n = len(indices)
    if n < 2:
        return affine_axis(int(indices[0]), n, 1, length, chunk) if n else _EMPTY
    step = int(indices[1]) - int(indices[0])
    differences = np.diff(indices)
    if step and (differences == step).all():
        return affine_axis(int(indices[0]), n, step, length, chunk)

    of = find(indices, chunk)
    if (differences >= 0).all():
        out_index = np.arange(n)
    else:
        out_index = np.argsort(of, kind="stable")
        of, indices = of[out_index], indices[out_index]
    start = np.concatenate(([0], np.flatnonzero(of[1:] != of[:-1]) + 1))
    count = np.diff(start, append=n)
    at = of[start]
    complete = _complete(indices, at, count, length, chunk, distinct)
    offsets = indices - begin(of, chunk)
    out = np.zeros(len(at), np.int64)
    freeze(at, start, count, out, complete, offsets, out_index)
    return Axis(at, start, count, out, 1, n, complete, offsets, out_index)


def _affine_axis(start: int, count: int, step: int, length: int, chunk: int) -> Axis:
    stride = abs(step)
    low = min(start, start + (count - 1) * step)
    first, last = low // chunk, (low + (count - 1) * stride) // chunk
    if first == last:
        inside = start - first * chunk
        columns = np.array(((first,), (inside,), (count,), (0,)), np.int64)
        complete = _TRUE if count == min(chunk, length - first * chunk) else _FALSE
        columns.setflags(write=False)
        at, begin, number, out = columns
        return Axis(at, begin, number, out, step, count, complete)

    if stride <= chunk:  # no chunk between the first and the last is skipped
        n = last - first + 1
        columns = _columns(n)
        at = columns[0]
        at[:] = np.arange(first, last + 1)
        # Elements, in ascending order of position, that lie below each chunk. Only the edges
        # between touched chunks are computed: the one above the last may not fit int64.
        below = np.empty(n + 1, np.int64)
        below[0], below[n] = 0, count
        below[1:n] = -((low - at[1:] * chunk) // stride)
    else:
        n = count
        columns = _columns(n)
        at = columns[0]
        below = np.arange(n + 1)
        at[:] = (low + below[:n] * stride) // chunk
    np.subtract(below[1:], below[:n], out=columns[2])
    base = at * chunk
    if step > 0:
        columns[1] = low + below[:n] * stride - base
        columns[3] = below[:n]
    else:
        columns[1] = low + (below[1:] - 1) * stride - base
        columns[3] = count - below[1:]
    complete = columns[2] == chunk
    complete[n - 1] = columns[2, n - 1] == min(chunk, length - last * chunk)
    freeze(columns, complete)
    return Axis(columns[0], columns[1], columns[2], columns[3], step, count, complete)


def _edges_axis(start: int, count: int, step: int, length: int, edges: Edges) -> Axis:
    """Return the axis of evenly spaced positions over chunks of several lengths."""
    stride = abs(step)
    low = min(start, start + (count - 1) * step)
    first, last = (int(edges.find(p)) for p in (low, low + (count - 1) * stride))
    if last - first < count:
        at = np.arange(first, first + _few(last - first + 1))
    else:  # more chunks than elements
        at = np.unique(edges.find(low + np.arange(_few(count)) * stride))
    n = len(at)
    base = edges.begin(at)
    # Elements, in ascending order of position, that lie below each chunk; those skipped have none.
    below = np.empty(n + 1, np.int64)
    below[:n] = np.maximum(-((low - base) // stride), 0)
    below[n] = count
    touched = below[1:] > below[:n]
    at, base, below = at[touched], base[touched], np.append(below[:n][touched], count)
    columns = _columns(len(at))
    columns[0] = at
    np.subtract(below[1:], below[:-1], out=columns[2])
    if step > 0:
        columns[1] = low + below[:-1] * stride - base
        columns[3] = below[:-1]
    else:
        columns[1] = low + (below[1:] - 1) * stride - base
        columns[3] = count - below[1:]
    complete = columns[2] == clipped(at, length, edges)
    freeze(columns, complete)
    return Axis(columns[0], columns[1], columns[2], columns[3], step, count, complete)


_cached_axis = lru_cache(maxsize=4096)(_affine_axis)


def _columns(n: int) -> Int64:
    return np.empty((4, _few(n)), np.int64)


def _few(n: int) -> int:
    if n > _MOST_CHUNKS:
        raise SelectionError(
            f"the selection touches {n} chunks along one axis, more than {_MOST_CHUNKS}: "
            "select in parts"
        )
    return n


def _complete(
    indices: Int64, at: Int64, count: Int64, length: int, chunk: Spacing, distinct: bool
) -> npt.NDArray[np.bool_]:
    size = clipped(at, length, chunk)
    complete: npt.NDArray[np.bool_] = count >= size
    if not distinct and complete.any():
        # The distinct indices of each chunk: the same chunks, in the same ascending order.
        _, unique = np.unique(find(np.unique(indices), chunk), return_counts=True)
        complete = unique >= size
    return complete


_TRUE, _FALSE = np.ones(1, np.bool_), np.zeros(1, np.bool_)
_NONE = np.empty(0, np.int64)
freeze(_TRUE, _FALSE, _NONE)
_EMPTY = Axis(_NONE, _NONE, _NONE, _NONE, 1, 0, _TRUE[:0])
