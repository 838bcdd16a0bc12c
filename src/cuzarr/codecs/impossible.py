"""Bytes that no element of a data type may have, which a corrupt chunk can hold.

NumPy takes any bytes for booleans and texts, and fails or misleads later: a boolean of 2 is neither
equal to True nor to False, and a code point above 0x10FFFF raises where the text is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_LAST_CODE_POINT = 0x10FFFF


def may_be_impossible(dtype: np.dtype[Any]) -> bool:
    """Whether some bytes are no element of a data type."""
    if dtype.subdtype is not None:
        return may_be_impossible(dtype.subdtype[0])
    if dtype.names is not None:
        return any(may_be_impossible(dtype[name]) for name in dtype.names)
    return dtype.kind in "bU" and dtype.itemsize > 0


def what_is_impossible(array: npt.NDArray[Any]) -> str:
    """Say what an array holds that cannot be, or return ""."""
    dtype = array.dtype
    if array.size == 0 or not may_be_impossible(dtype):
        return ""
    if dtype.names is not None:
        found = (what_is_impossible(array[name]) for name in dtype.names)
        return next((text for text in found if text), "")
    if dtype.kind == "b":
        most = int(array.view(np.uint8).max())
        return f"a boolean has the value {most}" if most > 1 else ""
    order = ">" if dtype.str[0] == ">" else "<"
    most = int(array.view(np.dtype((f"{order}u4", (dtype.itemsize // 4,)))).max())
    return f"a text has the code point {most:#x}" if most > _LAST_CODE_POINT else ""
