"""Facts about layouts for the host passes: what is contiguous, what the native code can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.chain import CodecChain, Layout
from cuzarr.codecs.crc32c import Crc32cCodec
from cuzarr.codecs.numcodecs_adapter import PREFIX
from cuzarr.codecs.zstd import ZstdCodec
from cuzarr.engine.batch import Job
from cuzarr.engine.report import PlacementRecord
from cuzarr.plan.chunk_plan import Int64, PlanRows


@dataclass(frozen=True, slots=True)
class NativeCodec:
    """A chain that ``native.decode_batch`` knows.

    Attributes
    ----------
    name : str
        "raw", "blosc", "zstd" or "lz4".
    crc32c : bool
        A checksum stands behind the encoded bytes.
    partial : bool
        Parts of a chunk can be decoded for less than the whole.
    """

    name: str
    crc32c: bool
    partial: bool


def native_codec(chain: CodecChain) -> NativeCodec | None:
    """Return how the native code decodes a chain, or None where it cannot."""
    if chain.layout is None:
        return None
    codecs = list(chain.byte_codecs)
    crc32c = bool(codecs) and isinstance(codecs[-1], Crc32cCodec)
    if crc32c:
        codecs.pop()
    if not codecs:
        return NativeCodec("raw", crc32c, partial=False)
    if len(codecs) > 1:
        return None
    if isinstance(codecs[0], BloscCodec):
        name = "blosc"
    elif isinstance(codecs[0], ZstdCodec):
        name = "zstd"
    elif codecs[0].name == PREFIX + "lz4":
        name = "lz4"
    else:
        return None
    if name not in native.codecs_available():
        return None
    return NativeCodec(name, crc32c, partial=name == "blosc")


def contiguous_in(out: npt.NDArray[Any], chunk_shape: tuple[int, ...]) -> bool:
    """Whether a whole chunk fills one contiguous piece of a C-contiguous output."""
    if not out.flags.c_contiguous:
        return False
    axis = 0
    while axis < out.ndim and chunk_shape[axis] == 1:
        axis += 1
    return chunk_shape[axis + 1 :] == out.shape[axis + 1 :]


def byte_range(rows: PlanRows, layout: Layout) -> tuple[Int64, Int64] | tuple[None, None]:
    """Return, per row, the first byte and the end of the bytes of a decoded chunk that it needs.

    None where most of every chunk is needed anyway.
    """
    in_bytes, strides = rows_in_bytes(rows, layout)
    low = np.zeros(len(rows), np.int64)
    high = np.full(len(rows), layout.dtype.itemsize, np.int64)
    for a, stride in enumerate(strides.tolist()):
        table = in_bytes.lists[a]
        first, count = in_bytes.start[:, a], in_bytes.count[:, a]
        if table is None:
            last = first + (count - 1) * in_bytes.step[a]
            low += np.minimum(first, last) * stride
            high += np.maximum(first, last) * stride
        else:
            bounds = np.stack([first, first + count], axis=1).reshape(-1)
            padded = np.append(table[0], 0)
            low += np.minimum.reduceat(padded, bounds)[::2] * stride
            high += np.maximum.reduceat(padded, bounds)[::2] * stride
    if (high - low).min(initial=layout.nbytes) * 4 > layout.nbytes * 3:
        return None, None
    return low, high


def rows_in_bytes(rows: PlanRows, layout: Layout) -> tuple[PlanRows, Int64]:
    """Return rows and chunk strides in bytes; points of a transposed chunk take its order."""
    if not rows.flat:
        return rows, np.array(layout.strides, np.int64)
    if layout.c_contiguous:
        return rows, np.array([layout.dtype.itemsize], np.int64)
    assert rows.lists[0] is not None
    index, out_index = rows.lists[0]
    offsets = np.zeros(len(index), np.int64)
    for coords, stride in zip(np.unravel_index(index, layout.shape), layout.strides, strict=True):
        offsets += coords * stride
    moved = PlanRows(
        rows.coords, rows.start, rows.count, rows.out, rows.step, ((offsets, out_index),),
        rows.complete, rows.flat,
    )  # fmt: skip
    return moved, np.ones(1, np.int64)


def host_records(job: Job, chunks: int) -> list[PlacementRecord]:
    """Return the report of a call that ran wholly on the host."""
    chain = job.chain
    names = [codec.name for codec, _ in chain.array_codecs] + [chain.serializer.name]
    names += [codec.name for codec in chain.byte_codecs]
    nbytes = chunks * chain.chunk.nbytes
    why = "the array's device is the host"
    return [PlacementRecord(name, "host", why, chunks, chunks, nbytes) for name in reversed(names)]


def swap_unit(stored: np.dtype[Any], wanted: np.dtype[Any]) -> int:
    """Return the bytes of each piece to reverse: 0 for equal byte order, half a complex number."""
    if stored == wanted:
        return 0
    return stored.itemsize // 2 if stored.kind == "c" else stored.itemsize
