"""The public interface on every device: same call, same values, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import errors
from cuzarr.cuda.placement import Mode
from tests.devices import to_numpy, use_device

SHAPE = (37, 50)
BLOSC = [
    {"name": "blosc", "configuration": {"cname": cname, "clevel": 5, "shuffle": shuffle}}
    for cname in ("lz4", "lz4hc", "zstd", "zlib", "blosclz")
    for shuffle in ("noshuffle", "shuffle", "bitshuffle")
]
LAYOUTS: dict[str, dict[str, Any]] = {
    "v2 blosc": {"zarr_format": 2, "chunks": (16, 20)},
    "v2 F": {"zarr_format": 2, "chunks": (16, 20), "order": "F"},
    "v2 raw": {"zarr_format": 2, "chunks": (16, 20), "compressor": None},
    "v2 zlib": {"zarr_format": 2, "chunks": (16, 20), "compressor": {"id": "zlib", "level": 1}},
    "v3 zstd": {"chunks": (16, 20)},
    "v2 gzip": {"zarr_format": 2, "chunks": (16, 20), "compressor": {"id": "gzip", "level": 1}},
    "v2 lz4 F": {
        "zarr_format": 2, "chunks": (16, 20), "order": "F", "compressor": {"id": "lz4"},
    },
    "v2 hdf5": {
        "zarr_format": 2, "chunks": (16, 20), "filters": [{"id": "shuffle", "elementsize": 4}],
        "compressor": {"id": "zlib", "level": 4},
    },
    "v2 filters F": {
        "zarr_format": 2, "chunks": (16, 20), "order": "F", "compressor": {"id": "zstd"},
        "filters": [
            {"id": "astype", "encode_dtype": "<f8", "decode_dtype": "<f4"},
            {"id": "fixedscaleoffset", "offset": 0.5, "scale": 4, "dtype": "<f8", "astype": "<f4"},
            {"id": "adler32"},
        ],
    },
    "v2 checksum in front": {
        "zarr_format": 2, "chunks": (16, 20), "compressor": {"id": "crc32c", "location": "start"},
    },
    "v3 gzip": {"chunks": (16, 20), "compressors": [{"name": "gzip"}]},
    "v3 filters": {
        "chunks": (16, 20),
        "filters": [
            {"name": "scale_offset", "configuration": {"scale": 2, "offset": 1}},
            {"name": "transpose", "configuration": {"order": [1, 0]}},
            {"name": "cast_value", "configuration": {"data_type": "float64"}},
        ],
        "serializer": {"name": "bytes", "configuration": {"endian": "big"}},
        "compressors": [{"name": "gzip"}, {"name": "crc32c"}],
    },
    "v3 filters in shards": {
        "chunks": (8, 10), "shards": (16, 20),
        "filters": [{"name": "cast_value", "configuration": {"data_type": "float64"}}],
        "compressors": [{"name": "blosc", "configuration": {"cname": "blosclz"}}],
    },
    "v3 raw": {"chunks": (16, 20), "compressors": None},
    "v3 big": {
        "chunks": (16, 20),
        "serializer": {"name": "bytes", "configuration": {"endian": "big"}},
    },
    "v3 checksum": {"chunks": (16, 20), "compressors": [{"name": "zstd"}, {"name": "crc32c"}]},
    "v3 shards": {"chunks": (8, 10), "shards": (16, 20)},
    "v3 transpose": {
        "chunks": (16, 20),
        "filters": [{"name": "transpose", "configuration": {"order": [1, 0]}}],
    },
    **{
        "v3 blosc {cname} {shuffle}".format(**entry["configuration"]): {
            "chunks": (16, 20), "compressors": [entry],
        }
        for entry in BLOSC
    },
}  # fmt: skip
FILTERED = ("i1", "u2", "i4", "u8")
DTYPES = ("bool", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "c16")
MASK = np.random.default_rng(3).random(SHAPE) < 0.2
SELECTIONS: dict[str, tuple[str, Any]] = {
    "all": ("basic", ...),
    "window": ("basic", np.s_[3:30, 11:49]),
    "negative": ("basic", np.s_[::-1, 40:3:-7]),
    "row": ("basic", 5),
    "column": ("basic", np.s_[:, -1]),
    "empty": ("basic", np.s_[7:7, :]),
    "rows": ("orthogonal", ([36, 0, 0, 17, 5], slice(None, None, 2))),
    "outer": ("orthogonal", ([36, 0, 17], [49, 1, 1, 20])),
    "points": ("coordinate", ([0, 36, 36, 5, 0], [0, 49, 49, 7, 1])),
    "mask": ("mask", MASK),
}


@pytest.fixture
def device(device_kind: str) -> Iterator[str]:
    with use_device(device_kind) as name:
        yield name


def data(dtype: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 100, SHAPE) * (rng.random(SHAPE) < 0.7)
    found = (values > 30) if dtype == "bool" else values.astype(dtype)
    if found.dtype.kind in "fc":
        found[3, 4:8] = [np.nan, np.inf, -np.inf, -0.0]
    if found.dtype == np.float32:
        found.view("u4")[4, :3] = [0x7FC12345, 0x00000001, 0xFF800001]  # payload, subnormal
    return found


def same_bits(found: Any, expected: Any) -> None:
    host = np.ascontiguousarray(to_numpy(found))
    expected = np.ascontiguousarray(expected)
    assert host.shape == expected.shape
    assert host.dtype == expected.dtype
    assert host.tobytes() == expected.tobytes()


def expected_of(kind: str, key: Any, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if kind == "orthogonal":
        ranges = [np.arange(n)[k] for n, k in zip(array.shape, key, strict=True)]
        return array[np.ix_(*ranges)]
    return array[key]


def values_of(layout: str) -> np.ndarray[Any, Any]:
    """float32 values that every codec of a layout keeps."""
    values = data("f4")
    if "filters" in layout:  # these calculate: no signalling NaN, and no negative zero
        values[3, 7], values[4, :3] = 0, 1
    return values


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(device: str, layout: str) -> None:
    expected = values_of(layout)
    z = cuzarr.create_array(None, data=expected, device="cpu", **LAYOUTS[layout]).to_device(device)
    for kind, key in SELECTIONS.values():
        same_bits(getattr(z, f"get_{kind}_selection")(key), expected_of(kind, key, expected))
    z[3:20, 5:44] = 7
    expected[3:20, 5:44] = 7
    same_bits(z.to_device("cpu")[...], expected)
    assert z.device == device


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        (layout, dtype)
        for layout in ("v2 blosc", "v3 shards", "v3 big")
        for dtype in DTYPES
        if layout != "v3 big" or np.dtype(dtype).itemsize > 1  # one byte has no order
    ],
)
def test_dtypes(device: str, layout: str, dtype: str) -> None:
    expected = data(dtype)
    z = cuzarr.create_array(None, data=expected, device=device, **LAYOUTS[layout])
    for kind, key in SELECTIONS.values():
        same_bits(getattr(z, f"get_{kind}_selection")(key), expected_of(kind, key, expected))


@pytest.mark.parametrize("dtype", FILTERED)
@pytest.mark.parametrize("order", ["C", "F"])
def test_delta(device: str, order: str, dtype: str) -> None:
    expected = data(dtype)
    stored = "i8" if dtype == "i4" else dtype
    z = cuzarr.create_array(
        None, data=expected, zarr_format=2, chunks=(16, 20), order=order, device=device,
        filters=[{"id": "delta", "dtype": dtype, "astype": stored}], compressor={"id": "zlib"},
    )  # fmt: skip
    for kind, key in SELECTIONS.values():
        same_bits(getattr(z, f"get_{kind}_selection")(key), expected_of(kind, key, expected))
    z[3:30, 5:7] = 7
    expected[3:30, 5:7] = 7
    same_bits(z[...], expected)


@pytest.mark.parametrize("layout", ["v3 filters", "v2 filters F", "v2 hdf5", "v3 transpose"])
def test_boxes(device: str, layout: str) -> None:
    expected = np.abs(np.nan_to_num(data("i4").astype("f4")))
    z = cuzarr.create_array(None, data=expected, device=device, **LAYOUTS[layout])
    starts = np.array([[0, 0], [3, 41], [28, 7], [3, 41]])
    boxes = [expected[i : i + 9, j : j + 8] for i, j in starts]
    same_bits(z.boxes(starts, (9, 8)), np.stack(boxes))


@pytest.mark.parametrize(("filters", "dtype"), [
    ([{"id": "packbits"}], "bool"), ([{"id": "astype", "encode_dtype": "c16"}], "c8"),
    ([{"id": "delta", "dtype": "f4"}], "f4"),
])  # fmt: skip
def test_filters_that_a_device_has_not(device: str, filters: Any, dtype: str) -> None:
    expected = data("i4").astype(dtype)
    z = cuzarr.create_array(
        None, data=expected, zarr_format=2, chunks=(16, 20), filters=filters, device=device
    )
    for kind, key in SELECTIONS.values():
        same_bits(getattr(z, f"get_{kind}_selection")(key), expected_of(kind, key, expected))
    if device != "cpu":
        assert {record.where for record in z.device_plan.records} == {"host"}


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">c16"])
def test_big_endian_v2(device: str, dtype: str) -> None:
    expected = data(dtype.replace(">", ""))
    z = cuzarr.create_array(
        None, data=expected, dtype=dtype, zarr_format=2, chunks=(16, 20), device=device
    )
    found = to_numpy(z[::-3, 1:])
    np.testing.assert_array_equal(found, expected[::-3, 1:])
    assert found.dtype == (np.dtype(dtype) if device == "cpu" else expected.dtype)


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("layout", ["v2 blosc", "v3 shards", "v3 raw"])
def test_writes(device: str, layout: str, name: str) -> None:
    kind, key = SELECTIONS[name]
    expected = data("i4")
    z = cuzarr.create_array(
        None, shape=SHAPE, dtype="i4", fill_value=9, device=device, **LAYOUTS[layout]
    )
    z[...] = expected
    selected = expected_of(kind, key, expected)
    value = np.arange(selected.size, dtype="i4").reshape(selected.shape) + 1000
    getattr(z, f"set_{kind}_selection")(key, value)
    if kind == "orthogonal":
        expected[np.ix_(*[np.arange(n)[k] for n, k in zip(SHAPE, key, strict=True)])] = value
    else:
        expected[key] = value
    same_bits(z.to_device("cpu")[...], expected)
    same_bits(z[...], expected)


def test_values_from_the_device(device: str) -> None:
    z = cuzarr.create_array(None, data=data("f4"), chunks=(16, 20), device=device)
    z[0:10] = z[10:20]
    same_bits(z[0:10], data("f4")[10:20])
    host = z.to_device("cpu")
    host[20:25] = host[5:10]
    same_bits(z[20:25], data("f4")[15:20])


def test_missing_chunks_are_the_fill_value(device: str) -> None:
    z = cuzarr.create_array(
        None, shape=SHAPE, dtype="f4", fill_value=np.nan, chunks=(8, 10), shards=(16, 20),
        device=device,
    )  # fmt: skip
    z[0, 0] = 1
    expected = np.full(SHAPE, np.nan, "f4")
    expected[0, 0] = 1
    same_bits(z[...], expected)
    same_bits(z[::-1, 3], expected[::-1, 3])


def test_scalars_are_numpy_on_every_device(device: str) -> None:
    z = cuzarr.create_array(None, data=np.arange(5), device=device)
    assert isinstance(z[2], np.integer)
    assert "abcde"[z[2]] == "c"
    zero = cuzarr.create_array(None, shape=(), dtype="f8", device=device)
    zero[()] = 2.5
    assert zero[()] == 2.5
    assert isinstance(zero[()], np.floating)
    assert to_numpy(zero[...]).shape == ()
    assert to_numpy(zero.vindex[np.array(True)]).tolist() == [2.5]
    zero.vindex[np.array(True)] = 3.5
    assert zero[()] == 3.5


def test_numpy_and_load_are_host_memory(device: str) -> None:
    store = cuzarr.storage.MemoryStore()
    z = cuzarr.create_array(store, data=data("i4"), device=device)
    np.testing.assert_array_equal(np.asarray(z), data("i4"))
    assert isinstance(cuzarr.load(store), np.ndarray)


def test_out(device: str) -> None:
    z = cuzarr.create_array(None, data=data("i4"), chunks=(16, 20), device=device)
    out = z[5:15]
    assert z.get_basic_selection(np.s_[20:30], out=out) is out
    same_bits(out, data("i4")[20:30])


def test_device_and_its_reason(device: str) -> None:
    store = cuzarr.storage.MemoryStore()
    root = cuzarr.create_group(store, device=device)
    z = root.create_array("z", data=data("f4"), chunks=(16, 20))
    assert z.device == device
    assert root["z"].device == device
    assert "asked for" in z.device_reason
    z[...]
    places = {record.where for record in z.device_plan.records}
    assert places == ({"host"} if device == "cpu" else {"device"})
    assert z.to_device("cpu").device == "cpu"


def test_auto_prefers_a_device(device: str, device_kind: str) -> None:
    z = cuzarr.create_array(None, data=data("f4"), device="auto")
    if device_kind != "host":
        assert z.device == "cuda:0"
        text = cuzarr.create_array(None, shape=3, dtype="S4", device="auto")
        assert text.device == "cpu"
        assert "cannot live on a CUDA device" in text.device_reason
        with pytest.raises(errors.NoDeviceError, match=r"\|S4 cannot live on cuda:0"):
            cuzarr.create_array(None, data=np.array([b"a"], "S4"), device="cuda:0")


@pytest.mark.parametrize(
    ("damage", "layout"),
    [("truncated", "v3 raw")]  # of raw bytes nothing else could be noticed
    + [
        (damage, layout)
        for damage in ("truncated", "header", "body")
        for layout in ("v2 blosc", "v3 zstd", "v3 checksum", "v3 gzip")
    ],
)
def test_corrupt_chunks_name_their_key(
    device_kind: str, tmp_path: Path, layout: str, damage: str
) -> None:
    # nvCOMP does not say what it does with the corrupt body of a zstd frame without a checksum:
    # for such data there is device_decode="host".
    mode: Mode = "host" if (layout, damage) == ("v3 zstd", "body") else "checked"
    with use_device(device_kind, device_decode=mode) as device:
        _read_corrupt(device, tmp_path, layout, damage)


def _read_corrupt(device: str, tmp_path: Path, layout: str, damage: str) -> None:
    path = tmp_path / "z"
    z = cuzarr.create_array(str(path), data=data("i4"), device=device, **LAYOUTS[layout])
    key = "1.1" if layout.startswith("v2") else "c/1/1"
    whole = (path / key).read_bytes()
    middle = len(whole) // 2
    spoiled = {
        "truncated": whole[:-5],
        "header": bytes(4) + whole[4:],
        "body": whole[:middle] + bytes(b ^ 0x5A for b in whole[middle:]),
    }[damage]
    (path / key).write_bytes(spoiled)
    with pytest.raises(errors.ChunkDecodeError, match=f"'{key}'") as caught:
        z[...]
    assert caught.value.key == key
    same_bits(z[:16], data("i4")[:16])


def test_bad_shard_index_names_its_key(device: str, tmp_path: Path) -> None:
    path = tmp_path / "z"
    z = cuzarr.create_array(str(path), data=data("i4"), device=device, **LAYOUTS["v3 shards"])
    whole = (path / "c/0/1").read_bytes()
    (path / "c/0/1").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(errors.ChecksumError, match="'c/0/1'"):
        z[...]


def test_documents_do_not_depend_on_the_device(device: str, tmp_path: Path) -> None:
    for name, place in (("a", "cpu"), ("b", device)):
        cuzarr.create_array(str(tmp_path / name), data=data("f4"), device=place, chunks=(16, 20))
    first, second = (
        {
            p.relative_to(tmp_path / n): p.read_bytes()
            for p in (tmp_path / n).rglob("*")
            if p.is_file()
        }
        for n in ("a", "b")
    )
    assert first.keys() == second.keys()  # what compressors make of the chunks may differ
    assert first[Path("zarr.json")] == second[Path("zarr.json")]
    assert json.loads(first[Path("zarr.json")])["shape"] == list(SHAPE)


@pytest.mark.parametrize("layout", ["v2 blosc", "v3 shards", "unequal", "v2 object"])
def test_missing_chunks_can_be_refused(device: str, layout: str) -> None:
    unequal = {"chunks": [[16, 21], [20, 30]]}
    made = {"unequal": unequal, "v2 object": {"zarr_format": 2, "chunks": (16, 20)}}.get(
        layout, LAYOUTS.get(layout, {})
    )
    dtype: Any = str if layout == "v2 object" else "i4"
    if dtype is str and device != "cpu":
        pytest.skip("texts live on the host")
    z = cuzarr.create_array({}, shape=SHAPE, dtype=dtype, device=device, **made)
    strict = z.with_config({"read_missing_chunks": False})
    assert z.read_missing_chunks
    assert not strict.config.read_missing_chunks
    strict[0, 0] = 1 if dtype == "i4" else "one"
    assert str(strict[0, 0]) in ("1", "one")
    stored = z.store.list("")
    assert sum(not key.rpartition("/")[2].startswith((".z", "zarr")) for key in stored) == 1
    for read in (
        lambda: strict[...],
        lambda: strict[36, 49],
        lambda: strict.boxes([[0, 0], [36, 49]], (1, 1)),
        lambda: strict.vindex[[0, 36], [0, 49]],
        lambda: cuzarr.read([(strict, 0), (strict, -1)]),
    ):
        with pytest.raises(errors.ChunkNotFoundError, match="not stored") as caught:
            read()
        assert not z.store.exists(caught.value.key)
    assert len(z[...]) == len(strict[:1, :1]) + 36
    if layout != "unequal":  # chunks of one shape are read after those of another
        with pytest.raises(errors.ChunkNotFoundError, match="neither are [0-9]+ more of this"):
            strict[...]
