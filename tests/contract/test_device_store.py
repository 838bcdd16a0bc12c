"""A store in device memory: the values, bytes and errors of the store that it was filled from."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import cuda, errors
from cuzarr.host.backend import HostBackend
from cuzarr.storage import MemoryStore
from cuzarr.storage.base import RequestBatch, Status, Values
from tests.contract.test_devices import (
    LAYOUTS,
    SELECTIONS,
    SHAPE,
    data,
    expected_of,
    same_bits,
    values_of,
)
from tests.devices import to_numpy, use_device

KEPT = {"blosclz", "zlib", "gzip"}  # no device step yet, or only for some chunks


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """The emulated device, or with ``--device cuda`` the real one."""
    picked = request.config.getoption("--device") or "emulated"
    if picked == "host":
        pytest.skip("needs a device")
    return str(picked)


@pytest.fixture(autouse=True)
def auto() -> Iterator[None]:
    """Arrays are on the device of their store, whatever else the environment asks for."""
    with cuzarr.config.set({"device": "auto"}):
        yield


@pytest.fixture
def device(kind: str) -> Iterator[str]:
    with use_device(kind) as name:
        yield name


def filled(layout: str, values: np.ndarray[Any, Any] | None = None, **options: Any) -> MemoryStore:
    source = MemoryStore()
    values = data("f4") if values is None else values
    cuzarr.create_array(source, data=values, device="cpu", **LAYOUTS[layout], **options)
    return source


def resident(source: Any, **options: Any) -> cuzarr.DeviceStore:
    return cuzarr.DeviceStore.from_store(source, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(device: str, layout: str) -> None:
    expected = values_of(layout)
    store = resident(filled(layout, expected))
    z = cuzarr.open(store)
    assert z.device == device
    for kind, key in SELECTIONS.values():
        same_bits(getattr(z, f"get_{kind}_selection")(key), expected_of(kind, key, expected))
    starts = [[0, 0], [30, 41], [15, 19], [0, 0]]
    same_bits(
        z.boxes(starts, (7, 9)), np.stack([expected[i : i + 7, j : j + 9] for i, j in starts])
    )
    same_bits(z.to_device("cpu")[3:30, ::2], expected[3:30, ::2])
    if not any(name in layout for name in KEPT):
        assert {r.where for r in z.device_plan.records} == {"device"}
        assert store.chunks > 0
    assert (store.nbytes > 0) == (store.chunks > 0)


@pytest.mark.parametrize("dtype", ["bool", "i1", "u2", "f8", "c16"])
@pytest.mark.parametrize("layout", ["v2 blosc", "v2 raw", "v3 shards", "v3 checksum"])
def test_dtypes(device: str, layout: str, dtype: str) -> None:
    expected = data(dtype)
    z = cuzarr.open(resident(filled(layout, expected)))
    same_bits(z[::-1, 3:], expected[::-1, 3:])


@pytest.mark.parametrize("device_decode", ["checked", "trusted", "host"])
def test_modes(kind: str, device_decode: Any) -> None:
    with use_device(kind, device_decode=device_decode):
        for layout in ("v2 raw", "v3 zstd", "v3 checksum", "v3 shards"):
            store = resident(filled(layout))
            z = cuzarr.open(store)
            same_bits(z[...], data("f4"))
            coded = layout != "v2 raw"
            assert (store.chunks == 0) == (coded and device_decode == "host")


def test_a_few_chunks_are_left_to_the_host() -> None:
    """One stream takes a device longer than a download and a core."""
    with use_device("emulated", host=HostBackend(), small_bytes=4 * 16 * 20 * 4):
        for layout, where in (("v3 zstd", "host"), ("v2 blosc", "host"), ("v3 raw", "device")):
            z = cuzarr.open(resident(filled(layout)))
            same_bits(z[3:20, 5:15], data("f4")[3:20, 5:15])
            assert {r.where for r in z.device_plan.records} == {where}
            same_bits(z[...], data("f4"))
            assert {r.where for r in z.device_plan.records} == {"device"}


def test_nothing_is_fetched_uploaded_or_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read sends tables up, no chunk."""
    noise = np.random.default_rng(0).integers(0, 2**32, (64, 4096), dtype="u4")
    with use_device("emulated"):
        source = MemoryStore()
        cuzarr.create_array(source, data=noise, chunks=(4, 4096), shards=(16, 4096), device="cpu")
        store = resident(source)
        source.delete_dir("")
        sent: list[int] = []
        runtime = cuda.open_backend(0).runtime
        upload = runtime.upload

        def counted(dst: int, src: Any, nbytes: int, stream: Any, **more: Any) -> None:
            sent.append(nbytes)
            upload(dst, src, nbytes, stream, **more)

        def never(*args: Any) -> Any:
            raise AssertionError("a read asked the store for bytes")

        z = cuzarr.open(store)
        monkeypatch.setattr(runtime, "upload", counted)
        monkeypatch.setattr(type(store), "get_many", never)
        monkeypatch.setattr("cuzarr.cuda.decoder.inspect", never)
        same_bits(z[...], noise)
        same_bits(z[5:7, 100:200], noise[5:7, 100:200])
        assert 0 < sum(sent) < store.nbytes / 8


