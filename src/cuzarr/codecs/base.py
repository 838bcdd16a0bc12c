"""What a codec is.

1. A codec is a frozen dataclass with a v3 name and its configuration; one file per codec.
2. Its kind says where in the chain it stands: array to array, array to bytes, bytes to bytes.
3. It encodes and decodes on the host; ``device_step`` names the step of the CUDA backend that
   does the same there, or is None where the host must do it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

Place = Literal["array", "serializer", "bytes"]
Bytes = bytes | bytearray | memoryview | npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ChunkType:
    """Shape, data type and fill value of a chunk between two codecs."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: np.generic

    @property
    def nbytes(self) -> int:
        """Bytes of the chunk as a C-contiguous array."""
        n = self.dtype.itemsize
        for length in self.shape:
            n *= length
        return n


class Codec:
    """Base of every codec.

    Attributes
    ----------
    name : str
        v3 name.
    device_step : str or None
    """

    name: ClassVar[str]
    device_step: ClassVar[str | None] = None

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from the ``configuration`` of a document; ``ValueError`` says what is wrong."""
        raise NotImplementedError

    def configuration(self) -> dict[str, Any]:
        """Return the ``configuration`` for a document."""
        raise NotImplementedError

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build from what a document holds: ``{"name": ..., "configuration": {...}}``.

        Raises
        ------
        ValueError
            It names another codec, or its configuration is wrong.
        """
        if data.get("name") != cls.name:
            raise ValueError(f"name must be {cls.name!r}, not {data.get('name')!r}")
        return cls.from_configuration(data.get("configuration") or {})

    def to_dict(self) -> dict[str, Any]:
        """Return what a document holds: the name, and the configuration, if there is any."""
        configuration = self.configuration()
        found: dict[str, Any] = {"name": self.name}
        return found | {"configuration": configuration} if configuration else found


class ArrayArrayCodec(Codec):
    """Array to array: transpose, filters."""

    def resolve(self, chunk: ChunkType) -> ChunkType:
        """Return the type of the encoded chunk, given that of the decoded one."""
        raise NotImplementedError

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Encode; ``chunk`` is the decoded type."""
        raise NotImplementedError

    def decode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Decode to an array of the decoded type ``chunk``."""
        raise NotImplementedError


class ArrayBytesCodec(Codec):
    """Array to bytes: the serializer."""

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> Bytes:
        """Encode an array of type ``chunk``."""
        raise NotImplementedError

    def decode(self, data: Bytes, chunk: ChunkType) -> npt.NDArray[Any]:
        """Decode to an array of type ``chunk`` (its byte order may differ)."""
        raise NotImplementedError


class BytesBytesCodec(Codec):
    """Bytes to bytes: compressors and checksums."""

    def for_elements(self, dtype: np.dtype[Any]) -> Self:  # for subclasses
        """Return the codec with what its configuration leaves to the data type of the array."""
        return self

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Encode; ``itemsize`` is that of the elements that the bytes hold."""
        raise NotImplementedError

    def encoded_size(self, size: int) -> int | None:  # for subclasses
        """Return the bytes that ``size`` bytes always encode to, or None where that varies."""
        return None

    def decode(self, data: Bytes, size: int | None, out: npt.NDArray[np.uint8] | None) -> Bytes:
        """Decode.

        Parameters
        ----------
        data : bytes-like
        size : int or None
            Bytes that the result must have, where the metadata tells.
        out : (size,) uint8 array or None
            Memory to decode into. A codec that cannot returns its own bytes instead; the caller
            checks identity and copies.

        Raises
        ------
        ValueError
            The bytes are corrupt or of another size; ``ChecksumMismatch`` for checksums.
        """
        raise NotImplementedError


class UnplacedCodec(Codec):
    """A codec that takes the kind of its place in the chain."""

    def placed(self, place: Place) -> Codec:
        """Return the codec of that kind."""
        raise NotImplementedError


class ChecksumMismatch(ValueError):
    """The stored checksum differs from the computed one."""
