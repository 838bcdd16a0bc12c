"""Container formats, parsed in Python: the oracle of ``zstd.c`` and ``blosc.c``.

1. :func:`zstd_scan` walks Zstandard frames (RFC 8878, section 3.1) without decoding.
2. :func:`blosc_header` and :func:`blosc_block` read a Blosc 1 chunk: 16-byte header, block table,
   streams.

Nothing outside the given bytes is ever named: every size is checked against what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

from cuzarr.native.tables import DecodeStatus

ZSTD_MAGIC = 0xFD2FB528
ZSTD_SKIPPABLE = 0x184D2A50  #: the low 4 bits are free
ZSTD_MAX_BLOCK = 128 * 1024
INT64_MAX = 2**63 - 1

BLOSC_HEADER = 16
MAX_SPLITS = 16
MIN_SPLIT_ELEMENTS = 128


class FormatError(ValueError):
    """The bytes are not what the format says; ``status`` tells how."""

    def __init__(self, status: DecodeStatus) -> None:
        self.status = status
        super().__init__(status.cause)


@dataclass(slots=True)
class ZstdInfo:
    """What the headers of a zstd buffer say; ``frames`` holds (first, last) byte of data frames."""

    status: DecodeStatus
    frames: list[tuple[int, int]]
    skippable: int = 0
    checksums: int = 0
    content_size: int = 0
    window_size: int = 0
    dictionary: int = 0


def zstd_scan(data: memoryview) -> ZstdInfo:
    """Walk every frame; what was seen before an error is kept."""
    info = ZstdInfo(DecodeStatus.OK, [])
    at, size = 0, len(data)
    try:
        while at < size or at == 0:
            if size - at < 4:
                raise FormatError(DecodeStatus.TRUNCATED)
            magic = _le(data[at : at + 4])
            if magic == ZSTD_MAGIC:
                end = _zstd_frame(data, at + 4, info)
                info.frames.append((at, end))
                at = end
            elif magic & ~15 == ZSTD_SKIPPABLE:
                if size - at < 8 or size - at - 8 < _le(data[at + 4 : at + 8]):
                    raise FormatError(DecodeStatus.TRUNCATED)
                at += 8 + _le(data[at + 4 : at + 8])
                info.skippable += 1
            else:
                raise FormatError(DecodeStatus.HEADER if at == 0 else DecodeStatus.CORRUPT)
    except FormatError as error:
        info.status = error.status
    return info


@dataclass(frozen=True, slots=True)
class BloscHeader:
    """The header of a Blosc chunk, checked; ``shuffle`` is 0 for memcpyed chunks."""

    format: int
    shuffle: int
    memcpyed: int
    split: int
    typesize: int
    nbytes: int
    blocksize: int
    blocks: int


@dataclass(frozen=True, slots=True)
class BloscStream:
    """One compressed stream; offsets in bytes from the chunk's start, and in the decoded chunk."""

    source: int
    source_size: int
    destination: int
    destination_size: int

    @property
    def raw(self) -> bool:
        """Whether the stream is stored uncompressed."""
        return self.source_size == self.destination_size


