"""zarr.json: every field, both directions, and every refusal by its message."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuzarr.errors import MetadataError
from cuzarr.meta import dump_json, load_json, v3
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
    ("string", "O", "a", np.str_("a")),
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"zarr_format": 2}, "zarr_format: expected 3, found 2"),
        ({"zarr_format": ...}, "zarr_format: expected 3, found none"),
        ({"node_type": "table"}, "node_type: expected 'array' or 'group', found \"table\""),
        ({"node_type": ...}, "node_type: expected 'array' or 'group', found none"),
        ({"node_type": ["array"]}, "node_type: expected 'array' or 'group', found [\"array\"]"),
        ({"shape": ...}, "shape: is missing"),
        ({"shape": 5}, "shape: expected an array of integers, found 5"),
        ({"shape": "10"}, 'shape: expected an array of integers, found "10"'),
        ({"shape": [10, True]}, "shape[1]: expected an integer, found true"),
        ({"shape": [10.0, 1]}, "shape[0]: expected an integer, found 10.0"),
        ({"shape": [-1, 20]}, "shape[0]: must be at least 0, found -1"),
        ({"shape": [2**63, 20]}, "shape[0]: is larger than 2**63 - 1"),
        ({"shape": [1] * 65}, "shape: at most 64 dimensions are supported, found 65"),
        ({"data_type": "float31"}, "data_type: the data type 'float31' is not supported"),
        ({"data_type": "r12"}, "data_type: 'r12': raw bits come in multiples of 8"),
        ({"data_type": 5}, "data_type: expected a name or an object with a name, found 5"),
        ({"data_type": {"name": 1}}, "data_type.name: expected a string, found 1"),
        (
            {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 6}}},
            "data_type.configuration.length_bytes: must be a multiple of 4, found 6",
        ),
        (
            {"data_type": {"name": "null_terminated_bytes"}},
            "data_type.configuration.length_bytes: expected a positive integer, found null",
        ),
        (
            {"data_type": {"name": "numpy.datetime64", "configuration": {"unit": "eon"}}},
            'data_type.configuration.unit: expected a unit of time, found "eon"',
        ),
        (
            {"data_type": {"name": "struct", "configuration": {"fields": [["a", "f9"]]}}},
            "data_type.configuration.fields[0].data_type: the data type 'f9' is not supported",
        ),
        (
            {"data_type": {"name": "struct", "configuration": {"fields": [["a", "string"]]}}},
            "data_type.configuration.fields[0].data_type: must have a fixed size",
        ),
        (
            {"data_type": {"name": "struct", "configuration": {"fields": []}}},
            "data_type.configuration.fields: expected a list of fields, found []",
        ),
        (
            {"data_type": {"name": "struct", "configuration": {"fields": [{"name": "a"}]}}},
            "data_type.configuration.fields[0]: expected a name and a data type, "
            'found {"name": "a"}',
        ),
        (
            {"data_type": {"name": "struct", "configuration": {"fields": [[1, "int8"]]}}},
            "data_type.configuration.fields[0].name: expected a string, found 1",
        ),
        (
            {
                "data_type": {
                    "name": "numpy.timedelta64",
                    "configuration": {"unit": "s", "scale_factor": 0},
                }
            },
            "data_type.configuration.scale_factor: expected a positive integer, found 0",
        ),
        (
            {"fill_value": 10**400},
            f"fill_value: 1{'0' * 56}... is out of range (the data type is float32)",
        ),
        ({"chunk_grid": ...}, "chunk_grid: is missing"),
        (
            {"chunk_grid": {"name": "rectilinear", "configuration": {}}},
            "chunk_grid.name: the chunk grid 'rectilinear' is not supported, only 'regular'",
        ),
        (
            {"chunk_grid": {"name": "regular"}},
            "chunk_grid.configuration.chunk_shape: is missing",
        ),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5, 0]}}},
            "chunk_grid.configuration.chunk_shape[1]: must be at least 1, found 0",
        ),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [5]}}},
            "chunk_grid.configuration.chunk_shape: has 1 dimensions, but the array has 2",
        ),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**61, 1]}}},
            "chunk_grid.configuration.chunk_shape: one chunk would be 9223372036854775808 bytes, "
            "more than 2**63 - 1",
        ),
        (
            {"chunk_grid": {"name": "regular", "configuration": []}},
            "chunk_grid.configuration: expected an object, found []",
        ),
        (
            {"chunk_key_encoding": {"name": "v4"}},
            "chunk_key_encoding.name: expected 'default' or 'v2', found \"v4\"",
        ),
        (
            {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "-"}}},
            "chunk_key_encoding.configuration.separator: expected '/' or '.', found \"-\"",
        ),
        (
            {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
            "chunk_key_encoding.separator: is not known here",
        ),
        ({"codecs": []}, "codecs: is empty: an array-to-bytes codec, such as 'bytes', is needed"),
        (
            {"codecs": {"name": "bytes"}},
            'codecs: expected a list of codecs, found {"name": "bytes"}',
        ),
        ({"codecs": [LITTLE, {}]}, "codecs[1].name: expected a string, found none"),
        (
            {"codecs": [LITTLE, 7]},
            "codecs[1]: expected a name or an object with a name, found 7",
        ),
        ({"attributes": [1]}, "attributes: expected an object, found [1]"),
        ({"dimension_names": "xy"}, 'dimension_names: expected a list, found "xy"'),
        ({"dimension_names": ["x", 1]}, "dimension_names[1]: expected a string or null, found 1"),
        (
            {"dimension_names": ["x"]},
            "dimension_names: has 1 names, but the array has 2 dimensions",
        ),
        (
            {"storage_transformers": [{"name": "x"}]},
            'storage_transformers: none is supported, found [{"name": "x"}]',
        ),
        (
            {"extra": 1},
            "extra: is not a known field, and does not say that it need not be understood",
        ),
        (
            {"extra": {"must_understand": True}},
            "extra: is not a known field, and does not say that it need not be understood",
        ),
        ({"fill_value": ...}, "fill_value: is missing"),
        (
            {"fill_value": None},
            "fill_value: expected a number, found null (the data type is float32)",
        ),
        (
            {"fill_value": True},
            "fill_value: expected a number, found true (the data type is float32)",
        ),
        (
            {"fill_value": "0x7fc0"},
            "fill_value: expected a number, 'NaN', 'Infinity', '-Infinity' or '0x' with "
            '8 hexadecimal digits, found "0x7fc0" (the data type is float32)',
        ),
        (
            {"data_type": "uint8", "fill_value": -1},
            "fill_value: -1 is out of range (the data type is uint8)",
        ),
        (
            {"data_type": "uint8", "fill_value": 0.5},
            "fill_value: expected an integer, found 0.5 (the data type is uint8)",
        ),
        (
            {"data_type": "uint8", "fill_value": False},
            "fill_value: expected an integer, found false (the data type is uint8)",
        ),
        (
            {"data_type": "bool", "fill_value": 0},
            "fill_value: expected true or false, found 0 (the data type is bool)",
        ),
        (
            {"data_type": "complex64", "fill_value": [0]},
            "fill_value: expected [real, imaginary], found [0] (the data type is complex64)",
        ),
        (
            {"data_type": "string", "fill_value": ""},
            "codecs: the data type needs the codec 'vlen-utf8', found 'bytes'",
        ),
        (
            {"data_type": "string", "fill_value": 0, "codecs": ["vlen-utf8"]},
            "fill_value: expected a string, found 0 (the data type is string)",
        ),
        (
            {"data_type": "r16", "fill_value": [1, 256]},
            "fill_value: expected a list of bytes, found [1, 256] (the data type is |V2)",
        ),
        (
            {"data_type": "r16", "fill_value": [1, 2, 3]},
            "fill_value: [1, 2, 3] is 3 bytes, expected 2 (the data type is |V2)",
        ),
        (
            {"data_type": STRUCT, "fill_value": {"a": 1, "b": {"c": "x"}}},
            "fill_value.b.c: expected a number, 'NaN', 'Infinity', '-Infinity' or '0x' with "
            '16 hexadecimal digits, found "x" (the data type is float64)',
        ),
    ],
)
def test_problem(changes: dict[str, Any], expected: str) -> None:
    assert problems_of(**changes) == (expected,)


def test_all_problems_are_listed_at_once() -> None:
    found = problems_of(
        shape=[-1, "a"],
        data_type="float31",
        chunk_grid={"name": "regular", "configuration": {"chunk_shape": [0, 1]}},
        codecs=[],
        fill_value=...,
        extra=1,
    )
    assert [problem.split(":")[0] for problem in found] == [
        "fill_value",
        "shape[0]",
        "shape[1]",
        "data_type",
        "chunk_grid.configuration.chunk_shape[0]",
        "codecs",
        "extra",
    ]
    with pytest.raises(MetadataError) as caught:
        v3.parse(array_document(shape=[-1, "a"]), "a/zarr.json")
    assert str(caught.value) == (
        "invalid metadata in 'a/zarr.json':\n"
        "  - shape[0]: must be at least 0, found -1\n"
        '  - shape[1]: expected an integer, found "a"'
    )


def test_group_problems() -> None:
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": 1,
        "shape": [],
        "consolidated_metadata": 5,
    }
    with pytest.raises(MetadataError) as caught:
        v3.parse(document, "zarr.json")
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "attributes",
        "shape",
        "consolidated_metadata",
    ]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["float32", "bool", "r8", "string", "struct", "regular", "default", "v2", "bytes", "NaN",
         "0x7fc00000", "numpy.datetime64", "array", "group", "transpose", "AAAA", "NaT"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["name", "configuration", "chunk_shape", "separator", "fields", "data_type",
             "length_bytes", "unit", "scale_factor", "must_understand", "a"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
FIELDS = [
    "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding",
    "fill_value", "codecs", "attributes", "dimension_names", "storage_transformers", "extra",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=12))
def test_any_json_parses_or_is_refused(changes: dict[str, Any]) -> None:
    document = array_document(**changes)
    try:
        spec = v3.parse(document, "k")
    except MetadataError as error:
        assert error.problems  # noqa: PT017
    else:
        again = v3.parse(v3.document(spec), "k")
        assert type(again) is type(spec)


ALL_TYPES = [data_type for data_type, _, _, _ in DATA_TYPES] + [STRUCT, STRUCTURED]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL_TYPES), JSON_VALUES)
def test_any_fill_value_parses_or_is_refused(data_type: Any, value: Any) -> None:
    try:
        document = array_document(
            data_type=data_type, fill_value=value, codecs=serializer_of(data_type)
        )
        spec = v3.parse(document, "k")
    except MetadataError as error:
        assert all(problem.startswith("fill_value") for problem in error.problems)  # noqa: PT017
    else:
        assert isinstance(spec, ArraySpec)
        written = load_json(dump_json(v3.document(replace(spec, document={}))), "k")
        again = v3.parse(written, "k")
        assert isinstance(again, ArraySpec)
        assert np.asarray(again.fill_value).tobytes() == np.asarray(spec.fill_value).tobytes()


def test_missing_fields_are_all_named() -> None:
    with pytest.raises(MetadataError) as caught:
        v3.parse({"zarr_format": 3, "node_type": "array"}, "k")
    assert caught.value.problems == tuple(
        f"{name}: is missing"
        for name in (
            "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs",
        )
    )  # fmt: skip


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
    with pytest.raises(MetadataError, match="nested too deeply"):
        v3.parse(array_document(data_type=data_type), "k")
