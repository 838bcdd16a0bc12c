"""Writing from a device.

1. ``gather`` builds the decoded chunks of a wave in device memory: chunks that the value does not
   cover whole start as what is stored (fetched and decoded like a read), or as the fill value;
   then one launch copies the value's elements in.
2. The chunks are downloaded into a pinned slab; ``encode`` waits for that and encodes them on the
   host threads with the codec chain.

The value may be a host array, an array of any device, or a scalar: only its distinct elements go
to the device, broadcasting is strides of 0.
"""

from __future__ import annotations

import gc
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.cuda.decoder import TABLE_BYTES, WaveDecoder
from cuzarr.cuda.device_decode import FirstBad
from cuzarr.cuda.fetch import copy_bytes
from cuzarr.cuda.memory import ALIGNMENT, Slab, Tables, align
from cuzarr.cuda.read_pass import fill_bytes, raise_first, read_words, settle
from cuzarr.cuda.rows import ChunkLayout, DeviceView, RowCopy, split_rows
from cuzarr.cuda.runtime import DeviceBuffer, Event
from cuzarr.cuda.shared import MAX_WAVE_CHUNKS, Shared
from cuzarr.cuda.streams import Lane
from cuzarr.engine.batch import EncodedWave, Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.engine.report import PlacementRecord, Where
from cuzarr.errors import DeviceMemoryError, ShapeMismatchError
from cuzarr.plan.chunk_plan import PlanRows

_POINT_BYTES = 16  # of lists, per point
_RUN_BYTES = 1 << 20
_PIECE_BYTES = 32 * 2**20  # of a host value that is sent up at a time
_STEPS: Final[tuple[tuple[str, Where, str], ...]] = (
    ("gather", "device", "the value is there"),
    ("encode", "host", "no device encoder"),
)
_DLPACK_CPU = 1  # kDLCPU of dlpack.h


@dataclass
class Piece:
    """Some chunks of a wave on their way to the host, one behind another in ``memory``."""

    wave: Wave
    memory: npt.NDArray[np.uint8]
    slab: Slab | None
    words: npt.NDArray[np.uint8]
    done: Event


@dataclass
class Gathered:
    """A wave whose first piece is under way; a wave of large shards has several."""

    wave: Wave
    first: Piece
    rest: deque[Wave]


