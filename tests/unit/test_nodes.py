"""Nodes in a store: both formats at one path, parents, children, and what does not belong there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import nodes
from cuzarr.attrs import check_attributes
from cuzarr.errors import (
    ArrayNotFoundError,
    ContainsArrayError,
    ContainsGroupError,
    GroupNotFoundError,
    InvalidKeyError,
    MetadataError,
    NodeNotFoundError,
    NodeTypeError,
    StoreError,
)
from cuzarr.meta.spec import ArraySpec, GroupSpec
from cuzarr.storage import LocalStore, MemoryStore
from cuzarr.storage.base import RequestBatch, Status, Values

DATA = np.arange(6, dtype="i4")


class CountingStore(MemoryStore):
    """Notes the batches that are asked for, and listings."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []
        self.listings = 0
        self.statuses: dict[str, int] = {}

    def get_many(self, batch: RequestBatch) -> Values:
        self.batches.append(batch.key_list())
        found = super().get_many(batch)
        values = list(found.values)
        for i, key in enumerate(self.batches[-1]):
            if key in self.statuses:
                found.statuses[i], values[i] = self.statuses[key], None
        return Values(values, found.sizes, found.statuses)

    def list(self, prefix: str = "") -> Iterator[str]:
        self.listings += 1
        return super().list(prefix)


def document(store: Any, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.get(key))
    return found


# Both formats at one path


@pytest.fixture
def both() -> MemoryStore:
    """A v2 array and a v3 group at the root."""
    store = MemoryStore()
    cuzarr.create_array(store, data=DATA, zarr_format=2, attributes={"of": "v2"})
    v2 = dict(store.store_dict)
    store.store_dict.clear()
    cuzarr.create_group(store, zarr_format=3, attributes={"of": "v3"})
    store.store_dict.update(v2)
    return store


def test_v3_wins_where_both_are(both: MemoryStore) -> None:
    assert isinstance(nodes.find_node(both, ""), GroupSpec)
    assert cuzarr.open(both, "r").attrs["of"] == "v3"
    z = cuzarr.open(both, "r", zarr_format=2)
    assert isinstance(z, cuzarr.Array)
    assert z.attrs["of"] == "v2"
    np.testing.assert_array_equal(z[...], DATA)
    with pytest.raises(NodeTypeError, match="a group, not an array, is stored at '/'"):
        cuzarr.open_array(both, "r")
    with pytest.raises(NodeTypeError, match="an array, not a group"):
        cuzarr.open_group(both, "r", zarr_format=2)


def test_changes_touch_one_format_alone(both: MemoryStore) -> None:
    before = both.get("zarr.json")
    cuzarr.open_array(both, zarr_format=2).attrs["new"] = 1
    assert both.get("zarr.json") == before
    assert document(both, ".zattrs") == {"of": "v2", "new": 1}
    cuzarr.open_group(both, zarr_format=3).attrs["new"] = 2
    assert document(both, ".zattrs") == {"of": "v2", "new": 1}
    assert document(both, "zarr.json")["attributes"] == {"of": "v3", "new": 2}


def test_a_missing_format_is_named() -> None:
    store = MemoryStore()
    cuzarr.create_array(store, name="a", data=DATA, zarr_format=2)
    with pytest.raises(
        NodeNotFoundError, match=r"no array or group at 'a' in .* \(Zarr format 3\)"
    ):
        nodes.read_node(store, "a", 3)
    with pytest.raises(ArrayNotFoundError, match=r"no array at 'a' in .* \(Zarr format 3\)"):
        nodes.read_array(store, "a", 3)
    with pytest.raises(GroupNotFoundError, match=r"no group at 'b' in .* \(Zarr format 2\)"):
        nodes.read_group(store, "b", 2)
    assert isinstance(nodes.read_node(store, "a"), ArraySpec)
    assert isinstance(nodes.read_array(store, "a", 2), ArraySpec)


