"""Chunk and shard shapes where the user names none.

1. :func:`default_chunks` halves axes until a chunk has about 1 MiB: small enough for many chunks
   per wave, large enough that one request or one file open is worth it.
2. :func:`default_shards` doubles a chunk shape until a shard has about 64 MiB.
3. :func:`inner_chunks` divides a shard whose shape the user named.
4. :func:`normalize_chunks` turns what users write (an int, -1, a short tuple...) into a shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from operator import index
from typing import Any

from cuzarr.meta.edges import Edges, Spacing

CHUNK_BYTES = 1 << 20
SHARD_BYTES = 64 << 20
_GROWING = 1024  # assumed length of an axis of length zero, which is there to be appended to
_LAST_AXIS = 4  # the last axis is halved only when it is so many times the longest other one


def default_chunks(
    shape: Sequence[int], itemsize: int, *, target: int = CHUNK_BYTES
) -> tuple[int, ...]:
    """Choose a chunk shape of at most ``target`` bytes.

    The longest axis is halved (rounding up) until the chunk fits; the last axis, whose elements
    are neighbours in memory, counts for a quarter of its length. The same arguments always give
    the same answer, and no length is zero.

    Examples
    --------
    >>> default_chunks((10_000, 10_000), 4)
    (157, 1250)
    >>> default_chunks((50,), 8)
    (50,)
    >>> default_chunks((0, 100), 8)
    (1024, 100)
    """
    chunks = [length or _GROWING for length in shape]
    limit = max(1, target // itemsize)
    while prod(chunks) > limit:
        weights = [length * _LAST_AXIS for length in chunks[:-1]] + [chunks[-1]]
        axis = max((a for a, c in enumerate(chunks) if c > 1), key=weights.__getitem__)
        chunks[axis] = -(-chunks[axis] // 2)
    return tuple(chunks)


def default_shards(
    shape: Sequence[int], chunks: Sequence[int], itemsize: int, *, target: int = SHARD_BYTES
) -> tuple[int, ...]:
    """Choose a shard shape: whole chunks, at most ``target`` bytes unless one chunk is larger.

    Examples
    --------
    >>> default_shards((10_000, 10_000), (250, 250), 4)
    (4000, 4000)
    """
    counts = [1] * len(chunks)
    grid = [-(-max(1, length) // chunk) for length, chunk in zip(shape, chunks, strict=True)]
    limit = max(1, target // (prod(chunks) * itemsize))
    while prod(counts) * 2 <= limit:
        room = [a for a in range(len(counts)) if counts[a] < grid[a]]
        if not room:
            break
        axis = min(room, key=lambda a: (counts[a] * chunks[a], -a))
        counts[axis] *= 2
    return tuple(count * chunk for count, chunk in zip(counts, chunks, strict=True))


def inner_chunks(shards: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Choose a chunk shape that divides a given shard shape.

    Examples
    --------
    >>> inner_chunks((3000, 3000), 4)
    (150, 750)
    """
    largest = default_chunks(shards, itemsize)
    return tuple(_divisor(shard, most) for shard, most in zip(shards, largest, strict=True))


def normalize_chunks(chunks: Any, shape: Sequence[int], itemsize: int) -> tuple[Spacing, ...]:
    """Turn a user's ``chunks=`` into a chunk grid.

    Parameters
    ----------
    chunks : object
        ``"auto"``, True or None: chosen by :func:`default_chunks`. False: one chunk. An int: that
        length along every axis. A sequence: one length per axis, None or -1 for a whole axis; axes
        after its end are whole. An axis may also be given as the lengths of all its chunks; if
        these are equal but for a shorter last one, they are one length.

    Raises
    ------
    ValueError
        Anything else.
    """
    whole = tuple(max(1, length) for length in shape)
    if chunks is None or chunks is True or (isinstance(chunks, str) and chunks == "auto"):
        return default_chunks(shape, itemsize)
    if chunks is False:
        return whole
    if isinstance(chunks, str):
        message = f"expected 'auto', an integer or a sequence, found {chunks!r}"
        raise ValueError(message)  # noqa: TRY004
    try:
        given: tuple[Any, ...] = (index(chunks),) * len(shape)
    except TypeError:
        given = tuple(chunks)
    if len(given) > len(shape):
        raise ValueError(f"{len(given)} lengths for an array of {len(shape)} dimensions")
    result = [_axis_length(value, length) for value, length in zip(given, shape, strict=False)]
    return (*result, *whole[len(result) :])


def _divisor(shard: int, most: int) -> int:
    """Return the largest divisor up to ``most``; the whole where none is near it."""
    fewest = -(-shard // most)
    for count in range(fewest, min(shard, 16 * fewest) + 1):
        if shard % count == 0:
            return shard // count
    return shard


def _axis_length(value: Any, length_of_axis: int) -> Spacing:
    whole = max(1, length_of_axis)
    if value is None:
        return whole
    if isinstance(value, bool):
        raise ValueError(f"a chunk length must be an integer, found {value}")  # noqa: TRY004
    if isinstance(value, Edges):  # of another array: its last chunks may lie outside
        if value.total < whole:
            raise ValueError(f"the chunks cover {value.total} of {whole} elements")
        return value
    try:
        length = index(value)
    except TypeError:
        if isinstance(value, (str, bytes)):
            raise ValueError(f"a chunk length must be an integer, found {value!r}") from None  # noqa: TRY004
        return _edges(value, length_of_axis)
    if length == -1:
        return whole
    if length < 1:
        raise ValueError(f"a chunk length must be at least 1, found {length}")
    return length


def _edges(value: Iterable[Any], whole: int) -> Spacing:
    """Return the chunks of an axis whose lengths are all given."""
    try:
        lengths = [index(edge) for edge in value]
    except TypeError:
        raise ValueError(f"a chunk length must be an integer, found {value!r}"[:120]) from None
    edges = Edges(lengths)
    if whole and edges.total != whole:
        raise ValueError(f"the chunks cover {edges.total} of {whole} elements: {value!r}"[:120])
    first, _ = edges.runs[0]
    rest = edges.runs[1:]
    equal = not rest or (len(rest) == 1 and rest[0][0] < first and rest[0][1] == 1)
    return first if equal else edges
