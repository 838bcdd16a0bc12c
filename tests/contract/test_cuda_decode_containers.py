"""gzip, zlib and LZ4 containers, checksums and shuffles, decoded on the emulated device."""

from __future__ import annotations

import gc
import re
import zlib
from typing import Any

import numcodecs.blosc
import numcodecs.zstd
import numpy as np
import pytest

from cuzarr.errors import ChunkDecodeError
from tests.contract.cuda_cases import Stored, device_backend, emulated_backend, noise, smooth
from tests.contract.test_cuda_decode import (
    CRC,
    LITTLE,
    ZSTD,
    blosc,
    both_errors,
    check,
    corrupt,
    flipped,
)

GZIP = ("gzip", {"level": 5})
ZLIB = ("numcodecs.zlib", {"level": 1})
LZ4 = ("numcodecs.lz4", {"acceleration": 1})
SHUFFLE = ("numcodecs.shuffle", {"elementsize": 4})
CHECKSUMS = [
    (f"numcodecs.{kind}", configuration)
    for kind in ("crc32", "adler32", "fletcher32", "crc32c")
    for configuration in (
        [{}] if kind == "fletcher32" else [{"location": "start"}, {"location": "end"}]
    )
]
COMPRESSORS = [GZIP, ZLIB, LZ4, ZSTD, blosc("zlib")]


def named(codec: Any) -> str:
    return "-".join([codec[0].removeprefix("numcodecs."), *map(str, codec[1].values())])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "c16"])
@pytest.mark.parametrize("codec", COMPRESSORS, ids=named)
def test_compressors(codec: Any, dtype: str, seed: int) -> None:
    stored = Stored(smooth((100, 70), dtype), (32, 20), [LITTLE, codec]).encode_all()
    check(stored, seed)
    assert set(stored.where().values()) == {"device"}


@pytest.mark.parametrize("codec", [
    *(("gzip", {"level": level}) for level in (0, 1, 9)),
    *(("numcodecs.zlib", {"level": level}) for level in (-1, 0, 9)),
    ("numcodecs.gzip", {"level": 3}), ("numcodecs.lz4", {"acceleration": 9}),
], ids=named)  # fmt: skip
def test_levels_and_data_that_does_not_compress(codec: Any) -> None:
    for data in (smooth((9000,), "i4"), noise((9000,), "i4"), np.zeros(9000, "i4")):
        stored = Stored(data, (2500,), [LITTLE, codec]).encode_all()
        check(stored)
        assert set(stored.where().values()) == {"device"}


@pytest.mark.parametrize("codec", CHECKSUMS, ids=named)
@pytest.mark.parametrize("order", ["alone", "inside", "outside", "both"])
@pytest.mark.parametrize("mode", ["checked", "trusted"])
def test_checksums(codec: Any, order: str, mode: str) -> None:
    codecs = {
        "alone": [codec], "inside": [codec, ZSTD], "outside": [ZSTD, codec],
        "both": [codec, CRC, GZIP, codec, CRC],
    }[order]  # fmt: skip
    stored = Stored(smooth((90, 33), "i4"), (31, 17), [LITTLE, *codecs]).encode_all()
    check(stored, device_decode=mode)
    assert set(stored.where().values()) == {"device"}
    flip = flipped(3 if codec[1].get("location") == "start" else -1)
    if order == "inside":  # the compressor packs what is damaged
        plain = Stored(stored.data, (31, 17), [LITTLE, codec])
        changed = flip(bytearray(plain.chain.encode("", plain.chunk((1, 1)))))
        key = corrupt(stored, (1, 1), lambda _: numcodecs.zstd.compress(changed, 3))
    else:
        key = corrupt(stored, (1, 1), flip)
    on_host, on_device = both_errors(stored, device_decode=mode)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 100])
def test_fletcher_of_odd_lengths_and_of_nothing_but_zeros(size: int) -> None:
    fletcher = ("numcodecs.fletcher32", {})
    for data in (np.zeros(4 * size + 1, "u1"), noise((4 * size + 1,), "u1")):
        check(Stored(data, (size or 1,), [LITTLE, fletcher, LZ4]).encode_all())


@pytest.mark.parametrize("chunk", [16, 100, 5000])
@pytest.mark.parametrize("elementsize", [1, 2, 4, 8])
@pytest.mark.parametrize("codec", [ZLIB, blosc("lz4"), None], ids=str)
def test_shuffle_in_front_of_a_compressor(codec: Any, elementsize: int, chunk: int) -> None:
    shuffle = ("numcodecs.shuffle", {"elementsize": elementsize})
    codecs = [LITTLE, shuffle] + ([codec] if codec else [])
    stored = Stored(smooth((3 * chunk + 5,), "i8"), (chunk,), codecs).encode_all()
    check(stored)
    assert set(stored.where().values()) == {"device"}


def test_a_chain_as_of_hdf5() -> None:
    codecs = [LITTLE, SHUFFLE, ZLIB, ("numcodecs.fletcher32", {})]
    stored = Stored(smooth((64, 65), "f4"), (16, 16), codecs, fill_value=3).encode_all()
    stored.store.delete([stored.key((1, 1))])
    stored.data[16:32, 16:32] = 3
    check(stored)
    assert set(stored.where().values()) == {"device"}


# ---- what is unusual goes to the host, and what is wrong is said as there


