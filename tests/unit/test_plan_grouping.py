"""Numbers of grid coordinates, and rows grouped by them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr.plan.grouping import group_rows, linear_ids, weighted_sum


def columns(*rows: tuple[int, ...]) -> list[Any]:
    return list(np.array(rows, np.int64).T)


def test_coordinates_are_numbered_within_their_bounding_box() -> None:
    rows = [(7, 40, 3), (9, 41, 3), (7, 42, 3), (8, 40, 3)]
    linear = linear_ids(columns(*rows), (4,))
    assert linear is not None
    assert (linear.low, linear.extent) == ((7, 40, 3), (3, 3, 1))
    assert linear.ids.tolist() == [0, 7, 2, 3]
    assert [tuple(row) for row in linear.coords(linear.ids).tolist()] == rows


def test_the_largest_number_that_fits() -> None:
    linear = linear_ids(columns((2**63 - 2,), (0,)), (2,))
    assert linear is not None
    assert linear.ids.tolist() == [2**63 - 2, 0]
    assert linear.coords(linear.ids).tolist() == [[2**63 - 2], [0]]
    assert linear_ids(columns((2**63 - 1,), (0,)), (2,)) is None


@pytest.mark.parametrize("far", [2**30 - 1, 2**30, 2**31 - 1, 2**32])
def test_boxes_around_the_largest_number(far: int) -> None:
    rows = [(2**33 - 1, far), (0, 1), (2**33 - 1, far), (0, 0), (2**33 - 1, 0)]
    groups = group_rows(columns(*rows), (5,))
    assert [tuple(row) for row in groups.coords.tolist()] == sorted(set(rows))
    assert groups.first.tolist() == [0, 1, 2, 3]
    assert groups.order is not None
    assert groups.order.tolist() == [3, 1, 4, 0, 2]


@pytest.mark.parametrize("far", [2**5, 2**15, 2**16 - 1, 2**16, 2**16 + 1, 2**17 - 1, 2**18])
def test_equal_rows_stay_in_order_however_wide_the_box_is(far: int) -> None:
    rng = np.random.default_rng(far)
    ids = 5 + rng.integers(0, far + 1, 200)[rng.integers(0, 200, 3000)]
    ids[:3] = 5 + far, 5, 5 + far
    groups = group_rows([ids], (3000,))
    assert groups.coords[:, 0].tolist() == sorted(set(ids.tolist()))
    assert groups.order is not None
    assert groups.order.tolist() == sorted(range(3000), key=ids.tolist().__getitem__)
    assert groups.first.tolist() == np.unique(ids[groups.order], return_index=True)[1].tolist()


@pytest.mark.parametrize("rows", [[0, 1, 5], [3, 3, 3], [2, 2, 4, 4, 9], [7]])
def test_sorted_rows_need_no_order(rows: list[int]) -> None:
    groups = group_rows([np.array(rows)], (len(rows),))
    assert groups.order is None
    assert groups.coords[:, 0].tolist() == sorted(set(rows))
    assert groups.first.tolist() == [rows.index(k) for k in sorted(set(rows))]


def test_columns_that_are_broadcast() -> None:
    column, row = np.array([[4], [2], [3]]), np.array([[5, 5]])
    assert weighted_sum([column, row], (2, 5), (3, 1), (3, 2)).tolist() == [[2, 2], [0, 0], [1, 1]]
    groups = group_rows([column, row], (3, 2))
    assert groups.coords.tolist() == [[2, 5], [3, 5], [4, 5]]
    assert groups.order is not None
    assert groups.order.tolist() == [2, 3, 4, 5, 0, 1]


def test_sums_are_new_arrays() -> None:
    column = np.arange(3)
    for extent in ((3,), (1,)):
        result = weighted_sum([column], (0,), extent, (3,))
        result[:] = 9
        assert column.tolist() == [0, 1, 2]
