"""What zarr-python calls experimental: the chunk grid as an object."""

from cuzarr.plan.chunk_grid import ChunkGrid, ChunkSpec

__all__ = ["ChunkGrid", "ChunkSpec"]
