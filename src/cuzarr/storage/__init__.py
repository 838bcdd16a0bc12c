"""Stores: where encoded chunks and metadata documents are kept."""

from cuzarr.storage.base import Store
from cuzarr.storage.local import LocalStore
from cuzarr.storage.memory import MemoryStore
from cuzarr.storage.resolve import StoreLike, as_store
from cuzarr.storage.zip import ZipStore

__all__ = ["LocalStore", "MemoryStore", "Store", "StoreLike", "ZipStore", "as_store"]
