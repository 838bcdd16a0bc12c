"""What only a real device can show: other libraries' arrays and streams, CuPy's pool, two devices.

Everything else of the CUDA backend runs on the emulated device, and on the real one with
``--device cuda`` (``tests/contract``).
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from cuzarr.cuda.backend import CudaBackend
from cuzarr.cuda.probe import probe
from cuzarr.engine.read import read
from cuzarr.host.backend import HostBackend
from cuzarr.plan import plan_coordinate
from tests.contract.cuda_cases import ALWAYS, Stored, smooth
from tests.contract.test_cuda_decode import LITTLE, ZSTD, blosc

pytestmark = pytest.mark.gpu

SHAPE, CHUNKS = (512, 384), (64, 96)


def make_backend(device: int = 0, **options: Any) -> CudaBackend:
    from cuzarr.cuda.cupy_runtime import CupyRuntime

    options.setdefault("placement", ALWAYS)
    return CudaBackend(CupyRuntime(device), **options)


@pytest.fixture(scope="module")
def backend() -> CudaBackend:
    return make_backend()


@pytest.fixture(params=[[LITTLE], [LITTLE, blosc()], [LITTLE, blosc("zstd", "bitshuffle")],
                        [LITTLE, ZSTD]], ids=["plain", "lz4", "blosc-zstd", "zstd"])  # fmt: skip
def stored(request: pytest.FixtureRequest) -> Stored:
    return Stored(smooth(SHAPE, "f4"), CHUNKS, request.param).encode_all()


def read_device(stored: Stored, backend: CudaBackend, out: Any = None) -> Any:
    return read(stored.job(stored.plan()), stored.address, backend, out)


def test_reads_on_a_busy_stream(stored: Stored, backend: CudaBackend) -> None:
    """The output's memory is still written by queued work when the read starts."""
    cupy = pytest.importorskip("cupy")
    with cupy.cuda.Stream(non_blocking=True):
        busy = cupy.ones(1 << 26, "f4")
        for _ in range(100):
            busy = busy * np.float32(1.0001)
        out = cupy.empty(SHAPE, "f4")
        out.fill(-1)
        found = read_device(stored, backend, out)
        doubled = found * 2
        np.testing.assert_array_equal(cupy.asnumpy(doubled), stored.data * 2)


def test_threads_with_streams_of_their_own(stored: Stored, backend: CudaBackend) -> None:
    cupy = pytest.importorskip("cupy")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with cupy.cuda.Device(0), cupy.cuda.Stream(non_blocking=True):
                for _ in range(10):
                    found = read_device(stored, backend)
                    np.testing.assert_array_equal(cupy.asnumpy(found), stored.data)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_freed_blocks_are_not_reused_too_early(stored: Stored) -> None:
    """Allocate and drop on the caller's stream between waves: the pool hands blocks on at once."""
    cupy = pytest.importorskip("cupy")
    backend = make_backend(budget=1 << 18)
    for _ in range(30):
        found = read_device(stored, backend)
        noise = [cupy.full(SHAPE, 7, "f4") for _ in range(4)]
        del noise
        np.testing.assert_array_equal(cupy.asnumpy(found), stored.data)


def test_a_limited_pool(stored: Stored) -> None:
    cupy = pytest.importorskip("cupy")
    from cuzarr.errors import DeviceMemoryError

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    backend = make_backend()
    pool.set_limit(pool.used_bytes() + stored.data.nbytes // 2)
    try:
        with pytest.raises(DeviceMemoryError, match="bytes asked for"):
            read_device(stored, backend)
    finally:
        pool.set_limit(0)
    found = read_device(stored, backend)
    np.testing.assert_array_equal(cupy.asnumpy(found), stored.data)


def test_waves_are_halved_where_the_pool_is_limited(stored: Stored) -> None:
    cupy = pytest.importorskip("cupy")
    pool = cupy.get_default_memory_pool()
    backend = make_backend(slab_bytes=1 << 18)
    pool.free_all_blocks()
    pool.set_limit(pool.used_bytes() + stored.data.nbytes + 2**18)
    try:
        found = read_device(stored, backend)
        np.testing.assert_array_equal(cupy.asnumpy(found), stored.data)
    finally:
        pool.set_limit(0)


def test_several_waves_at_a_time(stored: Stored) -> None:
    cupy = pytest.importorskip("cupy")
    for slab_bytes in (1 << 15, 1 << 17):
        backend = make_backend(slab_bytes=slab_bytes)
        for _ in range(20):
            found = read_device(stored, backend)
            np.testing.assert_array_equal(cupy.asnumpy(found), stored.data)


def test_small_reads_are_ordered_on_the_caller_stream(stored: Stored) -> None:
    cupy = pytest.importorskip("cupy")
    backend = make_backend(host=HostBackend())
    with cupy.cuda.Stream(non_blocking=True):
        found = []
        for _ in range(50):
            found.append(read_device(stored, backend) + 1)
            cupy.full(SHAPE, 7, "f4")  # takes a block that was freed
        for part in found:
            np.testing.assert_array_equal(cupy.asnumpy(part), stored.data + 1)


def test_torch_tensors_as_values(stored: Stored, backend: CudaBackend) -> None:
    """Torch's current stream is not CuPy's: DLPack orders the two."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch without CUDA")
    with torch.cuda.stream(torch.cuda.Stream()):
        value = torch.ones(SHAPE, device="cuda")
        for _ in range(50):
            value = value * 1.01
        stored.write(backend, stored.plan(), value)
        expected = value.cpu().numpy()
    found = stored.read(backend)
    assert found.tobytes() == expected.tobytes()
    turned = value.T.contiguous().T
    stored.write(backend, stored.plan(), turned)
    assert stored.read(backend).tobytes() == expected.tobytes()


def test_results_are_taken_by_torch_without_a_copy(stored: Stored, backend: CudaBackend) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch without CUDA")
    found = read_device(stored, backend)
    tensor = torch.from_dlpack(found)
    assert tensor.data_ptr() == found.data.ptr
    np.testing.assert_array_equal(tensor.cpu().numpy(), stored.data)


def test_numpy_scalars_reach_kernels_by_value(stored: Stored, backend: CudaBackend) -> None:
    points = tuple(np.random.default_rng(0).integers(0, n, 5000) for n in SHAPE)
    plan = plan_coordinate(points, SHAPE, CHUNKS)
    np.testing.assert_array_equal(stored.read(backend, plan), stored.data[points])


@pytest.mark.skipif(probe().count < 2, reason="needs two devices")
def test_two_devices(stored: Stored) -> None:
    cupy = pytest.importorskip("cupy")
    first, second = make_backend(0), make_backend(1)
    on_first, on_second = read_device(stored, first), read_device(stored, second)
    assert (on_first.device.id, on_second.device.id) == (0, 1)
    assert cupy.cuda.runtime.getDevice() == 0
    np.testing.assert_array_equal(second.runtime.to_host(on_second), stored.data)
    stored.write(second, stored.plan(), on_first + 1)  # a value of the other device
    assert stored.read(second).tobytes() == (stored.data + 1).tobytes()
