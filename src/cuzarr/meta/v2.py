"""Zarr v2: ``.zarray``, ``.zgroup`` and ``.zattrs`` to and from specs.

1. :func:`parse_array` translates a ``.zarray`` to the v3-shaped :class:`ArraySpec` and keeps the
   document in it; what v2 allows and does not know (other fields) is ignored.
2. :func:`documents` writes a spec back. A field that still means what the kept document says is
   written as it was, so that opening and closing an array changes nothing.

Source: the Zarr storage specification version 2, and what its writers do in fact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from cuzarr.errors import MetadataError
from cuzarr.meta import codec_specs, dtypes, fill
from cuzarr.meta.problems import (
    Problems,
    attributes,
    chunk_bytes,
    chunk_lengths,
    integer,
    lengths,
    show,
)
from cuzarr.meta.spec import (
    JSON,
    WRITERS,
    ArraySpec,
    ChunkKeyEncoding,
    CodecSpec,
    GroupSpec,
    NodeSpec,
)

ZARRAY = ".zarray"
ZGROUP = ".zgroup"
ZATTRS = ".zattrs"


def parse_array(
    zarray: Mapping[str, JSON], zattrs: Mapping[str, JSON] | None, key: str
) -> ArraySpec:
    """Parse the documents of an array.

    Parameters
    ----------
    zarray : mapping
        The ``.zarray``.
    zattrs : mapping or None
        The ``.zattrs``, where there is one.
    key : str
        Store key of the ``.zarray``, for the error.

    Raises
    ------
    MetadataError
        Lists every problem of the document.
    """
    problems = Problems(key)
    try:
        return _parse_array(zarray, zattrs, problems)
    except RecursionError:
        problems.refuse("", "the document is nested too deeply")


def parse_group(
    zgroup: Mapping[str, JSON], zattrs: Mapping[str, JSON] | None, key: str
) -> GroupSpec:
    """Parse the documents of a group; raises ``MetadataError`` as :func:`parse_array` does."""
    problems = Problems(key)
    _format(zgroup, problems)
    attrs = attributes(zattrs, "attributes", problems)
    problems.raise_if_any()
    return GroupSpec(attrs, 2, dict(zgroup))


def documents(spec: NodeSpec) -> dict[str, dict[str, JSON]]:
    """Return the documents of a node by the last part of their key.

    ``.zattrs`` is among them only if there are attributes: whoever empties the attributes of a
    stored node deletes the key.
    """
    if isinstance(spec, ArraySpec):
        found = {ZARRAY: _zarray(spec)}
    else:
        found = {ZGROUP: {**spec.document, "zarr_format": 2}}
    if spec.attributes:
        found[ZATTRS] = dict(spec.attributes)
    return found


def as_one(spec: NodeSpec) -> dict[str, JSON]:
    """Return the documents of a node as one, with the attributes in it."""
    found = documents(spec)
    (name,) = found.keys() - {ZATTRS}
    return {**found[name], "attributes": dict(spec.attributes)}


WRITERS[2] = as_one


def v2_compressor(spec: ArraySpec) -> dict[str, JSON] | None:
    """Return the ``compressor`` of a v2 array, as stored."""
    compressor = _zarray(spec)["compressor"]
    return None if compressor is None else dict(compressor)


def v2_filters(spec: ArraySpec) -> list[dict[str, JSON]] | None:
    """Return the ``filters`` of a v2 array, as stored; None where there are none."""
    filters = _zarray(spec)["filters"]
    return [dict(entry) for entry in filters] if filters else None


def _parse_array(
    zarray: Mapping[str, JSON], zattrs: Mapping[str, JSON] | None, problems: Problems
) -> ArraySpec:
    _format(zarray, problems)
    shape = _required(zarray, "shape", problems, lengths)
    chunks = _chunks(zarray, shape, problems)
    order = _order(zarray, problems)
    separator = _separator(zarray, problems)
    attrs = attributes(zattrs, "attributes", problems)
    dtype = _required(zarray, "dtype", problems, dtypes.from_v2)
    fill_value, codecs = None, None
    if dtype is not None:
        codecs = _codecs(zarray, order, dtype, len(shape or ()), problems)
        serializer = codec_specs.serializer_name(codecs)
        if dtype.kind == "O" and serializer == "vlen-utf8":
            dtype = dtypes.STRING
        value = zarray.get("fill_value")
        fill_value = fill.from_json(value, dtype, serializer, 2, "fill_value", problems)
        if chunks is not None:
            chunk_bytes(chunks, dtype.itemsize, "chunks", problems)
    problems.raise_if_any()
    assert shape is not None
    assert chunks is not None
    assert dtype is not None
    assert codecs is not None
    return ArraySpec(
        shape=shape,
        dtype=dtype,
        chunk_shape=chunks,
        fill_value=fill_value,
        codecs=codecs,
        key_encoding=ChunkKeyEncoding("v2", separator),
        attributes=attrs,
        order=order,
        zarr_format=2,
        document=dict(zarray),
    )


def _zarray(spec: ArraySpec) -> dict[str, JSON]:
    raw = spec.document
    old = _stored(raw)
    alike = old if old is not None and old.dtype == spec.dtype else None
    new: dict[str, JSON] = {"zarr_format": 2}
    new["shape"] = list(spec.shape)
    new["chunks"] = list(spec.chunk_shape)
    if alike is not None:
        new["dtype"] = raw["dtype"]
    else:
        new["dtype"] = dtypes.to_v2(spec.dtype)
    if alike is not None and fill.same(alike.fill_value, spec.fill_value, spec.dtype):
        new["fill_value"] = raw.get("fill_value")
    else:
        new["fill_value"] = fill.to_json(spec.fill_value, spec.dtype, 2)
    if alike is not None and _as_chain(alike) == _as_chain(spec):
        new["order"] = raw.get("order", "C")
        new["compressor"] = raw.get("compressor")
        new["filters"] = raw.get("filters")
    else:
        compressor, filters, order = codec_specs.to_v2(spec.codecs, spec.ndim)
        new["order"] = spec.order if spec.ndim < 2 else order
        new["compressor"], new["filters"] = compressor, filters
    if old is None or raw.get("dimension_separator") or spec.key_encoding.separator != ".":
        new["dimension_separator"] = spec.key_encoding.separator
    # The order of the kept document, then what it did not have.
    return {**{name: new.get(name, value) for name, value in raw.items()}, **new}


def _stored(raw: Mapping[str, JSON]) -> ArraySpec | None:
    """Parse the kept document, if the spec was made of one."""
    if not raw:
        return None
    try:
        return parse_array(raw, None, ZARRAY)
    except MetadataError:
        return None


def _as_chain(spec: ArraySpec) -> tuple[Any, ...]:
    return spec.order, spec.codecs


def _required(document: Mapping[str, JSON], name: str, problems: Problems, parse: Any) -> Any:
    if name not in document:
        problems.add(name, "is missing")
        return None
    return parse(document[name], name, problems)


def _format(document: Mapping[str, JSON], problems: Problems) -> None:
    if "zarr_format" not in document:
        problems.add("zarr_format", "is missing")
    elif integer(document["zarr_format"]) != 2:
        problems.add("zarr_format", f"expected 2, found {show(document['zarr_format'])}")


def _chunks(
    zarray: Mapping[str, JSON], shape: tuple[int, ...] | None, problems: Problems
) -> tuple[int, ...] | None:
    if "chunks" not in zarray:
        problems.add("chunks", "is missing")
        return None
    return chunk_lengths(zarray["chunks"], "chunks", problems, shape)


def _order(zarray: Mapping[str, JSON], problems: Problems) -> Literal["C", "F"]:
    order = zarray.get("order", "C")
    if order == "F":
        return "F"
    if order != "C":
        problems.add("order", f"expected 'C' or 'F', found {show(order)}")
    return "C"


def _separator(zarray: Mapping[str, JSON], problems: Problems) -> Literal["/", "."]:
    separator = zarray.get("dimension_separator")
    if separator == "/":
        return "/"
    if separator not in (None, "."):
        problems.add("dimension_separator", f"expected '.' or '/', found {show(separator)}")
    return "."


def _codecs(
    zarray: Mapping[str, JSON],
    order: str,
    dtype: np.dtype[Any],
    ndim: int,
    problems: Problems,
) -> tuple[CodecSpec, ...]:
    compressor, filters = zarray.get("compressor"), zarray.get("filters")
    return codec_specs.from_v2(compressor, filters, order, dtype, ndim, problems)
