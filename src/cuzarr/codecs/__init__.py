"""Codecs: one file per codec; importing the package registers all of them."""

from cuzarr.codecs import (
    blosc,
    bytes,
    crc32c,
    gzip,
    numcodecs_adapter,
    sharding,
    transpose,
    zstd,
)
from cuzarr.codecs.registry import build_codecs, register_codec, registered_codecs

__all__ = [
    "blosc",
    "build_codecs",
    "bytes",
    "crc32c",
    "gzip",
    "numcodecs_adapter",
    "register_codec",
    "registered_codecs",
    "sharding",
    "transpose",
    "zstd",
]
