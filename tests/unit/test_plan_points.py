"""Coordinate and mask plans: what they hold, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.plan import is_scalar, last_wins, plan_coordinate, plan_mask
from tests.property.plan_interpreter import positions, read

HUGE = 2**62


def test_points_are_grouped_by_chunk_in_the_callers_order():
    plan = plan_coordinate(([0, 5, 1, 0, -1], [1, 1, 0, 1, 3]), (6, 4), (2, 3))
    points = plan.points
    assert points.coords.tolist() == [[0, 0], [2, 0], [2, 1]]
    assert points.ptr.tolist() == [0, 3, 4, 5]
    assert points.index.tolist() == [1, 3, 1, 4, 3]
    assert points.out_index.tolist() == [0, 2, 3, 1, 4]
    assert (plan.shape, plan.out_shape, plan.n_chunks) == ((5,), (5,), 3)


def test_points_in_the_order_of_the_chunks_are_not_moved():
    plan = plan_coordinate(([3, 1, 9, 8],), (10,), (5,))
    assert plan.points.out_index.tolist() == [0, 1, 2, 3]


def test_coordinates_broadcast():
    plan = plan_coordinate((np.array([[1], [4]]), [0, 2, -1], 1), (5, 3, 2), (2, 2, 2))
    assert (plan.shape, plan.out_shape) == ((6,), (2, 3))
    expected = positions((5, 3, 2))[[[1], [4]], [0, 2, -1], 1]
    np.testing.assert_array_equal(read(plan, positions((5, 3, 2)), (2, 2, 2)), expected)


def test_integers_alone_are_one_point_without_dimensions():
    plan = plan_coordinate((1, np.array(2)), (5, 3), (2, 2))
    assert (plan.shape, plan.out_shape) == ((1,), ())
    assert is_scalar(plan)
    plan = plan_coordinate((), (), ())
    assert (plan.shape, plan.out_shape, plan.n_chunks) == ((1,), (), 1)
    assert plan.points.complete.tolist() == [True]


def test_many_chunks_are_grouped_without_a_table_over_the_grid():
    rng = np.random.default_rng(3)
    shape, chunks = (HUGE, HUGE, HUGE), (2**40, 7, 1)  # a C order number would not fit int64
    key = tuple(rng.integers(-HUGE, HUGE, 500) for _ in shape)
    key[0][:250], key[1][:250], key[2][:250] = 12, 7 * rng.integers(0, 3, 250), -1
    points = plan_coordinate(key, shape, chunks).points
    assert [tuple(row) for row in points.coords.tolist()] == sorted(
        map(tuple, points.coords.tolist())
    )
    chunk = np.repeat(points.coords, np.diff(points.ptr), axis=0)
    inside = np.stack(np.unravel_index(points.index, chunks), axis=1)
    wrapped = np.stack([np.where(k < 0, k + HUGE, k) for k in key], axis=1)
    np.testing.assert_array_equal(chunk * np.array(chunks) + inside, wrapped[points.out_index])
    assert len(points.coords) == 253
    assert not points.complete[:-1].all()


def test_points_far_apart_on_one_axis():
    plan = plan_coordinate(([HUGE - 1, 0, HUGE - 1],), (HUGE,), (10,))
    assert plan.points.coords.tolist() == [[0], [(HUGE - 1) // 10]]
    assert plan.points.out_index.tolist() == [1, 0, 2]


def test_a_chunk_is_complete_when_all_its_distinct_elements_are_there():
    rows, columns = [0, 0, 1, 1, 2, 2, 0, 0], [0, 1, 0, 1, 1, 1, 2, 2]
    points = plan_coordinate((rows, columns), (3, 3), (2, 2)).points
    assert points.coords.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert points.complete.tolist() == [True, False, False]


def test_last_wins_keeps_the_last_of_each_element():
    once = last_wins(plan_coordinate(([7, 1, 7, 1, 0, 7],), (8,), (4,)))
    assert once.points.index.tolist() == [1, 0, 3]
    assert once.points.out_index.tolist() == [3, 4, 5]
    assert once.points.ptr.tolist() == [0, 2, 3]
    assert once.shape == (6,)


@pytest.mark.parametrize(
    "key", [([], []), (np.empty((2, 0), int), 1), (np.empty((0, 1), int), [1, 2])]
)
def test_no_points(key):
    plan = plan_coordinate(key, (5, 6), (2, 2))
    assert plan.n_chunks == 0
    assert plan.shape == (0,)
    assert plan.out_shape == np.broadcast_shapes(np.shape(key[0]), np.shape(key[1]))
    assert len(plan.rows(0, 0)) == 0


@pytest.mark.parametrize("array", [np.uint64([3, 2**64 - 1]), np.array([3, 2**40]), [3, 12]])
def test_an_index_outside_the_array_names_index_axis_and_length(array):
    message = f"^index {int(np.max(array))} is out of bounds for axis 1 with length 12$"
    with pytest.raises(BoundsCheckError, match=message):
        plan_coordinate((0, array), (5, 12), (2, 2))
    with pytest.raises(BoundsCheckError, match=r"index -6 is out of bounds for axis 0"):
        plan_coordinate(([0, -6], 0), (5, 12), (2, 2))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (([0, 1],), r"one integer or integer array per dimension: 2, not 1"),
        (([0], [0], [0]), "per dimension: 2, not 3"),
        ((slice(None), [0]), "axis 0: a coordinate selection takes .* not a slice"),
        (([0], [True]), "axis 1: a coordinate selection takes .* not a boolean array"),
        (([0], ...), "axis 1: expected an integer, .* not ellipsis"),
        (([0], None), r"axis 1: np\.newaxis is not supported"),
        (([0, 1], [0, 1, 2]), r"coordinate arrays of shapes \(2,\), \(3,\) do not broadcast"),
        ([[True, False]], r"mask of shape \(1, 2\) for an array of shape \(5, 12\)"),
    ],
)
def test_what_a_coordinate_selection_refuses(key, message):
    with pytest.raises(SelectionError, match=message):
        plan_coordinate(key, (5, 12), (2, 2))


def test_columns_of_one_chunk_are_broadcast():
    key = (np.array([[9], [1], [5]]), np.array([[0, 1]]))
    plan = plan_coordinate(key, (10, 2), (3, 2))
    np.testing.assert_array_equal(read(plan, positions((10, 2)), (3, 2)), positions((10, 2))[key])


def test_chunks_that_no_memory_could_hold_are_refused():
    for chunks in ((HUGE, HUGE), (2**32, 2**31), (2**32, 2**32)):
        with pytest.raises(SelectionError, match="are too large to address"):
            plan_coordinate(([0], [0]), (HUGE, HUGE), chunks)
    length = 2**63 - 1
    assert plan_coordinate(([length - 1],), (length,), (length,)).points.index.tolist() == [
        length - 1
    ]


def test_a_mask_selects_in_c_order():
    mask = np.zeros((4, 5), bool)
    mask[[0, 0, 3, 3], [1, 4, 0, 4]] = True
    for key in (mask, mask.tolist(), (mask,)):
        plan = plan_mask(key, (4, 5), (2, 3))
        np.testing.assert_array_equal(read(plan, positions((4, 5)), (2, 3)), [1, 4, 15, 19])
        assert plan.out_shape == (4,)
        assert plan_coordinate(key, (4, 5), (2, 3)).points.index.tolist() == (
            plan.points.index.tolist()
        )


def test_masks_tell_complete_chunks():
    mask = np.ones((3, 3), bool)
    mask[0, 0] = False
    assert plan_mask(mask, (3, 3), (2, 2)).points.complete.tolist() == [False, True, True, True]


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_of_an_array_without_dimensions(value):
    plan = plan_mask(np.array(value), (), ())
    assert plan.out_shape == (int(value),)
    assert plan.n_chunks == int(value)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((4, 4), bool), r"mask of shape \(4, 4\) for an array of shape \(4, 5\)"),
        (np.ones((4, 5), int), "a mask is a boolean array, not one of type int64"),
        ((np.ones((4, 5), bool),) * 2, r"mask of shape \(2, 4, 5\)"),
    ],
)
def test_what_a_mask_selection_refuses(mask, message):
    with pytest.raises(SelectionError, match=message):
        plan_mask(mask, (4, 5), (2, 3))


def test_a_mask_without_true_elements():
    plan = plan_mask(np.zeros((4, 5), bool), (4, 5), (2, 3))
    assert (plan.n_chunks, plan.out_shape) == (0, (0,))
