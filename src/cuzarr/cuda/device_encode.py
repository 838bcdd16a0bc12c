"""The device steps of a wave that is written: everything between decoded and encoded chunks.

1. ``reserve`` allocates all that is known before the sizes are, and sends the tables: nothing has
   been launched when memory turns out to be short.
2. ``compress`` launches: which chunks hold the fill value alone, shuffles, one nvCOMP call. Sizes,
   statuses and those flags lie behind one another in ``report``, for one small download.
3. ``pack`` gets them back. The container says what the chunks are made of; one launch copies it
   together, checksums are added, and the chunks lie behind one another in the order of ``order``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.device_decode import Pointers
from cuzarr.cuda.encode_steps import EncodeSteps
from cuzarr.cuda.kernels import tile_table
from cuzarr.cuda.memory import SlabPool, Tables, align
from cuzarr.cuda.packing import GZIP_HEADER, GZIP_MAGIC, Container, Packing
from cuzarr.cuda.runtime import DeviceBuffer, Runtime, Stream
from cuzarr.errors import DeviceError

_TILE = 16384
_CRC_GRID = 2048
_CRC_BYTES = 4
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Room:
    """What encoding needs beside the decoded chunks.

    Attributes
    ----------
    capacity : int
        Bytes that a stream may be compressed to.
    chunk : int
        Device bytes per chunk, apart from nvCOMP's own.
    encoded : int
        Bytes that an encoded chunk hardly exceeds.
    """

    capacity: int
    chunk: int
    encoded: int


@dataclass(frozen=True)
class Reported:
    """What ``compress`` reported.

    Attributes
    ----------
    sizes : (n, s) int64
    statuses : (n, s) int32
    differs : (n,) bool
        Whether a chunk holds anything but the fill value.
    """

    sizes: Int64
    statuses: npt.NDArray[np.int32]
    differs: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Packed:
    """Encoded chunks in device memory: row ``i`` is at ``start[i]``, ``size[i]`` bytes."""

    pointer: int
    nbytes: int
    start: Int64
    size: Int64


class DeviceEncode:
    """The chunks of one wave.

    Parameters
    ----------
    runtime : Runtime
    steps : EncodeSteps
    container : Container
    room : Room
    images : int
        Device pointer of the decoded chunks.
    stride : int
        Bytes from one to the next, a multiple of 16.
    n : int
    fill : bytes
        The fill value as it lies in the chunks.

    Attributes
    ----------
    report : int
        Device pointer of what ``parse`` reads, ``report_bytes`` long.
    """

    def __init__(
        self,
        runtime: Runtime,
        steps: EncodeSteps,
        container: Container,
        room: Room,
        images: int,
        stride: int,
        n: int,
        fill: bytes,
    ) -> None:
        self._runtime, self._steps, self._container, self._room = runtime, steps, container, room
        self._stride, self._n = stride, n
        self._fill = np.frombuffer(fill * (16 // len(fill)), np.uint64)
        self._images = (images + stride * np.arange(n)).astype(np.uint64)
        self._inputs, self._outputs = self._images, self._images
        self._buffers: list[DeviceBuffer] = []
        count = n * container.streams
        self._statuses_at = align(8 * count)
        self._differs_at = self._statuses_at + align(4 * count)
        self._head_at = self._differs_at + align(4 * n)
        self.report_bytes = self._head_at + align(GZIP_HEADER)
        self.report = 0
        self._temp_bytes = 0

    def reserve(self, slabs: SlabPool, stream: Stream) -> None:
        """Allocate, and send the tables up."""
        n, container = self._n, self._container
        self._tables = tables = Tables(self._runtime, slabs, stream)
        self._add_fill(tables)
        if container.shuffle is not None:
            shuffled = self._alloc(n * self._stride, stream)
            self._inputs = (shuffled.ptr + self._stride * np.arange(n)).astype(np.uint64)
            self._add_shuffle(tables)
        if container.streams:
            self._reserve_streams(tables, stream)
        self.report = report = self._alloc(self.report_bytes, stream).ptr
        columns = (
            self._outputs[:1], np.array([report + self._head_at], np.uint64),
            np.array([GZIP_HEADER]), np.array([0, 1]),
        )  # fmt: skip
        self._head_tables = [tables.add(column) for column in columns]
        tables.send()

    def compress(self, stream: Stream) -> None:
        """Launch everything up to the compression."""
        runtime, at = self._runtime, self._tables.pointer
        runtime.memset(self.report, 0, self.report_bytes, stream)
        src, sizes, tiles, tasks = self._fill_tables
        runtime.launch(
            "differs_from_fill", -(-tasks // 8), 256,
            (at(src), at(sizes), at(tiles), np.int64(self._n), self._fill[0], self._fill[1],
             np.uint64(self.report + self._differs_at)), stream,
        )  # fmt: skip
        container = self._container
        if container.shuffle is not None:
            *columns, tasks = self._shuffle_tables
            count = np.int64(self._n * len(container.block_offset))
            args = (*(at(column) for column in columns), count)
            runtime.launch(container.shuffle, tasks, 256, args, stream)
        if container.streams == 0:
            return
        # A compressor that stops early must not leave a status of success behind.
        nbytes = self._differs_at - self._statuses_at
        runtime.memset(self.report + self._statuses_at, 0xFF, nbytes, stream)
        nvcomp, compressor = runtime.nvcomp, self._steps.compressor
        assert nvcomp is not None
        assert compressor.format is not None
        src, sizes, dst = (int(at(column)) for column in self._stream_tables)
        nvcomp.compress(
            compressor.format, compressor.algorithm, src, sizes, int(container.length.max()),
            self._n * container.streams, self._temp, self._temp_bytes, dst, self.report,
            self.report + self._statuses_at, stream,
        )  # fmt: skip
        if compressor.format == "Gzip":
            args = (*(at(column) for column in self._head_tables), np.int64(1))
            runtime.launch("copy_segments", 1, 256, args, stream)

    def parse(self, raw: npt.NDArray[np.uint8]) -> Reported:
        """Read the downloaded report."""
        shape = self._n, self._container.streams
        count = shape[0] * shape[1]
        if self._steps.compressor.kind == "zlib":
            head = raw[self._head_at :][: len(GZIP_MAGIC)].tobytes()
            if head != GZIP_MAGIC:
                raise DeviceError(f"nvCOMP makes gzip members that begin with {head.hex()}")
        sizes = raw[: 8 * count].view(np.int64).reshape(shape)
        statuses = raw[self._statuses_at :][: 4 * count].view(np.int32).reshape(shape)
        return Reported(
            sizes, statuses, raw[self._differs_at :][: 4 * self._n].view(np.uint32) != 0
        )

    def pack(
        self, sizes: Int64, order: Int64, gaps: Int64, slabs: SlabPool, stream: Stream
    ) -> Packed:
        """Put the encoded chunks together.

        Parameters
        ----------
        sizes : (n, s) int64
            As reported.
        order : (m,) int64
            Chunks to put together, in this order; others are left out.
        gaps : (m + 1,) int64
            Bytes to leave free in front of each, and behind the last.
        """
        packing = self._container.pack(sizes)
        extra = _CRC_BYTES if self._steps.crc32c else 0
        size = packing.sizes + extra
        ends = np.cumsum(gaps[:-1] + size[order])
        start = np.full(self._n, -1, np.int64)
        start[order] = ends - size[order]
        total = int(ends[-1] + gaps[-1]) if len(order) else 0
        target = self._alloc(total, stream)
        if gaps.any():
            self._runtime.memset(target.ptr, 0, total, stream)
        if total == 0:
            return Packed(target.ptr, 0, start, size)
        tables = Tables(self._runtime, slabs, stream)
        launch_copies = self._add_copies(tables, packing, target.ptr, start, stream)
        kept = (target.ptr + start[order]).astype(np.uint64)
        adler = None
        if packing.adler is not None:
            trailers = kept + packing.adler[order].astype(np.uint64)
            whole = np.full(len(order), self._container.nbytes)
            adler = self._add_sums(tables, self._images[order], whole, trailers, 16)
        crc = None
        if extra:
            trailers = kept + packing.sizes[order].astype(np.uint64)
            crc = self._add_sums(tables, kept, packing.sizes[order], trailers, 4)
        tables.send()
        launch_copies()
        if adler is not None:
            self._launch_sums("adler32", tables, adler, stream)
        if crc is not None:
            self._launch_sums("crc32c", tables, crc, stream)
        return Packed(target.ptr, total, start, size)

    def _alloc(self, nbytes: int, stream: Stream) -> DeviceBuffer:
        buffer = self._runtime.alloc(nbytes, stream)
        self._buffers.append(buffer)
        return buffer

    def _add_fill(self, tables: Tables) -> None:
        sizes = np.full(self._n, self._container.nbytes, np.int64)
        tiles = tile_table(sizes, _TILE)
        columns = (tables.add(column) for column in (self._images, sizes, tiles))
        self._fill_tables = (*columns, int(tiles[-1]))

    def _add_shuffle(self, tables: Tables) -> None:
        container = self._container
        offset = container.block_offset.astype(np.uint64)
        sizes = np.tile(container.block_size, self._n)
        tiles = tile_table(sizes, _TILE)
        columns = (
            (self._images[:, None] + offset).reshape(-1),
            (self._inputs[:, None] + offset).reshape(-1), sizes,
            np.full(len(sizes), container.typesize, np.int32), tiles,
        )  # fmt: skip
        self._shuffle_tables = (*(tables.add(column) for column in columns), int(tiles[-1]))

    def _reserve_streams(self, tables: Tables, stream: Stream) -> None:
        container = self._container
        count = self._n * container.streams
        out = self._alloc(count * self._room.capacity, stream)
        self._outputs = (out.ptr + self._room.capacity * np.arange(count)).astype(np.uint64)
        self._temp_bytes = temp_bytes(self._runtime, self._steps, container, self._n)
        self._temp = self._alloc(self._temp_bytes, stream).ptr
        inputs = (self._inputs[:, None] + container.offset.astype(np.uint64)).reshape(-1)
        lengths = np.tile(container.length, self._n).astype(np.uint64)
        self._stream_tables = [tables.add(column) for column in (inputs, lengths, self._outputs)]

    def _add_copies(
        self, tables: Tables, packing: Packing, target: int, start: Int64, stream: Stream
    ) -> Callable[[], None]:
        """Add the tables of all pieces; the result launches the copies once they were sent."""
        runtime, blob = self._runtime, tables.add(packing.blob)
        sources: list[tuple[bool, Pointers]] = []
        targets, sizes = [], []
        for pieces in packing.pieces:
            keep = start[pieces.chunk] >= 0
            chunk, offset = pieces.chunk[keep], pieces.offset[keep].astype(np.uint64)
            if pieces.source == "stream":
                base = self._outputs[pieces.offset[keep]] + np.uint64(pieces.skip)
            elif pieces.source == "blob":
                base = offset
            else:
                from_ = self._inputs if pieces.source == "shuffled" else self._images
                base = from_[chunk] + offset
            sources.append((pieces.source == "blob", base))
            targets.append((target + start[chunk] + pieces.at[keep]).astype(np.uint64))
            sizes.append(pieces.size[keep])
        size = np.concatenate(sizes)
        tiles = tile_table(size, _TILE)

        def made() -> Pointers:
            at = tables.pointer(blob)
            return np.concatenate([base + at if inside else base for inside, base in sources])

        columns = [
            tables.add_late(size.nbytes, made),
            *(tables.add(column) for column in (np.concatenate(targets), size, tiles)),
        ]

        def launch() -> None:
            args = (*(tables.pointer(column) for column in columns), np.int64(len(size)))
            runtime.launch("copy_segments", -(-int(tiles[-1]) // 8), 256, args, stream)

        return launch

    def _add_sums(
        self, tables: Tables, src: Pointers, size: Int64, trailers: Pointers, width: int
    ) -> tuple[Any, ...]:
        tiles = tile_table(size, _TILE)
        columns = [tables.add(column) for column in (src, size, tiles, trailers)]
        sums = tables.add(np.zeros(len(size) * width, np.uint8))
        return (*columns, sums, int(tiles[-1]), len(size))

    def _launch_sums(
        self, name: str, tables: Tables, added: tuple[Any, ...], stream: Stream
    ) -> None:
        src, size, tiles, trailers, sums, tasks, n = added
        at = tables.pointer
        grid = min(tasks, _CRC_GRID) if name == "crc32c" else tasks
        self._runtime.launch(
            f"{name}_partial", grid, 256, (at(src), at(size), at(tiles), np.int64(n), at(sums)),
            stream,
        )  # fmt: skip
        self._runtime.launch(
            f"{name}_store", -(-n // 256), 256, (at(size), at(sums), at(trailers), np.int64(n)),
            stream,
        )  # fmt: skip


def room_of(runtime: Runtime, steps: EncodeSteps, container: Container) -> Room:
    """Return what encoding needs, by the bounds that nvCOMP gives.

    Raises
    ------
    DeviceError
        nvCOMP refuses streams as long as these.
    """
    compressor, capacity = steps.compressor, 0
    stride = align(container.nbytes)
    if container.streams:
        nvcomp = runtime.nvcomp
        assert nvcomp is not None
        assert compressor.format is not None
        longest = int(container.length.max())
        capacity = align(nvcomp.compress_bound(compressor.format, compressor.algorithm, longest))
    whole = container.streams * capacity
    # No format makes more of its worst case than this, whatever the bound says of it.
    encoded = container.nbytes + container.nbytes // 128 + 1024
    tables = 256 + 128 * container.streams + 32 * len(container.block_offset)
    shuffled = stride if container.shuffle is not None else 0
    return Room(capacity, stride + shuffled + whole + encoded + tables, encoded)


def temp_bytes(runtime: Runtime, steps: EncodeSteps, container: Container, n: int) -> int:
    """Return nvCOMP's own bytes for a wave of n chunks."""
    if container.streams == 0:
        return 0
    nvcomp, compressor = runtime.nvcomp, steps.compressor
    assert nvcomp is not None
    assert compressor.format is not None
    return nvcomp.compress_temp_bytes(
        compressor.format, compressor.algorithm, n * container.streams,
        int(container.length.max()), n * int(container.length.sum()),
    )  # fmt: skip
