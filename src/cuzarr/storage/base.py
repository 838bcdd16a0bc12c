"""The store: waist 4 of the design.

1. A :class:`RequestBatch` names byte ranges of many objects in columns, no Python object per key.
2. A store answers a batch with values (:meth:`Store.get_many`) and int32 statuses.
3. A store that can place bytes into memory it is given also has :class:`ReadInto`.
4. A user writes a :class:`KeyStore` (one key at a time); :func:`as_store` makes it a ``Store``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
BytesLike = bytes | bytearray | memoryview
Names = list[str]  # inside a class with a method called "list" the builtin has no other name


class Status(IntEnum):
    """Outcome of one request of a batch; ``1000 + errno`` stands for an operating-system error."""

    OK = 0
    MISSING = 1  #: no such key
    SHORT = 2  #: the object ends before the requested range does
    NO_SPACE = 3  #: the slab is full; ``sizes`` says what was needed
    ERRNO = 1000


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Byte ranges of ``n`` objects.

    Attributes
    ----------
    keys : bytes
        All keys, UTF-8, one after another.
    offsets : (n + 1,) int64
        Key ``i`` is ``keys[offsets[i]:offsets[i + 1]]``.
    starts : (n,) int64
        First byte; a negative start counts from the end of the object (suffix range).
    lengths : (n,) int64
        Bytes wanted; -1 = to the end.
    """

    keys: bytes
    offsets: Int64
    starts: Int64
    lengths: Int64

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of(
        cls,
        keys: Iterable[str],
        starts: Iterable[int] | None = None,
        lengths: Iterable[int] | None = None,
    ) -> RequestBatch:
        """Build a batch from Python strings; whole objects unless ranges are given."""
        encoded = [key.encode() for key in keys]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(key) for key in encoded], out=offsets[1:])
        n = len(encoded)
        return cls(
            b"".join(encoded),
            offsets,
            np.zeros(n, np.int64) if starts is None else np.fromiter(starts, np.int64, n),
            np.full(n, -1, np.int64) if lengths is None else np.fromiter(lengths, np.int64, n),
        )

    @classmethod
    def join(cls, batches: Sequence[RequestBatch]) -> RequestBatch:
        """Put batches one behind another."""
        ends = np.cumsum([len(batch.keys) for batch in batches])
        bases = [0, *ends.tolist()]
        offsets = [b.offsets[:-1] + base for b, base in zip(batches, bases[:-1], strict=True)]
        return cls(
            b"".join([batch.keys for batch in batches]),
            np.concatenate([*offsets, ends[-1:]]),
            np.concatenate([batch.starts for batch in batches]),
            np.concatenate([batch.lengths for batch in batches]),
        )

    def key(self, i: int) -> str:
        """Return key ``i``."""
        return self.keys[self.offsets[i] : self.offsets[i + 1]].decode()

    def key_list(self) -> list[str]:
        """Return every key."""
        bounds = self.offsets.tolist()
        return [self.keys[a:b].decode() for a, b in pairwise(bounds)]

    def take(self, which: npt.NDArray[Any] | slice) -> RequestBatch:
        """Return the requests ``which`` (a slice, or an index array)."""
        if isinstance(which, slice) and which.step in (None, 1):
            lo, hi, _ = which.indices(len(self))
            hi = max(lo, hi)
            base = int(self.offsets[lo])
            return RequestBatch(
                self.keys[base : int(self.offsets[hi])],
                self.offsets[lo : hi + 1] - base,
                self.starts[lo:hi],
                self.lengths[lo:hi],
            )
        rows = np.arange(len(self))[which]
        lo, hi = self.offsets[rows].tolist(), self.offsets[rows + 1].tolist()
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(self.offsets[rows + 1] - self.offsets[rows], out=offsets[1:])
        blob = b"".join([self.keys[a:b] for a, b in zip(lo, hi, strict=True)])
        return RequestBatch(blob, offsets, self.starts[rows], self.lengths[rows])


