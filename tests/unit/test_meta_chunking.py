"""Chunk and shard shapes where the user names none, and what a user may name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr.meta import default_chunks
from cuzarr.meta.chunking import default_shards, inner_chunks, normalize_chunks
from cuzarr.meta.create import new_array_spec
from cuzarr.meta.edges import Edges
from tests.unit.test_meta_create import problems_of

MIB = 2**20


@pytest.mark.parametrize(
    ("shape", "itemsize", "chunks"),
    [
        ((10_000, 10_000), 4, (157, 1250)),
        ((MIB,), 1, (MIB,)),
        ((MIB + 1,), 1, (MIB // 2 + 1,)),
        ((2, 5), MIB // 2, (1, 2)),
        ((1, 3), MIB // 2, (1, 2)),
        ((1, 3), MIB // 3, (1, 3)),
        ((1, 1), 2 * MIB, (1, 1)),
        ((7, 9), 2 * MIB, (1, 1)),
        ((0, 100), 8, (1024, 100)),
        ((100, 399), 34, (50, 399)),
        ((100, 401), 34, (100, 201)),
        ((), 8, ()),
    ],
)
def test_default_chunks(shape: Any, itemsize: int, chunks: Any) -> None:
    assert default_chunks(shape, itemsize) == chunks


@pytest.mark.parametrize(
    ("shape", "chunks", "itemsize", "shards"),
    [
        ((10_000, 10_000), (250, 250), 4, (4000, 4000)),
        ((5,), (2,), 4, (8,)),
        ((4,), (2,), 4, (4,)),
        ((2, 0), (2, 3), 4, (2, 3)),
        ((10**6,), (16,), MIB, (64,)),
        ((10**6,), (16,), 2 * MIB, (32,)),
        ((10**6,), (16,), 4 * MIB, (16,)),
        ((10**6,), (16,), 8 * MIB, (16,)),
        ((100, 1000), (10, 1), MIB, (10, 4)),
        ((1000, 1000), (1, 10), MIB, (4, 10)),
        ((1000, 1000), (10, 10), MIB // 8, (20, 20)),
        ((1000, 1000), (10, 10), MIB // 4, (10, 20)),
        ((10**6,), (65,), MIB // 2, (65,)),
        ((10**6,), (64,), MIB // 2, (128,)),
        ((), (), 4, ()),
    ],
)
def test_default_shards(shape: Any, chunks: Any, itemsize: int, shards: Any) -> None:
    assert default_shards(shape, chunks, itemsize) == shards


@pytest.mark.parametrize(
    ("shards", "itemsize", "chunks"),
    [
        ((3000, 3000), 4, (150, 750)),
        ((60,), MIB // 20, (15,)),
        ((61,), MIB // 20, (1,)),  # the 61st part: within sixteen times the fewest
        ((67,), MIB // 20, (67,)),
        ((257,), MIB // 20, (257,)),
        ((7,), MIB // 7, (7,)),
        ((7,), MIB // 4, (1,)),
        ((2 * 31,), MIB // 31, (31,)),
        ((64,), MIB // 4, (4,)),
    ],
)
def test_inner_chunks(shards: Any, itemsize: int, chunks: Any) -> None:
    assert inner_chunks(shards, itemsize) == chunks


@pytest.mark.parametrize(
    ("given", "length", "expected"),
    [
        ((3, 3), 6, 3),
        ((3, 3, 2), 8, 3),
        ((5,), 5, 5),
        ((3, 3, 4), 10, Edges([3, 3, 4])),
        ((3, 3, 2, 2), 10, Edges([3, 3, 2, 2])),
        ((3, 3, 2, 5), 13, Edges([3, 3, 2, 5])),
        ((3, 2, 1), 6, Edges([3, 2, 1])),
        ((3, 4), 0, Edges([3, 4])),
        ((3, 3), 0, 3),
        (Edges([3, 4]), 7, Edges([3, 4])),
        (Edges([3, 4]), 6, Edges([3, 4])),
        (Edges([3, 4]), 0, Edges([3, 4])),
        (range(1, 4), 6, Edges([1, 2, 3])),
        (None, 0, 1),
        (-1, 0, 1),
        (-1, 5, 5),
        (9, 5, 9),
    ],
    ids=str,
)
def test_the_chunks_of_one_axis(given: Any, length: int, expected: Any) -> None:
    assert normalize_chunks((given,), (length,), 8) == (expected,)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Edges([3, 2]), "the chunks cover 5 of 6 elements"),
        ((3, 2), r"the chunks cover 5 of 6 elements: \(3, 2\)"),
        ((3, 4), r"the chunks cover 7 of 6 elements: \(3, 4\)"),
        (0, "a chunk length must be at least 1, found 0"),
        (-2, "a chunk length must be at least 1, found -2"),
        (1.5, "a chunk length must be an integer, found 1.5"),
        (True, "a chunk length must be an integer, found True"),
        ("6", "a chunk length must be an integer, found '6'"),
        (b"\3\3", r"a chunk length must be an integer, found b'\\x03\\x03'"),
        ((3, "3"), r"a chunk length must be an integer, found \(3, '3'\)"),
        ((), "there is no chunk length"),
    ],
    ids=str,
)
def test_lengths_that_are_refused(given: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        normalize_chunks((given,), (6,), 8)


@pytest.mark.parametrize("whole", [False, -1, (None,), ()])
def test_whole_axes(whole: Any) -> None:
    assert normalize_chunks(whole, (6,), 8) == (6,)
    assert normalize_chunks(whole, (0,), 8) == (1,)


def test_too_many_lengths() -> None:
    with pytest.raises(ValueError, match="2 lengths for an array of 1 dimensions"):
        normalize_chunks((1, 2), (6,), 8)


# Chunks and shards of new arrays


def test_the_chunks_that_divide_shards() -> None:
    for automatic in ("auto", True, None):
        spec = new_array_spec((3000, 3000), "f4", chunks=automatic, shards=(3000, 3000))
        assert spec.codecs[0].configuration["chunk_shape"] == [150, 750]
    given = new_array_spec((1000, 1000), "f4", chunks=np.array([50, 25]), shards=(100, 100))
    assert given.codecs[0].configuration["chunk_shape"] == [50, 25]
    for automatic in ("auto", True):
        spec = new_array_spec((1000, 1000), "f4", chunks=(50, 50), shards=automatic)
        assert spec.chunk_shape == default_shards((1000, 1000), (50, 50), 4)


def test_one_shard_for_all() -> None:
    assert new_array_spec((201,), "f4", shards=-1).chunk_shape == (201,)
    assert new_array_spec((201,), "f4", chunks=10, shards=-1).chunk_shape == (210,)
    assert new_array_spec((0,), "f4", shards=-1).chunk_shape == (1,)
    assert new_array_spec((0,), "f4", chunks=3, shards=-1).chunk_shape == (3,)


def test_wrong_shards() -> None:
    text = "chunks: shards have chunks of one shape only, found several lengths along an axis"
    for shards in ("auto", (4, 6)):
        assert problems_of(chunks=((1, 2, 1), (6,)), shards=shards) == (text,)
    assert problems_of(shards="big") == (
        "shards: expected 'auto', an integer or a sequence, found 'big'",
    )
    assert problems_of(chunks=(2, 2), shards=0) == (
        "shards: a shard length must be at least 1, found 0",
    )
    assert problems_of(chunks=0, zarr_format=2) == (
        "chunks: a chunk length must be at least 1, found 0",
    )
    assert problems_of(chunks=0, shards=(5, 6))[0] == (
        "chunks: a chunk length must be at least 1, found 0"
    )


class Grid:
    """The metadata of a chunk grid, as zarr-python has them."""

    def __init__(self, **configuration: Any) -> None:
        self.configuration = configuration

    def to_dict(self) -> dict[str, Any]:
        name = "regular" if "chunk_shape" in self.configuration else "rectilinear"
        return {"name": name, "configuration": self.configuration}


def test_grids_as_objects() -> None:
    assert new_array_spec((4, 6), "f4", chunks=Grid(chunk_shape=[2, 3])).chunk_shape == (2, 3)
    lists = Grid(kind="inline", chunk_shapes=[[1, 3], 6])
    assert new_array_spec((4, 6), "f4", chunks=lists).grid == (Edges([1, 3]), 6)
    assert problems_of(chunks=Grid(chunk_shape=0)) == (
        "chunk_grid.configuration.chunk_shape: expected an array of integers, found 0",
    )
