"""What cuzarr writes others read, and the reverse: zarr-python, zarrs and TensorStore.

1. :data:`CASES` names layouts of both formats by their documents' own terms.
2. cuzarr creates and writes, a peer reads; a peer creates or opens and writes, cuzarr reads.
3. Only part of each array is written, so that fill values and missing chunks are exchanged too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import cuzarr

zarr = pytest.importorskip("zarr", minversion="3.1")
pytestmark = pytest.mark.interop

SHAPE, CHUNKS = (37, 50, 11), (10, 16, 4)
WRITTEN = (slice(3, 30), slice(None), slice(0, 7))


@dataclass(frozen=True)
class Case:
    """One layout: keyword arguments that zarr-python and cuzarr spell alike."""

    name: str
    zarr_format: int
    dtype: str = "<f4"
    fill_value: Any = 0
    options: dict[str, Any] = field(default_factory=dict)


def _blosc2(cname: str, shuffle: int) -> dict[str, Any]:
    return {"id": "blosc", "cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": 0}


def _v3(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def _blosc3(cname: str, shuffle: str, typesize: int = 4) -> dict[str, Any]:
    return _v3(
        "blosc", cname=cname, clevel=5, shuffle=shuffle, blocksize=0, typesize=typesize
    )  # fmt: skip


ZSTD = _v3("zstd", level=1, checksum=False)
SHARDS = {"shards": (20, 32, 8)}
CASES = [
    *[
        Case(f"v2-blosc-{cname}-{shuffle}", 2, options={"compressors": _blosc2(cname, shuffle)})
        for cname in ("lz4", "lz4hc", "blosclz", "zlib", "zstd")
        for shuffle in (0, 1, 2)
    ],
    Case("v2-zstd", 2, "<i2", -7, {"compressors": {"id": "zstd", "level": 1}}),
    Case("v2-gzip", 2, "<u8", 9, {"compressors": {"id": "gzip", "level": 1}}),
    Case("v2-raw-big-endian", 2, ">f8", float("nan"), {"compressors": None}),
    Case("v2-fortran", 2, "<c16", 0, {"compressors": _blosc2("lz4", 1), "order": "F"}),
    Case("v2-bool", 2, "|b1", True, {"compressors": _blosc2("lz4", 2)}),
    *[
        Case(f"v3-blosc-{cname}-{shuffle}", 3, options={"compressors": _blosc3(cname, shuffle)})
        for cname in ("lz4", "zstd")
        for shuffle in ("noshuffle", "shuffle", "bitshuffle")
    ],
    Case("v3-raw", 3, "<i8", -1, {"compressors": None}),
    Case("v3-zstd", 3, "<f4", float("inf"), {"compressors": ZSTD}),
    Case("v3-gzip", 3, "<u2", 65535, {"compressors": _v3("gzip", level=1)}),
    Case("v3-zstd-crc32c", 3, "<f8", float("nan"), {"compressors": [ZSTD, _v3("crc32c")]}),
    Case("v3-complex", 3, "<c8", 0, {"compressors": ZSTD}),
    Case("v3-shards-zstd", 3, "<f4", -1.5, {"compressors": ZSTD, **SHARDS}),
    Case("v3-shards-blosc", 3, "<i4", 3, {"compressors": _blosc3("lz4", "shuffle"), **SHARDS}),
    Case("v3-shards-raw", 3, "|b1", False, {"compressors": None, **SHARDS}),
]
#: what zarrs 0.2 itself refuses, whoever wrote it
NOT_FOR_ZARRS = {"v2-raw-big-endian", "v2-fortran"}
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@cases
def test_zarr_python_reads_what_cuzarr_writes(case, tmp_path):
    expected = _write(cuzarr.create_array(tmp_path / "a", **_arguments(case)), case)
    _equal(zarr.open_array(tmp_path / "a", mode="r")[...], expected)


@cases
def test_cuzarr_reads_what_zarr_python_writes(case, tmp_path):
    expected = _write(zarr.create_array(tmp_path / "a", **_arguments(case)), case)
    array = cuzarr.open_array(tmp_path / "a", mode="r", device="cpu")
    _equal(array[...], expected)
    _equal(array[30:2:-3, 5, ::4], expected[30:2:-3, 5, ::4])
    _equal(array.oindex[[33, 4], :, [0, 9]], expected[np.ix_([33, 4], range(50), [0, 9])])
    assert array.fill_value == np.dtype(case.dtype).type(case.fill_value) or np.isnan(
        array.fill_value
    )


@cases
def test_both_write_the_same_document(case, tmp_path):
    cuzarr.create_array(tmp_path / "ours", **_arguments(case))
    zarr.create_array(tmp_path / "theirs", **_arguments(case))
    name = ".zarray" if case.zarr_format == 2 else "zarr.json"
    ours, theirs = (
        json.loads((tmp_path / folder / name).read_text()) for folder in ("ours", "theirs")
    )
    assert theirs.pop("storage_transformers", []) == []  # optional, and some versions write it
    assert ours == theirs


def test_big_endian_fill_is_recognised_on_writing(tmp_path):
    array = cuzarr.create_array(
        tmp_path / "a", shape=(8,), chunks=(4,), dtype=">f8", fill_value=1.5, zarr_format=2
    )
    array[:4] = 1.5
    array[4:] = np.float64(1.5).view("u8").byteswap().view("f8")
    assert not (tmp_path / "a" / "0").exists()
    assert (tmp_path / "a" / "1").exists()


@cases
def test_tensorstore_writes_into_what_cuzarr_created(case, tmp_path):
    expected = _write(cuzarr.create_array(tmp_path / "a", **_arguments(case)), case)
    store = _tensorstore(tmp_path / "a", case)
    _equal(store.read().result(), expected)
    store[0:5].write(expected[20:25]).result()
    expected[0:5] = expected[20:25]
    _equal(cuzarr.open_array(tmp_path / "a", mode="r", device="cpu")[...], expected)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.name not in NOT_FOR_ZARRS],
    ids=lambda case: case.name,
)
def test_zarrs_reads_what_cuzarr_writes(case, tmp_path):
    pytest.importorskip("zarrs")
    expected = _write(cuzarr.create_array(tmp_path / "a", **_arguments(case)), case)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        _equal(zarr.open_array(tmp_path / "a", mode="r")[...], expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_groups_and_attributes_are_exchanged(zarr_format, tmp_path):
    attributes = {"title": "é", "n": [1, 2.5, None], "nested": {"a": True}}
    ours = cuzarr.create_group(tmp_path / "ours", zarr_format=zarr_format, attributes=attributes)
    ours.create_group("inner").create_array(
        "x", shape=(3,), dtype="i4", chunks=(2,), attributes={"units": "K"}
    )
    root = zarr.open_group(tmp_path / "ours", mode="r")
    assert dict(root.attrs) == attributes
    assert root["inner/x"].attrs["units"] == "K"

    theirs = zarr.create_group(
        tmp_path / "theirs", zarr_format=zarr_format, attributes=attributes
    )  # fmt: skip
    theirs.create_group("inner").create_array("x", shape=(3,), dtype="i4", chunks=(2,))
    again = cuzarr.open_group(tmp_path / "theirs", mode="r")
    assert dict(again.attrs) == attributes
    assert again["inner"]["x"].shape == (3,)


def _arguments(case: Case) -> dict[str, Any]:
    return {
        "shape": SHAPE,
        "chunks": CHUNKS,
        "dtype": case.dtype,
        "fill_value": case.fill_value,
        "zarr_format": case.zarr_format,
        **case.options,
    }


def _write(array: Any, case: Case) -> np.ndarray:
    """Write part of an array and return what all of it must now read as."""
    rng = np.random.default_rng(5)
    dtype = np.dtype(case.dtype)
    expected = np.full(SHAPE, case.fill_value, dtype)
    if dtype.kind == "b":
        expected[WRITTEN] = rng.random(expected[WRITTEN].shape) > 0.5
    else:
        expected[WRITTEN] = rng.integers(0, 100, expected[WRITTEN].shape).astype(dtype)
    array[WRITTEN] = expected[WRITTEN]
    return expected


def _tensorstore(path: Any, case: Case) -> Any:
    tensorstore = pytest.importorskip("tensorstore")
    driver = "zarr" if case.zarr_format == 2 else "zarr3"
    kvstore = {"driver": "file", "path": str(path)}
    return tensorstore.open({"driver": driver, "kvstore": kvstore}, open=True).result()


def _equal(found: Any, expected: np.ndarray) -> None:
    found = np.asarray(found)
    assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, expected)


def test_an_array_of_zarr_python_is_not_overwritten_with_itself(tmp_path: Any) -> None:
    memory = zarr.storage.MemoryStore()
    for store in (str(tmp_path), memory):
        theirs = zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i4")
        theirs[...] = [1, 2, 3, 4]
        with pytest.raises(ValueError, match="cannot overwrite"):
            cuzarr.create_array(store, data=theirs, overwrite=True)
        assert theirs[...].tolist() == [1, 2, 3, 4]
        made = cuzarr.create_array(store, data=theirs[...], overwrite=True)
        assert made[...].tolist() == [1, 2, 3, 4]
