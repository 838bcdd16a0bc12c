"""A batch store over a store object of zarr-python: its own ones, Icechunk's, a user's.

1. One event loop runs in a thread of its own; every call here waits for a coroutine there.
2. A batch is one coroutine: its requests are gathered, ``async.concurrency`` of them at a time.
3. zarr-python is imported only where an object derives from its store, for the types of byte
   ranges and buffers that such an object is given.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cuzarr.config import config
from cuzarr.errors import CuzarrError, StoreError
from cuzarr.storage import async_base
from cuzarr.storage.base import BytesLike, Names, RequestBatch, Status, Values
from cuzarr.storage.prefix import batch_keys, check_batch, check_key, check_prefix
from cuzarr.storage.status import (
    byte_view,
    count_bytes,
    errno_status,
    refuse_write,
    status_error,
)

T = TypeVar("T")
_MISSING = (*async_base.MISSING, KeyError)


class Types(NamedTuple):
    """The classes whose objects a store is given."""

    range: Any
    offset: Any
    suffix: Any
    prototype: Any


class ZarrStoreAdapter:
    """A batch store over an asynchronous store.

    Parameters
    ----------
    inner : zarr.abc.store.Store, AsyncStore, or object with their methods
    read_only : bool
        Refuse writes, whatever ``inner`` allows.
    loop : asyncio.AbstractEventLoop, optional
        The running loop that ``inner`` belongs to, of another thread; by default one of this
        library's own.
    """

    parallel_safe = True

    def __init__(self, inner: Any, *, read_only: bool = False, loop: Any = None) -> None:
        self.inner = inner
        self._own_loop = loop
        self.read_only = read_only or bool(getattr(inner, "read_only", False))
        self._types = _types_for(inner)
        if getattr(inner, "_is_open", True) is False:  # theirs are opened by zarr.open and its kin
            self._run(self._named(inner._open(), "", "open"))

    def __str__(self) -> str:
        text = str(self.inner)
        return text if "://" in text else f"{type(self.inner).__name__.lower()}://{id(self.inner)}"

    def __repr__(self) -> str:
        return f"ZarrStoreAdapter({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ZarrStoreAdapter)
            and bool(self.inner == other.inner)
            and self.read_only == other.read_only
        )

    def __hash__(self) -> int:
        return hash((ZarrStoreAdapter, str(self.inner), self.read_only))

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.inner, self.read_only)

    def get_many(self, batch: RequestBatch) -> Values:
        """Read many byte ranges, several at a time."""
        check_batch(batch)
        requests = zip(
            batch_keys(batch), batch.starts.tolist(), batch.lengths.tolist(), strict=True
        )
        found = self._run(_gathered([self._read(*request) for request in requests]))
        values = [value for value, _ in found]
        statuses = np.array([status for _, status in found], np.int32)
        return Values(values, np.array(count_bytes(values), np.int64), statuses)

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        """Write many whole objects, several at a time."""
        pairs = list(zip(keys, values, strict=True))
        for key in keys:
            self._check_writable(key)
        self._run(_gathered([self._write(key, value) for key, value in pairs]))

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        """Read one byte range, or None where the key is missing."""
        check_key(key)
        value, status = self._run(self._read(key, start, length))
        if status == Status.MISSING:
            return None
        if value is None:
            raise status_error(self, key, status)
        return bytes(value)

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        self.set_many([key], [value])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing keys are no error."""
        given = list(keys)
        for key in given:
            self._check_writable(key)
        self._run(_gathered([self._delete(key) for key in given]))

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all)."""
        prefix = check_prefix(prefix)
        if self.read_only:
            raise refuse_write(self, prefix)
        call = self.inner.delete_dir(prefix) if prefix else self.inner.clear()
        self._run(self._named(call, prefix, "delete"))

    def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        check_key(key)
        return bool(self._run(self._named(self.inner.exists(key), key, "look for")))

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        check_key(key)
        return self._run(self._size(key))

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), as they were at the time of the call."""
        prefix = check_prefix(prefix)
        start = f"{prefix}/" if prefix else ""
        listing = (
            _collected(self.inner.list_prefix, start) if start else _collected(self.inner.list)
        )
        found = self._run(self._named(listing, prefix, "list"))
        return iter([key for key in found if key.startswith(start)])

    def list_dir(self, prefix: str = "") -> Names:
        """Names of the direct children of ``prefix``, sorted."""
        prefix = check_prefix(prefix)
        found = self._run(self._named(_collected(self.inner.list_dir, prefix), prefix, "list"))
        return sorted({name.strip("/").rpartition("/")[2] for name in found} - {""})

    def close(self) -> None:
        """Close the inner store."""
        self.inner.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        return _run(call, self._own_loop)

    async def _read(self, key: str, start: int, length: int) -> tuple[BytesLike | None, int]:
        if length == 0 and start >= 0:  # servers know no empty range
            size = await self._size(key)
            if size is None:
                return None, Status.MISSING
            return (b"", Status.OK) if start <= size else (None, Status.SHORT)
        wanted: Any = None
        if start < 0:
            wanted = self._types.suffix(-start)
        elif length > 0:
            wanted = self._types.range(start, start + length)
        elif start:
            wanted = self._types.offset(start)
        try:
            value = await self.inner.get(key, self._types.prototype(), wanted)
        except _MISSING:
            return None, Status.MISSING
        except CuzarrError:
            raise
        except OSError as error:
            return None, errno_status(error)
        except Exception as error:
            if wanted is not None and await self._is_short(key, start, length):
                return None, Status.SHORT
            raise self._failed(error, key, "read") from error
        if value is None:
            return None, Status.MISSING
        data = byte_view(value.as_numpy_array(), self, key)
        return await self._checked(key, data, start, length)

    async def _checked(
        self, key: str, data: memoryview, start: int, length: int
    ) -> tuple[BytesLike | None, int]:
        """Refuse fewer bytes than were asked for."""
        if start < 0:
            if len(data) < -start:
                return None, Status.SHORT
            data = data if length < 0 else data[:length]
        # From an empty answer nobody could tell "at the end" from "past the end".
        past = start > 0 and length < 0 and not data and await self._is_short(key, start, 0)
        return (None, Status.SHORT) if past or len(data) < length else (data, Status.OK)

    async def _is_short(self, key: str, start: int, length: int) -> bool:
        """Tell whether the object ends before a range does."""
        try:
            size = await self._size(key)
        except CuzarrError:
            return False
        needed = -start if start < 0 else start + max(length, 0)
        return size is not None and size < needed

    async def _write(self, key: str, value: BytesLike) -> None:
        copy = bytes(byte_view(value, self, key))  # the store may keep it
        made = self._types.prototype().buffer.from_bytes(copy)
        await self._named(self.inner.set(key, made), key, "write")

    async def _delete(self, key: str) -> None:
        try:
            await self.inner.delete(key)
        except _MISSING:
            return
        except Exception as error:
            raise self._failed(error, key, "delete") from error

    async def _size(self, key: str) -> int | None:
        try:
            # Where a key names a directory, some stores give the size of that.
            there, size = await _gathered([self.inner.exists(key), self.inner.getsize(key)])
            return int(size) if there else None
        except _MISSING:
            return None
        except Exception as error:
            raise self._failed(error, key, "look at") from error

    async def _named(self, call: Coroutine[Any, Any, T], key: str, verb: str) -> T:
        """Wait for a call, and name the key in its error."""
        try:
            return await call
        except CuzarrError:
            raise
        except Exception as error:
            raise self._failed(error, key, verb) from error

    def _check_writable(self, key: str) -> None:
        if self.read_only:
            raise refuse_write(self, key)
        check_key(key)

    def _failed(self, error: Exception, key: str, verb: str) -> StoreError:
        return StoreError(f"cannot {verb} {key!r} in {self}: {type(error).__name__}: {error}")


