"""Filling a store in device memory where slabs, budgets and device memory are small."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import cuzarr
from cuzarr import cuda, errors
from cuzarr.storage import MemoryStore
from tests.contract.test_device_store import filled, resident
from tests.contract.test_devices import LAYOUTS, data, same_bits
from tests.devices import use_device
from tests.emulation.runtime import EmulatedRuntime


@pytest.fixture(autouse=True)
def auto() -> Iterator[None]:
    """Arrays are on the device of their store, whatever else the environment asks for."""
    with cuzarr.config.set({"device": "auto"}):
        yield


@pytest.mark.parametrize("slab", [1 << 12, 1 << 14])
@pytest.mark.parametrize("layout", ["v3 zstd", "v3 shards", "v2 raw"])
def test_objects_larger_than_a_slab_and_many_of_them(layout: str, slab: int) -> None:
    values = np.arange(200 * 100, dtype="f4").reshape(200, 100)
    with use_device("emulated", slab_bytes=slab, budget=1 << 20):
        same_bits(cuzarr.open(resident(filled(layout, values)))[...], values)
        source = MemoryStore()
        cuzarr.create_array(source, data=values, chunks=(100, 100), compressors=None, device="cpu")
        same_bits(cuzarr.open(resident(source))[...], values)


def test_files_larger_than_a_slab(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**32, (400, 400), dtype="u4")
    whole = cuzarr.create_array(
        tmp_path / "a", data=values, chunks=(200, 200), compressors=None, device="cpu"
    )
    many = cuzarr.create_array(tmp_path / "b", data=values, chunks=(50, 50), device="cpu")
    for name in ("c/0/0", "c/3/5"):  # much larger than what was reckoned with
        path = tmp_path / "b" / name
        path.write_bytes(path.read_bytes() + b"\x50\x2a\x4d\x18\xa0\x86\x01\0" + bytes(100_000))
    same_bits(many[...], values)
    with use_device("emulated", slab_bytes=1 << 16):
        for z in (whole, many):
            store = resident(z.store)
            same_bits(cuzarr.open(store)[...], values)
            assert store.chunks >= z.nchunks - 2


def test_a_bad_file_while_the_next_are_read(tmp_path: Path) -> None:
    z = cuzarr.create_array(tmp_path, data=data("f4"), device="cpu", **LAYOUTS["v3 shards"])
    path = tmp_path / "c/0/0"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with use_device("emulated", slab_bytes=1 << 10):
        with pytest.raises(errors.ChecksumError, match="'c/0/0'"):
            resident(z.store)
        runtime = cuda.open_backend(0).runtime
        gc.collect()
        runtime.close()  # fails on memory that is still held


def test_a_chunk_larger_than_the_budget_of_a_read() -> None:
    values = np.arange(100_000, dtype="f4")
    with use_device("emulated", budget=1 << 18):
        source = MemoryStore()
        cuzarr.create_array(source, data=values, chunks=50_000, device="cpu")
        z = cuzarr.open(resident(source))
        same_bits(z[...], values)
        assert {r.where for r in z.device_plan.records} == {"host"}


def test_device_memory_that_runs_out() -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, (64, 1024), dtype="u4")
    source = MemoryStore()
    cuzarr.create_array(source, data=noise, chunks=(4, 1024), compressors=None, device="cpu")
    with use_device("emulated"):
        runtime = cuda.open_backend(0).runtime
        assert isinstance(runtime, EmulatedRuntime)
        runtime.capacity = noise.nbytes // 2
        with pytest.raises(errors.DeviceMemoryError, match=r"\d+ bytes asked for"):
            resident(source)
        gc.collect()
        runtime.close()
