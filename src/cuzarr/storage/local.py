"""A store on a local file system: one file per key.

1. A read opens, reads and closes one file per key, with no path object in between; a batch into
   a slab is one call of the native reader.
2. A write goes to a hidden temporary file in the directory of the key, which then replaces the
   old file: readers see the old object or the new one. Directories appear when first written to.
3. Deleting prunes the directories that became empty.
4. Keys cannot leave the root: they are checked, and so are symbolic links (``links.py``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Self

import numpy as np

from cuzarr import native
from cuzarr.errors import InvalidKeyError, StoreError
from cuzarr.storage.base import BytesLike, Names, Placed, RequestBatch, Status
from cuzarr.storage.by_key import ByKey
from cuzarr.storage.files import (
    READ_FLAGS,
    TEMPORARY,
    read_range,
    replace_file,
    sync_directory,
)
from cuzarr.storage.links import LinkGuard
from cuzarr.storage.prefix import check_batch, check_key, check_prefix
from cuzarr.storage.status import (
    byte_view,
    errno_status,
    refuse_write,
)

_ALIGN = 16
_ATTEMPTS = 100


class LocalStore(ByKey):
    """Objects in files below a directory.

    Parameters
    ----------
    root : str or PathLike
        It need not exist to be opened: then the store is empty.
    read_only : bool
        Refuse writes.
    fsync : bool
        Flush each file, and the directories it appears in, to the disk before a write returns.
    make_root : bool
        Let the first write create the root; else writing to a missing root is an error.
    follow_links : bool
        Follow symbolic links that lead outside the root. By default they are refused.
    """

    parallel_safe = True

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        read_only: bool = False,
        fsync: bool = False,
        make_root: bool = True,
        follow_links: bool = False,
    ) -> None:
        self.root = os.path.abspath(os.fsdecode(root))
        self.read_only = read_only
        self.fsync = fsync
        self.make_root = make_root
        self.follow_links = follow_links
        self._base = self.root.rstrip("/") + "/"
        self._links = LinkGuard(self.root)
        self._flags = READ_FLAGS if follow_links else READ_FLAGS | os.O_NOFOLLOW

    def __str__(self) -> str:
        return f"file://{self.root}"

    def __repr__(self) -> str:
        return f"LocalStore({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalStore) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a store over the same files that refuses writes, or does not.

        Parameters
        ----------
        read_only : bool
        """
        return type(self)(
            self.root, read_only=read_only, fsync=self.fsync, make_root=self.make_root,
            follow_links=self.follow_links,
        )  # fmt: skip

    def file_root(self, batch: RequestBatch) -> str:
        """Check the keys of a batch and return the directory that they are relative to."""
        check_batch(batch)
        if not self.follow_links:
            self._links.check_batch(batch)
        return self.root

    def write_root(self, batch: RequestBatch) -> str | None:
        """Check the keys of a batch that is written; None where each has to go by ``set``."""
        if self.read_only:
            raise refuse_write(self, batch.key(0))
        if self.fsync or TEMPORARY.encode() in batch.keys:  # such a key is refused by its name
            return None
        return self.file_root(batch)

    def versions(self, keys: Sequence[str]) -> list[Hashable]:
        """Return inode, time and size of each file: replacing it changes one of them."""
        return [_version(self._base + key) for key in keys]

    def read_into(self, batch: RequestBatch, slab: memoryview, *, threads: int = 1) -> Placed:
        """Read many byte ranges into a writable slab, each at a 16-byte aligned position."""
        root = self.file_root(batch)
        positions, sizes, statuses, used = native.read_files(
            root, batch.keys, batch.offsets, batch.starts, batch.lengths, slab, threads
        )
        placed = Placed(positions, sizes, statuses, used)
        linked = np.flatnonzero(statuses == Status.ERRNO + errno.ELOOP)
        return self._place_linked(batch, slab, placed, linked.tolist()) if len(linked) else placed

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        directory = self._writable(key)
        view = byte_view(value, self, key)
        try:
            self._replace(key, directory, view)
        except OSError as error:
            raise self._failed(error, key, "write") from error

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, and directories that become empty; missing keys are no error."""
        emptied = set()
        for key in keys:
            directory = self._writable(key)
            try:
                os.unlink(self._base + key)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                continue
            except OSError as error:
                raise self._failed(error, key, "delete") from error
            emptied.add(directory)
        for directory in emptied:
            self._prune(directory)

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all). Links are deleted, not followed."""
        prefix = check_prefix(prefix)
        directory = self._writable(prefix) if prefix else self._writable("-")
        top = self._base + prefix
        try:
            if os.path.islink(top) and prefix:
                os.unlink(top)
            else:
                self._delete_tree(top)
        except OSError as error:
            raise self._failed(error, prefix, "delete") from error
        self._links.clear()
        if prefix:
            self._prune(directory)

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        check_key(key)
        if not self._enter(key):
            return None
        try:
            info = os.stat(self._base + key, follow_symlinks=self.follow_links)
            if stat.S_ISLNK(info.st_mode):
                info = os.stat(self._links.resolve(key))
        except OSError as error:
            if errno_status(error) == Status.MISSING:
                return None
            raise self._failed(error, key, "read") from error
        return info.st_size if stat.S_ISREG(info.st_mode) else None

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), in any order."""
        prefix = check_prefix(prefix)
        above: tuple[str, ...] = (os.path.realpath(self._base + prefix),)
        pending = [(prefix, above)]
        while pending:
            directory, above = pending.pop()
            for name, is_file, is_link in self._scan(directory):
                key = f"{directory}/{name}" if directory else name
                if is_file:
                    yield key
                elif is_link:
                    # A link to a directory above itself would list for ever.
                    real = os.path.realpath(self._base + key)
                    if not any(f"{step}/".startswith(f"{real}/") for step in above):
                        pending.append((key, (*above, real)))
                else:
                    pending.append((key, above))

    def list_dir(self, prefix: str = "") -> Names:
        """Names of the direct children of ``prefix``, sorted."""
        return sorted(name for name, _, _ in self._scan(check_prefix(prefix)))

    def close(self) -> None:
        """Do nothing: no file stays open between calls."""

    # -- reading -----------------------------------------------------------------------------

    def _read(self, key: str, start: int, length: int) -> tuple[bytes | None, int]:
        if not self._enter(key):
            return None, Status.MISSING
        try:
            fd = os.open(self._base + key, self._flags)
        except OSError as error:
            if error.errno != errno.ELOOP or self.follow_links:
                return None, errno_status(error)
            try:
                fd = os.open(self._links.resolve(key), READ_FLAGS)
            except StoreError:
                raise
            except OSError as inner:
                return None, errno_status(inner)
        try:
            return read_range(fd, start, length)
        except OSError as error:
            return None, errno_status(error)
        finally:
            os.close(fd)

    def _place_linked(
        self, batch: RequestBatch, slab: memoryview, placed: Placed, rows: Sequence[int]
    ) -> Placed:
        """Place the objects that are links, which the native reader does not follow."""
        positions, sizes, statuses = (
            placed.positions.copy(), placed.sizes.copy(), placed.statuses.copy(),
        )  # fmt: skip
        used, target = placed.used, memoryview(slab).cast("B")
        for i in rows:
            value, status = self._read(batch.key(i), int(batch.starts[i]), int(batch.lengths[i]))
            statuses[i], sizes[i] = status, -1 if value is None else len(value)
            if value is None:
                continue
            position = -(-used // _ALIGN) * _ALIGN
            if position + len(value) > target.nbytes:
                statuses[i] = Status.NO_SPACE
                continue
            target[position : position + len(value)] = value
            positions[i], used = position, position + len(value)
        return Placed(positions, sizes, statuses, used)

    def _enter(self, key: str) -> bool:
        return self.follow_links or self._links.enter(key.rpartition("/")[0])

    def _scan(self, directory: str) -> Iterator[tuple[str, bool, bool]]:
        """Yield ``(name, is a file, is a link)`` of the objects and directories in a directory."""
        if not (self.follow_links or self._links.enter(directory)):
            return
        try:
            with os.scandir(self._base + directory) as entries:
                for entry in entries:
                    kind = self._kind(entry) if _listed(entry.name) else None
                    if kind is not None:
                        yield entry.name, kind == "file", entry.is_symlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._failed(error, directory, "list") from error

    def _kind(self, entry: os.DirEntry[str]) -> str | None:
        """Tell files from directories; all else, and a link that cannot be followed, is neither."""
        try:
            if entry.is_symlink() and not self.follow_links:
                self._links.resolve(os.path.relpath(entry.path, self.root))
            return "file" if entry.is_file() else "directory" if entry.is_dir() else None
        except OSError:
            return None

    # -- writing -----------------------------------------------------------------------------

    def _writable(self, key: str) -> str:
        """Check a key that is about to be changed, and return its directory."""
        if self.read_only:
            raise refuse_write(self, key)
        check_key(key)
        if TEMPORARY in key:
            raise InvalidKeyError(f"invalid key {key!r}: {TEMPORARY!r} names temporary files")
        directory = key.rpartition("/")[0]
        if not self.follow_links:
            self._links.enter(directory)
        return directory

    def _replace(self, key: str, directory: str, view: memoryview) -> None:
        """Replace the file of a key, in a directory that is made if need be."""
        folder, name, made = self._base + directory, key.rpartition("/")[2], False
        for _ in range(_ATTEMPTS):
            try:
                replace_file(folder, name, view, fsync=self.fsync)
            except FileNotFoundError:
                # Not there yet, or removed by a concurrent delete: make it, and try again.
                self._make_directory(key, folder)
                made = True
                continue
            if self.fsync:
                self._sync_directories(directory, everything=made)
            return
        raise StoreError(
            errno.EBUSY, f"the directory of {key!r} in {self} vanishes again and again"
        )

    def _make_directory(self, key: str, folder: str) -> None:
        if not self.make_root and not os.path.isdir(self.root):
            raise StoreError(f"cannot write {key!r}: the root {self.root!r} does not exist")
        try:
            os.makedirs(folder, exist_ok=True)
        except FileNotFoundError:  # its parent was removed while it is made
            return
        except FileExistsError:  # removed before makedirs could see that it is a directory
            if os.path.lexists(folder) and not os.path.isdir(folder):
                raise

    def _sync_directories(self, directory: str, *, everything: bool) -> None:
        """Flush the directory of a new file; all above it too, where they may be new as well."""
        sync_directory(self._base + directory)
        while everything and directory:
            directory = directory.rpartition("/")[0]
            sync_directory(self._base + directory)

    def _prune(self, directory: str) -> None:
        """Remove a directory, and those above it, as long as they are empty."""
        while directory:
            try:
                os.rmdir(self._base + directory)
            except OSError:
                return
            self._links.forget(directory)
            directory = directory.rpartition("/")[0]

    def _delete_tree(self, top: str) -> None:
        for folder, directories, files in os.walk(top, topdown=False):
            for name in files:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")
            for name in directories:
                path = f"{folder}/{name}"
                with contextlib.suppress(FileNotFoundError):
                    if os.path.islink(path):
                        os.unlink(path)
                        continue
                    try:
                        os.rmdir(path)
                    except OSError as error:
                        # Not empty: somebody writes to it right now, and keeps it.
                        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                            raise
        if top != self._base:
            with contextlib.suppress(OSError):
                os.rmdir(top)

    def _failed(self, error: OSError, key: str, verb: str) -> StoreError:
        if isinstance(error, StoreError):
            return error
        code = error.errno or errno.EIO
        reason = error.strerror or os.strerror(code)
        return StoreError(code, f"cannot {verb} {key!r} in {self}: {reason}")

    def _identity(self) -> tuple[object, ...]:
        return self.root, self.read_only, self.fsync, self.make_root, self.follow_links


def _version(path: str) -> Hashable:
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns, info.st_size


def _listed(name: str) -> bool:
    """Whether a name can be part of a key: not a temporary file, and readable by its key."""
    return not name.startswith(TEMPORARY) and "\\" not in name and _is_utf8(name)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
