"""Small reads of a device's array: the host backend decodes, the result is uploaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.cuda.backend import CudaBackend
from cuzarr.engine.pool import threads
from cuzarr.engine.read import read
from cuzarr.errors import ChunkDecodeError
from cuzarr.host.backend import HostBackend
from cuzarr.plan import plan_basic
from tests.contract.cuda_cases import Stored, close, smooth
from tests.contract.test_cuda_decode import BIG, LITTLE, ZSTD, blosc, corrupt
from tests.contract.test_devices import (
    LAYOUTS,
    SELECTIONS,
    SHAPE,
    data,
    expected_of,
    same_bits,
    values_of,
)
from tests.devices import use_device
from tests.emulation.runtime import EmulatedRuntime


def small_backend(seed: int = 1, **options: Any) -> CudaBackend:
    return CudaBackend(EmulatedRuntime(seed), host=HostBackend(), **options)


@pytest.fixture(params=range(2))
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    with use_device("emulated", request.param, host=HostBackend(), small_bytes=1 << 30) as name:
        yield name


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(device: str, layout: str) -> None:
    expected = values_of(layout)
    z = cuzarr.create_array(None, data=expected, device="cpu", **LAYOUTS[layout]).to_device(device)
    for kind, key in SELECTIONS.values():
        same_bits(getattr(z, f"get_{kind}_selection")(key), expected_of(kind, key, expected))
    assert {record.where for record in z.device_plan.records} == {"host"}
    assert "too small" in str(z.device_plan)


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">c16", "bool", "f2"])
def test_elements_are_native(device: str, dtype: str) -> None:
    expected = data(dtype.replace(">", ""))
    z = cuzarr.create_array(
        None, data=expected, dtype=dtype, zarr_format=2, chunks=(16, 20), device=device
    )
    same_bits(z[::-3, 1:], expected[::-3, 1:])
    assert isinstance(z[2, 3], np.generic)
    assert z[7:7].shape == (0, SHAPE[1])


def test_missing_chunks_are_the_fill_value(device: str) -> None:
    z = cuzarr.create_array(
        None, shape=SHAPE, dtype=">f4", fill_value=2.5, zarr_format=2, chunks=(8, 10), device=device
    )
    z[0, 0] = 1
    expected = np.full(SHAPE, 2.5, "f4")
    expected[0, 0] = 1
    same_bits(z[...], expected)


def test_out(device: str, tmp_path: Path) -> None:
    z = cuzarr.create_array(str(tmp_path), data=data("i4"), chunks=(16, 20), device=device)
    out = z[5:15]
    assert z.get_basic_selection(np.s_[20:30], out=out) is out
    same_bits(out, data("i4")[20:30])
    wide = z[0:20]
    z.get_basic_selection(np.s_[20:30], out=wide[::2])  # not contiguous: copied on the device
    same_bits(wide[::2], data("i4")[20:30])
    same_bits(wide[1::2], data("i4")[1:20:2])
    assert "too small" not in str(z.device_plan)


def test_what_is_small() -> None:
    stored = Stored(np.zeros((64, 1024), "f4"), (8, 1024), [LITTLE])
    for selection, limit, small in (
        (np.s_[:], 1 << 18, True),
        (np.s_[:], (1 << 18) - 1, False),
        (np.s_[0:1, 0:1], 1 << 15, True),
        (np.s_[7:9, 0:1], 1 << 15, False),  # two chunks
    ):
        backend = small_backend(small_bytes=limit)
        plan = plan_basic(selection, (64, 1024), (8, 1024))
        steps = backend.begin_read(stored.job(plan), None)
        assert (type(steps).__name__ == "SmallReadPass") == small
        steps.abort()
        backend.runtime.close(check=False)
    assert small_backend().shared.small_bytes == threads() << 20


@pytest.mark.parametrize("seed", range(4))
def test_the_upload_is_ordered_on_the_caller_stream(seed: int) -> None:
    stored = Stored(smooth((40, 40), "f4"), (16, 16), [BIG, ZSTD]).encode_all()
    backend = small_backend(seed)
    runtime = backend.runtime
    with runtime.current_stream(runtime.new_stream()) as stream:
        out = runtime.empty((40, 40), np.dtype("f4"))
        runtime.memset(out.ptr, 0, out.nbytes, stream)
        for _ in range(5):
            read(stored.job(stored.plan()), stored.address, backend, out)
        raw = runtime.read(out.ptr, out.nbytes, stream)
    assert raw.tobytes() == stored.data.tobytes()
    del out
    close(backend)


def test_a_corrupt_chunk_names_its_key() -> None:
    stored = Stored(smooth((64, 64), "f4"), (16, 16), [LITTLE, blosc()]).encode_all()
    key = corrupt(stored, (2, 1), lambda d: d[: len(d) // 2])
    backend = small_backend()
    for _ in range(3):
        with pytest.raises(ChunkDecodeError, match=key):
            read(stored.job(stored.plan()), stored.address, backend)
    pinned = backend.shared.table_slabs._idle
    assert len(pinned) == len(set(map(id, pinned))) == 1
    gc.collect()
    close(backend)
