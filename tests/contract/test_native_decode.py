"""``decode_batch`` and ``crc32c``: the extension and its twin against numcodecs."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest

from cuzarr.native.calls import Calls
from cuzarr.native.symbols import find_functions
from cuzarr.native.tables import DecodeStatus
from tests.contract.native_cases import NATIVE, TWIN, both, decode

OK, HEADER, SIZE, CORRUPT, CHECKSUM, TRUNCATED = (int(status) for status in DecodeStatus)
COMPRESSORS = ("blosclz", "lz4", "lz4hc", "zlib", "zstd")


def values_of(dtype: str, n: int, seed: int = 0) -> Any:
    """Return runs of equal elements: every compressor makes them smaller, with every shuffle."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(0, 256, (50, np.dtype(dtype).itemsize)).astype(np.uint8)
    return pool[np.repeat(rng.integers(0, 50, n // 40 + 1), 40)[:n]].reshape(-1).view(dtype)


def with_crc(data: bytes) -> bytes:
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def zstd_frame(data: bytes, *, checksum: bool = False) -> bytes:
    return bytes(numcodecs.Zstd(3, checksum=checksum).encode(data))


def unsized_zstd_frame(data: bytes) -> bytes:
    """Write a frame without content size, of raw blocks (RFC 8878, section 3.1.1)."""
    frame = (0xFD2FB528).to_bytes(4, "little") + b"\x00\x58"  # window of 2 MiB
    blocks = [data[at : at + 1000] for at in range(0, len(data), 1000)] or [b""]
    for k, block in enumerate(blocks):
        frame += (len(block) << 3 | (k == len(blocks) - 1)).to_bytes(3, "little") + block
    return frame


@both
def test_every_codec_is_available(calls: Calls) -> None:
    assert calls.codecs_available() == {"raw", "blosc", "zstd", "lz4"}
    with pytest.raises(ValueError, match="gzip"):
        decode(calls, "gzip", [b""], 0)


@both
def test_raw(calls: Calls) -> None:
    statuses, found = decode(calls, "raw", [b"abcd", None, b"abc", b"abcde", b""], 4)
    assert statuses == [OK, OK, SIZE, SIZE, SIZE]
    assert found[0] == b"abcd"
    assert found[1] == b"\xa5" * 4
    statuses, found = decode(calls, "raw", [b"abcd"] * 3, 4, lo=[1, 2, 0], hi=[3, 2, 4])
    assert found == [b"\xa5bc\xa5", b"\xa5" * 4, b"abcd"]


@both
@pytest.mark.parametrize("dtype", ["u1", "i2", "V3", "f4", "f8", "V12", "c16", "V17", "V255"])
@pytest.mark.parametrize("cname", COMPRESSORS)
def test_blosc(calls: Calls, cname: str, dtype: str) -> None:
    rng = np.random.default_rng(len(cname))
    for shuffle in (0, 1, 2):
        for blocksize in (0, 4096):
            for n in (1, 8, 1000, 4099, 40003):
                values = values_of(dtype, min(n, 400_000 // np.dtype(dtype).itemsize))
                # typesize is that of the dtype; for V it is the itemsize too
                codec = numcodecs.Blosc(cname, 5, shuffle, blocksize)
                encoded = bytes(codec.encode(values))
                lo, hi = sorted(rng.integers(0, values.nbytes + 1, 2).tolist())
                expected = values.tobytes()
                statuses, found = decode(calls, "blosc", [encoded, None], values.nbytes)
                assert statuses == [OK, OK]
                assert found[0] == expected
                statuses, found = decode(calls, "blosc", [encoded], values.nbytes, lo=[lo], hi=[hi])
                assert statuses == [OK]
                assert found[0][lo:hi] == expected[lo:hi]


@both
@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("cname", COMPRESSORS)
def test_blosc_ranges(calls: Calls, cname: str, shuffle: int) -> None:
    """Ranges that begin and end anywhere: in an element, a block, or the leftover bytes."""
    rng = np.random.default_rng(shuffle)
    for typesize, size in ((4, 66_001), (3, 5000), (16, 40_007), (8, 300_000), (32, 50_001)):
        whole = size // typesize * typesize
        data = values_of(f"V{typesize}", size // typesize).tobytes() + bytes(range(size - whole))
        chunk = np.frombuffer(data, np.uint8)
        encoded = numcodecs.blosc.compress(
            chunk, cname.encode(), 5, shuffle, 8192, typesize=typesize
        )
        lo = np.sort(rng.integers(0, size + 1, (40, 2)), axis=1)
        lo[0], lo[1], lo[2], lo[3] = (0, 1), (size - 1, size), (whole - 1, whole), (5, 5)
        statuses, found = decode(
            calls, "blosc", [encoded] * 40, size, lo=lo[:, 0].tolist(), hi=lo[:, 1].tolist()
        )
        assert statuses == [OK] * 40
        for (first, last), value in zip(lo.tolist(), found, strict=True):
            assert value[first:last] == data[first:last]


@both
def test_blosc_that_does_not_compress(calls: Calls) -> None:
    noise = np.random.default_rng(0).bytes(100_001)
    for shuffle in (0, 1, 2):
        encoded = bytes(numcodecs.Blosc("lz4", 5, shuffle).encode(np.frombuffer(noise, "u1")))
        assert encoded[2] & 2  # memcpyed
        statuses, found = decode(
            calls, "blosc", [encoded] * 2, len(noise), lo=[0, 7], hi=[100_001, 9]
        )
        assert statuses == [OK, OK]
        assert found[0] == noise
        assert found[1][7:9] == noise[7:9]


@both
def test_empty_blosc_chunk(calls: Calls) -> None:
    empty = bytes([2, 1, 0x13, 4]) + bytes(8) + (16).to_bytes(4, "little")
    assert decode(calls, "blosc", [empty], 0)[0] == [OK]
    assert decode(calls, "blosc", [empty], 4)[0] == [SIZE]


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@both
@pytest.mark.parametrize("cname", COMPRESSORS)
def test_blosc_header_is_checked(calls: Calls, cname: str) -> None:
    values = values_of("f4", 40_000)
    good = bytes(numcodecs.Blosc(cname, 5, 1, 16_384).encode(values))
    assert not good[2] & 2  # compressed
    size = values.nbytes
    first = int.from_bytes(good[16:20], "little")
    cases = [
        (good, OK),
        (b"", TRUNCATED),
        (good[:15], TRUNCATED),
        (good[:-1], TRUNCATED),
        (good + b"\0", HEADER),
        (changed(good, 0, b"\x03"), HEADER),  # a version from the future
        (changed(good, 1, b"\x02"), HEADER),  # a version of the codec from the future
        (changed(good, 2, bytes([good[2] | 8])), HEADER),  # a reserved flag
        (changed(good, 2, b"\xff"), HEADER),
        (changed(good, 3, b"\0"), HEADER),  # typesize 0
        (changed(good, 4, (size - 1).to_bytes(4, "little")), SIZE),
        (changed(good, 4, b"\xff\xff\xff\xff"), HEADER),
        (changed(good, 8, bytes(4)), HEADER),  # blocksize 0
        (changed(good, 8, (size + 1).to_bytes(4, "little")), HEADER),
        (changed(good, 8, (1).to_bytes(4, "little")), HEADER),  # no room for that many blocks
        (changed(good, 12, bytes(4)), HEADER),
        (changed(good, 2, bytes([good[2] | 2])), HEADER),  # memcpyed, but too short
        (changed(good, 16, (2**31).to_bytes(4, "little")), CORRUPT),  # a block before the chunk
        (changed(good, 16, (len(good) - 3).to_bytes(4, "little")), CORRUPT),
        (changed(good, 16, (8).to_bytes(4, "little")), CORRUPT),  # inside the header
        (changed(good, first, b"\xff\xff\xff\xff"), CORRUPT),  # stream of a negative size
        (changed(good, first, b"\xff\xff\xff\x7f"), CORRUPT),
        (changed(good, first, bytes(4)), CORRUPT),
    ]
    assert decode(calls, "blosc", [case[0] for case in cases], size)[0] == [c[1] for c in cases]


@both
def test_blosc_streams_must_cover_a_split_block(calls: Calls) -> None:
    values = values_of("f4", 40_000)
    good = bytes(numcodecs.Blosc("lz4", 5, 1, 16_384).encode(values))
    assert not good[2] & 0x10  # blocks are split in 4 streams
    odd = changed(good, 8, (16_385).to_bytes(4, "little"))
    assert decode(calls, "blosc", [odd], values.nbytes)[0] == [HEADER]


@both
@pytest.mark.parametrize("cname", COMPRESSORS)
def test_blosc_stream_that_decodes_to_something_else(calls: Calls, cname: str) -> None:
    values = values_of("u1", 50_000)
    good = bytes(numcodecs.Blosc(cname, 5, 0, 16_384).encode(values))
    first = int.from_bytes(good[16:20], "little")
    broken = changed(good, first + 4, b"\xff" * 40)
    assert decode(calls, "blosc", [good, broken, good], values.nbytes)[0] == [OK, CORRUPT, OK]


@both
def test_zstd(calls: Calls) -> None:
    data = values_of("u1", 300_001).tobytes()
    skippable = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"
    encodings = [
        zstd_frame(data),
        zstd_frame(data, checksum=True),
        unsized_zstd_frame(data),
        zstd_frame(data[:1000]) + zstd_frame(data[1000:]),
        zstd_frame(data[:1000]) + unsized_zstd_frame(data[1000:]),
        skippable + zstd_frame(data) + skippable,
        None,
    ]
    statuses, found = decode(calls, "zstd", encodings, len(data))
    assert statuses == [OK] * len(encodings)
    assert all(value == data for value in found[:-1])


@both
def test_zstd_statuses(calls: Calls) -> None:
    data = values_of("u1", 200_000).tobytes()
    good, checked = zstd_frame(data), zstd_frame(data, checksum=True)
    cases = [
        (good, OK),
        (b"", TRUNCATED),
        (good[:3], TRUNCATED),
        (good[:5], TRUNCATED),
        (good[:7], TRUNCATED),
        (good[:-1], TRUNCATED),
        (checked[:-2], TRUNCATED),
        (changed(checked, len(checked) - 1, bytes([checked[-1] ^ 1])), CORRUPT),
        (b"no zstd frame", HEADER),
        (changed(good, 4, bytes([good[4] | 8])), HEADER),  # a reserved bit
        (good + b"garbage", CORRUPT),
        (zstd_frame(data + b"x"), SIZE),
        (zstd_frame(data[1:]), SIZE),
        (unsized_zstd_frame(data + b"x"), SIZE),
        (unsized_zstd_frame(data[1:]), SIZE),
        (good + good, SIZE),
    ]
    found = decode(calls, "zstd", [case[0] for case in cases], len(data))[0]
    assert found == [case[1] for case in cases]
    # in the middle there may be a block header, or data
    middle = changed(checked, len(checked) // 2, b"\xff" * 60)
    assert decode(calls, "zstd", [middle], len(data))[0][0] in (CORRUPT, TRUNCATED)


@both
def test_zstd_dictionary_is_not_known(calls: Calls) -> None:
    # single segment, 1-byte dictionary id 7, content size 3, one raw block
    frame = (0xFD2FB528).to_bytes(4, "little") + b"\x21\x07\x03" + b"\x19\0\0" + b"abc"
    assert decode(calls, "zstd", [frame], 3)[0] == [CORRUPT]


@both
def test_lz4(calls: Calls) -> None:
    data = values_of("u1", 70_000).tobytes()
    good = bytes(numcodecs.LZ4().encode(data))
    cases = [
        (good, OK),
        (None, OK),
        (b"", TRUNCATED),
        (good[:3], TRUNCATED),
        (good[:-1], CORRUPT),
        (good[:4], CORRUPT),
        (good + b"\0", CORRUPT),
        (bytes(numcodecs.LZ4().encode(data[1:])), SIZE),
        (changed(good, 0, b"\xff\xff\xff\xff"), HEADER),
        (changed(good, 4, b"\xff" * 50), CORRUPT),
    ]
    statuses, found = decode(calls, "lz4", [case[0] for case in cases], len(data))
    assert statuses == [case[1] for case in cases]
    assert found[0] == data


@both
@pytest.mark.parametrize("codec", ["raw", "blosc", "zstd", "lz4"])
def test_checksum_comes_first(calls: Calls, codec: str) -> None:
    data = values_of("u1", 50_000).tobytes()
    encoders: dict[str, Any] = {
        "raw": bytes,
        "blosc": lambda x: bytes(numcodecs.Blosc("lz4", 5, 1).encode(x)),
        "zstd": zstd_frame,
        "lz4": lambda x: bytes(numcodecs.LZ4().encode(x)),
    }
    good = with_crc(encoders[codec](data))
    flipped = changed(good, len(good) // 2, bytes([good[len(good) // 2] ^ 4]))
    values = [good, None, flipped, good[:-1], good[:3], b""]
    statuses, found = decode(calls, codec, values, len(data), crc32c=True)
    assert statuses == [OK, OK, CHECKSUM, CHECKSUM, TRUNCATED, TRUNCATED]
    assert found[0] == data


@both
def test_corrupt_part_outside_the_range_is_left_alone_or_reported(calls: Calls) -> None:
    values = values_of("u1", 50_000)
    good = bytes(numcodecs.Blosc("lz4", 5, 0, 16_384).encode(values))
    first = int.from_bytes(good[16:20], "little")
    broken = changed(good, first + 4, b"\xff" * 40)
    statuses, found = decode(calls, "blosc", [broken], values.nbytes, lo=[40_000], hi=[40_010])
    if statuses == [OK]:
        assert found[0][40_000:40_010] == values.tobytes()[40_000:40_010]
    else:
        assert statuses == [CORRUPT]


@both
def test_wrong_columns_are_refused(calls: Calls) -> None:
    for lo, hi in (([-1], [2]), ([3], [2]), ([0], [5]), ([0, 0], [1, 1])):
        with pytest.raises(ValueError, match="lo"):
            decode(calls, "raw", [b"abcd"], 4, lo=lo, hi=hi)
    with pytest.raises(ValueError, match="both"):
        decode(calls, "raw", [b"abcd"], 4, lo=[0])
    with pytest.raises(ValueError, match="negative"):
        decode(calls, "raw", [], -1)
    ptr, size = np.ones(1, np.uint64), np.ones(1, np.int64)
    with pytest.raises(ValueError, match="null destination"):
        calls.decode_batch("raw", False, ptr, size, ptr * 0, 1)
    with pytest.raises(ValueError, match="negative size"):
        calls.decode_batch("raw", False, ptr, -size, ptr, 1)
    with pytest.raises(ValueError, match="src_sizes"):
        calls.decode_batch("raw", False, ptr, size[:0], ptr, 1)
    with pytest.raises(TypeError, match="uint64"):
        calls.decode_batch("raw", False, size, size, ptr, 1)


@both
def test_threads_decode_at_once(calls: Calls) -> None:
    values = values_of("f4", 30_000)
    encoded = [bytes(numcodecs.Blosc(c, 3, 2, 8192).encode(values)) for c in COMPRESSORS] * 3
    wrong: list[int] = []

    def work() -> None:
        statuses, found = decode(calls, "blosc", [*encoded], values.nbytes)
        wrong.extend(s for s in statuses if s)
        wrong.extend(1 for f in found if f != values.tobytes())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@both
def test_crc32c(calls: Calls) -> None:
    rng = np.random.default_rng(0)
    assert calls.crc32c(b"123456789") == 0xE3069283  # check value of the polynomial
    assert calls.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    for size in (0, 1, 7, 8, 9, 1023, 3071, 3072, 3073, 6144, 100_003):
        data = rng.bytes(size)
        assert calls.crc32c(data) == google_crc32c.value(data)
        assert calls.crc32c(memoryview(data)[1:]) == google_crc32c.value(data[1:])


@pytest.mark.skipif(NATIVE is None, reason="the C extension was not built")
@pytest.mark.parametrize("codec", ["blosc", "zstd", "lz4"])
def test_mutations_agree(codec: str) -> None:
    """On damaged chunks both report the same, and the same bytes where both decode."""
    assert NATIVE is not None
    rng = np.random.default_rng(zlib.crc32(codec.encode()))
    values = values_of("f4", 3000)
    encoders = {
        "blosc": [numcodecs.Blosc(c, 5, s, 2048) for c in COMPRESSORS for s in (0, 1, 2)],
        "zstd": [numcodecs.Zstd(1), numcodecs.Zstd(9, checksum=True)],
        "lz4": [numcodecs.LZ4()],
    }[codec]
    damaged = []
    for k in range(300):
        data = bytearray(bytes(encoders[k % len(encoders)].encode(values)))
        for _ in range(int(rng.integers(1, 4))):
            head = 48 if rng.random() < 0.6 else len(data)
            data[int(rng.integers(0, min(head, len(data))))] = int(rng.integers(0, 256))
        if rng.random() < 0.2:
            del data[int(rng.integers(0, len(data))) :]
        damaged.append(bytes(data))
    expected, first = decode(TWIN, codec, [*damaged], values.nbytes)
    found, second = decode(NATIVE, codec, [*damaged], values.nbytes)
    assert found == expected
    assert len(set(found)) > 2
    assert all(a == b for a, b, status in zip(first, second, found, strict=True) if status == OK)


def test_symbols_are_found() -> None:
    functions = find_functions()
    assert all(functions.addresses())
    assert functions.codecs == {"raw", "blosc", "zstd", "lz4"}


def test_codecs_need_their_functions() -> None:
    from cuzarr.native.symbols import Functions

    assert Functions().codecs == {"raw"}
    assert Functions(lz4=1).codecs == {"raw", "lz4"}
    assert Functions(lz4=1, zstd=1, zlib=1).codecs == {"raw", "lz4", "zstd"}
