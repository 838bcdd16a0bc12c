"""The device that a part of the report runs on.

1. :class:`Cuda` is the real one, through CuPy; times of single steps are between two CUDA events.
2. :class:`DryRun` is the host in its place, so that the scripts are exercised without a GPU. What
   it measures says nothing about any GPU; every document it leads to is marked.
3. :func:`open_device` picks one.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


class Cuda:
    """Device 0, with CuPy."""

    dry_run = False
    name = "cuda:0"

    def __init__(self) -> None:
        import cupy

        self.xp: Any = cupy
        self._cupy = cupy
        cupy.cuda.Device(0).use()
        self._stream = cupy.cuda.get_current_stream()

    def describe(self) -> dict[str, Any]:
        """Return name, memory, driver and library versions."""
        runtime = self._cupy.cuda.runtime
        found = runtime.getDeviceProperties(0)
        return {
            "gpu": found["name"].decode(),
            "memory_gib": round(found["totalGlobalMem"] / 2**30, 1),
            "compute_capability": f"{found['major']}.{found['minor']}",
            "driver": _nvidia_smi("driver_version"),
            "cuda_driver": runtime.driverGetVersion(),
            "cuda_runtime": runtime.runtimeGetVersion(),
            "cupy": self._cupy.__version__,
            "nvcomp": _nvcomp_version(),
        }

    def sync(self) -> None:
        """Wait for all work of the device (a benchmark may; the library does not)."""
        self._cupy.cuda.Device(0).synchronize()

    def pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Return page-locked host memory."""
        memory = self._cupy.cuda.alloc_pinned_memory(nbytes)
        return np.frombuffer(memory, np.uint8, nbytes)

    def copy_in(self, target: Any, source: npt.NDArray[np.uint8]) -> None:
        """Queue a copy of host bytes to device bytes of the same length."""
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(
            target.data.ptr, source.ctypes.data, source.nbytes, runtime.memcpyHostToDevice,
            self._stream.ptr,
        )  # fmt: skip

    def copy(self, target: Any, source: Any) -> None:
        """Queue a copy between device arrays of the same length (an assignment is a kernel)."""
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(
            target.data.ptr, source.data.ptr, source.nbytes, runtime.memcpyDeviceToDevice,
            self._stream.ptr,
        )  # fmt: skip

    def timed(self, work: Callable[[], None]) -> float:
        """Return ms between an event before and one after the queued work."""
        start, stop = self._cupy.cuda.Event(), self._cupy.cuda.Event()
        self.sync()
        start.record(self._stream)
        work()
        stop.record(self._stream)
        stop.synchronize()
        return float(self._cupy.cuda.get_elapsed_time(start, stop))

    def free(self) -> None:
        """Give pooled memory back before a part needs much of it."""
        self._cupy.get_default_memory_pool().free_all_blocks()


class DryRun:
    """The host, with NumPy, in the place of a device."""

    dry_run = True
    name = "cpu"
    xp: Any = np

    def describe(self) -> dict[str, Any]:
        return {"gpu": "none: dry run on the host"}

    def sync(self) -> None:
        pass

    def pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        return np.empty(nbytes, np.uint8)

    def copy_in(self, target: Any, source: npt.NDArray[np.uint8]) -> None:
        target[...] = source

    def copy(self, target: Any, source: Any) -> None:
        target[...] = source

    def timed(self, work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1e3

    def free(self) -> None:
        pass


Device = Cuda | DryRun


def open_device(*, dry_run: bool) -> Device:
    """Return the device, or end the program with the reason why there is none."""
    if dry_run:
        return DryRun()
    try:
        return Cuda()
    except Exception as error:
        raise SystemExit(f"no GPU report without a CUDA device and CuPy: {error}") from error


def _nvidia_smi(field: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"unknown ({error})"
    return done.stdout.splitlines()[0].strip() if done.stdout else "unknown"


def _nvcomp_version() -> str:
    from cuzarr.cuda import nvcomp

    library = nvcomp.load()
    return "not found" if library is None else ".".join(map(str, library.version))
