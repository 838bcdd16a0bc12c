"""The CUDA backend. Importing it imports neither CuPy nor nvCOMP, and creates no CUDA state.

:func:`open_backend` gives the backend of a device; ``cuda.probe`` says whether there is one.
"""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from cuzarr.config import config
from cuzarr.cuda.backend import CudaBackend

if TYPE_CHECKING:
    from cuzarr.cuda.runtime import Runtime

__all__ = ["CudaBackend", "open_backend"]


def open_backend(device_id: int) -> CudaBackend:
    """Return the backend of a device as ``cuzarr.config`` describes it (keys ``cuda.*``).

    One backend is made per device and configuration, at first use; that is when CUDA starts.

    Raises
    ------
    MissingPackageError
        CuPy is not installed.
    NoDeviceError, DeviceError
        The device is not there, or does not work.
    ValueError
        A value of the configuration is not allowed.
    """
    return _backend(
        device_id,
        int(config.get("cuda.budget")),
        int(config.get("cuda.slab_bytes")),
        config.get("cuda.device_decode"),
        tuple(sorted(config.get("cuda.placement").items())),
    )


@cache
def _backend(
    device_id: int, budget: int, slab_bytes: int, mode: Any, placement: tuple[tuple[str, int], ...]
) -> CudaBackend:
    return CudaBackend(
        _runtime(device_id),
        budget=budget,
        slab_bytes=slab_bytes,
        device_decode=mode,
        placement=dict(placement),
    )


@cache
def _runtime(device_id: int) -> Runtime:
    module = importlib.import_module("cuzarr.cuda.cupy_runtime")
    runtime: Runtime = module.CupyRuntime(device_id)
    if runtime.nvcomp is None:
        warnings.warn(
            "nvCOMP is not installed: compressed chunks are decoded on the host. "
            "pip install 'cuzarr[cuda13]' (or 'cuzarr[cuda12]') brings it.",
            RuntimeWarning,
            stacklevel=4,
        )
    return runtime
