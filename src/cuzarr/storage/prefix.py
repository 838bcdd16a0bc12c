"""Node paths and store keys: one rule for all stores.

1. :func:`normalize_path` turns what a user writes into the path of a node.
2. :func:`check_key` refuses a key that could mean something else to a file system.
3. :func:`check_batch` does the same for a batch, in a few passes over its blob of keys.
"""

from __future__ import annotations

import numpy as np

from cuzarr.errors import InvalidKeyError
from cuzarr.storage.base import RequestBatch

_FEW = 8  #: keys that are looked at faster than NumPy is called
_DOT, _SLASH = ord("."), ord("/")
_TELLING = (b"\\", b"\0", b"//", b"..", b"/.", b"./")


def normalize_path(path: str | None) -> str:
    """Return the path of a node without leading, trailing and doubled slashes.

    Backslashes become slashes, as in Zarr 2. The root is ``""``.

    Raises
    ------
    InvalidKeyError
        If a part is ``.`` or ``..``, or a character cannot be part of a key.
    TypeError
        The path is no string.

    Examples
    --------
    >>> normalize_path("/a//b/")
    'a/b'
    >>> normalize_path(None)
    ''
    """
    if path is None:
        return ""
    if not isinstance(path, str):
        raise TypeError(f"the path of a node is a string, not {type(path).__name__}")
    joined = "/".join(part for part in path.replace("\\", "/").split("/") if part)
    if joined:
        check_key(joined)
    return joined


def join(path: str, name: str) -> str:
    """Return the key ``name`` below the node ``path``.

    Examples
    --------
    >>> join("a/b", "zarr.json"), join("", "zarr.json"), join("a", "")
    ('a/b/zarr.json', 'zarr.json', 'a')
    """
    return f"{path}/{name}" if path and name else path or name


def check_key(key: str) -> None:
    """Refuse a key that is not a relative, ``/``-separated path of plain names.

    Raises
    ------
    InvalidKeyError
        Naming the key and what is wrong with it.
    """
    problem = _problem(key)
    if problem:
        raise InvalidKeyError(f"invalid key {key!r}: {problem}")


def check_prefix(prefix: str) -> str:
    """Return a prefix without slashes at its end; ``""`` stands for the root of the store."""
    prefix = prefix.rstrip("/")
    if prefix:
        check_key(prefix)
    return prefix


def check_batch(batch: RequestBatch) -> None:
    """Refuse a batch with an invalid key, at a cost of nanoseconds per key.

    Every invalid key has a telling byte, or two of ``.`` and ``/`` side by side, or one of them at
    an end. A batch without any of these is fine; else its keys are looked at one by one.
    """
    if len(batch) <= _FEW or _suspicious(batch):
        for key in batch_keys(batch):
            check_key(key)


def batch_keys(batch: RequestBatch) -> list[str]:
    """Return the keys of a batch as strings; bytes that are not UTF-8 are an invalid key."""
    try:
        return batch.key_list()
    except UnicodeDecodeError as error:
        raise not_utf8(error) from None


def not_utf8(error: UnicodeDecodeError) -> InvalidKeyError:
    """Return the error of a batch whose keys are no text."""
    return InvalidKeyError(f"invalid key in batch: not UTF-8: {error}")


def _suspicious(batch: RequestBatch) -> bool:
    blob, offsets = batch.keys, batch.offsets
    if any(telling in blob for telling in _TELLING) or bool((offsets[1:] <= offsets[:-1]).any()):
        return True
    data = np.frombuffer(blob, np.uint8)
    edges = np.concatenate((data[offsets[:-1]], data[offsets[1:] - 1]))
    return bool(((edges == _DOT) | (edges == _SLASH)).any())


def _problem(key: str) -> str | None:
    if not key:
        return "it is empty"
    if "\0" in key or "\\" in key:
        return "it holds a NUL or a backslash"
    if key.startswith("/"):
        return "it is absolute"
    for part in key.split("/"):
        if part in ("", ".", ".."):
            return f"a part of it is {part!r}"
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            return "it cannot be encoded as UTF-8"
    return None
