"""What is wrong in a v3 document: every problem at once, each with its place."""

from __future__ import annotations

from typing import Any

import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta import v3
from tests.unit.test_meta_v3 import (
    LITTLE,
    STRUCT,
    array_document,
    problems_of,
)


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
        ({"shape": [1] * 64}, "shape: at most 63 dimensions are supported, found 64"),
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
            {"chunk_grid": {"name": "hexagonal", "configuration": {}}},
            "chunk_grid.name: the chunk grid 'hexagonal' is not supported, only 'regular' and "
            "'rectilinear'",
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


def test_missing_fields_are_all_named() -> None:
    with pytest.raises(MetadataError) as caught:
        v3.parse({"zarr_format": 3, "node_type": "array"}, "k")
    assert caught.value.problems == tuple(
        f"{name}: is missing"
        for name in (
            "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs",
        )
    )  # fmt: skip
