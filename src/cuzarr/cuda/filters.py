"""The launches of ``kernels/filters.cu`` and ``kernels/delta.cu``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.elements import TYPES, Delta, Program
from cuzarr.cuda.memory import Tables
from cuzarr.cuda.runtime import Runtime, Stream

_TILE = 4096  #: elements that a block takes
_MOST_BLOCKS = 2**31 - 1
Pointers = npt.NDArray[np.uint64]
Launch = Callable[[Tables, Stream], None]


def add_program(
    runtime: Runtime,
    tables: Tables,
    program: Program,
    sources: Pointers,
    targets: Pointers,
    rows: npt.NDArray[np.int64],
    elements: int,
    base: np.uint64,
    first_bad: int,
) -> Launch:
    """Add the tables of a program over chunks; returns what launches it after they were sent.

    Parameters
    ----------
    sources, targets : (n,) uint64
        Device pointers; targets are aligned to their elements.
    rows : (n,) int64
        Of the wave.
    elements : int
        Of each chunk.
    base : uint64
        Number of row 0 in the call.
    first_bad : int
        Device pointer of the word that is lowered for a chunk with an element of no value.
    """
    at = [
        tables.add(column)
        for column in (sources, targets, rows.astype(np.int32), program.words())
    ]  # fmt: skip
    n = len(sources)

    def launch(sent: Tables, stream: Stream) -> None:
        src, dst, owner, words = (sent.pointer(offset) for offset in at)
        args = (
            src, dst, owner, np.int64(n), np.int64(elements), words,
            np.int32(len(program.operations)), np.int32(program.swap), base, np.uint64(first_bad),
        )  # fmt: skip
        runtime.launch("filter_elements", _grid(n, elements), 256, args, stream)

    return launch


def add_delta(
    runtime: Runtime,
    tables: Tables,
    delta: Delta,
    sources: Pointers,
    targets: Pointers,
    elements: int,
) -> Launch:
    """Add the tables of sums over chunks; returns what launches them after they were sent."""
    src_at, dst_at = tables.add(sources), tables.add(targets)
    n = len(sources)
    sums_at = tables.reserve(8 * n * -(-elements // _TILE))

    def launch(sent: Tables, stream: Stream) -> None:
        src, dst, sums = sent.pointer(src_at), sent.pointer(dst_at), sent.pointer(sums_at)
        count, size = np.int64(n), np.int64(elements)
        before = delta.before
        stored = (np.int32(TYPES[f"{before.kind}{before.itemsize}"]), np.int32(delta.swap))
        grid = _grid(n, elements)
        runtime.launch("delta_sums", grid, 256, (src, count, size, *stored, sums), stream)
        runtime.launch("delta_offsets", -(-n // 8), 256, (count, size, sums), stream)
        args = (src, dst, sums, count, size, *stored, np.int32(delta.after.itemsize))
        runtime.launch("delta_scan", grid, 256, args, stream)

    return launch


def _grid(n: int, elements: int) -> int:
    return max(1, min(n * -(-elements // _TILE), _MOST_BLOCKS))
