"""As much of CuPy as ``cuda.cupy_runtime`` uses, over host memory, for two devices.

It runs nothing on a device: it notes which device was current, on which stream each call was made,
and fails where CuPy would. ``test_cupy_has_every_name`` compares the names with a real CuPy.
"""

from __future__ import annotations

import ctypes
import types
from typing import Any, Self

import numpy as np


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class Machine:
    """State of the fake: what is current, and what was called."""

    def __init__(self, devices: int = 2) -> None:
        self.devices, self.current = devices, 0
        self.streams: list[Stream] = []
        self.log: list[tuple[Any, ...]] = []
        self.fail: list[Exception] = []  # of the next calls

    def note(self, *what: Any) -> None:
        if self.fail:
            raise self.fail.pop(0)
        self.log.append((*what, self.current))


machine = Machine()


class Stream:
    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.device_id = machine.current
        self.ptr = 0 if null else id(self)
        self.non_blocking = non_blocking

    def __enter__(self) -> Self:
        if self.device_id != machine.current:
            raise RuntimeError("The device that the stream is created on does not match")
        machine.streams.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        machine.streams.pop()

    def record(self, event: Event) -> Event:
        machine.note("record", self)
        return event

    def wait_event(self, event: Event) -> None:
        machine.note("wait_event", self)

    def synchronize(self) -> None:
        machine.note("synchronize", self)


class Event:
    done = True

    def __init__(self, *, disable_timing: bool) -> None:
        assert disable_timing

    def synchronize(self) -> None:
        machine.note("event")


class Memory:
    """Device memory."""

    def __init__(self, size: int, stream: Stream | None) -> None:
        self._bytes = np.zeros(size, np.uint8)
        self.ptr, self.stream = self._bytes.ctypes.data, stream


class PinnedMemory(np.ndarray[Any, Any]):
    """Pinned memory: a buffer with a pointer."""

    @property
    def ptr(self) -> int:
        return self.ctypes.data


class ndarray:
    def __init__(self, host: np.ndarray[Any, Any], device: int) -> None:
        self.host, self.device = host, types.SimpleNamespace(id=device)
        self.data = types.SimpleNamespace(ptr=host.ctypes.data)
        self.shape, self.strides, self.dtype = host.shape, host.strides, host.dtype
        self.nbytes, self.size = host.nbytes, host.size

    def copy(self) -> ndarray:
        machine.note("copy")
        return ndarray(self.host.copy(), machine.current)

    def astype(self, dtype: Any, copy: bool) -> ndarray:
        return ndarray(self.host.astype(dtype, copy=copy), machine.current)


class Function:
    def __call__(self, grid: Any, block: Any, args: Any, shared_mem: int, stream: Stream) -> None:
        machine.note("launch", grid, block, args, shared_mem, stream)


class Module:
    def load(self, cubin: bytes) -> None:
        machine.note("load", cubin)

    def get_function(self, name: str) -> Function:
        machine.note("function", name)
        return Function()


def _copy(dst: int, src: int, size: int, kind: int, stream: int) -> None:
    machine.note("memcpy", kind, size, stream)
    ctypes.memmove(dst, src, size)


def _memset(ptr: int, value: int, size: int, stream: int) -> None:
    machine.note("memset", size, stream)
    ctypes.memset(ptr, value, size)


def _set_device(number: int) -> None:
    machine.current = number


def _alloc(size: int) -> Memory:
    machine.note("alloc", size)
    return Memory(size, machine.streams[-1] if machine.streams else None)


def _current_stream(device_id: int) -> Stream:
    return machine.streams[-1] if machine.streams else Stream(null=True)


def build() -> dict[str, types.ModuleType]:
    """Return the modules to put in ``sys.modules``."""
    global machine
    machine = Machine()
    cupy, cuda, runtime = (types.ModuleType(n) for n in ("cupy", "cupy.cuda", "cupy.cuda.runtime"))
    names: dict[str, Any] = {
        "CUDARuntimeError": CUDARuntimeError,
        "getDeviceCount": lambda: machine.devices,
        "getDevice": lambda: machine.current,
        "setDevice": _set_device,
        "driverGetVersion": lambda: 12080,
        "memGetInfo": lambda: (1000, 2000),
        "memcpyAsync": _copy,
        "memsetAsync": _memset,
        "memcpyHostToDevice": 1,
        "memcpyDeviceToHost": 2,
        "pointerGetAttributes": lambda _: types.SimpleNamespace(device=1),
    }
    vars(runtime).update(names)
    vars(cuda).update(
        runtime=runtime, Stream=Stream, Event=Event, alloc=_alloc,
        alloc_pinned_memory=lambda size: np.zeros(size, np.uint8).view(PinnedMemory),
        get_current_stream=_current_stream,
        Device=_Device, driver=types.SimpleNamespace(CUDADriverError=CUDADriverError),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        function=types.SimpleNamespace(Module=Module),
    )  # fmt: skip
    vars(cupy).update(
        cuda=cuda, ndarray=ndarray,
        empty=lambda shape, dtype: ndarray(np.zeros(shape, dtype), machine.current),
        asarray=lambda value: ndarray(_adopted(value), machine.current),
        from_dlpack=lambda value: ndarray(value.host, machine.current),
        asnumpy=lambda array: array.host.copy(),
        get_default_memory_pool=lambda: types.SimpleNamespace(
            free_all_blocks=lambda: machine.log.append(("free_all_blocks", machine.current))
        ),
    )  # fmt: skip
    return {"cupy": cupy, "cupy.cuda": cuda, "cupy.cuda.runtime": runtime}


def _adopted(value: Any) -> np.ndarray[Any, Any]:
    return value if isinstance(value, np.ndarray) else value.host


class _Device:
    def __init__(self, number: int) -> None:
        self.number, self.compute_capability = number, "90"

    def __enter__(self) -> Self:
        self.previous, machine.current = machine.current, self.number
        return self

    def __exit__(self, *_: Any) -> None:
        machine.current = self.previous
