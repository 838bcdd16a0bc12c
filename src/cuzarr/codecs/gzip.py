"""``gzip``: gzip members (v3 codec "gzip", version 1.0; RFC 1952)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes, BytesBytesCodec
from cuzarr.codecs.configuration import refuse_unknown, take_int
from cuzarr.codecs.registry import register_codec
from cuzarr.codecs.streams import decompress_streams


@dataclass(frozen=True)
class GzipCodec(BytesBytesCodec):
    """Deflate in a gzip container; ``level`` 0 to 9."""

    level: int = 5
    name: ClassVar[str] = "gzip"
    device_step: ClassVar[str | None] = "gzip"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "level")
        return cls(take_int(configuration, "level", 5, 0, 9))

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        return {"level": self.level}

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Compress to one member; no time stamp, so equal data give equal bytes."""
        return gzip.compress(data, self.level, mtime=0)

    def decode(self, data: Bytes, size: int | None, out: npt.NDArray[np.uint8] | None) -> Bytes:
        """Decompress every member, never more than one byte past ``size``."""
        return decompress_streams(lambda: zlib.decompressobj(wbits=31), data, size)


register_codec("gzip", GzipCodec)
