"""Reading on the host.

1. ``scatter`` cuts a wave into runs and gives each to the pool (a lone run is done at once).
2. A run is fetched (``host.fetch``), decoded by one native call, straight into the output where a
   chunk's place there is contiguous, and copied by another.
3. What the native calls cannot do, or report as bad, is done again chunk by chunk by the codec
   chain itself, which also says exactly what is wrong.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.config import config
from cuzarr.engine.batch import Job, Wave
from cuzarr.engine.pool import pool, threads
from cuzarr.host.copy import scatter_row
from cuzarr.host.fetch import Encoded, fetch_run, thread_buffer
from cuzarr.host.layout import (
    byte_range,
    contiguous_in,
    host_records,
    native_codec,
    rows_in_bytes,
    swap_unit,
)
from cuzarr.plan.chunk_plan import PlanRows


class HostReadPass:
    """One read call on the host.

    Parameters
    ----------
    job : Job
    out : array of ``job.plan.shape``
    """

    def __init__(self, job: Job, out: npt.NDArray[Any]) -> None:
        self.job, self.out = job, out
        self.wave_chunks: int = config.get("host.wave_chunks")
        self.chunk_bytes = max(job.chain.chunk.nbytes, 1)
        self._chunks = 0
        self._futures: list[Future[None]] = []
        self._codec = native_codec(job.chain)
        layout = job.chain.layout
        self._in_place = (
            layout is not None
            and layout.c_contiguous
            and layout.dtype == out.dtype
            and job.plan.points is None
            and contiguous_in(out, layout.shape)
        )

    def fetch(self, wave: Wave) -> Wave:
        """Return the wave: reading is part of ``scatter``."""
        return wave

    def decode(self, fetched: Wave) -> Wave:
        """Return the wave: decoding is part of ``scatter``."""
        return fetched

    def scatter(self, decoded: Wave) -> None:
        """Fetch, decode and copy the wave, run by run."""
        run = max(1, config.get("host.run_bytes") // self.chunk_bytes)
        n = len(decoded)
        self._chunks += n
        run = min(run, -(-n // threads())) if self.chunk_bytes * n > 2**18 else n
        if run >= n:
            self._run(decoded)
            return
        workers = pool()
        for first in range(0, n, run):
            self._futures.append(workers.submit(self._run, decoded.take(slice(first, first + run))))

    def finish(self) -> npt.NDArray[Any]:
        """Wait for every run; raises the error of the first chunk, in plan order, that failed."""
        for future in self._futures:
            future.result()
        self.job.report.extend(host_records(self.job, self._chunks))
        return self.out

    def abort(self) -> None:
        """Cancel what has not started and wait for the rest: it writes to the output."""
        for future in self._futures:
            if not future.cancel():
                future.exception()

    def _run(self, wave: Wave) -> None:
        encoded = fetch_run(self.job.store, wave, self.chunk_bytes + self.chunk_bytes // 64 + 1024)
        if self._codec is None:
            self._by_chunk(wave, encoded, range(len(wave)))
            return
        try:
            bad = self._natively(wave, encoded)
        except MemoryError:  # one by one, so that the error names the chunk that is too large
            bad = np.arange(len(wave))
        if len(bad):
            self._by_chunk(wave, encoded, bad.tolist())

    def _natively(self, wave: Wave, encoded: Encoded) -> npt.NDArray[np.int64]:
        """Decode and copy all rows that are sound; return those that are not."""
        codec, layout = self._codec, self.job.chain.layout
        assert codec is not None
        assert layout is not None
        rows, n = wave.rows, len(wave)
        stored = encoded.pointers != 0
        if not stored.any() or (codec.name == "raw" and not codec.crc32c):
            bad = np.flatnonzero(stored & (encoded.sizes != layout.nbytes))
            self._copy(rows, encoded.pointers, bad)
            return bad
        placed = np.zeros(n, np.bool_)
        if self._in_place:
            placed = stored & (rows.count == np.array(layout.shape, np.int64)).all(axis=1)
            placed &= bool((rows.step == 1).all())
        if placed.all():
            targets = self._places(rows)
        else:
            scratch = thread_buffer("decoded", n * layout.nbytes + 64)
            base = np.uint64(scratch.ctypes.data)
            targets = base + np.arange(n, dtype=np.uint64) * np.uint64(layout.nbytes)
            if placed.any():
                targets = np.where(placed, self._places(rows), targets)
        statuses = np.zeros(n, np.int32)
        low, high = byte_range(rows, layout) if codec.partial else (None, None)
        native.decode_batch(
            codec.name, codec.crc32c, encoded.pointers, encoded.sizes, targets, layout.nbytes,
            low, high, statuses,
        )  # fmt: skip
        bad = np.flatnonzero(statuses)
        if not placed.all():
            self._copy(rows, np.where(stored, targets, np.uint64(0)), bad, ~placed)
        return bad

    def _places(self, rows: PlanRows) -> npt.NDArray[np.uint64]:
        offsets = rows.out @ np.array(self.out.strides, np.int64)
        return (self.out.ctypes.data + offsets).astype(np.uint64)

    def _copy(
        self,
        rows: PlanRows,
        chunks: npt.NDArray[np.uint64],
        bad: npt.NDArray[np.int64],
        wanted: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        layout = self.job.chain.layout
        assert layout is not None
        if wanted is not None or len(bad):
            keep = np.ones(len(rows), np.bool_) if wanted is None else wanted.copy()
            keep[bad] = False
            rows, chunks = rows.take(keep), np.ascontiguousarray(chunks[keep])
        rows, strides = rows_in_bytes(rows, layout)
        native.copy_rows(
            True,  # noqa: FBT003  # scatter
            rows.start, rows.count, rows.out, rows.step, rows.lists, chunks, strides,
            self.out.ctypes.data, np.array(self.out.strides, np.int64), layout.dtype.itemsize,
            swap_unit(layout.dtype, self.out.dtype),
            np.array(self.job.fill_value, self.out.dtype).tobytes(),  # a scalar has no byte order
        )  # fmt: skip

    def _by_chunk(self, wave: Wave, encoded: Encoded, which: Any) -> None:
        chain = self.job.chain
        for i in which:
            data = encoded.view(i)
            if data is None:
                scatter_row(wave.rows, i, self.job.fill_value, self.out)
            else:
                chunk = chain.decode(wave.requests.key(i), data)
                scatter_row(wave.rows, i, chunk, self.out)
