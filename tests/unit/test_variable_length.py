"""Strings, bytes and objects: every selection against NumPy, damaged chunks, pickles."""

from __future__ import annotations

import pickle
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr.errors import ChunkDecodeError, ChunkEncodeError, MetadataError
from cuzarr.meta.dtypes import STRING

SHAPE, CHUNKS = (7, 5), (3, 2)
formats = pytest.mark.parametrize("zarr_format", [2, 3])

SELECTIONS: list[tuple[str, Any]] = [
    ("basic", (slice(None), slice(None))),
    ("basic", (slice(1, 6, 2), slice(4, None, -1))),
    ("basic", (3, slice(1, 4))),
    ("basic", (3, 4)),
    ("orthogonal", ([5, 0, 5], [1, 4])),
    ("orthogonal", (slice(2, 6), [3, 0])),
    ("coordinate", ([6, 0, 3], [0, 4, 2])),
]


def words(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Return texts of different lengths, empty and non-ASCII ones among them."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcß日🐍"))
    texts = ["".join(rng.choice(letters, n)) for n in rng.integers(0, 12, np.prod(shape))]
    out = np.empty(len(texts), object)
    out[:] = texts
    return out.reshape(shape)


def octets(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    texts = words(shape, seed).reshape(-1)
    out = np.empty(len(texts), object)
    out[:] = [text.encode() + b"\0" for text in texts]
    return out.reshape(shape)


def select(kind: str, array: Any, key: Any) -> Any:
    if isinstance(array, np.ndarray):
        if kind == "orthogonal":
            rows = np.arange(array.shape[0])[key[0]]
            return array[np.ix_(rows, key[1])]
        return array[key]
    return getattr(array, f"get_{kind}_selection")(key)


VALUES = {"str": (str, words), "bytes": (bytes, octets)}
LAYOUTS: list[dict[str, Any]] = [
    {"zarr_format": 2},
    {"zarr_format": 2, "compressor": None, "order": "F"},
    {"zarr_format": 2, "compressor": {"id": "zlib", "level": 1}},
    {"zarr_format": 3},
    {"zarr_format": 3, "shards": (6, 4)},
    {"zarr_format": 3, "shards": (6, 4), "compressors": {"name": "gzip"}},
    {"zarr_format": 3, "filters": {"name": "transpose", "configuration": {"order": [1, 0]}}},
]


@pytest.mark.parametrize("options", LAYOUTS, ids=str)
@pytest.mark.parametrize("kind", VALUES)
def test_every_selection_reads_and_writes(kind: str, options: dict[str, Any]) -> None:
    dtype, make = VALUES[kind]
    array = cuzarr.create_array(None, shape=SHAPE, chunks=CHUNKS, dtype=dtype, **options)
    expected = np.full(SHAPE, dtype(), object)
    np.testing.assert_array_equal(array[...].astype(object), expected)
    for seed, (how, key) in enumerate(SELECTIONS):
        values = make(seed=seed)
        new = select(how, values, key)
        if how == "orthogonal":
            rows = np.arange(SHAPE[0])[key[0]]
            expected[np.ix_(rows, key[1])] = new
        else:
            expected[key] = new
        getattr(array, f"set_{how}_selection")(key, new)
        np.testing.assert_array_equal(array[...].astype(object), expected)
        found, wanted = select(how, array, key), select(how, expected, key)
        assert found == wanted if isinstance(wanted, (str, bytes)) else (found == wanted).all()
    mask = np.arange(35).reshape(SHAPE) % 3 == 0
    np.testing.assert_array_equal(array.vindex[mask].astype(object), expected[mask])
    array.resize((9, 5))
    np.testing.assert_array_equal(array[7:].astype(object), np.full((2, 5), dtype(), object))


@formats
def test_strings_are_numpy_strings(zarr_format: Any) -> None:
    array = cuzarr.create_array(
        None, shape=(4,), chunks=2, dtype=str, zarr_format=zarr_format, fill_value="leer"
    )
    assert array.dtype == STRING
    assert array[...].dtype == STRING
    array[1] = "x" * 1000
    array[2:4] = np.array(["ab", "c"], "U9")
    assert array[...].tolist() == ["leer", "x" * 1000, "ab", "c"]
    assert array[1] == "x" * 1000
    assert isinstance(array[0], str)
    out = np.empty(2, STRING)
    array.get_basic_selection(slice(0, 2), out=out)
    assert out.tolist() == ["leer", "x" * 1000]
    again = cuzarr.open_array(array.store)
    assert (again.dtype, again.fill_value) == (STRING, "leer")


@formats
def test_chunks_of_nothing_but_fill_are_not_stored(zarr_format: Any) -> None:
    store: dict[str, bytes] = {}
    array = cuzarr.create_array(
        store, shape=(4,), chunks=2, dtype=str, zarr_format=zarr_format, fill_value="f"
    )
    array[...] = ["f", "f", "f", "g"]
    assert sorted(key for key in store if "z" not in key) == (
        ["1"] if zarr_format == 2 else ["c/1"]
    )  # fmt: skip
    array[3] = "f"
    assert [key for key in store if "z" not in key] == []


@formats
@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (b"", "expected 2 elements, the chunk says 0"),
        (b"\2\0\0", "expected 2 elements"),
        (b"\xff\xff\xff\xff", "expected 2 elements, the chunk says 4294967295"),
        (b"\2\0\0\0\1\0\0\0a", "corrupt"),
        (b"\2\0\0\0\xff\xff\xff\xffab", "corrupt"),
        (b"\2\0\0\0\1\0\0\0\xff\1\0\0\0a", "utf-8"),
    ],
)
def test_damaged_strings(zarr_format: Any, chunk: bytes, message: str) -> None:
    store: dict[str, bytes] = {}
    array = cuzarr.create_array(
        store, shape=(4,), chunks=2, dtype=str, zarr_format=zarr_format, compressors=None
    )
    key = "1" if zarr_format == 2 else "c/1"
    store[key] = chunk
    with pytest.raises(ChunkDecodeError, match=message) as caught:
        array[...]
    assert caught.value.key == key
    assert array[:2].tolist() == ["", ""]


