"""Symbolic links below the root of a local store.

The rule: a link is followed when what it points to lies below the root, and refused when it leads
outside, so that a downloaded data set cannot reach the files of the one who opens it. The check
guards against what a data set holds, not against a process that swaps directories meanwhile.

1. Every directory of a key is looked at once (``lstat``) and remembered; a key of a known
   directory costs one set lookup.
2. :meth:`LinkGuard.check_batch` finds the distinct directories of a batch with NumPy.
3. A link in the place of the object itself is found by the reader, which opens with
   ``O_NOFOLLOW`` and comes back with ``ELOOP``.
"""

from __future__ import annotations

import errno
import os
import stat

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cuzarr.errors import StoreError
from cuzarr.storage.base import RequestBatch

_MAX_KNOWN = 1 << 18
_SLASH = ord("/")
_FEW = 64  #: keys that a loop checks faster than NumPy


class LinkGuard:
    """Remembers which directories below ``root`` are safe to pass through."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._known: set[str] = set()

    def __reduce__(self) -> tuple[type[LinkGuard], tuple[str]]:
        return type(self), (self.root,)  # another process looks for itself

    def enter(self, directory: str) -> bool:
        """Whether a directory below the root exists.

        Raises
        ------
        StoreError
            If a symbolic link on the way leads outside the root.
        """
        if not directory or directory in self._known:
            return True
        end = -1
        while end < len(directory):
            end = directory.find("/", end + 1)
            end = len(directory) if end < 0 else end
            part = directory[:end]
            if part in self._known:
                continue
            try:
                mode = os.lstat(f"{self.root}/{part}").st_mode
            except OSError as error:
                # Anything but "not there" (a name that is too long...) is left to the reader.
                return error.errno not in (errno.ENOENT, errno.ENOTDIR)
            if stat.S_ISLNK(mode):
                self.resolve(part)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known.add(part)
        return True

    def check_batch(self, batch: RequestBatch) -> None:
        """Refuse a batch with a key whose directory leads outside the root."""
        if b"/" not in batch.keys:
            return
        if len(batch) <= _FEW:
            for directory in {key.rpartition("/")[0] for key in batch.key_list()}:
                self.enter(directory)
            return
        data = np.frombuffer(batch.keys, np.uint8)
        first, last = batch.offsets[:-1], batch.offsets[1:]
        slashes = np.flatnonzero(data == _SLASH)
        nearest = np.searchsorted(slashes, last) - 1
        lengths = np.where(nearest >= 0, slashes[nearest], -1) - first
        for length in np.unique(lengths[lengths > 0]).tolist():
            begins = first[lengths == length]
            names = sliding_window_view(data, length)[begins]
            # Neighbours of a batch mostly share their directory; a repeat later costs a lookup.
            fresh = np.concatenate(([True], (names[1:] != names[:-1]).any(axis=1)))
            for begin in begins[fresh].tolist():
                self.enter(batch.keys[begin : begin + length].decode())

    def forget(self, directory: str) -> None:
        """Forget a directory that was removed."""
        self._known.discard(directory)

    def clear(self) -> None:
        """Forget every directory."""
        self._known.clear()

    def resolve(self, name: str) -> str:
        """Return what a link below the root points to, or raise where that is outside."""
        real, root = os.path.realpath(f"{self.root}/{name}"), os.path.realpath(self.root)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            raise StoreError(
                f"refused {name!r} in file://{self.root}: it is a symbolic link that leads outside "
                "the store; LocalStore(root, follow_links=True) follows it"
            )
        return real
