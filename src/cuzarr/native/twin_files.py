"""Twin of ``files.c`` and ``keys.c``: batched file reads, chunk keys."""

from __future__ import annotations

import errno
import os
import stat
from itertools import pairwise
from typing import Any, cast

import numpy as np

from cuzarr.native.tables import (
    MAX_AXES,
    READ_ERRNO,
    READ_MISSING,
    READ_NO_SPACE,
    READ_OK,
    READ_SHORT,
    SLAB_ALIGN,
    Buffer,
    Int32,
    Int64,
)

# O_NONBLOCK: opening a named pipe must not wait for a writer. O_NOFOLLOW: the store decides about
# a symbolic link in the place of an object, which gives READ_ERRNO + ELOOP.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def read_files(
    root: bytes, keys: bytes, offsets: Int64, starts: Int64, lengths: Int64, slab: Buffer,
    threads: int, positions: Int64, sizes: Int64, statuses: Int32, /,
) -> int:  # fmt: skip
    """Read on the calling thread alone: more threads only queue for the GIL."""
    del threads
    n, bounds = len(starts), offsets.tolist()
    check_ranges(n, root, keys, offsets, starts, lengths)
    for name, column in (("positions", positions), ("sizes", sizes), ("statuses", statuses)):
        if len(column) != n:
            raise ValueError(f"{name}: expected {n} items, found {len(column)}")
    target = memoryview(cast("Any", slab)).cast("B")
    if target.readonly:
        raise BufferError("slab: read-only")
    used, opened = 0, _Opened(root)
    positions[:], sizes[:] = -1, -1
    try:
        for i, (first, last) in enumerate(pairwise(bounds)):
            opened.switch(keys[first:last])
            status = opened.status
            if status == READ_OK:
                status, place, size = _read_one(
                    opened, int(starts[i]), int(lengths[i]), target, used
                )
                if status == READ_OK:
                    positions[i] = place
                if status in (READ_OK, READ_NO_SPACE):
                    sizes[i] = size
                if place >= 0:
                    used = place + size
            statuses[i] = status
    finally:
        opened.close()
    return min(-(-used // SLAB_ALIGN) * SLAB_ALIGN, len(target))


def check_ranges(
    n: int, root: bytes, keys: bytes, offsets: Int64, starts: Int64, lengths: Int64
) -> None:
    """Raise ValueError where the columns of ``n`` requests do not fit together."""
    if b"\0" in root:
        raise ValueError("root: contains a NUL byte")
    for name, column, expected in (
        ("offsets", offsets, n + 1), ("starts", starts, n), ("lengths", lengths, n),
    ):  # fmt: skip
        if len(column) != expected:
            raise ValueError(f"{name}: expected {expected} items, found {len(column)}")
    if offsets[0] < 0 or offsets[-1] > len(keys):
        raise ValueError("offsets: outside the keys")
    if np.any(np.diff(offsets) < 0):
        raise ValueError("offsets: not ascending")
    if n and int(lengths.min()) < -1:
        raise ValueError("lengths: less than -1")


def format_keys(
    prefix: bytes, coords: Int64, n: int, d: int, is_default: int, separator: int, suffix: bytes,
    offsets: Int64, /,
) -> bytes:  # fmt: skip
    """Write chunk keys."""
    if d > MAX_AXES:
        raise ValueError("coords: not (n, d) with d of at most 64")
    if coords.size and int(coords.min()) < 0:
        raise ValueError("coords: negative")
    between = chr(separator)
    lead = f"c{between}" if is_default else ""
    if d == 0:
        keys = [prefix + (b"c" if is_default else b"0") + suffix] * n
    else:
        keys = [
            prefix + (lead + between.join(map(str, row))).encode() + suffix
            for row in coords.tolist()
        ]
    offsets[0] = 0
    np.cumsum([len(key) for key in keys], out=offsets[1:])
    return b"".join(keys)


class _Opened:
    """The file of the current key; consecutive requests with one key share it."""

    def __init__(self, root: bytes) -> None:
        self._root, self._key, self._fd = root, None, -1  # type: bytes, bytes | None, int
        self.status, self.size = READ_OK, 0

    def switch(self, key: bytes) -> None:
        if key == self._key:
            return
        self.close()
        self._key = key
        self.status = self._open(key)

    def _open(self, key: bytes) -> int:
        if not key:
            return READ_MISSING
        if b"\0" in key or key.startswith(b"/"):
            return READ_ERRNO + errno.EINVAL
        try:
            # O_NONBLOCK: opening a named pipe must not wait for a writer. O_NOFOLLOW: a link in
            # the place of the file is ELOOP; the store decides where it may lead.
            self._fd = os.open(
                self._root + b"/" + key,
                os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW,
            )
            info = os.fstat(self._fd)
        except OSError as error:
            return _status_of(error)
        self.size = info.st_size
        if stat.S_ISDIR(info.st_mode):
            return READ_MISSING
        return READ_OK if stat.S_ISREG(info.st_mode) else READ_ERRNO + errno.EINVAL

    def read(self, target: memoryview, start: int) -> int:
        try:
            while len(target):
                got = os.preadv(self._fd, [target], start)
                if got == 0:
                    return READ_SHORT  # the file shrank since fstat
                target, start = target[got:], start + got
        except OSError as error:
            return _status_of(error)
        return READ_OK

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _status_of(error: OSError) -> int:
    return READ_MISSING if error.errno in _MISSING else READ_ERRNO + (error.errno or 0)


def _read_one(
    opened: _Opened, start: int, size: int, slab: memoryview, used: int
) -> tuple[int, int, int]:
    """Return status, position (-1 where nothing was allocated) and size."""
    if start < 0:
        start += opened.size
    if start < 0 or start > opened.size:
        return READ_SHORT, -1, -1
    if size < 0:
        size = opened.size - start
    if size > opened.size - start:
        return READ_SHORT, -1, -1
    place = -(-used // SLAB_ALIGN) * SLAB_ALIGN
    if size > len(slab) - place:
        return READ_NO_SPACE, -1, size
    return opened.read(slab[place : place + size], start), place, size
