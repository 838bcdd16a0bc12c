"""Codecs of zarr-python, bound to a chunk, as a target of the engine.

1. The codecs say what they are as in a metadata document: v3 codecs by their dictionaries, the one
   codec that stands for a v2 array by the configurations of its filters and compressor.
2. What this library does not know, or zarr-python did not define, is not bound: such an array is
   zarr-python's own to decode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cuzarr.engine.target import Target, bind
from cuzarr.errors import CuzarrError
from cuzarr.meta import codec_specs
from cuzarr.meta.problems import Problems
from cuzarr.meta.spec import ArraySpec, CodecSpec
from cuzarr.storage.memory import MemoryStore

#: Data types that NumPy copies without a Python object per element.
_KINDS = "biufcmMSUV"
_PACKAGES = ("zarr", "numcodecs")
_KEY = "the codecs of a zarr array"


def bind_codecs(codecs: Sequence[Any], spec: Any) -> Target | None:
    """Bind codecs of zarr-python to chunks of its ``ArraySpec``; None where that cannot be."""
    dtype = spec.dtype.to_native_dtype()
    if dtype.kind not in _KINDS or dtype.hasobject or dtype.isbuiltin == 2:
        return None
    version_2 = len(codecs) == 1 and hasattr(codecs[0], "compressor")
    problems = Problems(_KEY)
    try:
        if version_2:
            chain = _from_v2(codecs[0], spec, dtype, problems)
        else:
            dtype = dtype.newbyteorder("=")
            chain = _from_v3(codecs, problems)
        problems.raise_if_any()
        if chain is None:
            return None
        fill: Any = None if spec.fill_value is None else np.array(spec.fill_value, dtype)[()]
        described = ArraySpec(spec.shape, dtype, spec.shape, fill, chain)
        return bind(described, MemoryStore(), "", _KEY, cache_indexes=False)
    except (CuzarrError, TypeError, ValueError):
        return None


def _from_v2(
    codec: Any, spec: Any, dtype: np.dtype[Any], problems: Problems
) -> tuple[CodecSpec, ...] | None:
    filters = list(codec.filters or ())
    if not all(map(_is_theirs, [*filters, *([codec.compressor] if codec.compressor else [])])):
        return None
    compressor = None if codec.compressor is None else codec.compressor.get_config()
    configs = [entry.get_config() for entry in filters] or None
    return codec_specs.from_v2(compressor, configs, spec.order, dtype, len(spec.shape), problems)


def _from_v3(codecs: Sequence[Any], problems: Problems) -> tuple[CodecSpec, ...] | None:
    if not all(map(_is_theirs, codecs)):
        return None
    return codec_specs.parse_v3([codec.to_dict() for codec in codecs], "codecs", problems)


def _is_theirs(codec: Any) -> bool:
    return type(codec).__module__.partition(".")[0] in _PACKAGES
