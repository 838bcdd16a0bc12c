"""copy, copy_all, copy_store."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import CopyError

DATA = np.arange(24, dtype="i2").reshape(4, 6)


@pytest.fixture
def source() -> cuzarr.Group:
    root = cuzarr.create_group(attributes={"root": 1})
    foo = root.create_group("foo", attributes={"foo": 2})
    foo.create_array("a", data=DATA, chunks=(2, 3), attributes={"a": 3})
    foo.create_group("bar").create_array("b", data=np.arange(5))
    root.create_array("c", data=np.arange(3.0))
    return root


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_copy(source: cuzarr.Group, zarr_format: Any) -> None:
    dest = cuzarr.create_group(zarr_format=zarr_format)
    assert cuzarr.copy(source["foo"], dest) == (4, 0, DATA.nbytes + 40)
    assert np.array_equal(dest["foo/a"][...], DATA)
    assert dest["foo/a"].chunks == (2, 3)
    assert dest["foo/a"].zarr_format == zarr_format
    assert dict(dest["foo"].attrs) == {"foo": 2}
    assert dict(dest["foo/a"].attrs) == {"a": 3}
    assert cuzarr.copy(source["c"], dest, name="x/y", compressors=None) == (1, 0, 24)
    assert dest["x/y"].compressors == ()
    assert cuzarr.copy(source["foo"], dest, "plain", shallow=True, without_attrs=True)[0] == 2
    assert list(dest["plain"]) == ["a"]
    assert dict(dest["plain"].attrs) == dict(dest["plain/a"].attrs) == {}


def test_copy_where_something_is(source: cuzarr.Group) -> None:
    dest = cuzarr.create_group()
    dest["c"] = np.zeros(2)
    with pytest.raises(CopyError, match=r"'c' is in <Group .*> already: give if_exists="):
        cuzarr.copy(source["c"], dest)
    assert cuzarr.copy(source["c"], dest, if_exists="skip") == (0, 1, 0)
    assert dest["c"].shape == (2,)
    assert cuzarr.copy(source["c"], dest, if_exists="replace") == (1, 0, 24)
    assert np.array_equal(dest["c"][...], [0, 1, 2])
    assert cuzarr.copy(source["c"], dest, if_exists="skip_initialized") == (0, 1, 0)
    dest.create_array("d", shape=3, dtype="f8", overwrite=True)
    with pytest.raises(CopyError):
        cuzarr.copy(source["c"], dest, "d")
    assert cuzarr.copy(source["c"], dest, "d", if_exists="skip_initialized") == (1, 0, 24)
    dest["foo"] = np.zeros(2)
    with pytest.raises(CopyError, match="an array is in the way of group 'foo'"):
        cuzarr.copy(source["foo"], dest)
    assert cuzarr.copy(source["foo"], dest, if_exists="skip") == (0, 1, 0)
    assert cuzarr.copy(source["foo"], dest, if_exists="replace")[0] == 4
    assert isinstance(dest["foo"], cuzarr.Group)
    with pytest.raises(ValueError, match="if_exists must be one of raise, replace"):
        cuzarr.copy(source["c"], dest, if_exists="no")  # type: ignore[arg-type]
    with pytest.raises(CopyError, match="has no name"):
        cuzarr.copy(DATA, dest)
    with pytest.raises(CopyError, match="int is neither an array nor a group"):
        cuzarr.copy(3, dest, "x")


def test_dry_run_and_logs(source: cuzarr.Group, tmp_path: Path) -> None:
    dest = cuzarr.create_group()
    lines: list[str] = []
    assert cuzarr.copy(source["foo"], dest, dry_run=True, log=lines.append) == (4, 0, 0)
    assert lines == [
        "copy group foo", "copy array foo/a (4, 6) int16", "copy group foo/bar",
        "copy array foo/bar/b (5,) int64", "all done: 4 would be copied, 0 skipped, 0 bytes",
    ]  # fmt: skip
    assert len(dest) == 0
    cuzarr.copy(source["foo"], dest, log=tmp_path / "log")
    assert (tmp_path / "log").read_text().endswith("all done: 4 copied, 0 skipped, 88 bytes\n")
    said = io.StringIO()
    cuzarr.copy(source["foo"], dest, log=said, if_exists="skip")
    assert said.getvalue().splitlines()[1] == "skip foo/a"
    with pytest.raises(TypeError, match="log must be a function, a path or a text file, not 3"):
        cuzarr.copy(source["foo"], dest, log=3)


def test_copy_all(source: cuzarr.Group) -> None:
    dest = cuzarr.create_group(attributes={"own": 0})
    assert cuzarr.copy_all(source, dest) == (5, 0, DATA.nbytes + 40 + 24)
    assert sorted(name for name, _ in dest.members(None)) == [
        "c", "foo", "foo/a", "foo/bar", "foo/bar/b",
    ]  # fmt: skip
    assert dict(dest.attrs) == {"own": 0, "root": 1}
    dest = cuzarr.create_group()
    cuzarr.copy_all(source, dest, without_attrs=True, shallow=True)
    assert dict(dest.attrs) == {}
    assert list(dest["foo"]) == ["a"]


def test_copy_store(source: cuzarr.Group, tmp_path: Path) -> None:
    store = source.store
    size = sum(store.size(key) for key in store.list())
    count = len(list(store.list()))
    assert cuzarr.copy_store(store, tmp_path / "x.zarr") == (count, 0, size)
    copied = cuzarr.open_group(tmp_path / "x.zarr", mode="r")
    assert np.array_equal(copied["foo/a"][...], DATA)
    part = cuzarr.MemoryStore()
    cuzarr.create_group(part)
    lines: list[str] = []
    cuzarr.copy_store(store, part, source_path="foo", dest_path="there/x", log=lines.append)
    assert "copy foo/a/zarr.json -> there/x/a/zarr.json" in lines
    assert np.array_equal(cuzarr.open_array(part, path="there/x/a")[...], DATA)
    only = cuzarr.MemoryStore()
    cuzarr.copy_store(store, only, excludes="/c/", includes=[r"^foo/a/c/0"])
    assert sorted(key for key in only.list() if "/c/" in key) == ["foo/a/c/0/0", "foo/a/c/0/1"]
    assert cuzarr.open_group(only)["c"].nchunks_initialized == 0


def test_copy_store_where_keys_are(source: cuzarr.Group) -> None:
    dest = cuzarr.MemoryStore()
    dest.set("c/zarr.json", b"old")
    count = len(list(source.store.list()))
    with pytest.raises(CopyError, match=r"'c/zarr.json' is in memory://\d+ already"):
        cuzarr.copy_store(source.store, dest)
    assert list(dest.list()) == ["c/zarr.json"]
    assert cuzarr.copy_store(source.store, dest, if_exists="skip", dry_run=True)[:2] == (
        count - 1,
        1,
    )
    assert list(dest.list()) == ["c/zarr.json"]
    assert cuzarr.copy_store(source.store, dest, if_exists="skip")[:2] == (count - 1, 1)
    assert dest.get("c/zarr.json") == b"old"
    assert cuzarr.copy_store(source.store, dest, if_exists="replace")[:2] == (count, 0)
    assert np.array_equal(cuzarr.open_array(dest, path="c")[...], [0, 1, 2])


def test_copy_store_names_a_broken_object(source: cuzarr.Group) -> None:
    class Broken(cuzarr.MemoryStore):
        def get_many(self, batch: Any) -> Any:
            answer = super().get_many(batch)
            answer.statuses[:] = 1005
            return type(answer)([None] * len(batch), answer.sizes, answer.statuses)

    broken = Broken(source.store.store_dict)
    with pytest.raises(cuzarr.errors.StoreError, match="cannot read 'c/c/0'"):
        cuzarr.copy_store(broken, {})


def test_copy_of_what_has_a_shape() -> None:
    class Foreign:
        shape, dtype, attrs = (3,), np.dtype("i2"), {"unit": "m"}

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.arange(3, dtype="i2")

        def __getitem__(self, key: Any) -> Any:
            return np.arange(3, dtype="i2")[key]

    root = cuzarr.group()
    assert cuzarr.copy(Foreign(), root, "a") == (1, 0, 6)
    np.testing.assert_array_equal(root["a"][...], np.arange(3))
    assert root["a"].attrs.asdict() == {"unit": "m"}
