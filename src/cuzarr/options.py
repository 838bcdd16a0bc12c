"""Spellings of zarr-python 2, of h5py and of remote stores, as this library spells them.

1. :func:`open_options` takes what functions that open and create have in common.
2. :func:`create_options` takes what describes a new array.
3. :func:`refuse_unknown` refuses every other name: a misspelt option must not be passed over.

What an option asked for and cuzarr does anyway, or has no use for, is dropped; what would be
missed is refused, with what to use instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

import numcodecs

from cuzarr.meta.spec import ZarrFormat

# Caches of metadata, partial decompression: the results are the same with and without.
_NEEDLESS: Final = ("cache_metadata", "cache_attrs", "partial_decompress", "expand")
_REFUSED: Final = {
    "synchronizer": "chunks are replaced whole; let one writer at a time write to a chunk",
    "chunk_store": "metadata and chunks live in one store; pass a mapping that sends each key to "
    "its place",
    "meta_array": "use device= to choose between NumPy and CuPy results",
    "storage_options": "give them where the store is opened, with its URL",
    "storage_transformers": "this version knows none",
}
_MAY_BE_EMPTY: Final = ("storage_options", "storage_transformers")
# Of h5py's create_dataset; zarr-python 2 ignores them too, with a warning.
_H5PY: Final = ("fletcher32", "scaleoffset", "track_times", "maxshape", "shuffle")
#: What :func:`create_options` translates or refuses.
FOREIGN: Final = (*_H5PY, "fillvalue", "compression", "compression_opts", "chunk_shape")


def open_options(
    zarr_format: ZarrFormat | None, options: dict[str, Any]
) -> tuple[ZarrFormat | None, dict[str, Any]]:
    """Return the format and the options that are left.

    Raises
    ------
    TypeError
        An option would be missed; the message says what to use.
    """
    left = {name: value for name, value in options.items() if name not in _NEEDLESS}
    for name, instead in _REFUSED.items():
        given = left.pop(name, None)
        if given is not None and (name not in _MAY_BE_EMPTY or given):
            raise TypeError(f"{name}= is not supported: {instead}")
    version = left.pop("zarr_version", None)
    if version is not None and zarr_format is not None and version != zarr_format:
        raise TypeError(f"zarr_version={version} and zarr_format={zarr_format} disagree")
    return zarr_format or version, left


def create_options(options: dict[str, Any], default_compressor: Any) -> dict[str, Any]:
    """Return the options of a new array.

    Parameters
    ----------
    options : dict
    default_compressor : codec or None
        What ``compressor="default"`` means.

    Raises
    ------
    TypeError, ValueError
    """
    _, left = open_options(None, options)
    for name in _H5PY:
        if left.pop(name, None):
            raise TypeError(f"{name}= is h5py's: use filters= and compressors=")
    if "fillvalue" in left:
        left["fill_value"] = left.pop("fillvalue")
    if "compression" in left:
        left["compressor"] = _compression(left.pop("compression"), left.pop("compression_opts", ()))
    if "chunk_shape" in left:
        left["chunks"] = left.pop("chunk_shape")
    if left.get("compressor") == "default":
        left["compressor"] = default_compressor
    if left.get("object_codec", 0) is None:
        del left["object_codec"]
    return left


def refuse_unknown(function: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Raise ``TypeError`` for an option that is neither known nor one of :func:`open_options`.

    Parameters
    ----------
    function : str
        As the user calls it.
    options, known : iterable of str
    """
    names = {*known, *_NEEDLESS, *_REFUSED, "zarr_version"}
    for name in options:
        if name not in names:
            near = get_close_matches(name, sorted(names), 1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function} has no parameter {name!r}{hint}")


def _compression(name: Any, arguments: Any) -> Any:
    """Return the codec of h5py's ``compression`` and ``compression_opts``."""
    if not isinstance(name, str) or name in ("default", "auto"):
        return name
    codec = numcodecs.registry.codec_registry.get(name)
    if codec is None:
        numcodecs.get_codec({"id": name})  # raises, and says which codec is missing
    if isinstance(arguments, dict):
        return codec(**arguments)
    return codec(*(arguments if isinstance(arguments, (tuple, list)) else (arguments,)))
