"""``transpose``: reorder the dimensions (v3 codec "transpose", version 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayArrayCodec, ChunkType
from cuzarr.codecs.configuration import refuse_unknown
from cuzarr.codecs.registry import register_codec


@dataclass(frozen=True)
class TransposeCodec(ArrayArrayCodec):
    """Dimension ``order[i]`` of the decoded array is dimension ``i`` of the encoded one."""

    order: tuple[int, ...]
    name: ClassVar[str] = "transpose"
    device_step: ClassVar[str | None] = "transpose"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "order")
        order = configuration.get("order")
        integers = isinstance(order, list | tuple) and all(
            isinstance(axis, int) and not isinstance(axis, bool) for axis in order
        )
        if not integers or sorted(order or ()) != list(range(len(order or ()))):
            raise ValueError(f"order must be a permutation of the dimensions, not {order!r}")
        return cls(tuple(order or ()))

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        return {"order": list(self.order)}

    def resolve(self, chunk: ChunkType) -> ChunkType:
        """Return the chunk type with its dimensions reordered."""
        if len(self.order) != len(chunk.shape):
            raise ValueError(
                f"transpose: order has {len(self.order)} entries, the array {len(chunk.shape)}"
            )
        shape = tuple(chunk.shape[axis] for axis in self.order)
        return ChunkType(shape, chunk.dtype, chunk.fill_value)

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Return a transposed view."""
        return array.transpose(self.order)

    def decode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Return a view transposed back."""
        return array.transpose(np.argsort(self.order))


register_codec("transpose", TransposeCodec)
