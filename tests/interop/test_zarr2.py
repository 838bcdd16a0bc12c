"""zarr-python 2.18 and cuzarr, on the same stores: the implementation that most v2 data is from.

Runs where that version is installed, which no other test is: ``tools/test_zarr2.sh``.

1. Every data type, compressor, filter, order and dimension separator: what either creates and
   writes the other reads, and writes in part; the documents are equal.
2. Object arrays, fill values, groups, attributes, consolidated metadata, stores.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr.config import config

zarr = pytest.importorskip("zarr")
if zarr.__version__.partition(".")[0] != "2":
    pytest.skip("needs zarr-python 2", allow_module_level=True)

SHAPE, CHUNKS = (7, 5), (3, 2)
PART, REST = np.s_[1:6, :4], np.s_[5:, 2:]
ORDERS = tuple(itertools.product("CF", "./"))

NUMBERS = [
    "|b1", "|i1", "|u1",
    *(f"{end}{kind}" for end in "<>" for kind in
      ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")),
]  # fmt: skip
OTHERS: list[Any] = [
    "|S5", "<U3", ">U3", "<M8[s]", ">M8[ns]", "<M8[D]", "<m8[ms]", ">m8[us]", "|V4",
    [("a", "<i4"), ("b", ">f8")], [("a", "|S3"), ("b", "<f4", (2, 2))],
    [("a", "<u2"), ("b", [("c", "|b1"), ("d", "<c8")])],
]  # fmt: skip
DTYPES = [*NUMBERS, *OTHERS]

COMPRESSORS = {
    "none": None,
    **{
        f"blosc-{cname}-{shuffle}": numcodecs.Blosc(cname, 3, shuffle)
        for cname in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in (0, 1, 2, -1)
    },
    "zstd": numcodecs.Zstd(3),
    "zlib": numcodecs.Zlib(1),
    "gzip": numcodecs.GZip(1),
    "bz2": numcodecs.BZ2(1),
    "lzma": numcodecs.LZMA(preset=1),
    "lzma-raw": numcodecs.LZMA(format=3, filters=[{"id": 3, "dist": 4}, {"id": 33, "preset": 1}]),
    "lz4": numcodecs.LZ4(2),
}

#: filters, and the data types that they take
FILTERS: dict[str, tuple[list[Any], tuple[str, ...]]] = {
    "delta": ([numcodecs.Delta("<i4")], ("<i4",)),
    "delta-narrow": ([numcodecs.Delta("<i8", "<i2")], ("<i8",)),
    "delta-float": ([numcodecs.Delta(">f8")], (">f8",)),
    "scale": ([numcodecs.FixedScaleOffset(-3, 10, "<f8", "<i2")], ("<f8",)),
    "quantize": ([numcodecs.Quantize(2, "<f4")], ("<f4",)),
    "bitround": ([numcodecs.BitRound(10)], ("<f4", "<f8")),
    "packbits": ([numcodecs.PackBits()], ("|b1",)),
    "astype": ([numcodecs.AsType("<f4", "<f8")], ("<f8",)),
    "shuffle": ([numcodecs.Shuffle(4)], ("<i4", ">f4", "<c8")),
    "checks": (
        [made() for made in (
            numcodecs.CRC32, numcodecs.Adler32, numcodecs.Fletcher32, numcodecs.JenkinsLookup3
        )],
        ("<i4", "|u1"),
    ),
    "scale-delta": (
        [numcodecs.FixedScaleOffset(0, 10, "<f8", "<i4"), numcodecs.Delta("<i4")], ("<f8",)
    ),
}  # fmt: skip


def values(dtype: Any, shape: tuple[int, ...] = SHAPE) -> Any:
    """Return values that every filter keeps as they are."""
    dtype = np.dtype(dtype)
    n = int(np.prod(shape))
    small = np.random.default_rng(0).integers(0, 50, n)
    if dtype.names:
        out = np.zeros(n, dtype)
        for name in dtype.names:
            base = dtype[name].base
            out[name] = values(base, (n, *dtype[name].shape))
        return out.reshape(shape)
    if dtype.kind == "V":
        return small.astype("<u4").view(dtype).reshape(shape)
    if dtype.kind in "SU":
        return np.array([str(v) for v in small], dtype).reshape(shape)
    if dtype.kind in "mM":
        return small.astype("i8").astype(dtype).reshape(shape)
    if dtype.kind == "b":
        return (small % 2).astype(dtype).reshape(shape)
    if dtype.kind == "c":
        return (small - 1j * small[::-1]).astype(dtype).reshape(shape)
    return small.astype(dtype).reshape(shape)


def same(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def documents(store: dict[str, bytes]) -> dict[str, Any]:
    names = (".zarray", ".zgroup", ".zattrs", ".zmetadata")
    return {
        key: json.loads(value, object_hook=_spelt_out)
        for key, value in store.items()
        if key.endswith(names)
    }


def _spelt_out(entry: dict[str, Any]) -> dict[str, Any]:
    """Add what is the same if it is not there."""
    if entry.get("id") == "zstd":
        entry.setdefault("checksum", False)
    if "chunks" in entry and "compressor" in entry:
        entry.setdefault("dimension_separator", ".")
    return entry


def exchange(dtype: Any, order: str, separator: str, **options: Any) -> None:
    """Let either create and write an array, and the other read it, change it, and be read."""
    a = values(dtype)
    theirs: dict[str, bytes] = {}
    if a.dtype.kind in "mM":  # the defaults differ: 0 there, NaT in zarr-python 3 and here
        options["fill_value"] = 0
    z = zarr.create(
        SHAPE, chunks=CHUNKS, dtype=dtype, store=theirs, order=order,
        dimension_separator=separator, **options,
    )  # fmt: skip
    z[PART] = a[PART]
    expected = np.zeros_like(a)
    expected[PART] = a[PART]
    own = cuzarr.open_array(theirs, mode="r+", device="cpu")
    same(own[...], expected)

    ours: dict[str, bytes] = {}
    y = cuzarr.create(
        SHAPE, chunks=CHUNKS, dtype=dtype, store=ours, order=order,
        dimension_separator=separator, zarr_format=2, device="cpu", **options,
    )  # fmt: skip
    assert documents(ours)[".zarray"] == documents(theirs)[".zarray"]
    y[PART] = a[PART]
    other = zarr.open_array(ours, mode="r+")
    same(other[...], expected)
    assert sorted(ours) == sorted(theirs)

    own[REST] = other[REST] = a[REST]
    expected[REST] = a[REST]
    same(z[...], expected)
    same(y[...], expected)
    rows = [5, 0, 2]
    same(z.oindex[rows], y.oindex[rows])
    same(np.ascontiguousarray(z[::2, 1:4]), np.ascontiguousarray(y[::2, 1:4]))


def name_of(dtype: Any) -> str:
    return dtype if isinstance(dtype, str) else "-".join(entry[0] for entry in dtype)


@pytest.mark.parametrize("compressor", COMPRESSORS)
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_types_and_compressors(dtype: Any, compressor: str) -> None:
    """In turn with each order and separator, and with all four where nothing is compressed."""
    turn = list(COMPRESSORS).index(compressor) + DTYPES.index(dtype)
    orders = ORDERS if compressor in ("none", "blosc-lz4-1") else ORDERS[turn % 4 : turn % 4 + 1]
    for order, separator in orders:
        exchange(dtype, order, separator, compressor=COMPRESSORS[compressor])


@pytest.mark.parametrize(("order", "separator"), ORDERS)
@pytest.mark.parametrize("compressor", ["none", "zlib", "blosc-zstd-2"])
@pytest.mark.parametrize("name", FILTERS)
def test_filters(name: str, compressor: str, order: str, separator: str) -> None:
    filters, dtypes = FILTERS[name]
    if name == "bitround" and order == "F":
        pytest.skip("zarr-python 2 does not read what it writes itself: it stores C order")
    for dtype in dtypes:
        exchange(dtype, order, separator, filters=filters, compressor=COMPRESSORS[compressor])


FILLS: list[tuple[str, Any]] = [
    ("<f4", np.nan), ("<f8", np.inf), (">f8", -np.inf), ("<f4", 1.1), ("<f4", None),
    ("<c8", complex(1, -2)), ("<c16", complex(np.nan, np.inf)), ("|b1", True), ("<i8", -(2**62)),
    ("<u8", 2**64 - 1), ("|S5", b"ab\xff"), ("<U3", "äb"),
    ("<M8[s]", np.datetime64("2020-01-01", "s")),
    ("<M8[ns]", np.datetime64("NaT", "ns")), ("<m8[ms]", np.timedelta64(-7, "ms")), ("<i4", None),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "fill"), FILLS, ids=str)
def test_fill_values(dtype: str, fill: Any) -> None:
    theirs: dict[str, bytes] = {}
    ours: dict[str, bytes] = {}
    z = zarr.create(SHAPE, chunks=CHUNKS, dtype=dtype, store=theirs, fill_value=fill)
    y = cuzarr.create(
        SHAPE, chunks=CHUNKS, dtype=dtype, store=ours, fill_value=fill, zarr_format=2, device="cpu"
    )
    # Not as parsed JSON: NaN does not equal NaN.
    written = [json.dumps(documents(store), sort_keys=True) for store in (ours, theirs)]
    assert written[0] == written[1]
    own, other = cuzarr.open_array(theirs, mode="r", device="cpu"), zarr.open_array(ours, mode="r")
    if fill is not None:  # what a missing chunk reads as is then not defined
        same(own[...], np.full(SHAPE, fill, dtype))
        same(other[...], np.full(SHAPE, fill, dtype))
    z[1:3] = y[1:3] = values(dtype)[1:3]
    same(own[1:3], values(dtype)[1:3])
    same(other[1:3], values(dtype)[1:3])


TEXTS = ["", "a", "bc", "ä€", "x" * 300, "same", "same"]
OBJECTS: dict[str, tuple[Any, list[Any]]] = {
    "vlen-utf8": (numcodecs.VLenUTF8(), TEXTS),
    "vlen-bytes": (numcodecs.VLenBytes(), [text.encode() for text in TEXTS]),
    "vlen-array": (
        numcodecs.VLenArray("<i4"), [np.arange(n, dtype="<i4") for n in (0, 1, 5, 2, 3, 3, 1)]
    ),
    "json": (numcodecs.JSON(), [*TEXTS[:3], 3, 2.5, None, {"a": [1]}]),
    "pickle": (numcodecs.Pickle(), [*TEXTS[:3], 3, (1, 2), None, {"a"}]),
    "msgpack": (getattr(numcodecs, "MsgPack", None), [*TEXTS[:3], 3, 2.5, None, {"a": [1]}]),
}  # fmt: skip


@pytest.mark.parametrize("compressor", ["none", "blosc-lz4-1", "gzip"])
@pytest.mark.parametrize("codec", OBJECTS)
def test_objects(codec: str, compressor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    made, items = OBJECTS[codec]
    if made is None:
        pytest.skip("numcodecs was installed without msgpack")
    made = made() if isinstance(made, type) else made
    a = np.empty(len(items), object)
    a[:] = items
    options = {"chunks": 3, "compressor": COMPRESSORS[compressor], "object_codec": made}
    theirs: dict[str, bytes] = {}
    ours: dict[str, bytes] = {}
    z = zarr.create(len(a), dtype=object, store=theirs, fill_value=None, **options)
    z[:] = a
    with config.set({"allow_pickle": codec == "pickle"}):
        y = cuzarr.create(
            len(a), dtype=object, store=ours, fill_value=None, zarr_format=2, device="cpu",
            **options,
        )  # fmt: skip
        y[:] = a
        own = cuzarr.open_array(theirs, mode="r", device="cpu")[:]
    other = zarr.open_array(ours, mode="r")[:]
    assert documents(ours) == documents(theirs)
    for found in (own, other):
        assert [_plain(item) for item in found] == [_plain(item) for item in items]


def _plain(item: Any) -> Any:
    return item.tolist() if isinstance(item, np.ndarray) else item


def test_pickles_are_not_read_unasked() -> None:
    store: dict[str, bytes] = {}
    z = zarr.create(3, dtype=object, store=store, object_codec=numcodecs.Pickle())
    z[:] = ["a", "b", "c"]
    with pytest.raises(ValueError, match="pickle"):
        cuzarr.open_array(store, mode="r", device="cpu")[:]


def test_texts_and_categories() -> None:
    store: dict[str, bytes] = {}
    z = zarr.array(np.array(TEXTS, dtype=object), dtype=str, chunks=3, store=store)
    assert cuzarr.open_array(store, mode="r", device="cpu")[:].tolist() == TEXTS == z[:].tolist()
    store = {}
    labels = ["cat", "dog", "cat", "bird"]
    codec = numcodecs.Categorize(["bird", "cat", "dog"], dtype=object)
    z = zarr.create(4, dtype=object, store=store, object_codec=codec, compressor=None)
    z[:] = np.array(labels, object)
    assert cuzarr.open_array(store, mode="r", device="cpu")[:].tolist() == labels
    z = cuzarr.create(4, dtype=object, store={}, object_codec=codec, zarr_format=2, device="cpu")
    z[:] = np.array(labels, object)
    assert zarr.open_array(z.store.store_dict, mode="r")[:].tolist() == labels


def fill(root: Any) -> None:
    """Make a hierarchy, by the calls that both have."""
    root.attrs.update({"title": "ä", "numbers": [1, 2.5, None], "nested": {"a": {"b": True}}})
    deep = root.create_group("a/b")
    deep.attrs["x"] = 1
    root.create_group("empty")
    array = deep.create_dataset("values", shape=(4, 6), chunks=(2, 3), dtype="i4", fill_value=7)
    array[1:3] = 5
    array.attrs["units"] = "K"
    root.require_dataset("flat", shape=3, dtype="f8")[:] = [1, 2, 3]
    root["a"].create_dataset("scalar", shape=(), dtype="<U3", compressor=None)[()] = "abc"


def check(root: Any) -> None:
    """Look at the hierarchy, by the calls that both have."""
    assert dict(root.attrs) == {
        "title": "ä",
        "numbers": [1, 2.5, None],
        "nested": {"a": {"b": True}},
    }
    assert sorted(root.group_keys()) == ["a", "empty"]
    assert sorted(root.array_keys()) == ["flat"]
    assert sorted(root["a"]) == ["b", "scalar"]
    assert root["a/b"].attrs["x"] == 1
    array = root["a/b/values"]
    assert array[...].tolist() == [[7] * 6, [5] * 6, [5] * 6, [7] * 6]
    assert dict(array.attrs) == {"units": "K"}
    assert array.name == "/a/b/values"
    assert root["flat"][:].tolist() == [1, 2, 3]
    assert root["a/scalar"][()] == "abc"
    assert "a/b/values" in root
    assert "a/c" not in root


STORES = {
    "dict": lambda path: ({}, None),
    "directory": lambda path: (zarr.DirectoryStore(path), path),
    "nested": lambda path: (zarr.NestedDirectoryStore(path), path),
}


@pytest.mark.filterwarnings("ignore:The NestedDirectoryStore is deprecated")
@pytest.mark.parametrize("kind", STORES)
def test_hierarchies(kind: str, tmp_path: Path) -> None:
    theirs, path = STORES[kind](str(tmp_path / "theirs"))
    fill(zarr.open_group(theirs, mode="w"))
    own = path or theirs
    check(cuzarr.open_group(own, mode="r", device="cpu"))
    zarr.consolidate_metadata(theirs)
    check(cuzarr.open_consolidated(own, device="cpu"))
    check(cuzarr.open_group(own, mode="r", device="cpu"))

    theirs, path = STORES[kind](str(tmp_path / "ours"))
    own = path or theirs
    # NestedDirectoryStore finds chunks by "/" alone.
    with config.set({"default_zarr_format": 2}):
        root = cuzarr.open_group(own, mode="w", zarr_format=2, device="cpu")
        fill(root)
    if kind == "nested":
        pytest.skip("a NestedDirectoryStore needs dimension_separator='/' where '.' is written")
    check(zarr.open_group(theirs, mode="r"))
    cuzarr.consolidate_metadata(own)
    check(zarr.open_consolidated(theirs))


def test_consolidated_documents_are_equal() -> None:
    stores: list[dict[str, bytes]] = [{}, {}]
    fill(zarr.open_group(stores[0], mode="w"))
    fill(cuzarr.open_group(stores[1], mode="w", zarr_format=2, device="cpu"))
    zarr.consolidate_metadata(stores[0])
    cuzarr.consolidate_metadata(stores[1])
    assert documents(stores[0]) == documents(stores[1])


def test_zip_archives(tmp_path: Path) -> None:
    with zarr.ZipStore(str(tmp_path / "theirs.zip"), mode="w") as store:
        fill(zarr.open_group(store, mode="w"))
    check(cuzarr.open_group(tmp_path / "theirs.zip", mode="r", device="cpu"))
    with cuzarr.storage.ZipStore(tmp_path / "ours.zip", mode="w") as own:
        fill(cuzarr.open_group(own, mode="w", zarr_format=2, device="cpu"))
    with zarr.ZipStore(str(tmp_path / "ours.zip"), mode="r") as store:
        check(zarr.open_group(store, mode="r"))


def test_resize_and_append_in_turn(tmp_path: Path) -> None:
    z = zarr.open_array(
        str(tmp_path), mode="w", shape=(5, 4), chunks=(2, 3), dtype="i4", fill_value=-1
    )
    expected = np.arange(20, dtype="i4").reshape(5, 4)
    z[...] = expected
    y = cuzarr.open_array(tmp_path, mode="r+", device="cpu")
    y.append(expected)
    expected = np.concatenate((expected, expected))
    z = zarr.open_array(str(tmp_path), mode="r+")
    np.testing.assert_array_equal(z[...], expected)
    z.resize(3, 6)
    expected = np.pad(expected[:3], ((0, 0), (0, 2)), constant_values=-1)
    y = cuzarr.open_array(tmp_path, mode="r+", device="cpu")
    np.testing.assert_array_equal(y[...], expected)
    y.resize((4, 2))
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path), mode="r")[:3], expected[:, :2])


def test_shapes() -> None:
    for shape, chunks in [
        ((), ()),
        ((0,), (4,)),
        ((5, 0, 3), (2, 1, 2)),
        ((1,), (100,)),
        ((8,), (7,)),
    ]:
        a = 1 + np.arange(np.prod(shape), dtype="f4").reshape(shape)
        theirs: dict[str, bytes] = {}
        ours: dict[str, bytes] = {}
        z = zarr.create(shape, chunks=chunks, dtype="f4", store=theirs)
        y = cuzarr.create(shape, chunks=chunks, dtype="f4", store=ours, zarr_format=2, device="cpu")
        z[...] = y[...] = a
        same(cuzarr.open_array(theirs, mode="r", device="cpu")[...], a)
        same(np.asarray(zarr.open_array(ours, mode="r")[...]), a)
        assert sorted(ours) == sorted(theirs)
