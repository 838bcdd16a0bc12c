"""Reading on the host.

1. Of a store whose objects are files, a wave is one native call, which reads, decodes and copies on
   its own threads, and touches no more bytes than the selection needs. So is one of a store in
   memory, whose values are decoded where they are.
2. For any other store, and for codecs that the native code does not know, a wave is cut into runs,
   each of which is fetched (``host.fetch``), decoded and copied by a task of the pool.
3. What the native call reports as bad is fetched again, and decoded chunk by chunk by the codec
   chain itself, which also says exactly what is wrong. So are all chunks of a result that has
   booleans or texts which cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.impossible import may_be_impossible, what_is_impossible
from cuzarr.config import config
from cuzarr.engine.batch import Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.host.copy import scatter_row
from cuzarr.host.fetch import HEADERS, Encoded, fetch_run
from cuzarr.host.layout import byte_lists, host_records, native_codec, wave_chunks
from cuzarr.native.tables import FileSource, MemorySource
from cuzarr.storage.base import is_file_source

_CALL_BYTES = 2**28  #: decoded bytes per native call: between calls the interpreter sees signals
_SCRATCH_BYTES = 2**30  #: what all threads of a call may need for decoded chunks
_NONE = np.zeros(0, np.int64)
_SMALL_BYTES = 2**18  #: decoded bytes that are not worth a second thread


class HostReadPass:
    """One read call on the host.

    Parameters
    ----------
    job : Job
    out : array of ``job.plan.shape``
    """

    def __init__(self, job: Job, out: npt.NDArray[Any]) -> None:
        self.job, self.out = job, out
        self.wave_chunks = config.count("host.wave_chunks")
        self.chunk_bytes = max(job.chain.chunk.nbytes, 1)
        self._chunks = 0
        self._futures: list[Future[None]] = []
        self._doubtful: list[Wave] | None = [] if may_be_impossible(job.dtype) else None
        codec = native_codec(job.chain)
        self._native = None if codec is None else wave_chunks(job, codec, out)
        self._address, self._strides = out.ctypes.data, np.array(out.strides, np.int64)

    def fetch(self, wave: Wave) -> Wave:
        """Return the wave: reading is part of ``scatter``."""
        return wave

    def decode(self, fetched: Wave) -> Wave:
        """Return the wave: decoding is part of ``scatter``."""
        return fetched

    def scatter(self, decoded: Wave) -> None:
        """Fetch, decode and copy the wave."""
        self._chunks += len(decoded)
        if self._doubtful is not None:
            self._doubtful.append(decoded)
        store = self.job.store
        if self._native is not None and is_file_source(store):
            for part in self._parts(decoded, self._call_bytes(len(decoded))):
                self._from_files(part, store.file_root(part.requests))
        elif self._native is not None and getattr(store, "in_memory", False):
            for part in self._parts(decoded, self._call_bytes(len(decoded))):
                self._run(part, self._threads(len(part)))
        else:
            self._on_pool(decoded)

    def finish(self) -> npt.NDArray[Any]:
        """Wait for every run; raises the error of the first chunk, in plan order, that failed."""
        for future in self._futures:
            future.result()
        if self._doubtful and what_is_impossible(self.out):
            self._name_the_chunk(self._doubtful)
        self.job.report.extend(host_records(self.job, self._chunks))
        return self.out

    def abort(self) -> None:
        """Cancel what has not started and wait for the rest: it writes to the output."""
        abandon(self._futures)

    def _name_the_chunk(self, waves: list[Wave]) -> None:
        """Decode all chunks by the codec chain, which raises for what no element may be."""
        for wave in waves:
            for run in self._parts(wave, config.count("host.run_bytes")):
                encoded = fetch_run(self.job, run, self.chunk_bytes + HEADERS)
                self._by_chunk(run, encoded, range(len(run)))

    def _parts(self, wave: Wave, nbytes: int) -> Iterator[Wave]:
        """Cut a wave into pieces of so many decoded bytes."""
        n, count = len(wave), max(1, nbytes // self.chunk_bytes)
        if count >= n:
            yield wave
            return
        for first in range(0, n, count):
            yield wave.take(slice(first, first + count))

    def _call_bytes(self, chunks: int) -> int:
        """Return the decoded bytes of one native call, enough for every thread to have a chunk."""
        return max(_CALL_BYTES, self._threads(chunks) * self.chunk_bytes)

    def _threads(self, chunks: int) -> int:
        if chunks == 1 or chunks * self.chunk_bytes <= _SMALL_BYTES:
            return 1
        return max(1, min(threads(), _SCRATCH_BYTES // self.chunk_bytes))

    def _on_pool(self, wave: Wave) -> None:
        n = len(wave)
        nbytes = min(config.count("host.run_bytes"), -(-n // threads()) * self.chunk_bytes)
        if n * self.chunk_bytes <= max(nbytes, _SMALL_BYTES):
            self._run(wave)
            return
        for run in self._parts(wave, nbytes):
            self._futures.append(pool().submit(self._run, run))

    def _from_files(self, wave: Wave, root: str) -> None:
        requests = wave.requests
        source = root, requests.keys, requests.offsets, requests.starts, requests.lengths
        bad = self._natively(wave, source, self._threads(len(wave)))
        if len(bad):
            for run in self._parts(wave.take(bad), config.count("host.run_bytes")):
                self._run(run)

    def _run(self, wave: Wave, workers: int = 1) -> None:
        encoded = fetch_run(self.job, wave, self.chunk_bytes + self.chunk_bytes // 64 + 1024)
        if self._native is None:
            self._by_chunk(wave, encoded, range(len(wave)))
            return
        bad = self._natively(wave, (encoded.pointers, encoded.sizes), workers)
        if len(bad):
            self._by_chunk(wave, encoded, bad.tolist())

    def _natively(
        self, wave: Wave, source: FileSource | MemorySource, workers: int
    ) -> npt.NDArray[np.int64]:
        """Decode and copy all chunks that are sound; return those that are not."""
        chunks, layout, rows = self._native, self.job.chain.layout, wave.rows
        assert chunks is not None
        assert layout is not None
        statuses = native.read_wave(
            source, wave.present, chunks,
            rows.start, rows.count, rows.out, rows.step, byte_lists(rows, layout),
            self._address, self._strides, workers, rows.first,
        )  # fmt: skip
        return np.flatnonzero(statuses) if np.count_nonzero(statuses) else _NONE

    def _by_chunk(self, wave: Wave, encoded: Encoded, which: Iterable[int]) -> None:
        chain = self.job.chain
        for i in which:
            data = encoded.view(i)
            chunk: Any = self.job.fill_value
            if data is not None:
                chunk = chain.decode(wave.requests.key(i), data)
            for row in wave.rows.of(i):
                scatter_row(wave.rows, row, chunk, self.out)
