"""Copies between decoded chunks and an array: the rows of a plan as one launch.

1. :class:`RowCopy` fixes what is constant over a call: the array, the chunk layout, the fill value.
2. ``add`` puts the rows of a wave into the wave's :class:`~cuzarr.cuda.memory.Tables`; ``launch``
   queues ``scatter_N`` or ``gather_N`` (``kernels/scatter.cu``) after they were sent.
3. Point lists are cut to those of the wave; lists of an orthogonal selection go up once per call.
4. ``places`` says which chunks can be decoded where they belong, in one piece or in rows, so that
   nothing is left to copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.kernels import tile_table
from cuzarr.cuda.memory import Tables
from cuzarr.cuda.runtime import DeviceBuffer, Runtime, Stream
from cuzarr.errors import DeviceError
from cuzarr.plan.chunk_plan import Axis, Int64, PlanRows

TILE_BYTES = 8192
ROW_UNIT = 16  #: bytes that are stored at a time, and never in two rows
_LEAST_RUN = 64  #: bytes of a row of a chunk that is decoded in rows
_ROW_POINTS = 8  #: points whose lists are as large as the tables of a row
MAX_AXES = 16
ITEM_SIZES = (1, 2, 4, 8, 16)
Pointers = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A strided array in device memory: what ``Runtime.describe`` says of it."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def extent(self) -> tuple[int, int]:
        """Lowest byte offset and end of the byte offsets that its elements occupy; it has some."""
        low = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s < 0)
        high = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s > 0)
        return low, high + self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """How a decoded chunk lies in device memory.

    Attributes
    ----------
    shape, strides : tuple of int
        Logical shape, and bytes between neighbours.
    nbytes : int
    swap : int
        Bytes per unit to reverse on the way (2, 4 or 8), 0 for none.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    nbytes: int
    swap: int

    @classmethod
    def native(cls, shape: tuple[int, ...], itemsize: int) -> ChunkLayout:
        """Return the layout of a C-contiguous chunk in native byte order."""
        strides = c_strides(shape, itemsize)
        nbytes = strides[0] * shape[0] if shape else itemsize
        return cls(shape, strides, nbytes, 0)

    @property
    def c_contiguous(self) -> bool:
        """Whether the flattened chunk is contiguous."""
        if not self.shape:
            return True
        expected = c_strides(self.shape, self.strides[-1])
        return (
            all(
                n == 1 or a == b for n, a, b in zip(self.shape, self.strides, expected, strict=True)
            )
            and self.nbytes == int(np.prod(self.shape)) * self.strides[-1]
        )


@dataclass(frozen=True, slots=True)
class Places:
    """Where decoded chunks belong in the array.

    Attributes
    ----------
    pointers : (n,) uint64 array
        Device pointer of the first element; 0 where a chunk cannot be decoded there.
    run : int
        Bytes of a chunk that lie in one piece.
    per : int
        Such pieces that lie ``stride`` bytes apart.
    stride : int
    plane : int
        Bytes between groups of ``per`` pieces.
    """

    pointers: Pointers
    run: int
    per: int
    stride: int
    plane: int

    @property
    def in_one_piece(self) -> bool:
        """Whether that is the whole chunk."""
        return self.per == 1


