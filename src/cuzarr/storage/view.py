"""A read-only view of any store."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from cuzarr.storage.base import (
    BytesLike,
    FileSource,
    Names,
    Placed,
    ReadInto,
    RequestBatch,
    Store,
    Values,
    is_file_source,
    is_versioned,
    reads_into,
)
from cuzarr.storage.located import Located, Locating, is_locating
from cuzarr.storage.status import refuse_write


class ReadOnlyStore:
    """Passes reads on and refuses writes.

    Parameters
    ----------
    store : Store
        Closing the view leaves it open.
    """

    read_only = True

    def __init__(self, store: Store) -> None:
        self.store = store
        self.parallel_safe = store.parallel_safe

    def __str__(self) -> str:
        return str(self.store)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReadOnlyStore) and self.store == other.store

    def __hash__(self) -> int:
        return hash(("read-only", self.store))

    def get_many(self, batch: RequestBatch) -> Values:
        """Read many byte ranges."""
        return self.store.get_many(batch)

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        """Read one byte range, or None where the key is missing."""
        return self.store.get(key, start, length)

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:  # noqa: ARG002
        """Refuse, unless there is nothing to write."""
        for key in keys:
            raise refuse_write(self, key)

    def set(self, key: str, value: BytesLike) -> None:  # noqa: ARG002
        """Refuse."""
        raise refuse_write(self, key)

    def delete(self, keys: Iterable[str]) -> None:
        """Refuse, unless there is nothing to delete."""
        for key in keys:
            raise refuse_write(self, key)

    def delete_dir(self, prefix: str) -> None:
        """Refuse."""
        raise refuse_write(self, prefix)

    def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        return self.store.exists(key)

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        return self.store.size(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), in any order."""
        return self.store.list(prefix)

    def list_dir(self, prefix: str = "") -> Names:
        """Names of the direct children of ``prefix``, sorted."""
        return self.store.list_dir(prefix)

    def close(self) -> None:
        """Do nothing: the store belongs to the one who made it."""


class _ReadOnlyLocating(ReadOnlyStore):
    """The view of a store whose objects may lie in memory."""

    store: Locating  # type: ignore[assignment]

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.in_memory = self.store.in_memory

    def locate(self, batch: RequestBatch) -> Located:
        """Find many byte ranges."""
        return self.store.locate(batch)


class _ReadOnlyVersioned(ReadOnlyStore):
    """The view of a store that may tell whether objects were replaced."""

    def versions(self, keys: Sequence[str]) -> list[Hashable]:
        """Return what changes when an object is replaced; the same where the store cannot tell."""
        return self.store.versions(keys) if is_versioned(self.store) else [None] * len(keys)


class _ReadOnlyReadInto(_ReadOnlyVersioned):
    """The view of a store that can place bytes into a slab."""

    store: ReadInto  # type: ignore[assignment]

    def read_into(self, batch: RequestBatch, slab: memoryview, *, threads: int = 1) -> Placed:
        """Read many byte ranges into a writable slab."""
        return self.store.read_into(batch, slab, threads=threads)


class _ReadOnlyFiles(_ReadOnlyReadInto):
    """The view of a store whose objects are files."""

    store: FileSource  # type: ignore[assignment]

    def file_root(self, batch: RequestBatch) -> str:
        """Check the keys of a batch and return the directory that they are relative to."""
        return self.store.file_root(batch)


def read_only_view(store: Store) -> Store:
    """Return ``store`` itself if it is read-only, else a view that refuses writes.

    The view has the optional capabilities of the store.
    """
    if store.read_only:
        return store
    kinds = (
        (_ReadOnlyLocating, is_locating(store)),
        (_ReadOnlyFiles, is_file_source(store) and reads_into(store)),
        (_ReadOnlyReadInto, reads_into(store)),
        (_ReadOnlyVersioned, is_versioned(store)),
    )
    return next((kind for kind, fits in kinds if fits), ReadOnlyStore)(store)
