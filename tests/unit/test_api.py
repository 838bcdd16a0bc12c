"""The functions of the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import cuzarr
from cuzarr import errors

PUBLIC = set(
    """
    Array AsyncArray AsyncGroup CopyError DeviceStore DirectoryStore Group MemoryStore ZipStore
    __version__
    array codecs config consolidate_metadata copy copy_all copy_store create create_array
    create_group create_hierarchy empty empty_like errors from_array full full_like group load ones
    ones_like open open_array open_consolidated open_group open_like print_debug_info read save
    save_array save_group storage tree zeros zeros_like
    """.split()
)


def test_public_names() -> None:
    assert set(cuzarr.__all__) == PUBLIC
    assert all(hasattr(cuzarr, name) for name in PUBLIC)


def test_import_is_light() -> None:
    code = "import sys, cuzarr; print([m for m in sys.modules if m in {!r}])".format(
        ["cupy", "kvikio", "torch", "zarr", "asyncio"],
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_modules_without_an_import_of_their_own() -> None:
    code = "import cuzarr; print(cuzarr.abc.store.Store, cuzarr.codecs.numcodecs.LZ4)"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)


def test_save_and_load(tmp_path: Path) -> None:
    a, b = np.arange(10), np.eye(3)
    path = str(tmp_path / "x.zarr")
    cuzarr.save(path, a)
    np.testing.assert_array_equal(cuzarr.load(path), a)
    cuzarr.save(path, a, b, named=b)
    found = cuzarr.load(path)
    assert sorted(found) == ["arr_0", "arr_1", "named"]
    np.testing.assert_array_equal(found["arr_1"], b)
    np.testing.assert_array_equal(cuzarr.load(path, path="named"), b)
    with pytest.raises(ValueError, match="at least one"):
        cuzarr.save(path)
    with pytest.raises(ValueError, match="clash: arr_0"):
        cuzarr.save(path, a, arr_0=b)
    assert sorted(cuzarr.load(path)) == ["arr_0", "arr_1", "named"]


def test_save_to_the_path_of_a_zip_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    for name in (path, str(path)):
        cuzarr.save(name, np.arange(3))
        assert zipfile.is_zipfile(path)
        assert cuzarr.load(name).tolist() == [0, 1, 2]
        cuzarr.save(name, a=np.arange(4))
        assert list(cuzarr.load(name)) == ["a"]
        cuzarr.save(name, np.arange(5), path="b")
        cuzarr.save(name, c=np.arange(6), path="g")
    assert sorted(cuzarr.open_group(path, mode="r")) == ["a", "b", "g"]
    before = path.read_bytes()
    with pytest.raises(ValueError, match="at least one array"):
        cuzarr.save(path)
    assert path.read_bytes() == before


def test_open_finds_what_is_there(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    assert isinstance(cuzarr.open(path), cuzarr.Group)
    assert isinstance(cuzarr.open(path, path="a", shape=3, dtype="i4"), cuzarr.Array)
    assert isinstance(cuzarr.open(path, "r", path="a"), cuzarr.Array)
    assert isinstance(cuzarr.open(path, "w", shape=(2,), dtype="u1"), cuzarr.Array)
    assert isinstance(cuzarr.open(path=path, mode="r"), cuzarr.Array)
    assert isinstance(cuzarr.open(path, "w"), cuzarr.Group)
    with pytest.raises(errors.NodeNotFoundError, match="Zarr format 2"):
        cuzarr.open(path, "r", zarr_format=2)


def test_open_array_creates_where_it_may(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    with pytest.raises(errors.ArrayNotFoundError):
        cuzarr.open_array(path, "a")
    z = cuzarr.open_array(path, "w", shape=(4,), chunks=2)
    assert z.dtype == np.float64
    z[...] = 3
    assert (cuzarr.open_array(path, "a", shape=(4,))[...] == 3).all()
    assert cuzarr.open_array(z.store.with_read_only(True) if hasattr(z.store, "with_read_only")
                             else path, "r").read_only  # fmt: skip


def test_default_format() -> None:
    assert cuzarr.array([1]).zarr_format == 3
    with cuzarr.config.set({"default_zarr_format": 2}):
        assert cuzarr.array([1]).zarr_format == 2
        assert cuzarr.group().zarr_format == 2
    with (
        cuzarr.config.set({"default_zarr_format": 4}),
        pytest.raises(ValueError, match="must be 2 or 3, not 4"),
    ):
        cuzarr.array([1])


def test_creation_functions() -> None:
    assert (cuzarr.zeros((3, 2))[...] == 0).all()
    assert (cuzarr.ones(3, dtype="i4")[...] == 1).all()
    assert cuzarr.full(3, 2.5)[...].tolist() == [2.5] * 3
    assert cuzarr.full(3, 7).dtype == np.int64
    assert cuzarr.full(3, None).dtype == np.float64
    assert cuzarr.empty((2,)).dtype == np.float64
    assert cuzarr.create((2, 2), path="p", store={}).path == "p"
    assert cuzarr.array(np.arange(3), path="p", store={}).path == "p"


def test_mapping_as_store() -> None:
    store: dict[str, bytes] = {}
    cuzarr.create_array(store, data=np.arange(4), chunks=2)
    assert set(store) == {"zarr.json", "c/0", "c/1"}
    assert cuzarr.open_array(store)[...].tolist() == [0, 1, 2, 3]


def test_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(errors.MetadataError):
        cuzarr.create_array(str(tmp_path / "x"), shape=(3,), dtype="i4", compressors="nonsense")
    assert not (tmp_path / "x").exists()


def test_overwrite_with_bad_arguments_loses_nothing(tmp_path: Path) -> None:
    cuzarr.save(str(tmp_path / "x"), np.arange(3))
    with pytest.raises(errors.MetadataError):
        cuzarr.create_array(
            str(tmp_path / "x"), shape=(3,), dtype="i4", chunks=(1, 2), overwrite=True
        )
    assert cuzarr.load(str(tmp_path / "x")).tolist() == [0, 1, 2]


def test_a_group_of_nothing_is_not_saved() -> None:
    store = cuzarr.MemoryStore()
    with pytest.raises(ValueError, match="at least one array"):
        cuzarr.save_group(store)
    assert list(store.list()) == []


def test_create_of_data_takes_its_type() -> None:
    assert cuzarr.create(3).dtype == "f8"
    assert cuzarr.create(2, data=np.array([1, 2], "i2")).dtype == "i2"


def test_like_a_list() -> None:
    z = cuzarr.ones_like([[1, 2], [3, 4]])
    assert (z.shape, z.dtype.kind, z[...].sum()) == ((2, 2), "i", 4)


def test_fields_of_many_arrays() -> None:
    pairs = np.array([(1, 2.5), (3, 4.5)], [("a", "i4"), ("b", "f8")])
    z = cuzarr.create_array(None, data=pairs)
    number, both = cuzarr.read([(z, "a"), (z, slice(1, 2))])
    np.testing.assert_array_equal(number, pairs["a"])
    np.testing.assert_array_equal(both, pairs[1:])


def test_load_of_nested_groups(tmp_path: Path) -> None:
    cuzarr.save(tmp_path / "n", **{"a/b": np.arange(3), "c": np.ones(2)})
    found = cuzarr.load(tmp_path / "n")
    assert {name: values.tolist() for name, values in found.items()} == {
        "a/b": [0, 1, 2], "c": [1, 1],
    }  # fmt: skip


def test_open_like_at_a_path_of_a_store() -> None:
    store: dict[str, bytes] = {}
    z = cuzarr.open_like(np.ones((3, 2), "f4"), path="x/y", store=store)
    assert (z.path, z.shape, z.dtype) == ("x/y", (3, 2), np.dtype("f4"))
    assert cuzarr.open_group(store)["x/y"] == z
