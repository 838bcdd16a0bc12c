"""zarr.json: every field, both directions, and every refusal by its message."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta import dtypes, v3
from cuzarr.meta.spec import ArraySpec, ChunkKeyEncoding, CodecSpec, GroupSpec

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def array_document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [10, 20],
        "data_type": "float32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 7]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0,
        "codecs": [LITTLE],
    }
    document.update(changes)
    return {name: value for name, value in document.items() if value is not ...}


def parse_array(**changes: Any) -> ArraySpec:
    spec = v3.parse(array_document(**changes), "a/zarr.json")
    assert isinstance(spec, ArraySpec)
    return spec


def problems_of(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(MetadataError) as caught:
        v3.parse(array_document(**changes), "a/zarr.json")
    assert caught.value.key == "a/zarr.json"
    return caught.value.problems


def test_array() -> None:
    spec = parse_array(attributes={"units": "K"}, dimension_names=["y", None])
    assert spec.shape == (10, 20)
    assert spec.chunk_shape == (5, 7)
    assert spec.dtype == np.dtype("float32")
    assert spec.dtype.isnative
    assert isinstance(spec.fill_value, np.float32)
    assert spec.codecs == (CodecSpec("bytes", {"endian": "little"}),)
    assert spec.key_encoding == ChunkKeyEncoding("default", "/")
    assert spec.attributes == {"units": "K"}
    assert spec.dimension_names == ("y", None)
    assert (spec.order, spec.zarr_format) == ("C", 3)


def test_zero_dimensions() -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": []}}
    spec = parse_array(shape=[], chunk_grid=grid, dimension_names=[])
    assert (spec.shape, spec.chunk_shape, spec.dimension_names) == ((), (), ())


def test_huge_shape_is_accepted() -> None:
    assert parse_array(shape=[2**62, 1]).shape == (2**62, 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "default"}, ("default", "/")),
        ({"name": "default", "configuration": {"separator": "."}}, ("default", ".")),
        ({"name": "v2"}, ("v2", ".")),
        ({"name": "v2", "configuration": {"separator": "/"}}, ("v2", "/")),
        ("v2", ("v2", ".")),
    ],
)
def test_chunk_key_encoding(given: Any, expected: tuple[Any, Any]) -> None:
    assert parse_array(chunk_key_encoding=given).key_encoding == ChunkKeyEncoding(*expected)


def test_codecs_may_be_names_alone() -> None:
    spec = parse_array(codecs=[LITTLE, "crc32c", {"name": "gzip", "configuration": {"level": 1}}])
    assert [codec.name for codec in spec.codecs] == ["bytes", "crc32c", "gzip"]
    assert spec.codecs[1].configuration == {}


DATA_TYPES: list[tuple[Any, Any, Any, Any]] = [
    # data_type, dtype, fill_value, scalar
    ("bool", "?", True, np.True_),
    ("int8", "i1", -128, np.int8(-128)),
    ("int16", "i2", 1.0, np.int16(1)),
    ("uint64", "u8", 2**64 - 1, np.uint64(2**64 - 1)),
    ("float16", "f2", "0x7e00", np.float16(np.nan)),
    ("float32", "f4", "-Infinity", np.float32(-np.inf)),
    ("float64", "f8", 1, np.float64(1)),
    ("float64", "f8", "0x400921fb54442d18", np.float64(math.pi)),
    ("complex64", "c8", ["NaN", 1], np.complex64(complex(math.nan, 1))),
    ("complex128", "c16", [0.5, "Infinity"], np.complex128(complex(0.5, math.inf))),
    ("r24", "V3", [1, 2, 255], np.void(b"\x01\x02\xff")),
    ({"name": "int32"}, "i4", 7, np.int32(7)),
    (
        {"name": "raw_bytes", "configuration": {"length_bytes": 3}},
        "V3", "AQL/", np.void(b"\x01\x02\xff"),
    ),
    (
        {"name": "fixed_length_utf32", "configuration": {"length_bytes": 8}},
        "U2", "né", np.str_("né"),
    ),
    (
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": 4}},
        "S4", "YWI=", np.bytes_(b"ab"),
    ),
    (
        {"name": "numpy.datetime64", "configuration": {"unit": "us", "scale_factor": 10}},
        "M8[10us]", 3, np.datetime64(3, "10us"),
    ),
    (
        {"name": "numpy.timedelta64", "configuration": {"unit": "s", "scale_factor": 1}},
        "m8[s]", "NaT", np.timedelta64("NaT", "s"),
    ),
    ("string", dtypes.STRING, "a", np.str_("a")),
    ("variable_length_bytes", "O", "YQ==", np.bytes_(b"a")),
]  # fmt: skip


def serializer_of(data_type: Any) -> list[Any]:
    if data_type == "string":
        return ["vlen-utf8"]
    return ["vlen-bytes"] if data_type == "variable_length_bytes" else [LITTLE]


@pytest.mark.parametrize(("data_type", "dtype", "fill", "scalar"), DATA_TYPES)
def test_data_type_and_fill_value(data_type: Any, dtype: Any, fill: Any, scalar: Any) -> None:
    spec = parse_array(data_type=data_type, fill_value=fill, codecs=serializer_of(data_type))
    assert spec.dtype == np.dtype(dtype)
    assert type(spec.fill_value) is type(scalar)
    assert np.asarray(spec.fill_value).tobytes() == np.asarray(scalar).tobytes()
    assert np.asarray(spec.fill_value).dtype == np.asarray(scalar).dtype

    # Written from the facts alone it means the same, though the spelling may differ.
    again = v3.parse(v3.document(replace(spec, document={})), "again")
    assert isinstance(again, ArraySpec)
    assert again.dtype == spec.dtype
    assert np.asarray(again.fill_value).tobytes() == np.asarray(spec.fill_value).tobytes()


STRUCT = {
    "name": "struct",
    "configuration": {
        "fields": [
            {"name": "a", "data_type": "int32"},
            {"name": "b", "data_type": {"name": "struct", "configuration": {
                "fields": [{"name": "c", "data_type": "float64"}]}}},
        ]
    },
}  # fmt: skip
STRUCTURED = {
    "name": "structured",
    "configuration": {
        "fields": [
            ["a", "int32"],
            ["b", {"name": "structured", "configuration": {"fields": [["c", "float64"]]}}],
        ]
    },
}


@pytest.mark.parametrize(
    ("data_type", "fill"),
    [(STRUCT, {"a": 1, "b": {"c": 2.5}}), (STRUCTURED, "AQAAAAAAAAAAAARA")],
)
def test_structured_data_types(data_type: Any, fill: Any) -> None:
    spec = parse_array(data_type=data_type, fill_value=fill)
    assert spec.dtype == np.dtype([("a", "i4"), ("b", [("c", "f8")])])
    assert spec.fill_value is not None
    assert spec.fill_value.item() == (1, (2.5,))
    assert v3.document(spec)["data_type"] == data_type
    assert v3.document(spec)["fill_value"] == fill
    written = v3.document(replace(spec, document={}))
    assert written["data_type"] == STRUCT
    assert written["fill_value"] == {"a": 1, "b": {"c": 2.5}}


def test_nan_payload_survives() -> None:
    spec = parse_array(fill_value="0xffc00001")
    assert np.asarray(spec.fill_value).view("u4") == 0xFFC00001
    assert v3.document(replace(spec, document={}))["fill_value"] == "0xffc00001"
    spec = parse_array(data_type="complex64", fill_value=["0x7fc00000", "0x7fc00001"])
    assert v3.document(replace(spec, document={}))["fill_value"] == ["NaN", "0x7fc00001"]


def test_document_is_kept_as_it_was() -> None:
    document = array_document(
        chunk_key_encoding="default",
        codecs=[LITTLE, "crc32c"],
        fill_value="0x00000000",
        storage_transformers=[],
        cached={"must_understand": False, "x": 1},
        attributes={},
    )
    spec = v3.parse(document, "k")
    written = v3.document(spec)
    assert written == document
    assert list(written) == list(document)


def test_changes_are_written_and_the_rest_is_kept() -> None:
    document = array_document(fill_value=1.0, dimension_names=["y", "x"], attributes={"a": 1})
    spec = v3.parse(document, "k")
    assert isinstance(spec, ArraySpec)
    changed = replace(
        spec,
        shape=(11, 20),
        attributes={"b": 2},
        dimension_names=None,
        fill_value=np.float32(np.nan),
        codecs=(*spec.codecs, CodecSpec("crc32c")),
        key_encoding=ChunkKeyEncoding("v2", "/"),
        chunk_shape=(5, 5),
    )
    written = v3.document(changed)
    assert written == {
        **array_document(),
        "shape": [11, 20],
        "attributes": {"b": 2},
        "fill_value": "NaN",
        "codecs": [LITTLE, {"name": "crc32c"}],
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "/"}},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 5]}},
    }


def test_minus_zero_is_not_zero() -> None:
    spec = parse_array(fill_value=0.0)
    written = v3.document(replace(spec, fill_value=np.float32(-0.0)))
    assert math.copysign(1, written["fill_value"]) == -1


def test_group() -> None:
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"a": [1]},
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": {}},
        "other": {"must_understand": False},
    }
    spec = v3.parse(document, "zarr.json")
    assert isinstance(spec, GroupSpec)
    assert (spec.attributes, spec.zarr_format) == ({"a": [1]}, 3)
    assert v3.document(spec) == document
    assert v3.document(replace(spec, attributes={}))["attributes"] == {}
    assert v3.document(GroupSpec()) == {"zarr_format": 3, "node_type": "group", "attributes": {}}


def test_group_with_null_consolidated_metadata() -> None:
    document = {"zarr_format": 3, "node_type": "group", "consolidated_metadata": None}
    assert v3.parse(document, "k") == GroupSpec({}, 3, document)


def test_spec_without_a_document() -> None:
    spec = replace(parse_array(), document={}, fill_value=None)
    assert v3.document(spec) == {**array_document(), "attributes": {}}
    broken = replace(parse_array(), document={"zarr_format": 3, "node_type": "array"})
    assert v3.document(broken) == {**array_document(), "attributes": {}}


def test_dtype_without_a_data_type() -> None:
    with pytest.raises(ValueError, match="has no v3 data type"):
        v3.document(replace(parse_array(), document={}, dtype=np.dtype("g")))


def test_deep_nesting_is_refused() -> None:
    data_type: Any = "int8"
    for _ in range(5000):
        data_type = {"name": "struct", "configuration": {"fields": [["a", data_type]]}}
    assert problems_of(data_type=data_type)[-1] == "the document is nested too deeply"
