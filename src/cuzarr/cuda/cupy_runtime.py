"""The device runtime with CuPy and nvCOMP: the only module that imports CuPy.

1. :class:`CupyRuntime` implements ``cuda.runtime.Runtime`` for one device.
2. Every call makes its device current for its duration, and no longer.
3. Device memory comes from CuPy's pool, which keys free blocks by the stream that was current at
   allocation and records no event: so :meth:`CupyRuntime.alloc` makes the given stream current,
   and callers keep the rule of ``cuda.runtime`` about other streams.
4. Kernels are loaded once, from the cubin of ``cuda.kernels``.
5. CUDA and nvCOMP failures become ``DeviceError``, exhausted memory ``DeviceMemoryError``.

CuPy facts used, from its sources at 13 and 14: ``get_current_stream(device_id)`` is kept per
thread and device; ``with stream`` refuses a stream of another device; ``eventQuery`` returns the
status instead of raising; a kernel argument that is a NumPy scalar is passed by value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.cuda import kernels, nvcomp
from cuzarr.cuda.exchange import is_read_only
from cuzarr.cuda.nvcomp_encode import Compression
from cuzarr.cuda.runtime import DeviceArray, DeviceBuffer, Event, NvComp, PinnedBuffer, Stream
from cuzarr.errors import DeviceError, DeviceMemoryError, MissingPackageError, NoDeviceError

try:
    import cupy
    from cupy.cuda import runtime as cuda
except ImportError as _error:
    raise MissingPackageError(
        "a CUDA device needs CuPy: pip install 'cuzarr[cuda13]' (or 'cuzarr[cuda12]', by driver)"
    ) from _error

_DLPACK_CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged of dlpack.h
_CUDA_ERRORS = (cuda.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)


class CupyRuntime:
    """One CUDA device.

    Parameters
    ----------
    device_id : int
        As CUDA counts: among those that ``CUDA_VISIBLE_DEVICES`` shows.

    Attributes
    ----------
    memory_bytes : int
        Of the device, used or not.

    Raises
    ------
    NoDeviceError
        There is no such device.
    DeviceError
        The device cannot be used.
    """

    def __init__(self, device_id: int) -> None:
        self._id = device_id
        self.name = f"cuda:{device_id}"
        try:
            count = cuda.getDeviceCount()
        except _CUDA_ERRORS as error:
            raise NoDeviceError(f"no CUDA device: {error}") from error
        if not 0 <= device_id < count:
            raise NoDeviceError(f"no device {self.name!r}: this process sees {count}")
        with self._current():
            self.arch = f"sm_{cupy.cuda.Device(device_id).compute_capability}"
            self.memory_bytes = int(cuda.memGetInfo()[1])
        library = nvcomp.load()
        self.nvcomp: NvComp | None = None if library is None else _DeviceNvComp(self, library)
        self._driver_major = cuda.driverGetVersion() // 1000
        self._module: Any = None
        self._kernels: dict[str, Any] = {}

    def new_stream(self) -> Stream:
        """Return a new non-blocking stream."""
        with self._current():
            return cupy.cuda.Stream(non_blocking=True)

    def caller_stream(self) -> Stream:
        """Return CuPy's current stream of this device and thread."""
        with self._current():
            return cupy.cuda.get_current_stream(self._id)

    def record(self, stream: Stream) -> Event:
        """Record an event on a stream."""
        with self._current():
            return stream.record(cupy.cuda.Event(disable_timing=True))

    def stream_wait(self, stream: Stream, event: Event) -> None:
        """Make later work of ``stream`` wait for ``event``."""
        with self._current():
            stream.wait_event(event)

    def wait_event(self, event: Event) -> None:
        """Make the host wait for an event; raises ``DeviceError`` if the device failed."""
        with self._current():
            event.synchronize()

    def event_done(self, event: Event) -> bool:
        """Whether an event has happened, without waiting."""
        with self._current():
            return bool(event.done)

    def alloc(self, nbytes: int, stream: Stream) -> DeviceBuffer:
        """Allocate from CuPy's pool under ``stream``."""
        with self._current(nbytes), stream:
            return _Buffer(_with_freed(cupy.cuda.alloc, max(1, nbytes)), nbytes)

    def pinned(self, nbytes: int) -> PinnedBuffer:
        """Allocate page-locked host memory."""
        with self._current():
            return _Pinned(cupy.cuda.alloc_pinned_memory(max(1, nbytes)), nbytes)

    def upload(
        self,
        dst: int,
        src: PinnedBuffer | npt.NDArray[Any],
        nbytes: int,
        stream: Stream,
        *,
        src_offset: int = 0,
    ) -> None:
        """Copy host bytes to the device."""
        base = src.ctypes.data if isinstance(src, np.ndarray) else src.ptr
        self._copy(dst, base + src_offset, nbytes, cuda.memcpyHostToDevice, stream)

    def download(self, dst: npt.NDArray[Any], src: int, nbytes: int, stream: Stream) -> None:
        """Copy device bytes to host memory."""
        self._copy(dst.ctypes.data, src, nbytes, cuda.memcpyDeviceToHost, stream)

    def read(self, src: int, nbytes: int, stream: Stream) -> npt.NDArray[np.uint8]:
        """Download and wait."""
        found = np.empty(nbytes, np.uint8)
        self.download(found, src, nbytes, stream)
        with self._current():
            stream.synchronize()
        return found

    def memset(self, dst: int, value: int, nbytes: int, stream: Stream) -> None:
        """Fill device bytes."""
        if nbytes:
            with self._current():
                cuda.memsetAsync(dst, value, nbytes, stream.ptr)

    def launch(
        self,
        kernel: str,
        grid: int,
        block: int,
        args: Sequence[Any],
        stream: Stream,
        *,
        shared: int = 0,
    ) -> None:
        """Launch a kernel by name; the first use of a kernel loads it."""
        if grid == 0:
            return
        with self._current():
            function = self._kernels.get(kernel)
            if function is None:
                function = self._load(kernel)
            function((grid,), (block,), tuple(args), shared_mem=shared, stream=stream)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        """Allocate a C-contiguous array under the caller's stream."""
        with self._current(math.prod(shape) * dtype.itemsize):
            return _with_freed(cupy.empty, shape, dtype.newbyteorder("="))

    def is_device_array(self, value: Any) -> bool:
        """Whether ``value`` already lives on this device."""
        return _device_of(value) == self._id

    def to_device(self, value: Any) -> DeviceArray:
        """Return ``value`` as an array of this device, ordered on the caller's stream.

        DLPack hands over the producer's stream (torch's current one), and so does version 3 of the
        CUDA array interface; a plain CuPy array is taken as ordered on CuPy's current stream.
        """
        source = _device_of(value)
        if source is None:
            host = np.asarray(value)
            with self._current(host.nbytes):
                return cupy.asarray(host.astype(host.dtype.newbyteorder("="), copy=False))
        array = self._adopt(value, source)
        if source == self._id:
            return array
        with cupy.cuda.Device(source):
            cupy.cuda.get_current_stream(source).synchronize()
        with self._current(array.nbytes):
            return array.copy()

    def adopt(self, value: Any) -> DeviceArray:
        """Return a writable array of any library as one of this device over the same memory."""
        source = _device_of(value)
        if source is None:
            raise TypeError(f"out must be an array on {self.name}, not {type(value).__name__}")
        if source != self._id:
            raise ValueError(f"out is on cuda:{source}, the array on {self.name}")
        if isinstance(value, cupy.ndarray):
            return value
        if is_read_only(value):
            raise ValueError("out is read-only")
        try:
            return self._adopt(value, source)
        except (BufferError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            raise TypeError(f"out cannot be filled: {error}") from error

    def astype(self, array: DeviceArray, dtype: np.dtype[Any]) -> DeviceArray:
        """Return a device array cast to ``dtype``."""
        with self._current(array.size * dtype.itemsize):
            return array.astype(dtype, copy=False)

    def to_host(self, value: DeviceArray) -> npt.NDArray[Any]:
        """Return a host copy of a device array; waits."""
        with self._current():
            found: npt.NDArray[Any] = cupy.asnumpy(value)
            return found

    def describe(
        self, array: DeviceArray
    ) -> tuple[int, tuple[int, ...], tuple[int, ...], np.dtype[Any]]:
        """Return (pointer, shape, strides in bytes, dtype)."""
        return int(array.data.ptr), tuple(array.shape), tuple(array.strides), array.dtype

    def _copy(self, dst: int, src: int, nbytes: int, kind: int, stream: Stream) -> None:
        if nbytes:
            with self._current():
                cuda.memcpyAsync(dst, src, nbytes, kind, stream.ptr)

    def _adopt(self, value: Any, source: int) -> DeviceArray:
        if isinstance(value, cupy.ndarray):
            return value
        with _Current(source):
            if hasattr(value, "__dlpack__"):
                return cupy.from_dlpack(value)
            return cupy.asarray(value)

    def _load(self, kernel: str) -> Any:
        if self._module is None:
            module = cupy.cuda.function.Module()
            module.load(kernels.compile_kernels(self.arch, major=self._driver_major))
            self._module = module
        function = self._kernels[kernel] = self._module.get_function(kernel)
        return function

    def _current(self, nbytes: int = 0) -> _Current:
        return _Current(self._id, nbytes)


class _Buffer:
    """Device memory of CuPy's pool; the pool takes it back when the pointer object goes."""

    def __init__(self, memory: Any, nbytes: int) -> None:
        self._memory = memory
        self.ptr = int(memory.ptr)
        self.nbytes = nbytes


class _Pinned:
    """Page-locked memory of CuPy's pinned pool."""

    def __init__(self, memory: Any, nbytes: int) -> None:
        self._memory = memory
        self.ptr = int(memory.ptr)
        self.nbytes = nbytes
        self.view = memoryview(np.frombuffer(memory, np.uint8, nbytes))


class _DeviceNvComp:
    """nvCOMP called with the runtime's device current."""

    def __init__(self, runtime: CupyRuntime, library: nvcomp.NvCompLibrary) -> None:
        self._runtime, self._library = runtime, library
        self._compression = Compression(library)
        self.version = library.version
        self.alignments = library.alignments
        self.compress_bound = self._compression.bound
        self.compress_alignments = self._compression.alignments

    def decompress_temp_bytes(self, fmt: str, n: int, max_chunk: int, max_total: int) -> int:
        """Bytes of temporary device memory for a batch."""
        with self._runtime._current():
            return self._library.decompress_temp_bytes(fmt, n, max_chunk, max_total)

    def decompress(self, *args: Any) -> None:
        """Queue one batched decompression."""
        with self._runtime._current():
            self._library.decompress(*args)

    def compress_temp_bytes(
        self, fmt: str, algorithm: int, n: int, max_chunk: int, max_total: int
    ) -> int:
        """Bytes of temporary device memory for a batch to compress."""
        with self._runtime._current():
            return self._compression.temp_bytes(fmt, algorithm, n, max_chunk, max_total)

    def compress(self, *args: Any) -> None:
        """Queue one batched compression."""
        with self._runtime._current():
            self._compression.compress(*args)


def _with_freed(allocate: Callable[..., Any], *args: Any) -> Any:
    """Allocate, if need be after the pool gave back what it holds for the other streams.

    The pool does that itself when the device has no more, but not when it meets its own limit. What
    work in flight still uses is not lost: ``cudaFree`` waits for it.
    """
    try:
        return allocate(*args)
    except cupy.cuda.memory.OutOfMemoryError:
        cupy.get_default_memory_pool().free_all_blocks()
        return allocate(*args)


class _Current:
    """Makes a device current inside the block, and CUDA's errors those of cuzarr.

    A class, since it is entered tens of times per call, and one object per entry: that of CuPy
    keeps its stack in the object, so threads that share one would mix them up.
    """

    __slots__ = ("_id", "_nbytes", "_previous")

    def __init__(self, device_id: int, nbytes: int = 0) -> None:
        self._id, self._nbytes = device_id, nbytes

    def __enter__(self) -> None:
        try:
            self._previous = cuda.getDevice()
            if self._previous != self._id:
                cuda.setDevice(self._id)
        except _CUDA_ERRORS as error:
            raise DeviceError(f"CUDA failed: {error}") from error

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if isinstance(error, cupy.cuda.memory.OutOfMemoryError):
                free, total = cuda.memGetInfo()
                raise DeviceMemoryError(
                    f"out of device memory: {self._nbytes} bytes asked for, {free} of {total} are "
                    "free"
                ) from error
            if isinstance(error, _CUDA_ERRORS):
                raise DeviceError(f"CUDA failed: {error}") from error
        finally:
            if self._previous != self._id:
                cuda.setDevice(self._previous)


def _device_of(value: Any) -> int | None:
    """Return the device on which an array lives, None for one in host memory."""
    if isinstance(value, cupy.ndarray):
        return int(value.device.id)
    if hasattr(value, "__dlpack_device__"):
        kind, number = value.__dlpack_device__()
        return int(number) if int(kind) in _DLPACK_CUDA else None
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is None:
        return None
    pointer = interface["data"][0]
    return int(cuda.pointerGetAttributes(pointer).device) if pointer else cuda.getDevice()
