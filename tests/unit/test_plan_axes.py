"""The axes of separable selections against the positions they stand for, one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cuzarr.errors import SelectionError
from cuzarr.meta.edges import Edges, Spacing
from cuzarr.plan import Axis, axes
from cuzarr.plan.axes import affine_axis, index_axis
from tests.property.plan_interpreter import bounds

CHUNKS: tuple[Spacing, ...] = (
    1, 2, 3, 7, 9, Edges([7]), Edges([2, 1, 4]), Edges([1, 1, 1, 4, 2]), Edges([3, 1, 1, 1, 1, 5]),
)  # fmt: skip


def columns(axis: Axis) -> list[list[int]]:
    return [c.tolist() for c in (axis.chunk, axis.start, axis.count, axis.out)]


def expected(positions: list[int], length: int, chunk: Spacing) -> tuple[Any, Any]:
    """The columns of evenly spaced positions, and the chunks that they fill."""
    rows, complete = [], []
    for k, (first, end) in enumerate(bounds(length, chunk)):
        here = [i for i, position in enumerate(positions) if first <= position < end]
        if here:
            rows.append((k, positions[here[0]] - first, len(here), here[0]))
            complete.append(len(here) == min(end, length) - first)
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []], complete


@pytest.mark.parametrize("chunk", CHUNKS, ids=str)
def test_all_evenly_spaced_positions_of_a_short_axis(chunk: Spacing) -> None:
    n = 7
    seen = 0
    for start, step, count in itertools.product(range(n), range(-n, n + 1), range(n + 1)):
        positions = [start + i * step for i in range(count)]
        if not step or not all(0 <= position < n for position in positions):
            continue
        axis = affine_axis(start, count, step, n, chunk)
        table, complete = expected(positions, n, chunk)
        assert columns(axis) == table
        assert axis.complete.tolist() == complete
        assert (axis.step, axis.length) == (step if count > 1 else 1, count)
        assert axis.index is axis.out_index is None
        for column in (axis.chunk, axis.start, axis.count, axis.out, axis.complete):
            assert not column.flags.writeable
        seen += 1
    assert seen == 7 * 14 * 2 + 2 * sum((6 - i) // s for i in range(7) for s in range(1, 8))


def test_few_elements_among_very_many_chunks_of_several_lengths() -> None:
    edges = Edges([5, (1, 2**40), 7])
    axis = affine_axis(0, 3, 2**39, edges.total, edges)
    assert columns(axis) == [[0, 2**39 - 4, 2**40 - 4], [0, 0, 0], [1, 1, 1], [0, 1, 2]]
    axis = affine_axis(edges.total - 1, 2, -(2**40), edges.total, edges)
    assert columns(axis) == [[7, 2**40 + 1], [0, 6], [1, 1], [1, 0]]
    axis = affine_axis(2**39, 4, 1, edges.total, edges)
    assert axis.chunk.tolist() == [2**39 - 4 + i for i in range(4)]


@pytest.mark.parametrize(("chunk", "count"), [(4, 19), (Edges([4, (3, 9)]), 15)], ids=str)
def test_the_most_chunks_of_an_axis(
    chunk: Spacing, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axes, "_MOST_CHUNKS", 5)
    assert len(affine_axis(1, count, 1, 31, chunk).chunk) == 5
    assert len(affine_axis(30, 5, -5, 31, chunk).chunk) == 5
    with pytest.raises(SelectionError, match="touches 6 chunks along one axis, more than 5"):
        affine_axis(1, count + 1, 1, 31, chunk)
    with pytest.raises(SelectionError, match="touches 6 chunks along one axis, more than 5"):
        affine_axis(30, 6, -5, 31, chunk)


def test_axes_of_few_chunks_are_made_once() -> None:
    assert affine_axis(3, 90, 1, 1000, 10) is affine_axis(3, 90, 1, 1000, 10)
    assert affine_axis(3, 900, 1, 1000, 10) is not affine_axis(3, 900, 1, 1000, 10)
    assert affine_axis(3, 90, 10, 1000, 10) is not affine_axis(3, 90, 10, 1000, 10)
    assert affine_axis(5, 1, 3, 1000, 10) is affine_axis(5, 1, -2, 1000, 10)
    assert affine_axis(5, 0, 3, 1000, 10) is affine_axis(7, 0, 2, 10, 1)


@pytest.mark.parametrize("chunk", [400, Edges([100, 500, 600])], ids=str)
@pytest.mark.parametrize("order", ["ascending", "descending", "any"])
def test_long_lists_keep_their_order_in_every_chunk(order: str, chunk: Spacing) -> None:
    indices = np.random.default_rng(1).integers(0, 1000, 3000)
    if order != "any":
        indices = np.sort(indices)[:: 1 if order == "ascending" else -1].copy()
    axis = index_axis(indices, 1000, chunk)
    assert axis.index is not None
    assert axis.out_index is not None
    ends = bounds(1000, chunk)
    assert axis.chunk.tolist() == list(range(len(ends)))
    for k, (first, end) in enumerate(ends):
        part = slice(int(axis.start[k]), int(axis.start[k] + axis.count[k]))
        here = np.flatnonzero((indices >= first) & (indices < end))
        assert axis.out_index[part].tolist() == here.tolist()
        assert axis.index[part].tolist() == (indices[here] - first).tolist()


@pytest.mark.parametrize("indices", [[5, 3, 0], [9, 8, 6, 1], [7, 7, 2], [4, 4, 4]])
def test_descending_lists(indices: list[int]) -> None:
    axis = index_axis(np.array(indices), 10, 4)
    assert axis.index is not None
    assert axis.out_index is not None
    of = [i // 4 for i in indices]
    assert axis.chunk.tolist() == sorted(set(of))
    assert axis.out_index.tolist() == sorted(range(len(of)), key=of.__getitem__)
    assert axis.index.tolist() == [indices[i] % 4 for i in axis.out_index]


@pytest.mark.parametrize("distinct", [False, True])
def test_lists_of_each_element_of_a_chunk_once_fill_it(distinct: bool) -> None:
    axis = index_axis(np.array([0, 1, 2, 4, 8, 9]), 10, 4, distinct=distinct)
    assert axis.complete.tolist() == [False, False, True]
    axis = index_axis(np.array([9, 1, 0, 3, 2, 4]), 10, 4, distinct=distinct)
    assert axis.complete.tolist() == [True, False, False]


def test_an_axis_without_elements() -> None:
    for axis in (affine_axis(2, 0, -3, 10, 4), index_axis(np.empty(0, np.int64), 10, 4)):
        assert columns(axis) == [[], [], [], []]
        assert (axis.step, axis.length, len(axis.complete)) == (1, 0, 0)
        assert axis.index is None
    assert columns(index_axis(np.array([7]), 10, 4)) == [[1], [3], [1], [0]]
