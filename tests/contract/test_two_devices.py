"""Several devices, several threads, forked children."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import device_store, errors
from cuzarr.storage import MemoryStore
from tests.contract.test_devices import data, same_bits
from tests.devices import use_device, use_two_devices


def stored(shift: int = 0, **options: Any) -> MemoryStore:
    source = MemoryStore()
    values = data("i4") + shift
    cuzarr.create_array(source, data=values, chunks=(16, 20), device="cpu", **options)
    return source


def in_threads(*works: Callable[[], None]) -> None:
    """Run all at once, and raise the first error of any."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("seed", range(3))
def test_every_call_runs_on_the_device_of_its_array(seed: int) -> None:
    with use_two_devices(seed) as (first, second):
        source = stored()
        for number, backend in enumerate((first, second)):
            z = cuzarr.open(source, device=f"cuda:{number}")
            found = z[3:30]
            assert found.runtime is backend.runtime
            same_bits(found, data("i4")[3:30])
            z[32:35] = found[:3]
            del found
        same_bits(cuzarr.open(source, device="cpu")[32:35], data("i4")[3:6])
        gc.collect()
        first.runtime.close()
        second.runtime.close()


def test_values_and_outputs_of_the_other_device() -> None:
    with use_two_devices() as (first, _):
        a = cuzarr.open(stored(), device="cuda:0")
        b = cuzarr.open(stored(1), device="cuda:1")
        b[:] = a[:]
        same_bits(b[:], data("i4"))
        with pytest.raises(ValueError, match="out is on cuda:0, the array on cuda:1"):
            b.get_basic_selection(..., out=a[:])
        moved = b.to_device("cuda:0")[3:9]
        assert moved.runtime is first.runtime
        same_bits(moved, data("i4")[3:9])


def test_a_device_store_on_the_second_device() -> None:
    with cuzarr.config.set({"device": "auto"}), use_two_devices() as (first, second):
        store = cuzarr.DeviceStore.from_store(stored(shards=(32, 40)), device="cuda:1")
        z = cuzarr.open(store)
        assert (store.device, z.device) == ("cuda:1", "cuda:1")
        assert z.device_reason == "auto: the store keeps its chunks there"
        assert z[:].runtime is second.runtime
        elsewhere = z.to_device("cuda:0")[4:20]  # by a download and an upload
        assert elsewhere.runtime is first.runtime
        same_bits(elsewhere, data("i4")[4:20])
        with pytest.raises(errors.NoDeviceError, match="cuda:2"):
            cuzarr.DeviceStore.from_store(stored(), device="cuda:2")


@pytest.mark.parametrize("through", [False, True], ids=["memory", "device store"])
def test_threads_on_two_devices(through: bool) -> None:
    with use_two_devices(5) as backends:
        arrays = []
        for number in range(2):
            source: Any = stored(number)
            if through:
                source = cuzarr.DeviceStore.from_store(source, device=f"cuda:{number}")
            arrays.append(cuzarr.open(source, device=f"cuda:{number}"))

        def work(seed: int, number: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(4):
                i, j = rng.integers(0, 25, 2).tolist()
                found = arrays[number][i : i + 12, j:]
                assert found.runtime is backends[number].runtime
                same_bits(found, (data("i4") + number)[i : i + 12, j:])

        in_threads(*(lambda s=s: work(s, s % 2) for s in range(4)))


def test_threads_read_and_write_parts_of_their_own() -> None:
    with use_device("emulated", 2) as device:
        z = cuzarr.create_array(
            None, shape=(80, 50), dtype="i4", chunks=(10, 50), device=device, fill_value=-1
        )
        values = np.arange(80 * 50, dtype="i4").reshape(80, 50)

        def work(first: int) -> None:
            for row in range(first, first + 20, 10):
                z[row : row + 10] = values[row : row + 10]
                same_bits(z[row + 2 : row + 8], values[row + 2 : row + 8])

        in_threads(*(lambda first=first: work(first) for first in range(0, 80, 20)))
        same_bits(z[:], values)


def test_a_forked_child_cannot_use_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_device("emulated"):
        store = cuzarr.DeviceStore.from_store(stored())
        monkeypatch.setattr(device_store, "was_forked", lambda: True)
        with pytest.raises(errors.NoDeviceError, match="'c/0/0'.*fork"):
            store.get("c/0/0")
        with pytest.raises(errors.NoDeviceError, match="fork"):
            cuzarr.open(store, device="cpu")[...]
        assert store.get("zarr.json")
