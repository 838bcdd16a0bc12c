"""Arrays whose encoded chunks a store keeps on a device.

1. Such a store knows where every chunk is: it has a :class:`ChunkTable` per array, made when it was
   filled (optional capability :class:`Resident`).
2. :class:`ResidentAddress` turns coordinates into the numbers of that table. The requests that
   come with them hold for anyone who reads the store's bytes: another device, the host, an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol, runtime_checkable

import numpy as np

from cuzarr.engine.address import PlainAddress
from cuzarr.engine.batch import Wave
from cuzarr.meta.edges import Spacing, find, on_axes
from cuzarr.plan.chunk_plan import Int64, PlanRows
from cuzarr.plan.grid import grid_shape
from cuzarr.storage.base import RequestBatch, Store


@dataclass(frozen=True, slots=True)
class ChunkTable:
    """The stored chunks of an array (inner chunks, where it is sharded) in C order of its grid.

    Attributes
    ----------
    grid : tuple of int
    linear : (m,) int64
        C order position in the grid, ascending.
    numbers : (m,) int64
        Number in the store.
    starts, sizes : (m,) int64
        Bytes in the stored object.
    """

    grid: tuple[int, ...]
    linear: Int64
    numbers: Int64
    starts: Int64
    sizes: Int64

    def find(self, coords: Int64) -> Int64:
        """Return the rows of chunks at grid coordinates, (n, d) int64; -1 where not stored."""
        linear = linear_positions(coords, self.grid)
        if len(self.linear) == prod(self.grid):
            return linear
        if len(self.linear) == 0:
            return np.full(len(coords), -1, np.int64)
        rows = np.minimum(np.searchsorted(self.linear, linear), len(self.linear) - 1)
        return np.where(self.linear[rows] == linear, rows, -1)


@runtime_checkable
class Resident(Protocol):
    """Optional capability of a store: it keeps chunks on a device."""

    def chunk_table(self, path: str) -> ChunkTable | None:
        """Return the table of the array at ``path``, or None where its chunks are not kept so."""
        ...


class ResidentAddress(PlainAddress):
    """Chunks that are on a device.

    Parameters
    ----------
    plain : PlainAddress
        Of the stored objects.
    table : ChunkTable
    chunks_per_shard : tuple of (int or Edges), or None
    """

    def __init__(
        self, plain: PlainAddress, table: ChunkTable, chunks_per_shard: tuple[Spacing, ...] | None
    ) -> None:
        super().__init__(plain.prefix, plain.encoding)
        self._table = table
        self._per = chunks_per_shard

    def wave(self, index: int, rows: PlanRows) -> Wave:
        """Return a wave with the numbers of its chunks."""
        table = self._table
        found = table.find(rows.coords)
        present = found >= 0
        numbers = np.full(len(found), -1, np.int64)
        numbers[present] = table.numbers[found[present]]
        if self._per is None:
            return Wave(index, rows, self.keys(rows.coords), present, numbers)
        keys = self.keys(on_axes(find, rows.coords, self._per))
        starts, sizes = np.zeros_like(found), np.zeros_like(found)
        starts[present], sizes[present] = table.starts[found[present]], table.sizes[found[present]]
        requests = RequestBatch(keys.keys, keys.offsets, starts, sizes)
        return Wave(index, rows, requests, present, numbers)


def resident_address(
    store: Store,
    path: str,
    plain: PlainAddress,
    shape: Sequence[int],
    chunk_shape: Sequence[Spacing],
    chunks_per_shard: tuple[Spacing, ...] | None = None,
) -> ResidentAddress | None:
    """Return the address of an array whose chunks its store keeps on a device, else None."""
    table = store.chunk_table(path) if isinstance(store, Resident) else None
    if table is None or table.grid != grid_shape(shape, chunk_shape):
        return None
    return ResidentAddress(plain, table, chunks_per_shard)


def linear_positions(coords: Int64, grid: Sequence[int]) -> Int64:
    """Return the C order positions of grid coordinates, (n, d) int64."""
    linear = np.zeros(len(coords), np.int64)
    for a, length in enumerate(grid):
        linear = linear * length + coords[:, a]
    return linear
