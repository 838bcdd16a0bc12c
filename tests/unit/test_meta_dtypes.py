"""Data types: which are refused, with what words, and the bounds of those that are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr.meta import codec_specs, dtypes, ml_types
from cuzarr.meta.problems import Problems
from cuzarr.meta.spec import CodecSpec

UNIT = "data_type.configuration.unit: expected a unit of time, found"
FIELDS = "data_type.configuration.fields"


def from_v2(value: Any) -> Any:
    problems = Problems()
    found = dtypes.from_v2(value, "dtype", problems)
    assert (found is None) == bool(problems.found)
    return found if found is not None else problems.found


def from_v3(name: str, **configuration: Any) -> Any:
    problems = Problems()
    value = {"name": name, "configuration": configuration}
    found = dtypes.from_v3(value, "data_type", problems)
    assert (found is None) == bool(problems.found)
    return found[0] if found is not None else problems.found


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ("<M8", "<M8"),
        (">m8[generic]", ">m8"),
        ("<M8[100s]", "<M8[100s]"),
        ("<M8[2147483647s]", "<M8[2147483647s]"),
        ("<m8[μs]", "<m8[us]"),
        ("|b1", "?"),
        ("<b1", "?"),
        ("<i1", "i1"),
        ("<U536870911", "<U536870911"),
        ("|S2147483647", "S2147483647"),
        ("<S3", "S3"),
        ("V3", "V3"),
    ],
)
def test_typestrs(value: str, dtype: str) -> None:
    assert from_v2(value) == np.dtype(dtype)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "dtype: expected a typestr or a list of fields, found []"),
        (None, "dtype: expected a typestr or a list of fields, found null"),
        ({"a": 1}, 'dtype: expected a typestr or a list of fields, found {"a": 1}'),
        ([5], "dtype[0]: expected [name, dtype], found 5"),
        (["ab"], 'dtype[0]: expected [name, dtype], found "ab"'),
        ([[5, "|u1"]], 'dtype[0]: expected [name, dtype], found [5, "|u1"]'),
        ([["a", "|u1", [1], 0]], 'dtype[0]: expected [name, dtype], found ["a", "|u1", [1], 0]'),
        ([["a", "|u1", [2**31]]], f"dtype[0][2]: expected a shape, found [{2**31}]"),
        ([["a", "|u1", [2, 0]]], "dtype[0][2]: expected a shape, found [2, 0]"),
        ([["a", "|u1", [True]]], "dtype[0][2]: expected a shape, found [true]"),
        ([["a", "|u1", 5]], "dtype[0][2]: expected a shape, found 5"),
        ([["a", "|O", [2]]], "dtype[0][1]: objects inside a structured type are not supported"),
        ("|i2", "dtype: '|i2' does not say its byte order ('<' or '>')"),
        ("f2", "dtype: 'f2' does not say its byte order ('<' or '>')"),
        ("|U3", "dtype: '|U3' does not say its byte order ('<' or '>')"),
        ("|M8[s]", "dtype: '|M8[s]' does not say its byte order ('<' or '>')"),
        ("<i", "dtype: '<i': numbers of that size are not supported"),
        ("<i0", "dtype: '<i0': numbers of that size are not supported"),
        ("<u3", "dtype: '<u3': numbers of that size are not supported"),
        ("<f1", "dtype: '<f1': numbers of that size are not supported"),
        ("<c4", "dtype: '<c4': numbers of that size are not supported"),
        ("<m4[s]", "dtype: '<m4[s]': numbers of that size are not supported"),
        ("<M16[s]", "dtype: '<M16[s]': numbers of that size are not supported"),
        ("|b2", "dtype: '|b2': numbers of that size are not supported"),
        ("|S", "dtype: '|S': a length from 1 to 2147483647 bytes is needed"),
        ("|V2147483648", "dtype: '|V2147483648': a length from 1 to 2147483647 bytes is needed"),
        ("<U536870912", "dtype: '<U536870912': a length from 1 to 2147483647 bytes is needed"),
        ("|S00000000001", "dtype: '|S00000000001' is not a typestr, such as '<f4'"),
        ("|O[s]", "dtype: '|O[s]' is not a typestr: objects are '|O'"),
        ("<f8[s]", "dtype: '<f8[s]': only datetime64 and timedelta64 have a unit"),
        ("|S3[s]", "dtype: '|S3[s]': only datetime64 and timedelta64 have a unit"),
        ("<M8[]", "dtype: '<M8[]': [] is not a unit of time"),
        ("<M8[3]", "dtype: '<M8[3]': [3] is not a unit of time"),
        ("<M8[1 s]", "dtype: '<M8[1 s]': [1 s] is not a unit of time"),
        ("<M8[0s]", "dtype: '<M8[0s]': [0s] is not a unit of time"),
        ("<M8[2147483648s]", "dtype: '<M8[2147483648s]': [2147483648s] is not a unit of time"),
        ("<M8[00000000001s]", "dtype: '<M8[00000000001s]': [00000000001s] is not a unit of time"),
    ],
    ids=str,
)
def test_v2_types_that_are_refused(value: Any, problem: str) -> None:
    assert from_v2(value) == [problem]


def test_every_wrong_field_is_named() -> None:
    value = [["a", "|x1"], 5, ["b", "|u1", "c"], ["d", "|u1"]]
    assert from_v2(value) == [
        "dtype[0][1]: '|x1' is not a typestr, such as '<f4'",
        "dtype[1]: expected [name, dtype], found 5",
        'dtype[2][2]: expected a shape, found "c"',
    ]
    fields = [["a", "f9"], 5, ["b", "int8", 3], [1, "int8"], {"name": "c", "data_type": "int8"}]
    assert from_v3("struct", fields=fields) == [
        f"{FIELDS}[0].data_type: the data type 'f9' is not supported",
        f"{FIELDS}[1]: expected a name and a data type, found 5",
        f'{FIELDS}[2]: expected a name and a data type, found ["b", "int8", 3]',
        f"{FIELDS}[3].name: expected a string, found 1",
    ]


@pytest.mark.parametrize("fields", ["ab", 5, None, [], {}])
def test_fields_that_are_no_list(fields: Any) -> None:
    (problem,) = from_v3("struct", fields=fields)
    assert problem.startswith(f"{FIELDS}: expected a list of fields, found ")
    assert from_v3("struct", fields=[["a"]])[0].startswith(f"{FIELDS}[0]: expected a name and")


def test_subarrays() -> None:
    assert from_v2([["a", "<i2", [1]]]) == np.dtype([("a", "<i2", (1,))])
    assert from_v2([["a", "<i2", [3, 100]]]) == np.dtype([("a", "<i2", (3, 100))])
    assert from_v2([["a", "|V1", [2**31 - 1]]]).itemsize == 2**31 - 1
    assert from_v2([["a", "|u1", [2**16, 2**16]]]) == [
        f"dtype: not a structured type: {2**32} bytes per element"
    ]


@pytest.mark.parametrize("last", [1, 2, 3, 7])
def test_types_whose_size_wraps_round(last: int) -> None:
    """NumPy makes of these an element of some bytes, with fields outside it."""
    size = 2 * (2**31 - 1) + last
    problem = f"not a structured type: {size} bytes per element"
    huge = ["|V2147483647", {"name": "raw_bytes", "configuration": {"length_bytes": 2**31 - 1}}]
    fields = [["a", huge[0]], ["b", huge[0]], ["c", f"|V{last}"]]
    assert from_v2(fields) == [f"dtype: {problem}"]
    assert from_v2([["s", fields]]) == [f"dtype[0][1]: {problem}"]
    fields_v3 = [["a", huge[1]], ["b", huge[1]], ["c", f"r{8 * last}"]]
    assert from_v3("struct", fields=fields_v3) == [f"{FIELDS}: {problem}"]


@pytest.mark.parametrize(
    ("name", "configuration", "dtype"),
    [
        ("null_terminated_bytes", {"length_bytes": 2**31 - 1}, "S2147483647"),
        ("raw_bytes", {"length_bytes": 1}, "V1"),
        ("fixed_length_utf32", {"length_bytes": 4}, "U1"),
        ("numpy.datetime64", {"unit": "s"}, "M8[s]"),
        ("numpy.datetime64", {"unit": "s", "scale_factor": 100}, "M8[100s]"),
        ("numpy.timedelta64", {"unit": "ms", "scale_factor": 2**31 - 1}, "m8[2147483647ms]"),
        ("numpy.datetime64", {"unit": "generic"}, "M8"),
        ("numpy.timedelta64", {"unit": "generic", "scale_factor": 1}, "m8"),
        ("numpy.timedelta64", {"unit": "μs"}, "m8[us]"),
        ("r80", {}, "V10"),
        ("complex_float32", {}, "c8"),
        ("complex_float64", {}, "c16"),
    ],
)
def test_v3_types(name: str, configuration: Any, dtype: str) -> None:
    assert from_v3(name, **configuration) == np.dtype(dtype)


@pytest.mark.parametrize(
    ("name", "configuration", "problem"),
    [
        ("raw_bytes", {"length_bytes": 0},
         "data_type.configuration.length_bytes: expected a positive integer, found 0"),
        ("null_terminated_bytes", {"length_bytes": 2**31},
         f"data_type.configuration.length_bytes: expected a positive integer, found {2**31}"),
        ("fixed_length_utf32", {"length_bytes": "4"},
         'data_type.configuration.length_bytes: expected a positive integer, found "4"'),
        ("fixed_length_utf32", {"length_bytes": 6},
         "data_type.configuration.length_bytes: must be a multiple of 4, found 6"),
        ("numpy.datetime64", {}, f"{UNIT} null"),
        ("numpy.datetime64", {"unit": "parsec"}, f'{UNIT} "parsec"'),
        ("numpy.datetime64", {"unit": ["s"]}, f'{UNIT} ["s"]'),
        ("numpy.datetime64", {"unit": "s", "scale_factor": 0},
         "data_type.configuration.scale_factor: expected a positive integer, found 0"),
        ("numpy.datetime64", {"unit": "s", "scale_factor": 2**31},
         f"data_type.configuration.scale_factor: expected a positive integer, found {2**31}"),
        ("numpy.datetime64", {"unit": "s", "scale_factor": "2"},
         'data_type.configuration.scale_factor: expected a positive integer, found "2"'),
        ("r12", {}, "data_type: 'r12': raw bits come in multiples of 8"),
        ("r0", {}, "data_type: the data type 'r0' is not supported"),
        ("r12345678901", {}, "data_type: the data type 'r12345678901' is not supported"),
    ],
)  # fmt: skip
def test_v3_types_that_are_refused(name: str, configuration: Any, problem: str) -> None:
    assert from_v3(name, **configuration) == [problem]


@pytest.mark.parametrize("kind", "biufcmM")
def test_sizes_of_numbers(kind: str) -> None:
    known = {"b": [1], "i": [1, 2, 4, 8], "u": [1, 2, 4, 8], "f": [2, 4, 8], "c": [8, 16]}
    for size in range(18):
        found = from_v2(f"<{kind}{size}")
        if size in known.get(kind, [8]):
            assert found == np.dtype(f"<{kind}{size}")
            if kind not in "mM":
                assert from_v3(str(found)) == found
                assert dtypes.to_v3(found) == str(found)
        else:
            assert found == [f"dtype: '<{kind}{size}': numbers of that size are not supported"]


@pytest.mark.parametrize("unit", "Y M W D h m s ms us ns ps fs as".split())
def test_units_of_time(unit: str) -> None:
    for code, name in (("M8", "numpy.datetime64"), ("m8", "numpy.timedelta64")):
        dtype = np.dtype(f"<{code}[7{unit}]")
        assert from_v2(f"<{code}[7{unit}]") == dtype
        assert from_v3(name, unit=unit, scale_factor=7) == dtype
        assert dtypes.to_v3(dtype) == {
            "name": name, "configuration": {"unit": unit, "scale_factor": 7},
        }  # fmt: skip


@pytest.mark.parametrize("dtype", ["S", "U", "V", "g", "O"])
def test_types_without_a_v3_form(dtype: str) -> None:
    with pytest.raises(ValueError, match="v3 data type"):
        dtypes.to_v3(np.dtype(dtype))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ("<f4", "<f4"), (">i2", ">i2"), ("|u1", "u1"), ("f4", "<f4"), ("=f8", "<f8"),
        ("int16", "i2"), ("<M8[s]", "<M8[s]"), ("S3", "S3"), ("", None), ("|O", None), ("x", None),
        ("Xf4", None), (5, None), (None, None), (["<f4"], None),
    ],
)  # fmt: skip
def test_types_of_elements(value: Any, dtype: str | None) -> None:
    found = dtypes.element_type(value)
    assert found == (None if dtype is None else np.dtype(dtype))
    assert found is not None or dtype is None


def test_strings_of_any_length() -> None:
    assert dtypes.is_string(np.dtypes.StringDType())
    for other in (np.dtype("U3"), np.dtype("O"), "T", None, np.dtypes.StringDType):
        assert not dtypes.is_string(other)


def test_native() -> None:
    assert dtypes.native(np.dtype(">f4")) == np.dtype("f4")
    assert dtypes.native(np.dtype([("a", ">f4")])) == np.dtype([("a", "f4")])
    for dtype in (np.dtype("O"), np.dtypes.StringDType(na_object=None)):
        assert dtypes.native(dtype) is dtype


def test_ml_types() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name, limits in {
        "int2": (-2, 1), "uint2": (0, 3), "int4": (-8, 7), "uint4": (0, 15),
    }.items():  # fmt: skip
        integer = np.dtype(getattr(ml_dtypes, name))
        assert ml_types.is_integer(integer)
        assert ml_types.integer_limits(integer) == limits
    bfloat16 = np.dtype(ml_dtypes.bfloat16)
    assert dtypes.native(bfloat16) == bfloat16
    assert codec_specs.bytes_codecs(bfloat16) == [CodecSpec("bytes", {"endian": "little"})]
    for name in ("int4", "float8_e5m2"):
        dtype = np.dtype(getattr(ml_dtypes, name))
        assert ml_types.is_integer(dtype) == (name == "int4")
        assert codec_specs.bytes_codecs(dtype) == [CodecSpec("bytes")]
        assert dtypes.to_v2(dtype) == dtypes.to_v3(dtype) == name


def test_variable_lengths() -> None:
    for name, dtype, serializer in (
        ("string", dtypes.STRING, "vlen-utf8"),
        ("variable_length_bytes", np.dtype("O"), "vlen-bytes"),
        ("bytes", np.dtype("O"), "vlen-bytes"),
    ):
        assert dtypes.from_v3(name, "data_type", Problems()) == (dtype, serializer)
    for serializer, name in (("vlen-utf8", "string"), ("vlen-bytes", "variable_length_bytes")):
        assert dtypes.to_v3(np.dtype("O"), serializer) == name
    assert dtypes.to_v3(np.dtypes.StringDType()) == "string"
