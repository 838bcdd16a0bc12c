"""Feed damaged Blosc, zstd and LZ4 buffers to the native decoder.

1. Every buffer, source and destination alike, lies between pages that may not be touched, flush
   with one of them: an access outside kills the process, in the codecs too, which are not
   instrumented.
2. A good buffer is damaged at random (its header more often), cut, or filled with noise; some
   get a valid CRC-32C again.
3. Statuses must be those of the list, and bytes outside what was asked for must stay.

Usage: ``fuzz_native.py COUNT [SEED]``; COUNT 0 only checks that the extension is there.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections import Counter
from typing import Any

import numcodecs
import numpy as np

from cuzarr import native
from cuzarr.native.calls import Calls
from cuzarr.native.tables import DecodeStatus

PAGE = mmap.PAGESIZE
PROT_NONE = 0  # <sys/mman.h>; the mmap module does not name it
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
)  # fmt: skip
LIBC.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Guarded:
    """Memory between two forbidden pages, reused for one buffer after another."""

    def __init__(self, room: int) -> None:
        self.room = -(-room // PAGE) * PAGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = LIBC.mmap(
            None, self.room + 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0
        )
        if start in (None, ctypes.c_void_p(-1).value):
            raise OSError(ctypes.get_errno(), "mmap")
        self.start = start + PAGE
        for page in (start, self.start + self.room):
            if LIBC.mprotect(page, PAGE, PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")

    def place(self, data: bytes, at_end: bool) -> int:
        """Write a buffer flush with the end, or with the start; return its address."""
        address = self.start + (self.room - len(data) if at_end else 0)
        ctypes.memmove(address, data, len(data))
        return int(address)

    def view(self, address: int, size: int) -> memoryview:
        """Return memory that was placed."""
        return memoryview((ctypes.c_ubyte * size).from_address(address))


def seeds(rng: np.random.Generator) -> list[tuple[str, bytes, int]]:
    """Return good buffers: codec, encoded bytes, decoded size."""
    found: list[tuple[str, bytes, int]] = []
    for n in (1, 100, 3000, 20_000):
        pool = rng.integers(0, 2**32, 40, dtype=np.uint32)
        runs = pool[np.repeat(rng.integers(0, 40, n // 20 + 1), 20)[:n]]
        noise = rng.integers(0, 2**32, n, dtype=np.uint32)
        half = np.where(np.arange(n) % 200 < 100, runs, noise)
        for values in (runs, half, noise):
            for view in (values, values.view(np.uint8)):
                for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd"):
                    for shuffle in (0, 1, 2):
                        codec = numcodecs.Blosc(cname, 5, shuffle, 4096)
                        found.append(("blosc", bytes(codec.encode(view)), values.nbytes))
            for level, checksum in ((1, False), (9, True)):
                frame = bytes(numcodecs.Zstd(level, checksum=checksum).encode(values))
                found.append(("zstd", frame, values.nbytes))
                found.append(("zstd", frame + frame, 2 * values.nbytes))
            found.append(("lz4", bytes(numcodecs.LZ4().encode(values)), values.nbytes))
            found.append(("raw", values.tobytes(), values.nbytes))
    return found


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged copy."""
    kind, changed = rng.random(), bytearray(data)
    if kind < 0.05:
        return rng.bytes(int(rng.integers(0, 200)))
    if kind < 0.15:
        return data[: int(rng.integers(0, len(data) + 1))]
    if kind < 0.25:
        at = int(rng.integers(0, len(data)))
        changed[at : at + 64] = rng.bytes(len(changed[at : at + 64]))
    extremes = (0, 1, 0x7F, 0x80, 0xFF)
    for _ in range(int(rng.integers(1, 6))):
        head = min(len(changed), 40 if rng.random() < 0.5 else len(changed))
        at = int(rng.integers(0, head))
        random_byte = int(rng.integers(0, 256))
        changed[at] = int(rng.choice(extremes)) if rng.random() < 0.3 else random_byte
    if kind > 0.9 and len(changed) > 20:  # a whole 32-bit field
        at = int(rng.integers(0, min(10, len(changed) // 4))) * 4
        changed[at : at + 4] = int(rng.integers(0, 2**32)).to_bytes(4, "little")
    return bytes(changed)


def fuzz(calls: Calls, count: int, seed: int) -> Counter[str]:
    """Decode ``count`` damaged buffers; return how often each status came."""
    rng = np.random.default_rng(seed)
    good = seeds(rng)
    largest = max(max(len(data), size) for _, data, size in good) + 64
    source, target = Guarded(largest), Guarded(largest)
    seen: Counter[str] = Counter()
    for k in range(count):
        codec, data, size = good[int(rng.integers(len(good)))]
        if k % 16:
            data = damage(data, rng)
        checked = bool(rng.random() < 0.2)
        if checked:
            crc = native.crc32c(data) if rng.random() < 0.8 else 0
            data += crc.to_bytes(4, "little")
        if rng.random() < 0.05:
            size = max(0, min(largest, size + int(rng.integers(-5, 6))))
        lo, hi = 0, size
        if rng.random() < 0.4:
            lo, hi = sorted(rng.integers(0, size + 1, 2).tolist())
        ptr = np.array([source.place(data, bool(k & 1))], np.uint64)
        length = np.array([len(data)])
        out = np.array([target.place(bytes(size), bool(k & 2))], np.uint64)
        (status,) = calls.decode_batch(
            codec, checked, ptr, length, out, size, np.array([lo]), np.array([hi])
        ).tolist()
        seen[f"{codec} {DecodeStatus(status).name}"] += 1
        check_streams(calls, ptr, length, size)
        seen[f"zstd_frames {DecodeStatus(calls.zstd_frames(ptr, length).statuses[0]).name}"] += 1
    return seen


def check_streams(calls: Calls, ptr: Any, length: Any, size: int) -> None:
    """Every stream lies inside the chunk, and together they cover what it decodes to."""
    streams = calls.blosc_streams(ptr, length, size)
    ends = streams.source + streams.source_size
    assert (streams.source >= 16).all()
    assert (ends <= length[0]).all()
    if streams.statuses[0] == DecodeStatus.OK:
        order = np.argsort(streams.destination)
        sizes = streams.destination_size[order]
        assert sizes.sum() == size
        assert (streams.destination[order] == np.cumsum(sizes) - sizes).all()
    else:
        assert len(streams) == 0


def main() -> int:
    """Run; exit status 1 where the extension was not built."""
    if native.extension is None:
        print("the extension was not built")
        return 1
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    seen = fuzz(native.native_calls(native.extension), count, seed)
    print(f"{count} buffers, seed {seed}, {native.extension.__file__}")
    for name, times in sorted(seen.items()):
        print(f"  {name:24} {times}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
