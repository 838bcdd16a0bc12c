"""Collect every problem of a metadata document, then raise once.

1. A parser makes one :class:`Problems` per document and hands it to every field's parser.
2. A field that is wrong is added with its place (``chunk_grid.configuration.chunk_shape[1]``) and
   parsed as None, so that the fields after it are still looked at.
3. ``raise_if_any`` raises one :class:`~cuzarr.errors.MetadataError` that lists them all.

The free functions below parse the forms that many fields share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn, cast

from cuzarr.errors import MetadataError
from cuzarr.meta.spec import JSON

MAX_LENGTH = 2**63 - 1  #: of a dimension: offsets are int64
MAX_NDIM = 63  #: of NumPy, less the one that a shard index has on top
_SHOWN = 60


class Problems:
    """The problems of one document.

    Parameters
    ----------
    key : str
        Store key of the document.
    """

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.found: list[str] = []

    def add(self, place: str, message: str) -> None:
        """Note what is wrong at a place of the document."""
        self.found.append(f"{place}: {message}" if place else message)

    def refuse(self, place: str, message: str) -> NoReturn:
        """Note one more problem and raise them all."""
        self.add(place, message)
        raise self.error()

    def raise_if_any(self) -> None:
        """Raise ``MetadataError`` if there is any problem."""
        if self.found:
            raise self.error()

    def error(self) -> MetadataError:
        """Return the error that lists them all."""
        return MetadataError(self.key, self.found)


def show(value: JSON) -> str:
    """Return a JSON value as text short enough for a message."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return _cut(text)


def brief(value: object) -> str:
    """Return the ``repr`` of a value, short enough for a message."""
    return _cut(repr(value))


def integer(value: JSON) -> int | None:
    """Return a JSON integer, or None: ``true`` is not an integer, and neither is ``1.0``."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def is_list(value: JSON) -> bool:
    """Whether the value is a JSON array."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def lengths(
    value: JSON, place: str, problems: Problems, *, minimum: int = 0
) -> tuple[int, ...] | None:
    """Parse a shape: an array of integers, none below ``minimum``."""
    if not is_list(value):
        problems.add(place, f"expected an array of integers, found {show(value)}")
        return None
    if len(value) > MAX_NDIM:
        problems.add(place, f"at most {MAX_NDIM} dimensions are supported, found {len(value)}")
        return None
    parsed = []
    for i, element in enumerate(value):
        length = integer(element)
        if length is None:
            problems.add(f"{place}[{i}]", f"expected an integer, found {show(element)}")
        elif length < minimum:
            problems.add(f"{place}[{i}]", f"must be at least {minimum}, found {length}")
        elif length > MAX_LENGTH:
            problems.add(f"{place}[{i}]", "is larger than 2**63 - 1")
        else:
            parsed.append(length)
    return tuple(parsed) if len(parsed) == len(value) else None


def chunk_lengths(
    value: JSON, place: str, problems: Problems, shape: tuple[int, ...] | None
) -> tuple[int, ...] | None:
    """Parse a chunk shape that has as many dimensions as ``shape``.

    Along an axis of length zero a chunk may have no length either (writers of v2 made it as long
    as the axis, v3 allows it). No such chunk can have been stored: it is taken as one of length 1.
    """
    if shape is not None and is_list(value) and len(value) == len(shape):
        value = [
            1 if length == 0 and integer(chunk) == 0 else chunk
            for chunk, length in zip(value, shape, strict=True)
        ]
    chunks = lengths(value, place, problems, minimum=1)
    if chunks is not None and shape is not None and len(chunks) != len(shape):
        problems.add(place, f"has {len(chunks)} dimensions, but the array has {len(shape)}")
        return None
    return chunks


def chunk_bytes(chunks: tuple[int, ...], itemsize: int, place: str, problems: Problems) -> None:
    """Refuse a chunk whose size in bytes no int64 could hold."""
    size = itemsize
    for length in chunks:
        size *= length
    if size > MAX_LENGTH:
        problems.add(place, f"one chunk would be {size} bytes, more than 2**63 - 1")


def attributes(value: JSON, place: str, problems: Problems) -> dict[str, JSON]:
    """Parse user attributes; absent ones are empty."""
    if isinstance(value, Mapping):
        return dict(value)
    if value is not None:
        problems.add(place, f"expected an object, found {show(value)}")
    return {}


def named(value: JSON, place: str, problems: Problems) -> tuple[str, Mapping[str, JSON]] | None:
    """Parse a v3 extension: ``{"name", "configuration"}``, or a string for a name alone."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping):
        problems.add(place, f"expected a name or an object with a name, found {show(value)}")
        return None
    name = value.get("name")
    configuration = value.get("configuration", {})
    before = len(problems.found)
    if not isinstance(name, str):
        what = f"found {show(name)}" if "name" in value else "found none"
        problems.add(f"{place}.name", f"expected a string, {what}")
    if not isinstance(configuration, Mapping):
        problems.add(f"{place}.configuration", f"expected an object, found {show(configuration)}")
    for extra in value:
        if extra not in ("name", "configuration", "must_understand"):
            problems.add(f"{place}.{extra}", "is not known here")
    return None if len(problems.found) > before else (cast("str", name), configuration)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
