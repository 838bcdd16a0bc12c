"""What is overwritten with data that lies, or is computed from, where it is overwritten."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obstore.store
import pytest
from fsspec.implementations.dirfs import DirFileSystem

import cuzarr
from cuzarr.errors import CopyError
from cuzarr.storage import FsspecStore, LocalStore, MemoryStore, ObjectStore, as_store
from cuzarr.storage.place import overlap, place

DATA = np.arange(1, 25).reshape(4, 6)


class Lazy:
    """Computes its elements from a stored array when it is asked for them, as dask does."""

    def __init__(self, source: cuzarr.Array, *, chunks: Any = None) -> None:
        self.source, self.chunks = source, chunks
        self.shape, self.dtype = source.shape, source.dtype

    def __getitem__(self, key: Any) -> Any:
        return self.source[key] * 2

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self[...], dtype)


@pytest.mark.parametrize("chunks", [None, (2, 3), ((2, 2), (6,))])
@pytest.mark.parametrize("below", ["", "sub/"])
def test_data_that_is_computed_from_what_is_overwritten(
    tmp_path: Path, chunks: Any, below: str
) -> None:
    group = cuzarr.open_group(tmp_path, mode="w")
    group[f"a/{below}x" if below else "a"] = DATA
    lazy = Lazy(group[f"a/{below}x" if below else "a"], chunks=chunks)
    group["a"] = lazy
    np.testing.assert_array_equal(group["a"][...], 2 * DATA)
    lazy = Lazy(group["a"], chunks=chunks)
    group.create_array("a", data=lazy, overwrite=True)
    np.testing.assert_array_equal(group["a"][...], 4 * DATA)
    lazy = Lazy(group["a"], chunks=chunks)
    cuzarr.create_array(tmp_path, name="a", data=lazy, overwrite=True)
    np.testing.assert_array_equal(group["a"][...], 8 * DATA)


def test_lazy_data_is_read_in_parts_where_nothing_is_overwritten(tmp_path: Path) -> None:
    class Parts(Lazy):
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise AssertionError("read as a whole")

    source = cuzarr.create_array({}, data=DATA, chunks=(2, 3))
    z = cuzarr.create_array(tmp_path / "a", data=Parts(source, chunks=(2, 3)), overwrite=True)
    np.testing.assert_array_equal(z[...], 2 * DATA)


def remote(name: str) -> str:
    """Return the URL of an empty place in memory."""
    fsspec.filesystem("memory").rm("/", recursive=True)
    return f"memory://{name}"


def test_another_url_of_the_same_place() -> None:
    root = remote("m")
    cuzarr.open_group(root, mode="w")["a"] = DATA
    array, group = cuzarr.open_array(f"{root}/a"), cuzarr.open_group(root)
    with pytest.raises(ValueError, match="cannot overwrite 'a'"):
        cuzarr.from_array(root, name="a", data=array, overwrite=True)
    with pytest.raises(ValueError, match="cannot overwrite 'a'"):
        group["a"] = array
    with pytest.raises(ValueError, match="cannot overwrite 'a'"):
        cuzarr.copy(array, group, name="a", if_exists="replace")
    np.testing.assert_array_equal(group["a"][...], DATA)


def test_places(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    file = fsspec.filesystem("file", auto_mkdir=True)
    memory = fsspec.filesystem("memory")
    local: list[tuple[Any, str]] = [
        (LocalStore(tmp_path), "a"), (LocalStore(folder), ""),
        (FsspecStore(file, path=str(tmp_path)), "a"), (FsspecStore(file, path=str(folder)), ""),
        (FsspecStore(DirFileSystem(str(tmp_path), fs=file), path="a"), ""),
        (as_store(f"file://{folder}"), ""), (as_store(f"simplecache::file://{folder}"), ""),
        (ObjectStore(obstore.store.LocalStore(str(folder))), ""),
        (as_store(ObjectStore(obstore.store.LocalStore(str(tmp_path)))), "a"),
    ]  # fmt: skip
    assert {place(*one) for one in local} == {("file", str(folder))}
    held: list[tuple[Any, str]] = [
        (FsspecStore(memory, path="/m"), "a"), (as_store("memory://m/a"), ""),
        (FsspecStore(DirFileSystem("/m", fs=memory), path="/"), "a"),
    ]  # fmt: skip
    assert len({place(*one) for one in held}) == 1
    bucket = obstore.store.S3Store("bucket", prefix="x", region="nowhere")
    other = obstore.store.S3Store("another", prefix="x", region="nowhere")
    keys = obstore.store.S3Store(
        "bucket", region="nowhere", access_key_id="me", secret_access_key="x"
    )
    above = place(ObjectStore(keys), "x")
    assert above == place(ObjectStore(bucket), "")
    assert overlap(above, place(ObjectStore(bucket), "y"))
    assert not overlap(above, place(ObjectStore(other), "y"))
    one, two = obstore.store.MemoryStore(), obstore.store.MemoryStore()
    assert place(ObjectStore(one), "a") == place(as_store(ObjectStore(one)), "a")
    assert not overlap(place(ObjectStore(one), "a"), place(ObjectStore(two), "a"))
    with pytest.raises(ValueError, match="pass data=array"):
        cuzarr.create_array(folder, data=DATA)
        cuzarr.from_array(local[3][0], data=cuzarr.open_array(folder), overwrite=True)
    np.testing.assert_array_equal(cuzarr.open_array(folder)[...], DATA)


@pytest.mark.parametrize("files", [False, True])
def test_a_group_is_not_copied_below_itself(tmp_path: Path, files: bool) -> None:
    store: Any = LocalStore(tmp_path) if files else MemoryStore()
    group = cuzarr.create_group(store)
    group["s/b"] = DATA
    before = sorted(store.list())
    for copy in (
        lambda: cuzarr.copy_all(group, group["s"]),
        lambda: cuzarr.copy(group["s"], group["s"], name="b", if_exists="replace"),
        lambda: cuzarr.copy(group, group, name="new"),
        lambda: cuzarr.copy(group["s"], group, name="s/deeper/still"),
    ):
        with pytest.raises(CopyError, match=r"which is below it"):
            copy()
        assert sorted(store.list()) == before
    cuzarr.copy(group["s"], group, name="t")
    cuzarr.copy(group["s"], group, name="s2")  # a longer name is not below a shorter one
    cuzarr.copy(group["s/b"], group["s"], name="b2")
    for name in ("t/b", "s2/b", "s/b2"):
        np.testing.assert_array_equal(group[name][...], DATA)


def test_a_pickle_holds_nothing_of_what_was_looked_at(tmp_path: Path) -> None:
    z = cuzarr.create_array(tmp_path, data=DATA, chunks=(1, 1))
    fresh = cuzarr.open_array(tmp_path, mode="r")
    size = len(pickle.dumps(fresh))
    np.testing.assert_array_equal(fresh[...], DATA)
    assert len(pickle.dumps(fresh)) == size
    again = pickle.loads(pickle.dumps(z))
    (tmp_path / "outside").mkdir()
    np.testing.assert_array_equal(again[...], DATA)


def test_data_with_no_more_than_elements(tmp_path: Path) -> None:
    """It has neither a length nor a way to become an array."""

    class Elements:
        shape, dtype, chunks = DATA.shape, DATA.dtype, (2, 3)

        def __init__(self, given: Any) -> None:
            self.given = given

        def __getitem__(self, key: Any) -> Any:
            return self.given[key] if self.given is DATA else self.given

    z = cuzarr.create_array(tmp_path, data=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(4, 6\) gives an array of shape \(3,\)"):
        cuzarr.create_array(tmp_path, data=Elements(np.ones(3)), overwrite=True)
    np.testing.assert_array_equal(z[...], np.zeros((2, 2)))  # nothing is lost
    z = cuzarr.create_array(tmp_path, data=Elements(DATA), overwrite=True)
    np.testing.assert_array_equal(z[...], DATA)


def test_a_store_with_a_path_and_something_that_is_called_fs() -> None:
    class Files(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.fs, self.path = object(), "x"

    group = cuzarr.create_group(Files())
    group["a"] = DATA
    other = cuzarr.group()
    cuzarr.copy(group, other, name="b")
    np.testing.assert_array_equal(other["b/a"][...], DATA)


def test_a_shallow_copy_below_itself_ends() -> None:
    group = cuzarr.create_group()
    group["s/b"] = DATA
    assert cuzarr.copy(group["s"], group["s"], name="deeper", shallow=True)[0] == 2
    np.testing.assert_array_equal(group["s/deeper/b"][...], DATA)
