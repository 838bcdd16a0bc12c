"""Where a node lies, whichever of several store objects names it.

1. :func:`place` takes off what is around a store, and finds the folder, mapping or bucket that is
   in it: roots of remote stores are paths too, as those of local ones are.
2. :func:`overlap` says whether one node is another one, above it or below it: overwriting the one
   deletes the other.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import Any

from cuzarr.storage.prefix import join


def place(store: Any, path: str) -> tuple[Hashable, str]:
    """Return what tells a store from others, and the path in it; of a local one that of a file.

    Parameters
    ----------
    store : Store, or store of zarr-python
    path : str
    """
    while (inner := _inside(store)) is not None:
        store = inner
    root = getattr(store, "root", None)
    if isinstance(root, str | os.PathLike):
        return "file", join(os.path.realpath(root), path)
    for name in ("store_dict", "_store_dict"):
        mapping = getattr(store, name, None)
        if mapping is not None:
            return id(mapping), path
    fs, within = getattr(store, "fs", None), getattr(store, "path", None)
    if hasattr(fs, "protocol") and isinstance(within, str):
        return _in_file_system(fs, join(within, path))
    if type(store).__module__.startswith("obstore"):
        return _in_obstore(store, path)
    return str(store) if "://" in str(store) else id(store), path


def overlap(a: tuple[Hashable, str], b: tuple[Hashable, str]) -> bool:
    """Whether of two places one lies at or below the other.

    Examples
    --------
    >>> overlap(("file", "/x/a"), ("file", "/x/a/b")), overlap(("file", "/x/a"), ("file", "/x/ab"))
    (True, False)
    """
    first, second = (f"{path}/" if path else "" for _, path in (a, b))
    return a[0] == b[0] and (first.startswith(second) or second.startswith(first))


#: Options of fsspec and obstore that say which service it is, not who asks.
_WHERE = (
    "endpoint_url", "client_kwargs", "host", "port", "account_name", "fo", "target_protocol",
    "target_options", "bucket", "container_name", "endpoint", "url",
)  # fmt: skip


def _in_file_system(fs: Any, path: str) -> tuple[Hashable, str]:
    """Return the place of a path of a file system of fsspec."""
    while True:
        names = [fs.protocol] if isinstance(fs.protocol, str) else [*fs.protocol]
        if getattr(fs, "sync_fs", None) is not None:  # plain calls, awaited
            fs = fs.sync_fs
        elif "dir" in names:
            fs, path = fs.fs, join(fs.path, path)
        elif any(name.endswith("cache") for name in names):
            fs = fs.fs
        else:
            break
    path = "/".join(part for part in path.split("/") if part)
    if "file" in names:
        return "file", os.path.realpath(f"/{path}")
    return (names[0], _where(getattr(fs, "storage_options", {}))), path


def _in_obstore(store: Any, path: str) -> tuple[Hashable, str]:
    """Return the place of a path in a store of obstore."""
    kind = type(store).__name__
    if kind == "MemoryStore":
        return id(store), path
    prefix = str(getattr(store, "prefix", None) or "")
    if kind == "LocalStore":
        return "file", join(os.path.realpath(prefix or "/"), path)
    return (kind, _where(getattr(store, "config", None) or {})), join(prefix.strip("/"), path)


def _where(options: Any) -> tuple[tuple[str, str], ...]:
    return tuple((name, repr(options[name])) for name in _WHERE if name in options)


def _inside(store: Any) -> Any:
    """Return what a view, a wrapper or an adapter is around; None of any other store."""
    for name in ("inner", "store", "_store"):
        found = getattr(store, name, None)
        if found is not None and callable(getattr(found, "get", None)):
            return found
    return None
