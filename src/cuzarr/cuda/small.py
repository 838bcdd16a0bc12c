"""Reads that are too small for a device to decode.

A device decodes one chunk slowly and thousands at once, and every step of a read costs it some
microseconds. A window of a few chunks is read by the host backend, straight into page-locked
memory, no more of each chunk than it needs; then the result, and not the chunks, is sent up.

1. :func:`is_small` says whether a read is one of these: by the bytes of its chunks and its result.
2. :class:`SmallReadPass` is a pass of the host backend with an upload behind it, queued on the
   caller's stream: nothing waits for it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from cuzarr.cuda.resident import resident_chunks
from cuzarr.cuda.rows import c_strides
from cuzarr.cuda.runtime import DeviceArray
from cuzarr.cuda.shared import Shared
from cuzarr.cuda.steps import ChainSteps
from cuzarr.engine.backend import Backend
from cuzarr.engine.batch import Job, Wave

_WHY = "too small a read for a device"


def is_small(shared: Shared, job: Job, out: DeviceArray | None) -> bool:
    """Whether the host backend should do a read; its output, if given, must be contiguous.

    Of chunks that are kept in device memory, those are read there that need no decoding. The upload
    of the result of a part would overwrite what other parts read.
    """
    if job.plan.partial:
        return False
    if resident_chunks(shared, job) is not None and ChainSteps.of(job.chain).compressor is None:
        return False
    decoded = job.plan.n_chunks * job.chain.chunk.nbytes
    if max(decoded, math.prod(job.plan.shape) * job.dtype.itemsize) > shared.small_bytes:
        return False
    if out is None:
        return True
    _, shape, strides, dtype = shared.runtime.describe(out)
    return strides == c_strides(shape, dtype.itemsize)


class SmallReadPass:
    """One read call by the host backend.

    Parameters
    ----------
    shared : Shared
    host : Backend
    job : Job
    out : C-contiguous device array of ``job.plan.shape``, or None
    """

    def __init__(self, shared: Shared, host: Backend, job: Job, out: DeviceArray | None) -> None:
        self._shared, self._job, self._out = shared, job, out
        self._native = job.dtype.newbyteorder("=")
        self._nbytes = math.prod(job.plan.shape) * self._native.itemsize
        self._slab = shared.table_slabs.take(self._nbytes)
        array = self._slab.array[: self._nbytes].view(self._native).reshape(job.plan.shape)
        self._steps = host.begin_read(job, array)
        self.wave_chunks = self._steps.wave_chunks

    def fetch(self, wave: Wave) -> Any:
        """Do what the host backend does."""
        return self._steps.fetch(wave)

    def decode(self, fetched: Any) -> Any:
        """Do what the host backend does."""
        return self._steps.decode(fetched)

    def scatter(self, decoded: Any) -> None:
        """Do what the host backend does."""
        self._steps.scatter(decoded)

    def finish(self) -> DeviceArray:
        """Wait for the host, and queue the upload; raises what the host raises."""
        noted = len(self._job.report)
        self._steps.finish()
        self._job.report[noted:] = [
            replace(record, why=_WHY) for record in self._job.report[noted:]
        ]
        runtime, out = self._shared.runtime, self._out
        if out is None:
            out = runtime.empty(self._job.plan.shape, self._native)
        stream = runtime.caller_stream()
        runtime.upload(runtime.describe(out)[0], self._slab.pinned, self._nbytes, stream)
        self._shared.table_slabs.give(self._slab, runtime.record(stream))
        return out

    def abort(self) -> None:
        """Wait for the host's tasks, which write to the slab; never raises."""
        self._steps.abort()
        self._shared.table_slabs.give(self._slab, None)
