"""``as_store``, node paths, and what the stores of users may do."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from cuzarr.errors import InvalidKeyError, MissingPackageError, ReadOnlyError, StoreError
from cuzarr.storage import GpuMemoryStore, LocalStore, MemoryStore, WrapperStore, as_store
from cuzarr.storage.adapter import BatchAdapter
from cuzarr.storage.async_base import Buffer
from cuzarr.storage.base import RequestBatch, Status, Values
from cuzarr.storage.located import locate
from cuzarr.storage.prefix import join, normalize_path
from cuzarr.storage.status import status_error
from tests.contract.store_cases import OneKeyStore, PlainMapping, RangeStore


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    expected = LocalStore(tmp_path / "a b")
    spellings = [
        "a b", "./a b", tmp_path / "a b", f"{tmp_path}/a b/", "~/a b",
        f"file://{tmp_path}/a%20b", f"file://localhost{tmp_path}/a b", f"FILE://{tmp_path}/a b",
    ]  # fmt: skip
    for spelling in spellings:
        assert as_store(spelling) == expected, spelling
    assert as_store("a b", read_only=True) == LocalStore(tmp_path / "a b", read_only=True)


def test_a_colon_in_a_path_is_no_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert as_store("2020-01-01T00:00") == LocalStore(tmp_path / "2020-01-01T00:00")


def test_mappings():
    mapping: dict[str, bytes] = {}
    store = as_store(mapping)
    assert store == MemoryStore(mapping)
    store.set("a", b"x")
    assert mapping == {"a": b"x"}
    assert isinstance(as_store(PlainMapping()), MemoryStore)
    with pytest.raises(ReadOnlyError):
        as_store(mapping, read_only=True).set("a", b"y")


def test_none_is_a_new_store_each_time():
    assert as_store(None) != as_store(None)


def test_key_store():
    inner = OneKeyStore()
    store = as_store(inner)
    assert store == BatchAdapter(inner)
    store.set("a", b"x")
    assert inner.objects == {"a": b"x"}
    with pytest.raises(ReadOnlyError):
        as_store(inner, read_only=True).set("a", b"y")


class AsyncStore(OneKeyStore):
    async def get(self, key: str) -> None:
        return None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("nowhere://bucket/x", StoreError, "'nowhere://bucket/x' names no store: .*nowhere"),
        ("file://host/x", StoreError, "names another host"),
        ("", StoreError, "path of a store is empty"),
        ("a\0b", StoreError, "holds a NUL"),
        ("some/x.zip", StoreError, "'some/x.zip' names a zip archive.*mode='w'"),
        (5, TypeError, "cannot use int as a store"),
        (object(), TypeError, "cannot use object as a store"),
        (AsyncStore(), TypeError, "AsyncStore is an asynchronous store"),
    ],
    ids=lambda value: (
        repr(value) if isinstance(value, str) else getattr(value, "__name__", "object")
    ),
)
def test_what_is_refused(given: object, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        as_store(given)


def test_remote_stores_name_the_package_they_need(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    for url in ("s3://bucket/x", "gs://x", "memory://x"):
        with pytest.raises(MissingPackageError, match=f"'{url}' is a remote store.*fsspec"):
            as_store(url)


def test_storage_options_are_those_of_a_url():
    for given in ("some/path", {}, None):
        with pytest.raises(TypeError, match="not named by a URL"):
            as_store(given, storage_options={"anon": True})


def test_a_directory_that_ends_in_zip_is_a_directory(tmp_path: Path):
    (tmp_path / "x.zip").mkdir()
    assert isinstance(as_store(tmp_path / "x.zip"), LocalStore)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, ""), ("", ""), ("/", ""), ("a", "a"), ("/a//b/", "a/b"), ("a\\b", "a/b"),
     ("ä/日本", "ä/日本"), ("...", "..."), (".hidden", ".hidden")],
)  # fmt: skip
def test_normalize_path(given: str | None, expected: str):
    assert normalize_path(given) == expected


@pytest.mark.parametrize("given", ["..", "a/../b", "./a", "a/.", "a\\..\\b", "a\0"])
def test_normalize_path_refuses(given: str):
    with pytest.raises(InvalidKeyError, match=r"invalid key"):
        normalize_path(given)


def test_join():
    assert join("a/b", "c") == "a/b/c"
    assert join("", "c") == "c"
    assert join("a", "") == "a"


def test_status_errors_name_key_store_and_reason():
    error = status_error("memory://1", "a/c/0", Status.ERRNO + errno.EACCES)
    assert isinstance(error, StoreError)
    assert error.errno == errno.EACCES
    assert "'a/c/0' in memory://1: Permission denied" in str(error)
    assert "no such key" in str(status_error("s", "k", Status.MISSING))
    assert "slab is too small" in str(status_error("s", "k", Status.NO_SPACE))


# -- stores of users -------------------------------------------------------------------------


class FailingStore(OneKeyStore):
    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def get(self, key: str) -> bytes | None:
        raise self.error

    def set(self, key: str, value: bytes) -> None:
        raise self.error

    def delete(self, key: str) -> None:
        raise self.error

    def list(self, prefix: str) -> list[str]:
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("boom"), PermissionError(13, "Permission denied")])
def test_errors_of_a_users_store_name_the_key(error: Exception):
    store = as_store(FailingStore(error))
    for verb, call in {
        "read": lambda: store.get("a/k"),
        "write": lambda: store.set("a/k", b"x"),
        "delete": lambda: store.delete(["a/k"]),
        "list": lambda: store.list("a/k"),
    }.items():
        with pytest.raises(
            StoreError, match=rf"cannot {verb} 'a/k' in failingstore://.*(boom|denied)"
        ):
            call()


def test_an_os_error_of_a_users_store_is_the_status_of_its_request():
    batch = RequestBatch.of(["k"])
    denied = as_store(FailingStore(PermissionError(errno.EACCES, "no"))).get_many(batch)
    assert denied.statuses.tolist() == [Status.ERRNO + errno.EACCES]
    missing = as_store(FailingStore(FileNotFoundError(errno.ENOENT, "no"))).get_many(batch)
    assert missing.statuses.tolist() == [Status.MISSING]
    missing = as_store(FailingStore(KeyError("k"))).get_many(batch)
    assert missing.statuses.tolist() == [Status.MISSING]


def test_an_error_of_cuzarr_in_a_users_store_passes_unchanged():
    error = ReadOnlyError("mine")
    store = as_store(FailingStore(error))
    for call in (lambda: store.get("k"), lambda: store.set("k", b"")):
        with pytest.raises(ReadOnlyError) as caught:
            call()
        assert caught.value is error


def test_a_users_store_that_returns_no_bytes():
    inner = OneKeyStore()
    inner.objects["k"] = "text"
    with pytest.raises(StoreError, match=r"'k'.* contiguous buffer"):
        as_store(inner).get("k")


def test_a_users_store_that_returns_too_much():
    class Greedy(RangeStore):
        def get_range(self, key: str, start: int, length: int) -> bytes:
            return b"x" * 100

    with pytest.raises(StoreError, match=r"returned 100 bytes of 'k' where 3 were asked for"):
        as_store(Greedy()).get("k", 0, 3)


def test_calls_of_a_store_that_is_not_parallel_safe_never_overlap():
    import threading

    class Counting(OneKeyStore):
        inside = worst = 0

        def get(self, key: str) -> bytes | None:
            self.inside += 1
            self.worst = max(self.worst, self.inside)
            value = super().get(key)
            threading.Event().wait(0.001)
            self.inside -= 1
            return value

    inner = Counting()
    store = as_store(inner)
    threads = [
        threading.Thread(target=store.get_many, args=(RequestBatch.of(["a"] * 20),))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inner.worst == 1


def test_closing_reaches_the_users_store():
    class Closing(OneKeyStore):
        closed = False

        def close(self) -> None:
            self.closed = True

    inner = Closing()
    as_store(inner).close()
    assert inner.closed


def test_a_mapping_with_values_that_are_no_bytes():
    store = MemoryStore({"a/k": "text", 5: b"odd key"})
    with pytest.raises(StoreError, match=r"'a/k'.* contiguous buffer"):
        store.get("a/k")
    assert list(store.list()) == ["a/k"]
    with pytest.raises(StoreError, match=r"'a/k'.* contiguous buffer"):
        locate(store, RequestBatch.of(["a/k"]))


def test_values_that_cannot_be_located():
    class Strided(WrapperStore):
        def get_many(self, batch: RequestBatch) -> Values:
            found = super().get_many(batch)
            values = [b"01", memoryview(b"0123")[::2]]
            return Values(values, found.sizes, found.statuses)

    store = Strided({"a": b"01", "b": b"02"})
    with pytest.raises(StoreError, match="the value of 'b' is no contiguous buffer of bytes"):
        locate(store, RequestBatch.of(["a", "b"]))


@pytest.mark.parametrize("n", [1, 100])
def test_keys_that_are_no_text_cannot_be_located(n: int):
    offsets = np.arange(n + 1) * 2
    whole = np.full(n, -1)
    batch = RequestBatch(b"ab" * (n - 1) + b"a\xff", offsets, np.zeros(n, np.int64), whole)
    with pytest.raises(InvalidKeyError, match="not UTF-8"):
        MemoryStore({"ab": b""}).locate(batch)


def test_a_store_that_takes_arrays_of_a_device():
    class OnDevice:
        __cuda_array_interface__: ClassVar = {"version": 3}

        def get(self) -> Any:
            return np.arange(3, dtype="u1")

    given = {"a": b"01", "b": Buffer.from_bytes(b"23"), "c": OnDevice()}
    store = GpuMemoryStore.from_dict(given)
    assert [store.get(key) for key in "abc"] == [b"01", b"23", b"\x00\x01\x02"]
    store.set("d", bytearray(b"4"))
    assert "d" not in given
    with pytest.raises(StoreError, match="'e'"):
        store.set("e", "text")
