"""New arrays: from the options of a user to a stored array, and the data in it.

1. :func:`make_array` takes shape and data type from the data where they are not given, writes the
   metadata, then the data.
2. :func:`like` and :func:`kept` describe an array that exists, as options for a new one.
3. :func:`copy_data` works through data that may not fit into memory, in batches of whole chunks.
"""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any, Final

import numpy as np

from cuzarr import nodes, storage
from cuzarr.array import Array
from cuzarr.attrs import check_attributes
from cuzarr.config import ArrayConfig
from cuzarr.host.backend import to_numpy
from cuzarr.meta.create import new_array_spec
from cuzarr.meta.edges import uniform
from cuzarr.meta.spec import ZarrFormat
from cuzarr.options import FOREIGN, create_options, refuse_unknown
from cuzarr.storage.base import Store
from cuzarr.storage.place import overlap, place
from cuzarr.storage.prefix import join
from cuzarr.values import PROTOCOLS

_CODECS = ("codecs", "compressor", "compressors")


def make_array(
    store: Store,
    path: str,
    *,
    shape: Any = None,
    dtype: Any = None,
    data: Any = None,
    overwrite: bool = False,
    device: str | None = None,
    zarr_format: ZarrFormat,
    config: Any = None,
    write_empty_chunks: bool | None = None,
    write_data: bool = True,
    read_only: bool = False,
    **options: Any,
) -> Array:
    """Create an array node and write ``data`` to it; see ``cuzarr.create_array``.

    Raises
    ------
    ValueError
        Shape or data type are missing, or ``data`` is stored where it would be overwritten.
    """
    refuse_unknown("create_array", options, ARRAY_OPTIONS)
    options = create_options(options, storage.default_compressor)
    if zarr_format == 2 and not any(name in options for name in _CODECS):
        options["compressor"] = storage.default_compressor
    if data is not None:
        data = data if hasattr(data, "shape") and hasattr(data, "dtype") else np.asarray(data)
        shape = tuple(data.shape) if shape is None else shape
        dtype = data.dtype if dtype is None else dtype
        chunks = chunks_of(data)
        if "chunks" not in options and isinstance(chunks, tuple) and tuple(data.shape) == shape:
            options["chunks"] = tuple(n if isinstance(n, int) else max(n) for n in chunks)
    if shape is None:
        raise ValueError("an array needs a shape, or data that has one")
    if dtype is None:
        raise ValueError("an array needs a dtype, or data that has one")
    options["attributes"] = check_attributes(options.get("attributes"))
    options = {name: value for name, value in options.items() if value is not None or
               name not in ("chunk_key_encoding", "dimension_separator")}  # fmt: skip
    key = join(path, nodes.V3_KEY if zarr_format == 3 else nodes.V2_ARRAY)
    spec = new_array_spec(shape, dtype, zarr_format=zarr_format, key=key, **options)
    chosen = ArrayConfig.of(config)
    if write_empty_chunks is not None:
        chosen = replace(chosen, write_empty_chunks=write_empty_chunks)
    array = Array(store, path, spec, read_only=False, device=device, config=chosen)
    if overwrite and write_data and data is not None:
        _refuse_own(data, store, path)
        data = _held(data, store, path)
    nodes.create_node(store, path, spec, overwrite=overwrite)
    if data is not None and write_data:
        copy_data(data, array)
    if read_only:
        return Array(store, path, spec, read_only=True, device=device, config=chosen)
    return array


#: Names of all that describes a new array.
ARRAY_OPTIONS: Final = frozenset(
    {*signature(make_array).parameters, *signature(new_array_spec).parameters, *FOREIGN}
    - {"store", "path", "options", "key"}
)


def copy_data(source: Any, dest: Array) -> None:
    """Write ``source`` to all of ``dest``; what is stored elsewhere is never in memory as a whole.

    Parameters
    ----------
    source : array-like
        With a ``chunks`` attribute (of cuzarr, zarr-python, h5py, dask) it is read in batches.
    dest : Array
    """
    if chunks_of(source) is None or tuple(source.shape) != dest.shape:
        dest[...] = source
        return
    for region in dest.regions():
        dest[region] = source[region]


def _refuse_own(data: Any, store: Store, path: str) -> None:
    """Raise ``ValueError`` if to overwrite a path would delete data that is stored at it."""
    source, below = getattr(data, "store", None), getattr(data, "path", None)
    if source is None or not isinstance(below, str):
        return
    if overlap(place(source, below), place(store, path)):
        raise ValueError(
            f"cannot overwrite {path or '/'!r} with the array at {below or '/'!r}, which that "
            "would delete: write to another path, or pass data=array[...]"
        )


