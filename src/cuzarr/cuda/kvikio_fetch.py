"""Encoded chunks read from files straight into device memory, by kvikio.

The choice of ``cuda.fetch="kvikio"``, for stores whose objects are files. With GPUDirect Storage
the bytes go from the disk to the device; without it kvikio reads through buffers of its own.

1. Sizes are asked of the file system, and places given out in a device slab; what does not fit, and
   links, are bytes objects as in ``cuda.fetch``.
2. kvikio's threads read all pieces; each file is opened once for a wave.
3. Where headers are to be parsed, or the host has to decode, the slab is downloaded.
"""

from __future__ import annotations

import contextlib
import os
import stat
from concurrent.futures import Future
from importlib import import_module
from typing import Any

import numpy as np

from cuzarr.cuda.fetch import EncodedWave, check_statuses
from cuzarr.cuda.memory import align
from cuzarr.cuda.runtime import Stream
from cuzarr.cuda.shared import Shared
from cuzarr.cuda.steps import ChainSteps
from cuzarr.engine.batch import Job, Wave
from cuzarr.engine.pool import abandon, pool, threads
from cuzarr.errors import CuzarrError, MissingPackageError
from cuzarr.storage.base import RequestBatch, Status, is_file_source
from cuzarr.storage.status import errno_status


def load_kvikio() -> Any:
    """Return the module kvikio, told to use as many threads as the host backend.

    Raises
    ------
    MissingPackageError
    """
    try:
        # Its wheel loads this library only where cuda-pathfinder is installed as well.
        with contextlib.suppress(ImportError):
            import_module("rapids_logger").load_library()
        kvikio = import_module("kvikio")
        import_module("kvikio.defaults").set({"num_threads": threads()})
    except (ImportError, OSError) as error:
        raise MissingPackageError(
            'cuda.fetch="kvikio" needs kvikio: pip install kvikio-cu13 (or kvikio-cu12, by '
            f"driver); {error}"
        ) from error
    return kvikio


class KvikioReading:
    """The encoded chunks of a wave, while kvikio reads them: what ``Reading`` is otherwise.

    Parameters
    ----------
    shared : Shared
    job : Job
        Its store is a ``FileSource``.
    steps : ChainSteps
    wave : Wave
    ahead : bool
        Read in the background.
    """

    def __init__(
        self,
        shared: Shared,
        job: Job,
        steps: ChainSteps,
        wave: Wave,
        *,
        ahead: bool,
    ) -> None:
        assert shared.device_slabs is not None
        self._shared, self._kvikio, self._slabs = shared, load_kvikio(), shared.device_slabs
        self._store: Any = job.store
        self._steps = steps
        n = len(wave)
        self._rows = rows = np.flatnonzero(wave.present)
        self._batch = wave.requests if len(rows) == n else wave.requests.take(rows)
        self._found = EncodedWave(None, np.full(n, -1, np.int64), np.full(n, -1, np.int64))
        self._future: Future[None] | None = pool().submit(self._read) if ahead else None

    def result(self) -> EncodedWave:
        """Wait for the chunks; raises what ``Reading.result`` raises."""
        if self._future is None:
            self._read()
        else:
            self._future.result()
        return self._found

    def cancel(self) -> None:
        """Wait for a read that is under way, and give the memory back; never raises."""
        if self._future is not None:
            abandon((self._future,))
        found = self._found
        if found.device is not None:
            self._slabs.give(found.device, self._shared.runtime.record(self._slabs.stream))
            found.device = None
        if found.slab is not None:
            self._shared.slabs.give(found.slab, None)
            found.slab = None

    def _read(self) -> None:
        batch, found, rows = self._batch, self._found, self._rows
        if len(rows) == 0:
            return
        root = self._store.file_root(batch)
        paths = [f"{root}/{key}" for key in batch.key_list()]
        sizes, statuses, linked = _measure(paths, batch)
        check_statuses(batch, statuses)
        room = np.where((sizes >= 0) & ~linked, align_all(sizes), 0)
        ends = np.cumsum(room)
        fits = (room > 0) & (ends <= self._shared.slab_bytes)
        apart = (linked | ((room > 0) & ~fits)).nonzero()[0]
        if len(apart):
            self._get_apart(batch.take(apart), rows[apart])
        for row in rows[sizes == 0].tolist():  # of which no place need be given out
            found.apart[row], found.sizes[row] = b"", 0
        inside = np.flatnonzero(fits)
        if len(inside) == 0:
            return
        found.sizes[rows[inside]] = sizes[inside]
        found.positions[rows[inside]] = (ends - room)[inside]
        total = int(ends[inside[-1]])
        found.device = self._slabs.take(total)
        self._fill(paths, inside, sizes, ends - room)
        if self._needs_host(sizes[inside]):
            self._download(total)

    def _fill(self, paths: list[str], inside: Any, sizes: Any, positions: Any) -> None:
        assert self._found.device is not None
        base, starts = self._found.device.ptr, self._batch.starts
        with contextlib.ExitStack() as opened:
            files: dict[str, Any] = {}
            futures = []
            for i in inside.tolist():
                path = paths[i]
                if path not in files:
                    files[path] = opened.enter_context(self._kvikio.CuFile(path, "r"))
                piece = _Piece(base + int(positions[i]), int(sizes[i]))
                futures.append(files[path].pread(piece, piece.nbytes, int(starts[i])))
            read = np.array([int(future.get()) for future in futures])
        short = np.where(read == sizes[inside], Status.OK, Status.SHORT).astype(np.int32)
        check_statuses(self._batch.take(inside), short)

    def _needs_host(self, sizes: Any) -> bool:
        steps = self._steps
        usual = steps.on_device and steps.compressor is None
        return not usual or bool((sizes != steps.coded_nbytes).any())

    def _download(self, total: int) -> None:
        runtime, found = self._shared.runtime, self._found
        assert found.device is not None
        found.slab = self._shared.slabs.take(total)
        runtime.download(found.slab.array[:total], found.device.ptr, total, self._slabs.stream)
        runtime.wait_event(runtime.record(self._slabs.stream))

    def _get_apart(self, batch: RequestBatch, rows: Any) -> None:
        answer = self._store.get_many(batch)
        check_statuses(batch, answer.statuses)
        for row, value in zip(rows.tolist(), answer.values, strict=True):
            if value is not None:
                self._found.apart[row] = value
                self._found.sizes[row] = memoryview(value).nbytes


