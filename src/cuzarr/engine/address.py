"""Where chunks are stored: coordinates to requests.

1. :class:`PlainAddress`: one key per chunk.
2. :class:`ShardAddress`: the key of the shard and a byte range from its index, which is read
   first; rows of a wave are put in the order of their bytes. Another process may replace a shard
   between the two: an address that is ``watching`` can tell, where the store can.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from copy import copy
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.sharding import ShardIndex
from cuzarr.engine.batch import Wave
from cuzarr.errors import ShardIndexError, StoreError
from cuzarr.meta.edges import Spacing, length_of, on_axes
from cuzarr.meta.spec import ChunkKeyEncoding
from cuzarr.plan.chunk_plan import Int64, PlanRows
from cuzarr.plan.shards import (
    ShardGroups,
    group_by_shard,
    inner_chunks_in_array,
)
from cuzarr.storage.base import RequestBatch, Status, Store, is_versioned

Entries = npt.NDArray[np.uint64]
_INDEX_BYTES = 64 * 2**20  #: of the shard indexes that are read at a time, and that are kept
_MISSING: Entries = np.empty((0, 2), np.uint64)


class Address(Protocol):
    """Turns planned rows into a wave of requests."""

    def wave(self, index: int, rows: PlanRows) -> Wave:
        """Return the wave; its rows may be in another order."""
        ...


class PlainAddress:
    """Every chunk is an object.

    Parameters
    ----------
    prefix : str
        Path of the array with a trailing slash, or "".
    encoding : ChunkKeyEncoding
    """

    def __init__(self, prefix: str, encoding: ChunkKeyEncoding) -> None:
        self.prefix, self.encoding = prefix, encoding

    def keys(self, coords: Int64) -> RequestBatch:
        """Return requests for whole objects at grid coordinates, (n, d) int64."""
        blob, offsets = native.format_keys(
            self.prefix, coords, self.encoding.name, self.encoding.separator
        )
        n = len(coords)
        return RequestBatch(blob, offsets, np.zeros(n, np.int64), np.full(n, -1, np.int64))

    def wave(self, index: int, rows: PlanRows) -> Wave:
        """Return a wave with one request per chunk."""
        return Wave(index, rows, self.keys(rows.coords), np.ones(len(rows), np.bool_))


class ShardAddress:
    """Chunks are byte ranges of shards.

    Parameters
    ----------
    plain : PlainAddress
        Of the shards.
    store : Store
    index : ShardIndex
        Of the largest shard.
    shape, chunk_shape : tuple of int
        Of the array and of its inner chunks.
    chunks_per_shard : tuple of (int or Edges)
    cache : bool
        Keep parsed indexes: right only while nobody writes.
    index_of : callable, optional
        Gives the index of a shard of so many chunks, where shards have several shapes.
    """

    def __init__(
        self,
        plain: PlainAddress,
        store: Store,
        index: ShardIndex,
        shape: tuple[int, ...],
        chunk_shape: tuple[int, ...],
        chunks_per_shard: tuple[Spacing, ...],
        *,
        cache: bool,
        index_of: Callable[[tuple[int, ...]], ShardIndex] | None = None,
    ) -> None:
        self.plain, self.store, self.index = plain, store, index
        self.shape, self.chunk_shape = shape, chunk_shape
        self.chunks_per_shard = chunks_per_shard
        self._index_of = index_of
        self._cache: dict[bytes, tuple[Entries, Hashable]] | None = {} if cache else None
        self._seen: dict[str, Hashable] | None = None

    def watching(self) -> ShardAddress:
        """Return the same address, which remembers what it reads for :meth:`changed`."""
        if not is_versioned(self.store):
            return self
        watcher = copy(self)
        watcher._seen = {}
        return watcher

    def changed(self) -> bool:
        """Whether a shard was replaced since its index was read: then its bytes are others."""
        if not self._seen or not is_versioned(self.store):
            return False
        if self.store.versions(list(self._seen)) == list(self._seen.values()):
            return False
        if self._cache is not None:
            self._cache.clear()
        return True

    def group(self, coords: Int64) -> ShardGroups:
        """Group inner chunks, (n, d) int64, by shard."""
        return group_by_shard(coords, self.chunks_per_shard)

    def index_at(self, shard: Int64) -> ShardIndex:
        """Return the index of the shard at some grid coordinates, (d,) int64."""
        if self._index_of is None:
            return self.index
        counts = on_axes(length_of, shard[None], self.chunks_per_shard)
        return self._index_of(tuple(counts[0].tolist()))

    def chunks_in_array(self, shard_coords: Int64) -> Int64:
        """Count the inner chunks of each shard, (m, d) int64, that hold elements of the array."""
        return inner_chunks_in_array(
            shard_coords, self.shape, self.chunk_shape, self.chunks_per_shard
        )

    def wave(self, index: int, rows: PlanRows) -> Wave:
        """Read the indexes of the shards that ``rows`` touch and return byte ranges."""
        order, shards, ranges = self._find(rows.coords)
        keys = self.plain.keys(shards)
        present = ranges[:, 0] >= 0
        starts, sizes = np.maximum(ranges, 0).T
        requests = RequestBatch(keys.keys, keys.offsets, starts.copy(), sizes.copy())
        return Wave(index, rows.take(order), requests, present)

    def _find(self, coords: Int64) -> tuple[Int64, Int64, Int64]:
        """Find where inner chunks are stored.

        Returns
        -------
        order : (n,) int64
            By shard, then by offset.
        shards : (n, d) int64
            Coordinates of the shard of each, in that order.
        ranges : (n, 2) int64
            Offset and size of each, in that order; -1 where it is not stored.
        """
        groups = self.group(coords)
        n, m = len(coords), len(groups.shard_coords)
        # NumPy sorts 16-bit integers by radix, which is several times faster.
        order = np.argsort(
            groups.shard_of.astype(np.uint16 if m < 2**16 else np.int64), kind="stable"
        )
        shard_of, slot = groups.shard_of[order], groups.slot[order]
        bounds = np.searchsorted(shard_of, np.arange(m + 1)).tolist()
        ranges = np.full((n, 2), -1, np.int64)
        for i, entries in self._indexes(groups.shard_coords):
            if len(entries):
                part = slice(bounds[i], bounds[i + 1])
                ranges[part] = entries[slot[part]].view(np.int64)
        late = ranges[1:, 0] < ranges[:-1, 0]
        if (late & (shard_of[1:] == shard_of[:-1])).any():
            again = np.lexsort((ranges[:, 0], shard_of))
            order, shard_of, ranges = order[again], shard_of[again], ranges[again]
        return order, groups.shard_coords[shard_of], ranges

    def _indexes(self, shard_coords: Int64) -> Iterator[tuple[int, Entries]]:
        """Yield row and index of each shard; of one that is not stored an empty array."""
        names = [c.tobytes() for c in shard_coords] if self._cache is not None else []
        wanted, hits = [], []
        for i in range(len(shard_coords)):
            hit = None if self._cache is None else self._cache.get(names[i])
            if hit is None:
                wanted.append(i)
            else:
                hits.append((i, hit))
        if hits and self._seen is not None:
            keys = self.plain.keys(shard_coords[[i for i, _ in hits]]).key_list()
            for key, (_, (_, version)) in zip(keys, hits, strict=True):
                self._seen.setdefault(key, version)
        for i, (entries, _) in hits:
            yield i, entries
        at_once = max(1, _INDEX_BYTES // self.index.nbytes)
        for first in range(0, len(wanted), at_once):
            some = wanted[first : first + at_once]
            batch = self._index_requests(shard_coords[some])
            versions = self._versions(batch)
            answer = self.store.get_many(batch)
            for j, i in enumerate(some):
                data, status = answer.values[j], int(answer.statuses[j])
                if data is None and status != Status.MISSING:
                    raise _index_error(batch.key(j), status)
                entries = _MISSING
                if data is not None:
                    entries = self.index_at(shard_coords[i]).parse(batch.key(j), data)
                if self._cache is not None:
                    if len(self._cache) >= at_once:
                        self._cache.clear()
                    self._cache[names[i]] = entries, versions[j]
                yield i, entries

    def _versions(self, batch: RequestBatch) -> list[Hashable]:
        """Return what the shards are before their indexes are read, where somebody watches."""
        if self._seen is None or not is_versioned(self.store):
            return [None] * len(batch)
        keys = batch.key_list()
        versions = self.store.versions(keys)
        for key, version in zip(keys, versions, strict=True):
            self._seen.setdefault(key, version)  # a later wave may meet another one
        return versions

    def _index_requests(self, shard_coords: Int64) -> RequestBatch:
        whole = self.plain.keys(shard_coords)
        size = np.full(len(whole), self.index.nbytes)
        if self._index_of is not None:
            size[:] = [self.index_at(shard).nbytes for shard in shard_coords]
        if self.index.at_end:
            return RequestBatch(whole.keys, whole.offsets, -size, whole.lengths)
        return RequestBatch(whole.keys, whole.offsets, whole.starts, size)


def watching(address: Address) -> Address:
    """Return an address that remembers what it reads, if it is one of shards."""
    found: Address = address.watching() if hasattr(address, "watching") else address
    return found


def changed(address: Address) -> bool:
    """Whether something that an address is ``watching`` was replaced."""
    return bool(address.changed()) if hasattr(address, "changed") else False


def _index_error(key: str, status: int) -> Exception:
    if status == Status.SHORT:
        return ShardIndexError(key, "sharding_indexed", "truncated: shorter than its index")
    return StoreError(f"cannot read {key!r}: {describe_status(status)}")


def describe_status(status: int) -> str:
    """Say what a request status means."""
    if status >= Status.ERRNO:
        return os.strerror(status - Status.ERRNO)
    return {
        Status.MISSING: "no such key",
        Status.SHORT: "the object ends before the requested range",
        Status.NO_SPACE: "larger than the memory given",
    }.get(Status(status), "unknown status")