class CudaWritePass:
    """One write call on a device.

    Parameters
    ----------
    shared : Shared
    job : Job
    value : array-like
        Of ``job.plan.shape``, or broadcast to it.
    write_empty_chunks : bool
    """

    def __init__(self, shared: Shared, job: Job, value: Any, write_empty_chunks: bool) -> None:
        runtime = shared.runtime
        self._shared, self._job, self._write_empty = shared, job, write_empty_chunks
        self._caller = runtime.caller_stream()
        self._value, view = _device_value(shared, job, value)
        self._lane: Lane | None = shared.lanes.take()
        lane = self._lane
        lane.begin(self._caller)
        lane.join_caller(0)
        self._work = lane.first
        chunk = job.chain.chunk
        self._native = chunk.dtype.newbyteorder("=")
        self._images = ChunkLayout.native(chunk.shape, chunk.dtype.itemsize)
        self._fill = fill_bytes(job)
        self._first_bad = FirstBad(runtime, lane.first)
        self._decoder = WaveDecoder(shared, job, lane, self._first_bad, depth=1)
        self._copy = RowCopy(
            runtime, "gather", view, self._images, self._fill, self._first_bad.bounds
        )
        self._copy.prepare(job.plan.axes, lane.first)
        self._points = max(1, shared.budget // 8 // _POINT_BYTES)
        room = max(1, shared.slab_bytes - FirstBad.NBYTES - ALIGNMENT)
        fitting = min(shared.budget // 4, room) // (self._images.nbytes + TABLE_BYTES)
        self.wave_chunks = min(max(1, fitting), self._decoder.wave_chunks, MAX_WAVE_CHUNKS)

    def gather(self, wave: Wave) -> Gathered:
        """Queue the building of a wave's chunks and their download."""
        limit = self.wave_chunks
        parts = deque(wave.take(slice(i, i + limit)) for i in range(0, len(wave), limit))
        return Gathered(wave, self._next_piece(parts), parts)

    def encode(self, gathered: Gathered) -> EncodedWave:
        """Wait for the downloads and encode every chunk on the host threads."""
        values: list[Bytes | None] = []
        piece: Piece | None = gathered.first
        while piece is not None:
            ahead = self._next_piece(gathered.rest) if gathered.rest else None
            self._shared.runtime.wait_event(piece.done)
            raise_first(self._job, self._decoder, FirstBad.parse(piece.words))
            values += self._encode(piece)
            if piece.slab is not None:
                self._shared.slabs.give(piece.slab, None)
            piece = ahead
        return EncodedWave(gathered.wave, values)

    def finish(self) -> None:
        """Wait and raise the first error."""
        assert self._lane is not None
        words = read_words(self._shared, self._lane.collect(), self._first_bad)
        lane, self._lane = self._lane, None
        self._shared.lanes.give(lane)
        raise_first(self._job, self._decoder, words)

    def abort(self) -> None:
        """Stop, and order the caller's stream behind what is queued: it reads the value."""
        self._decoder.abort()
        if self._lane is not None:
            settle(self._shared, self._lane, self._caller)
            self._lane = None

    def _next_piece(self, parts: deque[Wave]) -> Piece:
        """Gather the first part; in halves, where there is no memory for the whole."""
        while True:
            part, failed = parts.popleft(), False
            try:
                return self._gather(part)
            except DeviceMemoryError:
                if len(part) == 1:
                    raise
                failed = True
            if failed:  # not above: the error's frames hold the memory of the attempt
                half = len(part) // 2
                parts.extendleft((part.take(slice(half, len(part))), part.take(slice(0, half))))
                self.wave_chunks = min(self.wave_chunks, half)
                self._decoder.abort()
                gc.collect()
                assert self._lane is not None
                self._lane.drain()

    def _gather(self, wave: Wave) -> Piece:
        runtime, work = self._shared.runtime, self._work
        n, nbytes = len(wave), self._images.nbytes
        images = runtime.alloc(n * nbytes, work)
        self._prefill(wave, images)
        pointers = images.ptr + nbytes * np.arange(n, dtype=np.uint64)
        for which, rows in split_rows(wave.rows, self._points):
            tables = Tables(runtime, self._shared.table_slabs, work)
            launch = self._copy.add(tables, rows, pointers[which])
            tables.send()
            self._copy.launch(tables, launch, which.start, work)
        # The words lie behind the chunks, in pinned memory too: a copy to other memory would wait.
        total = n * nbytes
        behind = align(total)
        size = behind + FirstBad.NBYTES
        slab = self._shared.slabs.take(size) if size <= self._shared.slab_bytes else None
        memory = np.empty(size, np.uint8) if slab is None else slab.array[:size]
        words = memory[behind:]
        runtime.download(memory, images.ptr, total, work)
        runtime.download(words, self._first_bad.pointer, FirstBad.NBYTES, work)
        self._job.report.extend(
            PlacementRecord(step, where, why, n, 0, n * nbytes) for step, where, why in _STEPS
        )
        return Piece(wave, memory, slab, words, runtime.record(work))

    def _encode(self, piece: Piece) -> list[Bytes | None]:
        n, size = len(piece.wave), self._images.nbytes
        run = min(max(1, _RUN_BYTES // max(1, size)), -(-n // threads()))
        futures: list[Future[list[Bytes | None]]] = [
            pool().submit(self._encode_run, piece, first, min(first + run, n))
            for first in range(0, n, run)
        ]
        try:
            return [value for future in futures for value in future.result()]
        finally:
            abandon(futures)

    def _prefill(self, wave: Wave, images: DeviceBuffer) -> None:
        """Write what is stored, or the fill value, to the images that the value does not cover."""
        rows, shape = wave.rows, np.array(self._images.shape, np.int64)
        covered = np.zeros(len(rows), np.bool_)
        if not rows.flat:
            covered = rows.complete & (rows.count == shape).all(axis=1)
        which = np.flatnonzero(~covered)
        if len(which) == 0:
            return
        part = wave.take(which)
        part = Wave(part.index, part.rows, part.requests, part.present & ~part.rows.complete)
        prepared = self._decoder.prepare(self._decoder.fetch(part))
        decoded = self._decoder.complete(prepared)
        whole = _whole_chunks(which, self._images.shape)
        n, strides = len(rows), (self._images.nbytes, *self._images.strides)
        view = DeviceView(images.ptr, (n, *self._images.shape), strides, self._native)
        copy = RowCopy(
            self._shared.runtime, "scatter", view, _with_slot(self._decoder.layout), self._fill,
            self._first_bad.bounds,
        )  # fmt: skip
        launch = copy.add(decoded.tables, whole, decoded.pointers)
        self._decoder.run(decoded)
        copy.launch(decoded.tables, launch, decoded.base, self._work)
        self._decoder.release(prepared, decoded)

    def _encode_run(self, piece: Piece, first: int, last: int) -> list[Bytes | None]:
        chain, shape = self._job.chain, self._images.shape
        dtype, nbytes = chain.chunk.dtype, self._images.nbytes
        values: list[Bytes | None] = []
        for i in range(first, last):
            raw = piece.memory[i * nbytes : (i + 1) * nbytes]
            if not self._write_empty and is_fill(raw, self._fill):
                values.append(None)
                continue
            chunk = raw.view(self._native).reshape(shape).astype(dtype, copy=False)
            value = chain.encode(piece.wave.requests.key(i), chunk)
            # The slab is used again: what is not a copy of it must become one.
            if isinstance(value, bytes):
                values.append(value)
            else:
                values.append(bytes(value))
        return values


def is_fill(raw: npt.NDArray[np.uint8], fill: bytes) -> bool:
    """Whether every element has exactly the bits of the fill value (-0.0 is not 0.0)."""
    items = raw.reshape(-1, len(fill))
    if len(items) == 0:
        return True
    pattern = np.frombuffer(fill, np.uint8)
    if not ((items[0] == pattern).all() and (items[-1] == pattern).all()):
        return False
    return bool((raw[len(fill) :] == raw[: -len(fill)]).all()) if len(items) > 1 else True


def _whole_chunks(slots: npt.NDArray[np.int64], shape: tuple[int, ...]) -> PlanRows:
    """Return rows that copy whole chunks to ``slots`` of an array of chunks."""
    n, d = len(slots), len(shape)
    count = np.ones((n, d + 1), np.int64)
    count[:, 1:] = shape
    out = np.zeros((n, d + 1), np.int64)
    out[:, 0] = slots
    zeros = np.zeros((n, d + 1), np.int64)
    return PlanRows(
        zeros, zeros, count, out, np.ones(d + 1, np.int64), (None,) * (d + 1), np.ones(n, np.bool_)
    )


def _with_slot(layout: ChunkLayout) -> ChunkLayout:
    return ChunkLayout((1, *layout.shape), (0, *layout.strides), layout.nbytes, layout.swap)


def _device_value(shared: Shared, job: Job, value: Any) -> tuple[Any, DeviceView]:
    """Return the value in device memory, as native elements of the job's dtype, and its view."""
    runtime, shape = shared.runtime, job.plan.shape
    native = job.dtype.newbyteorder("=")
    if not runtime.is_device_array(value) and _in_host_memory(value):
        host = np.asarray(value)
        full = host.shape
        distinct = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in host.strides)
        array = _send(shared, np.ascontiguousarray(host[distinct].astype(native, copy=False)))
    else:
        array = runtime.to_device(value)
        full = runtime.describe(array)[1]
        if runtime.describe(array)[3] != native:
            array = runtime.astype(array, native)
    return array, _broadcast(DeviceView(*runtime.describe(array)), full, shape)


def _send(shared: Shared, host: npt.NDArray[Any]) -> Any:
    """Return a contiguous host array as a device array, ordered on the caller's stream.

    A large one goes through the slabs: CuPy would allocate as much page-locked memory for it.
    """
    runtime = shared.runtime
    if host.nbytes <= _PIECE_BYTES:
        return runtime.to_device(host)
    array, caller = runtime.empty(host.shape, host.dtype), runtime.caller_stream()
    target, raw = runtime.describe(array)[0], host.reshape(-1).view(np.uint8)
    piece = min(_PIECE_BYTES, shared.slab_bytes)
    for first in range(0, len(raw), piece):
        part = raw[first : first + piece]
        slab = shared.slabs.take(len(part))
        copy_bytes(slab.array, part)
        runtime.upload(target + first, slab.pinned, len(part), caller)
        shared.slabs.give(slab, runtime.record(caller))
    return array


def _in_host_memory(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array_interface__"):
        return True
    if hasattr(value, "__dlpack_device__"):
        return int(value.__dlpack_device__()[0]) == _DLPACK_CPU
    return not hasattr(value, "__cuda_array_interface__")


def _broadcast(view: DeviceView, full: tuple[int, ...], shape: tuple[int, ...]) -> DeviceView:
    """View a value of shape ``full`` as ``shape``; lengths of 1, and of stride 0, stand for any."""
    fits = len(full) <= len(shape) and all(
        n in (1, wanted) for n, wanted in zip(full[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeMismatchError(f"a value of shape {full} does not fit a selection of {shape}")
    strides = [0] * len(shape)
    lead = len(shape) - len(full)
    for a, length in enumerate(view.shape):
        if length != 1:
            strides[lead + a] = view.strides[a]
    return DeviceView(view.pointer, shape, tuple(strides), view.dtype)
