"""Values that are written, arrays that are read into, and arrays that travel."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import DeviceMemoryError, ShapeMismatchError

DATA = np.arange(60, dtype="i4").reshape(6, 10)


def array(**options: Any) -> cuzarr.Array:
    return cuzarr.array(DATA, chunks=(4, 3), device="cpu", **options)


# out=


def read_only() -> np.ndarray[Any, Any]:
    out = np.zeros((6, 10), "i4")
    out.flags.writeable = False
    return out


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    "out",
    [
        read_only(),
        np.frombuffer(bytes(240), "i4").reshape(6, 10),
        np.broadcast_to(np.zeros(10, "i4"), (6, 10)),
    ],
)
def test_read_only_memory_is_never_written(out: np.ndarray[Any, Any], stored: bool) -> None:
    z = array() if stored else cuzarr.full((6, 10), 7, dtype="i4", device="cpu")
    with pytest.raises(ValueError, match="out is read-only"):
        z.get_basic_selection(..., out=out)
    assert not out.any()


@pytest.mark.parametrize("out", [[[0] * 10] * 6, "text", 5])
def test_out_must_be_an_array(out: Any) -> None:
    with pytest.raises(TypeError, match=f"out must be an array on cpu, not {type(out).__name__}"):
        array().get_basic_selection(..., out=out)


def test_out_of_another_library() -> None:
    torch = pytest.importorskip("torch")
    out = torch.zeros(6, 10, dtype=torch.int32)
    assert array().get_basic_selection(..., out=out) is out
    assert out[5, 9] == 59


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((6, 10), "i4")[::-1, ::-1],
        np.zeros((10, 6), "i4").T,
        np.zeros((12, 30), "i4")[::2, 1::3],
        np.zeros((6, 10), "i4").view(np.ma.MaskedArray),
    ],
)
def test_out_of_any_strides(out: np.ndarray[Any, Any]) -> None:
    assert array().get_basic_selection(..., out=out) is out
    np.testing.assert_array_equal(out, DATA)


def test_out_of_dropped_dimensions_and_points() -> None:
    z = array()
    scalar = np.zeros((), "i4")
    z.get_basic_selection((5, 9), out=scalar)
    assert scalar == 59
    column = np.zeros((6, 4), "i4")[:, 1]
    z.get_basic_selection((slice(None), 3), out=column)
    np.testing.assert_array_equal(column, DATA[:, 3])
    empty = np.zeros((0, 10), "i4")
    assert z.get_basic_selection(slice(2, 2), out=empty) is empty
    rows, columns = [[0, 1], [2, 3], [4, 5]], [[9], [8], [7]]
    for out in (np.zeros((3, 2), "i4"), np.zeros((2, 3), "i4").T, np.zeros((3, 8), "i4")[:, ::4]):
        assert z.get_coordinate_selection((rows, columns), out=out) is out
        np.testing.assert_array_equal(out, DATA[rows, columns])
    with pytest.raises(ShapeMismatchError, match=r"out has shape \(2, 3\).*selection \(3, 2\)"):
        z.get_coordinate_selection((rows, columns), out=np.zeros((2, 3), "i4"))
    with pytest.raises(ShapeMismatchError, match="data type >i4"):
        z.get_basic_selection(..., out=np.zeros((6, 10), ">i4"))


# Values


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("abc", ValueError),
        (None, TypeError),
        (1j, TypeError),
        (float("nan"), ValueError),
        ([[1], [1, 2]], ValueError),
        ({"a": 1}, TypeError),
        (2**40, OverflowError),
        (np.int64(2**40), OverflowError),
        (np.datetime64(8, "D"), TypeError),
        (np.array([object()] * 10), TypeError),
        (np.zeros(10, "i4,f4"), TypeError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_are_no_numbers_leave_the_array_alone(
    value: Any, error: type[Exception]
) -> None:
    z = array()
    with pytest.raises(error):
        z[...] = value
    np.testing.assert_array_equal(z[...], DATA)


@pytest.mark.parametrize(
    "value",
    [
        "7", b"7", True, np.int64(2**30), np.array(2**40 + 5), range(10), [5] * 10,
        np.array([5] * 10, object), memoryview(np.arange(10)), np.float64(2.9), [[1]] * 6,
        np.ma.masked_array(np.arange(10), mask=np.arange(10) % 2), np.arange(60.0).reshape(6, 10),
        np.arange(10)[None, None, None],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_are_cast_as_numpy_does(value: Any) -> None:
    z, expected = array(), DATA.copy()
    z[...] = value
    expected[...] = value
    np.testing.assert_array_equal(z[...], expected)


def test_lossy_casts_warn_as_in_numpy() -> None:
    z = array()
    for value in (np.full((6, 10), np.nan), np.ones((6, 10), "c8")):
        with pytest.raises(Warning):  # the suite makes errors of warnings
            z[...] = value
    np.testing.assert_array_equal(z[...], DATA)


def test_torch_values() -> None:
    torch = pytest.importorskip("torch")
    z = cuzarr.zeros((2, 3), dtype="c8", device="cpu")
    z[...] = torch.ones(2, 3, requires_grad=True)
    assert (z[...] == 1).all()
    z[...] = (torch.ones(2, 3) * 1j).conj()
    assert (z[...] == -1j).all()
    z[1] = (torch.ones(3) * 1j).conj().imag  # a view with the negative bit
    assert (z[1] == -1).all()
    z[0, 0] = torch.tensor(4)
    assert z[0, 0] == 4
    with pytest.raises(TypeError):
        z[...] = torch.ones(2, 3, device="meta")


def test_values_of_xarray_and_pandas() -> None:
    xarray, pandas = pytest.importorskip("xarray"), pytest.importorskip("pandas")
    z = cuzarr.zeros((6, 10), dtype="i4", device="cpu")
    z[...] = xarray.DataArray(DATA, dims=("y", "x"))
    np.testing.assert_array_equal(z[...], DATA)
    z[...] = pandas.DataFrame(DATA + 1)
    np.testing.assert_array_equal(z[...], DATA + 1)
    z[2] = pandas.Series(range(10))
    np.testing.assert_array_equal(z[2], range(10))


def test_an_array_is_a_value() -> None:
    z = array()
    z[::-1] = z
    np.testing.assert_array_equal(z[...], DATA[::-1])


def test_values_that_do_not_fit() -> None:
    z = array()
    for value in (np.zeros((5, 10)), np.zeros((2, 6, 10)), [], np.zeros((6, 0))):
        with pytest.raises(ShapeMismatchError, match="cannot write a value of shape"):
            z[...] = value
    z[2:2] = np.zeros((0, 10))
    z[2:2] = 5
    np.testing.assert_array_equal(z[...], DATA)


def test_points_broadcast_the_value() -> None:
    z, expected = array(), DATA.copy()
    rows, columns = [[0, 1], [2, 3], [4, 5]], [[9], [8], [7]]
    for value in (np.array([[7], [8], [9]]), np.array([1, 2]), 3, np.arange(6).reshape(3, 2)):
        z.vindex[rows, columns] = value
        expected[rows, columns] = value
        np.testing.assert_array_equal(z[...], expected)


# Results and chunks that no memory holds


def test_results_that_are_too_large_say_so() -> None:
    for shape, chunks in (((2**50,), (2**50,)), ((2**31, 2**31), (2**29, 2**29))):
        z = cuzarr.create_array(None, shape=shape, dtype="f8", chunks=chunks, device="cpu")
        with pytest.raises(DeviceMemoryError, match=r"result of shape \(\d+.* data type float64"):
            z[...]
        with pytest.raises(MemoryError):
            z[...]


# Arrays travel


@pytest.mark.parametrize("clone", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_arrays_and_groups_are_pickled(tmp_path: Path, clone: Any) -> None:
    root = cuzarr.open_group(str(tmp_path / "g"), "w", device="cpu")
    root.create_array("v3", data=DATA, chunks=(2, 5), shards=(4, 10))
    root.create_array("v2", data=DATA, zarr_format=2, attributes={"a": [1]})
    for name in ("v3", "v2"):
        twin = clone(root[name])
        assert twin == root[name]
        assert (twin.device, twin.read_only) == ("cpu", False)
        np.testing.assert_array_equal(twin[...], DATA)
        twin[0, 0] = 9
        assert root[name][0, 0] == 9
    reader = clone(cuzarr.open_group(str(tmp_path / "g"), "r", device="cpu"))
    assert reader.read_only
    assert reader["v2"].attrs["a"] == [1]
    assert reader["v2"].device_reason == 'device="cpu" was asked for'
