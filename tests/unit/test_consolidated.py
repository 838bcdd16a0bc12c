"""Consolidated metadata: written, used, kept, and damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

import cuzarr
from cuzarr.errors import MetadataError, NodeNotFoundError
from cuzarr.meta.consolidated import Consolidated
from cuzarr.storage import MemoryStore

formats = pytest.mark.parametrize("zarr_format", [2, 3])


class CountingStore(MemoryStore):
    """Counts what it is asked."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.calls: list[str] = []

    def get_many(self, batch: Any) -> Any:
        self.calls.append("get")
        return super().get_many(batch)

    def get(self, key: str, start: int = 0, length: int = -1) -> Any:
        self.calls.append("get")
        return super().get(key, start, length)

    def list(self, prefix: str = "") -> Any:
        self.calls.append("list")
        return super().list(prefix)

    def list_dir(self, prefix: str = "") -> Any:
        self.calls.append("list")
        return super().list_dir(prefix)


def hierarchy(zarr_format: Any) -> tuple[CountingStore, Any]:
    """Return a store and its root: b/c/x, b/empty, a, with attributes."""
    store = CountingStore()
    root = cuzarr.create_group(store, zarr_format=zarr_format, attributes={"title": "t"})
    root.create_array("a", shape=(4,), chunks=(2,), dtype="i4")[...] = [1, 2, 3, 4]
    below = root.create_group("b/c", attributes={"n": 1})
    below.create_array("x", shape=(2,), dtype="f8", attributes={"units": "K"})
    root.create_group("b/empty")
    store.calls.clear()
    return store, root


def names(group: Any) -> list[str]:
    return [path for path, _ in group.members(None)]


ALL = ["a", "b", "b/c", "b/c/x", "b/empty"]


@formats
def test_everything_comes_with_one_read(zarr_format: Any) -> None:
    store, _ = hierarchy(zarr_format)
    made = cuzarr.consolidate_metadata(store)
    assert made.metadata.consolidated is not None
    for options in ({"mode": "r"}, {"mode": "r+"}, {}, {"use_consolidated": True}):
        store.calls.clear()
        group = cuzarr.open_group(store, **options)
        assert names(group) == ALL
        assert list(group) == ["a", "b"]
        assert list(group["b"]) == ["c", "empty"]
        assert (len(group), len(group["b/empty"]), group.nmembers(None)) == (2, 0, 5)
        assert group["b/c/x"].attrs["units"] == "K"
        assert group["b"]["c"].attrs["n"] == 1
        assert group["b/c"].path == "b/c"
        assert "b/c/x" in group
        assert "b/c/y" not in group
        assert "a/x" not in group
        assert group["/"].attrs["title"] == "t"
        with pytest.raises(NodeNotFoundError, match="no member 'b/y' in its consolidated metadata"):
            group["b/y"]
        assert store.calls == ["get"]
        assert group["a"][...].tolist() == [1, 2, 3, 4]
    store.calls.clear()
    assert names(cuzarr.open(store)) == ALL
    assert names(cuzarr.open_consolidated(store)) == ALL
    assert store.calls == ["get", "get"]


@formats
def test_without_it_the_store_is_asked(zarr_format: Any) -> None:
    store, root = hierarchy(zarr_format)
    for wanted in (True, "consolidated"):
        with pytest.raises(MetadataError, match="there are no consolidated metadata"):
            cuzarr.open_group(store, use_consolidated=wanted)
    with pytest.raises(MetadataError, match="there are no consolidated metadata"):
        cuzarr.open_consolidated(store)
    with pytest.raises(ValueError, match="use_consolidated=False"):
        cuzarr.open_consolidated(store, use_consolidated=False)
    assert names(cuzarr.open_group(store)) == ALL
    cuzarr.consolidate_metadata(store)
    root.create_array("late", shape=(1,), dtype="i4")
    assert names(cuzarr.open_group(store)) == ALL
    assert names(cuzarr.open_group(store, use_consolidated=False)) == [*ALL, "late"]


@formats
def test_members_that_are_added_or_changed_are_seen_after_consolidating_anew(
    zarr_format: Any,
) -> None:
    store, _ = hierarchy(zarr_format)
    cuzarr.consolidate_metadata(store)
    group = cuzarr.open_group(store)
    new = group.create_array("new", shape=(3,), dtype="i4")
    assert new.shape == (3,)
    assert "new" not in group
    changed = group["a"]
    changed.resize(6)
    changed.attrs["late"] = True
    assert group["a"].shape == (4,)
    assert "late" not in cuzarr.open_group(store)["a"].attrs
    cuzarr.consolidate_metadata(store)
    again = cuzarr.open_group(store)
    assert again["a"].shape == (6,)
    assert again["a"].attrs["late"] is True
    assert names(again) == [*ALL, "new"]


