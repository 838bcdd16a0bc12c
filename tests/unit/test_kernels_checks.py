"""The kernels of checksums but CRC-32C, emulated: CRC-32, Adler-32, Fletcher-32."""

from __future__ import annotations

import zlib

import numcodecs
import numcodecs.zstd
import numpy as np
import pytest

from cuzarr.cuda.kernels import tile_table
from tests.emulation.driver import Driver

SIZES = [0, 1, 2, 3, 4, 5, 31, 32, 33, 44, 64, 71, 255, 1024, 16383, 16384, 16385, 70001]
NO_BAD = 2**64 - 1


def fletcher(data: bytes) -> int:
    if not data:
        return 0
    encoded = numcodecs.get_codec({"id": "fletcher32"}).encode(np.frombuffer(data, "u1"))
    return int.from_bytes(bytes(encoded)[-4:], "little")


def xxh64(data: bytes) -> int:
    frame = bytes(numcodecs.zstd.compress(data or b"x", 1, True))
    return int.from_bytes(frame[-4:], "little") if data else 0x51D8E999


EXPECTED = {"xxh64": xxh64, "crc32": zlib.crc32, "adler32": zlib.adler32, "fletcher32": fletcher}


def first_bad(kind, segments, stored, *, grid=0, tile=16384, offset=0, big=0):
    """Return the word after checking segments against stored numbers."""
    words = 1 if kind == "crc32" else 4
    if kind == "xxh64":
        return first_bad_hash(segments, stored, grid or 1, offset)
    with Driver(3) as device:
        sizes = np.array([len(s) for s in segments], np.int64)
        tiles = tile_table(sizes, tile)
        pointers = [device.put(np.frombuffer(s, "u1"), offset=offset + i % 5)
                    for i, s in enumerate(segments)]  # fmt: skip
        order = ">u4" if big else "<u4"
        expected = [device.put(np.array([n], order).view("u1"), offset=3) for n in stored]
        nbytes, sums = device.put(sizes), device.filled(4 * words * len(sizes), 0)
        device.run(f"{kind}_partial", grid or int(tiles[-1]), device.table(pointers, np.uint64),
                   nbytes, device.put(tiles), len(sizes), sums)  # fmt: skip
        word = device.filled(8, 0xFF)
        args = [sums, device.table(expected, np.uint64), 0, len(sizes)]
        args = args if kind == "fletcher32" else [nbytes, *args]
        args += [big] if kind == "adler32" else []
        device.run(f"{kind}_check", 1, *args, 1000, 0, word)
        return int(device.get(word, 1, np.uint64)[0])


def first_bad_hash(segments, stored, grid, offset):
    with Driver(3) as device:
        pointers = [device.put(np.frombuffer(s, "u1"), offset=offset + i % 9)
                    for i, s in enumerate(segments)]  # fmt: skip
        expected = [device.put(np.array([n], "<u4").view("u1"), offset=3) for n in stored]
        word = device.filled(8, 0xFF)
        device.run("xxh64_check", grid, device.table(pointers, np.uint64),
                   device.table([len(s) for s in segments]), device.table(expected, np.uint64), 0,
                   len(segments), 1000, 0, word)  # fmt: skip
        return int(device.get(word, 1, np.uint64)[0])


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("how", [{}, {"grid": 2}, {"tile": 1 << 40}, {"tile": 500}, {"offset": 7}])
@pytest.mark.parametrize("filling", ["random", "zeros", "ones"])
def test_checksums(kind, how, filling):
    rng = np.random.default_rng(5)
    make = {"random": rng.bytes, "zeros": bytes, "ones": lambda n: b"\xff" * n}[filling]
    segments = [make(n) for n in SIZES]
    stored = [EXPECTED[kind](s) for s in segments]
    assert first_bad(kind, segments, stored, **how) == NO_BAD
    for flip in (0, 3, 17):
        wrong = [n ^ (i == flip) for i, n in enumerate(stored)]
        assert first_bad(kind, segments, wrong, **how) == 1000 + flip


def test_adler_of_zlib_streams_is_big_endian():
    segments = [b"abc", b"", bytes(range(256)) * 100]
    stored = [zlib.adler32(s) for s in segments]
    assert first_bad("adler32", segments, stored, big=1) == NO_BAD
    little = [int.from_bytes(n.to_bytes(4, "big"), "little") for n in stored]
    assert first_bad("adler32", segments, little, big=1) == 1000
