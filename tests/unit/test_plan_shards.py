"""Addresses of inner chunks in shards."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from cuzarr.plan import (
    full_plan,
    group_by_shard,
    inner_chunks_in_array,
    plan_basic,
    plan_orthogonal,
    shard_address,
)
from cuzarr.plan.shards import whole_shards


def test_slots_are_c_order_positions_in_the_shard():
    coords = np.array([[0, 0], [0, 3], [1, 2], [3, 5], [2, 0]])
    shard, slot = shard_address(coords, (2, 3))
    assert shard.tolist() == [[0, 0], [0, 1], [0, 0], [1, 1], [1, 0]]
    assert slot.tolist() == [0, 0, 5, 5, 0]
    assert not shard.flags.writeable
    assert not slot.flags.writeable


def test_shards_are_named_once_in_c_order():
    groups = group_by_shard(np.array([[0, 0], [0, 3], [1, 2], [3, 5], [0, 4]]), (2, 3))
    assert groups.shard_coords.tolist() == [[0, 0], [0, 1], [1, 1]]
    assert groups.shard_of.tolist() == [0, 1, 0, 2, 1]
    assert groups.slot.tolist() == [0, 0, 5, 5, 1]
    for array in (groups.shard_coords, groups.shard_of, groups.slot):
        assert array.dtype == np.int64
        assert not array.flags.writeable


def test_shards_far_apart():
    far = 2**61
    coords = np.array([[far, 5, far], [0, 0, 0], [far, 4, far], [1, 1, 1]])
    groups = group_by_shard(coords, (2, 2, 2))
    assert groups.shard_coords.tolist() == [[0, 0, 0], [far // 2, 2, far // 2]]
    assert groups.shard_of.tolist() == [1, 0, 1, 0]
    assert groups.slot.tolist() == [2, 0, 0, 7]


def test_sorted_shards_far_apart():
    groups = group_by_shard(np.array([[0], [10**9], [10**9 + 1]]), (2,))
    assert groups.shard_coords.tolist() == [[0], [10**9 // 2]]
    assert groups.shard_of.tolist() == [0, 1, 1]


def test_no_inner_chunks():
    groups = group_by_shard(np.empty((0, 3), np.int64), (2, 2, 2))
    assert groups.shard_coords.shape == (0, 3)
    assert groups.shard_of.shape == groups.slot.shape == (0,)
    for array in (groups.shard_coords, groups.shard_of, groups.slot):
        assert array.dtype == np.int64
        assert not array.flags.writeable


def test_a_shard_without_dimensions():
    groups = group_by_shard(full_plan((), ()).rows(0, 1).coords, ())
    assert groups.shard_coords.shape == (1, 0)
    assert groups.shard_of.tolist() == groups.slot.tolist() == [0]
    assert inner_chunks_in_array(groups.shard_coords, (), (), ()).tolist() == [1]


def test_shards_at_the_border_hold_fewer_inner_chunks_of_the_array():
    shards = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    counts = inner_chunks_in_array(shards, (10, 7), (2, 2), (4, 3))
    assert counts.tolist() == [12, 4, 3, 1]  # a grid of 5 x 4 inner chunks
    assert not counts.flags.writeable


@pytest.mark.parametrize("most", [1, 7, 40, 10**6])
@pytest.mark.parametrize(
    "key",
    [
        (slice(None), slice(None)),
        (slice(90, 3, -7), slice(5, 80)),
        (np.array([97, 3, 3, 50, 51, 4]), np.arange(0, 85, 9)),
    ],
    ids=["all", "backwards", "lists"],
)
def test_whole_shards_are_all_chunks_and_no_shard_twice(key, most):
    shape, chunks, per = (100, 85), (4, 5), (3, 4)
    plan = plan_orthogonal(key, shape, chunks)
    groups = list(whole_shards(plan.axes, (25, 17), per, lambda: most))
    assert sorted(np.concatenate(groups).tolist()) == list(range(plan.n_chunks))
    seen = set()
    for ids in groups:
        rows = plan.rows_of(ids)
        shards = {tuple(c) for c in (rows.coords // per).tolist()}
        held = sum(min(3, 25 - 3 * i) * min(4, 17 - 4 * j) for i, j in shards)
        assert len(ids) <= held
        assert held <= most or len(shards) == 1
        assert not shards & seen
        seen |= shards
    whole = plan.rows(0, plan.n_chunks)
    some = plan.rows_of(groups[-1])
    assert np.array_equal(some.coords, whole.coords[groups[-1]])
    assert np.array_equal(some.complete, whole.complete[groups[-1]])


@pytest.mark.parametrize(
    ("most", "sizes"), [(3, [4] * 8), (4, [4] * 8), (7, [4] * 8), (8, [8] * 4), (13, [12, 12, 8])]
)
def test_groups_have_as_many_shards_as_fit(most, sizes):
    plan = full_plan((12, 16), (3, 2))  # 4 x 8 chunks
    groups = list(whole_shards(plan.axes, (4, 8), (2, 2), lambda: most))
    assert [len(ids) for ids in groups] == sizes


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(1, [1] * 5), (8, [1] * 5), (13, [1, 1, 1, 2]), (16, [2, 2, 1]), (21, [2, 3]), (37, [5])],
)
def test_chunks_that_are_not_selected_count_too(most, sizes):
    """One of the eight chunks of each shard; in the array are five of the last."""
    plan = plan_basic((slice(None, None, 24),), (111,), (3,))
    groups = list(whole_shards(plan.axes, (37,), (8,), lambda: most))
    assert [len(ids) for ids in groups] == sizes


def test_shards_of_a_huge_selection_come_one_group_at_a_time():
    """2^32 inner chunks: all of them at once would be hundreds of GiB."""
    plan = full_plan((2**20, 2**20), (16, 16))
    tracemalloc.start()
    try:
        groups = whole_shards(plan.axes, (2**16, 2**16), (4, 4), lambda: 100)
        first = [plan.rows_of(next(groups)).coords // 4 for _ in range(3)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [np.unique(c[:, 1]).tolist() for c in first] == [
        list(range(k, k + 6)) for k in (0, 6, 12)
    ]
    assert peak < 64 * 2**20
