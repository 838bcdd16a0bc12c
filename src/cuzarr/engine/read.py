"""The read loop: plan, waves, fetch, decode, scatter. The same for every backend, one read or many.

1. Each read is a pass of its backend over its waves; where chunks have several shapes, a pass for
   each, all into the same output.
2. The next wave is fetched before the current one is decoded, be it of the same read or of the
   next one; so at most two passes are open at a time.
3. A shard that another process replaces between the reading of its index and of its chunks is read
   again, where the store can tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from cuzarr.engine.address import Address, changed, watching
from cuzarr.engine.backend import AnyArray, Backend, ReadPass
from cuzarr.engine.batch import Job, Wave
from cuzarr.engine.missing import refuse_missing
from cuzarr.errors import ChunkError, StoreError

_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Read:
    """One planned selection of one array.

    Attributes
    ----------
    job : Job
    address : Address
    backend : Backend
    out : array of ``job.plan.shape`` on the backend's device, or None
    parts : tuple of Job, or None
        The same selection in jobs for chunks of one shape each, where the grid has several.
    """

    job: Job
    address: Address
    backend: Backend
    out: AnyArray | None = None
    parts: tuple[Job, ...] | None = None

    def passes(self) -> Iterator[tuple[Job, AnyArray | None, bool]]:
        """Yield job and output of every pass, and whether it is the last one of the read."""
        if not self.parts:
            yield self.job, self.out, True
            return
        out = self.backend.new_output(self.job) if self.out is None else self.out
        for part in self.parts:
            yield part, out, part is self.parts[-1]


def read(job: Job, address: Address, backend: Backend, out: AnyArray | None = None) -> AnyArray:
    """Read a planned selection; see :func:`read_each`."""
    (result,) = read_each((Read(job, address, backend, out),))
    return result


def read_each(reads: Iterable[Read]) -> Iterator[AnyArray]:
    """Read planned selections, and yield the results in order.

    Yields
    ------
    array of ``job.plan.out_shape``

    Raises
    ------
    ChunkDecodeError
        Names the key of the first bad chunk.
    ChunkNotFoundError
        A chunk is not stored, and the job refuses that.
    StoreError
    """
    watched: deque[Read] = deque()

    def begin() -> Iterator[Read]:
        for one in source:
            watched.append(replace(one, address=watching(one.address)))
            yield watched[-1]

    source = iter(reads)
    try:
        for result in _read_each(begin()):
            one = watched.popleft()
            yield _again(one) if changed(one.address) else result
    except (ChunkError, StoreError):
        if not any(changed(one.address) for one in watched):
            raise
    else:
        return
    yield from map(_again, [*watched, *source])


def _again(read: Read) -> AnyArray:
    """Read anew what another process has changed meanwhile."""
    for _ in range(_ATTEMPTS):
        again = replace(read, address=watching(read.address))
        try:
            (result,) = _read_each((again,))
        except (ChunkError, StoreError):
            if not changed(again.address):
                raise
            continue
        if not changed(again.address):
            return result
    raise StoreError("shards are replaced again and again while they are read")


def _read_each(reads: Iterable[Read]) -> Iterator[AnyArray]:
    begun: list[tuple[ReadPass, Job, bool]] = []
    ahead: tuple[ReadPass, Any] | None = None
    try:
        runs = ((read, *run) for read in reads for run in read.passes())
        for one, job, out, last in runs:
            steps = one.backend.begin_read(job, out)
            begun.append((steps, job, last))
            for wave in _waves(job, one.address, steps):
                fetched = steps.fetch(wave)
                if ahead is not None:
                    _scatter(*ahead)
                ahead = steps, fetched
            if len(begun) > 1:
                if ahead is not None and ahead[0] is begun[0][0]:
                    _scatter(*ahead)
                    ahead = None
                whole = begun[0][2]
                result = _finish(begun)
                if whole:
                    yield result
        if ahead is not None:
            _scatter(*ahead)
        if begun:
            yield _finish(begun)
    except BaseException:
        for steps, *_ in begun:
            steps.abort()
        raise


def _scatter(steps: ReadPass, fetched: Any) -> None:
    steps.scatter(steps.decode(fetched))


def _finish(begun: list[tuple[ReadPass, Job, bool]]) -> AnyArray:
    """Finish the first; it stays in the list while that may fail."""
    steps, job, _ = begun[0]
    result = steps.finish().reshape(job.plan.out_shape)
    del begun[0]
    return result


def _waves(job: Job, address: Address, steps: ReadPass) -> Iterator[Wave]:
    """Yield the waves of a read; its pass may make those to come smaller."""
    index = first = 0
    while first < job.plan.n_chunks:
        last = job.plan.wave_end(first, steps.wave_chunks)
        wave = address.wave(index, job.plan.rows(first, last))
        if job.refuse_missing:
            refuse_missing(job.store, wave)
        yield wave
        index, first = index + 1, last
