"""The encoded chunks of a tile as one batch of streams, as a batched decompressor takes them.

1. :func:`gather` reads the chunks of the first tile (the inner ones, where sharded) and lays them
   end to end, each at a 16-byte aligned position.
2. A zstd or gzip chunk is one stream; a Blosc chunk is several (``blosc_streams.py``).
3. :func:`chunk_corners` says which part of the field each of the first chunks holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import data
from benchmarks.gpu import blosc_streams

CHECKED_CHUNKS = 4


@dataclass(slots=True)
class Batch:
    """Encoded chunks of a tile and the streams in them.

    Attributes
    ----------
    encoded : (m,) uint8
        All chunks, each at a 16-byte aligned position.
    starts, lengths : (n,) int64
        Compressed streams in ``encoded``.
    targets, decoded : (n,) int64
        Places of the decoded streams in the decoded chunks laid end to end.
    chunks : list of bytes
        The first few, for the check.
    """

    fmt: str
    encoded: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    decoded: npt.NDArray[np.int64]
    chunk_bytes: int
    total: int
    chunks: list[bytes]


def gather(path: Path, layout: data.Layout, size: data.Extent) -> Batch:
    """Return the encoded chunks of the first tile, in C order of their coordinates."""
    chunks = list(_tile_chunks(path, layout, size))
    at = np.zeros(len(chunks) + 1, np.int64)
    np.cumsum([-(-len(chunk) // 16) * 16 for chunk in chunks], out=at[1:])
    encoded = np.zeros(int(at[-1]), np.uint8)
    for start, chunk in zip(at.tolist(), chunks, strict=False):
        encoded[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
    height, width = layout.chunk_shape(size.columns)
    nbytes = height * width * 4
    order = np.arange(len(chunks), dtype=np.int64)
    if layout.codec in ("zstd", "gzip"):
        return Batch(
            layout.codec.capitalize(), encoded, at[:-1],
            np.array([len(c) for c in chunks], np.int64), order * nbytes,
            np.full(len(chunks), nbytes, np.int64), nbytes, nbytes * len(chunks),
            chunks[:CHECKED_CHUNKS],
        )  # fmt: skip
    found = [blosc_streams.streams(chunk) for chunk in chunks]
    return Batch(
        "LZ4" if layout.codec == "blosc-lz4" else "Zstd",
        encoded,
        np.concatenate([s.offsets + start for s, start in zip(found, at.tolist(), strict=False)]),
        np.concatenate([s.lengths for s in found]),
        np.concatenate([s.targets + k * nbytes for k, s in enumerate(found)]),
        np.concatenate([s.decoded for s in found]),
        nbytes,
        nbytes * len(chunks),
        chunks[:CHECKED_CHUNKS],
    )


def _tile_chunks(path: Path, layout: data.Layout, size: data.Extent) -> Iterator[bytes]:
    height, width = layout.chunk_shape(size.columns)
    rows, columns = size.rows // height, size.columns // width
    if layout.shard is not None:
        yield from _inner_chunks(path, layout, size)
        return
    for i in range(rows):
        for j in range(columns):
            name = f"{i}.{j}" if layout.zarr_format == 2 else f"c/{i}/{j}"
            yield (path / name).read_bytes()


def _inner_chunks(path: Path, layout: data.Layout, size: data.Extent) -> Iterator[bytes]:
    """Yield the inner chunks shard by shard; the index is at the end, with its CRC-32C."""
    assert layout.shard is not None
    per_axis = layout.shard // layout.chunk
    n = per_axis * per_axis
    for i in range(-(-size.rows // layout.shard)):
        for j in range(-(-size.columns // layout.shard)):
            shard = (path / f"c/{i}/{j}").read_bytes()
            index = np.frombuffer(shard, "<u8", 2 * n, len(shard) - 16 * n - 4).reshape(n, 2)
            for start, length in index.tolist():
                if start < len(shard):  # else: not stored
                    yield shard[start : start + length]


def chunk_corners(layout: data.Layout, size: data.Extent) -> Iterator[tuple[int, int]]:
    """Yield the first corners of chunks in the order of :func:`gather` (the first shard only)."""
    edge = layout.shard or max(size.rows, size.columns)
    height, width = layout.chunk_shape(size.columns)
    for i in range(0, min(edge, size.rows), height):
        for j in range(0, min(edge, size.columns), width):
            yield i, j
