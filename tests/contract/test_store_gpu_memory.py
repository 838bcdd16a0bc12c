"""``GpuMemoryStore``: values that are no host memory, given in a mapping, copied from one, written.

Whatever of them is read comes as bytes of the host; what is written stays there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import StoreError
from cuzarr.storage import GpuMemoryStore, MemoryStore
from cuzarr.storage.base import RequestBatch
from tests.devices import to_numpy, use_device

CONTENT = bytes(range(200))


class DeviceArray:
    """What CuPy's arrays have; the host cannot read its memory."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.__cuda_array_interface__ = {"shape": (len(raw),), "typestr": "|u1", "data": (1, True)}
        self.downloads = 0

    def get(self) -> np.ndarray[Any, Any]:
        self.downloads += 1
        return np.frombuffer(self._raw, np.uint8)


class Buffer:
    """What zarr-python's buffers have, on whatever device."""

    def __init__(self, raw: bytes) -> None:
        self._array = DeviceArray(raw)

    def as_numpy_array(self) -> np.ndarray[Any, Any]:
        return self._array.get()


def zarr_buffer(raw: bytes) -> Any:
    return pytest.importorskip("zarr.core.buffer.cpu").Buffer.from_bytes(raw)


KINDS = [bytes, bytearray, lambda raw: np.frombuffer(raw, np.uint8), Buffer, DeviceArray,
         zarr_buffer]  # fmt: skip


@pytest.fixture(params=KINDS, ids=["bytes", "bytearray", "numpy", "buffer", "array", "zarr"])
def make(request: pytest.FixtureRequest) -> Any:
    return request.param


def check(store: GpuMemoryStore) -> None:
    assert store.get("a/b") == CONTENT
    assert store.get("a/b", -20, 5) == CONTENT[-20:-15]
    assert store.size("a/b") == len(CONTENT)
    assert list(store.list("a")) == ["a/b"]
    batch = RequestBatch.of(["a/b", "none", "a/b"], [7, 0, 0], [3, -1, -1])
    for found in (store.get_many(batch), store.locate(batch)):
        assert found.sizes.tolist() == [3, -1, 200]
    values = store.get_many(batch).values
    assert [None if v is None else bytes(v) for v in values] == [CONTENT[7:10], None, CONTENT]


def test_a_mapping_is_kept(make: Any) -> None:
    given: dict[str, Any] = {"a/b": make(CONTENT)}
    store = GpuMemoryStore(given)
    value = given["a/b"]
    check(store)
    assert given["a/b"] is value
    store.set("a/b", b"new")
    assert given == {"a/b": b"new"}
    assert GpuMemoryStore(given, read_only=True).read_only


def test_a_mapping_is_copied(make: Any) -> None:
    given: dict[str, Any] = {"a/b": make(CONTENT)}
    store = GpuMemoryStore.from_dict(given)
    assert store.store_dict is not given
    check(store)
    assert type(store.store_dict["a/b"]) is bytes
    store.delete(["a/b"])
    assert "a/b" in given


def test_what_is_written_lies_in_host_memory(make: Any) -> None:
    store = GpuMemoryStore()
    store.set("x", make(CONTENT))
    store.set_many(["y"], [make(CONTENT)])
    assert store.store_dict == {"x": CONTENT, "y": CONTENT}
    value = DeviceArray(CONTENT)
    store.set("z", value)
    assert [store.get("z") for _ in range(3)] == [CONTENT] * 3
    assert value.downloads == 1


def test_its_names() -> None:
    store = GpuMemoryStore()
    assert str(store) == f"gpumemory://{id(store.store_dict)}"
    assert repr(store) == f"GpuMemoryStore('{store}')"
    assert repr(MemoryStore(store.store_dict)).startswith("MemoryStore('memory://")


def test_what_is_no_buffer_is_named() -> None:
    for store in (GpuMemoryStore({"k": 3}), MemoryStore({"k": DeviceArray(b"")})):
        with pytest.raises(StoreError, match="'k'.*is no contiguous buffer"):
            store.get("k")
    with pytest.raises(StoreError, match="'k'.*is no contiguous buffer"):
        GpuMemoryStore().set("k", object())


@pytest.mark.parametrize("kind", [Buffer, DeviceArray])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_of_it(kind: Any, zarr_format: Any, device_kind: str) -> None:
    plain: dict[str, Any] = {}
    data = np.arange(60.0).reshape(6, 10)
    cuzarr.create_array(plain, data=data, chunks=(2, 5), zarr_format=zarr_format, device="cpu")
    given = {key: kind(bytes(value)) for key, value in plain.items()}
    with use_device(device_kind) as device:
        z = cuzarr.open_array(GpuMemoryStore(given), device=device)
        np.testing.assert_array_equal(to_numpy(z[...]), data)
        z[1:3, 2] = 7
        data[1:3, 2] = 7
        np.testing.assert_array_equal(to_numpy(z[::-1]), data[::-1])
    assert sum(type(value) is bytes for value in given.values()) == 2
