"""Twin of ``wave.c``: the functions of the other twins, chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr.native.memory import memory
from cuzarr.native.tables import DECODED, READ_MISSING, READ_NO_SPACE, READ_OK, Bool, Int32, Int64
from cuzarr.native.twin_copy import Rows, check_rows, copy_rows
from cuzarr.native.twin_decode import decode_batch
from cuzarr.native.twin_files import check_ranges, read_files


def read_wave(
    source: tuple[Any, ...], present: Bool, codec: int, crc32c: bool, nbytes: int, limit: int,
    shape: Int64 | None, rows: Rows, first: Int64 | None, threads: int, statuses: Int32, /,
) -> None:  # fmt: skip
    """Read, decode and scatter chunk by chunk, whole chunks always."""
    del threads
    n = len(statuses)
    first = np.arange(n + 1) if first is None else first
    if len(first) != n + 1:
        raise ValueError(f"first: expected {n + 1} items, found {len(first)}")
    if first[0] != 0 or (first[1:] < first[:-1]).any():
        raise ValueError("first: expected ascending rows from 0")
    check_rows(int(first[-1]), rows)
    if nbytes < 0 or limit < 0:
        raise ValueError("nbytes, limit: negative")
    if len(present) != n or (shape is not None and len(shape) != len(rows[3])):
        raise ValueError("present, shape: of another length")
    encoded = _Memory(n, *source) if len(source) == 2 else _Files(n, limit, *source)
    decoded, outside = _Room(nbytes), False
    for i in range(n):
        statuses[i] = READ_OK
        mine = [r for r in range(first[i], first[i + 1]) if (rows[1][r] > 0).all()]
        if not mine:
            continue
        if not all(_inside(r, rows, nbytes) for r in mine):
            outside = True
            continue
        status, pointer, size = encoded.find(i) if present[i] else (READ_MISSING, 0, 0)
        target = np.zeros(1, np.uint64)
        if status == READ_OK:
            target[0] = decoded.address()
            status = READ_OK if target[0] else READ_NO_SPACE
        if status == READ_OK:
            found = np.empty(1, np.int32)
            decode_batch(
                codec, crc32c, np.array([pointer], np.uint64), np.array([size]), target, nbytes,
                None, None, found,
            )  # fmt: skip
            status = DECODED + int(found[0]) if found[0] else READ_OK
        if status in (READ_OK, READ_MISSING):
            some = (*(column[mine] for column in rows[:3]), *rows[3:])
            copy_rows(True, target.repeat(len(mine)), some)  # type: ignore[arg-type]  # noqa: FBT003
        else:
            statuses[i] = status
    if outside:
        raise ValueError("rows: outside the chunk")


class _Room:
    """Memory that is allocated when it is needed; address 0 where there is not as much."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._data: npt.NDArray[np.uint8] | None = None

    def address(self) -> int:
        if self._data is None:
            try:
                self._data = np.empty(max(self.nbytes, 1), np.uint8)
            except MemoryError:
                return 0
        return self._data.ctypes.data


class _Memory:
    """Encoded chunks at addresses."""

    def __init__(self, n: int, ptrs: Any, sizes: Any) -> None:
        if len(ptrs) != n or len(sizes) != n:
            raise ValueError(f"ptrs, sizes: expected {n} items")
        if np.any((ptrs != 0) & (sizes < 0)):
            raise ValueError("sizes: negative")
        self.ptrs, self.sizes = ptrs, sizes

    def find(self, i: int) -> tuple[int, int, int]:
        pointer = int(self.ptrs[i])
        return READ_OK if pointer else READ_MISSING, pointer, int(self.sizes[i])


class _Files:
    """Encoded chunks in files, read one at a time."""

    def __init__(
        self, n: int, limit: int, root: bytes, keys: bytes, offsets: Any, starts: Any, lengths: Any
    ) -> None:
        self.room = _Room(limit)
        self.root, self.keys, self.columns = root, keys, (offsets, starts, lengths)
        check_ranges(n, root, keys, offsets, starts, lengths)

    def find(self, i: int) -> tuple[int, int, int]:
        offsets, starts, lengths = self.columns
        one = slice(i, i + 1)
        position, size, status = np.empty(1, np.int64), np.empty(1, np.int64), np.empty(1, np.int32)
        address = self.room.address()
        slab = memory(address, self.room.nbytes if address else 0)
        read_files(
            self.root, self.keys, offsets[i : i + 2], starts[one], lengths[one],
            slab, 1, position, size, status,
        )  # fmt: skip
        return int(status[0]), address + int(position[0]), int(size[0])


def _inside(i: int, rows: Rows, nbytes: int) -> bool:
    """Whether every byte that row ``i`` touches lies in the decoded chunk."""
    low, high = 0, rows[8]
    for a, (pair, stride) in enumerate(zip(rows[4], rows[5].tolist(), strict=True)):
        start, count = int(rows[0][i, a]), int(rows[1][i, a])
        if pair is None:
            ends = [start, start + (count - 1) * int(rows[3][a])]
        else:
            part = pair[0][start : start + count]
            ends = [int(part.min()), int(part.max())]
        low += min(end * stride for end in ends)
        high += max(end * stride for end in ends)
    return low >= 0 and high <= nbytes
