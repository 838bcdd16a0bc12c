"""Writing on the host.

1. Chunks that are files and overwritten completely are done by one native call
   (``host.native_write``), where it knows the codecs.
2. For all others ``gather`` starts tasks over runs of chunks, which are built from the value
   (``host.gather``). Each encodes its chunks with the codec chain; ``encode`` collects the results,
   while the tasks of the next wave are there to be taken.
3. Where the store keeps files, a task also stores each chunk, which is still in cache then.
"""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.codecs.chain import CodecChain
from cuzarr.config import config
from cuzarr.engine.batch import EncodedWave, Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.host.gather import Gather
from cuzarr.host.layout import host_records
from cuzarr.host.native_write import NativeWrite, native_write
from cuzarr.host.native_zstd import with_native_zstd

_WAVE_BYTES = 2**25  #: decoded bytes that are encoded before they are stored
_CALL_BYTES = 2**27  #: the same where files are; of these only parts of shards are kept till then
_CALL_CHUNKS = 16  #: at least, for each thread: at the end of a call some wait for the last chunk
_NONE = np.zeros(0, np.int64)
_STORED = b""  #: what is left of a chunk that its task has stored
Encoded = list[Bytes | None]


@dataclass(frozen=True, slots=True)
class _Gathered:
    """A wave under way.

    Attributes
    ----------
    rest : int64 array
        Rows that tasks do; the others are stored.
    empty : int64 array
        Rows that are to be deleted.
    stored : set of int
        Shards that are stored.
    values, futures
        What is known already of the rest, and the tasks that do it.
    """

    wave: Wave
    rest: npt.NDArray[np.int64]
    empty: npt.NDArray[np.int64]
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
        self._files = hasattr(job.store, "file_root")  # of FileSource; isinstance takes far longer
        nbytes, least = (_CALL_BYTES, _CALL_CHUNKS) if self._files else (_WAVE_BYTES, 4)
        wave_chunks = min(config.get("host.wave_chunks"), nbytes // self.chunk_bytes)
        self.wave_chunks = max(least * self._threads, wave_chunks)
        self.ahead = 1  # no thread waits for the last chunk of a wave
        self._chunks = 0
        self._running: list[Future[Encoded]] = []
        self._value = value
        self._fill: Any = np.array(job.fill_value, job.chain.chunk.dtype)[()]

    @cached_property
    def _native(self) -> NativeWrite | None:
        return native_write(self.job, self._value, self.write_empty_chunks, self._threads)

    @cached_property
    def _gather(self) -> Gather:
        return Gather(self.job, self._value, self._fill)

    @cached_property
    def _kept(self) -> CodecChain:
        return with_native_zstd(self.job.chain)

    @cached_property
    def _passing(self) -> CodecChain:
        return with_native_zstd(self.job.chain, passing=True)

    def gather(self, wave: Wave) -> _Gathered:
        """Write what the native code can, and start the tasks of what it cannot."""
        n = len(wave)
        self._chunks += n
        rest, empty, stored = np.arange(n), _NONE, frozenset[int]()
        if self._files and wave.rows.complete.any() and self._native is not None:
            if wave.inner is not None:
                rest, stored = self._native.write_shards(wave, wave.inner)
            else:
                rest, empty = self._native.write_files(wave)
        values: Encoded = []
        futures: list[Future[Encoded]] = []
        if len(rest):
            values, futures = self._start(wave if len(rest) == n else wave.take(rest))
        return _Gathered(wave, rest, empty, stored, values, futures)

    def encode(self, gathered: _Gathered) -> EncodedWave:
        """Wait for the tasks of a wave, and return what is left to do; raises the first error."""
        wave, futures = gathered.wave, gathered.futures
        if futures:  # one by one they would wake this thread for each
            wait(futures, return_when=FIRST_EXCEPTION)
        values = gathered.values + [value for future in futures for value in future.result()]
        del self._running[: len(futures)]
        done = dict(zip(gathered.rest.tolist(), values, strict=True))
        if not self._stores(wave):
            every = [done.get(i) for i in range(len(wave))]
            return EncodedWave(wave, every, stored=gathered.stored)
        found = [i for i, value in done.items() if value is None]
        if not found and not len(gathered.empty):
            return EncodedWave(wave.take(slice(0, 0)), [])
        empty = np.sort(np.append(gathered.empty, np.array(found, np.int64)))
        return EncodedWave(wave.take(empty), [None] * len(empty))

    def finish(self) -> None:
        """Say where the steps ran; ``encode`` has waited for everything."""
        self.job.report.extend(host_records(self.job, self._chunks))

    def abort(self) -> None:
        """End the tasks of all waves."""
        abandon(self._running)

    def _start(self, wave: Wave) -> tuple[Encoded, list[Future[Encoded]]]:
        """Start the tasks of a wave; what is one task is done at once.

        Threads take chunks that are far apart: files are seldom made in one directory at a time,
        which would make them wait for each other.
        """
        n = len(wave)
        run = min(max(1, 2**20 // self.chunk_bytes), -(-n // self._threads))
        if run >= n:
            return self._run(wave), []
        parts = [wave.take(slice(first, first + run)) for first in range(0, n, run)]
        apart = -(-len(parts) // self._threads)
        order = [i for first in range(apart) for i in range(first, len(parts), apart)]
        started = {i: pool().submit(self._run, parts[i]) for i in order}
        futures = [started[i] for i in range(len(parts))]
        self._running += futures
        return [], futures

    def _stores(self, wave: Wave) -> bool:
        """Whether the tasks store what they have encoded: files that are one chunk each."""
        return self._files and wave.inner is None

    def _run(self, wave: Wave) -> Encoded:
        keys, encoded = wave.requests.key_list(), []
        stores = self._stores(wave)
        encoder = self._passing if stores and len(wave) == 1 else self._kept
        for key, chunk in zip(keys, self._gather.chunks(wave), strict=True):
            empty = not self.write_empty_chunks and _is_fill(chunk, self._fill)
            encoded.append(None if empty else encoder.encode(key, chunk))
        if not stores:
            return encoded
        full = {k: v for k, v in zip(keys, encoded, strict=True) if v is not None}
        self.job.store.set_many(list(full), [memoryview(value) for value in full.values()])
        return [None if value is None else _STORED for value in encoded]


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
