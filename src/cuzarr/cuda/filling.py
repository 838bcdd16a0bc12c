"""Filling device memory with encoded chunks.

1. :meth:`Filler.add` takes the stored objects of one array, a slab at a time: the next one is read
   while the one before is looked at and sent up.
2. Shards are taken apart by their indexes, once and for all; what ``cuda.inspection`` finds in the
   headers of the chunks is kept.
3. Objects of which the device can decode nothing stay on the host: :attr:`Filler.host` has them.
4. :meth:`Filler.finish` waits for the copies and joins the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cuzarr.cuda.backend import CudaBackend
from cuzarr.cuda.fetch import EncodedWave, Reading, copy_pieces
from cuzarr.cuda.filling_tables import (
    ChunksOf,
    chunks_of,
    join_columns,
    join_parts,
    shift_positions,
)
from cuzarr.cuda.inspected import DEVICE, Inspection
from cuzarr.cuda.inspection import inspect
from cuzarr.cuda.memory import ALIGNMENT, Slab
from cuzarr.cuda.placement import MIN_STREAMS, Placement
from cuzarr.cuda.resident import ResidentChunks
from cuzarr.cuda.rows import check_elements
from cuzarr.cuda.runtime import DeviceBuffer
from cuzarr.cuda.steps import ChainSteps
from cuzarr.engine.address import ShardAddress
from cuzarr.engine.batch import Wave
from cuzarr.engine.resident import ChunkTable
from cuzarr.engine.target import Target
from cuzarr.errors import DeviceError, DeviceMemoryError
from cuzarr.plan.chunk_plan import Int64, PlanRows
from cuzarr.plan.grid import grid_shape
from cuzarr.storage.base import RequestBatch, Store

Place = tuple[int, int]  #: device address and size of an object


class Filler:
    """Reads objects, sends them up, and collects what their headers say.

    Parameters
    ----------
    backend : CudaBackend
    store : Store
        Where the objects are read.
    budget : int or None
        Bytes of device memory; None: as many as there are.

    Attributes
    ----------
    device : dict of str to (int, int)
        Device address and size of the objects that are there, by key.
    host : dict of str to bytes
        Objects of the arrays given to ``add`` that are not.
    nbytes : int
        Bytes of device memory in use.
    chunks, decoded_nbytes : int
        Chunks that the device decodes from there, and what they decode to.
    """

    def __init__(self, backend: CudaBackend, store: Store, budget: int | None) -> None:
        self._shared, self._store, self._budget = backend.shared, store, budget
        self._runtime = backend.runtime
        self._stream = backend.runtime.new_stream()
        decide = self._shared.placement
        # However few streams there are: the chunks are not on the host.
        self._placement = Placement(
            decide.mode, backend.runtime.nvcomp is not None, dict.fromkeys(MIN_STREAMS, 0)
        )
        self.device: dict[str, Place] = {}
        self.host: dict[str, bytes] = {}
        self.nbytes = self.decoded_nbytes = self.chunks = 0
        self._memory: list[DeviceBuffer] = []
        self._steps: list[tuple[int, str]] = []
        self._count = 0
        self._parts: list[tuple[Inspection, Int64, Int64]] = []

    def takes(self, target: Target) -> bool:
        """Whether a device can decode the chunks of an array; they must all have one shape."""
        if target.chain_of is not None:
            return False
        steps = ChainSteps.of(target.chain)
        coded = steps.compressor is not None
        try:
            check_elements(target.chain.chunk.dtype)
        except DeviceError:
            return False
        return steps.on_device and not (coded and self._placement.decide("LZ4", 1)[0] == "host")

    def add(
        self, target: Target, shape: Sequence[int], keys: Sequence[str], coords: Int64
    ) -> ChunkTable:
        """Take the stored objects of an array that ``takes`` accepts.

        Parameters
        ----------
        target : Target
        shape : tuple of int
            Of the array.
        keys : sequence of str
        coords : (n, d) int64
            Grid coordinates of the objects.

        Raises
        ------
        DeviceMemoryError
            They do not fit; the message names the sizes.
        ShardIndexError, ChecksumError, StoreError
        """
        steps = ChainSteps.of(target.chain)
        grid = grid_shape(shape, target.grid)
        self._steps.append((self._count, steps.host_codec))
        columns: list[tuple[Int64, ...]] = []
        for names, where, wave in self._waves(target, keys, coords):
            for which, piece in self._pieces(wave):
                units = chunks_of(
                    target.address, grid, [names[j] for j in which], where[which], piece
                )
                found = inspect(
                    EncodedWave(piece.slab, units.positions, units.sizes), steps, target.chain,
                    self._placement,
                )  # fmt: skip
                found.records.clear()
                self._keep(names, which, piece, units, found, steps)
                numbers = self._count + np.arange(len(units.linear))
                columns.append((units.linear, numbers, units.starts, units.sizes))
                self._count += len(numbers)
        linear, *others = join_columns(columns, 4)
        order = np.argsort(linear, kind="stable")
        return ChunkTable(grid, linear[order], *(column[order] for column in others))

    def finish(self) -> ResidentChunks:
        """Wait for the copies; returns the chunks of all arrays."""
        self._runtime.wait_event(self._runtime.record(self._stream))
        found, addresses, sizes = join_parts(self._parts)
        return ResidentChunks(
            self._runtime, tuple(self._memory), addresses, sizes, found, self._steps
        )

    def _waves(
        self, target: Target, keys: Sequence[str], coords: Int64
    ) -> Iterator[tuple[Sequence[str], Int64, EncodedWave]]:
        """Yield the objects in order, with their bytes in memory; the next are being read."""
        address = target.address
        expected = ChainSteps.of(target.chain).encoded_nbytes
        if isinstance(address, ShardAddress):
            expected = address.index.slots * expected + address.index.nbytes
        limit = self._shared.slab_bytes
        count = max(1, limit // (expected + ALIGNMENT))
        ahead: tuple[Sequence[str], Int64, Reading] | None = None
        try:
            for begin in range(0, len(keys), count):
                names, where = keys[begin : begin + count], coords[begin : begin + count]
                before = ahead
                reading = Reading(
                    self._store, _objects(names), self._shared.slabs, expected, limit, ahead=True
                )
                ahead = names, where, reading
                if before is not None:
                    yield before[0], before[1], before[2].result()
            if ahead is not None:
                last, ahead = ahead, None
                yield last[0], last[1], last[2].result()
        finally:
            if ahead is not None:
                ahead[2].cancel()

    def _pieces(self, wave: EncodedWave) -> Iterator[tuple[Int64, EncodedWave]]:
        """Yield the objects of a wave by the slab that they are in."""
        rows = np.flatnonzero(wave.positions >= 0)
        if len(rows) and wave.slab is not None:
            yield rows, EncodedWave(wave.slab, wave.positions[rows], wave.sizes[rows])
        elif wave.slab is not None:
            self._shared.slabs.give(wave.slab, None)
        for row, value in sorted(wave.apart.items()):
            size = memoryview(value).nbytes
            slab = self._shared.slabs.take(size)
            copy_pieces(
                slab.array, np.zeros(1, np.int64), [np.frombuffer(value, np.uint8)],
                np.array([size]),
            )  # fmt: skip
            yield np.array([row]), EncodedWave(slab, np.zeros(1, np.int64), np.array([size]))

    def _keep(
        self,
        names: Sequence[str],
        which: Int64,
        piece: EncodedWave,
        units: ChunksOf,
        found: Inspection,
        steps: ChainSteps,
    ) -> None:
        """Send a piece up, or leave it to the host; note what was found."""
        slab = piece.slab
        assert slab is not None
        decodes = np.zeros(len(which), np.bool_)
        np.logical_or.at(decodes, units.object_of, found.place == DEVICE)
        for j in np.flatnonzero(~decodes).tolist():
            self.host[names[which[j]]] = bytes(piece.view(j))
        addresses = np.zeros(len(units.positions), np.int64)
        event = None
        try:
            if decodes.any():
                ends = (piece.positions + piece.sizes)[decodes]
                low, high = int(piece.positions[decodes].min()), int(ends.max())
                shift = self._upload(slab, low, high) - low
                event = self._runtime.record(self._stream)
                places = zip((piece.positions + shift).tolist(), piece.sizes.tolist(), strict=True)
                for j, place in enumerate(places):
                    if decodes[j]:
                        self.device[names[which[j]]] = place
                sent = decodes[units.object_of]
                addresses[sent] = units.positions[sent] + shift
                shift_positions(found, shift, steps.coded_nbytes)
                count = int((found.place == DEVICE).sum())
                self.chunks, self.decoded_nbytes = (
                    self.chunks + count, self.decoded_nbytes + steps.layout.nbytes * count,
                )  # fmt: skip
        finally:
            self._shared.slabs.give(slab, event)
        self._parts.append((found, addresses, units.sizes))

    def _upload(self, slab: Slab, low: int, high: int) -> int:
        need = high - low
        if self._budget is not None and self.nbytes + need > self._budget:
            raise DeviceMemoryError(
                f"the chunks of {self._store} do not fit in budget={self._budget} bytes of device "
                f"memory: {self.nbytes} bytes are taken, the next {need} are too many"
            )
        buffer = self._runtime.alloc(need, self._stream)
        self._memory.append(buffer)
        self.nbytes += need
        self._runtime.upload(buffer.ptr, slab.pinned, need, self._stream, src_offset=low)
        return buffer.ptr


def _objects(names: Sequence[str]) -> Wave:
    """Return a wave that asks for whole objects; it copies nothing."""
    n = len(names)
    none = np.zeros((n, 0), np.int64)
    rows = PlanRows(none, none, none, none, none[0], (), np.ones(n, np.bool_))
    return Wave(0, rows, RequestBatch.of(names), np.ones(n, np.bool_))