def group_with_everything(path: Path | None = None) -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
    source: Any = MemoryStore() if path is None else str(path)
    root = cuzarr.create_group(source, device="cpu")
    root.attrs["note"] = "kept"
    expected = {
        "a": data("f4"), "deep/b": data("i4"), "deep/raw": data("u1"), "deep/gzip": data("f8"),
        "text": np.array(["x", "yy", ""], "S3"), "zero": np.array(2.5),
    }  # fmt: skip
    layouts = {"a": "v3 shards", "deep/raw": "v3 raw", "deep/gzip": "v3 gzip"}
    for name, values in expected.items():
        options = LAYOUTS[layouts[name]] if name in layouts else {}
        root.create_array(name, data=values, **options)
    return source, expected


def test_groups(device: str, tmp_path: Path) -> None:
    source, expected = group_with_everything(tmp_path / "g.zarr")
    store = resident(source)
    root = cuzarr.open(store)
    assert root.attrs["note"] == "kept"
    assert sorted(root["deep"]) == ["b", "gzip", "raw"]
    for name, values in expected.items():
        found = to_numpy(root[name][...])
        np.testing.assert_array_equal(found, values)
        assert root[name].device == ("cpu" if name == "text" else device)
    below = resident(source, path="deep")
    same_bits(cuzarr.open(below)["b"][...], expected["deep/b"])
    same_bits(cuzarr.open(resident(source, path="deep/raw"))[...], expected["deep/raw"])
    with pytest.raises(errors.NodeNotFoundError, match="no array or group at 'nothing'"):
        resident(source, path="nothing")


def test_consolidated_groups(device: str) -> None:
    source, expected = group_with_everything()
    cuzarr.consolidate_metadata(source)
    root = cuzarr.open_consolidated(resident(source))
    same_bits(root["deep/b"][...], expected["deep/b"])


def test_many_arrays_at_once(device: str) -> None:
    """Small reads of many arrays run as one; their chunks are all over the store."""
    source = MemoryStore()
    root = cuzarr.create_group(source, device="cpu")
    for i in range(5):
        root.create_array(f"x{i}", data=data("i4") + i, chunks=(16, 20))
    group = cuzarr.open(resident(source))
    found = cuzarr.read([(group[f"x{i}"], np.s_[3:20]) for i in range(5)])
    for i in range(5):
        same_bits(found[i], (data("i4") + i)[3:20])


def test_missing_chunks_are_the_fill_value(device: str) -> None:
    for options in ({}, {"shards": (16, 20)}):
        source = MemoryStore()
        z = cuzarr.create_array(
            source, shape=SHAPE, dtype="f4", fill_value=np.nan, chunks=(8, 10), device="cpu",
            **options,
        )  # fmt: skip
        z[0, 0], z[36, 49] = 1, 2
        expected = np.full(SHAPE, np.nan, "f4")
        expected[0, 0], expected[36, 49] = 1, 2
        store = resident(source)
        assert store.chunks == 2
        found = cuzarr.open(store)
        same_bits(found[...], expected)
        same_bits(found[10:20, 10:20], expected[10:20, 10:20])


def test_an_array_without_chunks(device: str) -> None:
    source = MemoryStore()
    cuzarr.create_array(source, shape=(5, 6), dtype="i4", fill_value=3, device="cpu")
    store = resident(source)
    same_bits(cuzarr.open(store)[...], np.full((5, 6), 3, "i4"))
    assert (store.nbytes, store.chunks, store.ratio) == (0, 0, 1.0)


