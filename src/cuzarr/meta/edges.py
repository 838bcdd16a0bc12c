"""The lengths of chunks along one axis where they differ (``rectilinear`` chunk grids).

:class:`Edges` keeps runs of equal lengths, as documents spell them, and never one entry per chunk:
a document of a few bytes may describe more chunks than memory could list. Positions are found by a
binary search among the runs and a division within one. :func:`find`, :func:`begin` and
:func:`length_of` answer for an axis of either kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from math import gcd
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Int64: TypeAlias = npt.NDArray[np.int64]
_MOST_LENGTH: Final = 2**63 - 1


class Edges:
    """Chunk lengths along an axis, first to last. Immutable; equal where the lengths are.

    Parameters
    ----------
    lengths : iterable of (int, or (int, int))
        Length of a chunk, or length and number of consecutive chunks; all at least 1.

    Attributes
    ----------
    runs : tuple of (int, int)
        Length and number; neighbours have different lengths.
    count : int
        Chunks, those past the end of the array included.
    total : int
        Elements that the chunks cover.
    largest : int

    Raises
    ------
    ValueError
        No length at all, or one below 1, or more elements than int64 can count.

    Examples
    --------
    >>> edges = Edges([3, 3, 4])
    >>> edges.runs, edges.count, edges.total
    (((3, 2), (4, 1)), 3, 10)
    >>> edges.find(np.array([0, 5, 6, 9])).tolist()
    [0, 1, 2, 2]
    """

    __slots__ = ("_chunks", "_hash", "_lengths", "_starts", "count", "largest", "runs", "total")

    def __init__(self, lengths: Iterable[int | tuple[int, int]]) -> None:
        runs: list[tuple[int, int]] = []
        for entry in lengths:
            length, number = entry if isinstance(entry, tuple) else (entry, 1)
            if length < 1 or number < 1:
                raise ValueError(f"chunk lengths and their numbers must be positive, not {entry}")
            if runs and runs[-1][0] == length:
                number += runs.pop()[1]
            runs.append((length, number))
        if not runs:
            raise ValueError("there is no chunk length")
        starts = list(accumulate((n * k for n, k in runs), initial=0))
        if starts[-1] > _MOST_LENGTH:
            raise ValueError("the chunks cover more than 2**63 - 1 elements")
        chunks = list(accumulate((k for _, k in runs), initial=0))
        self.runs = tuple(runs)
        self.count, self.total = chunks[-1], starts[-1]
        self.largest = max(length for length, _ in runs)
        self._starts, self._chunks = _column(starts[:-1]), _column(chunks[:-1])
        self._lengths = _column([length for length, _ in runs])
        self._hash = hash(self.runs)

    def find(self, positions: Any) -> Int64:
        """Return the chunk of each position; positions past the last chunk are in none of it."""
        positions = np.asarray(positions)
        run = np.searchsorted(self._starts, positions, side="right") - 1
        found: Int64 = self._chunks[run] + (positions - self._starts[run]) // self._lengths[run]
        return found

    def begin(self, chunks: Any) -> Int64:
        """Return the first position of each chunk; of chunk ``count`` the end of the last one."""
        chunks = np.asarray(chunks)
        run = np.searchsorted(self._chunks, chunks, side="right") - 1
        begin: Int64 = self._starts[run] + (chunks - self._chunks[run]) * self._lengths[run]
        return begin

    def length(self, chunks: Any) -> Int64:
        """Return the length of each chunk."""
        run = np.searchsorted(self._chunks, np.asarray(chunks), side="right") - 1
        lengths: Int64 = self._lengths[run]
        return lengths

    def covering(self, length: int) -> int:
        """Return the number of chunks that hold elements of an axis of so many elements."""
        return int(self.find(length - 1)) + 1 if length else 0

    def distinct(self) -> tuple[int, ...]:
        """Return every length that occurs, ascending."""
        return tuple(sorted({length for length, _ in self.runs}))

    def grown(self, length: int, unit: int = 1) -> Edges:
        """Return edges that cover so many elements: at most one more chunk, whole units long."""
        if length <= self.total:
            return self
        return Edges([*self.runs, (-(-(length - self.total) // unit) * unit, 1)])

    def divided(self, unit: int) -> Edges:
        """Return the same chunks counted in units that divide all their lengths."""
        return Edges((length // unit, number) for length, number in self.runs)

    def document(self) -> list[int | list[int]]:
        """Return the run-length encoded list of a metadata document."""
        return [length if n == 1 else [length, n] for length, n in self.runs]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Edges) and self.runs == other.runs

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Edges({[*self.runs]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Edges, (self.runs,)


Spacing: TypeAlias = int | Edges  #: the chunks along one axis: of one length, or of several


def largest(chunk: Spacing) -> int:
    """Return the length of the longest chunk."""
    return chunk.largest if isinstance(chunk, Edges) else chunk


def common(chunk: Spacing) -> int:
    """Return the largest length that divides those of all chunks."""
    return gcd(*chunk.distinct()) if isinstance(chunk, Edges) else chunk


def uniform(grid: Sequence[Spacing]) -> tuple[int, ...] | None:
    """Return the one shape of all chunks of a grid; None if they have several."""
    lengths = tuple([chunk for chunk in grid if not isinstance(chunk, Edges)])
    return lengths if len(lengths) == len(grid) else None


def find(positions: Any, chunk: Spacing) -> Any:
    """Return the chunk of each position along one axis."""
    return chunk.find(positions) if isinstance(chunk, Edges) else positions // chunk


def begin(chunks: Any, chunk: Spacing) -> Any:
    """Return the first position of each chunk along one axis."""
    return chunk.begin(chunks) if isinstance(chunk, Edges) else chunks * chunk


def length_of(chunks: Any, chunk: Spacing) -> Any:
    """Return the length of each chunk along one axis; one integer where all have it."""
    return chunk.length(chunks) if isinstance(chunk, Edges) else chunk


def on_axes(
    function: Callable[[Any, Spacing], Any], table: Int64, grid: Sequence[Spacing]
) -> Int64:
    """Apply one of the functions above to the columns of a table, one column per axis.

    All axes are done at once where no chunk lengths differ; ``length_of`` then gives one row.
    """
    if any(isinstance(chunk, Edges) for chunk in grid):
        result = np.empty_like(table)
        for a, chunk in enumerate(grid):
            result[:, a] = function(table[:, a], chunk)
        return result
    lengths: Any = np.array(grid, np.int64)
    found: Int64 = function(table, lengths)
    return found if found.ndim == 2 else found[None]


def _column(values: list[int]) -> Int64:
    column = np.array(values, np.int64)
    column.setflags(write=False)
    return column
