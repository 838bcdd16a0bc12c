"""The chunks that zarr-python asks a codec pipeline for, as a plan of the engine.

zarr-python names each chunk by a key and says which part of it goes where. A plan has grid
coordinates instead: here they are the number of the chunk in the request, followed by those of the
inner chunk, where the chunk is a shard.

1. Basic, orthogonal and block selections are separable: what is taken of a chunk is a product of
   axes. Few different products occur: the rows of each are made once, as a template, and those of
   a wave are gathered with NumPy.
2. Coordinate and mask selections are points of an array whose first axis is the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.plan.axes import affine_axis
from cuzarr.plan.chunk_plan import Axis, ChunkPlan, Int64, PlanRows
from cuzarr.plan.points import plan_coordinate

Item = tuple[
    Any, Any, Any, Any, bool
]  #: byte getter, spec, part of the chunk, of the output, whole
_NONE = np.empty(0, np.int64)


class UnknownSelectionError(Exception):
    """A request has a form that is not known here."""


@dataclass(frozen=True, slots=True)
class BatchPlan(ChunkPlan):
    """A separable request: item ``i`` has the rows of its template, moved to its output.

    Attributes
    ----------
    bounds : (n + 1,) int64
        Item ``i`` has the rows ``bounds[i] <= row < bounds[i + 1]`` of the plan.
    begin : (n,) int64
        Where the rows of an item begin in ``columns``.
    columns : PlanRows
        Of all templates, one behind another; ``coords`` are those of the inner chunks.
    out : (n, d) int64
    whole : (n,) bool
        Everything of the chunk that lies inside the array is selected.
    """

    bounds: Int64 = field(kw_only=True)
    begin: Int64 = field(kw_only=True)
    columns: PlanRows = field(kw_only=True)
    out: Int64 = field(kw_only=True)
    whole: npt.NDArray[np.bool_] = field(kw_only=True)

    def rows(self, first: int, last: int) -> PlanRows:
        """Expand rows ``first <= i < last``."""
        columns = self.columns
        row = np.arange(first, last)
        item = np.searchsorted(self.bounds, row, side="right") - 1
        at = self.begin[item] + row - self.bounds[item]
        return PlanRows(
            np.column_stack((item, columns.coords[at])),
            columns.start[at],
            columns.count[at],
            columns.out[at] + self.out[item],
            columns.step,
            columns.lists,
            columns.complete[at] | self.whole[item],
        )


def plan_batch(
    items: Sequence[Item],
    chunk_shape: tuple[int, ...],
    inner_shape: tuple[int, ...],
    drop_axes: tuple[int, ...],
    out_shape: tuple[int, ...] | None,
) -> ChunkPlan:
    """Plan a request.

    Parameters
    ----------
    items : sequence of Item
        At least one.
    chunk_shape, inner_shape : tuple of int
        Of every chunk, and of the unit that is decoded.
    drop_axes : tuple of int
        Axes of length 1 that the output does not have.
    out_shape : tuple of int or None
        Of the output; None: as large as the items make it.

    Raises
    ------
    UnknownSelectionError
    """
    first, target = items[0][2], items[0][3]
    d = len(chunk_shape)
    if not isinstance(target, tuple) and d:
        return _plan_points(items, chunk_shape, inner_shape, out_shape)
    if not isinstance(first, tuple) or len(first) != d:
        raise UnknownSelectionError(f"{first!r} of a chunk of {d} dimensions")
    dropped = drop_axes or [a for a, entry in enumerate(first) if _is_integer(entry)]
    kept = [a for a in range(d) if a not in dropped]
    axes = []
    for a, (chunk, inner) in enumerate(zip(chunk_shape, inner_shape, strict=True)):
        to = kept.index(a) if a in kept else None
        pairs = [(item[2][a], None if to is None else item[3][to]) for item in items]
        axes.append(_Axis.of(pairs, chunk, inner))
    shape = [axis.end for axis in axes]
    if out_shape is not None:
        if len(out_shape) != len(kept):
            raise UnknownSelectionError(f"{len(kept)} dimensions to an output of {out_shape}")
        for a, length in zip(kept, out_shape, strict=True):
            shape[a] = length
    return _assemble(items, axes, tuple(shape), tuple(shape[a] for a in kept))


def _assemble(
    items: Sequence[Item],
    axes: Sequence[_Axis],
    shape: tuple[int, ...],
    out_shape: tuple[int, ...],
) -> BatchPlan:
    """Make the plan of a separable request from its axes."""
    n = len(items)
    which = np.zeros(n, np.int64)
    for axis in axes:
        which = which * len(axis.units) + axis.number
    _, template, inverse = np.unique(which, return_index=True, return_inverse=True)
    columns = [
        _product_rows(tuple(axis.units[axis.number[i]] for axis in axes)) for i in template.tolist()
    ]
    bounds = np.zeros(n + 1, np.int64)
    sizes = np.array([len(rows) for rows in columns], np.int64)
    np.cumsum(sizes[inverse], out=bounds[1:])
    begin = (np.cumsum(sizes) - sizes)[inverse]
    lists = tuple(axis.lists for axis in axes)
    joined = PlanRows(
        np.concatenate([rows.coords for rows in columns]),
        np.concatenate([rows.start for rows in columns]),
        np.concatenate([rows.count for rows in columns]),
        np.concatenate([rows.out for rows in columns]),
        np.array([axis.step for axis in axes], np.int64),
        lists,
        np.concatenate([rows.complete for rows in columns]),
    )
    out = np.column_stack([axis.out for axis in axes]) if axes else np.zeros((n, 0), np.int64)
    whole = np.fromiter((item[4] for item in items), np.bool_, n)
    listed = any(entry is not None for entry in lists)
    return BatchPlan(
        shape, out_shape, int(bounds[-1]), tuple(map(_list_axis, lists)) if listed else (),
        bounds=bounds, begin=begin, columns=joined, out=out, whole=whole,
    )  # fmt: skip


def _product_rows(axes: tuple[Axis, ...]) -> PlanRows:
    """Expand a template."""
    plan = ChunkPlan((), (), prod(len(axis.chunk) for axis in axes), axes)
    return plan.rows(0, plan.n_chunks)


def _list_axis(lists: tuple[Int64, Int64] | None) -> Axis:
    """Return an axis that says no more than its lists: a device is sent them once per call."""
    index, out_index = lists or (None, None)
    flags = np.empty(0, np.bool_)
    return Axis(_NONE, _NONE, _NONE, _NONE, 1, 0, flags, index, out_index)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is taken of one axis of a chunk, and where it goes; a list where ``index`` is given."""

    start: int
    count: int
    step: int
    out: int
    index: Int64
    out_index: Int64 | None  #: None: from ``out`` on

    @property
    def end(self) -> int:
        """Length that the output has at least."""
        if self.out_index is not None:
            return int(self.out_index.max(initial=-1)) + 1
        return self.out + max(self.count, len(self.index))

    @property
    def affine(self) -> bool:
        return len(self.index) == 0 and self.out_index is None


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of all items.

    Attributes
    ----------
    units : list of Axis
        The different things that are taken, cut at inner chunks.
    number, out : (n,) int64
        Which one each item takes, and where it begins in the output.
    step, end : int
        Of the selection; length of the output.
    lists : (chunk offsets, output offsets) or None
        Which the units are ranges of.
    """

    units: list[Axis]
    number: Int64
    out: Int64
    step: int
    end: int
    lists: tuple[Int64, Int64] | None

    @classmethod
    def of(cls, pairs: Sequence[tuple[Any, Any]], chunk: int, inner: int) -> _Axis:
        """Make an axis of what is taken of each chunk, and where it goes.

        zarr-python uses the same objects for all chunks of a row, so each is looked at once.
        """
        known: dict[tuple[int, int], int] = {}
        parts: list[_Part] = []
        which = []
        for taken, target in pairs:
            key = id(taken), id(target)
            number = known.get(key)
            if number is None:
                number = known[key] = len(parts)
                parts.append(_part(taken, target, chunk))
            which.append(number)
        item = np.array(which, np.int64)
        steps = {part.step for part in parts if part.count > 1}
        end = max(part.end for part in parts)
        if len(steps) > 1 or not all(part.affine for part in parts):
            units, lists = _listed(parts, inner)
            return cls(units, item, np.zeros(len(item), np.int64), 1, end, lists)
        step = steps.pop() if steps else 1
        made: dict[tuple[int, int], int] = {}
        unit_of = [made.setdefault((part.start, part.count), len(made)) for part in parts]
        units = [affine_axis(start, count, step, chunk, inner) for start, count in made]
        out = np.array([part.out for part in parts], np.int64)
        return cls(units, np.array(unit_of, np.int64)[item], out[item], step, end, None)


def _part(taken: Any, target: Any, chunk: int) -> _Part:
    """Normalise what is taken of an axis; ``target`` is None where the output has no such axis."""
    if _is_integer(taken):
        return _Part(int(taken), 1, 1, _offset(target, 1), _NONE, None)
    if isinstance(taken, slice):
        chosen = range(*taken.indices(chunk))
        start, count, step = chosen.start, len(chosen), chosen.step
        index = _NONE
    else:
        index = np.asarray(taken)
        index = np.flatnonzero(index) if index.dtype == np.bool_ else index.reshape(-1)
        index = index.astype(np.int64, copy=False)
        start, count, step = _evenly(index)
        index = _NONE if count else index
    length = count or len(index)
    if isinstance(target, slice) or target is None:
        return _Part(start, count, step, _offset(target, length), index, None)
    places = np.asarray(target).reshape(-1).astype(np.int64, copy=False)
    if len(places) != length:
        raise UnknownSelectionError(f"{length} elements to {len(places)} places")
    first, found, apart = _evenly(places)
    if found and apart == 1:
        return _Part(start, count, step, first, index, None)
    return _Part(start, count, step, 0, index, places)


def _evenly(index: Int64) -> tuple[int, int, int]:
    """Return first, count and step of evenly spaced ascending positions; count 0 of others."""
    n = len(index)
    if n < 2:
        return (int(index[0]) if n else 0), n, 1
    first, step = int(index[0]), int(index[1]) - int(index[0])
    even = step > 0 and int(index[-1]) == first + step * (n - 1) and (np.diff(index) == step).all()
    return (first, n, step) if even else (0, 0, 1)


def _offset(target: Any, length: int) -> int:
    """Return where a slice of the output begins."""
    if target is None and length == 1:
        return 0
    if not isinstance(target, slice) or target.step not in (None, 1):
        raise UnknownSelectionError(f"output {target!r}")
    start = int(target.start or 0)
    if target.stop is not None and target.stop - start != length:
        raise UnknownSelectionError(f"{length} elements to {target!r}")
    return start


def _listed(parts: Sequence[_Part], inner: int) -> tuple[list[Axis], tuple[Int64, Int64]]:
    """Return the parts as ranges of two lists, which is how a list of positions is written."""
    units: list[Axis] = []
    inside: list[Int64] = []
    places: list[Int64] = []
    base = 0
    for part in parts:
        index = part.index
        if not len(index):
            index = part.start + part.step * np.arange(part.count)
        out = part.out_index
        if out is None:
            out = part.out + np.arange(len(index))
        of = index // inner
        order = np.argsort(of, kind="stable")
        of, index, out = of[order], index[order], out[order]
        begin = np.flatnonzero(np.diff(of, prepend=-1))
        count = np.diff(begin, append=len(of))
        none, flags = np.zeros(len(begin), np.int64), np.zeros(len(begin), np.bool_)
        units.append(Axis(of[begin], base + begin, count, none, 1, len(of), flags))
        inside.append(index - of * inner)
        places.append(out)
        base += len(of)
    return units, (np.concatenate(inside), np.concatenate(places))


def _plan_points(
    items: Sequence[Item],
    chunk_shape: tuple[int, ...],
    inner_shape: tuple[int, ...],
    out_shape: tuple[int, ...] | None,
) -> ChunkPlan:
    """Plan coordinates: each item has a list per axis, and where the points go in the output."""
    places, columns = [], []
    for i, (_, _, taken, target, _) in enumerate(items):
        arrays = [np.asarray(entry).reshape(-1) for entry in _tuple(taken)]
        n = len(arrays[0])
        if len(arrays) != len(chunk_shape) or any(len(array) != n for array in arrays):
            raise UnknownSelectionError(f"coordinates {taken!r}")
        if isinstance(target, slice):
            start = _offset(target, n)
            target = np.arange(start, start + n)
        places.append(np.asarray(target).reshape(-1))
        columns.append(np.stack((np.full(n, i), *arrays)))
    place = np.concatenate(places)
    points = np.empty((len(chunk_shape) + 1, len(place)), np.int64)
    if len(place) and int(place.max()) >= len(place):
        raise UnknownSelectionError("the output has more places than there are coordinates")
    points[:, place] = np.concatenate(columns, axis=1)
    plan = plan_coordinate(tuple(points), (len(items), *chunk_shape), (1, *inner_shape))
    if out_shape is not None and plan.out_shape != out_shape:
        raise UnknownSelectionError(f"{len(place)} points to an output of {out_shape}")
    return plan


def _tuple(entry: Any) -> tuple[Any, ...]:
    return entry if isinstance(entry, tuple) else (entry,)


def _is_integer(entry: Any) -> bool:
    return isinstance(entry, int | np.integer) and not isinstance(entry, bool | np.bool_)
