"""Point selections: coordinates and masks.

1. Indices are wrapped and checked per dimension, and split into chunk and offset before they are
   broadcast against each other.
2. The points are grouped by chunk; within a chunk they keep the caller's order, so that of several
   writes to one element the last one wins, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.errors import SelectionError
from cuzarr.meta.edges import Edges, Spacing, begin, find, largest, length_of
from cuzarr.plan.chunk_plan import ChunkPlan, Int64, Points
from cuzarr.plan.grid import clipped_sizes
from cuzarr.plan.grouping import freeze, group_rows, weighted_sum
from cuzarr.plan.selection import Item, normalise_item, wrap_indices


def plan_coordinate(key: Any, shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> ChunkPlan:
    """Plan a selection of single elements: ``z.vindex[rows, columns]``.

    Parameters
    ----------
    key : tuple of integers and integer arrays, one per dimension, broadcast against each other
        Or a single boolean array of the array's shape, see :func:`plan_mask`. Negative indices
        count from the end.
    shape : sequence of int
    chunk_shape : sequence of (int or Edges)

    Raises
    ------
    SelectionError
        Something else than integers, not one entry per dimension, or shapes that do not broadcast.
    BoundsCheckError
        An index outside the array.
    """
    entries = key if isinstance(key, tuple) else (key,)
    items = [normalise_item(entry, f"axis {axis}") for axis, entry in enumerate(entries)]
    if len(items) == 1 and _is_boolean(items[0]):
        return plan_mask(items[0], shape, chunk_shape)
    return plan_coordinate_items(items, shape, chunk_shape)


def plan_mask(mask: Any, shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> ChunkPlan:
    """Plan the selection of the true elements of a boolean array, in C order.

    Raises
    ------
    SelectionError
        The mask is not boolean, or not of the array's shape.
    """
    entry = mask[0] if isinstance(mask, tuple) and len(mask) == 1 else mask
    array = np.asarray(entry)
    if array.dtype.kind != "b":
        raise SelectionError(f"a mask is a boolean array, not one of type {array.dtype}")
    if array.shape != tuple(shape):
        raise SelectionError(f"mask of shape {array.shape} for an array of shape {tuple(shape)}")
    # A true 0-d mask selects the one element there is: no coordinates, one point.
    indices = list(np.nonzero(array)) if array.ndim else []
    return _plan(indices, (int(np.count_nonzero(array)),), shape, chunk_shape, distinct=True)


def plan_coordinate_items(
    items: Sequence[Item], shape: Sequence[int], chunk_shape: Sequence[Spacing]
) -> ChunkPlan:
    """Plan a coordinate selection whose entries are normalised."""
    if len(items) != len(shape):
        raise SelectionError(
            "a coordinate selection needs one integer or integer array per dimension: "
            f"{len(shape)}, not {len(items)}"
        )
    indices = []
    for axis, (item, length) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, slice) or _is_boolean(item):
            raise SelectionError(
                f"axis {axis}: a coordinate selection takes integers and integer arrays, "
                f"not {'a slice' if isinstance(item, slice) else 'a boolean array'}"
            )
        indices.append(wrap_indices(np.asarray(item), length, axis))
    try:
        points = np.broadcast_shapes(*(index.shape for index in indices))
    except ValueError:
        shapes = ", ".join(str(index.shape) for index in indices)
        raise SelectionError(f"coordinate arrays of shapes {shapes} do not broadcast") from None
    return _plan(indices, points, shape, chunk_shape)


def _plan(
    indices: Sequence[Int64],
    out_shape: tuple[int, ...],
    shape: Sequence[int],
    chunk_shape: Sequence[Spacing],
    *,
    distinct: bool = False,
) -> ChunkPlan:
    if prod(map(largest, chunk_shape)) > 2**63 - 1:
        raise SelectionError(f"chunks of shape {tuple(chunk_shape)} are too large to address")
    n = prod(out_shape)
    if n == 0:
        none = np.empty(0, np.int64)
        points = Points(
            np.empty((0, len(shape)), np.int64), np.zeros(1, np.int64), none, none.copy(),
            np.empty(0, np.bool_),
        )  # fmt: skip
    else:
        points = _points(indices, out_shape, shape, chunk_shape, distinct)
    freeze(points.coords, points.ptr, points.index, points.out_index, points.complete)
    return ChunkPlan((n,), out_shape, len(points.coords), points=points)


def _points(
    indices: Sequence[Int64],
    out_shape: tuple[int, ...],
    shape: Sequence[int],
    chunk_shape: Sequence[Spacing],
    distinct: bool,
) -> Points:
    columns = [find(index, chunk) for index, chunk in zip(indices, chunk_shape, strict=True)]
    inside = [
        index - begin(column, chunk)
        for index, column, chunk in zip(indices, columns, chunk_shape, strict=True)
    ]
    index = _offsets(inside, columns, chunk_shape, out_shape).ravel()
    groups = group_rows(columns, out_shape)
    if groups.order is None:
        out_index = np.arange(len(index))
    else:
        out_index = groups.order
        index = index[out_index]
    ptr = np.append(groups.first, len(index))
    size = clipped_sizes(groups.coords, shape, chunk_shape)
    complete = np.diff(ptr) >= size
    if not distinct and complete.any():
        complete &= _distinct(index, ptr, complete) >= size
    return Points(groups.coords, ptr, index, out_index, complete)


def _offsets(
    inside: Sequence[Int64],
    columns: Sequence[Int64],
    chunk_shape: Sequence[Spacing],
    out_shape: tuple[int, ...],
) -> Int64:
    """Return the offset of each point in its flattened chunk, in the shape of the output."""
    regular = [chunk for chunk in chunk_shape if not isinstance(chunk, Edges)]
    if len(regular) == len(chunk_shape):
        return weighted_sum(inside, (0,) * len(inside), regular, out_shape)
    total: Int64 = np.zeros(out_shape, np.int64)
    for offset, column, chunk in zip(inside, columns, chunk_shape, strict=True):
        total *= length_of(column, chunk)
        total += offset
    return total


def _distinct(index: Int64, ptr: Int64, wanted: npt.NDArray[np.bool_]) -> Int64:
    """Count the distinct offsets of the wanted chunks; 0 for the others."""
    count = np.diff(ptr)
    chunk = np.repeat(np.arange(len(count)), count)
    keep = wanted[chunk]
    chunk, index = chunk[keep], index[keep]
    order = np.lexsort((index, chunk))
    chunk, index = chunk[order], index[order]
    new = np.ones(len(index), np.bool_)
    new[1:] = (index[1:] != index[:-1]) | (chunk[1:] != chunk[:-1])
    return np.bincount(chunk[new], minlength=len(count))


def _is_boolean(item: Item) -> bool:
    return isinstance(item, np.ndarray) and item.dtype.kind == "b"
