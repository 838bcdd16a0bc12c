"""What the codecs of a chain are to a device, decided once per call.

In the order of decoding, a device takes

1. checksums of the encoded bytes (``outer``),
2. one compressor (``compressor``),
3. byte codecs of known sizes: checksums, shuffle (``inner``),
4. array codecs that work on elements (``elements``, see ``cuda.elements``),
5. transposes and byte order, which are strides and a swap on the way to the output (``layout``).

A chain with anything else is decoded by the codecs themselves on host threads, as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from cuzarr.codecs.base import BytesBytesCodec
from cuzarr.codecs.bytes import BytesCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.cuda import checks
from cuzarr.cuda.elements import ElementStep, element_steps
from cuzarr.cuda.memory import align
from cuzarr.cuda.rows import ChunkLayout, swap_unit

Compressor = Literal["blosc", "zstd", "gzip", "zlib", "lz4"]
COMPRESSORS: Final = ("blosc", "zstd", "gzip", "zlib", "lz4")
#: Temporary bytes of nvCOMP's zstd (6.0): per decoded byte, and per stream or its each 128 KiB.
_ZSTD_TEMP, _ZSTD_BLOCK_TEMP = 3, 6936
_STREAM_BYTES = 1 << 15  #: decoded bytes of a Blosc stream, at least about


@dataclass(frozen=True, slots=True)
class Checksum:
    """Four bytes in front of the data, or behind them."""

    kind: checks.Kind
    at_start: bool


@dataclass(frozen=True, slots=True)
class Unshuffle:
    """Byte planes of a whole chunk, turned to elements of ``typesize`` bytes."""

    typesize: int


InnerStep = Checksum | Unshuffle


@dataclass(frozen=True, slots=True)
class ChainSteps:
    """The steps of a chain, each in the order of decoding.

    Attributes
    ----------
    why_not : str
        Why a device cannot take the chain, and ``layout`` alone means something; else empty.
    host_codec : str
        What to call what stays on the host.
    outer : tuple of Checksum
        Of the encoded bytes, in front of a compressor.
    compressor : str or None
    coded_nbytes : int
        Bytes that the compressor gives; of the encoded chunk, where there is none.
    inner : tuple of InnerStep
    elements : tuple of ElementStep
    layout : ChunkLayout
        Of the decoded chunk.
    native_codec : str or None
        Name for ``native.decode_batch``, which may know the chain or not.
    """

    why_not: str
    host_codec: str
    outer: tuple[Checksum, ...]
    compressor: Compressor | None
    coded_nbytes: int
    inner: tuple[InnerStep, ...]
    elements: tuple[ElementStep, ...]
    layout: ChunkLayout
    native_codec: str | None
    _streams_of_zstd: bool = False

    @classmethod
    def of(cls, chain: CodecChain) -> ChainSteps:
        """Read the steps off a chain."""
        elements = element_steps(chain)
        if isinstance(elements, str):
            stuck = [codec.name for codec, _ in chain.array_codecs] + [chain.serializer.name]
            return cls._on_host(chain, ", ".join(stuck), elements)
        names = [codec.name for codec in chain.byte_codecs] or [chain.serializer.name]
        found = _split(chain)
        if isinstance(found, str):
            return cls._on_host(chain, ", ".join(names), found)
        outer, compressor, inner, coded_nbytes, zstd = found
        beside = outer if compressor else inner
        known = (inner if compressor else ()) == () and beside in ((), (_CRC32C_BEHIND,))
        known &= chain.layout is not None
        return cls(
            "", compressor or names[-1], outer, compressor, coded_nbytes, inner, *elements,
            (compressor or "raw") if known else None, zstd,
        )  # fmt: skip

    @classmethod
    def _on_host(cls, chain: CodecChain, codec: str, why: str) -> ChainSteps:
        layout = _layout(chain)
        return cls(why, codec, (), None, layout.nbytes, (), (), layout, None)

    @property
    def on_device(self) -> bool:
        """Whether a device has all the steps."""
        return not self.why_not

    @property
    def lead(self) -> int:
        """Bytes of outer checksums in front of the rest."""
        return checks.STORED_BYTES * sum(step.at_start for step in self.outer)

    @property
    def trail(self) -> int:
        """Bytes of outer checksums behind the rest."""
        return checks.STORED_BYTES * sum(not step.at_start for step in self.outer)

    @property
    def crc32c(self) -> bool:
        """Whether there is a CRC-32C beside ``native_codec``."""
        return bool(self.outer or self.inner)

    @property
    def encoded_nbytes(self) -> int:
        """Bytes that an encoded chunk hardly exceeds."""
        if self.on_device and self.compressor is None:
            return align(self.coded_nbytes + 16)
        return align(self.coded_nbytes + self.coded_nbytes // 8 + 1024)

    @property
    def scratch_nbytes(self) -> int:
        """Device bytes that decoding a chunk takes, but for temporary ones of nvCOMP."""
        if not self.on_device:
            return self.encoded_nbytes + self.layout.nbytes
        buffers = int(self.compressor is not None) + (self.compressor == "blosc")
        buffers += sum(isinstance(step, Unshuffle) for step in self.inner)
        staged = self.encoded_nbytes if self.compressor in ("zlib", "gzip") else 0
        items = math.prod(self.layout.shape)
        filtered = sum(align(items * step.after.itemsize) for step in self.elements)
        whole = max(1, buffers) * align(self.coded_nbytes)
        return self.encoded_nbytes + staged + whole + filtered

    @property
    def temp_nbytes(self) -> int:
        """Temporary device bytes of nvCOMP per chunk."""
        if not self._streams_of_zstd:
            return 0
        unit = _STREAM_BYTES if self.compressor == "blosc" else 4 * _STREAM_BYTES
        return _ZSTD_TEMP * self.coded_nbytes + _ZSTD_BLOCK_TEMP * -(-self.coded_nbytes // unit)


_CRC32C_BEHIND = Checksum("crc32c", at_start=False)
_Found = tuple[tuple[Checksum, ...], Compressor | None, tuple[InnerStep, ...], int, bool]


def _split(chain: CodecChain) -> _Found | str:
    """Return outer checksums, compressor, inner steps, its bytes, and whether they are zstd.

    A string says why a device cannot.
    """
    codecs = chain.byte_codecs
    at = [i for i, codec in enumerate(codecs) if codec.device_step in COMPRESSORS]
    if len(at) > 1:
        return "two compressors"
    first = at[0] + 1 if at else len(codecs)
    inner = _byte_steps(codecs[: first - len(at)], chain.serialized.nbytes)
    outer = _byte_steps(codecs[first:], None)
    if isinstance(inner, str) or isinstance(outer, str):
        return inner if isinstance(inner, str) else str(outer)
    stored = sum(isinstance(step, Checksum) for step in inner)
    coded_nbytes = chain.serialized.nbytes + checks.STORED_BYTES * stored
    compressor, zstd = None, False
    if at:
        codec: Any = codecs[at[0]]
        compressor = cast(Compressor, codec.device_step)
        zstd = compressor == "zstd"
        if compressor == "blosc":
            zstd = getattr(codec, "cname", "zstd") == "zstd"
    return cast(tuple[Checksum, ...], outer), compressor, inner, coded_nbytes, zstd


def _byte_steps(
    codecs: Sequence[BytesBytesCodec], nbytes: int | None
) -> tuple[InnerStep, ...] | str:
    """Return the steps in the order of decoding, or why a device cannot take them.

    Parameters
    ----------
    nbytes : int or None
        Of what the first codec encodes; None takes checksums alone.
    """
    steps: list[InnerStep] = []
    for codec in codecs:
        inner: Any = getattr(codec, "inner", None)
        if codec.device_step in checks.CODECS:
            at_start = getattr(inner, "location", "end") == "start"
            steps.append(Checksum(codec.device_step, at_start))
            nbytes = None if nbytes is None else nbytes + checks.STORED_BYTES
        elif codec.device_step == "shuffle" and nbytes is not None:
            typesize = int(inner.elementsize)
            if typesize > _LARGEST_TYPESIZE or (typesize > 1 and nbytes % typesize):
                return f"no device step for elements of {typesize} bytes"
            if typesize > 1:
                steps.append(Unshuffle(typesize))
        else:
            return f"no device step for {codec.name}"
    return tuple(reversed(steps))


_LARGEST_TYPESIZE = 255


def _layout(chain: CodecChain) -> ChunkLayout:
    layout, chunk = chain.layout, chain.chunk
    if layout is None or not isinstance(chain.serializer, BytesCodec):
        return ChunkLayout.native(chunk.shape, chunk.dtype.itemsize)
    return ChunkLayout(layout.shape, layout.strides, layout.nbytes, swap_unit(layout.dtype))
