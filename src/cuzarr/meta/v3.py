"""Zarr v3: ``zarr.json`` to and from specs.

1. :func:`parse` reads the document of an array or group; every field is looked at, whatever is
   wrong with the others, and an unknown field is refused unless it says
   ``"must_understand": false``.
2. :func:`document` writes a spec back. A field that still means what the kept document says is
   written as it was, and so are the fields that were not understood.

Source: the Zarr core specification version 3.1. Codecs are checked for form only: which of them
exist, the registry knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from cuzarr.errors import MetadataError
from cuzarr.meta import chunk_grid, codec_specs, dtypes, fill
from cuzarr.meta.edges import Edges, largest
from cuzarr.meta.problems import (
    Problems,
    attributes,
    chunk_bytes,
    integer,
    is_list,
    lengths,
    named,
    show,
)
from cuzarr.meta.spec import JSON, WRITERS, ArraySpec, ChunkKeyEncoding, GroupSpec, NodeSpec

ZARR_JSON = "zarr.json"

_COMMON = ("zarr_format", "node_type", "attributes")
_ARRAY_FIELDS = (
    "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs",
    "dimension_names", "storage_transformers",
)  # fmt: skip
_REQUIRED = _ARRAY_FIELDS[:6]
#: No part of the specification, but every writer of groups has it.
_GROUP_FIELDS = ("consolidated_metadata",)
_SEPARATORS: dict[str, Literal["/", "."]] = {"default": "/", "v2": "."}


def parse(document: Mapping[str, JSON], key: str) -> NodeSpec:
    """Parse a ``zarr.json``.

    Parameters
    ----------
    document : mapping
    key : str
        Its store key, for the error.

    Raises
    ------
    MetadataError
        Lists every problem of the document.
    """
    problems = Problems(key)
    if integer(document.get("zarr_format")) != 3:
        found = show(document["zarr_format"]) if "zarr_format" in document else "none"
        problems.add("zarr_format", f"expected 3, found {found}")
    node_type = document.get("node_type")
    if node_type not in ("array", "group"):
        found = show(node_type) if "node_type" in document else "none"
        problems.refuse("node_type", f"expected 'array' or 'group', found {found}")
    try:
        return (_parse_array if node_type == "array" else _parse_group)(document, problems)
    except RecursionError:
        problems.refuse("", "the document is nested too deeply")


def document(spec: NodeSpec) -> dict[str, JSON]:
    """Return the ``zarr.json`` of a node."""
    new: dict[str, JSON] = {"zarr_format": 3}
    if isinstance(spec, ArraySpec):
        new["node_type"] = "array"
        new.update(_array_fields(spec))
    else:
        new["node_type"] = "group"
    new["attributes"] = dict(spec.attributes)
    kept = dict(spec.document)
    if "dimension_names" not in new and kept.get("dimension_names") is not None:
        del kept["dimension_names"]
    # The order of the kept document, then what it did not have.
    return {**{name: new.get(name, value) for name, value in kept.items()}, **new}


WRITERS[3] = document


def key_encoding(value: JSON, problems: Problems) -> ChunkKeyEncoding:
    """Parse a ``chunk_key_encoding``; the default one where it is wrong."""
    encoding = named(value, "chunk_key_encoding", problems)
    if encoding is None:
        return ChunkKeyEncoding()
    name, configuration = encoding
    if name not in _SEPARATORS:
        message = f"expected 'default' or 'v2', found {show(name)}"
        problems.add("chunk_key_encoding.name", message)
        return ChunkKeyEncoding()
    separator = configuration.get("separator", _SEPARATORS[name])
    if separator not in ("/", "."):
        message = f"expected '/' or '.', found {show(separator)}"
        problems.add("chunk_key_encoding.configuration.separator", message)
        return ChunkKeyEncoding()
    return ChunkKeyEncoding(cast("Literal['default', 'v2']", name), separator)


def _parse_group(document: Mapping[str, JSON], problems: Problems) -> GroupSpec:
    attrs = attributes(document.get("attributes"), "attributes", problems)
    _unknown_fields(document, (*_COMMON, *_GROUP_FIELDS), problems)
    consolidated = document.get("consolidated_metadata")
    if consolidated is not None and not isinstance(consolidated, Mapping):
        found = f"expected an object, found {show(consolidated)}"
        problems.add("consolidated_metadata", found)
    problems.raise_if_any()
    return GroupSpec(attrs, 3, dict(document))


def _parse_array(document: Mapping[str, JSON], problems: Problems) -> ArraySpec:
    for name in _REQUIRED:
        if name not in document:
            problems.add(name, "is missing")
    shape = chunks = codecs = dtype = serializer = fill_value = encoding = None
    if "shape" in document:
        shape = lengths(document["shape"], "shape", problems)
    if "data_type" in document:
        found = dtypes.from_v3(document["data_type"], "data_type", problems)
        if found is not None:
            dtype, serializer = found
            if "fill_value" in document:
                value = document["fill_value"]
                fill_value = fill.from_json(value, dtype, serializer, 3, "fill_value", problems)
    if "chunk_grid" in document:
        chunks = chunk_grid.parse(document["chunk_grid"], shape, problems)
    if "chunk_key_encoding" in document:
        encoding = key_encoding(document["chunk_key_encoding"], problems)
    if "codecs" in document:
        codecs = codec_specs.parse_v3(document["codecs"], "codecs", problems)
        given = codec_specs.serializer_name(codecs)
        if serializer and given and given.removeprefix("numcodecs.") != serializer:
            message = f"the data type needs the codec {serializer!r}, found {given!r}"
            problems.add("codecs", message)
    attrs = attributes(document.get("attributes"), "attributes", problems)
    names = _dimension_names(document.get("dimension_names"), shape, problems)
    _storage_transformers(document.get("storage_transformers"), problems)
    _unknown_fields(document, (*_COMMON, *_ARRAY_FIELDS), problems)
    if chunks is not None and dtype is not None:
        place = "chunk_grid.configuration.chunk_shape"
        chunk_bytes(tuple(map(largest, chunks)), dtype.itemsize, place, problems)
    problems.raise_if_any()
    assert shape is not None
    assert chunks is not None
    assert dtype is not None
    assert codecs is not None
    assert encoding is not None
    return ArraySpec(
        shape=shape,
        dtype=dtype,
        chunk_shape=tuple(map(largest, chunks)),
        fill_value=fill_value,
        codecs=codecs,
        key_encoding=encoding,
        attributes=attrs,
        dimension_names=names,
        document=dict(document),
        edges=chunks if any(isinstance(axis, Edges) for axis in chunks) else None,
    )


def _array_fields(spec: ArraySpec) -> dict[str, JSON]:
    raw = spec.document
    old = _stored(raw)
    alike = old if old is not None and old.dtype == spec.dtype else None
    serializer = codec_specs.serializer_name(spec.codecs)
    new: dict[str, JSON] = {"shape": list(spec.shape)}
    if alike is not None:
        new["data_type"] = raw["data_type"]
    else:
        new["data_type"] = dtypes.to_v3(spec.dtype, serializer)
    if old is not None and chunk_grid.same(raw["chunk_grid"], old, spec):
        new["chunk_grid"] = raw["chunk_grid"]
    else:
        new["chunk_grid"] = chunk_grid.document(spec.grid)
    if old is not None and old.key_encoding == spec.key_encoding:
        new["chunk_key_encoding"] = raw["chunk_key_encoding"]
    else:
        new["chunk_key_encoding"] = {
            "name": spec.key_encoding.name,
            "configuration": {"separator": spec.key_encoding.separator},
        }
    if alike is not None and fill.same(alike.fill_value, spec.fill_value, spec.dtype):
        new["fill_value"] = raw["fill_value"]
    else:
        value = spec.fill_value
        if value is None:
            value = fill.default(spec.dtype, serializer)
        new["fill_value"] = fill.to_json(value, spec.dtype, 3)
    if old is not None and old.codecs == spec.codecs:
        new["codecs"] = raw["codecs"]
    else:
        new["codecs"] = codec_specs.to_v3(spec.codecs)
    if spec.dimension_names is not None:
        new["dimension_names"] = list(spec.dimension_names)
    return new


def _stored(raw: Mapping[str, JSON]) -> ArraySpec | None:
    """Parse the kept document, if the spec was made of one."""
    if not raw:
        return None
    try:
        found = parse(raw, ZARR_JSON)
    except MetadataError:
        return None
    return found if isinstance(found, ArraySpec) else None


def _dimension_names(
    value: JSON, shape: tuple[int, ...] | None, problems: Problems
) -> tuple[str | None, ...] | None:
    if value is None:
        return None
    if not is_list(value):
        problems.add("dimension_names", f"expected a list, found {show(value)}")
        return None
    for i, name in enumerate(value):
        if name is not None and not isinstance(name, str):
            message = f"expected a string or null, found {show(name)}"
            problems.add(f"dimension_names[{i}]", message)
    if shape is not None and len(value) != len(shape):
        message = f"has {len(value)} names, but the array has {len(shape)} dimensions"
        problems.add("dimension_names", message)
    return tuple(value)


def _storage_transformers(value: JSON, problems: Problems) -> None:
    if value is None:
        return
    if not is_list(value):
        problems.add("storage_transformers", f"expected a list, found {show(value)}")
    elif not all(_optional(entry) for entry in value):
        problems.add("storage_transformers", f"none is supported, found {show(value)}")


def _optional(value: JSON) -> bool:
    """Whether an extension says that it need not be understood (v3 core, "Extension points")."""
    return isinstance(value, Mapping) and value.get("must_understand") is False


def _unknown_fields(
    document: Mapping[str, JSON], known: tuple[str, ...], problems: Problems
) -> None:
    for name, value in document.items():
        if name not in known and not _optional(value):
            problems.add(
                name, "is not a known field, and does not say that it need not be understood"
            )
