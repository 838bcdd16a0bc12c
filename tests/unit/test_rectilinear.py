"""Chunks of several lengths: what an array says of them, resizing, copying, wrong documents."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import cuda
from cuzarr.errors import BoundsCheckError, ChunkDecodeError, MetadataError, UnequalChunksError
from cuzarr.experimental import ChunkGrid
from cuzarr.host.backend import HostBackend
from cuzarr.meta.edges import Edges
from tests.devices import to_numpy, use_device

SHAPE = (10, 12)
VALUES = np.arange(120, dtype="i4").reshape(SHAPE)
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
LISTS = [[3, 3, 4], [5, 7]]


@pytest.fixture
def device(device_kind: str) -> Iterator[str]:
    with use_device(device_kind) as name:
        yield name


def listed(store: Any = None, device: str | None = None, **options: Any) -> cuzarr.Array:
    made = {"shape": SHAPE, "dtype": "i4", "chunks": LISTS, "device": device, **options}
    z = cuzarr.create_array({} if store is None else store, **made)
    z[...] = VALUES
    return z


def sharded(store: Any = None, **options: Any) -> cuzarr.Array:
    return listed(store, chunks=(2, 2), shards=[[4, 6], [2, 4, 6]], **options)


def as_output(array: Any, device: str) -> Any:
    """Return an array as one of the device."""
    return array if device == "cpu" else cuda.open_backend(0).runtime.to_device(array)


def grid_of(store: dict[str, bytes]) -> Any:
    return json.loads(store["zarr.json"])["chunk_grid"]


def test_what_it_says() -> None:
    z = listed()
    assert z.read_chunk_sizes == z.write_chunk_sizes == ((3, 3, 4), (5, 7))
    assert (z.cdata_shape, z.nchunks, z.nchunks_initialized) == ((3, 2), 6, 6)
    for name in ("chunks", "shards"):
        assert getattr(z, name, None) is None
    with pytest.raises(UnequalChunksError, match="several shapes: see read_chunk_sizes"):
        _ = z.chunks
    with pytest.raises(NotImplementedError):
        _ = z.chunks
    assert "Chunk lengths      : [[3, 2], 4], [5, 7]" in str(z.info_complete())
    assert "Chunks initialized : 6/6" in str(z.info_complete())


def test_what_shards_say() -> None:
    z = sharded()
    assert z.chunks == (2, 2)
    assert z.write_chunk_sizes == ((4, 6), (2, 4, 6))
    assert z.read_chunk_sizes == ((2,) * 5, (2,) * 6)
    with pytest.raises(UnequalChunksError, match="shards.*see write_chunk_sizes"):
        _ = z.shards
    assert "Shard lengths      : [4, 6], [2, 4, 6]" in str(z.info_complete())
    assert "Shards initialized : 6/6" in str(z.info_complete())


@pytest.mark.parametrize("make", [listed, sharded])
def test_blocks_iteration_and_append(make: Any, device: str) -> None:
    z = make(device=device)
    rows, columns = z.write_chunk_sizes
    for i, first in enumerate(np.cumsum([0, *rows[:-1]])):
        for j, left in enumerate(np.cumsum([0, *columns[:-1]])):
            part = VALUES[first : first + rows[i], left : left + columns[j]]
            np.testing.assert_array_equal(to_numpy(z.blocks[i, j]), part)
    z.blocks[-1, 0] = -5
    expected = VALUES.copy()
    expected[-rows[-1] :, : columns[0]] = -5
    np.testing.assert_array_equal(np.asarray(z), expected)
    with pytest.raises(BoundsCheckError, match="block 3 is out of bounds for axis"):
        z.blocks[3 if make is listed else 0, 3]
    np.testing.assert_array_equal(np.stack(list(z.to_device("cpu"))), expected)
    covered = np.zeros(SHAPE, int)
    for region in z.regions(100):
        covered[region] += 1
    assert (covered == 1).all()
    assert z.append(VALUES[:4]) == (14, 12)
    np.testing.assert_array_equal(np.asarray(z), np.vstack([expected, VALUES[:4]]))
    assert z.write_chunk_sizes[0] == (*rows, 4)


def test_regions_are_whole_chunks() -> None:
    z = listed(chunks=[[1, 2, 4, 3], 12])
    rows = [(r[0].start, r[0].stop) for r in z.regions(12 * 4 * 4)]
    assert rows == [(0, 3), (3, 7), (7, 10)]
    assert [r[0].stop for r in z.regions(1)] == [3, 7, 10]


def test_growing_past_and_within_the_chunks() -> None:
    store: dict[str, bytes] = {}
    z = listed(store)
    z.resize(4, 12)
    assert grid_of(store)["configuration"]["chunk_shapes"] == [[[3, 2], 4], [5, 7]]
    assert (z.cdata_shape, z.nchunks_initialized) == ((2, 2), 4)
    z.resize(9, 12)
    assert z.read_chunk_sizes[0] == (3, 3, 3)
    assert (z[6:] == 0).all()
    z.resize(15, 12)
    assert grid_of(store)["configuration"]["chunk_shapes"] == [[[3, 2], 4, 5], [5, 7]]
    z[...] = 1
    assert (cuzarr.open_array(store)[...] == 1).all()


def test_shards_grow_by_whole_chunks() -> None:
    z = sharded()
    z.resize(13, 12)
    assert z.write_chunk_sizes[0] == (4, 6, 3)
    assert z.metadata.grid[0] == Edges([4, 6, 4])
    z[10:] = 3
    assert (z[10:] == 3).all()
    np.testing.assert_array_equal(z[:10], VALUES)


@pytest.mark.parametrize("make", [listed, sharded])
def test_like_copies_and_pickles(make: Any) -> None:
    z = make()
    same = cuzarr.zeros_like(z)
    assert same.write_chunk_sizes == z.write_chunk_sizes
    assert cuzarr.from_array({}, data=z).write_chunk_sizes == z.write_chunk_sizes
    other = cuzarr.zeros_like(z, shape=(5, 5))
    assert other.shape == (5, 5)
    old = cuzarr.zeros_like(z, zarr_format=2)
    assert old.zarr_format == 2
    again = pickle.loads(pickle.dumps(z))
    np.testing.assert_array_equal(again[...], VALUES)
    root = cuzarr.create_group({})
    cuzarr.copy(z, root, "copy")
    assert root["copy"].write_chunk_sizes == z.write_chunk_sizes
    np.testing.assert_array_equal(root["copy"][...], VALUES)


def test_codecs_around_shards_of_several_lengths() -> None:
    sharding = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [2, 2], "codecs": [LITTLE]},
    }
    z = listed(chunks=[[4, 6], [2, 4, 6]], codecs=[sharding, "gzip"])
    np.testing.assert_array_equal(z[...], VALUES)
    z[3:5, 1:9] = 0
    assert (z[3:5, 1:9] == 0).all()


def test_fields_boxes_and_small_outputs(device: str) -> None:
    z = listed(device=device)
    starts = [[0, 0], [2, 4], [6, 3]]
    expected = np.stack([VALUES[a : a + 3, b : b + 6] for a, b in starts])
    np.testing.assert_array_equal(to_numpy(z.boxes(starts, (3, 6))), expected)
    out = (z if device == "cpu" else cuzarr.zeros(SHAPE, dtype="i4", device=device))[...]
    assert z.get_basic_selection(..., out=out) is out
    np.testing.assert_array_equal(to_numpy(out), VALUES)
    records = np.zeros(10, [("a", "i4"), ("b", "f8")])
    records["a"] = np.arange(10)
    s = cuzarr.create_array({}, data=records, chunks=[[1, 6, 3]])
    assert s["a"].tolist() == list(range(10))
    s["b"] = 2.5
    assert s[2:9]["b"].tolist() == [2.5] * 7


def test_small_reads_of_a_device_are_whole() -> None:
    with use_device("emulated", host=HostBackend(), small_bytes=2**20) as device:
        z = listed(device=device)
        np.testing.assert_array_equal(to_numpy(z[1:9, 2:]), VALUES[1:9, 2:])
        assert "too small" not in str(z.device_plan)
        z[:2, :3]
        assert "too small" not in str(z.device_plan)


def test_booleans_that_are_none_are_seen_by_the_part_that_has_them(device: str) -> None:
    """Each part of a read on a device looks through the whole result."""
    store: dict[str, bytes] = {}
    made = {"dtype": "?", "chunks": [[3, 3, 4]], "compressors": None}
    z = cuzarr.create_array(store, shape=10, device=device, **made)
    z[...] = True
    store["c/2"] = b"\1\1\7\1"
    with pytest.raises(ChunkDecodeError, match="'c/2'"):
        to_numpy(z[...])
    assert to_numpy(z[:6]).all()
    store["c/2"] = b"\1\0\1\0"
    out = as_output(np.full(10, 7, "u1").view("?"), device)  # what was there does not matter
    assert z.get_basic_selection(..., out=out) is out
    assert to_numpy(out).view("u1").tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 1, 0]


def test_a_bad_chunk_is_named(device: str) -> None:
    store: dict[str, bytes] = {}
    listed(store)
    store["c/2/1"] = store["c/2/1"][:-3]
    with pytest.raises(ChunkDecodeError, match="c/2/1"):
        np.asarray(cuzarr.open_array(store, device=device))


def test_many_chunks_in_few_bytes() -> None:
    store: dict[str, bytes] = {}
    z = cuzarr.create_array(store, shape=(7,), chunks=[[3, 4]], dtype="i4")
    z[...] = 1
    document = json.loads(store["zarr.json"])
    document["shape"] = [2**60]
    document["chunk_grid"]["configuration"]["chunk_shapes"] = [[3, [1, 2**60]]]
    store["zarr.json"] = json.dumps(document).encode()
    huge = cuzarr.open_array(store)
    assert huge.nchunks == 2**60 - 2
    assert huge[2**59 : 2**59 + 4].tolist() == [0] * 4
    assert huge[:3].tolist() == [1, 1, 1]


@pytest.mark.parametrize("step", [4, 7, 11, -5, -1])
def test_steps_over_many_short_chunks(step: int, device: str) -> None:
    values = np.arange(25)
    z = cuzarr.create_array(
        {}, shape=25, dtype="i8", chunks=[[1, 2] * 8 + [1]], fill_value=-1, device=device
    )
    z[::step] = values[::step]
    expected = np.full(25, -1)
    expected[::step] = values[::step]
    np.testing.assert_array_equal(to_numpy(z[...]), expected)
    z[...] = values
    np.testing.assert_array_equal(to_numpy(z[::step]), values[::step])


def test_the_grid_of_another_array() -> None:
    made = {"dtype": "i4", "chunks": listed().metadata.grid}
    assert cuzarr.create_array({}, shape=SHAPE, **made).write_chunk_sizes == ((3, 3, 4), (5, 7))
    assert cuzarr.create_array({}, shape=(7, 6), **made).write_chunk_sizes == ((3, 3, 1), (5, 1))
    with pytest.raises(MetadataError, match="the chunks cover 10 of 11 elements"):
        cuzarr.create_array({}, shape=(11, 12), **made)


def test_grids_that_say_what_they_are() -> None:
    """As those in the metadata of zarr-python."""

    class Grid:
        def __init__(self, name: str, **configuration: Any) -> None:
            self.document = {"name": name, "configuration": configuration}

        def to_dict(self) -> dict[str, Any]:
            return self.document

    made = {"shape": SHAPE, "dtype": "i4"}
    grid = Grid("rectilinear", kind="inline", chunk_shapes=[[[3, 2], 4], [5, 7]])
    assert cuzarr.create_array({}, chunks=grid, **made).write_chunk_sizes == ((3, 3, 4), (5, 7))
    assert cuzarr.create_array({}, chunks=Grid("regular", chunk_shape=[5, 4]), **made).chunks == (
        5, 4,
    )  # fmt: skip
    with pytest.raises(MetadataError, match="the chunk grid 'hexagonal' is not supported"):
        cuzarr.create_array({}, chunks=Grid("hexagonal"), **made)


def test_chunk_grid_of_another_shape() -> None:
    grid = ChunkGrid.from_sizes((10, 7), ((3, 3, 4), 4))
    assert grid.update_shape((12, 9)).chunk_sizes == ((3, 3, 4, 2), (4, 4, 1))
    assert grid.update_shape((5, 0)).chunk_sizes == ((3, 2), ())
    assert grid.chunk_sizes == ((3, 3, 4), (4, 3))
    with pytest.raises(ValueError, match="1 lengths"):
        grid.update_shape((3,))


def test_shards_that_their_chunks_do_not_divide() -> None:
    store: dict[str, bytes] = {}
    sharded(store)
    document = json.loads(store["zarr.json"])
    document["chunk_grid"]["configuration"]["chunk_shapes"] = [[4, 3, 4], [2, 4, 6]]
    store["zarr.json"] = json.dumps(document).encode()
    with pytest.raises(MetadataError, match="chunk length 2 does not divide the shard length 3"):
        cuzarr.open_array(store)


def test_edges() -> None:
    edges = Edges([2, 2, (5, 3), 1])
    assert edges.runs == ((2, 2), (5, 3), (1, 1))
    assert edges == Edges([(2, 2), 5, 5, 5, 1])
    assert hash(edges) == hash(Edges([(2, 2), 5, 5, 5, 1]))
    assert edges != Edges([2, 2])
    assert edges != 2
    assert repr(edges) == "Edges([(2, 2), (5, 3), (1, 1)])"
    assert pickle.loads(pickle.dumps(edges)) == edges
    for bad in ([], [0], [(3, 0)], [2**62, 2**62]):
        with pytest.raises(ValueError, match=r"chunk"):
            Edges(bad)


@pytest.mark.parametrize("make", [listed, sharded])
def test_in_a_device_store(make: Any) -> None:
    store: dict[str, bytes] = {}
    make(store, compressors={"name": "zstd", "configuration": {"level": 1}})
    with use_device("emulated") as device:
        z = cuzarr.open_array(cuzarr.DeviceStore.from_store(store, device=device))
        np.testing.assert_array_equal(to_numpy(z[1:9, 2:]), VALUES[1:9, 2:])
        np.testing.assert_array_equal(np.asarray(z), VALUES)
