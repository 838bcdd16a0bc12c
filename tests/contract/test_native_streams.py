"""``blosc_streams`` and ``zstd_frames``: enough to decode without any other look at the bytes."""

from __future__ import annotations

import zlib
from typing import Any

import numcodecs
import numpy as np
import pytest

from cuzarr.native.calls import Calls
from cuzarr.native.tables import BLOSC_FORMATS, BloscStreams, DecodeStatus
from tests.contract.native_cases import NATIVE, TWIN, both, bytes_column
from tests.contract.test_native_decode import (
    COMPRESSORS,
    changed,
    unsized_zstd_frame,
    values_of,
    zstd_frame,
)

OK, HEADER, SIZE, CORRUPT, CHECKSUM, TRUNCATED = (int(status) for status in DecodeStatus)


def streams_of(calls: Calls, chunks: list[bytes | None], nbytes: int) -> BloscStreams:
    _kept, ptrs, sizes = bytes_column(chunks)
    found = calls.blosc_streams(ptrs, sizes, nbytes)
    assert len(found) == found.first[-1] == len(found.raw)
    return found


def decode_stream(form: str, data: bytes, size: int) -> bytes:
    if form == "lz4":
        return bytes(numcodecs.LZ4().decode(size.to_bytes(4, "little") + data))
    if form == "zstd":
        return bytes(numcodecs.Zstd().decode(data))
    assert form == "zlib"
    return zlib.decompress(data)


def unshuffled(block: bytes, shuffle: int, typesize: int) -> bytes:
    """Undo the shuffle of one block, as the design states it."""
    elements = len(block) // typesize
    body = np.frombuffer(block, np.uint8)[: elements * typesize]
    rest = block[elements * typesize :]
    if shuffle == 1:
        return body.reshape(typesize, elements).T.tobytes() + rest
    if shuffle == 2 and elements % 8 == 0:
        bits = np.unpackbits(body, bitorder="little").reshape(typesize * 8, elements)
        return np.packbits(bits.T, axis=1, bitorder="little").tobytes() + rest
    return block


def rebuild(chunk: bytes, found: BloscStreams, i: int, nbytes: int) -> bytes:
    decoded, covered = bytearray(nbytes), np.zeros(nbytes, int)
    for row in range(found.first[i], found.first[i + 1]):
        assert found.chunk[row] == i
        at, size = int(found.source[row]), int(found.source_size[row])
        to, length = int(found.destination[row]), int(found.destination_size[row])
        assert 16 <= at < at + size <= len(chunk)
        assert found.raw[row] == (size == length)
        data = chunk[at : at + size]
        if not found.raw[row]:
            data = decode_stream(BLOSC_FORMATS[found.format[i]], data, length)
        decoded[to : to + length] = data
        covered[to : to + length] += 1
    assert (covered == 1).all()
    size = int(found.blocksize[i])
    parts = [decoded[at : at + size] for at in range(0, nbytes, size)]
    return b"".join(
        unshuffled(bytes(p), int(found.shuffle[i]), int(found.typesize[i])) for p in parts
    )


@both
@pytest.mark.parametrize("dtype", ["u1", "i2", "V3", "f8", "c16", "V17"])
@pytest.mark.parametrize("cname", ["lz4", "zlib", "zstd"])
def test_streams_are_all_that_a_decoder_needs(calls: Calls, cname: str, dtype: str) -> None:
    for n in (2, 700, 30_011):
        values = values_of(dtype, n)
        noise = np.random.default_rng(0).integers(0, 256, values.nbytes).astype("u1").view(dtype)
        mixed = (
            np.where(np.arange(n) % 4096 < 1024, noise.view(dtype), values) if n > 5000 else noise
        )
        wanted = [values, noise, mixed]
        for shuffle in (0, 1, 2):
            codec = numcodecs.Blosc(cname, 5, shuffle, 4096)
            chunks = [bytes(codec.encode(v)) for v in wanted]
            found = streams_of(calls, [chunks[0], None, *chunks[1:]], values.nbytes)
            assert found.statuses.tolist() == [OK] * 4
            assert found.first[1] == found.first[2]  # a missing chunk has no streams
            for i, chunk, expected in zip((0, 2, 3), chunks, wanted, strict=True):
                assert found.memcpyed[i] == bool(chunk[2] & 2)
                assert rebuild(chunk, found, i, values.nbytes) == expected.tobytes()


