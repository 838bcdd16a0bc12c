"""What an array is, as its metadata tells: shape, data type, grid, codecs, place."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, Literal

import numcodecs
import numpy as np

from cuzarr.config import ArrayConfig
from cuzarr.errors import UnequalChunksError
from cuzarr.meta import v2
from cuzarr.meta.edges import Spacing, uniform
from cuzarr.meta.spec import ArraySpec
from cuzarr.plan import clipped, grid_shape
from cuzarr.selections import Selections


class Description(Selections):
    """The part of :class:`~cuzarr.Array` that needs neither the store nor a device."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return self._spec.dtype if self._cast is None else self._cast

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._spec.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self._spec.shape)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, decoded."""
        return self.size * self.itemsize

    @property
    def is_sharded(self) -> bool:
        """Whether the chunks are stored in shards."""
        return self._target.chain is not self._target.outer

    @property
    def chunks(self) -> tuple[int, ...]:
        """Chunk shape: of the inner chunks, where the array is sharded.

        Raises
        ------
        UnequalChunksError
            The chunks have several shapes; :attr:`read_chunk_sizes` has them.
        """
        return _one_shape(self._target.grid, "chunks", "read_chunk_sizes")

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shard shape, or None where the array is not sharded.

        Raises
        ------
        UnequalChunksError
            The shards have several shapes; :attr:`write_chunk_sizes` has them.
        """
        if not self.is_sharded:
            return None
        return _one_shape(self._spec.grid, "shards", "write_chunk_sizes")

    @property
    def read_chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the chunks along each dimension, the last one cut at the edge."""
        return tuple(map(_cut, self._spec.shape, self._target.grid))

    @property
    def write_chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the stored objects along each dimension: shards, where there are."""
        return tuple(map(_cut, self._spec.shape, self._spec.grid))

    @property
    def cdata_shape(self) -> tuple[int, ...]:
        """Number of chunks along each dimension."""
        return grid_shape(self._spec.shape, self._target.grid)

    @property
    def nchunks(self) -> int:
        """Number of chunks that the array has when all are stored."""
        return prod(self.cdata_shape)

    @property
    def fill_value(self) -> np.generic | None:
        """Value of chunks that are not stored."""
        return self._spec.fill_value

    @property
    def order(self) -> Literal["C", "F"]:
        """Memory order of NumPy arrays that reads return; in v2 also that of the stored chunks."""
        return self._spec.order if self.zarr_format == 2 else self._order

    @property
    def config(self) -> ArrayConfig:
        """What is true of this array, of what ``cuzarr.config`` and ``with_config`` decide."""
        return ArrayConfig(self.order, self.write_empty_chunks, self.read_missing_chunks)

    @property
    def write_empty_chunks(self) -> bool:
        """Whether chunks that are all fill value are stored."""
        return self._chosen("write_empty_chunks")

    @property
    def read_missing_chunks(self) -> bool:
        """Whether a chunk that is not stored reads as the fill value; else that is an error."""
        return self._chosen("read_missing_chunks")

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """Names of the dimensions, or None."""
        return self._spec.dimension_names

    @property
    def metadata(self) -> ArraySpec:
        """The description that the metadata document gives."""
        return self._spec

    @property
    def compressor(self) -> Any:
        """The numcodecs compressor of a v2 array, or None."""
        return codec_objects(v2.v2_compressor(self._spec))

    @property
    def compressors(self) -> tuple[Any, ...]:
        """Bytes-to-bytes codecs (of the inner chunks, where the array is sharded)."""
        if self.zarr_format == 2:
            return () if self.compressor is None else (self.compressor,)
        return self._target.chain.byte_codecs

    @property
    def filters(self) -> Any:
        """Array-to-array codecs; of a v2 array the numcodecs filters, or None."""
        if self.zarr_format == 2:
            found = v2.v2_filters(self._spec)
            return None if not found else [codec_objects(entry) for entry in found]
        return tuple(codec for codec, _ in self._target.chain.array_codecs)

    @property
    def serializer(self) -> Any:
        """The array-to-bytes codec, or None for a v2 array."""
        return None if self.zarr_format == 2 else self._target.chain.serializer

    @property
    def is_view(self) -> bool:
        """Whether the elements have another data type than the stored ones: see :meth:`astype`."""
        return self._cast is not None


def codec_objects(config: Mapping[str, Any] | None) -> Any:
    """Return the numcodecs codec of a v2 configuration, or None."""
    return None if config is None else numcodecs.get_codec(dict(config))


def _cut(length: int, chunk: Spacing) -> tuple[int, ...]:
    """Return the lengths of the chunks of an axis, the last one cut at its end."""
    (count,) = grid_shape((length,), (chunk,))
    return tuple(clipped(np.arange(count), length, chunk).tolist())


def _one_shape(grid: tuple[Spacing, ...], name: str, sizes: str) -> tuple[int, ...]:
    shape = uniform(grid)
    if shape is None:
        raise UnequalChunksError(f"the {name} of this array have several shapes: see {sizes}")
    return shape
