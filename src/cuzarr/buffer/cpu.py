"""Buffers in host memory; the prototype of results in host memory."""

from cuzarr.storage.async_base import HOST, Buffer

buffer_prototype = HOST
numpy_buffer_prototype = buffer_prototype

__all__ = ["Buffer", "buffer_prototype", "numpy_buffer_prototype"]
