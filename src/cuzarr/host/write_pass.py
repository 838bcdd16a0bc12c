"""Writing on the host.

1. Chunks and shards that are files and overwritten completely are gathered, encoded and stored by
   one native call a wave (``host.native_write``), where it knows the codecs.
2. For all others ``gather`` starts tasks over runs of chunks, which are built from the value
   (``host.gather``). Each encodes its chunks with the codec chain; ``encode`` collects the results,
   while the tasks of the next wave are there to be taken. The engine stores them.
3. What is encoded and not stored yet takes memory, so waves are small, and grow once a whole one
   was stored natively: at the end of a native call some threads wait for the last chunk.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.config import config
from cuzarr.engine.batch import EncodedWave, Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.host.gather import Gather
from cuzarr.host.layout import host_records
from cuzarr.host.native_write import NativeWrite, native_write
from cuzarr.host.native_zstd import with_native_zstd
from cuzarr.storage.base import Int64

_WAVE_BYTES, _WAVE_CHUNKS = 2**25, 4  #: decoded, and at least for each thread
_NATIVE_BYTES, _NATIVE_CHUNKS = 2**27, 16  #: the same where nothing is held
_NONE = np.zeros(0, np.int64)
Encoded = list[Bytes | None]


@dataclass(frozen=True, slots=True)
class _Gathered:
    """A wave under way.

    Attributes
    ----------
    wave : Wave
        What is not stored: chunks that tasks encode, and behind them those that are to be deleted.
    stored : set of int
        Shards that are stored.
    values, futures
        What is known already, and the tasks that do the rest.
    """

    wave: Wave
    stored: frozenset[int]
    values: Encoded
    futures: list[Future[Encoded]]


class HostWritePass:
    """One write call on the host.

    Parameters
    ----------
    job : Job
    value : array of ``job.plan.shape``
    write_empty_chunks : bool
    """

    def __init__(self, job: Job, value: npt.NDArray[Any], write_empty_chunks: bool) -> None:
        self.job, self.write_empty_chunks = job, write_empty_chunks
        self.chunk_bytes = max(job.chain.chunk.nbytes, 1)
        self._threads = threads()
        self.wave_chunks = self._wave_chunks(_WAVE_BYTES, _WAVE_CHUNKS)
        self.ahead = 1  # no thread waits for the last task of a wave
        self._chunks = 0
        self._running: list[Future[Encoded]] = []
        self._value = value
        self._native: NativeWrite | None = None
        self._tasks: _Tasks | None = None

    def gather(self, wave: Wave) -> _Gathered:
        """Write what the native code can, and start the tasks of what it cannot."""
        n = len(wave)
        self._chunks += n
        rest, empty, stored = self._write_natively(wave)
        if self._chunks < self.job.plan.n_chunks:  # there are more waves
            size = (_WAVE_BYTES, _WAVE_CHUNKS) if len(rest) else (_NATIVE_BYTES, _NATIVE_CHUNKS)
            self.wave_chunks = self._wave_chunks(*size)
        if len(rest) < n:
            wave = wave.take(np.concatenate((rest, empty)))
        values, futures = self._start(wave, len(rest))
        return _Gathered(wave, stored, values, futures)

    def encode(self, gathered: _Gathered) -> EncodedWave:
        """Wait for the tasks of a wave, and return what is left to do; raises the first error."""
        wave, futures = gathered.wave, gathered.futures
        if futures:  # one by one they would wake this thread for each
            wait(futures, return_when=FIRST_EXCEPTION)
        values = gathered.values + [value for future in futures for value in future.result()]
        del self._running[: len(futures)]
        values += [None] * (len(wave) - len(values))
        return EncodedWave(wave, values, stored=gathered.stored)

    def finish(self) -> None:
        """Say where the steps ran; ``encode`` has waited for everything."""
        self.job.report.extend(host_records(self.job, self._chunks))

    def abort(self) -> None:
        """End the tasks of all waves."""
        abandon(self._running)

    def _wave_chunks(self, nbytes: int, per_thread: int) -> int:
        most = min(config.count("host.wave_chunks"), nbytes // self.chunk_bytes)
        return max(per_thread * self._threads, most)

    def _write_natively(self, wave: Wave) -> tuple[Int64, Int64, frozenset[int]]:
        """Return rows that are not stored, those that are to be deleted, and shards that are."""
        whole = wave.inner.whole if wave.inner is not None else wave.rows.complete
        if self._native is None and whole.any():
            self._native = native_write(
                self.job, self._value, self.write_empty_chunks, self._threads
            )
        if self._native is None or not whole.any():
            return np.arange(len(wave)), _NONE, frozenset()
        if wave.inner is None:
            return *self._native.write_files(wave), frozenset()
        rest, stored = self._native.write_shards(wave, wave.inner)
        return rest, _NONE, stored

    def _start(self, wave: Wave, n: int) -> tuple[Encoded, list[Future[Encoded]]]:
        """Start the tasks of the first ``n`` rows of a wave; what is one task is done at once."""
        if n == 0:
            return [], []
        if self._tasks is None:
            self._tasks = _Tasks(self.job, self._value, self.write_empty_chunks)
        run = min(max(1, 2**20 // self.chunk_bytes), -(-n // self._threads))
        if run >= n:
            return self._tasks.encode(wave.take(slice(0, n)) if n < len(wave) else wave), []
        ends = [*range(run, n, run), n]
        parts = (wave.take(slice(first, end)) for first, end in zip([0, *ends], ends, strict=False))
        before = len(self._running)
        for part in parts:  # one by one: ``abort`` has to know them when no thread can be started
            self._running.append(pool().submit(self._tasks.encode, part))
        return [], self._running[before:]


class _Tasks:
    """What the tasks of one write call share."""

    def __init__(self, job: Job, value: npt.NDArray[Any], write_empty_chunks: bool) -> None:
        self._fill: Any = np.array(job.fill_value, job.chain.chunk.dtype)[()]
        self._gather = Gather(job, value, self._fill)
        self._chain = with_native_zstd(job.chain)
        self._write_empty_chunks = write_empty_chunks

    def encode(self, wave: Wave) -> Encoded:
        """Build the chunks of a part of a wave, and encode them."""
        return [
            None if not self._write_empty_chunks and _is_fill(chunk, self._fill)
            else self._chain.encode(key, chunk)
            for key, chunk in zip(wave.requests.key_list(), self._gather.chunks(wave), strict=True)
        ]  # fmt: skip


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
