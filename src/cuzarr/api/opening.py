"""Open arrays and groups.

1. ``store=`` becomes a store (``storage.resolve``), ``mode`` says what may be there already.
2. The node is read (``nodes``), or created (``api.creating``) where the mode allows it.

Modes: "r" read only, must exist; "r+" read and write, must exist; "a" read and write, create if
missing; "w" create, deleting what is there; "w-" (or "x") create, fail if something is there.
"""

from __future__ import annotations

from typing import Any

from cuzarr import nodes
from cuzarr.api.common import (
    CREATING,
    Mode,
    prepare,
    prepare_new,
    with_options,
    wrap_array,
    wrap_group,
)
from cuzarr.api.creating import create_array, create_group
from cuzarr.array import Array
from cuzarr.errors import ContainsNodeError
from cuzarr.group import Group
from cuzarr.making import ARRAY_OPTIONS, like
from cuzarr.meta.spec import ArraySpec, GroupSpec, ZarrFormat
from cuzarr.options import open_options, refuse_unknown
from cuzarr.storage.base import Store
from cuzarr.storage.resolve import StoreLike

_OF_GROUPS = ("store", "mode", "path", "use_consolidated", "attributes", "device")
_KNOWN = (*_OF_GROUPS, *ARRAY_OPTIONS)


def open(  # noqa: A001  # the name of the field
    store: StoreLike = None,
    mode: Mode | None = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    use_consolidated: nodes.Consolidation = None,
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
    use_consolidated : bool, str or None
        Whether a group takes its members from its consolidated metadata: False never, True
        requires them, None where they are. A name is that of the v2 document (".zmetadata").
    device : str or None
        "auto", "cpu", "cuda" or "cuda:N"; None takes ``cuzarr.config``'s.
    **options
        Those of :func:`create_array`, where an array is created.

    Raises
    ------
    NodeNotFoundError, MetadataError, NoDeviceError
    """
    refuse_unknown("open", options, _KNOWN)
    store, options = with_options(store, options, read_only=mode == "r")
    zarr_format, options = open_options(zarr_format, options)
    opened, where, mode = prepare(store, mode, path)
    creates_array = "shape" in options or "data" in options
    spec = (
        None if mode in CREATING else nodes.find_node(opened, where, zarr_format, use_consolidated)
    )
    if isinstance(spec, ArraySpec):
        return wrap_array(opened, where, spec, mode, device, options.get("config"))
    if isinstance(spec, GroupSpec) and not creates_array:
        return wrap_group(opened, where, spec, mode, device)
    if spec is None and mode in ("r", "r+"):
        nodes.read_node(opened, where, zarr_format)
    given: dict[str, Any] = {"path": where, "zarr_format": zarr_format, "device": device}
    if creates_array:
        return open_array(opened, mode, **given, **options)
    return open_group(
        opened, mode, **given, use_consolidated=use_consolidated,
        attributes=options.get("attributes"),
    )  # fmt: skip


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
    refuse_unknown("open_array", options, _KNOWN)
    store, options = with_options(store, options, read_only=mode == "r")
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
        try:
            return create_array(
                opened, name=where or None, shape=shape, dtype=dtype, zarr_format=zarr_format,
                config=config, device=device, **options,
            )  # fmt: skip
        except ContainsNodeError:
            if not _raced(opened, where, mode):
                raise
    spec = nodes.read_array(opened, where, zarr_format)
    return wrap_array(opened, where, spec, mode, device, config)


def open_group(
    store: StoreLike = None,
    mode: Mode | None = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    use_consolidated: nodes.Consolidation = None,
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
    store, options = with_options(store, options, read_only=mode == "r")
    zarr_format, options = open_options(zarr_format, options)
    refuse_unknown("open_group", options, _OF_GROUPS)
    opened, where, mode = prepare(store, mode, path)
    spec = (
        None if mode in CREATING else nodes.find_node(opened, where, zarr_format, use_consolidated)
    )
    if isinstance(spec, GroupSpec):
        return wrap_group(opened, where, spec, mode, device)
    if mode in CREATING or (mode == "a" and nodes.find_node(opened, where) is None):
        try:
            return create_group(
                opened, path=where, zarr_format=zarr_format, overwrite=mode == "w",
                attributes=attributes, device=device,
            )  # fmt: skip
        except ContainsNodeError:
            if not _raced(opened, where, mode):
                raise
    return wrap_group(opened, where, nodes.read_group(opened, where, zarr_format), mode, device)


def _raced(store: Store, path: str, mode: Mode) -> bool:
    """Whether somebody else has just created what mode "a" would open."""
    return mode == "a" and nodes.find_node(store, path) is not None


def open_consolidated(store: StoreLike, *args: Any, **options: Any) -> Group:
    """Open a group with its consolidated metadata, which must be there; see :func:`open_group`.

    ``metadata_key`` is the zarr-python 2 name of ``use_consolidated`` where that is a name.
    """
    wanted = options.pop("metadata_key", options.pop("use_consolidated", True))
    if not wanted:
        raise ValueError("open_consolidated needs them: use open_group with use_consolidated=False")
    return open_group(store, *args, use_consolidated=wanted, **options)


def consolidate_metadata(
    store: StoreLike,
    path: str | None = None,
    *,
    zarr_format: ZarrFormat | None = None,
    metadata_key: str | None = None,
    device: str | None = None,
) -> Group:
    """Copy the metadata of all nodes below a group into the group's own.

    It is then opened with one read, however many members it has. Who adds or changes one
    consolidates anew. In v3 this is a convention of zarr-python and no part of the specification.

    Parameters
    ----------
    store : path, mapping or Store
    path : str or None
        Of the group.
    zarr_format : {2, 3} or None
    metadata_key : str or None
        Name of the v2 document; ".zmetadata" unless given.
    device : str or None

    Raises
    ------
    GroupNotFoundError
    """
    opened, where = prepare_new(store, path)
    spec = nodes.read_group(opened, where, zarr_format, use_consolidated=False)
    spec = nodes.consolidate(opened, where, spec, metadata_key)
    return wrap_group(opened, where, spec, "r+", device)


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
    """Open the array at ``path``, or create it with the shape, data type and chunks of ``a``.

    With ``store=`` the path is one in that store.
    """
    place = {"path": path} if "store" in options else {"store": path}
    return open_array(**{**like(a, options), **options, **place})
