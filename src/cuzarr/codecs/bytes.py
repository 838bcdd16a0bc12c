"""``bytes``: the elements in C order, in a byte order (v3 codec "bytes", version 1.0)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayBytesCodec, Bytes, ChunkType
from cuzarr.codecs.configuration import refuse_unknown, take_choice
from cuzarr.codecs.registry import register_codec
from cuzarr.meta.ml_types import is_ml


@dataclass(frozen=True)
class BytesCodec(ArrayBytesCodec):
    """Fixed-size elements as they lie in memory.

    Parameters
    ----------
    endian : {"little", "big"} or None
        None only for elements of one byte.
    """

    endian: Literal["little", "big"] | None = "little"
    name: ClassVar[str] = "bytes"
    device_step: ClassVar[str | None] = "bytes"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "endian")
        if configuration.get("endian") is None:
            return cls(None)
        endian = take_choice(configuration, "endian", None, ("little", "big"))
        return cls(cast(Literal["little", "big"], endian))

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        return {} if self.endian is None else {"endian": self.endian}

    def stored_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return ``dtype`` in the stored byte order."""
        if is_ml(dtype):
            if self.endian is None and dtype.itemsize > 1:
                raise ValueError(f"endian must be given for data type {dtype}")
            return dtype
        if self.endian is None:
            if dtype.byteorder != "|" and dtype.kind != "V":
                raise ValueError(f"endian must be given for data type {dtype}")
            return dtype
        return dtype.newbyteorder("<" if self.endian == "little" else ">")

    def swaps(self, dtype: np.dtype[Any]) -> bool:
        """Whether the stored bytes are in an order that no ``dtype`` of its kind says."""
        return is_ml(dtype) and dtype.itemsize > 1 and self.endian != sys.byteorder

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> Bytes:
        """Return the bytes of a C-contiguous copy, or of the array itself."""
        stored = np.ascontiguousarray(array, self.stored_dtype(chunk.dtype)).reshape(-1)
        if self.swaps(chunk.dtype):
            stored = stored.view(f"u{chunk.dtype.itemsize}").byteswap()
        return stored.view(np.uint8)

    def decode(self, data: Bytes, chunk: ChunkType) -> npt.NDArray[Any]:
        """View the bytes as an array."""
        if self.swaps(chunk.dtype):
            swapped = np.frombuffer(data, f"u{chunk.dtype.itemsize}").byteswap()
            return swapped.view(chunk.dtype).reshape(chunk.shape)
        return np.frombuffer(data, self.stored_dtype(chunk.dtype)).reshape(chunk.shape)


register_codec("bytes", BytesCodec)
register_codec("endian", BytesCodec)  # its name in early v3 documents
