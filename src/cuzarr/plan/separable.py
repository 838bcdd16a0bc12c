"""Separable selections, one :class:`~cuzarr.plan.chunk_plan.Axis` per dimension.

1. :func:`plan_basic`: integers, slices of any step, ``...``.
2. :func:`plan_orthogonal`: these, and one-dimensional integer or boolean arrays per dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from cuzarr.errors import SelectionError
from cuzarr.meta.edges import Spacing
from cuzarr.plan.axes import affine_axis, index_axis
from cuzarr.plan.chunk_plan import Axis, ChunkPlan
from cuzarr.plan.selection import (
    Item,
    mask_indices,
    normalise_key,
    slice_bounds,
    wrap_indices,
    wrap_integer,
)


def plan_basic(key: Any, shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> ChunkPlan:
    """Plan a selection of integers, slices and ``...``.

    Parameters
    ----------
    key : int, slice, Ellipsis, or a tuple of them
        Integers drop their dimension from the result; missing dimensions are taken in full.
    shape : sequence of int
    chunk_shape : sequence of (int or Edges)

    Raises
    ------
    SelectionError
        ``np.newaxis``, floats, strings, index arrays, or too many entries.
    BoundsCheckError
        An integer outside the array.
    """
    return plan_items(normalise_key(key, len(shape)), shape, chunk_shape, arrays=False)


def plan_orthogonal(key: Any, shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> ChunkPlan:
    """Plan a selection that is applied dimension by dimension: ``z.oindex[rows, columns]``.

    Parameters
    ----------
    key : int, slice, Ellipsis, 1-d array of integers or booleans, or a tuple of them
        Integer arrays may be unsorted, repeat themselves and count from the end; a boolean array
        has the length of its dimension.
    shape : sequence of int
    chunk_shape : sequence of (int or Edges)

    Raises
    ------
    SelectionError
        What :func:`plan_basic` refuses except arrays, or an array of the wrong shape.
    BoundsCheckError
        An index outside the array.
    """
    return plan_items(normalise_key(key, len(shape)), shape, chunk_shape)


def full_plan(shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> ChunkPlan:
    """Plan the selection of everything."""
    return plan_basic((), shape, chunk_shape)


def plan_items(
    items: Sequence[Item],
    shape: Sequence[int],
    chunk_shape: Sequence[Spacing],
    *,
    arrays: bool = True,
) -> ChunkPlan:
    """Plan a separable selection whose entries are normalised, one per dimension."""
    axes: list[Axis] = []
    kept: list[int] = []
    for a, item in enumerate(items):
        length, chunk = shape[a], chunk_shape[a]
        if isinstance(item, int):
            axes.append(affine_axis(wrap_integer(item, length, a), 1, 1, length, chunk))
            continue
        if isinstance(item, slice):
            start, count, step = slice_bounds(item, length, a)
            axis = affine_axis(start, count, step, length, chunk)
        elif not arrays:
            raise SelectionError(
                f"axis {a}: a basic selection takes integers and slices, not an array"
            )
        elif item.ndim != 1:
            raise SelectionError(
                f"axis {a}: an orthogonal selection takes 1-dimensional arrays, "
                f"not one of shape {item.shape}"
            )
        elif item.dtype.kind == "b":
            axis = index_axis(mask_indices(item, length, a), length, chunk, distinct=True)
        else:
            axis = index_axis(wrap_indices(item, length, a), length, chunk)
        axes.append(axis)
        kept.append(axis.length)
    return ChunkPlan(
        tuple([axis.length for axis in axes]),
        tuple(kept),
        prod([len(axis.chunk) for axis in axes]),
        tuple(axes),
    )
