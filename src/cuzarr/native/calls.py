"""The functions of :mod:`cuzarr.native`, over the C extension or over its Python twin.

1. Arguments are checked and brought to columns once, here, so both sides see the same.
2. Output columns are allocated here; the two implementations fill them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cuzarr.native.columns import int64, path, row_columns, thread_count, uint64
from cuzarr.native.encode_calls import EncodeCalls
from cuzarr.native.tables import (
    CODECS,
    BloscStreams,
    Bool,
    Buffer,
    FileSource,
    Int32,
    Int64,
    Lists,
    MemorySource,
    UInt64,
    WaveChunks,
    ZstdFrames,
)


class Calls(EncodeCalls):
    """One implementation of the native functions."""

    def read_files(
        self,
        root: str | bytes,
        keys: bytes,
        offsets: Int64,
        starts: Int64,
        lengths: Int64,
        slab: Buffer,
        threads: int = 1,
    ) -> tuple[Int64, Int64, Int32, int]:
        """Read byte ranges of many files into one slab.

        Parameters
        ----------
        root : str or bytes
            Directory that the keys are relative to.
        keys, offsets : bytes, (n + 1,) int64
            Key ``i`` is ``keys[offsets[i]:offsets[i + 1]]``. Consecutive equal keys share one
            descriptor. A symbolic link in the place of the file is not followed (``READ_ERRNO`` +
            ``ELOOP``); links in the place of directories are.
        starts, lengths : (n,) int64
            Range in bytes; a negative start counts from the end, length -1 reaches to the end.
        slab : writable bytes-like
        threads : int
            Threads that read, the calling one included. The GIL is released once.

        Returns
        -------
        positions : (n,) int64
            Multiples of 16; -1 unless the status is ``READ_OK``.
        sizes : (n,) int64
            Bytes read; bytes needed where the status is ``READ_NO_SPACE``; else -1.
        statuses : (n,) int32
            The ``READ_*`` values of :mod:`cuzarr.native.tables`.
        used : int
            End of the used part of the slab.

        Raises
        ------
        ValueError
            Columns of different lengths, offsets outside the keys, a length below -1.
        """
        n = len(starts)
        positions, sizes = np.empty(n, np.int64), np.empty(n, np.int64)
        statuses = np.empty(n, np.int32)
        used: int = self._do.read_files(
            path(root), keys, int64("offsets", offsets), int64("starts", starts),
            int64("lengths", lengths), slab, thread_count(threads), positions, sizes, statuses,
        )  # fmt: skip
        return positions, sizes, statuses, used

    def format_keys(
        self, prefix: str, coords: Int64, encoding: str, separator: str, suffix: str = ""
    ) -> tuple[bytes, Int64]:
        """Write the store keys of many chunks.

        Parameters
        ----------
        prefix, suffix : str
            Put before and after each key.
        coords : (n, d) int64
            Grid coordinates, none negative.
        encoding : {"default", "v2"}
            Zarr v3 chunk key encoding; ``default`` starts with ``c``.
        separator : {"/", "."}

        Returns
        -------
        keys : bytes
        offsets : (n + 1,) int64
            Key ``i`` is ``keys[offsets[i]:offsets[i + 1]]``.
        """
        if encoding not in ("default", "v2"):
            raise ValueError(f"encoding: expected 'default' or 'v2', found {encoding!r}")
        if separator not in ("/", "."):
            raise ValueError(f"separator: expected '/' or '.', found {separator!r}")
        coords = int64("coords", coords)
        if coords.ndim != 2:
            raise ValueError(f"coords: expected (n, d), found {coords.ndim} dimensions")
        n, d = coords.shape
        offsets = np.empty(n + 1, np.int64)
        keys: bytes = self._do.format_keys(
            prefix.encode(), coords, n, d, int(encoding == "default"), ord(separator),
            suffix.encode(), offsets,
        )  # fmt: skip
        return keys, offsets

    def copy_rows(
        self,
        scatter: bool,
        start: Int64,
        count: Int64,
        out: Int64,
        step: Int64,
        lists: Lists,
        chunk_ptrs: UInt64,
        chunk_strides: Int64,
        array_ptr: int,
        array_strides: Int64,
        itemsize: int,
        swap_unit: int,
        fill: bytes,
    ) -> None:
        """Copy between chunks and an array, as the rows of a plan say (``plan.PlanRows``).

        The addresses are trusted: every element that the rows name must lie in its memory.

        Parameters
        ----------
        scatter : bool
            True copies chunks to the array, False the array to chunks.
        start, count, out : (n, s) int64
        step : (s,) int64
        lists : tuple of s entries, None or (index, out_index)
        chunk_ptrs : (n,) uint64
            Address of element 0 of each chunk. 0 = missing: scatter writes the fill value, gather
            skips the row.
        chunk_strides, array_strides : (s,) int64
            Bytes per element along each axis.
        array_ptr : int
            Address of element 0 of the array.
        itemsize : int
            Bytes.
        swap_unit : {0, 2, 4, 8}
            Reverse the bytes of every such unit of each item (half an item for complex numbers).
        fill : bytes
            One item, in the byte order of the array.
        """
        self._do.copy_rows(
            scatter, uint64("chunk_ptrs", chunk_ptrs),
            row_columns(start, count, out, step, lists, chunk_strides, array_ptr, array_strides,
                  itemsize, swap_unit, fill),
        )  # fmt: skip

    def read_wave(
        self,
        source: FileSource | MemorySource,
        present: Bool,
        chunks: WaveChunks,
        start: Int64,
        count: Int64,
        out: Int64,
        step: Int64,
        lists: Lists,
        array_ptr: int,
        array_strides: Int64,
        threads: int = 1,
        first: Int64 | None = None,
    ) -> Int32:
        """Read, decode and scatter many chunks: ``read_files``, ``decode_batch``, ``copy_rows``.

        Of raw and Blosc chunks without a checksum only the bytes that the rows need are read and
        decoded; a corrupt part that holds only other bytes may go unnoticed, a wrong size may not.

        Parameters
        ----------
        source : FileSource or MemorySource
            ``(root, keys, offsets, starts, lengths)`` as for :meth:`read_files`, or
            ``(ptrs, sizes)``, where address 0 = missing.
        present : (n,) bool
            False = known to be missing.
        chunks : WaveChunks
        start, count, out, step, lists, array_ptr, array_strides
            As for :meth:`copy_rows`. The addresses of the array are trusted.
        threads : int
            Threads that work, the calling one included. The GIL is released once.
        first : (n + 1,) int64, or None
            Chunk ``i`` is decoded once and has the rows ``first[i] <= row < first[i + 1]``; None =
            row ``i`` alone.

        Returns
        -------
        (n,) int32
            0 for chunks that are done, missing ones (fill value) included; a ``READ_*`` status; or
            ``DECODED`` + a :class:`~cuzarr.native.tables.DecodeStatus`. What a chunk with another
            status than 0 leaves in its part of the array is undefined.

        Raises
        ------
        ValueError
            The codec is not in :meth:`codecs_available`, columns do not fit together, or a row
            reaches outside its chunk.
        """
        if chunks.codec not in self.codecs_available():
            raise ValueError(f"codec: {chunks.codec!r} is not available here")
        statuses = np.empty(len(present), np.int32)
        if len(source) == 2:
            columns: tuple[Any, ...] = (uint64("ptrs", source[0]), int64("sizes", source[1]))
        else:
            columns = (path(source[0]), source[1], *map(int64, _RANGES, source[2:]))
        self._do.read_wave(
            columns, present if present.flags.c_contiguous else present.copy(),
            CODECS.index(chunks.codec), chunks.crc32c, chunks.nbytes, chunks.limit, chunks.shape,
            row_columns(start, count, out, step, lists, chunks.strides, array_ptr, array_strides,
                  chunks.itemsize, chunks.swap_unit, chunks.fill),
            None if first is None else int64("first", first), thread_count(threads), statuses,
        )  # fmt: skip
        return statuses

    def decode_batch(
        self,
        codec: str,
        crc32c: bool,
        src_ptrs: UInt64,
        src_sizes: Int64,
        dst_ptrs: UInt64,
        dst_size: int,
        lo: Int64 | None = None,
        hi: Int64 | None = None,
        statuses: Int32 | None = None,
    ) -> Int32:
        """Decode many chunks of one decoded size; hostile bytes give a status, nothing worse.

        Parameters
        ----------
        codec : {"raw", "blosc", "zstd", "lz4"}
            ``lz4`` is the container of numcodecs: int32 size, then one block.
        crc32c : bool
            The last 4 bytes are the little-endian CRC-32C of the rest: verified first.
        src_ptrs, src_sizes : (n,) uint64, (n,) int64
            Encoded chunks; address 0 = missing, left alone with status 0.
        dst_ptrs : (n,) uint64
            Addresses of ``dst_size`` writable bytes each.
        dst_size : int
            Bytes that each chunk must decode to.
        lo, hi : (n,) int64, or None
            Only bytes ``lo[i] <= b < hi[i]`` of each decoded chunk, at that offset of its
            destination, are needed: the others are unspecified, and a corrupt part that holds only
            such bytes may go unnoticed.
        statuses : (n,) int32, or None
            Filled; allocated where None.

        Returns
        -------
        (n,) int32
            Values of :class:`~cuzarr.native.tables.DecodeStatus`.

        Raises
        ------
        ValueError
            The codec is not in :meth:`codecs_available`, or columns do not fit together.
        """
        if codec not in self.codecs_available():
            raise ValueError(f"codec: {codec!r} is not available here")
        src_ptrs = uint64("src_ptrs", src_ptrs)
        if statuses is None:
            statuses = np.empty(len(src_ptrs), np.int32)
        self._do.decode_batch(
            CODECS.index(codec), crc32c, src_ptrs, int64("src_sizes", src_sizes),
            uint64("dst_ptrs", dst_ptrs), int(dst_size),
            None if lo is None else int64("lo", lo), None if hi is None else int64("hi", hi),
            statuses,
        )  # fmt: skip
        return statuses

    def blosc_streams(self, ptrs: UInt64, sizes: Int64, nbytes: int) -> BloscStreams:
        """Find the compressed streams of many Blosc chunks, all bounds checked.

        Parameters
        ----------
        ptrs, sizes : (n,) uint64, (n,) int64
            Encoded chunks; address 0 = missing.
        nbytes : int
            Bytes that each chunk must decode to.

        Returns
        -------
        BloscStreams

        Raises
        ------
        ValueError
            Columns do not fit together, or the chunks changed during the call.
        """
        n = len(ptrs)
        ptrs, sizes = uint64("ptrs", ptrs), int64("sizes", sizes)
        statuses, form, shuffle = (np.empty(n, np.int32) for _ in range(3))
        counts, typesize, blocksize = (np.empty(n, np.int64) for _ in range(3))
        memcpyed = np.empty(n, np.bool_)
        self._do.blosc_count(
            ptrs, sizes, int(nbytes), statuses, counts, form, shuffle, memcpyed, typesize, blocksize
        )
        first = np.zeros(n + 1, np.int64)
        np.cumsum(counts, out=first[1:])
        m = int(first[-1])
        chunk, source, source_size, destination, destination_size = (
            np.empty(m, np.int64) for _ in range(5)
        )
        raw = np.empty(m, np.bool_)
        self._do.blosc_fill(
            ptrs, sizes, first, chunk, source, source_size, destination, destination_size, raw
        )
        return BloscStreams(
            statuses, form, shuffle, memcpyed, typesize, blocksize, first,
            chunk, source, source_size, destination, destination_size, raw,
        )  # fmt: skip

    def zstd_frames(self, ptrs: UInt64, sizes: Int64) -> ZstdFrames:
        """Walk the frames of many zstd buffers without decoding them.

        Parameters
        ----------
        ptrs, sizes : (n,) uint64, (n,) int64
            Buffers; address 0 = missing, which has no frames and status 0.

        Returns
        -------
        ZstdFrames
        """
        n = len(ptrs)
        statuses = np.empty(n, np.int32)
        columns = [np.empty(n, np.int64) for _ in range(6)]
        self._do.zstd_frames(uint64("ptrs", ptrs), int64("sizes", sizes), statuses, *columns)
        return ZstdFrames(statuses, *columns)

    def find_values(
        self, mapping: dict[str, Any], keys: bytes, offsets: Int64, starts: Int64, lengths: Int64
    ) -> tuple[list[Any], UInt64, Int64, Int32]:
        """Find byte ranges of many values of a dict, where they lie.

        Parameters
        ----------
        mapping : dict
            Itself, no subclass.
        keys, offsets, starts, lengths
            As for :meth:`read_files`.

        Returns
        -------
        owners : list
            Keeps the memory: the addresses hold as long as it lives.
        pointers : (n,) uint64
            0 unless the status is ``READ_OK``.
        sizes : (n,) int64
            Bytes; -1 unless the status is ``READ_OK``.
        statuses : (n,) int32
            ``READ_OK``, ``READ_MISSING``, ``READ_SHORT``, or -1: no contiguous buffer.
        """
        pointers, sizes, statuses = _addresses(len(starts))
        owners = self._do.find_values(
            mapping, keys, int64("offsets", offsets), int64("starts", starts),
            int64("lengths", lengths), pointers, sizes, statuses,
        )  # fmt: skip
        return owners, pointers, sizes, statuses

    def value_addresses(self, values: list[Any]) -> tuple[list[Any], UInt64, Int64, Int32]:
        """Find where bytes-like values lie; None is missing. Results as :meth:`find_values`."""
        pointers, sizes, statuses = _addresses(len(values))
        owners = self._do.value_addresses(values, pointers, sizes, statuses)
        return owners, pointers, sizes, statuses

    def copy_values(
        self, pointers: UInt64, sizes: Int64, positions: Int64, slab: Buffer, threads: int = 1
    ) -> None:
        """Copy many values into one slab; the GIL is released once.

        Parameters
        ----------
        pointers, sizes : (n,) uint64, (n,) int64
            The addresses are trusted; 0 = missing, skipped.
        positions : (n,) int64
            In the slab; where they overlap, any of the bytes may end up there.
        slab : writable bytes-like
        threads : int
            The calling one included.

        Raises
        ------
        ValueError
            A value reaches outside the slab.
        """
        self._do.copy_values(
            uint64("pointers", pointers), int64("sizes", sizes),
            int64("positions", positions), slab, thread_count(threads),
        )  # fmt: skip

    def crc32c(self, data: Buffer) -> int:
        """Return the CRC-32C (Castagnoli) of contiguous bytes."""
        crc: int = self._do.crc32c(data)
        return crc


_RANGES = ("offsets", "starts", "lengths")


def _addresses(n: int) -> tuple[UInt64, Int64, Int32]:
    return np.empty(n, np.uint64), np.empty(n, np.int64), np.empty(n, np.int32)
