"""Plans of boxes against the elements that they stand for, one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.meta.edges import Edges
from cuzarr.plan import ChunkPlan, PlanRows, boxes, chunk_plan, plan_boxes
from tests.property.plan_interpreter import bounds

GRIDS: list[tuple[Any, Any, Any]] = [  # shape, chunks, box
    ((9,), (4,), (3,)),
    ((9,), (Edges([2, 1, 4, 3]),), (4,)),
    ((6, 7), (2, 3), (3, 2)),
    ((6, 7), (4, 3), (1, 5)),
    ((6, 7), (Edges([1, 3, 2]), 3), (2, 4)),
    ((5, 4, 6), (2, 4, 3), (2, 2, 3)),
    ((5, 4, 6), (2, Edges([2, 1, 1]), 3), (2, 3, 1)),
]


def corners(shape: Any, box: Any) -> list[tuple[int, ...]]:
    """Every place of a box, some twice, in no order."""
    every = [*itertools.product(*(range(n - k + 1) for n, k in zip(shape, box, strict=True)))]
    return [every[i] for i in np.random.default_rng(5).integers(0, len(every), len(every) + 5)]


def check(rows: PlanRows, i: int, starts: Any, box: Any, shape: Any, chunks: Any) -> set[int]:
    """Check the rows of a chunk, and return its boxes."""
    at = rows.coords[i].tolist()
    region = [bounds(n, chunk)[k] for n, chunk, k in zip(shape, chunks, at, strict=True)]
    found = set()
    for r in rows.of(i):
        number = int(rows.out[r, 0])
        assert (rows.start[r, 0], rows.count[r, 0]) == (0, 1)
        for a, (first, end) in enumerate(region):
            low = max(first, starts[number][a])
            high = min(end, starts[number][a] + box[a])
            assert low < high
            assert rows.start[r, a + 1] == low - first
            assert rows.count[r, a + 1] == high - low
            assert rows.out[r, a + 1] == low - starts[number][a]
        found.add(number)
    assert len(found) == len(rows.of(i))
    return found


@pytest.mark.parametrize(("shape", "chunks", "box"), GRIDS, ids=str)
@pytest.mark.parametrize("most", [1, 2, 3, 2**16])
def test_every_chunk_has_the_boxes_that_touch_it(
    shape: Any, chunks: Any, box: Any, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes, "_MOST_ROWS", most)
    starts = corners(shape, box)
    plan = plan_boxes(starts, box, shape, chunks)
    assert plan.shape == plan.out_shape == (len(starts), *box)
    rows = plan.rows(0, plan.n_chunks)
    assert not rows.complete.any()
    assert rows.step.tolist() == [1] * (len(shape) + 1)
    found: dict[tuple[int, ...], list[int]] = {}
    for i in range(len(rows)):
        assert 1 <= len(rows.of(i)) <= most
        here = check(rows, i, starts, box, shape, chunks)
        seen = found.setdefault(tuple(rows.coords[i].tolist()), [])
        assert not here & set(seen)
        if seen:
            assert len(seen) % most == 0, "cut where it need not be"
        seen.extend(here)
    assert rows.coords.tolist() == sorted(rows.coords.tolist())
    touched: dict[tuple[int, ...], list[int]] = {}
    for number, start in enumerate(starts):
        sides = [
            [k for k, (first, end) in enumerate(bounds(n, chunk)) if first < a + m and a < end]
            for n, chunk, a, m in zip(shape, chunks, start, box, strict=True)
        ]
        for at in itertools.product(*sides):
            touched.setdefault(at, []).append(number)
    assert {at: sorted(here) for at, here in found.items()} == touched


@pytest.mark.parametrize("most", [1, 4, 5, 9, 1000])
def test_waves_are_as_long_as_their_rows_allow(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_plan, "_WAVE_ROWS", most)
    shape, chunks, box = (30,), (3,), (4,)
    plan = plan_boxes([[i] for i in (0, 0, 1, 2, 4, 9, 9, 9, 13, 20, 21, 26)], box, shape, chunks)
    counts = [len(plan.rows(i, i + 1).start) for i in range(plan.n_chunks)]
    assert len(set(counts)) > 2
    for first in range(plan.n_chunks):
        for chunks_of_wave in range(1, plan.n_chunks + 3):
            last = plan.wave_end(first, chunks_of_wave)
            limit = min(first + chunks_of_wave, plan.n_chunks)
            fitting = [e for e in range(first + 1, limit + 1) if sum(counts[first:e]) <= most]
            assert last == max(fitting, default=first + 1)
            assert isinstance(last, int)


def test_waves_of_other_plans() -> None:
    plan = ChunkPlan((100,), (100,), 10)
    assert (plan.wave_end(0, 4), plan.wave_end(8, 4)) == (4, 10)


def arrays(plan: ChunkPlan) -> list[Any]:
    assert plan.boxes is not None
    return [plan.boxes.coords, plan.boxes.first, plan.boxes.box, plan.boxes.starts]


@pytest.mark.parametrize(
    ("starts", "box"),
    [([], (2, 3)), (np.empty((0, 2), np.uint64), (2, 3)), ([[1, 1], [0, 3]], (0, 2))],
    ids=str,
)
def test_no_elements_are_no_chunks(starts: Any, box: Any) -> None:
    plan = plan_boxes(starts, box, (5, 6), (3, 4))
    assert plan.n_chunks == 0
    assert plan.out_shape == (len(starts), *box)
    assert [a.shape for a in arrays(plan)] == [(0, 2), (1,), (0,), (len(starts), 2)]
    assert len(plan.rows(0, 0)) == 0


@pytest.mark.parametrize("starts", [[], [[0, 0], [2, 1]], [[4, 0], [0, 0]]])
def test_arrays_are_read_only_int64_and_not_the_callers(starts: Any) -> None:
    given = np.array(starts, np.int64).reshape(-1, 2)
    for array in arrays(plan_boxes(given, 1, (5, 6), (3, 4))):
        assert array.dtype == np.int64
        assert not array.flags.writeable
    assert given.flags.writeable


def test_boxes_without_dimensions() -> None:
    plan = plan_boxes(np.empty((3, 0)), (), (), ())
    assert (plan.n_chunks, plan.out_shape) == (1, (3,))
    rows = plan.rows(0, 1)
    assert rows.out.tolist() == [[0], [1], [2]]
    assert rows.count.tolist() == [[1]] * 3
    assert plan_boxes([], (), (), ()).n_chunks == 0


def test_columns_of_starts_along_one_axis() -> None:
    for starts in ([6, 0, 3], [[6], [0], [3]]):
        plan = plan_boxes(starts, 2, (9,), (4,))
        assert plan.out_shape == (3, 2)
        assert arrays(plan)[3].tolist() == [[6], [0], [3]]


@pytest.mark.parametrize(
    ("starts", "error", "text"),
    [
        (np.empty((0, 3)), SelectionError, r"for an array of 2 dimensions, not \(0, 3\)$"),
        (np.empty((4, 0), int), SelectionError, r"not \(4, 0\)$"),
        ([0, 1], SelectionError, r"not \(2,\)$"),
        (np.zeros((1, 1, 0)), SelectionError, r"not \(1, 1, 0\)$"),
        ([["a", "b"]], SelectionError, "must be integers, not <U1"),
        (np.array([[0, 2**63]], "u8"), BoundsCheckError, f"starts at {2**63}, outside any array"),
        (np.array([[2**64 - 1, 0]], "u8"), BoundsCheckError, f"starts at {2**64 - 1}, outside"),
        (np.array([[2**63 - 1, 0]], "u8"), BoundsCheckError, rf"box 0 .* \({2**63 - 1}, 0\) reac"),
        ([[0, 0], [4, 5]], BoundsCheckError, r"box 1 of shape \(1, 2\) at \(4, 5\) reaches out"),
        ([[0, -1]], BoundsCheckError, r"box 0 of shape \(1, 2\) at \(0, -1\) .* shape \(5, 6\)$"),
    ],
    ids=str,
)
def test_what_is_refused(starts: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        plan_boxes(starts, (1, 2), (5, 6), (3, 4))


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((1, -1), r"cannot be negative: \(1, -1\)"),
        (-1, r"cannot be negative: \(-1, -1\)"),
        ((1, 2, 3), r"needs 2 lengths, not \(1, 2, 3\)"),
        ([[1, 2]], r"needs 2 lengths, not \[\[1, 2\]\]"),
        ((), r"needs 2 lengths, not \(\)"),
        (1.5, "must be integers, not 1.5"),
    ],
    ids=str,
)
def test_wrong_shapes(box: Any, text: str) -> None:
    with pytest.raises(SelectionError, match=text):
        plan_boxes([[0, 0]], box, (5, 6), (3, 4))


def test_integers_of_any_type() -> None:
    for box in ((0, 6), np.array([0, 6], "u1"), np.array([0, 6], "i8")):
        for kind in ("u1", "u8", "i2"):
            plan = plan_boxes(np.zeros((1, 2), kind), box, (5, 6), (3, 4))
            assert plan.out_shape == (1, 0, 6)
            assert all(type(n) is int for n in plan.out_shape)
