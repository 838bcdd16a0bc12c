"""Chunks of a wave that host threads decode, then uploaded.

1. ``start`` cuts the rows into runs, one task of the pool each; a run decodes into its part of one
   block of host memory: a pinned slab where the rows fit, else plain memory.
2. A run goes through ``native.decode_batch`` where that knows the codecs; rows that it reports, and
   all others, through the codec chain, which says exactly what is wrong.
3. ``wait`` raises the first error, in row order.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.chain import CodecChain
from cuzarr.cuda.fetch import EncodedWave
from cuzarr.cuda.memory import Slab, SlabPool, align
from cuzarr.cuda.steps import ChainSteps
from cuzarr.engine.batch import Wave
from cuzarr.engine.pool import abandon, pool, threads

_RUN_BYTES = 1 << 20


class HostDecode:
    """Rows of one wave on the host.

    Parameters
    ----------
    chain : CodecChain
    steps : ChainSteps
    wave : Wave
    encoded : EncodedWave
        Must not change before ``wait`` has returned.
    rows : (m,) int64
    slabs : SlabPool
    limit : int
        Bytes that a pinned slab may have.

    Attributes
    ----------
    memory : (m * stride,) uint8 array
        Row ``rows[j]`` is decoded at ``j * stride``.
    slab : Slab or None
        Where the memory is pinned.
    """

    def __init__(
        self,
        chain: CodecChain,
        steps: ChainSteps,
        wave: Wave,
        encoded: EncodedWave,
        rows: npt.NDArray[np.int64],
        slabs: SlabPool,
        limit: int,
    ) -> None:
        self.rows = rows
        self._chain, self._steps, self._wave, self._encoded = chain, steps, wave, encoded
        self.size = steps.layout.nbytes
        self.stride = align(self.size)
        total = max(1, len(rows) * self.stride)
        self.slab: Slab | None = slabs.take(total) if total <= limit else None
        self.memory = np.empty(total, np.uint8) if self.slab is None else self.slab.array[:total]
        known = steps.native_codec in native.codecs_available()
        self._native = steps.native_codec if known else None
        self._futures: list[Future[None]] = []

    def start(self) -> None:
        """Queue the tasks."""
        m = len(self.rows)
        run = min(max(1, _RUN_BYTES // max(1, self.size)), -(-m // threads()))
        workers = pool()
        for first in range(0, m, run):
            self._futures.append(workers.submit(self._run, first, min(first + run, m)))

    def wait(self) -> None:
        """Wait for every task; raises ``ChunkDecodeError`` of the first row that failed."""
        for future in self._futures:
            future.result()

    def cancel(self) -> None:
        """Drop what has not started and wait for the rest; never raises."""
        abandon(self._futures)

    def _run(self, first: int, last: int) -> None:
        which = range(first, last)
        if self._native is not None:
            which = self._natively(first, last)
        for j in which:
            row = int(self.rows[j])
            self._by_chain(j, self._wave.requests.key(row), self._encoded.view(row))

    def _natively(self, first: int, last: int) -> Any:
        assert self._native is not None
        views = [
            np.frombuffer(self._encoded.view(int(row)), np.uint8) for row in self.rows[first:last]
        ]
        statuses = native.decode_batch(
            self._native, self._steps.crc32c,
            np.array([view.ctypes.data for view in views], np.uint64),
            np.array([view.nbytes for view in views], np.int64),
            (self.memory.ctypes.data + self.stride * np.arange(first, last)).astype(np.uint64),
            self.size,
        )  # fmt: skip
        return (first + np.flatnonzero(statuses)).tolist()

    def _by_chain(self, j: int, key: str, data: memoryview) -> None:
        target = self.memory[j * self.stride : j * self.stride + self.size]
        chain = self._chain
        if chain.layout is None:
            chunk = chain.decode(key, data)
            native_order, layout = chain.chunk.dtype.newbyteorder("="), self._steps.layout
            np.ndarray(layout.shape, native_order, target, strides=layout.strides)[...] = chunk
            return
        raw = chain.decode_bytes(key, data, target)
        if raw is not target:
            target[...] = np.frombuffer(raw, np.uint8)
