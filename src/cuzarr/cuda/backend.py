"""The CUDA backend: the verbs of ``engine.backend`` on one device.

``read_pass`` and ``write_pass`` hold them; they are written against ``cuda.runtime`` alone, so all
of this runs on the emulated device of the tests as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from cuzarr.codecs.impossible import may_be_impossible
from cuzarr.cuda.encode_steps import MODES, EncodeMode
from cuzarr.cuda.placement import Mode, Placement
from cuzarr.cuda.read_pass import CudaReadPass
from cuzarr.cuda.rows import check_elements
from cuzarr.cuda.runtime import DeviceArray, Runtime
from cuzarr.cuda.shared import Fetch, Shared
from cuzarr.cuda.small import SmallReadPass, is_small
from cuzarr.cuda.write_pass import CudaWritePass
from cuzarr.cuda.write_value import placed
from cuzarr.engine.backend import Backend, ReadPass
from cuzarr.engine.batch import Job
from cuzarr.engine.pool import threads

DEFAULT_BUDGET = 1 << 30
DEFAULT_SLAB_BYTES = 1 << 28


class CudaBackend:
    """Decodes on a device, or on host threads where that is better; results live on the device.

    Parameters
    ----------
    runtime : Runtime
    budget : int
        Bytes of device scratch per call.
    slab_bytes : int
        Bytes of each pinned slab; up to four are kept.
    device_decode : {"checked", "trusted", "host"}
        ``checked``: nvCOMP decodes what passed every check that headers and checksums allow.
        ``trusted``: checksums are verified on the device, not before. ``host``: the host decodes
        everything that is compressed.
    placement : mapping of str to int
        Least number of streams in a wave that the device decodes, by nvCOMP format.
    encode : {"auto", "host", "device"}
        Where chunks of a write are encoded: ``auto``: on the device where it has the codecs and
        enough streams; ``device``: wherever it has the codecs.
    host : Backend or None
        Does the small reads (``cuda.small``).
    small_bytes : int or None
        Bytes of chunks up to which a read is small; None: 1 MiB for each host thread, which a host
        decodes in about the time that a device takes for one stream.
    fetch : {"native", "kvikio"}
        What reads the files of a local store: the native reader, into pinned memory, or kvikio,
        into device memory (``cuda.kvikio_fetch``).
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        budget: int = DEFAULT_BUDGET,
        slab_bytes: int = DEFAULT_SLAB_BYTES,
        device_decode: Mode = "checked",
        placement: Mapping[str, int] | None = None,
        encode: EncodeMode = "auto",
        host: Backend | None = None,
        small_bytes: int | None = None,
        fetch: Fetch = "native",
    ) -> None:
        if encode not in MODES:
            raise ValueError(f"encode must be one of {', '.join(MODES)}, not {encode!r}")
        self.runtime = runtime
        self._encode = encode
        self._host = host
        self.name = runtime.name
        decide = Placement(device_decode, runtime.nvcomp is not None, placement)
        small = threads() << 20 if small_bytes is None else small_bytes
        self.shared = Shared(runtime, budget, slab_bytes, small, decide, fetch)

    def begin_read(self, job: Job, out: DeviceArray | None) -> ReadPass:
        """Start a read into ``out``, or into a new C-contiguous array."""
        check_elements(job.dtype)
        if self._host is not None and is_small(self.shared, job, out):
            return SmallReadPass(self.shared, self._host, job, out)
        return CudaReadPass(self.shared, job, self._empty(job) if out is None else out)

    def new_output(self, job: Job) -> DeviceArray:
        """Return a new C-contiguous device array, for several passes over parts of it.

        Each looks through all of it where elements may be impossible: there has to be something.
        """
        out, runtime = self._empty(job), self.runtime
        if may_be_impossible(job.dtype):
            nbytes = math.prod(job.plan.shape) * job.dtype.itemsize
            runtime.memset(runtime.describe(out)[0], 0, nbytes, runtime.caller_stream())
        return out

    def _empty(self, job: Job) -> DeviceArray:
        return self.runtime.empty(job.plan.shape, job.dtype.newbyteorder("="))

    def place(self, job: Job, value: Any) -> DeviceArray:
        """Return ``value`` as an array of this device, its broadcast dimensions of length 1."""
        return placed(self.shared, job, value)[0]

    def adopt(self, out: Any) -> DeviceArray:
        """Return an array of any library on this device, over the same memory."""
        return self.runtime.adopt(out)

    def wait(self) -> None:
        """Return when all that was queued on the caller's stream is done."""
        runtime = self.runtime
        runtime.wait_event(runtime.record(runtime.caller_stream()))

    def to_host(self, array: DeviceArray) -> npt.NDArray[Any]:
        """Return a host copy of an array of this device; waits."""
        return self.runtime.to_host(array)

    def begin_write(self, job: Job, value: Any, write_empty_chunks: bool) -> CudaWritePass:
        """Start a write of ``value``: a NumPy array, an array of a device, or a scalar."""
        check_elements(job.dtype)
        return CudaWritePass(self.shared, job, value, write_empty_chunks, self._encode)
