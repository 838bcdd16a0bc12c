"""Unshuffle kernels, emulated, against what numcodecs' Blosc shuffled."""

from __future__ import annotations

import struct

import numcodecs.blosc
import numpy as np
import pytest

from cuzarr.cuda.kernels import tile_table
from tests.emulation.build import load
from tests.emulation.driver import Driver

TYPESIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 32, 100, 255]


def shuffled_blocks(chunk):
    """Return (decompressed but still shuffled blocks, typesize) of a Blosc chunk of LZ4."""
    _, _, flags, typesize, nbytes, blocksize, cbytes = struct.unpack_from("<BBBBIII", chunk)
    assert len(chunk) == cbytes
    assert not flags & 2, "memcpyed: nothing is shuffled"
    blocks = []
    n = -(-nbytes // blocksize)
    for i, at in enumerate(struct.unpack_from(f"<{n}i", chunk, 16)):
        size = min(blocksize, nbytes - i * blocksize)
        split = not flags & 0x10 and typesize <= 16 and blocksize // typesize >= 128
        streams = typesize if split and size == blocksize else 1
        block = b""
        for _ in range(streams):
            (csize,) = struct.unpack_from("<i", chunk, at)
            data, at = chunk[at + 4 : at + 4 + csize], at + 4 + csize
            block += data if csize == size // streams else lz4(data, size // streams)
        assert len(block) == size
        blocks.append(block)
    return blocks, typesize


def lz4(data, size):
    source, out = np.frombuffer(data, np.uint8), np.empty(size, np.uint8)
    decode = load().cdll.emu_lz4
    assert decode(source.ctypes.data, len(data), out.ctypes.data, size) == size
    return out.tobytes()


def unshuffle(
    kernel, blocks, typesizes, *, seed=0, source_offset=0, target_offset=0, grid=0, tile=16384
):
    sizes = np.array([len(b) for b in blocks], np.int64)
    tiles = tile_table(sizes, tile)
    with Driver(seed) as device:
        source = [device.put(np.frombuffer(b, np.uint8), offset=source_offset) for b in blocks]
        target = [device.alloc(len(b), target_offset) for b in blocks]
        device.run(
            kernel, grid or tiles[-1], device.table(source, np.uint64),
            device.table(target, np.uint64), device.put(sizes), device.put(typesizes, np.int32),
            device.put(tiles), len(blocks),
        )  # fmt: skip
        return [device.get(p, len(b)).tobytes() for p, b in zip(target, blocks, strict=True)]


def smooth(typesize, elements, seed=0):
    """Bytes that compress whichever way they are shuffled."""
    rng = np.random.default_rng(seed)
    column = np.cumsum(rng.integers(0, 3, elements)).astype("<u8")
    raw = np.zeros((elements, typesize), np.uint8)
    k = min(typesize, 3)
    raw[:, :k] = column.view(np.uint8).reshape(elements, 8)[:, :k]
    raw[:, -1] ^= (np.arange(elements) // 50).astype(np.uint8)
    return raw


def compress(raw, shuffle, blocksize):
    typed = raw.view(f"V{raw.shape[1]}").ravel()
    return numcodecs.blosc.compress(typed, b"lz4", 9, shuffle, blocksize)


@pytest.mark.parametrize("typesize", TYPESIZES)
@pytest.mark.parametrize("shuffle", [1, 2])
@pytest.mark.parametrize(
    ("elements", "blocksize"), [(4096, 0), (1000, 4096), (3333, 2048), (517, 0)]
)
def test_blocks_of_numcodecs(typesize, shuffle, elements, blocksize):
    raw = smooth(typesize, elements, seed=typesize)
    chunk = compress(raw, shuffle, blocksize)
    flags = chunk[2]
    if flags & 2:  # stored as it was: shuffle flags mean nothing, and there is no kernel to run
        assert chunk[16:] == raw.tobytes()
        return
    blocks, found = shuffled_blocks(chunk)
    assert found == typesize
    kernel = "blosc_bitunshuffle" if flags & 4 else "blosc_unshuffle"
    if not flags & 5:
        assert typesize == 1  # nothing to shuffle
    result = unshuffle(kernel, blocks, [typesize] * len(blocks), seed=elements)
    assert b"".join(result) == raw.tobytes()


@pytest.mark.parametrize("kernel", ["blosc_unshuffle", "blosc_bitunshuffle"])
@pytest.mark.parametrize(
    ("source_offset", "target_offset"), [(0, 0), (4, 16), (1, 4), (3, 2), (16, 1)]
)
def test_blocks_of_any_alignment_type_and_size_in_one_launch(kernel, source_offset, target_offset):
    rng = np.random.default_rng(source_offset)
    typesizes, blocks, expected = [], [], []
    for typesize in [1, 2, 4, 8, 16, 3, 255]:
        for size in [0, 1, typesize, 8 * typesize, 40 * typesize + typesize // 2, 20000]:
            raw = rng.integers(0, 256, size, np.uint8).tobytes()
            typesizes.append(typesize)
            expected.append(raw)
            blocks.append((shuffle_bits if "bit" in kernel else shuffle_bytes)(raw, typesize))
    for how in ({}, {"grid": 2}, {"tile": 10**9}, {"tile": 999}):
        result = unshuffle(kernel, blocks, typesizes, seed=3, source_offset=source_offset,
                           target_offset=target_offset, **how)  # fmt: skip
        assert result == expected


def unshuffle_to_rows(kernel, blocks, typesize, offsets, rows, room, first, *, seed, grid, tile):
    """Return memory of 0xEE after a chunk was unshuffled to rows from ``first`` on."""
    sizes = np.array([len(b) for b in blocks], np.int64)
    tiles = tile_table(sizes, tile)
    n = len(blocks)
    with Driver(seed) as device:
        source = [device.put(np.frombuffer(b, np.uint8)) for b in blocks]
        target = device.filled(room, 0xEE)
        device.run(
            kernel, grid or tiles[-1], device.table(source, np.uint64),
            device.table([target + first] * n, np.uint64), device.put(sizes),
            device.put([typesize] * n, np.int32), device.put(tiles), n, device.table(offsets),
            *rows,
        )  # fmt: skip
        return device.get(target, room)


@pytest.mark.parametrize("kernel", ["blosc_unshuffle", "blosc_bitunshuffle"])
@pytest.mark.parametrize("shift", [0, 1, 2, 4, 8])
@pytest.mark.parametrize(
    "rows",
    [
        (64, 5, 100, 700),
        (4096, 3, 4100, 20000),
        (160, 1000, 161, 0),
        (48, 7, -64, 501),
        (20480, 2, 20481, -70000),
    ],
    ids=str,
)
def test_blocks_that_go_to_rows(kernel, shift, rows):
    """Rows may be in any order and of any alignment; what is between them stays."""
    run, per, stride, plane = rows
    shuffle = shuffle_bits if "bit" in kernel else shuffle_bytes
    pieces = np.arange(5 if run > 4096 else 13)
    begins = pieces // per * plane + pieces % per * stride
    begins += shift - begins.min()
    raw = np.random.default_rng(run).integers(0, 256, run * len(pieces), np.uint8)
    expected = np.full(begins.max() + run + 5, 0xEE, np.uint8)
    for begin, piece in zip(begins, raw.reshape(-1, run), strict=True):
        expected[begin : begin + run] = piece
    for typesize in (1, 2, 3, 4, 8, 16, 24, 255):
        for seed, (size, grid, tile) in enumerate(
            [(4096, 0, 16384), (10000, 2, 999), (1040, 0, 10**9)]
        ):
            offsets = range(0, len(raw), size)
            blocks = [shuffle(raw[at : at + size].tobytes(), typesize) for at in offsets]
            found = unshuffle_to_rows(
                f"{kernel}_rows", blocks, typesize, offsets, rows, len(expected), int(begins[0]),
                seed=seed, grid=grid, tile=tile,
            )  # fmt: skip
            np.testing.assert_array_equal(found, expected)


def shuffle_bytes(raw, typesize):
    whole = len(raw) // typesize * typesize
    table = np.frombuffer(raw[:whole], np.uint8).reshape(-1, typesize)
    return table.T.tobytes() + raw[whole:]


def shuffle_bits(raw, typesize):
    whole = len(raw) // typesize * typesize
    if whole // typesize % 8:
        return raw
    table = np.frombuffer(raw[:whole], np.uint8).reshape(-1, typesize)
    bits = np.unpackbits(table, axis=1, bitorder="little")  # (element, 8 j + k)
    return np.packbits(bits.T, axis=1, bitorder="little").tobytes() + raw[whole:]


def test_a_type_size_that_cannot_be_writes_nothing():
    for typesize in (0, -1, 256):
        with Driver() as device:
            source, target = device.filled(64, 1), device.filled(64, 2)
            for kernel in ("blosc_unshuffle", "blosc_bitunshuffle"):
                device.run(
                    kernel, 1, device.table([source], np.uint64), device.table([target], np.uint64),
                    device.table([64]), device.put([typesize], np.int32), device.table([0, 1]), 1,
                )  # fmt: skip
            assert (device.get(target, 64) == 2).all()
