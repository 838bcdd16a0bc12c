"""Writing whole chunks to files: many in one native call, which gathers, encodes and writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.crc32c import Crc32cCodec
from cuzarr.codecs.zstd import ZstdCodec
from cuzarr.engine.batch import Job, Wave
from cuzarr.host.layout import moves_bytes, swap_unit
from cuzarr.native.tables import READ_MISSING, WriteChunks
from cuzarr.plan.chunk_plan import Int64
from cuzarr.storage.base import FileTarget
from cuzarr.storage.files import temporary_name

_MOST_BYTES = 2**31 - 2**10  #: of a chunk: Blosc takes no more
_SMALL_BYTES = 2**18  #: decoded bytes of a few chunks that are not worth a second thread
_FEW = 16


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
        self._store: Any = job.store
        self._address, self._strides = value.ctypes.data, np.array(value.strides, np.int64)

    def write(self, wave: Wave) -> tuple[Int64, Int64]:
        """Write the chunks of a wave that are overwritten completely.

        Returns
        -------
        rest : int64 array
            Rows of the wave that were not written.
        empty : int64 array
            Rows with nothing but fill value, which is not stored.
        """
        n = len(wave)
        complete = np.flatnonzero(wave.rows.complete)
        part = wave if len(complete) == n else wave.take(complete)
        root = self._store.write_root(part.requests) if len(complete) else None
        if root is None:
            return np.arange(n), complete[:0]
        rows, requests = part.rows, part.requests
        few = len(part) == 1 or (
            len(part) < _FEW and len(part) * self._chunks.nbytes <= _SMALL_BYTES
        )
        statuses = native.write_wave(
            root, requests.keys, requests.offsets, self._chunks,
            rows.start, rows.count, rows.out, rows.step, rows.lists,
            self._address, self._strides, 1 if few else self._threads,
        )  # fmt: skip
        undone = np.ones(n, np.bool_)
        undone[complete[(statuses == 0) | (statuses == READ_MISSING)]] = False
        return np.flatnonzero(undone), complete[statuses == READ_MISSING]


def native_write(
    job: Job, value: npt.NDArray[Any], write_empty_chunks: bool, threads: int
) -> NativeWrite | None:
    """Return how the native code writes a job, or None where it cannot."""
    layout = job.chain.layout
    if (
        not isinstance(job.store, FileTarget)
        or job.fields is not None
        or job.plan.points is not None
        or layout is None
        or not 0 < layout.nbytes <= _MOST_BYTES
        or not moves_bytes(value.dtype, layout.dtype)
    ):
        return None
    found = _encoder(job.chain, layout.nbytes)
    if found is None or found[0] not in native.encoders_available():
        return None
    codec, parameters, crc32c = found
    chunks = WriteChunks(
        codec, crc32c, parameters, layout.nbytes, np.array(layout.shape, np.int64),
        np.array(layout.strides, np.int64), layout.dtype.itemsize,
        swap_unit(layout.dtype, value.dtype), np.array(job.fill_value, layout.dtype).tobytes(),
        write_empty_chunks, f"{temporary_name()}-native-",
    )  # fmt: skip
    return NativeWrite(job, value, chunks, threads)


def _encoder(chain: CodecChain, nbytes: int) -> tuple[str, tuple[int | str, ...], bool] | None:
    """Return the name of the codec, its parameters, and whether a CRC-32C follows."""
    codecs = list(chain.byte_codecs)
    crc32c = bool(codecs) and type(codecs[-1]) is Crc32cCodec
    if crc32c:
        codecs.pop()
    if not codecs:
        return "raw", (), crc32c
    codec = codecs[0]
    if len(codecs) > 1:
        return None
    if type(codec) is ZstdCodec:
        return "zstd", (codec.level, codec.checksum), crc32c
    if type(codec) is BloscCodec:
        typesize, shuffle = codec.elements(nbytes, chain.serialized.dtype.itemsize)
        return "blosc", (codec.clevel, shuffle, typesize, codec.blocksize, codec.cname), crc32c
    return None
