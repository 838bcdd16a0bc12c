"""Chunk grids of v3 documents: ``regular``, and ``rectilinear`` where that is regular.

1. :func:`parse` returns the chunk shape of a grid.
2. A rectilinear grid (zarr-extensions) lists the lengths of the chunks along each axis, or gives
   one length for all of them. It is read if all chunks have one shape; chunks of different shapes
   are refused.
"""

from __future__ import annotations

from cuzarr.meta.problems import MAX_LENGTH, Problems, chunk_lengths, integer, is_list, named, show
from cuzarr.meta.spec import JSON, ArraySpec

_CONFIGURATION = "chunk_grid.configuration"


def parse(value: JSON, shape: tuple[int, ...] | None, problems: Problems) -> tuple[int, ...] | None:
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


def same(value: JSON, old: ArraySpec, new: ArraySpec) -> bool:
    """Whether the grid of an old document still describes a changed array."""
    if old.chunk_shape != new.chunk_shape:
        return False
    grid = named(value, "", Problems(""))
    # The lists of a rectilinear grid end somewhere.
    return old.shape == new.shape or (grid is not None and grid[0] == "regular")


def _rectilinear(
    axes: JSON, shape: tuple[int, ...] | None, problems: Problems
) -> tuple[int, ...] | None:
    place = f"{_CONFIGURATION}.chunk_shapes"
    if not is_list(axes):
        problems.add(place, f"expected a list of chunk lengths, found {show(axes)}")
        return None
    if shape is not None and len(axes) != len(shape):
        problems.add(place, f"has {len(axes)} dimensions, but the array has {len(shape)}")
        return None
    lengths: list[int] = []
    for a, axis in enumerate(axes):
        length = _axis(axis, None if shape is None else shape[a], f"{place}[{a}]", problems)
        if length is not None:
            lengths.append(length)
    return tuple(lengths) if len(lengths) == len(axes) else None


def _axis(axis: JSON, length: int | None, place: str, problems: Problems) -> int | None:
    """Return the one length of the chunks along an axis."""
    if not is_list(axis):
        return _edge(axis, place, problems)
    edges: set[int] = set()
    total = 0
    for i, entry in enumerate(axis):
        run = entry if is_list(entry) else (entry, 1)
        at = f"{place}[{i}]"
        if len(run) != 2:
            problems.add(at, f"expected a length or [length, count], found {show(entry)}")
            return None
        edge, count = _edge(run[0], at, problems), _edge(run[1], at, problems)
        if edge is None or count is None:
            return None
        edges.add(edge)
        total += edge * count
    if not edges or (length is not None and total < length):
        problems.add(place, f"the chunks cover {total} of {length} elements")
    elif len(edges) > 1:
        problems.add(place, "chunks of different lengths are not supported")
    else:
        return edges.pop()
    return None


def _edge(value: JSON, place: str, problems: Problems) -> int | None:
    number = integer(value)
    if number is None or not 1 <= number <= MAX_LENGTH:
        problems.add(place, f"expected a positive integer, found {show(value)}")
        return None
    return number