@dataclass(frozen=True, slots=True)
class Values:
    """Answer to ``get_many``: ``values[i]`` is None unless ``statuses[i]`` is ``Status.OK``."""

    values: Sequence[BytesLike | None]
    sizes: Int64  #: bytes returned; -1 where nothing was
    statuses: Int32


@dataclass(frozen=True, slots=True)
class Placed:
    """Answer to ``read_into``: bytes of request ``i`` are ``slab[positions[i]:][:sizes[i]]``."""

    positions: Int64
    sizes: Int64  #: bytes placed, or needed where the status is ``NO_SPACE``; -1 if unknown
    statuses: Int32
    used: int  #: end of the used part of the slab


class Store(Protocol):
    """A key-value store, batch first.

    Keys are relative, ``/``-separated, without empty, ``.`` or ``..`` parts. Errors of single
    requests are statuses; a failure of the store as a whole raises ``StoreError``.
    """

    read_only: bool
    parallel_safe: bool  #: calls from several threads may overlap

    def get_many(self, batch: RequestBatch) -> Values:
        """Read many byte ranges."""
        ...

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        """Write many whole objects; each is replaced atomically or not at all."""
        ...

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        """Read one byte range, or None where the key is missing."""
        ...

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing keys are no error."""
        ...

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all)."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), in any order."""
        ...

    def list_dir(self, prefix: str = "") -> Names:
        """Names of the direct children of ``prefix``, keys and directories alike, sorted."""
        ...

    def close(self) -> None:
        """Release what the store holds; further calls may fail."""
        ...


class ReadInto(Protocol):
    """Optional capability: place bytes in memory given by the caller, without a Python object."""

    def read_into(self, batch: RequestBatch, slab: memoryview, *, threads: int = 1) -> Placed:
        """Read many byte ranges into a writable slab, each at a 16-byte aligned position."""
        ...


class FileSource(Protocol):
    """Optional capability: objects are files, which the native code may read by itself."""

    def file_root(self, batch: RequestBatch) -> str:
        """Check the keys of a batch and return the directory that they are relative to.

        A symbolic link in the place of an object is left to ``get_many`` and ``read_into``.
        """
        ...


class FileTarget(Protocol):
    """Optional capability: objects are files, which the native code may write by itself."""

    def write_root(self, batch: RequestBatch) -> str | None:
        """Check the keys of a batch and return the directory that they are relative to.

        None where the files have to be written by ``set_many`` after all. Each is to be written
        under a name that begins with ``files.TEMPORARY``, and renamed.
        """
        ...


class Versioned(Protocol):
    """Optional capability: tells whether an object was replaced between two calls."""

    def versions(self, keys: Sequence[str]) -> list[Hashable]:
        """Return what differs between an object and the one that replaces it; None: missing."""
        ...


def reads_into(store: Any) -> TypeGuard[ReadInto]:
    """Whether a store is a :class:`ReadInto`, in all that it reads."""
    return offers(store, "read_into", "get", "get_many")


def is_file_source(store: Any) -> TypeGuard[FileSource]:
    """Whether a store is a :class:`FileSource`, in all that it reads."""
    return offers(store, "file_root", "get", "get_many")


def is_file_target(store: Any) -> TypeGuard[FileTarget]:
    """Whether a store is a :class:`FileTarget`, in all that it writes."""
    return offers(store, "write_root", "set", "set_many")


def is_versioned(store: Any) -> TypeGuard[Versioned]:
    """Whether a store is :class:`Versioned`."""
    return offers(store, "versions")


def offers(store: Any, capability: str, *verbs: str) -> bool:
    """Whether a store has a method that stands for some others.

    Not where a subclass, or the store itself, has one of those others of its own: it may do more
    than the method knows of. Nor where the method is only passed on by ``__getattr__``.
    """
    if not getattr(store, "__dict__", {}).keys().isdisjoint(verbs):
        return False
    for kind in type(store).__mro__:
        names = vars(kind)
        if capability in names:
            return True
        if any(verb in names for verb in verbs):
            return False
    return False
