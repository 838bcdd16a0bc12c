"""Batches of whole chunks."""

from __future__ import annotations

import itertools
from math import prod
from typing import Any

import numpy as np
import pytest

from cuzarr.meta.edges import Edges
from cuzarr.plan import pieces, regions
from tests.property.plan_interpreter import bounds


@pytest.mark.parametrize("nbytes", [1, 7, 12, 24, 30, 47, 48, 60, 96, 150, 10**6])
@pytest.mark.parametrize("itemsize", [1, 4])
@pytest.mark.parametrize(
    ("shape", "block"),
    [
        ((4, 6), (2, 3)),
        ((5, 7), (2, 3)),
        ((3, 4, 5), (2, 1, 2)),
        ((4, 5), (9, 2)),
        ((10, 6), (Edges([1, 2, 4, 3]), 4)),
        ((12,), (Edges([5, 5, 1, 1, 3]),)),
    ],
    ids=str,
)
def test_regions_are_the_most_whole_blocks_that_fit(
    shape: Any, block: Any, itemsize: int, nbytes: int
) -> None:
    times = np.zeros(shape, int)
    found = list(regions(shape, block, itemsize, nbytes))
    assert found == sorted(found, key=lambda region: [part.start for part in region])
    largest = prod(n.largest if isinstance(n, Edges) else n for n in block)
    for region in found:
        times[region] += 1
        for part, n, chunk in zip(region, shape, block, strict=True):
            ends = bounds(n, chunk)
            assert part.start in [first for first, _ in ends]
            assert part.stop == n or part.stop in [end for _, end in ends]
        size = itemsize * prod(part.stop - part.start for part in region)
        assert size <= max(nbytes, itemsize * largest)
    assert (times == 1).all()


@pytest.mark.parametrize(
    ("shape", "block", "nbytes", "lengths"),
    [
        ((4, 6), (2, 3), 24, [(4, 6)]),
        ((4, 6), (2, 3), 23, [(2, 6)] * 2),
        ((4, 6), (2, 3), 11, [(2, 3)] * 4),
        ((6, 6), (2, 2), 16, [(2, 6)] * 3),
        ((6, 6), (2, 2), 24, [(4, 6), (2, 6)]),
        ((6, 10), (2, 2), 16, [(2, 8), (2, 2)] * 3),
        ((4, 4, 4), (1, 2, 2), 16, [(1, 4, 4)] * 4),
        ((4, 4, 4), (1, 2, 2), 8, [(1, 2, 4)] * 8),
        ((5,), (2,), 5, [(4,), (1,)]),
        ((5,), (2,), 6, [(5,)]),
        ((3, 5), (9, 5), 60, [(3, 5)]),
        ((3, 5), (9, 2), 12, [(3, 4), (3, 1)]),
        ((6, 4), (3, 9), 24, [(6, 4)]),
        ((6, 4), (3, 9), 23, [(3, 4)] * 2),
        ((), (), 1, [()]),
    ],
    ids=str,
)
def test_how_large_they_are(shape: Any, block: Any, nbytes: int, lengths: Any) -> None:
    found = [tuple(p.stop - p.start for p in r) for r in regions(shape, block, 1, nbytes)]
    assert found == lengths
    assert list(regions(shape, block, 0, nbytes)) == list(regions(shape, block, 1, nbytes))


def test_nothing_to_cover() -> None:
    assert list(regions((3, 0), (2, 2), 4, 100)) == []
    assert list(pieces(3, 3, 2, 4)) == []


def test_pieces_end_between_blocks() -> None:
    for first, end in itertools.combinations(range(11), 2):
        for block in (2, 3, Edges([1, 2, 4, 3, 1])):
            step = block.largest if isinstance(block, Edges) else block
            for batch in (step, 2 * step):
                found = list(pieces(first, end, block, batch))
                assert [p.start for p in found] == [first, *(p.stop for p in found[:-1])]
                assert found[-1].stop == end
                cuts = {start for start, _ in bounds(end, block)}
                assert all(p.start in cuts for p in found[1:])
                assert all(p.stop - p.start <= batch for p in found)
    assert list(pieces(1, 9, 2, 4)) == [slice(1, 4), slice(4, 8), slice(8, 9)]
    assert list(pieces(1, 4, 2, 4)) == [slice(1, 4)]
    assert list(pieces(0, 9, Edges([1, 2, 4, 3]), 4)) == [slice(0, 3), slice(3, 7), slice(7, 9)]
