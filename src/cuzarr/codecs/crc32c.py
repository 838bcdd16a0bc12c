"""``crc32c``: a checksum of four bytes behind the data (v3 codec "crc32c"; RFC 3720, B.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import google_crc32c
import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes, BytesBytesCodec, ChecksumMismatch
from cuzarr.codecs.configuration import refuse_unknown
from cuzarr.codecs.registry import register_codec


@dataclass(frozen=True)
class Crc32cCodec(BytesBytesCodec):
    """CRC-32C, little-endian, behind the data."""

    name: ClassVar[str] = "crc32c"
    device_step: ClassVar[str | None] = "crc32c"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration)
        return cls()

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        return {}

    def encoded_size(self, size: int) -> int:
        """Return ``size + 4``."""
        return size + 4

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Append the checksum."""
        raw = bytes(data)
        checksum: int = google_crc32c.value(raw)
        return raw + checksum.to_bytes(4, "little")

    def decode(self, data: Bytes, size: int | None, out: npt.NDArray[np.uint8] | None) -> Bytes:
        """Verify and drop the checksum."""
        view = memoryview(data)
        if view.nbytes < 4:
            raise ValueError(f"truncated: {view.nbytes} bytes, the checksum alone has 4")
        body = view[:-4]
        stored = int.from_bytes(view[-4:], "little")
        found = google_crc32c.value(bytes(body))
        if found != stored:
            raise ChecksumMismatch(f"stored checksum {stored:#010x}, computed {found:#010x}")
        return body


register_codec("crc32c", Crc32cCodec)
