"""Where the compressed streams of a Blosc 1 chunk lie: plain NumPy, independent of cuzarr.

1. :func:`streams` walks the block table of one chunk and returns the streams that a decompressor
   has to decode; streams that Blosc stored as they are, are counted apart.
2. :func:`blocks` says how the decoded bytes are cut, for :func:`unshuffle` to restore them.

Format: README_CHUNK_FORMAT.rst of c-blosc 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_HEADER = 16
_MIN_STREAM = 128


@dataclass(frozen=True, slots=True)
class Streams:
    """Streams of one chunk.

    Attributes
    ----------
    offsets, lengths : (n,) int64
        Compressed bytes, from the start of the chunk.
    targets, decoded : (n,) int64
        Where the decoded bytes belong in the (still shuffled) chunk, and how many.
    raw : list of (offset, target, length)
        Stored as they are.
    """

    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    decoded: npt.NDArray[np.int64]
    raw: list[tuple[int, int, int]]


def streams(chunk: bytes) -> Streams:
    """Return the streams of a chunk."""
    flags, typesize, nbytes, blocksize = _header(chunk)
    if flags & 2:  # stored whole
        empty = np.zeros(0, np.int64)
        return Streams(empty, empty, empty, empty, [(_HEADER, 0, nbytes)])
    coded, raw = [], []
    starts = np.frombuffer(chunk, "<i4", -(-nbytes // blocksize), _HEADER)
    for index, start in enumerate(starts.tolist()):
        at, target = start, index * blocksize
        size = min(blocksize, nbytes - target)
        split = not flags & 0x10 and typesize <= 16 and blocksize // typesize >= _MIN_STREAM
        parts = typesize if split and size == blocksize else 1
        for _ in range(parts):
            length = int.from_bytes(chunk[at : at + 4], "little")
            if length == size // parts:
                raw.append((at + 4, target, length))
            else:
                coded.append((at + 4, length, target, size // parts))
            at += 4 + length
            target += size // parts
    columns = np.array(coded, np.int64).reshape(-1, 4).T
    return Streams(columns[0], columns[1], columns[2], columns[3], raw)


def blocks(chunk: bytes) -> list[tuple[int, int]]:
    """Return (start, stop) of the blocks of the decoded chunk."""
    _, _, nbytes, blocksize = _header(chunk)
    return [(at, min(at + blocksize, nbytes)) for at in range(0, nbytes, blocksize)]


def unshuffle(decoded: npt.NDArray[np.uint8], chunk: bytes) -> npt.NDArray[np.uint8]:
    """Undo the shuffle of a chunk, of bytes or of bits (nothing to undo where no flag is set)."""
    flags, typesize, _, _ = _header(chunk)
    if not flags & 5 or flags & 2:
        return decoded
    out = decoded.copy()
    for start, stop in blocks(chunk):
        n = (stop - start) // typesize
        whole = start + n * typesize
        if flags & 1:
            out[start:whole] = decoded[start:whole].reshape(typesize, n).T.reshape(-1)
        elif n % 8 == 0:
            bits = np.unpackbits(decoded[start:whole], bitorder="little").reshape(-1, n)
            out[start:whole] = np.packbits(bits.T, bitorder="little")
    return out


def _header(chunk: bytes) -> tuple[int, int, int, int]:
    """Return flags, typesize, nbytes, blocksize."""
    return (
        chunk[2], chunk[3], int.from_bytes(chunk[4:8], "little"),
        int.from_bytes(chunk[8:12], "little"),
    )  # fmt: skip
