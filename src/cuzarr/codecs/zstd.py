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
        if out is not None and size is not None and _content_size(data) == size:
            zstd.decompress(data, out)
            return out
        unpacked: bytes = zstd.decompress(data)
        return unpacked


def _content_size(data: Bytes) -> int | None:
    """Return the content size that a frame header states (RFC 8878, 3.1.1.1)."""
    head = bytes(memoryview(data)[:18])
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    descriptor = head[4]
    single_segment = descriptor >> 5 & 1
    width = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    start = 5 + (not single_segment) + (0, 1, 2, 4)[descriptor & 3]
    if width == 0 or len(head) < start + width:
        return None
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


register_codec("zstd", ZstdCodec)
