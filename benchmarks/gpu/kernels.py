"""Part "kernels": each kernel alone, as a share of the bandwidth of a device copy.

1. A copy of the same bytes from device to device is the measure: read and written once.
2. scatter and gather: all chunks of an array and all its elements, by the length of the runs that
   are contiguous on both sides; then byte order, transposition, missing chunks, steps.
3. The unshuffles and the copy of segments, over as many bytes.

Every result is compared with the array that it must give.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.gpu.part import Part

ROUNDS = 5
BYTES = 1 << 30
BLOCK = 1 << 17  #: of what is unshuffled, and of segments


@dataclass(frozen=True, slots=True)
class Rows:
    """One way of scattering: an array of ``columns``, in chunks."""

    name: str
    dtype: str
    columns: int
    chunk: tuple[int, int]
    transposed: bool = False
    step: int = 1
    missing: bool = False


ROWS = (
    Rows("runs of 16 bytes", "<f4", 8192, (4096, 4)),
    Rows("runs of 64 bytes", "<f4", 8192, (1024, 16)),
    Rows("runs of 256 bytes", "<f4", 8192, (256, 64)),
    Rows("runs of 512 bytes", "<f4", 8192, (128, 128)),
    Rows("runs of 2 KiB", "<f4", 8192, (512, 512)),
    Rows("runs of 2 KiB, swapped", ">f4", 8192, (512, 512)),
    Rows("runs of 516 bytes", "<f4", 8256, (128, 129)),
    Rows("runs of 512 bytes, 1 byte each", "|u1", 8192, (512, 512)),
    Rows("whole chunks", "<f4", 1024, (256, 1024)),
    Rows("fill", "<f4", 8192, (512, 512), missing=True),
    Rows("every second row", "<f4", 8192, (512, 512), step=2),
    Rows("transposed", "<f4", 8192, (512, 512), transposed=True),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    part = Part("kernels", arguments)
    part.document["errors"] = []
    part.document["kernels"] = {}
    if part.device.dry_run:
        part.document["missing"] = {"kernels": "a dry run has no device to run them on"}
        return part.finish()
    bench = _Bench(part)
    for rows in ROWS:
        bench.rows(rows)
    for kind in ("blosc_unshuffle", "blosc_bitunshuffle"):
        for typesize in (2, 4, 8):
            bench.unshuffle(kind, typesize)
        bench.unshuffle_to_rows(kind)
    for shift in (0, 1):
        bench.segments(shift)
    for name, found in part.document["kernels"].items():
        print(f"{name:40} {found['gbs']:7.0f} GB/s  {100 * found['of_copy']:4.0f} % of a copy")
    return part.finish()


class _Bench:
    """The device, and what is known to be right."""

    def __init__(self, part: Part) -> None:
        from cuzarr.cuda.cupy_runtime import CupyRuntime
        from cuzarr.cuda.memory import SlabPool

        self.part, self.xp = part, part.device.xp
        self.runtime = CupyRuntime(0)
        self.slabs = SlabPool(self.runtime, 64 << 20)
        self.stream = self.runtime.caller_stream()
        self.bytes = min(BYTES, part.size.nbytes)
        self.source = self.xp.random.randint(0, 256, self.bytes, np.uint8)
        self.target = self.xp.empty(self.bytes, np.uint8)
        self.first_bad = self.xp.full(3, 2**64 - 1, np.uint64)
        self.copy_gbs = 0.0
        self._note("device copy", self.bytes, lambda: part.device.copy(self.target, self.source))

    def rows(self, case: Rows) -> None:
        """Measure a scatter and the gather that undoes it."""
        from cuzarr.cuda.memory import Tables
        from cuzarr.cuda.rows import ChunkLayout, DeviceView, RowCopy, swap_unit
        from cuzarr.plan.separable import plan_basic

        dtype = np.dtype(case.dtype)
        native = dtype.newbyteorder("=")
        height, width = case.chunk
        chunk_bytes = height * width * dtype.itemsize
        bands = self.bytes // (case.columns // width * chunk_bytes)
        shape = (bands * height, case.columns)
        plan = plan_basic((slice(None, None, case.step),), shape, case.chunk)
        chunks = self.source[: bands * (case.columns // width) * chunk_bytes]
        wanted = self._wanted(chunks, case, bands, native)
        itemsize = dtype.itemsize
        strides = (itemsize, itemsize * height) if case.transposed else (itemsize * width, itemsize)
        layout = ChunkLayout(case.chunk, strides, chunk_bytes, swap_unit(dtype))
        pointers = chunks.data.ptr + chunk_bytes * np.arange(plan.n_chunks, dtype=np.uint64)
        if case.missing:
            pointers[:] = 0
        again = self.xp.zeros_like(chunks)
        array = self.xp.empty(plan.shape, native)
        for verb in ("scatter", "gather"):
            if case.missing and verb == "gather":
                continue
            copy = RowCopy(
                self.runtime, verb, DeviceView(*self.runtime.describe(array)), layout,
                bytes(itemsize), int(self.first_bad.data.ptr),
            )  # fmt: skip
            where = pointers if verb == "scatter" else pointers - chunks.data.ptr + again.data.ptr
            tables = Tables(self.runtime, self.slabs, self.stream)
            launch = copy.add(tables, plan.rows(0, plan.n_chunks), where.astype(np.uint64))
            tables.send()
            self._note(
                f"{verb}: {case.name}", array.nbytes,
                lambda c=copy, t=tables, ln=launch: c.launch(t, ln, 0, self.stream),
                reads=not case.missing,
            )  # fmt: skip
        self._compare(case.name, array, wanted)
        if case.step == 1 and not case.missing:
            self._compare(f"{case.name}, gathered", again, chunks)
        if bool((self.first_bad != 2**64 - 1).any()):
            self.part.document["errors"].append(f"{case.name}: reported out of bounds")

    def _wanted(self, chunks: Any, case: Rows, bands: int, native: np.dtype[Any]) -> Any:
        height, width = case.chunk
        values = chunks.view(native)
        if not np.dtype(case.dtype).isnative:
            itemsize = native.itemsize
            values = chunks.reshape(-1, itemsize)[:, ::-1].copy().reshape(-1).view(native)
        inner = (width, height) if case.transposed else (height, width)
        grid = values.reshape(bands, case.columns // width, *inner)
        if case.transposed:
            grid = grid.transpose(0, 1, 3, 2)
        full = grid.transpose(0, 2, 1, 3).reshape(bands * height, case.columns)[:: case.step]
        return self.xp.zeros_like(full) if case.missing else full

    def unshuffle(self, kind: str, typesize: int) -> None:
        """Measure an unshuffle of blocks."""
        from cuzarr.cuda.device_decode import BLOCK_TILE
        from cuzarr.cuda.kernels import tile_table

        n = self.bytes // BLOCK
        at = BLOCK * np.arange(n, dtype=np.uint64)
        columns = [
            self.xp.asarray(column)
            for column in (
                at + np.uint64(self.source.data.ptr), at + np.uint64(self.target.data.ptr),
                np.full(n, BLOCK, np.int64), np.full(n, typesize, np.int32),
            )
        ]  # fmt: skip
        tiles = tile_table(np.full(n, BLOCK, np.int64), BLOCK_TILE)
        columns.append(self.xp.asarray(tiles))
        args = (*(np.uint64(column.data.ptr) for column in columns), np.int64(n))
        self._note(
            f"{kind}, {typesize} bytes", self.bytes,
            lambda: self.runtime.launch(kind, int(tiles[-1]), 256, args, self.stream),
        )  # fmt: skip
        if kind == "blosc_unshuffle":
            first = self.source[:BLOCK].reshape(typesize, -1).T.reshape(-1)
            self._compare(kind, self.target[:BLOCK], first)

    def unshuffle_to_rows(self, kind: str) -> None:
        """Measure an unshuffle of chunks of 1 MiB to rows of 2 KiB, 8 KiB apart; elements of 4."""
        from cuzarr.cuda.device_decode import BLOCK_TILE
        from cuzarr.cuda.kernels import tile_table

        chunk, run, stride = 1 << 20, 2048, 8192
        across, height = stride // run, chunk // run
        n = self.bytes // (across * chunk) * across * chunk // BLOCK
        at = BLOCK * np.arange(n, dtype=np.uint64)
        number = (at // chunk).astype(np.int64)
        first = number // across * across * chunk + number % across * run
        tiles = tile_table(np.full(n, BLOCK, np.int64), BLOCK_TILE)
        columns = [
            self.xp.asarray(column)
            for column in (
                at + np.uint64(self.source.data.ptr),
                first.astype(np.uint64) + np.uint64(self.target.data.ptr),
                np.full(n, BLOCK, np.int64), np.full(n, 4, np.int32), tiles,
                (at % chunk).astype(np.int64),
            )
        ]  # fmt: skip
        pointers = [np.uint64(column.data.ptr) for column in columns]
        args = (*pointers[:5], np.int64(n), pointers[5], *map(np.int64, (run, height, stride, 0)))
        self._note(
            f"{kind}, 4 bytes, to rows", n * BLOCK,
            lambda: self.runtime.launch(f"{kind}_rows", int(tiles[-1]), 256, args, self.stream),
        )  # fmt: skip
        if kind == "blosc_unshuffle":
            bands = (-1, height, across, run)
            found = self.target[: n * BLOCK].reshape(bands).transpose(0, 2, 1, 3)
            planes = self.source[: n * BLOCK].reshape(-1, 4, BLOCK // 4)
            self._compare(f"{kind}, to rows", found, planes.transpose(0, 2, 1).reshape(found.shape))

    def segments(self, shift: int) -> None:
        """Measure copies of segments whose sources are ``shift`` bytes beside a multiple of 16."""
        from cuzarr.cuda.device_decode import COPY_TILE
        from cuzarr.cuda.kernels import tile_table

        n = self.bytes // BLOCK - 1
        at = BLOCK * np.arange(n, dtype=np.uint64)
        sizes = np.full(n, BLOCK, np.int64)
        tiles = tile_table(sizes, COPY_TILE)
        columns = [
            self.xp.asarray(column)
            for column in (
                at + np.uint64(self.source.data.ptr + shift), at + np.uint64(self.target.data.ptr),
                sizes, tiles,
            )
        ]  # fmt: skip
        args = (*(np.uint64(column.data.ptr) for column in columns), np.int64(n))
        grid = -(-int(tiles[-1]) // 8)
        self._note(
            f"copy_segments, shifted by {shift}", n * BLOCK,
            lambda: self.runtime.launch("copy_segments", grid, 256, args, self.stream),
        )  # fmt: skip
        end = n * BLOCK
        self._compare("segments", self.target[:end], self.source[shift : shift + end])

    def _note(self, name: str, nbytes: int, work: Callable[[], None], reads: bool = True) -> None:
        work()
        ms = statistics.median(self.part.device.timed(work) for _ in range(ROUNDS))
        moved = (1 + reads) * nbytes / ms / 1e6
        self.copy_gbs = self.copy_gbs or moved
        self.part.document["kernels"][name] = {
            "bytes": nbytes, "ms": ms, "gbs": moved, "of_copy": moved / self.copy_gbs,
        }  # fmt: skip

    def _compare(self, name: str, got: Any, wanted: Any) -> None:
        got, wanted = (self.xp.ascontiguousarray(a).view(np.uint8) for a in (got, wanted))
        if got.shape != wanted.shape or not bool((got == wanted).all()):
            self.part.document["errors"].append(f"{name}: wrong bytes")


if __name__ == "__main__":
    sys.exit(main())
