"""``scale_offset``: subtract, then multiply, in the array's own data type (zarr-extensions).

1. Encoding is ``(x - offset) * scale``, decoding ``x / scale + offset``.
2. Floating-point numbers follow IEEE 754. Integers are exact: what does not fit the data type, and
   a division that leaves a rest, are errors. Whether all results fit follows from the smallest and
   the largest element; if they do, arithmetic that wraps around gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayArrayCodec, ChunkType
from cuzarr.codecs.configuration import refuse_unknown
from cuzarr.codecs.registry import register_codec
from cuzarr.meta import fill
from cuzarr.meta.dtypes import native
from cuzarr.meta.ml_types import integer_limits, is_integer, is_ml
from cuzarr.meta.problems import Problems

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class ScaleOffsetCodec(ArrayArrayCodec):
    """Subtract ``offset`` and multiply by ``scale``, both as JSON of the data type's fill values.

    Parameters
    ----------
    offset, scale : int, float or str
    """

    offset: Any = 0
    scale: Any = 1
    name: ClassVar[str] = "scale_offset"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "offset", "scale")
        for key, value in configuration.items():
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError(f"{key} must be a number, not {value!r}")  # noqa: TRY004
        return cls(configuration.get("offset", 0), configuration.get("scale", 1))

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document; what has no effect is left out."""
        found = {}
        if self.offset != 0:
            found["offset"] = self.offset
        if self.scale != 1:
            found["scale"] = self.scale
        return found

    def resolve(self, chunk: ChunkType) -> ChunkType:
        """Return the chunk type with the fill value encoded."""
        _, scale = self.scalars(chunk.dtype)
        if scale == 0:
            raise ValueError("scale_offset: scale must not be 0")
        filled = self.encode(np.full(1, chunk.fill_value, chunk.dtype), chunk)
        return ChunkType(chunk.shape, chunk.dtype, filled[0])

    def encode(self, array: Numbers, chunk: ChunkType) -> Numbers:
        """Encode; ``ValueError`` where a result does not fit the data type."""
        offset, scale = self.scalars(chunk.dtype)
        numbers = _for_arithmetic(array)
        if numbers.dtype.kind not in "iu":
            with np.errstate(all="ignore"):
                scaled: Numbers = (numbers - offset) * scale
            return scaled.astype(chunk.dtype, copy=False)
        low, high = _extremes(numbers)
        ends = ((low - int(offset)) * int(scale), (high - int(offset)) * int(scale))
        self._check(ends, chunk.dtype, "encoded")
        with np.errstate(over="ignore"):
            result: Numbers = (numbers - numbers.dtype.type(offset)) * numbers.dtype.type(scale)
        return result.astype(chunk.dtype, copy=False)

    def decode(self, array: Numbers, chunk: ChunkType) -> Numbers:
        """Decode; ``ValueError`` where a result is no value of the data type."""
        offset, scale = self.scalars(chunk.dtype)
        numbers = _for_arithmetic(array)
        if numbers.dtype.kind not in "iu":
            with np.errstate(all="ignore"):
                unscaled: Numbers = numbers / scale + offset
            return unscaled.astype(chunk.dtype, copy=False)
        divisor = numbers.dtype.type(scale)
        with np.errstate(all="ignore"):
            rest = numbers % divisor
            if rest.any():
                worst = numbers.reshape(-1)[int(np.argmax(rest != 0))]
                raise ValueError(f"{worst} is not a multiple of the scale {int(scale)}")
            low, high = _extremes(numbers)
            ends = (low // int(scale) + int(offset), high // int(scale) + int(offset))
            self._check(ends, chunk.dtype, "decoded")
            result: Numbers = numbers // divisor + numbers.dtype.type(offset)
        return result.astype(chunk.dtype, copy=False)

    def scalars(self, dtype: np.dtype[Any]) -> tuple[Any, Any]:
        """Return offset and scale; Python integers for integer data types."""
        whole = dtype.kind in "iu" or (is_ml(dtype) and is_integer(dtype))
        if not whole and dtype.kind != "f" and not is_ml(dtype):
            raise ValueError(f"scale_offset takes integers and floats, not {dtype}")
        problems = Problems("")
        scalars = []
        for key, value in (("offset", self.offset), ("scale", self.scale)):
            parsed = fill.from_json(value, native(dtype), None, 3, f"scale_offset: {key}", problems)
            scalars.append(int(parsed) if whole and parsed is not None else parsed)
        if problems.found:
            raise ValueError("; ".join(problems.found))
        return scalars[0], scalars[1]

    def _check(self, ends: tuple[int, int], dtype: np.dtype[Any], what: str) -> None:
        low, high = _limits(dtype)
        for end in ends:
            if not low <= end <= high:
                raise ValueError(f"{what}, an element would be {end}, which is no {dtype}")


def _for_arithmetic(array: Numbers) -> Numbers:
    """Return the elements in a type that NumPy calculates with, in native byte order."""
    if is_ml(array.dtype) and is_integer(array.dtype):
        return array.astype(np.int8)
    return array.astype(native(array.dtype), copy=False)


def _extremes(numbers: Numbers) -> tuple[int, int]:
    return (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    if is_ml(dtype):
        return integer_limits(dtype)
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


register_codec("scale_offset", ScaleOffsetCodec)
