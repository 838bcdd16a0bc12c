"""Batched decompression of the streams of a wave, and the check of what the decoder reports.

1. All streams of a format of nvCOMP are one call, unless its temporary memory would be too much.
2. ``kernels/lz77.cu`` has what nvCOMP has not, or not safely: blosclz, and snappy, of which damaged
   streams make nvCOMP 6.0 leave its memory.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.inspected import Streams
from cuzarr.cuda.memory import Tables
from cuzarr.cuda.runtime import NvComp, Runtime, Stream

Pointers = npt.NDArray[np.uint64]
#: Kernels of formats.
OWN: Final = {"Blosclz": "blosclz_decompress", "Snappy": "snappy_decompress"}


class Decompression:
    """The streams of one format of a wave.

    Parameters
    ----------
    runtime : Runtime
    tables : Tables
        The tables are added to it.
    fmt : str
        Of nvCOMP, or of ``OWN``.
    sources, targets : (n,) uint64
        Device pointers, aligned as nvCOMP wants it.
    streams : Streams
    base : uint64
        Number of row 0 in the call.
    first_bad : int
        Device pointer of the word that is lowered.
    temp_limit : int
        Bytes that nvCOMP may have for itself; batches that want more are cut.
    """

    def __init__(
        self,
        runtime: Runtime,
        tables: Tables,
        fmt: str,
        sources: Pointers,
        streams: Streams,
        targets: Pointers,
        base: np.uint64,
        first_bad: int,
        temp_limit: int,
    ) -> None:
        self._runtime, self._fmt, self._lengths = runtime, fmt, streams.length
        self._base, self._first_bad, self._temp_limit = base, np.uint64(first_bad), temp_limit
        self._tables = [
            tables.add(column)
            for column in (
                sources, streams.size.astype(np.uint64), targets, streams.length.astype(np.uint64),
                streams.owner.astype(np.int32),
            )
        ]  # fmt: skip
        self._actual = tables.reserve(8 * len(streams))
        self._statuses = tables.reserve(4 * len(streams))

    def launch(self, sent: Tables, stream: Stream) -> None:
        """Queue the decoding and the check."""
        n = len(self._lengths)
        src, size, dst, length, owner = (int(sent.pointer(offset)) for offset in self._tables)
        actual, statuses = int(sent.pointer(self._actual)), int(sent.pointer(self._statuses))
        # A decoder that stops early must not leave a status of an earlier use behind.
        self._runtime.memset(statuses, 0xFF, 4 * n, stream)
        if self._fmt in OWN:
            args: tuple[np.generic, ...] = (
                *(np.uint64(pointer) for pointer in (src, size, length, actual)), np.int64(n),
                np.uint64(dst), np.uint64(statuses),
            )  # fmt: skip
            self._runtime.launch(OWN[self._fmt], -(-n // 8), 256, args, stream)
        else:
            self._decompress(src, size, length, actual, dst, statuses, stream)
        args = (
            *(np.uint64(pointer) for pointer in (statuses, actual, length, owner)), np.int64(n),
            self._base, np.uint64(0), self._first_bad,
        )  # fmt: skip
        self._runtime.launch("check_statuses", -(-n // 256), 256, args, stream)

    def _decompress(
        self, src: int, size: int, capacity: int, actual: int, dst: int, statuses: int,
        stream: Stream,
    ) -> None:  # fmt: skip
        nvcomp = self._runtime.nvcomp
        assert nvcomp is not None
        first, n = 0, len(self._lengths)
        while first < n:
            last, temp_bytes = self._batch(nvcomp, first)
            temp = self._runtime.alloc(temp_bytes, stream) if temp_bytes else None
            nvcomp.decompress(
                self._fmt, src + 8 * first, size + 8 * first, capacity + 8 * first,
                actual + 8 * first, last - first, 0 if temp is None else temp.ptr, temp_bytes,
                dst + 8 * first, statuses + 4 * first, stream,
            )  # fmt: skip
            first = last

    def _batch(self, nvcomp: NvComp, first: int) -> tuple[int, int]:
        """Return the end of the next batch, and its temporary bytes."""
        last = len(self._lengths)
        while True:
            part = self._lengths[first:last]
            wanted = nvcomp.decompress_temp_bytes(
                self._fmt, len(part), int(part.max()), int(part.sum())
            )
            if wanted <= self._temp_limit or last - first == 1:
                return last, wanted
            last = first + max(1, (last - first) // 2)
