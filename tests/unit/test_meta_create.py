"""New arrays: the arguments of a user, in both formats, and every refusal by its message."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import numcodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuzarr.codecs import ShardingCodecIndexLocation
from cuzarr.errors import MetadataError
from cuzarr.meta import default_chunks, v2, v3
from cuzarr.meta.chunking import CHUNK_BYTES, SHARD_BYTES, default_shards, normalize_chunks
from cuzarr.meta.create import new_array_spec
from cuzarr.meta.spec import ArraySpec, ChunkKeyEncoding, CodecSpec

LITTLE = CodecSpec("bytes", {"endian": "little"})
ZSTD = CodecSpec("zstd", {"level": 0, "checksum": False})
BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}


def names(spec: ArraySpec) -> list[str]:
    return [codec.name for codec in spec.codecs]


def problems_of(shape: Any = (4, 6), dtype: Any = "f4", **arguments: Any) -> tuple[str, ...]:
    with pytest.raises(MetadataError) as caught:
        new_array_spec(shape, dtype, **arguments)
    return caught.value.problems


def test_v3_defaults() -> None:
    spec = new_array_spec((4, 6), "f4")
    assert (spec.shape, spec.chunk_shape, spec.dtype) == ((4, 6), (4, 6), np.dtype("f4"))
    assert spec.codecs == (LITTLE, ZSTD)
    assert isinstance(spec.fill_value, np.float32)
    assert spec.fill_value == 0
    assert spec.key_encoding == ChunkKeyEncoding("default", "/")
    assert (spec.zarr_format, spec.order, spec.attributes) == (3, "C", {})
    assert v3.parse(v3.document(spec), "k") == spec


def test_v2_defaults() -> None:
    spec = new_array_spec((4, 6), "f4", zarr_format=2)
    assert v2.documents(spec) == {
        ".zarray": {
            "zarr_format": 2,
            "shape": [4, 6],
            "chunks": [4, 6],
            "dtype": "<f4",
            "compressor": BLOSC,
            "filters": None,
            "order": "C",
            "dimension_separator": ".",
            "fill_value": 0.0,
        }
    }


@pytest.mark.parametrize("shape", [7, np.int64(7), [7], (7,), np.array([7])])
def test_shape_forms(shape: Any) -> None:
    assert new_array_spec(shape, "u1").shape == (7,)


def test_zero_dimensions() -> None:
    for zarr_format in (2, 3):
        spec = new_array_spec((), "i4", zarr_format=zarr_format)
        assert (spec.shape, spec.chunk_shape) == ((), ())


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (100, (100, 100)),
        ((100,), (100, 3000)),
        ((100, 200), (100, 200)),
        ([100, -1], (100, 3000)),
        ((None, 200), (2000, 200)),
        (False, (2000, 3000)),
        (np.array([5, 6]), (5, 6)),
        (((1000, 1000), (1024, 1024, 952)), (1000, 1024)),
        ("auto", default_chunks((2000, 3000), 8)),
        (True, default_chunks((2000, 3000), 8)),
        (None, default_chunks((2000, 3000), 8)),
    ],
)
def test_chunks_forms(chunks: Any, expected: tuple[int, ...]) -> None:
    assert normalize_chunks(chunks, (2000, 3000), 8) == expected
    assert new_array_spec((2000, 3000), "f8", chunks=chunks).chunk_shape == expected


@given(
    st.lists(st.integers(0, 2**62), max_size=5),
    st.integers(1, 4096),
)
def test_default_chunks(shape: list[int], itemsize: int) -> None:
    chunks = default_chunks(shape, itemsize)
    assert len(chunks) == len(shape)
    assert all(length >= 1 for length in chunks)
    assert all(c <= n for c, n in zip(chunks, shape, strict=True) if n)
    nbytes = math.prod(chunks) * itemsize
    assert nbytes <= CHUNK_BYTES
    if math.prod(n or 1 for n in shape) * itemsize >= CHUNK_BYTES:
        # Halving rounds up, so no step loses much more than half of what there was.
        assert nbytes * 4 > CHUNK_BYTES
    assert default_chunks(shape, itemsize) == chunks


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 300)), max_size=4),
    st.integers(1, 64),
)
def test_default_shards(axes: list[tuple[int, int]], itemsize: int) -> None:
    shape, chunks = [n for n, _ in axes], [c for _, c in axes]
    shards = default_shards(shape, chunks, itemsize)
    assert all(s % c == 0 and s >= c for s, c in zip(shards, chunks, strict=True))
    assert all(s < 2 * max(n, c) for s, (n, c) in zip(shards, axes, strict=True))
    limit = max(SHARD_BYTES, math.prod(chunks) * itemsize)
    assert math.prod(shards) * itemsize <= limit


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("int32", "int32"),
        (">f8", "float64"),
        (bool, "bool"),
        (np.complex64, "complex64"),
        ({"name": "int8"}, "int8"),
        ("U3", {"name": "fixed_length_utf32", "configuration": {"length_bytes": 12}}),
        ("S3", {"name": "null_terminated_bytes", "configuration": {"length_bytes": 3}}),
        ("r16", {"name": "raw_bytes", "configuration": {"length_bytes": 2}}),
        (
            "M8[10s]",
            {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 10}},
        ),
        (
            np.dtype([("a", "u1"), ("b", ">f8")], align=True),
            {"name": "struct", "configuration": {"fields": [
                {"name": "a", "data_type": "uint8"}, {"name": "b", "data_type": "float64"}]}},
        ),
        (str, "string"),
        ("string", "string"),
        ("U", "string"),
        (np.dtypes.StringDType(), "string"),
        (bytes, "variable_length_bytes"),
    ],
)  # fmt: skip
def test_v3_data_types(dtype: Any, expected: Any) -> None:
    spec = new_array_spec((4,), dtype)
    assert spec.document["data_type"] == expected
    assert spec.dtype.isnative
    serializer = {"string": "vlen-utf8", "variable_length_bytes": "vlen-bytes"}
    expected_name = serializer.get(expected if isinstance(expected, str) else "", "bytes")
    assert names(spec) == [expected_name, "zstd"]


def test_v3_struct_has_a_byte_order() -> None:
    assert new_array_spec((4,), [("a", ">i4")]).codecs[0] == LITTLE


@pytest.mark.parametrize(
    ("dtype", "expected", "filters"),
    [
        (">f8", ">f8", None),
        ("bool", "|b1", None),
        ("M8[ns]", "<M8[ns]", None),
        ([("a", ">i4"), ("b", "S2")], [["a", ">i4"], ["b", "|S2"]], None),
        (str, "|O", [{"id": "vlen-utf8"}]),
        (bytes, "|O", [{"id": "vlen-bytes"}]),
    ],
)
def test_v2_dtypes(dtype: Any, expected: Any, filters: Any) -> None:
    spec = new_array_spec((4,), dtype, zarr_format=2)
    assert spec.document["dtype"] == expected
    assert spec.document["filters"] == filters


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [
        ("f4", 1, np.float32(1)),
        ("f4", "nan", np.float32(np.nan)),
        ("i2", 5.0, np.int16(5)),
        ("bool", 1, np.True_),
        ("c8", 1j, np.complex64(1j)),
        ("M8[s]", "2020-01-01", np.datetime64("2020-01-01", "s")),
        ("M8[s]", np.datetime64("2020-01-01", "ns"), np.datetime64("2020-01-01", "s")),
        ("m8[s]", 5, np.timedelta64(5, "s")),
        ("U3", "abc", np.str_("abc")),
        ("U3", 0, np.str_("")),
        ("S3", b"ab", np.bytes_(b"ab")),
        ("S3", "ab", np.bytes_(b"ab")),
        ("V2", b"ab", np.void(b"ab")),
        ("V2", 0, np.void(b"\0\0")),
        ("V2", np.void(b"ab"), np.void(b"ab")),
        (str, 0, np.str_("")),
        (bytes, 0, np.bytes_(b"")),
        (str, "x", np.str_("x")),
        (bytes, b"x", np.bytes_(b"x")),
    ],
)
def test_fill_value(zarr_format: Any, dtype: Any, given: Any, expected: Any) -> None:
    spec = new_array_spec((4,), dtype, fill_value=given, zarr_format=zarr_format)
    assert np.asarray(spec.fill_value).tobytes() == np.asarray(expected).tobytes()
    assert type(spec.fill_value) is type(expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_structured_fill_value(zarr_format: Any) -> None:
    dtype = [("a", "i4"), ("b", ">f8")]
    forms = [((1, 2.5), (1, 2.5)), (0, (0, 0.0)), (np.array((3, 4), dtype), (3, 4))]
    for form, expected in forms:
        spec = new_array_spec((4,), dtype, fill_value=form, zarr_format=zarr_format)
        assert spec.fill_value is not None
        assert spec.fill_value.item() == expected


def test_default_fill_values() -> None:
    for dtype, expected in [("i4", 0), (bool, False), ("U2", ""), ("S2", b""), (str, "")]:
        assert new_array_spec((4,), dtype).fill_value == expected
    assert np.isnat(new_array_spec((4,), "M8[s]").fill_value)
    assert new_array_spec((4,), "f4", fill_value=None).fill_value == 0
    assert new_array_spec((4,), "f4", fill_value=None, zarr_format=2).fill_value is None


CODEC_FORMS: list[tuple[Any, CodecSpec]] = [
    ("crc32c", CodecSpec("crc32c")),
    (CodecSpec("gzip", {"level": 1}), CodecSpec("gzip", {"level": 1})),
    ({"name": "gzip"}, CodecSpec("gzip", {"level": 5})),
    ({"name": "zstd", "configuration": {"level": 9}},
     CodecSpec("zstd", {"level": 9, "checksum": False})),
    ({"id": "zlib", "level": 2}, CodecSpec("numcodecs.zlib", {"level": 2})),
    (numcodecs.Zlib(2), CodecSpec("numcodecs.zlib", {"level": 2})),
    (numcodecs.GZip(2), CodecSpec("gzip", {"level": 2})),
    (numcodecs.Zstd(2), CodecSpec("zstd", {"level": 2, "checksum": False})),
    (numcodecs.Blosc("zstd", 3, numcodecs.Blosc.BITSHUFFLE),
     CodecSpec("blosc", {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle", "typesize": 4,
                         "blocksize": 0})),
    ({"name": "blosc", "configuration": {"cname": "lz4"}},
     CodecSpec("blosc", {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4,
                         "blocksize": 0})),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), CODEC_FORMS)
@pytest.mark.parametrize("argument", ["compressor", "compressors"])
def test_v3_compressor_forms(argument: str, given: Any, expected: CodecSpec) -> None:
    spec = new_array_spec((4,), "f4", **{argument: given})
    assert spec.codecs == (LITTLE, expected)


class Checksum:
    """A codec object as this library has them."""

    name = "crc32c"

    def configuration(self) -> dict[str, Any]:
        return {}


class Dictable:
    """A codec object as zarr-python has them."""

    def to_dict(self) -> dict[str, Any]:
        return {"name": "gzip", "configuration": {"level": 3}}


def test_v3_codec_objects() -> None:
    spec = new_array_spec((4,), "f4", compressors=[Dictable(), Checksum()])
    assert spec.codecs == (LITTLE, CodecSpec("gzip", {"level": 3}), CodecSpec("crc32c"))


@pytest.mark.parametrize("nothing", [None, (), []])
def test_no_compressor(nothing: Any) -> None:
    assert new_array_spec((4,), "f4", compressors=nothing).codecs == (LITTLE,)
    spec = new_array_spec((4,), "f4", compressor=nothing, zarr_format=2)
    assert spec.document["compressor"] is None


def test_v3_chain_of_v2_spellings() -> None:
    spec = new_array_spec(
        (4, 6), "f4",
        order="F",
        filters=[numcodecs.Delta("f4", "i2"), {"id": "shuffle", "elementsize": 2}],
        compressor={"id": "blosc", "cname": "lz4", "clevel": 1, "shuffle": -1},
        dimension_separator=".",
    )  # fmt: skip
    assert names(spec) == ["transpose", "numcodecs.delta", "bytes", "numcodecs.shuffle", "blosc"]
    assert spec.codecs[0].configuration == {"order": [1, 0]}
    assert spec.key_encoding == ChunkKeyEncoding("default", ".")
    assert spec.order == "C"


def test_v3_whole_chain() -> None:
    spec = new_array_spec(
        (4, 6), "f4", codecs=[{"name": "transpose", "configuration": {"order": [1, 0]}}, "bytes"]
    )
    assert spec.codecs == (CodecSpec("transpose", {"order": [1, 0]}), LITTLE)


def test_v3_serializer() -> None:
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    spec = new_array_spec((4,), "f4", serializer=big, compressors=None)
    assert spec.codecs == (CodecSpec("bytes", {"endian": "big"}),)


@pytest.mark.parametrize(
    ("shards", "expected"),
    [((20, 40), (20, 40)), (20, (20, 20)), ((20, -1), (20, 60)), (False, None), (None, None)],
)
def test_shards(shards: Any, expected: Any) -> None:
    spec = new_array_spec((100, 57), "f4", chunks=(10, 20), shards=shards)
    if expected is None:
        assert spec.chunk_shape == (10, 20)
        return
    assert spec.chunk_shape == expected
    assert names(spec) == ["sharding_indexed"]
    assert spec.codecs[0].configuration == {
        "chunk_shape": [10, 20],
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 0, "checksum": False}},
        ],
        "index_codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "index_location": "end",
    }


class Location(Enum):
    """As zarr-python has it."""

    START = "start"


@pytest.mark.parametrize(
    "location", ["start", "end", None, ShardingCodecIndexLocation.start, Location.START]
)
def test_shards_as_a_mapping(location: Any) -> None:
    shards = {"shape": (20, 40), "index_location": location}
    spec = new_array_spec((100, 57), "f4", chunks=(10, 20), shards=shards)
    assert spec.chunk_shape == (20, 40)
    [sharding] = spec.codecs
    assert sharding.configuration["chunk_shape"] == [10, 20]
    expected = "end" if location in (None, "end") else "start"
    assert sharding.configuration["index_location"] == expected
    assert new_array_spec((100, 57), "f4", shards={"shape": "auto"}).codecs[0].name == sharding.name


@pytest.mark.parametrize(
    ("shards", "inner"),
    [
        ((50, 40), (50, 40)),
        ((3000, 3000), (150, 750)),
        ((1_000_003, 1), (1_000_003, 1)),
        (-1, (200, 1024)),
    ],
)
def test_automatic_chunks_divide_the_shards(shards: Any, inner: Any) -> None:
    spec = new_array_spec((2 * 10**6, 4096), "f4", shards=shards)
    assert spec.codecs[0].configuration["chunk_shape"] == list(inner)


def test_automatic_shards() -> None:
    spec = new_array_spec((10_000, 10_000), "f4", chunks=(250, 250), shards="auto")
    assert spec.chunk_shape == default_shards((10_000, 10_000), (250, 250), 4)


def test_sharding_given_as_a_codec_is_completed() -> None:
    given = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [2, 2], "codecs": ["bytes", {"name": "gzip"}]},
    }
    spec = new_array_spec((4, 6), "f4", chunks=(4, 6), codecs=[given])
    configuration = spec.codecs[0].configuration
    assert configuration["codecs"] == [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "gzip", "configuration": {"level": 5}},
    ]
    assert configuration["index_location"] == "end"
    assert configuration["index_codecs"][1] == {"name": "crc32c"}


@pytest.mark.parametrize(
    ("zarr_format", "arguments", "expected"),
    [
        (3, {"chunk_key_encoding": "v2"}, ("v2", ".")),
        (3, {"chunk_key_encoding": {"name": "v2", "separator": "/"}}, ("v2", "/")),
        (
            3,
            {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}},
            ("default", "."),
        ),
        (2, {"dimension_separator": "/"}, ("v2", "/")),
        (2, {"chunk_key_encoding": {"name": "v2", "separator": "/"}}, ("v2", "/")),
    ],
)
def test_chunk_keys(zarr_format: Any, arguments: dict[str, Any], expected: Any) -> None:
    spec = new_array_spec((4,), "f4", zarr_format=zarr_format, **arguments)
    assert spec.key_encoding == ChunkKeyEncoding(*expected)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (numcodecs.Zstd(2), {"id": "zstd", "level": 2}),
        ({**BLOSC, "shuffle": -1}, {**BLOSC, "shuffle": -1}),
        ({"name": "gzip", "configuration": {"level": 2}}, {"id": "gzip", "level": 2}),
        (CodecSpec("blosc", {"cname": "zstd"}), {**BLOSC, "cname": "zstd"}),
        (CodecSpec("numcodecs.bz2", {"level": 2}), {"id": "bz2", "level": 2}),
    ],
)
def test_v2_compressor_forms(given: Any, expected: dict[str, Any]) -> None:
    for argument in ({"compressor": given}, {"compressors": [given]}):
        spec = new_array_spec((4,), "f4", zarr_format=2, **argument)
        assert v2.v2_compressor(spec) == expected


def test_v2_filters_and_objects() -> None:
    spec = new_array_spec(
        (4,), object, zarr_format=2, object_codec=numcodecs.JSON(), fill_value=None
    )
    assert names(spec) == ["numcodecs.json2", "blosc"]
    spec = new_array_spec((4,), object, zarr_format=2, filters=[{"id": "vlen-utf8"}])
    assert spec.fill_value == ""
    spec = new_array_spec((4,), "f4", zarr_format=2, filters=numcodecs.Delta("f4"))
    assert v2.v2_filters(spec) == [{"id": "delta", "dtype": "<f4", "astype": "<f4"}]


def test_object_codec_chooses_the_v3_data_type() -> None:
    spec = new_array_spec((4,), object, object_codec=numcodecs.VLenUTF8())
    assert spec.document["data_type"] == "string"
    assert names(spec) == ["vlen-utf8", "zstd"]


def test_object_fill_value() -> None:
    spec = new_array_spec((4,), object, zarr_format=2, object_codec=numcodecs.JSON(), fill_value=5)
    assert spec.fill_value == 5


class Encoding:
    """A chunk key encoding object as zarr-python has them."""

    def to_dict(self) -> dict[str, Any]:
        return {"name": "v2", "configuration": {"separator": "/"}}


def test_chunk_key_encoding_object() -> None:
    spec = new_array_spec((4,), "f4", chunk_key_encoding=Encoding())
    assert spec.key_encoding == ChunkKeyEncoding("v2", "/")


def test_attributes_and_names() -> None:
    spec = new_array_spec((4, 6), "f4", attributes={"a": 1}, dimension_names=["y", None])
    assert (spec.attributes, spec.dimension_names) == ({"a": 1}, ("y", None))
    spec = new_array_spec((4, 6), "f4", attributes={"a": 1}, zarr_format=2)
    assert v2.documents(spec)[".zattrs"] == {"a": 1}


def test_a_data_type_by_names_and_formats() -> None:
    spec = new_array_spec((3,), {"names": ["a", "b"], "formats": ["<i4", "<f8"]}, zarr_format=2)
    assert spec.dtype == np.dtype([("a", "<i4"), ("b", "<f8")])
    assert new_array_spec((3,), {"name": "numpy.datetime64", "configuration": {
        "unit": "s", "scale_factor": 1}}).dtype == np.dtype("M8[s]")  # fmt: skip


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_large_integers_as_fill_values(dtype: str) -> None:
    near_a_tie = 2**60 + 2**36 + 1  # rounded once, as NumPy does
    for value in (10**30, -(10**30), 2**63, near_a_tie):
        expected = np.array(float(value) if abs(value) >= 2**63 else value).astype(dtype)
        assert new_array_spec((3,), dtype, fill_value=value).fill_value == expected
    with pytest.raises(MetadataError, match="is no"):
        new_array_spec((3,), dtype, fill_value=object())
    with pytest.raises(MetadataError, match="is no"):
        new_array_spec((3,), dtype, fill_value=10**400)
