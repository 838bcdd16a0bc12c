"""``numcodecs.*``: codecs of the numcodecs registry, on the host (numcodecs.zarr3 spellings).

1. Filters that work on elements (delta, quantize...) are array-to-array codecs.
2. Compressors and checksums are bytes-to-bytes codecs.
3. ``numcodecs_serializers`` has those that make bytes of an array, and ``numcodecs_family`` says
   which codec is of which kind.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar, Self

import numcodecs
import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayArrayCodec, Bytes, BytesBytesCodec, ChunkType, Codec
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.streams import decompress_streams
from cuzarr.codecs.zstd import ZstdCodec

PREFIX = "numcodecs."
_TYPED = frozenset(("delta", "fixedscaleoffset", "quantize", "categorize"))
_SAME_BYTES: dict[str, BytesBytesCodec] = {"blosc": BloscCodec(), "zstd": ZstdCodec()}
_STREAMS: dict[str, Callable[[], Any]] = {
    "bz2": bz2.BZ2Decompressor,
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zlib": zlib.decompressobj,
}
#: Bytes that codecs of which nothing else varies add.
_ADDED_BYTES = {
    "shuffle": 0, "crc32": 4, "crc32c": 4, "adler32": 4, "fletcher32": 4, "jenkins_lookup3": 4,
}  # fmt: skip


class NumcodecsCodec(Codec):
    """What the adapters share: ``id`` and the configuration of a numcodecs codec."""

    codec_id: ClassVar[str]
    config: Mapping[str, Any]

    @cached_property
    def inner(self) -> Any:
        """The numcodecs codec."""
        return numcodecs.get_codec({"id": self.codec_id, **self.config})

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document, without the id."""
        return dict(self.config)

    @classmethod
    def checked(cls, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration without the id; ``ValueError`` where numcodecs refuses it."""
        config = {name: value for name, value in configuration.items() if name != "id"}
        try:
            numcodecs.get_codec({"id": cls.codec_id, **config})
        except Exception as error:
            raise ValueError(f"numcodecs refuses the configuration: {error}") from error
        return config


@dataclass(frozen=True)
class NumcodecsBytesCodec(NumcodecsCodec, BytesBytesCodec):
    """A numcodecs codec of bytes."""

    config: Mapping[str, Any]

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        return cls(cls.checked(configuration))

    def for_elements(self, dtype: np.dtype[Any]) -> Self:
        """Return the codec with what it left to the data type of the array."""
        if self.codec_id != "shuffle" or self.config.get("elementsize") is not None:
            return self
        return type(self)({**self.config, "elementsize": dtype.itemsize})

    def encoded_size(self, size: int) -> int | None:
        """Return the size of checksums and data, and that of shuffled data."""
        return size + _ADDED_BYTES[self.codec_id] if self.codec_id in _ADDED_BYTES else None

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Encode; the codec is told the element size through the type of its buffer."""
        raw = np.frombuffer(data, np.uint8)
        unsigned = f"u{itemsize}" if itemsize in (1, 2, 4, 8) else f"V{itemsize}"
        items = raw.view(unsigned) if raw.nbytes % itemsize == 0 else raw
        return as_bytes(self.inner.encode(items))

    def decode(self, data: Bytes, size: int | None, out: npt.NDArray[np.uint8] | None) -> Bytes:
        """Decode; the caller checks the size, which also bounds what compressors give."""
        if self.codec_id in _SAME_BYTES:
            return _SAME_BYTES[self.codec_id].decode(data, size, out)
        new = self._stream()
        if new is not None:
            return decompress_streams(new, data, size)
        if size is not None and self.codec_id == "lz4" and _lz4_size(data) != size:
            raise ValueError(f"expected {size} decoded bytes, the header says {_lz4_size(data)}")
        return as_bytes(self.inner.decode(data))

    def _stream(self) -> Callable[[], Any] | None:
        inner = self.inner
        if self.codec_id == "lzma":
            return lambda: lzma.LZMADecompressor(inner.format, filters=inner.filters)
        return _STREAMS.get(self.codec_id)


@dataclass(frozen=True)
class NumcodecsArrayCodec(NumcodecsCodec, ArrayArrayCodec):
    """A numcodecs filter of elements, applied to the flattened array."""

    config: Mapping[str, Any]

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document; the data type may be left to :meth:`resolve`."""
        return cls({name: value for name, value in configuration.items() if name != "id"})

    def resolve(self, chunk: ChunkType) -> ChunkType:
        """Return the chunk type with the encoded data type."""
        config = {**self._defaults(chunk.dtype), **self.config}
        object.__setattr__(self, "config", config)
        if self.codec_id == "packbits":
            # One byte says how many bits of the last one are padding.
            length = 1 + -(-prod(chunk.shape) // 8)
            return ChunkType((length,), np.dtype("u1"), np.uint8(0))
        dtype = self._encoded_dtype(chunk.dtype)
        return ChunkType(chunk.shape, dtype, np.zeros(1, dtype)[0])

    def _encoded_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        name = "encode_dtype" if self.codec_id == "astype" else "astype"
        return np.dtype(getattr(self.inner, name, None) or dtype)

    def _defaults(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        if self.codec_id == "astype":
            return {"decode_dtype": dtype.str}
        return {"dtype": dtype.str} if self.codec_id in _TYPED else {}

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Encode the elements in C order."""
        elements = np.ascontiguousarray(array).reshape(-1)
        encoded = np.asarray(self.inner.encode(elements))
        if self.codec_id == "packbits":
            return encoded
        # bitround gives the bits of its floats, as integers.
        return encoded.view(self._encoded_dtype(chunk.dtype)).reshape(chunk.shape)

    def decode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Decode the elements in C order."""
        if self.codec_id != "packbits":  # numcodecs takes the bytes to be of its own byte order
            array = array.astype(self._encoded_dtype(chunk.dtype), copy=False)
        decoded = np.asarray(self.inner.decode(np.ascontiguousarray(array).reshape(-1)))
        return decoded.view(chunk.dtype).reshape(chunk.shape)


def _lz4_size(data: Bytes) -> int:
    return int.from_bytes(memoryview(data)[:4], "little")


def as_bytes(value: Any) -> Bytes:
    """Return what a numcodecs codec gave as bytes-like."""
    if isinstance(value, bytes | bytearray):
        return value
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8)
