"""Encoded chunks that stay in device memory, with all that reading their headers told.

1. ``cuda.filling`` makes :class:`ResidentChunks`: per chunk where it is and what decodes it, per
   format the streams of all chunks in one table, chunk after chunk. Positions are device addresses.
2. :meth:`ResidentChunks.take` gives the rows of a wave: slices where its chunks follow one another,
   else one gather per column. Nothing is fetched, uploaded or parsed.
3. Chunks that only the host can decode are asked of the store, as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.fetch import EncodedWave, check_statuses
from cuzarr.cuda.inspected import (
    DEVICE,
    HOST,
    MISSING,
    Blocks,
    Inspection,
    StreamCheck,
    Streams,
)
from cuzarr.cuda.runtime import DeviceBuffer, Runtime
from cuzarr.cuda.shared import Shared
from cuzarr.engine.batch import Job, Wave
from cuzarr.engine.report import PlacementRecord
from cuzarr.engine.resident import ChunkTable
from cuzarr.errors import StoreError

Int64 = npt.NDArray[np.int64]
Group = TypeVar("Group", Streams, Blocks)
_ON_DEVICE = "kept in device memory"
_ON_HOST = "kept for the host: no device step, or an unusual header"


@dataclass(frozen=True, slots=True)
class Grouped(Generic[Group]):
    """Rows of a table grouped by owner: those of chunk ``i`` are ``first[i]:first[i + 1]``."""

    rows: Group
    first: Int64

    @classmethod
    def of(cls, rows: Group, chunks: int) -> Grouped[Group]:
        """Sort the rows by their owner."""
        order = np.argsort(rows.owner, kind="stable")
        first = np.searchsorted(rows.owner[order], np.arange(chunks + 1))
        return cls(_each(rows, lambda column: column[order]), first)

    def take(self, numbers: Int64, owners: Int64) -> Group:
        """Return the rows of chunks ``numbers``; ``owners`` are their new owners."""
        begin, end = self.first[numbers], self.first[numbers + 1]
        counts = end - begin
        which: Any
        if len(numbers) and (begin[1:] == end[:-1]).all():
            which = slice(int(begin[0]), int(end[-1]))
        else:
            skipped = np.cumsum(counts) - counts
            which = np.arange(int(counts.sum())) + np.repeat(begin - skipped, counts)
        rows = _each(self.rows, lambda column: column[which])
        return replace(rows, owner=np.repeat(owners, counts))


class ResidentChunks:
    """The chunks of a store in the memory of one device.

    Parameters
    ----------
    runtime : Runtime
    memory : tuple of DeviceBuffer
    addresses, sizes : (n,) int64
        Of the encoded chunks; an address is 0 where only the host has the chunk.
    found : Inspection
        Of all chunks; positions are device addresses.
    steps : list of (int, str)
        First chunk of each array, and what decodes it, for ``array.device_plan``.
    """

    def __init__(
        self,
        runtime: Runtime,
        memory: tuple[DeviceBuffer, ...],
        addresses: Int64,
        sizes: Int64,
        found: Inspection,
        steps: list[tuple[int, str]],
    ) -> None:
        self.runtime, self.memory = runtime, memory
        self.closed = False
        self._addresses, self._sizes, self._found, self._steps = addresses, sizes, found, steps
        n = len(sizes)
        self._streams = {fmt: Grouped.of(rows, n) for fmt, rows in found.streams.items()}
        self._checks = [
            (check.kind, check.big_endian, Grouped.of(check.streams, n)) for check in found.checks
        ]
        self._shuffled = {kind: Grouped.of(rows, n) for kind, rows in found.shuffled.items()}

    def places(self, table: ChunkTable, chunks: int) -> npt.NDArray[np.bool_]:
        """Whether the device decodes each of the first ``chunks`` chunks of an array's grid."""
        found = np.zeros(chunks, np.bool_)
        found[table.linear] = self._found.place[table.numbers] == DEVICE
        return found

    def close(self) -> None:
        """Give the memory back, as soon as no read that has begun needs it."""
        self.closed, self.memory = True, ()

    def take(self, job: Job, wave: Wave) -> EncodedWave:
        """Return the chunks of a wave, with what their headers say.

        Raises
        ------
        ChunkDecodeError, StoreError
            A chunk for the host cannot be had.
        """
        assert wave.numbers is not None
        if self.closed:
            raise StoreError(f"cannot read {wave.requests.key(0)!r}: the store is closed")
        rows = np.flatnonzero(wave.numbers >= 0)
        numbers = wave.numbers[rows]
        n, all_of = len(wave), self._found
        found = Inspection(
            _spread(n, rows, all_of.place[numbers], MISSING),
            _spread(n, rows, all_of.in_place[numbers], -1),
            _spread(n, rows, all_of.outer[numbers], 0),
        )
        encoded = EncodedWave(
            None,
            _spread(n, rows, self._addresses[numbers], -1),
            _spread(n, rows, self._sizes[numbers], -1),
            inspection=found,
        )
        for fmt, streams in self._streams.items():
            chosen = streams.take(numbers, rows)
            if len(chosen):
                found.streams[fmt] = chosen
        for check, big_endian, streams in self._checks:
            chosen = streams.take(numbers, rows)
            if len(chosen):
                found.checks.append(StreamCheck(check, big_endian, chosen))
        for kind, blocks in self._shuffled.items():
            listed = blocks.take(numbers, rows)
            if len(listed.owner):
                found.shuffled[kind] = listed
        self._note(found, job, numbers)
        host = np.flatnonzero(found.place == HOST)
        if len(host):
            batch = wave.requests.take(host)
            answer = job.store.get_many(batch)
            check_statuses(batch, answer.statuses)
            encoded.apart.update(zip(host.tolist(), answer.values, strict=True))  # type: ignore[arg-type]
        return encoded

    def _note(self, found: Inspection, job: Job, numbers: Int64) -> None:
        if len(numbers) == 0:
            return
        step = next(name for first, name in reversed(self._steps) if first <= numbers[0])
        nbytes = job.chain.chunk.nbytes
        streams = sum(len(rows) for fmt, rows in found.streams.items() if fmt != "raw")
        on_device = int((found.place == DEVICE).sum())
        on_host = int((found.place == HOST).sum())
        if on_device:
            record = PlacementRecord(
                step, "device", _ON_DEVICE, on_device, streams, on_device * nbytes
            )
            found.records.append(record)
        if on_host:
            record = PlacementRecord(step, "host", _ON_HOST, on_host, on_host, on_host * nbytes)
            found.records.append(record)


