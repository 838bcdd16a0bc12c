"""The text of metadata documents: strict JSON, errors with key and position.

1. :func:`load_json` turns the bytes of a key into an object, or says where they are wrong.
2. :func:`dump_json` writes an object with the indentation that other implementations use.

``NaN`` and ``Infinity`` literals are no JSON, but attributes of real stores hold them: they are
read and written, as Python's own ``json`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from cuzarr.errors import MetadataError
from cuzarr.meta.problems import show
from cuzarr.meta.spec import JSON


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


def _plain(value: object) -> JSON:
    if isinstance(value, (np.bool_, np.integer, np.floating, np.str_)):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufU":
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is not a JSON value: {str(value)[:60]}")
