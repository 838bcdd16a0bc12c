"""Rectilinear chunk grids, to and from zarr-python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.experimental import ChunkGrid

zarr = pytest.importorskip("zarr", minversion="3.2")
pytestmark = pytest.mark.interop

SHAPE = (10, 12)
VALUES = np.arange(120, dtype="i4").reshape(SHAPE)
GRIDS: dict[str, dict[str, Any]] = {
    "lists": {"chunks": [[3, 3, 4], [5, 7]]},
    "one-list": {"chunks": [[1, 2, 3, 4], 5]},
    "runs": {"chunks": [[2, 2, 2, 1, 3], [4, 4, 4]]},
    "shards": {"chunks": (2, 2), "shards": [[4, 6], [2, 4, 6]]},
}


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        yield


@pytest.mark.parametrize("name", GRIDS)
def test_zarr_python_reads_and_writes_what_cuzarr_wrote(name: str, tmp_path: Path) -> None:
    ours = cuzarr.create_array(tmp_path, shape=SHAPE, dtype="i4", fill_value=7, **GRIDS[name])
    ours[1:9] = VALUES[1:9]
    theirs = zarr.open_array(tmp_path)
    expected = np.where((np.arange(10) % 9 == 0)[:, None], 7, VALUES)
    np.testing.assert_array_equal(theirs[...], expected)
    assert theirs.read_chunk_sizes == ours.read_chunk_sizes
    assert theirs.write_chunk_sizes == ours.write_chunk_sizes
    theirs[2:5, 3:8] = -1
    expected[2:5, 3:8] = -1
    np.testing.assert_array_equal(ours[...], expected)


@pytest.mark.parametrize("name", GRIDS)
def test_cuzarr_reads_and_writes_what_zarr_python_wrote(name: str, tmp_path: Path) -> None:
    theirs = zarr.create_array(tmp_path, shape=SHAPE, dtype="i4", **GRIDS[name])
    theirs[...] = VALUES
    ours = cuzarr.open_array(tmp_path)
    np.testing.assert_array_equal(ours[...], VALUES)
    ours[2:5, 3:8] = -1
    ours.attrs["kept"] = True
    expected = VALUES.copy()
    expected[2:5, 3:8] = -1
    np.testing.assert_array_equal(zarr.open_array(tmp_path)[...], expected)


@pytest.mark.parametrize("name", GRIDS)
def test_documents_are_those_of_zarr_python(name: str, tmp_path: Path) -> None:
    found = []
    for library, place in ((zarr, "a"), (cuzarr, "b")):
        library.create_array(tmp_path / place, shape=SHAPE, dtype="i4", **GRIDS[name])
        found.append(json.loads((tmp_path / place / "zarr.json").read_text())["chunk_grid"])
    # A list of equal lengths is one length here, which every array can grow by.
    if name == "runs":
        assert found[1]["configuration"]["chunk_shapes"] == [[[2, 3], 1, 3], 4]
    else:
        assert found[0] == found[1]


@pytest.mark.parametrize("shape", [(4, 12), (25, 12), (10, 30), (0, 0)], ids=str)
@pytest.mark.parametrize("name", ["lists", "one-list"])
def test_resized_alike(name: str, shape: tuple[int, int], tmp_path: Path) -> None:
    arrays = []
    for library, place in ((zarr, "a"), (cuzarr, "b")):
        array = library.create_array(tmp_path / place, shape=SHAPE, dtype="i4", **GRIDS[name])
        array[...] = VALUES
        array.resize(shape)
        arrays.append(array)
    theirs, ours = arrays
    assert theirs.read_chunk_sizes == ours.read_chunk_sizes
    for place in "ab":
        a, b = zarr.open_array(tmp_path / place), cuzarr.open_array(tmp_path / place)
        np.testing.assert_array_equal(a[...], b[...])
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "b")[...], theirs[...])


def test_arrays_of_zarr_python_as_data_and_metadata(tmp_path: Path) -> None:
    theirs = zarr.create_array(tmp_path / "a", shape=SHAPE, dtype="i4", **GRIDS["lists"])
    theirs[...] = VALUES
    copy = cuzarr.create_array(tmp_path / "b", data=theirs)
    np.testing.assert_array_equal(copy[...], VALUES)
    grid = theirs.metadata.chunk_grid
    same = cuzarr.create_array(tmp_path / "c", shape=SHAPE, dtype="i4", chunks=grid)
    assert same.read_chunk_sizes == theirs.read_chunk_sizes


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((10, 7), (3, (4, 3))),
        ((10,), ((3, 3, 3, 1),)),
        ((6, 0), (2, 5)),
        ((), ()),
        ((5,), ((4, 9),)),
    ],
    ids=str,
)
def test_chunk_grid_objects(shape: Any, sizes: Any) -> None:
    pytest.importorskip("zarr", minversion="3.4")
    from zarr.experimental import ChunkGrid as Theirs

    theirs, ours = Theirs.from_sizes(shape, sizes), ChunkGrid.from_sizes(shape, sizes)
    for name in ("ndim", "is_regular", "grid_shape", "chunk_sizes"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.get_nchunks() == theirs.get_nchunks()
    assert list(ours.all_chunk_coords()) == list(theirs.all_chunk_coords())
    assert list(ours.iter_chunk_regions()) == list(theirs.iter_chunk_regions())
    for one, other in zip(ours, theirs, strict=True):
        assert (one.slices, one.codec_shape) == (other.slices, other.codec_shape)
        assert (one.shape, one.is_boundary) == (other.shape, other.is_boundary)
    longer = tuple(n + 2 for n in shape)
    assert ours.update_shape(longer).chunk_sizes == theirs.update_shape(longer).chunk_sizes


@pytest.mark.parametrize("shape", [(), (7,), (4, 6, 5)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunk_key_encoding": {"name": "default", "separator": "."}},
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"zarr_format": 2},
        {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    ],
)
def test_keys_of_chunks_by_their_coordinates(shape: Any, options: Any) -> None:
    theirs = zarr.create_array({}, shape=shape, chunks=(2,) * len(shape), dtype="i4", **options)
    ours = cuzarr.create_array({}, shape=shape, chunks=(2,) * len(shape), dtype="i4", **options)
    coords = tuple(range(len(shape)))
    assert ours.metadata.encode_chunk_key(coords) == theirs.metadata.encode_chunk_key(coords)
    assert ours.metadata.chunk_key_encoding is ours.metadata.key_encoding
