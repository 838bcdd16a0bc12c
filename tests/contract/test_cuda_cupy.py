"""The CuPy runtime over a stand-in for CuPy: devices, streams, arrays, errors; no kernel runs."""

from __future__ import annotations

import ctypes
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr.cuda
from cuzarr.cuda import kernels, nvcomp
from cuzarr.errors import DeviceError, DeviceMemoryError, MissingPackageError, NoDeviceError
from tests.contract import fake_cupy

NAME = "cuzarr.cuda.cupy_runtime"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, stand_in in fake_cupy.build().items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    monkeypatch.setattr(nvcomp, "load", lambda: None)
    yield importlib.import_module(NAME)
    sys.modules.pop(NAME, None)


@pytest.fixture
def runtime(module: Any) -> Any:
    """The second of two devices, while the first is current."""
    return module.CupyRuntime(1)


def log() -> list[tuple[Any, ...]]:
    return fake_cupy.machine.log


def test_identity(runtime: Any) -> None:
    assert (runtime.name, runtime.arch, runtime.nvcomp) == ("cuda:1", "sm_90", None)


def test_devices_that_are_not_there(module: Any) -> None:
    with pytest.raises(NoDeviceError, match="no device 'cuda:2': this process sees 2"):
        module.CupyRuntime(2)

    def broken() -> int:
        raise fake_cupy.CUDARuntimeError("cudaErrorInsufficientDriver")

    module.cuda.getDeviceCount = broken
    with pytest.raises(NoDeviceError, match="cudaErrorInsufficientDriver"):
        module.CupyRuntime(0)


def test_every_call_has_its_device_current_and_restores_the_caller_s(runtime: Any) -> None:
    stream = runtime.new_stream()
    assert stream.device_id == 1
    assert stream.non_blocking
    event = runtime.record(stream)
    runtime.stream_wait(stream, event)
    runtime.wait_event(event)
    assert runtime.event_done(event)
    buffer = runtime.alloc(100, stream)
    runtime.memset(buffer.ptr, 7, 100, stream)
    assert runtime.read(buffer.ptr, 100, stream).tolist() == [7] * 100
    assert {entry[-1] for entry in log()} == {1}
    assert fake_cupy.machine.current == 0


def test_memory_is_allocated_under_the_stream_that_is_given(runtime: Any) -> None:
    stream = runtime.new_stream()
    buffer = runtime.alloc(64, stream)
    assert buffer._memory.stream is stream
    assert buffer.nbytes == 64
    assert runtime.alloc(0, stream).nbytes == 0
    assert fake_cupy.machine.streams == []


def test_the_caller_stream_is_cupy_s_current_one(runtime: Any) -> None:
    fake_cupy.machine.current = 1
    with runtime.new_stream() as stream:
        assert runtime.caller_stream() is stream
    fake_cupy.machine.current = 0


def test_pinned_memory_and_copies(runtime: Any) -> None:
    stream = runtime.new_stream()
    pinned = runtime.pinned(32)
    pinned.view[:] = bytes(range(32))
    buffer = runtime.alloc(16, stream)
    runtime.upload(buffer.ptr, pinned, 16, stream, src_offset=8)
    found = np.zeros(16, np.uint8)
    runtime.download(found, buffer.ptr, 16, stream)
    assert found.tolist() == list(range(8, 24))
    runtime.upload(buffer.ptr, np.arange(4, dtype=np.int32), 16, stream)
    assert runtime.read(buffer.ptr, 16, stream).view(np.int32).tolist() == [0, 1, 2, 3]
    before = len(log())
    runtime.upload(buffer.ptr, pinned, 0, stream)
    runtime.memset(buffer.ptr, 0, 0, stream)
    assert len(log()) == before


def test_kernels_are_loaded_once(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        kernels, "compile_kernels", lambda arch, *, major: asked.append((arch, major)) or b"cubin"
    )
    stream = runtime.new_stream()
    args = (np.uint64(5), np.int32(2))
    runtime.launch("scatter_4", 3, 256, args, stream)
    runtime.launch("scatter_4", 4, 256, args, stream, shared=64)
    runtime.launch("gather_4", 4, 256, args, stream)
    runtime.launch("gather_4", 0, 256, args, stream)
    assert asked == [("sm_90", 12)]  # the driver's CUDA is 12.8
    launches = [entry for entry in log() if entry[0] == "launch"]
    assert launches[0] == ("launch", (3,), (256,), args, 0, stream, 1)
    assert launches[1][4] == 64
    assert len(launches) == 3


