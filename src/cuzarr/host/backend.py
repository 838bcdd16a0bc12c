"""The host backend: NumPy, numcodecs and a thread pool.

``read_pass`` and ``write_pass`` hold the verbs. A wave is cut into short runs of chunks, one task
each, which fetch, decode and scatter while the run's bytes are in the processor's cache.
"""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from cuzarr.engine.batch import Job
from cuzarr.errors import DeviceMemoryError
from cuzarr.host.read_pass import HostReadPass
from cuzarr.host.write_pass import HostWritePass

_DLPACK_CPU: Final = 1  #: kDLCPU of dlpack.h


class HostBackend:
    """Decodes and encodes on the processor; results are NumPy arrays."""

    name = "cpu"

    def begin_read(self, job: Job, out: npt.NDArray[Any] | None) -> HostReadPass:
        """Start a read into ``out``, or into :meth:`new_output`."""
        return HostReadPass(job, self.new_output(job) if out is None else out)

    def new_output(self, job: Job) -> npt.NDArray[Any]:
        """Return a new C-contiguous array of ``job.dtype``.

        Raises
        ------
        DeviceMemoryError
        """
        try:
            return np.empty(job.plan.shape, job.dtype)
        except (MemoryError, ValueError) as error:  # the latter past the address space
            raise DeviceMemoryError(
                f"cannot allocate a result of shape {job.plan.shape} and data type {job.dtype}"
            ) from error

    def place(self, job: Job, value: Any) -> npt.NDArray[Any]:  # noqa: ARG002
        """Return ``value`` as a NumPy array."""
        return to_numpy(value)

    def adopt(self, out: Any) -> npt.NDArray[Any]:
        """Return a NumPy array over the memory of ``out``, of NumPy or by DLPack."""
        if not isinstance(out, np.ndarray):
            device = getattr(out, "__dlpack_device__", None)
            if device is None or int(device()[0]) != _DLPACK_CPU:
                raise TypeError(f"out must be an array on cpu, not {type(out).__name__}")
            try:
                out = np.from_dlpack(out)
            except (BufferError, RuntimeError, TypeError) as error:
                raise TypeError(f"out cannot be filled: {error}") from error
        if not out.flags.writeable:
            raise ValueError("out is read-only")
        return cast("npt.NDArray[Any]", out)

    def wait(self) -> None:
        """Do nothing: a call returns when it is done."""

    def to_host(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return ``array``: it is there."""
        return array

    def begin_write(self, job: Job, value: Any, write_empty_chunks: bool) -> HostWritePass:
        """Start a write of ``value``; an array of a device is copied to the host first."""
        array = np.broadcast_to(to_numpy(value), job.plan.shape)
        return HostWritePass(job, array, write_empty_chunks)


def to_numpy(value: Any) -> npt.NDArray[Any]:
    """Return ``value`` as a NumPy array; arrays of a device are copied to the host."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__cuda_array_interface__"):
        if callable(getattr(value, "get", None)):  # cupy.ndarray
            return np.asarray(value.get())
        if callable(getattr(value, "cpu", None)):  # torch.Tensor
            return np.asarray(value.cpu())
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return np.from_dlpack(value)
    return np.asarray(value)
