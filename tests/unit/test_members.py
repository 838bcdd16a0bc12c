"""Groups as mappings: finding, listing, visiting, moving and removing members."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import errors, hierarchy
from cuzarr.storage.base import RequestBatch, Values


@pytest.fixture(params=[2, 3])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> cuzarr.Group:
    root = cuzarr.create_group(tmp_path / "g", zarr_format=request.param)
    root.create_array("a", data=np.arange(4), chunks=2)
    root.create_array("x/b", data=np.arange(3.0))
    root["x"].create_group("y", attributes={"k": 1})
    return root


def test_get_array_and_get_group(root: cuzarr.Group) -> None:
    assert root.get_array("x/b").shape == (3,)
    assert root.get_group("x/y").path == "x/y"
    with pytest.raises(errors.ArrayNotFoundError, match="has no array 'q'"):
        root.get_array("q")
    with pytest.raises(errors.GroupNotFoundError, match="has no group 'q'"):
        root.get_group("q")
    with pytest.raises(errors.NodeTypeError, match="'x' below '/' is a group, not an array"):
        root.get_array("x")
    with pytest.raises(errors.NodeTypeError, match="'a' below '/' is an array, not a group"):
        root.get_group("a")


def test_listing(root: cuzarr.Group) -> None:
    assert [name for name, _ in root.members(None)] == ["a", "x", "x/b", "x/y"]
    assert [name for name, _ in root.arrays(recurse=True)] == ["a", "x/b"]
    assert list(root.array_keys()) == ["a"]
    assert list(root.array_keys(recurse=True)) == ["a", "x/b"]
    assert [array.path for array in root.array_values()] == ["a"]
    assert list(root.group_keys()) == ["x"]
    assert [group.path for group in root["x"].group_values()] == ["x/y"]
    assert root.nmembers() == 2
    assert root.nmembers(None) == 4


def test_visiting(root: cuzarr.Group) -> None:
    seen: list[Any] = []
    assert root.visit(seen.append) is None
    assert seen == ["a", "x", "x/b", "x/y"]
    assert root.visitkeys(lambda name: name if "/" in name else None) == "x/b"
    found = root.visitvalues(lambda node: node if isinstance(node, cuzarr.Group) else None)
    assert found == root["x"]
    assert root.visititems(lambda name, node: (name, node.path) if name == "x/y" else None) == (
        "x/y", "x/y",
    )  # fmt: skip


def test_move(root: cuzarr.Group) -> None:
    root.move("a", "new/place/a")
    assert "a" not in root
    assert np.array_equal(root["new/place/a"][...], np.arange(4))
    root["x"].move("y", "z")
    assert dict(root["x/z"].attrs) == {"k": 1}
    with pytest.raises(errors.NodeNotFoundError, match="'nothing'"):
        root.move("nothing", "b")
    with pytest.raises(errors.ContainsGroupError):
        root.move("new/place/a", "x")
    with pytest.raises(errors.ContainsArrayError, match="'x/b' is an array"):
        root.move("new/place/a", "x/b/c")
    with pytest.raises(ValueError, match="the same place or below it"):
        root.move("x", "x/q")
    assert [name for name, _ in root.members(None)] == [
        "new", "new/place", "new/place/a", "x", "x/b", "x/z",
    ]  # fmt: skip
    with pytest.raises(errors.ReadOnlyError):
        cuzarr.open_group(root.store, mode="r").move("x", "y")


def test_removing(root: cuzarr.Group) -> None:
    assert np.array_equal(root.pop("a"), np.arange(4))
    assert root.pop("a", 5) == 5
    with pytest.raises(KeyError, match="has no member 'a'"):
        root.pop("a")
    name, found = root.popitem()
    assert name == "x"
    assert sorted(found) == ["b", "y"]
    assert np.array_equal(found["b"], np.arange(3))
    assert len(root) == 0
    with pytest.raises(KeyError, match="is empty"):
        root.popitem()
    root.update({"p": [1, 2]}, q=[3])
    root.attrs["kept"] = True
    assert root.setdefault("p", [9])[0] == 1
    assert root.setdefault("r", [9])[0] == 9
    root.clear()
    assert len(root) == 0
    assert dict(root.attrs) == {"kept": True}


def test_requiring(root: cuzarr.Group) -> None:
    made = root.create_groups("m", "n/o", attributes={"k": 2})
    assert [group.path for group in made] == ["m", "n/o"]
    assert [group.path for group in root.require_groups("m", "p")] == ["m", "p"]
    assert dict(root.require_group("m").attrs) == {"k": 2}
    assert dict(root.require_group("m", overwrite=True).attrs) == {}
    with pytest.raises(errors.NodeTypeError, match="is an array, not a group"):
        root.require_group("a")
    assert root.require_array("a", shape=4, dtype="f8") == root["a"]
    with pytest.raises(errors.NodeTypeError, match="data type int64, not float64"):
        root.require_array("a", shape=4, dtype="f8", exact=True)


def test_attributes_can_be_assigned(root: cuzarr.Group) -> None:
    root.attrs = {"k": 3}
    root["a"].attrs = {"l": 4}
    again = cuzarr.open_group(root.store, mode="r")
    assert dict(again.attrs) == {"k": 3}
    assert dict(again["a"].attrs) == {"l": 4}
    with pytest.raises(errors.ReadOnlyError):
        again.attrs = {}


def test_looking(root: cuzarr.Group) -> None:
    assert repr(cuzarr.tree(root)) == repr(root.tree(True))
    assert repr(root.tree(max_nodes=2)).splitlines() == [
        "/", "├── a (4,) int64", "└── x", "... 2 more; see max_nodes=",
    ]  # fmt: skip
    html = root.tree()._repr_html_()
    assert html.count("<details") == 2
    assert html.count("<li>") == 4
    assert root.tree(plain=True)._repr_html_() is None
    rows = dict(root.info_items())
    assert rows["No. members"] == "2"
    assert rows["Arrays"] == "a"
    complete = dict(root.info_complete().rows)
    assert complete["No. members below"] == "4"
    assert complete["No. bytes below"] == "56"
    assert int(complete["No. bytes stored below"].split()[0]) > 56
    html = root["a"].info._repr_html_()
    assert "<td>(4,)</td>" in html
    assert dict(root["a"].info_items())["Shape"] == "(4,)"


def test_move_of_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    root = cuzarr.group()
    data = np.arange(40)
    root.create_array("a", data=data, chunks=4, compressors=None)
    monkeypatch.setattr(hierarchy, "_BATCH_BYTES", 64)
    root.move("a", "b/c")
    np.testing.assert_array_equal(root["b/c"][...], data)
    assert "a" not in root


def test_an_object_that_vanishes_while_it_is_moved() -> None:
    class Vanishing(cuzarr.MemoryStore):
        def get_many(self, batch: RequestBatch) -> Values:
            found = super().get_many(batch)
            if "a/c/0" in batch.key_list():
                self.store_dict.clear()
                return super().get_many(batch)
            return found

    root = cuzarr.group(Vanishing())
    root.create_array("a", data=np.arange(4))
    with pytest.raises(cuzarr.errors.StoreError, match="a/c/0"):
        root.move("a", "b")


def test_paths_above() -> None:
    assert list(hierarchy.parents("")) == []
    assert list(hierarchy.parents("a/b")) == ["", "a"]
    assert list(hierarchy.batches(cuzarr.MemoryStore(), [])) == []


def test_what_is_no_path_is_no_member(root: cuzarr.Group) -> None:
    assert "x/b" in root
    for path in ("..", "../g", "x/../a", ".", "a\0", 1, None):
        assert path not in root


def test_lists_in_attributes_are_stored_by_the_next_change(root: cuzarr.Group) -> None:
    root.attrs["list"] = [1]
    root.attrs["list"].append(2)
    path = str(root.store_path.store).removeprefix("file://")
    assert cuzarr.open_group(path, mode="r").attrs["list"] == [1]
    root.attrs["other"] = 0
    assert cuzarr.open_group(path, mode="r").attrs["list"] == [1, 2]


def test_depths_of_members(root: cuzarr.Group) -> None:
    with pytest.raises(ValueError, match="max_depth must be None or at least 0, not -1"):
        root.members(max_depth=-1)


@pytest.mark.parametrize("name", ["zarr.json", "x/.zgroup", ".zattrs/a", ".zmetadata"])
def test_names_of_documents_are_no_names_of_members(name: str, root: cuzarr.Group) -> None:
    stored = sorted(root.store.list())
    with pytest.raises(cuzarr.errors.InvalidKeyError, match="is kept for a document"):
        root.create_group(name)
    with pytest.raises(cuzarr.errors.InvalidKeyError, match="is kept for a document"):
        root.create_array(name, shape=3, dtype="i4", overwrite=True)
    with pytest.raises(cuzarr.errors.InvalidKeyError, match="is kept for a document"):
        root.create_hierarchy({name: root.metadata})
    with pytest.raises(cuzarr.errors.InvalidKeyError, match="is kept for a document"):
        root.move("x", name)
    assert sorted(root.store.list()) == stored
    assert name not in root
