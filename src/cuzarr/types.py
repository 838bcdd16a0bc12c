"""Names for annotations, under the import path of zarr-python.

One class stands for arrays of both formats here, so the names that tell them apart are the same.
"""

from typing import Any, TypeAlias

from cuzarr.aio import AsyncArray
from cuzarr.array import Array
from cuzarr.meta.spec import JSON, ZarrFormat

AnyArray: TypeAlias = Array
ArrayV2: TypeAlias = Array
ArrayV3: TypeAlias = Array
AnyAsyncArray: TypeAlias = AsyncArray
AsyncArrayV2: TypeAlias = AsyncArray
AsyncArrayV3: TypeAlias = AsyncArray
DTypeJSON: TypeAlias = str | dict[str, Any]
DTypeConfig_V2: TypeAlias = dict[str, Any]

__all__ = [
    "JSON",
    "AnyArray",
    "AnyAsyncArray",
    "ArrayV2",
    "ArrayV3",
    "AsyncArrayV2",
    "AsyncArrayV3",
    "DTypeConfig_V2",
    "DTypeJSON",
    "ZarrFormat",
]
