"""Every codec: its configuration, what it refuses, and what it makes of good and bad bytes."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import zlib
from collections.abc import Callable
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr.codecs import build_codecs, register_codec, registered_codecs
from cuzarr.codecs.base import ArrayArrayCodec, BytesBytesCodec, ChunkType, Codec
from cuzarr.codecs.blosc import BloscCodec, check_container
from cuzarr.codecs.bytes import BytesCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.registry import build_codec
from cuzarr.codecs.streams import decompress_streams
from cuzarr.codecs.zstd import ZstdCodec, decoded_bounds
from cuzarr.errors import ChunkDecodeError, MetadataError, UnknownCodecError
from cuzarr.meta.spec import CodecSpec

BYTES = CodecSpec("bytes", {"endian": "little"})
#: name -> configurations, each of which must come back as it was given
CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("bytes", {}),
    ("bytes", {"endian": "big"}),
    ("transpose", {"order": [2, 0, 1]}),
    ("crc32c", {}),
    ("gzip", {"level": 9}),
    ("zstd", {"level": -5, "checksum": True}),
    ("blosc", {"cname": "lz4", "clevel": 0, "shuffle": "noshuffle", "blocksize": 0}),
    ("blosc", {"cname": "zlib", "clevel": 9, "shuffle": "autoshuffle", "blocksize": 4096}),
    (
        "blosc",
        {"cname": "zstd", "clevel": 1, "shuffle": "bitshuffle", "typesize": 8, "blocksize": 0},
    ),
    ("numcodecs.lz4", {"acceleration": 3}),
    ("numcodecs.zlib", {"level": 2}),
    ("numcodecs.delta", {"dtype": "<i4", "astype": "<i2"}),
    ("numcodecs.bitround", {"keepbits": 5}),
]
BYTE_CODECS: list[tuple[str, dict[str, Any]]] = [
    ("crc32c", {}),
    ("gzip", {"level": 1}),
    ("zstd", {"level": 1}),
    ("zstd", {"level": 3, "checksum": True}),
    *[
        ("blosc", {"cname": cname, "clevel": 5, "shuffle": shuffle})
        for cname in ("lz4", "lz4hc", "blosclz", "zstd", "zlib")
        for shuffle in ("noshuffle", "shuffle", "bitshuffle", "autoshuffle")
    ],
    ("blosc", {"cname": "lz4", "clevel": 0, "shuffle": "shuffle", "typesize": 3}),
    *[
        (f"numcodecs.{name}", {})
        for name in (
            "lz4", "zstd", "blosc", "zlib", "gzip", "bz2", "lzma", "shuffle", "adler32", "crc32",
            "crc32c", "fletcher32", "jenkins_lookup3", "base64",
        )
    ],
]  # fmt: skip


def data_of(size: int, seed: int = 0) -> bytes:
    """Bytes that compress, with some that do not."""
    rng = np.random.default_rng(seed)
    smooth = np.repeat(rng.integers(0, 9, size // 5 + 1, np.uint8), 5)[:size]
    smooth[: size // 3] = rng.integers(0, 256, size // 3, np.uint8)
    return smooth.tobytes()


def chain_of(*specs: CodecSpec, shape: tuple[int, ...] = (600,), dtype: str = "<u2") -> CodecChain:
    kind = np.dtype(dtype)
    return CodecChain.bind(specs, ChunkType(shape, kind, np.zeros(1, kind)[0]))


@pytest.mark.parametrize(("name", "configuration"), CONFIGURATIONS)
def test_configuration_round_trip(name: str, configuration: dict[str, Any]) -> None:
    codec = build_codec(CodecSpec(name, configuration))
    assert codec.name == name
    assert codec.configuration() == configuration
    assert build_codec(CodecSpec(name, codec.configuration())) == codec


def test_defaults() -> None:
    assert build_codec(CodecSpec("zstd")).configuration() == {"level": 0, "checksum": False}
    assert build_codec(CodecSpec("gzip")).configuration() == {"level": 5}
    assert build_codec(CodecSpec("blosc")).configuration() == {
        "cname": "zstd", "clevel": 5, "shuffle": "noshuffle", "blocksize": 0,
    }  # fmt: skip
    assert build_codec(CodecSpec("endian", {"endian": "big"})) == BytesCodec("big")
    assert build_codec(CodecSpec("numcodecs.zlib", {"id": "zlib", "level": 3})).configuration() == {
        "level": 3
    }


@pytest.mark.parametrize(
    ("name", "configuration", "message"),
    [
        ("bytes", {"endian": "middle"}, "endian must be one of little, big, not 'middle'"),
        ("bytes", {"order": "C"}, "unknown configuration 'order'"),
        ("crc32c", {"a": 1, "b": 2}, "unknown configuration 'a', 'b'"),
        ("gzip", {"level": 10}, "level must be an integer from 0 to 9, not 10"),
        ("gzip", {"level": True}, "level must be an integer from 0 to 9, not True"),
        ("gzip", {"speed": 1}, "unknown configuration 'speed'"),
        ("zstd", {"level": "high"}, "level must be an integer from -131072 to 22, not 'high'"),
        ("zstd", {"checksum": 1}, "checksum must be true or false, not 1"),
        ("zstd", {"threads": 1}, "unknown configuration 'threads'"),
        ("blosc", {"cname": "brotli"}, "cname must be one of lz4, .*, not 'brotli'"),
        ("blosc", {"clevel": 10}, "clevel must be an integer from 0 to 9, not 10"),
        ("blosc", {"shuffle": 1}, "shuffle must be one of noshuffle, .*, not 1"),
        ("blosc", {"typesize": 0}, "typesize must be an integer from 1 to 2147483647, not 0"),
        ("blosc", {"blocksize": -1}, "blocksize must be an integer from 0 to 2147483647, not -1"),
        ("blosc", {"id": "blosc"}, "unknown configuration 'id'"),
        ("transpose", {}, "order must be a permutation of the dimensions, not None"),
        ("transpose", {"order": [0, 2]}, r"not \[0, 2\]"),
        ("transpose", {"order": [0, True]}, r"not \[0, True\]"),
        ("transpose", {"order": "F"}, "not 'F'"),
        ("transpose", {"order": [0], "axes": [0]}, "unknown configuration 'axes'"),
        ("numcodecs.zlib", {"depth": 1}, "numcodecs refuses the configuration: .*depth"),
    ],
)
def test_refused_configurations(name: str, configuration: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_codec(CodecSpec(name, configuration))


def test_problems_of_several_codecs_are_collected() -> None:
    specs = [BYTES, CodecSpec("zstd", {"level": 99}), CodecSpec("gzip", {"level": -1})]
    with pytest.raises(MetadataError) as caught:
        build_codecs("a/zarr.json", specs)
    assert not isinstance(caught.value, UnknownCodecError)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "codecs[1] (zstd)", "codecs[2] (gzip)",
    ]  # fmt: skip
    with pytest.raises(UnknownCodecError, match=r"codecs\[1\]: unknown codec 'magic'; known are"):
        build_codecs("a/zarr.json", [BYTES, CodecSpec("magic")])


def test_codecs_of_numcodecs_and_of_the_extensions_are_registered() -> None:
    assert {"numcodecs.zlib", "numcodecs.pickle", "vlen-utf8"} <= set(registered_codecs())


def test_a_codec_of_the_user() -> None:
    class Invert(BytesBytesCodec):
        name = "test.invert"

        @classmethod
        def from_configuration(cls, configuration: Any) -> Any:
            return cls()

        def encode(self, data: Any, itemsize: int) -> Any:
            return np.invert(np.frombuffer(data, np.uint8))

        def decode(self, data: Any, size: int | None, out: Any) -> Any:
            return self.encode(data, 1)

    register_codec(Invert.name, Invert)
    chain = chain_of(BYTES, CodecSpec(Invert.name), shape=(4,))
    values = np.arange(4, dtype="<u2")
    assert bytes(chain.encode("k", values)) == np.invert(values).tobytes()
    np.testing.assert_array_equal(chain.decode("k", chain.encode("k", values)), values)


def test_the_base_classes_ask_for_an_implementation() -> None:
    chunk = ChunkType((2,), np.dtype("u1"), np.uint8(0))
    for call in (
        lambda: Codec.from_configuration({}),
        lambda: Codec().configuration(),
        lambda: ArrayArrayCodec().resolve(chunk),
    ):
        with pytest.raises(NotImplementedError):
            call()


@pytest.mark.parametrize("size", [1200, 70_000])
@pytest.mark.parametrize(("name", "configuration"), BYTE_CODECS)
def test_encoding_and_decoding(name: str, configuration: dict[str, Any], size: int) -> None:
    codec = build_codec(CodecSpec(name, configuration))
    assert isinstance(codec, BytesBytesCodec)
    data = data_of(size)
    encoded = bytes(codec.encode(data, 2))
    known = codec.encoded_size(size)
    assert known is None or known == len(encoded)
    for expected in (size, None):
        assert bytes(codec.decode(encoded, expected, None)) == data
    out = np.zeros(size, np.uint8)
    assert bytes(codec.decode(encoded, size, out)) == data
    for source in (bytearray(encoded), memoryview(encoded), np.frombuffer(encoded, np.uint8)):
        assert bytes(codec.decode(source, size, None)) == data


#: numcodecs cannot decode, or encode, nothing to these; no chunk has 0 bytes
NOT_EMPTY = {f"numcodecs.{name}" for name in ("zstd", "lz4", "shuffle", "fletcher32")} | {"zstd"}


@pytest.mark.parametrize(
    ("name", "configuration"), [pair for pair in BYTE_CODECS if pair[0] not in NOT_EMPTY]
)
def test_no_bytes_at_all(name: str, configuration: dict[str, Any]) -> None:
    codec = build_codec(CodecSpec(name, configuration))
    assert isinstance(codec, BytesBytesCodec)
    assert bytes(codec.decode(codec.encode(b"", 4), 0, None)) == b""


@pytest.mark.parametrize(("name", "configuration"), BYTE_CODECS)
def test_hostile_bytes(name: str, configuration: dict[str, Any]) -> None:
    """Damaged bytes decode to bytes of the right size, or give an error that names the key."""
    chain = chain_of(BYTES, CodecSpec(name, configuration))
    data = np.frombuffer(data_of(1200), "<u2")
    good = bytes(chain.encode("k", data))
    damaged = [b"", good[:1], good[:-1], good + b"\1", good[: len(good) // 2], bytes(len(good))]
    rng = random.Random(5)
    for _ in range(150):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            bad[rng.randrange(len(bad)) if rng.random() < 0.5 else rng.randrange(20)] = (
                rng.randrange(256)
            )
        damaged.append(bytes(bad))
    failed = 0
    for bad in damaged:
        try:
            found = chain.decode("k", bad)
        except ChunkDecodeError as error:
            failed += error.key == "k"
        else:
            assert found.shape == (600,)
    assert failed >= 4
    if name == "crc32c":
        assert failed >= len(damaged) - 1  # a mutation may put back the byte that was there


# Bombs: few bytes that claim, or decode to, very many.


def unsized_frame(blocks: list[bytes]) -> bytes:
    """A zstd frame without content size."""
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)


def block(kind: int, size: int, body: bytes, *, last: bool = True) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + body


RUN = block(1, 2**17, b"a", last=False)
SIZED = b"\x28\xb5\x2f\xfd\xe0"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("zstd", unsized_frame([RUN] * 10_000 + [block(1, 1, b"a")])),
        ("zstd", unsized_frame([block(2, 4, b"abcd", last=False)] * 10_000)),
        ("zstd", SIZED + (2**62).to_bytes(8, "little") + block(0, 1, b"a")),
        ("numcodecs.zstd", SIZED + (2**62).to_bytes(8, "little") + block(0, 1, b"a")),
        ("gzip", gzip.compress(bytes(10**7), mtime=0)),
        ("gzip", gzip.compress(bytes(1200), mtime=0) + gzip.compress(b"a", mtime=0)),
        ("numcodecs.gzip", gzip.compress(bytes(10**7), mtime=0)),
        ("numcodecs.zlib", zlib.compress(bytes(10**7))),
        ("numcodecs.bz2", bz2.compress(bytes(10**7))),
        ("numcodecs.lzma", lzma.compress(bytes(10**7))),
    ],
    ids=lambda value: value if isinstance(value, str) else "bomb",
)
def test_bombs_are_refused_before_they_are_decoded(name: str, data: bytes) -> None:
    with pytest.raises(ChunkDecodeError, match="more than the expected 1200 decoded bytes"):
        chain_of(BYTES, CodecSpec(name)).decode("k", data)


def test_lz4_that_claims_too_much() -> None:
    data = (2**31 - 1).to_bytes(4, "little") + b"\x1f" * 100
    with pytest.raises(ChunkDecodeError, match="expected 1200 decoded bytes, the header says 2147"):
        chain_of(BYTES, CodecSpec("numcodecs.lz4")).decode("k", data)


# zstd


def test_frames_of_other_encoders() -> None:
    data = data_of(1200)
    half = [numcodecs.zstd.compress(data[:600]), numcodecs.zstd.compress(data[600:])]
    raw = unsized_frame([block(0, 1000, data[:1000], last=False), block(0, 200, data[1000:])])
    skipped = b"\x5f\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    out = np.zeros(1200, np.uint8)
    codec = ZstdCodec()
    for encoded in (half[0] + half[1], raw, skipped + half[0] + skipped + half[1]):
        assert bytes(codec.decode(encoded, 1200, out)) == data
        assert decoded_bounds(encoded) == (1200, 1200)


def test_bounds_of_frames() -> None:
    assert decoded_bounds(b"") == (0, 0)
    assert decoded_bounds(b"no frame at all") == (0, 0)
    assert decoded_bounds(np.empty(0, np.uint8)) == (0, 0)
    assert decoded_bounds(unsized_frame([block(2, 5, b"12345", last=False), RUN])) == (
        2**17,
        2**18,
    )
    with_checksum = numcodecs.zstd.compress(bytes(500), checksum=True)
    assert decoded_bounds(with_checksum * 2) == (1000, 1000)


# gzip, zlib, bz2, lzma


@pytest.mark.parametrize(
    ("new", "compress"),
    [
        (zlib.decompressobj, zlib.compress),
        (lambda: zlib.decompressobj(wbits=31), gzip.compress),
        (bz2.BZ2Decompressor, bz2.compress),
        (lzma.LZMADecompressor, lzma.compress),
    ],
)
def test_streams(new: Callable[[], Any], compress: Callable[[bytes], bytes]) -> None:
    data = data_of(5000)
    encoded = compress(data[:2000]) + compress(data[2000:]) + bytes(8)
    assert decompress_streams(new, encoded, 5000) == data
    assert decompress_streams(new, encoded, None) == data
    with pytest.raises(ValueError, match="more than the expected 4999 decoded bytes"):
        decompress_streams(new, encoded, 4999)
    with pytest.raises(ValueError, match="truncated: the stream does not end"):
        decompress_streams(new, compress(data)[:-4], 5000)
    with pytest.raises(ValueError, match=r"[a-z]"):
        decompress_streams(new, compress(data) + b"garbage behind the stream", 5000)
    with pytest.raises(ValueError, match="truncated"):
        decompress_streams(new, b"", 5000)


# Blosc


def test_blosc_headers_are_checked() -> None:
    def header(
        version: int = 2, flags: int = 0, typesize: int = 4, nbytes: int = 64, block: int = 64,
        cbytes: int = 100,
    ) -> bytes:  # fmt: skip
        words = np.array([nbytes, block, cbytes], "<u4").tobytes()
        return bytes([version, 1, flags, typesize]) + words

    for data, message in (
        (b"short", "truncated: 5 bytes, a Blosc header has 16"),
        (header(version=1) + bytes(84), "Blosc format version 1, expected 2"),
        (header() + bytes(80), "the Blosc header says 100 bytes, found 96"),
        (header(typesize=0) + bytes(84), "bad Blosc header: typesize=0"),
        (header(nbytes=2**31) + bytes(84), "bad Blosc header"),
        (header(block=0) + bytes(84), "blocksize=0"),
        (header(block=65) + bytes(84), "blocksize=65"),
        (header(flags=2) + bytes(84), "64 raw bytes in a container of 100"),
        (header(block=1) + bytes(84), "truncated: the Blosc block table ends outside"),
        (header() + (7).to_bytes(4, "little") + bytes(80), "a Blosc block starts outside"),
        (header() + (97).to_bytes(4, "little") + bytes(80), "a Blosc block starts outside"),
    ):
        with pytest.raises(ValueError, match=message):
            check_container(data)


def test_blosc_of_another_size() -> None:
    encoded = BloscCodec("lz4").encode(data_of(960), 4)
    with pytest.raises(ValueError, match="expected 100 decoded bytes, the Blosc header says 960"):
        BloscCodec("lz4").decode(encoded, 100, None)


def test_blosc_encodes_any_element_size() -> None:
    data = data_of(960)
    for codec, itemsize, stored in (
        (BloscCodec("lz4"), 300, 1),  # more than the header can say
        (BloscCodec("lz4"), 7, 1),  # does not divide the data
        (BloscCodec("lz4"), 16, 16),
        (BloscCodec("lz4", typesize=2), 4, 2),
        (BloscCodec("lz4", shuffle="autoshuffle"), 1, 1),
    ):
        encoded = bytes(codec.encode(data, itemsize))
        assert encoded[3] == stored
        assert bytes(codec.decode(encoded, 960, None)) == data
        assert numcodecs.blosc.decompress(encoded) == data
    assert bytes(BloscCodec("lz4", shuffle="autoshuffle").encode(data, 1))[2] & 4  # bit shuffle
    assert bytes(BloscCodec("lz4", shuffle="autoshuffle").encode(data, 4))[2] & 1  # byte shuffle


# Filters


@pytest.mark.parametrize(
    ("name", "configuration", "dtype", "encoded"),
    [
        ("delta", {"dtype": "<i4"}, "<i4", "<i4"),
        ("delta", {}, "<u2", "<u2"),
        ("delta", {"dtype": "<i8", "astype": "<i2"}, "<i8", "<i2"),
        ("fixedscaleoffset", {"offset": 0, "scale": 4, "astype": "<i2"}, "<f4", "<i2"),
        ("quantize", {"digits": 8}, "<f8", "<f8"),
        ("astype", {"encode_dtype": "<f4"}, "<f8", "<f4"),
        ("bitround", {"keepbits": 23}, "<f4", "<f4"),
    ],
)
def test_filters(name: str, configuration: dict[str, Any], dtype: str, encoded: str) -> None:
    spec = CodecSpec(f"numcodecs.{name}", configuration)
    chain = chain_of(spec, BYTES, CodecSpec("zstd"), shape=(5, 8), dtype=dtype)
    assert chain.serialized.dtype == np.dtype(encoded)
    assert chain.layout is None
    values = (np.arange(40).reshape(5, 8) % 23 / 4).astype(dtype)
    data = bytes(chain.encode("k", values))
    np.testing.assert_array_equal(chain.decode("k", data), values)
    with pytest.raises(ChunkDecodeError, match="cannot decode chunk 'k'"):
        chain.decode("k", bytes(ZstdCodec().encode(b"too short", 1)))


@pytest.mark.parametrize(
    ("name", "configuration", "dtype"),
    [
        ("delta", {"dtype": "no such type"}, "<i4"),
        ("bitround", {"keepbits": 3}, "<i4"),
        ("quantize", {}, "<f4"),
        ("astype", {"decode_dtype": "<f4", "wrong": 1}, "<f4"),
    ],
)
def test_filters_that_do_not_fit(name: str, configuration: dict[str, Any], dtype: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        chain = chain_of(CodecSpec(f"numcodecs.{name}", configuration), BYTES, dtype=dtype)
        chain.encode("k", np.ones(600, dtype))


@pytest.mark.parametrize("codec", [
    cuzarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=4),
    cuzarr.codecs.BytesCodec(endian="big"), cuzarr.codecs.Crc32cCodec(),
    cuzarr.codecs.GzipCodec(level=2), cuzarr.codecs.TransposeCodec(order=(1, 0)),
    cuzarr.codecs.VLenUTF8Codec(), cuzarr.codecs.ZstdCodec(level=4, checksum=True),
], ids=lambda codec: codec.name)  # fmt: skip
def test_a_codec_as_a_document_holds_it(codec: Any) -> None:
    document = codec.to_dict()
    assert document["name"] == codec.name
    assert ("configuration" in document) == bool(codec.configuration())
    assert type(codec).from_dict(json.loads(json.dumps(document))) == codec
    with pytest.raises(ValueError, match="name must be"):
        type(codec).from_dict({"name": "nothing"})
