"""numcodecs codecs in both formats, and the codecs of zarr-extensions, with zarr-python."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numcodecs.registry
import numpy as np
import pytest

import cuzarr

zarr = pytest.importorskip("zarr", minversion="3.1")
pytestmark = pytest.mark.interop

SHAPE, CHUNKS = (7, 5), (3, 2)
FLOATS = np.linspace(-3, 9, 35).reshape(SHAPE)
INTEGERS = np.arange(35, dtype="<i4").reshape(SHAPE)
BOOLS = FLOATS > 2
#: Per id: place in v3, configuration, values, the error that is allowed.
CODECS: dict[str, tuple[str, dict[str, Any], np.ndarray, float]] = {
    "adler32": ("compressors", {}, FLOATS, 0),
    "astype": ("filters", {"encode_dtype": "<f4", "decode_dtype": "<f8"}, FLOATS, 1e-6),
    "bitround": ("filters", {"keepbits": 12}, FLOATS, 1e-2),
    "blosc": ("compressors", {"cname": "zstd", "clevel": 1, "shuffle": 2}, FLOATS, 0),
    "bz2": ("compressors", {"level": 1}, FLOATS, 0),
    "crc32": ("compressors", {}, FLOATS, 0),
    "crc32c": ("compressors", {}, FLOATS, 0),
    "delta": ("filters", {"dtype": "<i4"}, INTEGERS, 0),
    "fixedscaleoffset": (
        "filters", {"offset": 0, "scale": 1000, "dtype": "<f8", "astype": "<i4"}, FLOATS, 1e-3,
    ),
    "fletcher32": ("compressors", {}, FLOATS, 0),
    "gzip": ("compressors", {"level": 1}, FLOATS, 0),
    "jenkins_lookup3": ("compressors", {}, FLOATS, 0),
    "lz4": ("compressors", {"acceleration": 1}, FLOATS, 0),
    "lzma": ("compressors", {"preset": 1}, FLOATS, 0),
    "packbits": ("filters", {}, BOOLS, 0),
    "pcodec": ("serializer", {"level": 8}, FLOATS, 0),
    "quantize": ("filters", {"digits": 3, "dtype": "<f8"}, FLOATS, 1e-3),
    "shuffle": ("compressors", {"elementsize": 8}, FLOATS, 0),
    "zfpy": ("serializer", {"mode": 4, "tolerance": 1e-3}, FLOATS, 1e-2),
    "zlib": ("compressors", {"level": 1}, FLOATS, 0),
    "zstd": ("compressors", {"level": 1}, FLOATS, 0),
}  # fmt: skip
NEW = tuple(int(part) for part in zarr.__version__.split(".")[:2]) >= (3, 4)
#: What zarr-python cannot do: zfpy refuses Fortran order, bitround puts its elements in C order.
BEYOND_F = {"zfpy", "bitround"}


def quietly(call: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that numcodecs' codecs are in no specification
        return call(*args, **options)


def exchange(tmp_path: Path, values: np.ndarray, error: float, **options: Any) -> None:
    """Write with each, read with the other; the documents must be equal."""
    options.setdefault("chunks", CHUNKS)
    documents = []
    for writer, reader in ((cuzarr, zarr), (zarr, cuzarr)):
        path = tmp_path / writer.__name__
        array = quietly(
            writer.create_array, path, shape=SHAPE, dtype=values.dtype, fill_value=0, **options
        )
        quietly(array.__setitem__, slice(None), values)
        found = quietly(lambda p, r: r.open_array(p, mode="r")[...], path, reader)
        np.testing.assert_allclose(found, values, rtol=0, atol=error)
        name = ".zarray" if options["zarr_format"] == 2 else "zarr.json"
        document = json.loads((path / name).read_text())
        assert document.pop("storage_transformers", []) == []
        documents.append(document)
    assert documents[0] == documents[1]


def skip_missing(identifier: str) -> None:
    registry = numcodecs.registry
    if identifier not in registry.codec_registry and identifier not in registry.entries:
        pytest.skip("needs another package")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("identifier", sorted(CODECS))
def test_v2(identifier: str, order: Any, tmp_path: Path) -> None:
    skip_missing(identifier)
    if order == "F" and identifier in BEYOND_F:
        pytest.skip("zarr-python does not read what it writes itself")
    place, configuration, values, error = CODECS[identifier]
    codec = numcodecs.get_codec({"id": identifier, **configuration})
    chosen: dict[str, Any] = (
        {"filters": [codec], "compressors": None} if place == "filters" else {"compressors": codec}
    )
    exchange(tmp_path, values, error, zarr_format=2, order=order, **chosen)


@pytest.mark.parametrize("identifier", sorted(CODECS))
def test_v3(identifier: str, tmp_path: Path) -> None:
    skip_missing(identifier)
    place, configuration, values, error = CODECS[identifier]
    codec = {"name": f"numcodecs.{identifier}", "configuration": configuration}
    exchange(tmp_path, values, error, zarr_format=3, **{"compressors": None, place: codec})


def scaled(**configuration: Any) -> dict[str, Any]:
    return {"name": "scale_offset", "configuration": configuration}


@pytest.mark.skipif(not NEW, reason="zarr-python has these codecs from 3.4 on")
@pytest.mark.parametrize(
    ("dtype", "configuration"),
    [
        ("f8", {"offset": 10, "scale": 0.5}),
        ("f4", {"offset": -1.5, "scale": 3}),
        ("i4", {"offset": -3, "scale": 7}),
        ("u8", {"scale": 5}),
        ("f8", {}),
    ],
    ids=str,
)
def test_scale_offset(dtype: str, configuration: dict[str, Any], tmp_path: Path) -> None:
    values = np.arange(35).reshape(SHAPE).astype(dtype)
    codec = scaled(**configuration) if configuration else {"name": "scale_offset"}
    exchange(tmp_path, values, 1e-5, zarr_format=3, filters=[codec], compressors=None)


@pytest.mark.skipif(not NEW, reason="zarr-python has these codecs from 3.4 on")
@pytest.mark.parametrize(
    "configuration",
    [
        {"data_type": "uint16"},
        {"data_type": "int8", "rounding": "towards-zero", "out_of_range": "clamp"},
        {"data_type": "float32", "rounding": "towards-positive"},
        {"data_type": "uint8", "scalar_map": {"encode": [["NaN", 255]], "decode": [[255, "NaN"]]}},
    ],
    ids=str,
)
def test_cast_value(configuration: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("cast_value_rs", reason="zarr-python casts with it")
    values = np.arange(35).reshape(SHAPE).astype("f8")
    if "scalar_map" in configuration:
        values[3, 3] = np.nan
    filters = [scaled(scale=2), {"name": "cast_value", "configuration": configuration}]
    exchange(tmp_path, values, 0, zarr_format=3, filters=filters, compressors=None)
