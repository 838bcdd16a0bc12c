"""CodecChain: what fits together, where the elements lie, sizes, and who is blamed for an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr.codecs.base import ArrayBytesCodec, BytesBytesCodec, ChunkType
from cuzarr.codecs.bytes import BytesCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.crc32c import Crc32cCodec
from cuzarr.codecs.gzip import GzipCodec
from cuzarr.codecs.transpose import TransposeCodec
from cuzarr.codecs.zstd import ZstdCodec
from cuzarr.errors import ChecksumError, ChunkDecodeError, ChunkEncodeError, ShardIndexError
from cuzarr.meta.spec import CodecSpec


def chunk_type(shape: tuple[int, ...] = (2, 3, 4), dtype: str = "<f4") -> ChunkType:
    kind = np.dtype(dtype)
    return ChunkType(shape, kind, np.zeros(1, kind)[0])


class Failing(BytesBytesCodec):
    """Raises what it is given."""

    name = "failing"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def encode(self, data: Any, itemsize: int) -> Any:
        raise self.error

    def decode(self, data: Any, size: int | None, out: Any) -> Any:
        raise self.error


class FailingSerializer(ArrayBytesCodec):
    """Raises what it is given."""

    name = "failing serializer"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def encode(self, array: Any, chunk: ChunkType) -> Any:
        raise self.error

    def decode(self, data: Any, chunk: ChunkType) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("codecs", "message"),
    [
        ([], "the chain has no array-to-bytes codec, such as 'bytes'"),
        ([ZstdCodec()], "codec 'zstd' cannot stand there"),
        ([TransposeCodec((0, 1, 2))], "no array-to-bytes codec"),
        ([BytesCodec(), BytesCodec()], "codec 'bytes' cannot stand there: a chain is"),
        ([BytesCodec(), TransposeCodec((0, 1, 2))], "codec 'transpose' cannot stand there"),
        ([TransposeCodec((1, 0)), BytesCodec()], "order has 2 entries, the array 3"),
        ([BytesCodec(None)], "endian must be given for data type float32"),
    ],
)
def test_chains_that_do_not_fit(codecs: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodecChain.bind(codecs, chunk_type())


def test_bind_takes_specs_and_codecs() -> None:
    specs = [CodecSpec("transpose", {"order": [1, 0, 2]}), CodecSpec("bytes", {"endian": "little"})]
    codecs = [TransposeCodec((1, 0, 2)), BytesCodec("little")]
    assert CodecChain.bind(specs, chunk_type()) == CodecChain.bind(codecs, chunk_type())


def test_no_endian_for_single_bytes() -> None:
    chain = CodecChain.bind([BytesCodec(None)], chunk_type(dtype="i1"))
    values = np.arange(24, dtype="i1").reshape(2, 3, 4)
    assert bytes(chain.encode("k", values)) == values.tobytes()


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<u2", "u1", "<c8", ">i8"])
@pytest.mark.parametrize("orders", [[], [(2, 0, 1)], [(2, 1, 0)], [(1, 2, 0), (0, 2, 1)]])
def test_layout_says_where_elements_are(
    endian: Any, dtype: str, orders: list[tuple[int, ...]]
) -> None:
    chain = CodecChain.bind(
        [*map(TransposeCodec, orders), BytesCodec(endian)], chunk_type(dtype=dtype)
    )
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    expected = values
    for order in orders:
        expected = expected.transpose(order)
    stored = expected.astype(np.dtype(dtype).newbyteorder("<" if endian == "little" else ">"))
    data = bytes(chain.encode("k", values))
    assert data == stored.tobytes()
    layout = chain.layout
    assert layout is not None
    assert (layout.shape, layout.nbytes) == ((2, 3, 4), 24 * values.itemsize)
    np.testing.assert_array_equal(layout.view(data), values)
    assert layout.c_contiguous == (expected.strides == values.strides and not orders)
    np.testing.assert_array_equal(chain.decode("k", data), values)
    slow = chain.serializer.decode(data, chain.serialized)
    for codec, decoded in reversed(chain.array_codecs):
        slow = codec.decode(slow, decoded)
    np.testing.assert_array_equal(slow, values)


def test_transposed_lengths_of_one_are_contiguous() -> None:
    chain = CodecChain.bind([TransposeCodec((1, 0, 2)), BytesCodec()], chunk_type((1, 3, 4)))
    assert chain.layout is not None
    assert chain.layout.c_contiguous


def test_no_layout_for_other_serializers() -> None:
    chain = CodecChain.bind([FailingSerializer(ValueError("no"))], chunk_type())
    assert chain.layout is None
    assert chain.decoded_size is None


def test_decoded_bytes_have_the_size_of_the_chunk() -> None:
    plain = CodecChain.bind([BytesCodec()], chunk_type())
    assert plain.decoded_size == 96
    with pytest.raises(ChunkDecodeError, match="'k': bytes: expected 96 decoded bytes, found 95"):
        plain.decode("k", bytes(95))
    packed = CodecChain.bind([BytesCodec(), GzipCodec(), Crc32cCodec()], chunk_type())
    short = GzipCodec().encode(bytes(95), 1)
    with pytest.raises(ChunkDecodeError, match="'k': gzip: expected 96 decoded bytes, found 95"):
        packed.decode("k", Crc32cCodec().encode(short, 1))


def test_sizes_between_codecs_are_passed_on() -> None:
    """A compressor over a checksum is bounded by the size that the checksum makes known."""
    chain = CodecChain.bind([BytesCodec(), Crc32cCodec(), GzipCodec()], chunk_type())
    values = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    np.testing.assert_array_equal(chain.decode("k", chain.encode("k", values)), values)
    bomb = GzipCodec().encode(bytes(10**6), 1)
    with pytest.raises(ChunkDecodeError, match="'k': gzip: more than the expected 100 decoded"):
        chain.decode("k", bomb)


def test_decoding_into_given_memory() -> None:
    values = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    out = np.zeros(96, np.uint8)
    zstd = CodecChain.bind([BytesCodec(), ZstdCodec()], chunk_type())
    assert zstd.decode_bytes("k", zstd.encode("k", values), out) is out
    assert out.tobytes() == values.tobytes()
    two = CodecChain.bind([BytesCodec(), ZstdCodec(), Crc32cCodec(), ZstdCodec()], chunk_type())
    out[:] = 0
    assert two.decode_bytes("k", two.encode("k", values), out) is out
    assert out.tobytes() == values.tobytes()
    plain = CodecChain.bind([BytesCodec()], chunk_type())
    assert bytes(plain.decode_bytes("k", values.tobytes(), out)) == values.tobytes()


def test_errors_of_decoding() -> None:
    cases: list[tuple[BaseException, type[BaseException], str]] = [
        (ValueError("bad stream"), ChunkDecodeError, "cannot decode chunk 'k': failing: bad str"),
        (RuntimeError(), ChunkDecodeError, r"cannot decode chunk 'k': failing: RuntimeError\(\)"),
        (MemoryError(), ChunkDecodeError, r"cannot decode chunk 'k': failing: MemoryError\(\)"),
        (ShardIndexError("", "x", "y"), ShardIndexError, "cannot decode chunk 'k': x: y"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ]
    for error, kind, message in cases:
        chain = CodecChain.bind([BytesCodec(), Failing(error)], chunk_type())
        with pytest.raises(kind, match=message) as caught:
            chain.decode("k", bytes(96))
        assert caught.value is error or caught.value.__cause__ is error
        chain = CodecChain.bind([FailingSerializer(error)], chunk_type())
        with pytest.raises(kind):
            chain.decode("k", bytes(96))


def test_checksum_errors_have_their_own_type() -> None:
    chain = CodecChain.bind([BytesCodec(), Crc32cCodec()], chunk_type())
    data = bytearray(chain.encode("k", np.ones((2, 3, 4), "<f4")))
    data[5] ^= 4
    with pytest.raises(ChecksumError, match="'k': crc32c: stored checksum 0x.*, computed 0x") as e:
        chain.decode("k", data)
    assert (e.value.key, e.value.codec) == ("k", "crc32c")
    with pytest.raises(ChunkDecodeError, match="truncated: 3 bytes, the checksum alone has 4"):
        chain.decode("k", b"abc")


def test_errors_of_encoding() -> None:
    values = np.ones((2, 3, 4), "<f4")
    chain = CodecChain.bind([BytesCodec(), Failing(OSError("no room"))], chunk_type())
    with pytest.raises(ChunkEncodeError, match="cannot encode chunk 'k': failing: no room"):
        chain.encode("k", values)
    chain = CodecChain.bind([FailingSerializer(TypeError("odd"))], chunk_type())
    with pytest.raises(ChunkEncodeError, match="cannot encode chunk 'k': failing serializer: odd"):
        chain.encode("k", values)
    inner = ChunkEncodeError("", "zstd", "cause")
    for codecs in ([BytesCodec(), Failing(inner)], [FailingSerializer(inner)]):
        chain = CodecChain.bind(codecs, chunk_type())
        with pytest.raises(ChunkEncodeError, match="cannot encode chunk 'k': zstd: cause"):
            chain.encode("k", values)
