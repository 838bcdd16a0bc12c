""".zarray, .zgroup and .zattrs: every field, both directions, and every refusal by its message."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta import dtypes, dump_json, load_json, v2
from cuzarr.meta.spec import ArraySpec, ChunkKeyEncoding, CodecSpec, GroupSpec

BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}


def zarray(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "zarr_format": 2,
        "shape": [10, 20],
        "chunks": [5, 7],
        "dtype": "<f4",
        "compressor": BLOSC,
        "fill_value": 0.0,
        "order": "C",
        "filters": None,
    }
    document.update(changes)
    return {name: value for name, value in document.items() if value is not ...}


def parse(**changes: Any) -> ArraySpec:
    return v2.parse_array(zarray(**changes), None, "a/.zarray")


def problems_of(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(MetadataError) as caught:
        parse(**changes)
    assert caught.value.key == "a/.zarray"
    return caught.value.problems


def rewritten(spec: ArraySpec) -> dict[str, Any]:
    """The document of the facts alone, without the one that was read."""
    return v2.documents(replace(spec, document={}))[".zarray"]


def test_array() -> None:
    spec = v2.parse_array(zarray(), {"units": "K"}, "a/.zarray")
    assert (spec.shape, spec.chunk_shape, spec.dtype) == ((10, 20), (5, 7), np.dtype("<f4"))
    assert isinstance(spec.fill_value, np.float32)
    assert spec.key_encoding == ChunkKeyEncoding("v2", ".")
    assert spec.attributes == {"units": "K"}
    assert (spec.order, spec.zarr_format, spec.dimension_names) == ("C", 2, None)
    blosc = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}
    assert spec.codecs == (CodecSpec("bytes", {"endian": "little"}), CodecSpec("blosc", blosc))


def test_optional_fields() -> None:
    spec = parse(compressor=..., filters=..., order=..., fill_value=..., n5="extra")
    assert spec.codecs == (CodecSpec("bytes", {"endian": "little"}),)
    assert (spec.order, spec.fill_value) == ("C", None)


@pytest.mark.parametrize(
    ("separator", "expected"), [("/", "/"), (".", "."), (None, "."), (..., ".")]
)
def test_dimension_separator(separator: Any, expected: str) -> None:
    spec = parse(dimension_separator=separator)
    assert spec.key_encoding.separator == expected
    assert v2.documents(spec)[".zarray"] == zarray(dimension_separator=separator)
    assert rewritten(spec)["dimension_separator"] == expected


def test_empty_axis_may_have_empty_chunks() -> None:
    assert parse(shape=[0, 20], chunks=[0, 7]).chunk_shape == (1, 7)
    assert problems_of(chunks=[0, 7]) == ("chunks[0]: must be at least 1, found 0",)


TYPES: list[tuple[Any, Any, Any, Any]] = [
    # dtype in the document, fill value in the document, scalar, endian of the bytes codec
    ("|b1", True, np.True_, None),
    ("|b1", 0, np.False_, None),
    ("|i1", -1, np.int8(-1), None),
    ("<u2", 5.0, np.uint16(5), "little"),
    (">i8", -(2**63), np.int64(-(2**63)), "big"),
    ("<f2", "NaN", np.float16(np.nan), "little"),
    (">f4", "-Infinity", np.float32(-np.inf), "big"),
    ("<f8", 1, np.float64(1), "little"),
    ("<f8", float("nan"), np.float64(np.nan), "little"),
    ("<c8", ["NaN", 1.0], np.complex64(complex(np.nan, 1)), "little"),
    (">c16", 2, np.complex128(2), "big"),
    ("<M8[ns]", 7, np.datetime64(7, "ns"), "little"),
    (">M8[10us]", "NaT", np.datetime64("NaT", "10us"), "big"),
    ("<m8[D]", -(2**63), np.timedelta64("NaT", "D"), "little"),
    ("|S3", "", np.bytes_(b""), None),
    ("|S3", "YQ==", np.bytes_(b"a"), None),
    ("|S3", 0, np.bytes_(b""), None),
    ("|V2", "AQI=", np.void(b"\x01\x02"), None),
    ("|V2", 0, np.void(b"\0\0"), None),
    ("<U3", "né", np.str_("né"), "little"),
    (">U3", 0, np.str_(""), "big"),
]


@pytest.mark.parametrize(("dtype", "fill", "scalar", "endian"), TYPES)
def test_dtype_and_fill_value(dtype: str, fill: Any, scalar: Any, endian: str | None) -> None:
    spec = parse(dtype=dtype, fill_value=fill)
    assert spec.dtype.str == dtype
    assert type(spec.fill_value) is type(scalar)
    assert np.asarray(spec.fill_value).tobytes() == np.asarray(scalar).tobytes()
    assert np.asarray(spec.fill_value).dtype == np.asarray(scalar).dtype
    assert spec.codecs[0] == CodecSpec("bytes", {"endian": endian} if endian else {})
    again = v2.parse_array(load_json(dump_json(rewritten(spec)), "k"), None, "k")
    assert again.dtype == spec.dtype
    assert again.codecs == spec.codecs
    assert np.asarray(again.fill_value).tobytes() == np.asarray(spec.fill_value).tobytes()


def test_structured_dtype() -> None:
    dtype = [["a", "<i4"], ["b", ">f8", [2]], ["n", [["s", "|S1"]]]]
    expected = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("n", [("s", "S1")])])
    spec = parse(dtype=dtype, fill_value="AQAAAAAAAAAAAAAAQAQAAAAAAABh")
    assert spec.dtype == expected
    assert spec.fill_value is not None
    value = spec.fill_value.item()
    assert (value[0], value[1].tolist(), value[2]) == (1, [0.0, 2.5], (b"a",))
    assert spec.codecs[0] == CodecSpec("bytes")
    assert rewritten(spec)["dtype"] == dtype
    assert rewritten(spec)["fill_value"] == "AQAAAAAAAAAAAAAAQAQAAAAAAABh"


@pytest.mark.parametrize(
    ("filters", "fill", "serializer", "scalar"),
    [
        ([{"id": "vlen-utf8"}], 0, "vlen-utf8", np.str_("")),
        ([{"id": "vlen-utf8"}], "a", "vlen-utf8", np.str_("a")),
        ([{"id": "vlen-bytes"}], "YQ==", "vlen-bytes", np.bytes_(b"a")),
        ([{"id": "json2", "strict": True}], 0, "numcodecs.json2", np.int64(0)),
        ([{"id": "pickle"}], None, "numcodecs.pickle", None),
    ],
)
def test_objects(filters: Any, fill: Any, serializer: str, scalar: Any) -> None:
    spec = parse(dtype="|O", filters=filters, fill_value=fill)
    assert spec.dtype == (dtypes.STRING if serializer == "vlen-utf8" else np.dtype("O"))
    assert [codec.name for codec in spec.codecs] == [serializer, "blosc"]
    assert spec.codecs[1].configuration["typesize"] == 1
    assert spec.fill_value == scalar
    assert type(spec.fill_value) is type(scalar)
    assert rewritten(spec)["filters"] == filters


@pytest.mark.parametrize(
    ("compressor", "expected"),
    [
        ({"id": "zstd", "level": 3}, CodecSpec("zstd", {"level": 3, "checksum": False})),
        (
            {"id": "zstd", "level": 3, "checksum": True},
            CodecSpec("zstd", {"level": 3, "checksum": True}),
        ),
        ({"id": "gzip", "level": 9}, CodecSpec("gzip", {"level": 9})),
        ({"id": "zlib", "level": 1}, CodecSpec("numcodecs.zlib", {"level": 1})),
        (
            {**BLOSC, "cname": "zstd", "shuffle": 2, "blocksize": 256},
            CodecSpec("blosc", {"cname": "zstd", "clevel": 5, "shuffle": "bitshuffle",
                                "typesize": 4, "blocksize": 256}),
        ),
    ],
)  # fmt: skip
def test_compressor(compressor: dict[str, Any], expected: CodecSpec) -> None:
    spec = parse(compressor=compressor)
    assert spec.codecs == (CodecSpec("bytes", {"endian": "little"}), expected)
    assert rewritten(spec)["compressor"] == compressor
    assert v2.v2_compressor(spec) == compressor
    assert v2.v2_filters(spec) is None


@pytest.mark.parametrize(("dtype", "resolved"), [("<f4", "shuffle"), ("|u1", "bitshuffle")])
def test_blosc_autoshuffle_is_resolved_and_kept(dtype: str, resolved: str) -> None:
    spec = parse(dtype=dtype, compressor={**BLOSC, "shuffle": -1}, fill_value=0)
    assert spec.codecs[1].configuration["shuffle"] == resolved
    assert v2.documents(spec)[".zarray"]["compressor"]["shuffle"] == -1
    changed = replace(spec, shape=(11, 20), attributes={"a": 1})
    assert v2.documents(changed)[".zarray"]["compressor"]["shuffle"] == -1
    assert v2.v2_compressor(changed) == {**BLOSC, "shuffle": -1}


def test_blosc_typesize_of_a_large_element() -> None:
    assert parse(dtype="|S300", fill_value="").codecs[1].configuration["typesize"] == 1


def test_order_f_is_a_transpose() -> None:
    spec = parse(order="F")
    assert spec.order == "F"
    assert spec.codecs[0] == CodecSpec("transpose", {"order": [1, 0]})
    assert rewritten(spec)["order"] == "F"
    flat = parse(order="F", shape=[3], chunks=[2])
    assert flat.codecs[0].name == "bytes"
    assert rewritten(flat)["order"] == "F"


DELTA = {"id": "delta", "dtype": "<f4", "astype": ">i2"}
SHUFFLE = {"id": "shuffle", "elementsize": 2}


def test_filters() -> None:
    spec = parse(filters=[DELTA, SHUFFLE], order="F", compressor={"id": "zlib", "level": 1})
    assert [codec.name for codec in spec.codecs] == [
        "transpose",
        "numcodecs.delta",
        "bytes",
        "numcodecs.shuffle",
        "numcodecs.zlib",
    ]
    assert spec.codecs[2].configuration == {"endian": "big"}
    assert spec.codecs[1].configuration == {"dtype": "<f4", "astype": ">i2"}
    assert rewritten(spec) == {
        **zarray(filters=[DELTA, SHUFFLE], order="F", compressor={"id": "zlib", "level": 1}),
        "dimension_separator": ".",
    }
    assert v2.v2_filters(spec) == [DELTA, SHUFFLE]


def test_blosc_typesize_is_that_of_the_filtered_elements() -> None:
    assert parse(filters=[DELTA]).codecs[-1].configuration["typesize"] == 2


def test_filters_without_compressor() -> None:
    spec = parse(filters=[DELTA], compressor=None)
    assert [codec.name for codec in spec.codecs] == ["numcodecs.delta", "bytes"]
    assert (v2.v2_compressor(spec), v2.v2_filters(spec)) == (None, [DELTA])
    assert rewritten(spec)["compressor"] is None
    spec = parse(filters=[SHUFFLE], compressor=None)
    assert [codec.name for codec in spec.codecs] == ["bytes", "numcodecs.shuffle"]
    assert v2.documents(spec)[".zarray"]["filters"] == [SHUFFLE]


def test_empty_list_of_filters_is_kept() -> None:
    spec = parse(filters=[])
    assert v2.documents(spec)[".zarray"]["filters"] == []
    assert v2.v2_filters(spec) is None


@pytest.mark.parametrize("identifier", ["pcodec", "unheard_of"])
def test_compressor_that_takes_the_array(identifier: str) -> None:
    compressor = {"id": identifier, "level": 8}
    spec = parse(compressor=compressor)
    assert spec.codecs == (CodecSpec(f"numcodecs.{identifier}", {"level": 8}),)
    fields = rewritten(spec)
    assert compressor in (fields["compressor"], *(fields["filters"] or ()))
    behind = parse(compressor={"id": "unheard_of"}, filters=[{"id": "crc32"}])
    assert [codec.name for codec in behind.codecs] == [
        "bytes", "numcodecs.crc32", "numcodecs.unheard_of",
    ]  # fmt: skip


def test_levels_that_v3_does_not_know() -> None:
    for compressor in ({"id": "gzip", "level": -1}, {"id": "zstd", "level": 100}):
        spec = parse(compressor=compressor)
        name = f"numcodecs.{compressor['id']}"
        assert spec.codecs[1] == CodecSpec(name, {"level": compressor["level"]})
        assert rewritten(spec)["compressor"] == compressor


def test_documents_of_an_array() -> None:
    document = zarray(n5={"x": 1}, dimension_separator="/")
    spec = v2.parse_array(document, {"a": 1}, "k")
    assert v2.documents(spec) == {".zarray": document, ".zattrs": {"a": 1}}
    assert list(v2.documents(spec)[".zarray"]) == list(document)
    assert ".zattrs" not in v2.documents(replace(spec, attributes={}))
    changed = replace(spec, shape=(3, 4), fill_value=None)
    assert v2.documents(changed)[".zarray"] == {**document, "shape": [3, 4], "fill_value": None}


def test_changed_codecs_are_written() -> None:
    spec = parse()
    changed = replace(spec, codecs=(spec.codecs[0], CodecSpec("gzip", {"level": 2})))
    assert v2.documents(changed)[".zarray"]["compressor"] == {"id": "gzip", "level": 2}


@pytest.mark.parametrize(
    "codec", [CodecSpec("crc32c"), CodecSpec("sharding_indexed", {"chunk_shape": [1, 1]})]
)
def test_v3_codecs_have_no_v2_form(codec: CodecSpec) -> None:
    spec = parse()
    with pytest.raises(ValueError, match=f"'{codec.name}' does not exist in Zarr v2"):
        v2.documents(replace(spec, codecs=(spec.codecs[0], codec)))


def test_other_transposes_have_no_v2_form() -> None:
    spec = parse(shape=[1, 1, 1], chunks=[1, 1, 1])
    transpose = CodecSpec("transpose", {"order": [1, 0, 2]})
    with pytest.raises(ValueError, match="no transpose but order 'F'"):
        v2.documents(replace(spec, codecs=(transpose, *spec.codecs)))


def test_group() -> None:
    spec = v2.parse_group({"zarr_format": 2, "x": 1}, {"a": 1}, ".zgroup")
    assert spec == GroupSpec({"a": 1}, 2, {"zarr_format": 2, "x": 1})
    assert v2.documents(spec) == {".zgroup": {"zarr_format": 2, "x": 1}, ".zattrs": {"a": 1}}
    assert v2.documents(GroupSpec(zarr_format=2)) == {".zgroup": {"zarr_format": 2}}
    with pytest.raises(MetadataError) as caught:
        v2.parse_group({"zarr_format": 3}, None, "g/.zgroup")
    assert caught.value.problems == ("zarr_format: expected 2, found 3",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"zarr_format": 3}, "zarr_format: expected 2, found 3"),
        ({"zarr_format": ...}, "zarr_format: is missing"),
        ({"shape": ...}, "shape: is missing"),
        ({"shape": [1, None]}, "shape[1]: expected an integer, found null"),
        ({"chunks": ...}, "chunks: is missing"),
        ({"chunks": [5]}, "chunks: has 1 dimensions, but the array has 2"),
        ({"chunks": [5, -1]}, "chunks[1]: must be at least 1, found -1"),
        (
            {"chunks": [2**62, 1]},
            "chunks: one chunk would be 18446744073709551616 bytes, more than 2**63 - 1",
        ),
        ({"dtype": ...}, "dtype: is missing"),
        ({"dtype": 4}, "dtype: expected a typestr or a list of fields, found 4"),
        ({"dtype": "float32"}, "dtype: 'float32' is not a typestr, such as '<f4'"),
        ({"dtype": "f4"}, "dtype: 'f4' does not say its byte order ('<' or '>')"),
        ({"dtype": "|i4"}, "dtype: '|i4' does not say its byte order ('<' or '>')"),
        ({"dtype": "<f16"}, "dtype: '<f16': numbers of that size are not supported"),
        ({"dtype": "|S0"}, "dtype: '|S0': a length from 1 to 2147483647 bytes is needed"),
        (
            {"dtype": "<U999999999"},
            "dtype: '<U999999999': a length from 1 to 2147483647 bytes is needed",
        ),
        ({"dtype": "<f4[ns]"}, "dtype: '<f4[ns]': only datetime64 and timedelta64 have a unit"),
        ({"dtype": "<M8[eon]"}, "dtype: '<M8[eon]': [eon] is not a unit of time"),
        ({"dtype": [["a"]]}, 'dtype[0]: expected [name, dtype], found ["a"]'),
        ({"dtype": [["a", "<f3"]]}, "dtype[0][1]: '<f3': numbers of that size are not supported"),
        (
            {"dtype": [["a", "|O"]]},
            "dtype[0][1]: objects inside a structured type are not supported",
        ),
        (
            {"dtype": [["a", "|u1"], ["a", "|u1"]]},
            "dtype: not a structured type: field 'a' occurs more than once",
        ),
        ({"dtype": [["a", "|u1", [0]]]}, "dtype[0][2]: expected a shape, found [0]"),
        (
            {"dtype": "|O", "fill_value": None},
            "filters: an object data type needs a filter that makes bytes, such as 'vlen-utf8'",
        ),
        ({"dtype": "|O8"}, "dtype: '|O8' is not a typestr: objects are '|O'"),
        (
            {"dtype": [["a", "|V2147483647"], ["b", "|V2"]]},
            ...,
        ),
        (
            {"dtype": "|O", "filters": [{"id": "json2"}], "fill_value": [1]},
            "fill_value: expected a scalar, found [1] (the data type is object)",
        ),
        ({"order": "K"}, "order: expected 'C' or 'F', found \"K\""),
        (
            {"dimension_separator": "-"},
            "dimension_separator: expected '.' or '/', found \"-\"",
        ),
        ({"filters": {"id": "x"}}, 'filters: expected a list or null, found {"id": "x"}'),
        ({"filters": ["delta"]}, 'filters[0]: expected an object with an id, found "delta"'),
        ({"filters": [{}]}, "filters[0].id: expected a string, found none"),
        (
            {"filters": [SHUFFLE, DELTA]},
            "filters[1]: 'delta' works on arrays, but stands after bytes",
        ),
        (
            {"filters": [{"id": "delta", "astype": 4}]},
            "filters[0].astype: expected a data type, found 4",
        ),
        (
            {"filters": [{"id": "delta", "dtype": "<x4"}]},
            'filters[0].astype: expected a data type, found "<x4"',
        ),
        ({"compressor": "lz4"}, 'compressor: expected an object with an id, found "lz4"'),
        (
            {"compressor": {**BLOSC, "cname": "lz5"}},
            "compressor.cname: expected one of blosclz, lz4, lz4hc, snappy, zlib, zstd, "
            'found "lz5"',
        ),
        (
            {"compressor": {**BLOSC, "shuffle": 3}},
            "compressor.shuffle: expected -1, 0, 1 or 2, found 3",
        ),
        (
            {"compressor": {**BLOSC, "clevel": "5"}},
            'compressor.clevel: expected a non-negative integer, found "5"',
        ),
        (
            {"compressor": {"id": "gzip", "level": 1.5}},
            "compressor.level: expected an integer, found 1.5",
        ),
        (
            {"fill_value": "x"},
            "fill_value: expected a number, 'NaN', 'Infinity', '-Infinity' or '0x' with "
            '8 hexadecimal digits, found "x" (the data type is float32)',
        ),
        (
            {"dtype": ">i2", "fill_value": 0.5},
            "fill_value: expected an integer, found 0.5 (the data type is >i2)",
        ),
        (
            {"dtype": "|b1", "fill_value": 2},
            "fill_value: expected true or false, found 2 (the data type is bool)",
        ),
        (
            {"dtype": "|S1", "fill_value": "YWI="},
            'fill_value: "YWI=" is longer than the data type (the data type is |S1)',
        ),
        (
            {"dtype": "<U1", "fill_value": "ab"},
            'fill_value: "ab" is longer than the data type (the data type is <U1)',
        ),
        (
            {"dtype": "|V3", "fill_value": "YWI="},
            'fill_value: "YWI=" is 2 bytes, expected 3 (the data type is |V3)',
        ),
        (
            {"dtype": "<M8[s]", "fill_value": "2020"},
            "fill_value: expected a 64-bit integer or 'NaT', found \"2020\" "
            "(the data type is datetime64[s])",
        ),
    ],
)  # fmt: skip
def test_problem(changes: dict[str, Any], expected: Any) -> None:
    found = problems_of(**changes)
    assert found == (expected,) if expected is not ... else found[0].startswith("dtype: not a")


def test_deep_nesting_is_refused() -> None:
    dtype: Any = "|u1"
    for _ in range(5000):
        dtype = [["a", dtype]]
    assert problems_of(dtype=dtype)[-1] == "the document is nested too deeply"


def test_spec_with_a_broken_document() -> None:
    spec = parse()
    assert rewritten(spec) == v2.documents(replace(spec, document={"zarr_format": 2}))[".zarray"]


@pytest.mark.parametrize(
    ("entry", "after"),
    [
        ({"id": "packbits"}, 1),
        ({"id": "categorize", "labels": ["a"], "dtype": "<f4"}, 1),
        ({"id": "categorize", "labels": ["a"], "dtype": "<f4", "astype": "int16"}, 2),
        ({"id": "astype", "encode_dtype": "f8", "decode_dtype": "<f4"}, 8),
        ({"id": "bitround", "keepbits": 3}, 4),
        ({"id": "quantize", "digits": 1}, 4),
    ],
)
def test_filters_that_change_the_element_size(entry: dict[str, Any], after: int) -> None:
    assert parse(filters=[entry]).codecs[-1].configuration["typesize"] == after


def test_blosc_typesize_may_be_given() -> None:
    assert parse(compressor={**BLOSC, "typesize": 2}).codecs[-1].configuration["typesize"] == 2


def test_bad_base64_is_named() -> None:
    (problem,) = problems_of(dtype="|S3", fill_value="?")
    assert problem.startswith('fill_value: "?" is not base64: ')


def test_bad_attributes() -> None:
    attrs: Any = ["a"]
    with pytest.raises(MetadataError) as caught:
        v2.parse_array(zarray(), attrs, "k")
    assert caught.value.problems == ('attributes: expected an object, found ["a"]',)


def test_all_problems_are_listed_at_once() -> None:
    found = problems_of(
        zarr_format=1, shape=[-1], chunks=..., dtype="<f4", order=1, dimension_separator=1,
        filters=5, compressor={}, fill_value=[],
    )  # fmt: skip
    assert [problem.split(":")[0] for problem in found] == [
        "zarr_format",
        "shape[0]",
        "chunks",
        "order",
        "dimension_separator",
        "filters",
        "compressor.id",
        "fill_value",
    ]
