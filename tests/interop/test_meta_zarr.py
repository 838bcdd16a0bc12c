"""Documents exchanged with zarr-python: each reads what the other writes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numcodecs
import numpy as np
import pytest

from cuzarr import meta
from cuzarr.meta.create import new_array_spec
from cuzarr.meta.spec import ArraySpec

zarr = pytest.importorskip("zarr", minversion="3.0")

pytestmark = [
    pytest.mark.interop,
    # Of data types and codecs that are not in the core specification.
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

VERSION = tuple(int(part) for part in zarr.__version__.split(".")[:2])
NUMBERS = [
    "bool", "int8", "uint8", "int16", "uint16", "int32", ">i4", "uint32", "int64", "uint64",
    "float16", "float32", "float64", ">f8", "complex64", "complex128",
]  # fmt: skip
OTHERS: list[Any] = [
    "<U5", ">U5", "S5", "V5", "M8[s]", "M8[10us]", "m8[ns]", [("a", "i4"), ("b", ">f8")], str,
]  # fmt: skip


def parse(stored: dict[str, Any]) -> tuple[ArraySpec, dict[str, Any]]:
    """Parse what zarr-python stored; returns the document too."""
    name = "zarr.json" if "zarr.json" in stored else ".zarray"
    document = json.loads(stored[name].to_bytes())
    if name == ".zarray":
        return meta.v2.parse_array(document, None, name), document
    spec = meta.v3.parse(document, name)
    assert isinstance(spec, ArraySpec)
    return spec, document


def written(spec: ArraySpec) -> dict[str, Any]:
    """The document of the facts alone."""
    spec = replace(spec, document={})
    if spec.zarr_format == 2:
        return meta.v2.documents(spec)[".zarray"]
    return meta.v3.document(spec)


def opened(spec: ArraySpec) -> Any:
    """Let zarr-python open a spec."""
    documents = (
        {"zarr.json": meta.v3.document(spec)} if spec.zarr_format == 3 else meta.v2.documents(spec)
    )
    buffers = {
        name: zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(meta.dump_json(value))
        for name, value in documents.items()
    }
    return zarr.open_array(zarr.storage.MemoryStore(buffers), mode="r+")


def assert_same_fill(theirs: Any, ours: Any) -> None:
    if isinstance(ours, str | bytes):
        assert str(theirs) == str(ours)
    else:
        assert np.asarray(theirs).tobytes() == np.asarray(ours).tobytes()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", NUMBERS + OTHERS, ids=str)
def test_what_zarr_writes(dtype: Any, zarr_format: int) -> None:
    stored: dict[str, Any] = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(stored), shape=(40, 7), chunks=(4, 5), dtype=dtype,
        zarr_format=zarr_format,
    )  # fmt: skip
    spec, document = parse(stored)
    assert (spec.shape, spec.chunk_shape) == (array.shape, array.chunks)
    assert_same_fill(array.fill_value, spec.fill_value)
    if dtype is not str:
        expected = array.dtype if zarr_format == 2 else array.dtype.newbyteorder("=")
        assert spec.dtype == expected
    if dtype == OTHERS[7] and zarr_format == 3 and VERSION < (3, 2):
        return  # an older spelling of structured types, which is not written any more
    document.pop("storage_transformers", None)
    assert written(spec) == document


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", NUMBERS + OTHERS, ids=str)
def test_what_we_write(dtype: Any, zarr_format: Any) -> None:
    if dtype == OTHERS[7] and zarr_format == 3 and VERSION < (3, 2):
        pytest.skip("this zarr-python does not know the data type 'struct'")
    spec = new_array_spec((40, 7), dtype, chunks=(4, 5), zarr_format=zarr_format)
    array = opened(spec)
    assert (array.shape, array.chunks) == (spec.shape, spec.chunk_shape)
    assert_same_fill(array.fill_value, spec.fill_value)
    if dtype is not str:
        assert array.dtype == spec.dtype
        array[:2] = array[2:4]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("f2", np.nan), ("f4", -np.inf), ("f8", 0.1), ("c8", complex(np.nan, np.inf)),
        ("i8", -(2**63)), ("u8", 2**64 - 1), ("bool", True), ("S5", b"ab"), ("U5", "né"),
        ("V5", b"abcde"), ("M8[s]", np.datetime64("2020-01-01", "s")), (str, "né"),
    ],
)  # fmt: skip
def test_fill_values(dtype: Any, fill: Any, zarr_format: Any) -> None:
    stored: dict[str, Any] = {}
    theirs = np.void(fill) if dtype == "V5" else fill
    zarr.create_array(
        zarr.storage.MemoryStore(stored), shape=(4,), dtype=dtype, fill_value=theirs,
        zarr_format=zarr_format,
    )  # fmt: skip
    spec, document = parse(stored)
    ours = new_array_spec((4,), dtype, fill_value=fill, zarr_format=zarr_format)
    assert_same_fill(spec.fill_value, ours.fill_value)
    assert ours.document["fill_value"] == document["fill_value"]
    assert_same_fill(opened(ours).fill_value, ours.fill_value)


def test_nan_payload() -> None:
    bits = np.array(0x7FC00001, "u4").view("f4")[()]
    array = opened(new_array_spec((4,), "f4", fill_value=bits))
    assert np.isnan(array.fill_value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"compressors": None},
        {"compressors": [{"name": "gzip", "configuration": {"level": 5}}]},
        {"compressors": [{"name": "blosc", "configuration": {
            "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}}]},
        {"compressors": ["crc32c"]},
        {"filters": [{"name": "transpose", "configuration": {"order": [1, 0]}}]},
        {"shards": (8, 10)},
        {"shards": (8, 10), "compressors": None},
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"chunk_key_encoding": {"name": "default", "separator": "."}},
        {"dimension_names": ["y", "x"]},
        {"attributes": {"a": [1, None]}},
        {"serializer": {"name": "bytes", "configuration": {"endian": "big"}}},
    ],
    ids=str,
)  # fmt: skip
def test_the_same_arguments_describe_the_same_v3_array(arguments: dict[str, Any]) -> None:
    stored: dict[str, Any] = {}
    theirs = {**arguments}
    if theirs.get("compressors") == ["crc32c"]:
        theirs["compressors"] = [{"name": "crc32c"}]
    array = zarr.create_array(
        zarr.storage.MemoryStore(stored), shape=(40, 20), chunks=(4, 5), dtype="f4", **theirs
    )
    spec, document = parse(stored)
    ours = new_array_spec((40, 20), "f4", chunks=(4, 5), **arguments)
    document.pop("storage_transformers")
    assert ours.document == document
    assert replace(ours, document={}) == replace(spec, document={})
    assert opened(ours).metadata == array.metadata


@pytest.mark.parametrize(
    "arguments",
    [
        {"compressors": None},
        {"compressors": {"id": "zstd", "level": 3}},
        {"compressors": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 2, "blocksize": 0}},
        {"compressors": {"id": "zlib", "level": 3}},
        {"filters": [numcodecs.Delta("<i4", "<i2")], "compressors": None},
        {"order": "F", "compressors": None},
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}, "compressors": None},
    ],
    ids=str,
)
def test_the_same_arguments_describe_the_same_v2_array(arguments: dict[str, Any]) -> None:
    stored: dict[str, Any] = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(stored), shape=(40, 20), chunks=(4, 5), dtype="i4", zarr_format=2,
        **arguments,
    )  # fmt: skip
    spec, document = parse(stored)
    ours = new_array_spec((40, 20), "i4", chunks=(4, 5), zarr_format=2, **arguments)
    # Blosc of numcodecs says its typesize in some versions, which no reader needs.
    assert {**ours.document, "compressor": None} == {**document, "compressor": None}
    assert replace(ours, document={}) == replace(spec, document={})
    assert opened(ours).metadata == array.metadata


def test_codec_objects_of_zarr() -> None:
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec

    spec = new_array_spec(
        (4, 6), "f4",
        filters=TransposeCodec(order=(1, 0)),
        serializer=BytesCodec(endian="big"),
        compressors=[BloscCodec(typesize=4, cname="lz4", shuffle="shuffle"), GzipCodec(level=1),
                     Crc32cCodec()],
    )  # fmt: skip
    assert [codec.name for codec in spec.codecs] == [
        "transpose",
        "bytes",
        "blosc",
        "gzip",
        "crc32c",
    ]
    assert spec.codecs[1].configuration == {"endian": "big"}
    assert spec.codecs[2].configuration == {
        "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0
    }  # fmt: skip
    assert opened(spec).shape == (4, 6)


def test_data_type_objects_of_zarr() -> None:
    from zarr.dtype import Float32, VariableLengthUTF8

    assert new_array_spec((4,), Float32()).dtype == np.dtype("f4")
    assert new_array_spec((4,), VariableLengthUTF8()).document["data_type"] == "string"


def test_groups() -> None:
    for zarr_format in (2, 3):
        stored: dict[str, Any] = {}
        zarr.create_group(
            zarr.storage.MemoryStore(stored), zarr_format=zarr_format, attributes={"a": 1}
        )
        documents = {name: json.loads(value.to_bytes()) for name, value in stored.items()}
        if zarr_format == 3:
            spec = meta.v3.parse(documents["zarr.json"], "zarr.json")
            assert meta.v3.document(spec) == documents["zarr.json"]
        else:
            spec = meta.v2.parse_group(documents[".zgroup"], documents[".zattrs"], ".zgroup")
            assert meta.v2.documents(spec) == documents
        assert spec.attributes == {"a": 1}