def test_a_name_much_like_one_that_is_there_is_named() -> None:
    root = cuzarr.group({})
    root.create_array("sub/temperature", shape=3, dtype="i4")
    for path, near in (("sub/temprature", "temperature"), ("subb", "sub")):
        with pytest.raises(ArrayNotFoundError, match=f"did you mean '{near}'"):
            cuzarr.open_array(root.store, path=path, mode="r")
    with pytest.raises(ArrayNotFoundError, match="no array at 'sub/wind' in [^;]*$"):
        cuzarr.open_array(root.store, path="sub/wind", mode="r")


def test_attributes_alone_are_no_node() -> None:
    store = MemoryStore({".zattrs": b"{}"})
    assert nodes.find_node(store, "") is None


# Requests


def test_opening_asks_once_and_lists_nothing() -> None:
    store = CountingStore()
    root = cuzarr.create_group(store)
    for i in range(20):
        root.create_array(f"a{i}", data=DATA)
    store.batches.clear()
    store.listings = 0
    z = cuzarr.open_array(store, "r", path="a7")
    assert store.batches == [["a7/zarr.json", "a7/.zarray", "a7/.zgroup", "a7/.zattrs"]]
    np.testing.assert_array_equal(z[...], DATA)
    assert store.listings == 0
    store.batches.clear()
    assert len(root.members()) == 20
    assert len(store.batches) == 1
    store.batches.clear()
    cuzarr.open(store, "r", zarr_format=3)
    cuzarr.open(store, "r", path="a1", zarr_format=3)
    assert store.batches == [["zarr.json"], ["a1/zarr.json"]]


def test_a_store_that_fails_names_the_document() -> None:
    store = CountingStore()
    cuzarr.create_group(store).create_array("a", data=DATA)
    store.statuses = {"a/.zarray": Status.ERRNO + 5}
    with pytest.raises(StoreError, match=f"cannot read 'a/.zarray': {os.strerror(5)}"):
        cuzarr.open(store, "r", path="a")
    with pytest.raises(StoreError, match="'a/.zarray'"):
        cuzarr.open_group(store, "r").members()
    store.statuses = {"a/.zarray": Status.MISSING}
    np.testing.assert_array_equal(cuzarr.open_array(store, "r", path="a")[...], DATA)


# Parents


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_groups_above_are_made_where_they_are_missing(zarr_format: Any) -> None:
    store = MemoryStore()
    cuzarr.create_group(store, path="a", zarr_format=zarr_format, attributes={"kept": 1})
    cuzarr.create_array(store, name="a/b/c/d", data=DATA, zarr_format=zarr_format)
    for path in ("", "a", "a/b", "a/b/c"):
        spec = nodes.read_group(store, path)
        assert spec.zarr_format == zarr_format
    assert nodes.read_group(store, "a").attributes == {"kept": 1}
    np.testing.assert_array_equal(cuzarr.open_group(store)["a/b/c/d"][...], DATA)


def test_the_format_is_that_of_the_group_above() -> None:
    store = MemoryStore()
    cuzarr.create_group(store, path="old", zarr_format=2)
    z = cuzarr.create_array(store, name="old/x/y", data=DATA)
    assert z.zarr_format == 2
    assert cuzarr.create_array(store, name="new", data=DATA).zarr_format == 2  # of the root
    with cuzarr.config.set({"default_zarr_format": 2}):
        assert cuzarr.create_group(None).zarr_format == 2
    assert cuzarr.create_group(None).zarr_format == 3


def test_nothing_is_made_below_an_array() -> None:
    store = MemoryStore()
    cuzarr.create_array(store, name="a", data=DATA)
    before = dict(store.store_dict)
    for path in ("a/b", "a/b/c"):
        for overwrite in (False, True):
            with pytest.raises(ContainsArrayError, match=f"cannot create '{path}': an array is st"):
                cuzarr.create_group(store, path=path, overwrite=overwrite)
    assert store.store_dict == before


def test_existing_nodes_are_kept_or_replaced() -> None:
    store = MemoryStore()
    root = cuzarr.create_group(store)
    root.create_array("a/b", data=DATA)
    with pytest.raises(ContainsGroupError, match="a group is already stored at 'a' in memory://"):
        root.create_array("a", data=DATA)
    with pytest.raises(ContainsArrayError, match="an array is already stored at 'a/b'"):
        root.create_group("a/b")
    with pytest.raises(FileExistsError, match="an array is already stored at 'a/b'"):
        cuzarr.open_array(store, "w-", path="a/b", shape=3)
    root.create_array("a", data=DATA, overwrite=True)
    assert "a/b" not in root
    assert not list(store.list("a/b"))
    v2 = cuzarr.create_array(store, name="a", data=DATA, zarr_format=2, overwrite=True)
    assert cuzarr.open(store, path="a").zarr_format == 2
    assert v2.attrs.asdict() == {}


