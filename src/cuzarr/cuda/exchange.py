"""What the exchange protocols say of an array of another library.

``__cuda_array_interface__`` (version 3 of Numba's documentation) has a flag for read-only memory in
its ``data``; DLPack has one from version 1.0 on, in the managed tensor that a capsule holds.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

_CAPSULE: Final = b"dltensor_versioned"
_READ_ONLY: Final = 1  #: DLPACK_FLAG_BITMASK_READ_ONLY
_FLAGS_OFFSET: Final = 24  #: of DLManagedTensorVersioned: behind version, context and deleter


def is_read_only(value: Any) -> bool:
    """Whether an array may only be read, as far as its library says so."""
    interface = getattr(value, "__cuda_array_interface__", None)
    if interface is not None and bool(interface["data"][1]):
        return True
    if not hasattr(value, "__dlpack__"):
        return False
    for more in ({"stream": -1}, {}):  # -1: nothing is to be ordered; not every library knows it
        try:
            return bool(_flags(value.__dlpack__(max_version=(1, 0), **more)) & _READ_ONLY)
        except (BufferError, RuntimeError, TypeError, ValueError):  # or older than 1.0
            continue
    return False


def _flags(capsule: Any) -> int:
    api = ctypes.pythonapi
    is_valid, pointer_of = api.PyCapsule_IsValid, api.PyCapsule_GetPointer
    is_valid.argtypes = pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
    pointer_of.restype = ctypes.c_void_p
    if not is_valid(capsule, _CAPSULE):
        return 0
    address = int(pointer_of(capsule, _CAPSULE))
    return ctypes.c_uint64.from_address(address + _FLAGS_OFFSET).value
