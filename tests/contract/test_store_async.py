"""Stores with the interface of zarr-python: what goes wrong in them, and what they are given."""

from __future__ import annotations

import asyncio
import os
import warnings
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import abc, errors
from cuzarr.abc.codec import BaseCodec
from cuzarr.abc.metadata import Metadata
from cuzarr.abc.store import Store
from cuzarr.storage import as_store
from cuzarr.storage.async_base import (
    AsyncStore,
    Buffer,
    RangeByteRequest,
    default_buffer_prototype,
)
from cuzarr.storage.base import RequestBatch, Status
from tests.contract.store_cases import AwaitedStore


class Server(AwaitedStore):
    """Refuses a range that the object does not have, as servers do."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        whole = await super().get(key, prototype)
        match byte_range:
            case abc.store.RangeByteRequest(start, _):
                short = start >= len(whole)
            case abc.store.OffsetByteRequest(offset):
                short = offset >= len(whole)
            case _:
                short = False
        if short:
            raise RuntimeError("416 Range Not Satisfiable")
        return await super().get(key, prototype, byte_range)


def test_import_paths() -> None:
    assert Store is AsyncStore
    assert issubclass(cuzarr.codecs.ZstdCodec, BaseCodec)
    assert isinstance(cuzarr.zeros(1).metadata, Metadata)
    assert cuzarr.types.AnyArray is cuzarr.Array


def test_a_range_past_the_end() -> None:
    store = as_store(Server())
    store.set("k", b"0123")
    batch = RequestBatch.of(["k"] * 4, [4, 5, 9, 2], [1, -1, 0, 2])
    answer = store.get_many(batch)
    assert answer.statuses.tolist() == [Status.SHORT, Status.SHORT, Status.SHORT, Status.OK]
    assert bytes(answer.values[3] or b"") == b"23"


def failing(error: BaseException, *methods: str) -> AwaitedStore:
    store = AwaitedStore()

    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    for method in methods:
        setattr(store, method, fail)
    return store


def test_errors_of_the_system_are_statuses() -> None:
    store = as_store(failing(OSError(5, "Input/output error"), "get"))
    assert store.get_many(RequestBatch.of(["k"])).statuses.tolist() == [Status.ERRNO + 5]
    with pytest.raises(errors.StoreError, match="'k'"):
        store.get("k")


@pytest.mark.parametrize("error", [FileNotFoundError("k"), KeyError("k"), IsADirectoryError("k")])
def test_what_is_missing(error: Exception) -> None:
    store = as_store(failing(error, "get", "delete", "getsize"))
    assert store.get("k") is None
    assert store.size("k") is None
    store.delete(["k"])


def test_other_errors_name_the_key() -> None:
    methods = ("get", "set", "delete", "exists", "getsize", "delete_dir", "clear")
    store = as_store(failing(RuntimeError("lost"), *methods))
    calls: list[tuple[str, Any]] = [
        ("read 'k'", lambda: store.get("k")),
        ("read 'k'", lambda: store.get("k", 3, 2)),
        ("write 'k'", lambda: store.set("k", b"")),
        ("delete 'k'", lambda: store.delete(["k"])),
        ("look for 'k'", lambda: store.exists("k")),
        ("look at 'k'", lambda: store.size("k")),
        ("delete 'd'", lambda: store.delete_dir("d")),
        ("delete ''", lambda: store.delete_dir("")),
    ]
    for what, call in calls:
        with pytest.raises(errors.StoreError, match=rf"cannot {what} in .*: RuntimeError: lost"):
            call()


def test_errors_of_cuzarr_pass() -> None:
    own = errors.ReadOnlyError("no")
    store = as_store(failing(own, "get", "set"))
    with pytest.raises(errors.ReadOnlyError, match="no"):
        store.get("k")
    with pytest.raises(errors.ReadOnlyError, match="no"):
        store.set("k", b"")


def test_nothing_is_started_after_an_error() -> None:
    started: list[str] = []

    class Stops(AwaitedStore):
        async def set(self, key: str, value: Any) -> None:
            started.append(key)
            raise RuntimeError("full")

    with (
        cuzarr.config.set({"async.concurrency": 1}),
        pytest.raises(errors.StoreError, match="cannot write 'k0' in .*: RuntimeError: full"),
    ):
        as_store(Stops()).set_many([f"k{i}" for i in range(5)], [b""] * 5)
    assert started == ["k0"]


@pytest.mark.parametrize("refuses", ["adapter", "store"])
def test_read_only(refuses: str) -> None:
    inner = AwaitedStore()
    inner._read_only = refuses == "store"
    store = as_store(inner, read_only=refuses == "adapter")
    for call in (
        lambda: store.set("k", b""), lambda: store.delete(["k"]), lambda: store.delete_dir(""),
    ):  # fmt: skip
        with pytest.raises(errors.ReadOnlyError):
            call()


def test_what_the_base_class_does() -> None:
    async def work() -> None:
        store = AwaitedStore()
        await store.set("a/b", Buffer.from_bytes(b"123"))
        await store.set_if_not_exists("a/b", Buffer.from_bytes(b"no"))
        await store.set_if_not_exists("c", Buffer.from_bytes(b"yes"))
        assert await store.getsize("a/b") == 3
        ranges = [("a/b", None), ("a/b", RangeByteRequest(1, 2)), ("d", None)]
        found = await store.get_partial_values(default_buffer_prototype(), ranges)
        assert [b"missing" if one is None else one.to_bytes() for one in found] == [
            b"123", b"2", b"missing",
        ]  # fmt: skip
        with pytest.raises(FileNotFoundError, match="d"):
            await store.getsize("d")
        assert not await store.is_empty("a")
        await store.delete_dir("a/")
        assert await store.is_empty("a")
        assert not await store.is_empty("")
        await store.clear()
        assert await store.is_empty("")
        store.close()

    asyncio.run(work())


def test_buffer() -> None:
    buffer = Buffer.from_bytes(b"0123")
    assert len(buffer) == 4
    assert buffer[1:3].to_bytes() == b"12"
    assert (buffer + Buffer.create_zero_length()) == buffer
    assert np.array_equal(buffer.as_array_like(), buffer.as_numpy_array())
    assert Buffer.from_array_like(np.arange(2, dtype="<i2")).to_bytes() == b"\0\0\1\0"
    assert Buffer.from_buffer(buffer) == buffer
    assert buffer != b"0123"


def test_a_forked_child_has_a_loop_of_its_own() -> None:
    store = as_store(AwaitedStore())
    store.set("k", b"1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
        child = os.fork()
    if child == 0:
        os._exit(0 if store.get("k") == b"1" else 1)
    assert os.waitpid(child, 0)[1] == 0
