"""Codecs: one file per codec; importing the package registers all of them."""

from typing import Any

from cuzarr import former
from cuzarr.codecs import (
    blosc,
    bytes,
    cast_value,
    crc32c,
    gzip,
    numcodecs,
    numcodecs_family,
    packbits,
    scale_offset,
    sharding,
    transpose,
    vlen,
    zstd,
)
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.bytes import BytesCodec
from cuzarr.codecs.cast_value import CastValueCodec
from cuzarr.codecs.crc32c import Crc32cCodec
from cuzarr.codecs.gzip import GzipCodec
from cuzarr.codecs.names import (
    BloscCname,
    BloscShuffle,
    Endian,
    ShardingCodecIndexLocation,
    SubchunkWriteOrder,
)
from cuzarr.codecs.registry import build_codecs, register_codec, registered_codecs
from cuzarr.codecs.scale_offset import ScaleOffsetCodec
from cuzarr.codecs.sharding import ShardingCodec
from cuzarr.codecs.transpose import TransposeCodec
from cuzarr.codecs.vlen import VlenBytesCodec, VlenUtf8Codec
from cuzarr.codecs.zstd import ZstdCodec

# The names of zarr-python.
CastValue, ScaleOffset = CastValueCodec, ScaleOffsetCodec
VLenBytesCodec, VLenUTF8Codec = VlenBytesCodec, VlenUtf8Codec

__all__ = [
    "BloscCname",
    "BloscCodec",
    "BloscShuffle",
    "BytesCodec",
    "CastValue",
    "Crc32cCodec",
    "Endian",
    "GzipCodec",
    "ScaleOffset",
    "ShardingCodec",
    "ShardingCodecIndexLocation",
    "SubchunkWriteOrder",
    "TransposeCodec",
    "VLenBytesCodec",
    "VLenUTF8Codec",
    "ZstdCodec",
    "blosc",
    "build_codecs",
    "bytes",
    "cast_value",
    "crc32c",
    "gzip",
    "numcodecs",
    "numcodecs_family",
    "packbits",
    "register_codec",
    "registered_codecs",
    "scale_offset",
    "sharding",
    "transpose",
    "vlen",
    "zstd",
]


def __getattr__(name: str) -> Any:
    """Find codecs of numcodecs, which were here in zarr-python 2."""
    return former.find(__name__, name)
