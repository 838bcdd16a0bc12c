"""``packbits``: elements of few bits, one behind the other (zarr-extensions).

Element ``i`` of ``k`` bits is bits ``i * k`` to ``i * k + k - 1`` of the chunk; bit 0 of a byte is
its lowest. Which bits of an element are stored is configurable; the highest stored bit of a signed
integer is repeated above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayBytesCodec, Bytes, ChunkType
from cuzarr.codecs.configuration import refuse_unknown, take_choice, take_int
from cuzarr.codecs.registry import register_codec
from cuzarr.meta.ml_types import BITS, is_ml

_PADDINGS = ("none", "first_byte", "last_byte")


@dataclass(frozen=True)
class PackBitsCodec(ArrayBytesCodec):
    """Pack bits ``first_bit`` to ``last_bit`` of every element, or of each part of a complex one.

    Parameters
    ----------
    padding_encoding : {"none", "first_byte", "last_byte"}
        Where a byte says how many bits at the end are padding.
    first_bit, last_bit : int or None
        None = the lowest and the highest bit of the data type.
    """

    padding_encoding: str = "none"
    first_bit: int | None = None
    last_bit: int | None = None
    name: ClassVar[str] = "packbits"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "padding_encoding", "first_bit", "last_bit")
        padding = take_choice(configuration, "padding_encoding", "none", _PADDINGS)
        bounds = [
            None if configuration.get(name) is None else take_int(configuration, name, None, 0, 63)
            for name in ("first_bit", "last_bit")
        ]
        return cls(padding, bounds[0], bounds[1])

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document; what is usual is left out."""
        found: dict[str, Any] = {}
        if self.padding_encoding != "none":
            found["padding_encoding"] = self.padding_encoding
        if self.first_bit is not None:
            found["first_bit"] = self.first_bit
        if self.last_bit is not None:
            found["last_bit"] = self.last_bit
        return found

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> Bytes:
        """Pack the elements in C order."""
        first, last = self._bounds(chunk.dtype)
        elements = np.ascontiguousarray(array, _little(chunk.dtype)).reshape(-1)
        octets = elements.view(np.uint8).reshape(-1, _component_size(chunk.dtype))
        bits = np.unpackbits(octets, axis=1, bitorder="little")[:, first : last + 1].reshape(-1)
        packed = np.packbits(bits, bitorder="little").tobytes()
        padding = bytes([-len(bits) % 8])
        if self.padding_encoding == "first_byte":
            return padding + packed
        return packed + padding if self.padding_encoding == "last_byte" else packed

    def decode(self, data: Bytes, chunk: ChunkType) -> npt.NDArray[Any]:
        """Unpack as many elements as the chunk has."""
        first, last = self._bounds(chunk.dtype)
        size, width = _component_size(chunk.dtype), last - first + 1
        n = prod(chunk.shape) * (2 if chunk.dtype.kind == "c" else 1)
        raw = np.frombuffer(data, np.uint8)
        extra = int(self.padding_encoding != "none")
        expected = -(-n * width // 8) + extra
        if len(raw) != expected:
            raise ValueError(f"expected {expected} bytes, found {len(raw)}")
        if extra:
            at_start = self.padding_encoding == "first_byte"
            padding, raw = (raw[0], raw[1:]) if at_start else (raw[-1], raw[:-1])
            if padding != -n * width % 8:
                raise ValueError(f"expected {-n * width % 8} bits of padding, found {padding}")
        bits = np.unpackbits(raw, count=n * width, bitorder="little").reshape(n, width)
        whole = np.zeros((n, 8 * size), np.uint8)
        whole[:, first : last + 1] = bits
        if _signed(chunk.dtype):
            whole[:, last + 1 :] = bits[:, -1:]
        octets = np.packbits(whole, axis=1, bitorder="little")
        elements = octets.reshape(-1).view(_little(chunk.dtype))
        return elements.reshape(chunk.shape)

    def _bounds(self, dtype: np.dtype[Any]) -> tuple[int, int]:
        """Return the first and the last bit that are stored."""
        bits = _component_bits(dtype)
        first = self.first_bit or 0
        last = bits - 1 if self.last_bit is None else self.last_bit
        if not first <= last < bits:
            raise ValueError(f"packbits: bits {first} to {last} of {dtype}, which has {bits} bits")
        return first, last


def _component_bits(dtype: np.dtype[Any]) -> int:
    if is_ml(dtype):
        return BITS[dtype.name]
    if dtype.kind not in "biufc":
        raise ValueError(f"packbits takes numbers and bool, not {dtype}")
    return 1 if dtype.kind == "b" else 8 * _component_size(dtype)


def _component_size(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize // (2 if dtype.kind == "c" else 1)


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if is_ml(dtype) else dtype.newbyteorder("<")


def _signed(dtype: np.dtype[Any]) -> bool:
    return dtype.name.startswith("int") if is_ml(dtype) else dtype.kind == "i"


register_codec("packbits", PackBitsCodec)
