"""Chunks seen with one more axis in front, of length 1.

The rows of a plan whose output has an axis that the array has not, such as that of many boxes,
copy from chunks that have it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.codecs.chain import CodecChain


@dataclass(frozen=True)
class StackedChain(CodecChain):
    """A chain for reading chunks of shape ``(1, *shape)``.

    Attributes
    ----------
    unstacked : CodecChain
    """

    unstacked: CodecChain

    @classmethod
    def of(cls, chain: CodecChain) -> StackedChain:
        """Make one of the chain of the chunks as they are stored."""
        layout = chain.layout
        if layout is not None:
            layout = replace(layout, shape=(1, *layout.shape), strides=(0, *layout.strides))
        return cls(
            replace(chain.chunk, shape=(1, *chain.chunk.shape)), chain.array_codecs,
            chain.serializer, chain.serialized, chain.byte_codecs, layout, chain,
        )  # fmt: skip

    def decode(self, key: str, data: Bytes) -> npt.NDArray[Any]:
        """Decode one chunk; the result may be read-only or a view."""
        return self.unstacked.decode(key, data)[None]
