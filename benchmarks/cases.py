"""The cases: what is timed, on which layout, and what the right answer is.

1. :data:`LAYOUTS`: five ways to store the same field, and :data:`MORE_LAYOUTS` for a device.
2. :data:`CASES`, :data:`MORE_CASES`: an operation on a layout.
3. :class:`Inputs`: the random rows, points and windows, drawn once from a seed.
4. :func:`check` compares a result with the field itself, outside the timing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import Extent, Float32, Layout

WINDOW = 256
OPENS = 50


@dataclass(frozen=True, slots=True)
class Case:
    """One operation on one layout; ``operation`` is a key of :data:`OPERATIONS`."""

    name: str
    layout: str
    operation: str
    title: str


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("v2-blosc-1m", 2, 512, None, "blosc-lz4"),
        Layout("v3-zstd-1m", 3, 512, None, "zstd"),
        Layout("v3-blosc-64k", 3, 128, None, "blosc-zstd"),
        Layout("v3-shards", 3, 128, 2048, "zstd"),
        Layout("v3-raw-1m", 3, 512, None, "none"),
    )
}

#: Further layouts, for a device.
MORE_LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("v3-zstd-rows", 3, 32, None, "zstd", wide=True),
        Layout("v3-zstd-16m", 3, 2048, None, "zstd"),
        Layout("v3-blosc-bits", 3, 512, None, "blosc-zstd-bits"),
        Layout("v3-gzip-1m", 3, 512, None, "gzip"),
    )
}
ALL_LAYOUTS = LAYOUTS | MORE_LAYOUTS

#: Operations with their inputs in words.
OPERATIONS = {
    "full": "the whole array",
    "strided": "every fourth element along both axes",
    "rows": "200 random rows, one orthogonal selection",
    "points": "5000 random points, one coordinate selection",
    "windows": f"100 random {WINDOW} x {WINDOW} windows, one after another",
    "boxes": f"the same {WINDOW} x {WINDOW} windows in one call, where the library has one",
    "open": f"{OPENS} times a new array object",
    "write": "the whole array into an empty store",
}

CASES = {
    case.name: case
    for case in (
        Case("v2-blosc", "v2-blosc-1m", "full", "read v2 Blosc-lz4, 1 MiB chunks"),
        Case("v3-zstd", "v3-zstd-1m", "full", "read v3 zstd, 1 MiB chunks"),
        Case("v3-blosc-64k", "v3-blosc-64k", "full", "read v3 Blosc-zstd, 64 KiB chunks"),
        Case("shards", "v3-shards", "full", "read v3 64 KiB zstd chunks in 16 MiB shards"),
        Case("raw", "v3-raw-1m", "full", "read v3 uncompressed, 1 MiB chunks"),
        Case("strided", "v3-zstd-1m", "strided", "every fourth element of v3 zstd"),
        Case("rows-v2", "v2-blosc-1m", "rows", "200 rows of v2 Blosc-lz4"),
        Case("rows-shards", "v3-shards", "rows", "200 rows of the shards"),
        Case("points-v2", "v2-blosc-1m", "points", "5000 points of v2 Blosc-lz4"),
        Case("points-shards", "v3-shards", "points", "5000 points of the shards"),
        Case("windows-v2", "v2-blosc-1m", "windows", "100 windows of v2 Blosc-lz4"),
        Case("windows-shards", "v3-shards", "windows", "100 windows of the shards"),
        Case("boxes-v2", "v2-blosc-1m", "boxes", "100 boxes of v2 Blosc-lz4"),
        Case("boxes-shards", "v3-shards", "boxes", "100 boxes of the shards"),
        Case("open-v2", "v2-blosc-1m", "open", f"{OPENS} opens of the v2 array"),
        Case("open-shards", "v3-shards", "open", f"{OPENS} opens of the sharded array"),
        Case("write-zstd", "v3-zstd-1m", "write", "write v3 zstd, 1 MiB chunks"),
        Case("write-64k", "v3-blosc-64k", "write", "write v3 Blosc-zstd, 64 KiB chunks"),
        Case("write-shards", "v3-shards", "write", "write v3 64 KiB zstd chunks in 16 MiB shards"),
    )
}


MORE_CASES = {
    case.name: case
    for case in (
        Case("zstd-rows", "v3-zstd-rows", "full", "read v3 zstd, chunks of 32 whole rows"),
        Case("zstd-16m", "v3-zstd-16m", "full", "read v3 zstd, 16 MiB chunks"),
        Case("blosc-bits", "v3-blosc-bits", "full", "read v3 Blosc-zstd, bit shuffle, 1 MiB"),
        Case("gzip", "v3-gzip-1m", "full", "read v3 gzip, 1 MiB chunks"),
    )
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Random selections of an array.

    Attributes
    ----------
    rows : (200,) int64
        Sorted, no row twice (as many as there are, in a small array).
    points : two (5000,) int64 arrays
        In no order.
    corners : (100, 2) int64
        First corners of the windows.
    """

    rows: npt.NDArray[np.int64]
    points: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    corners: npt.NDArray[np.int64]

    @classmethod
    def draw(cls, shape: tuple[int, int], seed: int = 1) -> Inputs:
        """Draw the selections for an array of ``shape``."""
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(shape[0], min(200, shape[0]), replace=False))
        points = rng.integers(0, shape[0], 5000), rng.integers(0, shape[1], 5000)
        corners = rng.integers(0, np.array(shape) - WINDOW + 1, (100, 2))
        return cls(rows, points, corners)

    def windows(self) -> list[tuple[slice, slice]]:
        """Return the windows as pairs of slices."""
        return [
            (slice(i, i + WINDOW), slice(j, j + WINDOW))
            for i, j in self.corners.tolist()
        ]  # fmt: skip


