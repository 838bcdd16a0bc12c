"""What the functions of the package share: modes, stores and paths, the format of a new node."""

from __future__ import annotations

from typing import Any, Literal, get_args

from cuzarr.array import Array
from cuzarr.config import config
from cuzarr.device import parse_device
from cuzarr.errors import ReadOnlyError
from cuzarr.group import Group
from cuzarr.making import parent_format
from cuzarr.meta.spec import ArraySpec, GroupSpec, ZarrFormat
from cuzarr.storage.base import Store
from cuzarr.storage.path import StorePath
from cuzarr.storage.prefix import join, normalize_path
from cuzarr.storage.resolve import StoreLike, as_store

Mode = Literal["r", "r+", "a", "w", "w-", "x"]
CREATING = ("w", "w-", "x")


def prepare(store: StoreLike, mode: Mode | None, path: str | None) -> tuple[Store, str, Mode]:
    """Return the store, the path in it and the mode for opening.

    ``open(path="x.zarr")`` without a store takes the path as that of a local store.
    """
    modes = get_args(Mode)
    if mode is not None and mode not in modes:
        raise ValueError(f"mode must be one of {', '.join(modes)}, not {mode!r}")
    if store is None and path is not None:
        store, path = path, None
    opened, where = locate(store, path, read_only=mode == "r")
    chosen: Mode = mode or ("r" if opened.read_only else "a")
    if chosen != "r":
        refuse_read_only(opened, where)
    return opened, where, chosen


def prepare_new(store: StoreLike, path: str | None) -> tuple[Store, str]:
    """Return the store and the path in it for creating."""
    opened, where = locate(store, path)
    refuse_read_only(opened, where)
    return opened, where


def locate(store: Any, path: str | None, *, read_only: bool = False) -> tuple[Store, str]:
    """Return the store and the path in it; a ``StorePath`` brings a path of its own."""
    where = normalize_path(path)
    if StorePath.matches(store):
        store, where = store.store, join(normalize_path(store.path), where)
    return as_store(store, read_only=read_only), where


def with_options(
    store: StoreLike, options: dict[str, Any], *, read_only: bool = False
) -> tuple[StoreLike, dict[str, Any]]:
    """Return the store of a URL and its ``storage_options``, and the options that are left."""
    if not options.get("storage_options"):
        return store, options
    left = dict(options)
    given = left.pop("storage_options")
    return as_store(store, read_only=read_only, storage_options=given), left


def refuse_read_only(store: Store, path: str) -> None:
    """Raise ``ReadOnlyError`` if the store cannot be written."""
    if store.read_only:
        raise ReadOnlyError(f"cannot write {path or '/'!r}: {store} is read-only")


def format_for(store: Store, path: str, zarr_format: ZarrFormat | None) -> ZarrFormat:
    """Return the format of a new node: given, of the nearest group above, or configured."""
    chosen = zarr_format or parent_format(store, path) or config.get("default_zarr_format")
    if chosen not in (2, 3):
        raise ValueError(f"zarr_format must be 2 or 3, not {chosen!r}")
    return chosen


def wrap_array(
    store: Store, path: str, spec: ArraySpec, mode: Mode, device: str | None, config: Any = None
) -> Array:
    """Return the array of a spec."""
    return Array(store, path, spec, read_only=mode == "r", device=device, config=config)


def wrap_group(store: Store, path: str, spec: GroupSpec, mode: Mode, device: str | None) -> Group:
    """Return the group of a spec."""
    parse_device(device)
    return Group(store, path, spec, read_only=mode == "r", device=device)
