"""Put arrays on an emulated device, run kernels over them, get arrays back: for kernel tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tests.emulation.runtime import DeviceBuffer, EmulatedRuntime


class Driver:
    """One stream of one emulated device, closed with it.

    ::

        with Driver() as device:
            source = device.put(array)
            device.run("copy_segments", tasks, ...)
    """

    def __init__(self, seed: int = 0) -> None:
        self.runtime = EmulatedRuntime(seed)
        self.stream = self.runtime.new_stream()
        self._buffers: list[DeviceBuffer] = []
        self._hosts: list[npt.NDArray[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._buffers.clear()
        self.runtime.close(check=error is None)

    def alloc(self, nbytes: int, offset: int = 0) -> int:
        """Return a pointer to fresh memory, ``offset`` bytes off a 256-byte boundary."""
        buffer = self.runtime.alloc(nbytes + offset, self.stream)
        self._buffers.append(buffer)
        return buffer.ptr + offset

    def put(self, array: Any, dtype: Any = None, offset: int = 0) -> int:
        """Return a pointer to a copy of an array on the device."""
        host = np.array(array, dtype, order="C")
        self._hosts.append(host)
        ptr = self.alloc(host.nbytes, offset)
        self.runtime.upload(ptr, host, host.nbytes, self.stream)
        return ptr

    def filled(self, nbytes: int, value: int, offset: int = 0) -> int:
        """Return a pointer to bytes of one value."""
        ptr = self.alloc(nbytes, offset)
        self.runtime.memset(ptr, value, nbytes, self.stream)
        return ptr

    def get(self, ptr: int, shape: Any, dtype: Any = np.uint8) -> npt.NDArray[Any]:
        """Return a host copy of device memory."""
        dtype = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        return (
            self.runtime.read(ptr, count * dtype.itemsize, self.stream).view(dtype).reshape(shape)
        )

    def run(self, kernel: str, grid: int, *args: Any, block: int = 256) -> None:
        """Launch with Python numbers: each becomes what the kernel's signature says."""
        codes = self.runtime.device.kernels[kernel][1]
        kinds = {"p": np.uint64, "Q": np.uint64, "q": np.int64, "i": np.int32, "I": np.uint32}
        assert len(args) == len(codes), f"{kernel} takes {len(codes)} arguments"
        values = [kinds[c](a) for c, a in zip(codes, args, strict=True)]
        self.runtime.launch(kernel, max(int(grid), 1), block, values, self.stream)

    def table(self, values: Iterable[int], dtype: Any = np.int64) -> int:
        """Return a pointer to a table of numbers."""
        return self.put(list(values), dtype)
