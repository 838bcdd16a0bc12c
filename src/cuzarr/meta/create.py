"""A new array: the arguments of a user -> a spec.

1. Every argument is normalised on its own; what is wrong with each is collected.
2. The document of the format is written from them: v2 spellings (``compressor=``, ``order=``...)
   become codecs in a v3 node, and v3 spellings become v2 fields where v2 has them.
3. That document is parsed, so that a new array is exactly what reopening it gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from operator import index
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from cuzarr.meta import chunk_grid, codec_specs, dtypes, fill, ml_types, v2, v3
from cuzarr.meta.chunking import default_chunks, default_shards, inner_chunks, normalize_chunks
from cuzarr.meta.codec_args import CodecArguments, sharding
from cuzarr.meta.edges import Edges, Spacing, common, largest, uniform
from cuzarr.meta.problems import Problems, brief, lengths, show
from cuzarr.meta.spec import JSON, ArraySpec, CodecSpec, ZarrFormat

DType: TypeAlias = np.dtype[Any]
Grid: TypeAlias = tuple[Spacing, ...]

DEFAULT_FILL: Final = object()  #: ``fill_value`` where the user names none
V2_COMPRESSOR: Final[dict[str, JSON]] = {
    "id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0,
}  # fmt: skip
#: Names of data types that NumPy does not know.
_V3_NAMES: Final = frozenset((*dtypes.VARIABLE, *ml_types.BITS))
V3_COMPRESSOR: Final = CodecSpec("zstd", {"level": 0, "checksum": False})


def new_array_spec(
    shape: Any,
    dtype: Any,
    *,
    zarr_format: ZarrFormat = 3,
    chunks: Any = "auto",
    shards: Any = None,
    fill_value: object = DEFAULT_FILL,
    codecs: Any = None,
    filters: Any = "auto",
    serializer: Any = "auto",
    compressors: Any = "auto",
    compressor: Any = "auto",
    object_codec: Any = None,
    order: Literal["C", "F"] | None = None,
    dimension_separator: Literal["/", "."] | None = None,
    chunk_key_encoding: Any = None,
    attributes: Mapping[str, JSON] | None = None,
    dimension_names: Iterable[str | None] | None = None,
    key: str | None = None,
) -> ArraySpec:
    """Describe a new array.

    A codec is given as a v3 object or name, as a v2 (numcodecs) configuration with an ``id``, as a
    :class:`CodecSpec`, or as a codec object of numcodecs, zarr-python or this library.

    Parameters
    ----------
    shape : int or sequence of int
    dtype : object
        What ``numpy.dtype`` takes, ``str`` or ``bytes`` for variable lengths, a v3 data type.
    zarr_format : {2, 3}
    chunks : object
        See :func:`~cuzarr.meta.chunking.normalize_chunks`. With ``shards``, of the inner chunks.
    shards : None, "auto", True, int, sequence of int, or mapping
        Shape of a stored object, a multiple of ``chunks``; an axis may be a list of the lengths of
        all shards. A mapping has it as ``shape``, and may have an ``index_location``, "start" or
        "end". v3 only.
    fill_value : object
        ``DEFAULT_FILL``: zero (empty, NaT). None: v2 ``null``, and as ``DEFAULT_FILL`` in v3.
    codecs : sequence of codecs, or None
        The whole chain; excludes the next four and ``shards``. v3 only.
    filters, compressors : "auto", None, codec or sequence of codecs
    serializer : "auto" or codec
        v3 only.
    compressor : "auto", None or codec
        The v2 spelling of ``compressors``.
    object_codec : codec or None
        Makes bytes of ``dtype=object``.
    order : {"C", "F"} or None
        "F" is a ``transpose`` codec in v3.
    dimension_separator : {"/", "."} or None
    chunk_key_encoding : name, object or None
    attributes : mapping or None
    dimension_names : iterable of (str or None), or None
        v3 only.
    key : str or None
        Store key of the document to be, for the error.

    Raises
    ------
    MetadataError
        Lists everything that is wrong with the arguments.
    """
    problems = Problems(key or (v2.ZARRAY if zarr_format == 2 else v3.ZARR_JSON))
    if zarr_format not in (2, 3):
        problems.refuse("zarr_format", f"expected 2 or 3, found {show(zarr_format)}")
    if order not in (None, "C", "F"):
        problems.add("order", f"expected 'C' or 'F', found {show(order)}")
    order = order or "C"
    parsed_type = _data_type(dtype, zarr_format, problems)
    parsed_shape = _shape(shape, problems)
    if parsed_type is None or parsed_shape is None:
        raise problems.error()
    data_type, variable = parsed_type
    shards, index_location = _sharding(shards, problems)
    chunk_shape, shard_shape = _grid(chunks, shards, parsed_shape, data_type.itemsize, problems)
    args = CodecArguments(
        data_type, variable, codecs, filters, serializer, compressors, compressor, object_codec,
        order, len(parsed_shape), problems,
    )  # fmt: skip
    encoding = _key_encoding(zarr_format, dimension_separator, chunk_key_encoding, problems)
    attrs = dict(attributes or {})
    if zarr_format == 2:
        args.refuse_v3_only(shards=shards, dimension_names=dimension_names)
        zarray: dict[str, JSON] = {
            "zarr_format": 2,
            "shape": list(parsed_shape),
            "chunks": list(_one_shape(chunk_shape, "chunks", "Zarr v2 has", problems)),
            "dtype": dtypes.to_v2(data_type),
            "compressor": args.v2_compressor(V2_COMPRESSOR),
            "filters": args.v2_filters(),
            "order": order,
            "dimension_separator": encoding["separator"],
        }
        # The chain is needed to tell strings from bytes; parsing the document checks it again.
        chain = codec_specs.from_v2(
            zarray["compressor"], zarray["filters"], order, data_type, len(parsed_shape), Problems()
        )
        serialized_by = codec_specs.serializer_name(chain)
        value = None
        if fill_value is not None:
            value = _fill_value(fill_value, data_type, serialized_by, problems)
        zarray["fill_value"] = fill.to_json(value, data_type, 2)
        problems.raise_if_any()
        return v2.parse_array(zarray, attrs, problems.key)

    chain = args.chain(V3_COMPRESSOR)
    serialized_by = codec_specs.serializer_name(chain)
    if codecs is not None and shards is not None and shards is not False:
        problems.add("shards", "cannot be given together with 'codecs'")
    if shard_shape is not None:
        chain = (sharding(tuple(map(largest, chunk_shape)), chain, index_location),)
    data_type = dtypes.native(data_type)
    value = _fill_value(
        DEFAULT_FILL if fill_value is None else fill_value, data_type, serialized_by, problems
    )
    data_type_json = _v3_data_type(data_type, serialized_by, problems)
    problems.raise_if_any()
    document: dict[str, JSON] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(parsed_shape),
        "data_type": data_type_json,
        "chunk_grid": chunk_grid.document(shard_shape or chunk_shape),
        "chunk_key_encoding": {
            "name": encoding["name"], "configuration": {"separator": encoding["separator"]},
        },
        "fill_value": fill.to_json(value, data_type, 3),
        "codecs": codec_specs.to_v3(chain),
        "attributes": attrs,
    }  # fmt: skip
    if dimension_names is not None:
        document["dimension_names"] = list(dimension_names)
    spec = v3.parse(document, problems.key)
    assert isinstance(spec, ArraySpec)
    return spec


def _shape(shape: Any, problems: Problems) -> tuple[int, ...] | None:
    given = shape if isinstance(shape, (list, tuple, np.ndarray)) else (shape,)
    try:
        plain = [length if isinstance(length, bool) else index(length) for length in given]
    except TypeError:
        problems.add("shape", f"expected an integer or a sequence of them, found {brief(shape)}")
        return None
    return lengths(plain, "shape", problems)


def _data_type(
    dtype: Any, zarr_format: ZarrFormat, problems: Problems
) -> tuple[DType, str | None] | None:
    """Return the dtype, and the serializer that a variable-length one needs."""
    if callable(getattr(dtype, "to_json", None)):  # a data type object, ours or of zarr-python
        # The documents of v3 do not have the byte order.
        native = np.dtype(dtype.to_native_dtype()) if zarr_format == 2 else None
        if native is not None and native.byteorder == ">":
            dtype = native
        else:
            dtype = dtype.to_json(zarr_format=3)
    if (isinstance(dtype, Mapping) and "names" not in dtype) or (  # with them it is NumPy's
        isinstance(dtype, str) and (dtype in _V3_NAMES or re.fullmatch(r"r[1-9]\d*", dtype))
    ):
        return dtypes.from_v3(dtype, "dtype", problems)
    try:
        found = dtypes.packed(np.dtype(dtype))
    except (TypeError, ValueError, SyntaxError, OverflowError, MemoryError) as error:
        problems.add("dtype", f"not a data type: {error}")
        return None
    if dtypes.is_string(found) or (found.kind == "U" and not found.itemsize):  # of any length
        return dtypes.STRING, "vlen-utf8"
    if found.kind == "S" and not found.itemsize:
        return np.dtype("O"), "vlen-bytes"
    before = len(problems.found)
    dtypes.from_v2(dtypes.to_v2(found), "dtype", problems)
    return None if len(problems.found) > before else (found, None)


def _grid(
    chunks: Any, shards: Any, shape: tuple[int, ...], itemsize: int, problems: Problems
) -> tuple[Grid, Grid | None]:
    """Return the (inner) chunks along each axis, and the shards, if there are any."""
    if shards is None or shards is False:
        return _chunks(chunks, shape, itemsize, problems), None
    if _is_auto(shards):
        inner = _chunks(chunks, shape, itemsize, problems)
        units = _one_shape(inner, "chunks", "shards have", problems)
        return inner, default_shards(shape, units, itemsize)
    given = None if _is_auto(chunks) else _chunks(chunks, shape, itemsize, problems)
    chunk_shape = None
    if given is not None:
        chunk_shape = _one_shape(given, "chunks", "shards have", problems)
    # A whole axis is rounded up to whole chunks.
    units = chunk_shape or (1,) * len(shape)
    whole = [-(-max(1, n) // unit) * unit for n, unit in zip(shape, units, strict=True)]
    try:
        shard_shape = normalize_chunks(shards, whole, itemsize)
    except (TypeError, ValueError) as error:
        problems.add("shards", str(error).replace("chunk", "shard"))
        return shape, None
    if chunk_shape is None:
        chunk_shape = inner_chunks(tuple(map(common, shard_shape)), itemsize)
    if any(common(shard) % chunk for shard, chunk in zip(shard_shape, chunk_shape, strict=True)):
        text = tuple(n.document() if isinstance(n, Edges) else n for n in shard_shape)
        problems.add("shards", f"{text} is not a multiple of the chunk shape {chunk_shape}")
    return chunk_shape, shard_shape


def _sharding(shards: Any, problems: Problems) -> tuple[Any, str]:
    """Return the shape of shards, and where their index is."""
    if not isinstance(shards, Mapping):
        return shards, "end"
    for name in shards:
        if name not in ("shape", "index_location"):
            problems.add("shards", f"expected 'shape' and 'index_location', found {show(name)}")
    location = shards.get("index_location") or "end"
    location = getattr(location, "value", location)  # of an enumeration
    if location not in ("start", "end"):
        problems.add("shards", f"index_location: expected 'start' or 'end', found {show(location)}")
    if "shape" not in shards:
        problems.add("shards", "shape: is missing")
    return shards.get("shape"), str(location)


def _one_shape(grid: Grid, place: str, what: str, problems: Problems) -> tuple[int, ...]:
    shape = uniform(grid)
    if shape is None:
        problems.add(place, f"{what} chunks of one shape only, found several lengths along an axis")
        return tuple(map(largest, grid))
    return shape


def _chunks(chunks: Any, shape: tuple[int, ...], itemsize: int, problems: Problems) -> Grid:
    chunks = _of_object(chunks, problems)
    try:
        return normalize_chunks(chunks, shape, itemsize)
    except (TypeError, ValueError) as error:
        problems.add("chunks", str(error))
        return default_chunks(shape, itemsize)


def _of_object(chunks: Any, problems: Problems) -> Any:
    """Return what an object of zarr-python for the metadata of a chunk grid says."""
    if not callable(getattr(chunks, "to_dict", None)):
        return chunks
    return chunk_grid.parse(chunks.to_dict(), None, problems)


def _is_auto(given: Any) -> bool:
    return given is None or given is True or (isinstance(given, str) and given == "auto")


def _key_encoding(
    zarr_format: ZarrFormat, separator: Any, encoding: Any, problems: Problems
) -> dict[str, str]:
    name = "default" if zarr_format == 3 else "v2"
    if separator is not None and encoding is not None:
        message = "cannot be given together with 'chunk_key_encoding'"
        problems.add("dimension_separator", message)
    if encoding is not None:
        if isinstance(encoding, Mapping) and "separator" in encoding:  # zarr-python's short form
            encoding = {
                "name": encoding.get("name"),
                "configuration": {"separator": encoding["separator"]},
            }
        elif callable(getattr(encoding, "to_dict", None)):
            encoding = encoding.to_dict()
        found = v3.key_encoding(encoding, problems)
        name, separator = found.name, found.separator
        if zarr_format == 2 and name != "v2":
            problems.add("chunk_key_encoding", "Zarr v2 has only 'v2'; use zarr_format=3")
    if separator is None:
        separator = "/" if name == "default" else "."
    elif separator not in ("/", "."):
        problems.add("dimension_separator", f"expected '.' or '/', found {show(separator)}")
    return {"name": name, "separator": separator}


def _fill_value(
    value: object, dtype: DType, serializer: str | None, problems: Problems
) -> np.generic | None:
    if value is DEFAULT_FILL:
        return fill.default(dtype, serializer)
    try:
        return fill.from_user(value, dtype, serializer)
    except ValueError as error:
        problems.add("fill_value", str(error))
        return None


def _v3_data_type(dtype: DType, serializer: str | None, problems: Problems) -> JSON:
    try:
        return dtypes.to_v3(dtype, serializer)
    except ValueError as error:
        problems.add("dtype", str(error))
        return None
