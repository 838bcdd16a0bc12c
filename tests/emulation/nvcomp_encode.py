"""nvCOMP's batched compression, answered by CPU libraries when its turn in the stream comes.

What nvCOMP documents is held to: alignments, temporary memory, longest streams. All the room that a
stream may take is overwritten, as nothing forbids, not only what the stream needs.
"""

from __future__ import annotations

import zlib
from typing import Any

import numcodecs.lz4
import numcodecs.zstd
import numpy as np

from tests.emulation.device import READ, WRITE, EmulationError

_ALIGNMENTS = {"LZ4": (1, 1, 2), "Zstd": (4, 1, 1), "Gzip": (1, 8, 8)}
_ALGORITHMS = {"LZ4": 0, "Zstd": 0, "Gzip": 5}
_LONGEST = {"LZ4": 1 << 24, "Zstd": (1 << 31) - 1, "Gzip": 1 << 31}
_JUNK = 0xC3


class EmulatedCompression:
    """The half of the ``NvComp`` protocol that compresses."""

    runtime: Any
    made: list[tuple[str, int, int]]  #: (format, algorithm, streams) of every call, for tests

    def compress_temp_bytes(
        self, fmt: str, algorithm: int, n: int, max_chunk: int, max_total: int
    ) -> int:
        self._check_algorithm(fmt, algorithm)
        self._check_length(fmt, max_chunk)
        if max_total > n * max_chunk:
            raise EmulationError(f"max_total {max_total} for {n} chunks of {max_chunk} bytes")
        if fmt == "LZ4":
            return 1 << 15 if n == 0 else n << 15
        if fmt == "Zstd":  # there is much that does not depend on the batch
            return 2 * max_total + 512
        return (6, 15, 17)[algorithm // 2] * max_total

    def compress_bound(self, fmt: str, algorithm: int, max_chunk: int) -> int:
        self._check_algorithm(fmt, algorithm)
        self._check_length(fmt, max_chunk)
        if fmt == "LZ4":
            return max_chunk + max_chunk // 255 + 8
        if fmt == "Zstd":
            return max_chunk + 10 + max_chunk // 20000
        return 2 * max_chunk + max_chunk // 4 + 800

    def compress_alignments(self, fmt: str, algorithm: int) -> tuple[int, int, int]:
        self._check_algorithm(fmt, algorithm)
        return _ALIGNMENTS[fmt]

    def compress(self, fmt: str, algorithm: int, in_ptrs: int, in_bytes: int, max_chunk: int,
                 n: int, temp: int, temp_bytes: int, out_ptrs: int, out_bytes: int,
                 statuses: int, stream: Any) -> None:  # fmt: skip
        self._check_algorithm(fmt, algorithm)
        if n <= 0:
            raise EmulationError("nvCOMP refuses an empty batch")
        self.made.append((fmt, algorithm, n))
        room = self.compress_bound(fmt, algorithm, max_chunk)

        def run() -> None:
            device = self.runtime.device
            tables = [
                device.view(table, 8 * n, READ).view(np.uint64).tolist()
                for table in (in_ptrs, in_bytes, out_ptrs)
            ]
            total = sum(tables[1])
            needed = self.compress_temp_bytes(fmt, algorithm, n, max_chunk, total)
            if temp_bytes < needed or temp % _ALIGNMENTS[fmt][2]:
                raise EmulationError(
                    f"{fmt} of {total} bytes with {temp_bytes} temporary bytes at {temp:#x}"
                )
            device.access(temp, temp_bytes, WRITE)
            made = [self._one_stream(fmt, algorithm, max_chunk, room, *item)
                    for item in zip(*tables, strict=True)]  # fmt: skip
            sizes = np.array(made, np.uint64)
            device.view(out_bytes, 8 * n, WRITE)[:] = sizes.view(np.uint8)
            device.view(statuses, 4 * n, WRITE)[:] = 0

        with self.runtime.entered(stream):
            self.runtime.scheduler.push(stream, f"nvcompBatched{fmt}Compress of {n}", run)

    def _one_stream(self, fmt: str, algorithm: int, max_chunk: int, room: int, source: int,
                    size: int, target: int) -> int:  # fmt: skip
        if size > max_chunk:
            raise EmulationError(f"a stream of {size} bytes in a batch of at most {max_chunk}")
        wanted = _ALIGNMENTS[fmt]
        if source % wanted[0] or target % wanted[1]:
            raise EmulationError(f"{fmt} from {source:#x} to {target:#x}: misaligned")
        device = self.runtime.device
        data = device.view(source, size, READ).tobytes()
        packed = _compressed(fmt, algorithm, data)
        if len(packed) > room:
            raise EmulationError(f"{size} bytes of {fmt} became {len(packed)}")
        out = device.view(target, room, WRITE)
        out[:] = _JUNK
        out[: len(packed)] = np.frombuffer(packed, np.uint8)
        return len(packed)

    def _check_algorithm(self, fmt: str, algorithm: int) -> None:
        if not 0 <= algorithm <= _ALGORITHMS.get(fmt, -1):
            raise EmulationError(f"no algorithm {algorithm} of {fmt!r}")

    def _check_length(self, fmt: str, max_chunk: int) -> None:
        if max_chunk > _LONGEST[fmt]:
            raise EmulationError(f"{fmt} streams of {max_chunk} bytes")


def _compressed(fmt: str, algorithm: int, data: bytes) -> bytes:
    if fmt == "LZ4":
        return bytes(numcodecs.lz4.compress(data))[4:]
    if fmt == "Zstd":
        return bytes(numcodecs.zstd.compress(data, level=1))
    packer = zlib.compressobj(algorithm + 1, wbits=-15)
    inside = packer.compress(data) + packer.flush()
    trailer = zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + inside + trailer
