"""Headers of zstd, gzip, zlib and of numcodecs' LZ4: one stream per chunk.

A chunk goes to the device if its header is the usual one and agrees with the metadata; what is
rare (several members, dictionaries, names in headers) is the host's, as is what looks damaged.

Formats: RFC 8878 (zstd), 1952 (gzip), 1950 (zlib), 1951 (deflate).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.cuda import nvcomp
from cuzarr.cuda.fetch import EncodedWave
from cuzarr.cuda.inspected import (
    DEVICE,
    HOST,
    Inspection,
    Int64,
    StreamCheck,
    Streams,
)
from cuzarr.cuda.placement import Placement

GZIP_HEADER, GZIP_TRAILER = 10, 8
ZLIB_HEADER, ZLIB_TRAILER = 2, 4
ZSTD_TRAILER = 4
LZ4_HEADER = 4
_SMALLEST_DEFLATE = 2
_DEFLATE_RATIO = 1032  #: decoded bytes per byte of deflate, at most: 258 for two bits
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """Chunks of a wave whose headers are to be read.

    Attributes
    ----------
    encoded : EncodedWave
    rows, positions, sizes : (m,) int64
        Of the wave; start in the slab; bytes of the container.
    nbytes : int
        That each decodes to.
    placement : Placement
    waves : int
        Waves like this one that a device decodes at the same time.
    """

    encoded: EncodedWave
    rows: Int64
    positions: Int64
    sizes: Int64
    nbytes: int
    placement: Placement
    waves: int

    @property
    def lengths(self) -> Int64:
        """Decoded bytes of each, (m,)."""
        return np.full(len(self.rows), self.nbytes, np.int64)

    def streams(self, which: Bool) -> Streams:
        """Return one stream for each of some chunks."""
        rows, positions, sizes = self.rows[which], self.positions[which], self.sizes[which]
        return Streams.whole(rows, positions, sizes, self.nbytes)

    def bytes_at(self, at: Int64, count: int, least: int) -> npt.NDArray[np.uint8]:
        """Return (m, count) bytes; zeros for chunks of fewer than ``least`` bytes."""
        large = self.sizes >= least
        found = np.zeros((len(self.rows), count), np.uint8)
        found[large] = self.encoded.peek(at[large], count)
        return found


def plain_zstd(
    encoded: EncodedWave, source: Int64, sizes: Int64, lengths: Int64
) -> tuple[Bool, Bool]:
    """Return whether each is one zstd frame that nvCOMP decodes, and whether it has a checksum.

    A frame may leave out its decoded length, as those of TensorStore do; the length that the
    metadata gives is then what the decoder must report.
    """
    frames = native.zstd_frames(encoded.addresses(source), sizes)
    plain: Bool = (
        (frames.statuses == native.DecodeStatus.OK)
        & (frames.frames == 1)
        & (frames.skippable == 0)
        & (frames.dictionary == 0)
        & ((frames.content_size == lengths) | (frames.content_size == -1))
        & (np.maximum(sizes, lengths) <= nvcomp.MAX_STREAM["Zstd"])
    )
    return plain, plain & (frames.checksums == 1)


def plain_zlib(encoded: EncodedWave, source: Int64, sizes: Int64, lengths: Int64) -> Bool:
    """Whether each is a zlib stream without a dictionary, whose deflate data begins soundly."""
    long_enough = sizes >= ZLIB_HEADER + _SMALLEST_DEFLATE + ZLIB_TRAILER
    head = np.zeros((len(source), ZLIB_HEADER), np.int64)
    head[long_enough] = encoded.peek(source[long_enough], ZLIB_HEADER)
    method, flags = head.T
    header = (
        long_enough
        & (method & 15 == 8)
        & (method >> 4 <= 7)
        & ((256 * method + flags) % 31 == 0)
        & (flags & 0x20 == 0)
    )
    inside = sizes - ZLIB_HEADER - ZLIB_TRAILER
    return plain_deflate(encoded, source + ZLIB_HEADER, inside, lengths, header)


def plain_deflate(
    encoded: EncodedWave, source: Int64, sizes: Int64, lengths: Int64, which: Bool
) -> Bool:
    """Whether each of some begins with a block that there is, and may be as long as expected."""
    found: Bool = (
        which
        & (sizes >= _SMALLEST_DEFLATE)
        & (lengths <= _DEFLATE_RATIO * sizes)
        & (np.maximum(sizes, lengths) <= nvcomp.MAX_STREAM["Deflate"])
    )
    kind = encoded.peek(source[found], 1)[:, 0] >> 1 & 3
    stored = np.flatnonzero(found)[kind == 0]
    found[np.flatnonzero(found)[kind == 3]] = False
    found[stored[sizes[stored] < _STORED_HEADER]] = False
    stored = stored[sizes[stored] >= _STORED_HEADER]
    # RFC 1951, 3.2.4: the length, and its complement, behind the bits that end the first byte
    head = encoded.peek(source[stored], _STORED_HEADER).astype(np.int64)
    length, complement = head[:, 1] + 256 * head[:, 2], head[:, 3] + 256 * head[:, 4]
    bad = (length + complement != 0xFFFF) | (_STORED_HEADER + length > sizes[stored])
    found[stored[bad]] = False
    return found


_STORED_HEADER = 5


def _zstd(found: Inspection, of: Rows) -> None:
    usual, summed = plain_zstd(of.encoded, of.positions, of.sizes, of.lengths)
    why = "unusual frames: several, a dictionary, or another content size"
    if _decide(found, of, usual, "Zstd", "zstd", why) and summed.any():
        found.checks.append(zstd_check(of.streams(summed)))


def zstd_check(streams: Streams) -> StreamCheck:
    """Return the check of frames that end with a checksum."""
    return StreamCheck("xxh64", big_endian=False, streams=streams.last(ZSTD_TRAILER))


def _gzip(found: Inspection, of: Rows) -> None:
    """Members with the ten-byte header; CRC-32 and size are at the end."""
    least = GZIP_HEADER + _SMALLEST_DEFLATE + GZIP_TRAILER
    head = of.bytes_at(of.positions, 4, least)
    size = of.bytes_at(of.positions + of.sizes - 4, 4, least).copy().view("<u4")[:, 0]
    usual = (head == (0x1F, 0x8B, 8, 0)).all(axis=1) & (size == of.nbytes % 2**32)
    inside = of.sizes - GZIP_HEADER - GZIP_TRAILER
    usual = plain_deflate(of.encoded, of.positions + GZIP_HEADER, inside, of.lengths, usual)
    why = "unusual members: several, a name, or another size"
    if _decide(found, of, usual, "Deflate", "gzip", why, GZIP_HEADER, GZIP_TRAILER):
        stored = of.streams(usual).last(GZIP_TRAILER)
        found.checks.append(StreamCheck("crc32", big_endian=False, streams=stored))


def _zlib(found: Inspection, of: Rows) -> None:
    usual = plain_zlib(of.encoded, of.positions, of.sizes, of.lengths)
    why = "a dictionary, or a damaged header"
    if _decide(found, of, usual, "Deflate", "zlib", why, ZLIB_HEADER, ZLIB_TRAILER):
        found.checks.append(zlib_check(of.streams(usual)))


def zlib_check(streams: Streams) -> StreamCheck:
    """Return the check of zlib streams."""
    return StreamCheck("adler32", big_endian=True, streams=streams.last(ZLIB_TRAILER))


def _lz4(found: Inspection, of: Rows) -> None:
    """The decoded size, int32, then one block."""
    size = of.bytes_at(of.positions, LZ4_HEADER, LZ4_HEADER + 1).copy().view("<i4")[:, 0]
    usual = (of.sizes > LZ4_HEADER) & (size == of.nbytes)
    _decide(found, of, usual, "LZ4", "lz4", "another size than the metadata gives", LZ4_HEADER)


def _decide(
    found: Inspection,
    of: Rows,
    usual: Bool,
    fmt: str,
    name: str,
    why_not: str,
    lead: int = 0,
    trail: int = 0,
) -> bool:
    """Place the usual chunks by their number; whether they go to the device.

    Parameters
    ----------
    lead, trail : int
        Bytes of the container in front of the stream, and behind it.
    """
    rows = of.rows[usual]
    where, why = of.placement.decide(fmt, len(rows), of.waves)
    found.note(name, where, why, rows, len(rows), of.nbytes)
    unusual = np.setdiff1d(np.flatnonzero(found.place == HOST), rows)
    found.note(name, "host", why_not, unusual, len(unusual), of.nbytes)
    if where == "host" or len(rows) == 0:
        return False
    found.place[rows] = DEVICE
    found.streams[fmt] = of.streams(usual).cut(lead, trail)
    return True


CONTAINERS: Final[dict[str, Callable[[Inspection, Rows], None]]] = {
    "zstd": _zstd, "gzip": _gzip, "zlib": _zlib, "lz4": _lz4,
}  # fmt: skip