class ResidentReading:
    """The chunks of a wave that are there: what ``Reading`` is for those of other stores.

    Parameters
    ----------
    chunks : ResidentChunks
    job : Job
    wave : Wave
    """

    def __init__(self, chunks: ResidentChunks, job: Job, wave: Wave) -> None:
        self._chunks, self._job, self._wave = chunks, job, wave

    def result(self) -> EncodedWave:
        """Return the chunks; raises what ``ResidentChunks.take`` raises."""
        return self._chunks.take(self._job, self._wave)

    def cancel(self) -> None:
        """Do nothing: nothing is under way."""


def resident_chunks(shared: Shared, job: Job) -> ResidentChunks | None:
    """Return the chunks that a job reads, if its store keeps them on this device."""
    chunks = getattr(job.store, "resident", None) if job.resident else None
    if not isinstance(chunks, ResidentChunks) or chunks.runtime is not shared.runtime:
        return None
    return None if shared.placement.mode == "host" else chunks


def _spread(n: int, rows: Int64, values: npt.NDArray[Any], missing: int) -> npt.NDArray[Any]:
    """Return (n,) values, those given at ``rows``."""
    if len(rows) == n:
        return values
    found = np.full(n, missing, values.dtype)
    found[rows] = values
    return found


def _each(rows: Group, change: Any) -> Group:
    return replace(rows, **{f.name: change(getattr(rows, f.name)) for f in fields(rows)})