def result_bytes(operation: str, size: Extent, inputs: Inputs) -> int:
    """Decoded bytes that an operation gives to the caller (0 for opening)."""
    return {
        "full": size.nbytes,
        "write": size.nbytes,
        "strided": -(-size.rows * size.tiles // 4) * -(-size.columns // 4) * 4,
        "rows": len(inputs.rows) * size.columns * 4,
        "points": len(inputs.points[0]) * 4,
        "windows": len(inputs.corners) * WINDOW * WINDOW * 4,
        "boxes": len(inputs.corners) * WINDOW * WINDOW * 4,
        "open": 0,
    }[operation]


def check(operation: str, result: Any, tile: Float32, size: Extent, inputs: Inputs) -> None:
    """Raise ``AssertionError`` unless ``result`` holds exactly the field's values.

    ``result`` is a NumPy or CuPy array, or a list of them for the windows (an array of them
    may stand for it); for "open" it is a (shape, dtype) pair. ``tile`` lives where the result does.
    """
    if operation == "open":
        assert tuple(result[0]) == size.shape, f"shape {result[0]}, expected {size.shape}"
        assert np.dtype(result[1]) == np.float32, f"dtype {result[1]}, expected float32"
    elif operation in ("full", "write"):
        assert result.shape == size.shape, f"{operation}: shape {result.shape}"
        _same(operation, result.reshape(-1, *tile.shape), tile[None])
    elif operation == "strided":
        rows = np.arange(0, size.shape[0], 4) % size.rows
        _same(operation, result, tile[_beside(tile, rows), ::4])
    elif operation == "rows":
        _same(operation, result, tile[_beside(tile, inputs.rows % size.rows)])
    elif operation == "points":
        i, j = inputs.points
        _same(operation, result, tile[_beside(tile, i % size.rows), _beside(tile, j)])
    else:
        _check_windows(result, tile, size, inputs)


def _check_windows(result: Sequence[Any], tile: Float32, size: Extent, inputs: Inputs) -> None:
    assert len(result) == len(inputs.corners), f"{len(result)} windows"
    for window, (rows, columns) in zip(result, inputs.windows(), strict=True):
        wanted = tile[_beside(tile, np.arange(rows.start, rows.stop) % size.rows), columns]
        _same(f"window at {rows.start}, {columns.start}", window, wanted)


def _beside(array: Any, index: npt.NDArray[np.int64]) -> Any:
    """Return an index where ``array`` lives."""
    if isinstance(array, np.ndarray):
        return index
    import cupy

    return cupy.asarray(index)


def _same(what: str, got: Any, wanted: Any) -> None:
    """Compare tile by tile, since a mask of the whole would be another array of its size."""
    assert got.dtype == np.float32, f"{what}: dtype {got.dtype}, expected float32"
    if wanted.ndim == 3:
        assert got.shape[1:] == wanted.shape[1:], f"{what}: shape {got.shape}"
        assert all(bool((part == wanted[0]).all()) for part in got), f"{what}: wrong values"
    else:
        assert got.shape == wanted.shape, f"{what}: shape {got.shape}, expected {wanted.shape}"
        assert bool((got == wanted).all()), f"{what}: wrong values"
