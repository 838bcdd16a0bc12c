"""Store objects of zarr-python in cuzarr, and stores of cuzarr in zarr-python."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.storage.base import RequestBatch, Status

zarr = pytest.importorskip("zarr", minversion="3.1")

from zarr.core.buffer import cpu, default_buffer_prototype  # noqa: E402

from cuzarr.interop.zarr import ZarrStore, as_zarr_store  # noqa: E402

pytestmark = pytest.mark.interop
DATA = np.arange(60, dtype="f4").reshape(6, 10)
LAYOUTS: list[dict[str, Any]] = [
    {"zarr_format": 2, "chunks": (4, 3)},
    {"zarr_format": 3, "chunks": (4, 3)},
    {"zarr_format": 3, "chunks": (2, 5), "shards": (4, 10)},
]


def stores(tmp_path: Path) -> dict[str, Any]:
    found = {
        "memory": zarr.storage.MemoryStore(),
        "local": zarr.storage.LocalStore(tmp_path / "local"),
        "zip": zarr.storage.ZipStore(tmp_path / "x.zip", mode="w"),
        "logging": zarr.storage.LoggingStore(zarr.storage.MemoryStore(), log_level="ERROR"),
    }
    try:
        import obstore

        found["object"] = zarr.storage.ObjectStore(obstore.store.MemoryStore())
    except ImportError:
        pass
    try:
        from fsspec.implementations.local import LocalFileSystem

        files = LocalFileSystem(auto_mkdir=True)
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        root = str(tmp_path / "fsspec")
        found["fsspec"] = zarr.storage.FsspecStore(
            AsyncFileSystemWrapper(files, asynchronous=True), path=root
        )
    except ImportError:
        pass
    return found


@pytest.mark.parametrize("kind", ["memory", "local", "zip", "logging", "object", "fsspec"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["v2", "v3", "sharded"])
def test_cuzarr_in_a_store_of_zarr(tmp_path: Path, kind: str, layout: dict[str, Any]) -> None:
    found = stores(tmp_path)
    if kind not in found:
        pytest.skip(f"the package of {kind} is not installed")
    store = found[kind]
    root = cuzarr.group(store, zarr_format=layout["zarr_format"])
    z = root.create_array("a/b", data=DATA, attributes={"k": [1]}, **layout)
    assert np.array_equal(z[...], DATA)
    assert np.array_equal(z[1:5:2, ::3], DATA[1:5:2, ::3])
    assert sorted(root.keys()) == ["a"]
    mode = "r+" if kind == "zip" else "r"  # their archive that is being written has no other view
    theirs = zarr.open_group(store, mode=mode)["a/b"]
    assert np.array_equal(theirs[...], DATA)
    assert dict(theirs.attrs) == {"k": [1]}
    if kind != "zip":
        z.resize((3, 10))
        assert z.nshards_initialized == (1 if "shards" in layout else -(-3 // 4) * 4)
        del root["a"]
        assert len(root) == 0
    store.close()


@pytest.mark.parametrize("layout", LAYOUTS, ids=["v2", "v3", "sharded"])
def test_zarr_in_a_store_of_cuzarr(tmp_path: Path, layout: dict[str, Any]) -> None:
    for inner in (cuzarr.MemoryStore(), cuzarr.storage.LocalStore(tmp_path)):
        store = as_zarr_store(inner)
        z = zarr.create_array(store, name="a", shape=DATA.shape, dtype=DATA.dtype, **layout)
        z[...] = DATA
        z.attrs["k"] = 1
        ours = cuzarr.open_array(inner, path="a", mode="r")
        assert np.array_equal(ours[...], DATA)
        again = zarr.open_array(as_zarr_store(inner, read_only=True), path="a", mode="r")
        assert np.array_equal(again[2:5, 1], DATA[2:5, 1])
        assert sorted(zarr.open_group(store, zarr_format=layout["zarr_format"], mode="a")) == ["a"]
        store.close()


def test_ranges_of_a_zarr_store() -> None:
    store = cuzarr.storage.as_store(zarr.storage.MemoryStore())
    store.set("k", b"0123456789")
    batch = RequestBatch.of(
        ["k"] * 7 + ["m"], [0, 2, -3, 4, 8, 10, 11, 0], [-1, 3, -1, -1, 5, -1, -1, 1]
    )
    answer = store.get_many(batch)
    found = [None if value is None else bytes(value) for value in answer.values]
    assert found == [b"0123456789", b"234", b"789", b"456789", None, b"", None, None]
    assert answer.statuses.tolist()[4:] == [Status.SHORT, Status.OK, Status.SHORT, Status.MISSING]


def test_store_path_and_read_only() -> None:
    inner = zarr.storage.MemoryStore()
    cuzarr.create_array(inner, name="deep/a", data=DATA)
    place = zarr.storage.StorePath(inner, "deep")
    assert np.array_equal(cuzarr.open_array(place, path="a", mode="r")[...], DATA)
    z = cuzarr.open_array(inner.with_read_only(True), path="deep/a")
    assert z.read_only
    with pytest.raises(cuzarr.errors.ReadOnlyError, match="read-only"):
        cuzarr.create_array(inner.with_read_only(True), name="b", shape=1)


def test_one_batch_is_gathered() -> None:
    """Requests overlap, as many at a time as the configuration says."""

    class Slow(zarr.storage.MemoryStore):
        now = most = 0

        async def get(self, *args: Any, **options: Any) -> Any:
            Slow.now += 1
            Slow.most = max(Slow.most, Slow.now)
            await asyncio.sleep(0.001)
            Slow.now -= 1
            return await super().get(*args, **options)

    store = cuzarr.storage.as_store(Slow())
    keys = [f"k{i}" for i in range(40)]
    store.set_many(keys, [key.encode() for key in keys])
    with cuzarr.config.set({"async.concurrency": 7}):
        values = store.get_many(RequestBatch.of(keys)).values
    assert [bytes(value) for value in values if value is not None] == [k.encode() for k in keys]
    assert Slow.most == 7


def test_errors_name_the_key() -> None:
    class Broken(zarr.storage.MemoryStore):
        async def get(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("no connection")

        async def set(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("no connection")

    store = cuzarr.storage.as_store(Broken())
    with pytest.raises(cuzarr.errors.StoreError, match=r"cannot read 'some/key'.*no connection"):
        store.get("some/key")
    with pytest.raises(cuzarr.errors.StoreError, match=r"cannot write 'k1'.*no connection"):
        store.set_many(["k1"], [b""])
    with pytest.raises(cuzarr.errors.InvalidKeyError, match=r"'\.\./x'"):
        store.get("../x")


def test_inside_a_running_loop() -> None:
    """Synchronous calls work where an event loop is running: in a notebook."""
    store = zarr.storage.MemoryStore()

    async def work() -> Any:
        z = cuzarr.array(DATA, store=store)
        return z[...]

    assert np.array_equal(asyncio.run(work()), DATA)


def test_the_interface_of_zarr(tmp_path: Path) -> None:
    store = as_zarr_store(tmp_path)
    prototype = default_buffer_prototype()
    abc = zarr.abc.store

    async def work() -> None:
        await store.set("a/b", cpu.Buffer.from_bytes(b"0123456789"))
        await store.set_if_not_exists("a/b", cpu.Buffer.from_bytes(b"no"))
        assert await store.exists("a/b")
        assert await store.getsize("a/b") == 10
        ranges = [None, abc.RangeByteRequest(2, 4), abc.OffsetByteRequest(7),
                  abc.SuffixByteRequest(2), abc.RangeByteRequest(8, 20)]  # fmt: skip
        found = await store.get_partial_values(prototype, [("a/b", wanted) for wanted in ranges])
        assert [value.to_bytes() for value in found] == [
            b"0123456789", b"23", b"789", b"89", b"89",
        ]  # fmt: skip
        assert await store.get("nothing", prototype) is None
        with pytest.raises(FileNotFoundError):
            await store.getsize("nothing")
        assert [key async for key in store.list()] == ["a/b"]
        assert [key async for key in store.list_prefix("a/")] == ["a/b"]
        assert [key async for key in store.list_prefix("x")] == []
        assert [name async for name in store.list_dir("")] == ["a"]
        assert not await store.is_empty("")
        with pytest.raises(TypeError, match="expected a Buffer for 'k'"):
            await store.set("k", b"bytes")
        await store.delete("a/b")
        await store.delete("a/b")
        await store.set("c/d", cpu.Buffer.from_bytes(b"x"))
        await store.delete_dir("c")
        assert await store.is_empty("")
        await store.set("c", cpu.Buffer.from_bytes(b"x"))
        await store.clear()
        assert await store.is_empty("")
        with pytest.raises(ValueError, match="read"):
            await store.with_read_only(True).set("k", cpu.Buffer.from_bytes(b"x"))

    asyncio.run(work())
    assert pickle.loads(pickle.dumps(store)) == store
    assert store == ZarrStore(tmp_path)
    assert store != ZarrStore(tmp_path, read_only=True)
    assert str(store) == f"file://{tmp_path}"
    assert str(store) in repr(store)
    with pytest.raises(TypeError, match="expected a byte range"):
        asyncio.run(store.get("k", prototype, 3))


def test_what_cannot_be_read_of_a_store_of_cuzarr(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    store, prototype = as_zarr_store(tmp_path), default_buffer_prototype()
    with pytest.raises(cuzarr.errors.StoreError, match="cannot read 'loop'"):
        asyncio.run(store.get("loop", prototype))

    class Vanishing(cuzarr.storage.WrapperStore):
        """Deletes what was read."""

        def get_many(self, batch: RequestBatch) -> Any:
            answer = super().get_many(batch)
            self.delete(batch.key_list())
            return answer

    short = as_zarr_store(Vanishing({"k": b"0123"}))
    wanted = zarr.abc.store.RangeByteRequest(2, 9)
    assert asyncio.run(short.get("k", prototype, wanted)) is None


def test_pickled_adapter(tmp_path: Path) -> None:
    store = zarr.storage.LocalStore(tmp_path)
    z = cuzarr.array(DATA, store=store)
    again = pickle.loads(pickle.dumps(z))
    assert np.array_equal(again[...], DATA)
    assert again == z
    assert hash(again.store) == hash(z.store)
