"""Headers of Blosc chunks: many streams per chunk (c-blosc, README_CHUNK_FORMAT).

1. ``native.blosc_streams`` checks headers and block tables, and lists every stream.
2. A chunk is decoded in one place: if one of its streams needs the host, all of them do.
3. Streams of zlib are deflate with two bytes in front and an Adler-32 behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.cuda.containers import (
    ZLIB_HEADER,
    ZLIB_TRAILER,
    Bool,
    Rows,
    plain_zlib,
    plain_zstd,
    zlib_check,
    zstd_check,
)
from cuzarr.cuda.inspected import (
    BIT_SHUFFLE,
    BYTE_SHUFFLE,
    DEVICE,
    Blocks,
    Inspection,
    Streams,
)

FORMATS: Final = {
    0: "Blosclz",
    1: "LZ4",
    2: "Snappy",
    3: "Deflate",
    4: "Zstd",
}  #: by the number in the header
_NAMES = ("blosclz", "lz4", "snappy", "zlib", "zstd")
_ZLIB, _ZSTD = 3, 4


def inspect_blosc(found: Inspection, of: Rows) -> None:
    """Place the chunks, and list their streams and blocks."""
    rows, nbytes = of.rows, of.nbytes
    table = native.blosc_streams(of.encoded.addresses(of.positions), of.sizes, nbytes)
    chunks = _Chunks(of, table)
    good, whys = chunks.good, []
    for number, fmt in FORMATS.items():
        which = chunks.coded_as(number)
        wanted = int(which.sum())
        if not wanted:
            continue
        where, why = of.placement.decide(fmt, wanted, of.waves)
        if where == "host":
            good[np.unique(table.chunk[which])] = False
            whys.append(f"{_NAMES[number]}: {why}")
            continue
        streams = chunks.streams.take(which)
        summed = chunks.streams.take(which & chunks.summed)
        if number == _ZSTD and len(summed):
            found.checks.append(zstd_check(summed))
        if number == _ZLIB:
            found.checks.append(zlib_check(streams))
            streams = streams.cut(ZLIB_HEADER, ZLIB_TRAILER)
        found.streams[fmt] = streams
        owners = rows[np.unique(table.chunk[which])]
        found.note(f"blosc ({_NAMES[number]})", "device", why, owners, wanted, nbytes)
    found.place[rows[good]] = DEVICE
    whole = good & table.memcpyed
    found.in_place[rows[whole]] = chunks.streams.source[table.first[:-1][whole]]
    plain = good.copy()
    plain[table.chunk[chunks.coded]] = False
    found.note("blosc (raw)", "device", "stored uncompressed", rows[plain], 0, nbytes)
    raw = table.raw & (good & ~whole)[table.chunk]
    if raw.any():
        found.streams["raw"] = chunks.streams.take(raw)
    _list_blocks(found, of, good & ~whole, table)
    found.note_host("blosc", "; ".join(whys) or "larger than expected, or malformed", nbytes)


@dataclass
class _Chunks:
    """The chunks and their streams.

    Attributes
    ----------
    form : (m,) int32
        Number of the format, -1 for chunks that are stored as they are.
    good : (m,) bool
        Chunks that a device can decode.
    coded, summed : (k,) bool
        Streams that are not stored raw; those that end with a checksum.
    """

    of: Rows
    table: native.BloscStreams

    def __post_init__(self) -> None:
        of, table = self.of, self.table
        self.streams = Streams(
            of.rows[table.chunk], of.positions[table.chunk] + table.source, table.source_size,
            table.destination, table.destination_size,
        )  # fmt: skip
        self.form = np.where(table.memcpyed, -1, table.format)
        self.coded: Bool = ~table.raw
        self.good: Bool = table.statuses == native.DecodeStatus.OK
        self.good &= table.first[1:] > table.first[:-1]
        lost = self.coded & (self.streams.size <= 0)
        self.summed = np.zeros(len(table), np.bool_)
        for number in (_ZSTD, _ZLIB):
            which = np.flatnonzero(self.coded & (self.form[table.chunk] == number))
            if len(which) == 0:
                continue
            streams = self.streams
            columns = (streams.source[which], streams.size[which], streams.length[which])
            if number == _ZSTD:
                plain, self.summed[which] = plain_zstd(of.encoded, *columns)
            else:
                plain = self.summed[which] = plain_zlib(of.encoded, *columns)
            lost[which] = ~plain
        self.good[table.chunk[lost]] = False

    def coded_as(self, number: int) -> npt.NDArray[np.bool_]:
        """Return the coded streams of one format in good chunks."""
        mine: Bool = self.good & (self.form == number)
        return self.coded & mine[self.table.chunk]


def _list_blocks(found: Inspection, of: Rows, good: Bool, table: native.BloscStreams) -> None:
    for kind in (BYTE_SHUFFLE, BIT_SHUFFLE):
        chunks = np.flatnonzero(good & (table.shuffle == kind))
        if len(chunks) == 0:
            continue
        counts = -(-of.nbytes // table.blocksize[chunks])
        chunk = np.repeat(chunks, counts)
        number = np.arange(len(chunk)) - np.repeat(np.cumsum(counts) - counts, counts)
        offset = number * table.blocksize[chunk]
        size = np.minimum(table.blocksize[chunk], of.nbytes - offset)
        found.shuffled[kind] = Blocks(of.rows[chunk], offset, size, table.typesize[chunk])
