"""Chunks of a device that host threads encode, after a download.

1. Tasks of the pool take short runs of chunks. Where strides alone lead from elements to bytes the
   device has made those bytes, and only the byte codecs are left; else the whole chain runs.
2. The results are copies: the memory that the chunks were downloaded to is used again.
"""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import Bytes
from cuzarr.codecs.chain import CodecChain
from cuzarr.engine.batch import Wave
from cuzarr.engine.pool import abandon, pool, threads

_RUN_BYTES = 1 << 20


def encode_on_host(
    chain: CodecChain, wave: Wave, memory: npt.NDArray[np.uint8], stride: int, fill: bytes | None
) -> list[Bytes | None]:
    """Encode the chunks of a wave.

    Parameters
    ----------
    chain : CodecChain
    wave : Wave
    memory : (n * stride,) uint8 array
        Decoded chunks: as ``chain.layout`` has them, or native and C-contiguous where that is None.
    stride : int
        Bytes from one to the next.
    fill : bytes or None
        An element of the fill value as it lies there: chunks of nothing else are None.

    Raises
    ------
    ChunkEncodeError
    """
    n = len(wave)
    run = min(max(1, _RUN_BYTES // stride), -(-n // threads()))
    futures: list[Future[list[Bytes | None]]] = [
        pool().submit(_encode_run, chain, wave, memory, stride, fill, first, min(first + run, n))
        for first in range(0, n, run)
    ]
    try:
        return [value for future in futures for value in future.result()]
    finally:
        abandon(futures)


def is_fill(raw: npt.NDArray[np.uint8], fill: bytes) -> bool:
    """Whether every element has exactly the bits of the fill value (-0.0 is not 0.0)."""
    items = raw.reshape(-1, len(fill))
    if len(items) == 0:
        return True
    pattern = np.frombuffer(fill, np.uint8)
    if not ((items[0] == pattern).all() and (items[-1] == pattern).all()):
        return False
    return bool((raw[len(fill) :] == raw[: -len(fill)]).all()) if len(items) > 1 else True


def _encode_run(
    chain: CodecChain, wave: Wave, memory: npt.NDArray[np.uint8], stride: int,
    fill: bytes | None, first: int, last: int,
) -> list[Bytes | None]:  # fmt: skip
    dtype, shape, nbytes = chain.chunk.dtype, chain.chunk.shape, chain.chunk.nbytes
    values: list[Bytes | None] = []
    for i in range(first, last):
        raw = memory[i * stride : i * stride + nbytes]
        if fill is not None and is_fill(raw, fill):
            values.append(None)
            continue
        key = wave.requests.key(i)
        if chain.layout is not None:
            value = chain.encode_bytes(key, raw)
        else:
            chunk = raw.view(dtype.newbyteorder("=")).reshape(shape)
            value = chain.encode(key, chunk.astype(dtype, copy=False))
        values.append(value if isinstance(value, bytes) else bytes(value))
    return values
