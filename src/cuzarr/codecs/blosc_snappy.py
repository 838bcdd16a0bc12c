"""Blosc chunks of Snappy streams, which the Blosc of numcodecs is built without.

1. :func:`decompress_container` walks the blocks and streams of a container whose header has been
   checked, and takes the shuffle back.
2. :func:`decompress_snappy` decodes one stream (Snappy's "compressed format description").

Plain Python: chunks like these are rare, and every length is checked.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes

SNAPPY = 2  #: bits 5 to 7 of the flags of a header
_HEADER, _INT = 16, 4
_BYTE_SHUFFLE, _BIT_SHUFFLE, _NOT_SPLIT = 0x1, 0x4, 0x10
_MAX_SPLITS, _MIN_STREAM = 16, 128
Octets = npt.NDArray[np.uint8]


def decompress_container(data: Bytes) -> Octets:
    """Decode a Blosc container.

    Raises
    ------
    ValueError
        A stream is corrupt, or ends outside the container.
    """
    raw = memoryview(data).cast("B")
    flags, typesize = raw[2], raw[3]
    nbytes, blocksize = (int.from_bytes(raw[at : at + _INT], "little") for at in (4, 8))
    out = np.empty(nbytes, np.uint8)
    for i in range(-(-nbytes // blocksize)):
        at = _HEADER + _INT * i
        at = int.from_bytes(raw[at : at + _INT], "little")
        size = min(blocksize, nbytes - i * blocksize)
        whole = size == blocksize and blocksize % typesize == 0
        split = not flags & _NOT_SPLIT and typesize <= _MAX_SPLITS and whole
        streams = typesize if split and blocksize // typesize >= _MIN_STREAM else 1
        parts = []
        for _ in range(streams):
            length = int.from_bytes(raw[at : at + _INT], "little", signed=True)
            at += _INT
            if not 0 <= length <= len(raw) - at:
                raise ValueError("corrupt: a Blosc stream ends outside the container")
            stream = raw[at : at + length]
            at += length
            stored = length == size // streams
            parts.append(bytes(stream) if stored else decompress_snappy(stream, size // streams))
        block = np.frombuffer(b"".join(parts), np.uint8)
        out[i * blocksize : i * blocksize + size] = _unshuffled(block, flags, typesize)
    return out


def decompress_snappy(stream: memoryview, size: int) -> bytes:
    """Decode one Snappy stream of ``size`` bytes; ``ValueError`` where it is corrupt."""
    length = shift = at = 0
    while True:
        byte = _take(stream, at, 1)
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if length != size:
        raise ValueError(f"expected {size} bytes, the Snappy stream says {length}")
    out = bytearray()
    while at < len(stream):
        tag = stream[at]
        at += 1
        kind = tag & 3
        if kind == 0:  # a literal
            count = tag >> 2
            if count >= 60:
                width = count - 59
                count = _take(stream, at, width)
                at += width
            count += 1
            if count > len(stream) - at:
                raise ValueError("truncated Snappy literal")
            out += stream[at : at + count]
            at += count
        else:
            count = (tag >> 2 & 7) + 4 if kind == 1 else (tag >> 2) + 1
            width = (1, 2, 4)[kind - 1]
            offset = _take(stream, at, width) | (tag >> 5 << 8 if kind == 1 else 0)
            at += width
            if not 0 < offset <= len(out):
                raise ValueError("a Snappy copy from before the start")
            piece = bytes(out[-offset:])[:count]
            out += (piece * -(-count // len(piece)))[:count]
        if len(out) > size:
            raise ValueError(f"more than the expected {size} bytes")
    if len(out) != size:
        raise ValueError(f"expected {size} bytes, found {len(out)}")
    return bytes(out)


def _take(stream: memoryview, at: int, width: int) -> int:
    if at + width > len(stream):
        raise ValueError("truncated Snappy stream")
    return int.from_bytes(stream[at : at + width], "little")


def _unshuffled(block: Octets, flags: int, typesize: int) -> Octets:
    n = len(block) // typesize
    body, rest = block[: n * typesize], block[n * typesize :]
    if flags & _BYTE_SHUFFLE and typesize > 1:
        body = body.reshape(typesize, n).T.reshape(-1)
    elif flags & _BIT_SHUFFLE and n % 8 == 0 and n:
        # Row ``byte * 8 + bit`` has that bit of all elements, the first of them lowest.
        bits = np.unpackbits(body.reshape(typesize * 8, n // 8), axis=1, bitorder="little")
        body = np.packbits(bits.T.reshape(n, typesize, 8), axis=2, bitorder="little").reshape(-1)
    return np.concatenate((body, rest))
