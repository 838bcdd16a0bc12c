"""The native functions that encode, and which codecs there are (:mod:`cuzarr.native.calls`)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numcodecs import zstd

from cuzarr.native.columns import int64, path, row_columns, thread_count
from cuzarr.native.tables import CODECS, Buffer, Int32, Int64, Lists, WriteChunks, WriteShards

Codecs = tuple[frozenset[str], frozenset[str]]


class EncodeCalls:
    """One implementation of the functions that encode.

    Parameters
    ----------
    implementation : module
        ``cuzarr.native._native`` or ``cuzarr.native.twin``.
    prepare : callable
        Returns the codecs that ``decode_batch`` of this implementation can run, and those of
        ``write_wave``; called once, before the first of either.
    """

    def __init__(self, implementation: Any, prepare: Callable[[], Codecs]) -> None:
        self._do = implementation
        self._prepare = prepare
        self._available: Codecs | None = None
        self._lock = Lock()

    def codecs_available(self) -> frozenset[str]:
        """Return the names that :meth:`decode_batch` accepts."""
        return self._codecs()[0]

    def encoders_available(self) -> frozenset[str]:
        """Return the names that :meth:`write_wave` accepts; none without the C extension."""
        return self._codecs()[1]

    def after_fork(self) -> None:
        """Begin anew in a forked child, whose parent may have been looking for codecs."""
        self._lock = Lock()

    def _codecs(self) -> Codecs:
        if self._available is None:
            with self._lock:
                if self._available is None:
                    self._available = self._prepare()
        return self._available

    def write_wave(
        self,
        root: str | bytes,
        keys: bytes,
        offsets: Int64,
        chunks: WriteChunks,
        start: Int64,
        count: Int64,
        out: Int64,
        step: Int64,
        lists: Lists,
        array_ptr: int,
        array_strides: Int64,
        threads: int = 1,
        shards: WriteShards | None = None,
    ) -> Int32:
        """Gather, encode and write ``n`` chunks to ``m`` files, each replaced in one piece.

        Parameters
        ----------
        root, keys, offsets
            As for :meth:`read_files`; directories below the root are made as needed.
        chunks : WriteChunks
        start, count, out, step, lists, array_ptr, array_strides
            As for :meth:`copy_rows`.
        threads : int
        shards : WriteShards or None
            Each file is a shard; else one chunk.

        Returns
        -------
        (m,) int32
            0 = written; ``READ_MISSING``: nothing but fill value, and not written for that; any
            other: not written.

        Raises
        ------
        ValueError
            The codec is not in :meth:`encoders_available`, columns do not fit together, or a row
            reaches outside its chunk: then nothing is written.
        """
        if chunks.codec not in self.encoders_available():
            raise ValueError(f"codec: {chunks.codec!r} is not available here")
        statuses = np.empty(len(offsets) - 1, np.int32)
        self._do.write_wave(
            path(root), keys, int64("offsets", offsets), chunks.temporary.encode(),
            CODECS.index(chunks.codec), chunks.crc32c, chunks.nbytes, chunks.shape,
            chunks.parameters,
            row_columns(start, count, out, step, lists, chunks.strides, array_ptr, array_strides,
                        chunks.itemsize, chunks.swap_unit, chunks.fill),
            chunks.write_empty, thread_count(threads),
            None if shards is None else (
                int64("first", shards.first), int64("slot", shards.slot), shards.slots,
                shards.crc32c, shards.at_end,
            ),
            statuses,
        )  # fmt: skip
        return statuses

    def zstd_compress(self, data: Buffer, level: int, *, checksum: bool = False) -> bytes:
        """Compress contiguous bytes to one zstd frame that states its content size.

        Parameters
        ----------
        data : bytes-like
        level : int
            -131072 to 22; 0 is the library's default.
        checksum : bool
            Whether the frame ends with a checksum of its content.
        """
        self.codecs_available()
        packed: bytes | None = self._do.zstd_compress(data, level, checksum)
        return zstd.compress(data, level, checksum) if packed is None else packed
