"""What was found in the headers of a wave's chunks, and what is to be done for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.checks import Kind
from cuzarr.engine.report import PlacementRecord, Where

Int64 = npt.NDArray[np.int64]
MISSING, DEVICE, HOST = 0, 1, 2
BYTE_SHUFFLE, BIT_SHUFFLE = 1, 2


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

    @classmethod
    def whole(cls, owner: Int64, source: Int64, size: Int64, nbytes: int) -> Streams:
        """Return one stream for each chunk."""
        n = len(owner)
        return cls(owner, source, size, np.zeros(n, np.int64), np.full(n, nbytes, np.int64))

    def take(self, which: npt.NDArray[np.bool_]) -> Streams:
        """Return some of them."""
        return Streams(
            self.owner[which], self.source[which], self.size[which], self.target[which],
            self.length[which],
        )  # fmt: skip

    def cut(self, lead: int, trail: int) -> Streams:
        """Return them without bytes at their source's start and end."""
        source, size = self.source + lead, self.size - lead - trail
        return Streams(self.owner, source, size, self.target, self.length)

    def last(self, trail: int) -> Streams:
        """Return the last bytes of each source."""
        return Streams(
            self.owner, self.source + self.size - trail, np.full_like(self.size, trail),
            self.target, self.length,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blocks:
    """Shuffled Blosc blocks, (k,) each: ``size`` bytes at ``offset`` of the decoded chunk."""

    owner: Int64
    offset: Int64
    size: Int64
    typesize: Int64

    def take(self, which: npt.NDArray[np.bool_]) -> Blocks:
        """Return some of the blocks."""
        return Blocks(self.owner[which], self.offset[which], self.size[which], self.typesize[which])


@dataclass(frozen=True, slots=True)
class StreamCheck:
    """A checksum of what each stream decodes to, stored at its ``source``."""

    kind: Kind
    big_endian: bool
    streams: Streams


@dataclass
class Inspection:
    """What is to be done for a wave.

    Attributes
    ----------
    place : (n,) int8 array
        MISSING, DEVICE or HOST.
    in_place : (n,) int64 array
        Position in the slab of chunks that are stored as the compressor would give them, else -1.
    outer : (n,) bool array
        Rows whose checksums in front of the compressor are to be verified on the device.
    streams : dict of str to Streams
        By format, of nvCOMP or ``decompress.OWN``; "raw" for those to be copied.
    checks : list of StreamCheck
    shuffled : dict of int to Blocks
        By kind of shuffle.
    records : list of PlacementRecord
    """

    place: npt.NDArray[np.int8]
    in_place: Int64
    outer: npt.NDArray[np.bool_]
    streams: dict[str, Streams] = field(default_factory=dict)
    checks: list[StreamCheck] = field(default_factory=list)
    shuffled: dict[int, Blocks] = field(default_factory=dict)
    records: list[PlacementRecord] = field(default_factory=list)

    @classmethod
    def of(cls, missing: npt.NDArray[np.bool_]) -> Inspection:
        """Return one that leaves every chunk that is there to the host."""
        place = np.where(missing, MISSING, HOST).astype(np.int8)
        n = len(place)
        return cls(place, np.full(n, -1, np.int64), np.zeros(n, np.bool_))

    def note(
        self, step: str, where: Where, why: str, rows: Int64, streams: int, nbytes: int
    ) -> None:
        """Record where the chunks of ``rows`` are decoded, ``nbytes`` each."""
        if len(rows):
            record = PlacementRecord(step, where, why, len(rows), streams, len(rows) * nbytes)
            self.records.append(record)

    def note_host(self, step: str, why: str, nbytes: int) -> None:
        """Record what is left to the host."""
        rows = np.flatnonzero(self.place == HOST)
        self.note(step, "host", why, rows, len(rows), nbytes)
