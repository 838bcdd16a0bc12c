"""Stores that users write: one key at a time.

1. :class:`KeyStore` is all that has to be written: ``get``, ``set``, ``delete``, ``list``.
2. :class:`RangeReader` is worth writing where a part of an object is cheaper than all of it.
3. :class:`BatchAdapter` makes a :class:`~cuzarr.storage.base.Store` of either.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Protocol, runtime_checkable

from cuzarr.errors import CuzarrError, StoreError
from cuzarr.storage.base import BytesLike, Status
from cuzarr.storage.by_key import ByKey
from cuzarr.storage.prefix import check_prefix
from cuzarr.storage.status import (
    byte_view,
    errno_status,
    refuse_write,
    span,
)


@runtime_checkable
class KeyStore(Protocol):
    """A store that answers for one key at a time.

    Two attributes are looked for and need not be there: ``read_only`` (default False) and
    ``parallel_safe`` (default False: calls are made one after another).
    """

    def get(self, key: str) -> BytesLike | None:
        """Return a whole object, or None where the key is missing."""
        ...

    def set(self, key: str, value: bytes) -> None:
        """Replace a whole object."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object; a missing key is no error."""
        ...

    def list(self, prefix: str) -> Iterable[str]:
        """Return every key that starts with ``prefix``."""
        ...


@runtime_checkable
class RangeReader(Protocol):
    """Optional: read part of an object."""

    def get_range(self, key: str, start: int, length: int) -> BytesLike | None:
        """Return ``length`` bytes from ``start``; fewer where the object ends; None if missing.

        Either ``start >= 0`` and ``length > 0``, or ``start < 0`` and ``length == -1``: the last
        ``-start`` bytes.
        """
        ...


class BatchAdapter(ByKey):
    """A batch store over a :class:`KeyStore`.

    Parameters
    ----------
    inner : KeyStore
    read_only : bool
        Refuse writes, whatever ``inner`` allows.
    """

    def __init__(self, inner: KeyStore, *, read_only: bool = False) -> None:
        self.inner = inner
        self.read_only = read_only or bool(getattr(inner, "read_only", False))
        # Calls are serialised below if they have to be, so callers may always overlap.
        self.parallel_safe = True
        self._in_order = not getattr(inner, "parallel_safe", False)
        self._lock = threading.RLock()

    def __str__(self) -> str:
        return f"{type(self.inner).__name__.lower()}://{id(self.inner)}"

    def __repr__(self) -> str:
        return f"BatchAdapter({self.inner!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BatchAdapter)
            and self.inner is other.inner
            and self.read_only == other.read_only
        )

    def __hash__(self) -> int:
        return hash((id(self.inner), self.read_only))

    def __getstate__(self) -> dict[str, Any]:
        return {"inner": self.inner, "read_only": self.read_only}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["inner"], read_only=state["read_only"])  # type: ignore[misc]

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        self._check_writable(key)
        copy = bytes(byte_view(value, self, key))
        with self._calling(key, "write"):
            self.inner.set(key, copy)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing keys are no error."""
        for key in keys:
            self._check_writable(key)
            with self._calling(key, "delete"), suppress(KeyError):
                self.inner.delete(key)

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all)."""
        if self.read_only:
            raise refuse_write(self, prefix)
        self.delete(list(self.list(prefix)))

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing; reads the object."""
        value = self.get(key)
        return None if value is None else len(value)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), as they were at the time of the call."""
        prefix = check_prefix(prefix)
        start = f"{prefix}/" if prefix else ""
        with self._calling(prefix, "list"):
            return iter([key for key in self.inner.list(start) if key.startswith(start)])

    def close(self) -> None:
        """Close the inner store, if it can be closed."""
        close = getattr(self.inner, "close", None)
        if callable(close):
            close()

    def _read(self, key: str, start: int, length: int) -> tuple[BytesLike | None, int]:
        """Read a range; an operating-system error becomes a status, as in any store."""
        whole = start == 0 and length < 0
        try:
            with self._order():
                # From an empty answer nobody could tell "at the end" from "past the end".
                if (start < 0 or length > 0) and isinstance(self.inner, RangeReader):
                    return self._read_range(self.inner, key, start, length)
                value = self.inner.get(key)
        except KeyError:
            return None, Status.MISSING
        except CuzarrError:
            raise
        except OSError as error:
            return None, errno_status(error)
        except Exception as error:
            raise self._failed(error, key, "read") from error
        if value is None:
            return None, Status.MISSING
        view = byte_view(value, self, key)
        if whole:
            return (value if isinstance(value, bytes) else view), Status.OK
        bounds = span(len(view), start, length)
        return (None, Status.SHORT) if bounds is None else (view[slice(*bounds)], Status.OK)

    def _read_range(
        self, inner: RangeReader, key: str, start: int, length: int
    ) -> tuple[BytesLike | None, int]:
        wanted = -start if start < 0 else length
        value = inner.get_range(key, start, -1 if start < 0 else length)
        if value is None:
            return None, Status.MISSING
        view = byte_view(value, self, key)
        if len(view) > wanted:
            raise StoreError(
                f"{self} returned {len(view)} bytes of {key!r} where {wanted} were asked for"
            )
        if len(view) < wanted or length > wanted:
            return None, Status.SHORT
        return (view[:length] if length >= 0 else view), Status.OK

    def _order(self) -> AbstractContextManager[Any]:
        return self._lock if self._in_order else nullcontext()

    @contextmanager
    def _calling(self, key: str, verb: str) -> Iterator[None]:
        """Call the inner store in order, and name the key in its errors."""
        try:
            with self._order():
                yield
        except CuzarrError:
            raise
        except Exception as error:
            raise self._failed(error, key, verb) from error

    def _failed(self, error: Exception, key: str, verb: str) -> StoreError:
        return StoreError(f"cannot {verb} {key!r} in {self}: {type(error).__name__}: {error}")
