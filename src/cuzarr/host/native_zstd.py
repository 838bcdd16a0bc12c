"""Zstandard encoding with the contexts that the native extension keeps per thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np

from cuzarr import native
from cuzarr.codecs.base import Bytes
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.zstd import ZstdCodec


class Room(threading.local):
    """Memory for one frame, for each thread its own; what it held is gone with the next."""

    def __init__(self) -> None:
        self._bytes = memoryview(b"")

    def of(self, nbytes: int) -> memoryview:
        """Return room for a frame of ``nbytes`` of content, compressible or not."""
        bound = nbytes + nbytes // 256 + 64  # zstd.h: ZSTD_COMPRESSBOUND
        if len(self._bytes) < bound:
            self._bytes = memoryview(np.empty(bound, np.uint8))
        return self._bytes


@dataclass(frozen=True)
class NativeZstdCodec(ZstdCodec):
    """The same frames, without a new context for each.

    Attributes
    ----------
    room : Room or None
        Where the frames are made, if each is used up before its thread makes the next.
    """

    room: Room | None = None

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Compress to one frame that states its content size."""
        del itemsize
        room = None if self.room is None else self.room.of(memoryview(data).nbytes)
        return native.zstd_compress(data, self.level, checksum=self.checksum, room=room)


def with_native_zstd(chain: CodecChain, *, passing: bool = False) -> CodecChain:
    """Return a chain that encodes zstd natively, and is the same in everything else.

    ``passing``: what it returns may be gone when the same thread encodes the next chunk.
    """
    if not any(type(codec) is ZstdCodec for codec in chain.byte_codecs):
        return chain
    codecs = tuple(
        NativeZstdCodec(codec.level, codec.checksum, Room() if passing else None)
        if type(codec) is ZstdCodec
        else codec
        for codec in chain.byte_codecs
    )
    return replace(chain, byte_codecs=codecs)