def is_async_store(obj: Any) -> bool:
    """Tell an object with the methods of zarr-python's stores."""
    get = getattr(obj, "get", None)
    return inspect.iscoroutinefunction(get) and all(
        callable(getattr(obj, name, None)) for name in ("set", "delete", "list_prefix", "list_dir")
    )


def _types_for(inner: Any) -> Types:
    if isinstance(inner, async_base.AsyncStore) or not any(
        cls.__module__.partition(".")[0] == "zarr" for cls in type(inner).__mro__
    ):
        return Types(
            async_base.RangeByteRequest, async_base.OffsetByteRequest,
            async_base.SuffixByteRequest, async_base.default_buffer_prototype,
        )  # fmt: skip
    from zarr.abc import store  # noqa: PLC0415  # optional; its class is in use already
    from zarr.core.buffer.cpu import buffer_prototype  # noqa: PLC0415

    # Encoded bytes come to the host, also where zarr-python is set to use a device.
    return Types(
        store.RangeByteRequest, store.OffsetByteRequest, store.SuffixByteRequest,
        lambda: buffer_prototype,
    )  # fmt: skip


def _unpickle(inner: Any, read_only: bool) -> ZarrStoreAdapter:
    return ZarrStoreAdapter(inner, read_only=read_only)


# The event loop: one per process, started with the first call; a forked child starts its own.

_lock = threading.Lock()
_loops: dict[int, Any] = {}


def _run(call: Coroutine[Any, Any, T], loop: Any = None) -> T:
    """Run a coroutine in the loop's thread and wait for it."""
    import asyncio  # noqa: PLC0415  # half of what importing cuzarr takes

    if loop is None:
        loop = _loop(asyncio.new_event_loop)
    result: T = asyncio.run_coroutine_threadsafe(call, loop).result()
    return result


def _loop(new_loop: Callable[[], Any]) -> Any:
    process = os.getpid()
    with _lock:
        loop = _loops.get(process)
        if loop is None:
            loop = _loops[process] = new_loop()
            threading.Thread(target=loop.run_forever, name="cuzarr-io", daemon=True).start()
    return loop


async def _gathered(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all calls, some of them at a time; after an error the rest is not started."""
    import asyncio  # noqa: PLC0415

    gate = asyncio.Semaphore(config.count("async.concurrency"))
    failed = False

    async def limited(call: Coroutine[Any, Any, T]) -> T:
        nonlocal failed
        async with gate:
            if failed:
                call.close()
                raise StoreError("an earlier request of the same batch failed")
            try:
                return await call
            except BaseException:
                failed = True
                raise

    results = await asyncio.gather(*map(limited, calls), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]  # no exception is among them


async def _collected(listing: Callable[..., Any], *prefix: str) -> list[str]:
    """Call a listing in the loop: some look for a running one at once."""
    return [key async for key in listing(*prefix)]
