"""A chunk grid as an object, for those who walk over chunks themselves.

1. :class:`ChunkGrid` binds the chunks along each axis to the shape of an array.
2. ``grid[coordinates]`` is a :class:`ChunkSpec`: where the chunk lies, and the shape that its
   codecs see, which at the upper border of the array reaches past it.

The names are those of ``zarr.experimental``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from operator import index
from typing import Self

import numpy as np

from cuzarr.errors import BoundsCheckError
from cuzarr.meta.edges import Edges, Spacing, begin, length_of
from cuzarr.meta.spec import ArraySpec
from cuzarr.plan.grid import clipped, grid_shape


@dataclass(frozen=True)
class ChunkSpec:
    """One chunk.

    Attributes
    ----------
    slices : tuple of slice
        Its elements inside the array.
    codec_shape : tuple of int
        Shape that is encoded.
    """

    slices: tuple[slice, ...]
    codec_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part inside the array."""
        return tuple([part.stop - part.start for part in self.slices])

    @property
    def is_boundary(self) -> bool:
        """Whether the chunk reaches past the array."""
        return self.shape != self.codec_shape


@dataclass(frozen=True)
class ChunkGrid:
    """The chunks of an array.

    Attributes
    ----------
    shape : tuple of int
        Of the array.
    axes : tuple of (int or Edges)
        Length of the chunks along each axis, or their lengths.

    Examples
    --------
    >>> grid = ChunkGrid.from_sizes((10, 7), (3, (4, 3)))
    >>> grid.grid_shape, grid.chunk_sizes
    ((4, 2), ((3, 3, 3, 1), (4, 3)))
    >>> grid[3, 0]
    ChunkSpec(slices=(slice(9, 10, 1), slice(0, 4, 1)), codec_shape=(3, 4))
    """

    shape: tuple[int, ...]
    axes: tuple[Spacing, ...]

    @classmethod
    def from_metadata(cls, metadata: ArraySpec) -> Self:
        """Return the grid of the stored objects of an array: ``array.metadata``."""
        return cls(metadata.shape, metadata.grid)

    @classmethod
    def from_sizes(
        cls, array_shape: int | Sequence[int], chunk_sizes: Sequence[int | Sequence[int]]
    ) -> Self:
        """Return the grid of chunks of one length, or of a list of lengths, along each axis."""
        shape = (array_shape,) if isinstance(array_shape, int | np.integer) else array_shape
        if len(shape) != len(chunk_sizes):
            raise ValueError(f"{len(chunk_sizes)} chunk sizes for {len(shape)} dimensions")
        axes: list[Spacing] = []
        for a, (length, sizes) in enumerate(zip(shape, chunk_sizes, strict=True)):
            if isinstance(sizes, Sequence):
                edges = Edges(map(index, sizes))
                if edges.total < length:
                    raise ValueError(f"axis {a}: the chunks cover {edges.total} of {length}")
                axes.append(edges)
            elif sizes < 1 and length:
                raise ValueError(f"axis {a}: a chunk length must be positive, not {sizes}")
            else:
                axes.append(index(sizes))
        return cls(tuple(map(int, shape)), tuple(axes))

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def is_regular(self) -> bool:
        """Whether one length was given along every axis."""
        return not any(isinstance(axis, Edges) for axis in self.axes)

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return grid_shape(self.shape, self.axes)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """The one shape of all chunks; ``ValueError`` where there is a list of lengths."""
        lengths = tuple([axis for axis in self.axes if not isinstance(axis, Edges)])
        if len(lengths) != self.ndim:
            raise ValueError("chunk_shape is that of regular grids; see grid[coordinates]")
        return lengths

    @property
    def chunk_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Lengths of the chunks along each axis, the last one cut at the end of the array."""
        axes = zip(self.grid_shape, self.shape, self.axes, strict=True)
        return tuple(
            tuple(clipped(np.arange(n), length, axis).tolist()) for n, length, axis in axes
        )

    def __getitem__(self, coords: int | tuple[int, ...]) -> ChunkSpec | None:
        """Return the chunk at grid coordinates, None outside the grid."""
        coords = coords if isinstance(coords, tuple) else (coords,)
        if len(coords) != self.ndim:
            raise ValueError(f"{len(coords)} coordinates for a grid of {self.ndim} dimensions")
        if not all(0 <= i < n for i, n in zip(coords, self.grid_shape, strict=True)):
            return None
        slices, lengths = [], []
        for i, axis, length in zip(coords, self.axes, self.shape, strict=True):
            first, extent = int(begin(i, axis)), int(length_of(i, axis))
            slices.append(slice(first, min(first + extent, length), 1))
            lengths.append(extent)
        return ChunkSpec(tuple(slices), tuple(lengths))

    def __iter__(self) -> Iterator[ChunkSpec]:
        """Iterate over all chunks, in C order."""
        return (spec for spec in map(self.__getitem__, self.all_chunk_coords()) if spec is not None)

    def all_chunk_coords(
        self,
        *,
        origin: Sequence[int] | None = None,
        selection_shape: Sequence[int] | None = None,
    ) -> Iterator[tuple[int, ...]]:
        """Iterate over grid coordinates in C order: of all chunks, or of a box of them."""
        first = (0,) * self.ndim if origin is None else tuple(origin)
        inside = zip(first, self.grid_shape, strict=True)
        shape = [n - o for o, n in inside] if selection_shape is None else list(selection_shape)
        last = [o + s for o, s in zip(first, shape, strict=True)]
        if any(end > n for end, n in zip(last, self.grid_shape, strict=True)):
            raise BoundsCheckError(
                f"chunks {first} to {tuple(last)} of a grid of {self.grid_shape}"
            )
        return product(*map(range, first, last))

    def iter_chunk_regions(
        self,
        *,
        origin: Sequence[int] | None = None,
        selection_shape: Sequence[int] | None = None,
    ) -> Iterator[tuple[slice, ...]]:
        """Iterate over the selections that the chunks are."""
        for coords in self.all_chunk_coords(origin=origin, selection_shape=selection_shape):
            found = self[coords]
            if found is not None:
                yield found.slices

    def get_nchunks(self) -> int:
        """Return the number of chunks."""
        return prod(self.grid_shape)

    def update_shape(self, new_shape: tuple[int, ...]) -> Self:
        """Return the grid of an array of another shape; a list of lengths gets one more to grow."""
        if len(new_shape) != self.ndim:
            raise ValueError(f"{len(new_shape)} lengths for a grid of {self.ndim} dimensions")
        axes = [
            axis.grown(n) if isinstance(axis, Edges) else axis
            for axis, n in zip(self.axes, new_shape, strict=True)
        ]
        return type(self)(tuple(new_shape), tuple(axes))
