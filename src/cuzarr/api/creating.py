"""Create arrays and groups.

The keyword arguments of zarr-python 2 and 3 are understood, and its positional ones where the two
agree; see ``cuzarr.options``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from cuzarr import nodes
from cuzarr.api.common import format_for, locate, prepare_new, refuse_read_only, with_options
from cuzarr.array import Array
from cuzarr.attrs import check_attributes
from cuzarr.device import parse_device
from cuzarr.group import Group, new_nodes
from cuzarr.making import kept, like, make_array, trimmed
from cuzarr.meta.spec import GroupSpec, ZarrFormat
from cuzarr.options import open_options
from cuzarr.storage.resolve import StoreLike


def create_array(
    store: StoreLike = None,
    *,
    name: str | None = None,
    shape: Any = None,
    dtype: Any = None,
    data: Any = None,
    zarr_format: ZarrFormat | None = None,
    overwrite: bool = False,
    config: Any = None,
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
    zarr_format : {2, 3} or None
        None takes that of the nearest group above, else ``cuzarr.config``'s.
    overwrite : bool
        Delete what is there.
    config : ArrayConfig, mapping or None
        What this array does differently from ``cuzarr.config``: see :class:`ArrayConfig`.
    device : str or None
    **options
        ``chunks`` ("auto", int or sequence of int; of the inner chunks where ``shards`` is given),
        ``shards``, ``fill_value``, ``filters``, ``serializer``, ``compressors`` (v3),
        ``compressor``, ``order``, ``dimension_separator`` (v2), ``chunk_key_encoding``,
        ``attributes``, ``dimension_names``: see ``cuzarr.meta.create.new_array_spec``.
        ``write_data=False`` takes shape and dtype from ``data`` and leaves the array empty.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
    MetadataError
        Lists everything that is wrong with the arguments.
    """
    store, options = with_options(store, options)
    zarr_format, options = open_options(zarr_format, options)
    opened, path = prepare_new(store, name)
    return make_array(
        opened, path, shape=shape, dtype=dtype, data=data, overwrite=overwrite, config=config,
        device=device, zarr_format=format_for(opened, path, zarr_format), **options,
    )  # fmt: skip


