"""Reading on a device.

1. ``fetch`` reads ahead, ``decode`` reads headers and starts the upload: both are those of
   :class:`~cuzarr.cuda.decoder.WaveDecoder`.
2. ``scatter`` queues the decoding of a wave and the copy to the output, in one launch; the fill
   value stands for missing chunks. Chunks that are contiguous in the output are decoded there.
3. ``finish`` waits, reads the words of :class:`FirstBad`, and raises for the first bad chunk. A
   result of booleans is looked through before (``codecs.impossible``).

Where device memory is short, a wave is halved until it fits, or one chunk alone does not.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cuzarr.codecs.impossible import may_be_impossible
from cuzarr.cuda.decoder import Fetched, Prepared, WaveDecoder
from cuzarr.cuda.device_decode import FirstBad
from cuzarr.cuda.memory import Tables
from cuzarr.cuda.rows import DeviceView, RowCopy, c_strides, split_rows
from cuzarr.cuda.runtime import DeviceArray, Stream
from cuzarr.cuda.shared import Shared
from cuzarr.cuda.streams import Lane
from cuzarr.engine.batch import Job, Wave
from cuzarr.errors import (
    ChecksumError,
    ChunkDecodeError,
    CuzarrError,
    DeviceError,
    DeviceMemoryError,
)

_POINT_BYTES = 16  # of lists, per point
_CHECK_GRID = 2048


class CudaReadPass:
    """One read call on a device.

    Parameters
    ----------
    shared : Shared
    job : Job
    out : device array of ``job.plan.shape``
    why_host : str
        Why the host decodes everything; "" where the device has its share.
    """

    def __init__(self, shared: Shared, job: Job, out: DeviceArray, *, why_host: str = "") -> None:
        runtime = shared.runtime
        self._shared, self._job, self._out = shared, job, out
        self._caller = runtime.caller_stream()
        self._lane: Lane | None = shared.lanes.take()
        lane = self._lane
        lane.begin(self._caller)
        self._first_bad = FirstBad(runtime, lane.first)
        self._decoder = WaveDecoder(shared, job, lane, self._first_bad, why_host=why_host)
        self._copy = RowCopy(
            runtime, "scatter", DeviceView(*runtime.describe(out)), self._decoder.layout,
            fill_bytes(job), self._first_bad.bounds,
        )  # fmt: skip
        self._copy.prepare(job.plan.axes, lane.first)
        lane.ready()
        self.wave_chunks = self._decoder.wave_chunks
        self._points = max(1, shared.budget // 8 // _POINT_BYTES)
        self._waiting: Prepared | None = None

    def fetch(self, wave: Wave) -> Fetched:
        """Start the reading of a wave's encoded chunks: in the background, if there are more."""
        return self._decoder.fetch(wave, ahead=len(wave) < self._job.plan.n_chunks)

    def decode(self, fetched: Fetched) -> Prepared:
        """Read the headers, start the host's share, and the copy to the device."""
        return self._decoder.prepare(fetched)

    def scatter(self, decoded: Prepared) -> None:
        """Queue the decoding of a wave and the copy to the output.

        A wave with a share of the host waits for the next one, so that the host threads are never
        out of work.
        """
        if decoded.host is None:
            self._complete(decoded)
            return
        before, self._waiting = self._waiting, decoded
        if before is not None:
            self._complete(before)

    def finish(self) -> DeviceArray:
        """Wait; raises ``ChunkDecodeError`` for the first bad chunk."""
        last, self._waiting = self._waiting, None
        if last is not None:
            self._complete(last)
        assert self._lane is not None
        stream = self._lane.collect()
        if may_be_impossible(self._job.dtype) and self._decoder.waves:
            view = DeviceView(*self._shared.runtime.describe(self._out))
            check_booleans(self._shared, view, self._first_bad, stream)
        words = read_words(self._shared, stream, self._first_bad)
        lane, self._lane = self._lane, None
        self._shared.lanes.give(lane)
        why = FirstBad.refusal(words)
        if why:
            decode_again(self._job, *self._decoder.key_of(min(words)))
            return self._on_host(why)
        raise_first(self._job, self._decoder, words, self._decoder.waves)
        return self._out

    def _on_host(self, why: str) -> DeviceArray:
        """Read the waves again; the host decodes them."""
        again = CudaReadPass(self._shared, self._job, self._out, why_host=why)
        try:
            for _, wave in self._decoder.waves:
                again.scatter(again.decode(again.fetch(wave)))
            return again.finish()
        except BaseException:
            again.abort()
            raise

    def abort(self) -> None:
        """Stop, and order the caller's stream behind what is queued: it writes to the output."""
        self._decoder.abort()
        if self._lane is not None:
            settle(self._shared, self._lane, self._caller)
            self._lane = None

    def _complete(self, prepared: Prepared) -> None:
        """Launch a wave; in two halves, where there is no memory for the whole."""
        failed = False
        try:
            self._launch(prepared)
        except DeviceMemoryError:
            if len(prepared.wave) == 1:
                raise
            failed = True
        if failed:  # not above: the error's frames hold the memory of the attempt
            self._halve(prepared)

    def _launch(self, prepared: Prepared) -> None:
        lane, copy = self._lane, self._copy
        assert lane is not None
        decoded = self._decoder.complete(prepared, copy.places(prepared.wave.rows))
        parts = split_rows(decoded.wave.rows, self._points)
        which, first = parts[0]
        placed = decoded.steps.placed
        # The tables of the first copy go up with those of the decoding.
        launch = copy.add(decoded.tables, first, decoded.pointers[which], placed[which])
        if placed.any():
            lane.join_caller(decoded.turn)
        self._decoder.run(decoded)
        lane.join_caller(decoded.turn)
        copy.launch(decoded.tables, launch, decoded.base, decoded.work)
        for which, rows in parts[1:]:
            tables = Tables(self._shared.runtime, self._shared.table_slabs, decoded.work)
            launch = copy.add(tables, rows, decoded.pointers[which])
            tables.send()
            copy.launch(tables, launch, decoded.base + which.start, decoded.work)
        self._decoder.release(prepared, decoded)

    def _halve(self, prepared: Prepared) -> None:
        """Read a wave again, one half after the other, and make later waves as small."""
        assert self._lane is not None
        wave = prepared.wave
        self._decoder.discard(prepared)
        self._decoder.take_back_uploads()
        half = len(wave) // 2
        self.wave_chunks = min(self.wave_chunks, half)
        gc.collect()  # those frames may sit in cycles
        for part in (slice(0, half), slice(half, len(wave))):
            self._lane.drain()
            self._complete(self._decoder.prepare(self._decoder.fetch(wave.take(part))))


