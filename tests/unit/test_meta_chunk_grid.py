"""Chunk grids in v3 documents: what is parsed, written, resized, and refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cuzarr.meta import chunk_grid, v3
from cuzarr.meta.edges import Edges
from cuzarr.meta.problems import Problems
from cuzarr.meta.spec import ArraySpec
from tests.unit.test_meta_v3 import array_document

PLACE = "chunk_grid.configuration.chunk_shapes"


def rectilinear(*axes: Any) -> dict[str, Any]:
    return {
        "name": "rectilinear",
        "configuration": {"kind": "inline", "chunk_shapes": list(axes)},
    }


def parsed(grid: Any, shape: Any = (10, 12)) -> Any:
    problems = Problems("k")
    found = chunk_grid.parse(grid, shape, problems)
    problems.raise_if_any()
    return found


def refused(grid: Any, shape: Any = (10, 12)) -> list[str]:
    problems = Problems("k")
    assert chunk_grid.parse(grid, shape, problems) is None
    return problems.found


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (([3, 3, 4], [5, 7]), (Edges([3, 3, 4]), Edges([5, 7]))),
        (([[3, 2], 4], 5), (Edges([(3, 2), 4]), 5)),
        (([5, 5], [[4, 3]]), (5, 4)),
        (([10], [[4, 1], [4, 2]]), (10, 4)),
        (([10, 1], [[5, 4], 1]), (Edges([10, 1]), Edges([(5, 4), 1]))),
        ((2**63 - 1, [2**63 - 1]), (2**63 - 1, 2**63 - 1)),
        (([1, 2**63 - 2], 1), (Edges([1, 2**63 - 2]), 1)),
        (([[3, 2**62]], 1), (3, 1)),
    ],
    ids=str,
)
def test_rectilinear_grids(axes: Any, expected: Any) -> None:
    assert parsed(rectilinear(*axes)) == expected
    assert parsed(rectilinear(*axes), None) == expected


@pytest.mark.parametrize(
    ("axes", "problems"),
    [
        (5, [f"{PLACE}: expected a list of chunk lengths, found 5"]),
        (None, [f"{PLACE}: expected a list of chunk lengths, found null"]),
        ([[3, 3, 4]], [f"{PLACE}: has 1 dimensions, but the array has 2"]),
        ([5, 5, 5], [f"{PLACE}: has 3 dimensions, but the array has 2"]),
        ([0, "x"], [f"{PLACE}[0]: expected a positive integer, found 0",
                    f'{PLACE}[1]: expected a positive integer, found "x"']),
        ([5, 2**63], [f"{PLACE}[1]: expected a positive integer, found {2**63}"]),
        ([True, 5], [f"{PLACE}[0]: expected a positive integer, found true"]),
        ([[5, 5], [12, 0]], [f"{PLACE}[1][1]: expected a positive integer, found 0"]),
        ([[[5, 0]], 5], [f"{PLACE}[0][0]: expected a positive integer, found 0"]),
        ([[[0, 5]], 5], [f"{PLACE}[0][0]: expected a positive integer, found 0"]),
        ([[[5, 2, 1]], 5], [f"{PLACE}[0][0]: expected a length or [length, count], "
                            "found [5, 2, 1]"]),
        ([[5, [5]], 5], [f"{PLACE}[0][1]: expected a length or [length, count], found [5]"]),
        ([[5, 4], 5], [f"{PLACE}[0]: the chunks cover 9 of 10 elements"]),
        ([5, [[4, 2], 3]], [f"{PLACE}[1]: the chunks cover 11 of 12 elements"]),
        ([[], 5], [f"{PLACE}[0]: the chunks cover 0 of 10 elements"]),
        ([[2, 2**63 - 2], 5],
         [f"{PLACE}[0]: the chunks cover {2**63} elements, more than 2**63 - 1"]),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_rectilinear_grids(axes: Any, problems: list[str]) -> None:
    configuration = {"kind": "inline", "chunk_shapes": axes}
    assert refused({"name": "rectilinear", "configuration": configuration}) == problems


def test_grids_of_no_known_shape() -> None:
    assert refused(rectilinear([]), None) == [f"{PLACE}[0]: the chunks cover 0 of None elements"]
    assert parsed(rectilinear([1, 2]), None) == (Edges([1, 2]),)
    assert parsed(rectilinear([1, 2]), (0,)) == (Edges([1, 2]),)
    assert refused(rectilinear([]), (0,)) == [f"{PLACE}[0]: the chunks cover 0 of 0 elements"]


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        ({"name": "rectilinear"}, "configuration.kind: expected 'inline', found null"),
        ({"name": "rectilinear", "configuration": {"kind": "far", "chunk_shapes": [5, 5]}},
         "configuration.kind: expected 'inline', found \"far\""),
        ("regular", "configuration.chunk_shape: is missing"),
        ("hexagonal", "name: the chunk grid 'hexagonal' is not supported, only 'regular' and "
                      "'rectilinear'"),
    ],
)  # fmt: skip
def test_other_grids(grid: Any, problem: str) -> None:
    assert refused(grid) == [f"chunk_grid.{problem}"]


@pytest.mark.parametrize(
    "grid", [(3, 4), (Edges([3, 3, 4]), 5), (Edges([(1, 4), 6]), Edges([5, 7])), ()], ids=str
)
def test_documents_are_parsed_again(grid: Any) -> None:
    document = chunk_grid.document(grid)
    shape = (10, 12)[: len(grid)]
    assert parsed(document, shape) == grid
    if not any(isinstance(axis, Edges) for axis in grid):
        assert document == {"name": "regular", "configuration": {"chunk_shape": list(grid)}}


def test_the_text_of_a_document() -> None:
    assert chunk_grid.document((Edges([3, 3, 4]), 5)) == rectilinear([[3, 2], 4], 5)


def array(grid: Any, **changes: Any) -> ArraySpec:
    spec = v3.parse(array_document(chunk_grid=grid, shape=[10, 12], **changes), "k")
    assert isinstance(spec, ArraySpec)
    return spec


def test_arrays_of_several_chunk_lengths() -> None:
    spec = array(rectilinear([3, 3, 4], 5))
    assert spec.edges == spec.grid == (Edges([3, 3, 4]), 5)
    assert spec.chunk_shape == (4, 5)
    regular = array(rectilinear([5, 5], 5))
    assert regular.edges is None
    assert regular.grid == regular.chunk_shape == (5, 5)


def test_resizing() -> None:
    spec = array(rectilinear([3, 3, 4], 5))
    for shape, lengths in (((11, 30), [3, 3, 4, 2]), ((17, 1), [3, 3, 4, 8]), ((2, 2), [3, 3, 4])):
        resized = chunk_grid.resized(spec, shape, (2, 1))
        assert (resized.shape, resized.edges) == (shape, (Edges(lengths), 5))
        assert resized.chunk_shape == (max(lengths), 5)
    regular = array(array_document()["chunk_grid"])
    assert chunk_grid.resized(regular, (1, 2), (1, 1)) == replace(regular, shape=(1, 2))


REGULAR = {
    "name": "regular",
    "configuration": {"chunk_shape": [5, 5]},
    "must_understand": True,
}
ONE_LENGTH = rectilinear([5, 5], 5)  # regular, by a list that ends


@pytest.mark.parametrize("grid", [REGULAR, ONE_LENGTH, rectilinear([3, 3, 4], 5)], ids=str)
def test_a_grid_is_kept_as_long_as_the_shape_is(grid: Any) -> None:
    spec = array(grid)
    assert v3.document(spec)["chunk_grid"] == grid
    assert v3.document(replace(spec, attributes={"a": 1}))["chunk_grid"] == grid
    for shape in ((10, 8), (30, 12)):
        resized = chunk_grid.resized(spec, shape, (1, 1))
        written = v3.document(resized)["chunk_grid"]
        assert parsed(written, shape) == resized.grid
        if grid is REGULAR:
            assert written == REGULAR
    assert v3.document(replace(spec, chunk_shape=(4, 4), edges=None))["chunk_grid"] == {
        "name": "regular",
        "configuration": {"chunk_shape": [4, 4]},
    }


def test_a_regular_grid_that_was_a_list_is_written_as_one_length() -> None:
    longer = chunk_grid.resized(array(ONE_LENGTH), (30, 12), (1, 1))
    assert v3.document(longer)["chunk_grid"] == chunk_grid.document((5, 5))


def test_grids_of_documents_that_are_kept() -> None:
    def same(grid: Any, shape: list[int], changed: tuple[int, ...], **more: Any) -> bool:
        old = v3.parse(array_document(shape=shape, chunk_grid=grid), "k")
        assert isinstance(old, ArraySpec)
        return chunk_grid.same(grid, old, replace(old, shape=changed, **more))

    regular = {"name": "regular", "configuration": {"chunk_shape": [5, 7]}}
    assert same(regular, [10, 20], (10, 20))
    assert same(regular, [10, 20], (3, 200))
    assert not same(regular, [10, 20], (10, 20), chunk_shape=(5, 8))
    assert not same(regular, [10, 20], (11, 20), chunk_shape=(5, 8))
    empty = {"name": "regular", "configuration": {"chunk_shape": [0, 7]}}
    assert same(empty, [0, 20], (0, 20))
    assert same(empty, [0, 20], (0, 30))
    assert not same(empty, [0, 20], (3, 20))
    several = rectilinear([3, 7], 5)
    assert same(several, [10, 20], (10, 20))
    assert not same(several, [10, 20], (9, 20))
    assert not same(several, [10, 20], (10, 30))
