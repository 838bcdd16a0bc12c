"""Reading on a device.

1. ``fetch`` and ``decode`` are those of :class:`~cuzarr.cuda.decoder.WaveDecoder`.
2. ``scatter`` copies a wave to the output in one launch; the fill value stands for missing chunks.
3. ``finish`` makes the caller's stream wait, reads 24 bytes, and raises for the first bad chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cuzarr.cuda.decoder import Decoded, Fetched, WaveDecoder
from cuzarr.cuda.device_decode import FirstBad
from cuzarr.cuda.memory import Tables
from cuzarr.cuda.rows import DeviceView, Launch, RowCopy, split_rows
from cuzarr.cuda.runtime import DeviceArray
from cuzarr.cuda.shared import Shared
from cuzarr.engine.batch import Job, Wave
from cuzarr.errors import ChecksumError, ChunkDecodeError, CuzarrError, DeviceError
from cuzarr.plan.chunk_plan import PlanRows

_POINT_BYTES = 16  # of lists, per point


class CudaReadPass:
    """One read call on a device.

    Parameters
    ----------
    shared : Shared
    job : Job
    out : device array of ``job.plan.shape``
    """

    def __init__(self, shared: Shared, job: Job, out: DeviceArray) -> None:
        runtime = shared.runtime
        self._shared, self._job, self._out = shared, job, out
        self._caller = runtime.caller_stream()
        self._lane = lane = shared.lanes.take()
        lane.begin(self._caller)
        self._first_bad = FirstBad(runtime, lane.work)
        self._decoder = WaveDecoder(shared, job, lane, self._first_bad)
        self._copy = RowCopy(
            runtime, "scatter", DeviceView(*runtime.describe(out)), self._decoder.layout,
            fill_bytes(job), self._first_bad.bounds,
        )  # fmt: skip
        self.wave_chunks = self._decoder.wave_chunks
        self._points = max(1, shared.budget // 8 // _POINT_BYTES)

    def fetch(self, wave: Wave) -> Fetched:
        """Read a wave's encoded chunks and start their copy to the device."""
        return self._decoder.fetch(wave)

    def decode(self, fetched: Fetched) -> tuple[Decoded, list[tuple[slice, PlanRows]], Launch]:
        """Queue the decoding; the tables of the first copy go up with those of the decoding."""
        decoded = self._decoder.decode(fetched)
        rows = decoded.wave.rows
        self._copy.prepare(rows, self._lane.work)
        parts = split_rows(rows, self._points)
        which, first = parts[0]
        launch = self._copy.add(decoded.tables, first, decoded.pointers[which])
        self._decoder.run(decoded)
        return decoded, parts, launch

    def scatter(self, decoded: tuple[Decoded, list[tuple[slice, PlanRows]], Launch]) -> None:
        """Queue the copy of a wave to the output."""
        wave, parts, launch = decoded
        work = self._lane.work
        self._lane.join_caller()
        self._copy.launch(wave.tables, launch, wave.base, work)
        for which, rows in parts[1:]:
            tables = Tables(self._shared.runtime, self._shared.slabs, work)
            launch = self._copy.add(tables, rows, wave.pointers[which])
            tables.send()
            self._copy.launch(tables, launch, wave.base + which.start, work)
        self._decoder.release(wave)

    def finish(self) -> DeviceArray:
        """Wait; raises ``ChunkDecodeError`` for the first bad chunk."""
        words = read_words(self._shared, self._lane.work, self._first_bad)
        self._lane.end(self._caller)
        raise_first(self._job, self._decoder, words)  # then ``abort`` gives the lane back
        self._shared.lanes.give(self._lane)
        return self._out

    def abort(self) -> None:
        """Stop, and order the caller's stream behind what is queued: it writes to the output."""
        self._decoder.abort()
        settle(self._shared, self._lane, self._caller)


def fill_bytes(job: Job) -> bytes:
    """Return the fill value of a job, one element in native byte order."""
    fill = np.asarray(job.fill_value).astype(job.dtype.newbyteorder("="))
    return fill.tobytes()


def read_words(shared: Shared, stream: Any, first_bad: FirstBad) -> list[int]:
    """Download the first-bad words and wait for the stream: once per call."""
    raw = shared.runtime.read(first_bad.pointer, first_bad.NBYTES, stream)
    return FirstBad.parse(raw)


def raise_first(job: Job, decoder: WaveDecoder, words: list[int]) -> None:
    """Raise for the first chunk that a kernel reported, if any.

    The chunk is decoded once more on the host, whose codecs name the fault exactly.
    """
    number = min(words)
    if number == 2**64 - 1:
        return
    kind = words.index(number)
    if kind == FirstBad.BOUNDS:
        raise DeviceError(f"chunk {number} of the call: {FirstBad.CAUSES[kind]}")
    wave, row = decoder.key_of(number)
    requests, chain = wave.requests, job.chain
    key = requests.key(row)
    data = job.store.get(key, int(requests.starts[row]), int(requests.lengths[row]))
    if data is not None:
        chain.decode(key, data)
    name = "crc32c" if kind == 1 else chain.byte_codecs[0].name if chain.byte_codecs else "bytes"
    error = ChecksumError if kind == 1 else ChunkDecodeError
    raise error(key, name, f"on the device: {FirstBad.CAUSES[kind]}")


def settle(shared: Shared, lane: Any, caller: Any) -> None:
    """Order the caller's stream behind a lane and wait; never raises."""
    try:
        shared.runtime.wait_event(lane.end(caller))
    except CuzarrError:
        return  # the device failed: the error that led here says so, and the lane is not reused
    shared.lanes.give(lane)
