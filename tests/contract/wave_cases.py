"""Stored arrays and random selections for the tests of ``read_wave``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

from cuzarr import native
from cuzarr.native.calls import Calls
from cuzarr.native.tables import WaveChunks
from cuzarr.plan import plan_basic, plan_boxes, plan_coordinate, plan_mask, plan_orthogonal
from cuzarr.plan.chunk_plan import ChunkPlan, PlanRows
from cuzarr.storage.base import RequestBatch
from tests.contract.blosc_writer import blosc_container
from tests.contract.native_cases import bytes_column

CODECS = ("raw", "blosc", "zstd", "lz4")
DTYPES = ("<f4", "<f8", "<u2", "|i1", "<c16", ">f4", ">i8", ">c8", "|V3")


def encode(codec: str, data: bytes, itemsize: int, *, crc32c: bool, blocksize: int = 0) -> bytes:
    """Return an encoded chunk."""
    if codec == "blosc":
        blocksize -= blocksize % itemsize
        if 0 < blocksize <= len(data):
            data = blosc_container(data, typesize=itemsize, blocksize=blocksize, shuffle=1)
        else:
            coder = numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE)
            data = bytes(coder.encode(np.frombuffer(data, f"V{itemsize}")))
    elif codec != "raw":
        data = bytes((numcodecs.Zstd(3) if codec == "zstd" else numcodecs.LZ4()).encode(data))
    return data + native.crc32c(data).to_bytes(4, "little") if crc32c else data


@dataclass
class Stored:
    """An array in encoded chunks, and what must be known to read it."""

    values: Any  #: with the fill value where a chunk is missing
    chunk_shape: tuple[int, ...]
    codec: str = "raw"
    crc32c: bool = False
    order: str = "C"
    fill: Any = None
    encoded: dict[tuple[int, ...], bytes | None] = field(default_factory=dict)

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    def write(self, missing: float, rng: np.random.Generator, blocksize: int = 0) -> Stored:
        """Encode every chunk, but for a share that is missing."""
        self.fill = np.zeros((), self.dtype) if self.fill is None else self.fill
        grid = [-(-n // c) for n, c in zip(self.values.shape, self.chunk_shape, strict=True)]
        for coords in np.ndindex(*grid):
            place = tuple(
                slice(k * c, (k + 1) * c) for k, c in zip(coords, self.chunk_shape, strict=True)
            )
            if rng.random() < missing:
                self.encoded[coords] = None
                self.values[place] = self.fill
                continue
            part = self.values[place]
            chunk = np.zeros(self.chunk_shape, self.dtype, order=self.order)  # type: ignore[call-overload]
            chunk[tuple(slice(n) for n in part.shape)] = part
            self.encoded[coords] = encode(
                self.codec, chunk.tobytes(self.order), self.dtype.itemsize, crc32c=self.crc32c,  # type: ignore[arg-type]
                blocksize=blocksize,
            )  # fmt: skip
        return self

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.chunk_shape)) * self.dtype.itemsize

    def chunks(self, out: Any, *, limit: int | None = None, in_place: bool = False) -> WaveChunks:
        """Return what the chunks have in common."""
        flat = out.ndim < self.values.ndim
        boxes = (1,) * (out.ndim - self.values.ndim)
        strides = np.empty(self.chunk_shape, self.dtype, order=self.order).strides  # type: ignore[call-overload]
        if boxes:
            strides = (0, *strides)
        swap = 0 if self.dtype == out.dtype else self.dtype.itemsize
        return WaveChunks(
            self.codec, self.crc32c, self.nbytes,
            2 * self.nbytes + 65536 if limit is None else limit,
            np.array(boxes + self.chunk_shape, np.int64) if in_place else None,
            np.array([self.dtype.itemsize] if flat else strides, np.int64), self.dtype.itemsize,
            swap // 2 if self.dtype.kind == "c" else swap,
            np.asarray(self.fill).astype(out.dtype).tobytes(),
        )  # fmt: skip

    def files(self, root: Path, rows: PlanRows) -> tuple[Any, ...]:
        """Write the chunks that rows touch as files and return the source."""
        keys = []
        for coords in map(tuple, rows.coords.tolist()):
            key = "/".join(["c", *map(str, coords)])
            keys.append(key)
            data = self.encoded[coords]
            if data is not None:
                (root / key).parent.mkdir(parents=True, exist_ok=True)
                (root / key).write_bytes(data)
        return file_source(root, RequestBatch.of(keys))

    def memory(self, rows: PlanRows) -> tuple[Any, Any]:
        """Return what owns the chunks that rows touch, and the source."""
        kept, ptrs, sizes = bytes_column([self.encoded[tuple(c)] for c in rows.coords.tolist()])
        return kept, (ptrs, sizes)


def file_source(root: Path | str, batch: RequestBatch) -> tuple[Any, ...]:
    """Return the source of a batch."""
    return str(root), batch.keys, batch.offsets, batch.starts, batch.lengths


def read(
    calls: Calls, source: Any, chunks: WaveChunks, rows: PlanRows, out: Any,
    *, present: Any = None, threads: int = 1,
) -> list[int]:  # fmt: skip
    """Read into ``out`` and return the statuses."""
    statuses = calls.read_wave(
        source, np.ones(len(rows), np.bool_) if present is None else present, chunks,
        rows.start, rows.count, rows.out, rows.step, rows.lists, out.ctypes.data,
        np.array(out.strides, np.int64), threads, rows.first,
    )  # fmt: skip
    return statuses.tolist()  # type: ignore[no-any-return]


def all_rows(plan: ChunkPlan) -> PlanRows:
    """Return every row of a plan."""
    return plan.rows(0, plan.n_chunks)


def random_values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    """Return values that compress to about a half."""
    n = int(np.prod(shape))
    pool = rng.integers(0, 256, (50, np.dtype(dtype).itemsize), dtype=np.uint8)
    chosen = np.repeat(rng.integers(0, 50, n // 8 + 1), 8)[:n]
    return pool[chosen].view(dtype).reshape(shape).copy()


def stacked(array: Any, starts: Any, box: tuple[int, ...]) -> Any:
    """Return boxes of a NumPy array, along a new first axis."""
    found = np.empty((len(starts), *box), array.dtype)
    for i, start in enumerate(np.asarray(starts).tolist()):
        found[i] = array[tuple(slice(a, a + n) for a, n in zip(start, box, strict=True))]
    return found


def random_plan(
    rng: np.random.Generator, shape: tuple[int, ...], chunk_shape: tuple[int, ...]
) -> tuple[ChunkPlan, Any]:
    """Return a plan, and a function from the array to what it selects (in the plan's shape)."""
    kind = int(rng.integers(0, 5))
    if kind == 0:
        parts = []
        for n in shape:
            a, b = sorted(rng.integers(0, n + 1, 2).tolist())
            step = int(rng.choice([1, 1, 1, 2, 5, -1, -3]))
            parts.append(slice(a, b, step) if step > 0 else slice(b - 1 if b else None, a, step))
        key = tuple(parts)
        return plan_basic(key, shape, chunk_shape), lambda array: array[key]
    if kind == 1:
        lists = tuple(np.sort(rng.integers(0, n, int(rng.integers(1, 9)))) for n in shape)
        if rng.random() < 0.5:
            lists = tuple(rng.permutation(index) for index in lists)
        return plan_orthogonal(lists, shape, chunk_shape), lambda array: array[np.ix_(*lists)]
    if kind == 2:
        points = tuple(rng.integers(0, n, 40) for n in shape)
        return plan_coordinate(points, shape, chunk_shape), lambda array: array[points]
    if kind == 3:
        box = tuple(int(rng.integers(1, n + 1)) for n in shape)
        if rng.random() < 0.3:
            box = tuple(min(8, n) for n in box)
        starts = rng.integers(0, np.array(shape) - box + 1, (int(rng.integers(1, 9)), len(shape)))
        return plan_boxes(starts, box, shape, chunk_shape), lambda array: stacked(
            array, starts, box
        )
    mask = rng.random(shape) < 0.01
    return plan_mask(mask, shape, chunk_shape), lambda array: array[mask]


def bits(array: Any) -> bytes:
    """Return the bytes in C order: NaNs must be equal too."""
    return np.ascontiguousarray(array).tobytes()
