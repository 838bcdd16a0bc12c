"""A store in one zip archive.

1. The table of contents is read once, and refused as a whole if a name in it could not be a key.
2. Reads use ``pread``, so threads and forked processes share one descriptor: a stored member is
   read in part, a deflated one is inflated to the size that the table declares and no further.
3. Writes append. An object that is replaced or deleted only leaves the table: its bytes stay.
4. The table is written by :meth:`ZipStore.close`; without it what was written is lost.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from errno import EEXIST, ENOENT
from typing import IO, Any, Literal, Self, cast

from cuzarr.errors import InvalidKeyError, StoreError, StoreExistsError, StoreNotFoundError
from cuzarr.storage.base import BytesLike, Status
from cuzarr.storage.by_key import ByKey
from cuzarr.storage.prefix import check_key, check_prefix
from cuzarr.storage.status import (
    byte_view,
    errno_status,
    refuse_write,
    span,
)

_HEADER = struct.Struct("<4s22xHH")  # local file header: magic, lengths of name and extra field
_ENCRYPTED = 0x1
# APPNOTE 4.4.5; others are possible in a zip archive and unheard of in a Zarr store.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipStore(ByKey):
    """Objects in a zip archive.

    Parameters
    ----------
    path : str or PathLike
    mode : {"r", "w", "a", "x"}
        Read; write a new archive in the place of any old one; read and append; write a new one.
    compression : int
        Of objects that are written: ``zipfile.ZIP_STORED`` (chunks are compressed already) or
        ``zipfile.ZIP_DEFLATED``.
    max_inflated : int
        Bytes that one deflated object may inflate to; a larger one is refused.

    Notes
    -----
    The archive is complete after :meth:`close` only: unlike in other stores, a process that dies
    before it leaves an archive that needs repair. Use the store as a context manager.
    """

    parallel_safe = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Literal["r", "w", "a", "x"] = "r",
        compression: int = zipfile.ZIP_STORED,
        *,
        max_inflated: int = 1 << 30,
    ) -> None:
        if mode not in ("r", "w", "a", "x"):
            raise ValueError(f"mode is {mode!r}; it must be 'r', 'w', 'a' or 'x'")
        if compression not in _METHODS:
            raise ValueError("compression must be zipfile.ZIP_STORED or zipfile.ZIP_DEFLATED")
        self.path = os.path.abspath(os.fsdecode(path))
        self.mode, self.compression, self.max_inflated = mode, compression, max_inflated
        self.read_only = mode == "r"
        self._lock = threading.RLock()
        try:
            self._zip = zipfile.ZipFile(self.path, mode, compression)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise StoreError(
                f"{self.path!r} is no zip archive that can be read: {error}"
            ) from error
        except OSError as error:
            kinds = {ENOENT: StoreNotFoundError, EEXIST: StoreExistsError}
            kind = kinds.get(error.errno or 0, StoreError)
            raise kind(error.errno, f"cannot open {self}: {error.strerror}") from error
        try:
            self._check_names()
        except BaseException:
            self._zip.close()
            raise

    def __str__(self) -> str:
        return f"zip://{self.path}"

    def __repr__(self) -> str:
        return f"ZipStore({str(self)!r}, mode={self.mode!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.read_only:
            raise TypeError(f"{self} is open for writing: only one process may have it")
        return _reopen, (self.path, self.max_inflated)

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        self._check_writable(key)
        view = byte_view(value, self, key)
        info = zipfile.ZipInfo(key, time.localtime()[:6])
        info.compress_type = self.compression
        info.external_attr = 0o644 << 16
        with self._lock:
            old = self._forget(key)
            try:
                self._zip.writestr(info, view)
                cast("IO[bytes]", self._zip.fp).flush()
            except BaseException as error:
                # zipfile lists what it has written of the new object, however little.
                self._forget(key)
                if old is not None:
                    self._remember(old)
                if isinstance(error, OSError | ValueError):
                    raise StoreError(f"cannot write {key!r} in {self}: {error}") from error
                raise

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing keys are no error. Their bytes stay in the archive."""
        for key in keys:
            self._check_writable(key)
            with self._lock:
                if self._forget(key) is not None:
                    # Assigning the comment is the public way to have the table written again.
                    self._zip.comment = self._zip.comment

    def delete_dir(self, prefix: str) -> None:
        """Delete every object under ``prefix`` ("" = all)."""
        if self.read_only:
            raise refuse_write(self, prefix)
        self.delete(list(self.list(prefix)))

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        check_key(key)
        info = self._find(key)
        return None if info is None else info.file_size

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all), as they were at the time of the call."""
        prefix = check_prefix(prefix)
        start = f"{prefix}/" if prefix else ""
        with self._looking():
            names = list(self._table())
        return iter([name for name in names if name.startswith(start) and name[-1] != "/"])

    def close(self) -> None:
        """Write the table of contents and close the file."""
        with self._lock:
            self._zip.close()

    # -- reading -----------------------------------------------------------------------------

    def _read(self, key: str, start: int, length: int) -> tuple[bytes | None, int]:
        info = self._find(key)
        if info is None:
            return None, Status.MISSING
        bounds = span(info.file_size, start, length)
        if bounds is None:
            return None, Status.SHORT
        first, last = bounds
        stored = info.compress_type == zipfile.ZIP_STORED
        try:
            if stored and last - first < info.file_size:
                return self._pread(info, first, last - first), Status.OK
            return self._whole(info)[first:last], Status.OK
        except StoreError:
            raise
        except OSError as error:
            return None, errno_status(error)

    def _whole(self, info: zipfile.ZipInfo) -> bytes:
        """Read a whole object and check its size and checksum."""
        data = self._pread(info, 0, info.compress_size)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            if info.file_size > self.max_inflated:
                raise self._corrupt(
                    info, f"it inflates to {info.file_size} bytes, max_inflated={self.max_inflated}"
                )
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                # A limit of 0 would mean none; one byte more shows that there is more.
                data = inflater.decompress(data, info.file_size + 1)
            except zlib.error as error:
                raise self._corrupt(info, str(error)) from None
        if len(data) != info.file_size:
            raise self._corrupt(info, f"it does not have the {info.file_size} bytes it declares")
        if zlib.crc32(data) != info.CRC:
            raise self._corrupt(info, "its CRC-32 differs from the stored one")
        return data

    def _pread(self, info: zipfile.ZipInfo, first: int, size: int) -> bytes:
        """Read ``size`` bytes, ``first`` bytes after the start of a member."""
        if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
            raise self._corrupt(info, "it is encrypted, or neither stored nor deflated")
        if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise self._corrupt(info, "its two sizes differ, and it is not compressed")
        fd = self._descriptor()
        end = os.fstat(fd).st_size
        if info.header_offset < 0:  # zipfile subtracts what it takes for bytes before the archive
            raise self._corrupt(info, "its header would be before the archive")
        header = os.pread(fd, _HEADER.size, info.header_offset)
        if len(header) < _HEADER.size or not header.startswith(b"PK\3\4"):
            raise self._corrupt(info, "its header is not where the table says")
        _, name, extra = _HEADER.unpack(header)
        position = info.header_offset + _HEADER.size + name + extra
        if position + info.compress_size > end:
            raise self._corrupt(info, "it ends behind the end of the archive")
        pieces, done = [], 0
        while done < size:
            piece = os.pread(fd, size - done, position + first + done)
            if not piece:
                raise self._corrupt(info, "the archive was cut off")
            pieces.append(piece)
            done += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _find(self, key: str) -> zipfile.ZipInfo | None:
        with self._looking():
            return self._table().get(key)

    def _looking(self) -> AbstractContextManager[Any]:
        """Wait for a write that is under way; a reader's table never changes."""
        return nullcontext() if self.read_only else self._lock

    def _table(self) -> dict[str, zipfile.ZipInfo]:
        """Return the objects by key; of several with one name the last counts."""
        return self._zip.NameToInfo

    def _descriptor(self) -> int:
        if self._zip.fp is None:
            raise StoreError(f"{self} is closed")
        return self._zip.fp.fileno()

    def _check_names(self) -> None:
        for name in self._zip.namelist():
            try:
                check_key(name.removesuffix("/"))
            except InvalidKeyError as error:
                raise StoreError(f"refused the archive {self}: {error}") from None

    def _corrupt(self, info: zipfile.ZipInfo, cause: str) -> StoreError:
        return StoreError(f"cannot read {info.filename!r} in {self}: {cause}")

    # -- writing -----------------------------------------------------------------------------

    def _forget(self, key: str) -> zipfile.ZipInfo | None:
        """Take an object, and any older one of that name, out of the table."""
        info = self._zip.NameToInfo.pop(key, None)
        if info is not None:
            self._zip.filelist[:] = [i for i in self._zip.filelist if i.filename != key]
        return info

    def _remember(self, info: zipfile.ZipInfo) -> None:
        self._zip.filelist.append(info)
        self._zip.NameToInfo[info.filename] = info


def _reopen(path: str, max_inflated: int) -> ZipStore:
    return ZipStore(path, max_inflated=max_inflated)
