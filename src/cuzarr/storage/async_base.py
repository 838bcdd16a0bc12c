"""The store interface of zarr-python: one key at a time, asynchronous.

1. :class:`AsyncStore` is for stores written for zarr-python: they derive from it instead of from
   ``zarr.abc.store.Store``, and need nothing else changed. ``storage.zarr_adapter`` makes a batch
   store of it.
2. What its methods are given is defined here too: byte ranges and a buffer.

A store that is written for cuzarr has less to do: see ``storage.adapter``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class RangeByteRequest:
    """The bytes from ``start`` to before ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OffsetByteRequest:
    """The bytes from ``offset`` to the end."""

    offset: int


@dataclass(frozen=True, slots=True)
class SuffixByteRequest:
    """The last ``suffix`` bytes."""

    suffix: int


#: What means that a key is missing, with stores of files and of objects alike.
MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

ByteRequest: TypeAlias = RangeByteRequest | OffsetByteRequest | SuffixByteRequest


class Buffer:
    """Bytes that a store gives or takes.

    Parameters
    ----------
    array_like : contiguous array or bytes-like
    """

    def __init__(self, array_like: Any) -> None:
        self._view = memoryview(array_like).cast("B")

    @classmethod
    def create_zero_length(cls) -> Self:
        """Return an empty buffer."""
        return cls(b"")

    @classmethod
    def from_bytes(cls, bytes_like: Any) -> Self:
        """Return a buffer over bytes, which are not copied."""
        return cls(bytes_like)

    @classmethod
    def from_array_like(cls, array_like: Any) -> Self:
        """Return a buffer over the memory of a contiguous array."""
        return cls(array_like)

    @classmethod
    def from_buffer(cls, buffer: Any) -> Self:
        """Return a buffer over another one of this library or of zarr-python."""
        return cls(buffer.as_buffer_like())

    def to_bytes(self) -> bytes:
        """Return a copy."""
        return self._view.tobytes()

    def as_buffer_like(self) -> memoryview:
        """Return the memory."""
        return self._view

    def as_numpy_array(self) -> npt.NDArray[np.uint8]:
        """Return the memory as an array of bytes."""
        return np.frombuffer(self._view, np.uint8)

    def as_array_like(self) -> npt.NDArray[np.uint8]:
        """Return the memory as an array of bytes."""
        return self.as_numpy_array()

    def __getitem__(self, key: slice) -> Self:
        return type(self)(self._view[key])

    def __len__(self) -> int:
        return len(self._view)

    def __add__(self, other: Buffer) -> Self:
        return type(self)(self.to_bytes() + other.to_bytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Buffer) and self._view == other._view

    __hash__ = None  # type: ignore[assignment]  # the memory may change


class BufferPrototype(NamedTuple):
    """What a store makes of the bytes it read, and where results of an array are to live.

    Attributes
    ----------
    buffer : type
    device : str
        "cpu" or "cuda".
    """

    buffer: type[Buffer]
    device: str


HOST = BufferPrototype(Buffer, "cpu")
GPU = BufferPrototype(Buffer, "cuda")  # encoded bytes come to the host all the same


def default_buffer_prototype() -> BufferPrototype:
    """Return the prototype that stores are given."""
    return HOST


class AsyncStore(ABC):
    """A store that answers ``await``; see ``zarr.abc.store.Store`` of zarr-python.

    Parameters
    ----------
    read_only : bool
    """

    def __init__(self, *, read_only: bool = False) -> None:
        self._read_only = read_only

    @property
    def read_only(self) -> bool:
        """Whether writes are refused."""
        return self._read_only

    @property
    @abstractmethod
    def supports_writes(self) -> bool:
        """Whether ``set`` works."""

    @property
    @abstractmethod
    def supports_deletes(self) -> bool:
        """Whether ``delete`` works."""

    @property
    @abstractmethod
    def supports_listing(self) -> bool:
        """Whether the three ways to list work."""

    @abstractmethod
    async def get(
        self, key: str, prototype: Any, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or a part of it, made by ``prototype.buffer``; None where missing."""

    async def get_partial_values(
        self, prototype: Any, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return many parts of objects."""
        return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

    @abstractmethod
    async def set(self, key: str, value: Buffer) -> None:
        """Replace a whole object."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete an object."""

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """Whether the key is stored."""

    def list(self) -> AsyncIterator[str]:
        """Iterate over every key."""
        return self.list_prefix("")

    @abstractmethod
    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over every key that starts with ``prefix``."""

    @abstractmethod
    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names of the direct children of ``prefix``."""

    async def getsize(self, key: str) -> int:
        """Return the bytes stored at a key; ``FileNotFoundError`` where it is missing."""
        value = await self.get(key, default_buffer_prototype())
        if value is None:
            raise FileNotFoundError(key)
        return len(value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Store an object unless there is one."""
        if not await self.exists(key):
            await self.set(key, value)

    async def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix``."""
        start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        for key in [key async for key in self.list_prefix(start)]:
            await self.delete(key)

    async def clear(self) -> None:
        """Delete every object."""
        await self.delete_dir("")

    async def is_empty(self, prefix: str) -> bool:
        """Whether nothing is stored under ``prefix``."""
        start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        async for _ in self.list_prefix(start):
            return False
        return True

    def close(self) -> None:  # noqa: B027  # most stores hold nothing
        """Release what the store holds."""