@formats
def test_deleting_is_kept_in_step(zarr_format: Any) -> None:
    store, _ = hierarchy(zarr_format)
    cuzarr.consolidate_metadata(store)
    group = cuzarr.open_group(store)
    below = group["b"]
    del group["b/c"]
    assert list(below) == ["empty"]
    left = ["a", "b", "b/empty"]
    for opened in (group, cuzarr.open_group(store)):
        assert names(opened) == left
    assert names(cuzarr.open_group(store, use_consolidated=False)) == left
    group.create_array("new", shape=(3,), dtype="i4")
    del group["new"]
    with pytest.raises(NodeNotFoundError):
        del group["new"]
    group.move("a", "z")
    assert names(cuzarr.open_group(store)) == ["b", "b/empty"]
    assert names(cuzarr.open_group(store, use_consolidated=False)) == ["b", "b/empty", "z"]


@formats
def test_attributes_of_the_group_are_kept_in_step(zarr_format: Any) -> None:
    store, _ = hierarchy(zarr_format)
    cuzarr.consolidate_metadata(store)
    cuzarr.open_group(store).attrs["more"] = 1
    again = cuzarr.open_group(store, use_consolidated=True)
    assert dict(again.attrs) == {"title": "t", "more": 1}
    assert names(again) == ALL
    if zarr_format == 2:
        assert json.loads(store.get(".zmetadata"))["metadata"][".zattrs"]["more"] == 1
    again["b"].attrs["deep"] = 1
    assert names(cuzarr.open_group(store, path="b")) == ["c", "c/x", "empty"]
    assert dict(cuzarr.open_group(store, path="b").attrs) == {"deep": 1}
    cuzarr.open_group(store, use_consolidated=False).attrs["last"] = 2
    assert names(cuzarr.open_group(store)) == ALL


@formats
def test_a_part_of_a_hierarchy(zarr_format: Any) -> None:
    store, root = hierarchy(zarr_format)
    made = cuzarr.consolidate_metadata(store, "b")
    assert made.path == "b"
    assert names(cuzarr.open_group(store, path="b", use_consolidated=True)) == [
        "c", "c/x", "empty",
    ]  # fmt: skip
    root.create_array("b/late", shape=(1,), dtype="i4")
    whole = cuzarr.open_group(store)
    assert whole.metadata.consolidated is None
    seen = [*ALL, "b/late"]
    kept = ALL if zarr_format == 3 else seen  # v2 members bring no .zmetadata, as in zarr-python
    assert names(whole) == kept
    plain = whole.members(None, use_consolidated_for_children=False)
    assert [path for path, _ in plain] == seen
    cuzarr.consolidate_metadata(store)
    assert names(cuzarr.open_group(store)) == seen
    with pytest.raises(NodeNotFoundError):
        cuzarr.consolidate_metadata(store, "nothing")


@formats
def test_what_the_metadata_of_a_group_say(zarr_format: Any) -> None:
    store, root = hierarchy(zarr_format)
    assert root.metadata.consolidated_metadata is None
    assert root.metadata.to_dict()["attributes"] == {"title": "t"}
    found = cuzarr.consolidate_metadata(store).metadata.consolidated_metadata
    assert found is not None
    assert sorted(found.metadata) == ALL
    assert found.metadata["b/c/x"] == root["b/c/x"].metadata
    assert found.to_dict()["kind"] == "inline"
    assert sorted(found.to_dict()["metadata"]) == ALL
    document = root["b/c/x"].metadata.to_dict()
    assert document["attributes"] == {"units": "K"}
    assert (document["shape"], document["zarr_format"]) == ([2], zarr_format)


def test_another_key_in_v2() -> None:
    store, _ = hierarchy(2)
    cuzarr.consolidate_metadata(store, metadata_key="meta.json")
    assert not store.exists(".zmetadata")
    assert names(cuzarr.open_group(store, use_consolidated="meta.json")) == ALL
    assert names(cuzarr.open_consolidated(store, metadata_key="meta.json")) == ALL


def test_documents() -> None:
    store, _ = hierarchy(3)
    cuzarr.consolidate_metadata(store)
    found = json.loads(store.get("zarr.json"))["consolidated_metadata"]
    empty = {"kind": "inline", "must_understand": False, "metadata": {}}
    assert (found["kind"], found["must_understand"]) == ("inline", False)
    assert list(found["metadata"]) == ["a", "b", "b/c", "b/empty", "b/c/x"]
    for path, document in found["metadata"].items():
        stored = json.loads(store.get(f"{path}/zarr.json"))
        if document["node_type"] == "group":
            assert document.pop("consolidated_metadata") == empty
        assert document == stored
    store, _ = hierarchy(2)
    cuzarr.consolidate_metadata(store)
    found = json.loads(store.get(".zmetadata"))
    assert found["zarr_consolidated_format"] == 1
    keys = [key for key in store.list() if key.rpartition("/")[2].startswith(".z")]
    assert set(found["metadata"]) == set(keys) - {".zmetadata"}
    for key, document in found["metadata"].items():
        assert document == json.loads(store.get(key))


