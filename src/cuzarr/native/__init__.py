"""Batched work below the GIL: file reads, chunk keys, strided copies, decoding.

1. ``_native`` is a small optional C extension (abi3); ``twin`` does the same in Python and NumPy.
   They give the same results: the twin is the oracle of the tests and the fallback.
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
from cuzarr.native.tables import DecodeStatus


def native_calls(extension: ModuleType) -> Calls:
    """Return the functions over the C extension; its codecs are found at the first decoding."""

    def prepare() -> frozenset[str]:
        functions = symbols.find_functions()
        extension.set_codecs(*functions.addresses())
        return functions.codecs

    return Calls(extension, prepare)


def twin_calls() -> Calls:
    """Return the functions over the Python twin."""
    return Calls(twin, lambda: frozenset(tables.CODECS))


def _extension() -> ModuleType | None:
    if os.environ.get("CUZARR_NATIVE", "1") == "0":
        return None
    try:
        from cuzarr.native import _native
    except ImportError:  # not built: no C compiler, or not a POSIX system
        return None
    return _native


_module = _extension()
HAVE_NATIVE = _module is not None
calls = twin_calls() if _module is None else native_calls(_module)

codecs_available = calls.codecs_available
copy_rows = calls.copy_rows
crc32c = calls.crc32c
decode_batch = calls.decode_batch
format_keys = calls.format_keys
read_files = calls.read_files

__all__ = [
    "HAVE_NATIVE",
    "DecodeStatus",
    "codecs_available",
    "copy_rows",
    "crc32c",
    "decode_batch",
    "format_keys",
    "read_files",
]
