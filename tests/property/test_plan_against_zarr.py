"""``z[key]`` selects what it selects in zarr-python, and is refused where the key is ambiguous."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuzarr.plan import plan_block, plan_coordinate, plan_item, plan_orthogonal
from tests.property.plan_interpreter import positions, read

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.interop


def entries(n):
    slices = st.builds(
        slice, st.none() | st.integers(-n, n), st.none() | st.integers(-n, n), st.integers(1, 3)
    )
    arrays = hnp.arrays(np.int64, st.integers(1, 5), elements=st.integers(-n, n - 1))
    return st.integers(-n, n - 1) | slices | arrays | hnp.arrays(np.bool_, n)


@st.composite
def keys(draw):
    shape = draw(hnp.array_shapes(max_dims=3, max_side=9))
    chunks = tuple(draw(st.integers(1, 4)) for _ in shape)
    key = tuple(draw(entries(n)) for n in shape[: draw(st.integers(1, len(shape)))])
    return shape, chunks, key[0] if len(key) == 1 and draw(st.booleans()) else key


def pair(shape, chunks, key, plan, index):
    array = zarr.create_array({}, shape=shape, chunks=chunks, dtype="i8", compressors=None)
    array[...] = positions(shape)
    try:
        expected = index(array)[key]
    except (IndexError, ValueError):  # the latter from arrays that do not broadcast
        expected = None
    try:
        result = read(plan(key, shape, chunks), positions(shape), chunks)
    except IndexError:
        result = None
    return result, expected


@settings(max_examples=150, deadline=None)
@given(keys())
def test_item(case):
    shape, chunks, key = case
    result, expected = pair(shape, chunks, key, plan_item, lambda z: z)
    if expected is None:
        # Ours to take: a boolean array alone along the first of several dimensions.
        mask = key[0] if isinstance(key, tuple) and len(key) == 1 else key
        boolean = isinstance(mask, np.ndarray) and mask.dtype == np.bool_
        assert result is None or (boolean and mask.ndim < len(shape))
    else:
        assert result.shape == np.shape(expected)
        np.testing.assert_array_equal(result, expected)


@settings(max_examples=150, deadline=None)
@given(keys())
def test_oindex(case):
    shape, chunks, key = case
    result, expected = pair(shape, chunks, key, plan_orthogonal, lambda z: z.oindex)
    assert expected is not None
    assert result.shape == np.shape(expected)
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_vindex(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=9))
    chunks = tuple(data.draw(st.integers(1, 4)) for _ in shape)
    points = data.draw(hnp.array_shapes(max_dims=2, max_side=6))
    key = tuple(
        data.draw(hnp.arrays(np.int64, points, elements=st.integers(-n, n - 1))) for n in shape
    )
    result, expected = pair(shape, chunks, key, plan_coordinate, lambda z: z.vindex)
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_blocks(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=9))
    chunks = tuple(data.draw(st.integers(1, 4)) for _ in shape)
    key = []
    for n, chunk in zip(shape, chunks, strict=True):
        blocks = -(-n // chunk)
        first = data.draw(st.integers(0, blocks - 1))
        key.append(
            data.draw(
                st.integers(-blocks, blocks - 1)
                | st.integers(first + 1, blocks).map(lambda last, first=first: slice(first, last))
            )
        )
    result, expected = pair(shape, chunks, tuple(key), plan_block, lambda z: z.blocks)
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result, expected)
