"""The device steps of a wave: everything between encoded bytes and decoded chunks.

1. ``reserve`` allocates the wave's buffers under the work stream and adds the small tables.
2. After the tables were sent, ``queue`` launches, in the order of decoding: checksums of the
   encoded bytes, one nvCOMP call per format and the check of its statuses and sizes, copies of raw
   streams, checksums of what was decoded, unshuffles, inner steps, filters.
3. ``pointers`` says where each decoded chunk is: a chunk that was stored decoded stays in the
   upload; one that is a piece of the output is written there by its last step (``placed``), and
   one whose rows are pieces of it, by the unshuffle.

Errors are not waited for: kernels lower the words of :class:`FirstBad`, read once per call.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.checks import STORED_BYTES, Segments, add_check
from cuzarr.cuda.decompress import OWN, Decompression
from cuzarr.cuda.elements import Delta, ElementStep
from cuzarr.cuda.fetch import EncodedWave
from cuzarr.cuda.filters import add_delta, add_program
from cuzarr.cuda.inspected import BIT_SHUFFLE, BYTE_SHUFFLE, DEVICE, Blocks, Inspection, Streams
from cuzarr.cuda.kernels import tile_table
from cuzarr.cuda.memory import Tables, align
from cuzarr.cuda.rows import ROW_UNIT, Places
from cuzarr.cuda.runtime import DeviceBuffer, Runtime, Stream
from cuzarr.cuda.steps import ChainSteps, Checksum

COPY_TILE = BLOCK_TILE = 16384
_UNSHUFFLE = {BYTE_SHUFFLE: "blosc_unshuffle", BIT_SHUFFLE: "blosc_bitunshuffle"}
Int64 = npt.NDArray[np.int64]
Pointers = npt.NDArray[np.uint64]


class FirstBad:
    """Words in device memory that kernels lower to the number of the first bad chunk of a call.

    Attributes
    ----------
    decoder, checksum, bounds, values, booleans : int
        Device pointers of the words. The last one says that a result has booleans which cannot be,
        and not where; it is behind every number.
    """

    CAUSES = (
        "the decoder reported corrupt data or another size",
        "a stored checksum is not that of the bytes",
        "the plan reaches outside the chunk or the array",
        "an element has no value in the data type",
        "a boolean is neither 0 nor 1",
    )
    DECODER, CHECKSUM, BOUNDS, BOOLEANS = 0, 1, 2, 4
    NONE = 2**64 - 1  #: no chunk is bad
    NBYTES = 40

    def __init__(self, runtime: Runtime, stream: Stream) -> None:
        self._runtime = runtime
        self._buffer: DeviceBuffer = runtime.alloc(self.NBYTES, stream)
        self.pointer = self._buffer.ptr
        self.forget(stream)
        self.decoder, self.checksum, self.bounds, self.values, self.booleans = (
            self.pointer + 8 * i for i in range(5)
        )

    def forget(self, stream: Stream) -> None:
        """Queue that no chunk is bad."""
        self._runtime.memset(self.pointer, 0xFF, self.NBYTES, stream)

    @staticmethod
    def parse(raw: npt.NDArray[np.uint8]) -> list[int]:
        """Return the words from their downloaded bytes."""
        return [int(word) for word in raw.view(np.uint64)]

    @classmethod
    def refusal(cls, words: list[int]) -> str:
        """Say why the device refused a chunk that the host may decode, or return ""."""
        kind = words.index(min(words))
        if min(words) == cls.NONE or kind not in (cls.DECODER, cls.CHECKSUM):
            return ""
        return f"on the device: {cls.CAUSES[kind]}"


class DeviceDecode:
    """The device rows of one wave.

    Parameters
    ----------
    runtime : Runtime
    inspection : Inspection
    steps : ChainSteps
    encoded : EncodedWave
    upload : int
        Device pointer that the slab's position 0 was, or would have been, copied to.
    first_bad : FirstBad
    base : int
        Number of row 0 in the call.
    temp_limit : int
        Bytes that nvCOMP may have for itself; batches that want more are cut.
    """

    def __init__(
        self,
        runtime: Runtime,
        inspection: Inspection,
        steps: ChainSteps,
        encoded: EncodedWave,
        upload: int,
        first_bad: FirstBad,
        base: int,
        temp_limit: int,
    ) -> None:
        self._runtime, self._found, self._steps = runtime, inspection, steps
        self._encoded, self._upload = encoded, upload
        self._first_bad, self._base = first_bad, np.uint64(base)
        self._temp_limit = temp_limit
        self._queue: list[Callable[[Tables, Stream], None]] = []
        self.buffers: list[DeviceBuffer] = []
        self.pointers: Pointers = np.zeros(len(inspection.place), np.uint64)
        self.placed = np.zeros(len(inspection.place), np.bool_)

    def reserve(self, tables: Tables, stream: Stream, places: Places | None = None) -> None:
        """Allocate buffers and add tables; sets ``pointers`` and ``placed``.

        ``places`` says where a decoded chunk may be written to.
        """
        found, size = self._found, self._steps.coded_nbytes
        device = found.place == DEVICE
        stored = found.in_place >= 0
        self.pointers[stored] = self._upload + found.in_place[stored]
        coded = device & ~stored
        shuffled = np.zeros(len(coded), np.bool_)
        for blocks in found.shuffled.values():
            shuffled[blocks.owner] = True
        last = None if self._steps.inner or self._steps.elements else places
        at_once = None
        if last is not None and last.in_one_piece:
            at_once = np.where(shuffled, np.uint64(0), last.pointers)
        staged = self._allocate(coded, size, stream, at_once)
        self.pointers[coded] = staged[coded]
        self._add_outer_checks(tables)
        for fmt, streams in found.streams.items():
            if fmt == "raw":
                self._add_copies(tables, streams, staged)
            else:
                self._add_decompression(tables, fmt, streams, staged, stream)
        for check in found.checks:
            streams = check.streams
            segments = Segments(
                self._targets(streams, staged), streams.length, self._sources(streams),
                streams.owner.astype(np.int32),
            )  # fmt: skip
            self._add_check(tables, check.kind, segments, big_endian=check.big_endian)
        if found.shuffled:
            targets = None if last is None else self._unshuffled(last)
            final = self._allocate(shuffled, size, stream, targets)
            self.pointers[shuffled] = final[shuffled]
            rows = None if last is None or last.in_one_piece else last
            for kind, blocks in found.shuffled.items():
                self._add_unshuffle(tables, kind, blocks, staged, final, rows)
        if device.any():
            if self._steps.inner:
                self._add_inner_steps(tables, device, stream)
            ends = places.pointers if places is not None and places.in_one_piece else None
            final_step = len(self._steps.elements) - 1
            for i, step in enumerate(self._steps.elements):
                self._add_filter(tables, step, device, stream, ends if i == final_step else None)

    def queue(self, tables: Tables, stream: Stream) -> None:
        """Launch every step; the tables were sent."""
        for launch in self._queue:
            launch(tables, stream)
        self._queue.clear()

    def _allocate(
        self,
        which: npt.NDArray[np.bool_],
        nbytes: int,
        stream: Stream,
        places: Pointers | None = None,
    ) -> Pointers:
        """Return (n,) pointers, set where ``which``: of ``places``, or new, ``nbytes`` each."""
        pointers = np.zeros(len(which), np.uint64)
        if places is not None:
            placed = which & (places != 0)
            pointers[placed] = places[placed]
            self.placed |= placed
            which = which & ~placed
        count = int(which.sum())
        if count:
            stride = align(nbytes)
            buffer = self._runtime.alloc(count * stride, stream)
            self.buffers.append(buffer)
            pointers[which] = buffer.ptr + stride * np.arange(count, dtype=np.uint64)
        return pointers

    def _sources(self, streams: Streams) -> Pointers:
        return (self._upload + streams.source).astype(np.uint64)

    def _targets(self, streams: Streams, staged: Pointers) -> Pointers:
        targets: Pointers = staged[streams.owner] + streams.target.astype(np.uint64)
        return targets

    def _add_copies(self, tables: Tables, streams: Streams, staged: Pointers) -> None:
        sources, targets = self._sources(streams), self._targets(streams, staged)
        self._queue.append(copies(self._runtime, tables, sources, targets, streams.length))

    def _unshuffled(self, places: Places) -> Pointers:
        """Return where chunks may be unshuffled to; 0 where rows do not cut a block well."""
        pointers = places.pointers.copy()
        if not places.in_one_piece:
            for blocks in self._found.shuffled.values():
                pointers[blocks.owner[blocks.offset % ROW_UNIT != 0]] = 0
        return pointers

    def _add_unshuffle(
        self,
        tables: Tables,
        kind: int,
        blocks: Blocks,
        staged: Pointers,
        final: Pointers,
        rows: Places | None = None,
    ) -> None:
        """Add the unshuffle of some blocks; chunks that are ``placed`` go to ``rows``, if given."""
        if rows is not None and (apart := self.placed[blocks.owner]).any():
            there = blocks.take(apart)
            more = (tables.add(there.offset), rows.run, rows.per, rows.stride, rows.plane)
            self._add_blocks(
                tables, f"{_UNSHUFFLE[kind]}_rows", there, staged, final[there.owner], more
            )
            blocks = blocks.take(~apart)
        if len(blocks.owner):
            to = final[blocks.owner] + blocks.offset.astype(np.uint64)
            self._add_blocks(tables, _UNSHUFFLE[kind], blocks, staged, to)

    def _add_blocks(
        self,
        tables: Tables,
        kernel: str,
        blocks: Blocks,
        staged: Pointers,
        targets: Pointers,
        more: tuple[int, ...] = (),
    ) -> None:
        """Add a launch over blocks; ``more`` is one more table, and numbers."""
        tiles = tile_table(blocks.size, BLOCK_TILE)
        at = [
            tables.add(column)
            for column in (
                staged[blocks.owner] + blocks.offset.astype(np.uint64), targets, blocks.size,
                blocks.typesize.astype(np.int32), tiles,
            )
        ]  # fmt: skip
        n = np.int64(len(blocks.owner))

        def launch(sent: Tables, stream: Stream) -> None:
            extra = (sent.pointer(more[0]), *map(np.int64, more[1:])) if more else ()
            args = (*(sent.pointer(offset) for offset in at), n, *extra)
            self._runtime.launch(kernel, int(tiles[-1]), 256, args, stream)

        self._queue.append(launch)

    def _add_outer_checks(self, tables: Tables) -> None:
        """Add the checks of encoded bytes, the outermost first."""
        rows = np.flatnonzero(self._found.outer)
        if len(rows) == 0:
            return
        first = (self._upload + self._encoded.positions[rows]).astype(np.uint64)
        sizes = self._encoded.sizes[rows]
        for step in self._steps.outer:
            first, sizes = self._add_stored_check(tables, step, rows, first, sizes)

    def _add_stored_check(
        self, tables: Tables, step: Checksum, rows: Int64, first: Pointers, sizes: Int64
    ) -> tuple[Pointers, Int64]:
        """Add the check of a checksum codec; returns where the rest is."""
        body = first + np.uint64(STORED_BYTES * step.at_start)
        sizes = sizes - STORED_BYTES
        stored = first if step.at_start else body + sizes.astype(np.uint64)
        self._add_check(tables, step.kind, Segments(body, sizes, stored, rows.astype(np.int32)))
        return body, sizes

    def _add_check(self, tables: Tables, kind: Any, segments: Segments, **order: bool) -> None:
        pointer = self._first_bad.checksum
        launch = add_check(self._runtime, tables, kind, segments, self._base, pointer, **order)
        self._queue.append(launch)

    def _add_inner_steps(
        self, tables: Tables, device: npt.NDArray[np.bool_], stream: Stream
    ) -> None:
        rows = np.flatnonzero(device)
        first = self.pointers[rows]
        sizes = np.full(len(rows), self._steps.coded_nbytes, np.int64)
        for step in self._steps.inner:
            if isinstance(step, Checksum):
                first, sizes = self._add_stored_check(tables, step, rows, first, sizes)
                continue
            made = self._allocate(device, int(sizes[0]), stream)
            self.pointers[rows] = first
            whole = Blocks(rows, np.zeros_like(sizes), sizes, np.full_like(sizes, step.typesize))
            self._add_unshuffle(tables, BYTE_SHUFFLE, whole, self.pointers, made)
            first = made[rows]
        self.pointers[rows] = first

    def _add_filter(
        self,
        tables: Tables,
        step: ElementStep,
        device: npt.NDArray[np.bool_],
        stream: Stream,
        places: Pointers | None,
    ) -> None:
        elements = math.prod(self._steps.layout.shape)
        made = self._allocate(device, elements * step.after.itemsize, stream, places)
        rows = np.flatnonzero(device)
        sources, targets = self.pointers[rows], made[rows]
        self.pointers[rows] = targets
        if isinstance(step, Delta):
            launch = add_delta(self._runtime, tables, step, sources, targets, elements)
        else:
            launch = add_program(
                self._runtime, tables, step, sources, targets, rows, elements, self._base,
                self._first_bad.values,
            )  # fmt: skip
        self._queue.append(launch)

    def _add_decompression(
        self, tables: Tables, fmt: str, streams: Streams, staged: Pointers, stream: Stream
    ) -> None:
        sources, sizes = self._sources(streams), streams.size
        nvcomp = self._runtime.nvcomp
        alignment = nvcomp.alignments(fmt)[0] if nvcomp and fmt not in OWN else 1
        if alignment > 1 and (sources % alignment != 0).any():
            room = -(-sizes // alignment) * alignment
            ends = np.cumsum(room)
            buffer = self._runtime.alloc(int(ends[-1]), stream)
            self.buffers.append(buffer)
            aligned = (buffer.ptr + ends - room).astype(np.uint64)
            self._queue.append(copies(self._runtime, tables, sources, aligned, sizes))
            sources = aligned
        targets = self._targets(streams, staged)
        work = Decompression(
            self._runtime, tables, fmt, sources, streams, targets, self._base,
            self._first_bad.decoder, self._temp_limit,
        )  # fmt: skip
        self._queue.append(work.launch)


def copies(
    runtime: Runtime, tables: Tables, sources: Pointers, targets: Pointers, sizes: Int64
) -> Callable[[Tables, Stream], None]:
    """Add the tables of many copies; returns what launches them."""
    tiles = tile_table(sizes, COPY_TILE)
    at = [tables.add(column) for column in (sources, targets, sizes, tiles)]
    n, grid = np.int64(len(sizes)), -(-int(tiles[-1]) // 8)

    def launch(sent: Tables, stream: Stream) -> None:
        args = (*(sent.pointer(offset) for offset in at), n)
        runtime.launch("copy_segments", grid, 256, args, stream)

    return launch
