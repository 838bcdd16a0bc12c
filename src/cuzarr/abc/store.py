"""Stores: the asynchronous interface of zarr-python.

A store for cuzarr alone has less to do: see ``cuzarr.storage.adapter.KeyStore``.
"""

from cuzarr.storage.async_base import (
    AsyncStore as Store,
)
from cuzarr.storage.async_base import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)

__all__ = ["ByteRequest", "OffsetByteRequest", "RangeByteRequest", "Store", "SuffixByteRequest"]
