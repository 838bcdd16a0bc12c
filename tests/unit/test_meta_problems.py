"""The forms that many fields of documents share, and the texts about wrong ones."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import numpy as np
import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta.problems import (
    Problems,
    attributes,
    brief,
    chunk_bytes,
    chunk_lengths,
    integer,
    is_list,
    lengths,
    named,
    show,
)


def test_values_are_shown_in_sixty_characters() -> None:
    assert show("x" * 58) == f'"{"x" * 58}"'
    assert show("x" * 59) == f'"{"x" * 56}...'
    assert show({1, 2}) == "a set"
    assert show([None, True, 1.5]) == "[null, true, 1.5]"
    circular: list[Any] = []
    circular.append(circular)
    assert show(circular) == "a list"


def test_representations_are_as_short() -> None:
    assert brief("x" * 58) == f"'{'x' * 58}'"
    assert brief("x" * 59) == f"'{'x' * 56}..."
    assert brief(np.arange(3)) == "array([0, 1, 2])"


def test_integers_and_lists() -> None:
    assert [integer(value) for value in (0, -3, 2**70)] == [0, -3, 2**70]
    assert [integer(value) for value in (True, 1.0, "1", None, [1])] == [None] * 5
    assert [is_list(value) for value in ([], (1,), "a", b"a", bytearray(1), {}, 5)] == [
        True, True, False, False, False, False, False,
    ]  # fmt: skip


def test_shapes() -> None:
    problems = Problems()
    assert lengths([0, 2**63 - 1], "shape", problems) == (0, 2**63 - 1)
    assert lengths([1] * 63, "shape", problems) == (1,) * 63
    assert chunk_lengths([1, 2], "chunks", problems, None) == (1, 2)
    assert problems.found == []
    assert lengths([1] * 64, "shape", problems) is None
    assert lengths([2**63], "shape", problems) is None
    assert lengths([-1, 3, "a"], "shape", problems) is None
    assert chunk_lengths([0], "chunks", problems, (1,)) is None
    assert chunk_lengths([1, 1], "chunks", problems, (1,)) is None
    assert problems.found == [
        "shape: at most 63 dimensions are supported, found 64",
        "shape[0]: is larger than 2**63 - 1",
        "shape[0]: must be at least 0, found -1",
        'shape[2]: expected an integer, found "a"',
        "chunks[0]: must be at least 1, found 0",
        "chunks: has 2 dimensions, but the array has 1",
    ]


def test_the_largest_chunk() -> None:
    problems = Problems()
    chunk_bytes((2**61, 3), 1, "chunks", problems)
    chunk_bytes((2**63 - 1,), 1, "chunks", problems)
    assert problems.found == []
    chunk_bytes((2**62, 2), 1, "chunks", problems)
    assert problems.found == [f"chunks: one chunk would be {2**63} bytes, more than 2**63 - 1"]


def test_attributes() -> None:
    problems = Problems()
    given = UserDict({"a": 1})
    assert attributes(given, "attributes", problems) == {"a": 1}
    assert attributes(None, "attributes", problems) == {}
    assert problems.found == []
    assert attributes([], "attributes", problems) == {}
    assert problems.found == ["attributes: expected an object, found []"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("gzip", ("gzip", {})),
        ({"name": "gzip"}, ("gzip", {})),
        ({"name": "gzip", "configuration": {"level": 1}}, ("gzip", {"level": 1})),
        ({"name": "x", "must_understand": False}, ("x", {})),
        (5, ["at: expected a name or an object with a name, found 5"]),
        ({"configuration": {}}, ["at.name: expected a string, found none"]),
        ({"name": None}, ["at.name: expected a string, found null"]),
        ({"name": "x", "configuration": None},
         ["at.configuration: expected an object, found null"]),
        ({"name": "x", "level": 1}, ["at.level: is not known here"]),
        ({"name": 5, "configuration": 5, "level": 1},
         ["at.name: expected a string, found 5", "at.configuration: expected an object, found 5",
          "at.level: is not known here"]),
    ],
)  # fmt: skip
def test_names_with_a_configuration(value: Any, found: Any) -> None:
    problems = Problems()
    problems.add("", "another")
    result = named(value, "at", problems)
    assert problems.found == ["another", *(found if isinstance(found, list) else [])]
    assert result == (None if isinstance(found, list) else found)


def test_problems_are_raised_together() -> None:
    assert Problems().error().key == ""
    problems = Problems("a/zarr.json")
    problems.raise_if_any()
    problems.add("shape", "is missing")
    with pytest.raises(MetadataError) as caught:
        problems.raise_if_any()
    assert (caught.value.key, caught.value.problems) == ("a/zarr.json", ("shape: is missing",))
    with pytest.raises(MetadataError) as caught:
        problems.refuse("", "nested too deeply")
    assert caught.value.problems == ("shape: is missing", "nested too deeply")
