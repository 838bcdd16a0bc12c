"""Open arrays and groups.

1. ``store=`` becomes a store (``storage.resolve``), ``mode`` says what may be there already.
2. The node is read (``nodes``), or created (``api.creating``) where the mode allows it.

Modes: "r" read only, must exist; "r+" read and write, must exist; "a" read and write, create if
missing; "w" create, deleting what is there; "w-" (or "x") create, fail if something is there.
"""

from __future__ import annotations

from typing import Any

from cuzarr import nodes
from cuzarr.api.common import CREATING, Mode, prepare, wrap_array, wrap_group
from cuzarr.api.creating import create_array, create_group
from cuzarr.array import Array
from cuzarr.group import Group
from cuzarr.making import like
from cuzarr.meta.spec import ArraySpec, GroupSpec, ZarrFormat
from cuzarr.options import open_options
from cuzarr.storage.resolve import StoreLike


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
    zarr_format, options = open_options(zarr_format, options)
    opened, where, mode = prepare(store, mode, path)
    creates_array = "shape" in options or "data" in options
    spec = None if mode in CREATING else nodes.find_node(opened, where, zarr_format)
    if isinstance(spec, ArraySpec):
        return wrap_array(opened, where, spec, mode, device, options.get("config"))
    if isinstance(spec, GroupSpec) and not creates_array:
        return wrap_group(opened, where, spec, mode, device)
    if spec is None and mode in ("r", "r+"):
        nodes.read_node(opened, where, zarr_format)
    given: dict[str, Any] = {"path": where, "zarr_format": zarr_format, "device": device}
    if creates_array:
        return open_array(opened, mode, **given, **options)
    return open_group(opened, mode, **given, attributes=options.get("attributes"))


def open_array(
    store: StoreLike = None,
    mode: Mode | None = None,
    shape: Any = None,
    chunks: Any = None,
    dtype: Any = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    config: Any = None,
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
    zarr_format, options = open_options(zarr_format, options)
    opened, where, mode = prepare(store, mode, path)
    if mode in CREATING or (mode == "a" and nodes.find_node(opened, where) is None):
        if mode == "a" and shape is None and options.get("data") is None:
            nodes.read_array(opened, where, zarr_format)
        if dtype is None and options.get("data") is None:
            dtype = "f8"
        if chunks is not None:
            options["chunks"] = chunks
        options["overwrite"] = mode == "w" or bool(options.get("overwrite", False))
        return create_array(
            opened, name=where or None, shape=shape, dtype=dtype, zarr_format=zarr_format,
            config=config, device=device, **options,
        )  # fmt: skip
    spec = nodes.read_array(opened, where, zarr_format)
    return wrap_array(opened, where, spec, mode, device, config)


def open_group(
    store: StoreLike = None,
    mode: Mode | None = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    attributes: dict[str, Any] | None = None,
    device: str | None = None,
    **options: Any,
) -> Group:
    """Open a group, or create one; parameters as in :func:`open`.

    Raises
    ------
    GroupNotFoundError
        Nothing is there and the mode forbids to create it.
    NodeTypeError
        An array is there.
    """
    zarr_format, options = open_options(zarr_format, options)
    if options:
        raise TypeError(f"open_group has no parameter {next(iter(options))!r}")
    opened, where, mode = prepare(store, mode, path)
    if mode in CREATING or (mode == "a" and nodes.find_node(opened, where) is None):
        return create_group(
            opened, path=where, zarr_format=zarr_format, overwrite=mode == "w",
            attributes=attributes, device=device,
        )  # fmt: skip
    return wrap_group(opened, where, nodes.read_group(opened, where, zarr_format), mode, device)


def group(
    store: StoreLike = None,
    overwrite: bool = False,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    attributes: dict[str, Any] | None = None,
    device: str | None = None,
    **options: Any,
) -> Group:
    """Open a group, creating it where it is missing; a new store in memory by default."""
    return open_group(
        {} if store is None else store, "w" if overwrite else None, path=path,
        zarr_format=zarr_format, attributes=attributes, device=device, **options,
    )  # fmt: skip


def open_like(a: Any, path: StoreLike, **options: Any) -> Array:
    """Open the array at ``path``, or create it with the shape, data type and chunks of ``a``."""
    return open_array(path, **{**like(a, options), **options})