def test_inner_chunks_that_are_not_aligned(device: str) -> None:
    """Raw inner chunks with a checksum each follow one another at any multiple of four bytes."""
    expected = data("f8")
    source = MemoryStore()
    cuzarr.create_array(
        source, data=expected, chunks=(8, 10), shards=(16, 20), compressors=[{"name": "crc32c"}],
        device="cpu",
    )  # fmt: skip
    z = cuzarr.open(resident(source))
    same_bits(z[...], expected)
    same_bits(z[9:20, 5], expected[9:20, 5])


def test_budget(device: str) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, (64, 1024), dtype="u4")
    source = MemoryStore()
    cuzarr.create_array(source, data=noise, chunks=(4, 1024), compressors=None, device="cpu")
    whole = resident(source)
    assert whole.nbytes >= noise.nbytes
    assert whole.decoded_nbytes == noise.nbytes
    fits = resident(source, budget=whole.nbytes)
    same_bits(cuzarr.open(fits)[...], noise)
    with pytest.raises(
        errors.DeviceMemoryError, match=r"budget=1000 .* \d+ bytes are taken, .* \d+"
    ):
        resident(source, budget=1000)
    with pytest.raises(ValueError, match="budget=-1"):
        resident(source, budget=-1)
    with pytest.raises(ValueError, match="device='cpu'"):
        resident(source, device="cpu")


# ---- as a store


@pytest.mark.parametrize("layout", ["v2 blosc", "v3 shards", "v3 gzip"])
def test_bytes_are_those_of_the_source(device: str, layout: str) -> None:
    source = filled(layout)
    source.set("stray/object", b"kept as well")
    store = resident(source)
    assert sorted(store.list()) == sorted(source.list())
    for key in [*source.list(), "no/such"]:
        assert store.get(key) == source.get(key)
        assert store.size(key) == source.size(key)
        assert store.exists(key) == source.exists(key)
    for prefix in ("", "c", "c/0", "stray", "none"):
        assert store.list_dir(prefix) == source.list_dir(prefix)
        assert sorted(store.list(prefix)) == sorted(source.list(prefix))
    key = next(k for k in source.list() if k.endswith(("c/0/0", "0.0")))
    size = source.size(key) or 0
    ranges = [
        (0, 4),
        (3, -1),
        (-5, -1),
        (-5, 2),
        (size, 0),
        (0, size),
        (0, size + 1),
        (-size - 1, 1),
    ]
    batch = RequestBatch.of(
        [key] * len(ranges) + ["no/such"],
        [*(a for a, _ in ranges), 0],
        [*(b for _, b in ranges), -1],
    )
    found, wanted = store.get_many(batch), source.get_many(batch)
    assert found.statuses.tolist() == wanted.statuses.tolist()
    assert found.sizes.tolist() == wanted.sizes.tolist()
    for a, b in zip(found.values, wanted.values, strict=True):
        assert (a is None) == (b is None)
        assert a is None or bytes(a) == bytes(b)
    assert found.statuses[-1] == Status.MISSING
    with pytest.raises(errors.StoreError, match="ends before the requested range"):
        store.get(key, 0, size + 1)
    with pytest.raises(errors.InvalidKeyError):
        store.get("../up")


def test_it_refuses_writes(device: str) -> None:
    store = resident(filled("v2 blosc"))
    z = cuzarr.open(store)
    assert z.read_only
    with pytest.raises(errors.ReadOnlyError):
        z[0] = 1
    for write in (
        lambda: store.set("k", b"x"),
        lambda: store.set_many(["k"], [b"x"]),
        lambda: store.delete(["0.0"]),
        lambda: store.delete_dir(""),
    ):
        with pytest.raises(errors.ReadOnlyError):
            write()
    with pytest.raises(TypeError, match="a DeviceStore cannot be pickled"):
        pickle.dumps(store)


def test_what_it_says_of_itself(device: str) -> None:
    values = np.zeros((64, 64), "f8")
    source = MemoryStore()
    z = cuzarr.create_array(source, shape=(64, 64), dtype="f8", chunks=(16, 64), device="cpu")
    z[...] = values + 7
    store = resident(source)
    assert store.chunks == 4
    assert store.decoded_nbytes == values.nbytes
    assert store.ratio == values.nbytes / store.nbytes > 10
    assert store.host_nbytes == source.size("zarr.json")
    assert repr(store).startswith(
        f"DeviceStore({device}, 4 chunks, 0.0 MiB of 0.0 MiB decoded, ratio"
    )
    assert store != resident(source)
    assert len({store, store}) == 1
    store.close()
    assert repr(store) == f"DeviceStore({device}, closed)"


