"""Chunk grids as objects."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import BoundsCheckError
from cuzarr.experimental import ChunkGrid, ChunkSpec
from cuzarr.meta.edges import Edges
from tests.property.plan_interpreter import bounds

GRIDS: list[tuple[Any, Any]] = [
    ((10, 7), (3, (4, 3))),
    ((10,), ((3, 3, 3, 1),)),
    ((4, 4, 6), (2, 3, (1, 2, 3))),
    ((6, 0), (2, 5)),
    ((6, 0), (2, 0)),
    ((), ()),
    ((5,), ((4, 9),)),
]


@pytest.mark.parametrize(("shape", "sizes"), GRIDS, ids=str)
def test_every_chunk_of_a_grid(shape: Any, sizes: Any) -> None:
    grid = ChunkGrid.from_sizes(shape, sizes)
    assert (grid.shape, grid.ndim) == (shape, len(shape))
    assert grid.is_regular == all(isinstance(n, int) for n in sizes)
    ends = [
        bounds(n, axis) if n else [] for n, axis in zip(shape, grid.axes, strict=True)
    ]  # fmt: skip
    assert grid.grid_shape == tuple(map(len, ends))
    assert grid.get_nchunks() == len(list(itertools.product(*ends)))
    assert grid.chunk_sizes == tuple(
        tuple(min(end, n) - first for first, end in e) for n, e in zip(shape, ends, strict=True)
    )
    coords = list(itertools.product(*(range(len(e)) for e in ends)))
    assert list(grid.all_chunk_coords()) == coords
    assert list(grid) == [grid[at] for at in coords]
    for at, spec in zip(coords, grid, strict=True):
        here = [e[k] for e, k in zip(ends, at, strict=True)]
        inside = [(first, min(end, n)) for (first, end), n in zip(here, shape, strict=True)]
        assert spec.slices == tuple(slice(first, end, 1) for first, end in inside)
        assert spec.codec_shape == tuple(end - first for first, end in here)
        assert spec.shape == tuple(end - first for first, end in inside)
        assert spec.is_boundary == (here != inside)
        for number in (*spec.codec_shape, *spec.shape, spec.slices[0].start if shape else 0):
            assert type(number) is int
    assert list(grid.iter_chunk_regions()) == [spec.slices for spec in grid]


def test_the_grid_of_an_array() -> None:
    z = cuzarr.create_array({}, shape=(10, 7), chunks=[[3, 7], [4, 3]], dtype="i4")
    grid = ChunkGrid.from_metadata(z.metadata)
    assert grid[1, 1] == ChunkSpec(
        (slice(3, 10, 1), slice(4, 7, 1)), (7, 4)
    )  # 4 and the rest is regular
    assert [z[chunk.slices].shape for chunk in grid] == [(3, 4), (3, 3), (7, 4), (7, 3)]
    assert [chunk.is_boundary for chunk in grid] == [False, True, False, True]
    assert list(grid.iter_chunk_regions(origin=(1, 0))) == [grid[1, 0].slices, grid[1, 1].slices]
    assert (grid.ndim, grid.is_regular, grid.grid_shape, grid.get_nchunks()) == (
        2,
        False,
        (2, 2),
        4,
    )
    assert grid[2, 0] is None
    assert grid[-1, 0] is None
    with pytest.raises(ValueError, match="1 coordinates for a grid of 2"):
        grid[0]
    with pytest.raises(ValueError, match="regular grids"):
        _ = grid.chunk_shape
    with pytest.raises(IndexError, match="of a grid of"):
        grid.all_chunk_coords(origin=(1, 1), selection_shape=(2, 1))
    assert list(grid.all_chunk_coords(origin=(1, 0))) == [(1, 0), (1, 1)]
    assert ChunkGrid.from_sizes(5, (2,)).chunk_shape == (2,)
    assert ChunkGrid.from_sizes(5, (2,)).is_regular
    for shape, sizes in (((3,), (0,)), ((3,), ((1, 1),)), ((3,), (1, 1))):
        with pytest.raises(ValueError, match="axis 0|chunk sizes"):
            ChunkGrid.from_sizes(shape, sizes)


def test_coordinates_outside_the_grid() -> None:
    grid = ChunkGrid.from_sizes((10, 7), ((3, 7), 4))
    for at in itertools.product(range(-1, 4), repeat=2):
        assert (grid[at] is not None) == (0 <= at[0] < 2 and 0 <= at[1] < 2)
    with pytest.raises(ValueError, match="1 coordinates for a grid of 2 dimensions"):
        grid[0]
    assert ChunkGrid.from_sizes(5, (2,))[2] == ChunkSpec((slice(4, 5, 1),), (2,))


def test_boxes_of_chunks() -> None:
    grid = ChunkGrid.from_sizes((9, 9), (3, 3))
    every = list(itertools.product(range(3), repeat=2))
    assert list(grid.all_chunk_coords(origin=(1, 1))) == [p for p in every if min(p) >= 1]
    assert list(grid.all_chunk_coords(selection_shape=(1, 2))) == [(0, 0), (0, 1)]
    some = {"origin": (2, 1), "selection_shape": (1, 2)}
    assert list(grid.all_chunk_coords(**some)) == [(2, 1), (2, 2)]
    assert list(grid.iter_chunk_regions(**some)) == [
        (slice(6, 9, 1), slice(3, 6, 1)), (slice(6, 9, 1), slice(6, 9, 1)),
    ]  # fmt: skip
    assert list(grid.all_chunk_coords(origin=(3, 0))) == []
    text = r"chunks \(1, 1\) to \(2, 4\) of a grid of \(3, 3\)"
    with pytest.raises(BoundsCheckError, match=text):
        grid.all_chunk_coords(origin=(1, 1), selection_shape=(1, 3))
    with pytest.raises(BoundsCheckError):
        next(grid.iter_chunk_regions(selection_shape=(4, 1)))


def test_the_shape_of_all_chunks() -> None:
    for shape in (5, np.int64(5), (5,), [np.int16(5)]):
        grid = ChunkGrid.from_sizes(shape, (np.int8(2),))
        assert grid.chunk_shape == (2,)
        assert type(grid.chunk_shape[0]) is type(grid.shape[0]) is int
    with pytest.raises(ValueError, match="chunk_shape is that of regular grids"):
        _ = ChunkGrid.from_sizes((10, 7), ((3, 7), 4)).chunk_shape


@pytest.mark.parametrize(
    ("shape", "sizes", "text"),
    [
        ((3,), (0,), "axis 0: a chunk length must be positive, not 0"),
        ((3, 3), (1, -1), "axis 1: a chunk length must be positive, not -1"),
        ((3,), ((1, 1),), "axis 0: the chunks cover 2 of 3"),
        ((3,), (1, 1), "2 chunk sizes for 1 dimensions"),
        (3, (), "0 chunk sizes for 1 dimensions"),
    ],
)
def test_wrong_sizes(shape: Any, sizes: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ChunkGrid.from_sizes(shape, sizes)
    with pytest.raises(TypeError):
        ChunkGrid.from_sizes((3,), (1.5,))
    with pytest.raises(TypeError):
        ChunkGrid.from_sizes((3,), ((1.5, 2),))
    assert ChunkGrid.from_sizes((2,), ((1, 1),)).chunk_sizes == ((1, 1),)


def test_other_shapes() -> None:
    grid = ChunkGrid.from_sizes((10, 7), (3, (4, 3)))
    longer = grid.update_shape((13, 9))
    assert type(longer) is ChunkGrid
    assert (longer.shape, longer.axes) == ((13, 9), (3, Edges([4, 3, 2])))
    assert grid.update_shape((1, 5)).axes == grid.axes
    assert grid.update_shape([1, 5]).shape == (1, 5)
    with pytest.raises(ValueError, match="1 lengths for a grid of 2 dimensions"):
        grid.update_shape((3,))
