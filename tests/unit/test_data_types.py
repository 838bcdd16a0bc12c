"""Data types that are no plain numbers: times, texts, raw bits, the types of ml_dtypes."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import MetadataError
from cuzarr.meta.dtypes import STRING

SHAPE, CHUNKS = (7, 5), (3, 2)
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
ZSTD = {"name": "zstd", "configuration": {"level": 1}}
LAYOUTS: list[dict[str, Any]] = [
    {"zarr_format": 2},
    {"zarr_format": 2, "order": "F", "compressor": None},
    {"zarr_format": 3},
    {"zarr_format": 3, "serializer": BIG, "compressors": None},
    {"zarr_format": 3, "serializer": BIG, "compressors": ZSTD},
    {"zarr_format": 3, "shards": (6, 4)},
    {"zarr_format": 3, "filters": {"name": "transpose", "configuration": {"order": [1, 0]}}},
]
layouts = pytest.mark.parametrize("options", LAYOUTS, ids=str)
DTYPES = [
    "<M8[ns]", ">M8[D]", "<M8[25us]", "<m8[s]", ">m8[ms]", "<U3", ">U5", "|S1", "|S7", "|V3", "|V8",
]  # fmt: skip
ML_DTYPES = [
    "bfloat16", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn",
    "float6_e2m3fn", "float6_e3m2fn", "int2", "int4", "uint2", "uint4",
]  # fmt: skip


def values(dtype: np.dtype, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype.kind in "mM":
        ticks = rng.integers(-(2**40), 2**40, SHAPE)
        ticks[0, 0] = np.iinfo("i8").min  # NaT
        return ticks.view(dtype.newbyteorder("=")).astype(dtype)
    if dtype.kind == "U":
        return rng.choice(["", "a", "日本", "🐍ß!"], SHAPE).astype(dtype)
    if dtype.kind == "S":
        return rng.integers(0, 99999, SHAPE).astype(dtype)
    raw = rng.integers(0, 2**8, (*SHAPE, dtype.itemsize), np.uint8)
    return raw.view(dtype).reshape(SHAPE)


def check(array: Any, dtype: np.dtype) -> None:
    """Write and read by every kind of selection; compare bits."""
    expected = np.full(SHAPE, array.fill_value, array.dtype)
    steps = [
        ("basic", (slice(None),), (slice(None),)),
        ("basic", (slice(5, 0, -2), slice(1, 4)), (slice(5, 0, -2), slice(1, 4))),
        ("basic", (3, 4), (3, 4)),
        ("orthogonal", ([6, 1], [4, 0]), np.ix_([6, 1], [4, 0])),
        ("coordinate", ([6, 0, 3], [0, 4, 2]), ([6, 0, 3], [0, 4, 2])),
        ("mask", np.eye(7, 5, dtype=bool), np.eye(7, 5, dtype=bool)),
    ]
    assert array[...].tobytes() == expected.tobytes()
    for seed, (how, key, where) in enumerate(steps):
        new = values(dtype, seed)[where]
        expected[where] = new
        getattr(array, f"set_{how}_selection")(key, new)
        assert array[...].tobytes() == expected.tobytes(), how
        found = np.asarray(getattr(array, f"get_{how}_selection")(key), array.dtype)
        assert found.tobytes() == np.asarray(expected[where], array.dtype).tobytes(), how
    again = cuzarr.open_array(array.store)
    assert again.dtype == array.dtype
    assert again[::-1].tobytes() == expected[::-1].tobytes()


@layouts
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_types(dtype: str, options: dict[str, Any]) -> None:
    array = cuzarr.create_array(None, shape=SHAPE, chunks=CHUNKS, dtype=dtype, **options)
    native = np.dtype(dtype).newbyteorder("=")
    assert array.dtype == (np.dtype(dtype) if options["zarr_format"] == 2 else native)
    assert array.device == "cpu"
    check(array, np.dtype(dtype))


@layouts
@pytest.mark.parametrize("name", ML_DTYPES)
def test_ml_types(name: str, options: dict[str, Any]) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    if not hasattr(ml_dtypes, name):
        pytest.skip(f"not in ml_dtypes {ml_dtypes.__version__}")
    dtype = np.dtype(getattr(ml_dtypes, name))
    array = cuzarr.create_array(None, shape=SHAPE, chunks=CHUNKS, dtype=dtype, **options)
    assert array.dtype == dtype
    assert array.device == "cpu"
    check(array, dtype)
    by_name = cuzarr.create_array(
        None, shape=SHAPE, chunks=CHUNKS, dtype=name, zarr_format=options["zarr_format"]
    )
    assert by_name.dtype == dtype


FILLS: list[tuple[str, Any, Any]] = [
    ("bfloat16", 1.5, 1.5),
    ("bfloat16", "nan", "NaN"),
    ("bfloat16", float("-inf"), "-Infinity"),
    ("float8_e5m2", 2, 2.0),
    ("int4", -8, -8),
    ("uint4", 15, 15),
    ("<M8[s]", np.datetime64("2020-01-02", "s"), 1577923200),
    ("<M8[s]", np.datetime64("NaT", "s"), -(2**63)),
    ("<U3", "é", "é"),
    ("|S3", b"ab", "YWI="),
    ("|V2", b"\1\2", "AQI="),
]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("dtype", "fill", "stored"), FILLS, ids=str)
def test_fill_values(dtype: str, fill: Any, stored: Any, zarr_format: Any) -> None:
    if not dtype.startswith(("<", "|")):
        pytest.importorskip("ml_dtypes")
    array = cuzarr.create_array(
        None, shape=(4,), chunks=(2,), dtype=dtype, fill_value=fill, zarr_format=zarr_format
    )
    assert array.metadata.document["fill_value"] == stored
    again = cuzarr.open_array(array.store)
    assert np.asarray(again.fill_value, again.dtype).tobytes() * 4 == again[...].tobytes()
    again[1] = again.fill_value
    key = "0" if zarr_format == 2 else "c/0"
    assert not array.store.exists(key)


@pytest.mark.parametrize(
    ("name", "fill", "message"),
    [
        ("int4", 8, "8 is no int4 value: it does not fit"),
        ("uint2", -1, "does not fit"),
        ("int4", 1.5, "does not fit"),
        ("bfloat16", "text", "'text' is no bfloat16 value"),
        ("bfloat16", [1], "is no bfloat16 value"),
    ],
)
def test_fill_values_that_do_not_fit(name: str, fill: Any, message: str) -> None:
    pytest.importorskip("ml_dtypes")
    with pytest.raises(MetadataError, match=message):
        cuzarr.create_array(None, shape=(4,), dtype=name, fill_value=fill)


@pytest.mark.parametrize(
    ("name", "fill", "message"),
    [
        ("int4", 8, "8 is out of range"),
        ("int4", 1.5, "expected an integer"),
        ("float6_e2m3fn", "NaN", "there is no NaN"),
        ("bfloat16", "0x123", "expected a number"),
    ],
)
def test_documents_with_wrong_fill_values(name: str, fill: Any, message: str) -> None:
    pytest.importorskip("ml_dtypes")
    array = cuzarr.create_array({}, shape=(4,), dtype=name)
    document = {**array.metadata.document, "fill_value": fill}
    with pytest.raises(MetadataError, match=message):
        cuzarr.meta.v3.parse(document, "zarr.json")


def test_fill_values_by_their_bits() -> None:
    pytest.importorskip("ml_dtypes")
    array = cuzarr.create_array({}, shape=(4,), dtype="bfloat16")
    document = {**array.metadata.document, "fill_value": "0x7fc1"}
    spec = cuzarr.meta.v3.parse(document, "zarr.json")
    assert np.asarray(spec.fill_value).tobytes() == b"\xc1\x7f"
    assert cuzarr.meta.v3.document(spec)["fill_value"] == "0x7fc1"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    with pytest.raises(MetadataError, match="'bfloat16' needs the package ml_dtypes: pip install"):
        cuzarr.create_array(None, shape=(4,), dtype="bfloat16")


def test_raw_bits_by_their_v3_name() -> None:
    array = cuzarr.create_array(None, shape=(4,), chunks=(2,), dtype="r24")
    assert array.dtype == np.dtype("V3")
    array[1:3] = np.frombuffer(b"abcdef", "V3")
    assert array[...].tobytes() == b"\0\0\0abcdef\0\0\0"


def test_aliases_of_complex_numbers() -> None:
    array = cuzarr.create_array({}, shape=(4,), dtype="complex64")
    document = {**array.metadata.document, "data_type": "complex_float32"}
    spec = cuzarr.meta.v3.parse(document, "zarr.json")
    assert spec.dtype == np.dtype("c8")
    assert cuzarr.meta.v3.document(spec)["data_type"] == "complex_float32"


def test_two_bytes_need_a_byte_order() -> None:
    pytest.importorskip("ml_dtypes")
    with pytest.raises(MetadataError, match="endian must be given for data type bfloat16"):
        document = {
            **cuzarr.create_array({}, shape=(4,), dtype="bfloat16").metadata.document,
            "codecs": ["bytes"],
        }
        cuzarr.open_array({"zarr.json": json.dumps(document).encode()})


def test_data_types_by_other_names() -> None:
    class OfZarrPython:
        def to_json(self, zarr_format: int) -> str:
            return "int16"

    for given, dtype in [(OfZarrPython(), "i2"), ("S", "O"), ("U", STRING), ("str", STRING)]:
        array = cuzarr.create_array({}, shape=(2,), dtype=given)
        assert array.dtype == np.dtype(dtype)


def test_the_smallest_stands_for_zero_where_there_is_none() -> None:
    pytest.importorskip("ml_dtypes")
    array = cuzarr.create_array({}, shape=(2,), dtype="float8_e8m0fnu")
    document = {**array.metadata.document, "fill_value": 0.0}
    spec = cuzarr.meta.v3.parse(document, "zarr.json")
    assert np.asarray(spec.fill_value).tobytes() == b"\0"


def test_a_type_that_the_installed_package_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    monkeypatch.delattr(ml_dtypes, "int2")
    text = f"the data type 'int2' is unknown to ml_dtypes {ml_dtypes.__version__}"
    with pytest.raises(MetadataError, match=f"dtype: {re.escape(text)}$"):
        cuzarr.create_array({}, shape=(2,), dtype="int2")
