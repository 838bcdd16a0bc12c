"""Encoded chunks of a run in host memory, as columns of addresses.

1. A store that reads into given memory fills the thread's slab; what did not fit is read again
   into a larger one.
2. Of any other the addresses of its bytes are taken.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from threading import local
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.engine.address import describe_status
from cuzarr.engine.batch import Job, Wave
from cuzarr.errors import ChunkDecodeError, StoreError
from cuzarr.storage.base import ReadInto, RequestBatch, Status, Store, reads_into
from cuzarr.storage.located import locate

Column = npt.NDArray[Any]
_MEMORY = ctypes.c_uint8 * 2**62  #: one type for all, because to make one takes longer than a read
HEADERS = 4096  #: bytes that a container may add to a chunk
_scratch = local()


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoded chunks of ``n`` rows.

    Attributes
    ----------
    pointers : (n,) uint64
        Host addresses; 0 = the chunk is not stored.
    sizes : (n,) int64
    owners : tuple
        Keeps the memory alive.
    """

    pointers: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]
    owners: tuple[Any, ...]

    def view(self, i: int) -> memoryview | None:
        """Return the bytes of row ``i``, or None."""
        return _view(int(self.pointers[i]), int(self.sizes[i]))


def fetch_run(job: Job, wave: Wave, expected: int) -> Encoded:
    """Read the encoded chunks of a run.

    Parameters
    ----------
    job : Job
    wave : Wave
    expected : int
        Bytes that an encoded chunk hardly exceeds; sizes the slab.

    Raises
    ------
    ChunkDecodeError
        A chunk ends before the range that its shard's index names, or is far larger than what
        any codec makes of its elements.
    StoreError
    """
    n = len(wave)
    pointers, sizes = np.zeros(n, np.uint64), np.full(n, -1, np.int64)
    rows = None if wave.present.all() else np.flatnonzero(wave.present)
    batch = wave.requests if rows is None else wave.requests.take(rows)
    if len(batch):
        limit = 2**63 if job.chain.decoded_size is None else 4 * expected + _KEPT
        found = (
            _read_into(job.store, batch, expected, limit) if reads_into(job.store)
            else _locate(job.store, batch)
        )  # fmt: skip
        where = slice(None) if rows is None else rows
        pointers[where], sizes[where] = found.pointers, found.sizes
        return Encoded(pointers, sizes, found.owners)
    return Encoded(pointers, sizes, ())


def thread_buffer(name: str, nbytes: int) -> npt.NDArray[np.uint8]:
    """Return uint8 memory of this thread, at least ``nbytes`` long, contents undefined."""
    buffer: npt.NDArray[np.uint8] | None = getattr(_scratch, name, None)
    if buffer is None or buffer.nbytes < nbytes:
        buffer = np.empty(nbytes, np.uint8)
        if nbytes <= _KEPT:
            setattr(_scratch, name, buffer)
    return buffer


_KEPT = 64 * 2**20  #: larger scratch is given back after its run


def _read_into(store: ReadInto, batch: RequestBatch, expected: int, limit: int) -> Encoded:
    slab = thread_buffer("slab", min(len(batch) * (expected + 16) + 4096, _KEPT))
    placed = store.read_into(batch, memoryview(slab))
    base = np.uint64(_address(slab))
    pointers = base + placed.positions.astype(np.uint64)
    sizes, statuses = placed.sizes, placed.statuses
    owners: tuple[Any, ...] = (slab,)
    if statuses.any():
        _check(batch, statuses)
        full = np.flatnonzero(statuses == Status.NO_SPACE)
        if len(full):
            _check_sizes(batch, full, sizes, limit)
            larger = np.empty(int((sizes[full] + 16).sum()) + 4096, np.uint8)
            again = store.read_into(batch.take(full), memoryview(larger))
            if again.statuses.any():
                _check(batch.take(full), again.statuses)
                grown = int(np.argmax(again.statuses != Status.OK))
                key = batch.key(int(full[grown]))
                raise StoreError(f"{key!r} changed its size while it was read")
            pointers, sizes = pointers.copy(), sizes.copy()
            pointers[full] = np.uint64(_address(larger)) + again.positions.astype(np.uint64)
            sizes[full] = again.sizes
            owners = (slab, larger)
        pointers = np.where(statuses == Status.MISSING, np.uint64(0), pointers)
    return Encoded(pointers, sizes, owners)


def _locate(store: Store, batch: RequestBatch) -> Encoded:
    found = locate(store, batch)
    if found.statuses.any():
        _check(batch, found.statuses)
    return Encoded(found.pointers, found.sizes, (found.owners,))


def _check(batch: RequestBatch, statuses: Column) -> None:
    """Raise for the first status that is neither fine, missing, nor a matter of space."""
    bad = (statuses == Status.SHORT) | (statuses >= Status.ERRNO)
    if bad.any():
        i = int(np.argmax(bad))
        key, status = batch.key(i), int(statuses[i])
        if status == Status.SHORT:
            raise ChunkDecodeError(key, "read", f"truncated: {describe_status(status)}")
        raise StoreError(f"cannot read {key!r}: {describe_status(status)}")


def _check_sizes(batch: RequestBatch, rows: Column, sizes: Column, limit: int) -> None:
    """Refuse what no codec makes of a chunk: there may be no memory for it."""
    for row in rows.tolist():
        if sizes[row] > limit:
            size = int(sizes[row])
            raise ChunkDecodeError(
                batch.key(row), "read", f"{size} bytes are stored, no more than {limit} expected"
            )


def _address(memory: npt.NDArray[np.uint8]) -> int:
    address: int = memory.__array_interface__["data"][0]  # without the object that ``ctypes`` makes
    return address


def _view(pointer: int, size: int) -> memoryview | None:
    if pointer == 0:
        return None
    if size == 0:
        return memoryview(b"")
    return memoryview(_MEMORY.from_address(pointer)).cast("B")[:size]
