"""Grouping of many grid coordinates: the sort behind point selections and shards.

1. :func:`linear_ids` gives every coordinate one number, in C order, within the bounding box of the
   coordinates; nothing as large as the grid is ever allocated.
2. :func:`group_rows` sorts by it, keeping the order of equal ones, and finds where groups begin. A
   bounding box too large for int64 is sorted column by column instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.plan.chunk_plan import Int64

_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows grouped by equal coordinates.

    Attributes
    ----------
    coords : (m, d) int64
        Distinct coordinates, in C order.
    first : (m,) int64
        Where each group begins among the sorted rows.
    order : (n,) int64, or None
        The sorted rows, those of one group in their given order; None if they were sorted.
    """

    coords: Int64
    first: Int64
    order: Int64 | None


@dataclass(frozen=True, slots=True)
class LinearIds:
    """Coordinates numbered in C order within their bounding box.

    Attributes
    ----------
    ids : int64, in the shape of the broadcast columns
    low, extent : tuple of int, one entry per column
        The bounding box.
    """

    ids: Int64
    low: tuple[int, ...]
    extent: tuple[int, ...]

    def coords(self, ids: Int64) -> Int64:
        """Return the coordinates ``(len(ids), d)`` of some numbers."""
        coords = np.empty((len(ids), len(self.extent)), np.int64)
        if self.extent:
            for a, column in enumerate(np.unravel_index(ids, self.extent)):
                np.add(column, self.low[a], out=coords[:, a])
        return coords


def freeze(*arrays: npt.NDArray[Any]) -> None:
    """Make arrays read-only."""
    for array in arrays:
        array.setflags(write=False)


def linear_ids(columns: Sequence[Int64], shape: tuple[int, ...]) -> LinearIds | None:
    """Number coordinates in C order; None if the numbers would not fit int64.

    Parameters
    ----------
    columns : sequence of int64 arrays
        One per dimension of the grid, not empty, each broadcastable to ``shape``.
    shape : tuple of int
    """
    low = tuple(int(column.min()) for column in columns)
    extent = tuple(int(column.max()) - a + 1 for column, a in zip(columns, low, strict=True))
    if prod(extent) > _MAX:
        return None
    return LinearIds(weighted_sum(columns, low, extent, shape), low, extent)


def weighted_sum(
    columns: Sequence[Int64], low: Sequence[int], extent: Sequence[int], shape: tuple[int, ...]
) -> Int64:
    """Return the C order offset of ``columns - low`` in an array of shape ``extent``, a new array.

    Parameters
    ----------
    columns : sequence of int64 arrays, each broadcastable to ``shape``
    low, extent : sequence of int, one entry per column
    shape : tuple of int
    """
    stride = prod(extent)
    total: Any = 0
    for column, a, n in zip(columns, low, extent, strict=True):
        stride //= n
        if n > 1:
            total = total + (column - a if a else column) * stride
    if isinstance(total, np.ndarray) and total.shape == shape:
        return total
    return np.array(np.broadcast_to(total, shape), np.int64)


def group_rows(columns: Sequence[Int64], shape: tuple[int, ...]) -> Groups:
    """Group coordinates, flattened in C order of ``shape``.

    Parameters
    ----------
    columns : sequence of int64 arrays
        One per dimension of the grid, not empty, each broadcastable to ``shape``.
    shape : tuple of int
    """
    linear = linear_ids(columns, shape)
    if linear is None:
        return _group_lexicographically(columns, shape)
    ids = linear.ids.ravel()
    order = None
    if (ids[1:] < ids[:-1]).any():
        # NumPy sorts 16-bit integers by radix, which is several times faster.
        short = prod(linear.extent) <= 2**16
        order = np.argsort(ids.astype(np.uint16) if short else ids, kind="stable")
        ids = ids[order]
    first = np.concatenate(([0], np.flatnonzero(ids[1:] != ids[:-1]) + 1))
    return Groups(linear.coords(ids[first]), first, order)


def _group_lexicographically(columns: Sequence[Int64], shape: tuple[int, ...]) -> Groups:
    flat = [np.broadcast_to(column, shape).ravel() for column in columns]
    order = np.lexsort(flat[::-1])
    rows = np.stack([column[order] for column in flat], axis=1)
    new = (rows[1:] != rows[:-1]).any(axis=1)
    first = np.concatenate(([0], np.flatnonzero(new) + 1))
    return Groups(rows[first], first, order)
