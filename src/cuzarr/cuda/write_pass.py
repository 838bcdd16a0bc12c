"""Writing from a device.

1. ``gather`` builds the decoded chunks of a wave in device memory, as the byte codecs take them:
   chunks that the value does not cover whole start as what is stored (fetched and decoded like a
   read), or as the fill value; then one launch copies the value's elements in. It queues their
   compression, or where the host encodes, their download.
2. ``encode`` waits for the sizes, has the containers put together, and downloads the encoded chunks
   of the wave in one copy, behind one another as their shards want them; or it encodes what was
   downloaded on the host threads. ``cuda.encoder`` decides which.
3. Up to ``ahead`` waves are gathered before the first of them is encoded, each with a work stream
   of its own, so that the device compresses one while another is downloaded and a third is stored.

Where device memory is short, a wave waits until those before it are done, and is halved then; one
that could be compressed but not put together is encoded on the host. Where the device refuses a
chunk that is written in part, the chunks are built anew from what the host decodes.
"""

from __future__ import annotations

import gc
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.codecs.impossible import may_be_impossible
from cuzarr.cuda.decoder import WaveDecoder
from cuzarr.cuda.device_decode import FirstBad
from cuzarr.cuda.device_encode import DeviceEncode, Reported
from cuzarr.cuda.encode_steps import EncodeMode
from cuzarr.cuda.encoder import EncodePlan, placing
from cuzarr.cuda.host_encode import encode_on_host
from cuzarr.cuda.memory import Slab, Tables, align
from cuzarr.cuda.read_pass import check_booleans, fill_bytes, raise_first, settle
from cuzarr.cuda.rows import ChunkLayout, DeviceView, RowCopy, split_rows
from cuzarr.cuda.runtime import DeviceBuffer, Event, Stream
from cuzarr.cuda.shared import Shared
from cuzarr.cuda.streams import Lane
from cuzarr.cuda.write_value import device_value
from cuzarr.engine.batch import EncodedWave, Job, Wave
from cuzarr.engine.report import PlacementRecord
from cuzarr.errors import ChunkEncodeError, DeviceMemoryError
from cuzarr.plan.chunk_plan import PlanRows

_POINT_BYTES = 16  # of lists, per point


@dataclass(eq=False)
class Piece:
    """Chunks of a wave that are built at one time, in ``images``."""

    wave: Wave
    first: int  #: row of the wave as a whole that it begins with
    images: DeviceBuffer
    turn: int
    small: Slab  #: holds the words of FirstBad, then what the device steps reported
    steps: DeviceEncode | None
    read: list[tuple[int, Wave]]  #: what was fetched for it
    done: Event | None = None
    slab: Slab | None = None  #: of chunks that the host encodes
    memory: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))


@dataclass(eq=False)
class Gathered:
    """A wave: the piece of it that is under way, if any, and the parts that are not yet."""

    wave: Wave
    rest: deque[tuple[int, Wave]]
    piece: Piece | None = None
    values: list[Bytes | None] = field(default_factory=list)
    shards: dict[int, memoryview] = field(default_factory=dict)
    slabs: list[Slab] = field(default_factory=list)


