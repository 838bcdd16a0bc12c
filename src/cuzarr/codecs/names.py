"""The words in codec configurations, as enumerations: each is the string that it names."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class BloscCname(StrEnum):
    """Compressors inside Blosc."""

    lz4 = "lz4"
    lz4hc = "lz4hc"
    blosclz = "blosclz"
    snappy = "snappy"
    zlib = "zlib"
    zstd = "zstd"


class BloscShuffle(StrEnum):
    """Shuffles of Blosc."""

    noshuffle = "noshuffle"
    shuffle = "shuffle"
    bitshuffle = "bitshuffle"


class Endian(StrEnum):
    """Byte orders."""

    little = "little"
    big = "big"


class ShardingCodecIndexLocation(StrEnum):
    """Where the index of a shard is."""

    start = "start"
    end = "end"


#: The order of the chunks in a shard; cuzarr writes them in C order, and reads any.
SubchunkWriteOrder = Literal["morton", "unordered", "lexicographic", "colexicographic"]
