"""What the byte codecs of a chain are to a device, decided once per call.

A device decodes ``[crc32c] + [nothing | blosc | zstd]`` in the order of decoding, where the bytes
lead to elements by strides alone (``chain.layout``). Every other chain is decoded by the codecs
themselves on host threads, as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cuzarr.codecs.chain import CodecChain

Compressor = Literal["blosc", "zstd"]


@dataclass(frozen=True, slots=True)
class ChainSteps:
    """The steps of a chain.

    Attributes
    ----------
    crc32c : bool
        A checksum stands behind the encoded bytes.
    compressor : {"blosc", "zstd"} or None
    on_device : bool
        A device has all the steps; the other attributes mean something only then.
    host_codec : str
        What to say of a chain that stays on the host.
    may_shuffle : bool
        Chunks may be shuffled, so a second buffer is needed.
    may_zstd : bool
        Streams may be zstd, which wants about three times the decoded bytes for itself.
    """

    crc32c: bool
    compressor: Compressor | None
    on_device: bool
    host_codec: str
    may_shuffle: bool = False
    may_zstd: bool = False

    @classmethod
    def of(cls, chain: CodecChain) -> ChainSteps:
        """Read the steps off a chain."""
        codecs = [codec.device_step for codec in chain.byte_codecs]
        names = [codec.name for codec in chain.byte_codecs] or [chain.serializer.name]
        crc32c = bool(codecs) and codecs[-1] == "crc32c"
        rest = codecs[:-1] if crc32c else codecs
        if chain.layout is None:
            stuck = [codec.name for codec, _ in chain.array_codecs] + [chain.serializer.name]
            return cls(crc32c=False, compressor=None, on_device=False, host_codec=", ".join(stuck))
        if not rest:
            return cls(crc32c, None, on_device=True, host_codec=names[-1])
        if rest == ["blosc"]:
            zstd = getattr(chain.byte_codecs[0], "cname", "zstd") == "zstd"
            return cls(
                crc32c, "blosc", on_device=True, host_codec="blosc", may_shuffle=True, may_zstd=zstd
            )
        if rest == ["zstd"]:
            return cls(crc32c, "zstd", on_device=True, host_codec="zstd", may_zstd=True)
        return cls(crc32c=False, compressor=None, on_device=False, host_codec=", ".join(names))
