"""xarray on top of zarr-python with the codec pipeline of cuzarr, and over stores of cuzarr."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr

zarr = pytest.importorskip("zarr", minversion="3.1")
xarray = pytest.importorskip("xarray")

from cuzarr.interop.zarr import as_zarr_store  # noqa: E402

pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]
formats = pytest.mark.parametrize("zarr_format", [2, 3])


@pytest.fixture(autouse=True)
def pipeline() -> Iterator[None]:
    with zarr.config.set({"codec_pipeline.path": "cuzarr.interop.zarr.CodecPipeline"}):
        yield


def weather() -> Any:
    """Return a data set with times, text, missing values and packed numbers."""
    rng = np.random.default_rng(0)
    t2m = rng.normal(280, 10, (24, 7, 11)).astype("f4")
    t2m[3, 2] = np.nan
    return xarray.Dataset(
        {
            "t2m": (("time", "lat", "lon"), t2m, {"units": "K"}),
            "count": (("time",), rng.integers(0, 99, 24)),
            "packed": (("lat", "lon"), np.round(rng.normal(0, 5, (7, 11)), 1)),
        },
        coords={
            "time": np.datetime64("2020-01-01", "ns") + np.arange(24) * np.timedelta64(1, "h"),
            "lat": np.linspace(-30, 30, 7),
            "station": (("lat",), np.array(["a", "bb", "ccc", "d", "e", "f", "g"])),
        },
        attrs={"title": "an example"},
    )


ENCODING = {
    "t2m": {"chunks": (10, 7, 4)},
    "packed": {"dtype": "i2", "scale_factor": 0.1, "_FillValue": -999, "chunks": (3, 11)},
}


@formats
def test_round_trip(zarr_format: int, tmp_path: Path) -> None:
    data = weather()
    path = str(tmp_path / "x.zarr")
    data.to_zarr(path, zarr_format=zarr_format, encoding=ENCODING)
    with xarray.open_zarr(path, chunks=None) as found:
        xarray.testing.assert_allclose(found.load(), data)
        assert found.attrs == data.attrs
    part = np.s_[5:20:3, [4, 1], :]
    with xarray.open_zarr(path, chunks=None) as found:
        np.testing.assert_array_equal(found["t2m"][part], data["t2m"].to_numpy()[part])
    own = cuzarr.open_group(path, mode="r", device="cpu")
    np.testing.assert_array_equal(own["t2m"][...], data["t2m"])


@formats
def test_append_and_region(zarr_format: int, tmp_path: Path) -> None:
    data = weather()[["t2m", "count"]]
    path = str(tmp_path / "x.zarr")
    data.isel(time=slice(0, 10)).to_zarr(path, zarr_format=zarr_format)
    data.isel(time=slice(10, 24)).to_zarr(path, append_dim="time")
    changed = data.isel(time=slice(4, 13)) + 1
    changed.drop_vars(["lat", "station"]).to_zarr(path, region={"time": slice(4, 13)})
    expected = data.copy(deep=True)
    expected["t2m"][4:13] += 1
    expected["count"][4:13] += 1
    with xarray.open_zarr(path, chunks=None) as found:
        xarray.testing.assert_equal(found.load(), expected)


@formats
def test_over_a_store_of_cuzarr(zarr_format: int) -> None:
    data = weather()
    store = cuzarr.storage.MemoryStore()
    data.to_zarr(as_zarr_store(store), zarr_format=zarr_format)
    with xarray.open_zarr(as_zarr_store(store, read_only=True), chunks=None) as found:
        xarray.testing.assert_equal(found.load(), data)
    assert {*cuzarr.open_group(store, mode="r").array_keys()} >= {"t2m", "time", "lat"}


def test_shards(tmp_path: Path) -> None:
    data = weather()[["t2m"]]
    encoding = {"t2m": {"chunks": (2, 7, 4), "shards": (8, 7, 12)}}
    data.to_zarr(str(tmp_path / "x"), zarr_format=3, encoding=encoding)
    with xarray.open_zarr(str(tmp_path / "x"), chunks=None) as found:
        xarray.testing.assert_equal(found.load(), data)
    assert cuzarr.open_array(tmp_path / "x" / "t2m", mode="r").shards == (8, 7, 12)
