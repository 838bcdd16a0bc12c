"""Status values and result tables of :mod:`cuzarr.native`.

The integers equal those of ``native.h``; the read statuses equal ``cuzarr.storage.base.Status``,
which this package may not import (it sits below the stores).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
UInt64 = npt.NDArray[np.uint64]
Int32 = npt.NDArray[np.int32]
Lists = tuple[tuple[Int64, Int64] | None, ...]
Buffer = bytes | bytearray | memoryview | npt.NDArray[Any]

READ_OK, READ_MISSING, READ_SHORT, READ_NO_SPACE, READ_ERRNO = 0, 1, 2, 3, 1000

SLAB_ALIGN = 16  #: bytes; positions in a slab are multiples
MAX_AXES = 32


class DecodeStatus(IntEnum):
    """Outcome of one chunk in ``decode_batch``, ``blosc_streams`` or ``zstd_frames``."""

    OK = 0
    HEADER = 1  #: not that codec, or a header that contradicts itself
    SIZE = 2  #: decodes to another number of bytes than the metadata says
    CORRUPT = 3  #: the codec failed
    CHECKSUM = 4  #: the stored CRC-32C is not that of the bytes
    TRUNCATED = 5  #: the bytes end early

    @property
    def cause(self) -> str:
        """What went wrong, for an error message."""
        return _CAUSES[self]


_CAUSES = {
    DecodeStatus.OK: "no error",
    DecodeStatus.HEADER: "the header is not that of this codec, or contradicts itself",
    DecodeStatus.SIZE: "the decoded size is not the one the metadata gives",
    DecodeStatus.CORRUPT: "the compressed data is corrupt",
    DecodeStatus.CHECKSUM: "the stored CRC-32C checksum is not that of the bytes",
    DecodeStatus.TRUNCATED: "the data ends early",
}

CODECS = ("raw", "blosc", "zstd", "lz4")  #: in the order of native.h
