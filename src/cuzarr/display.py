"""How nodes look: locations, reports and trees, as text and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, cast

from cuzarr.meta.spec import ArraySpec

if TYPE_CHECKING:
    from cuzarr.array import Array
    from cuzarr.group import Group


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
    """A hierarchy of labels; prints with box characters."""

    label: str
    children: tuple[Tree, ...] = ()

    def __repr__(self) -> str:
        return "\n".join([self.label, *self._lines()])

    def _lines(self, indent: str = "") -> list[str]:
        lines: list[str] = []
        for i, child in enumerate(self.children):
            last = i == len(self.children) - 1
            lines.append(f"{indent}{'└── ' if last else '├── '}{child.label}")
            lines += child._lines(indent + ("    " if last else "│   "))
        return lines

    def _repr_html_(self) -> str:
        inner = "".join(f"<li>{child._repr_html_()}</li>" for child in self.children)
        return escape(self.label) + (f"<ul>{inner}</ul>" if inner else "")


def location(store: Any, path: str) -> str:
    """Return the URL-like place of a node: ``file://data/x.zarr/foo``, ``memory://140.../foo``."""
    text = str(store)
    return f"{text.rstrip('/')}/{path}" if path else text


def tree(group: Group, level: int | None) -> Tree:
    """Build the tree below a group; ``level`` bounds its depth."""
    return Tree(group.name, _branches(group, level))


def _branches(group: Group, level: int | None) -> tuple[Tree, ...]:
    if level is not None and level <= 0:
        return ()
    below = None if level is None else level - 1
    return tuple(
        Tree(f"{name} {spec.shape} {spec.dtype}")
        if isinstance(spec := node.metadata, ArraySpec)
        else Tree(name, _branches(cast("Group", node), below))
        for name, node in group.members()
    )


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
    if array.shards is not None:
        rows.append(("Shard shape", str(array.shards)))
    rows += [("Chunk shape", str(array.chunks)), ("Order", array.order)]
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
        what = "Chunks" if array.shards is None else "Shards"
        total = array.nchunks if array.shards is None else _grid_size(array)
        rows.append((f"{what} initialized", f"{array.nchunks_initialized}/{total}"))
    return Info(tuple(rows))


def group_info(group: Group) -> Info:
    """Build the report of a group."""
    arrays, groups = list(group.array_keys()), list(group.group_keys())
    rows = [
        ("Name", group.name),
        ("Type", "cuzarr.Group"),
        ("Zarr format", str(group.zarr_format)),
        ("Read-only", str(group.read_only)),
        ("Store type", type(group.store).__name__),
        ("No. members", str(len(arrays) + len(groups))),
        ("No. arrays", str(len(arrays))),
        ("No. groups", str(len(groups))),
    ]
    if arrays:
        rows.append(("Arrays", ", ".join(arrays)))
    if groups:
        rows.append(("Groups", ", ".join(groups)))
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


def _grid_size(array: Array) -> int:
    total = 1
    for length, shard in zip(array.shape, array.shards or (), strict=True):
        total *= -(-length // shard)
    return total


def _listed(items: Sequence[Any]) -> str:
    return ", ".join(map(str, items)) or "none"
