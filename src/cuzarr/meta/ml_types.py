"""The data types of the package ``ml_dtypes``: bfloat16, small floats, small integers.

Their names are those of the zarr-extensions registry, in both formats (TensorStore puts the same
names in v2 documents). To NumPy they are foreign: ``dtype.kind`` is mostly "V", and byte orders
do not exist.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from cuzarr.meta.problems import Problems

DType: TypeAlias = np.dtype[Any]

PACKAGE = "ml_dtypes"
#: Bits of an element by name; each is stored in whole bytes unless ``packbits`` packs it.
BITS = {
    "int2": 2, "uint2": 2, "int4": 4, "uint4": 4,
    "float4_e2m1fn": 4, "float6_e2m3fn": 6, "float6_e3m2fn": 6,
    "float8_e3m4": 8, "float8_e4m3": 8, "float8_e4m3b11fnuz": 8, "float8_e4m3fn": 8,
    "float8_e4m3fnuz": 8, "float8_e5m2": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8,
    "bfloat16": 16,
}  # fmt: skip
_SIGNED, _UNSIGNED = ("int2", "int4"), ("uint2", "uint4")


def is_ml(dtype: DType) -> bool:
    """Whether a dtype is one of these."""
    return dtype.type.__module__ == PACKAGE


def is_integer(dtype: DType) -> bool:
    """Whether a dtype of these holds integers."""
    return dtype.name in _SIGNED or dtype.name in _UNSIGNED


def integer_limits(dtype: DType) -> tuple[int, int]:
    """Return the smallest and the largest integer."""
    bits = BITS[dtype.name]
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype.name in _SIGNED else (0, 2**bits - 1)


def from_name(name: str, place: str, problems: Problems) -> DType | None:
    """Return the dtype of a name of :data:`BITS`."""
    try:
        import ml_dtypes  # noqa: PLC0415  # optional
    except ImportError:
        problems.add(
            place, f"the data type {name!r} needs the package ml_dtypes: pip install ml-dtypes"
        )
        return None
    found = getattr(ml_dtypes, name, None)
    if found is None:
        version = ml_dtypes.__version__
        problems.add(place, f"the data type {name!r} is unknown to ml_dtypes {version}")
        return None
    dtype: DType = np.dtype(found)
    return dtype
