"""The Python twin of ``_native``: same functions, same arguments, same results.

It is the oracle of the contract tests and the fallback where the extension was not built. Memory
given by address is wrapped by ctypes; the codecs are those of numcodecs.
"""

from __future__ import annotations

from cuzarr.native.twin_copy import copy_rows
from cuzarr.native.twin_decode import (
    blosc_count,
    blosc_fill,
    crc32c,
    decode_batch,
    zstd_compress,
    zstd_frames,
)
from cuzarr.native.twin_files import format_keys, read_files
from cuzarr.native.twin_values import copy_values, find_values, value_addresses
from cuzarr.native.twin_wave import read_wave

__all__ = [
    "blosc_count",
    "blosc_fill",
    "copy_rows",
    "copy_values",
    "crc32c",
    "decode_batch",
    "find_values",
    "format_keys",
    "read_files",
    "read_wave",
    "value_addresses",
    "zstd_compress",
    "zstd_frames",
]
