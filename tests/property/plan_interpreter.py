"""Plans executed literally, as the docstring of ``PlanRows`` defines them, on NumPy arrays.

1. An array is cut into padded chunks, one per grid coordinate.
2. Rows copy between chunks and an output; the padding holds a value that must never be seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from cuzarr.meta.edges import Edges, Spacing
from cuzarr.plan import ChunkPlan, PlanRows, grid_shape

PADDING = -7
UNTOUCHED = -1


def positions(shape: Sequence[int]) -> np.ndarray:
    """An array in which every element says where it is (C order)."""
    return np.arange(prod(shape)).reshape(tuple(shape))


def bounds(length: int, chunk: Spacing) -> list[tuple[int, int]]:
    """First position and end of every chunk of an axis, as the document lists them."""
    if not isinstance(chunk, Edges):
        return [(first, first + chunk) for first in range(0, length, chunk)]
    lengths = [n for n, number in chunk.runs for _ in range(number)]
    ends = list(itertools.accumulate(lengths))
    return [(end - n, end) for n, end in zip(lengths, ends, strict=True) if end - n < length]


def cut(array: np.ndarray, chunk_shape: Sequence[Spacing]) -> dict[tuple[int, ...], np.ndarray]:
    chunks = {}
    for coords in itertools.product(*map(range, grid_shape(array.shape, chunk_shape))):
        region = _region(coords, array.shape, chunk_shape)
        chunk = np.full(tuple(part.stop - part.start for part in region), PADDING)
        part = array[region]
        chunk[tuple(slice(0, n) for n in part.shape)] = part
        chunks[coords] = chunk
    return chunks


def read(
    plan: ChunkPlan,
    array: np.ndarray,
    chunk_shape: Sequence[Spacing],
    cuts: Iterable[int] = (),
    *,
    whole: bool = True,
) -> np.ndarray:
    """Read by a plan, in waves that end at ``cuts``; every element must be written once.

    ``whole=False``: some may be left untouched.
    """
    chunks = cut(array, chunk_shape)
    out = np.full(plan.shape, UNTOUCHED)
    times = np.zeros(plan.shape, int)
    for rows in _waves(plan, cuts):
        for i in range(len(rows)):
            chunk = chunks[tuple(rows.coords[i].tolist())]
            inside, outside = _offsets(rows, i)
            source = chunk.reshape(-1) if rows.flat else chunk
            out[_mesh(outside)] = source[_mesh(inside)]
            np.add.at(times, _mesh(outside), 1)
    assert (times == 1).all() if whole else times.max(initial=0) <= 1
    assert PADDING not in out
    return out.reshape(plan.out_shape)


def write(
    plan: ChunkPlan,
    array: np.ndarray,
    chunk_shape: Sequence[Spacing],
    value: np.ndarray,
    *,
    once: bool = False,
) -> np.ndarray:
    """Return ``array`` with ``value`` written by a plan; ``once``: no element twice."""
    chunks = cut(array, chunk_shape)
    value = value.reshape(plan.shape)
    rows = plan.rows(0, plan.n_chunks)
    for i in range(len(rows)):
        chunk = chunks[tuple(rows.coords[i].tolist())]
        inside, outside = _offsets(rows, i)
        target = chunk.reshape(-1) if rows.flat else chunk
        assert (target[_mesh(inside)] != PADDING).all()
        if once:
            times = np.zeros(target.shape, int)
            np.add.at(times, _mesh(inside), 1)
            assert times.max(initial=0) <= 1
        target[_mesh(inside)] = value[_mesh(outside)]
    result = np.full_like(array, UNTOUCHED)
    for coords, chunk in chunks.items():
        region = _region(coords, array.shape, chunk_shape)
        result[region] = chunk[tuple(slice(0, n) for n in result[region].shape)]
    return result


def touched(
    selected: np.ndarray, shape: Sequence[int], chunk_shape: Sequence[Spacing]
) -> dict[tuple[int, ...], bool]:
    """Return the chunks that hold selected positions, and whether all of theirs are."""
    wanted = set(selected.reshape(-1).tolist())
    found = {}
    where = positions(shape)
    for coords in itertools.product(*map(range, grid_shape(shape, chunk_shape))):
        held = set(where[_region(coords, shape, chunk_shape)].reshape(-1).tolist())
        if held & wanted:
            found[coords] = held <= wanted
    return found


def _region(
    coords: Sequence[int], shape: Sequence[int], chunk_shape: Sequence[Spacing]
) -> tuple[slice, ...]:
    return tuple(
        slice(*bounds(n, chunk)[k]) for k, n, chunk in zip(coords, shape, chunk_shape, strict=True)
    )


def _waves(plan: ChunkPlan, cuts: Iterable[int]) -> list[PlanRows]:
    ends = sorted({0, plan.n_chunks, *(c for c in cuts if c < plan.n_chunks)})
    return [plan.rows(first, last) for first, last in itertools.pairwise(ends)]


def _offsets(rows: PlanRows, i: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    inside, outside = [], []
    for a, lists in enumerate(rows.lists):
        e = np.arange(rows.count[i, a])
        if lists is None:
            inside.append(rows.start[i, a] + e * rows.step[a])
            outside.append(rows.out[i, a] + e)
        else:
            inside.append(lists[0][rows.start[i, a] + e])
            outside.append(lists[1][rows.start[i, a] + e])
    for offsets in (*inside, *outside):
        assert (offsets >= 0).all()  # a negative one would wrap unseen
    return inside, outside


def _mesh(offsets: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    return np.ix_(*offsets) if offsets else ()
