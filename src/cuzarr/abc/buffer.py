"""The buffer that stores with the interface of zarr-python are given."""

from cuzarr.storage.async_base import Buffer, BufferPrototype

__all__ = ["Buffer", "BufferPrototype"]
