"""What a new array is refused for: every problem at once, each with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta.create import new_array_spec
from tests.unit.test_meta_create import BLOSC, problems_of

V3_ONLY = "does not exist in Zarr v2; use zarr_format=3"


PROBLEMS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"zarr_format": 4}, ("zarr_format: expected 2 or 3, found 4",)),
    ({"shape": (4, -1)}, ("shape[1]: must be at least 0, found -1",)),
    ({"shape": (4, True)}, ("shape[1]: expected an integer, found true",)),
    ({"shape": "ab"}, ("shape: expected an integer or a sequence of them, found 'ab'",)),
    ({"shape": 2.5}, ("shape: expected an integer or a sequence of them, found 2.5",)),
    ({"dtype": "<f16"}, ("dtype: '<f16': numbers of that size are not supported",)),
    ({"dtype": "O"},
     ("dtype: objects have no v3 data type; dtype=str and dtype=bytes have one",)),
    ({"dtype": "O", "zarr_format": 2},
     ("filters: an object data type needs a filter that makes bytes, such as 'vlen-utf8'",)),
    ({"dtype": [("a", "O")]},
     ("dtype[0][1]: objects inside a structured type are not supported",)),
    ({"dtype": [("a", "i4", 2)]},
     ("dtype: field 'a': a field with a shape has no v3 data type",)),
    ({"chunks": 0}, ("chunks: a chunk length must be at least 1, found 0",)),
    ({"chunks": (1, 2, 3)}, ("chunks: 3 lengths for an array of 2 dimensions",)),
    ({"chunks": 2.5}, ("chunks: 'float' object is not iterable",)),
    ({"chunks": "big"}, ("chunks: expected 'auto', an integer or a sequence, found 'big'",)),
    ({"chunks": (1.5, 1)}, ("chunks: a chunk length must be an integer, found 1.5",)),
    ({"chunks": (True, 1)}, ("chunks: a chunk length must be an integer, found True",)),
    ({"chunks": ((1, 2), (6,))}, ("chunks: the chunks cover 3 of 4 elements: (1, 2)",)),
    ({"chunks": ((1, 2.5), (6,))}, ("chunks: a chunk length must be an integer, found (1, 2.5)",)),
    ({"chunks": ((), (6,))}, ("chunks: there is no chunk length",)),
    ({"chunks": ((1, 3, 0), (6,))},
     ("chunks: chunk lengths and their numbers must be positive, not 0",)),
    ({"chunks": ((1, 2, 1), (6,)), "shards": (4, 6)},
     ("chunks: shards have chunks of one shape only, found several lengths along an axis",)),
    ({"chunks": ((1, 2, 1), (6,)), "zarr_format": 2},
     ("chunks: Zarr v2 has chunks of one shape only, found several lengths along an axis",)),
    ({"chunks": (2, 2), "shards": ((1, 3), (6,))},
     ("shards: ([1, 3], 6) is not a multiple of the chunk shape (2, 2)",)),
    ({"chunks": (2, 2), "shards": {"index_location": "top", "shap": 4}},
     ("shards: expected 'shape' and 'index_location', found \"shap\"",
      'shards: index_location: expected \'start\' or \'end\', found "top"',
      "shards: shape: is missing")),
    ({"chunks": (2, 2), "shards": (4, 3)},
     ("shards: (4, 3) is not a multiple of the chunk shape (2, 2)",)),
    ({"shards": (4, 0)}, ("shards: a shard length must be at least 1, found 0",)),
    ({"codecs": []}, ("codecs: is empty: an array-to-bytes codec is needed",)),
    ({"codecs": ["bytes"], "filters": None, "compressor": None, "order": "F", "shards": 4},
     ("filters: cannot be given together with 'codecs'",
      "compressor: cannot be given together with 'codecs'",
      "order: 'F' cannot be given together with 'codecs'",
      "shards: cannot be given together with 'codecs'")),
    ({"compressor": None, "compressors": None},
     ("compressor: cannot be given together with 'compressors', which it is a name of",)),
    ({"compressors": [5]}, ("compressors[0]: expected a codec, found 5",)),
    ({"compressors": [{"x": 1}]},
     ("compressors[0].name: expected a string, found none",
      "compressors[0].x: is not known here")),
    ({"compressor": {**BLOSC, "cname": "x"}},
     ('compressors[0].cname: expected one of blosclz, lz4, lz4hc, snappy, zlib, zstd, '
      'found "x"',)),
    ({"dtype": str, "filters": [{"id": "json2"}]},
     ("serializer: more than one is given: 'vlen-utf8', 'numcodecs.json2'",
     )),
    ({"order": "K"}, ("order: expected 'C' or 'F', found \"K\"",)),
    ({"dimension_separator": "-"},
     ("dimension_separator: expected '.' or '/', found \"-\"",)),
    ({"dimension_separator": "/", "chunk_key_encoding": "v2"},
     ("dimension_separator: cannot be given together with 'chunk_key_encoding'",)),
    ({"chunk_key_encoding": "v9"},
     ("chunk_key_encoding.name: expected 'default' or 'v2', found \"v9\"",)),
    ({"fill_value": "x"}, ("fill_value: 'x' is no float32 value",)),
    ({"dtype": "i1", "fill_value": 300}, ("fill_value: 300 is no int8 value: it does not fit",)),
    ({"dtype": "i1", "fill_value": 0.5}, ("fill_value: 0.5 is no int8 value: it does not fit",)),
    ({"dtype": "i1", "fill_value": float("nan")},
     ("fill_value: nan is no int8 value: it does not fit",)),
    ({"dtype": "u1", "fill_value": -1}, ("fill_value: -1 is no uint8 value: it does not fit",)),
    ({"dtype": "i8", "fill_value": 2**70},
     (f"fill_value: {2**70} is no int64 value",)),
    ({"dtype": "i8", "fill_value": "5"}, ("fill_value: '5' is no int64 value",)),
    ({"dtype": "bool", "fill_value": "False"}, ("fill_value: 'False' is no bool value",)),
    ({"dtype": "bool", "fill_value": 2}, ("fill_value: 2 is no bool value: it does not fit",)),
    ({"dtype": "f4", "fill_value": 1j}, ("fill_value: 1j is no float32 value",)),
    ({"dtype": "U3", "fill_value": 5}, ("fill_value: 5 is no <U3 value",)),
    ({"dtype": "M8[s]", "fill_value": "x"}, ("fill_value: 'x' is no datetime64[s] value",)),
    ({"fill_value": [1, 2]}, ("fill_value: [1, 2] is no float32 value: it is not a scalar",)),
    ({"dtype": "U1", "fill_value": "ab"}, ("fill_value: 'ab' is no <U1 value: it does not fit",)),
    ({"dtype": "S1", "fill_value": b"ab"}, ("fill_value: b'ab' is no |S1 value: 2 bytes for 1",)),
    ({"dtype": "S3", "fill_value": "é"}, ("fill_value: 'é' is no |S3 value",)),
    ({"dtype": "S3", "fill_value": np.arange(3)},
     ("fill_value: array([0, 1, 2]) is no |S3 value",)),
    ({"dtype": "V2", "fill_value": b"abc"},
     ("fill_value: b'abc' is no |V2 value: 3 bytes for 2",)),
    ({"dtype": "float31"}, ("dtype: not a data type: data type 'float31' not understood",)),
    ({"codecs": [{"name": "sharding_indexed",
                  "configuration": {"chunk_shape": [1, 1], "codecs": 5}}]},
     ("codecs: expected a list of codecs, found 5",)),
    ({"dtype": str, "fill_value": b"ab"}, ("fill_value: b'ab' is no string value",)),
    ({"dimension_names": ["x"]},
     ("dimension_names: has 1 names, but the array has 2 dimensions",)),
    ({"zarr_format": 2, "shards": (4, 6), "codecs": ["bytes"], "serializer": "bytes",
      "dimension_names": ["a", "b"]},
     (f"codecs: {V3_ONLY}", f"shards: {V3_ONLY}", f"dimension_names: {V3_ONLY}",
      f"serializer: {V3_ONLY}")),
    ({"zarr_format": 2, "compressors": ["gzip", "crc32c"]},
     ("compressors: Zarr v2 has one, 2 are given; use zarr_format=3",)),
    ({"zarr_format": 2, "compressor": "crc32c"},
     ("compressor: the codec 'crc32c' does not exist in Zarr v2; use zarr_format=3",)),
    ({"zarr_format": 2, "chunk_key_encoding": "default"},
     ("chunk_key_encoding: Zarr v2 has only 'v2'; use zarr_format=3",)),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), PROBLEMS)
def test_problems(arguments: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert problems_of(**arguments) == expected


def test_problems_are_listed_at_once_and_name_the_key() -> None:
    with pytest.raises(MetadataError) as caught:
        new_array_spec((4,), "i1", chunks=0, fill_value=300, order="K", key="g/a/zarr.json")  # type: ignore[arg-type]
    assert caught.value.key == "g/a/zarr.json"
    assert [p.split(":")[0] for p in caught.value.problems] == ["order", "chunks", "fill_value"]
