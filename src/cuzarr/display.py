"""How nodes look: locations, reports and trees, as text and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from cuzarr.meta.edges import Edges, Spacing, uniform
from cuzarr.meta.spec import ArraySpec
from cuzarr.plan import chunk_counts

if TYPE_CHECKING:
    from cuzarr.array import Array
    from cuzarr.group import Group


_GRID_TEXT = 200  # characters of a grid that a report shows


@dataclass(frozen=True)
class Info:
    """A report of (label, text) rows; prints as an aligned table."""

    rows: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        width = max(len(label) for label, _ in self.rows)
        return "\n".join(f"{label:<{width}} : {text}" for label, text in self.rows)

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<tr><th style="text-align:left">{escape(label)}</th><td>{escape(text)}</td></tr>'
            for label, text in self.rows
        )
        return f"<table>{cells}</table>"


@dataclass(frozen=True)
class Tree:
    """A hierarchy of labels; prints with box characters, and folds and unfolds in a notebook.

    Attributes
    ----------
    label : str
    children : tuple of Tree
    max_nodes : int
        Printed at most; a last line tells how many more there are.
    plain : bool
        No HTML.
    """

    label: str
    children: tuple[Tree, ...] = ()
    max_nodes: int = 500
    plain: bool = False

    def __repr__(self) -> str:
        lines = [self.label, *self._lines()]
        hidden = len(lines) - 1 - self.max_nodes
        if hidden > 0:
            lines[self.max_nodes + 1 :] = [f"... {hidden} more; see max_nodes="]
        return "\n".join(lines)

    def _lines(self, indent: str = "") -> list[str]:
        lines: list[str] = []
        for i, child in enumerate(self.children):
            last = i == len(self.children) - 1
            lines.append(f"{indent}{'└── ' if last else '├── '}{child.label}")
            lines += child._lines(indent + ("    " if last else "│   "))
        return lines

    def _repr_html_(self) -> str | None:
        """Return nested lists; what has members can be folded."""
        if self.plain:
            return None
        inner = "".join(f"<li>{child._repr_html_()}</li>" for child in self.children)
        if not inner:
            return escape(self.label)
        return (
            f"<details open><summary>{escape(self.label)}</summary>"
            f'<ul style="list-style:none;margin:0">{inner}</ul></details>'
        )


def location(store: Any, path: str) -> str:
    """Return the URL-like place of a node: ``file://data/x.zarr/foo``, ``memory://140.../foo``."""
    text = str(store)
    return f"{text.rstrip('/')}/{path}" if path else text


def tree(group: Group, level: int | None, *, max_nodes: int = 500, plain: bool = False) -> Tree:
    """Build the tree below a group; ``level`` bounds its depth."""
    return Tree(group.name, _branches(group, level), max_nodes, plain)


def _branches(group: Group, level: int | None) -> tuple[Tree, ...]:
    """Build the branches from one listing of everything down to ``level``."""
    if level is not None and level <= 0:
        return ()
    below: dict[str, list[Tree]] = {"": []}
    found = group.members(None if level is None else level - 1)
    for path, _ in found:
        below[path] = []
    for path, node in reversed(found):  # members come after the group that has them
        parent, _, name = path.rpartition("/")
        spec = node.metadata
        if isinstance(spec, ArraySpec):
            branch = Tree(f"{name} {spec.shape} {spec.dtype}")
        else:
            branch = Tree(name, tuple(reversed(below[path])))
        below[parent].append(branch)
    return tuple(reversed(below[""]))


def array_info(array: Array, *, stored: bool) -> Info:
    """Build the report of an array; ``stored`` adds what takes a listing of the store."""
    rows: list[tuple[str, str]] = [
        ("Name", array.name),
        ("Type", "cuzarr.Array"),
        ("Zarr format", str(array.zarr_format)),
        ("Data type", str(array.dtype)),
        ("Fill value", str(array.fill_value)),
        ("Shape", str(array.shape)),
    ]
    grid, sharded = array.metadata.grid, array.is_sharded
    if sharded:
        rows.append(_grid_row("Shard", grid))
    rows += [_grid_row("Chunk", array.chunks if sharded else grid), ("Order", array.order)]
    rows += [
        ("Read-only", str(array.read_only)),
        ("Device", f"{array.device} ({array.device_reason})"),
    ]
    rows.append(("Store type", type(array.store).__name__))
    if array.zarr_format == 2:
        rows.append(("Filters", _listed(array.filters or ())))
        rows.append(("Compressor", str(array.compressor)))
    else:
        rows.append(("Filters", _listed(array.filters)))
        rows.append(("Serializer", str(array.serializer)))
        rows.append(("Compressors", _listed(array.compressors)))
    rows.append(("No. bytes", byte_count(array.nbytes)))
    if stored:
        size = array.nbytes_stored()
        rows.append(("No. bytes stored", byte_count(size)))
        if size:
            rows.append(("Storage ratio", f"{array.nbytes / size:.1f}"))
        what = "Shards" if sharded else "Chunks"
        total = chunk_counts(array.shape, grid)
        rows.append((f"{what} initialized", f"{array.nshards_initialized}/{total}"))
    return Info(tuple(rows))


def group_info(group: Group, *, complete: bool) -> Info:
    """Build the report of a group; ``complete`` adds what is below its members."""
    members = group.members()
    arrays = [name for name, node in members if isinstance(node.metadata, ArraySpec)]
    groups = [name for name, node in members if not isinstance(node.metadata, ArraySpec)]
    rows = [
        ("Name", group.name),
        ("Type", "cuzarr.Group"),
        ("Zarr format", str(group.zarr_format)),
        ("Read-only", str(group.read_only)),
        ("Store type", type(group.store).__name__),
        ("No. members", str(len(members))),
        ("No. arrays", str(len(arrays))),
        ("No. groups", str(len(groups))),
    ]
    if arrays:
        rows.append(("Arrays", ", ".join(arrays)))
    if groups:
        rows.append(("Groups", ", ".join(groups)))
    if complete:
        every = [node for _, node in group.arrays(recurse=True)]
        rows.append(("No. members below", str(group.nmembers(None))))
        rows.append(("No. bytes below", byte_count(sum(array.nbytes for array in every))))
        stored = sum(array.nbytes_stored() for array in every)
        rows.append(("No. bytes stored below", byte_count(stored)))
    return Info(tuple(rows))


def byte_count(size: int) -> str:
    """Return bytes in full, and in binary units from 1 KiB.

    Examples
    --------
    >>> byte_count(400000000), byte_count(7)
    ('400000000 (381.5M)', '7')
    """
    if size < 1024:
        return str(size)
    power = min((size.bit_length() - 1) // 10, 6)
    return f"{size} ({size / 1024**power:.1f}{'KMGTPE'[power - 1]})"


def _grid_row(what: str, grid: tuple[Spacing, ...]) -> tuple[str, str]:
    """Return the row of a grid: a shape, or for each axis one length or [length, number]..."""
    shape = uniform(grid)
    if shape is not None:
        return f"{what} shape", str(shape)
    axes = [axis.document() if isinstance(axis, Edges) else axis for axis in grid]
    text = ", ".join(map(str, axes))
    return f"{what} lengths", text if len(text) <= _GRID_TEXT else f"{text[:_GRID_TEXT]}..."


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items)) or "none"
