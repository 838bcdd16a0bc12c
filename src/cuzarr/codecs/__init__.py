"""Codecs: one file per codec; importing the package registers all of them."""

from cuzarr.codecs import (
    blosc,
    bytes,
    cast_value,
    crc32c,
    gzip,
    numcodecs_family,
    packbits,
    scale_offset,
    sharding,
    transpose,
    vlen,
    zstd,
)
from cuzarr.codecs.registry import build_codecs, register_codec, registered_codecs

__all__ = [
    "blosc",
    "build_codecs",
    "bytes",
    "cast_value",
    "crc32c",
    "gzip",
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
