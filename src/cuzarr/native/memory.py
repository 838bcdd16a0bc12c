"""Memory that is given by address."""

from __future__ import annotations

import ctypes


def memory(address: int, size: int) -> memoryview:
    """Wrap ``size`` bytes at an address."""
    if size == 0:
        return memoryview(bytearray())
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")
