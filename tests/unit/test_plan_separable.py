"""Basic, orthogonal and block plans: what they hold, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.plan import (
    chunk_counts,
    full_plan,
    grid_shape,
    is_scalar,
    last_wins,
    plan_basic,
    plan_block,
    plan_orthogonal,
)
from tests.property.plan_interpreter import positions, read

HUGE = 2**62


def columns(axis):
    return axis.chunk.tolist(), axis.start.tolist(), axis.count.tolist(), axis.out.tolist()


def test_a_slice_cuts_at_chunk_borders():
    (axis,) = plan_basic(slice(3, 25), (100,), (10,)).axes
    assert columns(axis) == ([0, 1, 2], [3, 0, 0], [7, 10, 5], [0, 7, 17])
    assert axis.complete.tolist() == [False, True, False]
    assert (axis.step, axis.length, axis.index) == (1, 22, None)


def test_a_step_wider_than_a_chunk_skips_chunks():
    (axis,) = plan_basic(slice(1, None, 25), (100,), (10,)).axes
    assert columns(axis) == ([0, 2, 5, 7], [1, 6, 1, 6], [1, 1, 1, 1], [0, 1, 2, 3])


def test_a_negative_step_starts_high_in_every_chunk():
    (axis,) = plan_basic(slice(None, None, -3), (20,), (10,)).axes
    assert columns(axis) == ([0, 1], [7, 9], [3, 4], [4, 0])
    assert axis.step == -3


def test_the_clipped_chunk_at_the_border_is_complete_when_its_inside_is_taken():
    (axis,) = plan_basic(slice(20, None), (23,), (10,)).axes
    assert columns(axis) == ([2], [0], [3], [0])
    assert axis.complete.tolist() == [True]
    (axis,) = plan_basic(slice(5, None), (23,), (10,)).axes
    assert axis.complete.tolist() == [False, True, True]


def test_chunks_of_length_one_are_complete_whatever_the_step():
    (axis,) = plan_basic(slice(None, None, 3), (10,), (1,)).axes
    assert axis.chunk.tolist() == [0, 3, 6, 9]
    assert axis.complete.all()


def test_integers_keep_their_dimension_in_shape_and_drop_it_from_out_shape():
    plan = plan_basic((np.uint8(3), ..., np.array(-1)), (5, 6, 7), (2, 3, 4))
    assert plan.shape == (1, 6, 1)
    assert plan.out_shape == (6,)
    assert plan.n_chunks == 2


@pytest.mark.parametrize(
    ("key", "scalar"),
    [((1, 2), True), ((1, slice(2, 3)), False), ((..., 1, 2), False), ((1, 2, ...), False)],
)
def test_is_scalar(key, scalar):
    assert is_scalar(plan_basic(key, (5, 6), (2, 2)), key) is scalar


def test_zero_dimensional_arrays_are_one_chunk():
    for key in ((), ..., (...,)):
        plan = plan_basic(key, (), ())
        assert (plan.shape, plan.out_shape, plan.n_chunks) == ((), (), 1)
        rows = plan.rows(0, 1)
        assert rows.coords.shape == (1, 0)
        assert rows.complete.tolist() == [True]
    assert is_scalar(plan, ())
    assert not is_scalar(plan, ...)


@pytest.mark.parametrize("key", [(), slice(5, 5), (slice(None), slice(3, 1)), (slice(2, 0), 1)])
def test_nothing_selected_is_no_chunk(key):
    plan = plan_basic(key, (6, 0) if key == () else (6, 4), (4, 4))
    assert plan.n_chunks == 0
    assert 0 in plan.shape
    assert len(plan.rows(0, 0)) == 0


def test_dimensions_without_elements_may_have_chunks_without_elements():
    plan = full_plan((0, 4), (0, 2))
    assert (plan.shape, plan.n_chunks) == ((0, 4), 0)
    assert grid_shape((0, 4), (0, 2)) == (0, 2)


def test_grid_of_a_huge_array():
    assert grid_shape((HUGE, 10, HUGE - 1), (1, 4, 2)) == (HUGE, 3, HUGE // 2)
    assert chunk_counts((HUGE, 10), (1, 4)) == 3 * HUGE
    assert chunk_counts((), ()) == 1


def test_huge_shapes_are_planned_by_what_is_touched():
    key = (slice(HUGE - 5, None), slice(None, None, -(2**60)), -1)
    plan = plan_basic(key, (HUGE, HUGE, HUGE), (3, 1000, HUGE))
    assert plan.shape == (5, 4, 1)
    rows = plan.rows(0, plan.n_chunks)
    start = rows.coords * np.array([3, 1000, 0]) + rows.start
    assert start[:, 2].tolist() == [HUGE - 1] * plan.n_chunks
    assert sorted(set(start[:, 1].tolist())) == [HUGE - 1 - k * 2**60 for k in (3, 2, 1, 0)]
    assert set(start[:, 0].tolist()) == {HUGE - 5, HUGE - 4, HUGE - 1}
    assert rows.count[:, 0].sum() == 5 * 4


def test_the_last_element_that_int64_can_count():
    length = 2**63 - 1
    for chunk in (10, 2**61, length):
        (axis,) = plan_basic(slice(-25, None), (length,), (chunk,)).axes
        assert int(axis.count.sum()) == 25
        last = int(axis.chunk[-1]) * chunk + int(axis.start[-1]) + int(axis.count[-1]) - 1
        assert last == length - 1
    plan = full_plan((length,), (2**61,))
    assert plan.axes[0].count.tolist() == [2**61, 2**61, 2**61, 2**61 - 1]
    assert plan.axes[0].complete.all()


def test_a_step_that_does_not_fit_int64_takes_one_element():
    plan = plan_basic(slice(7, None, 2**70), (100,), (10,))
    assert (plan.shape, plan.axes[0].step) == ((1,), 1)
    assert plan_basic(slice(7, None, -(2**70)), (100,), (10,)).shape == (1,)


def test_too_many_chunks_to_hold_is_said():
    with pytest.raises(SelectionError, match=f"touches {HUGE} chunks along one axis"):
        full_plan((HUGE,), (1,))


def test_axes_of_few_chunks_are_shared_between_plans():
    first = plan_basic((slice(0, 64), 3), (1000, 1000), (16, 16))
    second = plan_basic((slice(0, 64), slice(0, 64)), (1000, 1000), (16, 16))
    assert first.axes[0] is second.axes[0] is second.axes[1]


@pytest.mark.parametrize("key", [5, -6, 2**80, np.int8(-6)])
def test_an_index_outside_the_array_names_index_axis_and_length(key):
    message = f"^index {int(key)} is out of bounds for axis 1 with length 5$"
    with pytest.raises(BoundsCheckError, match=message):
        plan_basic((0, key), (4, 5), (2, 2))
    with pytest.raises(IndexError, match=message):
        plan_orthogonal((0, [0, key]) if abs(key) < 2**63 else (0, key), (4, 5), (2, 2))


def test_unsigned_indices_that_do_not_fit_int64():
    with pytest.raises(BoundsCheckError, match=f"index {2**64 - 1} is out of bounds for axis 0"):
        plan_orthogonal(np.array([0, 2**64 - 1], np.uint64), (4,), (2,))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((1, 2, 3), r"too many indices: the array has 2 dimension\(s\), the selection 3"),
        ((..., 1, 2, 3), r"the array has 2 dimension\(s\), the selection 3"),
        ((..., 1, ...), "only one ellipsis"),
        (None, r"axis 0: np\.newaxis is not supported"),
        ((None, 1, 2), r"selection: np\.newaxis is not supported"),
        ((0, 1.0), "axis 1: expected an integer, a slice, .* not float"),
        (np.float32(1), "axis 0: .* not float32 with elements of type float32"),
        ("name", "axis 0: .* not str$"),
        (b"name", "axis 0: .* not bytes"),
        (True, "axis 0: .* not bool$"),
        (np.True_, "axis 0: .* not bool"),
        (np.array(True), "axis 0: .* not ndarray with elements of type bool"),
        (object(), "axis 0: .* not object"),
        (slice(None, None, 0), r"axis 0: slice\(None, None, 0\): slice step cannot be zero"),
        (slice(0.5, None), r"axis 0: slice\(0\.5, None, None\): slice indices must be integers"),
        ([0, 1], "axis 0: a basic selection takes integers and slices, not an array"),
    ],
)
def test_what_a_basic_selection_refuses(key, message):
    with pytest.raises(SelectionError, match=message):
        plan_basic(key, (4, 5), (2, 2))


def test_anything_with_an_index_is_an_integer():
    class Three:
        def __index__(self):
            return 3

    class Number(int):
        pass

    for key in (Three(), Number(3), np.uint64(3), np.array(3, np.uint8)):
        assert plan_basic(key, (5,), (2,)).axes[0].chunk.tolist() == [1]


def test_a_list_is_grouped_by_chunk_in_its_own_order():
    (axis,) = plan_orthogonal([12, -20, 3, 11, 3, 19], (20,), (10,)).axes
    assert columns(axis) == ([0, 1], [0, 3], [3, 3], [0, 0])
    assert axis.index.tolist() == [0, 3, 3, 2, 1, 9]
    assert axis.out_index.tolist() == [1, 2, 4, 0, 3, 5]
    assert (axis.step, axis.length) == (1, 6)


@pytest.mark.parametrize(
    ("indices", "step"),
    [(range(3, 18), 1), ([9, 6, 3, 0], -3), (np.arange(20)[::-1], -1), ([7], 1), ([2, 15], 13)],
)
def test_evenly_spaced_indices_become_affine(indices, step):
    (axis,) = plan_orthogonal(indices, (20,), (6,)).axes
    assert axis.index is None
    assert axis.step == step


def test_a_contiguous_mask_becomes_affine():
    mask = np.zeros(20, bool)
    mask[4:9] = True
    (axis,) = plan_orthogonal(mask, (20,), (6,)).axes
    assert columns(axis) == ([0, 1], [4, 0], [2, 3], [0, 2])


def test_the_plan_does_not_hold_the_callers_indices():
    indices = np.array([5, 1, 1, 8])
    before = read(plan := plan_orthogonal(indices, (9,), (4,)), positions((9,)), (4,))
    indices[:] = 0
    np.testing.assert_array_equal(read(plan, positions((9,)), (4,)), before)


def test_a_list_that_covers_a_chunk_is_complete_repeats_or_not():
    (axis,) = plan_orthogonal([3, 0, 2, 1, 4, 4, 6, 9, 8, 8], (10,), (4,)).axes
    assert axis.complete.tolist() == [True, False, True]


@pytest.mark.parametrize("empty", [[], (), np.empty(0, np.uint8), np.zeros(6, bool), range(0)])
def test_empty_lists_select_nothing(empty):
    plan = plan_orthogonal((empty, slice(None)), (6, 4), (4, 4))
    assert (plan.shape, plan.n_chunks) == ((0, 4), 0)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (([0], np.zeros((2, 2), int)), r"axis 1: .* 1-dimensional arrays, not one of shape \(2, 2"),
        (([True, False], 0), r"axis 0: boolean array of shape \(2,\) for a dimension of length 4"),
        (([0.0, 1.0], 0), "axis 0: .* not list with elements of type float64"),
        (np.empty(0), "axis 0: .* not ndarray with elements of type float64"),
        (([[0], [1, 2]], 0), "axis 0: cannot make an index array of this"),
        ((["a", "b"], 0), "axis 0: .* not list with elements of type <U1"),
        (([0, 2**70], 0), "axis 0: .* not list with elements of type object"),
    ],
)
def test_what_an_orthogonal_selection_refuses(key, message):
    with pytest.raises(SelectionError, match=message):
        plan_orthogonal(key, (4, 5), (2, 2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.empty(0, bool), r"axis 0: boolean array of shape \(0,\) for a dimension of length 4"),
        (np.empty(0, "U1"), "axis 0: .* with elements of type <U1"),
    ],
)
def test_empty_columns_that_have_a_type_keep_it(values, message):
    class Column:
        def __array__(self, dtype=None, copy=None):
            return values

    with pytest.raises(SelectionError, match=message):
        plan_orthogonal(Column(), (4,), (2,))


def test_device_arrays_are_refused_with_what_they_say():
    class OnDevice:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("Implicit conversion to a NumPy array is not allowed")

    with pytest.raises(SelectionError, match=r"axis 0: cannot .* Implicit conversion"):
        plan_orthogonal(OnDevice(), (4,), (2,))


def test_last_wins_keeps_one_entry_per_element_and_the_shapes():
    plan = plan_orthogonal(([5, 1, 5, 0, 1], slice(None)), (6, 4), (4, 4))
    once = last_wins(plan)
    assert once.shape == plan.shape
    assert once.axes[0].index.tolist() == [0, 1, 1]
    assert once.axes[0].out_index.tolist() == [3, 4, 2]
    assert columns(once.axes[0]) == ([0, 1], [0, 2], [2, 1], [0, 0])
    assert once.axes[1] is plan.axes[1]
    assert last_wins(once) is once


def test_rows_can_be_taken_in_another_order():
    plan = plan_orthogonal(([5, 1, 5], slice(None)), (6, 4), (2, 2))
    rows = plan.rows(0, 4)
    some = rows.take(np.array([3, 0]))
    assert len(some) == 2
    assert some.coords.tolist() == rows.coords[[3, 0]].tolist() == [[2, 1], [0, 0]]
    assert some.count.tolist() == [[2, 2], [1, 2]]
    assert some.lists is rows.lists
    assert some.complete.tolist() == [False, False]
    assert rows.take(slice(1, 3)).start.tolist() == rows.start[1:3].tolist()


def test_blocks_are_whole_chunks_and_integers_keep_their_dimension():
    plan = plan_block((1, slice(-2, None)), (7, 9), (3, 4))
    assert plan.shape == plan.out_shape == (3, 5)
    assert read(plan, positions((7, 9)), (3, 4)).tolist() == positions((7, 9))[3:6, 4:].tolist()
    assert plan.rows(0, plan.n_chunks).complete.all()
    assert plan_block(-1, (7, 9), (3, 4)).shape == (1, 9)
    assert plan_block(slice(5, 9), (7, 9), (3, 4)).n_chunks == 0


def test_blocks_may_be_shards_of_several_chunks():
    plan = plan_block(1, (20, 5), (2, 5), block_shape=(8, 5))
    assert plan.shape == (8, 5)
    assert plan.axes[0].chunk.tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (3, BoundsCheckError, r"block 3 is out of bounds for axis 0 with 3 block\(s\)"),
        ((0, -4), BoundsCheckError, r"block -4 is out of bounds for axis 1 with 3 block\(s\)"),
        (slice(None, None, 2), SelectionError, "axis 0: .* slices of step 1, not 2"),
        (slice(None, None, -1), SelectionError, "axis 0: .* slices of step 1, not -1"),
        (([0, 1],), SelectionError, "axis 0: a block selection takes integers and slices"),
    ],
)
def test_what_a_block_selection_refuses(key, error, message):
    with pytest.raises(error, match=message):
        plan_block(key, (7, 9), (3, 4))


@pytest.mark.parametrize("key", [slice(None), slice(None, None, -3), slice(None, None, 5)])
def test_more_chunks_than_a_plan_can_hold(key):
    with pytest.raises(SelectionError, match=r"touches \d+ chunks along one axis, more than 67108"):
        plan_basic(key, (2**40,), (4,))
    with pytest.raises(SelectionError, match="select in parts"):
        plan_orthogonal((0, key), (3, 2**40), (1, 4))
