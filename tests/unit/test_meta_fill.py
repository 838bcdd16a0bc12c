"""Fill values: what each form becomes, by value and type, and every refusal by its message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr.meta import dtypes, fill
from cuzarr.meta.problems import Problems

OBJECT = np.dtype("O")
RECORD = np.dtype([("a", "<i4"), ("b", ">f8")])


def from_json(value: Any, dtype: Any, serializer: str | None = None, zarr_format: Any = 3) -> Any:
    problems = Problems()
    found = fill.from_json(value, np.dtype(dtype), serializer, zarr_format, "fill", problems)
    assert found is None or not problems.found
    return found if found is not None else problems.found


def equal(found: Any, expected: Any) -> bool:
    same = np.asarray(found).tobytes() == np.asarray(expected).tobytes()
    return same and type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "dtype", "zarr_format", "expected"),
    [
        ("YWJj", "S3", 2, np.bytes_(b"abc")),
        ("YWIAAA==", "S3", 2, np.bytes_(b"ab")),
        ([0, 255], "V2", 3, np.void(b"\0\xff")),
        ([], "V2", 3, np.void(b"\0\0")),
        (2**63 - 1, "M8[s]", 3, np.datetime64(2**63 - 1, "s")),
        (-(2**63), "m8[s]", 3, np.timedelta64("NaT", "s")),
        (5.0, "m8[s]", 2, np.timedelta64(5, "s")),
        (5.0, "i2", 3, np.int16(5)),
        ("Infinity", ">f4", 2, np.float32(np.inf)),
        (5, ">f4", 2, np.float32(5)),
        ([1, "NaN"], ">c8", 2, np.complex64(complex(1, np.nan))),
        (3, "c8", 2, np.complex64(3)),
        (1, "?", 2, np.True_),
        ("AQAAAAAAAAAAAAAA", RECORD, 3, np.array((1, 0.0), RECORD)[()]),
    ],
    ids=str,
)
def test_json_forms(value: Any, dtype: Any, zarr_format: Any, expected: Any) -> None:
    assert equal(from_json(value, dtype, None, zarr_format), expected)


@pytest.mark.parametrize(
    ("value", "dtype", "zarr_format", "problem"),
    [
        ("YWJjZA==", "S3", 2, '"YWJjZA==" is longer than the data type'),
        (5, "V2", 2, "expected base64, found 5"),
        (0, "V2", 3, "expected base64, found 0"),
        (False, "V2", 2, "expected base64, found false"),
        ([1, 2], "V2", 2, "expected base64, found [1, 2]"),
        ({}, "V2", 3, "expected base64, found {}"),
        ([1, -1], "V2", 3, "expected a list of bytes, found [1, -1]"),
        ([1, 256], "V2", 3, "expected a list of bytes, found [1, 256]"),
        ([1, "a"], "V2", 3, 'expected a list of bytes, found [1, "a"]'),
        ([1, True], "V2", 3, "expected a list of bytes, found [1, true]"),
        (2**63, "M8[s]", 3, f"expected a 64-bit integer or 'NaT', found {2**63}"),
        (-(2**63) - 1, "M8[s]", 3, f"expected a 64-bit integer or 'NaT', found {-(2**63) - 1}"),
        (0.5, "m8[s]", 2, "expected a 64-bit integer or 'NaT', found 0.5"),
        (True, "m8[s]", 2, "expected a 64-bit integer or 'NaT', found true"),
        (5, "c8", 3, "expected [real, imaginary], found 5"),
        ([1, 2, 3], "c8", 2, "expected [real, imaginary], found [1, 2, 3]"),
        ("5", "i2", 2, 'expected an integer, found "5"'),
        (1, "?", 3, "expected true or false, found 1"),
        (5, "U3", 2, "expected a string, found 5"),
        (0, "U3", 3, "expected a string, found 0"),
        ({"a": 1, "b": 2}, RECORD, 2, 'expected base64, found {"a": 1, "b": 2}'),
        ({"a": 1}, RECORD, 3, 'expected the fields a, b, found {"a": 1}'),
        ("AQ==", RECORD, 3, '"AQ==" is 1 bytes, expected 12'),
    ],
    ids=str,
)
def test_json_that_is_refused(value: Any, dtype: Any, zarr_format: Any, problem: str) -> None:
    kind = np.dtype(dtype)
    assert from_json(value, dtype, None, zarr_format) == [
        f"fill: {problem} (the data type is {kind})"
    ]


def test_problems_of_fields_have_their_place_and_type() -> None:
    nested = np.dtype([("n", RECORD), ("c", "S2")])
    assert from_json({"n": {"a": 0.5, "b": 0}, "c": ""}, nested) == [
        "fill.n.a: expected an integer, found 0.5 (the data type is int32)"
    ]
    assert from_json({"n": {"a": 1, "b": 0}, "c": "YWJj"}, nested) == [
        'fill.c: "YWJj" is longer than the data type (the data type is |S2)'
    ]
    assert from_json({"n": {"a": 1}, "c": ""}, nested)[0].endswith(f"(the data type is {RECORD})")


@pytest.mark.parametrize(
    ("value", "serializer", "expected"),
    [
        ("a", "vlen-utf8", np.str_("a")),
        ("YQ==", "vlen-bytes", np.bytes_(b"a")),
        (0, "vlen-bytes", np.bytes_(b"")),
        (True, "numcodecs.json2", np.True_),
        (0.5, "numcodecs.json2", np.float64(0.5)),
        ("x", None, np.str_("x")),
        (2**63 - 1, None, np.int64(2**63 - 1)),
        (-(2**63), None, np.int64(-(2**63))),
    ],
)
def test_fill_values_of_objects(value: Any, serializer: str | None, expected: Any) -> None:
    assert equal(from_json(value, OBJECT, serializer, 2), expected)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, [1], {}])
def test_objects_that_are_no_scalar(value: Any) -> None:
    (problem,) = from_json(value, OBJECT, "numcodecs.json2", 2)
    assert problem.startswith("fill: expected a scalar, found ")
    assert problem.endswith("(the data type is object)")


@pytest.mark.parametrize(
    ("value", "serializer", "name"), [(5, "vlen-utf8", "string"), (5, "vlen-bytes", "bytes")]
)
def test_variable_lengths_by_their_name(value: Any, serializer: str, name: str) -> None:
    (problem,) = from_json(value, OBJECT, serializer, 2)
    assert problem.endswith(f"(the data type is {name})")
    with pytest.raises(ValueError, match=f"^5 is no {name} value$"):
        fill.from_user(value, OBJECT, serializer)


@pytest.mark.parametrize(
    ("value", "dtype", "zarr_format", "expected"),
    [
        (np.float32(-np.inf), "f4", 3, "-Infinity"),
        (np.float32(np.inf), "f4", 2, "Infinity"),
        (np.float32(1.5), ">f4", 2, 1.5),
        (np.complex64(complex(1, -np.inf)), ">c8", 3, [1.0, "-Infinity"]),
        (np.datetime64(5, "s"), ">M8[s]", 2, 5),
        (np.int16(5), ">i2", 2, 5),
        (np.True_, "?", 3, True),
        (np.str_("a"), "U3", 3, "a"),
        (np.bytes_(b"a"), "S3", 3, "YQ=="),
        (np.void(b"ab"), "V2", 2, "YWI="),
        (np.array((1, 0.5), RECORD)[()], RECORD, 3, {"a": 1, "b": 0.5}),
        (np.array((1, 0.0), RECORD)[()], RECORD, 2, "AQAAAAAAAAAAAAAA"),
        (np.bytes_(b"a"), "O", 2, "YQ=="),
        (np.int64(3), "O", 2, 3),
        (np.str_("a"), "O", 2, "a"),
        (None, "f4", 2, None),
    ],
    ids=str,
)
def test_written_forms(value: Any, dtype: Any, zarr_format: Any, expected: Any) -> None:
    found = fill.to_json(value, np.dtype(dtype), zarr_format)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "dtype", "serializer", "expected"),
    [
        (b"ab", "S3", None, np.bytes_(b"ab")),
        (bytearray(b"abc"), "S3", None, np.bytes_(b"abc")),
        (b"ab", "V2", None, np.void(b"ab")),
        (b"", "V2", None, np.void(b"\0\0")),
        (0.0, "V2", None, np.void(b"\0\0")),
        (np.int8(0), "S2", None, np.bytes_(b"")),
        (0, "U2", None, np.str_("")),
        ("ab", "U2", None, np.str_("ab")),
        (True, "i2", None, np.int16(1)),
        (3.0, "i2", None, np.int16(3)),
        (2, "f4", None, np.float32(2)),
        (5, "M8[s]", None, np.datetime64(5, "s")),
        ("NaT", "m8[s]", None, np.timedelta64("NaT", "s")),
        ("a", "O", "vlen-utf8", np.str_("a")),
        (0, "O", "vlen-utf8", np.str_("")),
        (b"a", "O", "vlen-bytes", np.bytes_(b"a")),
        (0, "O", "vlen-bytes", np.bytes_(b"")),
        (5, "O", None, np.int64(5)),
        (np.float32(0.5), "O", None, np.float32(0.5)),
        (0, RECORD, None, np.zeros((), RECORD)[()]),
        ((3, 0.5), RECORD, None, np.array((3, 0.5), RECORD)[()]),
        ([3, 0.5], RECORD, None, np.array((3, 0.5), RECORD)[()]),
    ],
    ids=str,
)
def test_what_users_give(value: Any, dtype: Any, serializer: str | None, expected: Any) -> None:
    assert equal(fill.from_user(value, np.dtype(dtype), serializer), expected)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (b"a", "V2", r"b'a' is no |V2 value: 1 bytes for 2"),
        (b"abc", "V2", r"b'abc' is no |V2 value: 3 bytes for 2"),
        (b"abc", "S2", r"b'abc' is no |S2 value: 3 bytes for 2"),
        (1, "S2", "1 is no |S2 value"),
        ("é", "S2", "'é' is no |S2 value"),
        (1, RECORD, f"1 is no {RECORD} value"),
        ((1,), RECORD, f"(1,) is no {RECORD} value"),
        (np.zeros(2, RECORD), RECORD, ...),
        ("x" * 80, "i2", f"'{'x' * 56}... is no int16 value"),
        (0.5, "M8[s]", "0.5 is no datetime64[s] value"),
        (0.5, "m8[s]", "0.5 is no timedelta64[s] value"),
        (np.timedelta64(1, "s"), "M8[s]", "np.timedelta64(1,'s') is no datetime64[s] value"),
        (np.timedelta64(1, "s"), "c8", "np.timedelta64(1,'s') is no complex64 value"),
        (np.timedelta64(1, "s"), "f4", "np.timedelta64(1,'s') is no float32 value"),
        ("1", "u1", "'1' is no uint8 value"),
        (1, "U1", "1 is no <U1 value"),
        (1j, "f4", "1j is no float32 value"),
        ("abc", "U2", "'abc' is no <U2 value: it does not fit"),
        (1.5, "u1", "1.5 is no uint8 value: it does not fit"),
        (1.5, "?", "1.5 is no bool value: it does not fit"),
    ],
    ids=str,
)
def test_what_users_may_not_give(value: Any, dtype: Any, message: Any) -> None:
    with pytest.raises(ValueError, match=" is no ") as caught:
        fill.from_user(value, np.dtype(dtype), None)
    if message is ...:
        assert str(caught.value).endswith(": it is not a scalar")
    else:
        assert str(caught.value) == message


def test_what_is_too_large_for_a_float_is_infinite() -> None:
    with np.errstate(all="raise"):
        assert equal(fill.from_user(1e300, np.dtype("f4"), None), np.float32(np.inf))
        assert equal(from_json(1e300, ">f4"), np.float32(np.inf))


def test_a_record_is_apart_from_the_callers() -> None:
    given = np.array((1, 0.5), RECORD)
    for value in (given, given[()]):
        found = fill.from_user(value, RECORD, None)
        value["a"] = 9
        assert found.item() == (1, 0.5)
        value["a"] = 1


@pytest.mark.parametrize(
    ("dtype", "serializer", "expected"),
    [
        (OBJECT, "vlen-bytes", np.bytes_(b"")),
        (OBJECT, "vlen-utf8", np.str_("")),
        (dtypes.STRING, None, np.str_("")),
        ("M8[s]", None, np.datetime64("NaT", "s")),
        (">m8[us]", None, np.timedelta64("NaT", "us")),
        (">f4", None, np.float32(0)),
        ("?", None, np.False_),
        (RECORD, None, np.zeros((), RECORD)[()]),
    ],
    ids=str,
)
def test_defaults(dtype: Any, serializer: str | None, expected: Any) -> None:
    assert equal(fill.default(np.dtype(dtype), serializer), expected)


def test_elements_of_missing_chunks() -> None:
    for value, dtype, serializer, expected in (
        (None, dtypes.STRING, None, ""),
        (None, OBJECT, "vlen-utf8", ""),
        (None, OBJECT, "vlen-bytes", b""),
        (None, OBJECT, "json2", None),
        (np.str_("a"), OBJECT, "vlen-utf8", "a"),
        (np.str_("a"), dtypes.STRING, None, "a"),
        (np.bytes_(b"a"), OBJECT, "vlen-bytes", b"a"),
        (None, np.dtype("i4"), None, np.int32(0)),
        (np.int32(3), np.dtype("i4"), None, np.int32(3)),
    ):
        found = fill.read_as(value, dtype, serializer)
        assert found == expected
        assert type(found) is type(expected)
    assert fill.read_as(None, RECORD, None).item() == (0, 0.0)


def test_equal_fill_values() -> None:
    floats = np.dtype("<f8")
    assert fill.same(None, None, floats)
    for value in (np.float64(0), np.float64("nan")):
        assert not fill.same(None, value, floats)
        assert not fill.same(value, None, floats)
        assert fill.same(value, value, floats)
    assert not fill.same(np.float64(0.0), np.float64(-0.0), floats)
    assert fill.same(np.int64(1), np.int64(1), OBJECT)
    assert not fill.same(np.int64(1), np.int64(2), OBJECT)
    assert not fill.same(np.int64(1), np.bool_(True), OBJECT)


def test_strings_of_any_length() -> None:
    assert equal(from_json("a", dtypes.STRING), np.str_("a"))
    assert equal(fill.from_user("a", dtypes.STRING, None), np.str_("a"))
    assert from_json(5, dtypes.STRING)[0].startswith("fill: expected a string, found 5")
    with pytest.raises(ValueError, match="^5 is no "):
        fill.from_user(5, dtypes.STRING, None)


def test_ml_types() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    small = np.dtype(ml_dtypes.int4)
    for given in (-8, 7, 3.0):
        found = fill.from_user(given, small, None)
        assert found == from_json(given, small) == given
        written = fill.to_json(found, small, 3)
        assert (type(written), written) == (int, given)
    for wrong in (-9, 8, 0.5, "x"):
        with pytest.raises(ValueError, match="is no int4 value"):
            fill.from_user(wrong, small, None)
    assert from_json(8, small) == ["fill: 8 is out of range (the data type is int4)"]
    scale = np.dtype(ml_dtypes.float8_e8m0fnu)
    assert float(from_json(2.0, scale)) == 2.0
    assert from_json(0, scale) == np.zeros((), scale)[()] != 2.0
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    assert np.signbit(float(from_json(-0.0, bfloat16)))
    assert fill.to_json(from_json("-Infinity", bfloat16), bfloat16, 3) == "-Infinity"
    assert fill.to_json(from_json("0x7fc1", bfloat16), bfloat16, 3) == "0x7fc1"
    assert fill.to_json(from_json("NaN", bfloat16), bfloat16, 3) == "NaN"