def gzip_members(data: bytes, name: bytes = b"", parts: int = 1, padding: int = 0) -> bytes:
    found = b""
    for part in np.array_split(np.frombuffer(data, "u1"), parts):
        body = zlib.compressobj(6, zlib.DEFLATED, -15)
        flags = bytes([8 if name else 0])
        found += b"\x1f\x8b\x08" + flags + bytes(6) + name + (b"\0" if name else b"")
        found += body.compress(part) + body.flush()
        found += zlib.crc32(part).to_bytes(4, "little") + len(part).to_bytes(4, "little")
    return found + bytes(padding)


@pytest.mark.parametrize(
    "kind", [{"name": b"chunk"}, {"parts": 2}, {"parts": 3, "name": b"x"}, {"padding": 4}], ids=str
)
def test_unusual_gzip_members(kind: Any) -> None:
    stored = Stored(smooth((3000,), "f4"), (500,), [LITTLE, GZIP])
    stored.encode_all(lambda chunk: gzip_members(chunk.tobytes(), **kind))
    backend = emulated_backend()
    assert stored.read(backend).tobytes() == stored.data.tobytes()
    assert stored.where() == {"gzip": "host"}
    assert "unusual members" in stored.report[0].why
    assert backend.runtime.nvcomp.calls == []


@pytest.mark.parametrize("codec", [GZIP, ZLIB, LZ4], ids=named)
@pytest.mark.parametrize("change", [
    lambda d: d[: len(d) // 2], lambda d: d[:3], lambda d: d[:17], lambda d: b"",
    lambda d: bytes(4) + d[4:], lambda d: d[:2] + bytes([d[2] ^ 6]) + d[3:],
])  # fmt: skip
def test_damaged_chunks(codec: Any, change: Any) -> None:
    """What a gzip chunk says of its size keeps these from nvCOMP; zlib says nothing."""
    stored = Stored(smooth((64, 64), "f4"), (16, 16), [LITTLE, codec]).encode_all()
    key = corrupt(stored, (2, 1), change)
    on_host, on_device = both_errors(stored, on_undefined="garbage" if codec is ZLIB else "raise")
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


@pytest.mark.parametrize("codec", [GZIP, ZLIB, blosc("zlib")], ids=named)
def test_damaged_deflate_data_is_noticed_where_the_decoder_does_not(codec: Any) -> None:
    """Bytes other than those that were compressed fail the checksum of what was decoded."""
    stored = Stored(smooth((64, 64), "u1"), (32, 32), [LITTLE, codec]).encode_all()
    key = corrupt(stored, (1, 0), flipped(-20))
    with pytest.raises(ChunkDecodeError, match=re.escape(key)):
        stored.read(emulated_backend(1, on_undefined="garbage"))


@pytest.mark.parametrize("codec", [GZIP, ZLIB, blosc("zlib", "noshuffle")], ids=named)
def test_checksums_of_deflate_containers(codec: Any) -> None:
    stored = Stored(smooth((64, 64), "u1"), (64, 32), [LITTLE, codec]).encode_all()
    key = corrupt(stored, (0, 1), flipped(-6 if codec is GZIP else -1))
    backend = device_backend(1)
    with pytest.raises(ChunkDecodeError, match=re.escape(key)):
        stored.read(backend)


def test_raw_streams_in_a_blosc_chunk_of_zlib() -> None:
    data = np.concatenate([smooth((4096,), "f8"), noise((4096,), "f8"), smooth((8192,), "f8")])
    stored = Stored(data, (8192,), [LITTLE, blosc("zlib")])
    stored.encode_all(
        lambda chunk: bytes(numcodecs.blosc.compress(chunk, b"zlib", 5, 0, 8192)),
    )
    check(stored)
    assert stored.where() == {"blosc (zlib)": "device"}


# ---- what a device refuses and the host decodes


def gzip_behind_nothing(chunk: np.ndarray[Any, Any]) -> bytes:
    """A gzip member of no bytes in front: its header is the usual one, the last size is right."""
    return gzip_members(b"") + gzip_members(chunk.tobytes())


def zlib_and_zeros(chunk: np.ndarray[Any, Any]) -> bytes:
    return zlib.compress(chunk.tobytes()) + bytes(8)


@pytest.mark.parametrize(
    ("codec", "encode"), [(GZIP, gzip_behind_nothing), (ZLIB, zlib_and_zeros)], ids=["gzip", "zlib"]
)
@pytest.mark.parametrize("budget", [1 << 15, 1 << 20])
def test_what_the_device_refuses_the_host_may_decode(codec: Any, encode: Any, budget: int) -> None:
    stored = Stored(smooth((3000,), "f4"), (500,), [LITTLE, codec]).encode_all()
    stored.store.set(stored.key((4,)), encode(stored.chunk((4,))))
    backend = emulated_backend(1, on_undefined="garbage", budget=budget)
    assert stored.read(backend).tobytes() == stored.data.tobytes()
    places = [(record.where, record.why) for record in stored.report]
    assert {where for where, _ in places} == {"device", "host"}
    assert any(why.startswith("on the device: ") for _, why in places)
    corrupt(stored, (5,), flipped(-20))
    with pytest.raises(ChunkDecodeError, match=re.escape(stored.key((5,)))):
        stored.read(backend)
    gc.collect()
    backend.runtime.close()
