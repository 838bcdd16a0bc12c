"""Kernels that only writes need, emulated: shuffles, the search for fill values, Adler-32."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from cuzarr.cuda.kernels import tile_table
from tests.emulation.driver import Driver
from tests.unit.test_kernels_blosc import unshuffle

TYPESIZES = [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 32, 100, 255]


def turn(kernel, blocks, typesizes, **options):
    """Run a shuffle; the driver of the inverse takes any kernel of the same arguments."""
    return unshuffle(kernel, blocks, typesizes, **options)


def byte_shuffled(raw, typesize):
    n = len(raw) // typesize * typesize
    items = np.frombuffer(raw[:n], np.uint8).reshape(-1, typesize)
    return items.T.tobytes() + raw[n:]


def bit_shuffled(raw, typesize):
    n = len(raw) // typesize
    if n % 8:
        return raw
    items = np.frombuffer(raw[: n * typesize], np.uint8).reshape(n, typesize)
    bits = np.unpackbits(items[:, :, None], axis=2, bitorder="little")  # element, byte, bit
    rows = np.packbits(bits.transpose(1, 2, 0), axis=2, bitorder="little")
    return rows.tobytes() + raw[n * typesize :]


@pytest.mark.parametrize("typesize", TYPESIZES)
@pytest.mark.parametrize("kind", ["blosc_shuffle", "blosc_bitshuffle"])
def test_shuffles(typesize, kind):
    rng = np.random.default_rng(typesize)
    counts = (0, 1, 3, 7, 8, 33, 64, 130, 2048, 40000 // typesize)
    blocks = [rng.bytes(count * typesize + extra) for count in counts for extra in (0, 1)]
    expected = byte_shuffled if kind == "blosc_shuffle" else bit_shuffled
    wanted = [expected(block, typesize) for block in blocks]
    assert turn(kind, blocks, [typesize] * len(blocks)) == wanted
    for source, target in ((1, 0), (0, 1), (4, 2)):
        found = turn(
            kind, blocks, [typesize] * len(blocks), seed=2, source_offset=source,
            target_offset=target, grid=3, tile=5000,
        )  # fmt: skip
        assert found == wanted
    assert turn(kind.replace("shuffle", "unshuffle"), wanted, [typesize] * len(blocks)) == blocks


@pytest.mark.parametrize("typesize", [0, -1, 256])
@pytest.mark.parametrize("kind", ["blosc_shuffle", "blosc_bitshuffle"])
def test_a_typesize_that_no_block_has_touches_nothing(typesize, kind):
    with Driver(0) as device:
        target = device.put(np.full(64, 7, np.uint8))
        device.run(
            kind, 1, device.table([device.put(np.zeros(64, np.uint8))], np.uint64),
            device.table([target], np.uint64), device.put(np.array([64])),
            device.put(np.array([typesize], np.int32)), device.put(np.array([0, 1])), 1,
        )  # fmt: skip
        assert (device.get(target, 64) == 7).all()


def differs(segments, fill, grid=2, tile=16384, seed=0):
    pattern = np.frombuffer(fill * (16 // len(fill)), np.uint64)
    sizes = np.array([len(s) for s in segments], np.int64)
    tiles = tile_table(sizes, tile)
    with Driver(seed) as device:
        at = [device.put(np.frombuffer(s, np.uint8)) for s in segments]
        flags = device.put(np.zeros(len(segments), np.uint32))
        device.run(
            "differs_from_fill", grid, device.table(at, np.uint64), device.put(sizes),
            device.put(tiles), len(segments), int(pattern[0]), int(pattern[1]), flags,
        )  # fmt: skip
        return device.get(flags, 4 * len(segments)).view(np.uint32).tolist()


@pytest.mark.parametrize("fill", [b"\0", b"\xff\x01", b"abcd", b"12345678", b"0123456789abcdef"])
def test_segments_that_hold_nothing_but_the_fill_value(fill):
    segments, wanted = [], []
    for size in (16, 48, 1000 // 16 * 16, 16384, 50000 // 16 * 16):
        whole = fill * (size // len(fill))
        segments.append(whole)
        wanted.append(0)
        for at in (0, size // 2, size - 1):
            changed = bytearray(whole)
            changed[at] ^= 0x80
            segments.append(bytes(changed))
            wanted.append(1)
    assert differs(segments, fill) == wanted
    assert differs(segments, fill, grid=1, tile=1000, seed=3) == wanted


def test_the_end_of_a_segment_is_compared_byte_by_byte():
    for size in (1, 7, 15, 17, 531):
        assert differs([b"\5" * size, b"\5" * (size - 1) + b"\4"], b"\5") == [0, 1]


def adler(segments, grid=2, tile=16384, offset=0, seed=0):
    sizes = np.array([len(s) for s in segments], np.int64)
    tiles = tile_table(sizes, tile)
    n = len(segments)
    with Driver(seed) as device:
        at = [device.put(np.frombuffer(s, np.uint8), offset=offset) for s in segments]
        sums, out = device.put(np.zeros((n, 2), np.uint64)), device.alloc(4 * n + 1, 0)
        sizes_at = device.put(sizes)
        device.run(
            "adler32_partial", grid, device.table(at, np.uint64), sizes_at, device.put(tiles), n,
            sums,
        )  # fmt: skip
        targets = device.table([out + 1 + 4 * i for i in range(n)], np.uint64)
        device.run("adler32_store", 1, sizes_at, sums, targets, n)
        return device.get(out + 1, 4 * n).view(">u4").tolist()


@pytest.mark.parametrize("tile", [16384, 3000])
def test_adler32(tile):
    rng = np.random.default_rng(1)
    sizes = (0, 1, 2, 255, 256, 257, 5551, 16384, 16385, 100_000)
    segments = [rng.bytes(n) for n in sizes] + [b"\xff" * n for n in sizes]
    assert adler(segments, tile=tile, offset=tile % 4) == [zlib.adler32(s) for s in segments]
