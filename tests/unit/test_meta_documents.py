"""Documents of new and of changed nodes: which fields are written anew, and which are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta import dump_json, dump_shaped, load_json, v2, v3
from cuzarr.meta.create import new_array_spec
from cuzarr.meta.spec import ArraySpec, ChunkKeyEncoding, GroupSpec
from tests.unit.test_meta_create import problems_of
from tests.unit.test_meta_v2 import parse, rewritten, zarray
from tests.unit.test_meta_v2 import problems_of as problems_of_v2
from tests.unit.test_meta_v3 import array_document, parse_array
from tests.unit.test_meta_v3 import problems_of as problems_of_v3

RECORD = np.dtype([("a", "<i4"), ("b", "<f8")])


class Kind:
    """A data type as zarr-python has them."""

    def __init__(self, name: Any, dtype: Any) -> None:
        self.name, self.dtype = name, np.dtype(dtype)

    def to_json(self, *, zarr_format: int) -> Any:
        assert zarr_format == 3
        return self.name

    def to_native_dtype(self) -> Any:
        return self.dtype


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (Kind("int32", ">i4"), ">i4", "int32"),
        (Kind("int32", "<i4"), "<i4", "int32"),
        (Kind("uint8", "u1"), "|u1", "uint8"),
        (Kind("string", "O"), "|O", "string"),
        (Kind("float32", ">f4"), ">f4", "float32"),
    ],
)
def test_data_types_as_objects(kind: Kind, old: str, new: str) -> None:
    assert new_array_spec((4,), kind, zarr_format=2).document["dtype"] == old
    assert new_array_spec((4,), kind).document["data_type"] == new


def test_the_key_of_a_document_to_be() -> None:
    for zarr_format, key in ((2, ".zarray"), (3, "zarr.json")):
        for given in (None, "a/b"):
            with pytest.raises(MetadataError) as caught:
                new_array_spec((-1,), "i4", zarr_format=zarr_format, key=given)  # type: ignore[arg-type]
            assert caught.value.key == (given or key)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"zarr_format": True}, "zarr_format: expected 2 or 3, found true"),
        ({"zarr_format": "3"}, 'zarr_format: expected 2 or 3, found "3"'),
        ({"dtype": "V"}, "dtype: '|V0': a length from 1 to 2147483647 bytes is needed"),
        ({"dtype": {"name": "float31"}}, "dtype: the data type 'float31' is not supported"),
        ({"dtype": "r12"}, "dtype: 'r12': raw bits come in multiples of 8"),
        ({"chunk_key_encoding": 5},
         "chunk_key_encoding: expected a name or an object with a name, found 5"),
        ({"chunk_key_encoding": {"name": "v2", "separator": "-"}},
         "chunk_key_encoding.configuration.separator: expected '/' or '.', found \"-\""),
        ({"chunk_key_encoding": {"separator": "/"}},
         "chunk_key_encoding.name: expected a string, found null"),
    ],
)  # fmt: skip
def test_wrong_arguments(arguments: dict[str, Any], problem: str) -> None:
    assert problems_of(**arguments) == (problem,)


@pytest.mark.parametrize("order", [None, "C", "F"])
def test_the_order_of_new_arrays(order: Any) -> None:
    spec = new_array_spec((4, 6), "f4", order=order, zarr_format=2)
    assert spec.order == spec.document["order"] == (order or "C")
    flat = new_array_spec((4,), "f4", order=order, zarr_format=2)
    assert flat.order == flat.document["order"] == (order or "C")
    assert new_array_spec((4, 6), "f4", order=order).order == "C"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_document_of_a_new_fill_value(zarr_format: Any) -> None:
    payload = np.array([0x7FC12345], "u4").view("f4")[0]
    record = np.array((1, 0.0), RECORD)[()]
    old, new = ("NaN", "AQAAAAAAAAAAAAAA"), ("0x7fc12345", {"a": 1, "b": 0.0})
    for value, dtype, expected in zip(
        (payload, record), ("f4", RECORD), old if zarr_format == 2 else new, strict=True
    ):
        spec = new_array_spec((4,), dtype, fill_value=value, zarr_format=zarr_format)
        assert spec.document["fill_value"] == expected


def test_default_fill_values_by_their_type() -> None:
    for dtype, zarr_format, expected in (
        (bytes, 3, np.bytes_(b"")), (bytes, 2, np.bytes_(b"")), (str, 2, np.str_("")),
    ):  # fmt: skip
        found = new_array_spec((4,), dtype, zarr_format=zarr_format).fill_value  # type: ignore[arg-type]
        assert found == expected
        assert type(found) is type(expected)


def test_a_spec_is_of_v3_unless_it_says_otherwise() -> None:
    spec = ArraySpec((4,), np.dtype("i4"), (2,), None, ())
    assert spec.key_encoding == ChunkKeyEncoding() == ChunkKeyEncoding("default", "/")
    assert (spec.zarr_format, spec.order, spec.attributes) == (3, "C", {})
    assert (spec.dimension_names, spec.edges, spec.document) == (None, None, {})
    assert spec != replace(spec, attributes={"a": 1})
    assert spec == replace(spec, document={"a": 1})
    group = GroupSpec()
    assert (group.zarr_format, group.attributes, group.document) == (3, {}, {})
    assert group.consolidated is None
    assert group == replace(group, document={"a": 1})


# Changed nodes of v2


def document(spec: Any) -> dict[str, Any]:
    return v2.documents(spec)[".zarray"]


def test_fields_that_v2_may_leave_out() -> None:
    short = zarray(order=..., compressor=..., filters=..., fill_value=...)
    written = document(parse(order=..., compressor=..., filters=..., fill_value=...))
    extra = {"order": "C", "compressor": None, "filters": None, "fill_value": None}
    assert written == {**short, **extra}
    assert list(written)[: len(short)] == list(short)


@pytest.mark.parametrize("stored", ["/", ".", None, ...])
@pytest.mark.parametrize("separator", ["/", "."])
def test_a_changed_separator(stored: Any, separator: Any) -> None:
    spec = replace(
        parse(dimension_separator=stored), key_encoding=ChunkKeyEncoding("v2", separator)
    )
    again = v2.parse_array(document(spec), None, "k")
    assert again.key_encoding.separator == separator


def test_a_changed_type_changes_its_fill_value_and_codecs() -> None:
    blosc = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": -1, "blocksize": 0}
    old = parse(dtype="|S3", fill_value="YQ==", compressor=blosc)
    new = parse(dtype="<i4", fill_value=7, compressor=blosc)
    changed = document(replace(new, document=old.document))
    assert (changed["dtype"], changed["fill_value"]) == ("<i4", 7)
    assert changed["compressor"] == rewritten(new)["compressor"] == {**blosc, "shuffle": 1}
    same = replace(old, document=zarray(**{**old.document, "dtype": "|S4"}))
    assert document(same)["fill_value"] == "YQ=="


def test_chunks_of_empty_axes() -> None:
    assert problems_of_v2(chunks="ab") == ('chunks: expected an array of integers, found "ab"',)
    assert parse(shape=[0, 20], chunks=[3, 7]).chunk_shape == (3, 7)
    assert parse(shape=[0, 20], chunks=[0, 7]).chunk_shape == (1, 7)
    assert problems_of_v2(shape=[0, 20], chunks=[False, 7]) == (
        "chunks[0]: expected an integer, found false",
    )


def test_attributes_of_groups() -> None:
    attributes: Any = ["a"]
    with pytest.raises(MetadataError) as caught:
        v2.parse_group({"zarr_format": 2}, attributes, "k")
    assert caught.value.problems == ('attributes: expected an object, found ["a"]',)


# Changed nodes of v3


def test_the_order_of_a_kept_document() -> None:
    stored = {"dimension_names": ["y", "x"], **array_document(attributes={})}
    spec = v3.parse(stored, "k")
    changed = v3.document(replace(spec, dimension_names=("a", None)))  # type: ignore[type-var]
    assert list(changed) == list(stored)
    assert changed == {**stored, "dimension_names": ["a", None]}
    unnamed = v3.document(replace(spec, dimension_names=None))  # type: ignore[type-var]
    assert "dimension_names" not in unnamed
    null = parse_array(dimension_names=None)
    assert v3.document(null)["dimension_names"] is None


def test_names_beside_a_wrong_shape() -> None:
    assert problems_of_v3(shape=5, dimension_names=["x"]) == (
        "shape: expected an array of integers, found 5",
    )


def test_a_changed_v3_type() -> None:
    spec = parse_array(data_type="r32", fill_value=[1, 2, 3, 4])
    changed = v3.document(replace(spec, dtype=np.dtype("u4"), fill_value=np.uint32(5)))
    assert (changed["data_type"], changed["fill_value"]) == ("uint32", 5)
    assert v3.document(spec)["fill_value"] == [1, 2, 3, 4]
    other = v3.document(replace(spec, fill_value=np.void(b"\4\3\2\1")))
    assert (other["data_type"], other["fill_value"]) == ("r32", "BAMCAQ==")


def test_storage_transformers() -> None:
    optional = {"name": "x", "must_understand": False}
    assert parse_array(storage_transformers=[optional]).shape == (10, 20)
    assert problems_of_v3(storage_transformers=5) == (
        "storage_transformers: expected a list, found 5",
    )
    assert problems_of_v3(storage_transformers=[optional, {"must_understand": None}]) != ()


# Texts


@pytest.mark.parametrize("length", [2**16 - 100, 2**16, 2**17])
def test_texts_of_documents_around_the_length_that_is_kept(length: int) -> None:
    given = {"zarr_format": 3, "shape": [1], "attributes": {"text": "x" * length, "n": None}}
    for shape in ((2, 3), (), (5,)):
        text = dump_shaped(given, shape)
        assert text == dump_json({**given, "shape": list(shape)})
        assert load_json(text, "k")["shape"] == list(shape)
