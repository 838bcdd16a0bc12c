"""The prototype of results on the GPU. What stores give are bytes in host memory all the same."""

from cuzarr.storage.async_base import GPU, Buffer

buffer_prototype = GPU

__all__ = ["Buffer", "buffer_prototype"]