def _held(data: Any, store: Store, path: str) -> Any:
    """Return data that is there when what is stored at a path is deleted.

    What computes its elements when it is asked for them, as arrays of dask do, may read them from
    there: it is computed now, as a whole.

    Raises
    ------
    ValueError
        What it gives has another shape than it says.
    """
    lazy = not (
        isinstance(data, np.ndarray)
        or hasattr(data, "__cuda_array_interface__")
        or hasattr(data, "detach")  # of torch
        or isinstance(getattr(data, "path", None), str)
        or type(data).__module__.partition(".")[0] == "h5py"
    )
    if not lazy or next(iter(store.list(path)), None) is None:
        return data
    array = any(hasattr(data, name) for name in PROTOCOLS)
    held = to_numpy(data if array else data[(slice(None),) * len(data.shape)])
    if held.shape != tuple(data.shape):
        raise ValueError(f"data of shape {tuple(data.shape)} gives an array of shape {held.shape}")
    return held


def like(a: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that make an array like ``a``, as far as ``options`` leave room.

    Parameters
    ----------
    a : array-like
        Of a stored array also the chunks, codecs, format and order are taken.
    options : dict
        Those of the user, which win.

    Raises
    ------
    TypeError
        It has no shape.
    """
    if not hasattr(a, "shape"):
        a = np.asarray(a)
    if isinstance(a, Array):
        found = {"shape": a.shape, "dtype": a.dtype, "fill_value": a.fill_value, **kept(a)}
    else:
        found = {"shape": tuple(a.shape), "dtype": getattr(a, "dtype", None)}
        chunks = chunks_of(a)
        if isinstance(chunks, tuple) and all(isinstance(n, int) for n in chunks):
            found["chunks"] = chunks
    return trimmed(found, options)


def kept(a: Array) -> dict[str, Any]:
    """Return the options that store an array as ``a`` is stored: grid, codecs, keys, format."""
    encoding = a.metadata.key_encoding
    grid = a.metadata.grid
    chunks = a.chunks if a.is_sharded else grid
    found: dict[str, Any] = {"chunks": chunks, "zarr_format": a.zarr_format}
    if a.zarr_format == 2:
        found |= {
            "compressor": a.compressor, "filters": a.filters, "order": a.order,
            "dimension_separator": encoding.separator,
        }  # fmt: skip
        return found
    return found | {
        "shards": grid if a.is_sharded else None, "filters": a.filters, "serializer": a.serializer,
        "compressors": a.compressors, "dimension_names": a.dimension_names,
        "chunk_key_encoding": {
            "name": encoding.name, "configuration": {"separator": encoding.separator},
        },
    }  # fmt: skip


def trimmed(found: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Drop from ``found`` what ``options`` give, or what another format does not have."""
    zarr_format = options.get("zarr_format")
    other = zarr_format is not None and zarr_format != found.get("zarr_format", zarr_format)
    gone = set(options)
    if gone & set(_CODECS):
        gone |= set(_CODECS)
    if "codecs" in gone:
        gone |= {"filters", "serializer"}
    if other:
        gone |= {"filters", "serializer", "chunk_key_encoding", "dimension_separator", *_CODECS}
        if zarr_format == 2:
            gone |= {"shards", "dimension_names"}
    if "shape" in options:
        gone.add("dimension_names")
    if "shape" in options or zarr_format == 2:  # lengths that are listed fit one shape, and v3
        gone |= {name for name in ("chunks", "shards") if uniform(found.get(name) or ()) is None}
    return {name: value for name, value in found.items() if name not in gone}


def chunks_of(data: Any) -> Any:
    """Return the ``chunks`` of stored data: a shape, or for each axis its lengths; None without.

    Where arrays of other libraries refuse, since their chunks have several shapes, it is the
    lengths of them.
    """
    try:
        return getattr(data, "chunks", None)
    except NotImplementedError:
        return getattr(data, "read_chunk_sizes", None)


def parent_format(store: Store, path: str) -> ZarrFormat | None:
    """Return the format of the nearest group above ``path``, or None."""
    while path:
        path = path.rpartition("/")[0]
        spec = nodes.find_node(store, path)
        if spec is not None:
            return spec.zarr_format
    return None
