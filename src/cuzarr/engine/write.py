"""The write loop: plan, waves, gather, encode, store. The same for every backend.

1. Plain chunks: every wave is encoded, and stored while the next one is encoded, as far as the
   backend has not stored it itself.
2. Shards: a wave holds whole shards, as many as have so many inner chunks, touched or not; a shard
   that is not overwritten completely is read, its untouched inner chunks keep their bytes, and it
   is replaced in one piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.codecs.sharding import ShardIndex
from cuzarr.engine.address import PlainAddress, ShardAddress
from cuzarr.engine.backend import AnyArray, Backend, WritePass
from cuzarr.engine.batch import EncodedWave, InnerChunks, Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.plan.grid import grid_shape
from cuzarr.plan.shards import whole_shards
from cuzarr.storage.base import Store


def write(
    job: Job,
    address: PlainAddress | ShardAddress,
    backend: Backend,
    value: AnyArray,
    *,
    write_empty_chunks: bool,
    parts: Sequence[Job] | None = None,
) -> None:
    """Write ``value``, of ``job.plan.shape`` or broadcast to it, to a planned selection.

    Parameters
    ----------
    job : Job
    address : PlainAddress or ShardAddress
    backend : Backend
    value : array
    write_empty_chunks : bool
    parts : sequence of Job, or None
        The same selection in jobs for chunks of one shape each, where the grid has several.

    Raises
    ------
    ChunkDecodeError
        A chunk that is only partly overwritten could not be read.
    ChunkEncodeError, StoreError
    """
    if parts and len(parts) > 1:
        value = backend.place(job, value)
    for part in parts or (job,):
        _write(part, address, backend, value, write_empty_chunks)


def _write(
    job: Job,
    address: PlainAddress | ShardAddress,
    backend: Backend,
    value: AnyArray,
    write_empty_chunks: bool,
) -> None:
    steps = backend.begin_write(job, value, write_empty_chunks)
    storing = _Storing(job.store, at_once=job.plan.n_chunks == 1)
    begun: deque[_Begun] = deque()
    try:
        for wave in _waves(job, address, steps):
            begun.append(_begin(job, address, steps, wave))
            if len(begun) > steps.ahead:
                storing.store(*_encode(address, steps, begun.popleft()))
        while begun:
            storing.store(*_encode(address, steps, begun.popleft()))
        storing.wait()
        steps.finish()
    except BaseException:
        steps.abort()
        storing.abandon()  # nothing is stored after the error is seen
        raise


class _Storing:
    """Values on their way to a store: those of one wave, while the next one is encoded.

    ``at_once`` is for a single chunk: nothing else could be done while another thread stores it.
    """

    def __init__(self, store: Store, *, at_once: bool) -> None:
        self._store, self._at_once = store, at_once
        self._futures: list[Future[None]] = []
        self._release: Callable[[], None] | None = None

    def store(
        self, keys: list[str], values: Sequence[Bytes | None], release: Callable[[], None]
    ) -> None:
        """Wait for the wave before, and start to store one; a value of None deletes the key."""
        self.wait()
        self._release = release
        empty = [key for key, value in zip(keys, values, strict=True) if value is None]
        full = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
        if empty:
            self._store.delete(empty)
        if self._at_once and full:
            _set_many(self._store, full)
            return
        tasks = threads() if self._store.parallel_safe else 1
        per_task = max(1, -(-len(full) // tasks))
        self._futures = [
            pool().submit(_set_many, self._store, full[i : i + per_task])
            for i in range(0, len(full), per_task)
        ]

    def wait(self) -> None:
        """Wait until all is stored; raises the first error."""
        for future in self._futures:
            future.result()
        if self._release is not None:
            self._release()
        self._futures, self._release = [], None

    def abandon(self) -> None:
        """Drop what has not started and wait for the rest; never raises."""
        abandon(self._futures)


@dataclass(frozen=True)
class _Begun:
    """A wave that is gathered; of shards, their names and the chunks that they keep."""

    gathered: Any
    names: list[str]
    kept: list[list[Bytes | None]]
    indexes: list[ShardIndex]


def _waves(job: Job, address: PlainAddress | ShardAddress, steps: WritePass) -> Iterator[Wave]:
    if isinstance(address, ShardAddress):
        return _shard_waves(job, address, steps)
    return _plain_waves(job, address, steps)


def _begin(job: Job, address: PlainAddress | ShardAddress, steps: WritePass, wave: Wave) -> _Begun:
    if not isinstance(address, ShardAddress):
        return _Begun(steps.gather(wave), [], [], [])
    groups = address.group(wave.rows.coords)
    keys = address.plain.keys(groups.shard_coords)
    names = keys.key_list()
    indexes = [address.index_at(coords) for coords in groups.shard_coords]
    inside = address.chunks_in_array(groups.shard_coords)
    overwritten = np.bincount(groups.shard_of, weights=wave.rows.complete, minlength=len(names))
    whole = overwritten >= inside
    kept = _untouched(job, whole, names, indexes)
    whole &= [index is address.index for index in indexes]
    inner = InnerChunks(groups.shard_of, groups.slot, address.index, keys, whole)
    wave = replace(wave, inner=inner)
    return _Begun(steps.gather(wave), names, kept, indexes)


def _encode(
    address: PlainAddress | ShardAddress, steps: WritePass, begun: _Begun
) -> tuple[list[str], Sequence[Bytes | None], Callable[[], None]]:
    """Return what is stored of a wave: keys, values, and what to call afterwards."""
    encoded = steps.encode(begun.gathered)
    if isinstance(address, ShardAddress):
        shards = _joined(begun, encoded)
        return [begun.names[i] for i in shards], list(shards.values()), encoded.release
    return encoded.wave.requests.key_list(), encoded.values, encoded.release


def _joined(begun: _Begun, encoded: EncodedWave) -> dict[int, Bytes | None]:
    """Assemble the shards of a wave that are not stored yet, by number."""
    inner, kept = encoded.wave.inner, begun.kept
    assert inner is not None
    left = [i for i in range(len(kept)) if i not in encoded.stored]
    alone = {i for i in left if all(chunk is None for chunk in kept[i])}
    for shard, slot, value in zip(
        inner.shard_of.tolist(), inner.slot.tolist(), encoded.values, strict=True
    ):
        kept[shard][slot] = value
    shards: dict[int, Bytes | None] = {}
    for i in left:
        name, chunks, index = begun.names[i], kept[i], begun.indexes[i]
        if all(chunk is None for chunk in chunks):
            shards[i] = None
        elif i in alone and i in encoded.shards and index.nbytes == inner.index.nbytes:
            shard = encoded.shards[i]
            sizes = [-1 if chunk is None else memoryview(chunk).nbytes for chunk in chunks]
            place = slice(-index.nbytes, None) if index.at_end else slice(index.nbytes)
            shard[place] = memoryview(index.encode(name, np.array(sizes, np.int64))).cast("B")
            shards[i] = shard
        else:
            shards[i] = index.join(name, chunks)
    return shards


def _plain_waves(job: Job, address: PlainAddress, steps: WritePass) -> Iterator[Wave]:
    first = index = 0
    while first < job.plan.n_chunks:
        last = min(first + steps.wave_chunks, job.plan.n_chunks)
        yield address.wave(index, job.plan.rows(first, last))
        first, index = last, index + 1


def _shard_waves(job: Job, address: ShardAddress, steps: WritePass) -> Iterator[Wave]:
    if job.plan.axes and job.plan.n_chunks > steps.wave_chunks:
        grid = grid_shape(address.shape, address.chunk_shape)
        parts = whole_shards(
            job.plan.axes, grid, address.chunks_per_shard, lambda: steps.wave_chunks
        )
        for index, chunks in enumerate(parts):
            yield address.wave(index, job.plan.rows_of(chunks))
        return
    rows = job.plan.rows(0, job.plan.n_chunks)  # of points: no more than they take themselves
    groups = address.group(rows.coords)
    rows = rows.take(np.argsort(groups.shard_of, kind="stable"))
    ends = [0, *np.cumsum(np.bincount(groups.shard_of)).tolist()]
    held = np.cumsum(address.chunks_in_array(groups.shard_coords))
    shard = index = 0
    while shard < len(held):
        most = (held[shard - 1] if shard else 0) + steps.wave_chunks
        last = max(shard + 1, int(np.searchsorted(held, most, "right")))
        yield address.wave(index, rows.take(slice(ends[shard], ends[last])))
        shard, index = last, index + 1


def _untouched(
    job: Job, whole: npt.NDArray[np.bool_], names: list[str], indexes: list[ShardIndex]
) -> list[list[Bytes | None]]:
    """Return, per shard, its encoded inner chunks; empty where every one is overwritten."""
    found: list[list[Bytes | None]] = []
    for name, complete, index in zip(names, whole.tolist(), indexes, strict=True):
        data = None if complete else job.store.get(name)
        found.append([None] * index.slots if data is None else list(index.split(name, data)))
    return found


def _set_many(store: Store, items: list[tuple[str, Bytes]]) -> None:
    store.set_many([key for key, _ in items], [memoryview(value) for _, value in items])
