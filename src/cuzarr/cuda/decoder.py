"""Waves fetched and decoded into device memory: what reads, and writes of parts of chunks, share.

1. ``fetch`` reads a wave into a pinned slab, reads the headers there, starts the host's share on
   threads and queues one copy of the slab.
2. ``decode`` collects the host's share and sends it up, allocates, and adds the tables; the caller
   adds its own to the same :class:`Tables` and calls ``run``, which sends them and launches.
3. ``release`` gives the wave's memory back, after the caller queued what reads the chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cuzarr.cuda.device_decode import DeviceDecode, FirstBad, Pointers
from cuzarr.cuda.fetch import EncodedWave, fetch_wave
from cuzarr.cuda.host_decode import HostDecode
from cuzarr.cuda.inspection import DEVICE, HOST, Inspection, host_only, inspect
from cuzarr.cuda.memory import Keeper, Tables, align
from cuzarr.cuda.rows import ChunkLayout, swap_unit
from cuzarr.cuda.runtime import DeviceBuffer, Event
from cuzarr.cuda.shared import MAX_WAVE_CHUNKS, Shared
from cuzarr.cuda.steps import ChainSteps
from cuzarr.cuda.streams import Lane
from cuzarr.engine.batch import Job, Wave

TABLE_BYTES = 512  #: device bytes of tables that a chunk hardly exceeds
ZSTD_TEMP = 3  #: temporary bytes of nvCOMP's zstd per decoded byte, about


@dataclass
class Fetched:
    """A wave whose encoded chunks are on their way."""

    wave: Wave
    base: int
    encoded: EncodedWave
    inspection: Inspection
    host: HostDecode | None
    upload: DeviceBuffer | None = None
    shift: int = 0  #: position of the slab that ``upload`` begins with
    uploaded: Event | None = None


@dataclass
class Decoded:
    """A wave whose decoded chunks will be at ``pointers``, (n,) uint64, 0 where missing."""

    wave: Wave
    base: int
    pointers: Pointers
    tables: Tables
    steps: DeviceDecode
    buffers: list[DeviceBuffer] = field(default_factory=list)


class WaveDecoder:
    """Fetches and decodes the waves of one call.

    Parameters
    ----------
    shared : Shared
    job : Job
    lane : Lane
    first_bad : FirstBad

    Attributes
    ----------
    layout : ChunkLayout
        Of the decoded chunks in device memory.
    wave_chunks : int
    waves : list of (int, Wave)
        Number of the first chunk, and the wave, of everything fetched.
    """

    def __init__(self, shared: Shared, job: Job, lane: Lane, first_bad: FirstBad) -> None:
        self._shared, self._job, self._lane, self._first_bad = shared, job, lane, first_bad
        self._steps = steps = ChainSteps.of(job.chain)
        self.layout = _layout(job)
        self._nbytes = nbytes = max(1, self.layout.nbytes)
        self._expected = align(nbytes + nbytes // 8 + 1024)
        scratch = 2 * self._expected + TABLE_BYTES
        if steps.on_device and steps.compressor:
            scratch += nbytes * (1 + steps.may_shuffle + ZSTD_TEMP * steps.may_zstd)
        else:
            scratch += nbytes
        self._too_large = ""
        if scratch > shared.budget or self._expected > shared.slab_bytes:
            self._too_large = (
                f"a chunk needs {scratch} bytes of scratch and {self._expected} of a slab; there "
                f"are {shared.budget} and {shared.slab_bytes}"
            )
            scratch = 2 * nbytes + TABLE_BYTES
        fitting = min(shared.budget // scratch, shared.slab_bytes // self._expected)
        self.wave_chunks = min(max(1, fitting), MAX_WAVE_CHUNKS)
        self.waves: list[tuple[int, Wave]] = []
        self._count = 0
        self._pending: list[Fetched] = []
        self._keeper = Keeper(shared.runtime)

    def fetch(self, wave: Wave) -> Fetched:
        """Read a wave and start its decoding on the host, or its copy to the device."""
        shared = self._shared
        self._keeper.wait()
        limit = 0 if self._too_large else shared.slab_bytes
        encoded = fetch_wave(self._job.store, wave, shared.slabs, self._expected, limit)
        found = (
            host_only(encoded, self._steps, self._too_large, self._nbytes)
            if self._too_large
            else inspect(encoded, self._steps, shared.placement, self._nbytes)
        )
        self._job.report.extend(found.records)
        rows = np.flatnonzero(found.place == HOST)
        host = None
        if len(rows):
            host = HostDecode(
                self._job.chain, self._steps, wave, encoded, rows, shared.slabs, shared.slab_bytes
            )
        fetched = Fetched(wave, self._count, encoded, found, host)
        self.waves.append((self._count, wave))
        self._count += len(wave)
        self._pending.append(fetched)
        if host is not None:
            host.start()
        self._upload(fetched)
        return fetched

    def decode(self, fetched: Fetched) -> Decoded:
        """Make the wave's buffers and tables; nothing is launched before ``run``."""
        runtime, lane = self._shared.runtime, self._lane
        buffers = [] if fetched.upload is None else [fetched.upload]
        rows, found = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        if fetched.host is not None:
            fetched.host.wait()
            buffer = self._upload_host(fetched.host)
            buffers.append(buffer)
            found = fetched.host.rows
            stride = fetched.host.stride
            rows = buffer.ptr + stride * np.arange(len(found), dtype=np.uint64)
        self._pending.remove(fetched)
        if fetched.encoded.slab is not None:
            self._shared.slabs.give(fetched.encoded.slab, fetched.uploaded)
        lane.work_after_upload()
        start = 0 if fetched.upload is None else fetched.upload.ptr - fetched.shift
        steps = DeviceDecode(
            runtime, fetched.inspection, fetched.encoded.sizes, fetched.encoded.positions, start,
            self._nbytes, self._first_bad, fetched.base, self._shared.budget // 2,
        )  # fmt: skip
        tables = Tables(runtime, self._shared.slabs, lane.work)
        steps.reserve(tables, lane.work)
        steps.pointers[found] = rows
        return Decoded(fetched.wave, fetched.base, steps.pointers, tables, steps, buffers)

    def run(self, decoded: Decoded) -> None:
        """Send the tables and launch the device steps."""
        decoded.tables.send()
        decoded.steps.queue(decoded.tables, self._lane.work)

    def release(self, decoded: Decoded) -> None:
        """Give the memory of a wave back; whatever reads it was queued on the work stream."""
        self._lane.upload_after_work()
        decoded.buffers.clear()
        decoded.steps.buffers.clear()

    def key_of(self, number: int) -> tuple[Wave, int]:
        """Return the wave and row of a chunk by its number in the call."""
        for base, wave in self.waves:
            if base <= number < base + len(wave):
                return wave, number - base
        raise IndexError(number)

    def abort(self) -> None:
        """Stop the host's tasks; never raises."""
        for fetched in self._pending:
            if fetched.host is not None:
                fetched.host.cancel()
            fetched.upload = None
        self._pending.clear()

    def _upload(self, fetched: Fetched) -> None:
        encoded = fetched.encoded
        rows = np.flatnonzero((fetched.inspection.place == DEVICE) & (encoded.sizes > 0))
        if len(rows) == 0 or encoded.slab is None:
            return
        first = int(encoded.positions[rows].min())
        last = int((encoded.positions[rows] + encoded.sizes[rows]).max())
        runtime, stream = self._shared.runtime, self._lane.upload
        fetched.upload = runtime.alloc(last - first, stream)
        fetched.shift = first
        runtime.upload(
            fetched.upload.ptr, encoded.slab.pinned, last - first, stream, src_offset=first
        )
        fetched.uploaded = runtime.record(stream)

    def _upload_host(self, host: HostDecode) -> DeviceBuffer:
        runtime, stream = self._shared.runtime, self._lane.upload
        buffer = runtime.alloc(host.memory.nbytes, stream)
        source = host.memory if host.slab is None else host.slab.pinned
        runtime.upload(buffer.ptr, source, host.memory.nbytes, stream)
        event = runtime.record(stream)
        if host.slab is None:
            self._keeper.keep(event, host.memory)
        else:
            self._shared.slabs.give(host.slab, event)
        return buffer


def _layout(job: Job) -> ChunkLayout:
    layout, chunk = job.chain.layout, job.chain.chunk
    if layout is None:
        return ChunkLayout.native(chunk.shape, chunk.dtype.itemsize)
    return ChunkLayout(layout.shape, layout.strides, layout.nbytes, swap_unit(layout.dtype))
