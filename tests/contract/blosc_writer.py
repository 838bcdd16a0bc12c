"""A Blosc 1 writer for the tests, with the freedom that c-blosc's has not.

1. Any block size and typesize, so blocks with leftover bytes and odd element counts occur.
2. Streams can be forced to be stored raw, and blocks to be split or not.

Written after the format's description (README_CHUNK_FORMAT of c-blosc), not after its code.
"""

from __future__ import annotations

import numcodecs.lz4
import numcodecs.zstd
import numpy as np

FORMATS = {"lz4": 1, "snappy": 2, "zstd": 4}


def blosc_container(
    data: bytes,
    *,
    typesize: int,
    blocksize: int,
    shuffle: int = 0,
    cname: str = "lz4",
    split: bool = True,
    raw_every: int = 0,
    checksum: bool = False,
) -> bytes:
    """Return ``data`` as a Blosc chunk.

    Parameters
    ----------
    shuffle : {0, 1, 2}
        None, bytes, bits.
    raw_every : int
        Store every such stream raw although it compresses; 0 for none.
    checksum : bool
        End the frames of zstd with one.
    """
    elements, rest = divmod(blocksize, typesize)
    can_split = split and typesize <= 16 and elements >= 128 and rest == 0
    flags = FORMATS[cname] << 5 | (0 if split else 0x10) | {0: 0, 1: 1, 2: 4}[shuffle]
    blocks = [data[i : i + blocksize] for i in range(0, len(data), blocksize)]
    body, starts, count = b"", [], 0
    for block in blocks:
        starts.append(16 + 4 * len(blocks) + len(body))
        packed = shuffled(block, typesize, shuffle)
        parts = typesize if can_split and len(block) == blocksize else 1
        size = len(packed) // parts
        for part in (packed[k * size : (k + 1) * size] for k in range(parts)):
            count += 1
            stream = compressed(part, cname, checksum=checksum)
            if len(stream) >= len(part) or (raw_every and count % raw_every == 0):
                stream = part
            body += len(stream).to_bytes(4, "little") + stream
    total = 16 + 4 * len(blocks) + len(body)
    header = bytes([2, 1, flags, typesize])
    header += b"".join(n.to_bytes(4, "little") for n in (len(data), blocksize, total))
    return header + b"".join(s.to_bytes(4, "little") for s in starts) + body


def memcpyed_container(data: bytes, typesize: int) -> bytes:
    """Return ``data`` as a Blosc chunk that holds it as it is."""
    head = bytes([2, 1, 0x02 | 1 << 5, typesize])
    sizes = (len(data), len(data), len(data) + 16)
    return head + b"".join(n.to_bytes(4, "little") for n in sizes) + data


def compressed(part: bytes, cname: str, *, checksum: bool = False) -> bytes:
    """Return one stream."""
    if cname == "lz4":
        return bytes(numcodecs.lz4.compress(part))[4:]  # without numcodecs' size field
    if cname == "snappy":
        return snappy_stream(part)
    return bytes(numcodecs.zstd.compress(part, 3, checksum))


def snappy_stream(part: bytes) -> bytes:
    """Return a Snappy stream of literals, and of copies wherever the last four bytes repeat."""
    out = varint(len(part))
    at = start = 0
    while at < len(part):
        found = part.rfind(part[at : at + 4], max(0, at - 70_000), at + 3) if at else -1
        if found < 0 or at + 4 > len(part):
            at += 1
            continue
        offset, count = at - found, 4
        while at + count < len(part) and part[at + count - offset] == part[at + count]:
            count += 1
        out += literal(part[start:at])
        left = count
        while left:
            some = min(left, 64)
            if 4 <= some <= 11 and offset < 2048:
                out += bytes([1 | some - 4 << 2 | offset >> 8 << 5, offset & 255])
            elif offset < 65536:
                out += bytes([2 | some - 1 << 2]) + offset.to_bytes(2, "little")
            else:
                out += bytes([3 | some - 1 << 2]) + offset.to_bytes(4, "little")
            left -= some
        at += count
        start = at
    return out + literal(part[start:])


def literal(part: bytes) -> bytes:
    """Return a Snappy literal, with its length in the tag or behind it."""
    if not part:
        return b""
    n = len(part) - 1
    if n < 60:
        return bytes([n << 2]) + part
    width = -(-n.bit_length() // 8)
    return bytes([59 + width << 2]) + n.to_bytes(width, "little") + part


def varint(n: int) -> bytes:
    """Return an integer in groups of seven bits, the lowest first."""
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def shuffled(block: bytes, typesize: int, shuffle: int) -> bytes:
    """Return a block with its bytes or bits transposed; what does not fit stays as it is."""
    n = len(block) // typesize
    whole, rest = block[: n * typesize], block[n * typesize :]
    items = np.frombuffer(whole, np.uint8).reshape(n, typesize)
    if shuffle == 1 and typesize > 1:
        return items.T.tobytes() + rest
    if shuffle == 2 and n % 8 == 0:
        bits = np.unpackbits(items, axis=1, bitorder="little")
        return np.packbits(bits.T, axis=1, bitorder="little").tobytes() + rest
    return block
