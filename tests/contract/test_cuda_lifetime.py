"""What is left of a device when nobody uses it any more: nothing.

1. A backend, its runtime, slabs, streams and buffers go with the last reference.
2. The emulated devices of a test are closed behind it, and with the last one goes the history of
   their memory: else one process of the suite would keep that of every test.
"""

from __future__ import annotations

import gc
from collections import Counter
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.cuda.backend import CudaBackend
from cuzarr.cuda.decoder import WaveDecoder
from cuzarr.cuda.memory import Slab, SlabPool
from cuzarr.cuda.read_pass import CudaReadPass
from cuzarr.cuda.streams import Lane
from cuzarr.cuda.write_pass import CudaWritePass
from cuzarr.errors import ChunkDecodeError
from cuzarr.host.backend import HostBackend
from cuzarr.plan import plan_basic
from tests import conftest
from tests.contract.cuda_cases import Stored, close, emulated_backend, smooth
from tests.contract.test_cuda_decode import LITTLE, ZSTD, blosc
from tests.devices import use_device
from tests.emulation.runtime import OPEN, DeviceBuffer, EmulatedRuntime, PinnedBuffer
from tests.emulation.streams import Scheduler, Stream

KINDS = (
    CudaBackend, EmulatedRuntime, Scheduler, Stream, DeviceBuffer, PinnedBuffer, SlabPool, Slab,
    Lane, CudaReadPass, CudaWritePass, WaveDecoder,
)  # fmt: skip
ROUNDS = 3


def alive() -> Counter[str]:
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in KINDS)


def read(backend: CudaBackend) -> None:
    stored = Stored(smooth((600,), "f4"), (50,), [LITTLE, blosc()]).encode_all()
    assert stored.read(backend).tobytes() == stored.data.tobytes()


def write(backend: CudaBackend) -> None:
    stored = Stored(smooth((600,), "f4"), (50,), [LITTLE, ZSTD]).encode_all()
    stored.write(backend, plan_basic((slice(3, 590, 2),), (600,), (50,)), 1.0)


def fail(backend: CudaBackend) -> None:
    stored = Stored(smooth((600,), "f4"), (50,), [LITTLE, ZSTD]).encode_all()
    stored.store.set(stored.key((5,)), b"no zstd")
    with pytest.raises(ChunkDecodeError):
        stored.read(backend)
    with pytest.raises(ChunkDecodeError):
        stored.write(backend, plan_basic((slice(3, 590, 2),), (600,), (50,)), 1.0)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("work", [read, write, fail])
@pytest.mark.parametrize(
    "options", [{}, {"host": HostBackend(), "small_bytes": 1 << 20}, {"encode": "host"}],
    ids=["device", "small", "host"],
)  # fmt: skip
def test_nothing_survives_a_backend(work: Any, closed: bool, options: dict[str, Any]) -> None:
    before = alive()
    for seed in range(ROUNDS):
        backend = emulated_backend(seed, **options)
        work(backend)
        gc.collect()
        if closed:
            close(backend)
        del backend
    assert alive() <= before  # what earlier tests left may go meanwhile


def test_nothing_survives_arrays() -> None:
    before = alive()
    for seed in range(ROUNDS):
        with use_device("emulated", seed) as device:
            z = cuzarr.create_array({}, data=np.arange(60.0), chunks=(7,), device=device)
            z[3:30] = z[4:31]
            z.resize((80,))
            found = z.boxes([[0], [30]], (9,)), z.oindex[[3, 70]], z.to_device("cpu")[...]
            del z, found
    assert alive() <= before  # what earlier tests left may go meanwhile


def test_a_test_leaves_no_device_and_no_history_behind() -> None:
    left = [emulated_backend(seed) for seed in range(ROUNDS)]
    for backend in left:
        read(backend)
    device = left[0].runtime.device
    assert device.users >= ROUNDS
    assert device.labels
    conftest.pytest_runtest_teardown()
    assert not OPEN
    assert all(backend.runtime.closed for backend in left)
    assert (device.users, device.bump, device.labels) == (0, device.base + 4096, {})


def test_a_dropped_device_takes_its_history_along() -> None:
    left = emulated_backend()
    device = left.runtime.device
    others = device.users - 1
    read(left)
    del left
    gc.collect()
    assert device.users == others
    if not others:
        assert not device.labels
