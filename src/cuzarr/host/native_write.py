"""Writing whole chunks and shards to files: many in one native call, which does it all."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.crc32c import Crc32cCodec
from cuzarr.codecs.sharding import ShardIndex
from cuzarr.codecs.zstd import ZstdCodec
from cuzarr.engine.batch import InnerChunks, Job, Wave
from cuzarr.host.layout import moves_bytes, native_codec, swap_unit
from cuzarr.native.tables import READ_MISSING, READ_NO_SPACE, WriteChunks, WriteShards
from cuzarr.plan.chunk_plan import PlanRows
from cuzarr.storage.base import FileTarget, Int32, Int64, RequestBatch, is_file_target
from cuzarr.storage.files import temporary_name

_MOST_BYTES = 2**31 - 2**10  #: of a chunk: Blosc takes no more
_SMALL_BYTES = 2**18  #: decoded bytes of a few chunks that are not worth a second thread
_FEW = 16
_MOST_INSIDE = 8  #: threads for one chunk: each call of Blosc makes them anew


class NativeWrite:
    """One write call, as far as the native code can do it.

    Parameters
    ----------
    job : Job
    value : array of ``job.plan.shape``
    chunks : WriteChunks
    threads : int
    """

    def __init__(
        self, job: Job, value: npt.NDArray[Any], chunks: WriteChunks, threads: int
    ) -> None:
        self._value, self._chunks, self._threads = value, chunks, threads
        self._store = cast("FileTarget", job.store)
        self._address, self._strides = value.ctypes.data, np.array(value.strides, np.int64)

    def write_files(self, wave: Wave) -> tuple[Int64, Int64]:
        """Write the chunks of a wave that are overwritten completely, each to a file.

        Returns
        -------
        rest : int64 array
            Rows of the wave that were not written.
        empty : int64 array
            Rows with nothing but fill value, which is not stored.
        """
        complete = np.flatnonzero(wave.rows.complete)
        part = wave if len(complete) == len(wave) else wave.take(complete)
        statuses = self._call(part.rows, part.requests, None)
        empty = complete[statuses == READ_MISSING]
        undone = np.ones(len(wave), np.bool_)
        undone[complete[statuses == 0]] = undone[empty] = False
        return np.flatnonzero(undone), empty

    def write_shards(self, wave: Wave, inner: InnerChunks) -> tuple[Int64, frozenset[int]]:
        """Write the shards of a wave that are overwritten completely.

        Returns
        -------
        rest : int64 array
            Rows of the wave whose shards were not written, and have other elements than the fill
            value.
        stored : set of int
            Shards that were written.
        """
        crc32c = _plain_index(inner.index)
        shards = np.flatnonzero(inner.whole)
        order = np.lexsort((inner.slot, inner.shard_of))
        order = order[inner.whole[inner.shard_of[order]]]
        if crc32c is None or len(order) == 0:
            return np.arange(len(wave)), frozenset()
        first = np.searchsorted(inner.shard_of[order], np.append(shards, len(inner.whole)))
        chunks = WriteShards(
            first.astype(np.int64), inner.slot[order], inner.index.slots, crc32c, inner.index.at_end
        )
        statuses = self._call(wave.rows.take(order), inner.names.take(shards), chunks)
        done = np.zeros(len(inner.whole), np.bool_)
        done[shards] = (statuses == 0) | (statuses == READ_MISSING)
        return np.flatnonzero(~done[inner.shard_of]), frozenset(shards[statuses == 0].tolist())

    def _call(self, rows: PlanRows, names: RequestBatch, shards: WriteShards | None) -> Int32:
        """Return the status of each file."""
        n = len(rows)
        root = self._store.write_root(names) if n else None
        if root is None:
            return np.full(len(names), READ_NO_SPACE, np.int32)
        few = n < _FEW and n * self._chunks.nbytes <= _SMALL_BYTES
        return native.write_wave(
            root, names.keys, names.offsets, self._chunks,
            rows.start, rows.count, rows.out, rows.step, rows.lists,
            self._address, self._strides, 1 if few else self._threads, shards,
        )  # fmt: skip


def native_write(
    job: Job, value: npt.NDArray[Any], write_empty_chunks: bool, threads: int
) -> NativeWrite | None:
    """Return how the native code writes a job, or None where it cannot."""
    chain, layout = job.chain, job.chain.layout
    if (
        not is_file_target(job.store)
        or job.fields is not None
        or job.plan.points is not None
        or layout is None
        or not 0 < layout.nbytes <= _MOST_BYTES
        or not moves_bytes(value.dtype, layout.dtype)
    ):
        return None
    codec = native_codec(chain)
    if codec is None or codec.name not in native.encoders_available():
        return None
    chunks = WriteChunks(
        codec.name, codec.crc32c, _parameters(chain, threads // job.plan.n_chunks), layout.nbytes,
        np.array(layout.shape, np.int64), np.array(layout.strides, np.int64),
        layout.dtype.itemsize, swap_unit(layout.dtype, value.dtype),
        np.array(job.fill_value, layout.dtype).tobytes(),
        write_empty_chunks, f"{temporary_name()}-native-",
    )  # fmt: skip
    return NativeWrite(job, value, chunks, threads)


def _parameters(chain: CodecChain, spare: int) -> tuple[int | str, ...]:
    """Return the ``parameters`` of :class:`WriteChunks`; a chunk has ``spare`` threads."""
    codec = chain.byte_codecs[0] if chain.byte_codecs else None
    if isinstance(codec, ZstdCodec):
        return codec.level, codec.checksum
    if isinstance(codec, BloscCodec):
        typesize, shuffle = codec.elements(chain.chunk.nbytes, chain.serialized.dtype.itemsize)
        inside = max(1, min(spare, _MOST_INSIDE))
        return codec.clevel, shuffle, typesize, codec.blocksize, codec.cname, inside
    return ()


def _plain_index(index: ShardIndex) -> bool | None:
    """Return whether a CRC-32C follows an index of little-endian numbers; None: it is another."""
    chain = index.chain
    kinds = [type(codec) for codec in chain.byte_codecs]
    if chain.layout is None or chain.layout.dtype != np.dtype("<u8") or chain.array_codecs:
        return None
    return bool(kinds) if kinds in ([], [Crc32cCodec]) else None
