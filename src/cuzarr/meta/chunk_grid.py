"""Chunk grids of v3 documents: ``regular`` and ``rectilinear``.

1. :func:`parse` returns the chunks along each axis: one length, or :class:`Edges`.
2. A rectilinear grid (zarr-extensions) lists the lengths of the chunks along each axis, or gives
   one length for all of them. A list of equal lengths is one length.
3. :func:`document` writes a grid; :func:`resized` gives it another shape of the array.
"""

from __future__ import annotations

from dataclasses import replace

from cuzarr.meta.edges import Edges, Spacing, largest
from cuzarr.meta.problems import MAX_LENGTH, Problems, chunk_lengths, integer, is_list, named, show
from cuzarr.meta.spec import JSON, ArraySpec

_CONFIGURATION = "chunk_grid.configuration"


def parse(
    value: JSON, shape: tuple[int, ...] | None, problems: Problems
) -> tuple[Spacing, ...] | None:
    """Parse a ``chunk_grid``; None where it is wrong."""
    grid = named(value, "chunk_grid", problems)
    if grid is None:
        return None
    name, configuration = grid
    if name == "regular":
        place = f"{_CONFIGURATION}.chunk_shape"
        if "chunk_shape" not in configuration:
            problems.add(place, "is missing")
            return None
        return chunk_lengths(configuration["chunk_shape"], place, problems, shape)
    if name != "rectilinear":
        problems.add(
            "chunk_grid.name",
            f"the chunk grid {name!r} is not supported, only 'regular' and 'rectilinear'",
        )
        return None
    kind = configuration.get("kind")
    if kind != "inline":
        problems.add(f"{_CONFIGURATION}.kind", f"expected 'inline', found {show(kind)}")
        return None
    return _rectilinear(configuration.get("chunk_shapes"), shape, problems)


def document(grid: tuple[Spacing, ...]) -> dict[str, JSON]:
    """Return the ``chunk_grid`` of a document; regular wherever it can be."""
    if not any(isinstance(axis, Edges) for axis in grid):
        return {"name": "regular", "configuration": {"chunk_shape": list(grid)}}
    axes = [axis.document() if isinstance(axis, Edges) else axis for axis in grid]
    return {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": axes}}


def resized(spec: ArraySpec, shape: tuple[int, ...], units: tuple[int, ...]) -> ArraySpec:
    """Return the spec of an array of another shape.

    Along an axis of several chunk lengths that becomes longer than its chunks, one chunk is added
    that covers the rest in whole ``units``; no chunk is dropped where it becomes shorter.
    """
    if spec.edges is None:
        return replace(spec, shape=shape)
    edges = tuple(
        axis.grown(length, unit) if isinstance(axis, Edges) else axis
        for axis, length, unit in zip(spec.edges, shape, units, strict=True)
    )
    return replace(spec, shape=shape, edges=edges, chunk_shape=tuple(map(largest, edges)))


def same(value: JSON, old: ArraySpec, new: ArraySpec) -> bool:
    """Whether the grid of an old document still describes a changed array."""
    if old.shape == new.shape:
        return old.grid == new.grid
    # The lists of a rectilinear grid end somewhere; chunks without length fit an empty axis alone.
    return value["name"] == "regular" and parse(value, new.shape, Problems()) == new.grid


def _rectilinear(
    axes: JSON, shape: tuple[int, ...] | None, problems: Problems
) -> tuple[Spacing, ...] | None:
    place = f"{_CONFIGURATION}.chunk_shapes"
    if not is_list(axes):
        problems.add(place, f"expected a list of chunk lengths, found {show(axes)}")
        return None
    if shape is not None and len(axes) != len(shape):
        problems.add(place, f"has {len(axes)} dimensions, but the array has {len(shape)}")
        return None
    grid: list[Spacing] = []
    for a, axis in enumerate(axes):
        parsed = _axis(axis, None if shape is None else shape[a], f"{place}[{a}]", problems)
        if parsed is not None:
            grid.append(parsed)
    return tuple(grid) if len(grid) == len(axes) else None


def _axis(axis: JSON, length: int | None, place: str, problems: Problems) -> Spacing | None:
    """Return the chunks along an axis."""
    if not is_list(axis):
        return _edge(axis, place, problems)
    runs: list[tuple[int, int]] = []
    for i, entry in enumerate(axis):
        run = entry if is_list(entry) else (entry, 1)
        at = f"{place}[{i}]"
        if len(run) != 2:
            problems.add(at, f"expected a length or [length, count], found {show(entry)}")
            return None
        edge, count = _edge(run[0], at, problems), _edge(run[1], at, problems)
        if edge is None or count is None:
            return None
        runs.append((edge, count))
    total = sum(edge * count for edge, count in runs)
    if not runs or (length is not None and total < length):
        problems.add(place, f"the chunks cover {total} of {length} elements")
        return None
    if all(edge == runs[0][0] for edge, _ in runs):
        return runs[0][0]
    if total > MAX_LENGTH:
        problems.add(place, f"the chunks cover {total} elements, more than 2**63 - 1")
        return None
    return Edges(runs)


def _edge(value: JSON, place: str, problems: Problems) -> int | None:
    number = integer(value)
    if number is None or not 1 <= number <= MAX_LENGTH:
        problems.add(place, f"expected a positive integer, found {show(value)}")
        return None
    return number
