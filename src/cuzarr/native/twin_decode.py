"""Twin of ``decode.c``, ``blosc.c`` and ``zstd.c``: the codecs of numcodecs, chunk by chunk."""

from __future__ import annotations

from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc, lz4, zstd

from cuzarr.native import formats
from cuzarr.native.memory import memory
from cuzarr.native.tables import CODECS, Bool, Buffer, DecodeStatus, Int32, Int64, UInt64


def decode_batch(
    codec: int, crc32c: bool, src_ptrs: UInt64, src_sizes: Int64, dst_ptrs: UInt64, dst_size: int,
    lo: Int64 | None, hi: Int64 | None, statuses: Int32, /,
) -> None:  # fmt: skip
    """Decode chunk by chunk with numcodecs."""
    n = len(src_ptrs)
    if dst_size < 0:
        raise ValueError("dst_size: negative")
    if (lo is None) != (hi is None):
        raise ValueError("lo, hi: expected both or none")
    for name, column in (
        ("src_sizes", src_sizes), ("dst_ptrs", dst_ptrs), ("statuses", statuses), ("lo", lo),
        ("hi", hi),
    ):  # fmt: skip
        if column is not None and len(column) != n:
            raise ValueError(f"{name}: expected {n} items, found {len(column)}")
    if lo is not None and hi is not None and np.any((lo < 0) | (lo > hi) | (hi > dst_size)):
        raise ValueError("lo, hi: outside the decoded chunk")
    if np.any((src_ptrs != 0) & ((src_sizes < 0) | ((dst_ptrs == 0) & (dst_size > 0)))):
        raise ValueError("src_sizes, dst_ptrs: negative size or null destination")
    statuses[:] = DecodeStatus.OK
    for i in np.flatnonzero(src_ptrs).tolist():
        first, last = (0, dst_size) if lo is None or hi is None else (int(lo[i]), int(hi[i]))
        source = memory(int(src_ptrs[i]), int(src_sizes[i])).toreadonly()
        target = memory(int(dst_ptrs[i]), dst_size)
        try:
            if crc32c:
                source = _checked(source)
            _DECODERS[CODECS[codec]](source, target, first, last)
        except formats.FormatError as error:
            statuses[i] = error.status
        except (RuntimeError, ValueError):  # what the codecs of numcodecs raise
            statuses[i] = DecodeStatus.CORRUPT


def blosc_count(
    ptrs: UInt64, sizes: Int64, nbytes: int, statuses: Int32, counts: Int64, form: Int32,
    shuffle: Int32, memcpyed: Bool, typesize: Int64, blocksize: Int64, /,
) -> None:  # fmt: skip
    """Check every chunk and count its streams."""
    _same_length(ptrs, sizes, statuses, counts, form, shuffle, memcpyed, typesize, blocksize)
    _not_negative(ptrs, sizes)
    for column in (statuses, counts, form, shuffle, memcpyed, typesize, blocksize):
        column[:] = 0
    for i in np.flatnonzero(ptrs).tolist():
        try:
            header, streams = _blosc_chunk(int(ptrs[i]), int(sizes[i]), nbytes)
        except formats.FormatError as error:
            statuses[i] = error.status
            continue
        counts[i], form[i], shuffle[i] = len(streams), header.format, header.shuffle
        memcpyed[i] = header.memcpyed
        typesize[i], blocksize[i] = header.typesize, header.blocksize


def blosc_fill(
    ptrs: UInt64, sizes: Int64, first: Int64, chunk: Int64, source: Int64, source_size: Int64,
    destination: Int64, destination_size: Int64, raw: Bool, /,
) -> None:  # fmt: skip
    """Write the streams that :func:`blosc_count` counted."""
    _same_length(ptrs, sizes, first[1:])
    _same_length(chunk, source, source_size, destination, destination_size, raw)
    _not_negative(ptrs, sizes)
    if first[0] != 0 or first[-1] != len(chunk) or np.any(np.diff(first) < 0):
        raise ValueError("first: not ascending from 0 to the number of streams")
    for i in np.flatnonzero(np.diff(first)).tolist():
        rows = slice(int(first[i]), int(first[i + 1]))
        try:
            _, streams = _blosc_chunk(int(ptrs[i]), int(sizes[i]), None)
        except formats.FormatError:
            streams = []
        if len(streams) != rows.stop - rows.start:
            raise ValueError("the chunks changed while they were parsed")
        chunk[rows] = i
        source[rows] = [stream.source for stream in streams]
        source_size[rows] = [stream.source_size for stream in streams]
        destination[rows] = [stream.destination for stream in streams]
        destination_size[rows] = [stream.destination_size for stream in streams]
        raw[rows] = [stream.raw for stream in streams]


