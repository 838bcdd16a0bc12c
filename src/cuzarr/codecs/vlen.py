"""``vlen-utf8`` and ``vlen-bytes``: elements of different lengths (zarr-extensions; numcodecs).

The chunk is the number of elements as uint32, then for each its length in bytes as uint32 and its
bytes, all little-endian, elements in C order. The v2 filters of the same names give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from numcodecs import vlen

from cuzarr.codecs.base import ArrayBytesCodec, Bytes, ChunkType
from cuzarr.codecs.configuration import refuse_unknown
from cuzarr.codecs.registry import register_codec

_COUNT_BYTES = 4


class _VlenCodec(ArrayBytesCodec):
    """What both have in common; numcodecs reads and writes the elements."""

    inner: ClassVar[Any]

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration)
        return cls()

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        return {}

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> Bytes:
        """Encode the elements in C order; ``TypeError`` where one has another type."""
        objects = np.ascontiguousarray(array).astype(object, copy=False)
        encoded: bytes = self.inner.encode(objects.reshape(-1))
        return encoded

    def decode(self, data: Bytes, chunk: ChunkType) -> npt.NDArray[Any]:
        """Decode as many elements as the chunk has."""
        raw = memoryview(data).cast("B")
        count = int.from_bytes(raw[:_COUNT_BYTES], "little")
        expected = prod(chunk.shape)
        # Before numcodecs makes an array of what a damaged chunk says that it holds.
        if raw.nbytes < _COUNT_BYTES or count != expected:
            raise ValueError(f"expected {expected} elements, the chunk says {count}")
        # numcodecs takes no chunk without elements behind its count.
        objects = self.inner.decode(raw) if count else np.empty(0, object)
        array: npt.NDArray[Any] = objects.reshape(chunk.shape).astype(chunk.dtype, copy=False)
        return array


@dataclass(frozen=True)
class VlenUtf8Codec(_VlenCodec):
    """Text, as UTF-8."""

    name: ClassVar[str] = "vlen-utf8"
    inner: ClassVar[Any] = vlen.VLenUTF8()


@dataclass(frozen=True)
class VlenBytesCodec(_VlenCodec):
    """Bytes objects."""

    name: ClassVar[str] = "vlen-bytes"
    inner: ClassVar[Any] = vlen.VLenBytes()


register_codec("vlen-utf8", VlenUtf8Codec)
register_codec("vlen-bytes", VlenBytesCodec)
