"""Details of metadata that mutation tests found untested: defaults, bounds, kept fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr.errors import MetadataError
from cuzarr.meta import codec_specs, default_chunks, fill, v2, v3
from cuzarr.meta.chunking import default_shards
from cuzarr.meta.consolidated import Consolidated
from cuzarr.meta.ml_types import BITS
from cuzarr.meta.problems import Problems
from cuzarr.meta.spec import ChunkKeyEncoding, CodecSpec, GroupSpec


def zarray(**changes: Any) -> dict[str, Any]:
    return {
        "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None, **changes,
    }  # fmt: skip


# Data types


def test_bits_of_small_types() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name, bits in BITS.items():
        kind = getattr(ml_dtypes, name)
        info = ml_dtypes.iinfo if "int" in name else ml_dtypes.finfo
        assert info(kind).bits == bits, name


# Fill values


def test_elements_of_fill_values() -> None:
    assert fill.read_as(None, np.dtype("<i4"), None) == 0
    assert fill.read_as(np.int32(3), np.dtype("<i4"), None) == 3
    assert fill.read_as(None, np.dtype("O"), "vlen-utf8") == ""
    assert fill.read_as(None, np.dtype("O"), "vlen-bytes") == b""
    assert fill.read_as(None, np.dtype("O"), "json2") is None
    assert type(fill.read_as(np.str_("a"), np.dtype("O"), "vlen-utf8")) is str
    for moment in ("<M8[ns]", ">m8[10s]"):  # as zarr-python 3 reads what has no fill value
        assert np.isnat(fill.read_as(None, np.dtype(moment), None))


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f8", "c16"])
def test_large_integers_as_fill_values_of_floats(dtype: str) -> None:
    for value in (2**63, 10**30, -(10**30)):
        with np.errstate(over="ignore"):
            expected = np.dtype(dtype).newbyteorder("=").type(float(value))
        assert fill.from_user(value, np.dtype(dtype), None) == expected
    with pytest.raises(ValueError, match="value"):
        fill.from_user(10**400, np.dtype(dtype), None)


def test_equal_fill_values() -> None:
    objects, floats = np.dtype("O"), np.dtype("<f8")
    assert fill.same(None, None, floats)
    assert not fill.same(None, np.float64(0), floats)
    assert fill.same(np.float64("nan"), np.float64("nan"), floats)
    assert not fill.same(np.float64(0.0), np.float64(-0.0), floats)
    assert fill.same(np.int64(1), np.int64(1), objects)
    assert not fill.same(np.int64(1), np.bool_(True), objects)


@pytest.mark.parametrize(
    ("value", "dtype", "zarr_format", "expected"),
    [
        (3.0, "<M8[s]", 3, np.datetime64(3, "s")),
        (-2.0, "<m8[ms]", 2, np.timedelta64(-2, "ms")),
        (0, "V3", 2, np.void(b"\0\0\0")),
        ([1, 2, 3], "V3", 3, np.void(b"\1\2\3")),
    ],
)
def test_other_ways_to_write_fill_values(
    value: Any, dtype: str, zarr_format: Any, expected: Any
) -> None:
    problems = Problems("k")
    found = fill.from_json(value, np.dtype(dtype), None, zarr_format, "fill_value", problems)
    assert problems.found == []
    assert found == expected
    assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (0.5, "<M8[s]", "expected a 64-bit integer or 'NaT', found 0.5"),
        ({"a": 1}, [("a", "<i4"), ("b", "<f8")], "expected the fields a, b, found"),
        ({"a": 1, "b": 2, "c": 3}, [("a", "<i4"), ("b", "<f8")], "expected the fields a, b, found"),
        ([1, 256, 3], "V3", "expected a list of bytes"),
        ("AQI", "V3", "is not base64: Incorrect padding"),
        (5, "V3", "expected base64, found 5"),
    ],
)
def test_fill_values_that_are_refused(value: Any, dtype: Any, message: str) -> None:
    problems = Problems("k")
    assert fill.from_json(value, np.dtype(dtype), None, 3, "fill_value", problems) is None
    assert len(problems.found) == 1
    assert message in problems.found[0]


def test_payloads_of_nan_are_kept_in_v3_alone() -> None:
    payload = np.array([0x7FC12345], "u4").view("f4")[0]
    assert fill.to_json(payload, np.dtype("f4"), 3) == "0x7fc12345"
    assert fill.to_json(payload, np.dtype("f4"), 2) == "NaN"
    assert fill.to_json(np.float32("nan"), np.dtype("f4"), 3) == "NaN"


# Codecs


def test_serializers_and_bytes_codecs() -> None:
    serializers = ["bytes", "packbits", "sharding_indexed", "vlen-utf8", "numcodecs.pcodec"]
    assert all(codec_specs.is_serializer(CodecSpec(name, {})) for name in serializers)
    assert not codec_specs.is_serializer(CodecSpec("zstd", {}))
    of_bytes = "blosc lz4 bz2 lzma crc32 adler32 fletcher32 jenkins_lookup3 base64".split()
    assert all(codec_specs.is_bytes_codec(CodecSpec(f"numcodecs.{i}", {})) for i in of_bytes)
    assert not codec_specs.is_bytes_codec(CodecSpec("numcodecs.delta", {}))


def test_defaults_of_v2_codecs() -> None:
    spec = v2.parse_array(
        zarray(compressor={"id": "blosc"}, filters=[{"id": "shuffle"}]), None, ".zarray"
    )
    by_name = {codec.name: codec.configuration for codec in spec.codecs}
    assert by_name["numcodecs.shuffle"] == {"elementsize": 4}
    blosc = numcodecs.Blosc()
    assert by_name["blosc"]["cname"] == blosc.cname
    assert by_name["blosc"]["clevel"] == blosc.clevel
    assert v2.documents(spec)[".zarray"]["compressor"] == {"id": "blosc"}


def test_a_string_codec_is_given_once() -> None:
    z = cuzarr.create_array(None, shape=2, dtype=str, zarr_format=2, filters=[numcodecs.VLenUTF8()])
    assert z.filters == [numcodecs.VLenUTF8()]


def test_codecs_beside_a_whole_chain_are_named() -> None:
    chain = [{"name": "bytes", "configuration": {"endian": "little"}}]
    for name in ("filters", "serializer", "compressors", "compressor"):
        with pytest.raises(MetadataError, match=f"- {name}: cannot be given together"):
            cuzarr.create_array(None, shape=2, dtype="i4", codecs=chain, **{name: None})


def test_the_byte_order_of_what_cast_value_makes() -> None:
    cast = {"name": "cast_value", "configuration": {"data_type": "uint8"}}
    z = cuzarr.create_array(None, data=np.arange(4), filters=[cast], compressors=None)
    assert bytes(z.store.get("c/0")) == bytes(range(4))
    np.testing.assert_array_equal(z[...], np.arange(4))


def test_text_of_a_type_that_is_no_object() -> None:
    z = cuzarr.open_array(_store(zarray(filters=[{"id": "vlen-utf8"}])))
    assert z.dtype == "i4"
    z.store.set("0", b"\1\0\0\0\1\0\0\0a")
    with pytest.raises(cuzarr.errors.ChunkDecodeError, match="'0'"):
        z[...]


# Documents


def test_a_changed_type_is_written() -> None:
    document = v3.document(cuzarr.zeros(3, dtype="i4").metadata)
    spec = v3.parse(document, "zarr.json")
    assert v3.document(replace(spec, dtype=np.dtype("<i8")))["data_type"] == "int64"
    old = v2.parse_array(zarray(), None, ".zarray")
    assert v2.documents(replace(old, dtype=np.dtype("<i8")))[".zarray"]["dtype"] == "<i8"


def test_groups_are_equal_whatever_is_consolidated() -> None:
    empty = Consolidated.from_v3({"kind": "inline", "metadata": {}}, "zarr.json")
    assert GroupSpec(consolidated=empty) == GroupSpec()


def test_consolidated_members_are_sorted_and_below() -> None:
    group = {"zarr_format": 3, "node_type": "group"}
    metadata = {"kind": "inline", "must_understand": False, "metadata": {"b": group, "a": group}}
    store = cuzarr.MemoryStore()
    store.set("zarr.json", cuzarr.meta.dump_json({**group, "consolidated_metadata": metadata}))
    assert list(cuzarr.open_consolidated(store)) == ["a", "b"]
    for path in (".", "a/.", "a/./b", "..", "a//b", ""):
        with pytest.raises(MetadataError, match="not the path of a member"):
            Consolidated.from_v3({"kind": "inline", "metadata": {path: group}}, "zarr.json")


def test_chunks_that_are_no_chunks() -> None:
    with pytest.raises(MetadataError, match="chunks"):
        cuzarr.create_array(None, shape=4, dtype="i4", chunks="large")
    assert default_chunks((0, 3), 4) == (1024, 3)


def test_a_shard_is_no_larger_than_the_array() -> None:
    assert default_shards((10, 7), (5, 7), 1) == (10, 7)
    assert default_shards((10, 7), (5, 7), 1, target=1) == (5, 7)
    assert default_shards((100,), (3,), 4, target=60) == (12,)


@pytest.mark.parametrize(
    ("name", "separator", "keys"),
    [
        ("default", "/", ["c", "c/3", "c/0/12"]), ("default", ".", ["c", "c.3", "c.0.12"]),
        ("v2", ".", ["0", "3", "0.12"]), ("v2", "/", ["0", "3", "0/12"]),
    ],
)  # fmt: skip
def test_keys_of_chunks(name: Any, separator: Any, keys: list[str]) -> None:
    encoding = ChunkKeyEncoding(name, separator)
    coords: list[tuple[int, ...]] = [(), (3,), (0, 12)]
    assert [encoding.encode(at) for at in coords] == keys
    spec = cuzarr.create_array({}, shape=(4,), chunks=(2,), dtype="i4").metadata
    assert spec.chunk_key_encoding is spec.key_encoding
    assert spec.encode_chunk_key((1,)) == "c/1"


def _store(document: dict[str, Any]) -> cuzarr.MemoryStore:
    store = cuzarr.MemoryStore()
    store.set(".zarray", cuzarr.meta.dump_json(document))
    return store
