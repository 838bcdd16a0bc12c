"""What ``z[key]`` means."""

from __future__ import annotations

import numpy as np
import pytest

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.plan import plan_item
from tests.property.plan_interpreter import positions, read

SHAPE, CHUNKS = (5, 6, 7), (2, 3, 4)


def item(key, shape=SHAPE, chunks=CHUNKS):
    return read(plan_item(key, shape, chunks), positions(shape), chunks)


@pytest.mark.parametrize(
    "key",
    [
        0,
        (1, 2, 3),
        slice(1, None),
        (..., slice(None, None, -2)),
        np.int64(2),
        (np.array(1), slice(2), np.uint8(3)),
        # every dimension by integers: coordinates, broadcast
        ([0, 1], [2, 3], [4, 5]),
        ([0, 1], 2, [[4], [5]]),
        (np.array([[0, 1]]), np.array(3), 5),
        (..., [0, 1], [1, 2], [2, 3]),
        ([0, 1], ..., 1, [2, 3]),
        # one array among slices, in one place
        [3, 1, 1],
        (slice(1, 3), [5, 0]),
        (..., [6, 6, 2]),
        (slice(None), slice(1, 4), range(1, 6, 2)),
        ([1, 2], 3),
        [],
        [True, False, True, True, False],
        (np.arange(5) % 2 == 0, slice(2, 4)),
    ],
)
def test_the_same_as_numpy(key):
    expected = positions(SHAPE)[key]
    result = item(key)
    assert result.shape == np.shape(expected)
    np.testing.assert_array_equal(result, expected)


def test_a_mask_of_the_whole_shape():
    mask = positions(SHAPE) % 3 == 1
    for key in (mask, (mask,), mask.tolist()):
        np.testing.assert_array_equal(item(key), positions(SHAPE)[mask])


def test_an_integer_before_the_slices_does_not_move_the_dimension_of_the_array():
    assert positions(SHAPE)[0, :, [1, 2]].shape == (2, 6)
    np.testing.assert_array_equal(item((0, slice(None), [1, 2])), positions(SHAPE)[0][:, [1, 2]])


def test_arrays_for_every_dimension_with_a_boolean_one_are_orthogonal():
    key = ([0, 1, 3], np.arange(6) > 3, [5, 1])
    np.testing.assert_array_equal(item(key), positions(SHAPE)[np.ix_([0, 1, 3], [4, 5], [5, 1])])


@pytest.mark.parametrize("key", [[4, 1, 4], [[4, 1], [0, 2]], np.arange(9) > 5, [True] * 9])
def test_one_dimension(key):
    expected = positions((9,))[key]
    np.testing.assert_array_equal(item(key, (9,), (4,)), expected)
    np.testing.assert_array_equal(item((key,), (9,), (4,)), expected)


def test_one_array_is_planned_as_an_axis():
    assert plan_item([4, 1, 4], (9,), (4,)).axes[0].index is not None
    assert plan_item((3, [4, 1, 4]), (9, 9), (4, 4)).points is None
    assert plan_item(([3], [4]), (9, 9), (4, 4)).points is not None


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (([0, 1], slice(None), [0, 1]), r"use oindex\[\.\.\.\] .* vindex\[\.\.\.\]"),
        (([0, 1], 1, np.ones(7, bool)), "ambiguous"),
        (np.zeros((2, 2), int), "axis 0: an orthogonal selection takes 1-dimensional arrays"),
        (np.ones((5, 6), bool), r"mask of shape \(5, 6\) for an array of shape \(5, 6, 7\)"),
        (np.ones(4, bool), r"axis 0: boolean array of shape \(4,\) .* length 5"),
        ((np.ones((5, 6), bool), 0), "axis 0: an orthogonal selection takes 1-dimensional arrays"),
        ("name", "axis 0: .* not str"),
        ((0, None), r"axis 1: np\.newaxis"),
        (True, "axis 0: .* not bool"),
        (1.5, "axis 0: .* not float"),
        ((0, 0, 0, 0), "too many indices"),
    ],
)
def test_what_is_refused(key, message):
    with pytest.raises(SelectionError, match=message):
        plan_item(key, SHAPE, CHUNKS)


@pytest.mark.parametrize("key", [6, (0, [0, -7]), ([0], [0], [7])])
def test_bounds(key):
    with pytest.raises(BoundsCheckError, match="is out of bounds for axis"):
        plan_item(key, SHAPE, CHUNKS)
