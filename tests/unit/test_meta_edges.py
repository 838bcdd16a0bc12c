"""Chunk lengths along an axis, against their plain list."""

from __future__ import annotations

import pickle
from math import gcd
from typing import Any

import numpy as np
import pytest

from cuzarr.meta.edges import (
    Edges,
    begin,
    common,
    find,
    largest,
    length_of,
    on_axes,
    uniform,
)

LENGTHS: list[list[int]] = [
    [4], [3, 3, 3], [1, 2, 4], [2, 2, 5, 5, 5, 1], [5, 1, 1, 5], [6, 4, 6, 10], [1, 9, 9, 1],
]  # fmt: skip


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_edges_are_their_list(lengths: list[int]) -> None:
    edges = Edges(lengths)
    ends = np.cumsum(lengths).tolist()
    begins = [0, *ends[:-1]]
    assert [n for n, number in edges.runs for _ in range(number)] == lengths
    assert all(a[0] != b[0] for a, b in zip(edges.runs, edges.runs[1:], strict=False))
    assert (edges.count, edges.total, edges.largest) == (len(lengths), ends[-1], max(lengths))
    assert edges.distinct() == tuple(sorted(set(lengths)))
    found = [k for k, n in enumerate(lengths) for _ in range(n)]
    assert [int(edges.find(i)) for i in range(edges.total)] == found
    assert edges.find(np.arange(edges.total)).tolist() == found
    assert edges.find(edges.total) >= edges.count
    chunks = np.arange(len(lengths))
    assert edges.begin(chunks).tolist() == begins
    assert int(edges.begin(len(lengths))) == ends[-1]
    assert edges.length(chunks).tolist() == lengths
    for length in range(edges.total + 1):
        assert edges.covering(length) == len([first for first in begins if first < length])
    assert type(edges.covering(edges.total)) is int
    assert (largest(edges), common(edges)) == (max(lengths), gcd(*lengths))
    assert find(np.arange(3), edges).tolist() == edges.find(np.arange(3)).tolist()
    assert begin(chunks, edges).tolist() == begins
    assert length_of(chunks, edges).tolist() == lengths
    assert pickle.loads(pickle.dumps(edges)) == edges
    assert hash(Edges(edges.runs)) == hash(edges)
    assert edges.divided(1) == edges
    assert Edges([n * 3 for n in lengths]).divided(3) == edges


def test_one_length() -> None:
    assert (largest(4), common(6), length_of(np.arange(3), 4)) == (4, 6, 4)
    assert find(np.array([0, 3, 4, 9]), 4).tolist() == [0, 0, 1, 2]
    assert begin(np.array([0, 3]), 4).tolist() == [0, 12]
    assert uniform(()) == ()
    assert uniform((3, 4)) == (3, 4)
    assert uniform((3, Edges([1, 2]))) is None


def test_tables_of_all_axes() -> None:
    table = np.array([[0, 7], [5, 3], [6, 0]])
    mixed = (Edges([5, 1, 3]), 4)
    assert on_axes(find, table, mixed).tolist() == [[0, 1], [1, 0], [2, 0]]
    assert on_axes(length_of, np.array([[0, 7], [1, 3]]), mixed).tolist() == [[5, 4], [1, 4]]
    assert on_axes(begin, np.array([[2, 2]]), mixed).tolist() == [[6, 8]]
    assert on_axes(find, table, (5, 4)).tolist() == [[0, 1], [1, 0], [1, 0]]
    assert on_axes(length_of, table, (5, 4)).tolist() == [[5, 4]]
    assert on_axes(begin, table, (5, 4)).tolist() == [[0, 28], [25, 12], [30, 0]]


def test_the_longest_axis() -> None:
    edges = Edges([(1, 2**62), (2**61, 1), 2**61 - 1])
    assert edges.total == 2**63 - 1
    assert int(edges.find(edges.total - 1)) == edges.count - 1 == 2**62 + 1
    assert int(edges.begin(2**62)) == 2**62
    for lengths in ([2**62, 2**62], [(1, 2**63)], [2**63], [1, 2**63 - 1]):
        with pytest.raises(ValueError, match=r"more than 2\*\*63 - 1 elements"):
            Edges(lengths)


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ([], "there is no chunk length"),
        ([3, 0], "must be positive, not 0"),
        ([-1], "must be positive, not -1"),
        ([(3, 0)], r"must be positive, not \(3, 0\)"),
        ([(0, 3)], r"must be positive, not \(0, 3\)"),
    ],
)
def test_lengths_that_are_none(lengths: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Edges(lengths)
    assert Edges([(1, 1)]).total == 1


def test_growing() -> None:
    edges = Edges([3, 3, 4])
    assert edges.grown(10) is edges.grown(4) is edges
    assert edges.grown(11) == Edges([3, 3, 4, 1])
    assert edges.grown(14) == Edges([3, 3, 4, 4])
    assert edges.grown(14, 3).runs == ((3, 2), (4, 1), (6, 1))
    assert edges.grown(16, 3).runs == ((3, 2), (4, 1), (6, 1))
    assert edges.grown(17, 3).runs == ((3, 2), (4, 1), (9, 1))


def test_documents_and_texts() -> None:
    edges = Edges([2, 2, (5, 3), 1])
    assert edges.runs == ((2, 2), (5, 3), (1, 1))
    assert edges.document() == [[2, 2], [5, 3], 1]
    assert repr(edges) == "Edges([(2, 2), (5, 3), (1, 1)])"


def test_equality() -> None:
    edges = Edges([2, 2, (5, 3), 1])
    assert edges == Edges([(2, 2), 5, 5, 5, 1])
    assert edges != Edges([2, 2])
    assert edges != ((2, 2), (5, 3), (1, 1))
    assert len({edges, Edges([2, 2, 5, 5, 5, 1]), Edges([3])}) == 2


def test_columns_are_read_only() -> None:
    for column in (Edges([1, 2])._starts, Edges([1, 2])._chunks, Edges([1, 2])._lengths):
        assert column.dtype == np.int64
        assert not column.flags.writeable
