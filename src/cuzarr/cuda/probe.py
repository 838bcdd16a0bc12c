"""Whether a CUDA device can be used here, asked without creating any CUDA state.

1. A forked child says no: a CUDA context does not survive a fork, and its parent may hold one.
2. ``CUDA_VISIBLE_DEVICES`` may hide every device.
3. ``libcuda.so.1`` must be there; NVML (``libnvidia-ml.so.1``) counts the devices and tells the
   driver's CUDA version. It makes no context, so a process that only probed can still be forked.
   In a container without NVML, ``/proc/driver/nvidia/gpus`` and ``cuDriverGetVersion``, which
   needs no ``cuInit``, say the same.
4. CuPy must be installed, built for a CUDA that the driver can run.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_UUID_BYTES = 96
_PROC = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True, slots=True)
class Probe:
    """Answer to :func:`probe`.

    Attributes
    ----------
    count : int
        Devices that can be used, 0 for none; their numbers are ``0 <= n < count``.
    reason : str
        Why, in words that fit a message: "2 NVIDIA devices", "CuPy is not installed: ...".
    """

    count: int
    reason: str


FORKED = "this process was forked, and CUDA does not survive a fork (use spawn)"


def was_forked() -> bool:
    """Whether this process is a forked child of one that had imported cuzarr."""
    return _fork["done"]


@cache
def probe() -> Probe:
    """Say how many devices can be used, and why; the answer is kept for the process."""
    if was_forked():
        return Probe(0, FORKED)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
        return Probe(0, f"CUDA_VISIBLE_DEVICES={visible!r} hides every device")
    driver = query_driver()
    if driver is None:
        return Probe(0, "no NVIDIA driver was found")
    count = len(driver.uuids) if visible is None else count_visible(visible, driver.uuids)
    if count == 0:
        hidden = "" if visible is None else f" that CUDA_VISIBLE_DEVICES={visible!r} shows"
        return Probe(0, f"the NVIDIA driver has no device{hidden}")
    devices = f"{count} NVIDIA device{'s' if count > 1 else ''}"
    problem = cupy_problem(driver.cuda)
    return Probe(0, f"{devices}, but {problem}") if problem else Probe(count, devices)


@dataclass(frozen=True, slots=True)
class Driver:
    """What NVML tells: UUIDs of all devices, and the newest CUDA (major, minor) that it runs."""

    uuids: tuple[str, ...]
    cuda: tuple[int, int]


def query_driver(open_library: Callable[[str], Any] = ctypes.CDLL) -> Driver | None:
    """Ask NVML, or what the kernel module shows; None where there is no driver."""
    version = ctypes.c_int(0)
    try:
        libcuda = open_library("libcuda.so.1")
    except OSError:
        return None
    try:
        nvml = open_library("libnvidia-ml.so.1")
    except OSError:
        devices = _PROC.iterdir() if _PROC.is_dir() else ()
        if libcuda.cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
        return Driver(("",) * len(list(devices)), _major_minor(version.value))
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        count = ctypes.c_uint(0)
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return None
        if nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(version)) != 0:
            return None
        uuids = tuple(_uuid(nvml, i) for i in range(count.value))
    finally:
        nvml.nvmlShutdown()
    return Driver(uuids, _major_minor(version.value))


def count_visible(visible: str, uuids: tuple[str, ...]) -> int:
    """Count the devices that ``CUDA_VISIBLE_DEVICES`` shows; CUDA stops at the first bad entry."""
    count = 0
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isdigit():
            valid = int(entry) < len(uuids)
        else:
            valid = entry.startswith("MIG-") or any(
                entry and uuid.startswith(entry) for uuid in uuids
            )
        if not valid:
            break
        count += 1
    return count


def cupy_problem(driver_cuda: tuple[int, int]) -> str | None:
    """Say why CuPy cannot be used with a driver, or None; CuPy is not imported."""
    extra = "cuda13" if driver_cuda[0] >= 13 else "cuda12"
    if importlib.util.find_spec("cupy") is None:
        return f"CuPy is not installed: pip install 'cuzarr[{extra}]'"
    for major in (12, 13):
        if _installed(f"cupy-cuda{major}x") and driver_cuda[0] < major:
            found = ".".join(map(str, driver_cuda))
            return (
                f"cupy-cuda{major}x needs a newer driver (this one runs CUDA {found}): "
                f"update it, or pip install 'cuzarr[{extra}]'"
            )
    return None


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _major_minor(version: int) -> tuple[int, int]:
    return version // 1000, version % 1000 // 10


def _uuid(nvml: Any, index: int) -> str:
    handle, text = ctypes.c_void_p(), ctypes.create_string_buffer(_UUID_BYTES)
    if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) != 0:
        return ""
    if nvml.nvmlDeviceGetUUID(handle, text, _UUID_BYTES) != 0:
        return ""
    return text.value.decode()


_fork = {"done": False}


def _after_fork() -> None:
    _fork["done"] = True
    probe.cache_clear()


os.register_at_fork(after_in_child=_after_fork)
