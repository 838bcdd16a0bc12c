"""Facts about layouts for the host passes: what is contiguous, what the native code can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.chain import SWAPPED, CodecChain, Layout
from cuzarr.codecs.crc32c import Crc32cCodec
from cuzarr.codecs.numcodecs_adapter import PREFIX
from cuzarr.codecs.zstd import ZstdCodec
from cuzarr.engine.batch import Job
from cuzarr.engine.report import PlacementRecord
from cuzarr.native.tables import Lists, WaveChunks
from cuzarr.plan.chunk_plan import Int64, PlanRows

_MOST_BYTES = 2**61  #: more has no room in the columns of the native code


@dataclass(frozen=True, slots=True)
class NativeCodec:
    """A chain that the native code knows.

    Attributes
    ----------
    name : str
        "raw", "blosc", "zstd" or "lz4".
    crc32c : bool
        A checksum stands behind the encoded bytes.
    """

    name: str
    crc32c: bool


def native_codec(chain: CodecChain) -> NativeCodec | None:
    """Return what a chain is to the native code, or None where it cannot decode it.

    A subclass of a codec may do something else, so it is none that the native code knows.
    """
    if chain.layout is None or chain.layout.nbytes > _MOST_BYTES:
        return None
    codecs = list(chain.byte_codecs)
    crc32c = bool(codecs) and type(codecs[-1]) is Crc32cCodec
    if crc32c:
        codecs.pop()
    if not codecs:
        return NativeCodec("raw", crc32c)
    if len(codecs) > 1:
        return None
    if type(codecs[0]) is BloscCodec:
        name = "blosc"
    elif type(codecs[0]) is ZstdCodec:
        name = "zstd"
    elif codecs[0].name == PREFIX + "lz4":
        name = "lz4"
    else:
        return None
    if name not in native.codecs_available():
        return None
    return NativeCodec(name, crc32c)


def contiguous_in(out: npt.NDArray[Any], chunk_shape: tuple[int, ...]) -> bool:
    """Whether a whole chunk fills one contiguous piece of a C-contiguous output."""
    if not out.flags.c_contiguous:
        return False
    axis = 0
    while axis < out.ndim and chunk_shape[axis] == 1:
        axis += 1
    return chunk_shape[axis + 1 :] == out.shape[axis + 1 :]


def wave_chunks(job: Job, codec: NativeCodec, out: npt.NDArray[Any]) -> WaveChunks:
    """Return what the native code must know of the chunks of a job that reads into ``out``."""
    layout = job.chain.layout
    assert layout is not None
    flat = job.plan.points is not None
    in_place = (
        not flat
        and layout.c_contiguous
        and layout.dtype == out.dtype
        and contiguous_in(out, layout.shape)
    )
    return WaveChunks(
        codec.name,
        codec.crc32c,
        layout.nbytes,
        2 * layout.nbytes + _HEADERS,
        np.array(layout.shape, np.int64) if in_place else None,
        chunk_strides(layout, flat=flat),
        layout.dtype.itemsize,
        swap_unit(layout.dtype, out.dtype),
        np.array(job.fill_value, out.dtype).tobytes(),  # a scalar has no byte order
    )


_HEADERS = 65536  #: bytes that a container may add to a small chunk


def chunk_strides(layout: Layout, *, flat: bool) -> Int64:
    """Return the bytes per unit of a row's axes; see :func:`byte_lists` for points."""
    if not flat:
        return np.array(layout.strides, np.int64)
    return np.array([layout.dtype.itemsize if layout.c_contiguous else 1], np.int64)


def byte_lists(rows: PlanRows, layout: Layout) -> Lists:
    """Return the lists of rows; points of a chunk that is not C-contiguous become byte offsets."""
    if not rows.flat or layout.c_contiguous:
        return rows.lists
    assert rows.lists[0] is not None
    index, out_index = rows.lists[0]
    offsets = np.zeros(len(index), np.int64)
    for coords, stride in zip(np.unravel_index(index, layout.shape), layout.strides, strict=True):
        offsets += coords * stride
    return ((offsets, out_index),)


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


def moves_bytes(value: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    """Whether to store elements is to move bytes, or to reverse them, with no conversion."""
    if stored.hasobject or stored.kind == "T" or stored.itemsize == 0:
        return False
    return value == stored or (stored.kind in SWAPPED and value.newbyteorder() == stored)
