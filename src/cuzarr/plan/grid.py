"""The chunk grid: along each axis chunks of one length, or of several (:class:`Edges`).

1. Shapes are tuples of Python integers, so nothing overflows however large the array is.
2. The chunks at the upper border reach past the array; their clipped size counts only the elements
   inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cuzarr.meta.edges import Edges, Spacing, begin, length_of
from cuzarr.plan.chunk_plan import Int64


def grid_shape(shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> tuple[int, ...]:
    """Return the number of chunks along each dimension; 0 where the array has no elements.

    Chunk lengths are positive, but along a dimension of length 0 any length is accepted.
    """
    return tuple(
        [
            chunk.covering(length)
            if isinstance(chunk, Edges)
            else -(-length // chunk)
            if length
            else 0
            for length, chunk in zip(shape, chunk_shape, strict=True)
        ]
    )


def chunk_counts(shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> int:
    """Return the number of chunks of the whole grid."""
    return prod(grid_shape(shape, chunk_shape))


def clipped_sizes(coords: Int64, shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> Int64:
    """Count the elements of each chunk that lie inside the array.

    Parameters
    ----------
    coords : (n, d) int64
        Grid coordinates, each inside the grid.

    Returns
    -------
    (n,) int64
    """
    sizes = np.ones(len(coords), np.int64)
    for a, (length, chunk) in enumerate(zip(shape, chunk_shape, strict=True)):
        sizes *= clipped(coords[:, a], length, chunk)
    return sizes


def clipped(chunks: Int64, length: int, chunk: Spacing) -> Int64:
    """Return the elements of each chunk along one axis that lie inside the array."""
    inside: Int64 = np.minimum(length - begin(chunks, chunk), length_of(chunks, chunk))
    return inside
