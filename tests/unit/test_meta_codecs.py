"""Codec chains: what each argument becomes in both formats, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numcodecs
import numpy as np
import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta import codec_specs, v2
from cuzarr.meta.codec_args import sharding
from cuzarr.meta.create import new_array_spec
from cuzarr.meta.problems import Problems
from cuzarr.meta.spec import ArraySpec, CodecSpec
from tests.unit.test_meta_create import LITTLE, ZSTD, problems_of
from tests.unit.test_meta_v2 import parse, rewritten
from tests.unit.test_meta_v2 import problems_of as problems_of_v2

DELTA = {"id": "delta", "dtype": "<f4", "astype": "<i2"}
BLOSC = {"name": "blosc", "configuration": {"cname": "lz4"}}


def codecs(shape: Any = (4,), dtype: Any = "f4", **arguments: Any) -> tuple[CodecSpec, ...]:
    return new_array_spec(shape, dtype, **arguments).codecs


def names(found: tuple[CodecSpec, ...]) -> list[str]:
    return [codec.name for codec in found]


# Arguments of new arrays


def test_order_f_of_one_dimension_is_no_transpose() -> None:
    assert codecs(order="F") == codecs(order="C") == (LITTLE, ZSTD)
    assert names(codecs((4, 4), order="F")) == ["transpose", "bytes", "zstd"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"object_codec": 5}, "object_codec: expected a codec, found 5"),
        ({"serializer": 5}, "serializer: expected a codec, found 5"),
        ({"filters": 5}, "filters[0]: expected a codec, found 5"),
        ({"filters": np.arange(2)}, "filters[0]: expected a codec, found a ndarray"),
        ({"compressors": [ZSTD, 5]}, "compressors[1]: expected a codec, found 5"),
        ({"codecs": [LITTLE, 5]}, "codecs[1]: expected a codec, found 5"),
        ({"object_codec": 5, "zarr_format": 2, "dtype": "O"},
         "object_codec: expected a codec, found 5"),
        ({"compressor": 5, "zarr_format": 2}, "compressor: expected a codec, found 5"),
        ({"filters": [DELTA, 5], "zarr_format": 2}, "filters[1]: expected a codec, found 5"),
        ({"compressor": {"id": "zlib", "name": "x"}}, "compressors[0].id: is not known here"),
        ({"compressor": {"id": "zlib", "name": "x"}, "zarr_format": 2},
         "compressor.id: is not known here"),
        ({"compressor": {"x": 1}, "zarr_format": 2},
         "compressor.name: expected a string, found none"),
        ({"compressor": {"id": ""}}, 'compressors[0].id: expected a string, found ""'),
        ({"compressor": {"id": 5}}, "compressors[0].id: expected a string, found 5"),
        ({"dtype": str, "codecs": ["bytes"]},
         "codecs: the data type needs the codec 'vlen-utf8', found 'bytes'"),
        ({"codecs": [sharding((2,), [LITTLE]), "vlen-utf8"], "dtype": str},
         "codecs: the data type needs the codec 'vlen-utf8', found 'bytes'"),
        ({"shards": True, "codecs": [LITTLE]}, "shards: cannot be given together with 'codecs'"),
    ],
)  # fmt: skip
def test_wrong_arguments(arguments: dict[str, Any], problem: str) -> None:
    assert problems_of(**{"shape": (4,), **arguments})[0] == problem


def test_what_a_user_may_leave_out() -> None:
    assert codecs(compressors={"name": "zstd"})[1] == ZSTD
    assert codecs(compressors="gzip")[1] == CodecSpec("gzip", {"level": 5})
    usual = {"cname": "zstd", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}
    assert codecs(compressors="blosc")[1] == CodecSpec("blosc", usual)
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    assert codecs(codecs=[big]) == (CodecSpec("bytes", {"endian": "big"}),)
    assert codecs(dtype="u1", codecs=["bytes"]) == (CodecSpec("bytes"),)
    assert codecs(dtype=[("a", "i4")], codecs=[big]) == (CodecSpec("bytes", {"endian": "big"}),)
    assert codecs(shards=False, codecs=[LITTLE]) == (LITTLE,)
    assert codecs(serializer=None) == (LITTLE, ZSTD)


@pytest.mark.parametrize(
    ("arguments", "typesize", "shuffle"),
    [
        ({"dtype": "f8"}, 8, "shuffle"),
        ({"dtype": "u1"}, 1, "bitshuffle"),
        ({"dtype": "S255"}, 255, "shuffle"),
        ({"dtype": "S256"}, 1, "bitshuffle"),
        ({"dtype": str}, 1, "bitshuffle"),
        ({"dtype": "f4", "filters": numcodecs.Delta("f4", "i2")}, 2, "shuffle"),
        ({"dtype": "f4", "filters": numcodecs.PackBits()}, 1, "bitshuffle"),
        ({"dtype": "f4", "filters": [{"name": "numcodecs.bitround"}]}, 4, "shuffle"),
        ({"dtype": "f4", "filters": [{"name": "cast_value",
                                      "configuration": {"data_type": "uint8"}}]}, 1, "bitshuffle"),
        ({"dtype": "f4", "filters": [{"name": "cast_value",
                                      "configuration": {"data_type": "int99"}}]}, 4, "shuffle"),
    ],
    ids=str,
)  # fmt: skip
def test_blosc_is_told_the_size_of_what_it_is_given(
    arguments: dict[str, Any], typesize: int, shuffle: str
) -> None:
    blosc = codecs(compressors=BLOSC, **arguments)[-1]
    assert blosc.configuration["typesize"] == typesize
    assert blosc.configuration["shuffle"] == shuffle


@pytest.mark.parametrize(("dtype", "shuffle"), [(str, 2), ("u1", 2), ("f4", 1)])
def test_the_shuffle_of_blosc_in_v2(dtype: Any, shuffle: int) -> None:
    spec = new_array_spec((4,), dtype, zarr_format=2, compressors=BLOSC)
    compressor = v2.v2_compressor(spec)
    assert compressor is not None
    assert compressor["shuffle"] == shuffle


def test_a_wrong_type_in_a_filter_is_left_to_the_filter() -> None:
    wrong = CodecSpec("numcodecs.delta", {"astype": 5})
    assert codecs(filters=wrong)[0] == wrong


def test_configurations_that_look_like_those_of_sharding() -> None:
    other = {"name": "other", "configuration": {"chunk_shape": [1]}}
    assert codecs(codecs=[LITTLE, other])[1] == CodecSpec("other", {"chunk_shape": [1]})
    assert codecs(codecs=["sharding_indexed"])[0] == CodecSpec("sharding_indexed")
    inner = {"name": "sharding_indexed", "configuration": {"chunk_shape": [1]}}
    (found,) = codecs(codecs=[inner])
    assert found == sharding([1], [LITTLE])


def test_shardings_inside_shards_are_completed() -> None:
    inner = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [1], "codecs": ["bytes"], "index_location": "start"},
    }
    outer = {"name": "sharding_indexed", "configuration": {"chunk_shape": [2], "codecs": [inner]}}
    expected = sharding([1], [LITTLE])
    expected = replace(
        expected, configuration={**expected.configuration, "index_location": "start"}
    )
    assert codecs(codecs=[outer]) == (sharding([2], [expected]),)


def test_serializers_among_the_compressors() -> None:
    assert names(codecs(compressors=["bytes", "gzip"])) == ["bytes", "gzip"]
    assert names(codecs(compressors=[{"id": "pcodec"}, "gzip"])) == ["numcodecs.pcodec", "gzip"]


class Both:
    """An object with a method ``configuration``, but no name of a codec."""

    name = 5

    def configuration(self) -> dict[str, Any]:
        raise AssertionError

    def get_config(self) -> dict[str, Any]:
        return {"id": "gzip", "level": 2}


class Named(Both):
    """An object with a name, but no method ``configuration``."""

    name = "gzip"
    configuration = 5


class NoForm:
    """An object whose form is none."""

    def to_dict(self) -> str:
        return "gzip"


def test_codec_objects() -> None:
    for given in (Both(), Named()):
        assert codecs(compressors=given)[1] == CodecSpec("gzip", {"level": 2})
        spec = new_array_spec((4,), "f4", zarr_format=2, compressors=given)
        assert v2.v2_compressor(spec) == {"id": "gzip", "level": 2}
    assert problems_of(compressors=NoForm()) == (
        "compressors[0]: expected a codec, found a NoForm",
    )


def test_words_that_old_readers_refuse() -> None:
    for given, kept in (
        ({"id": "zstd", "level": 1, "checksum": False}, {"id": "zstd", "level": 1}),
        (
            {"id": "zstd", "level": 1, "checksum": True},
            {"id": "zstd", "level": 1, "checksum": True},
        ),
        ({"id": "other", "checksum": False}, {"id": "other", "checksum": False}),
    ):
        spec = new_array_spec((4,), "f4", zarr_format=2, compressor=given)
        assert v2.v2_compressor(spec) == kept


# From documents of v2, and to them


def test_objects_that_nothing_makes_bytes_of() -> None:
    text = "filters: an object data type needs a filter that makes bytes, such as 'vlen-utf8'"
    for compressor in (None, {"id": "zlib"}):
        assert problems_of_v2(dtype="|O", fill_value=None, compressor=compressor) == (text,)


@pytest.mark.parametrize(
    ("entry", "after"),
    [
        ({"id": "fixedscaleoffset", "dtype": "<f8", "astype": "<i2"}, 2),
        ({"id": "quantize", "dtype": "<f4", "astype": "<f2"}, 2),
        ({"id": "delta", "dtype": "<f8"}, 8),
        ({"id": "categorize", "dtype": "<U3", "astype": "<u2"}, 2),
        ({"id": "astype", "encode_dtype": "<f8", "astype": "|u1"}, 8),
        ({"id": "bitround", "astype": "<f8"}, 4),
    ],
    ids=str,
)
def test_what_filters_make(entry: dict[str, Any], after: int) -> None:
    assert parse(filters=[entry]).codecs[-1].configuration["typesize"] == after


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("lz4", 5, "shuffle", 4, 0)),
        ({"typesize": 0}, ("lz4", 5, "shuffle", 4, 0)),
        ({"typesize": 1}, ("lz4", 5, "shuffle", 1, 0)),
        ({"typesize": 255}, ("lz4", 5, "shuffle", 255, 0)),
        ({"typesize": 256}, ("lz4", 5, "shuffle", 4, 0)),
        ({"typesize": "2", "clevel": 0, "blocksize": 7}, ("lz4", 0, "shuffle", 4, 7)),
        ({"shuffle": 0, "cname": "zlib"}, ("zlib", 5, "noshuffle", 4, 0)),
    ],
    ids=str,
)
def test_blosc_of_v2(given: dict[str, Any], expected: Any) -> None:
    found = parse(compressor={"id": "blosc", **given}).codecs[1].configuration
    assert tuple(found.values()) == expected
    assert list(found) == ["cname", "clevel", "shuffle", "typesize", "blocksize"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"compressor": {"id": "blosc", "clevel": -1}},
         "compressor.clevel: expected a non-negative integer, found -1"),
        ({"compressor": {"id": "blosc", "blocksize": None}},
         "compressor.blocksize: expected a non-negative integer, found null"),
        ({"compressor": {"id": "blosc", "shuffle": "1"}},
         'compressor.shuffle: expected -1, 0, 1 or 2, found "1"'),
        ({"compressor": {"id": ""}}, 'compressor.id: expected a string, found ""'),
        ({"compressor": {"id": None}}, "compressor.id: expected a string, found null"),
        ({"compressor": {"level": 1}}, "compressor.id: expected a string, found none"),
        ({"filters": [{"id": "vlen-utf8"}, {"id": "delta"}]},
         "filters[1]: 'delta' works on arrays, but stands after bytes"),
        ({"filters": [{"id": "crc32"}, {"id": "vlen-utf8"}]},
         "filters[1]: 'vlen-utf8' works on arrays, but stands after bytes"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_codecs_of_v2(changes: dict[str, Any], problem: str) -> None:
    assert problems_of_v2(**changes) == (problem,)


def test_every_wrong_codec_is_named() -> None:
    found = problems_of_v2(filters=[5, {"id": ""}], compressor={"id": 5})
    assert [problem.split(":")[0] for problem in found] == [
        "filters[0]", "filters[1].id", "compressor.id",
    ]  # fmt: skip


def test_what_makes_bytes_comes_first_in_v2() -> None:
    crc32 = [{"id": "crc32"}]
    spec = new_array_spec((4,), str, zarr_format=2, filters=crc32, shards=False)
    assert v2.v2_filters(spec) == [{"id": "vlen-utf8"}, *crc32]
    spec = new_array_spec((4,), "O", zarr_format=2, filters=crc32, object_codec={"id": "json2"})
    assert v2.v2_filters(spec) == [{"id": "json2"}, *crc32]


@pytest.mark.parametrize(
    ("identifier", "levels", "others"),
    [("gzip", (0, 1, 9), (-1, 10)), ("zstd", (-131072, 0, 22), (-131073, 23))],
)
def test_levels_that_v3_knows(identifier: str, levels: Any, others: Any) -> None:
    for level in (*levels, *others):
        found = parse(compressor={"id": identifier, "level": level}).codecs[1]
        assert found.name == (identifier if level in levels else f"numcodecs.{identifier}")
        assert found.configuration["level"] == level
    usual = parse(compressor={"id": identifier}).codecs[1].configuration["level"]
    assert usual == numcodecs.get_codec({"id": identifier}).level


def test_codecs_by_what_they_work_on() -> None:
    kinds = {
        "serializer": "vlen-utf8 vlen-bytes vlen-array json json2 msgpack msgpack2 pickle pcodec "
        "zfpy",
        "bytes": "blosc zstd lz4 zlib gzip bz2 lzma shuffle crc32 crc32c adler32 fletcher32 "
        "jenkins_lookup3 base64 n5_wrapper",
        "array": "delta fixedscaleoffset quantize bitround packbits astype categorize",
    }
    for kind, identifiers in kinds.items():
        for identifier in identifiers.split():
            codec = CodecSpec(f"numcodecs.{identifier}")
            assert codec_specs.is_serializer(codec) == (kind == "serializer"), identifier
            assert codec_specs.is_bytes_codec(codec) == (kind == "bytes"), identifier
            entry = {"id": identifier}
            behind = problems_of_v2 if kind != "bytes" else parse
            behind(filters=[{"id": "crc32"}, entry], compressor=None)
            assert codec_specs.serializer_name([codec, CodecSpec("bytes")]) == (
                codec.name if kind == "serializer" else "bytes"
            )


@pytest.mark.parametrize("cname", ["blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd"])
def test_compressors_of_blosc(cname: str) -> None:
    found = parse(compressor={"id": "blosc", "cname": cname}).codecs[1]
    assert found.configuration["cname"] == cname


def test_codecs_alone() -> None:
    problems = Problems()
    codec_specs.codec_from_v2({"id": "gzip", "level": "a"}, np.dtype("f4"), problems)
    assert problems.found == ['level: expected an integer, found "a"']
    problems.found.clear()
    assert codec_specs.codec_from_v2({}, np.dtype("f4"), problems).name == "numcodecs."
    assert problems.found == ["id: expected a string, found none"]
    usual = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    assert codec_specs.codec_to_v2(CodecSpec("blosc")) == usual
    other = {"cname": "zstd", "clevel": 3, "shuffle": "bitshuffle", "blocksize": 9, "typesize": 2}
    assert codec_specs.codec_to_v2(CodecSpec("blosc", other)) == {
        "id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 2, "blocksize": 9,
    }  # fmt: skip
    assert codec_specs.codec_to_v2(CodecSpec("zstd")) == {"id": "zstd", "level": 0}
    unknown = CodecSpec("blosc", {"shuffle": "other"})
    assert codec_specs.codec_to_v2(unknown)["shuffle"] == "other"


def test_a_serializer_is_a_filter_of_v2_and_no_compressor() -> None:
    text = [{"id": "vlen-utf8"}]
    for compressor in (None, {"id": "zlib", "level": 1}):
        spec = parse(dtype="|O", filters=text, fill_value="", compressor=compressor)
        found = rewritten(spec)
        assert (found["filters"], found["compressor"]) == (text, compressor)


def changed(spec: ArraySpec, *found: CodecSpec) -> dict[str, Any]:
    return v2.documents(replace(spec, codecs=found))[".zarray"]


def test_the_order_follows_the_codecs() -> None:
    spec = parse(order="F")
    assert changed(spec, *spec.codecs[1:])["order"] == "C"
    assert changed(parse(), spec.codecs[0], *parse().codecs)["order"] == "F"
    flat = parse(order="F", shape=[3], chunks=[2])
    assert changed(flat, flat.codecs[0])["order"] == "F"
    cube = {"shape": [1, 1, 1], "chunks": [1, 1, 1]}
    last = parse(**cube, order="F").codecs[0]
    assert last.configuration == {"order": [2, 1, 0]}
    assert changed(parse(**cube), last, *parse().codecs)["order"] == "F"


# v3


def test_which_configurations_are_written_though_empty() -> None:
    given = [CodecSpec(name) for name in ("bytes", "vlen-utf8", "numcodecs.zlib", "crc32c")]
    assert codec_specs.to_v3(given) == [
        {"name": "bytes"},
        {"name": "vlen-utf8", "configuration": {}},
        {"name": "numcodecs.zlib", "configuration": {}},
        {"name": "crc32c"},
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["numcodecs.json2", "zstd"], "numcodecs.json2"),
        (["transpose", "bytes"], "bytes"),
        (["zstd"], None),
        ([], None),
        (["transpose", sharding((1,), [CodecSpec("vlen-utf8"), ZSTD])], "vlen-utf8"),
        ([sharding((1,), [sharding((1,), [LITTLE])])], "bytes"),
        ([CodecSpec("other", {"codecs": ["bytes"]}), "vlen-bytes"], "vlen-bytes"),
        (["sharding_indexed", "bytes"], None),
    ],
    ids=str,
)
def test_the_serializer_of_a_chain(given: list[Any], expected: str | None) -> None:
    chain = [CodecSpec(codec) if isinstance(codec, str) else codec for codec in given]
    assert codec_specs.serializer_name(chain) == expected


def test_data_types_without_a_known_serializer() -> None:
    assert names(codecs(dtype=str, codecs=["other"])) == ["other"]
    assert names(codecs(dtype=str, codecs=["numcodecs.vlen-utf8"])) == ["numcodecs.vlen-utf8"]
    with pytest.raises(MetadataError, match="the data type needs the codec 'vlen-utf8'"):
        codecs(dtype=str, codecs=["other", "bytes"])
