"""Group: members, creation, attributes, trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import cuzarr
from cuzarr import errors, nodes
from cuzarr.errors import ContainsNodeError


@pytest.fixture(params=[2, 3])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> cuzarr.Group:
    found = cuzarr.open_group(str(tmp_path / "g"), "w", zarr_format=request.param)
    found.create_group("foo/bar", attributes={"deep": True})
    found.create_array("foo/a", shape=(4, 5), dtype="i2", chunks=2)
    found["b"] = np.arange(3)
    return found


def test_members(root: cuzarr.Group) -> None:
    assert list(root) == ["b", "foo"]
    assert list(root.keys()) == ["b", "foo"]
    assert len(root) == root.nmembers() == 2
    assert [name for name, _ in root.members(None)] == ["b", "foo", "foo/a", "foo/bar"]
    assert [name for name, _ in root.items()] == ["b", "foo"]
    assert [type(node) for node in root.values()] == [cuzarr.Array, cuzarr.Group]
    assert list(root.array_keys()) == ["b"]
    assert list(root.group_keys()) == ["foo"]
    assert [array.name for array in root.array_values()] == ["/b"]
    assert [group.name for group in root.group_values()] == ["/foo"]
    assert root["foo/bar"].attrs["deep"] is True
    assert root["/foo/"]["a"].shape == (4, 5)
    assert "foo/a" in root
    assert "nope" not in root
    assert 5 not in root
    assert root.get("nope", 7) == 7


def test_format_is_inherited(root: cuzarr.Group) -> None:
    nodes = dict(root.members(None))
    assert {node.zarr_format for node in nodes.values()} == {root.zarr_format}
    below = cuzarr.create_array(root.store, name="foo/new", shape=3, dtype="f4")
    assert below.zarr_format == root.zarr_format
    if root.zarr_format == 2:
        assert root.store.exists("foo/.zgroup")
        assert not root.store.exists("foo/zarr.json")


def test_groups_between_are_created(root: cuzarr.Group) -> None:
    root.create_array("x/y/z", shape=1, dtype="u1")
    assert isinstance(cuzarr.open(root.store, "r", path="x/y"), cuzarr.Group)


def test_require(root: cuzarr.Group) -> None:
    assert root.require_group("foo") == root["foo"]
    assert root.require_group("new").path == "new"
    with pytest.raises(errors.NodeTypeError, match="'b' below '/' is an array"):
        root.require_group("b")
    assert root.require_array("foo/a", shape=(4, 5), dtype="i2") == root["foo/a"]
    assert root.require_array("c", shape=3, dtype="f4").shape == (3,)
    with pytest.raises(errors.NodeTypeError, match=r"shape \(4, 5\), not \(4, 6\)"):
        root.require_array("foo/a", shape=(4, 6))
    with pytest.raises(errors.NodeTypeError, match="data type int16, not uint8"):
        root.require_array("foo/a", shape=(4, 5), dtype="u1")
    with pytest.raises(errors.NodeTypeError, match="is a group"):
        root.require_array("foo", shape=1)
    assert len(root.require_group("foo", overwrite=True)) == 0


def test_creation_functions(root: cuzarr.Group) -> None:
    assert (root.zeros("z", shape=3)[...] == 0).all()
    assert (root.ones("o", shape=3, dtype="i4")[...] == 1).all()
    assert (root.full("f", shape=3, fill_value=7, dtype="u1")[...] == 7).all()
    assert root.empty("e", shape=3).dtype == np.float64
    assert root.array("d", np.arange(2))[...].tolist() == [0, 1]
    assert root.create("c", shape=2, dtype="i4").shape == (2,)
    with pytest.raises(ValueError, match="needs a name"):
        root.create_group("/")
    with pytest.raises(ValueError, match="needs a shape"):
        root.create_array("q", dtype="i4")
    with pytest.raises(ValueError, match="needs a dtype"):
        root.create_array("q", shape=3)
    assert "q" not in root


def test_delete(root: cuzarr.Group) -> None:
    del root["foo"]
    assert list(root) == ["b"]
    assert not [key for key in root.store.list() if key.startswith("foo")]


def test_attributes(root: cuzarr.Group) -> None:
    root.attrs["x"] = 1
    root.update_attributes({"y": [1]})
    assert cuzarr.open_group(root.store).attrs.asdict() == {"x": 1, "y": [1]}
    root.attrs.clear()
    assert len(cuzarr.open_group(root.store).attrs) == 0


def test_looking(root: cuzarr.Group) -> None:
    lines = repr(root.tree()).splitlines()
    assert lines == [
        "/", "├── b (3,) int64", "└── foo", "    ├── a (4, 5) int16", "    └── bar",
    ]  # fmt: skip
    assert len(repr(root.tree(level=1)).splitlines()) == 3
    assert root.tree()._repr_html_().count("<li>") == 4
    assert "No. arrays  : 1" in repr(root.info)
    assert repr(root).startswith("<Group file://")
    assert repr(root["foo"]).endswith("g/foo>")
    assert root == cuzarr.open_group(root.store)
    assert root != root["foo"]


def test_unexpected_keys_are_no_members(root: cuzarr.Group) -> None:
    root.store.set("README.txt", b"hello")
    root.store.set("not-a-node/file", b"hello")
    assert list(root) == ["b", "foo"]


@pytest.mark.parametrize("mode", ["r", "r+", "a", "w", "w-"])
def test_modes(tmp_path: Path, mode: Literal["r", "r+", "a", "w", "w-"]) -> None:
    path = str(tmp_path / "m")
    if mode in ("r", "r+"):
        with pytest.raises(errors.GroupNotFoundError):
            cuzarr.open_group(path, mode)
        assert not (tmp_path / "m").exists()
    else:
        cuzarr.open_group(path, mode)
    cuzarr.save(path + "/x", np.arange(3))
    cuzarr.open_group(path, "a")
    if mode == "w-":
        with pytest.raises(errors.ContainsGroupError):
            cuzarr.open_group(path, mode)
        return
    found = cuzarr.open_group(path, mode)
    assert found.read_only is (mode == "r")
    assert ("x" in found) is (mode != "w")


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="mode must be one of r, r\\+, a, w, w-, x, not 'rw'"):
        cuzarr.open_group(None, "rw")  # type: ignore[arg-type]


def test_context_manager_closes_the_store(tmp_path: Path) -> None:
    with cuzarr.open_group(str(tmp_path / "c"), "w") as found:
        found["a"] = np.arange(2)
    assert cuzarr.open_group(str(tmp_path / "c"))["a"][...].tolist() == [0, 1]


def test_somebody_else_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the creation another process creates the same."""
    group = cuzarr.create_group()
    store = group.store

    def late(name: str, find: Any) -> Any:
        """Say once that nothing is there, and create it."""

        def found(*arguments: Any, **options: Any) -> Any:
            if name not in created:
                created.append(name)
                if name.startswith("a"):
                    cuzarr.create_array(store, name=name, data=[1, 2, 3])
                else:
                    cuzarr.create_group(store, path=name)
                return find(group.store, "nothing") if find is find_node else False
            return find(*arguments, **options)

        return found

    created: list[str] = []
    contains, find_node = cuzarr.Group.__contains__, nodes.find_node
    for name in ("a1", "g1"):
        with monkeypatch.context() as patch:
            patch.setattr(cuzarr.Group, "__contains__", late(name, contains))
            if name == "a1":
                assert group.require_array(name, shape=3, dtype="i8")[...].tolist() == [1, 2, 3]
            else:
                assert isinstance(group.require_group(name), cuzarr.Group)
    with monkeypatch.context() as patch:
        patch.setattr(nodes, "find_node", late("a2", find_node))
        z = cuzarr.open_array(store, mode="a", path="a2", shape=3, dtype="i8")
        assert z[...].tolist() == [1, 2, 3]
    with monkeypatch.context() as patch:
        patch.setattr(nodes, "find_node", late("g2", find_node))
        assert isinstance(cuzarr.open_group(store, mode="a", path="g2"), cuzarr.Group)
    assert created == ["a1", "g1", "a2", "g2"]
    for require in (group.require_group, lambda name: group.require_array(name, shape=1)):
        with pytest.raises(ContainsNodeError, match="an array is stored"):
            require("a1/below")
    with pytest.raises(ContainsNodeError):
        cuzarr.open_array(store, mode="a", path="a1/below", shape=1, dtype="i1")
    with pytest.raises(ContainsNodeError):
        cuzarr.open_group(store, mode="a", path="a1/below")
