"""What a chain is to an encoder on a device, decided once per call.

1. :meth:`EncodeSteps.of` reads the compressor and the checksum off the chain: a device encodes
   ``[nothing | blosc | zstd | gzip | zlib | lz4] + [crc32c]`` where the elements lead to bytes by
   strides alone (``chain.layout``).
2. A device has one way to make LZ4 and zstd, and a few to make deflate. Under ``"auto"`` it is used
   where the level that the metadata asks for gives hardly more than it does (``_MOST``); a higher
   level means that size matters more than time, and the host keeps to it. Measured with nvCOMP 6.0
   on smooth integers: zstd 2.3 where levels 1 and 3 give 2.6 and 3.2, and 3.8 of the same in Blosc,
   byte-shuffled, where level 9 gives 3.9; gzip's algorithms 2 and 4 2.0 and 2.5, zlib's levels 1, 5
   and 6 2.4, 2.3 and 2.4.
3. ``why`` says what keeps a chain on the host.

The bytes differ from those that the host makes, as those of two versions of a library do; what they
decode to does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from cuzarr.codecs.base import BytesBytesCodec
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.gzip import GzipCodec
from cuzarr.codecs.numcodecs_adapter import NumcodecsBytesCodec
from cuzarr.codecs.zstd import ZstdCodec

EncodeMode = Literal["auto", "host", "device"]
MODES: Final = ("auto", "host", "device")
Kind = Literal["raw", "zstd", "gzip", "zlib", "lz4", "blosc"]

#: Highest level of a compressor that "auto" leaves to a device, by kind.
_MOST: Final = {"zstd": 5, "gzip": 9, "zlib": 9, "lz4": 2**31, "blosc": 7}
_SHUFFLES: Final = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle", -1: "autoshuffle"}
_FORMATS: Final = {"zstd": "Zstd", "gzip": "Gzip", "zlib": "Gzip", "lz4": "LZ4"}


@dataclass(frozen=True, slots=True)
class Compressor:
    """A compressor, however the metadata spells it.

    Attributes
    ----------
    kind : str
    level : int
    format : str or None
        nvCOMP's name of the streams inside; None for a raw container, and where it has none.
    blosc : BloscCodec or None
    unable : str
        What a device cannot do of it.
    """

    kind: Kind
    level: int = 0
    format: str | None = None
    blosc: BloscCodec | None = None
    unable: str = ""

    @property
    def algorithm(self) -> int:
        """The algorithm for the level: nvCOMP's deflate has 0 (fastest) to 5 (smallest)."""
        if self.kind not in ("gzip", "zlib"):
            return 0
        return 2 if self.level <= 3 else 4


@dataclass(frozen=True, slots=True)
class EncodeSteps:
    """The steps of a chain.

    Attributes
    ----------
    compressor : Compressor
        ``kind`` is "raw" where there is none.
    crc32c : bool
        A checksum follows the encoded bytes.
    names : str
        Of the codecs, for reports.
    why : str
        What keeps the chain on the host; "" where nothing does.
    """

    compressor: Compressor
    crc32c: bool
    names: str
    why: str

    @classmethod
    def of(cls, chain: CodecChain, mode: EncodeMode, *, nvcomp: bool) -> EncodeSteps:
        """Read the steps off a chain; ``nvcomp``: whether it is there."""
        codecs = list(chain.byte_codecs)
        names = ", ".join(codec.name for codec in codecs) or chain.serializer.name
        last: Any = codecs[-1] if codecs else None
        crc32c = last is not None and last.device_step == "crc32c"
        if crc32c and isinstance(last, NumcodecsBytesCodec):
            crc32c = last.inner.location == "end"
        rest = codecs[:-1] if crc32c else codecs
        found = compressor_of(rest[0]) if len(rest) == 1 else None
        why = ""
        if mode == "host":
            why = 'cuda.encode is "host"'
        elif chain.layout is None:
            stuck = [codec.name for codec, _ in chain.array_codecs] + [chain.serializer.name]
            why = f"no device encoder for {', '.join(stuck)}"
        elif rest and found is None:
            why = f"no device encoder for {', '.join(codec.name for codec in rest)}"
        elif found is not None:
            why = _refusal(found, mode, nvcomp=nvcomp)
        return cls(found or Compressor("raw"), crc32c, names, why)


def compressor_of(codec: BytesBytesCodec) -> Compressor | None:
    """Return what a codec compresses with, None where it is none that a device knows."""
    if isinstance(codec, BloscCodec):
        return _blosc(codec)
    if isinstance(codec, ZstdCodec):
        return _plain("zstd", codec.level or 3, "checksums in frames" if codec.checksum else "")
    if isinstance(codec, GzipCodec):
        return _gzip("gzip", codec.level)
    if not isinstance(codec, NumcodecsBytesCodec):
        return None
    inner: Any = codec.inner
    if codec.codec_id == "zstd":
        checksum = bool(getattr(inner, "checksum", False))
        return _plain("zstd", inner.level or 3, "checksums in frames" if checksum else "")
    if codec.codec_id == "gzip":
        return _gzip("gzip", inner.level)
    if codec.codec_id == "zlib":
        return _gzip("zlib", inner.level)
    if codec.codec_id == "lz4":
        return _plain("lz4", inner.acceleration)
    if codec.codec_id == "blosc":
        shuffle = _SHUFFLES[inner.shuffle]
        return _blosc(BloscCodec(inner.cname, inner.clevel, shuffle, None, inner.blocksize))
    return None


def _plain(kind: Kind, level: int, unable: str = "") -> Compressor:
    return Compressor(kind, level, _FORMATS[kind], unable=unable)


def _gzip(kind: Kind, level: int) -> Compressor:
    return _plain(kind, 6 if level == -1 else level, "stored blocks" if level == 0 else "")


def _blosc(codec: BloscCodec) -> Compressor:
    formats = {"lz4": "LZ4", "zstd": "Zstd"}
    if codec.clevel == 0:  # stores the bytes as they are
        return Compressor("blosc", 0, None, codec)
    unable = "" if codec.cname in formats else codec.cname
    level = 1 if codec.cname == "lz4" else codec.clevel  # of lz4 it is but the acceleration
    return Compressor("blosc", level, formats.get(codec.cname), codec, unable)


def _refusal(found: Compressor, mode: EncodeMode, *, nvcomp: bool) -> str:
    if found.unable:
        return f"no device encoder for {found.unable}"
    if found.format is not None and not nvcomp:
        return "nvCOMP is not installed"
    if mode == "auto" and found.level > _MOST.get(found.kind, 0):
        return f"level {found.level} of {found.kind} is more than a device does"
    return ""
