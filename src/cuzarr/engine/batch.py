"""What a backend is given: jobs (one call of the user) and waves (bounded pieces of a job)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.codecs.chain import CodecChain
from cuzarr.engine.report import PlacementRecord
from cuzarr.plan.chunk_plan import ChunkPlan, PlanRows
from cuzarr.storage.base import RequestBatch, Store


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
    """

    store: Store
    chain: CodecChain
    plan: ChunkPlan
    dtype: np.dtype[Any]
    fill_value: np.generic
    fields: str | list[str] | None = None
    report: list[PlacementRecord] = field(default_factory=list)
    resident: bool = False


@dataclass(frozen=True, slots=True)
class Wave:
    """Some chunks of a job: chunk ``i`` of ``rows`` is read by request ``i`` of ``requests``.

    ``present`` is False where a shard index says that the chunk is not stored; such a request is
    never sent. A plain chunk may still turn out to be missing when it is fetched. ``numbers`` are
    those of the chunks in a store that keeps them on a device, -1 where it has none.
    """

    index: int
    rows: PlanRows
    requests: RequestBatch
    present: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: slice | npt.NDArray[np.int64]) -> Wave:
        """Return some chunks of the wave as a wave of their own."""
        return Wave(
            self.index, self.rows.take(which), self.requests.take(which), self.present[which],
            None if self.numbers is None else self.numbers[which],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EncodedWave:
    """What ``encode`` returns: host bytes per row; None where the chunk is all fill value."""

    wave: Wave
    values: Sequence[Bytes | None]
