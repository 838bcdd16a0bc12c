"""Names of zarr-python 2 that mean the same elsewhere, or are gone.

The codecs of numcodecs were names of ``zarr`` itself: ``cuzarr.Blosc(...)`` is one too. What is
gone says what to take instead.
"""

from __future__ import annotations

from typing import Any

import numcodecs

_CODECS = (
    "Adler32", "AsType", "BZ2", "Base64", "BitRound", "Blosc", "CRC32", "Categorize", "Delta",
    "FixedScaleOffset", "Fletcher32", "GZip", "JSON", "JenkinsLookup3", "LZ4", "LZMA", "MsgPack",
    "PackBits", "Pickle", "Quantize", "Shuffle", "VLenArray", "VLenBytes", "VLenUTF8", "Zlib",
    "Zstd", "get_codec",
)  # fmt: skip
_MAPPING = "any MutableMapping can be a store"
_LOCKS = "chunks are replaced whole: there are no locks"
GONE = {
    "ABSStore": "give the URL: abfs://...",
    "DBMStore": _MAPPING,
    "FSStore": "give the URL, or a FsspecStore",
    "LMDBStore": _MAPPING,
    "LRUStoreCache": "give the URL with a cache of fsspec: simplecache::s3://...",
    "MongoDBStore": _MAPPING,
    "N5FSStore": "N5 is no format of Zarr",
    "N5Store": "N5 is no format of Zarr",
    "NestedDirectoryStore": "a LocalStore, and dimension_separator='/' for new arrays",
    "ProcessSynchronizer": _LOCKS,
    "RedisStore": _MAPPING,
    "SQLiteStore": _MAPPING,
    "TempStore": "a LocalStore in a tempfile.TemporaryDirectory",
    "ThreadSynchronizer": _LOCKS,
}


def find(module: str, name: str) -> Any:
    """Return a codec of numcodecs, for ``__getattr__`` of a module.

    Raises
    ------
    AttributeError
        There is no such name; of one that is gone it says what to take instead.
    """
    if name in _CODECS and hasattr(numcodecs, name):
        return getattr(numcodecs, name)
    hint = f" ({GONE[name]})" if name in GONE else ""
    raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")