@formats
def test_values_of_another_type_are_refused(zarr_format: Any) -> None:
    array = cuzarr.create_array(
        None, shape=(2,), chunks=2, dtype=bytes, zarr_format=zarr_format
    )  # fmt: skip
    with pytest.raises(ChunkEncodeError, match="vlen-bytes"):
        array[...] = np.array([1, "a"], object)


# -- v2 objects


def objects(*values: Any) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


MIXED = objects("a", {"b": [1, None]}, None, 2.5, [1, 2])
ARRAYS = objects(*(np.arange(n, dtype="i4") for n in (3, 0, 1, 2, 5)))
CATEGORIES = objects("ja", "nein", "", "ja", "ja")
OBJECT_CODECS = [
    (numcodecs.JSON(), MIXED),
    (numcodecs.Pickle(), MIXED),
    (numcodecs.VLenArray("i4"), ARRAYS),
    (numcodecs.Categorize(["ja", "nein"], dtype=object), CATEGORIES),
]
if hasattr(numcodecs, "MsgPack"):
    OBJECT_CODECS.append((numcodecs.MsgPack(), MIXED))


def same_objects(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and all(
        np.array_equal(a, b) if isinstance(b, np.ndarray) else a == b
        for a, b in zip(found.flat, expected.flat, strict=True)
    )


@pytest.mark.parametrize(
    ("codec", "values"), OBJECT_CODECS, ids=[codec.codec_id for codec, _ in OBJECT_CODECS]
)
@pytest.mark.parametrize("compressor", [None, "default"])
def test_object_codecs_of_v2(codec: Any, values: np.ndarray, compressor: Any) -> None:
    options = {} if compressor else {"compressor": None}
    array = cuzarr.create_array(
        None, shape=(5,), chunks=2, dtype=object, object_codec=codec, zarr_format=2,
        fill_value=None, **options,
    )  # fmt: skip
    assert array.dtype == np.dtype(object)
    assert array[...].tolist() == [None] * 5
    with cuzarr.config.set({"allow_pickle": True}):
        array[...] = values
        assert same_objects(array[...], values)
        assert same_objects(array[::-2], values[::-2])
        assert same_objects(array.vindex[[4, 0, 4]], values[[4, 0, 4]])
        array[1:4] = values[[0, 0, 2]]
        assert same_objects(array[...], values[[0, 0, 0, 2, 4]])


def test_two_dimensions_of_objects_in_both_orders() -> None:
    values = objects(*range(12)).reshape(3, 4)
    for order in ("C", "F"):
        array = cuzarr.create_array(
            None, shape=(3, 4), chunks=(2, 3), dtype=object, object_codec=numcodecs.JSON(),
            zarr_format=2, order=order,
        )  # fmt: skip
        array[...] = values
        assert array[...].tolist() == values.tolist()


def test_objects_need_an_object_codec() -> None:
    with pytest.raises(MetadataError, match="an object data type needs a filter"):
        cuzarr.create_array(None, shape=(2,), dtype=object, zarr_format=2)
    with pytest.raises(MetadataError, match="objects have no v3 data type"):
        cuzarr.create_array(None, shape=(2,), dtype=object, zarr_format=3)


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (b"7", "expected a list of elements"),
        (b"[]", "expected a list of elements"),
        (b'["a","b","|O",[1000000000000]]', "expected 2 elements"),
        (b'["a","b","|O",[-2]]', "expected 2 elements"),
        (b'["a","b","|O",[true]]', "expected 2 elements"),
        (b'["a","|O",[2]]', "1 elements for a first axis of 2"),
        (b'["a","b",3,[2]]', "is not a data type"),
        (b'["a","b","nonsense",[2]]', "nonsense"),
        (b'[1,2,"<i4",[2]]', "expected object"),
        (b"[" * 100_000, "nested too deeply|Expecting"),
        (b"\xff", "utf-8"),
    ],
)
def test_damaged_json(chunk: bytes, message: str) -> None:
    store: dict[str, bytes] = {}
    array = cuzarr.create_array(
        store, shape=(2,), chunks=2, dtype=object, object_codec=numcodecs.JSON(), zarr_format=2,
        compressor=None,
    )  # fmt: skip
    store["0"] = chunk
    with pytest.raises(ChunkDecodeError, match=message):
        array[...]


