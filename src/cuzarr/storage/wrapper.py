"""Stores around stores: to change what one does, or to see what is asked of it.

1. :class:`WrapperStore` passes every call on. Derive from it and override what is to be different;
   the store has no other capability than these calls, so none is passed by.
2. :class:`LoggingStore` writes a line to a logger for each call, and counts them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from cuzarr.storage.base import BytesLike, Names, RequestBatch, Values
from cuzarr.storage.resolve import StoreLike, as_store
from cuzarr.storage.status import refuse_write


class WrapperStore:
    """A store that passes every call on to another.

    Parameters
    ----------
    store : path, mapping or Store
    """

    def __init__(self, store: StoreLike) -> None:
        self._store = as_store(store)
        self.read_only: bool = self._store.read_only
        self.parallel_safe: bool = self._store.parallel_safe

    def __str__(self) -> str:
        return f"wrapping-{self._store}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._store == other._store

    def __hash__(self) -> int:
        return hash((type(self), self._store))

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a wrapper that refuses writes, or does not, around a store that does the same.

        A subclass whose constructor takes more than the store has to override it.

        Parameters
        ----------
        read_only : bool

        Raises
        ------
        NotImplementedError
            The store within can only be opened again.
        """
        return type(self)(self._changed(read_only))

    def get_many(self, batch: RequestBatch) -> Values:
        """Read many byte ranges."""
        return self._store.get_many(batch)

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        """Write many whole objects."""
        self._check_writable(keys)
        self._store.set_many(keys, values)

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        """Read one byte range, or None where the key is missing."""
        return self._store.get(key, start, length)

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        self._check_writable([key])
        self._store.set(key, value)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing keys are no error."""
        given = [*keys]
        self._check_writable(given)
        self._store.delete(given)

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all)."""
        self._check_writable([prefix])
        self._store.delete_dir(prefix)

    def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        return self._store.exists(key)

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        return self._store.size(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), in any order."""
        return self._store.list(prefix)

    def list_dir(self, prefix: str = "") -> Names:
        """Names of the direct children of ``prefix``, sorted."""
        return self._store.list_dir(prefix)

    def close(self) -> None:
        """Close the store within."""
        self._store.close()

    def _changed(self, read_only: bool) -> StoreLike:
        change = getattr(self._store, "with_read_only", None)
        if change is None:
            raise NotImplementedError(f"{self._store} has no with_read_only: open it again")
        changed: StoreLike = change(read_only)
        return changed

    def _check_writable(self, keys: Iterable[str]) -> None:
        for key in keys:
            if self.read_only:
                raise refuse_write(self, key)


class LoggingStore(WrapperStore):
    """A store that logs and counts the calls to another.

    Parameters
    ----------
    store : path, mapping or Store
    log_level : str or int
    log_handler : logging.Handler, optional
        By default what the logger ``cuzarr.storage`` has.

    Attributes
    ----------
    counter : collections.Counter
        Calls by the names of the methods.
    """

    def __init__(
        self,
        store: StoreLike,
        log_level: str | int = "DEBUG",
        log_handler: logging.Handler | None = None,
    ) -> None:
        super().__init__(store)
        self.counter: Counter[str] = Counter()
        self.log_level, self.log_handler = log_level, log_handler
        names = logging.getLevelNamesMapping()
        self._level = names[log_level] if isinstance(log_level, str) else log_level
        self.logger = logging.getLogger("cuzarr.storage" if log_handler is None else str(id(self)))
        if log_handler is not None:
            self.logger.addHandler(log_handler)
            self.logger.propagate = False
        self.logger.setLevel(log_level)

    def __str__(self) -> str:
        return f"logging-{self._store}"

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a logging store that refuses writes, or does not; it counts for itself."""
        return type(self)(self._changed(read_only), self.log_level, self.log_handler)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._store, self.log_level, self.log_handler)

    @contextmanager
    def log(self, method: str, hint: object = "") -> Iterator[None]:
        """Log a call around what is done in it."""
        self.counter[method] += 1
        self.logger.log(self._level, "%s.%s(%s)", self._store, method, hint)
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.logger.log(self._level, "%s.%s took %.6f s", self._store, method, took)

    def get_many(self, batch: RequestBatch) -> Values:
        """Read many byte ranges."""
        with self.log("get_many", f"{len(batch)} requests"):
            return super().get_many(batch)

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        """Write many whole objects."""
        with self.log("set_many", f"{len(keys)} objects"):
            super().set_many(keys, values)

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        """Read one byte range, or None where the key is missing."""
        with self.log("get", repr(key)):
            return super().get(key, start, length)

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        with self.log("set", repr(key)):
            super().set(key, value)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing keys are no error."""
        given = [*keys]
        with self.log("delete", ", ".join(map(repr, given))):
            super().delete(given)

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all)."""
        with self.log("delete_dir", repr(prefix)):
            super().delete_dir(prefix)

    def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        with self.log("exists", repr(key)):
            return super().exists(key)

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        with self.log("size", repr(key)):
            return super().size(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), in any order."""
        with self.log("list", repr(prefix)):
            return super().list(prefix)

    def list_dir(self, prefix: str = "") -> Names:
        """Names of the direct children of ``prefix``, sorted."""
        with self.log("list_dir", repr(prefix)):
            return super().list_dir(prefix)
