"""Array: what it tells of itself, how it is indexed, resized and appended to."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr

DATA = np.arange(60, dtype="i4").reshape(6, 10)
LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2, "chunks": (4, 3)},
    "v2 order F": {"zarr_format": 2, "chunks": (4, 3), "order": "F"},
    "v2 dots": {"zarr_format": 2, "chunks": (4, 3), "dimension_separator": "."},
    "v3": {"zarr_format": 3, "chunks": (4, 3)},
    "v3 v2 keys": {"zarr_format": 3, "chunks": (4, 3), "chunk_key_encoding": "v2"},
    "v3 shards": {"zarr_format": 3, "chunks": (2, 3), "shards": (4, 6)},
    "v3 raw big": {
        "zarr_format": 3,
        "chunks": (4, 3),
        "compressors": None,
        "serializer": {"name": "bytes", "configuration": {"endian": "big"}},
    },
}


@pytest.fixture(params=LAYOUTS)
def z(request: pytest.FixtureRequest, tmp_path: Path) -> cuzarr.Array:
    return cuzarr.create_array(
        str(tmp_path / "z"), data=DATA, device="cpu", **LAYOUTS[request.param]
    )


def test_attributes_of_an_array() -> None:
    store = cuzarr.storage.MemoryStore()
    z = cuzarr.create_array(
        store, name="a/b", shape=(7, 5), dtype="f4", chunks=(2, 3), shards=(4, 3),
        fill_value=1.5, dimension_names=("y", "x"), attributes={"unit": "K"}, device="cpu",
    )  # fmt: skip
    assert (z.shape, z.ndim, z.size, len(z)) == ((7, 5), 2, 35, 7)
    assert (z.dtype, z.itemsize, z.nbytes) == (np.dtype("f4"), 4, 140)
    assert (z.chunks, z.shards, z.cdata_shape, z.nchunks) == ((2, 3), (4, 3), (4, 2), 8)
    assert (z.path, z.name, z.basename, z.store) == ("a/b", "/a/b", "b", store)
    assert (z.fill_value, z.order, z.zarr_format) == (np.float32(1.5), "C", 3)
    assert (z.dimension_names, z.read_only) == (("y", "x"), False)
    assert (z.device, z.device_reason) == ("cpu", 'device="cpu" was asked for')
    assert z.nchunks_initialized == 0
    z[0, 0] = 2
    assert (z.nchunks_initialized, z.nshards_initialized) == (2, 1)
    assert z.nbytes_stored() == sum(len(store.get(key)) for key in store.list("a/b"))
    assert dict(cuzarr.open(store, "r", path="a/b").attrs) == {"unit": "K"}
    assert repr(z).startswith("<Array memory://")
    assert repr(z).endswith("/a/b shape=(7, 5) dtype=float32>")


def test_codecs_of_an_array() -> None:
    v2 = cuzarr.array(DATA, zarr_format=2)
    assert v2.compressor.get_config() == {
        "id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0,
    }  # fmt: skip
    assert v2.filters is None
    assert v2.serializer is None
    v3 = cuzarr.array(DATA, zarr_format=3)
    assert [codec.name for codec in v3.compressors] == ["zstd"]
    assert v3.serializer.name == "bytes"
    assert v3.filters == ()


@pytest.mark.parametrize(
    "key",
    [
        (), ..., 0, -1, (2, 3), slice(None, None, -1), (slice(1, 5, 3), slice(8, None, -3)),
        (..., 4), (slice(2, 2), 0), np.int64(3), ([1, 1, 5, 0], slice(2, 9)), (2, [1, 3]),
        ([0, 5], [9, 9]),
    ],
    ids=str,
)  # fmt: skip
def test_getitem_is_numpy(z: cuzarr.Array, key: Any) -> None:
    found = z[key]
    np.testing.assert_array_equal(found, DATA[key])
    assert type(found) is type(DATA[key])
    assert found.dtype == DATA.dtype


def test_selection_methods(z: cuzarr.Array) -> None:
    rows, columns = [5, 0, 5], [9, 2]
    outer = DATA[np.ix_(rows, columns)]
    np.testing.assert_array_equal(z.oindex[rows, columns], outer)
    np.testing.assert_array_equal(z.get_orthogonal_selection((rows, columns)), outer)
    np.testing.assert_array_equal(z.vindex[[5, 0], columns], DATA[[5, 0], columns])
    np.testing.assert_array_equal(
        z.get_coordinate_selection(([[5], [0]], [columns])), DATA[[[5], [0]], [columns]]
    )
    mask = DATA % 7 == 0
    np.testing.assert_array_equal(z.vindex[mask], DATA[mask])
    np.testing.assert_array_equal(z.get_mask_selection(mask), DATA[mask])
    n, m = z.shards or z.chunks
    np.testing.assert_array_equal(z.blocks[1, :2], DATA[n : 2 * n, : 2 * m])
    np.testing.assert_array_equal(z.get_basic_selection(slice(2, 4)), DATA[2:4])


def test_set_selection_methods(z: cuzarr.Array) -> None:
    expected = DATA.copy()
    rows, columns = [5, 0], [9, 2]
    z.oindex[rows, columns] = [[1, 2], [3, 4]]
    expected[np.ix_(rows, columns)] = [[1, 2], [3, 4]]
    z.vindex[[1, 2, 1], [3, 4, 3]] = [-1, -2, -3]  # of equal coordinates the last wins
    expected[[1, 2], [3, 4]] = [-3, -2]
    mask = DATA % 7 == 0
    z.vindex[mask] = 99
    expected[mask] = 99
    n, m = z.shards or z.chunks
    z.blocks[0, 1] = 55
    expected[:n, m : 2 * m] = 55
    z[::-2, 1] = np.arange(3)
    expected[::-2, 1] = np.arange(3)
    z[3] = 2.75  # cast as NumPy does
    expected[3] = 2.75
    z[4:6, :] = np.arange(10)[None]
    expected[4:6, :] = np.arange(10)
    np.testing.assert_array_equal(z[...], expected)


def test_out_is_filled(z: cuzarr.Array) -> None:
    out = np.zeros((2, 10), "i4")
    assert z.get_basic_selection(slice(1, 3), out=out) is out
    np.testing.assert_array_equal(out, DATA[1:3])
    wide = np.zeros((10, 6), "i4").T  # not C-contiguous
    z.get_basic_selection(..., out=wide)
    np.testing.assert_array_equal(wide, DATA)
    points = np.zeros((3, 2), "i4").T
    z.get_coordinate_selection(([[0, 1, 2], [3, 4, 5]], 7), out=points)
    np.testing.assert_array_equal(points, DATA[[[0, 1, 2], [3, 4, 5]], 7])


def test_resize_and_append(z: cuzarr.Array) -> None:
    z.resize(8, 4)
    expected = np.zeros((8, 4), "i4")
    expected[:6] = DATA[:, :4]
    np.testing.assert_array_equal(z[...], expected)
    z.resize((3, 4))
    assert z.append(DATA[:5, :4]) == (8, 4)
    np.testing.assert_array_equal(z[...], np.concatenate([DATA[:3, :4], DATA[:5, :4]]))
    assert z.append(z[:, :2], axis=-1) == (8, 6)
    reopened = cuzarr.open_array(z.store, "r")
    np.testing.assert_array_equal(reopened[...], z[...])
    z.shape = (0, 6)
    assert z[...].shape == (0, 6)
    assert z.nchunks_initialized == 0
    assert z.append(DATA[:2, :6]) == (2, 6)
    np.testing.assert_array_equal(z[...], DATA[:2, :6])


class Refusing(cuzarr.MemoryStore):
    """A store that waits, and refuses to store keys that start with ``refused``."""

    refused = "nothing"

    def __init__(self) -> None:
        super().__init__()
        self.in_memory = False

    def set_many(self, keys: Any, values: Any) -> None:
        if any(key.startswith(self.refused) for key in keys):
            raise cuzarr.errors.StoreError("disk full")
        super().set_many(keys, values)


@pytest.mark.parametrize("chunks", [(4, 3), [[3, 3], [4, 6]]], ids=["equal", "unequal"])
@pytest.mark.parametrize("refused", ["zarr.json", "c/"])
def test_an_append_that_cannot_be_stored(refused: str, chunks: Any) -> None:
    """The array keeps its shape, whichever of document and chunks fails."""
    store = Refusing()
    z = cuzarr.create_array(store, data=DATA, chunks=chunks, device="cpu")
    store.refused = refused
    with pytest.raises(cuzarr.errors.StoreError, match="disk full"):
        z.append(DATA)
    store.refused = "nothing"
    stored = cuzarr.open_array(store, "r").shape
    assert z.shape == stored == (6, 10)
    np.testing.assert_array_equal(z[...], DATA)
    assert z.append(DATA) == (12, 10)
    np.testing.assert_array_equal(cuzarr.open_array(store, "r")[...], np.concatenate([DATA, DATA]))


@pytest.mark.parametrize("shards", [None, (4, 6)])
@pytest.mark.parametrize("data", [[["x"] * 10], [[None] * 10]])
def test_an_append_of_what_no_number_is(data: Any, shards: Any, tmp_path: Path) -> None:
    z = cuzarr.create_array(tmp_path, data=DATA, chunks=(2, 3), shards=shards)
    stored = sorted(z.store.list())
    with pytest.raises((TypeError, ValueError)):
        z.append(data)
    assert z.shape == cuzarr.open_array(tmp_path).shape == (6, 10)
    assert sorted(z.store.list()) == stored
    assert z.append(DATA[:1]) == (7, 10)
    np.testing.assert_array_equal(z[...], np.concatenate([DATA, DATA[:1]]))


@pytest.mark.parametrize("refused", ["nothing", "zarr.json"])
def test_an_append_that_cannot_be_taken_back(refused: str) -> None:
    """The array has the shape that is stored, and the first error is raised."""

    class Breaking(Refusing):
        def set_many(self, keys: Any, values: Any) -> None:
            if any(key.startswith("c/") for key in keys):
                self.refused = refused
                raise cuzarr.errors.StoreError("disk full")
            super().set_many(keys, values)

        def delete(self, keys: Any) -> None:
            raise cuzarr.errors.StoreError("nothing can be deleted")

    store = Breaking()
    store.in_memory = True
    z = cuzarr.create_array(store, shape=DATA.shape, dtype="i4", chunks=(4, 3), device="cpu")
    with pytest.raises(cuzarr.errors.StoreError, match="disk full"):
        z.append(DATA)
    store.refused = "nothing"
    stored = cuzarr.open_array(store, "r").shape
    assert z.shape == stored == ((6, 10) if refused == "nothing" else (12, 10))


@pytest.mark.parametrize("axis", [1.0, None, "0"])
def test_the_axis_of_an_append_is_an_integer(axis: Any, z: cuzarr.Array) -> None:
    with pytest.raises(TypeError, match="integer"):
        z.append(DATA, axis=axis)


def test_an_array_is_appended_to_itself(z: cuzarr.Array) -> None:
    assert z.append(z) == (12, 10)
    np.testing.assert_array_equal(z[...], np.concatenate([DATA, DATA]))


def test_shrinking_deletes_chunks_outside(z: cuzarr.Array) -> None:
    before = {key for key in z.store.list() if not key.rpartition("/")[2].startswith((".z", "z"))}
    z.resize(1, 1)
    after = {key for key in z.store.list() if not key.rpartition("/")[2].startswith((".z", "z"))}
    assert len(after) == 1
    assert after < before


def test_empty_chunks_are_not_stored(z: cuzarr.Array) -> None:
    z[...] = 0
    assert z.nchunks_initialized == 0
    np.testing.assert_array_equal(z[...], np.zeros_like(DATA))
    with cuzarr.config.set({"write_empty_chunks": True}):
        z[...] = 0
    assert z.nchunks_initialized > 0


def test_negative_zero_is_not_the_fill_value() -> None:
    z = cuzarr.full((4,), 0.0, dtype="f8")
    z[...] = -0.0
    assert np.signbit(z[...]).all()


def test_nan_fill_value_is_recognised() -> None:
    z = cuzarr.full((4,), np.nan, dtype="f4")
    assert np.isnan(z[...]).all()
    z[...] = np.nan
    assert z.nchunks_initialized == 0


def test_zero_dimensional() -> None:
    z = cuzarr.create_array(None, shape=(), dtype="f4")
    z[()] = 5
    assert z[()] == np.float32(5)
    assert isinstance(z[()], np.float32)
    assert isinstance(z[...], np.ndarray)
    assert z[...].shape == ()
    with pytest.raises(TypeError, match="zero-dimensional"):
        len(z)
    with pytest.raises(TypeError, match="zero-dimensional"):
        next(iter(z))


def test_an_array_is_true_whatever_its_length() -> None:
    for shape in ((), (0,), (3,)):
        assert cuzarr.zeros(shape)


def test_scalars_can_be_used_as_an_index() -> None:
    z = cuzarr.array(np.arange(5))
    assert [10, 20, 30][z[2]] == 30
    assert isinstance(z[2], np.integer)


def test_huge_arrays_cost_nothing() -> None:
    z = cuzarr.create_array(None, shape=(2**62, 2**40), dtype="u1", chunks=(1000, 1000))
    z[2**61, 2**39] = 7
    assert z[2**61, 2**39] == 7
    assert z[2**61 - 1 : 2**61 + 2, 2**39].tolist() == [0, 7, 0]
    assert z.vindex[[2**61, 0], [2**39, 0]].tolist() == [7, 0]
    z.resize(10, 10)
    assert z.nchunks_initialized == 0


def test_numpy_protocols() -> None:
    z = cuzarr.array(DATA, chunks=(4, 3))
    np.testing.assert_array_equal(np.asarray(z), DATA)
    assert np.asarray(z, dtype="f8").dtype == np.float64
    np.testing.assert_array_equal(np.stack(list(z)), DATA)
    assert np.zeros_like(z, dtype=bool).shape == DATA.shape
    with pytest.raises(ValueError, match="without a copy"):
        np.array(z, copy=False)


def test_attributes(z: cuzarr.Array) -> None:
    z.attrs["a"] = np.float32(1.5)
    z.attrs.update(b=[1, 2], c=np.arange(2))
    del z.attrs["b"]
    assert cuzarr.open_array(z.store).attrs.asdict() == {"a": 1.5, "c": [0, 1]}
    assert z.update_attributes({"d": None}).attrs["d"] is None
    z.attrs.put({"only": "this"})
    assert sorted(z.attrs) == ["only"]
    assert repr(z.attrs) == "Attributes({'only': 'this'})"
    z.attrs.clear()
    assert len(cuzarr.open_array(z.store).attrs) == 0
    np.testing.assert_array_equal(z[...], DATA)


def test_attributes_that_are_not_json(z: cuzarr.Array) -> None:
    z.attrs["a"] = 1
    with pytest.raises(TypeError, match="attribute 'bad' cannot be stored as JSON: object is no"):
        z.attrs.update(a=2, bad={"deep": [object()]})
    with pytest.raises(TypeError, match="names must be strings, not 5"):
        z.attrs.update({"a": 2, 5: 1})
    assert cuzarr.open_array(z.store).attrs.asdict() == {"a": 1}


def test_to_device_and_device_plan(z: cuzarr.Array) -> None:
    same = z.to_device("cpu")
    assert same == z
    assert "results on cpu" in str(same.device_plan)
    assert same.device_plan.records == ()
    same[...]
    steps = [record.step for record in same.device_plan.records]
    assert "bytes" in steps
    assert {record.where for record in same.device_plan.records} == {"host"}
    assert "bytes: on the host" in str(same.device_plan)


def test_equality(z: cuzarr.Array) -> None:
    assert cuzarr.open_array(z.store) == z
    assert z != cuzarr.array(DATA)
    assert z != 5


def test_info(z: cuzarr.Array) -> None:
    text = repr(z.info_complete())
    assert "Data type" in text
    assert "initialized" in text
    assert "<table>" in z.info._repr_html_()
    assert "No. bytes stored" not in repr(z.info)


def test_configured_threads_are_checked() -> None:
    z = cuzarr.array(np.zeros((2000, 2000)) + 1, chunks=(100, 100))
    with cuzarr.config.set({"host.threads": 0}), pytest.raises(ValueError, match="host.threads"):
        z[...]
    with cuzarr.config.set({"host.threads": 3, "host.run_bytes": 10_000, "host.wave_chunks": 7}):
        assert (z[...] == 1).all()


def test_values_of_other_libraries() -> None:
    torch = pytest.importorskip("torch")
    z = cuzarr.array(DATA, chunks=(4, 3))
    z[1:3] = torch.arange(20, dtype=torch.int32).reshape(2, 10)
    np.testing.assert_array_equal(z[1:3], np.arange(20).reshape(2, 10))
    z[0] = list(range(10))
    assert z[0].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((), TypeError, "needs a shape, once"),
        (((2, 2, 2),), cuzarr.errors.ShapeMismatchError, "2 dimensions to shape"),
        (((-1, 2),), ValueError, "from 0 to 2.* not -1"),
        (((2**63, 2),), ValueError, "from 0 to 2.* not 9223372036854775808"),
        (((2.0, 2),), ValueError, "must be integers"),
    ],
)
def test_shapes_that_resize_refuses(z: cuzarr.Array, args: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        z.resize(*args)
    assert z.shape == (6, 10)


def test_append_refuses_another_axis_or_ndim(z: cuzarr.Array) -> None:
    with pytest.raises(ValueError, match="axis 2 is outside"):
        z.append(DATA, axis=2)
    with pytest.raises(cuzarr.errors.ShapeMismatchError, match="cannot append shape"):
        z.append(DATA[0])
    assert z.shape == (6, 10)


def test_chunks_outside_a_shrunk_array_do_not_count(z: cuzarr.Array) -> None:
    before = z.nchunks_initialized
    z.resize((6, 2), delete_outside_chunks=False)
    assert 0 < z.nchunks_initialized < before
    z.resize((6, 10))
    np.testing.assert_array_equal(z[...], DATA)


def test_the_chunk_of_an_array_without_dimensions() -> None:
    for zarr_format in (2, 3):
        z = cuzarr.create_array(None, data=np.array(7), zarr_format=zarr_format)
        assert (z.nchunks_initialized, z[()]) == (1, 7)


def test_config_of_an_array(z: cuzarr.Array) -> None:
    changed = z.with_config({"write_empty_chunks": True})
    assert changed.config.write_empty_chunks
    assert changed.config.order == z.order


def test_attributes_and_brackets_pickle_with_their_array(z: cuzarr.Array) -> None:
    z.attrs["unit"] = "m"
    assert pickle.loads(pickle.dumps(z.attrs)).asdict() == {"unit": "m"}
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(z.oindex))[[5, 0]], DATA[[5, 0]])


@pytest.mark.parametrize("ndim", [33, 63])
@pytest.mark.parametrize(
    "options", [{}, {"zarr_format": 2, "order": "F"}, {"shards": (2, 3)}], ids=str
)
def test_as_many_dimensions_as_numpy_has(ndim: int, options: dict[str, Any]) -> None:
    pytest.importorskip("numpy", minversion="2.0")  # 32 before
    rest = (1,) * (ndim - 2)
    if "shards" in options:
        options = {"shards": (*options["shards"], *rest)}
    data = np.arange(12).reshape(4, 3, *rest)
    z = cuzarr.create_array({}, data=data, chunks=(2, 1, *rest), device="cpu", **options)
    np.testing.assert_array_equal(z[::-1, 1:], data[::-1, 1:])
    np.testing.assert_array_equal(z.oindex[[3, 0]], data[[3, 0]])
    at = tuple(np.array([[3, 1], [2, 0], *([0, 0] for _ in rest)]))
    assert z.vindex[at].tolist() == [11, 3]
    with pytest.raises(cuzarr.errors.MetadataError, match="at most 63 dimensions"):
        cuzarr.create_array({}, shape=(1,) * 64, dtype="i4")
