"""Chunks built from the value of a write.

1. A chunk that is overwritten in part starts as what is stored of it, decoded; one that reaches
   over the end of the array, or takes single points, as fill value.
2. The elements of the value are copied to all chunks of a run by one native call, where it only
   has to move or to reverse bytes; else row by row by NumPy, which converts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.engine.batch import Job, Wave
from cuzarr.errors import ChunkEncodeError
from cuzarr.host.copy import gather_row
from cuzarr.host.fetch import HEADERS, fetch_run
from cuzarr.host.layout import moves_bytes, swap_unit

_SMALL_BYTES = 2**16  #: of a single chunk, which NumPy copies sooner than a native call is made


class Gather:
    """What one write call copies.

    Parameters
    ----------
    job : Job
    value : array of ``job.plan.shape``
    fill : scalar
        Of the chunks.
    """

    def __init__(self, job: Job, value: npt.NDArray[Any], fill: Any) -> None:
        self.job, self.value, self.fill = job, value, fill
        chunk = job.chain.chunk
        self.native = (
            native.HAVE_NATIVE and job.fields is None and moves_bytes(value.dtype, chunk.dtype)
        )

    def chunks(self, wave: Wave) -> list[npt.NDArray[Any]]:
        """Return the decoded chunks of a wave.

        Raises
        ------
        ChunkDecodeError
            A chunk of which the value leaves something could not be read.
        ChunkEncodeError
            It has no room in memory.
        """
        rows, chunk = wave.rows, self.job.chain.chunk
        n = len(rows)
        complete = rows.complete if self.job.fields is None else np.zeros(n, np.bool_)
        try:
            block = np.empty((n, *chunk.shape), chunk.dtype)
            chunks = [block[i : i + 1].reshape(chunk.shape) for i in range(n)]
            self._begin(wave, chunks, complete)
        except MemoryError as error:
            raise ChunkEncodeError(wave.requests.key(0), "gather", str(error)) from error
        if self.native and (n > 1 or block.nbytes > _SMALL_BYTES):
            self._copy(wave, block)
            return chunks
        for i, target in enumerate(chunks):
            if self.job.fields is not None:
                target = (target.reshape(-1) if rows.flat else target)[self.job.fields]
            gather_row(rows, i, self.value, target)
        return chunks

    def _begin(
        self, wave: Wave, chunks: list[npt.NDArray[Any]], complete: npt.NDArray[np.bool_]
    ) -> None:
        """Give the chunks what the value does not overwrite."""
        rows, chain, old = wave.rows, self.job.chain, wave
        partial = unset = list(range(len(rows)))
        if complete.any():
            # at the border of the array it may be less than the chunk; a list may repeat itself
            if not rows.flat and all(pair is None for pair in rows.lists):
                covered = (rows.count == np.array(chain.chunk.shape, np.int64)).all(axis=1)
                unset = np.flatnonzero(~(complete & covered)).tolist()
            if not unset:
                return
            which = np.flatnonzero(~complete)
            partial, old = which.tolist(), wave.take(which)
        current = fetch_run(self.job, old, max(chain.chunk.nbytes, 1) + HEADERS)
        stored = set()
        for k, i in enumerate(partial):
            data = current.view(k)
            if data is not None:
                chunks[i][...] = chain.decode(wave.requests.key(i), data)
                stored.add(i)
        for i in unset:
            if i not in stored:
                np.copyto(chunks[i], self.fill, casting="unsafe")

    def _copy(self, wave: Wave, block: npt.NDArray[Any]) -> None:
        rows, dtype, chunk = wave.rows, self.value.dtype, self.job.chain.chunk
        first, nbytes = block.ctypes.data, chunk.nbytes
        strides = (dtype.itemsize,) if rows.flat else block.strides[1:]
        native.copy_rows(
            False,  # noqa: FBT003
            rows.start, rows.count, rows.out, rows.step, rows.lists,
            first + nbytes * np.arange(len(rows), dtype=np.uint64), np.array(strides, np.int64),
            self.value.ctypes.data, np.array(self.value.strides, np.int64), dtype.itemsize,
            swap_unit(chunk.dtype, dtype), bytes(dtype.itemsize),
        )  # fmt: skip
