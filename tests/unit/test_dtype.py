"""Data types as objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import dtype as dt
from cuzarr.errors import MetadataError

CASES: list[tuple[dt.ZDType, Any, Any, Any]] = [
    (dt.Bool(), "?", "|b1", "bool"),
    (dt.Int8(), "i1", "|i1", "int8"),
    (dt.UInt8(), "u1", "|u1", "uint8"),
    (dt.Int16(endianness="big"), ">i2", ">i2", "int16"),
    (dt.UInt16(), "<u2", "<u2", "uint16"),
    (dt.Int32(), "<i4", "<i4", "int32"),
    (dt.UInt32(), "<u4", "<u4", "uint32"),
    (dt.Int64(), "<i8", "<i8", "int64"),
    (dt.UInt64(), "<u8", "<u8", "uint64"),
    (dt.Float16(), "<f2", "<f2", "float16"),
    (dt.Float32(), "<f4", "<f4", "float32"),
    (dt.Float64(endianness="big"), ">f8", ">f8", "float64"),
    (dt.Complex64(), "<c8", "<c8", "complex64"),
    (dt.Complex128(), "<c16", "<c16", "complex128"),
    (
        dt.DateTime64(unit="s", scale_factor=10), "<M8[10s]", "<M8[10s]",
        {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 10}},
    ),
    (
        dt.TimeDelta64(unit="ns"), "<m8[ns]", "<m8[ns]",
        {"name": "numpy.timedelta64", "configuration": {"unit": "ns", "scale_factor": 1}},
    ),
    (
        dt.NullTerminatedBytes(length=3), "S3", "|S3",
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": 3}},
    ),
    (
        dt.RawBytes(length=2), "V2", "|V2",
        {"name": "raw_bytes", "configuration": {"length_bytes": 2}},
    ),
    (
        dt.FixedLengthUTF32(length=4), "<U4", "<U4",
        {"name": "fixed_length_utf32", "configuration": {"length_bytes": 16}},
    ),
    (
        dt.Struct(fields=(("a", dt.Int32()), ("b", dt.Float64()))), [("a", "<i4"), ("b", "<f8")],
        [["a", "<i4"], ["b", "<f8"]],
        {"name": "struct", "configuration": {"fields": [
            {"name": "a", "data_type": "int32"}, {"name": "b", "data_type": "float64"}]}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("zdtype", "native", "v2", "v3"), CASES, ids=[repr(c[0]) for c in CASES])
def test_forms(zdtype: dt.ZDType, native: Any, v2: Any, v3: Any) -> None:
    assert zdtype.to_native_dtype() == np.dtype(native)
    assert zdtype.item_size == np.dtype(native).itemsize
    assert zdtype.to_json(2) == v2
    assert zdtype.to_json(3) == v3
    assert dt.parse_dtype(np.dtype(native), zarr_format=3) == zdtype
    assert dt.parse_dtype(v2, zarr_format=2) == zdtype
    assert type(dt.parse_dtype(v3, zarr_format=3)) is type(zdtype)
    assert dt.parse_dtype(zdtype, zarr_format=3) is zdtype
    assert type(zdtype).from_native_dtype(native) == zdtype
    z = cuzarr.create_array({}, shape=3, dtype=zdtype)
    assert z.dtype == np.dtype(native).newbyteorder("=")
    assert zdtype.default_scalar() == z.fill_value or np.isnat(z.fill_value)


def test_variable_lengths() -> None:
    for zdtype, kind, name in (
        (dt.VariableLengthUTF8(), str, "string"),
        (dt.VariableLengthBytes(), bytes, "variable_length_bytes"),
    ):
        assert zdtype.to_json(3) == name
        assert zdtype.to_json(2) == "|O"
        assert dt.parse_dtype(kind, zarr_format=3) == zdtype
        assert dt.parse_dtype(name, zarr_format=3) == zdtype
        assert cuzarr.create_array({}, shape=3, dtype=zdtype).metadata.document["data_type"] == name
    assert dt.parse_dtype(np.dtypes.StringDType(), zarr_format=3) == dt.VariableLengthUTF8()


def test_what_is_no_type() -> None:
    for given, zarr_format in (("nothing", 3), ("nothing", 2), ({"name": "x"}, 3), ("O", 2)):
        with pytest.raises(MetadataError, match="dtype"):
            dt.parse_dtype(given, zarr_format=zarr_format)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="float32 is not Int8"):
        dt.Int8.from_native_dtype("f4")


@pytest.mark.parametrize("name", ["Int32", "Float64", "Complex64"])
def test_byte_order_of_v2_arrays(name: str) -> None:
    kind = getattr(dt, name)(endianness="big")
    z = cuzarr.create_array({}, shape=(3,), dtype=kind, zarr_format=2)
    assert z.dtype.str == kind.to_native_dtype().str
    assert z.dtype.str[0] == ">"
    assert cuzarr.create_array({}, shape=(3,), dtype=kind).dtype.str[0] == "<"
