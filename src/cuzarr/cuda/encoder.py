"""Where the chunks of a write are encoded, and how many at a time.

1. :func:`placing` reads the chain (``encode_steps``) and decides once per call, since all chunks of
   an array are alike: the device where it has the codecs and enough streams to compress at the same
   time, else the host threads.
2. A wave is as large as budget and slabs allow, with what nvCOMP wants for itself counted; waves of
   a write are at least ``_WAVES``, so that compression, download and storing overlap. Zstd takes
   about as long for few frames as for hundreds, so its waves are larger.

**The thresholds** are from nvCOMP 6.0 on an H200 beside 16 host cores. A stream of LZ4 is made at
6 MB/s there, 0.3 GB/s on a core; zstd works on blocks of 128 KiB at the same time, at 1.5 to 5 MB/s
each, and gets 9 GB/s of thousands where a core has 0.2; gzip on pieces of its own, at 10 GB/s from
128 streams of 1 MiB on. ``cuda.encode`` overrides them: "host" or "device".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cuzarr.cuda.device_encode import Room, room_of, temp_bytes
from cuzarr.cuda.encode_steps import EncodeMode, EncodeSteps
from cuzarr.cuda.memory import align
from cuzarr.cuda.nvcomp_encode import MAX_STREAM
from cuzarr.cuda.packing import Container, RawContainer, container_of
from cuzarr.cuda.shared import MAX_WAVE_CHUNKS, Shared
from cuzarr.engine.batch import Job
from cuzarr.errors import DeviceError

#: Least number of streams at the same time that a device compresses faster, by nvCOMP format.
MIN_STREAMS: Final = {"LZ4": 1024, "Zstd": 768, "Gzip": 256}
#: Bytes of a stream that are compressed at the same time as the others of it.
_UNIT: Final = {"Zstd": 2**17, "Gzip": 2**16}
_DEPTH = 3  #: waves that are compressed, put together or downloaded at the same time
_HOST_DEPTH = 2  #: waves that are downloaded or encoded on the host
_WAVES, _ZSTD_WAVES = 8, 4
_SMALLEST_WAVE = 32 * 2**20  #: decoded bytes
_TABLE_BYTES = 512  #: of a chunk that is gathered


@dataclass(frozen=True)
class EncodePlan:
    """How a write is encoded.

    Attributes
    ----------
    steps : EncodeSteps
    container : Container
    room : Room
    wave_chunks : int
    depth : int
        Waves under way at the same time.
    why : str
        Why the host encodes; "" where the device does.
    reason : str
        What to say of the device.
    """

    steps: EncodeSteps
    container: Container
    room: Room
    wave_chunks: int
    depth: int
    why: str
    reason: str = ""

    @property
    def device(self) -> bool:
        """Whether the device encodes."""
        return not self.why


def placing(shared: Shared, job: Job, mode: EncodeMode) -> EncodePlan:
    """Decide where a write is encoded."""
    nvcomp, chunk = shared.runtime.nvcomp, job.chain.chunk
    steps = EncodeSteps.of(job.chain, mode, nvcomp=nvcomp is not None)
    why = steps.why
    if not why and mode == "auto" and job.plan.n_chunks * chunk.nbytes <= shared.small_bytes:
        why = "too small a write for a device"
    if why:
        return _on_host(shared, job, steps, why)
    container = container_of(steps.compressor, chunk.nbytes, chunk.dtype.itemsize)
    fmt = steps.compressor.format
    if fmt is not None and container.streams and container.length.max() > MAX_STREAM[fmt]:
        longest = int(container.length.max())
        return _on_host(shared, job, steps, f"a stream of {longest} bytes is too long for nvCOMP")
    try:
        room = room_of(shared.runtime, steps, container)
        found = _on_device(shared, job, steps, container, room)
    except DeviceError as error:
        return _on_host(shared, job, steps, str(error))
    if found is None:
        return _on_host(shared, job, steps, "a chunk needs more device memory than cuda.budget")
    least = MIN_STREAMS.get(fmt or "", 0)
    unit = _UNIT.get(fmt or "", 2**31)
    per_chunk = int((-(-container.length // unit)).sum())
    at_once = min(found.depth * found.wave_chunks, job.plan.n_chunks) * per_chunk
    if mode == "auto" and at_once < least:
        why = f"{at_once} streams or parts at once, fewer than the {least} that pay on a device"
        return _on_host(shared, job, steps, why)
    return found


def _on_device(
    shared: Shared, job: Job, steps: EncodeSteps, container: Container, room: Room
) -> EncodePlan | None:
    chunks, nbytes = job.plan.n_chunks, max(1, container.nbytes)
    waves = _ZSTD_WAVES if steps.compressor.format == "Zstd" else _WAVES
    wanted = max(-(-chunks // waves), _SMALLEST_WAVE // nbytes)
    most = max(1, min(wanted, shared.slab_bytes // room.encoded, MAX_WAVE_CHUNKS))
    stride = align(nbytes)
    for depth in range(_DEPTH, 0, -1):
        n = most
        while n and depth * (n * (stride + _TABLE_BYTES + room.chunk)
                             + temp_bytes(shared.runtime, steps, container, n)
                             ) > shared.budget:  # fmt: skip
            n //= 2
        if n:
            depth = min(depth, -(-chunks // n)) or 1
            count = min(depth * n, chunks) * container.streams
            reason = f"{count} streams at once" if container.streams else "nothing to compress"
            return EncodePlan(steps, container, room, n, depth, "", reason)
    return None


def _on_host(shared: Shared, job: Job, steps: EncodeSteps, why: str) -> EncodePlan:
    nbytes = job.chain.chunk.nbytes if job.chain.layout is None else job.chain.layout.nbytes
    stride = align(max(1, nbytes))
    room = min(shared.budget // (2 * _HOST_DEPTH), shared.slab_bytes)
    n = max(1, min(room // (stride + _TABLE_BYTES), MAX_WAVE_CHUNKS))
    depth = min(_HOST_DEPTH, -(-job.plan.n_chunks // n)) or 1
    return EncodePlan(steps, RawContainer(nbytes=nbytes), Room(0, 0, stride), n, depth, why)