def blosc_header(data: memoryview) -> BloscHeader:
    """Check the header and the room for the block table; raises :class:`FormatError`."""
    size = len(data)
    if size < BLOSC_HEADER:
        raise FormatError(DecodeStatus.TRUNCATED)
    version, version_of_codec, flags, typesize = data[:4]
    nbytes, blocksize, cbytes = (_le(data[at : at + 4]) for at in (4, 8, 12))
    memcpyed = flags >> 1 & 1
    if version != 2 or flags & 8 or typesize == 0:
        raise FormatError(DecodeStatus.HEADER)
    if nbytes > 2**31 - 1 - BLOSC_HEADER or blocksize > 2**31 - 1:
        raise FormatError(DecodeStatus.HEADER)
    if cbytes != size:
        raise FormatError(DecodeStatus.TRUNCATED if cbytes > size else DecodeStatus.HEADER)
    kind = flags >> 5
    if nbytes == 0:
        return BloscHeader(kind, 0, memcpyed, 0, typesize, 0, blocksize, 0)
    if not 0 < blocksize <= nbytes:
        raise FormatError(DecodeStatus.HEADER)
    blocks = -(-nbytes // blocksize)
    if memcpyed:
        if cbytes != nbytes + BLOSC_HEADER:
            raise FormatError(DecodeStatus.HEADER)
        return BloscHeader(kind, 0, 1, 0, typesize, nbytes, blocksize, blocks)
    split = (
        not flags & 0x10 and typesize <= MAX_SPLITS and blocksize // typesize >= MIN_SPLIT_ELEMENTS
    )
    if (
        kind > 4
        or version_of_codec != 1
        or blocks > (cbytes - BLOSC_HEADER) // 4
        # the streams of a split block must cover it
        or (split and blocksize % typesize)
    ):
        raise FormatError(DecodeStatus.HEADER)
    shuffle = int(typesize > 1) if flags & 1 else 2 if flags & 4 else 0
    return BloscHeader(kind, shuffle, 0, int(split), typesize, nbytes, blocksize, blocks)


def blosc_block(data: memoryview, header: BloscHeader, block: int) -> list[BloscStream]:
    """Return the streams of one block; raises :class:`FormatError`."""
    at = _le_signed(data, BLOSC_HEADER + 4 * block)
    first = block * header.blocksize
    length = min(header.blocksize, header.nbytes - first)
    count = header.typesize if header.split and length == header.blocksize else 1
    if at < BLOSC_HEADER + 4 * header.blocks:
        raise FormatError(DecodeStatus.CORRUPT)
    streams = []
    for s in range(count):
        if at > len(data) - 4:
            raise FormatError(DecodeStatus.CORRUPT)
        size = _le_signed(data, at)
        at += 4
        if not 0 < size <= len(data) - at:  # no format has an empty stream
            raise FormatError(DecodeStatus.CORRUPT)
        streams.append(BloscStream(at, size, first + s * (length // count), length // count))
        at += size
    return streams


def _zstd_frame(data: memoryview, at: int, info: ZstdInfo) -> int:
    size = len(data)
    if at >= size:
        raise FormatError(DecodeStatus.TRUNCATED)
    descriptor = data[at]
    at += 1
    single, checksum = bool(descriptor & 0x20), bool(descriptor & 4)
    of_content = (int(single), 2, 4, 8)[descriptor >> 6]
    of_dictionary = (0, 1, 2, 4)[descriptor & 3]
    if descriptor & 8:
        raise FormatError(DecodeStatus.HEADER)
    if size - at < (not single) + of_dictionary + of_content:
        raise FormatError(DecodeStatus.TRUNCATED)
    window = 0
    if not single:
        base = 1 << (10 + (data[at] >> 3))
        window = base + base // 8 * (data[at] & 7)
        at += 1
    dictionary = _le(data[at : at + of_dictionary])
    at += of_dictionary
    content = _le(data[at : at + of_content]) + (256 if of_content == 2 else 0)
    at += of_content
    if content > INT64_MAX:
        raise FormatError(DecodeStatus.HEADER)
    info.dictionary = info.dictionary or dictionary
    info.window_size = max(info.window_size, content if single else window)
    if not of_content or info.content_size < 0:
        info.content_size = -1
    elif content > INT64_MAX - info.content_size:
        raise FormatError(DecodeStatus.HEADER)
    else:
        info.content_size += content
    info.checksums += checksum
    last = False
    while not last:
        if size - at < 3:
            raise FormatError(DecodeStatus.TRUNCATED)
        header = _le(data[at : at + 3])
        at += 3
        last, kind, length = bool(header & 1), header >> 1 & 3, header >> 3
        if kind == 3 or length > ZSTD_MAX_BLOCK:
            raise FormatError(DecodeStatus.CORRUPT)
        if kind == 1:  # run-length block: one byte, repeated
            length = 1
        if size - at < length:
            raise FormatError(DecodeStatus.TRUNCATED)
        at += length
    if size - at < 4 * checksum:
        raise FormatError(DecodeStatus.TRUNCATED)
    return at + 4 * checksum


def _le(data: memoryview) -> int:
    return int.from_bytes(data, "little")


def _le_signed(data: memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little", signed=True)