def test_damaged_arrays_of_arrays() -> None:
    store: dict[str, bytes] = {}
    array = cuzarr.create_array(
        store, shape=(2,), chunks=2, dtype=object, object_codec=numcodecs.VLenArray("i4"),
        zarr_format=2, compressor=None,
    )  # fmt: skip
    for chunk, message in [
        (b"\xff\xff\xff\x7f", "the chunk says 2147483647"),
        (b"\2\0\0\0\3\0\0\0abc\0\0\0\0", "divisor"),
    ]:
        store["0"] = chunk
        with pytest.raises(ChunkDecodeError, match=message):
            array[...]


class Bomb:
    """Pickles to something that appends to :data:`EXPLODED` when it is read."""

    def __reduce__(self) -> Any:
        return explode, ()


EXPLODED: list[int] = []


def explode() -> np.ndarray:
    EXPLODED.append(1)
    return objects("x", "y")


def test_a_pickle_is_not_run_unless_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    store: dict[str, bytes] = {}
    cuzarr.create_array(
        store, shape=(2,), chunks=2, dtype=object, object_codec=numcodecs.Pickle(), zarr_format=2,
        compressor=None,
    )  # fmt: skip
    store["0"] = pickle.dumps(Bomb())
    array = cuzarr.open_array(store)
    refused = pytest.raises(ChunkDecodeError, match=r"set\(\{'allow_pickle': True\}\)")
    with refused:
        array[...]
    with refused:
        array[0] = "z"
    with refused, cuzarr.config.set({"allow_pickle": "no"}):
        array[...]
    assert EXPLODED == []
    with cuzarr.config.set({"allow_pickle": True}):
        assert array[...].tolist() == ["x", "y"]
    assert EXPLODED == [1]


def test_one_object_may_be_a_list_or_an_array() -> None:
    """As zarr-python 2 writes ragged arrays: ``z[0] = np.array([1, 3, 5])``."""
    ragged = cuzarr.empty(3, dtype=object, object_codec=numcodecs.VLenArray("i4"), zarr_format=2)
    ragged[0] = np.array([1, 3, 5])
    ragged[2] = np.array([4])
    assert [None if item is None else list(item) for item in ragged[...]] == [[1, 3, 5], [], [4]]
    assert ragged[0].tolist() == [1, 3, 5]
    anything = cuzarr.empty((2, 2), dtype=object, object_codec=numcodecs.JSON(), zarr_format=2)
    anything[0, 0] = [1, 2]
    anything[0, 1] = {"a": [3]}
    anything[1] = np.array(["x", None], object)
    assert anything[...].tolist() == [[[1, 2], {"a": [3]}], ["x", None]]
    one = cuzarr.empty((), dtype=object, object_codec=numcodecs.JSON(), zarr_format=2)
    one[...] = ["a"]
    assert one[()] == ["a"]


@pytest.mark.parametrize("options", [
    {"dtype": object, "object_codec": numcodecs.VLenUTF8(), "zarr_format": 2},
    {"dtype": str},
    {"dtype": np.dtypes.StringDType(na_object=np.nan)},
])  # fmt: skip
def test_what_is_missing_does_not_become_a_word(options: Any) -> None:
    z = cuzarr.create(shape=4, chunks=2, device="cpu", **options)
    for value in (
        ["a", None, "b"],
        np.array(["a", None, "b"], object),
        np.array(["a", None, "b"], np.dtypes.StringDType(na_object=None)),
    ):
        z[:3] = "old"
        z[:3] = value
        assert z[...].tolist() == ["a", "", "b", ""]
    for value in (
        ["a", np.nan, "b"],
        np.array(["a", np.float64("nan")], object),
        np.array(["a", np.nan], np.dtypes.StringDType(na_object=np.nan)),
        np.array(["a", np.datetime64("NaT")], object),
        np.array(["a", np.zeros(2)], object),
        np.array([1.5, np.nan]),
        np.array(["2020-01-01", "NaT"], "M8[D]"),
    ):
        with pytest.raises(TypeError, match=r"cannot write .* which has no missing value"):
            z[: len(value)] = value
    with pytest.raises(TypeError, match="no missing value"):
        z[0] = np.float64("nan")
    z[:2] = np.array([1.5, 2])
    assert z[:2].tolist() == ["1.5", "2.0"]
    z[0] = np.float64(2.5)
    assert z[0] == "2.5"
    z[0] = None
    z[1:4] = [b"bytes", 5, np.str_("c")]
    assert z[...].tolist() == ["", "bytes", "5", "c"]
    z[:] = np.array([b"w", b"x", b"y", b"z"])
    assert z[...].tolist() == list("wxyz")
    with pytest.raises(ValueError, match="utf-8"):
        z[0] = [b"\xff"]
