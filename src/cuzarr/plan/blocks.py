"""Block selections: whole chunks by their grid coordinates.

1. Integers and slices count blocks; an integer keeps its dimension.
2. They become slices of elements, planned as a basic selection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.meta.edges import Spacing, begin
from cuzarr.plan.chunk_plan import ChunkPlan
from cuzarr.plan.grid import grid_shape
from cuzarr.plan.selection import normalise_key, slice_bounds
from cuzarr.plan.separable import plan_items


def plan_block(
    key: Any,
    shape: Sequence[int],
    chunk_shape: Sequence[Spacing],
    block_shape: Sequence[Spacing] | None = None,
) -> ChunkPlan:
    """Plan a selection of blocks: ``z.blocks[0, 1:3]``.

    Parameters
    ----------
    key : int, slice of step 1, Ellipsis, or a tuple of them
    shape : sequence of int
    chunk_shape : sequence of (int or Edges)
    block_shape : sequence of (int or Edges), optional
        What is counted, if not ``chunk_shape``: the shards of an array whose chunks are inner
        chunks.

    Raises
    ------
    SelectionError
        A slice with another step, or an array.
    BoundsCheckError
        An integer outside the grid.
    """
    blocks = tuple(chunk_shape if block_shape is None else block_shape)
    grid = grid_shape(shape, blocks)
    items: list[slice] = []
    for axis, item in enumerate(normalise_key(key, len(shape))):
        n, block = grid[axis], blocks[axis]
        if isinstance(item, np.ndarray):
            raise SelectionError(
                f"axis {axis}: a block selection takes integers and slices, not an array"
            )
        if isinstance(item, slice):
            first, count, step = slice_bounds(item, n, axis)
            if step != 1:
                raise SelectionError(
                    f"axis {axis}: a block selection takes slices of step 1, not {step}"
                )
        else:
            first, count = item + n if item < 0 else item, 1
            if not 0 <= first < n:
                raise BoundsCheckError(
                    f"block {item} is out of bounds for axis {axis} with {n} block(s)"
                )
        items.append(slice(int(begin(first, block)), int(begin(first + count, block))))
    return plan_items(items, shape, chunk_shape)