def test_a_closed_store(device: str) -> None:
    store = resident(filled("v3 zstd"))
    z = cuzarr.open(store)
    store.close()
    with pytest.raises(errors.StoreError, match="'c/0/0'.*closed"):
        z[...]
    with pytest.raises(errors.StoreError, match="'c/0/0'.*closed"):
        store.get("c/0/0")


def test_memory_is_given_back() -> None:
    with use_device("emulated"):
        runtime = cuda.open_backend(0).runtime
        store = resident(filled("v3 shards"))
        z = cuzarr.open(store)
        kept = z[...]
        before = runtime.in_use
        store.close()
        gc.collect()
        runtime.synchronize()
        assert runtime.in_use <= before - store.nbytes
        del kept, z, store
        gc.collect()
        runtime.close()  # fails on memory that is still held


# ---- bad data


@pytest.mark.parametrize("damage", ["truncated", "header", "empty"])
@pytest.mark.parametrize("layout", ["v2 blosc", "v3 zstd", "v3 raw", "v3 checksum", "v3 gzip"])
def test_a_bad_chunk_raises_when_it_is_read(device: str, layout: str, damage: str) -> None:
    source = filled(layout)
    key = "1.1" if layout.startswith("v2") else "c/1/1"
    whole = bytes(source.store_dict[key])
    if layout == "v3 raw" and damage == "header":
        pytest.skip("raw bytes have no redundancy")
    source.set(key, {"truncated": whole[:-5], "header": bytes(4) + whole[4:], "empty": b""}[damage])
    z = cuzarr.open(resident(source))
    with pytest.raises(errors.ChunkDecodeError, match=f"'{key}'") as caught:
        z[...]
    assert caught.value.key == key
    same_bits(z[:16], data("f4")[:16])


def test_an_object_that_cannot_be_read(device: str) -> None:
    class Failing(MemoryStore):
        def get_many(self, batch: RequestBatch) -> Values:
            found = super().get_many(batch)
            statuses, values = found.statuses.copy(), list(found.values)
            for i, key in enumerate(batch.key_list()):
                if key == "stray":
                    statuses[i], values[i] = Status.ERRNO + 5, None
            return Values(values, found.sizes, statuses)

    source = Failing(filled("v3 zstd").store_dict)
    source.set("stray", b"")
    with pytest.raises(errors.StoreError, match="'stray'.*Input/output error"):
        resident(source)


def test_which_chunks_the_device_decodes(device: str) -> None:
    source = filled("v2 blosc")
    source.set("1.1", source.get("1.1")[:-4])
    source.delete(["0.1"])
    store = resident(source)
    shape = cuzarr.open(store).cdata_shape
    expected = np.ones(shape, np.bool_)
    expected[0, 1] = expected[1, 1] = False
    places = store.resident.places(store.chunk_table(""), expected.size)
    np.testing.assert_array_equal(places.reshape(shape), expected)
    assert store.chunks == expected.sum()


def test_a_bad_inner_chunk_names_its_shard(device: str) -> None:
    source = filled("v3 shards")
    whole = bytearray(source.store_dict["c/0/1"])
    whole[:4] = bytes(4)  # of the first inner chunk
    source.set("c/0/1", whole)
    z = cuzarr.open(resident(source))
    with pytest.raises(errors.ChunkDecodeError, match="'c/0/1'"):
        z[...]
    same_bits(z[16:], data("f4")[16:])


def test_a_bad_shard_index_is_seen_at_once(device: str) -> None:
    source = filled("v3 shards")
    whole = bytes(source.store_dict["c/0/1"])
    source.set("c/0/1", whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(errors.ChecksumError, match="'c/0/1'"):
        resident(source)
    source.set("c/0/1", b"short")
    with pytest.raises(errors.ShardIndexError, match="'c/0/1'.*truncated"):
        resident(source)


# ---- threads


@pytest.mark.parametrize("layout", ["v2 blosc", "v3 shards"])
def test_threads(device: str, layout: str) -> None:
    values = np.arange(200 * 100, dtype="f4").reshape(200, 100)
    z = cuzarr.open(resident(filled(layout, values)))
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            for _ in range(5):
                i, j = rng.integers(0, 90, 2)
                same_bits(z[i : i + 50, j:], values[i : i + 50, j:])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
