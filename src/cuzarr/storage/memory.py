"""A store in memory, over any mutable mapping from keys to bytes-like values.

1. Reads return the stored object itself, or a view of a range of it: nothing is copied.
2. Writes keep a copy, so that the caller may reuse its buffer.
3. One lock orders writes and listings. Reads of a plain ``dict`` need none; another mapping (a
   database, a cache) is not assumed to stand concurrent calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

from cuzarr import native
from cuzarr.storage.base import BytesLike, RequestBatch, Status
from cuzarr.storage.by_key import ByKey
from cuzarr.storage.located import Located
from cuzarr.storage.prefix import check_batch, check_key, check_prefix, not_utf8
from cuzarr.storage.status import byte_view, refuse_write, span


class MemoryStore(ByKey):
    """Objects in a mapping.

    Parameters
    ----------
    store_dict : MutableMapping, optional
        Keys to any bytes-like values; a new ``dict`` by default.
    read_only : bool
        Refuse writes.
    """

    parallel_safe = True

    def __init__(
        self, store_dict: MutableMapping[str, Any] | None = None, *, read_only: bool = False
    ) -> None:
        self.read_only = read_only
        self.store_dict: MutableMapping[Any, Any] = {} if store_dict is None else store_dict
        self._lock = threading.RLock()
        # The values of a dict are there: no call waits for one, and none costs memory.
        self.in_memory = type(self.store_dict) is dict

    def __str__(self) -> str:
        return f"memory://{id(self.store_dict)}"

    def __repr__(self) -> str:
        return f"MemoryStore({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, MemoryStore)
            and self.store_dict is other.store_dict
            and self.read_only == other.read_only
        )

    def __hash__(self) -> int:
        return hash((id(self.store_dict), self.read_only))

    def __getstate__(self) -> dict[str, Any]:
        return {"store_dict": self.store_dict, "read_only": self.read_only}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["store_dict"], read_only=state["read_only"])  # type: ignore[misc]

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store over the same mapping that refuses writes, or does not.

        Parameters
        ----------
        read_only : bool
        """
        store = type(self)(self.store_dict, read_only=read_only)
        store._lock = self._lock
        return store

    def locate(self, batch: RequestBatch) -> Located:
        """Find many byte ranges where they lie; nothing is copied."""
        if not self.in_memory:
            return Located.of(self.get_many(batch), batch)
        check_batch(batch)
        try:
            owners, pointers, sizes, statuses = native.find_values(
                self.store_dict,  # type: ignore[arg-type]
                batch.keys, batch.offsets, batch.starts, batch.lengths,
            )  # fmt: skip
        except UnicodeDecodeError as error:
            raise not_utf8(error) from None
        if (statuses < 0).any():
            return Located.of(self.get_many(batch), batch)  # raises, and names the key
        return Located(pointers, sizes, statuses, owners)

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        self._check_writable(key)
        copy = bytes(self._view(value, key))
        with self._lock:
            self.store_dict[key] = copy

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing keys are no error."""
        for key in keys:
            self._check_writable(key)
            with self._lock:
                self.store_dict.pop(key, None)

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all)."""
        if self.read_only:
            raise refuse_write(self, prefix)
        with self._lock:
            for key in list(self.list(prefix)):
                self.store_dict.pop(key, None)

    def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        check_key(key)
        with self._reading():
            return key in self.store_dict

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        check_key(key)
        with self._reading():
            try:
                value = self.store_dict[key]
            except KeyError:
                return None
        return self._view(value, key).nbytes

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), as they were at the time of the call."""
        prefix = check_prefix(prefix)
        with self._lock:
            keys = [key for key in list(self.store_dict) if isinstance(key, str)]
        return iter([key for key in keys if key.startswith(f"{prefix}/")] if prefix else keys)

    def close(self) -> None:
        """Do nothing: the mapping belongs to the caller."""

    def _read(self, key: str, start: int, length: int) -> tuple[BytesLike | None, int]:
        try:
            value = self.store_dict[key]
        except KeyError:
            return None, Status.MISSING
        if type(value) is not bytes:
            value = self._view(value, key)
        if start == 0 and length < 0:
            return value, Status.OK
        bounds = span(len(value), start, length)
        if bounds is None:
            return None, Status.SHORT
        return memoryview(value)[bounds[0] : bounds[1]], Status.OK

    def _view(self, value: Any, key: str) -> memoryview:
        """Return the bytes of a value."""
        return byte_view(value, self, key)

    def _reading(self) -> AbstractContextManager[Any]:
        return nullcontext() if type(self.store_dict) is dict else self._lock


class GpuMemoryStore(MemoryStore):
    """A memory store whose values may be arrays of a device, by the name that zarr-python uses.

    **Bytes that are written lie in host memory**, wherever they come from: ``set`` and
    :meth:`from_dict` copy them there, and arrays on any device are read from there. (zarr-python
    keeps them on the GPU.) What is to stay on a device is the matter of
    :class:`~cuzarr.DeviceStore`, which also decodes there.

    Parameters
    ----------
    store_dict : MutableMapping, optional
        Keys to bytes, to buffers of zarr-python (``zarr.buffer.gpu.Buffer`` or any other), or to
        arrays of CuPy. It is kept, not copied: a value on a device stays there until its key is
        written, and every read of it is a download. A new ``dict`` by default.
    read_only : bool
        Refuse writes.
    """

    @classmethod
    def from_dict(cls, store_dict: Mapping[str, Any]) -> Self:
        """Return a store of a mapping's values, which are copied to host memory."""
        store = cls()
        for key, value in store_dict.items():
            store.set(key, value)
        return store

    def __str__(self) -> str:
        return f"gpumemory://{id(self.store_dict)}"

    def __repr__(self) -> str:
        return f"GpuMemoryStore({str(self)!r})"

    def _view(self, value: Any, key: str) -> memoryview:
        if hasattr(value, "as_numpy_array"):
            value = value.as_numpy_array()
        elif hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
            value = value.get()
        return super()._view(value, key)
