"""The device runtime: waist 5 of the design, the only code that touches CuPy or nvCOMP.

1. ``cuda.cupy_runtime`` implements :class:`Runtime` with CuPy and nvCOMP's C library.
2. The tests implement it on the host (``tests/emulation``): work is queued per stream and run late,
   in any order that events allow; memory is poisoned; an access that no event orders is an error.
3. ``cuda.backend`` is written against this protocol alone, so all of it runs in both.

Rules that both keep. Work on one stream runs in order; between streams only events order it.
Device memory belongs to the stream it was allocated under: dropping the last reference gives it
back in that stream's order, so whoever used it on another stream must make that stream wait first.
Host memory given to ``upload`` or ``download`` must stay alive and unchanged until an event
recorded after the call is done. Nothing here synchronises but ``wait_event`` and ``read``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

DeviceArray = Any  #: cupy.ndarray, or the emulation's array that host code cannot read by accident
Stream = Any
Event = Any


class DeviceBuffer(Protocol):
    """Device memory, freed in the order of its stream when the last reference is dropped."""

    ptr: int
    nbytes: int


class PinnedBuffer(Protocol):
    """Page-locked host memory."""

    ptr: int
    nbytes: int
    view: memoryview  #: writable, format "B"


class Runtime(Protocol):
    """One device."""

    name: str  #: "cuda:0"
    arch: str  #: "sm_90"
    nvcomp: NvComp | None  #: None where nvCOMP is not installed

    def new_stream(self) -> Stream:
        """Return a new non-blocking stream."""
        ...

    def caller_stream(self) -> Stream:
        """Return the stream that is current for the caller of cuzarr."""
        ...

    def record(self, stream: Stream) -> Event:
        """Record an event on a stream."""
        ...

    def stream_wait(self, stream: Stream, event: Event) -> None:
        """Make later work of ``stream`` wait for ``event``; the host does not wait."""
        ...

    def wait_event(self, event: Event) -> None:
        """Make the host wait for an event; raises ``DeviceError`` if the device failed."""
        ...

    def event_done(self, event: Event) -> bool:
        """Whether an event has happened, without waiting."""
        ...

    def alloc(self, nbytes: int, stream: Stream) -> DeviceBuffer:
        """Allocate device memory; raises ``DeviceMemoryError`` naming the sizes."""
        ...

    def pinned(self, nbytes: int) -> PinnedBuffer:
        """Allocate page-locked host memory (slow: keep and reuse it)."""
        ...

    def upload(self, dst: int, src: PinnedBuffer | npt.NDArray[Any], nbytes: int,
               stream: Stream, *, src_offset: int = 0) -> None:  # fmt: skip
        """Copy host bytes to the device pointer ``dst``."""
        ...

    def download(self, dst: npt.NDArray[Any], src: int, nbytes: int, stream: Stream) -> None:
        """Copy device bytes at pointer ``src`` to host memory."""
        ...

    def read(self, src: int, nbytes: int, stream: Stream) -> npt.NDArray[np.uint8]:
        """Download and wait: the one convenience that synchronises (with ``stream``)."""
        ...

    def memset(self, dst: int, value: int, nbytes: int, stream: Stream) -> None:
        """Fill device bytes."""
        ...

    def launch(self, kernel: str, grid: int, block: int, args: Sequence[Any],
               stream: Stream, *, shared: int = 0) -> None:  # fmt: skip
        """Launch a kernel of ``kernels/*.cu`` by name; every argument is a NumPy scalar.

        Pointers are ``np.uint64``; 1-D grids and blocks only.
        """
        ...

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        """Allocate a C-contiguous array under the caller's stream."""
        ...

    def is_device_array(self, value: Any) -> bool:
        """Whether ``value`` already lives on this device (CuPy, DLPack or CUDA array interface)."""
        ...

    def to_device(self, value: Any) -> DeviceArray:
        """Return ``value`` (host or device array) as an array of this device.

        One that is there is not copied. Ordered on the caller's stream.
        """
        ...

    def adopt(self, value: Any) -> DeviceArray:
        """Return a writable array of any library as one of this device over the same memory.

        Later work of the caller's stream comes after what that library has queued: on the stream
        that it orders by DLPack (torch's current one), or that the CUDA array interface names.

        Raises
        ------
        TypeError
            It is no array in the memory of a CUDA device, or its library does not hand it over.
        ValueError
            It is on another device, or read-only.
        """
        ...

    def astype(self, array: DeviceArray, dtype: np.dtype[Any]) -> DeviceArray:
        """Return a device array cast as NumPy casts; ordered on the caller's stream."""
        ...

    def to_host(self, value: DeviceArray) -> npt.NDArray[Any]:
        """Return a host copy of a device array; waits."""
        ...

    def describe(
        self, array: DeviceArray
    ) -> tuple[int, tuple[int, ...], tuple[int, ...], np.dtype[Any]]:
        """Return (pointer, shape, strides in bytes, dtype) of an array of this device."""
        ...


class NvComp(Protocol):
    """nvCOMP's batched C API (headers ``nvcomp/*.h`` of 5.x and 6.x).

    Formats are "LZ4", "Zstd", "Deflate", "Gzip", "Snappy". Pointer and size arrays are in device
    memory.
    """

    version: tuple[int, int, int]

    def decompress_temp_bytes(self, fmt: str, n: int, max_chunk: int, max_total: int) -> int:
        """Bytes of temporary device memory for a batch."""
        ...

    def alignments(self, fmt: str) -> tuple[int, int, int]:
        """Required alignments in bytes of (input, output, temp) for decompression."""
        ...

    def decompress(self, fmt: str, in_ptrs: int, in_bytes: int, out_capacity: int,
                   out_actual: int, n: int, temp: int, temp_bytes: int, out_ptrs: int,
                   statuses: int, stream: Stream) -> None:  # fmt: skip
        """Queue one batched decompression.

        Every argument but ``n`` and ``temp_bytes`` is a device pointer (uint64 pointers, uint64
        sizes, int32 statuses; status 0 = success).
        """
        ...

    def compress_temp_bytes(
        self, fmt: str, algorithm: int, n: int, max_chunk: int, max_total: int
    ) -> int:
        """Bytes of temporary device memory for a batch to compress.

        ``algorithm`` is that of the format's options, 0 where it has none. There is no compression
        of "Snappy" here.
        """
        ...

    def compress_bound(self, fmt: str, algorithm: int, max_chunk: int) -> int:
        """Most bytes that a stream of ``max_chunk`` bytes is compressed to."""
        ...

    def compress_alignments(self, fmt: str, algorithm: int) -> tuple[int, int, int]:
        """Required alignments in bytes of (input, output, temp) for compression."""
        ...

    def compress(self, fmt: str, algorithm: int, in_ptrs: int, in_bytes: int, max_chunk: int,
                 n: int, temp: int, temp_bytes: int, out_ptrs: int, out_bytes: int,
                 statuses: int, stream: Stream) -> None:  # fmt: skip
        """Queue one batched compression; arrays are as those of ``decompress``."""
        ...