def test_failures_are_device_errors(runtime: Any) -> None:
    stream = runtime.new_stream()
    for failure in (
        fake_cupy.CUDARuntimeError("cudaErrorIllegalAddress"),
        fake_cupy.CUDADriverError("CUDA_ERROR_INVALID_IMAGE"),
    ):
        fake_cupy.machine.fail = [failure]
        with pytest.raises(DeviceError, match=str(failure)):
            runtime.record(stream)
    fake_cupy.machine.fail = [fake_cupy.OutOfMemoryError()] * 2
    with pytest.raises(DeviceMemoryError, match="4096 bytes asked for, 1000 of 2000 are free"):
        runtime.alloc(4096, stream)
    assert fake_cupy.machine.current == 0
    assert fake_cupy.machine.streams == []


def test_a_pool_at_its_limit_gives_blocks_of_other_streams_back(runtime: Any) -> None:
    fake_cupy.machine.fail = [fake_cupy.OutOfMemoryError()]
    assert runtime.alloc(64, runtime.new_stream()).nbytes == 64
    assert ("free_all_blocks", 1) in log()


def test_arrays(runtime: Any) -> None:
    array = runtime.empty((3, 4), np.dtype(">f4"))
    assert array.device.id == 1
    pointer, shape, strides, dtype = runtime.describe(array)
    assert (pointer, shape, strides) == (array.data.ptr, (3, 4), (16, 4))
    assert dtype == np.dtype("f4")
    assert dtype.isnative
    assert runtime.is_device_array(array)
    assert runtime.to_device(array) is array
    assert runtime.astype(array, np.dtype("i2")).dtype == np.int16
    assert runtime.to_host(array).shape == (3, 4)


def test_host_values(runtime: Any) -> None:
    for value in ([1, 2], np.array([1, 2], ">i8"), np.int32(3)):
        array = runtime.to_device(value)
        assert array.dtype.isnative
        assert array.device.id == 1
        np.testing.assert_array_equal(array.host, value)
        assert not runtime.is_device_array(value)


class Tensor:
    """An array of another library."""

    def __init__(self, device: tuple[int, int]) -> None:
        self.host, self._device = np.arange(3), device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("left to CuPy")


class Interface:
    """An array with the CUDA array interface alone."""

    def __init__(self, pointer: int = 1 << 20) -> None:
        self.host = np.arange(3)
        self.__cuda_array_interface__ = {"data": (pointer, False)}


