"""Subclasses and wrappers of stores with verbs of their own: nothing goes past these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import StoreError
from cuzarr.storage import LocalStore, MemoryStore
from cuzarr.storage.base import (
    BytesLike,
    RequestBatch,
    Values,
    is_file_source,
    is_file_target,
    offers,
    reads_into,
)
from cuzarr.storage.located import is_locating
from tests.devices import to_numpy, use_device

VALUES = np.arange(1, 61, dtype="u1").reshape(6, 10)


def turned(key: str, data: Any) -> Any:
    """Return bytes of a chunk with every bit turned; the metadata stay as they are."""
    return bytes(255 - b for b in bytes(data)) if data is not None and "c/" in key else data


class Get:
    """Turns what ``get`` reads."""

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        return turned(key, super().get(key, start, length))  # type: ignore[misc]


class GetMany:
    """Turns what ``get_many`` reads."""

    def get_many(self, batch: RequestBatch) -> Values:
        found = super().get_many(batch)  # type: ignore[misc]
        values = [turned(k, v) for k, v in zip(batch.key_list(), found.values, strict=True)]
        return Values(values, found.sizes, found.statuses)


class Set:
    """Turns what ``set`` writes."""

    def set(self, key: str, value: BytesLike) -> None:
        super().set(key, turned(key, value))  # type: ignore[misc]


class SetMany:
    """Turns what ``set_many`` writes."""

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        super().set_many(keys, [turned(k, v) for k, v in zip(keys, values, strict=True)])  # type: ignore[misc]


def make(base: type[Any], *own: type[Any], root: Path) -> Any:
    kind = type("Own", (*own, base), {})
    return kind(root) if base is LocalStore else kind()


@pytest.mark.parametrize("kind", ["host", "emulated"])
@pytest.mark.parametrize("shards", [None, (4, 10)])
@pytest.mark.parametrize("write", [Set, SetMany])
@pytest.mark.parametrize("read", [(Get, GetMany), (GetMany, Get)], ids=["both", "both, turned"])
@pytest.mark.parametrize("base", [LocalStore, MemoryStore])
def test_what_a_subclass_writes_it_reads(
    base: Any, read: Any, write: Any, shards: Any, kind: str, tmp_path: Path
) -> None:
    """``get`` and ``get_many`` of one class: each turns once."""
    store = make(base, *read, write, root=tmp_path)
    with use_device(kind) as device:
        z = cuzarr.create_array(
            store, shape=(6, 10), chunks=(2, 5), shards=shards, dtype="u1", compressors=None,
            device=device,
        )  # fmt: skip
        z[...] = VALUES
        z[3, 2:7] = VALUES[0, 2:7]
        expected = VALUES.copy()
        expected[3, 2:7] = VALUES[0, 2:7]
        np.testing.assert_array_equal(to_numpy(z[...]), expected)
        for mode in ("r", "r+"):
            again = cuzarr.open_array(store, mode=mode, device=device)
            np.testing.assert_array_equal(to_numpy(again[1:5, 3:]), expected[1:5, 3:])
    plain = LocalStore(tmp_path) if base is LocalStore else MemoryStore(store.store_dict)
    data = plain.get("c/0/0")
    assert data is not None
    stored = np.frombuffer(turned("c/", data), "u1")
    np.testing.assert_array_equal(stored[:10], expected[:2, :5].reshape(-1))


@pytest.mark.parametrize("kind", ["host", "emulated"])
@pytest.mark.parametrize("own", [Get, GetMany])
@pytest.mark.parametrize("base", [LocalStore, MemoryStore])
def test_one_verb_is_enough_to_read_whole_chunks(
    base: Any, own: Any, kind: str, tmp_path: Path
) -> None:
    store = make(base, own, root=tmp_path)
    plain = LocalStore(tmp_path) if base is LocalStore else MemoryStore(store.store_dict)
    cuzarr.create_array(
        plain, data=VALUES, chunks=(2, 5), compressors=None, device="cpu", fill_value=0
    )
    with use_device(kind) as device:
        z = cuzarr.open_array(store, mode="r", device=device)
        np.testing.assert_array_equal(to_numpy(z[...]), 255 - VALUES)


def test_an_instance_may_have_verbs_of_its_own(tmp_path: Path) -> None:
    store: Any = LocalStore(tmp_path)
    z = cuzarr.create_array(store, data=VALUES, chunks=(2, 5), compressors=None, device="cpu")
    assert is_file_source(store)
    assert reads_into(store)
    assert is_file_target(store)
    store.get_many = lambda batch: GetMany.get_many(Turning(), batch)

    class Turning(GetMany, LocalStore):
        def __init__(self) -> None:
            super().__init__(tmp_path)

    assert not is_file_source(store)
    assert not reads_into(store)
    assert is_file_target(store)
    np.testing.assert_array_equal(z[...], 255 - VALUES)


def test_a_wrapper_that_passes_everything_on_sees_every_read(tmp_path: Path) -> None:
    class Passing:
        def __init__(self, inner: LocalStore) -> None:
            self.inner, self.seen = inner, list[str]()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def get_many(self, batch: RequestBatch) -> Values:
            self.seen += batch.key_list()
            return self.inner.get_many(batch)

    store: Any = Passing(LocalStore(tmp_path))
    z = cuzarr.create_array(store, data=VALUES, chunks=(2, 5), device="cpu")
    store.seen.clear()
    np.testing.assert_array_equal(z[...], VALUES)
    assert sorted(store.seen) == sorted(f"c/{i}/{j}" for i in range(3) for j in range(2))


def test_what_a_class_offers() -> None:
    class Base:
        def read(self) -> None: ...
        def fast(self) -> None: ...

    class Slower(Base):
        def read(self) -> None: ...

    class Faster(Slower):
        def read(self) -> None: ...
        def fast(self) -> None: ...

    assert offers(Base(), "fast", "read")
    assert not offers(Slower(), "fast", "read")
    assert offers(Slower(), "fast")
    assert offers(Faster(), "fast", "read")
    assert not offers(Base(), "faster", "read")
    assert not offers(Base(), "faster")
    assert is_locating(MemoryStore())
    assert not is_locating(LocalStore("."))


def test_a_get_that_asks_for_a_batch() -> None:
    class Batched(MemoryStore):
        def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
            found = self.get_many(RequestBatch.of([key], [start], [length])).values[0]
            return None if found is None else bytes(found)

    z = cuzarr.create_array(Batched(), data=VALUES, chunks=(2, 5), shards=(4, 10), device="cpu")
    np.testing.assert_array_equal(z[...], VALUES)


def test_a_get_of_whole_objects_alone() -> None:
    class Whole(MemoryStore):
        def get(self, key: str) -> bytes | None:  # type: ignore[override]
            return super().get(key)

    z = cuzarr.create_array(Whole(), data=VALUES, chunks=(2, 5), device="cpu")
    np.testing.assert_array_equal(z[...], VALUES)


@pytest.mark.parametrize("base", [LocalStore, MemoryStore])
def test_errors_of_a_get_name_the_chunk(base: Any, tmp_path: Path) -> None:
    class Failing(base):  # type: ignore[misc]
        def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
            if key == "c/1/0":
                raise PermissionError(13, "not for you")
            if key == "c/2/0":
                raise FileNotFoundError(2, "gone")
            if key == "c/0/1":
                raise StoreError("in words of its own")
            found: bytes | None = super().get(key, start, length)
            return found

    store = Failing(tmp_path) if base is LocalStore else Failing()
    z = cuzarr.create_array(store, data=VALUES, chunks=(2, 5), fill_value=7, device="cpu")
    with pytest.raises(StoreError, match="'c/1/0': Permission denied"):
        z[2:]
    with pytest.raises(StoreError, match="in words of its own"):
        z[0]
    np.testing.assert_array_equal(z[:2, :5], VALUES[:2, :5])
    assert (z[4:, :5] == 7).all()
