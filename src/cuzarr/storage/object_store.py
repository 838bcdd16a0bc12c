"""Remote stores through obstore: S3, GCS, Azure, HTTP and more, in Rust.

The interface is zarr-python's; ``as_store`` makes a batch store of it, which sends many requests at
a time (``config["async.concurrency"]``).

The threads of obstore do not survive a fork: a child that was forked after the first request gets
an error, where obstore would wait for ever. Start workers with spawn or forkserver.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any, Self

from cuzarr.errors import MissingPackageError, StoreError
from cuzarr.storage.async_base import (
    MISSING,
    AsyncStore,
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)


class ObjectStore(AsyncStore):
    """Objects in a store of obstore.

    Parameters
    ----------
    store : obstore.store.S3Store, HTTPStore, MemoryStore...
    read_only : bool
        Refuse writes.
    """

    supports_writes = supports_deletes = supports_listing = True

    def __init__(self, store: Any, *, read_only: bool = False) -> None:
        if not type(store).__module__.startswith("obstore"):
            raise TypeError(f"expected a store of obstore, found {type(store).__name__}")
        super().__init__(read_only=read_only)
        self.store = store

    def __str__(self) -> str:
        return f"object_store://{self.store}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ObjectStore)
            and self.read_only == other.read_only
            and bool(self.store == other.store)
        )

    __hash__ = None  # type: ignore[assignment]  # the stores of obstore have none

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store over the same objects that refuses writes, or does not."""
        return type(self)(self.store, read_only=read_only)

    async def get(
        self,
        key: str,
        prototype: Any,
        byte_range: ByteRequest | None = None,
    ) -> Any:
        """Return an object or a part of it; None where it is missing."""
        obstore = _obstore()
        try:
            if isinstance(byte_range, RangeByteRequest):
                data = await obstore.get_range_async(
                    self.store, key, start=byte_range.start, end=byte_range.end
                )
            elif isinstance(byte_range, SuffixByteRequest):
                data = await self._suffix(key, byte_range.suffix)
            elif isinstance(byte_range, OffsetByteRequest):
                if byte_range.offset >= await self.getsize(key):
                    return prototype.buffer.from_bytes(b"")  # which some servers refuse
                options: Any = {"range": {"offset": byte_range.offset}}
                answer = await obstore.get_async(self.store, key, options=options)
                data = await answer.bytes_async()
            else:
                answer = await obstore.get_async(self.store, key)
                data = await answer.bytes_async()
        except MISSING:
            return None
        return prototype.buffer.from_bytes(memoryview(data))

    async def set(self, key: str, value: Any) -> None:
        """Replace a whole object."""
        await _obstore().put_async(self.store, key, value.to_bytes())

    async def delete(self, key: str) -> None:
        """Delete an object."""
        try:
            await _obstore().delete_async(self.store, key)
        except MISSING:
            return

    async def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        try:
            await _obstore().head_async(self.store, key)
        except MISSING:
            return False
        return True

    async def getsize(self, key: str) -> int:
        """Return the bytes stored at a key; ``FileNotFoundError`` where it is missing."""
        return int((await _obstore().head_async(self.store, key))["size"])

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over every key that starts with ``prefix``."""
        directory = prefix.rpartition("/")[0] or None
        async for batch in _obstore().list(self.store, prefix=directory):
            for entry in batch:
                if entry["path"].startswith(prefix):
                    yield entry["path"]

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names of the direct children of ``prefix``."""
        found = await _obstore().list_with_delimiter_async(
            self.store, prefix=prefix.rstrip("/") or None
        )
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        for path in paths:
            yield path.rstrip("/").rpartition("/")[2]

    async def _suffix(self, key: str, suffix: int) -> Any:
        """Read the end of an object; of Azure by two requests, which knows no such range."""
        obstore = _obstore()
        try:
            options: Any = {"range": {"suffix": suffix}}
            answer = await obstore.get_async(self.store, key, options=options)
            return await answer.bytes_async()
        except obstore.exceptions.NotSupportedError:
            size = await self.getsize(key)
            start = max(0, size - suffix)
            return await obstore.get_range_async(self.store, key, start=start, end=size)


_first_process: list[int] = []  #: the one that sent the first request


def _obstore() -> Any:
    try:
        import obstore  # noqa: PLC0415
        import obstore.exceptions  # noqa: PLC0415
    except ImportError as error:
        raise MissingPackageError("an ObjectStore needs the package obstore") from error
    if not _first_process:
        _first_process.append(os.getpid())
    if _first_process[0] != os.getpid():
        raise StoreError(
            "this process was forked after obstore was used, which its threads do not survive: "
            "start it with spawn or forkserver"
        )
    return obstore