# Children


def test_only_nodes_are_members(tmp_path: Path) -> None:
    root = cuzarr.open_group(str(tmp_path), "w", device="cpu")
    root.create_array("données/é", data=DATA)
    root.create_group("b")
    for stray in ("notes.txt", ".DS_Store", "b/x.tmp"):
        (tmp_path / stray).write_text("stray")
    for stray in (b"empty", b".hidden", b"...", b"back\\slash", b"\xff\xfe", b"new\nline"):
        os.makedirs(os.path.join(os.fsencode(tmp_path), stray))
    assert list(root) == ["b", "données"]
    assert [name for name, _ in root.members(max_depth=None)] == ["b", "données", "données/é"]
    assert len(root) == 2
    assert "notes.txt" not in root
    assert "empty" not in root
    with pytest.raises(NodeNotFoundError):
        root["notes.txt"]
    with pytest.raises(NodeNotFoundError):
        root["données/é/c"]


def test_a_damaged_member_names_its_document() -> None:
    store = MemoryStore()
    root = cuzarr.create_group(store)
    root.create_array("good", data=DATA)
    store.set("bad/zarr.json", b"{")
    with pytest.raises(MetadataError, match="invalid metadata in 'bad/zarr.json'"):
        root.members()
    np.testing.assert_array_equal(root["good"][...], DATA)


@pytest.mark.parametrize("name", ["../x", "a/./b", "a\0b", "\udcff"])
def test_paths_that_no_store_takes(name: str) -> None:
    root = cuzarr.create_group(None)
    for use in (
        lambda: root[name],
        lambda: root.create_group(name),
        lambda: root.create_array(name, data=DATA),
        lambda: cuzarr.open(root.store, path=name),
    ):
        with pytest.raises(InvalidKeyError, match="invalid key"):
            use()


def test_paths_are_strings() -> None:
    root = cuzarr.create_group(None)
    root.create_group("a")
    assert root["/a/"].path == "a"
    assert root["a//"].path == "a"
    with pytest.raises(TypeError, match="the path of a node is a string, not int"):
        root[5]
    assert 5 not in root
    with pytest.raises(ValueError, match="a member of group '/' needs a name"):
        root.create_group("/")


def test_a_file_in_the_place_of_a_group(tmp_path: Path) -> None:
    root = cuzarr.open_group(str(tmp_path), "w", device="cpu")
    (tmp_path / "file").write_text("not a node")
    (tmp_path / "folder" / "zarr.json").mkdir(parents=True)
    assert "file" not in root
    assert "folder" not in root
    for name in ("file", "file/x"):
        with pytest.raises(StoreError, match="cannot write"):
            root.create_group(name)
    assert (tmp_path / "file").read_text() == "not a node"
    assert isinstance(cuzarr.open(str(tmp_path), "r"), cuzarr.Group)


def test_a_chunk_named_like_a_member() -> None:
    """``c`` is where chunks of the default encoding are; as a group it is a group."""
    root = cuzarr.create_group(None)
    root.create_array("c/0", data=DATA, chunks=(2,))
    z = root.create_array("zarr", data=DATA)
    assert list(root) == ["c", "zarr"]
    np.testing.assert_array_equal(root["c/0"][...], DATA)
    assert z.nchunks_initialized == 1


# Documents


def test_writing_keeps_what_is_not_understood() -> None:
    store = MemoryStore()
    z = cuzarr.create_array(store, data=DATA, chunks=(2,))
    extended = document(store, "zarr.json")
    extended["other"] = {"must_understand": False, "name": "x"}
    store.set("zarr.json", json.dumps(extended).encode())
    z = cuzarr.open_array(store)
    z.attrs["a"] = 1
    z.resize(4)
    found = document(store, "zarr.json")
    assert found["other"] == {"must_understand": False, "name": "x"}
    assert found["shape"] == [4]
    assert found["attributes"] == {"a": 1}


