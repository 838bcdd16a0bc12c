"""The value of a write, in device memory.

It may be a host array, an array of any device, or a scalar: only its distinct elements go to the
device, broadcasting is strides of 0. A large host array goes through the slabs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.fetch import copy_bytes
from cuzarr.cuda.rows import DeviceView
from cuzarr.cuda.shared import Shared
from cuzarr.engine.batch import Job
from cuzarr.errors import ShapeMismatchError

_PIECE_BYTES = 32 * 2**20  # of a host value that is sent up at a time
_DLPACK_CPU = 1  # kDLCPU of dlpack.h


def device_value(shared: Shared, job: Job, value: Any) -> tuple[Any, DeviceView]:
    """Return the value in device memory, and its view of the shape of the plan."""
    array, full = placed(shared, job, value)
    return array, _broadcast(DeviceView(*shared.runtime.describe(array)), full, job.plan.shape)


def placed(shared: Shared, job: Job, value: Any) -> tuple[Any, tuple[int, ...]]:
    """Return the value in device memory, as native elements of the job's dtype, and its shape."""
    runtime, native = shared.runtime, job.dtype.newbyteorder("=")
    if not runtime.is_device_array(value) and _in_host_memory(value):
        host = np.asarray(value)
        full = host.shape
        distinct = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in host.strides)
        array = _send(shared, np.ascontiguousarray(host[distinct].astype(native, copy=False)))
    else:
        array = runtime.to_device(value)
        full = runtime.describe(array)[1]
        if runtime.describe(array)[3] != native:
            array = runtime.astype(array, native)
    return array, full


def _send(shared: Shared, host: npt.NDArray[Any]) -> Any:
    """Return a contiguous host array as a device array, ordered on the caller's stream.

    A large one goes through the slabs: CuPy would allocate as much page-locked memory for it.
    """
    runtime = shared.runtime
    if host.nbytes <= _PIECE_BYTES:
        return runtime.to_device(host)
    array, caller = runtime.empty(host.shape, host.dtype), runtime.caller_stream()
    target, raw = runtime.describe(array)[0], host.reshape(-1).view(np.uint8)
    piece = min(_PIECE_BYTES, shared.slab_bytes)
    for first in range(0, len(raw), piece):
        part = raw[first : first + piece]
        slab = shared.slabs.take(len(part))
        copy_bytes(slab.array, part)
        runtime.upload(target + first, slab.pinned, len(part), caller)
        shared.slabs.give(slab, runtime.record(caller))
    return array


def _in_host_memory(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array_interface__"):
        return True
    if hasattr(value, "__dlpack_device__"):
        return int(value.__dlpack_device__()[0]) == _DLPACK_CPU
    return not hasattr(value, "__cuda_array_interface__")


def _broadcast(view: DeviceView, full: tuple[int, ...], shape: tuple[int, ...]) -> DeviceView:
    """View a value of shape ``full`` as ``shape``; lengths of 1, and of stride 0, stand for any."""
    fits = len(full) <= len(shape) and all(
        n in (1, wanted) for n, wanted in zip(full[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeMismatchError(f"a value of shape {full} does not fit a selection of {shape}")
    strides = [0] * len(shape)
    lead = len(shape) - len(full)
    for a, length in enumerate(view.shape):
        if length != 1:
            strides[lead + a] = view.strides[a]
    return DeviceView(view.pointer, shape, tuple(strides), view.dtype)
