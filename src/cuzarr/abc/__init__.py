"""Base classes of what users write, under the import paths of zarr-python."""

from cuzarr.abc import buffer, codec, metadata, store

__all__ = ["buffer", "codec", "metadata", "store"]
