"""Stores of cuzarr as stores of zarr-python: ``zarr.open(as_zarr_store(store))``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Literal

from zarr.abc import store as abc

from cuzarr.storage.base import Names, RequestBatch, Status
from cuzarr.storage.prefix import check_prefix
from cuzarr.storage.resolve import StoreLike, as_store
from cuzarr.storage.status import status_error

Anything = list[Any]  # inside a class with a method called "list" the builtin has no other name
Pairs = list[tuple[str, Any]]


def as_zarr_store(store: StoreLike, *, read_only: bool = False) -> ZarrStore:
    """Return a store of zarr-python over anything that cuzarr takes for a store.

    Parameters
    ----------
    store : path, mapping or Store
    read_only : bool
        Refuse writes.
    """
    return ZarrStore(store, read_only=read_only)


class ZarrStore(abc.Store):
    """A store of zarr-python whose objects a store of cuzarr keeps.

    Each operation is one hop to a thread; many byte ranges are one batch.

    Parameters
    ----------
    store : path, mapping or Store
    read_only : bool
        Refuse writes.
    """

    supports_writes: bool = True
    supports_deletes: bool = True
    supports_listing: bool = True
    supports_partial_writes: Literal[False] = False

    def __init__(self, store: StoreLike, *, read_only: bool = False) -> None:
        self.store = as_store(store)
        super().__init__(read_only=read_only or self.store.read_only)

    def __str__(self) -> str:
        return str(self.store)

    def __repr__(self) -> str:
        return f"ZarrStore({self.store!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ZarrStore)
            and self.store == other.store
            and self.read_only == other.read_only
        )

    __hash__ = None  # type: ignore[assignment]  # as all stores of zarr-python

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.store, self.read_only)

    def with_read_only(self, read_only: bool = False) -> ZarrStore:
        """Return a store over the same objects that refuses writes, or does not."""
        return type(self)(self.store, read_only=read_only)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return an object or a part of it; None where it is missing."""
        return (await self.get_partial_values(prototype, [(key, byte_range)]))[0]

    async def get_partial_values(
        self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]
    ) -> Anything:
        """Return many parts of objects."""
        return await asyncio.to_thread(self._get, prototype, [*key_ranges])

    async def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        return await asyncio.to_thread(self.store.exists, key)

    async def getsize(self, key: str) -> int:
        """Return the bytes stored at a key; ``FileNotFoundError`` where it is missing."""
        size = await asyncio.to_thread(self.store.size, key)
        if size is None:
            raise FileNotFoundError(key)
        return size

    async def set(self, key: str, value: Any) -> None:
        """Replace a whole object."""
        self._check_writable()
        if not hasattr(value, "as_buffer_like"):
            raise TypeError(f"expected a Buffer for {key!r}, found {type(value).__name__}")
        await asyncio.to_thread(self.store.set, key, value.as_buffer_like())

    async def set_if_not_exists(self, key: str, value: Any) -> None:
        """Store an object unless there is one."""
        if not await self.exists(key):
            await self.set(key, value)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        self._check_writable()
        await asyncio.to_thread(self.store.delete, [key])

    async def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix``."""
        self._check_writable()
        await asyncio.to_thread(self.store.delete_dir, prefix)

    async def clear(self) -> None:
        """Delete every object."""
        await self.delete_dir("")

    async def list(self) -> AsyncIterator[str]:
        """Iterate over every key."""
        for key in await asyncio.to_thread(self._list, ""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over every key that starts with ``prefix``."""
        for key in await asyncio.to_thread(self._list, prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names of the direct children of ``prefix``."""
        for name in await asyncio.to_thread(self.store.list_dir, check_prefix(prefix)):
            yield name

    def close(self) -> None:
        """Close the store."""
        self.store.close()
        super().close()

    def _list(self, prefix: str) -> Names:
        """List keys by a prefix that need not end with the name of a directory."""
        directory = prefix.rpartition("/")[0]
        return [key for key in self.store.list(directory) if key.startswith(prefix)]

    def _get(self, prototype: Any, key_ranges: Pairs) -> Anything:
        keys, starts, lengths = [], [], []
        for key, wanted in key_ranges:
            start, length = _range(wanted)
            keys.append(key)
            starts.append(start)
            lengths.append(length)
        answer = self.store.get_many(RequestBatch.of(keys, starts, lengths))
        values: Anything = []
        for key, value, status, start, length in zip(
            keys, answer.values, answer.statuses.tolist(), starts, lengths, strict=True
        ):
            if status == Status.SHORT:  # zarr-python's stores return what there is
                value = self._short(key, start, length)
            elif status not in (Status.OK, Status.MISSING):
                raise status_error(self.store, key, status)
            values.append(None if value is None else prototype.buffer.from_bytes(value))
        return values

    def _short(self, key: str, start: int, length: int) -> bytes | None:
        whole = self.store.get(key)
        if whole is None:
            return None
        return whole[start:] if length < 0 else whole[start : start + length]


def _range(wanted: Any) -> tuple[int, int]:
    """Return start and length of a byte range of zarr-python."""
    if wanted is None:
        return 0, -1
    if isinstance(wanted, abc.RangeByteRequest):
        return wanted.start, wanted.end - wanted.start
    if isinstance(wanted, abc.OffsetByteRequest):
        return wanted.offset, -1
    if isinstance(wanted, abc.SuffixByteRequest):
        return -wanted.suffix, -1
    raise TypeError(f"expected a byte range, found {wanted!r}")


def _unpickle(store: Any, read_only: bool) -> ZarrStore:
    return ZarrStore(store, read_only=read_only)
