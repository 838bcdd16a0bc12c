"""The text of metadata documents."""

from __future__ import annotations

import json
import math
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cuzarr.errors import MetadataError
from cuzarr.meta import dump_json, dump_shaped, load_json, text


def test_round_trip() -> None:
    document = {"a": [1, 2.5, None, True], "b": {"c": "né"}, "d": 2**70}
    assert load_json(dump_json(document), "k") == document
    assert dump_json({"a": [1]}) == b'{\n  "a": [\n    1\n  ]\n}'


def test_non_finite_literals() -> None:
    document = load_json(b'{"a": NaN, "b": -Infinity}', "k")
    assert math.isnan(document["a"])
    assert document["b"] == -math.inf
    assert load_json(dump_json(document), "k")["b"] == -math.inf


def test_byte_order_mark_and_buffers() -> None:
    assert load_json(b'\xef\xbb\xbf{"a": 1}', "k") == {"a": 1}
    data: Any = memoryview(b'{"a": 1}')
    assert load_json(data, "k") == {"a": 1}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the document is empty"),
        (b" \n", "the document is empty"),
        (b'{"a": 1,\n "b": }', "line 2 column 7: not JSON: Expecting value"),
        (b'{"a": 1} x', "line 1 column 10: not JSON: Extra data"),
        (b'{"a": "\xff"}', "byte 7: not UTF-8: invalid start byte"),
        (b"[1]", "expected a JSON object, found [1]"),
        (b'"abc"', 'expected a JSON object, found "abc"'),
        (b'{"a": ' + b"[" * 100_000, "not JSON that can be read: nested too deeply"),
    ],
)
def test_not_a_document(data: bytes, expected: str) -> None:
    with pytest.raises(MetadataError) as caught:
        load_json(data, "a/zarr.json")
    assert caught.value.problems == (expected,)
    assert "'a/zarr.json'" in str(caught.value)


def test_thousands_of_digits() -> None:
    with pytest.raises(MetadataError, match="not JSON that can be read: Exceeds the limit"):
        load_json(b'{"a": ' + b"1" * 10_000 + b"}", "k")


@given(st.binary(max_size=40))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    try:
        document = load_json(data, "k")
    except MetadataError:
        return
    assert isinstance(document, dict)


def test_numpy_values_are_written() -> None:
    document = {
        "attributes": {
            "i": np.int64(1), "f": np.float32(0.5), "b": np.True_, "s": np.str_("x"),
            "a": np.array([[1, 2]]), "n": np.float64(np.nan), "u": np.array(["x", "yz"]),
        }
    }  # fmt: skip
    written = load_json(dump_json(document), "k")["attributes"]
    assert math.isnan(written.pop("n"))
    assert written == {
        "i": 1, "f": 0.5, "b": True, "s": "x", "a": [[1, 2]], "u": ["x", "yz"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1}, "a set is not a JSON value"),
        (b"x", "a bytes is not a JSON value"),
        (object(), "a object is not a JSON value"),
        (np.datetime64("2020"), "a datetime64 is not a JSON value"),
        (np.array(["2020"], "M8[Y]"), "a ndarray is not a JSON value"),
        (np.array([b"x"]), "a ndarray is not a JSON value"),
        ({(1, 2): 3}, "keys must be str"),
    ],
)
def test_what_has_no_json_form(value: Any, message: str) -> None:
    with pytest.raises(MetadataError, match=message) as caught:
        dump_json({"attributes": value}, "a/zarr.json")
    assert caught.value.key == "a/zarr.json"


def test_other_mappings_are_written() -> None:
    assert load_json(dump_json({"a": MappingProxyType({"b": 1})}), "k") == {"a": {"b": 1}}


def test_circular_document() -> None:
    document: dict[str, Any] = {}
    document["a"] = document
    with pytest.raises(MetadataError, match="Circular"):
        dump_json(document, "k")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.text(), _VALUES, max_size=4),
    st.lists(st.integers(0, 2**63), max_size=3),
)
def test_a_shape_is_spliced_into_the_text_of_a_document(
    attributes: dict[str, Any], shape: list[int]
) -> None:
    first = {"zarr_format": 3, "shape": [1], "attributes": attributes, "a": {"shape": None}}
    for document in (first, {"attributes": attributes, "b": 1, "shape": [1, 2]}):
        for lengths in (shape, [7, *shape]):  # the second time from the kept text
            assert dump_shaped(document, lengths) == dump_json({**document, "shape": lengths})


def test_a_shape_in_a_document_that_is_not_kept() -> None:
    large = {"shape": [1], "attributes": {"text": "x" * 2**17}}
    assert dump_shaped(large, (2,)) == dump_json({**large, "shape": [2]})
    with pytest.raises(MetadataError, match="a object is not a JSON value") as caught:
        dump_shaped({"shape": [1], "attributes": object()}, (2,), "a/.zarray")
    assert caught.value.key == "a/.zarray"
    for write in (dump_json, lambda wrong: dump_shaped(wrong, (1,))):
        with pytest.raises(MetadataError) as caught:
            write({"attributes": object()})
        assert caught.value.key == ""


def indented(monkeypatch: pytest.MonkeyPatch, *documents: dict[str, Any]) -> int:
    """Write documents with several shapes; return how often the text around these was made."""
    calls = []
    dumps = json.dumps

    def counting(*arguments: Any, **options: Any) -> str:
        calls.append(options.get("indent"))
        return dumps(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", counting)
        for document in documents:
            for shape in ((1,), (2, 3), ()):
                dump_shaped(document, shape)
    return calls.count(2)


def test_the_text_around_a_shape_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"shape": [1], "attributes": {"once": np.int64(1)}}
    assert indented(monkeypatch, small, small) == 1
    assert indented(monkeypatch, {**small, "more": None}) == 1
    assert indented(monkeypatch, {**small, "more": "x" * 2**16}) == 3
    large = {**small, "more": "x" * 60_000}
    assert indented(monkeypatch, large) == 1


def test_the_longest_text_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"shape": None, "attributes": {"longest": 1}}
    length = len(json.dumps(document))
    monkeypatch.setattr(text, "_KEPT_TEXT", length - 1)
    assert indented(monkeypatch, document) == 3
    monkeypatch.setattr(text, "_KEPT_TEXT", length)
    assert indented(monkeypatch, document) == 1