@both
def test_splits(calls: Calls) -> None:
    values = values_of("f4", 200_000)
    (chunk,) = [bytes(numcodecs.Blosc("lz4", 5, 1).encode(values))]
    found = streams_of(calls, [chunk], values.nbytes)
    blocks = -(-values.nbytes // int(found.blocksize[0]))
    assert blocks > 1
    assert values.nbytes % int(found.blocksize[0])  # the last block is short, and one stream
    assert len(found) == 4 * (blocks - 1) + 1
    assert found.format.tolist() == [BLOSC_FORMATS.index("lz4")]
    assert (found.typesize.tolist(), found.shuffle.tolist()) == ([4], [1])


@both
def test_bad_chunks_have_no_streams(calls: Calls) -> None:
    values = values_of("f4", 40_000)
    good = bytes(numcodecs.Blosc("lz4", 5, 1).encode(values))
    first = int.from_bytes(good[16:20], "little")
    chunks = [
        good, good[:10], good + b"x", changed(good, 3, b"\0"), changed(good, 16, b"\xff" * 4),
        changed(good, first, b"\xff\xff\xff\x7f"), bytes(numcodecs.Blosc("lz4").encode(values[1:])),
        good,
    ]  # fmt: skip
    found = streams_of(calls, [*chunks], values.nbytes)
    assert found.statuses.tolist() == [OK, TRUNCATED, HEADER, HEADER, CORRUPT, CORRUPT, SIZE, OK]
    counts = np.diff(found.first).tolist()
    assert counts[0] == counts[7] > 0
    assert counts[1:7] == [0] * 6
    assert found.typesize.tolist() == [4, 0, 0, 0, 0, 0, 0, 4]


@both
def test_empty_batches_and_chunks(calls: Calls) -> None:
    assert len(streams_of(calls, [], 10)) == 0
    empty = bytes([2, 1, 0x33, 4]) + bytes(8) + (16).to_bytes(4, "little")
    found = streams_of(calls, [empty, None], 0)
    assert (len(found), found.statuses.tolist()) == (0, [OK, OK])
    assert len(calls.zstd_frames(np.empty(0, np.uint64), np.empty(0, np.int64)).statuses) == 0


@both
def test_zstd_frames(calls: Calls) -> None:
    data = values_of("u1", 300_000).tobytes()
    skippable = (0x184D2A5F).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    with_dictionary = (0xFD2FB528).to_bytes(4, "little") + b"\x22\x07\x01\x03" + b"\x19\0\0abc"
    huge = (0xFD2FB528).to_bytes(4, "little") + b"\xe0" + b"\xff" * 8 + b"\x01\0\0"
    # (buffer, status, frames, skippable, checksums, content size, dictionary)
    cases = [
        (zstd_frame(data), OK, 1, 0, 0, len(data), 0),
        (zstd_frame(data, checksum=True) * 2, OK, 2, 0, 2, 2 * len(data), 0),
        (unsized_zstd_frame(data), OK, 1, 0, 0, -1, 0),
        (zstd_frame(data) + unsized_zstd_frame(b"abc"), OK, 2, 0, 0, -1, 0),
        (skippable + zstd_frame(b"abc") + skippable, OK, 1, 2, 0, 3, 0),
        (skippable, OK, 0, 1, 0, 0, 0),
        (with_dictionary, OK, 1, 0, 0, 3, 0x107),
        (None, OK, 0, 0, 0, 0, 0),
        (b"", TRUNCATED, 0, 0, 0, 0, 0),
        (zstd_frame(b"abc") + b"\x28\xb5", TRUNCATED, 1, 0, 0, 3, 0),
        (skippable[:-1], TRUNCATED, 0, 0, 0, 0, 0),
        (zstd_frame(b"abc")[:-1], TRUNCATED, 0, 0, 0, 3, 0),
        (b"abcd", HEADER, 0, 0, 0, 0, 0),
        (huge, HEADER, 0, 0, 0, 0, 0),
        (zstd_frame(b"abc") + b"abcd", CORRUPT, 1, 0, 0, 3, 0),
        (with_dictionary[:8] + b"\x1f\0\0abc", CORRUPT, 0, 0, 0, 3, 0x107),  # reserved block type
    ]
    _kept, ptrs, sizes = bytes_column([case[0] for case in cases])
    found = calls.zstd_frames(ptrs, sizes)
    columns = (
        found.statuses, found.frames, found.skippable, found.checksums, found.content_size,
        found.dictionary,
    )  # fmt: skip
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert rows == [case[1:] for case in cases]
    assert found.window_size[2] == 2 << 20
    assert found.window_size[0] == len(data)  # single segment: the window is the content


@both
def test_wrong_columns_are_refused(calls: Calls) -> None:
    ptrs, sizes = np.ones(1, np.uint64), np.array([-1])
    for function in (lambda p, s: calls.blosc_streams(p, s, 4), calls.zstd_frames):
        with pytest.raises(ValueError, match="negative"):
            function(ptrs, sizes)
        with pytest.raises(ValueError, match="length|expected"):
            function(ptrs, np.zeros(2, np.int64))
        with pytest.raises(TypeError, match="int64"):
            function(ptrs, sizes.astype(np.int32))


@pytest.mark.skipif(NATIVE is None, reason="the C extension was not built")
def test_mutations_agree() -> None:
    assert NATIVE is not None
    rng = np.random.default_rng(1)
    values = values_of("f4", 3000)
    blosc: list[bytes | None] = []
    zstd: list[bytes | None] = []
    for k in range(600):
        codec = numcodecs.Blosc(COMPRESSORS[k % 5], 5, k % 3, 2048)
        for into, good in ((blosc, bytes(codec.encode(values))), (zstd, zstd_frame(b"abcdef" * k))):
            data = bytearray(good)
            for _ in range(int(rng.integers(1, 4))):
                data[int(rng.integers(0, min(40, len(data))))] = int(rng.integers(0, 256))
            into.append(bytes(data[: int(rng.integers(0, len(data)))] if k % 5 == 0 else data))
    expected, found = (streams_of(calls, blosc, values.nbytes) for calls in (TWIN, NATIVE))
    assert len(set(expected.statuses.tolist())) > 3
    assert_same(expected, found)
    _kept, ptrs, sizes = bytes_column(zstd)
    frames = [calls.zstd_frames(ptrs, sizes) for calls in (TWIN, NATIVE)]
    assert len(set(frames[0].statuses.tolist())) > 3
    assert_same(*frames)


def assert_same(expected: Any, found: Any) -> None:
    for name in type(expected).__dataclass_fields__:
        one, other = getattr(expected, name), getattr(found, name)
        assert one.dtype == other.dtype, name
        assert np.array_equal(one, other), name
