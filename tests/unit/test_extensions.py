"""Extension points of documents: what may be ignored, what must be refused, which format wins."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import ArrayNotFoundError, MetadataError, UnknownCodecError
from cuzarr.meta import v3


def stored(**fields: Any) -> dict[str, bytes]:
    """Return a store that holds an array of 7 x 5 with 3 x 5 chunks, and changed fields."""
    store: dict[str, bytes] = {}
    array = cuzarr.create_array(store, shape=(7, 5), chunks=(3, 5), dtype="<i4")
    array[...] = np.arange(35).reshape(7, 5)
    document = json.loads(store["zarr.json"])
    document.update(fields)
    store["zarr.json"] = json.dumps(document).encode()
    return store


def grid(*axes: Any, **others: Any) -> dict[str, Any]:
    configuration = {"kind": "inline", "chunk_shapes": list(axes), **others}
    return {"chunk_grid": {"name": "rectilinear", "configuration": configuration}}


# -- must_understand, storage transformers


@pytest.mark.parametrize(
    "fields",
    [
        {"mine": {"must_understand": False, "name": "x"}},
        {"storage_transformers": []},
        {"storage_transformers": None},
        {"storage_transformers": [{"name": "mine", "must_understand": False}]},
        {"chunk_key_encoding": {"name": "default", "must_understand": True}},
    ],
    ids=str,
)
def test_what_need_not_be_understood_is_read_over_and_kept(fields: dict[str, Any]) -> None:
    store = stored(**fields)
    array = cuzarr.open_array(store)
    assert array[6].tolist() == [30, 31, 32, 33, 34]
    array.attrs["a"] = 1
    written = json.loads(store["zarr.json"])
    assert all(written[name] == value for name, value in fields.items())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mine": {"name": "x"}}, "mine: is not a known field"),
        ({"mine": {"must_understand": True}}, "mine: is not a known field"),
        ({"mine": 1}, "mine: is not a known field"),
        ({"storage_transformers": [{"name": "x"}]}, "storage_transformers: none is supported"),
        (
            {"storage_transformers": [{"name": "x", "must_understand": False}, {"name": "y"}]},
            "storage_transformers: none is supported",
        ),
        ({"storage_transformers": {}}, "storage_transformers: expected a list"),
        ({"data_type": {"name": "fancy", "must_understand": False}}, "'fancy' is not supported"),
        ({"chunk_grid": {"name": "fancy", "must_understand": False}}, "'fancy' is not supported"),
    ],
    ids=str,
)
def test_what_must_be_understood_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(MetadataError, match=message) as caught:
        cuzarr.open_array(stored(**fields))
    assert caught.value.key == "zarr.json"


def test_an_unknown_codec_is_refused_whatever_it_says() -> None:
    """Nobody can tell what its bytes mean."""
    document = json.loads(stored()["zarr.json"])
    codecs = [*document["codecs"], {"name": "fancy", "must_understand": False}]
    with pytest.raises(UnknownCodecError, match="unknown codec 'fancy'"):
        cuzarr.open_array(stored(codecs=codecs))


def test_groups_follow_the_same_rule() -> None:
    store: dict[str, bytes] = {}
    cuzarr.create_group(store)
    document = json.loads(store["zarr.json"])
    for value, fine in [({"must_understand": False}, True), ({}, False), (1, False)]:
        store["zarr.json"] = json.dumps({**document, "mine": value}).encode()
        if fine:
            cuzarr.open_group(store).attrs["a"] = 1
            assert json.loads(store["zarr.json"])["mine"] == value
        else:
            with pytest.raises(MetadataError, match="mine: is not a known field"):
                cuzarr.open_group(store)


# -- both formats at one path


def test_v3_wins_where_both_formats_are() -> None:
    old, new = {}, {}
    cuzarr.create_array(old, shape=(2,), chunks=(2,), dtype="i4", zarr_format=2)[...] = 2
    cuzarr.create_array(new, shape=(3,), chunks=(3,), dtype="i4", zarr_format=3)[...] = 3
    store = {**old, **new}
    for opened in (cuzarr.open(store), cuzarr.open_array(store)):
        assert (opened.zarr_format, opened[...].tolist()) == (3, [3, 3, 3])
    asked = cuzarr.open_array(store, zarr_format=2)
    assert (asked.zarr_format, asked[...].tolist()) == (2, [2, 2])
    with pytest.raises(ArrayNotFoundError, match="Zarr format 2"):
        cuzarr.open_array(new, mode="r", zarr_format=2)


def test_v3_groups_win_too_and_list_members_of_both_formats() -> None:
    old, new = {}, {}
    for store, version in ((old, 2), (new, 3)):
        root = cuzarr.create_group(store, zarr_format=version, attributes={"version": version})
        root.create_array(f"v{version}", shape=(1,), dtype="i4")
    both = cuzarr.open_group({**old, **new})
    assert both.attrs["version"] == 3
    assert [(name, node.zarr_format) for name, node in both.members()] == [("v2", 2), ("v3", 3)]
    assert cuzarr.open_group({**old, **new}, zarr_format=2).attrs["version"] == 2


# -- rectilinear grids


@pytest.mark.parametrize(
    "axes",
    [(3, 5), ([3, 3, 3], 5), ([[3, 3]], [5]), ([3, [3, 2]], [[5, 1]]), ([[3, 9]], [5, 5])],
    ids=str,
)
def test_rectilinear_grids_of_equal_chunks(axes: Any) -> None:
    store = stored(**grid(*axes))
    array = cuzarr.open_array(store)
    assert array.chunks == (3, 5)
    np.testing.assert_array_equal(array[...], np.arange(35).reshape(7, 5))
    array[1:5, 2] = -1
    assert array[:, 2].tolist() == [2, -1, -1, -1, -1, 27, 32]
    array.attrs["a"] = 1
    assert json.loads(store["zarr.json"])["chunk_grid"] == grid(*axes)["chunk_grid"]
    array.append(np.full((30, 5), 9, "i4"))
    assert cuzarr.open_array(store)[35].tolist() == [9] * 5
    regular = {"name": "regular", "configuration": {"chunk_shape": [3, 5]}}
    assert json.loads(store["zarr.json"])["chunk_grid"] == regular


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (([4, [3, 2**62]], 5), r"chunk_shapes\[0\]: the chunks cover .* more than 2\*\*63 - 1"),
        (([3, 3], 5), r"chunk_shapes\[0\]: the chunks cover 6 of 7 elements"),
        (([], 5), r"chunk_shapes\[0\]: the chunks cover 0 of 7 elements"),
        ((3,), "has 1 dimensions, but the array has 2"),
        ((0, 5), r"chunk_shapes\[0\]: expected a positive integer, found 0"),
        (([3, [3, -2]], 5), r"chunk_shapes\[0\]\[1\]: expected a positive integer, found -2"),
        (([[3]], 5), r"chunk_shapes\[0\]\[0\]: expected a length or \[length, count\]"),
        ((True, 5), "expected a positive integer, found true"),
        ((3.0, 5), "expected a positive integer, found 3.0"),
        (([[3, 10**30]], 5), "expected a positive integer"),
    ],
    ids=str,
)
def test_rectilinear_grids_that_are_refused(axes: Any, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        cuzarr.open_array(stored(**grid(*axes)))


def test_wrong_configurations_of_rectilinear_grids() -> None:
    for fields, message in [
        (grid(3, 5, kind="url"), "kind: expected 'inline', found \"url\""),
        (grid(3, 5, chunk_shapes=3), "chunk_shapes: expected a list of chunk lengths, found 3"),
    ]:
        with pytest.raises(MetadataError, match=message):
            cuzarr.open_array(stored(**fields))
    document = json.loads(stored(**grid(3, 5))["zarr.json"])
    del document["shape"]
    with pytest.raises(MetadataError, match="shape: is missing"):
        v3.parse(document, "zarr.json")
