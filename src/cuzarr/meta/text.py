"""The text of metadata documents: strict JSON, errors with key and position.

1. :func:`load_json` turns the bytes of a key into an object, or says where they are wrong.
2. :func:`dump_json` writes an object with the indentation that other implementations use.
3. :func:`dump_shaped` writes the document of an array of which only the shape changes from call to
   call: the text around it is kept.

``NaN`` and ``Infinity`` literals are no JSON, but attributes of real stores hold them: they are
read and written, as Python's own ``json`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from cuzarr.errors import MetadataError
from cuzarr.meta.problems import show
from cuzarr.meta.spec import JSON

_KEPT_TEXT: Final = 2**16  #: characters; the text around the shape of larger documents is not kept


def load_json(data: bytes, key: str) -> dict[str, JSON]:
    """Parse the bytes of a metadata document.

    Parameters
    ----------
    data : bytes-like
        UTF-8, with or without a byte order mark.
    key : str
        Where they come from, for the error.

    Raises
    ------
    MetadataError
        Not UTF-8, not JSON, or not an object; the message has the position.
    """
    try:
        document = json.loads(bytes(data).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise MetadataError(key, [f"byte {error.start}: not UTF-8: {error.reason}"]) from None
    except json.JSONDecodeError as error:
        if not error.doc.strip():
            raise MetadataError(key, ["the document is empty"]) from None
        place = f"line {error.lineno} column {error.colno}"
        raise MetadataError(key, [f"{place}: not JSON: {error.msg}"]) from None
    except RecursionError:
        raise MetadataError(key, ["not JSON that can be read: nested too deeply"]) from None
    except ValueError as error:  # an integer with thousands of digits
        raise MetadataError(key, [f"not JSON that can be read: {error}"]) from None
    if not isinstance(document, dict):
        raise MetadataError(key, [f"expected a JSON object, found {show(document)}"])
    return document


def dump_json(document: JSON, key: str = "") -> bytes:
    """Write a metadata document; NumPy scalars and arrays become numbers and lists.

    Raises
    ------
    MetadataError
        A value in it, most likely an attribute, has no JSON form.
    """
    try:
        return json.dumps(document, indent=2, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise MetadataError(key, [f"cannot be written as JSON: {error}"]) from error


def dump_shaped(document: Mapping[str, JSON], shape: Sequence[int], key: str = "") -> bytes:
    """Write the metadata document of an array with another shape, as :func:`dump_json` would.

    Raises
    ------
    MetadataError
    """
    try:
        # Without indentation ``json`` is written in C; it is also what tells documents apart.
        compact = json.dumps({**document, "shape": None}, default=_plain)
        around = _around_shape(compact) if len(compact) <= _KEPT_TEXT else None
    except (TypeError, ValueError, RecursionError):
        around = None
    if around is None:
        return dump_json({**document, "shape": list(shape)}, key)
    before, after = around
    lengths = ",".join([f"\n    {length}" for length in shape])
    return f"{before}[{lengths}\n  ]{after}".encode() if shape else f"{before}[]{after}".encode()


@lru_cache(maxsize=64)
def _around_shape(compact: str) -> tuple[str, str]:
    """Return the indented text of a document before and after its shape, which is ``null``."""
    # A line break is never inside a string, and two spaces are the indentation of the top level.
    text = json.dumps(json.loads(compact), indent=2)
    before, mark, after = text.partition('\n  "shape": null')
    return before + mark.removesuffix("null"), after


def _plain(value: object) -> JSON:
    if isinstance(value, (np.bool_, np.integer, np.floating, np.str_)):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not a JSON value: {str(value)[:60]}")