def test_the_last_attribute_takes_its_document_along() -> None:
    store = MemoryStore()
    z = cuzarr.create_array(store, data=DATA, zarr_format=2, attributes={"a": 1})
    assert store.get(".zattrs") is not None
    del z.attrs["a"]
    assert store.get(".zattrs") is None
    assert cuzarr.open_array(store).attrs.asdict() == {}


def test_attributes_that_cannot_be_stored() -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value, message in (
        (endless, "Circular reference"), (deep, "recursion"), ({1}, "set is not a JSON type"),
        (b"x", "bytes is not a JSON type"), (1j, "complex is not a JSON type"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"attribute 'a' cannot be stored as JSON: .*{message}"):
            check_attributes({"a": value})
    assert check_attributes(None) == {}
    assert check_attributes({"a": {1: np.int8(2)}, "b": (1, 2)}) == {"a": {"1": 2}, "b": [1, 2]}


# What others do to the store


def test_a_store_that_changes_below_an_open_array(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    z = cuzarr.create_array(store, data=DATA, chunks=(2,), device="cpu")
    other = cuzarr.open_array(str(tmp_path), device="cpu")
    other.resize(2)
    assert z[...].tolist() == [0, 1, 0, 0, 0, 0]  # chunks that are gone are fill value
    assert other[...].tolist() == [0, 1]
    store.delete_dir("")
    assert z[...].tolist() == [0] * 6
    with pytest.raises(NodeNotFoundError):
        cuzarr.open(store, "r")


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 2, "attributes": {"a": 1}},
        {"zarr_format": 2, "order": "F"},
        {"zarr_format": 3, "attributes": {"a": 1}, "dimension_names": ["x", None]},
        {"zarr_format": 3, "shards": (8, 6)},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_a_new_shape_gives_the_documents_of_a_whole_write(options: dict[str, Any]) -> None:
    """The document that is only given another shape equals the one made of the parsed spec."""
    stores = MemoryStore(), MemoryStore()
    for store in stores:
        cuzarr.create_array(
            store, shape=(5, 7), chunks=(4, 3), dtype="i4", compressors=None, **options
        )
    found = cuzarr.open_array(stores[0], mode="r+")
    found.attrs["later"] = [1, 2]
    found.resize(9, 7)
    found.resize(10, 2)
    assert found.shape == (10, 2)
    other = cuzarr.open_array(stores[1], mode="r+")
    other.attrs["later"] = [1, 2]
    spec = nodes.find_node(stores[1], "")
    assert isinstance(spec, ArraySpec)
    spec = replace(spec, shape=(10, 2))
    nodes.write_node(stores[1], "", spec)
    assert {k: json.loads(stores[0].get(k) or b"") for k in stores[0].list("")} == {
        k: json.loads(stores[1].get(k) or b"") for k in stores[1].list("")
    }
    assert cuzarr.open_array(stores[0]).shape == found.shape == (10, 2)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_new_shape_mends_chunks_of_an_empty_axis(zarr_format: Any) -> None:
    """An empty axis may have chunks of length 0, in v3 too: they fit no other length."""
    store = MemoryStore()
    cuzarr.create_array(store, shape=(0,), chunks=(1,), dtype="i4", zarr_format=zarr_format)
    key = ".zarray" if zarr_format == 2 else "zarr.json"

    def document() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(store.get(key) or b"")
        return found

    def grid(found: dict[str, Any]) -> dict[str, Any]:
        return found if zarr_format == 2 else found["chunk_grid"]["configuration"]

    changed, name = document(), "chunks" if zarr_format == 2 else "chunk_shape"
    grid(changed)[name] = [0]
    store.set(key, json.dumps(changed).encode())
    z = cuzarr.open_array(store, mode="r+")
    assert z[...].shape == (0,)
    z.attrs["a"] = 1
    assert zarr_format == 2 or grid(document())[name] == [0]  # nobody asked for another
    z.resize(3)
    assert grid(document())[name] == [1]
    z[:] = 5
    assert cuzarr.open_array(store)[:].tolist() == [5, 5, 5]
