"""Waves fetched and decoded into device memory: what reads, and writes of parts of chunks, share.

1. ``fetch`` starts the reading of a wave into a pinned slab.
2. ``prepare`` waits for it, reads the headers, starts the host's share on threads and queues one
   copy of the slab.
3. ``complete`` collects the host's share and sends it up, allocates, and adds the tables; the
   caller adds its own to the same :class:`Tables` and calls ``run``, which sends them and launches.
4. ``release`` gives the wave's memory back, after the caller queued what reads the chunks.

How large a wave is. While a wave is read, up to ``WORK_STREAMS`` are uploaded and decoded: a large
read is cut into at least ``_WAVES`` waves, so that the first upload and the last decoding, which
nothing overlaps, are a small part of the whole; not below ``_SMALLEST_WAVE``, where what a wave
costs apart from its bytes begins to count; and not above what the slabs and the budget allow. Of
chunks that are on the device already nothing is uploaded, and ``_RESIDENT_WAVES`` are enough.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import numpy as np

from cuzarr.cuda.device_decode import DeviceDecode, FirstBad, Pointers
from cuzarr.cuda.fetch import EncodedWave, Reading
from cuzarr.cuda.host_decode import HostDecode
from cuzarr.cuda.inspected import DEVICE, HOST, Inspection
from cuzarr.cuda.inspection import host_only, inspect
from cuzarr.cuda.kvikio_fetch import KvikioReading, by_kvikio, give_device_slab
from cuzarr.cuda.memory import Keeper, Tables
from cuzarr.cuda.resident import ResidentReading, resident_chunks
from cuzarr.cuda.rows import Places
from cuzarr.cuda.runtime import DeviceBuffer, Event, Stream
from cuzarr.cuda.shared import MAX_WAVE_CHUNKS, Shared
from cuzarr.cuda.steps import ChainSteps
from cuzarr.cuda.streams import WORK_STREAMS, Lane
from cuzarr.engine.batch import Job, Wave
from cuzarr.errors import DeviceMemoryError

TABLE_BYTES = 512  #: device bytes of tables that a chunk hardly exceeds
_WAVES, _RESIDENT_WAVES = 8, 4
_SMALLEST_WAVE = 32 * 2**20  #: decoded bytes
_WORTHWHILE = 16  #: chunks per wave, below which fewer waves are decoded at the same time


@dataclass(eq=False)
class Fetched:
    """A wave that is being read."""

    wave: Wave
    base: int
    reading: Reading | ResidentReading | KvikioReading


@dataclass(eq=False)
class Prepared:
    """A wave whose headers were read; its encoded chunks are on their way to the device."""

    wave: Wave
    base: int
    encoded: EncodedWave
    inspection: Inspection
    host: HostDecode | None
    turn: int
    work: Stream
    upload: DeviceBuffer | None = None
    shift: int = 0  #: position of the slab that ``upload`` begins with
    uploaded: Event | None = None


@dataclass(eq=False)
class Decoded:
    """A wave whose decoded chunks will be at ``pointers``, (n,) uint64, 0 where missing."""

    wave: Wave
    base: int
    turn: int
    work: Stream
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
    depth : int
        Waves that may be decoded at the same time.
    why_host : str
        Why the host decodes everything; "" where the device has its share.

    Attributes
    ----------
    layout : ChunkLayout
        Of the decoded chunks in device memory.
    wave_chunks : int
    waves : list of (int, Wave)
        Number of the first chunk, and the wave, of everything fetched.
    """

    def __init__(
        self,
        shared: Shared,
        job: Job,
        lane: Lane,
        first_bad: FirstBad,
        depth: int = WORK_STREAMS,
        why_host: str = "",
    ) -> None:
        self._shared, self._job, self._lane, self._first_bad = shared, job, lane, first_bad
        self._steps = ChainSteps.of(job.chain)
        self._resident = resident_chunks(shared, job)
        # They may be closed by another thread while this call reads them.
        self._memory = () if self._resident is None else self._resident.memory
        self.layout = self._steps.layout
        self._nbytes = max(1, self.layout.nbytes)
        self._why_host = why_host
        self._plan_waves(depth)
        self.waves: list[tuple[int, Wave]] = []
        self._count = self._turn = 0
        self._pending: list[Fetched | Prepared] = []
        self._keeper = Keeper(shared.runtime)

    def _plan_waves(self, depth: int) -> None:
        """Choose how many chunks a wave has, and how many waves are decoded at the same time."""
        shared, steps, nbytes = self._shared, self._steps, self._nbytes
        self._expected, temp = steps.encoded_nbytes, steps.temp_nbytes
        scratch = steps.scratch_nbytes + TABLE_BYTES + temp
        if self._resident is not None:
            scratch -= self._expected
            self._expected = 0
        if scratch > shared.budget or self._expected > shared.slab_bytes:
            self._why_host = (
                f"a chunk needs {scratch} bytes of scratch and {self._expected} of a slab; there "
                f"are {shared.budget} and {shared.slab_bytes}"
            )
        if self._why_host:
            scratch = nbytes + TABLE_BYTES
            self._resident, self._expected = None, steps.encoded_nbytes
        depth = max(1, min(depth, shared.budget // (_WORTHWHILE * scratch)))
        fitting = shared.budget // (depth * scratch)
        if self._expected:
            fitting = min(fitting, shared.slab_bytes // self._expected)
        chunks = self._job.plan.n_chunks
        waves = _WAVES if self._resident is None else _RESIDENT_WAVES
        wanted = max(-(-chunks // waves), _SMALLEST_WAVE // nbytes)
        self.wave_chunks = max(1, min(fitting, wanted, MAX_WAVE_CHUNKS))
        self._depth = min(depth, -(-chunks // self.wave_chunks)) or 1
        # What was counted is there in one piece; streams of a zstd that nobody announced (a chunk's
        # header may name another codec than the metadata) take what they find.
        self._temp_limit = max(temp * self.wave_chunks, shared.budget // (2 * depth))

    def leave_to_host(self, why: str) -> None:
        """Have the host decode every wave that is fetched from now on."""
        self._why_host = why
        self._plan_waves(self._depth)

    def fetch(self, wave: Wave, *, ahead: bool = False) -> Fetched:
        """Start the reading of a wave; ``ahead``: in the background."""
        shared = self._shared
        reading: Reading | ResidentReading | KvikioReading
        if self._resident is not None:
            reading = ResidentReading(self._resident, self._job, wave)
        elif not self._why_host and by_kvikio(shared, self._job.store):
            reading = KvikioReading(shared, self._job, self._steps, wave, ahead=ahead)
        else:
            limit = 0 if self._why_host else shared.slab_bytes
            reading = Reading(
                self._job.store, wave, shared.slabs, self._expected, limit, ahead=ahead
            )
        fetched = Fetched(wave, self._count, reading)
        self.waves.append((self._count, wave))
        self._count += len(wave)
        self._pending.append(fetched)
        return fetched

    def prepare(self, fetched: Fetched) -> Prepared:
        """Wait for the wave, read its headers, start the host's share and the upload."""
        shared, wave = self._shared, fetched.wave
        self._keeper.wait()
        encoded = fetched.reading.result()
        if self._why_host:
            found = host_only(encoded, self._steps, self._why_host)
        elif encoded.inspection is not None:
            found = encoded.inspection
        else:
            found = inspect(encoded, self._steps, self._job.chain, shared.placement, self._depth)
        self._job.report.extend(found.records)
        rows = np.flatnonzero(found.place == HOST)
        host = None
        if len(rows):
            host = HostDecode(
                self._job.chain, self._steps, wave, encoded, rows, shared.slabs, shared.slab_bytes
            )
        turn = self._turn % self._depth
        self._turn += 1
        work = self._lane.work(turn)
        prepared = Prepared(wave, fetched.base, encoded, found, host, turn, work)
        self._pending[self._pending.index(fetched)] = prepared
        if host is not None:
            host.start()
        with contextlib.suppress(DeviceMemoryError):  # ``complete`` tries again, and raises
            self._upload(prepared)
        return prepared

    def complete(self, prepared: Prepared, places: Places | None = None) -> Decoded:
        """Make the wave's buffers and tables; nothing is launched before ``run``.

        ``places`` says where decoded chunks belong: what the device writes there at once is
        ``steps.placed``.
        """
        runtime, work = self._shared.runtime, prepared.work
        rows, found = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        buffers = []
        if prepared.host is not None:
            prepared.host.wait()
            buffer = self._upload_host(prepared, prepared.host)
            buffers.append(buffer)
            found = prepared.host.rows
            stride = prepared.host.stride
            rows = buffer.ptr + stride * np.arange(len(found), dtype=np.uint64)
        self._upload(prepared)
        if prepared.upload is not None:
            buffers.append(prepared.upload)
        start = 0 if prepared.upload is None else prepared.upload.ptr - prepared.shift
        if prepared.encoded.device is not None:
            start = prepared.encoded.device.ptr
        steps = DeviceDecode(
            runtime, prepared.inspection, self._steps, prepared.encoded, start, self._first_bad,
            prepared.base, self._temp_limit,
        )  # fmt: skip
        tables = Tables(runtime, self._shared.table_slabs, work)
        steps.reserve(tables, work, places)
        steps.pointers[found] = rows
        return Decoded(
            prepared.wave, prepared.base, prepared.turn, work, steps.pointers, tables, steps,
            buffers,
        )  # fmt: skip

    def run(self, decoded: Decoded) -> None:
        """Send the tables and launch the device steps."""
        decoded.tables.send()
        decoded.steps.queue(decoded.tables, decoded.work)

    def release(self, prepared: Prepared, decoded: Decoded) -> None:
        """Give a wave's memory back; whatever reads it was queued on the wave's work stream."""
        self.discard(prepared)
        decoded.buffers.clear()
        decoded.steps.buffers.clear()

    def discard(self, pending: Fetched | Prepared) -> None:
        """Let go of a wave, whatever state it is in; never raises."""
        self._pending.remove(pending)
        if isinstance(pending, Fetched):
            pending.reading.cancel()
            return
        if pending.host is not None:
            pending.host.cancel()
            if pending.host.slab is not None:
                self._shared.slabs.give(pending.host.slab, None)
        give_device_slab(self._shared, pending.encoded, pending.work)
        if pending.encoded.slab is not None:
            self._shared.slabs.give(pending.encoded.slab, pending.uploaded)
        pending.upload = None

    def take_back_uploads(self) -> None:
        """Give back the device memory of waves that are not complete: they are sent up again."""
        for pending in self._pending:
            if isinstance(pending, Prepared):
                pending.upload = None

    def key_of(self, number: int) -> tuple[Wave, int]:
        """Return the wave and row of a chunk by its number in the call."""
        for base, wave in self.waves:
            if base <= number < base + len(wave):
                return wave, number - base
        raise IndexError(number)

    def abort(self) -> None:
        """Stop the host's tasks; never raises."""
        for pending in list(self._pending):
            self.discard(pending)

    def _upload(self, prepared: Prepared) -> None:
        """Send the encoded chunks up that the device decodes, unless they are on their way."""
        encoded = prepared.encoded
        rows = np.flatnonzero((prepared.inspection.place == DEVICE) & (encoded.sizes > 0))
        if len(rows) == 0 or encoded.slab is None or prepared.upload is not None:
            return
        if encoded.device is not None:
            return
        first = int(encoded.positions[rows].min())
        last = int((encoded.positions[rows] + encoded.sizes[rows]).max())
        runtime, stream = self._shared.runtime, self._lane.upload
        buffer = runtime.alloc(last - first, prepared.work)
        self._lane.upload_after(prepared.turn)
        runtime.upload(buffer.ptr, encoded.slab.pinned, last - first, stream, src_offset=first)
        prepared.uploaded = runtime.record(stream)
        runtime.stream_wait(prepared.work, prepared.uploaded)
        prepared.upload, prepared.shift = buffer, first

    def _upload_host(self, prepared: Prepared, host: HostDecode) -> DeviceBuffer:
        runtime, stream = self._shared.runtime, self._lane.upload
        buffer = runtime.alloc(host.memory.nbytes, prepared.work)
        self._lane.upload_after(prepared.turn)
        source = host.memory if host.slab is None else host.slab.pinned
        runtime.upload(buffer.ptr, source, host.memory.nbytes, stream)
        event = runtime.record(stream)
        runtime.stream_wait(prepared.work, event)
        if host.slab is None:
            self._keeper.keep(event, host.memory)
        else:
            self._shared.slabs.give(host.slab, event)
            host.slab = None
        return buffer