class RowCopy:
    """Scatter or gather of one call.

    Parameters
    ----------
    runtime : Runtime
    verb : {"scatter", "gather"}
    array : DeviceView
        The output, or the value; of ``plan.shape``, strides may be 0 in a gather.
    layout : ChunkLayout
    fill : bytes
        The fill value, one element in native byte order.
    first_bad : int
        Device pointer of the word that names a row out of bounds.
    """

    def __init__(
        self,
        runtime: Runtime,
        verb: Literal["scatter", "gather"],
        array: DeviceView,
        layout: ChunkLayout,
        fill: bytes,
        first_bad: int,
    ) -> None:
        itemsize = array.dtype.itemsize
        if len(array.shape) > MAX_AXES:
            raise DeviceError(f"{len(array.shape)} dimensions: a device copies at most {MAX_AXES}")
        self._runtime, self._array, self._layout = runtime, array, layout
        self._kernel = f"{verb}_{itemsize}"
        self._fill = np.frombuffer(fill * (16 // itemsize), np.uint64)
        self._first_bad = np.uint64(first_bad)
        self._lists: dict[int, tuple[DeviceBuffer, Int64, Int64]] = {}

    def prepare(self, axes: Sequence[Axis], stream: Stream) -> None:
        """Send the lists of an orthogonal selection up, once per call."""
        for a, axis in enumerate(axes):
            if axis.index is not None and axis.out_index is not None:
                both = np.concatenate((axis.index, axis.out_index))
                buffer = self._runtime.alloc(both.nbytes, stream)
                self._runtime.upload(buffer.ptr, both, both.nbytes, stream)
                self._lists[a] = (buffer, both, axis.index)

    def places(self, rows: PlanRows) -> Places | None:
        """Say where decoded chunks belong; None: none lies in the array in one piece or in rows."""
        array, layout = self._array, self._layout
        listed = rows.flat or any(table is not None for table in rows.lists)
        if listed or rows.first is not None or layout.swap or not layout.c_contiguous:
            return None
        itemsize = array.dtype.itemsize
        steps = zip(layout.shape, rows.step.tolist(), strict=True)
        if layout.nbytes != math.prod(layout.shape) * itemsize or any(
            n > 1 and step != 1 for n, step in steps
        ):
            return None
        folded = _folded(layout.shape, array.strides, itemsize)
        if folded is None:
            return None
        whole = (rows.count == np.array(layout.shape, np.int64)).all(axis=1)
        offsets = rows.out[whole] @ np.array(array.strides, np.int64)
        pointers = np.zeros(len(rows), np.uint64)
        pointers[whole] = (array.pointer + offsets).astype(np.uint64)
        return Places(pointers, *folded)

    def add(
        self,
        tables: Tables,
        rows: PlanRows,
        chunks: Pointers,
        done: npt.NDArray[np.bool_] | None = None,
    ) -> Launch:
        """Add the tables of ``rows``, but of those that are ``done`` already.

        ``chunks`` are device pointers per chunk, 0 where missing.
        """
        n, s = rows.count.shape
        chunks = chunks[rows.chunk_of()]
        itemsize = self._array.dtype.itemsize
        nbytes = rows.count.prod(axis=1) * itemsize
        if done is not None and done.any():
            nbytes = np.where(done, 0, nbytes)
        tiles = tile_table(nbytes, TILE_BYTES)
        if not tiles[-1]:
            return Launch({}, n, s, 0, 0)
        start, axes = rows.start, _axes(rows, self._layout, self._array)
        patches: list[tuple[int, int, int]] = []
        flat = 0
        if rows.flat:
            start = start - start.min(initial=np.iinfo(np.int64).max)
            low = int(rows.start.min(initial=np.iinfo(np.int64).max))
            high = int((rows.start + rows.count).max(initial=low))
            for column, values in zip((3, 4), rows.lists[0] or (), strict=True):
                patches.append((0, column, tables.add(values[low:high])))
            if not self._layout.c_contiguous:
                flat = len(self._layout.shape)
        else:
            for a, (buffer, _, inside) in self._lists.items():
                axes[a, 3], axes[a, 4] = buffer.ptr, buffer.ptr + inside.nbytes
        offsets = {
            "chunks": tables.add(chunks),
            "start": tables.add(start),
            "count": tables.add(rows.count),
            "out": tables.add(rows.out),
            "tiles": tables.add(tiles),
        }
        if flat:
            shape = np.array([self._layout.shape, self._layout.strides], np.int64).T
            offsets["flat"] = tables.add(shape)

        def patched() -> npt.NDArray[Any]:
            for a, column, offset in patches:
                axes[a, column] = int(tables.pointer(offset))
            return axes

        offsets["axes"] = tables.add_late(axes.nbytes, patched)
        return Launch(offsets, n, s, flat, int(tiles[-1]))

    def launch(self, tables: Tables, launch: Launch, base: int, stream: Stream) -> None:
        """Queue the copy of what ``add`` returned; its row 0 has number ``base`` in the call."""
        if launch.tasks == 0:
            return
        low, high = self._array.extent
        at = {name: tables.pointer(offset) for name, offset in launch.offsets.items()}
        args = (
            at["chunks"], at["start"], at["count"], at["out"], at["axes"],
            at.get("flat", np.uint64(0)), at["tiles"], np.int64(launch.n), np.int32(launch.axes),
            np.int32(launch.flat_axes), np.uint64(self._array.pointer), np.int64(low),
            np.int64(high), np.int64(self._layout.nbytes), self._fill[0], self._fill[1],
            np.int32(self._layout.swap), self._first_bad, np.uint64(base),
        )  # fmt: skip
        self._runtime.launch(self._kernel, -(-launch.tasks // 8), 256, args, stream)


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch whose tables were added."""

    offsets: dict[str, int]
    n: int
    axes: int
    flat_axes: int
    tasks: int


def split_rows(rows: PlanRows, points: int) -> list[tuple[slice, PlanRows]]:
    """Cut a wave so that each part lists at most ``points``, or holds one chunk.

    The tables of a row of boxes are counted as so many points.
    """
    if len(rows) == 0 or not (rows.flat or rows.first is not None):
        return [(slice(0, len(rows)), rows)]
    ends = np.cumsum(rows.count[:, 0]) if rows.first is None else _ROW_POINTS * rows.first[1:]
    parts, first = [], 0
    while first < len(rows):
        done = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + points, side="right")))
        parts.append((slice(first, last), rows.take(slice(first, last))))
        first = last
    return parts


def check_elements(dtype: np.dtype[Any]) -> None:
    """Raise ``DeviceError`` for elements that cannot be on a device."""
    if dtype.kind not in "biufc" or dtype.itemsize not in ITEM_SIZES or dtype.char in "gG":
        raise DeviceError(f"elements of type {dtype} cannot be on a device")


def c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides in bytes of a C-contiguous array."""
    strides = [itemsize] * len(shape)
    for a in range(len(shape) - 2, -1, -1):
        strides[a] = strides[a + 1] * shape[a + 1]
    return tuple(strides)


def _folded(
    shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> tuple[int, int, int, int] | None:
    """Fold the axes of a chunk to ``run``, ``per``, ``stride`` and ``plane`` of :class:`Places`."""
    run, outer = itemsize, list[tuple[int, int]]()
    for n, stride in zip(reversed(shape), reversed(strides), strict=True):
        if n == 1:
            continue
        if not outer and stride == run:
            run *= n
        elif outer and stride == outer[-1][0] * outer[-1][1]:
            outer[-1] = (outer[-1][0] * n, outer[-1][1])
        else:
            outer.append((n, stride))
    if not outer:
        return run, 1, 0, 0
    if len(outer) > 2 or run < _LEAST_RUN or run % ROW_UNIT:
        return None
    per, stride = outer[0]
    return run, per, stride, outer[1][1] if len(outer) == 2 else per * stride


def swap_unit(dtype: np.dtype[Any]) -> int:
    """Return the bytes per unit to reverse for native byte order, 0 for none."""
    if dtype.isnative or dtype.itemsize == 1:
        return 0
    return dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize


def _axes(rows: PlanRows, layout: ChunkLayout, array: DeviceView) -> npt.NDArray[np.int64]:
    axes = np.zeros((rows.count.shape[1], 5), np.int64)
    if rows.flat:
        axes[0, :3] = 1, array.dtype.itemsize, array.strides[0]
    elif len(axes):
        axes[:, 0], axes[:, 1], axes[:, 2] = rows.step, layout.strides, array.strides
    return axes
