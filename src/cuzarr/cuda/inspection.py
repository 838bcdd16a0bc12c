"""The headers of a wave's chunks, read on the host while their bytes are there.

1. Every row gets a place: missing, device or host. A chunk whose header is unusual, or says
   something else than the metadata, goes to the host, whose codecs decode it or name the fault.
2. For the device rows, tables of streams are made: per nvCOMP format, and those stored raw.
3. Blosc blocks that are shuffled are listed, to be unshuffled after decoding.

In ``checked`` mode stored checksums in front of a decompression are verified here, before a
decoder sees the bytes: what nvCOMP does with corrupt zstd is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.cuda import nvcomp
from cuzarr.cuda.fetch import EncodedWave
from cuzarr.cuda.placement import Placement
from cuzarr.cuda.steps import ChainSteps
from cuzarr.engine.pool import pool, threads
from cuzarr.engine.report import PlacementRecord, Where

Int64 = npt.NDArray[np.int64]
MISSING, DEVICE, HOST = 0, 1, 2
BYTE_SHUFFLE, BIT_SHUFFLE = 1, 2
BLOSC_FORMATS = {1: "LZ4", 4: "Zstd"}
_BLOSC_NAMES = ("blosclz", "lz4", "snappy", "zlib", "zstd")
_CRC_BYTES = 4


@dataclass(frozen=True, slots=True)
class Streams:
    """Pieces of chunks, (k,) int64 each.

    ``size`` bytes at ``source`` of the slab become ``length`` bytes at ``target`` of the decoded
    chunk of row ``owner``.
    """

    owner: Int64
    source: Int64
    size: Int64
    target: Int64
    length: Int64

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, which: npt.NDArray[np.bool_]) -> Streams:
        """Return some of them."""
        return Streams(
            self.owner[which], self.source[which], self.size[which], self.target[which],
            self.length[which],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blocks:
    """Shuffled Blosc blocks, (k,) each: ``size`` bytes at ``offset`` of the decoded chunk."""

    owner: Int64
    offset: Int64
    size: Int64
    typesize: Int64


@dataclass
class Inspection:
    """What is to be done for a wave.

    Attributes
    ----------
    place : (n,) int8 array
        MISSING, DEVICE or HOST.
    in_place : (n,) int64 array
        Position in the slab of chunks that are stored decoded, else -1.
    streams : dict of str to Streams
        By nvCOMP format; "raw" for those to be copied.
    shuffled : dict of int to Blocks
        By kind of shuffle.
    checksums : (n,) bool array
        Rows whose CRC-32C is to be verified on the device.
    records : list of PlacementRecord
    """

    place: npt.NDArray[np.int8]
    in_place: Int64
    checksums: npt.NDArray[np.bool_]
    streams: dict[str, Streams] = field(default_factory=dict)
    shuffled: dict[int, Blocks] = field(default_factory=dict)
    records: list[PlacementRecord] = field(default_factory=list)


def inspect(
    encoded: EncodedWave, steps: ChainSteps, placement: Placement, nbytes: int, waves: int = 1
) -> Inspection:
    """Read the headers of a wave.

    Parameters
    ----------
    nbytes : int
        Of a decoded chunk.
    waves : int
        Waves like this one that a device decodes at the same time.
    """
    place = np.where(encoded.missing, MISSING, HOST).astype(np.int8)
    n = len(place)
    found = Inspection(place, np.full(n, -1, np.int64), np.zeros(n, np.bool_))
    rows = np.flatnonzero(encoded.positions >= 0)
    if not steps.on_device:
        _note_host(found, steps.host_codec, "no device step", nbytes)
        return found
    if placement.mode == "host" and steps.compressor is not None:
        _note_host(found, steps.host_codec, placement.decide("LZ4", 0)[1], nbytes)
        return found
    sizes = encoded.sizes - (_CRC_BYTES if steps.crc32c else 0)
    if steps.compressor is None:
        fits = rows[sizes[rows] == nbytes]
        found.place[fits], found.in_place[fits] = DEVICE, encoded.positions[fits]
        found.checksums[fits] = steps.crc32c
        step = "crc32c" if steps.crc32c else "copy"
        _note(found, step, "device", "no decompression", fits, 0, nbytes)
        _note_host(found, steps.host_codec, "not of the size that the metadata gives", nbytes)
        return found
    rows = rows[sizes[rows] >= 0]
    if steps.crc32c:
        if placement.mode == "checked":
            rows = rows[_checksums_hold(encoded, rows)]
        else:
            found.checksums[rows] = True
    if steps.compressor == "zstd":
        _inspect_zstd(found, encoded, rows, sizes, placement, nbytes, waves)
    else:
        _inspect_blosc(found, encoded, rows, sizes, placement, nbytes, waves)
    found.checksums &= found.place == DEVICE
    return found


def host_only(encoded: EncodedWave, steps: ChainSteps, why: str, nbytes: int) -> Inspection:
    """Return the inspection of a wave that stays on the host altogether."""
    place = np.where(encoded.missing, MISSING, HOST).astype(np.int8)
    n = len(place)
    found = Inspection(place, np.full(n, -1, np.int64), np.zeros(n, np.bool_))
    _note_host(found, steps.host_codec, why, nbytes)
    return found


def _inspect_zstd(
    found: Inspection,
    encoded: EncodedWave,
    rows: Int64,
    sizes: Int64,
    placement: Placement,
    nbytes: int,
    waves: int,
) -> None:
    usual = _plain_frames(
        _addresses(encoded, encoded.positions[rows]), sizes[rows], np.full(len(rows), nbytes)
    )
    candidates = rows[usual]
    where, why = placement.decide("Zstd", len(candidates), waves)
    _note(found, "zstd", where, why, candidates, len(candidates), nbytes)
    if where == "device" and len(candidates):
        found.place[candidates] = DEVICE
        found.streams["Zstd"] = Streams(
            candidates, encoded.positions[candidates], sizes[candidates],
            np.zeros(len(candidates), np.int64), np.full(len(candidates), nbytes),
        )  # fmt: skip
    unusual = np.setdiff1d(np.flatnonzero(found.place == HOST), candidates)
    why = "unusual frames: several, a dictionary, or no content size"
    _note(found, "zstd", "host", why, unusual, len(unusual), nbytes)


def _inspect_blosc(
    found: Inspection,
    encoded: EncodedWave,
    rows: Int64,
    sizes: Int64,
    placement: Placement,
    nbytes: int,
    waves: int,
) -> None:
    base = _addresses(encoded, encoded.positions[rows])
    table = native.blosc_streams(base, sizes[rows], nbytes)
    streams = Streams(
        rows[table.chunk], encoded.positions[rows[table.chunk]] + table.source, table.source_size,
        table.destination, table.destination_size,
    )  # fmt: skip
    good = (table.statuses == native.DecodeStatus.OK) & (table.first[1:] > table.first[:-1])
    form = np.where(table.memcpyed, -1, table.format)
    coded = ~table.raw
    whys: list[str] = []
    # A chunk is decoded in one place: every stream that is not raw needs a decoder there.
    lost = coded & ((streams.size == 0) | ~np.isin(form[table.chunk], list(BLOSC_FORMATS)))
    zstd = np.flatnonzero(coded & (form[table.chunk] == 4) & (streams.size > 0))
    if len(zstd):
        plain = _plain_frames(
            _addresses(encoded, streams.source[zstd]), streams.size[zstd], streams.length[zstd]
        )
        lost[zstd[~plain]] = True
    good[table.chunk[lost]] = False
    for number, fmt in BLOSC_FORMATS.items():
        mine = good & (form == number)
        wanted = int((coded & mine[table.chunk]).sum())
        where, why = placement.decide(fmt, wanted, waves)
        if where == "host" and wanted:
            good[np.unique(table.chunk[coded & mine[table.chunk]])] = False
            whys.append(f"{_BLOSC_NAMES[number]}: {why}")
        elif wanted:
            which = coded & mine[table.chunk]
            found.streams[fmt] = streams.take(which)
            chunks = rows[np.unique(table.chunk[which])]
            _note(found, f"blosc ({_BLOSC_NAMES[number]})", "device", why, chunks, wanted, nbytes)
    device = rows[good]
    found.place[device] = DEVICE
    whole = good & table.memcpyed
    found.in_place[rows[whole]] = streams.source[table.first[:-1][whole]]
    plain = good.copy()
    plain[table.chunk[coded]] = False
    _note(found, "blosc (raw)", "device", "stored uncompressed", rows[plain], 0, nbytes)
    raw = table.raw & (good & ~whole)[table.chunk]
    if raw.any():
        found.streams["raw"] = streams.take(raw)
    _list_blocks(found, rows, good & ~whole, table, nbytes)
    unusual = sorted({_BLOSC_NAMES[number] for number in form[~good & (form >= 0)].tolist()})
    if unusual and not whys:
        whys.append(f"no device step: {', '.join(unusual)}")
    why = "; ".join(whys) or "larger than expected, or malformed"
    _note_host(found, "blosc", why, nbytes)


def _list_blocks(
    found: Inspection,
    rows: Int64,
    good: npt.NDArray[np.bool_],
    table: native.BloscStreams,
    nbytes: int,
) -> None:
    for kind in (BYTE_SHUFFLE, BIT_SHUFFLE):
        chunks = np.flatnonzero(good & (table.shuffle == kind))
        if len(chunks) == 0:
            continue
        counts = -(-nbytes // table.blocksize[chunks])
        chunk = np.repeat(chunks, counts)
        number = np.arange(len(chunk)) - np.repeat(np.cumsum(counts) - counts, counts)
        offset = number * table.blocksize[chunk]
        size = np.minimum(table.blocksize[chunk], nbytes - offset)
        found.shuffled[kind] = Blocks(rows[chunk], offset, size, table.typesize[chunk])


def _plain_frames(
    addresses: npt.NDArray[np.uint64], sizes: Int64, lengths: Int64
) -> npt.NDArray[np.bool_]:
    """Whether each is one zstd frame as nvCOMP documents it, of the decoded length expected."""
    frames = native.zstd_frames(addresses, sizes)
    plain: npt.NDArray[np.bool_] = (
        (frames.statuses == native.DecodeStatus.OK)
        & (frames.frames == 1)
        & (frames.skippable == 0)
        & (frames.dictionary == 0)
        & (frames.content_size == lengths)
        & (np.maximum(sizes, lengths) <= nvcomp.MAX_STREAM["Zstd"])
    )
    return plain


def _addresses(encoded: EncodedWave, positions: Int64) -> npt.NDArray[np.uint64]:
    if encoded.slab is None:
        return np.zeros(len(positions), np.uint64)
    return (encoded.slab.array.ctypes.data + positions).astype(np.uint64)


def _checksums_hold(encoded: EncodedWave, rows: Int64) -> npt.NDArray[np.bool_]:
    """Verify the CRC-32C of rows on the pool."""
    holds = np.zeros(len(rows), np.bool_)

    def check(first: int, last: int) -> None:
        for j in range(first, last):
            data = encoded.view(int(rows[j]))
            stored = int.from_bytes(data[-_CRC_BYTES:], "little")
            holds[j] = native.crc32c(data[:-_CRC_BYTES]) == stored

    run = max(1, -(-len(rows) // threads()))
    tasks = [pool().submit(check, i, min(i + run, len(rows))) for i in range(0, len(rows), run)]
    for task in tasks:
        task.result()
    return holds


def _note(
    found: Inspection,
    step: str,
    where: Where,
    why: str,
    rows: Int64,
    streams: int,
    nbytes: int,
) -> None:
    if len(rows):
        record = PlacementRecord(step, where, why, len(rows), streams, len(rows) * nbytes)
        found.records.append(record)


def _note_host(found: Inspection, step: str, why: str, nbytes: int) -> None:
    rows = np.flatnonzero(found.place == HOST)
    _note(found, step, "host", why, rows, len(rows), nbytes)
