"""What a backend is given: jobs (one call of the user) and waves (bounded pieces of a job)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.sharding import ShardIndex
from cuzarr.engine.report import PlacementRecord
from cuzarr.plan.chunk_plan import ChunkPlan, PlanRows
from cuzarr.storage.base import RequestBatch, Store


def _nothing() -> None:
    """Return."""


@dataclass(frozen=True, slots=True)
class Job:
    """One read or write call: what is constant over its waves.

    Attributes
    ----------
    store : Store
    chain : CodecChain
        Codecs of the decoded unit (of the inner chunk, where the array is sharded).
    plan : ChunkPlan
    dtype : numpy.dtype
        What the caller gets or gives; its byte order is honoured on the host, native on a device.
    fill_value : numpy scalar
        Of the chain's chunks; what missing chunks read as.
    fields : str, list of str or None
        Of a write: the fields that the value holds, of structured chunks that keep the others.
    report : list of PlacementRecord
        Backends append where the steps ran.
    resident : bool
        The store keeps the chunks on a device, and the waves say under which numbers.
    refuse_missing : bool
        Of a read: objects that are not stored are an error.
    """

    store: Store
    chain: CodecChain
    plan: ChunkPlan
    dtype: np.dtype[Any]
    fill_value: np.generic
    fields: str | list[str] | None = None
    report: list[PlacementRecord] = field(default_factory=list)
    resident: bool = False
    refuse_missing: bool = False


@dataclass(frozen=True, slots=True)
class InnerChunks:
    """Where the chunks of a wave go that is written to shards.

    Attributes
    ----------
    shard_of, slot : (n,) int64
        Shard of each chunk, and its place in that.
    index : ShardIndex
        Of a shard of the usual number of chunks.
    names : RequestBatch
        Keys of the shards.
    whole : (m,) bool
        Which shards have that index, and keep nothing of what is stored of them.
    """

    shard_of: npt.NDArray[np.int64]
    slot: npt.NDArray[np.int64]
    index: ShardIndex
    names: RequestBatch
    whole: npt.NDArray[np.bool_]

    def take(self, which: slice | npt.NDArray[np.int64]) -> InnerChunks:
        """Return those of some chunks; the shards stay the same."""
        return replace(self, shard_of=self.shard_of[which], slot=self.slot[which])


@dataclass(frozen=True, slots=True)
class Wave:
    """Some chunks of a job: chunk ``i`` of ``rows`` is read by request ``i`` of ``requests``.

    ``present`` is False where a shard index says that the chunk is not stored; such a request is
    never sent. A plain chunk may still turn out to be missing when it is fetched. ``numbers`` are
    those of the chunks in a store that keeps them on a device, -1 where it has none. ``inner`` says
    which shards a write puts the chunks in.
    """

    index: int
    rows: PlanRows
    requests: RequestBatch
    present: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.int64] | None = None
    inner: InnerChunks | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: slice | npt.NDArray[np.int64]) -> Wave:
        """Return some chunks of the wave as a wave of their own."""
        return Wave(
            self.index, self.rows.take(which), self.requests.take(which), self.present[which],
            None if self.numbers is None else self.numbers[which],
            None if self.inner is None else self.inner.take(which),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EncodedWave:
    """What ``encode`` returns: host bytes per row; None where the chunk is all fill value.

    Rows that the backend has stored itself are left out.

    Attributes
    ----------
    wave : Wave
    values : sequence of bytes-like or None
    shards : mapping of int to writable memoryview
        Whole shards, by number: the values of all chunks of the shard in this wave, behind one
        another in the order of their slots, and room for the index, not written yet.
    stored : set of int
        Shards, by number, that the backend has stored itself.
    release : callable
        To be called when the values were stored: their memory is used again.
    """

    wave: Wave
    values: Sequence[Bytes | None]
    shards: Mapping[int, memoryview] = field(default_factory=dict)
    stored: frozenset[int] = frozenset()
    release: Callable[[], None] = _nothing
