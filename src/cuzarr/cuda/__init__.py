"""The CUDA backend. Importing it imports neither CuPy nor nvCOMP, and creates no CUDA state.

:func:`open_backend` gives the backend of a device; ``cuda.probe`` says whether there is one.
"""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import Any, cast

from cuzarr.config import config
from cuzarr.cuda.backend import DEFAULT_BUDGET, CudaBackend
from cuzarr.cuda.probe import FORKED, was_forked
from cuzarr.engine.backend import Backend
from cuzarr.errors import NoDeviceError

__all__ = ["CudaBackend", "open_backend"]


def open_backend(device_id: int, host: Backend | None = None) -> CudaBackend:
    """Return the backend of a device as ``cuzarr.config`` describes it (keys ``cuda.*``).

    ``host`` does what is too small for the device.

    One backend is made per device and configuration, at first use; that is when CUDA starts.
    Where no ``cuda.budget`` is set, it is a sixteenth of the device's memory, at least 1 GiB and
    at most 8 GiB.

    Raises
    ------
    MissingPackageError
        CuPy is not installed.
    NoDeviceError, DeviceError
        The device is not there, or does not work.
    ValueError
        A value of the configuration is not allowed.
    """
    if was_forked():  # the device was chosen before the fork
        raise NoDeviceError(f"no device 'cuda:{device_id}': {FORKED}")
    budget, helper = config.get("cuda.budget"), cast("Any", host)
    return _backend(
        device_id,
        None if budget is None else int(budget),
        config.count("cuda.slab_bytes"),
        config.get("cuda.device_decode"),
        tuple(sorted(config.get("cuda.placement").items())),
        config.get("cuda.encode"),
        helper,
        config.get("cuda.small_bytes"),
        config.get("cuda.fetch"),
    )


@cache
def _backend(
    device_id: int,
    budget: int | None,
    slab_bytes: int,
    mode: Any,
    placement: tuple[tuple[str, int], ...],
    encode: Any,
    host: Backend | None,
    small_bytes: int | None,
    fetch: Any,
) -> CudaBackend:
    runtime = _runtime(device_id)
    return CudaBackend(
        runtime,
        budget=_share(runtime.memory_bytes) if budget is None else budget,
        slab_bytes=slab_bytes,
        device_decode=mode,
        placement=dict(placement),
        encode=encode,
        host=host,
        small_bytes=small_bytes,
        fetch=fetch,
    )


def _share(memory_bytes: int) -> int:
    """Return the budget of a device with so much memory.

    What a decoder needs to be fast is many streams at the same time, so a large device is given
    large waves; the rest is the caller's.
    """
    return min(max(memory_bytes // 16, DEFAULT_BUDGET), 8 * DEFAULT_BUDGET)


@cache
def _runtime(device_id: int) -> Any:
    module = importlib.import_module("cuzarr.cuda.cupy_runtime")
    runtime = module.CupyRuntime(device_id)
    if runtime.nvcomp is None:
        warnings.warn(
            "nvCOMP is not installed: compressed chunks are decoded on the host. "
            "pip install 'cuzarr[cuda13]' (or 'cuzarr[cuda12]') brings it.",
            RuntimeWarning,
            stacklevel=4,
        )
    return runtime
