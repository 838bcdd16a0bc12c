"""Save NumPy arrays, and load them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import fsdecode
from os.path import expanduser
from typing import Any

import numpy as np

from cuzarr.api.common import with_options
from cuzarr.api.creating import create_array, create_group
from cuzarr.api.opening import open  # noqa: A004  # the name of the field
from cuzarr.array import Array
from cuzarr.display import Tree
from cuzarr.group import Group
from cuzarr.meta.spec import ZarrFormat
from cuzarr.storage.prefix import normalize_path
from cuzarr.storage.resolve import StoreLike, names_archive
from cuzarr.storage.zip import ZipStore


def save(
    store: StoreLike,
    *arrays: Any,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    storage_options: dict[str, Any] | None = None,
    **named: Any,
) -> None:
    """Save one NumPy array as an array, or several as the members of a group.

    Parameters
    ----------
    store : path, mapping or Store
        What is there is replaced. The path of a zip archive is written and closed.
    *arrays, **named : array-like
        Several positional arrays are named ``arr_0``, ``arr_1``...
    path : str or None
        In the store.
    zarr_format : {2, 3} or None
    storage_options : dict, optional
        Of the file system of fsspec that a URL names.
    """
    if not arrays and not named:
        raise ValueError("save needs at least one array")
    given: dict[str, Any] = {"path": path, "zarr_format": zarr_format}
    given["storage_options"] = storage_options
    if len(arrays) == 1 and not named:
        save_array(store, arrays[0], **given)
    else:
        save_group(store, *arrays, **given, **named)


def save_array(
    store: StoreLike,
    arr: Any,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    **options: Any,
) -> None:
    """Save one array; ``options`` as in :func:`create_array`. What is there is replaced."""
    options |= {"name": path, "data": np.asarray(arr), "zarr_format": zarr_format}
    with _writable(store, path) as opened:
        create_array(opened, overwrite=True, **options)


def save_group(
    store: StoreLike,
    *arrays: Any,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    storage_options: dict[str, Any] | None = None,
    **named: Any,
) -> None:
    """Save arrays as the members of a group; see :func:`save`. What is there is replaced."""
    store, _ = with_options(store, {"storage_options": storage_options})
    if not arrays and not named:
        raise ValueError("save_group needs at least one array")
    members = {f"arr_{i}": data for i, data in enumerate(arrays)}
    clash = sorted(set(members) & set(named))
    if clash:
        raise ValueError(f"names of positional and named arrays clash: {', '.join(clash)}")
    # Before anything is replaced: it may be stored there.
    given = {name: np.asarray(data) for name, data in {**members, **named}.items()}
    with _writable(store, path) as opened:
        root = create_group(opened, path=path, zarr_format=zarr_format, overwrite=True)
        for name, data in given.items():
            root.create_array(name, data=data)


def load(store: StoreLike, path: str | None = None, zarr_format: ZarrFormat | None = None) -> Any:
    """Load an array as a NumPy array, or a group as a dict of them, always in host memory.

    The names of arrays in groups of the group are paths: ``"a/b"``.
    """
    node = open(store, "r", path=path, zarr_format=zarr_format, device="cpu")
    if isinstance(node, Array):
        return node[...]
    members = node.members(max_depth=None)
    return {name: member[...] for name, member in members if isinstance(member, Array)}


def tree(grp: Group, expand: bool | None = None, level: int | None = None) -> Tree:
    """Return the hierarchy below a group; see :meth:`Group.tree`."""
    return grp.tree(expand, level)


@contextmanager
def _writable(store: Any, path: str | None) -> Iterator[StoreLike]:
    """Yield the store; a zip archive that a path names is complete when this ends."""
    if not names_archive(store):
        yield store
        return
    # Without a path everything in it is replaced.
    name = expanduser(fsdecode(store))
    with ZipStore(name, "a" if normalize_path(path) else "w") as archive:
        yield archive
