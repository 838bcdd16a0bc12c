"""Addresses of inner chunks: which shard, and where in its index.

1. A plan of a sharded array is made over the grid of inner chunks; a shard holds
   ``chunks_per_shard`` of them along each dimension. Where shards have several lengths these are
   edges, whose unit is an inner chunk; the inner chunks all have one shape.
2. :func:`shard_address` splits grid coordinates into shard and slot, the C order position in the
   shard's index (Zarr v3 ``sharding_indexed``, "index format").
3. :func:`group_by_shard` names each shard once, so that its index is read once.
4. :func:`whole_shards` cuts a separable selection into groups of whole shards, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from cuzarr.meta.edges import Edges, Spacing, begin, find, length_of, on_axes
from cuzarr.plan.chunk_plan import Axis, Int64
from cuzarr.plan.grid import clipped, grid_shape
from cuzarr.plan.grouping import freeze, group_rows, linear_ids, weighted_sum


@dataclass(frozen=True, slots=True)
class ShardGroups:
    """The shards of some inner chunks.

    Attributes
    ----------
    shard_coords : (m, d) int64
        Distinct grid coordinates of shards, in C order.
    shard_of : (n,) int64
        Row of ``shard_coords`` of each inner chunk.
    slot : (n,) int64
        C order position of each inner chunk in its shard.
    """

    shard_coords: Int64
    shard_of: Int64
    slot: Int64


def shard_address(coords: Int64, chunks_per_shard: Sequence[Spacing]) -> tuple[Int64, Int64]:
    """Split grid coordinates of inner chunks into shard and slot.

    Parameters
    ----------
    coords : (n, d) int64
        Grid coordinates of inner chunks.
    chunks_per_shard : d times int or Edges

    Returns
    -------
    shard_coords : (n, d) int64
    slot : (n,) int64
    """
    shard = on_axes(find, coords, chunks_per_shard)
    within = coords - on_axes(begin, shard, chunks_per_shard)
    regular = [per for per in chunks_per_shard if not isinstance(per, Edges)]
    if len(regular) == len(chunks_per_shard):
        slot = weighted_sum(list(within.T), (0,) * len(regular), regular, (len(coords),))
    else:
        slot = np.zeros(len(coords), np.int64)
        for a, per in enumerate(chunks_per_shard):
            slot *= length_of(shard[:, a], per)
            slot += within[:, a]
    freeze(shard, slot)
    return shard, slot


def group_by_shard(coords: Int64, chunks_per_shard: Sequence[Spacing]) -> ShardGroups:
    """Find the distinct shards of inner chunks, and the address of every inner chunk in them."""
    shard, slot = shard_address(coords, chunks_per_shard)
    n = len(shard)
    if n == 0:
        empty = np.empty(0, np.int64)
        freeze(empty)
        return ShardGroups(shard, empty, slot)
    columns = list(shard.T)
    linear = linear_ids(columns, (n,))
    if linear is not None and (size := prod(linear.extent)) <= 4 * n + 1024:
        # Few shards in the bounding box: a table beats a sort.
        touched = np.zeros(size, np.bool_)
        touched[linear.ids] = True
        shard_of = (np.cumsum(touched) - 1)[linear.ids]
        shard_coords = linear.coords(np.flatnonzero(touched))
    else:
        groups = group_rows(columns, (n,))
        shard_coords = groups.coords
        ordinal = np.repeat(np.arange(len(groups.first)), np.diff(groups.first, append=n))
        shard_of = ordinal
        if groups.order is not None:
            shard_of = np.empty(n, np.int64)
            shard_of[groups.order] = ordinal
    freeze(shard_coords, shard_of)
    return ShardGroups(shard_coords, shard_of, slot)


def whole_shards(
    axes: Sequence[Axis],
    grid: Sequence[int],
    chunks_per_shard: Sequence[Spacing],
    most: Callable[[], int],
) -> Iterator[Int64]:
    """Yield the inner chunks of a separable selection, in groups of whole shards.

    Parameters
    ----------
    axes : sequence of Axis
        Over the inner chunks; of each shard they are neighbours.
    grid : sequence of int
        Inner chunks of the array along each dimension.
    chunks_per_shard : d times int or Edges
    most : callable
        Returns the chunks that the shards of a group may have, those that are not selected too: to
        change a part of a shard takes as much memory. A single shard may have more.

    Yields
    ------
    (n,) int64
        C order positions in the selection's grid; nothing is held but one group.
    """
    runs = []
    for axis, n, per in zip(axes, grid, chunks_per_shard, strict=True):
        shard = find(axis.chunk, per)
        first = np.flatnonzero(np.concatenate(([True], shard[1:] != shard[:-1])))
        last = [*first[1:].tolist(), len(shard)]
        counts = clipped(shard[first], n, per).tolist()
        runs.append([*zip(first.tolist(), last, counts, strict=True)])
    group: list[Int64] = []
    size = 0
    for ranges in product(*runs):
        chunks = np.zeros(1, np.int64)
        held = 1
        for axis, (low, high, count) in zip(axes, ranges, strict=True):
            chunks = (chunks[:, None] * len(axis.chunk) + np.arange(low, high)).ravel()
            held *= count
        if group and size + held > most():
            yield np.concatenate(group)
            group, size = [], 0
        group.append(chunks)
        size += held
    if group:
        yield np.concatenate(group)


def inner_chunks_in_array(
    shard_coords: Int64,
    shape: Sequence[int],
    chunk_shape: Sequence[int],
    chunks_per_shard: Sequence[Spacing],
) -> Int64:
    """Count the inner chunks of each shard that hold elements of the array.

    Parameters
    ----------
    shard_coords : (m, d) int64
    shape, chunk_shape : sequence of int
        Of the array and of its inner chunks.
    chunks_per_shard : d times int or Edges

    Returns
    -------
    (m,) int64
    """
    counts = np.ones(len(shard_coords), np.int64)
    grid = grid_shape(shape, chunk_shape)
    for a, (n, per) in enumerate(zip(grid, chunks_per_shard, strict=True)):
        counts *= clipped(shard_coords[:, a], n, per)
    freeze(counts)
    return counts