def fill_bytes(job: Job) -> bytes:
    """Return the fill value of a job, one element in native byte order."""
    fill = np.asarray(job.fill_value).astype(job.dtype.newbyteorder("="))
    return fill.tobytes()


def read_words(shared: Shared, stream: Any, first_bad: FirstBad) -> list[int]:
    """Download the first-bad words and wait for the stream: once per call."""
    raw = shared.runtime.read(first_bad.pointer, first_bad.NBYTES, stream)
    return FirstBad.parse(raw)


def raise_first(
    job: Job, decoder: WaveDecoder, words: list[int], waves: Sequence[tuple[int, Wave]]
) -> None:
    """Raise for the first chunk that a kernel reported, if any.

    The chunk is decoded once more on the host, whose codecs name the fault exactly; one with
    booleans that cannot be is looked for in ``waves``.
    """
    number = min(words)
    if number == FirstBad.NONE:
        return
    kind = words.index(number)
    if kind == FirstBad.BOOLEANS:
        name_the_chunk(job, waves)
        return
    if kind == FirstBad.BOUNDS:
        raise DeviceError(f"chunk {number} of the call: {FirstBad.CAUSES[kind]}")
    chain = job.chain
    key = decode_again(job, *decoder.key_of(number))
    name = (
        "crc32c"
        if kind == FirstBad.CHECKSUM
        else chain.byte_codecs[0].name
        if chain.byte_codecs
        else "bytes"
    )
    error = ChecksumError if kind == FirstBad.CHECKSUM else ChunkDecodeError
    raise error(key, name, f"on the device: {FirstBad.CAUSES[kind]}")


def name_the_chunk(job: Job, waves: Sequence[tuple[int, Wave]]) -> None:
    """Decode all chunks by the codec chain, which raises for what no element may be.

    It may not: another pass writes to other parts of the same result.
    """
    for _, wave in waves:
        for row in np.flatnonzero(wave.present):
            decode_again(job, wave, int(row))


def decode_again(job: Job, wave: Wave, row: int) -> str:
    """Decode a chunk on the host, which raises what is wrong with it; return its key."""
    requests = wave.requests
    key = requests.key(row)
    data = job.store.get(key, int(requests.starts[row]), int(requests.lengths[row]))
    if data is not None:
        job.chain.decode(key, data)
    return key


def check_booleans(shared: Shared, array: DeviceView, first_bad: FirstBad, stream: Stream) -> None:
    """Queue the check of an array, all of whose bytes were written on ``stream``."""
    runtime, tables = shared.runtime, Tables(shared.runtime, shared.table_slabs, stream)
    n, axes = math.prod(array.shape), np.array([array.shape, array.strides], np.int64).T
    if array.strides == c_strides(array.shape, 1):
        axes = np.array([[n, 1]], np.int64)
    at = tables.add(axes)
    tables.send()
    args = (np.uint64(array.pointer), tables.pointer(at), np.int32(len(axes)), np.int64(n),
            np.uint64(first_bad.booleans))  # fmt: skip
    runtime.launch("check_booleans", max(1, min(_CHECK_GRID, -(-n // 2048))), 256, args, stream)


def settle(shared: Shared, lane: Lane, caller: Any) -> None:
    """Order the caller's stream behind a lane and wait; never raises."""
    try:
        shared.runtime.wait_event(lane.end(caller))
    except CuzarrError:
        return  # the device failed: the error that led here says so, and the lane is not reused
    shared.lanes.give(lane)
