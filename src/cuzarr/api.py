"""The functions of the package: open, create, save, load.

1. ``store=`` becomes a store (``storage.resolve``), ``mode`` says what may be there already.
2. The node is read or created (``nodes``) and wrapped as an :class:`Array` or a :class:`Group`.

Modes: "r" read only, must exist; "r+" read and write, must exist; "a" read and write, create if
missing; "w" create, deleting what is there; "w-" (or "x") create, fail if something is there.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from cuzarr import nodes
from cuzarr.array import Array
from cuzarr.attrs import check_attributes
from cuzarr.config import config
from cuzarr.device import parse_device
from cuzarr.errors import ReadOnlyError
from cuzarr.group import Group, make_array, parent_format
from cuzarr.meta.spec import ArraySpec, GroupSpec, ZarrFormat
from cuzarr.storage.base import Store
from cuzarr.storage.prefix import normalize_path
from cuzarr.storage.resolve import StoreLike, as_store

Mode = Literal["r", "r+", "a", "w", "w-", "x"]
_MODES = ("r", "r+", "a", "w", "w-", "x")


def open(  # noqa: A001  # the name of the field
    store: StoreLike = None,
    mode: Mode | None = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    device: str | None = None,
    **options: Any,
) -> Array | Group:
    """Open an array or a group.

    Parameters
    ----------
    store : path, mapping, Store or None
        None with a ``path`` takes that as the path of a local store.
    mode : {"r", "r+", "a", "w", "w-"}
        Default "a" ("r" for a store that is read-only). Where nothing is there, "a", "w" and "w-"
        create an array if a ``shape`` or ``data`` is given, else a group.
    path : str or None
        Of the node in the store.
    zarr_format : {2, 3} or None
        None accepts either.
    device : str or None
        "auto", "cpu", "cuda" or "cuda:N"; None takes ``cuzarr.config``'s.
    **options
        Those of :func:`create_array`, where an array is created.

    Raises
    ------
    NodeNotFoundError, MetadataError, NoDeviceError
    """
    store, path = _store_or_path(store, path)
    if mode not in ("w", "w-", "x"):
        opened, where, mode = _prepare(store, mode, path)
        spec = nodes.find_node(opened, where, zarr_format)
        if isinstance(spec, ArraySpec):
            return _array(opened, where, spec, mode, device)
        if isinstance(spec, GroupSpec):
            return _group(opened, where, spec, mode, device)
        if mode in ("r", "r+"):
            nodes.read_node(opened, where, zarr_format)
        store = opened
    if "shape" in options or "data" in options:
        return open_array(store, mode, path=path, zarr_format=zarr_format, device=device, **options)
    return open_group(store, mode, path=path, zarr_format=zarr_format, device=device, **options)


def open_array(
    store: StoreLike = None,
    mode: Mode | None = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    device: str | None = None,
    **options: Any,
) -> Array:
    """Open an array, or create one; parameters as in :func:`open`.

    Raises
    ------
    ArrayNotFoundError
        Nothing is there, and the mode or the missing ``shape`` forbids to create it.
    NodeTypeError
        A group is there.
    """
    store, path = _store_or_path(store, path)
    opened, where, mode = _prepare(store, mode, path)
    if mode in ("w", "w-", "x") or (mode == "a" and nodes.find_node(opened, where) is None):
        if mode == "a" and "shape" not in options and "data" not in options:
            nodes.read_array(opened, where, zarr_format)
        options.setdefault("dtype", None if "data" in options else "f8")
        options["overwrite"] = mode == "w" or bool(options.get("overwrite", False))
        return create_array(
            opened, name=where or None, zarr_format=zarr_format, device=device, **options
        )
    return _array(opened, where, nodes.read_array(opened, where, zarr_format), mode, device)


def open_group(
    store: StoreLike = None,
    mode: Mode | None = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    attributes: dict[str, Any] | None = None,
    device: str | None = None,
) -> Group:
    """Open a group, or create one; parameters as in :func:`open`.

    Raises
    ------
    GroupNotFoundError
        Nothing is there and the mode forbids to create it.
    NodeTypeError
        An array is there.
    """
    store, path = _store_or_path(store, path)
    opened, where, mode = _prepare(store, mode, path)
    if mode in ("w", "w-", "x") or (mode == "a" and nodes.find_node(opened, where) is None):
        return create_group(
            opened, path=where, zarr_format=zarr_format, overwrite=mode == "w",
            attributes=attributes, device=device,
        )  # fmt: skip
    return _group(opened, where, nodes.read_group(opened, where, zarr_format), mode, device)


def create_array(
    store: StoreLike = None,
    *,
    name: str | None = None,
    shape: Any = None,
    dtype: Any = None,
    data: Any = None,
    chunks: Any = "auto",
    zarr_format: ZarrFormat | None = None,
    overwrite: bool = False,
    device: str | None = None,
    **options: Any,
) -> Array:
    """Create an array.

    Parameters
    ----------
    store : path, mapping, Store or None
        None makes a new store in memory.
    name : str or None
        Path of the array in the store.
    shape : int or sequence of int
    dtype : data type
    data : array-like or None
        Written to the new array; gives shape and dtype where they are not given.
    chunks : "auto", int, or sequence of int
        Chunk shape; of the inner chunks where ``shards`` is given.
    zarr_format : {2, 3} or None
        None takes that of the nearest group above, else ``cuzarr.config``'s.
    overwrite : bool
        Delete what is there.
    device : str or None
    **options
        ``shards``, ``fill_value``, ``filters``, ``serializer``, ``compressors`` (v3),
        ``compressor``, ``order``, ``dimension_separator`` (v2), ``chunk_key_encoding``,
        ``attributes``, ``dimension_names``: see ``cuzarr.meta.create.new_array_spec``.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
    MetadataError
        Lists everything that is wrong with the arguments.
    """
    opened, path = as_store(store), normalize_path(name)
    _refuse_read_only(opened, path)
    return make_array(
        opened, path, shape=shape, dtype=dtype, data=data, overwrite=overwrite, device=device,
        zarr_format=_format_for(opened, path, zarr_format), chunks=chunks, **options,
    )  # fmt: skip


def create_group(
    store: StoreLike = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    overwrite: bool = False,
    attributes: dict[str, Any] | None = None,
    device: str | None = None,
) -> Group:
    """Create a group.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
        Something is there, and ``overwrite`` is False.
    """
    opened, where = as_store(store), normalize_path(path)
    _refuse_read_only(opened, where)
    parse_device(device)
    spec = GroupSpec(check_attributes(attributes), _format_for(opened, where, zarr_format))
    nodes.create_node(opened, where, spec, overwrite=overwrite)
    return Group(opened, where, spec, read_only=False, device=device)


def group(
    store: StoreLike = None,
    *,
    overwrite: bool = False,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    device: str | None = None,
) -> Group:
    """Open a group, creating it where it is missing."""
    mode: Mode = "w" if overwrite else "a"
    return open_group(store, mode, path=path, zarr_format=zarr_format, device=device)


def create(
    shape: Any, *, store: StoreLike = None, path: str | None = None, **options: Any
) -> Array:
    """Create an array; ``dtype`` defaults to float64. Other parameters as :func:`create_array`."""
    options.setdefault("dtype", "f8")
    return create_array(store, name=path, shape=shape, **options)


def array(data: Any, **options: Any) -> Array:
    """Create an array that holds ``data``; parameters as :func:`create_array`."""
    path = options.pop("path", None)
    return create_array(options.pop("store", None), name=path, data=data, **options)


def zeros(shape: Any, **options: Any) -> Array:
    """Create an array with fill value 0; parameters as :func:`create`."""
    return create(shape, fill_value=0, **options)


def ones(shape: Any, **options: Any) -> Array:
    """Create an array with fill value 1; parameters as :func:`create`."""
    return create(shape, fill_value=1, **options)


def full(shape: Any, fill_value: Any, **options: Any) -> Array:
    """Create an array with a fill value; parameters as :func:`create`."""
    options.setdefault("dtype", np.asarray(fill_value).dtype)
    return create(shape, fill_value=fill_value, **options)


def empty(shape: Any, **options: Any) -> Array:
    """Create an array whose contents do not matter yet; parameters as :func:`create`."""
    return create(shape, **options)


def save(store: StoreLike, *arrays: Any, **named: Any) -> None:
    """Save one NumPy array as an array, or several as the members of a group.

    Parameters
    ----------
    store : path, mapping or Store
        What is there is replaced.
    *arrays, **named : array-like
        Several positional arrays are named ``arr_0``, ``arr_1``...
    """
    if not arrays and not named:
        raise ValueError("save needs at least one array")
    if len(arrays) == 1 and not named:
        create_array(store, data=np.asarray(arrays[0]), overwrite=True)
        return
    members = {f"arr_{i}": data for i, data in enumerate(arrays)}
    clash = sorted(set(members) & set(named))
    if clash:
        raise ValueError(f"names of positional and named arrays clash: {', '.join(clash)}")
    root = create_group(store, overwrite=True)
    for name, data in {**members, **named}.items():
        root.create_array(name, data=np.asarray(data))


def load(
    store: StoreLike, *, path: str | None = None, zarr_format: ZarrFormat | None = None
) -> Any:
    """Load an array as a NumPy array, or a group as a dict of them, always in host memory."""
    node = open(store, "r", path=path, zarr_format=zarr_format, device="cpu")
    if isinstance(node, Array):
        return node[...]
    return {name: member[...] for name, member in node.arrays()}


def _store_or_path(store: StoreLike, path: str | None) -> tuple[StoreLike, str | None]:
    """Take ``open(path="x.zarr")`` without a store as the path of a local store."""
    return (path, None) if store is None and path is not None else (store, path)


def _prepare(store: StoreLike, mode: Mode | None, path: str | None) -> tuple[Store, str, Mode]:
    if mode is not None and mode not in _MODES:
        raise ValueError(f"mode must be one of {', '.join(_MODES)}, not {mode!r}")
    opened = as_store(store, read_only=mode == "r")
    chosen: Mode = mode or ("r" if opened.read_only else "a")
    where = normalize_path(path)
    if chosen != "r":
        _refuse_read_only(opened, where)
    return opened, where, chosen


def _array(store: Store, path: str, spec: ArraySpec, mode: Mode, device: str | None) -> Array:
    return Array(store, path, spec, read_only=mode == "r", device=device)


def _group(store: Store, path: str, spec: GroupSpec, mode: Mode, device: str | None) -> Group:
    parse_device(device)
    return Group(store, path, spec, read_only=mode == "r", device=device)


def _format_for(store: Store, path: str, zarr_format: ZarrFormat | None) -> ZarrFormat:
    chosen = zarr_format or parent_format(store, path) or config.get("default_zarr_format")
    if chosen not in (2, 3):
        raise ValueError(f"zarr_format must be 2 or 3, not {chosen!r}")
    return chosen


def _refuse_read_only(store: Store, path: str) -> None:
    if store.read_only:
        raise ReadOnlyError(f"cannot write {path or '/'!r}: {store} is read-only")
