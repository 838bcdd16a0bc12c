"""From what a user writes between brackets to one plain item per dimension.

1. :func:`expand_key` makes a tuple of the key, replaces ``...``, and fills up missing dimensions.
2. :func:`normalise_item` turns one entry into an ``int``, a ``slice``, or an integer or boolean
   array; anything else is refused by a message that names the axis.
3. :func:`wrap_integer`, :func:`slice_bounds` and :func:`wrap_indices` bring these into the array.
"""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cuzarr.errors import BoundsCheckError, SelectionError
from cuzarr.plan.chunk_plan import Int64

Item: TypeAlias = int | slice | npt.NDArray[Any]

_FULL = slice(None)


def expand_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """Return one entry per dimension: ``...`` replaced, missing trailing dimensions in full.

    Raises
    ------
    SelectionError
        Too many entries, or more than one ``...``.
    """
    entries = key if isinstance(key, tuple) else (key,)
    at: int | None = None
    for i, entry in enumerate(entries):
        if entry is Ellipsis:
            if at is not None:
                raise SelectionError("a selection can hold only one ellipsis (...)")
            at = i
    missing = ndim - len(entries) + (at is not None)
    if missing < 0:
        if any(entry is None for entry in entries):
            raise _unsupported(None, "selection")
        raise SelectionError(
            f"too many indices: the array has {ndim} dimension(s), the selection {ndim - missing}"
        )
    if at is not None:
        return entries[:at] + (_FULL,) * missing + entries[at + 1 :]
    return entries + (_FULL,) * missing if missing else entries


def normalise_key(key: Any, ndim: int) -> list[Item]:
    """Return one ``int``, ``slice`` or array per dimension."""
    return [
        normalise_item(entry, f"axis {axis}") for axis, entry in enumerate(expand_key(key, ndim))
    ]


def normalise_item(entry: Any, where: str) -> Item:
    """Return ``entry`` as an ``int``, a ``slice``, or an integer or boolean array.

    Zero-dimensional integer arrays are integers. The array may be the caller's own.

    Parameters
    ----------
    entry : object
    where : str
        Names the place of the entry in messages, as ``"axis 0"``.

    Raises
    ------
    SelectionError
        For everything else: ``np.newaxis``, floats, strings, single booleans.
    """
    kind = type(entry)
    if kind is int or kind is slice:
        return entry  # type: ignore[no-any-return]
    if isinstance(entry, (bool, np.bool_, str, bytes)):
        raise _unsupported(entry, where)
    if isinstance(entry, (int, np.integer)):
        return int(entry)
    if not (isinstance(entry, (list, tuple, range)) or hasattr(entry, "__array__")):
        try:
            return operator.index(entry)
        except TypeError:
            raise _unsupported(entry, where) from None
    try:
        array = np.asarray(entry)
    except (TypeError, ValueError) as error:
        raise SelectionError(f"{where}: cannot make an index array of this: {error}") from error
    if array.size == 0 and not isinstance(entry, np.ndarray) and array.dtype.kind == "f":
        array = array.astype(np.int64)  # an empty list has no type of its own
    if array.dtype.kind not in "iub" or (array.ndim == 0 and array.dtype.kind == "b"):
        raise _unsupported(entry, where, f" with elements of type {array.dtype}")
    return int(array) if array.ndim == 0 else array


def wrap_integer(index: int, length: int, axis: int) -> int:
    """Return ``index`` as a position in ``0 <= position < length``."""
    position = index + length if index < 0 else index
    if not 0 <= position < length:
        raise _out_of_bounds(index, length, axis)
    return position


def slice_bounds(item: slice, length: int, axis: int) -> tuple[int, int, int]:
    """Return first position, number of elements and step of a slice; the step is never 0."""
    try:
        start, stop, step = item.indices(length)
    except (TypeError, ValueError) as error:
        raise SelectionError(f"axis {axis}: {item}: {error}") from None
    return start, len(range(start, stop, step)), step


def wrap_indices(indices: npt.NDArray[Any], length: int, axis: int) -> Int64:
    """Return an int64 copy of an integer array, negative indices wrapped.

    Raises
    ------
    BoundsCheckError
        Names one index that lies outside the array.
    """
    if indices.size == 0:
        return indices.astype(np.int64)
    # Python integers: uint64 does not fit int64, and a length need not fit the indices' type.
    low, high = int(indices.min()), int(indices.max())
    if high >= length:
        raise _out_of_bounds(high, length, axis)
    if low < -length:
        raise _out_of_bounds(low, length, axis)
    wrapped = indices.astype(np.int64)
    if low < 0:
        wrapped[wrapped < 0] += length
    return wrapped


def mask_indices(mask: npt.NDArray[Any], length: int, axis: int) -> Int64:
    """Return the positions of the true elements of a boolean array along one dimension."""
    if mask.shape != (length,):
        raise SelectionError(
            f"axis {axis}: boolean array of shape {mask.shape} for a dimension of length {length}"
        )
    return np.flatnonzero(mask)


def _out_of_bounds(index: int, length: int, axis: int) -> BoundsCheckError:
    return BoundsCheckError(f"index {index} is out of bounds for axis {axis} with length {length}")


def _unsupported(entry: Any, where: str, detail: str = "") -> SelectionError:
    if entry is None:
        return SelectionError(
            f"{where}: np.newaxis is not supported; add dimensions to the result instead"
        )
    return SelectionError(
        f"{where}: expected an integer, a slice, or an integer or boolean array, "
        f"not {type(entry).__name__}{detail}"
    )
