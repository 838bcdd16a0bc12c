"""The codecs of numcodecs in v3 arrays, under the names that zarr-python's module has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cuzarr.codecs.base import Codec
from cuzarr.codecs.registry import codec_class

_NAMES = {
    "BZ2": "bz2", "CRC32": "crc32", "CRC32C": "crc32c", "LZ4": "lz4", "LZMA": "lzma",
    "ZFPY": "zfpy", "Adler32": "adler32", "AsType": "astype", "BitRound": "bitround",
    "Blosc": "blosc", "Delta": "delta", "FixedScaleOffset": "fixedscaleoffset",
    "Fletcher32": "fletcher32", "GZip": "gzip", "JenkinsLookup3": "jenkins_lookup3",
    "PCodec": "pcodec", "PackBits": "packbits", "Quantize": "quantize", "Shuffle": "shuffle",
    "Zlib": "zlib", "Zstd": "zstd",
}  # fmt: skip

__all__ = [*_NAMES]  # noqa: PLE0604  # strings, all of them


def __getattr__(name: str) -> Callable[..., Codec]:
    """Return what makes the codec of a name: ``LZ4(acceleration=2)``.

    Some need a package, so each is looked for when it is asked for.
    """
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        codec = codec_class(f"numcodecs.{_NAMES[name]}")
    except (KeyError, ValueError) as error:
        raise AttributeError(f"codec {name}: {error}") from error

    def make(**configuration: Any) -> Codec:
        return codec.from_configuration(configuration)

    make.__name__ = make.__qualname__ = name
    return make
