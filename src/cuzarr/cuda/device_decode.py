"""The device steps of a wave: everything between encoded bytes and decoded chunks.

1. ``reserve`` allocates the wave's buffers under the work stream and adds the small tables.
2. After the tables were sent, ``queue`` launches: checksums, one nvCOMP call per format, the check
   of its statuses and sizes, copies of raw streams, unshuffles.
3. ``pointers`` says where each decoded chunk is: a chunk that was stored decoded stays in the
   upload.

Errors are not waited for: kernels lower the words of :class:`FirstBad`, read once per call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.inspection import BIT_SHUFFLE, BYTE_SHUFFLE, DEVICE, Inspection, Streams
from cuzarr.cuda.kernels import tile_table
from cuzarr.cuda.memory import Tables, align
from cuzarr.cuda.runtime import DeviceBuffer, Runtime, Stream

COPY_TILE = BLOCK_TILE = CRC_TILE = 16384
_CRC_GRID = 2048
_UNSHUFFLE = {BYTE_SHUFFLE: "blosc_unshuffle", BIT_SHUFFLE: "blosc_bitunshuffle"}
Pointers = npt.NDArray[np.uint64]


class FirstBad:
    """Words in device memory that kernels lower to the number of the first bad chunk of a call.

    Attributes
    ----------
    decoder, checksum, bounds : int
        Device pointers of the words.
    """

    CAUSES = (
        "the decoder reported corrupt data or another size",
        "the stored CRC-32C checksum is not that of the bytes",
        "the plan reaches outside the chunk or the array",
    )
    BOUNDS = 2
    NBYTES = 24

    def __init__(self, runtime: Runtime, stream: Stream) -> None:
        self._buffer: DeviceBuffer = runtime.alloc(self.NBYTES, stream)
        runtime.memset(self._buffer.ptr, 0xFF, self.NBYTES, stream)
        self.pointer = self._buffer.ptr
        self.decoder, self.checksum, self.bounds = (self.pointer + 8 * i for i in range(3))

    @staticmethod
    def parse(raw: npt.NDArray[np.uint8]) -> list[int]:
        """Return the words from their downloaded bytes."""
        return [int(word) for word in raw.view(np.uint64)]


class DeviceDecode:
    """The device rows of one wave.

    Parameters
    ----------
    runtime : Runtime
    inspection : Inspection
    upload : int
        Device pointer that the slab's position 0 was, or would have been, copied to.
    nbytes : int
        Of a decoded chunk.
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
        encoded_sizes: npt.NDArray[np.int64],
        encoded_positions: npt.NDArray[np.int64],
        upload: int,
        nbytes: int,
        first_bad: FirstBad,
        base: int,
        temp_limit: int,
    ) -> None:
        self._runtime, self._found, self._upload = runtime, inspection, upload
        self._sizes, self._positions = encoded_sizes, encoded_positions
        self._nbytes, self._first_bad, self._base = nbytes, first_bad, np.uint64(base)
        self._temp_limit = temp_limit
        self._queue: list[Any] = []
        self.buffers: list[DeviceBuffer] = []
        self.pointers: Pointers = np.zeros(len(inspection.place), np.uint64)

    def reserve(self, tables: Tables, stream: Stream) -> None:
        """Allocate buffers and add tables; sets ``pointers``."""
        found = self._found
        stored = found.in_place >= 0
        self.pointers[stored] = self._upload + found.in_place[stored]
        coded = (found.place == DEVICE) & ~stored
        staged = self._allocate(coded, stream)
        self.pointers[coded] = staged[coded]
        if found.shuffled:
            shuffled = np.zeros(len(coded), np.bool_)
            for blocks in found.shuffled.values():
                shuffled[blocks.owner] = True
            final = self._allocate(shuffled, stream)
            self.pointers[shuffled] = final[shuffled]
            self._add_unshuffles(tables, staged, final)
        if found.checksums.any():
            self._add_checksums(tables)
        for fmt, streams in found.streams.items():
            if fmt == "raw":
                self._add_copies(tables, streams, staged)
            else:
                self._add_decompression(tables, fmt, streams, staged)

    def queue(self, tables: Tables, stream: Stream) -> None:
        """Launch every step; the tables were sent."""
        order = {"checksums": 0, "decompression": 1, "copies": 2, "unshuffle": 3}
        for _, launch in sorted(self._queue, key=lambda step: order[step[0]]):
            launch(tables, stream)
        self._queue.clear()

    def _allocate(self, which: npt.NDArray[np.bool_], stream: Stream) -> Pointers:
        """Return (n,) pointers, set where ``which``, of new room for a decoded chunk each."""
        pointers = np.zeros(len(which), np.uint64)
        count = int(which.sum())
        if count:
            stride = align(self._nbytes)
            buffer = self._runtime.alloc(count * stride, stream)
            self.buffers.append(buffer)
            pointers[which] = buffer.ptr + stride * np.arange(count, dtype=np.uint64)
        return pointers

    def _sources(self, streams: Streams) -> Pointers:
        return (self._upload + streams.source).astype(np.uint64)

    def _add_copies(self, tables: Tables, streams: Streams, staged: Pointers) -> None:
        targets = staged[streams.owner] + streams.target.astype(np.uint64)
        tiles = tile_table(streams.length, COPY_TILE)
        at = [
            tables.add(column)
            for column in (self._sources(streams), targets, streams.length, tiles)
        ]

        def launch(sent: Tables, stream: Stream) -> None:
            args = (*(sent.pointer(offset) for offset in at), np.int64(len(streams)))
            grid = -(-int(tiles[-1]) // 8)
            self._runtime.launch("copy_segments", grid, 256, args, stream)

        self._queue.append(("copies", launch))

    def _add_unshuffles(self, tables: Tables, staged: Pointers, final: Pointers) -> None:
        for kind, blocks in self._found.shuffled.items():
            offset = blocks.offset.astype(np.uint64)
            tiles = tile_table(blocks.size, BLOCK_TILE)
            at = [
                tables.add(column)
                for column in (
                    staged[blocks.owner] + offset, final[blocks.owner] + offset, blocks.size,
                    blocks.typesize.astype(np.int32), tiles,
                )
            ]  # fmt: skip

            def launch(
                sent: Tables, stream: Stream, kind: int = kind, at: list[int] = at,
                tiles: npt.NDArray[np.int64] = tiles, n: int = len(blocks.owner),
            ) -> None:  # fmt: skip
                args = (*(sent.pointer(offset) for offset in at), np.int64(n))
                self._runtime.launch(_UNSHUFFLE[kind], int(tiles[-1]), 256, args, stream)

            self._queue.append(("unshuffle", launch))

    def _add_checksums(self, tables: Tables) -> None:
        rows = np.flatnonzero(self._found.checksums)
        body = self._sizes[rows] - 4
        first = (self._upload + self._positions[rows]).astype(np.uint64)
        tiles = tile_table(body, CRC_TILE)
        src, nbytes, tile_first = (tables.add(column) for column in (first, body, tiles))
        expected = tables.add(first + body.astype(np.uint64))
        owner = tables.add(rows.astype(np.int32))
        partial = tables.add(np.zeros(len(rows), np.uint32))
        n = np.int64(len(rows))

        def launch(sent: Tables, stream: Stream) -> None:
            at = sent.pointer
            grid = min(int(tiles[-1]), _CRC_GRID)
            args: tuple[Any, ...] = (at(src), at(nbytes), at(tile_first), n, at(partial))
            self._runtime.launch("crc32c_partial", grid, 256, args, stream)
            args = (
                at(nbytes), at(partial), at(expected), at(owner), n, self._base, np.uint64(0),
                np.uint64(self._first_bad.checksum),
            )  # fmt: skip
            self._runtime.launch("crc32c_check", -(-len(rows) // 256), 256, args, stream)

        self._queue.append(("checksums", launch))

    def _add_decompression(
        self, tables: Tables, fmt: str, streams: Streams, staged: Pointers
    ) -> None:
        lengths = streams.length.astype(np.uint64)
        targets = staged[streams.owner] + streams.target.astype(np.uint64)
        src, size, dst, length, owner = (
            tables.add(column)
            for column in (
                self._sources(streams), streams.size.astype(np.uint64), targets, lengths,
                streams.owner.astype(np.int32),
            )
        )  # fmt: skip
        actual, statuses = tables.reserve(8 * len(streams)), tables.reserve(4 * len(streams))

        def launch(sent: Tables, stream: Stream) -> None:
            # A decoder that stops early must not leave a status of an earlier use behind.
            self._runtime.memset(int(sent.pointer(statuses)), 0xFF, 4 * len(streams), stream)
            self._decompress(
                fmt, streams.length, stream,
                [int(sent.pointer(at)) for at in (src, size, length, actual, dst, statuses)],
            )  # fmt: skip
            args = (
                *(sent.pointer(offset) for offset in (statuses, actual, length, owner)),
                np.int64(len(streams)), self._base, np.uint64(0),
                np.uint64(self._first_bad.decoder),
            )  # fmt: skip
            self._runtime.launch("check_statuses", -(-len(streams) // 256), 256, args, stream)

        self._queue.append(("decompression", launch))

    def _decompress(
        self, fmt: str, lengths: npt.NDArray[np.int64], stream: Stream, at: list[int]
    ) -> None:
        """Queue the nvCOMP calls of one format: one, unless its temporary memory is too much."""
        nvcomp = self._runtime.nvcomp
        assert nvcomp is not None
        src, size, capacity, actual, dst, statuses = at
        n = len(lengths)
        first = 0
        while first < n:
            last, temp_bytes = self._batch(fmt, lengths, first)
            temp = self._runtime.alloc(temp_bytes, stream) if temp_bytes else None
            nvcomp.decompress(
                fmt, src + 8 * first, size + 8 * first, capacity + 8 * first, actual + 8 * first,
                last - first, 0 if temp is None else temp.ptr, temp_bytes, dst + 8 * first,
                statuses + 4 * first, stream,
            )  # fmt: skip
            first = last

    def _batch(self, fmt: str, lengths: npt.NDArray[np.int64], first: int) -> tuple[int, int]:
        """Return the end of the next batch, and its temporary bytes."""
        nvcomp = self._runtime.nvcomp
        assert nvcomp is not None
        last = len(lengths)
        while True:
            part = lengths[first:last]
            wanted = nvcomp.decompress_temp_bytes(fmt, len(part), int(part.max()), int(part.sum()))
            if wanted <= self._temp_limit or last - first == 1:
                return last, wanted
            last = first + max(1, (last - first) // 2)
