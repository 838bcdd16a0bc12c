"""Where a node lies, whichever of several store objects names it.

1. :func:`place` takes off what is around a store, and finds the folder or mapping that is in it.
2. :func:`overlap` says whether one node is another one, above it or below it: overwriting the one
   deletes the other.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import Any

from cuzarr.storage.prefix import join


def place(store: Any, path: str) -> tuple[Hashable, str]:
    """Return what tells a store from others, and the path in it; of a local one that of a file.

    Parameters
    ----------
    store : Store, or store of zarr-python
    path : str
    """
    while (inner := _inside(store)) is not None:
        store = inner
    root = getattr(store, "root", None)
    if isinstance(root, str | os.PathLike):
        return "file", join(os.path.realpath(root), path)
    for name in ("store_dict", "_store_dict"):
        mapping = getattr(store, name, None)
        if mapping is not None:
            return id(mapping), path
    return str(store) if "://" in str(store) else id(store), path


def overlap(a: tuple[Hashable, str], b: tuple[Hashable, str]) -> bool:
    """Whether of two places one lies at or below the other.

    Examples
    --------
    >>> overlap(("file", "/x/a"), ("file", "/x/a/b")), overlap(("file", "/x/a"), ("file", "/x/ab"))
    (True, False)
    """
    first, second = (f"{path}/" if path else "" for _, path in (a, b))
    return a[0] == b[0] and (first.startswith(second) or second.startswith(first))


def _inside(store: Any) -> Any:
    """Return what a view, a wrapper or an adapter is around; None of any other store."""
    for name in ("inner", "store", "_store"):
        found = getattr(store, name, None)
        if found is not None and callable(getattr(found, "get", None)):
            return found
    return None