def test_members_of_the_other_format_in_a_v3_document() -> None:
    old = cuzarr.create_array({}, shape=(2,), dtype="i4", zarr_format=2, attributes={"u": 1})
    zarray = json.loads(old.store.get(".zarray"))
    metadata = {
        "x": {**zarray, "attributes": {"u": 1}},
        "g": {"zarr_format": 2, "attributes": {}},
    }
    document = {
        "zarr_format": 3, "node_type": "group", "attributes": {},
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": metadata},
    }  # fmt: skip
    group = cuzarr.open_group({"zarr.json": json.dumps(document).encode()})
    assert group["x"].zarr_format == 2
    assert group["x"].attrs["u"] == 1
    assert group["g"].zarr_format == 2
    group.attrs["a"] = 1
    assert list(cuzarr.open_group(group.store)) == ["g", "x"]


def v3_document(consolidated: Any) -> dict[str, bytes]:
    document = {
        "zarr_format": 3, "node_type": "group", "attributes": {},
        "consolidated_metadata": consolidated,
    }  # fmt: skip
    return {"zarr.json": json.dumps(document).encode()}


def v2_documents(consolidated: Any) -> dict[str, bytes]:
    return {".zgroup": b'{"zarr_format": 2}', ".zmetadata": json.dumps(consolidated).encode()}


GOOD = {"zarr_format": 3, "node_type": "group"}


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (v3_document({"kind": "remote", "metadata": {}}), "kind: expected 'inline', found \"remot"),
        (v3_document({"kind": "inline"}), "metadata: expected an object, found null"),
        (v3_document({"kind": "inline", "metadata": {"a": 1}}), "'a'.*expected an object, found 1"),
        (v3_document({"kind": "inline", "metadata": {"../a": GOOD}}), "is not the path of a memb"),
        (v3_document({"kind": "inline", "metadata": {"/a": GOOD}}), "is not the path of a member"),
        (v3_document({"kind": "inline", "metadata": {"": GOOD}}), "is not the path of a member"),
        (v3_document([]), "expected an object"),
        (v2_documents({"metadata": {}}), "zarr_consolidated_format: expected 1, found null"),
        (v2_documents({"zarr_consolidated_format": 1}), "metadata: expected an object, found null"),
    ],
    ids=str,
)
def test_damaged_documents(documents: dict[str, bytes], message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        cuzarr.open_group(documents)
    if "consolidated_metadata: expected" not in message and b"[]" not in str(documents).encode():
        assert list(cuzarr.open_group(documents, use_consolidated=False)) == []


def test_a_wrong_member_is_named_when_it_is_opened() -> None:
    group = cuzarr.open_group(
        v3_document({"kind": "inline", "metadata": {"a": {"zarr_format": 3}, "b": GOOD}})
    )
    assert list(group.keys()) == ["a", "b"]
    assert len(group["b"]) == 0
    with pytest.raises(MetadataError, match=r"'zarr.json:a/zarr.json'"):
        group["a"]


def test_values_that_are_no_objects() -> None:
    with pytest.raises(MetadataError, match="consolidated_metadata: expected an object, found 3"):
        Consolidated.from_v3(3, "zarr.json")


def test_null_means_none() -> None:
    group = cuzarr.open_group(v3_document(None))
    assert group.metadata.consolidated is None
    with pytest.raises(MetadataError, match="there are no consolidated metadata"):
        cuzarr.open_group(v3_document(None), use_consolidated=True)


def test_many_arrays() -> None:
    store = CountingStore()
    root = cuzarr.create_group(store)
    for i in range(50):
        root.create_array(f"g{i % 3}/a{i}", shape=(2,), dtype="i4")
    cuzarr.consolidate_metadata(store)
    store.calls.clear()
    group = cuzarr.open_consolidated(store, mode="r")
    arrays = dict(group.arrays(recurse=True))
    assert len(arrays) == 50
    assert store.calls == ["get"]


def test_groups_with_consolidated_metadata_are_pickled() -> None:
    import pickle

    store = {}
    root = cuzarr.create_group(store)
    root.create_array("a", shape=(2,), dtype="i4")
    cuzarr.consolidate_metadata(store)
    again = pickle.loads(pickle.dumps(cuzarr.open_group(store)))
    assert list(again) == ["a"]
    assert again.metadata.consolidated is not None
