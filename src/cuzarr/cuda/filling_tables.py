"""The tables of a device store while it is filled: chunks of objects, and what was found in them.

1. :func:`chunks_of` lists the chunks in some objects: themselves, or the inner chunks of shards.
2. :func:`shift_positions` turns positions in a slab into device addresses.
3. :func:`join_parts` puts the findings of all waves together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from cuzarr.codecs.sharding import ABSENT
from cuzarr.cuda.fetch import EncodedWave
from cuzarr.cuda.inspected import Inspection, StreamCheck, Streams
from cuzarr.cuda.memory import ALIGNMENT
from cuzarr.engine.address import PlainAddress, ShardAddress
from cuzarr.engine.resident import linear_positions
from cuzarr.meta.edges import begin, length_of, on_axes
from cuzarr.plan.chunk_plan import Int64


def chunks_of(
    address: PlainAddress | ShardAddress,
    grid: tuple[int, ...],
    names: Sequence[str],
    coords: Int64,
    piece: EncodedWave,
) -> ChunksOf:
    """Return the chunks in objects ``names`` at grid coordinates ``coords``, (n, d) int64."""
    if isinstance(address, ShardAddress):
        return ChunksOf.of_shards(address, grid, names, coords, piece)
    return ChunksOf.plain(grid, coords, piece)


@dataclass(frozen=True, slots=True)
class ChunksOf:
    """The chunks in some objects: one in each, or the inner chunks of shards.

    Attributes
    ----------
    object_of : (m,) int64
        Row of the object.
    linear : (m,) int64
        C order position in the grid.
    positions, starts, sizes : (m,) int64
        Where the chunk is, in the slab and in the object, and its bytes.
    """

    object_of: Int64
    linear: Int64
    positions: Int64
    starts: Int64
    sizes: Int64

    @classmethod
    def plain(cls, grid: tuple[int, ...], coords: Int64, piece: EncodedWave) -> ChunksOf:
        """Return those of objects that are a chunk each."""
        n = len(coords)
        return cls(
            np.arange(n),
            linear_positions(coords, grid),
            piece.positions,
            np.zeros(n, np.int64),
            piece.sizes,
        )

    @classmethod
    def of_shards(
        cls, address: ShardAddress, grid: tuple[int, ...], names: Sequence[str], coords: Int64,
        piece: EncodedWave,
    ) -> ChunksOf:  # fmt: skip
        """Return those of shards."""
        per = address.chunks_per_shard
        begins, counts = on_axes(begin, coords, per), on_axes(length_of, coords, per)
        counts = np.broadcast_to(counts, coords.shape)
        slots: dict[tuple[int, ...], Int64] = {}
        columns: list[tuple[Int64, ...]] = []
        for j, name in enumerate(names):
            entries = address.index_at(coords[j]).entries(name, piece.view(j))
            shape = tuple(counts[j].tolist())
            if shape not in slots:
                slots[shape] = np.indices(shape).reshape(len(per), -1).T
            inner = begins[j] + slots[shape]
            there = (entries != ABSENT).any(axis=1) & (inner < np.array(grid)).all(axis=1)
            starts, sizes = entries[there].astype(np.int64).T
            linear = linear_positions(inner[there], grid)
            row = np.full(len(starts), j)
            columns.append((row, linear, piece.positions[j] + starts, starts, sizes))
        return cls(*join_columns(columns, 5))


def shift_positions(found: Inspection, shift: int, nbytes: int) -> None:
    """Turn positions in a slab into device addresses.

    A chunk that is stored decoded is used where it is, which kernels want aligned as in a slab;
    inner chunks of a shard may be anywhere, and those that are not aligned are copied at each read.
    """
    found.in_place[found.in_place >= 0] += shift
    apart = np.flatnonzero((found.in_place >= 0) & (found.in_place % ALIGNMENT != 0))
    for fmt, streams in found.streams.items():
        found.streams[fmt] = replace(streams, source=streams.source + shift)
    for i, check in enumerate(found.checks):
        streams = replace(check.streams, source=check.streams.source + shift)
        found.checks[i] = replace(check, streams=streams)
    if len(apart):
        length = np.full(len(apart), nbytes)
        copies = Streams.whole(apart, found.in_place[apart], length, nbytes)
        raw = found.streams.get("raw")
        found.streams["raw"] = copies if raw is None else _concatenated([raw, copies], [0, 0])
        found.in_place[apart] = -1


def join_columns(rows: Sequence[tuple[Int64, ...]], count: int) -> list[Int64]:
    """Concatenate ``count`` columns."""
    if not rows:
        return [np.zeros(0, np.int64)] * count
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def _concatenated(groups: Sequence[Any], firsts: Sequence[int]) -> Any:
    """Put streams or blocks one behind another; ``firsts``: the numbers of their first chunks."""
    columns = {
        f.name: np.concatenate([getattr(group, f.name) for group in groups])
        for f in fields(groups[0])
    }
    owner = [group.owner + first for group, first in zip(groups, firsts, strict=True)]
    return replace(groups[0], **{**columns, "owner": np.concatenate(owner)})


def join_parts(
    parts: Sequence[tuple[Inspection, Int64, Int64]],
) -> tuple[Inspection, Int64, Int64]:
    """Return one inspection of all chunks, their addresses and sizes."""
    firsts = np.cumsum([0, *(len(sizes) for _, _, sizes in parts)]).tolist()
    none = np.zeros(0, np.int64)
    whole = Inspection(
        np.concatenate([none.astype(np.int8), *(found.place for found, _, _ in parts)]),
        np.concatenate([none, *(found.in_place for found, _, _ in parts)]),
        np.concatenate([none.astype(np.bool_), *(found.outer for found, _, _ in parts)]),
    )
    for name in ("streams", "shuffled"):
        together = _by_key([list(getattr(found, name).items()) for found, _, _ in parts], firsts)
        getattr(whole, name).update(together)
    checks = [
        [((check.kind, check.big_endian), check.streams) for check in found.checks]
        for found, _, _ in parts
    ]
    for (kind, big_endian), streams in _by_key(checks, firsts).items():
        whole.checks.append(StreamCheck(kind, big_endian, streams))
    addresses, sizes = join_columns([(a, s) for _, a, s in parts], 2)
    return whole, addresses, sizes


def _by_key(parts: Sequence[list[tuple[Any, Any]]], firsts: Sequence[int]) -> dict[Any, Any]:
    """Put the groups of equal keys one behind another."""
    having: dict[Any, list[tuple[Any, int]]] = {}
    for part, first in zip(parts, firsts, strict=False):
        for key, group in part:
            having.setdefault(key, []).append((group, first))
    return {key: _concatenated(*zip(*some, strict=True)) for key, some in having.items()}
