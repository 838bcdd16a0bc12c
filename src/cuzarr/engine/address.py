"""Where chunks are stored: coordinates to requests.

1. :class:`PlainAddress`: one key per chunk.
2. :class:`ShardAddress`: the key of the shard and a byte range from its index, which is read
   first; rows of a wave are put in the order of their bytes.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.sharding import ABSENT, ShardIndex
from cuzarr.engine.batch import Wave
from cuzarr.errors import ShardIndexError, StoreError
from cuzarr.meta.spec import ChunkKeyEncoding
from cuzarr.plan.chunk_plan import Int64, PlanRows
from cuzarr.plan.shards import ShardGroups, group_by_shard, inner_chunks_in_array
from cuzarr.storage.base import RequestBatch, Status, Store

_CACHED_SHARDS = 4096


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
    shape, chunk_shape : tuple of int
        Of the array and of its inner chunks.
    chunks_per_shard : tuple of int
    cache : bool
        Keep parsed indexes: right only while nobody writes.
    """

    def __init__(
        self,
        plain: PlainAddress,
        store: Store,
        index: ShardIndex,
        shape: tuple[int, ...],
        chunk_shape: tuple[int, ...],
        chunks_per_shard: tuple[int, ...],
        *,
        cache: bool,
    ) -> None:
        self.plain, self.store, self.index = plain, store, index
        self.shape, self.chunk_shape = shape, chunk_shape
        self.chunks_per_shard = chunks_per_shard
        self._cache: dict[bytes, npt.NDArray[np.uint64]] | None = {} if cache else None

    def group(self, coords: Int64) -> ShardGroups:
        """Group inner chunks, (n, d) int64, by shard."""
        return group_by_shard(coords, self.chunks_per_shard)

    def chunks_in_array(self, shard_coords: Int64) -> Int64:
        """Count the inner chunks of each shard, (m, d) int64, that hold elements of the array."""
        return inner_chunks_in_array(
            shard_coords, self.shape, self.chunk_shape, self.chunks_per_shard
        )

    def wave(self, index: int, rows: PlanRows) -> Wave:
        """Read the indexes of the shards that ``rows`` touch and return byte ranges."""
        groups = self.group(rows.coords)
        entries = self.entries(groups.shard_coords)
        ranges = entries[groups.shard_of, groups.slot]
        order = np.lexsort((ranges[:, 0], groups.shard_of))
        ranges = ranges[order]
        present = ~(ranges == ABSENT).all(axis=1)
        ranges = np.where(present[:, None], ranges, np.uint64(0)).astype(np.int64)
        keys = self.plain.keys(groups.shard_coords[groups.shard_of[order]])
        requests = RequestBatch(
            keys.keys,
            keys.offsets,
            np.ascontiguousarray(ranges[:, 0]),
            np.ascontiguousarray(ranges[:, 1]),
        )
        return Wave(index, rows.take(order), requests, present)

    def entries(self, shard_coords: Int64) -> npt.NDArray[np.uint64]:
        """Return the index entries of shards, (m, slots, 2) uint64; ABSENT for a missing shard."""
        found = np.full((len(shard_coords), self.index.slots, 2), ABSENT, np.uint64)
        cached = [] if self._cache is None else [c.tobytes() for c in shard_coords]
        wanted = np.arange(len(shard_coords))
        if self._cache is not None:
            hits = [self._cache.get(name) for name in cached]
            for i, hit in enumerate(hits):
                if hit is not None:
                    found[i] = hit
            wanted = np.array([i for i, hit in enumerate(hits) if hit is None], np.int64)
        if not len(wanted):
            return found
        batch = self._index_requests(shard_coords[wanted])
        answer = self.store.get_many(batch)
        for j, i in enumerate(wanted.tolist()):
            data, status = answer.values[j], int(answer.statuses[j])
            if data is not None:
                found[i] = self.index.parse(batch.key(j), data)
            elif status != Status.MISSING:
                raise _index_error(batch.key(j), status)
            if self._cache is not None:
                if len(self._cache) >= _CACHED_SHARDS:
                    self._cache.clear()
                self._cache[cached[i]] = found[i].copy()
        return found

    def _index_requests(self, shard_coords: Int64) -> RequestBatch:
        whole = self.plain.keys(shard_coords)
        n, size = len(whole), self.index.nbytes
        if self.index.at_end:
            return RequestBatch(whole.keys, whole.offsets, np.full(n, -size), whole.lengths)
        return RequestBatch(whole.keys, whole.offsets, whole.starts, np.full(n, size))


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
