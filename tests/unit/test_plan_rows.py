"""Rows of plans: any range of chunks is that range of all of them; parts of one chunk shape."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cuzarr.meta.edges import Edges
from cuzarr.plan import (
    ChunkPlan,
    PlanRows,
    full_plan,
    last_wins,
    plan_basic,
    plan_boxes,
    plan_coordinate,
    plan_mask,
    plan_orthogonal,
    split_by_shape,
)

SHAPE, CHUNKS, UNEQUAL = (7, 9), (3, 4), (Edges([1, 3, 1, 3]), Edges([4, 2, 4]))
STARTS = [[0, 0], [3, 4], [0, 1], [3, 6], [2, 3], [1, 0]]
ROWS, COLUMNS = [6, 0, 1, 1, 5, 6, 6], [8, 3, 3, 0, 2, 8, 1]
LISTS = np.ix_([5, 6, 1, 2, 2], [0, 8, 8])


def plans(chunks: Any) -> dict[str, ChunkPlan]:
    return {
        "basic": plan_basic((slice(1, None, 2), slice(None, None, -1)), SHAPE, chunks),
        "whole": full_plan(SHAPE, chunks),
        "tail": plan_basic((slice(2, None), slice(1, None)), SHAPE, chunks),
        "one": plan_basic((0, 0), SHAPE, chunks),
        "lists": plan_orthogonal((LISTS[0][:, 0], LISTS[1][0]), SHAPE, chunks),
        "points": plan_coordinate((ROWS, COLUMNS), SHAPE, chunks),
        "mask": plan_mask(np.arange(63).reshape(SHAPE) % 5 > 0, SHAPE, chunks),
        "boxes": plan_boxes(STARTS, (3, 2), SHAPE, chunks),
        "one box": plan_boxes(STARTS[:1] * 3, (1, 1), SHAPE, chunks),
    }


NAMES = [*plans(CHUNKS)]


def table(rows: PlanRows) -> list[Any]:
    """What each chunk copies."""
    assert rows.start.shape == rows.count.shape == rows.out.shape
    assert len(rows.complete) == len(rows.coords) == len(rows)
    found = []
    for i in range(len(rows)):
        part = slice(rows.of(i).start, rows.of(i).stop)
        found.append([
            rows.coords[i].tolist(), bool(rows.complete[i]), rows.start[part].tolist(),
            rows.count[part].tolist(), rows.out[part].tolist(), rows.step.tolist(), rows.flat,
        ])  # fmt: skip
    assert sum(len(rows.of(i)) for i in range(len(rows))) == len(rows.start)
    return found


@pytest.mark.parametrize("chunks", [CHUNKS, UNEQUAL], ids=["equal", "unequal"])
@pytest.mark.parametrize("name", NAMES)
def test_a_range_is_that_part_of_all(name: str, chunks: Any) -> None:
    plan = plans(chunks)[name]
    whole = plan.rows(0, plan.n_chunks)
    assert len(whole) == plan.n_chunks
    assert not plan.partial
    expected = table(whole)
    for first, last in itertools.combinations_with_replacement(range(plan.n_chunks + 1), 2):
        part = plan.rows(first, last)
        assert table(part) == expected[first:last]
        for array in (part.coords, part.start, part.count, part.out, part.step):
            assert array.dtype == np.int64


@pytest.mark.parametrize("chunks", [CHUNKS, UNEQUAL], ids=["equal", "unequal"])
@pytest.mark.parametrize("name", NAMES)
def test_some_chunks_are_taken(name: str, chunks: Any) -> None:
    plan = plans(chunks)[name]
    rows = plan.rows(0, plan.n_chunks)
    n = len(rows)
    expected = table(rows)
    for which in (slice(1, None), slice(-1, None), slice(0, 1), slice(None, None, -1), slice(0, 0)):
        assert table(rows.take(which)) == expected[which]
    for some in ([0], [n - 1, 0], [-1], list(range(n))[::-2], [0, 0]):
        assert table(rows.take(np.array(some))) == [expected[i] for i in some]
    assert rows.take(slice(0, 1)).lists is rows.lists


@pytest.mark.parametrize("name", NAMES)
def test_the_chunk_of_each_row(name: str) -> None:
    plan = plans(CHUNKS)[name]
    rows = plan.rows(0, plan.n_chunks)
    expected = [i for i in range(len(rows)) for _ in rows.of(i)]
    assert np.arange(len(rows))[rows.chunk_of()].tolist() == expected


def test_rows_of_an_array_without_dimensions() -> None:
    plan = full_plan((), ())
    for last in (0, 1):
        rows = plan.rows(0, last)
        assert rows.coords.shape == rows.start.shape == (last, 0)
        assert (len(rows.complete), rows.lists) == (last, ())
        assert rows.complete.all()


def frozen(plan: ChunkPlan) -> None:
    parts: list[Any] = [part for part in (plan.points, plan.boxes) if part is not None]
    for part in parts or plan.axes:
        for name in part.__slots__:
            value = getattr(part, name)
            if isinstance(value, np.ndarray):
                assert not value.flags.writeable, name
                assert value.dtype == (np.bool_ if name == "complete" else np.int64), name


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_one_chunk_shape(name: str) -> None:
    plan = plans(UNEQUAL)[name]
    whole = {tuple(row[0]): row for row in table(plan.rows(0, plan.n_chunks))}
    seen: list[tuple[int, ...]] = []
    shapes = []
    for shape, part in split_by_shape(plan, UNEQUAL):
        assert part.partial
        assert (part.shape, part.out_shape) == (plan.shape, plan.out_shape)
        frozen(part)
        rows = part.rows(0, part.n_chunks)
        assert len(rows) == part.n_chunks > 0
        for i, row in enumerate(table(rows)):
            at = tuple(row[0])
            expected = whole[at]
            if plan.points is None:
                assert row == expected
            else:  # the lists are shorter
                assert rows.lists[0] is not None
                first, (n,) = row[2][0][0], expected[3][0]
                of = plan.points.out_index[expected[2][0][0] :][:n].tolist()
                assert rows.lists[0][1][first : first + row[3][0][0]].tolist() == of
            lengths = [chunk.length(k) for chunk, k in zip(UNEQUAL, at, strict=True)]
            assert shape == tuple(lengths)
            seen.append(tuple(rows.coords[i].tolist()))
        shapes.append(shape)
    assert sorted(seen) == sorted(whole)
    assert len(set(shapes)) == len(shapes)


@pytest.mark.parametrize("chunks", [CHUNKS, UNEQUAL], ids=["equal", "unequal"])
def test_parts_of_nothing(chunks: Any) -> None:
    for plan in (
        plan_basic((slice(0), slice(None)), SHAPE, chunks),
        plan_coordinate(([], []), SHAPE, chunks),
        plan_boxes([], 1, SHAPE, chunks),
    ):
        assert list(split_by_shape(plan, chunks)) == []


@pytest.mark.parametrize("name", ["lists", "points"])
def test_what_is_written_once_is_read_only_too(name: str) -> None:
    plan = plans(CHUNKS)[name]
    once = last_wins(plan)
    assert once is not plan
    frozen(once)
    assert last_wins(once) is once


def test_a_selection_of_no_points() -> None:
    for plan in (
        plan_coordinate(([], []), SHAPE, CHUNKS),
        plan_mask(np.zeros(SHAPE, bool), SHAPE, CHUNKS),
    ):
        frozen(plan)
        assert plan.points is not None
        shapes = [getattr(plan.points, name).shape for name in plan.points.__slots__]
        assert shapes == [(0, 2), (1,), (0,), (0,), (0,)]
        assert plan.points.ptr.tolist() == [0]