class Given(Tensor):
    """An array of another library that a capsule describes."""

    def __init__(self, device: tuple[int, int], flags: int | None = 0) -> None:
        super().__init__(device)
        self._flags = flags

    def __dlpack__(self, **options: Any) -> Any:
        if self._flags is None:
            raise BufferError("it requires grad")
        if options.get("stream") == -1:
            raise TypeError("what stream is that?")
        assert options == {"max_version": (1, 0)}
        managed = ctypes.create_string_buffer(64)
        managed[24] = self._flags
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = (
            ctypes.py_object,
            [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
        )
        self.kept = managed
        return new(ctypes.addressof(managed), b"dltensor_versioned", None)


def test_memory_to_fill(runtime: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = runtime.empty((3,), np.dtype("f4"))
    assert runtime.adopt(own) is own
    assert runtime.adopt(Given((2, 1))).host.tolist() == [0, 1, 2]
    assert runtime.adopt(Interface()).host.tolist() == [0, 1, 2]
    for other in (Given((1, 0)), np.zeros(3), [1]):
        with pytest.raises(TypeError, match="out must be an array on cuda:1, not"):
            runtime.adopt(other)
    with pytest.raises(ValueError, match="out is on cuda:0, the array on cuda:1"):
        runtime.adopt(Given((2, 0)))
    fixed = Interface()
    fixed.__cuda_array_interface__["data"] = (1 << 20, True)
    for value in (Given((2, 1), flags=1), fixed):
        with pytest.raises(ValueError, match="out is read-only"):
            runtime.adopt(value)

    def refused(value: Any) -> Any:
        raise BufferError("it requires grad")

    monkeypatch.setattr(sys.modules["cupy"], "from_dlpack", refused)
    with pytest.raises(TypeError, match="out cannot be filled: it requires grad"):
        runtime.adopt(Given((2, 1), flags=None))


def test_arrays_of_other_libraries(runtime: Any) -> None:
    here, managed, elsewhere = Tensor((2, 1)), Tensor((13, 1)), Tensor((2, 0))
    assert runtime.is_device_array(here)
    assert runtime.is_device_array(managed)
    assert not runtime.is_device_array(elsewhere)
    assert runtime.to_device(here).device.id == 1
    assert runtime.is_device_array(Interface())
    assert runtime.to_device(Interface()).host.tolist() == [0, 1, 2]
    assert not runtime.is_device_array(Interface(0))  # empty: on the device that is current
    assert ("copy", 1) not in log()


def test_arrays_of_another_device_are_copied_after_their_stream(runtime: Any) -> None:
    array = runtime.to_device(Tensor((2, 0)))
    assert array.device.id == 1
    (waited, copied) = [entry for entry in log() if entry[0] in ("synchronize", "copy")]
    assert waited[-1] == 0
    assert copied[-1] == 1


def test_nvcomp_is_called_with_the_device_current(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        version = (6, 0, 0)

        def _bind(self, name: str, *_: Any) -> Any:
            def call(*args: Any) -> int:
                fake_cupy.machine.note(name, *args)
                return 0

            return call

        def _check(self, status: int, what: str) -> None:
            assert status == 0

        def alignments(self, fmt: str) -> tuple[int, int, int]:
            return 1, 1, 1

        def decompress_temp_bytes(self, *args: Any) -> int:
            fake_cupy.machine.note("temp", *args)
            return 5

        def decompress(self, *args: Any) -> None:
            fake_cupy.machine.note("decompress", *args)

    monkeypatch.setattr(nvcomp, "load", Library)
    bound = module.CupyRuntime(1).nvcomp
    assert bound.version == (6, 0, 0)
    assert bound.alignments("LZ4") == (1, 1, 1)
    assert bound.decompress_temp_bytes("LZ4", 1, 2, 3) == 5
    bound.decompress("LZ4", 1, 2, 3)
    assert bound.compress_temp_bytes("Zstd", 0, 1, 2, 3) == 0
    bound.compress("Zstd", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, None)
    assert [entry[-1] for entry in log()] == [1, 1, 1, 1]


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    with pytest.raises(MissingPackageError, match=re.escape("pip install 'cuzarr[cuda13]'")):
        importlib.import_module(NAME)


def test_open_backend_is_made_once_and_warns_without_nvcomp(module: Any) -> None:
    cuzarr.cuda._backend.cache_clear()
    cuzarr.cuda._runtime.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="nvCOMP is not installed"):
            backend = cuzarr.cuda.open_backend(1)
        assert backend.name == "cuda:1"
        assert cuzarr.cuda.open_backend(1) is backend
        with cuzarr.config.set({"cuda.device_decode": "host"}):
            other = cuzarr.cuda.open_backend(1)
        assert other is not backend
        assert other.runtime is backend.runtime
    finally:
        cuzarr.cuda._backend.cache_clear()
        cuzarr.cuda._runtime.cache_clear()


@pytest.fixture
def no_backends() -> Iterator[None]:
    for cache in (cuzarr.cuda._backend, cuzarr.cuda._runtime):
        cache.cache_clear()
    yield
    for cache in (cuzarr.cuda._backend, cuzarr.cuda._runtime):
        cache.cache_clear()


@pytest.mark.parametrize(("memory", "budget"), [(8, 1), (40, 2.5), (64, 4), (141, 8), (300, 8)])
@pytest.mark.filterwarnings("ignore:nvCOMP is not installed")
def test_the_budget_follows_the_memory_of_the_device(
    module: Any, no_backends: None, memory: int, budget: float
) -> None:
    module.cuda.memGetInfo = lambda: (0, memory << 30)
    assert cuzarr.cuda.open_backend(0).shared.budget == int(budget * 2**30)
    with cuzarr.config.set({"cuda.budget": 12345}):
        assert cuzarr.cuda.open_backend(0).shared.budget == 12345


def test_an_array_that_outlived_a_fork_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its device was chosen in the parent, where there was one."""
    monkeypatch.setitem(cuzarr.cuda.probe._fork, "done", True)
    with pytest.raises(NoDeviceError, match="'cuda:0': this process was forked"):
        cuzarr.cuda.open_backend(0)


def test_errors_of_a_device_that_cannot_be_made_current(runtime: Any) -> None:
    def broken() -> int:
        raise fake_cupy.CUDARuntimeError("cudaErrorIllegalAddress")

    fake_cupy.machine.current = 1
    sys.modules["cupy.cuda.runtime"].getDevice = broken  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match="cudaErrorIllegalAddress"):
        runtime.new_stream()


def test_cupy_has_every_name() -> None:
    """Where CuPy is installed it imports without a driver, and has what the runtime uses."""
    cupy = pytest.importorskip("cupy")
    assert cupy is sys.modules["cupy"]
    text = Path(kernels.__file__).with_name("cupy_runtime.py").read_text()
    for name in set(re.findall(r"\bcupy\.((?:\w+\.)*\w+)", text)) - {"cuda"}:
        found = cupy
        for part in name.split("."):
            found = getattr(found, part)
    for name in set(re.findall(r"(?<!\.)\bcuda\.(\w+)", text)) - {"runtime", "kernels"}:
        assert hasattr(cupy.cuda.runtime, name), name
