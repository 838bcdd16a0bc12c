"""Encoded chunks of a wave, in one pinned slab.

1. A store that reads into given memory (``ReadInto``) fills the slab itself, on its own threads.
2. Any other store gives bytes objects, which are copied into the slab, on the pool's threads.
3. Chunks that do not fit are kept as bytes objects, for the host to decode.
4. A wave that is asked for ahead is read in the background: what is done meanwhile with the wave
   before, much of it in Python, costs no reading time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.cuda.inspected import Inspection, Int64
from cuzarr.cuda.memory import ALIGNMENT, Slab, SlabPool
from cuzarr.cuda.runtime import DeviceBuffer
from cuzarr.engine.address import describe_status
from cuzarr.engine.batch import Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.errors import ChunkDecodeError, StoreError
from cuzarr.storage.base import BytesLike, Placed, RequestBatch, Status, Store, Values, reads_into

_GAP = 16  # bytes that alignment may cost per chunk
_COPY_BYTES = 4 * 2**20  # that are worth a task


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
    inspection : Inspection or None
        What the headers say, where it is known beforehand; ``positions`` are device addresses then.
    device : DeviceBuffer or None
        Where the slab's bytes are in device memory already; there may be no slab then.
    """

    slab: Slab | None
    positions: Int64
    sizes: Int64
    apart: dict[int, BytesLike] = field(default_factory=dict)
    inspection: Inspection | None = None
    device: DeviceBuffer | None = None

    def view(self, row: int) -> memoryview:
        """Return the bytes of a row that is not missing."""
        if row in self.apart:
            return memoryview(self.apart[row])
        assert self.slab is not None
        first, size = int(self.positions[row]), int(self.sizes[row])
        return memoryview(self.slab.array[first : first + size])

    def addresses(self, positions: Int64) -> npt.NDArray[np.uint64]:
        """Return where positions of the slab are in host memory; 0 without a slab."""
        if self.slab is None:
            return np.zeros(len(positions), np.uint64)
        return (self.slab.array.ctypes.data + positions).astype(np.uint64)

    def peek(self, positions: Int64, count: int) -> npt.NDArray[np.uint8]:
        """Return (n, count) bytes from positions of the slab on; they must be in it."""
        if self.slab is None:
            return np.zeros((len(positions), count), np.uint8)
        found: npt.NDArray[np.uint8] = self.slab.array[positions[:, None] + np.arange(count)]
        return found

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Rows whose chunk is not stored."""
        return self.sizes < 0


class Reading:
    """The encoded chunks of a wave, while they are read.

    Parameters
    ----------
    store : Store
    wave : Wave
    slabs : SlabPool
    expected : int
        Bytes that an encoded chunk hardly exceeds, where the request does not say.
    limit : int
        Bytes that the slab may have; 0 keeps every chunk apart.
    ahead : bool
        Read in the background, where the store may be used from another thread.
    """

    def __init__(
        self, store: Store, wave: Wave, slabs: SlabPool, expected: int, limit: int, *, ahead: bool
    ) -> None:
        self._store: Any = store
        self._slabs, self._limit = slabs, limit
        n = len(wave)
        self._rows = rows = np.flatnonzero(wave.present)
        self._batch = batch = wave.requests if len(rows) == n else wave.requests.take(rows)
        self._found = EncodedWave(None, np.full(n, -1, np.int64), np.full(n, -1, np.int64))
        self._read: Callable[[], Placed | Values] = self._get_many
        if limit and len(rows) and reads_into(store):
            known = np.where(batch.lengths >= 0, batch.lengths, expected)
            self._found.slab = slabs.take(min(limit, int((known + _GAP).sum())))
            self._read = self._read_into
        self._future: Future[Placed | Values] | None = None
        # There is nothing to wait for in memory.
        waits = store.parallel_safe and not getattr(store, "in_memory", False)
        if ahead and waits and len(rows):
            self._future = pool().submit(self._read)

    def result(self) -> EncodedWave:
        """Wait for the chunks.

        Raises
        ------
        ChunkDecodeError
            A chunk ends before the range that its shard's index names.
        StoreError
        """
        found, rows = self._found, self._rows
        if len(rows) == 0:
            return found
        answer = self._read() if self._future is None else self._future.result()
        check_statuses(self._batch, answer.statuses)
        if isinstance(answer, Placed):
            fits = answer.statuses == Status.OK
            found.positions[rows[fits]] = answer.positions[fits]
            found.sizes[rows[fits]] = answer.sizes[fits]
            full = np.flatnonzero(answer.statuses == Status.NO_SPACE)
            if len(full):
                self._get_apart(self._batch.take(full), rows[full])
        elif self._limit == 0:
            self._keep_apart(answer, rows)
        else:
            self._copy_in(answer)
        return found

    def cancel(self) -> None:
        """Wait for a read that is under way, and give the slab back; never raises."""
        if self._future is not None:
            abandon((self._future,))
        if self._found.slab is not None:
            self._slabs.give(self._found.slab, None)
            self._found.slab = None

    def _read_into(self) -> Placed:
        assert self._found.slab is not None
        placed: Placed = self._store.read_into(
            self._batch, self._found.slab.pinned.view, threads=threads()
        )
        return placed

    def _get_many(self) -> Values:
        values: Values = self._store.get_many(self._batch)
        return values

    def _get_apart(self, batch: RequestBatch, rows: Int64) -> None:
        answer = self._store.get_many(batch)
        check_statuses(batch, answer.statuses)
        self._keep_apart(answer, rows)

    def _keep_apart(self, answer: Values, rows: Int64) -> None:
        for row, value in zip(rows.tolist(), answer.values, strict=True):
            if value is not None:
                self._found.apart[row] = value
                self._found.sizes[row] = memoryview(value).nbytes

    def _copy_in(self, answer: Values) -> None:
        found = self._found
        rows = self._rows[[value is not None for value in answer.values]]
        arrays = [np.frombuffer(value, np.uint8) for value in answer.values if value is not None]
        if not arrays:
            return
        sizes = np.array([array.nbytes for array in arrays], np.int64)
        room = -(-sizes // ALIGNMENT) * ALIGNMENT
        ends = np.cumsum(room)
        slab = found.slab = self._slabs.take(min(self._limit, int(ends[-1])))
        fitting = int(np.searchsorted(ends, slab.nbytes, side="right"))
        positions = (ends - room)[:fitting]
        found.sizes[rows], found.positions[rows[:fitting]] = sizes, positions
        for row, array in zip(rows[fitting:].tolist(), arrays[fitting:], strict=True):
            found.apart[row] = array.data
        copy_pieces(slab.array, positions, arrays[:fitting], sizes[:fitting])


def copy_pieces(
    target: npt.NDArray[np.uint8],
    positions: Int64,
    sources: list[npt.NDArray[np.uint8]],
    sizes: Int64,
) -> None:
    """Copy arrays to their positions in one array, on the pool's threads."""
    pointers = np.array([source.ctypes.data for source in sources], np.uint64)
    n, one = len(sources), np.ones(1, np.int64)

    def copy(first: int, last: int) -> None:
        column = slice(first, last)
        native.copy_rows(
            scatter=True, start=np.zeros((last - first, 1), np.int64),
            count=sizes[column, None], out=positions[column, None], step=one, lists=(None,),
            chunk_ptrs=pointers[column], chunk_strides=one, array_ptr=target.ctypes.data,
            array_strides=one, itemsize=1, swap_unit=0, fill=b"\0",
        )  # fmt: skip

    tasks = min(threads(), 1 + int(sizes.sum()) // _COPY_BYTES)
    bounds = [n * i // tasks for i in range(tasks + 1)]
    futures = [pool().submit(copy, a, b) for a, b in pairwise(bounds[1:])]
    copy(bounds[0], bounds[1])
    for future in futures:
        future.result()


def copy_bytes(target: npt.NDArray[np.uint8], source: npt.NDArray[np.uint8]) -> None:
    """Copy one array to the start of another, on the pool's threads."""
    bounds = list(range(0, len(source), _COPY_BYTES))
    sources = [source[first : first + _COPY_BYTES] for first in bounds]
    sizes = np.array([part.nbytes for part in sources], np.int64)
    copy_pieces(target, np.array(bounds, np.int64), sources, sizes)


def check_statuses(batch: RequestBatch, statuses: npt.NDArray[np.int32]) -> None:
    """Raise for the first request that failed; a missing chunk is no failure."""
    bad = (statuses == Status.SHORT) | (statuses >= Status.ERRNO)
    if bad.any():
        i = int(np.argmax(bad))
        key, status = batch.key(i), int(statuses[i])
        if status == Status.SHORT:
            raise ChunkDecodeError(key, "read", f"truncated: {describe_status(status)}")
        raise StoreError(f"cannot read {key!r}: {describe_status(status)}")
