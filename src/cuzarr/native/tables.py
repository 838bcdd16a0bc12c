"""Status values and result tables of :mod:`cuzarr.native`.

The integers equal those of ``native.h``; the read statuses equal ``cuzarr.storage.base.Status``,
which this package may not import (it sits below the stores).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]
Lists = tuple[tuple[Int64, Int64] | None, ...]
Buffer = bytes | bytearray | memoryview | npt.NDArray[Any]

READ_OK, READ_MISSING, READ_SHORT, READ_NO_SPACE, READ_ERRNO = 0, 1, 2, 3, 1000

FileSource = tuple[str | bytes, bytes, Int64, Int64, Int64]
MemorySource = tuple[UInt64, Int64]

DECODED = 100  #: + a DecodeStatus, in the statuses of ``read_wave``
SLAB_ALIGN = 16  #: bytes; positions in a slab are multiples
MAX_AXES = 64  #: of NumPy


class DecodeStatus(IntEnum):
    """Outcome of one chunk in ``decode_batch``, ``blosc_streams`` or ``zstd_frames``."""

    OK = 0
    HEADER = 1  #: not that codec, or a header that contradicts itself
    SIZE = 2  #: decodes to another number of bytes than the metadata says
    CORRUPT = 3  #: the codec failed
    CHECKSUM = 4  #: the stored CRC-32C is not that of the bytes
    TRUNCATED = 5  #: the bytes end early

    @property
    def cause(self) -> str:
        """What went wrong, for an error message."""
        return _CAUSES[self]


_CAUSES = {
    DecodeStatus.OK: "no error",
    DecodeStatus.HEADER: "the header is not that of this codec, or contradicts itself",
    DecodeStatus.SIZE: "the decoded size is not the one the metadata gives",
    DecodeStatus.CORRUPT: "the compressed data is corrupt",
    DecodeStatus.CHECKSUM: "the stored CRC-32C checksum is not that of the bytes",
    DecodeStatus.TRUNCATED: "the data ends early",
}

CODECS = ("raw", "blosc", "zstd", "lz4")  #: in the order of native.h

BLOSC_FORMATS = ("blosclz", "lz4", "snappy", "zlib", "zstd")  #: by the number in the header


@dataclass(frozen=True, slots=True)
class BloscStreams:
    """Independent compressed streams of ``n`` Blosc chunks, and what undoes their shuffle.

    Every stream lies inside its chunk, and the destinations of a good chunk cover its decoded
    bytes exactly once. A memcpyed chunk is one raw stream, and not shuffled. Chunks that are
    missing (address 0), empty, or have a status other than ``OK`` have no stream.

    What lies inside a stream is not looked at: see ``zstd_frames`` for those of format 4.

    Attributes
    ----------
    statuses : (n,) int32
        :class:`DecodeStatus`; all the columns of a bad chunk are 0.
    format : (n,) int32
        Index into ``BLOSC_FORMATS``; of no meaning where ``memcpyed``.
    shuffle : (n,) int32
        0 none, 1 bytes, 2 bits; per block of ``blocksize`` decoded bytes.
    memcpyed : (n,) bool
    typesize, blocksize : (n,) int64
        Bytes. The last block of a chunk may be shorter.
    first : (n + 1,) int64
        Streams of chunk ``i`` are the rows ``first[i] <= row < first[i + 1]``.
    chunk : (m,) int64
        Chunk of each stream.
    source, source_size : (m,) int64
        Bytes from the start of the chunk; the stream itself, without its size field.
    destination, destination_size : (m,) int64
        Bytes from the start of the decoded, still shuffled chunk.
    raw : (m,) bool
        The stream is stored uncompressed: source and destination sizes are equal.
    """

    statuses: Int32
    format: Int32
    shuffle: Int32
    memcpyed: Bool
    typesize: Int64
    blocksize: Int64
    first: Int64
    chunk: Int64
    source: Int64
    source_size: Int64
    destination: Int64
    destination_size: Int64
    raw: Bool

    def __len__(self) -> int:
        return len(self.chunk)


@dataclass(frozen=True, slots=True)
class ZstdFrames:
    """What the frame and block headers of ``n`` zstd buffers say.

    Attributes
    ----------
    statuses : (n,) int32
        :class:`DecodeStatus`; the other columns then hold what came before the error.
    frames, skippable : (n,) int64
        Data frames and skippable frames.
    checksums : (n,) int64
        Data frames that end with a checksum.
    content_size : (n,) int64
        Decoded bytes of all frames; -1 where one of them does not say.
    window_size : (n,) int64
        Largest window in bytes.
    dictionary : (n,) int64
        First dictionary id that is not 0.
    """

    statuses: Int32
    frames: Int64
    skippable: Int64
    checksums: Int64
    content_size: Int64
    window_size: Int64
    dictionary: Int64


@dataclass(frozen=True, slots=True)
class WaveChunks:
    """What the chunks of a wave have in common.

    Attributes
    ----------
    codec : str
        "raw", "blosc", "zstd" or "lz4".
    crc32c : bool
        A checksum stands behind the encoded bytes.
    nbytes : int
        Decoded size.
    limit : int
        Most bytes of a file that are read for a chunk; more is ``READ_NO_SPACE``.
    shape : (s,) int64, or None
        Elements of a chunk along each axis of the rows, given where a whole chunk is one
        contiguous piece of the array and decodes to just what goes there.
    strides : (s,) int64
        Bytes per element of a decoded chunk along each axis of the rows.
    itemsize, swap_unit, fill
        As for ``copy_rows``.
    """

    codec: str
    crc32c: bool
    nbytes: int
    limit: int
    shape: Int64 | None
    strides: Int64
    itemsize: int
    swap_unit: int
    fill: bytes


@dataclass(frozen=True, slots=True)
class WriteChunks:
    """What the chunks that one call writes have in common.

    Attributes
    ----------
    codec : str
        "raw", "blosc" or "zstd".
    crc32c : bool
        Put a checksum behind the encoded bytes.
    parameters : tuple
        Of zstd: level, and whether the frame ends with a checksum. Of Blosc: level, number of the
        shuffle, typesize, block size in bytes, name of the compressor, and threads for one chunk.
    nbytes : int
        Of one decoded chunk, in bytes.
    shape : (s,) int64
        Elements of a chunk along each axis of the rows; what a row leaves of it is fill value.
    strides, itemsize, swap_unit
        As for ``copy_rows``.
    fill : bytes
        One item, as it is stored.
    write_empty : bool
        Also write chunks of nothing but fill value.
    temporary : str
        Beginning of the names of files that are not complete.
    """

    codec: str
    crc32c: bool
    parameters: tuple[int | str, ...]
    nbytes: int
    shape: Int64
    strides: Int64
    itemsize: int
    swap_unit: int
    fill: bytes
    write_empty: bool
    temporary: str


@dataclass(frozen=True, slots=True)
class WriteShards:
    """Which shards the chunks of a call go to: all of what each shard holds.

    Attributes
    ----------
    first : (m + 1,) int64
        Shard ``i`` holds the chunks ``first[i] <= chunk < first[i + 1]``.
    slot : (n,) int64
        Place of each chunk in the index of its shard; ascending in each shard.
    slots : int
        Of an index.
    crc32c : bool
        A checksum stands behind the index.
    at_end : bool
        Whether the index follows the chunks, or precedes them.
    """

    first: Int64
    slot: Int64
    slots: int
    crc32c: bool
    at_end: bool
