"""Writing on the host.

1. ``gather`` starts tasks over runs of chunks: a chunk that is not overwritten completely is
   fetched and decoded, or starts as fill value; the value's elements are copied in.
2. Each task encodes its chunks with the codec chain; ``encode`` collects the results, while the
   tasks of the next wave are there to be taken.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.engine.batch import EncodedWave, Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.errors import ChunkEncodeError
from cuzarr.host.copy import gather_row
from cuzarr.host.fetch import fetch_run
from cuzarr.host.layout import host_records
from cuzarr.host.native_zstd import with_native_zstd

_WAVE_BYTES = 32 * 2**20  #: decoded bytes that are encoded before they are stored
Encoded = list[Bytes | None]
Gathered = tuple[Wave, Encoded, list[Future[Encoded]]]


class HostWritePass:
    """One write call on the host.

    Parameters
    ----------
    job : Job
    value : array of ``job.plan.shape``
    write_empty_chunks : bool
    """

    def __init__(self, job: Job, value: npt.NDArray[Any], write_empty_chunks: bool) -> None:
        self.job, self.value, self.write_empty_chunks = job, value, write_empty_chunks
        self.chunk_bytes = max(job.chain.chunk.nbytes, 1)
        self._threads = threads()
        self.wave_chunks = max(4 * self._threads, _WAVE_BYTES // self.chunk_bytes)
        self._encoder = with_native_zstd(job.chain)
        self.ahead = 1  # no thread waits for the last chunk of a wave
        self._chunks = 0
        self._running: list[Future[Encoded]] = []
        self._fill: Any = np.array(job.fill_value, job.chain.chunk.dtype)[()]

    def gather(self, wave: Wave) -> Gathered:
        """Start the tasks of a wave; what is one task is done at once."""
        n = len(wave)
        self._chunks += n
        run = min(max(1, 2**20 // self.chunk_bytes), -(-n // self._threads))
        if run >= n:
            return wave, self._run(wave), []
        parts = [wave.take(slice(first, first + run)) for first in range(0, n, run)]
        futures = [pool().submit(self._run, part) for part in parts]
        self._running += futures
        return wave, [], futures

    def encode(self, gathered: Gathered) -> EncodedWave:
        """Wait for the tasks of a wave; raises the first error."""
        wave, values, futures = gathered
        values = values + [value for future in futures for value in future.result()]
        del self._running[: len(futures)]
        return EncodedWave(wave, values)

    def finish(self) -> None:
        """Say where the steps ran; ``encode`` has waited for everything."""
        self.job.report.extend(host_records(self.job, self._chunks))

    def abort(self) -> None:
        """End the tasks of all waves."""
        abandon(self._running)

    def _run(self, wave: Wave) -> Encoded:
        rows, chain, fields = wave.rows, self.job.chain, self.job.fields
        shape, dtype = chain.chunk.shape, chain.chunk.dtype
        complete = rows.complete if fields is None else np.zeros(len(rows), np.bool_)
        partial = np.flatnonzero(~complete)
        old = wave if len(partial) == len(rows) else wave.take(partial)
        current = fetch_run(self.job, old, self.chunk_bytes + 4096)
        stored = dict(zip(partial.tolist(), range(len(partial)), strict=True))
        covered = complete
        if len(partial) < len(rows):  # complete at the array's border may be less than the chunk
            covered = (rows.count == np.array(shape, np.int64)).all(axis=1) & complete
        encoded: Encoded = []
        for i in range(len(rows)):
            key = wave.requests.key(i)
            data = current.view(stored[i]) if i in stored else None
            try:
                if data is not None:
                    chunk = np.array(chain.decode(key, data), dtype, order="C")
                elif not rows.flat and covered[i]:
                    chunk = np.empty(shape, dtype)
                else:
                    chunk = np.full(shape, self._fill, dtype)
            except MemoryError as error:
                raise ChunkEncodeError(key, "gather", str(error)) from error
            target = chunk
            if fields is not None:
                target = (chunk.reshape(-1) if rows.flat else chunk)[fields]
            gather_row(rows, i, self.value, target)
            empty = not self.write_empty_chunks and _is_fill(chunk, self._fill)
            encoded.append(None if empty else self._encoder.encode(key, chunk))
        return encoded


def _is_fill(chunk: npt.NDArray[Any], fill: Any) -> bool:
    """Whether every element has exactly the bits of the fill value (-0.0 is not 0.0)."""
    if chunk.dtype.kind == "T":
        return bool((chunk == fill).all())
    if chunk.dtype.hasobject:  # an element may be an array, which does not compare as one
        return all(type(item) is type(fill) and item == fill for item in chunk.flat)
    if chunk.dtype.itemsize in (1, 2, 4, 8):
        bits = np.dtype(f"u{chunk.dtype.itemsize}")
        wanted = np.array(fill, chunk.dtype).reshape(1).view(bits)[0]
        flat = chunk.reshape(-1).view(bits)
        return bool(flat[0] == wanted and flat[-1] == wanted and (flat == wanted).all())
    return chunk.tobytes() == np.array(fill, chunk.dtype).tobytes() * chunk.size
