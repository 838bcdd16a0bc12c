"""Codecs: one file per codec; importing the package registers all of them."""

from cuzarr.codecs import (
    blosc,
    bytes,
    crc32c,
    gzip,
    numcodecs_family,
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
    "crc32c",
    "gzip",
    "numcodecs_family",
    "register_codec",
    "registered_codecs",
    "sharding",
    "transpose",
    "vlen",
    "zstd",
]
