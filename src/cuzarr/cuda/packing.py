"""What is around compressed streams: how the encoded chunks of a wave are put together.

1. A :class:`Container` says how a chunk is cut into streams, and which blocks are shuffled before.
   All chunks of an array are of one size, so this is the same for each.
2. ``pack`` takes the sizes that the compressor reported and returns :class:`Packing`: the size of
   every encoded chunk and the pieces that it is made of. A piece is copied from a compressed
   stream, from decoded bytes (what does not compress is stored), or from ``blob``, the headers,
   which are made here, on the host.

Formats: zstd and gzip streams are whole files of theirs; zlib (RFC 1950) is the inside of a gzip
member (RFC 1952) between a header of two bytes and an Adler-32; LZ4 of numcodecs has the decoded
size in front (int32, little endian); Blosc 1 is that of c-blosc's README_CHUNK_FORMAT.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.blosc import BloscCodec
from cuzarr.cuda.encode_steps import Compressor

Int64 = npt.NDArray[np.int64]
Source = Literal["blob", "stream", "shuffled", "decoded"]

_SPLIT_STREAM = 32 * 2**10  #: bytes of a stream that holds one byte of every element
_BLOCK = 64 * 2**10  #: bytes of a block that is one stream
_LEAST = 128  #: bytes below which c-blosc stores, and elements below which it does not split
_MAX_SPLITS = 16
_BLOSC_FORMATS: Final = {"lz4": 1, "zstd": 4}
_MEMCPYED, _SHUFFLE, _BITSHUFFLE, _ONE_STREAM = 2, 1, 4, 0x10
#: What a gzip member begins with that has no more than its ten bytes of header.
GZIP_MAGIC: Final = b"\x1f\x8b\x08\0"
GZIP_HEADER, _GZIP_TRAILER = 10, 8
_ZLIB_HEADER = b"\x78\x9c"  #: deflate, window of 32 KiB, default level


def _none() -> Int64:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Pieces:
    """Pieces of encoded chunks that come from one place.

    Attributes
    ----------
    source : {"blob", "stream", "shuffled", "decoded"}
    chunk : (k,) int64
        Row of the chunk.
    offset : (k,) int64
        In the blob; the number of the stream in the wave, ``chunk * streams + i``; or in the chunk.
    at : (k,) int64
        Position in the encoded chunk.
    size : (k,) int64
    skip : int
        Bytes to leave out in front, of streams.
    """

    source: Source
    chunk: Int64
    offset: Int64
    at: Int64
    size: Int64
    skip: int = 0


@dataclass(frozen=True)
class Packing:
    """How the encoded chunks of a wave are put together.

    Attributes
    ----------
    sizes : (n,) int64
        Bytes of each encoded chunk, without what a checksum codec adds.
    blob : uint8 array
    pieces : list of Pieces
    adler : (n,) int64 or None
        Where the Adler-32 of the decoded bytes goes, in each encoded chunk.
    """

    sizes: Int64
    blob: npt.NDArray[np.uint8]
    pieces: list[Pieces]
    adler: Int64 | None = None


@dataclass(frozen=True, kw_only=True)
class Container:
    """A chunk as streams.

    Attributes
    ----------
    nbytes : int
        Of a decoded chunk.
    offset, length : (s,) int64
        Of the streams, in the chunk; none where nothing is compressed.
    block_offset, block_size : (b,) int64
        Of the blocks that are shuffled.
    typesize : int
        Bytes of an element, to the shuffle.
    shuffle : str or None
        The kernel.
    """

    nbytes: int
    offset: Int64 = field(default_factory=_none)
    length: Int64 = field(default_factory=_none)
    block_offset: Int64 = field(default_factory=_none)
    block_size: Int64 = field(default_factory=_none)
    typesize: int = 1
    shuffle: str | None = None

    @property
    def streams(self) -> int:
        """Streams of a chunk."""
        return len(self.offset)

    def pack(self, sizes: Int64) -> Packing:
        """Put chunks together from the sizes of their streams, (n, s) int64."""
        raise NotImplementedError


class RawContainer(Container):
    """The decoded bytes."""

    def pack(self, sizes: Int64) -> Packing:
        """Copy the chunks."""
        n = len(sizes)
        rows, zeros = np.arange(n), np.zeros(n, np.int64)
        whole = np.full(n, self.nbytes)
        return Packing(whole, np.zeros(0, np.uint8), [Pieces("decoded", rows, zeros, zeros, whole)])


@dataclass(frozen=True, kw_only=True)
class StreamContainer(Container):
    """One stream with bytes around it.

    Attributes
    ----------
    header : bytes
    zlib : bool
        The stream is a gzip member, whose inside is wanted; an Adler-32 follows.
    """

    header: bytes = b""
    zlib: bool = False

    def pack(self, sizes: Int64) -> Packing:
        """Put the header before each stream."""
        n, lead = len(sizes), len(self.header)
        skip, behind = (GZIP_HEADER, _GZIP_TRAILER) if self.zlib else (0, 0)
        body = sizes[:, 0] - skip - behind
        rows, zeros = np.arange(n), np.zeros(n, np.int64)
        pieces = [Pieces("stream", rows, rows, zeros + lead, body, skip)]
        if lead:
            pieces.append(Pieces("blob", rows, zeros, zeros, zeros + lead))
        blob = np.frombuffer(self.header, np.uint8)
        if not self.zlib:
            return Packing(lead + body, blob, pieces)
        return Packing(lead + body + 4, blob, pieces, lead + body)


@dataclass(frozen=True, kw_only=True)
class BloscContainer(Container):
    """Blosc 1: header, positions of the blocks, and per stream its size and its bytes.

    Attributes
    ----------
    head : (16,) uint8 array
        The header, but for the encoded size and the flag of chunks that are stored.
    first : (b,) int64
        First stream of each block.
    """

    head: npt.NDArray[np.uint8]
    first: Int64 = field(default_factory=_none)

    def pack(self, sizes: Int64) -> Packing:
        """Put chunks together; a stream, or a chunk, that does not get shorter is stored."""
        n, s = sizes.shape
        b = len(self.first)
        plain = sizes >= self.length
        stored = np.where(plain, self.length, sizes)
        ends = 16 + 4 * b + np.cumsum(4 + stored, axis=1)
        at = ends - 4 - stored
        total = ends[:, -1] if s else np.full(n, self.nbytes + 17)
        whole = total > self.nbytes + 16
        total = np.where(whole, self.nbytes + 16, total)
        heads = np.zeros((n, 16 + 4 * b), np.uint8)
        heads[:, :16] = self.head
        heads[whole, 2] |= _MEMCPYED
        heads[:, 12:16] = total.astype("<u4")[:, None].view(np.uint8)
        heads[:, 16:] = np.ascontiguousarray(at[:, self.first], "<i4").view(np.uint8)
        blob = np.concatenate((heads.reshape(-1), stored.astype("<i4").reshape(-1).view(np.uint8)))
        rows, coded = np.arange(n), np.flatnonzero(~whole)
        zeros = np.zeros(n, np.int64)
        pieces = [
            Pieces("blob", rows, rows * heads.shape[1], zeros, np.where(whole, 16, heads.shape[1])),
            _some("decoded", rows[whole], 0, 16, self.nbytes),
        ]
        numbers = np.arange(n * s).reshape(n, s)
        owner = np.broadcast_to(rows[:, None], (n, s))
        inside = np.broadcast_to(self.offset, (n, s))
        keep = np.zeros((n, s), np.bool_)
        keep[coded] = True
        pieces.append(_some("blob", owner[keep], heads.size + 4 * numbers[keep], at[keep], 4))
        raw: Source = "decoded" if self.shuffle is None else "shuffled"
        bodies: list[tuple[npt.NDArray[np.bool_], Source, Int64]] = [
            (keep & ~plain, "stream", numbers),
            (keep & plain, raw, inside),
        ]
        for which, source, where in bodies:
            pieces.append(_some(source, owner[which], where[which], at[which] + 4, stored[which]))
        return Packing(total, blob, pieces)


def container_of(compressor: Compressor, nbytes: int, itemsize: int) -> Container:
    """Return the container of chunks of ``nbytes`` whose elements have ``itemsize`` bytes."""
    if compressor.kind == "raw":
        return RawContainer(nbytes=nbytes)
    if compressor.kind == "blosc":
        assert compressor.blosc is not None
        return _blosc_container(compressor, compressor.blosc, nbytes, itemsize)
    header = b""
    if compressor.kind == "lz4":
        header = nbytes.to_bytes(4, "little")
    elif compressor.kind == "zlib":
        header = _ZLIB_HEADER
    return StreamContainer(
        nbytes=nbytes, offset=np.zeros(1, np.int64),
        length=np.array([nbytes]), header=header, zlib=compressor.kind == "zlib",
    )  # fmt: skip


def _blosc_container(
    compressor: Compressor, codec: BloscCodec, nbytes: int, itemsize: int
) -> BloscContainer:
    typesize = codec.typesize or itemsize
    if typesize > 255 or nbytes % typesize:
        typesize = 1
    kind = codec.shuffle
    if kind == "autoshuffle":
        kind = "bitshuffle" if typesize == 1 else "shuffle"
    if kind == "shuffle" and typesize == 1:
        kind = "noshuffle"
    split = compressor.format == "LZ4" and kind == "shuffle" and typesize <= _MAX_SPLITS
    wanted = codec.blocksize or (_SPLIT_STREAM * typesize if split else _BLOCK)
    unit = 16 * typesize  # whole elements, eight at a time, where every stream may begin
    blocksize = min(max(1, wanted // unit) * unit, nbytes)
    split = split and blocksize // typesize >= _LEAST
    flags = {"shuffle": _SHUFFLE, "bitshuffle": _BITSHUFFLE}.get(kind, 0)
    flags |= _BLOSC_FORMATS.get(codec.cname, 0) << 5 | (0 if split else _ONE_STREAM)
    head = np.zeros(16, np.uint8)
    head[:4] = 2, 1, flags, typesize
    head[4:12] = np.array([nbytes, blocksize], "<u4").view(np.uint8)
    if compressor.format is None or nbytes < _LEAST:
        return BloscContainer(nbytes=nbytes, head=head)
    starts = np.arange(0, nbytes, blocksize)
    sizes = np.minimum(blocksize, nbytes - starts)
    per_block = np.where(sizes == blocksize, typesize, 1) if split else np.ones(len(sizes), int)
    first = np.cumsum(per_block) - per_block
    length = np.repeat(sizes // per_block, per_block)
    inside = np.arange(len(length)) - np.repeat(first, per_block)
    return BloscContainer(
        nbytes=nbytes, offset=np.repeat(starts, per_block) + inside * length, length=length,
        block_offset=starts, block_size=sizes, typesize=typesize,
        shuffle={"shuffle": "blosc_shuffle", "bitshuffle": "blosc_bitshuffle"}.get(kind),
        head=head, first=first,
    )  # fmt: skip


def _some(
    source: Source, chunk: Int64, offset: Int64 | int, at: Int64 | int, size: Int64 | int
) -> Pieces:
    zeros = np.zeros(len(chunk), np.int64)
    return Pieces(source, chunk, zeros + offset, zeros + at, zeros + size)
