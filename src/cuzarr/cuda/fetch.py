"""Encoded chunks of a wave, in one pinned slab.

1. A store that reads into given memory (``ReadInto``) fills the slab itself, on its own threads.
2. Any other store gives bytes objects, which are copied into the slab one behind another.
3. Chunks that do not fit are kept as bytes objects, for the host to decode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.memory import Slab, SlabPool, align
from cuzarr.engine.address import describe_status
from cuzarr.engine.batch import Wave
from cuzarr.engine.pool import threads
from cuzarr.errors import ChunkDecodeError, StoreError
from cuzarr.storage.base import BytesLike, ReadInto, RequestBatch, Status, Store

Int64 = npt.NDArray[np.int64]


@dataclass
class EncodedWave:
    """Encoded chunks of ``n`` rows.

    Attributes
    ----------
    slab : Slab or None
        None where no row is in a slab.
    positions : (n,) int64
        Start in the slab, -1 where the chunk is missing or in ``apart``.
    sizes : (n,) int64
        Bytes; -1 where the chunk is missing.
    apart : dict of int to bytes-like
        Rows that did not fit in the slab.
    """

    slab: Slab | None
    positions: Int64
    sizes: Int64
    apart: dict[int, BytesLike] = field(default_factory=dict)

    def view(self, row: int) -> memoryview:
        """Return the bytes of a row that is not missing."""
        if row in self.apart:
            return memoryview(self.apart[row])
        assert self.slab is not None
        first, size = int(self.positions[row]), int(self.sizes[row])
        return memoryview(self.slab.array[first : first + size])

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Rows whose chunk is not stored."""
        return self.sizes < 0


def fetch_wave(store: Store, wave: Wave, slabs: SlabPool, expected: int, limit: int) -> EncodedWave:
    """Read the encoded chunks of a wave.

    Parameters
    ----------
    store : Store
    wave : Wave
    slabs : SlabPool
    expected : int
        Bytes that an encoded chunk hardly exceeds, where the request does not say.
    limit : int
        Bytes that the slab may have; 0 keeps every chunk apart.

    Raises
    ------
    ChunkDecodeError
        A chunk ends before the range that its shard's index names.
    StoreError
    """
    n = len(wave)
    found = EncodedWave(None, np.full(n, -1, np.int64), np.full(n, -1, np.int64))
    rows = np.flatnonzero(wave.present)
    if len(rows) == 0:
        return found
    batch = wave.requests if len(rows) == n else wave.requests.take(rows)
    if limit == 0:
        _get_apart(store, batch, rows, found)
    elif isinstance(store, ReadInto):
        known = np.where(batch.lengths >= 0, batch.lengths, expected)
        slab = found.slab = slabs.take(min(limit, int((known + 16).sum())))
        _read_into(store, batch, rows, found, slab)
    else:
        _copy_in(store, batch, rows, found, slabs, limit)
    return found


def _read_into(
    store: Any, batch: RequestBatch, rows: Int64, found: EncodedWave, slab: Slab
) -> None:
    placed = store.read_into(batch, slab.pinned.view, threads=threads())
    _check(batch, placed.statuses)
    fits = placed.statuses == Status.OK
    found.positions[rows[fits]] = placed.positions[fits]
    found.sizes[rows[fits]] = placed.sizes[fits]
    full = np.flatnonzero(placed.statuses == Status.NO_SPACE)
    if len(full):
        _get_apart(store, batch.take(full), rows[full], found)


def _get_apart(store: Store, batch: RequestBatch, rows: Int64, found: EncodedWave) -> None:
    answer = store.get_many(batch)
    _check(batch, answer.statuses)
    for row, value in zip(rows.tolist(), answer.values, strict=True):
        if value is not None:
            found.apart[row] = value
            found.sizes[row] = memoryview(value).nbytes


def _copy_in(
    store: Store,
    batch: RequestBatch,
    rows: Int64,
    found: EncodedWave,
    slabs: SlabPool,
    limit: int,
) -> None:
    answer = store.get_many(batch)
    _check(batch, answer.statuses)
    sizes = [-1 if value is None else memoryview(value).nbytes for value in answer.values]
    found.sizes[rows] = sizes
    total = sum(align(size) for size in sizes if size > 0)
    if total == 0 and not any(size == 0 for size in sizes):
        return
    slab = found.slab = slabs.take(min(limit, total))
    used = 0
    for row, value, size in zip(rows.tolist(), answer.values, sizes, strict=True):
        if value is None:
            continue
        if used + size > slab.nbytes:
            found.apart[row] = value
            continue
        slab.array[used : used + size] = np.frombuffer(value, np.uint8)
        found.positions[row] = used
        used += align(size)


def _check(batch: RequestBatch, statuses: npt.NDArray[np.int32]) -> None:
    bad = (statuses == Status.SHORT) | (statuses >= Status.ERRNO)
    if bad.any():
        i = int(np.argmax(bad))
        key, status = batch.key(i), int(statuses[i])
        if status == Status.SHORT:
            raise ChunkDecodeError(key, "read", f"truncated: {describe_status(status)}")
        raise StoreError(f"cannot read {key!r}: {describe_status(status)}")