class CudaWritePass:
    """One write call on a device.

    Parameters
    ----------
    shared : Shared
    job : Job
    value : array-like
        Of ``job.plan.shape``, or broadcast to it.
    write_empty_chunks : bool
    mode : {"auto", "host", "device"}
        Where chunks are encoded.
    """

    def __init__(
        self, shared: Shared, job: Job, value: Any, write_empty_chunks: bool, mode: EncodeMode
    ) -> None:
        runtime = shared.runtime
        self._shared, self._job, self._write_empty = shared, job, write_empty_chunks
        self._caller = runtime.caller_stream()
        self._value, view = device_value(shared, job, value)
        self._lane: Lane | None = shared.lanes.take()
        lane = self._lane
        lane.begin(self._caller)
        lane.join_caller(0)
        self._work = lane.first
        self._first_bad = FirstBad(runtime, lane.first)
        self._decoder = WaveDecoder(shared, job, lane, self._first_bad, depth=1)
        chunk = job.chain.chunk
        self._layout = self._decoder.layout
        if job.chain.layout is None:  # the host's codecs want plain arrays
            self._layout = ChunkLayout.native(chunk.shape, chunk.dtype.itemsize)
        self._stride = align(self._layout.nbytes)
        fill = fill_bytes(job)
        self._fill = stored_fill(fill, self._layout.swap)
        self._copy = RowCopy(runtime, "gather", view, self._layout, fill, self._first_bad.bounds)
        self._copy.prepare(job.plan.axes, lane.first)
        self._points = max(1, shared.budget // 8 // _POINT_BYTES)
        self._plan: EncodePlan = placing(shared, job, mode)
        self.wave_chunks = min(self._plan.wave_chunks, self._decoder.wave_chunks)
        self.ahead = self._plan.depth - 1
        self._turn = 0
        self._flying: list[Piece] = []
        self._waiting = 0  # gathered waves of which nothing is under way
        self._refused = False  # the host decodes what is written in part

    def gather(self, wave: Wave) -> Gathered:
        """Queue the building of a wave's chunks, and what makes them ready to be encoded."""
        gathered = Gathered(wave, deque(_parts(wave, self.wave_chunks)))
        gathered.values = [None] * len(wave)
        if self._waiting or not self._try(gathered):
            self._waiting += 1
        return gathered

    def encode(self, gathered: Gathered) -> EncodedWave:
        """Wait for the wave's chunks and encode them."""
        if gathered.piece is None:
            self._waiting -= 1
        while gathered.piece is not None or gathered.rest:
            piece = gathered.piece or self._start_in_parts(gathered)
            gathered.piece = None
            if gathered.rest and self.ahead:
                self._try(gathered)
            self._finish_piece(gathered, piece)
            del piece  # its memory is wanted for the next one

        def release() -> None:
            for slab in gathered.slabs:
                self._shared.slabs.give(slab, None)
            gathered.slabs.clear()

        return EncodedWave(gathered.wave, gathered.values, gathered.shards, release=release)

    def finish(self) -> None:
        """Wait; ``encode`` has raised what there was."""
        lane, self._lane = self._lane, None
        assert lane is not None
        lane.drain()
        self._shared.lanes.give(lane)

    def abort(self) -> None:
        """Stop, and order the caller's stream behind what is queued: it reads the value."""
        self._decoder.abort()
        if self._lane is not None:
            settle(self._shared, self._lane, self._caller)
            self._lane = None
        self._flying.clear()

    # ---- building

    def _try(self, gathered: Gathered) -> bool:
        """Start the next part, unless there is no memory while others have theirs."""
        first, part = gathered.rest.popleft()
        try:
            gathered.piece = self._start(first, part)
        except DeviceMemoryError:
            gathered.rest.appendleft((first, part))
        if gathered.piece is None:
            self.ahead = max(0, self.ahead - 1)
            self._recover()
        return gathered.piece is not None

    def _start_in_parts(self, gathered: Gathered) -> Piece:
        """Start the next part; in halves, where there is no memory for the whole.

        What a device needs to encode one chunk may be more than there is: then the host does.
        """
        while True:
            (first, part), failed = gathered.rest.popleft(), False
            try:
                return self._start(first, part)
            except DeviceMemoryError:
                if len(part) == 1 and not self._plan.device:
                    raise
                failed = True
            if failed:  # not above: the error's frames hold the memory of the attempt
                if len(part) == 1:
                    self._plan = replace(self._plan, why="no device memory")
                    gathered.rest.appendleft((first, part))
                else:
                    half = len(part) // 2
                    halves = (slice(half, len(part)), slice(0, half))
                    gathered.rest.extendleft((first + s.start, part.take(s)) for s in halves)
                    self.wave_chunks = min(self.wave_chunks, half)
                self._recover()

    def _recover(self) -> None:
        """Make memory that was given back usable, after an attempt that failed."""
        self._decoder.abort()
        gc.collect()  # the frames of the error may sit in cycles
        assert self._lane is not None
        self._lane.drain()

    def _start(self, first: int, wave: Wave) -> Piece:
        """Build the chunks of a wave, and queue their compression or their download."""
        runtime, lane, shared = self._shared.runtime, self._lane, self._shared
        assert lane is not None
        n, read = len(wave), len(self._decoder.waves)
        turn = 1 + self._turn % self._plan.depth
        images = runtime.alloc(n * self._stride, self._work)
        # A download takes what is between them along; booleans are looked through before the value
        # is there.
        if self._stride != self._layout.nbytes or may_be_impossible(self._job.dtype):
            runtime.memset(images.ptr, 0, n * self._stride, self._work)
        steps, work = None, self._work
        if self._plan.device:
            work = lane.work(turn)
            steps = DeviceEncode(
                runtime, self._plan.steps, self._plan.container, self._plan.room, images.ptr,
                self._stride, n, self._fill,
            )  # fmt: skip
            steps.reserve(shared.table_slabs, work)
        self._build(wave, images)
        words = align(FirstBad.NBYTES)
        small = shared.table_slabs.take(words + (0 if steps is None else steps.report_bytes))
        piece = Piece(wave, first, images, turn, small, steps, self._decoder.waves[read:])
        self._flying.append(piece)
        self._turn += 1
        runtime.download(
            small.array[: FirstBad.NBYTES], self._first_bad.pointer, FirstBad.NBYTES, self._work
        )
        if steps is None:
            self._download_images(piece, self._work)
        else:
            runtime.stream_wait(work, runtime.record(self._work))
            steps.compress(work)
            runtime.download(small.array[words:], steps.report, steps.report_bytes, work)
        piece.done = runtime.record(work)
        return piece

    def _build(self, wave: Wave, images: DeviceBuffer) -> None:
        self._prefill(wave, images)
        pointers = images.ptr + self._stride * np.arange(len(wave), dtype=np.uint64)
        for which, rows in split_rows(wave.rows, self._points):
            tables = Tables(self._shared.runtime, self._shared.table_slabs, self._work)
            launch = self._copy.add(tables, rows, pointers[which])
            tables.send()
            self._copy.launch(tables, launch, which.start, self._work)
        self._report("gather", "device", "the value is there", len(wave))

    def _prefill(self, wave: Wave, images: DeviceBuffer) -> None:
        """Write what is stored, or the fill value, to the images that the value does not cover."""
        rows, layout = wave.rows, self._layout
        covered = np.zeros(len(rows), np.bool_)
        if not rows.flat:
            covered = rows.complete & (rows.count == np.array(layout.shape)).all(axis=1)
        which = np.flatnonzero(~covered)
        if len(which) == 0:
            return
        part = wave.take(which)
        part = Wave(part.index, part.rows, part.requests, part.present & ~part.rows.complete)
        prepared = self._decoder.prepare(self._decoder.fetch(part))
        decoded = self._decoder.complete(prepared)
        native, source = self._job.dtype.newbyteorder("="), self._decoder.layout
        fill, shape, strides = self._fill, layout.shape, layout.strides
        if source == layout:  # elements in a row, whatever their order
            shape, strides = (layout.nbytes // len(fill),), (len(fill),)
            source = ChunkLayout(shape, strides, layout.nbytes, 0)
        view = DeviceView(images.ptr, (len(rows), *shape), (self._stride, *strides), native)
        source = ChunkLayout((1, *shape), (0, *source.strides), source.nbytes, source.swap)
        copy = RowCopy(self._shared.runtime, "scatter", view, source, fill, self._first_bad.bounds)
        launch = copy.add(decoded.tables, _whole_chunks(which, shape), decoded.pointers)
        self._decoder.run(decoded)
        copy.launch(decoded.tables, launch, decoded.base, self._work)
        self._decoder.release(prepared, decoded)
        if may_be_impossible(native):
            written = DeviceView(images.ptr, (len(rows) * self._stride,), (1,), native)
            check_booleans(self._shared, written, self._first_bad, self._work)

    # ---- encoding

    def _finish_piece(self, gathered: Gathered, piece: Piece) -> None:
        """Wait for a piece and put its values where they belong, or have it built anew."""
        runtime = self._shared.runtime
        runtime.wait_event(piece.done)
        words = FirstBad.parse(piece.small.array[: FirstBad.NBYTES])
        why = FirstBad.refusal(words)
        if why:
            self._leave_to_host(why)
            gathered.rest.appendleft((piece.first, piece.wave))
            self._let_go(piece)
            return
        raise_first(self._job, self._decoder, words, piece.read)
        values = None
        if piece.steps is not None:
            report = piece.small.array[align(FirstBad.NBYTES) :]
            values = self._collect(gathered, piece, piece.steps.parse(report))
            if values is None:  # no memory: the host has room
                self._recover()
                self._download_images(piece, self._stream_of(piece))
                runtime.wait_event(runtime.record(self._stream_of(piece)))
        if values is None:
            fill = None if self._write_empty else self._fill
            values = encode_on_host(self._job.chain, piece.wave, piece.memory, self._stride, fill)
            why = self._plan.why or "no device memory"
            self._report(f"encode {self._plan.steps.names}", "host", why, len(values))
        gathered.values[piece.first : piece.first + len(values)] = values
        self._let_go(piece)

    def _leave_to_host(self, why: str) -> None:
        """Have the host decode what is built from now on.

        The words are those of the call so far, so pieces that are under way say the same: they are
        built anew as well, and those after them begin with no chunk that is bad.
        """
        if not self._refused:
            self._refused = True
            self._decoder.leave_to_host(why)
            self._first_bad.forget(self._work)

    def _let_go(self, piece: Piece) -> None:
        """Give the memory of a piece back, after its streams are done with it."""
        runtime, shared = self._shared.runtime, self._shared
        if piece.slab is not None:
            shared.slabs.give(piece.slab, None)
        shared.table_slabs.give(piece.small, None)
        # The images belong to the first stream, the rest of the piece's memory to its own.
        runtime.stream_wait(self._work, runtime.record(self._stream_of(piece)))
        self._flying.remove(piece)

    def _collect(
        self, gathered: Gathered, piece: Piece, reported: Reported
    ) -> list[Bytes | None] | None:
        """Put the encoded chunks together and download them; None where memory is short."""
        assert piece.steps is not None
        wave, shared, stream = piece.wave, self._shared, self._stream_of(piece)
        failed = (reported.statuses != 0).any(axis=1)
        if failed.any():
            row = int(np.argmax(failed))
            status = int(reported.statuses[row][reported.statuses[row] != 0][0])
            raise ChunkEncodeError(
                wave.requests.key(row), self._plan.steps.names,
                f"on the device: nvCOMP reported status {status}",
            )  # fmt: skip
        kept = np.ones(len(wave), np.bool_) if self._write_empty else reported.differs
        order = np.flatnonzero(kept)
        gaps = np.zeros(len(order) + 1, np.int64)
        inner = wave.inner
        if inner is not None and len(order):
            order = order[np.lexsort((inner.slot[order], inner.shard_of[order]))]
            first = np.ones(len(order), np.bool_)
            first[1:] = np.diff(inner.shard_of[order]) != 0
            if inner.index.at_end:
                gaps[1:-1], gaps[-1] = inner.index.nbytes * first[1:], inner.index.nbytes
            else:
                gaps[:-1] = inner.index.nbytes * first
        try:
            packed = piece.steps.pack(reported.sizes, order, gaps, shared.table_slabs, stream)
        except DeviceMemoryError:
            return None
        slab = None
        if packed.nbytes <= shared.slab_bytes:
            slab = shared.slabs.take(packed.nbytes)
            gathered.slabs.append(slab)
        memory = np.empty(packed.nbytes, np.uint8) if slab is None else slab.array[: packed.nbytes]
        shared.runtime.download(memory, packed.pointer, packed.nbytes, stream)
        shared.runtime.wait_event(shared.runtime.record(stream))
        self._report(f"encode {self._plan.steps.names}", "device", self._plan.reason, len(wave))
        view = memoryview(memory)
        starts, ends = packed.start.tolist(), (packed.start + packed.size).tolist()
        if inner is not None and len(order):
            self._add_shards(gathered, piece, view, order, packed.start, packed.size)
        return [
            view[start:end] if start >= 0 else None for start, end in zip(starts, ends, strict=True)
        ]

    def _add_shards(
        self, gathered: Gathered, piece: Piece, view: memoryview,
        order: npt.NDArray[np.int64], start: npt.NDArray[np.int64], size: npt.NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Name the shards of which this piece holds all chunks of the wave."""
        inner, whole = piece.wave.inner, gathered.wave.inner
        assert inner is not None
        assert whole is not None
        here = np.bincount(inner.shard_of, minlength=int(whole.shard_of.max()) + 1)
        all_of = here == np.bincount(whole.shard_of, minlength=len(here))
        shard = inner.shard_of[order]
        ends = np.flatnonzero(np.append(np.diff(shard) != 0, True))
        begins = np.append(0, ends[:-1] + 1)
        for a, b in zip(begins.tolist(), ends.tolist(), strict=True):
            number = int(shard[a])
            if all_of[number]:
                low, high = int(start[order[a]]), int(start[order[b]] + size[order[b]])
                low -= 0 if inner.index.at_end else inner.index.nbytes
                high += inner.index.nbytes if inner.index.at_end else 0
                gathered.shards[number] = view[low:high]

    def _download_images(self, piece: Piece, stream: Stream) -> None:
        shared, total = self._shared, len(piece.wave) * self._stride
        if total <= shared.slab_bytes:
            piece.slab = shared.slabs.take(total)
        piece.memory = np.empty(total, np.uint8) if piece.slab is None else piece.slab.array[:total]
        shared.runtime.download(piece.memory, piece.images.ptr, total, stream)

    def _stream_of(self, piece: Piece) -> Stream:
        assert self._lane is not None
        return self._work if piece.steps is None else self._lane.work(piece.turn)

    def _report(self, step: str, where: Any, why: str, n: int) -> None:
        streams = n * self._plan.container.streams if step != "gather" else 0
        self._job.report.append(
            PlacementRecord(step, where, why, n, streams, n * self._layout.nbytes)
        )


def stored_fill(fill: bytes, swap: int) -> bytes:
    """Return an element of the fill value as it lies in chunks whose units are ``swap`` bytes."""
    if swap == 0:
        return fill
    return b"".join(fill[i : i + swap][::-1] for i in range(0, len(fill), swap))


def _parts(wave: Wave, limit: int) -> list[tuple[int, Wave]]:
    """Cut a wave; between shards where that can be."""
    n, ends = len(wave), np.arange(1, len(wave) + 1)
    if wave.inner is not None and n:
        ends = np.flatnonzero(np.append(np.diff(wave.inner.shard_of) != 0, True)) + 1
    found, first = [], 0
    while first < n:
        fitting = ends[(ends > first) & (ends <= first + limit)]
        last = int(fitting[-1]) if len(fitting) else min(first + limit, n)
        found.append((first, wave if last - first == n else wave.take(slice(first, last))))
        first = last
    return found


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
