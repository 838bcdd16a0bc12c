"""Decompressors of the standard library, bounded: a small chunk cannot fill the memory."""

from __future__ import annotations

import lzma
import sys
import zlib
from collections.abc import Callable
from typing import Any

from cuzarr.codecs.base import Bytes


def decompress_streams(new: Callable[[], Any], data: Bytes, size: int | None) -> bytes:
    """Decompress every stream in ``data``, never more than one byte past ``size``.

    Zero bytes behind a stream are padding, as gzip and xz have it.

    Parameters
    ----------
    new : callable
        Returns a decompressor of one stream: of ``zlib``, ``bz2`` or ``lzma``.
    data : bytes-like
    size : int or None
        Bytes that the result must have, where that is known.

    Raises
    ------
    ValueError
        The bytes are corrupt or truncated, or decode to more than ``size`` bytes.
    """
    parts: list[bytes] = []
    rest: Bytes = data
    room = sys.maxsize - 1 if size is None else size
    while not parts or rest:
        stream = new()
        try:
            part: bytes = stream.decompress(rest, room + 1)
        except (zlib.error, lzma.LZMAError, OSError) as error:
            raise ValueError(str(error)) from error
        room -= len(part)
        if room < 0:
            raise ValueError(f"more than the expected {size} decoded bytes")
        if not stream.eof:
            raise ValueError("truncated: the stream does not end")
        parts.append(part)
        rest = stream.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)
