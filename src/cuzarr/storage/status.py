"""What a byte range means, and what a status other than OK means to the caller.

1. :func:`span` places a requested range in an object of known size.
2. :func:`status_error` turns the status of one request into an exception that names the key.
"""

from __future__ import annotations

import errno
import os

from cuzarr.errors import ReadOnlyError, StoreError
from cuzarr.storage.base import BytesLike, Status


def span(size: int, start: int, length: int) -> tuple[int, int] | None:
    """Return ``(first, last)`` of a range in an object of ``size`` bytes; None if it is too short.

    Examples
    --------
    >>> span(10, 2, 3), span(10, -4, -1), span(10, 10, -1), span(10, 8, 3), span(10, -11, 1)
    ((2, 5), (6, 10), (10, 10), None, None)
    """
    first = start if start >= 0 else size + start
    last = size if length < 0 else first + length
    return (first, last) if 0 <= first <= last <= size else None


def errno_status(error: OSError) -> int:
    """Return the status of a request that an operating-system error ended.

    A parent that is a file, and a directory in the place of the object, mean "no such key".
    """
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
        return int(Status.MISSING)
    return int(Status.ERRNO) + (error.errno or errno.EIO)


def status_error(store: object, key: str, status: int, verb: str = "read") -> StoreError:
    """Return the error of a request that ended with ``status``.

    Parameters
    ----------
    store : object
        Its ``str()`` is part of the message.
    key : str
    status : int
        Of :class:`~cuzarr.storage.base.Status`.
    verb : str
        What was tried.
    """
    what = f"cannot {verb} {key!r} in {store}"
    if status > Status.ERRNO:
        code = status - Status.ERRNO
        return StoreError(code, f"{what}: {os.strerror(code)}")
    reasons = {
        Status.MISSING: "no such key",
        Status.SHORT: "the object ends before the requested range does",
        Status.NO_SPACE: "the slab is too small",
    }
    return StoreError(f"{what}: {reasons.get(Status(status), f'status {status}')}")


def refuse_write(store: object, key: str) -> ReadOnlyError:
    """Return the error of a write to a store that was opened for reading."""
    return ReadOnlyError(f"cannot write {key!r}: {store} is read-only")


def byte_view(value: object, store: object, key: str) -> memoryview:
    """Return a flat view of the bytes of any contiguous buffer."""
    try:
        view = memoryview(value)  # type: ignore[arg-type]
        return view.cast("B") if view.nbytes else memoryview(b"")
    except TypeError as error:
        raise StoreError(
            f"the value of {key!r} in {store} is no contiguous buffer of bytes: {error}"
        ) from None


def count_bytes(values: list[BytesLike | None]) -> list[int]:
    """Return the size of each value, -1 for None."""
    return [-1 if value is None else len(value) for value in values]
