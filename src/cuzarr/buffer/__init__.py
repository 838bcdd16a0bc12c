"""Buffers and their prototypes, under the import paths of zarr-python.

Arrays need none: results are NumPy or CuPy arrays, as ``device=`` says. ``prototype=`` of the
selection methods is understood as a name of the device.
"""

from cuzarr.buffer import cpu, gpu
from cuzarr.storage.async_base import default_buffer_prototype

__all__ = ["cpu", "default_buffer_prototype", "gpu"]
