"""Batched work below the GIL: files, chunk keys, strided copies, decoding and encoding.

1. ``_native`` is a small optional C extension (abi3); ``twin`` does the same in Python and NumPy.
   They give the same results: the twin is the oracle of the tests and the fallback. Only
   ``write_wave`` has no twin: without the extension the chunks are encoded one by one.
2. This module picks one: the extension where it was built, the twin where it was not or where
   ``CUZARR_NATIVE=0`` is set in the environment. ``HAVE_NATIVE`` says which.
3. One call handles a whole run of chunks and releases the GIL once: Python work per chunk is what
   sinks small chunks.
"""

from __future__ import annotations

import os
from types import ModuleType

from cuzarr.native import symbols, tables, twin
from cuzarr.native.calls import Calls
from cuzarr.native.tables import (
    BloscStreams,
    DecodeStatus,
    WaveChunks,
    WriteChunks,
    WriteShards,
    ZstdFrames,
)

extension: ModuleType | None
try:
    from cuzarr.native import _native as extension
except ImportError:  # not built: no C compiler, or not a POSIX system
    extension = None
if not all(hasattr(extension, name) for name in (*twin.__all__, "write_wave")):
    extension = None  # built from older sources, where the package runs from its source tree


def native_calls(module: ModuleType) -> Calls:
    """Return the functions over the C extension; its codecs are found when one is first wanted."""

    def prepare() -> tuple[frozenset[str], frozenset[str]]:
        functions = symbols.find_functions()
        module.set_codecs(*functions.addresses())
        return functions.codecs, functions.encoders

    return Calls(module, prepare)


def twin_calls() -> Calls:
    """Return the functions over the Python twin."""
    return Calls(twin, lambda: (frozenset(tables.CODECS), frozenset()))


_wanted = os.environ.get("CUZARR_NATIVE", "1") != "0"
calls = native_calls(extension) if extension is not None and _wanted else twin_calls()
HAVE_NATIVE = extension is not None and _wanted
os.register_at_fork(after_in_child=calls.after_fork)

blosc_streams = calls.blosc_streams
codecs_available = calls.codecs_available
copy_rows = calls.copy_rows
copy_values = calls.copy_values
crc32c = calls.crc32c
decode_batch = calls.decode_batch
encoders_available = calls.encoders_available
find_values = calls.find_values
format_keys = calls.format_keys
read_files = calls.read_files
read_wave = calls.read_wave
value_addresses = calls.value_addresses
write_wave = calls.write_wave
zstd_compress = calls.zstd_compress
zstd_frames = calls.zstd_frames

__all__ = [
    "HAVE_NATIVE",
    "BloscStreams",
    "DecodeStatus",
    "WaveChunks",
    "WriteChunks",
    "WriteShards",
    "ZstdFrames",
    "blosc_streams",
    "codecs_available",
    "copy_rows",
    "copy_values",
    "crc32c",
    "decode_batch",
    "encoders_available",
    "find_values",
    "format_keys",
    "read_files",
    "read_wave",
    "value_addresses",
    "write_wave",
    "zstd_compress",
    "zstd_frames",
]
