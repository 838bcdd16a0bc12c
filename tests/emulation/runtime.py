"""The ``Runtime`` protocol on the host, adversarial: the device that a correct backend deserves.

1. Every call queues an item; nothing runs before the host waits for it, unless the seed says so
   (``streams``). Fresh, freed and downloaded-to memory is poisoned.
2. Kernels are the real ``kernels/*.cu``; every byte they and other operations touch is checked
   against the history of the memory (``device``): bounds, initialisation, and that an event orders
   the access after every conflicting one.
3. Host memory given to ``upload`` must be alive and unchanged when the copy runs.
4. :meth:`EmulatedRuntime.close` runs what is left and fails on memory that is still held.

::

    with EmulatedRuntime(seed=3) as runtime:
        ...
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cuzarr.errors import DeviceMemoryError
from tests.emulation.array import EmulatedArray, c_strides
from tests.emulation.build import KERNELS
from tests.emulation.device import (
    ALLOC,
    FREE,
    FREED_POISON,
    FRESH_POISON,
    HOST_POISON,
    READ,
    WRITE,
    EmulationError,
    call_site,
    device,
    raw_bytes,
)
from tests.emulation.nvcomp import EmulatedNvComp
from tests.emulation.streams import Event, Scheduler, Stream

OPEN: weakref.WeakSet[EmulatedRuntime] = weakref.WeakSet()  #: runtimes that were not closed
_ARGUMENT = {"p": np.uint64, "Q": np.uint64, "q": np.int64, "I": np.uint32, "i": np.int32,
             "f": np.float32, "d": np.float64}  # fmt: skip


class DeviceBuffer:
    """Device memory; given back in its stream's order when the last reference goes."""

    def __init__(self, ptr: int, nbytes: int, stream: Stream, freed: deque[Any], site: str) -> None:
        self.ptr, self.nbytes, self.stream, self.site = ptr, nbytes, stream, site
        self._freed = freed

    def __del__(self) -> None:
        # A destructor runs anywhere, so it only leaves a note; the next call acts on it.
        self._freed.append((self.ptr, self.nbytes, self.stream))


class PinnedBuffer:
    """Host memory of a known owner."""

    def __init__(self, nbytes: int) -> None:
        self._memory = np.full(max(nbytes, 1) + 4095, HOST_POISON, np.uint8)
        skip = -self._memory.ctypes.data % 4096  # page-locked memory comes in pages
        array = self._memory[skip : skip + nbytes]
        self.ptr: int = self._memory.ctypes.data + skip
        self.nbytes = nbytes
        self.view = memoryview(array)


