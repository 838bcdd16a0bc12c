"""Single files: ranged reads, and replacement that is all or nothing.

1. :func:`read_range` reads part of an open file, if it is a regular one.
2. :func:`replace_file` writes a hidden temporary file next to the target and renames it, so that
   readers see the old file or the new one; after an error neither a new nor a temporary one.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat

from cuzarr.storage.base import Status
from cuzarr.storage.status import span

#: Start of the names of temporary files, which are no keys and are never listed.
TEMPORARY = ".cuzarr-partial-"

# O_NONBLOCK: a pipe in the place of an object must not block the reader.
READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_serial = itertools.count()
_token = secrets.token_hex(4)


def read_range(fd: int, start: int, length: int) -> tuple[bytes | None, int]:
    """Return bytes and status of a range of an open file; see :func:`span`."""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        is_directory = stat.S_ISDIR(info.st_mode)
        return None, Status.MISSING if is_directory else Status.ERRNO + errno.EINVAL
    bounds = span(info.st_size, start, length)
    if bounds is None:
        return None, Status.SHORT
    first, last = bounds
    value = os.pread(fd, last - first, first)
    if len(value) == last - first:
        return value, Status.OK
    # Linux reads at most 2 GiB at once; and a file may shrink between the two calls.
    pieces = [value]
    done = first + len(value)
    while done < last:
        piece = os.pread(fd, last - done, done)
        if not piece:
            return None, Status.SHORT
        pieces.append(piece)
        done += len(piece)
    return b"".join(pieces), Status.OK


def replace_file(directory: str, name: str, view: memoryview, *, fsync: bool) -> None:
    """Write ``view`` to the file ``name`` of an existing directory.

    Raises
    ------
    FileNotFoundError
        If the directory is not there, or is removed meanwhile.
    """
    while True:
        temporary = f"{directory}/{temporary_name()}-{next(_serial)}"
        try:
            fd = os.open(temporary, _WRITE_FLAGS, 0o666)
            break
        except FileExistsError:
            continue
    try:
        try:
            _write_all(fd, view)
            if fsync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, f"{directory}/{name}")
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def temporary_name() -> str:
    """Return the beginning of names that no other process gives to its files."""
    return f"{TEMPORARY}{os.getpid()}-{_token}"


def sync_directory(path: str) -> None:
    """Flush the entries of a directory to the disk; nothing if it was removed."""
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _write_all(fd: int, view: memoryview) -> None:
    done = 0
    while done < len(view):
        done += os.write(fd, view[done:])