def create_group(
    store: StoreLike = None,
    *,
    path: str | None = None,
    zarr_format: ZarrFormat | None = None,
    overwrite: bool = False,
    attributes: dict[str, Any] | None = None,
    device: str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Group:
    """Create a group.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
        Something is there, and ``overwrite`` is False.
    """
    store, _ = with_options(store, {"storage_options": storage_options})
    opened, where = prepare_new(store, path)
    parse_device(device)
    spec = GroupSpec(check_attributes(attributes), format_for(opened, where, zarr_format))
    nodes.create_node(opened, where, spec, overwrite=overwrite)
    return Group(opened, where, spec, read_only=False, device=device)


def create_hierarchy(
    *,
    store: StoreLike = None,
    nodes: Mapping[str, Any],
    overwrite: bool = False,
    device: str | None = None,
) -> Iterator[tuple[str, Array | Group]]:
    """Create many arrays and groups with one batch of writes, and groups between them.

    Parameters
    ----------
    store : path, mapping, Store or None
    nodes : mapping
        Paths to metadata: ``array.metadata``, a v3 document, or metadata of zarr-python.
    overwrite : bool
        Delete what is at the paths.
    device : str or None

    Yields
    ------
    path, node
        Of every node created, parents first.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
        Something is there, and ``overwrite`` is False; nothing is written.
    """
    opened, where = locate(store, None)
    refuse_read_only(opened, where)
    return iter(new_nodes(opened, where, nodes, overwrite=overwrite, device=device))


def create(
    shape: Any,
    chunks: Any = "auto",
    dtype: Any = None,
    compressor: Any = "auto",
    *,
    store: StoreLike = None,
    path: str | None = None,
    **options: Any,
) -> Array:
    """Create an array; ``dtype`` defaults to float64. Other parameters as :func:`create_array`."""
    options.pop("mode", None)
    if options.get("data") is None:
        dtype = "f8" if dtype is None else dtype
    if not (isinstance(compressor, str) and compressor == "auto"):
        options["compressor"] = compressor
    if not (isinstance(chunks, str) and chunks == "auto"):
        options["chunks"] = chunks
    return create_array(store, name=options.pop("name", path), shape=shape, dtype=dtype, **options)


def array(data: Any, **options: Any) -> Array:
    """Create an array that holds ``data``; parameters as :func:`create_array`."""
    path = options.pop("path", None)
    if isinstance(data, Array):
        options = {**trimmed(kept(data), options), **options}
    return create_array(options.pop("store", None), name=path, data=data, **options)


def from_array(
    store: StoreLike = None,
    *,
    data: Any,
    name: str | None = None,
    write_data: bool = True,
    chunks: Any = "keep",
    shards: Any = "keep",
    filters: Any = "keep",
    compressors: Any = "keep",
    serializer: Any = "keep",
    **options: Any,
) -> Array:
    """Create an array with the data of another one, copied in batches of chunks.

    Parameters
    ----------
    store : path, mapping, Store or None
    data : Array or array-like
    name : str or None
        Path in the store.
    write_data : bool
        False creates the array and leaves it empty.
    chunks, shards, filters, compressors, serializer : "keep" or as in :func:`create_array`
        "keep" takes what ``data`` has, if it is a stored array.
    **options
        As in :func:`create_array`.
    """
    choices = {
        "chunks": chunks, "shards": shards, "filters": filters, "compressors": compressors,
        "serializer": serializer,
    }  # fmt: skip
    given = {**options, **{n: v for n, v in choices.items() if not _is(v, "keep")}}
    stored = kept(data) | {"fill_value": data.fill_value} if isinstance(data, Array) else {}
    if isinstance(data, Array):
        stored["attributes"] = dict(data.attrs)
    return create_array(
        store, name=name, data=data, write_data=write_data, **{**trimmed(stored, given), **given}
    )


def zeros(shape: Any, chunks: Any = "auto", dtype: Any = None, **options: Any) -> Array:
    """Create an array with fill value 0; parameters as :func:`create`."""
    return create(shape, chunks, dtype, fill_value=0, **options)


def ones(shape: Any, chunks: Any = "auto", dtype: Any = None, **options: Any) -> Array:
    """Create an array with fill value 1; parameters as :func:`create`."""
    return create(shape, chunks, dtype, fill_value=1, **options)


def full(shape: Any, fill_value: Any, **options: Any) -> Array:
    """Create an array with a fill value; parameters as :func:`create`."""
    if options.get("dtype") is None and fill_value is not None:
        options["dtype"] = np.asarray(fill_value).dtype
    return create(shape, fill_value=fill_value, **options)


def empty(shape: Any, chunks: Any = "auto", dtype: Any = None, **options: Any) -> Array:
    """Create an array whose contents do not matter yet; parameters as :func:`create`."""
    return create(shape, chunks, dtype, **options)


def zeros_like(a: Any, **options: Any) -> Array:
    """Create an array like ``a`` with fill value 0."""
    return _create_like(a, {"fill_value": 0, **options})


def ones_like(a: Any, **options: Any) -> Array:
    """Create an array like ``a`` with fill value 1."""
    return _create_like(a, {"fill_value": 1, **options})


def full_like(a: Any, **options: Any) -> Array:
    """Create an array like ``a``; ``fill_value`` is that of ``a`` unless given."""
    return _create_like(a, options)


def empty_like(a: Any, **options: Any) -> Array:
    """Create an array like ``a`` whose contents do not matter yet."""
    return _create_like(a, options)


def _create_like(a: Any, options: dict[str, Any]) -> Array:
    return create(**{**like(a, options), **options})


def _is(value: Any, word: Literal["keep"]) -> bool:
    return isinstance(value, str) and value == word