def zstd_frames(
    ptrs: UInt64, sizes: Int64, statuses: Int32, frames: Int64, skippable: Int64,
    checksums: Int64, content_size: Int64, window_size: Int64, dictionary: Int64, /,
) -> None:  # fmt: skip
    """Walk every buffer."""
    columns = (statuses, frames, skippable, checksums, content_size, window_size, dictionary)
    _same_length(ptrs, sizes, *columns)
    _not_negative(ptrs, sizes)
    for column in columns:
        column[:] = 0
    for i in np.flatnonzero(ptrs).tolist():
        info = formats.zstd_scan(memory(int(ptrs[i]), int(sizes[i])))
        statuses[i], frames[i], skippable[i] = info.status, len(info.frames), info.skippable
        checksums[i], content_size[i] = info.checksums, info.content_size
        window_size[i], dictionary[i] = info.window_size, info.dictionary


def zstd_compress(data: Buffer, level: int, checksum: bool, /) -> bytes:
    """Compress to one frame with numcodecs."""
    return bytes(zstd.compress(data, level, checksum))


def crc32c(data: Buffer, /) -> int:
    """Return the CRC-32C of contiguous bytes."""
    return int(google_crc32c.value(bytes(data)))


def _same_length(*columns: npt.NDArray[Any]) -> None:
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"columns of different lengths: {[len(column) for column in columns]}")


def _not_negative(ptrs: UInt64, sizes: Int64) -> None:
    if np.any((ptrs != 0) & (sizes < 0)):
        raise ValueError("sizes: negative")


def _blosc_chunk(
    ptr: int, size: int, nbytes: int | None
) -> tuple[formats.BloscHeader, list[formats.BloscStream]]:
    data = memory(ptr, size)
    header = formats.blosc_header(data)
    if nbytes is not None and header.nbytes != nbytes:
        raise formats.FormatError(DecodeStatus.SIZE)
    if header.memcpyed and header.nbytes:
        raw = formats.BloscStream(formats.BLOSC_HEADER, header.nbytes, 0, header.nbytes)
        return header, [raw]
    return header, [
        stream
        for block in range(header.blocks)
        for stream in formats.blosc_block(data, header, block)
    ]


def _checked(source: memoryview) -> memoryview:
    if len(source) < 4:
        raise formats.FormatError(DecodeStatus.TRUNCATED)
    body = source[:-4]
    if crc32c(body) != int.from_bytes(source[-4:], "little"):
        raise formats.FormatError(DecodeStatus.CHECKSUM)
    return body


def _decode_raw(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    if len(source) != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    target[lo:hi] = source[lo:hi]


def _decode_blosc(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    header = formats.blosc_header(source)
    if header.nbytes != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    if lo >= hi:
        return
    if not header.memcpyed:
        for block in range(header.blocks):
            formats.blosc_block(source, header, block)
    blosc.decompress(source, np.frombuffer(target, np.uint8))


def _decode_zstd(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    del lo, hi
    info = formats.zstd_scan(source)
    if info.status != DecodeStatus.OK:
        raise formats.FormatError(info.status)
    if info.content_size not in (-1, len(target)):
        raise formats.FormatError(DecodeStatus.SIZE)
    parts = [zstd.decompress(source[first:last]) for first, last in info.frames]
    if sum(map(len, parts)) != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    target[:] = b"".join(parts)


def _decode_lz4(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    del lo, hi
    if len(source) < 4:
        raise formats.FormatError(DecodeStatus.TRUNCATED)
    size = int.from_bytes(source[:4], "little", signed=True)
    if size < 0 or len(source) > 2**31 - 1:
        raise formats.FormatError(DecodeStatus.HEADER)
    if size != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    target[:] = lz4.decompress(source)


_DECODERS = {"raw": _decode_raw, "blosc": _decode_blosc, "zstd": _decode_zstd, "lz4": _decode_lz4}
