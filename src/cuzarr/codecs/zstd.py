"""``zstd``: one Zstandard frame (v3 extension codec "zstd"; RFC 8878)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from numcodecs import zstd

from cuzarr.codecs.base import Bytes, BytesBytesCodec
from cuzarr.codecs.configuration import refuse_unknown, take_bool, take_int
from cuzarr.codecs.registry import register_codec

_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  #: follows a byte from 0x50 to 0x5F
_RLE, _COMPRESSED = 1, 2  #: block types; 0 is raw
_BLOCK = 128 * 2**10  #: most bytes of a compressed block
_SLACK = 2**30  #: bytes that short blocks of a frame without content size may seem to need


@dataclass(frozen=True)
class ZstdCodec(BytesBytesCodec):
    """Zstandard.

    Parameters
    ----------
    level : int
        -131072 to 22; 0 is the library's default (3).
    checksum : bool
        Whether the frame ends with a checksum of its content.
    """

    level: int = 0
    checksum: bool = False
    name: ClassVar[str] = "zstd"
    device_step: ClassVar[str | None] = "zstd"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "level", "checksum")
        return cls(
            take_int(configuration, "level", 0, -131072, 22),
            take_bool(configuration, "checksum", default=False),
        )

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        return {"level": self.level, "checksum": self.checksum}

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Compress to one frame that states its content size."""
        packed: bytes = zstd.compress(data, level=self.level, checksum=self.checksum)
        return packed

    def decode(self, data: Bytes, size: int | None, out: npt.NDArray[np.uint8] | None) -> Bytes:
        """Decompress; the content size may be missing from the frame (TensorStore omits it)."""
        target = None
        if size is not None:
            least, most = decoded_bounds(data)
            if least > size or most > 16 * size + _SLACK:
                raise ValueError(f"more than the expected {size} decoded bytes")
            target = out if least == most == size else None
        try:
            unpacked: bytes = zstd.decompress(data, target)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        return unpacked if target is None else target


def decoded_bounds(data: Bytes) -> tuple[int, int]:
    """Return least and most bytes that frames decode to, by their headers (RFC 8878, 3.1.1).

    A frame without content size is bounded by its blocks, of which a compressed one holds up to
    128 KiB. What follows bytes that are no frame does not count: the decoder refuses it.
    """
    raw, at, least, most = memoryview(data), 0, 0, 0
    while len(raw) - at >= 6:
        magic = raw[at : at + 4]
        if magic[1:] == _SKIPPABLE and magic[0] >> 4 == 5:
            at += 8 + int.from_bytes(raw[at + 4 : at + 8], "little")
            continue
        if magic != _MAGIC:
            break
        descriptor = raw[at + 4]
        single_segment = descriptor >> 5 & 1
        width = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
        at += 5 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3]
        content = int.from_bytes(raw[at : at + width], "little") + (256 if width == 2 else 0)
        at += width
        at, low, high = _block_bounds(raw, at)
        at += 4 * (descriptor >> 2 & 1)
        least += content if width else low
        most += content if width else high
    return least, most


def _block_bounds(raw: memoryview, at: int) -> tuple[int, int, int]:
    """Return the end of the blocks of a frame, and least and most bytes that they decode to."""
    least = most = last = 0
    while not last and at + 3 <= len(raw):
        header = int.from_bytes(raw[at : at + 3], "little")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == _RLE else size)
        least += 0 if kind == _COMPRESSED else size
        most += _BLOCK if kind == _COMPRESSED else size
    return at, least, most


register_codec("zstd", ZstdCodec)
