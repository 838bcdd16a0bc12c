"""Remote stores through fsspec: one file system, one path in it.

1. The interface is zarr-python's; ``as_store`` makes a batch store of it, which sends many requests
   at a time (``config["async.concurrency"]``).
2. A file system that only knows plain calls is wrapped by fsspec, and answers in threads.
3. Servers that do not know ranges answer with the whole object: that is cut here, or bytes of
   another place would pass for those asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self

from cuzarr.errors import MissingPackageError
from cuzarr.storage.async_base import (
    MISSING,
    AsyncStore,
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)


class FsspecStore(AsyncStore):
    """Objects below a path of a file system of fsspec.

    Parameters
    ----------
    fs : fsspec.AbstractFileSystem
    read_only : bool
        Refuse writes.
    path : str
        Without the protocol, or with it for HTTP.
    allowed_exceptions : tuple of exception types
        Which mean that a key is missing.
    """

    supports_writes = supports_deletes = supports_listing = True

    def __init__(
        self,
        fs: Any,
        read_only: bool = False,
        path: str = "/",
        allowed_exceptions: tuple[type[Exception], ...] = MISSING,
    ) -> None:
        super().__init__(read_only=read_only)
        self.fs = _asynchronous(fs)
        # Not every file system has a root that is called "/": names of references have none.
        self.path = path.rstrip("/") or path[:1]
        self.allowed_exceptions = allowed_exceptions

    @classmethod
    def from_url(
        cls,
        url: str,
        storage_options: dict[str, Any] | None = None,
        read_only: bool = False,
        allowed_exceptions: tuple[type[Exception], ...] = MISSING,
    ) -> Self:
        """Return the store that a URL names, of any protocol that fsspec knows.

        Parameters
        ----------
        url : str
        storage_options : dict, optional
            Of the file system: ``{"anon": True}`` for public buckets.
        read_only : bool
        allowed_exceptions : tuple of exception types

        Raises
        ------
        MissingPackageError
            fsspec, or the package that it needs for the protocol, is not installed.
        ValueError
            It knows no such protocol.
        """
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415

            fs, path = url_to_fs(url, **{"asynchronous": True, **(storage_options or {})})
        except ImportError as error:
            raise MissingPackageError(
                f"{url!r} is a remote store, which needs a package that is not installed "
                f"({error}): pip install 'cuzarr[remote]' brings fsspec and HTTP, "
                "'cuzarr[all-stores]' S3, GCS and Azure too"
            ) from error
        return cls(fs, read_only, path, allowed_exceptions)

    @classmethod
    def from_mapper(
        cls,
        fs_map: Any,
        read_only: bool = False,
        allowed_exceptions: tuple[type[Exception], ...] = MISSING,
    ) -> Self:
        """Return the store of what ``fsspec.get_mapper`` gave."""
        return cls(fs_map.fs, read_only, fs_map.root, allowed_exceptions)

    @classmethod
    def from_upath(
        cls,
        upath: Any,
        read_only: bool = False,
        allowed_exceptions: tuple[type[Exception], ...] = MISSING,
    ) -> Self:
        """Return the store of a path of universal_pathlib."""
        return cls(upath.fs, read_only, upath.path, allowed_exceptions)

    def __str__(self) -> str:
        if "://" in self.path:
            return self.path
        protocol = self.fs.protocol
        name = protocol if isinstance(protocol, str) else protocol[0]
        return f"{name}://{self.path.lstrip('/')}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FsspecStore) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((self.path, self._read_only))

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store over the same objects that refuses writes, or does not."""
        return type(self)(self.fs, read_only, self.path, self.allowed_exceptions)

    async def get(
        self,
        key: str,
        prototype: Any,
        byte_range: ByteRequest | None = None,
    ) -> Any:
        """Return an object or a part of it; None where it is missing."""
        path = self._path(key)
        try:
            data = await self._read(path, byte_range)
        except self.allowed_exceptions:
            return None
        except OSError as error:
            if "not satisfiable" not in str(error):
                raise
            data = b""  # a range behind the end
        return prototype.buffer.from_bytes(data)

    async def set(self, key: str, value: Any) -> None:
        """Replace a whole object."""
        await self.fs._pipe_file(self._path(key), value.to_bytes())

    async def delete(self, key: str) -> None:
        """Delete an object."""
        try:
            await self.fs._rm_file(self._path(key))
        except self.allowed_exceptions:
            return

    async def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix``."""
        try:
            await self.fs._rm(self._path(prefix), recursive=True)
        except self.allowed_exceptions:
            return

    async def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        try:
            info = await self.fs._info(self._path(key))
        except self.allowed_exceptions:
            return False
        return bool(info["type"] != "directory")

    async def getsize(self, key: str) -> int:
        """Return the bytes stored at a key; ``FileNotFoundError`` where it is missing."""
        info = await self.fs._info(self._path(key))
        if info.get("size") is None:  # a server that does not say
            return len(await self.fs._cat_file(self._path(key)))
        return int(info["size"])

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over every key that starts with ``prefix``."""
        try:
            found = await self.fs._find(self._path(prefix.rpartition("/")[0]))
        except self.allowed_exceptions:
            return
        for path in found:
            key = self._key(path)
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names of the direct children of ``prefix``."""
        directory = self._path(prefix.rstrip("/"))
        try:
            found = await self.fs._ls(directory, detail=False)
        except self.allowed_exceptions:
            return
        for path in found:
            name = path.rstrip("/").rpartition("/")[2]
            if path.strip("/") != directory.strip("/"):
                yield name

    def _path(self, key: str) -> str:
        return f"{self.path.rstrip('/')}/{key}" if key and self.path else key or self.path

    def _key(self, path: str) -> str:
        root = self.path.strip("/")
        return path.lstrip("/").removeprefix(root).lstrip("/")

    def _identity(self) -> tuple[Any, ...]:
        wrapped = getattr(self.fs, "sync_fs", self.fs)
        return wrapped, self.path, self.read_only

    async def _read(self, path: str, wanted: ByteRequest | None) -> Any:
        read = self.fs._cat_file
        if isinstance(wanted, RangeByteRequest):
            data: bytes = await read(path, start=wanted.start, end=wanted.end)
            whole = len(data) > wanted.end - wanted.start
            return data[wanted.start : wanted.end] if whole else data
        if isinstance(wanted, SuffixByteRequest):
            data = await read(path, start=-wanted.suffix, end=None)
            return data[-wanted.suffix :]
        if isinstance(wanted, OffsetByteRequest):
            data = await read(path, start=wanted.offset, end=None)
            size = (await self.fs._info(path)).get("size")
            whole = len(data) > 0 and wanted.offset > 0 and size == len(data)
            return data[wanted.offset :] if whole else data
        return await read(path)


def _asynchronous(fs: Any) -> Any:
    """Return a file system whose methods are awaited in any loop."""
    if fs.async_impl and fs.asynchronous:
        return fs
    if fs.async_impl and getattr(getattr(fs, "fs", fs), "async_impl", True):  # and what is in it
        return type(fs)(*fs.storage_args, **{**fs.storage_options, "asynchronous": True})
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper  # noqa: PLC0415

    return AsyncFileSystemWrapper(fs, asynchronous=True)
