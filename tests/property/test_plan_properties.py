"""Whatever the array, its chunks and the key: a plan reads and writes what NumPy does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.meta.edges import Edges
from cuzarr.plan import (
    ChunkPlan,
    group_by_shard,
    inner_chunks_in_array,
    last_wins,
    plan_basic,
    plan_block,
    plan_coordinate,
    plan_item,
    plan_mask,
    plan_orthogonal,
    split_by_shape,
)
from tests.property.plan_interpreter import bounds, positions, read, touched, write

examples = settings(max_examples=300, deadline=None)


@dataclasses.dataclass
class Case:
    """A plan, and the positions in the array that NumPy selects by the same key."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    key: Any
    plan: ChunkPlan
    expected: np.ndarray


@st.composite
def grids(draw, min_dims=0, min_side=0):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3))
    shape = tuple(draw(st.integers(min_side, 11)) for _ in shape)
    if len(shape) < min_dims:
        shape = (draw(st.integers(min_side, 30)),)
    return shape, tuple(draw(st.integers(1, 6) | edges(n)) for n in shape)


@st.composite
def edges(draw, length):
    """Lengths of chunks that cover an axis; there may be more of them than it needs."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))
    rest = length - sum(lengths)
    return Edges([*lengths, rest] if rest > 0 else lengths)


def slices(n):
    bound = st.none() | st.integers(-n - 3, n + 3)
    step = st.none() | st.integers(-n - 2, n + 2).filter(bool)
    return st.builds(slice, bound, bound, step)


def integers(n):
    plain = st.integers(-n, n - 1)
    return plain | plain.map(np.int16) | plain.map(lambda i: np.array(i, np.int8))


def index_arrays(n):
    if n == 0:
        return st.just(np.empty(0, np.int64))
    any_order = hnp.arrays(
        st.sampled_from([np.int8, np.int64]), st.integers(0, 14), elements=st.integers(-n, n - 1)
    )
    evenly = slices(n).map(lambda s: np.arange(n)[s])
    return (
        any_order
        | any_order.map(np.sort)
        | evenly
        | st.permutations(range(n)).map(np.array)
        | any_order.map(lambda a: a.tolist())
    )


def masks(n):
    return hnp.arrays(np.bool_, n)


@st.composite
def basic_keys(draw, shape):
    key = [draw(integers(n) | slices(n) if n else slices(n)) for n in shape]
    if draw(st.booleans()):
        first = draw(st.integers(0, len(key)))
        last = draw(st.integers(first, len(key)))
        key[first:last] = [...]
    else:
        key = key[: draw(st.integers(0, len(key)))]
    return key[0] if len(key) == 1 and draw(st.booleans()) else tuple(key)


@st.composite
def basic_cases(draw):
    shape, chunks = draw(grids())
    key = draw(basic_keys(shape))
    expected = np.asarray(positions(shape)[key])
    return Case(shape, chunks, key, plan_basic(key, shape, chunks), expected)


def outer(shape, key):
    """Apply a key dimension by dimension."""
    parts = [np.atleast_1d(np.arange(n)[part]) for n, part in zip(shape, key, strict=True)]
    taken = positions(shape)[np.ix_(*parts)] if shape else positions(shape)
    drop = tuple(a for a, part in enumerate(key) if np.ndim(part) == 0 and np.isscalar(part))
    return taken.squeeze(axis=drop)


@st.composite
def orthogonal_cases(draw):
    shape, chunks = draw(grids())
    key = []
    for n in shape:
        some = index_arrays(n) | masks(n) | slices(n)
        key.append(draw(st.integers(-n, n - 1) | some if n else some))
    return Case(
        shape, chunks, key, plan_orthogonal(tuple(key), shape, chunks), outer(shape, tuple(key))
    )


@st.composite
def coordinate_cases(draw, entry=plan_coordinate, min_dims=0):
    shape, chunks = draw(grids(min_dims=min_dims, min_side=1))
    whole = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=12))
    if draw(st.booleans()):
        whole = (draw(st.integers(0, 60)),)
    key = []
    for n in shape:
        part = draw(st.sampled_from([whole, whole[-1:], (1,) * len(whole)]))
        key.append(draw(hnp.arrays(np.int16, part, elements=st.integers(-n, n - 1))))
    expected = np.asarray(positions(shape)[tuple(key)])
    return Case(shape, chunks, key, entry(tuple(key), shape, chunks), expected)


@st.composite
def mask_cases(draw, entry=plan_mask):
    shape, chunks = draw(grids(min_dims=0 if entry is plan_mask else 1))
    mask = draw(hnp.arrays(np.bool_, shape) | st.just(np.ones(shape, np.bool_)))
    return Case(shape, chunks, mask, entry(mask, shape, chunks), positions(shape)[mask])


@st.composite
def block_cases(draw):
    shape, chunks = draw(grids(min_side=1))
    key, parts = [], []
    for n, chunk in zip(shape, chunks, strict=True):
        ends = bounds(n, chunk)
        blocks = len(ends)
        part = draw(st.integers(-blocks, blocks - 1) | slices(blocks).map(_unit_step))
        taken = np.atleast_1d(np.arange(blocks)[part])
        key.append(part)
        of = np.concatenate([np.full(b - a, k) for k, (a, b) in enumerate(ends)])[:n]
        parts.append(np.flatnonzero(np.isin(of, taken)))
    expected = positions(shape)[np.ix_(*parts)] if shape else positions(shape)
    return Case(shape, chunks, key, plan_block(tuple(key), shape, chunks), expected)


def _unit_step(item):
    return slice(item.start, item.stop)


@st.composite
def item_cases(draw):
    case = draw(
        basic_cases()
        | mask_cases(plan_item)
        | coordinate_cases(plan_item, min_dims=1)
        | one_array_cases()
    )
    if isinstance(case.key, (tuple, int, slice)) or case.key is ...:
        case.plan = plan_item(case.key, case.shape, case.chunks)
    return case


@st.composite
def one_array_cases(draw):
    shape, chunks = draw(grids(min_dims=1, min_side=1))
    at = draw(st.integers(0, len(shape) - 1))
    key = tuple(
        draw(index_arrays(n) | masks(n) if a == at else st.integers(-n, n - 1) | slices(n))
        for a, n in enumerate(shape)
    )
    return Case(shape, chunks, key, plan_item(key, shape, chunks), outer(shape, key))


cases = (
    basic_cases()
    | orthogonal_cases()
    | coordinate_cases()
    | mask_cases()
    | block_cases()
    | item_cases()
)


@examples
@given(cases, st.data())
def test_reads_what_numpy_reads_however_it_is_cut(case, data):
    plan = case.plan
    assert plan.out_shape == case.expected.shape
    assert np.prod(plan.shape, dtype=int) == case.expected.size
    cuts = data.draw(st.lists(st.integers(0, max(plan.n_chunks, 1)), max_size=4))
    for ends in ((), cuts, range(plan.n_chunks)):
        result = read(plan, positions(case.shape), case.chunks, ends)
        np.testing.assert_array_equal(result, case.expected)


@examples
@given(cases)
def test_writes_what_numpy_writes_the_last_value_wins(case):
    array = positions(case.shape)
    value = 10_000 + np.arange(case.expected.size)
    expected = array.copy()
    expected.reshape(-1)[case.expected.reshape(-1)] = value
    np.testing.assert_array_equal(write(case.plan, array, case.chunks, value), expected)
    once = last_wins(case.plan)
    np.testing.assert_array_equal(write(once, array, case.chunks, value, once=True), expected)
    if case.expected.size:
        repeats = len(np.unique(case.expected)) < case.expected.size
        assert (once is case.plan) == (not repeats)


@examples
@given(cases)
def test_touches_only_the_chunks_that_hold_something_and_says_which_are_complete(case):
    rows = case.plan.rows(0, case.plan.n_chunks)
    said = dict(zip(map(tuple, rows.coords.tolist()), rows.complete.tolist(), strict=True))
    assert said == touched(case.expected, case.shape, case.chunks)
    assert list(said) == sorted(said)
    assert len(said) == len(rows) == case.plan.n_chunks


@examples
@given(cases)
def test_parts_of_one_chunk_shape_are_the_whole(case):
    out = np.full(case.plan.shape, -1)
    seen, shapes = [], []
    for shape, part in split_by_shape(case.plan, case.chunks):
        assert part.shape == case.plan.shape
        assert part.out_shape == case.plan.out_shape
        assert part.partial
        found = read(part, positions(case.shape), case.chunks, whole=False).reshape(part.shape)
        assert (out[found >= 0] == -1).all()
        out = np.maximum(out, found)
        for coords in part.rows(0, part.n_chunks).coords.tolist():
            at = [
                bounds(n, chunk)[k]
                for n, chunk, k in zip(case.shape, case.chunks, coords, strict=True)
            ]
            assert shape == tuple(b - a for a, b in at)
            seen.append(tuple(coords))
        shapes.append(shape)
    np.testing.assert_array_equal(out.reshape(case.plan.out_shape), case.expected)
    assert sorted(seen) == sorted(map(tuple, case.plan.rows(0, case.plan.n_chunks).coords.tolist()))
    assert len(set(shapes)) == len(shapes)


@examples
@given(cases)
def test_arrays_are_read_only_int64(case):
    parts = [case.plan.points] if case.plan.points is not None else case.plan.axes
    for part in parts:
        for name in part.__slots__:
            array = getattr(part, name)
            if isinstance(array, np.ndarray):
                assert array.dtype == (np.bool_ if name == "complete" else np.int64), name
                assert not array.flags.writeable, name
    for axis in case.plan.axes:
        assert (np.diff(axis.chunk) > 0).all()
        assert type(axis.step) is type(axis.length) is int
    assert all(type(n) is int for n in (*case.plan.shape, *case.plan.out_shape))
    assert type(case.plan.n_chunks) is int


@examples
@given(grids(min_dims=1), st.data())
def test_an_integer_outside_the_array_is_named(grid, data):
    shape, chunks = grid
    axis = data.draw(st.integers(0, len(shape) - 1))
    n = shape[axis]
    index = data.draw(st.integers(n, 2**40) | st.integers(-(2**40), -n - 1))
    message = f"index {index} is out of bounds for axis {axis} with length {n}$"
    before = (slice(None),) * axis
    for plan, key in (
        (plan_basic, (*before, index)),
        (plan_orthogonal, (*before, [index])),
        (plan_item, (*before, [index])),
    ):
        with pytest.raises(BoundsCheckError, match=message):
            plan(key, shape, chunks)


@examples
@given(st.data(), st.integers(1, 3))
def test_shards_of_inner_chunks(data, dims):
    per = tuple(data.draw(st.integers(1, 4)) for _ in range(dims))
    chunks = tuple(data.draw(st.integers(1, 3)) for _ in range(dims))
    shape = tuple(data.draw(st.integers(1, 20)) for _ in range(dims))
    plan = plan_basic(tuple(data.draw(slices(n)) for n in shape), shape, chunks)
    coords = plan.rows(0, plan.n_chunks).coords
    # Spread over a grid for which a table, a sort by number, or only a sort by column will do.
    spread = data.draw(st.sampled_from([0, 1, 1000, 2**33]))
    moved = coords + np.array(per) * (coords % 3) * spread
    groups = group_by_shard(moved, per)
    expected = [tuple(k // p for k, p in zip(row, per, strict=True)) for row in moved.tolist()]
    slots = [
        int(np.ravel_multi_index([k % p for k, p in zip(row, per, strict=True)], per))
        for row in moved.tolist()
    ]
    assert [tuple(row) for row in groups.shard_coords.tolist()] == sorted(set(expected))
    assert [tuple(groups.shard_coords[i].tolist()) for i in groups.shard_of] == expected
    assert groups.slot.tolist() == slots


@examples
@given(st.data(), st.integers(1, 3))
def test_shards_of_several_lengths(data, dims):
    counts = tuple(data.draw(st.integers(1, 12)) for _ in range(dims))
    per = tuple(data.draw(st.integers(1, 4) | edges(n)) for n in counts)
    every = np.stack([k.reshape(-1) for k in np.indices(counts)], axis=1)
    groups = group_by_shard(every, per)
    for row, shard, slot in zip(every.tolist(), groups.shard_of, groups.slot, strict=True):
        expected, within, shape = [], [], []
        for k, n, chunk in zip(row, counts, per, strict=True):
            (number,) = [i for i, (a, b) in enumerate(bounds(n, chunk)) if a <= k < b]
            first, end = bounds(n, chunk)[number]
            expected.append(number)
            within.append(k - first)
            shape.append(end - first)
        assert groups.shard_coords[shard].tolist() == expected
        assert slot == np.ravel_multi_index(within, shape)


@examples
@given(st.data(), st.integers(0, 3))
def test_inner_chunks_of_a_shard_in_the_array(data, dims):
    chunks = tuple(data.draw(st.integers(1, 3)) for _ in range(dims))
    shape = tuple(data.draw(st.integers(1, 20)) for _ in range(dims))
    per = tuple(
        data.draw(st.integers(1, 4) | edges(-(-n // chunk)))
        for n, chunk in zip(shape, chunks, strict=True)
    )
    whole = plan_basic((), shape, chunks)
    groups = group_by_shard(whole.rows(0, whole.n_chunks).coords, per)
    counts = inner_chunks_in_array(groups.shard_coords, shape, chunks, per)
    assert counts.tolist() == np.bincount(groups.shard_of).tolist()


@examples
@given(grids(min_dims=1), st.lists(st.integers(0, 5) | st.just(None) | st.just(...), max_size=4))
def test_a_key_is_planned_or_refused_never_something_else(grid, key):
    shape, chunks = grid
    try:
        expected = positions(shape)[tuple(key)]
    except IndexError:
        expected = None
    if expected is None or None in key:
        with pytest.raises(SelectionError):
            plan_item(tuple(key), shape, chunks)
    else:
        plan = plan_item(tuple(key), shape, chunks)
        np.testing.assert_array_equal(read(plan, positions(shape), chunks), expected)
