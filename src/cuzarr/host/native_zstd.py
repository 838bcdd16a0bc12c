"""Zstandard encoding with the contexts that the native extension keeps per thread."""

from __future__ import annotations

from dataclasses import replace

from cuzarr import native
from cuzarr.codecs.base import Bytes
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.zstd import ZstdCodec


class NativeZstdCodec(ZstdCodec):
    """The same frames, without a new context for each."""

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Compress to one frame that states its content size."""
        del itemsize
        return native.zstd_compress(data, self.level, checksum=self.checksum)


def with_native_zstd(chain: CodecChain) -> CodecChain:
    """Return a chain that encodes zstd natively, and is the same in everything else."""
    if not any(type(codec) is ZstdCodec for codec in chain.byte_codecs):
        return chain
    codecs = tuple(
        NativeZstdCodec(codec.level, codec.checksum) if type(codec) is ZstdCodec else codec
        for codec in chain.byte_codecs
    )
    return replace(chain, byte_codecs=codecs)
