"""From what a user passes as ``store=`` to a :class:`~cuzarr.storage.base.Store`.

==========================  ======================================================
str, PathLike, file:// URL  :class:`LocalStore`; of a zip archive, :class:`ZipStore` to read
any other URL, FSMap        :class:`FsspecStore`
MutableMapping              :class:`MemoryStore` over it
None                        a new :class:`MemoryStore`
Store                       itself
KeyStore                    :class:`BatchAdapter` over it
store of zarr-python        :class:`ZarrStoreAdapter` over it
store of obstore            :class:`ObjectStore` over it
==========================  ======================================================
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from cuzarr.errors import StoreError
from cuzarr.storage.adapter import BatchAdapter, KeyStore
from cuzarr.storage.async_base import AsyncStore
from cuzarr.storage.base import Store
from cuzarr.storage.fsspec_store import FsspecStore
from cuzarr.storage.local import LocalStore
from cuzarr.storage.memory import MemoryStore
from cuzarr.storage.object_store import ObjectStore
from cuzarr.storage.path import StorePath
from cuzarr.storage.view import read_only_view
from cuzarr.storage.zarr_adapter import ZarrStoreAdapter, is_async_store
from cuzarr.storage.zip import ZipStore

StoreLike: TypeAlias = (
    Store
    | KeyStore
    | AsyncStore
    | StorePath
    | MutableMapping[str, Any]
    | str
    | os.PathLike[str]
    | None
)

_OWN = (LocalStore, MemoryStore, ZipStore, BatchAdapter, ZarrStoreAdapter)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(:|//)")
_STORE_METHODS = (
    "get_many", "set_many", "get", "set", "delete", "delete_dir",
    "exists", "size", "list", "list_dir", "close",
)  # fmt: skip


def as_store(
    obj: StoreLike,
    *,
    read_only: bool = False,
    storage_options: dict[str, Any] | None = None,
) -> Store:
    """Return the store that ``obj`` names.

    Parameters
    ----------
    obj : Store, KeyStore, MutableMapping, str, PathLike or None
        See the table above.
    read_only : bool
        The result refuses writes.
    storage_options : dict, optional
        Of the file system of fsspec that a URL names.

    Raises
    ------
    StoreError
        If a path or URL names something that this version cannot open.
    MissingPackageError
        If it names a remote store.
    TypeError
        If ``obj`` is none of these, or has no use for ``storage_options``.
    """
    if storage_options:
        text = os.fspath(obj) if isinstance(obj, str | os.PathLike) else ""
        if not _URL.match(text):
            raise TypeError("storage_options= is not supported: this store is not named by a URL")
        return _from_url(text, read_only=read_only, storage_options=storage_options)
    if isinstance(obj, _OWN):  # what follows takes as long as opening an array does
        return read_only_view(obj) if read_only else obj
    if obj is None:
        return MemoryStore(read_only=read_only)
    if isinstance(obj, str | os.PathLike):
        return _from_path(os.fsdecode(obj), read_only=read_only)
    package = type(obj).__module__.partition(".")[0]
    if package == "fsspec" and hasattr(obj, "fs") and hasattr(obj, "root"):
        return _remote(FsspecStore.from_mapper(obj), read_only=read_only)
    if package == "obstore":
        return _remote(ObjectStore(obj), read_only=read_only)
    if isinstance(obj, MutableMapping):
        return MemoryStore(obj, read_only=read_only)
    if all(callable(getattr(obj, name, None)) for name in _STORE_METHODS):
        store: Store = obj  # type: ignore[assignment]
        return read_only_view(store) if read_only else store
    if is_async_store(obj):
        return ZarrStoreAdapter(obj, read_only=read_only)
    if isinstance(obj, KeyStore):
        if inspect.iscoroutinefunction(obj.get):
            raise TypeError(
                f"{type(obj).__name__} is an asynchronous store without list_prefix and list_dir; "
                "pass one with the interface of zarr-python's, or one with plain methods"
            )
        return BatchAdapter(obj, read_only=read_only)
    raise TypeError(
        f"cannot use {type(obj).__name__} as a store: expected a path, a mapping, a Store, or an "
        "object with the methods get, set, delete and list"
    )


def names_archive(store: object) -> bool:
    """Whether a store is given as the path of a zip archive, which need not be there yet."""
    if not isinstance(store, str | os.PathLike):
        return False
    path = os.path.expanduser(os.fsdecode(store))
    return path.rstrip("/").endswith(".zip") and not _URL.match(path) and not os.path.isdir(path)


def _from_path(text: str, *, read_only: bool) -> Store:
    if not text:
        raise StoreError("the path of a store is empty; use '.' for the current directory")
    if _URL.match(text):
        return _from_url(text, read_only=read_only)
    if "\0" in text:
        raise StoreError(f"the path of a store holds a NUL: {text!r}")
    path = os.path.expanduser(text)
    if names_archive(path):
        if not read_only:
            raise StoreError(
                f"{text!r} names a zip archive, which is complete only once it is closed: write "
                "with ZipStore(path, mode='w' or 'a') and close it"
            )
        return ZipStore(path)
    return LocalStore(path, read_only=read_only)


def _from_url(
    text: str, *, read_only: bool, storage_options: dict[str, Any] | None = None
) -> Store:
    scheme = text.partition(":")[0].lower()
    if scheme in ("file", "local") and not storage_options:
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise StoreError(f"{text!r} names another host; a file URL starts with file:///")
        return _from_path(unquote(parts.path), read_only=read_only)
    try:
        store = FsspecStore.from_url(text, storage_options)
    except ValueError as error:
        raise StoreError(f"{text!r} names no store: {error}") from error
    return _remote(store, read_only=read_only or scheme in ("http", "https"))


def _remote(store: AsyncStore, *, read_only: bool) -> Store:
    return ZarrStoreAdapter(store, read_only=read_only)
