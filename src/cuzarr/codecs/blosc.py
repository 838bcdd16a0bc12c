"""``blosc``: the Blosc 1 container (v3 codec "blosc", version 1.0; c-blosc README_CHUNK_FORMAT)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from cuzarr.codecs.base import Bytes, BytesBytesCodec
from cuzarr.codecs.blosc_snappy import SNAPPY, decompress_container
from cuzarr.codecs.configuration import refuse_unknown, take_choice, take_int
from cuzarr.codecs.registry import register_codec

_COMPRESSORS = ("lz4", "lz4hc", "blosclz", "zstd", "snappy", "zlib")
_SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2, "autoshuffle": -1}
_HEADER = 16
_MEMCPYED = 0x2


@dataclass(frozen=True)
class BloscCodec(BytesBytesCodec):
    """Blosc with one of its compressors and shuffles.

    Parameters
    ----------
    cname : str
    clevel : int
        0 to 9.
    shuffle : str
        "autoshuffle" (v2 only) is bit shuffle for elements of one byte, else byte shuffle.
    typesize : int or None
        Bytes per element for the shuffle; None takes that of the array.
    blocksize : int
        Bytes; 0 lets Blosc choose.
    """

    cname: str = "zstd"
    clevel: int = 5
    shuffle: str = "shuffle"
    typesize: int | None = None
    blocksize: int = 0
    name: ClassVar[str] = "blosc"
    device_step: ClassVar[str | None] = "blosc"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "cname", "clevel", "shuffle", "typesize", "blocksize")
        typesize = configuration.get("typesize")
        if typesize is not None:
            typesize = take_int(configuration, "typesize", None, 1, 2**31 - 1)
        return cls(
            take_choice(configuration, "cname", "zstd", _COMPRESSORS),
            take_int(configuration, "clevel", 5, 0, 9),
            take_choice(configuration, "shuffle", "noshuffle", tuple(_SHUFFLES)),
            typesize,
            take_int(configuration, "blocksize", 0, 0, 2**31 - 1),
        )

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        found: dict[str, Any] = {
            "cname": self.cname, "clevel": self.clevel, "shuffle": self.shuffle,
            "blocksize": self.blocksize,
        }  # fmt: skip
        if self.typesize is not None:
            found["typesize"] = self.typesize
        return found

    def encode(self, data: Bytes, itemsize: int) -> Bytes:
        """Compress; Blosc takes the typesize from the element size of what it is given."""
        raw = np.frombuffer(data, np.uint8)
        if raw.nbytes == 0:
            return _empty_container(self.typesize or itemsize)
        typesize, shuffle = self.elements(raw.nbytes, itemsize)
        items = raw.view(f"V{typesize}")
        packed: bytes = blosc.compress(
            items, self.cname.encode(), self.clevel, shuffle, self.blocksize
        )
        return packed

    def elements(self, nbytes: int, itemsize: int) -> tuple[int, int]:
        """Return the typesize for so many bytes, and the number of the shuffle."""
        typesize = self.typesize or itemsize
        if typesize > 255 or nbytes % typesize:
            typesize = 1
        shuffle = _SHUFFLES[self.shuffle]
        if shuffle == -1:
            shuffle = 2 if typesize == 1 else 1
        return typesize, shuffle

    def decode(self, data: Bytes, size: int | None, out: npt.NDArray[np.uint8] | None) -> Bytes:
        """Decompress after checking the header and the block table against the bytes given."""
        found = check_container(data)
        if size is not None and found != size:
            raise ValueError(f"expected {size} decoded bytes, the Blosc header says {found}")
        if found == 0:
            return b""
        flags = memoryview(data)[2]
        if flags >> 5 == SNAPPY and not flags & _MEMCPYED:
            return decompress_container(data)
        dest = np.empty(found, np.uint8) if out is None else out
        try:
            blosc.decompress(data, dest)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        return dest


def check_container(data: Bytes) -> int:
    """Return the decoded size that a Blosc header states, or raise ``ValueError``.

    c-blosc trusts the block table, so it is checked here: each block starts inside the container.
    """
    raw = np.frombuffer(data, np.uint8)
    if raw.nbytes < _HEADER:
        raise ValueError(f"truncated: {raw.nbytes} bytes, a Blosc header has {_HEADER}")
    version, _, flags, typesize = (int(byte) for byte in raw[:4])
    nbytes, blocksize, cbytes = (int(word) for word in raw[4:16].view("<u4"))
    if version != 2:
        raise ValueError(f"Blosc format version {version}, expected 2")
    if cbytes != raw.nbytes:
        raise ValueError(f"the Blosc header says {cbytes} bytes, found {raw.nbytes}")
    if typesize == 0 or nbytes > 2**31 - 1 or (nbytes and not 0 < blocksize <= max(nbytes, 1)):
        raise ValueError(f"bad Blosc header: {typesize=} {nbytes=} {blocksize=}")
    if flags & _MEMCPYED:
        if cbytes != nbytes + _HEADER:
            raise ValueError(f"bad Blosc header: {nbytes} raw bytes in a container of {cbytes}")
    elif nbytes:
        n_blocks = -(-nbytes // blocksize)
        table_end = _HEADER + 4 * n_blocks
        if table_end > cbytes:
            raise ValueError("truncated: the Blosc block table ends outside the container")
        starts = raw[_HEADER:table_end].view("<i4")
        if int(starts.min()) < table_end or int(starts.max()) > cbytes - 4:
            raise ValueError("corrupt: a Blosc block starts outside the container")
    return nbytes


def _empty_container(typesize: int) -> bytes:
    header = np.array([2, 1, _MEMCPYED, min(typesize, 255)], np.uint8)
    return header.tobytes() + np.array([0, 0, _HEADER], "<u4").tobytes()


register_codec("blosc", BloscCodec)
