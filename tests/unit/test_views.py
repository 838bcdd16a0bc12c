"""Arrays worked through in batches, converted while read, hashed, and looked at."""

from __future__ import annotations

import importlib
import pickle
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import errors
from cuzarr.abc.buffer import BufferPrototype

MODULE = importlib.import_module("cuzarr.array")  # cuzarr.array is the function
DATA = np.arange(60, dtype="i2").reshape(10, 6)


@pytest.fixture(params=[2, 3, "sharded"])
def z(request: pytest.FixtureRequest) -> cuzarr.Array:
    if request.param == "sharded":
        return cuzarr.array(DATA, chunks=(2, 3), shards=(4, 6), device="cpu")
    return cuzarr.array(DATA, chunks=(4, 4), zarr_format=request.param, device="cpu")


def test_astype(z: cuzarr.Array) -> None:
    view = z.astype("f4")
    assert (view.dtype, view.itemsize, view.nbytes) == (np.dtype("f4"), 4, 240)
    assert view.is_view
    assert not z.is_view
    found = view[1:3]
    assert found.dtype == "f4"
    assert np.array_equal(found, DATA[1:3])
    assert isinstance(view[1, 1], np.float32)
    assert np.array_equal(view.oindex[[0, 5], ::2], DATA[[0, 5], ::2])
    assert np.asarray(view).dtype == "f4"
    assert view.to_device("cpu")[0].dtype == "f4"
    assert view.with_config({"order": "F"})[...].dtype == "f4"
    assert pickle.loads(pickle.dumps(view))[0].dtype == "f4"
    out = np.empty((2, 6), "f4")
    assert view.get_basic_selection(slice(2), out=out) is out
    assert np.array_equal(out, DATA[:2])
    with pytest.raises(
        errors.ShapeMismatchError, match="data type int16, the selection .* float32"
    ):
        view.get_basic_selection(slice(2), out=np.empty((2, 6), "i2"))
    with pytest.raises(errors.ReadOnlyError):
        view[0] = 1
    assert z.dtype == "i2"


def test_astype_of_fields() -> None:
    data = np.array([(1, 2.5)], dtype=[("a", "i2"), ("b", "f4")])
    view = cuzarr.array(data).astype([("a", "i8"), ("b", "f8")])
    assert view[0]["a"].dtype == "i8"
    assert view["b"].dtype == "f4"


def test_islice(z: cuzarr.Array) -> None:
    assert np.array_equal(list(z), DATA)
    assert np.array_equal(list(z.islice(3, 9)), DATA[3:9])
    assert np.array_equal(list(z.islice(-2)), DATA[-2:])
    assert list(z.islice(20)) == []
    zero = cuzarr.array(np.float32(1))
    with pytest.raises(TypeError, match="iteration over a zero-dimensional array"):
        iter(zero)


def test_islice_reads_batches(z: cuzarr.Array, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Any] = []
    read = cuzarr.Array.__getitem__
    monkeypatch.setattr(
        cuzarr.Array, "__getitem__", lambda s, key: reads.append(key) or read(s, key)
    )
    monkeypatch.setattr(MODULE, "_BATCH_BYTES", 48)  # one row of chunks
    assert np.array_equal(list(z.islice(1)), DATA[1:])
    assert reads == [slice(1, 4), slice(4, 8), slice(8, 10)]
    reads.clear()
    monkeypatch.setattr(MODULE, "_BATCH_BYTES", 10**6)
    assert len(list(z)) == 10
    assert reads == [slice(0, 10)]


@pytest.mark.parametrize("nbytes", [1, 30, 48, 64, 100, 10**9])
def test_regions(z: cuzarr.Array, nbytes: int) -> None:
    counts = np.zeros(z.shape, int)
    block = z.shards or z.chunks
    smallest = int(np.prod(block)) * z.itemsize
    for region in z.regions(nbytes):
        counts[region] += 1
        for axis, cut in enumerate(region):
            assert cut.start % block[axis] == 0
            assert cut.stop % block[axis] == 0 or cut.stop == z.shape[axis]
        assert z[region].nbytes <= max(nbytes, smallest)
    assert (counts == 1).all()


def test_regions_of_small_shapes() -> None:
    assert list(cuzarr.zeros((0, 3)).regions()) == []
    assert list(cuzarr.zeros(()).regions()) == [()]
    assert len(list(cuzarr.zeros((2**40,), chunks=2**38, dtype="i1").regions(1))) == 4


def test_digest(z: cuzarr.Array) -> None:
    same = cuzarr.array(DATA, chunks=(5, 5))
    assert z.digest() == same.digest()
    assert z.hexdigest("sha256") == same.hexdigest("sha256") == z.digest("sha256").hex()
    same[0, 0] = 5
    assert z.digest() != same.digest()
    same[0, 0] = 0
    same.attrs["k"] = 1
    assert z.digest() != same.digest()


def test_chunk_sizes(z: cuzarr.Array) -> None:
    if z.shards:
        assert z.read_chunk_sizes == ((2,) * 5, (3, 3))
        assert z.write_chunk_sizes == ((4, 4, 2), (6,))
    else:
        assert z.read_chunk_sizes == z.write_chunk_sizes == ((4, 4, 2), (4, 2))
    assert cuzarr.zeros(0).read_chunk_sizes == ((),)
    assert z.initialized == z.nchunks_initialized > 0


def test_prototype(z: cuzarr.Array) -> None:
    host = cuzarr.buffer.cpu.buffer_prototype
    assert np.array_equal(z.get_basic_selection(1, prototype=host), DATA[1])
    z.set_basic_selection(1, 7, prototype=host)
    assert (z[1] == 7).all()
    with pytest.raises(errors.NoDeviceError):
        z.for_prototype(BufferPrototype(cuzarr.buffer.cpu.Buffer, "cuda:99"))


def test_out_of_a_buffer(z: cuzarr.Array) -> None:
    class NDBuffer:
        def __init__(self) -> None:
            self.array = np.empty((10, 6), "i2")

        def as_ndarray_like(self) -> Any:
            return self.array

    out = NDBuffer()
    z.get_basic_selection(out=out)
    assert np.array_equal(out.array, DATA)


def test_html(z: cuzarr.Array) -> None:
    rows = z.info_complete()._repr_html_()
    assert rows.startswith("<table>")
    assert "initialized" in rows
    named = cuzarr.create_array({}, name="<b>", shape=1, dtype="i1")
    assert "/&lt;b&gt;" in named.info._repr_html_()


def test_resize_by_name(z: cuzarr.Array) -> None:
    z.resize(new_shape=(2, 6))
    assert z.shape == (2, 6)
    stored = len(list(z.store.list()))
    z.resize((10, 6))
    z[...] = DATA
    z.resize((2, 6), delete_outside_chunks=False)
    assert len(list(z.store.list())) > stored
    z.resize(10, 6)
    assert np.array_equal(z[...], DATA)
    for call in (lambda: z.resize(), lambda: z.resize(3, 4, new_shape=(3, 4))):
        with pytest.raises(TypeError, match="needs a shape, once"):
            call()
