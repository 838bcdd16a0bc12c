"""Stores: where encoded chunks and metadata documents are kept."""

from typing import Any

import numcodecs

from cuzarr import former
from cuzarr.storage.base import Store
from cuzarr.storage.fsspec_store import FsspecStore
from cuzarr.storage.local import LocalStore
from cuzarr.storage.memory import GpuMemoryStore, MemoryStore
from cuzarr.storage.object_store import ObjectStore
from cuzarr.storage.path import StorePath
from cuzarr.storage.resolve import StoreLike, as_store
from cuzarr.storage.wrapper import LoggingStore, WrapperStore
from cuzarr.storage.zip import ZipStore

#: The compressor of new v2 arrays that are given none; may be assigned.
default_compressor: object = numcodecs.Blosc()

# The names of zarr-python 2.
DirectoryStore = LocalStore
KVStore = DictStore = MemoryStore

__all__ = [
    "DictStore",
    "DirectoryStore",
    "FsspecStore",
    "GpuMemoryStore",
    "KVStore",
    "LocalStore",
    "LoggingStore",
    "MemoryStore",
    "ObjectStore",
    "Store",
    "StoreLike",
    "StorePath",
    "WrapperStore",
    "ZipStore",
    "as_store",
    "default_compressor",
]


def __getattr__(name: str) -> Any:
    """Say what is there instead of stores of zarr-python 2."""
    return former.find(__name__, name)
