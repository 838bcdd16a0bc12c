"""nvCOMP's batched decompression, answered by CPU libraries when its turn in the stream comes.

1. Pointer and size tables are read from device memory, through the access checks.
2. Every stream is decoded alone. LZ4 answers corrupt input with a status, as nvCOMP promises; for
   the other formats that is undefined behaviour, so such a stream is an error of the caller
   (``on_undefined="raise"``) or comes back as garbage with status 0 (``"garbage"``).
3. Alignments, temporary memory and capacities are held to what nvCOMP documents.
"""

from __future__ import annotations

import zlib
from typing import Any

import numcodecs.zstd
import numpy as np

from tests.emulation.device import READ, WRITE, EmulationError, UndefinedBehaviourError
from tests.emulation.nvcomp_encode import EmulatedCompression

_ALIGNMENTS = {
    "LZ4": (1, 1, 1),
    "Snappy": (1, 1, 1),
    "Zstd": (1, 1, 8),
    "Gzip": (1, 1, 1),
    "Deflate": (4, 1, 1),
}
_CANNOT_DECOMPRESS = 12  # nvcompErrorCannotDecompress


class EmulatedNvComp(EmulatedCompression):
    """The ``NvComp`` protocol on the host; the base compresses.

    Parameters
    ----------
    runtime : EmulatedRuntime
    version : tuple of int
    on_undefined : {"raise", "garbage"}
    """

    def __init__(self, runtime: Any, version: tuple[int, int, int] = (6, 0, 0),
                 on_undefined: str = "raise") -> None:  # fmt: skip
        self.runtime, self.version, self.on_undefined = runtime, version, on_undefined
        self.calls: list[tuple[str, int]] = []  #: (format, streams) of every call, for tests
        self.undefined = 0  #: streams that came back as garbage
        self.made = []

    def decompress_temp_bytes(self, fmt: str, n: int, max_chunk: int, max_total: int) -> int:
        self._known(fmt)
        if max_total > n * max_chunk:
            raise EmulationError(f"max_total {max_total} for {n} chunks of {max_chunk} bytes")
        return 3 * max_total + 1024 if fmt == "Zstd" else 16 * n

    def alignments(self, fmt: str) -> tuple[int, int, int]:
        self._known(fmt)
        return _ALIGNMENTS[fmt]

    def decompress(self, fmt: str, in_ptrs: int, in_bytes: int, out_capacity: int,
                   out_actual: int, n: int, temp: int, temp_bytes: int, out_ptrs: int,
                   statuses: int, stream: Any) -> None:  # fmt: skip
        self._known(fmt)
        if n <= 0:
            raise EmulationError("nvCOMP refuses an empty batch")
        self.calls.append((fmt, n))

        def run() -> None:
            device = self.runtime.device
            tables = [
                device.view(table, 8 * n, READ).view(np.uint64).tolist()
                for table in (in_ptrs, in_bytes, out_capacity, out_ptrs)
            ]
            if temp_bytes:
                device.access(temp, temp_bytes, WRITE)
            self._check_temp(fmt, temp, temp_bytes, sum(tables[2]))
            found = [self._one(fmt, *item) for item in zip(*tables, strict=True)]
            status = np.array([s for s, _ in found], np.int32)
            actual = np.array([size for _, size in found], np.uint64)
            device.view(statuses, 4 * n, WRITE)[:] = status.view(np.uint8)
            device.view(out_actual, 8 * n, WRITE)[:] = actual.view(np.uint8)

        with self.runtime.entered(stream):
            self.runtime.scheduler.push(stream, f"nvcompBatched{fmt}Decompress of {n}", run)

    def _one(self, fmt: str, source: int, size: int, capacity: int, target: int) -> tuple[int, int]:
        device = self.runtime.device
        if source % _ALIGNMENTS[fmt][0]:
            raise EmulationError(f"{fmt} input at {source:#x} is not {_ALIGNMENTS[fmt][0]}-aligned")
        data = device.view(source, size, READ)
        if fmt in ("LZ4", "Snappy"):
            out = np.empty(capacity, np.uint8)
            decode = device.cdll.emu_lz4 if fmt == "LZ4" else device.cdll.emu_snappy
            made = decode(data.ctypes.data, size, out.ctypes.data, capacity)
            if made >= 0:
                out[made:] = 0x5A  # whatever: what was there before, but memory to read
                device.view(target, capacity, WRITE)[:] = out
                return 0, made
            if fmt == "LZ4":  # what it leaves is undefined, but memory to read
                device.view(target, capacity, WRITE)[:] = 0x5A
                return _CANNOT_DECOMPRESS, 0
            problem = "corrupt"
        else:
            try:
                plain = DECODERS[fmt](data.tobytes())
            except Exception as error:
                problem = str(error) or repr(error)
            else:
                if len(plain) <= capacity:
                    out = device.view(target, capacity, WRITE)
                    out[: len(plain)], out[len(plain) :] = np.frombuffer(plain, np.uint8), 0x5A
                    return 0, len(plain)
                problem = f"{len(plain)} decoded bytes for {capacity}"
        if self.on_undefined == "raise":
            raise UndefinedBehaviourError(
                f"a {fmt} stream of {size} bytes reached nvCOMP, which does not define what "
                f"follows: {problem}"
            )
        self.undefined += 1
        device.view(target, capacity, WRITE)[:] = 0x5A
        return 0, capacity

    def _check_temp(self, fmt: str, temp: int, temp_bytes: int, total: int) -> None:
        if fmt == "Zstd" and temp_bytes < 3 * total:
            raise EmulationError(f"Zstd of {total} decoded bytes with {temp_bytes} temporary bytes")
        if temp % _ALIGNMENTS[fmt][2]:
            raise EmulationError(f"temporary memory at {temp:#x} is misaligned for {fmt}")

    def _known(self, fmt: str) -> None:
        if fmt not in _ALIGNMENTS:
            raise EmulationError(f"no such format: {fmt!r}")


def _zstd(data: bytes) -> bytes:
    if data[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("not one zstd frame")
    if data[4] & 3:
        raise ValueError("a frame with a dictionary")
    first, end = _zstd_frame(data)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes after the first frame")
    if data[first : first + 3] == b"\x01\0\0":  # numcodecs refuses a frame of nothing
        return b""
    return bytes(numcodecs.zstd.decompress(data))


def _zstd_frame(data: bytes) -> tuple[int, int]:
    """Return where the first block and the end of the first frame are (RFC 8878, 3.1.1)."""
    descriptor = data[4]
    single = descriptor >> 5 & 1
    size_field = (single, 2, 4, 8)[descriptor >> 6]
    first = at = 5 + (1 - single) + size_field
    while True:
        if at + 3 > len(data):
            raise ValueError("truncated zstd frame")
        header = int.from_bytes(data[at : at + 3], "little")
        kind, size = header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else size)
        if header & 1:
            return first, at + 4 * (descriptor >> 2 & 1)


def _deflate(data: bytes) -> bytes:
    decoder = zlib.decompressobj(-15)
    plain = decoder.decompress(data) + decoder.flush()
    if not decoder.eof:
        raise ValueError("truncated deflate stream")
    return plain


def _gzip(data: bytes) -> bytes:
    decoder = zlib.decompressobj(31)
    plain = decoder.decompress(data) + decoder.flush()
    if not decoder.eof:
        raise ValueError("truncated gzip member")
    if decoder.unused_data:
        raise ValueError("bytes after the one gzip member that nvCOMP decodes")
    return plain


DECODERS = {"Zstd": _zstd, "Deflate": _deflate, "Gzip": _gzip}