class _Piece:
    """Device memory as kvikio takes it."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.nbytes = nbytes
        self.__cuda_array_interface__ = {
            "data": (address, False), "shape": (nbytes,), "strides": None, "typestr": "|u1",
            "version": 3,
        }  # fmt: skip


def by_kvikio(shared: Shared, store: Any) -> bool:
    """Whether kvikio is to read the objects of a store."""
    return shared.device_slabs is not None and is_file_source(store)


def give_device_slab(shared: Shared, encoded: EncodedWave, work: Stream) -> None:
    """Take back the device memory of a wave, if it has any; never raises."""
    buffer, encoded.device = encoded.device, None
    if buffer is not None and shared.device_slabs is not None:
        with contextlib.suppress(CuzarrError):  # the device failed, and is not used again
            shared.device_slabs.give(buffer, shared.runtime.record(work))


def align_all(sizes: Any) -> Any:
    """Round sizes up as ``align`` does."""
    unit = align(1)
    return -(-sizes // unit) * unit


def _measure(paths: list[str], batch: RequestBatch) -> tuple[Any, Any, Any]:
    """Return the bytes of each request (-1: no such file), statuses, and whether it is a link."""
    n = len(paths)
    sizes, statuses = np.full(n, -1, np.int64), np.zeros(n, np.int32)
    linked = np.zeros(n, np.bool_)
    known: dict[str, os.stat_result | int] = {}
    for i, (path, start, length) in enumerate(
        zip(paths, batch.starts.tolist(), batch.lengths.tolist(), strict=True)
    ):
        if path not in known:
            try:
                known[path] = os.stat(path, follow_symlinks=False)
            except OSError as error:
                known[path] = errno_status(error)
        info = known[path]
        if isinstance(info, int):
            statuses[i] = info
        elif stat.S_ISLNK(info.st_mode):
            linked[i] = True
        elif stat.S_ISREG(info.st_mode):
            sizes[i] = info.st_size - start if length < 0 else length
            if start + sizes[i] > info.st_size:
                statuses[i] = Status.SHORT
    return sizes, statuses, linked
