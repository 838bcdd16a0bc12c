"""The write loop: plan, waves, gather, encode, store. The same for every backend.

1. Plain chunks: every wave is encoded, and stored while the next one is encoded.
2. Shards: a wave holds whole shards; a shard that is not overwritten completely is read, its
   untouched inner chunks keep their bytes, and it is replaced in one piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future

import numpy as np

from cuzarr.codecs.base import Bytes
from cuzarr.engine.address import PlainAddress, ShardAddress
from cuzarr.engine.backend import AnyArray, Backend, WritePass
from cuzarr.engine.batch import Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.plan.chunk_plan import Int64, PlanRows
from cuzarr.storage.base import Store


def write(
    job: Job,
    address: PlainAddress | ShardAddress,
    backend: Backend,
    value: AnyArray,
    *,
    write_empty_chunks: bool,
) -> None:
    """Write ``value``, of ``job.plan.shape`` or broadcast to it, to a planned selection.

    Raises
    ------
    ChunkDecodeError
        A chunk that is only partly overwritten could not be read.
    ChunkEncodeError, StoreError
    """
    steps = backend.begin_write(job, value, write_empty_chunks)
    storing: list[Future[None]] = []
    try:
        waves = (
            _shard_waves(job, address, steps.wave_chunks)
            if isinstance(address, ShardAddress)
            else _plain_waves(job, address, steps.wave_chunks)
        )
        for wave in waves:
            keys, values = (
                _encode_shards(job, address, steps, wave)
                if isinstance(address, ShardAddress)
                else _encode_chunks(steps, wave)
            )
            _wait(storing)
            storing = _store(job.store, keys, values)
        _wait(storing)
        steps.finish()
    except BaseException:
        steps.abort()
        abandon(storing)  # nothing is stored after the error is seen
        raise


def _plain_waves(job: Job, address: PlainAddress, wave_chunks: int) -> Iterator[Wave]:
    n = job.plan.n_chunks
    for index, first in enumerate(range(0, n, wave_chunks)):
        yield address.wave(index, job.plan.rows(first, min(first + wave_chunks, n)))


def _encode_chunks(steps: WritePass, wave: Wave) -> tuple[list[str], Sequence[Bytes | None]]:
    encoded = steps.encode(steps.gather(wave))
    return encoded.wave.requests.key_list(), encoded.values


def _shard_waves(job: Job, address: ShardAddress, wave_chunks: int) -> Iterator[Wave]:
    rows = job.plan.rows(0, job.plan.n_chunks)
    groups = address.group(rows.coords)
    rows = rows.take(np.argsort(groups.shard_of, kind="stable"))
    ends = np.cumsum(np.bincount(groups.shard_of, minlength=len(groups.shard_coords)))
    first = index = 0
    while first < len(rows):
        fitting = ends[(ends > first) & (ends <= first + wave_chunks)]
        last = int(fitting[-1]) if len(fitting) else int(ends[ends > first][0])
        yield address.wave(index, rows.take(slice(first, last)))
        first, index = last, index + 1


def _encode_shards(
    job: Job, address: ShardAddress, steps: WritePass, wave: Wave
) -> tuple[list[str], list[Bytes | None]]:
    groups = address.group(wave.rows.coords)
    names = address.plain.keys(groups.shard_coords).key_list()
    stored = _untouched(job, address, groups.shard_coords, groups.shard_of, wave.rows, names)
    encoded = steps.encode(steps.gather(wave))
    for shard, slot, value in zip(
        groups.shard_of.tolist(), groups.slot.tolist(), encoded.values, strict=True
    ):
        stored[shard][slot] = value
    shards: list[Bytes | None] = [
        None if all(chunk is None for chunk in chunks) else address.index.join(name, chunks)
        for name, chunks in zip(names, stored, strict=True)
    ]
    return names, shards


def _untouched(
    job: Job,
    address: ShardAddress,
    shard_coords: Int64,
    shard_of: Int64,
    rows: PlanRows,
    names: list[str],
) -> list[list[Bytes | None]]:
    """Return, per shard, its encoded inner chunks; empty where every one is overwritten."""
    slots = address.index.slots
    inside = address.chunks_in_array(shard_coords)
    overwritten = np.bincount(shard_of, weights=rows.complete, minlength=len(shard_coords))
    whole = overwritten >= inside
    found: list[list[Bytes | None]] = []
    for name, complete in zip(names, whole.tolist(), strict=True):
        data = None if complete else job.store.get(name)
        found.append([None] * slots if data is None else list(address.index.split(name, data)))
    return found


def _store(store: Store, keys: list[str], values: Sequence[Bytes | None]) -> list[Future[None]]:
    empty = [key for key, value in zip(keys, values, strict=True) if value is None]
    full = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
    if empty:
        store.delete(empty)
    if not full:
        return []
    tasks = threads() if store.parallel_safe else 1
    per_task = -(-len(full) // tasks)
    return [
        pool().submit(_set_many, store, full[i : i + per_task])
        for i in range(0, len(full), per_task)
    ]


def _set_many(store: Store, items: list[tuple[str, Bytes]]) -> None:
    store.set_many([key for key, _ in items], [memoryview(value) for _, value in items])


def _wait(futures: list[Future[None]]) -> None:
    for future in futures:
        future.result()
