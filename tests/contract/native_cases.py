"""Both implementations of the native functions, and how tests hand memory to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr import native
from cuzarr.native.calls import Calls

TWIN = native.twin_calls()
NATIVE = native.native_calls(native.extension) if native.extension is not None else None

both = pytest.mark.parametrize(
    "calls",
    [
        pytest.param(TWIN, id="twin"),
        pytest.param(
            NATIVE,
            id="native",
            marks=pytest.mark.skipif(NATIVE is None, reason="the C extension was not built"),
        ),
    ],
)


def bytes_column(values: list[bytes | None]) -> tuple[list[Any], Any, Any]:
    """Return arrays that own the bytes, their addresses (None = 0), their sizes."""
    # One byte of room, so that empty values have an address too.
    kept = [None if v is None else np.frombuffer(v + b"\0", np.uint8).copy() for v in values]
    ptrs = np.array([0 if k is None else k.ctypes.data for k in kept], np.uint64)
    sizes = np.array([0 if v is None else len(v) for v in values], np.int64)
    return kept, ptrs, sizes


def decode(
    calls: Calls,
    codec: str,
    values: list[bytes | None],
    size: int,
    *,
    crc32c: bool = False,
    lo: list[int] | None = None,
    hi: list[int] | None = None,
) -> tuple[list[int], list[bytes]]:
    """Decode values; destinations are filled with 0xA5 before, and guarded on both sides."""
    _kept, ptrs, sizes = bytes_column(values)
    guard = 64
    room = [np.full(size + 2 * guard, 0xA5, np.uint8) for _ in values]
    targets = np.array([r.ctypes.data + guard for r in room], np.uint64)
    statuses = calls.decode_batch(
        codec, crc32c, ptrs, sizes, targets, size,
        None if lo is None else np.array(lo, np.int64),
        None if hi is None else np.array(hi, np.int64),
    )  # fmt: skip
    for r in room:
        assert (r[:guard] == 0xA5).all()
        assert (r[guard + size :] == 0xA5).all()
    return statuses.tolist(), [r[guard : guard + size].tobytes() for r in room]
