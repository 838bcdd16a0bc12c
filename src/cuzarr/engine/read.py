"""The read loop: plan, waves, fetch, decode, scatter. The same for every backend."""

from __future__ import annotations

from collections.abc import Iterator

from cuzarr.engine.address import Address
from cuzarr.engine.backend import AnyArray, Backend
from cuzarr.engine.batch import Job, Wave


def read(job: Job, address: Address, backend: Backend, out: AnyArray | None = None) -> AnyArray:
    """Read a planned selection.

    Parameters
    ----------
    job : Job
    address : Address
    backend : Backend
    out : array of ``job.plan.shape`` on the backend's device, or None

    Returns
    -------
    array of ``job.plan.out_shape``

    Raises
    ------
    ChunkDecodeError
        Names the key of the first bad chunk.
    StoreError
    """
    steps = backend.begin_read(job, out)
    try:
        ahead = None
        for wave in _waves(job, address, steps.wave_chunks):
            fetched = steps.fetch(wave)
            if ahead is not None:
                steps.scatter(steps.decode(ahead))
            ahead = fetched
        if ahead is not None:
            steps.scatter(steps.decode(ahead))
        result = steps.finish()
    except BaseException:
        steps.abort()
        raise
    return result.reshape(job.plan.out_shape)


def _waves(job: Job, address: Address, wave_chunks: int) -> Iterator[Wave]:
    index = first = 0
    while first < job.plan.n_chunks:
        last = job.plan.wave_end(first, wave_chunks)
        yield address.wave(index, job.plan.rows(first, last))
        index, first = index + 1, last
