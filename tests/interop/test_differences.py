"""What zarr-python and cuzarr do differently: the rows of ``docs/differences.md``.

Where zarr-python changes its mind, its half of a test says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr import errors
from tests.devices import use_device

zarr = pytest.importorskip("zarr", minversion="3.4")
pytestmark = pytest.mark.interop
warned = pytest.mark.filterwarnings("ignore")  # zarr-python says itself what it does


def both(**options: Any) -> tuple[Any, Any]:
    made = {"shape": (8, 8), "chunks": (2, 2), "dtype": "i4", **options}
    return zarr.create_array({}, **made), cuzarr.create_array({}, **made)


def test_save_overwrites(tmp_path: Path) -> None:
    for library, name in ((zarr, "a"), (cuzarr, "b")):
        library.save(str(tmp_path / name), np.arange(3))
    with pytest.raises(zarr.errors.ContainsArrayError):
        zarr.save(str(tmp_path / "a"), np.arange(4))
    cuzarr.save(str(tmp_path / "b"), np.arange(4))
    assert cuzarr.load(str(tmp_path / "b")).tolist() == [0, 1, 2, 3]


def test_vindex_of_integers() -> None:
    theirs, ours = both()
    assert theirs.vindex[1, 2].shape == (1,)
    assert np.ndim(ours.vindex[1, 2]) == 0


def test_type_of_full() -> None:
    assert zarr.full((3,), 7).dtype == np.float64
    assert cuzarr.full((3,), 7).dtype == np.int64


@pytest.mark.parametrize("library", [zarr, cuzarr], ids=["zarr", "cuzarr"])
def test_missing_chunks_are_refused_alike(library: Any) -> None:
    made = {"shape": (8, 8), "chunks": (2, 2), "shards": (4, 4), "dtype": "i4"}
    z = library.create_array({}, **made, config={"read_missing_chunks": False})
    z[:2, :2] = 1
    assert z[:4, :4].sum() == 4  # an inner chunk of a stored shard may be missing
    with pytest.raises(library.errors.ChunkNotFoundError, match="c/1/1"):
        z[4:, 4:]
    z[4, 4] = 5  # what is written in part may be missing
    assert z[4:, 4:].sum() == 5
    with library.config.set({"array.read_missing_chunks": False}):
        found = library.create_array({}, shape=(4,), chunks=(2,), dtype="i4", fill_value=3)
        with pytest.raises(library.errors.ChunkNotFoundError, match="c/0"):
            found[...]
        with pytest.raises(library.errors.ChunkNotFoundError, match="c/0"):
            found[0]
        assert found.with_config({"read_missing_chunks": True})[...].tolist() == [3] * 4


def test_unequal_chunks(tmp_path: Path) -> None:
    z = cuzarr.create_array(tmp_path, shape=(5,), chunks=[[2, 3]], dtype="i4")
    with pytest.raises(Exception, match="experimental"):
        zarr.open_array(tmp_path)
    with pytest.raises(errors.UnequalChunksError):
        _ = z.chunks
    assert getattr(z, "chunks", None) is None
    even = cuzarr.create_array({}, shape=(10,), chunks=[[3, 3, 3, 1]], dtype="i4")
    assert even.chunks == (3,)


def test_what_lies_there(tmp_path: Path) -> None:
    root = cuzarr.open_group(tmp_path, mode="w")
    root.create_array("temperature", shape=(3,), dtype="i4")
    root.create_group("sub")
    with pytest.raises(errors.NodeTypeError, match="a group, not an array, is stored at 'sub'"):
        cuzarr.open_array(tmp_path, path="sub", mode="r")
    with pytest.raises(errors.NodeTypeError, match="an array, not a group, is stored"):
        cuzarr.open_group(tmp_path, path="temperature", mode="r")
    with pytest.raises(errors.ArrayNotFoundError, match="did you mean 'temperature'"):
        cuzarr.open_array(tmp_path, path="temprature", mode="r")
    with pytest.raises(errors.ArrayNotFoundError, match="an array of Zarr format 3 is there"):
        cuzarr.open_array(tmp_path, path="temperature", mode="r", zarr_format=2)
    with pytest.raises(errors.GroupNotFoundError, match="a group of Zarr format 3 is there"):
        cuzarr.open_group(tmp_path, path="sub", mode="r", zarr_format=2)
    for found in (zarr.open_group(tmp_path), root):
        with pytest.raises(TypeError, match="shape"):
            found.require_array("temperature", shape=(4,), dtype="i4")
        with pytest.raises(KeyError):
            found["nothing"]


@pytest.mark.parametrize("key", [1.5, "a"])
def test_wrong_selections(key: Any) -> None:
    theirs, ours = both()
    with pytest.raises(IndexError):
        theirs[key]
    with pytest.raises(errors.SelectionError, match="axis 0: expected an integer"):
        ours[key]


def test_objects() -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        zarr.create_array({}, shape=(3,), dtype=object)
    with pytest.raises(errors.MetadataError, match="dtype=str and dtype=bytes have one"):
        cuzarr.create_array({}, shape=(3,), dtype=object)


def test_filters_of_arrays_behind_bytes() -> None:
    filters = [numcodecs.Zlib(1), numcodecs.Delta("u1")]
    options = {"zarr_format": 2, "filters": filters, "compressors": None}
    with pytest.raises(errors.MetadataError, match="works on arrays, but stands after bytes"):
        both(**options)
    theirs = zarr.create_array({}, shape=(3,), dtype="i4", **options)
    theirs[...] = [1, 2, 3]
    assert theirs[...].tolist() == [1, 2, 3]


def test_byte_order_of_v3_types() -> None:
    for dtype in (zarr.dtype.Int32(endianness="big"), ">i4"):
        theirs, ours = both(dtype=dtype)
        assert theirs.dtype.str == ">i4"
        assert ours.dtype.str == "<i4"


def test_chunks_of_shards_are_counted_alike() -> None:
    theirs, ours = both(shards=(4, 4))
    for z in (theirs, ours):
        z[:2, :2] = 1
        assert z.nchunks_initialized == 4
    assert ours.nshards_initialized == 1
    assert "Shards initialized : 1/4" in str(ours.info_complete())


def test_an_array_that_exists_is_taken_as_it_is(tmp_path: Path) -> None:
    cuzarr.create_array(tmp_path, shape=(3,), dtype="i4")
    for library in (zarr, cuzarr):
        assert library.open_array(tmp_path, mode="a", shape=(9,), dtype="f8").shape == (3,)


def test_metadata_as_documents() -> None:
    for options in ({}, {"shards": (4, 4)}, {"zarr_format": 2}):
        theirs, ours = both(compressors=None, **options)
        assert set(theirs.metadata.to_dict()) - set(ours.metadata.to_dict()) <= {
            "node_type", "storage_transformers",
        }  # fmt: skip
        for name in ("shape", "zarr_format", "fill_value"):
            assert list(np.atleast_1d(theirs.metadata.to_dict()[name])) == list(
                np.atleast_1d(ours.metadata.to_dict()[name])
            )


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", ["?", "<U1"])
def test_bytes_that_are_no_boolean_or_no_text(
    dtype: str, zarr_format: Any, device_kind: str, tmp_path: Path
) -> None:
    raw = b"\1\7" if dtype == "?" else np.array([ord("a"), 0x110000], "<u4").tobytes()
    zarr.create_array(
        tmp_path, shape=(4,), chunks=(2,), dtype=dtype, compressors=None, zarr_format=zarr_format
    )
    key = "c/1" if zarr_format == 3 else "1"
    chunk = tmp_path / key
    chunk.parent.mkdir(exist_ok=True)
    chunk.write_bytes(raw)
    theirs, zero = zarr.open_array(tmp_path), np.zeros((), dtype)
    assert theirs[...].tobytes().endswith(raw)
    with use_device(device_kind if dtype == "?" else "host") as device:  # texts have no other place
        ours = cuzarr.open_array(tmp_path, device=device)
        for use in (lambda: ours[...], lambda: ours.__setitem__(2, zero)):
            with pytest.raises(errors.ChunkDecodeError) as caught:
                use()
            assert caught.value.key == key
    assert chunk.read_bytes() == raw
    theirs[2] = zero
    assert chunk.read_bytes() == zero.tobytes() + raw[len(raw) // 2 :]


@pytest.mark.parametrize("library", [zarr, cuzarr], ids=["zarr", "cuzarr"])
def test_settings_that_hold_at_once(library: Any, tmp_path: Path) -> None:
    options = {"shape": (4,), "chunks": (2,), "dtype": "i4"}
    with library.config.set({"array.write_empty_chunks": True}):
        z = library.create_array(tmp_path / "a", **options)
    z[...] = 0
    assert (tmp_path / "a" / "c").exists() == (library is zarr)
    with library.config.set({"default_zarr_format": 2}):
        z = library.create_array(tmp_path / "b", **options)
    assert z.metadata.zarr_format == (3 if library is zarr else 2)


def test_opening_without_a_mode(tmp_path: Path) -> None:
    with pytest.raises(zarr.errors.ArrayNotFoundError):
        zarr.open_array(tmp_path, shape=(3,), dtype="i4")
    assert cuzarr.open_array(tmp_path, shape=(3,), dtype="i4").shape == (3,)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "notes").write_text("no node")
    with pytest.raises(FileExistsError):
        zarr.open_group(tmp_path / "sub", mode="w-")
    assert list(cuzarr.open_group(tmp_path / "sub", mode="w-")) == []


@warned
def test_what_is_chosen_for_a_new_array() -> None:
    theirs, ours = both(zarr_format=2)
    assert theirs.compressors[0].codec_id == "zstd"
    assert ours.compressor.cname == "lz4"
    theirs, ours = both(chunks="auto", shape=(0,))
    assert (theirs.chunks, ours.chunks) == ((1,), (1024,))
    theirs, ours = both(chunks="auto", shape=(10_000, 10_000))
    assert theirs.chunks != ours.chunks
    assert 2**19 <= np.prod(ours.chunks) * 4 <= 2**20
    theirs, ours = both(chunks=(250, 250), shards="auto", shape=(10_000, 10_000))
    assert theirs.shards != ours.shards
    assert 2**25 <= np.prod(ours.shards) * 4 <= 2**26
    for chunks, expected in ((None, (8, 8)), (True, (8, 8)), ((2,), (2, 8))):
        with pytest.raises(ValueError, match="chunk"):
            both(chunks=chunks)
        z = cuzarr.create_array({}, shape=(8, 8), chunks=chunks, dtype="i4")
        assert z.chunks == expected
    with pytest.raises(ValueError, match="not both"):
        zarr.create_array({}, data=np.arange(3), dtype="f4")
    assert cuzarr.create_array({}, data=np.arange(3), dtype="f4").dtype == "f4"
    theirs, ours = both(order="F")
    assert [codec["name"] for codec in theirs.metadata.to_dict()["codecs"]] == ["bytes", "zstd"]
    assert [codec.name for codec in ours.metadata.codecs] == ["transpose", "bytes", "zstd"]


@pytest.mark.parametrize(
    ("dtype", "value", "taken_as"), [("i4", 1.5, 1), ("?", "a", True), ("i4", True, 1)]
)
def test_fill_values_that_do_not_fit(dtype: str, value: Any, taken_as: Any) -> None:
    z = zarr.create_array({}, shape=(3,), dtype=dtype, fill_value=value)
    assert z.fill_value == taken_as
    if value is True:
        assert cuzarr.create_array({}, shape=(3,), dtype=dtype, fill_value=value)[0] == 1
        return
    with pytest.raises(errors.MetadataError, match="fill_value"):
        cuzarr.create_array({}, shape=(3,), dtype=dtype, fill_value=value)


def test_zero_as_the_fill_value_of_texts() -> None:
    assert zarr.zeros((2,), dtype="U3")[0] == "0"
    assert cuzarr.zeros((2,), dtype="U3")[0] == ""


def test_values_that_do_not_fit_a_selection() -> None:
    theirs, ours = both()
    theirs[:2] = np.ones((5, 8))
    with pytest.raises(errors.ShapeMismatchError):
        ours[:2] = np.ones((5, 8))
    with pytest.raises(IndexError):
        theirs[...] = np.arange(8)
    ours[...] = np.arange(8)
    assert ours[3].tolist() == list(range(8))
    theirs[0, 0] = np.uint64(2**63)
    assert theirs[0, 0] == 0
    with pytest.raises(OverflowError):
        ours[0, 0] = np.uint64(2**63)


def test_what_is_no_boolean() -> None:
    theirs, ours = both(shape=(2,), chunks=(2,), dtype="?")
    value = np.array([1, 7], "u1").view("?")
    theirs[...] = value
    assert theirs[...].view("u1").tolist() == [1, 7]
    with pytest.raises(ValueError, match="a boolean has the value 7"):
        ours[...] = value


@warned
def test_what_is_missing_among_texts() -> None:
    theirs, ours = both(shape=(2,), chunks=(2,), dtype=str)
    theirs[:] = np.array(["a", None], object)
    ours[:] = np.array(["a", None], object)
    assert (theirs[:].tolist(), ours[:].tolist()) == (["a", "None"], ["a", ""])
    theirs[:] = np.array(["a", np.nan], object)
    assert theirs[:].tolist() == ["a", "nan"]
    with pytest.raises(TypeError, match="no missing value"):
        ours[:] = np.array(["a", np.nan], object)


def test_one_field_is_set() -> None:
    theirs, ours = both(shape=(2,), chunks=(2,), dtype=[("a", "i4"), ("b", "f8")])
    theirs["a"] = ours["a"] = [5, 6]
    assert theirs[...].tolist() == [(5, 5.0), (6, 6.0)]
    assert ours[...].tolist() == [(5, 0.0), (6, 0.0)]


def test_all_of_no_dimensions() -> None:
    theirs, ours = both(shape=(), chunks=())
    assert not isinstance(theirs[...], np.ndarray)
    assert isinstance(ours[...], np.ndarray)
    assert not isinstance(ours[()], np.ndarray)


def test_appends() -> None:
    theirs, ours = both()
    assert theirs.append(np.ones((8, 8)), axis=-1) == (8, 8)
    assert ours.append(np.ones((8, 8)), axis=-1) == (8, 16)
    for z in both(shape=(3,), chunks=(2,)):
        with pytest.raises(ValueError, match="invalid literal"):
            z.append(["x"])
        assert z.shape == ((3,) if isinstance(z, cuzarr.Array) else (4,))


def test_saving_to_an_archive_and_loading_a_group(tmp_path: Path) -> None:
    for library in (zarr, cuzarr):
        path = tmp_path / library.__name__ / "x.zip"
        path.parent.mkdir()
        library.save(str(path), a=np.arange(3))
        assert path.is_dir() == (library is zarr)
    assert cuzarr.load(path)["a"].tolist() == [0, 1, 2]
    with pytest.raises(NotImplementedError):
        zarr.load(str(tmp_path / "zarr" / "x.zip"))


@warned
@pytest.mark.parametrize("library", [zarr, cuzarr], ids=["zarr", "cuzarr"])
def test_groups(library: Any, tmp_path: Path) -> None:
    ours = library is cuzarr
    root = library.open_group(tmp_path, mode="w")
    root.create_array("a/b/c", shape=(3,), dtype="i4")
    library.create_array(tmp_path, name="old", shape=(3,), dtype="i4", zarr_format=2)
    assert ("old" in list(root)) == ours
    assert ("b" in str(root.tree(level=1))) != ours
    if ours:
        with pytest.raises(KeyError):
            del root["nothing"]
    else:
        del root["nothing"]
    library.consolidate_metadata(tmp_path)
    opened = library.open_group(tmp_path)
    opened["a"].attrs["more"] = 1
    assert ("more" in opened["a"].attrs) != ours
    for again, seen in ((library.open_group(tmp_path), False), (root, True)):
        assert ("more" in again["a"].attrs) == seen


@warned
@pytest.mark.parametrize("value", [True, "1"])
def test_wrong_documents(value: Any, tmp_path: Path) -> None:
    cuzarr.create_array(tmp_path, shape=(3,), chunks=(3,), dtype="i4")
    document = json.loads((tmp_path / "zarr.json").read_text())
    grid = {"name": "regular", "configuration": {"chunk_shape": [0]}}
    for changed in ({"fill_value": value}, {"chunk_grid": grid}):
        (tmp_path / "zarr.json").write_text(json.dumps({**document, **changed}))
        assert zarr.open_array(tmp_path, mode="r").shape == (3,)
        with pytest.raises(errors.MetadataError):
            cuzarr.open_array(tmp_path, mode="r")


def test_wrong_chunks(tmp_path: Path) -> None:
    z = cuzarr.create_array(
        tmp_path, data=np.arange(6), chunks=(3,), zarr_format=2, fill_value=0, device="cpu"
    )
    chunk = (tmp_path / "0").read_bytes()
    (tmp_path / "0").write_bytes(chunk + b"more")
    assert zarr.open_array(tmp_path, mode="r")[0] == 0
    with pytest.raises(errors.ChunkDecodeError, match="Blosc header says"):
        z[0]
    (tmp_path / "0").unlink()
    outside = tmp_path.with_name("outside")
    outside.write_bytes(chunk)
    (tmp_path / "0").symlink_to(outside)
    assert zarr.open_array(tmp_path, mode="r")[2] == 2
    with pytest.raises(errors.StoreError, match="symbolic link"):
        z[2]
    linked = cuzarr.storage.LocalStore(tmp_path, follow_links=True)
    assert cuzarr.open_array(linked, mode="r")[2] == 2