class EmulatedRuntime:
    """One emulated device.

    Parameters
    ----------
    seed : int
        Of the order in which work runs. 0 runs nothing early; others draw how eager the device is.
    nvcomp : bool
        Whether nvCOMP is "installed".
    capacity : int
        Bytes of device memory.
    on_undefined : {"raise", "garbage"}
        What nvCOMP does with input that it does not define.
    kernels : pathlib.Path
        Directory of the ``.cu`` files.
    number : int
        Of the device.
    """

    def __init__(self, seed: int = 0, *, nvcomp: bool = True, capacity: int = 1 << 30,
                 on_undefined: str = "raise", arch: str = "sm_90",
                 kernels: Path = KERNELS, number: int = 0) -> None:  # fmt: skip
        self.name, self.number = f"cuda:{number}", number
        self.arch = arch
        self.device = device(kernels)
        self.device.join()
        # One that is dropped without being closed must not keep the history of all others.
        self._leave = weakref.finalize(self, self.device.leave)
        self._leave.atexit = False
        OPEN.add(self)
        early = 0.0 if seed == 0 else (0.0, 0.1, 0.5, 1.0)[seed % 4]
        self.scheduler = Scheduler(self.device, self, seed, early)
        self.nvcomp = EmulatedNvComp(self, on_undefined=on_undefined) if nvcomp else None
        self.capacity = capacity
        self.in_use = 0
        self.peak = 0
        self.closed = False
        self._freed: deque[tuple[int, int, Stream]] = deque()
        self._live: weakref.WeakSet[DeviceBuffer] = weakref.WeakSet()
        self._caller = self.new_stream()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close(check=error is None)

    # ---- streams and events

    def new_stream(self) -> Stream:
        with self.entered():
            return self.scheduler.new_stream()

    def caller_stream(self) -> Stream:
        return self._caller

    @contextmanager
    def current_stream(self, stream: Stream) -> Iterator[Stream]:
        """Make ``stream`` the caller's current one inside the block."""
        previous, self._caller = self._caller, stream
        try:
            yield stream
        finally:
            self._caller = previous

    def record(self, stream: Stream) -> Event:
        with self.entered(stream):
            return self.scheduler.record(stream)

    def stream_wait(self, stream: Stream, event: Event) -> None:
        with self.entered(stream):
            self.scheduler.stream_wait(stream, event)

    def wait_event(self, event: Event) -> None:
        with self.entered(event.stream):
            self.scheduler.host_wait(event)

    def event_done(self, event: Event) -> bool:
        with self.entered(event.stream):
            return self.scheduler.poll(event)

    # ---- memory

    def alloc(self, nbytes: int, stream: Stream) -> DeviceBuffer:
        nbytes = int(nbytes)
        if nbytes < 0:
            raise EmulationError(f"an allocation of {nbytes} bytes")
        with self.entered(stream):
            if self.in_use + nbytes > self.capacity:
                raise DeviceMemoryError(
                    f"{self.name}: {nbytes} bytes asked for, {self.capacity - self.in_use} of "
                    f"{self.capacity} are free"
                )
            pool = stream.free.setdefault((nbytes + 64 + 255) // 256, [])
            ptr = pool.pop() if pool else self.device.reserve(nbytes)
            self.in_use += nbytes
            self.peak = max(self.peak, self.in_use)
            site = call_site()
            self.device.sites[ptr] = (nbytes, site)
            buffer = DeviceBuffer(ptr, nbytes, stream, self._freed, site)
            self._live.add(buffer)

            def run() -> None:
                self.device.access(ptr, nbytes, WRITE)
                self.device.cdll.emu_expose(ptr, nbytes, 1)
                raw_bytes(ptr, nbytes)[:] = FRESH_POISON

            self.scheduler.push(stream, f"alloc of {nbytes} bytes", run, ALLOC)
            return buffer

    def pinned(self, nbytes: int) -> PinnedBuffer:
        return PinnedBuffer(int(nbytes))

    def upload(self, dst: int, src: PinnedBuffer | npt.NDArray[Any], nbytes: int,
               stream: Stream, *, src_offset: int = 0) -> None:  # fmt: skip
        with self.entered(stream):
            host = _HostBytes(src, src_offset, int(nbytes))
            snapshot = host.view().tobytes()

            def run() -> None:
                if host.view().tobytes() != snapshot:
                    label = self.device.label
                    raise EmulationError(f"{label}: its host memory changed before it ran")
                self.device.view(dst, host.nbytes, WRITE)[:] = np.frombuffer(snapshot, np.uint8)

            self.scheduler.push(stream, f"upload of {nbytes} bytes", run)

    def download(self, dst: npt.NDArray[Any], src: int, nbytes: int, stream: Stream) -> None:
        with self.entered(stream):
            host = _HostBytes(dst, 0, int(nbytes), writable=True)
            host.view()[:] = HOST_POISON

            def run() -> None:
                host.view()[:] = self.device.view(src, host.nbytes, READ)

            self.scheduler.push(stream, f"download of {nbytes} bytes", run)

    def read(self, src: int, nbytes: int, stream: Stream) -> npt.NDArray[np.uint8]:
        result = np.empty(nbytes, np.uint8)
        self.download(result, src, nbytes, stream)
        self.wait_event(self.record(stream))
        return result

    def memset(self, dst: int, value: int, nbytes: int, stream: Stream) -> None:
        if not 0 <= value <= 255:
            raise EmulationError(f"memset with {value}, which is not a byte")
        with self.entered(stream):

            def run() -> None:
                self.device.view(dst, nbytes, WRITE)[:] = value

            self.scheduler.push(stream, f"memset of {nbytes} bytes", run)

    # ---- kernels

    def launch(self, kernel: str, grid: int, block: int, args: Sequence[Any],
               stream: Stream, *, shared: int = 0) -> None:  # fmt: skip
        if kernel not in self.device.kernels:
            raise EmulationError(f"no kernel {kernel!r}; there are {sorted(self.device.kernels)}")
        entry, codes = self.device.kernels[kernel]
        if not (1 <= grid < 2**31 and block in range(32, 257, 32)):  # kernels/README.md
            raise EmulationError(f"{kernel}: grid {grid}, block {block}")
        if shared:
            raise EmulationError(f"{kernel}: no kernel takes dynamic shared memory")
        given = [type(a) for a in args]
        wanted = [_ARGUMENT[c] for c in codes]
        if given != wanted:
            raise EmulationError(
                f"{kernel}: arguments {[t.__name__ for t in given]}, wanted "
                f"{[t.__name__ for t in wanted]}"
            )
        words = np.zeros(max(len(args), 1), np.uint64)
        for i, value in enumerate(args):
            raw = np.frombuffer(value.tobytes(), np.uint8)
            words[i : i + 1].view(np.uint8)[: len(raw)] = raw
        with self.entered(stream):
            seed = self.scheduler.random.getrandbits(30)

            def run() -> None:
                self.device.launch(entry, words[: len(args)], grid, block, seed)

            self.scheduler.push(stream, f"kernel {kernel}", run)

    # ---- arrays

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> EmulatedArray:
        dtype = np.dtype(dtype)
        if dtype.kind not in "biufc" or not dtype.isnative or dtype.itemsize > 16:
            raise EmulationError(f"a device array cannot be of dtype {dtype.str}")
        shape = tuple(int(n) for n in shape)
        strides = c_strides(shape, dtype.itemsize)
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        buffer = self.alloc(nbytes, self._caller)
        return EmulatedArray(self, buffer, buffer.ptr, shape, strides, dtype)

    def is_device_array(self, value: Any) -> bool:
        return isinstance(value, EmulatedArray) and value.runtime is self

    def to_device(self, value: Any) -> EmulatedArray:
        if isinstance(value, EmulatedArray):
            if value.runtime is self:
                return value
            value = value.runtime.to_host(value)
        if hasattr(value, "__cuda_array_interface__"):
            return self._of_interface(value)
        host = np.array(value, order="C")  # a copy of our own, so that the caller may change his
        host = host.astype(host.dtype.newbyteorder("="), copy=False)
        array = self.empty(host.shape, host.dtype)
        if host.nbytes:
            self.upload(array.ptr, host, host.nbytes, self._caller)
        self.wait_event(self.record(self._caller))
        return array

    def astype(self, array: EmulatedArray, dtype: np.dtype[Any]) -> EmulatedArray:
        return self.to_device(self.to_host(array).astype(dtype))

    def adopt(self, value: Any) -> EmulatedArray:
        """Take an array by the CUDA array interface, whose ``stream`` is a stream's number."""
        if isinstance(value, EmulatedArray):
            if value.runtime is not self:
                raise ValueError(f"out is on {value.runtime.name}, the array on {self.name}")
            return value
        interface = getattr(value, "__cuda_array_interface__", None)
        if interface is None:
            raise TypeError(f"out must be an array on {self.name}, not {type(value).__name__}")
        if interface["data"][1]:
            raise ValueError("out is read-only")
        return self._of_interface(value)

    def _of_interface(self, value: Any) -> EmulatedArray:
        interface = value.__cuda_array_interface__
        pointer = interface["data"][0]
        shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
        strides = interface.get("strides") or c_strides(shape, dtype.itemsize)
        if interface.get("stream") is not None:
            streams = {stream.number: stream for stream in self.scheduler.streams}
            self.stream_wait(self._caller, self.record(streams[interface["stream"]]))
        return EmulatedArray(self, value, pointer, shape, strides, dtype)

    def to_host(self, value: EmulatedArray) -> npt.NDArray[Any]:
        if not self.is_device_array(value):
            raise EmulationError(f"not an array of this device: {type(value)}")
        low, high = extent(value.shape, value.strides, value.itemsize)
        raw = self.read(value.ptr + low, high - low, self._caller)
        view = np.ndarray(value.shape, value.dtype, raw, -low, value.strides)
        return np.array(view, order="C")

    def describe(
        self, array: EmulatedArray
    ) -> tuple[int, tuple[int, ...], tuple[int, ...], np.dtype[Any]]:
        if not self.is_device_array(array):
            raise EmulationError(f"not an array of this device: {type(array)}")
        return array.ptr, array.shape, array.strides, array.dtype

    # ---- the end

    def synchronize(self) -> None:
        """Run all that is queued; for tests, the protocol has no such verb."""
        with self.entered():
            self.scheduler.drain()
            for stream in self.scheduler.streams:
                self.scheduler.host_wait(self.scheduler.record(stream))

    def close(self, *, check: bool = True, held: bool = True) -> None:
        """Run what is left, then raise for the first error and for memory that is still held.

        ``check=False`` does neither, ``held=False`` lets memory be held.
        """
        if self.closed:
            return
        try:
            if check:
                self.synchronize()
                sites = [f"{b.nbytes} bytes allocated at {b.site}" for b in self._live]
                if held and sites:
                    raise EmulationError("device memory still held at close: " + "; ".join(sites))
        finally:
            self.closed = True
            OPEN.discard(self)
            self._leave()

    @contextmanager
    def entered(self, stream: Stream | None = None) -> Iterator[None]:
        """Hold the device: every call does, from whatever thread."""
        with self.device.lock:
            if self.closed:
                raise EmulationError("the runtime is closed")
            if stream is not None and stream.owner is not self:
                raise EmulationError("a stream of another device")
            while self._freed:
                self._give_back(*self._freed.popleft())
            yield

    def _give_back(self, ptr: int, nbytes: int, stream: Stream) -> None:
        self.in_use -= nbytes

        def run() -> None:
            self.device.access(ptr, nbytes, WRITE)
            raw_bytes(ptr, nbytes)[:] = FREED_POISON
            self.device.cdll.emu_expose(ptr, nbytes, 0)

        self.scheduler.push(stream, f"free of {nbytes} bytes", run, FREE)
        stream.free.setdefault((nbytes + 64 + 255) // 256, []).append(ptr)


class _HostBytes:
    """Part of a host buffer that a queued copy will touch, and a watch on who owns it."""

    def __init__(self, source: Any, offset: int, nbytes: int, *, writable: bool = False) -> None:
        if nbytes < 0 or offset < 0 or offset + nbytes > source.nbytes:
            raise EmulationError(
                f"a copy of {nbytes} bytes at {offset} of {source.nbytes} bytes of host memory"
            )
        self.nbytes = nbytes
        owner: Any = source
        if isinstance(source, PinnedBuffer):
            self.address = source.ptr + offset
        elif isinstance(source, np.ndarray):
            if not source.flags.c_contiguous or (writable and not source.flags.writeable):
                raise EmulationError("a copy with host memory that is strided or read-only")
            self.address = source.ctypes.data + offset
            while isinstance(owner.base, (np.ndarray, memoryview)):
                owner = owner.base.obj if isinstance(owner.base, memoryview) else owner.base
                if not isinstance(owner, np.ndarray):
                    break
        else:
            raise EmulationError(f"host memory must be pinned or a NumPy array, not {type(source)}")
        plain = isinstance(owner, np.ndarray) and owner.base is None
        if plain or isinstance(owner, PinnedBuffer):
            self._owner: Any = weakref.ref(owner)
        else:  # bytes and such cannot be watched, so they are kept
            self._owner = lambda: owner

    def view(self) -> npt.NDArray[np.uint8]:
        owner = self._owner()
        if owner is None:
            raise EmulationError("host memory of a copy was dropped before an event said it ran")
        if self.nbytes == 0:
            return np.empty(0, np.uint8)
        return raw_bytes(self.address, self.nbytes)


def extent(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Return the lowest and one past the highest byte offset of an array from its first element."""
    if 0 in shape:
        return 0, 0
    reach = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]
    return sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + itemsize


__all__ = ["DeviceBuffer", "EmulatedRuntime", "EmulationError", "PinnedBuffer", "extent"]
