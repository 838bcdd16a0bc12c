"""``copy_rows``: the extension and its twin against loops that follow the text of ``PlanRows``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from cuzarr.native.calls import Calls
from tests.contract.native_cases import both

Lists = tuple[tuple[Any, Any] | None, ...]


@dataclass(frozen=True)
class Case:
    """Arguments of one copy, with memory of its own."""

    start: Any
    count: Any
    out: Any
    step: Any
    lists: Lists
    chunks: list[bytes | None]
    chunk_strides: Any
    array: bytes
    array_strides: Any
    itemsize: int
    swap_unit: int
    fill: bytes
    first: int = 0  #: byte of the array's element 0
    chunk_first: int = 0

    def run(self, calls: Calls, scatter: bool) -> tuple[bytes, list[bytes | None]]:
        """Return what the memory holds after the call."""
        array = np.frombuffer(self.array, np.uint8).copy()
        chunks = [None if c is None else np.frombuffer(c, np.uint8).copy() for c in self.chunks]
        ptrs = [0 if c is None else c.ctypes.data + self.chunk_first for c in chunks]
        calls.copy_rows(
            scatter, self.start, self.count, self.out, self.step, self.lists,
            np.array(ptrs, np.uint64), self.chunk_strides, array.ctypes.data + self.first,
            self.array_strides, self.itemsize, self.swap_unit, self.fill,
        )  # fmt: skip
        return array.tobytes(), [None if c is None else c.tobytes() for c in chunks]

    def expected(self, scatter: bool) -> tuple[bytes, list[bytes | None]]:
        """Do the same, element by element."""
        array = bytearray(self.array)
        chunks = [None if c is None else bytearray(c) for c in self.chunks]
        for i, chunk in enumerate(chunks):
            if chunk is None and not scatter:
                continue
            for element in itertools.product(*(range(max(c, 0)) for c in self.count[i].tolist())):
                at, to = self.chunk_first, self.first
                for a, e in enumerate(element):
                    table, start = self.lists[a], int(self.start[i, a])
                    if table is None:
                        inside, outside = start + e * int(self.step[a]), int(self.out[i, a]) + e
                    else:
                        inside, outside = int(table[0][start + e]), int(table[1][start + e])
                    at += inside * int(self.chunk_strides[a])
                    to += outside * int(self.array_strides[a])
                size = self.itemsize
                if chunk is None:
                    array[to : to + size] = self.fill
                elif scatter:
                    array[to : to + size] = self._swapped(chunk[at : at + size])
                else:
                    chunk[at : at + size] = self._swapped(array[to : to + size])
        return bytes(array), [None if c is None else bytes(c) for c in chunks]

    def _swapped(self, item: bytearray) -> bytes:
        unit = self.swap_unit or 1
        parts = [item[k : k + unit] for k in range(0, len(item), unit)]
        return b"".join(part[::-1] for part in parts)


def strides_of(shape: list[int], itemsize: int, order: list[int]) -> tuple[Any, int]:
    """Return strides in bytes, the axes of ``order`` from the innermost out, and the size."""
    strides, size = np.zeros(len(shape), np.int64), itemsize
    for a in order:
        strides[a] = size
        size *= shape[a]
    return strides, size


def random_case(rng: np.random.Generator) -> Case:
    """Draw axes, layouts, lists, steps, missing chunks; no element is written twice."""
    s, n = int(rng.integers(0, 5)), int(rng.integers(0, 4))
    itemsize, unit = [(1, 0), (2, 2), (4, 2), (4, 4), (8, 4), (8, 8), (16, 8), (3, 0), (12, 4),
                      (6, 2), (24, 8)][rng.integers(11)]  # fmt: skip
    unit = unit if rng.random() < 0.5 else 0
    inner, outer = rng.integers(1, 7, s).tolist(), rng.integers(1, 12, s).tolist()
    c_order = list(range(s))[::-1]
    orders = [c_order if rng.random() < 0.5 else rng.permutation(s).tolist() for _ in range(2)]
    chunk_strides, chunk_size = strides_of(inner, itemsize, orders[0])
    array_strides, array_size = strides_of(outer, itemsize, orders[1])
    start, count, out = (np.zeros((n, s), np.int64) for _ in range(3))
    step, lists = np.ones(s, np.int64), []
    for a, (c, o) in enumerate(zip(inner, outer, strict=True)):
        if rng.random() < 0.3:
            length = min(c, o, int(rng.integers(1, 6)))
            lists.append((rng.permutation(c)[:length], rng.permutation(o)[:length]))
            start[:, a] = rng.integers(0, length + 1, n)
            count[:, a] = rng.integers(0, length - start[:, a] + 1)
            continue
        lists.append(None)
        stride = int(rng.choice([1, 1, 1, 2, 3]))
        step[a] = stride if rng.random() < 0.7 else -stride
        most = min((c - 1) // stride + 1, o)
        for i in range(n):
            taken = int(rng.integers(0 if rng.random() < 0.1 else 1, most + 1))
            if rng.random() < 0.3:
                taken = most
            span = (max(taken, 1) - 1) * stride
            low = int(rng.integers(0, c - span))
            start[i, a] = low if step[a] > 0 else low + span
            count[i, a], out[i, a] = taken, rng.integers(0, o - taken + 1)
    first = 0
    for a in range(s):
        if rng.random() < 0.2:  # the array runs backwards along this axis
            first += int(array_strides[a]) * (outer[a] - 1)
            array_strides[a] *= -1
    return Case(
        start, count, out, step, tuple(lists),
        [rng.bytes(chunk_size) if rng.random() < 0.8 else None for _ in range(n)], chunk_strides,
        rng.bytes(array_size), array_strides, itemsize, unit,
        rng.bytes(itemsize) if rng.random() < 0.5 else bytes(itemsize), first,
    )  # fmt: skip


@both
@pytest.mark.parametrize("seed", range(150))
def test_random_rows(calls: Calls, seed: int) -> None:
    case = random_case(np.random.default_rng(seed))
    assert case.run(calls, True) == case.expected(True)
    assert case.run(calls, False) == case.expected(False)


def plain(itemsize: int = 4, n: int = 1, length: int = 8) -> Case:
    """One axis: all of chunk i goes to out[i]."""
    rng = np.random.default_rng(itemsize)
    column = np.zeros((n, 1), np.int64)
    return Case(
        column, column + length, np.arange(n)[:, None] * length, np.ones(1, np.int64), (None,),
        [rng.bytes(itemsize * length) for _ in range(n)], np.array([itemsize]),
        bytes(itemsize * length * n), np.array([itemsize]), itemsize, 0, bytes(itemsize),
    )  # fmt: skip


@both
def test_points_with_repeated_positions(calls: Calls) -> None:
    # a gather writes position 2 twice: the later one stays
    where = (np.array([2, 5, 2, 0]), np.array([0, 1, 2, 3]))
    case = replace(
        plain(), lists=(where,), count=np.array([[4]]),
        array=np.arange(8, dtype="<i4").tobytes(),
    )  # fmt: skip
    assert case.run(calls, True) == case.expected(True)
    _, (chunk,) = case.run(calls, False)
    assert chunk is not None
    assert np.frombuffer(chunk, "<i4")[[2, 5, 0]].tolist() == [2, 1, 3]


@both
def test_no_axes_is_one_element(calls: Calls) -> None:
    empty = np.empty((2, 0), np.int64)
    none = np.empty(0, np.int64)
    case = Case(
        empty, empty, empty, none, (), [b"abcd", b"efgh"], none, b"wxyz", none, 4, 0, b"____"
    )
    assert case.run(calls, True)[0] == b"efgh"
    assert case.run(calls, False)[1] == [b"wxyz", b"wxyz"]
    assert replace(case, chunks=[None, None]).run(calls, True)[0] == b"____"


@both
def test_thirty_two_axes(calls: Calls) -> None:
    shape = [1] * 28 + [2] * 4
    strides, size = strides_of(shape, 8, list(range(32))[::-1])
    zeros = np.zeros((1, 32), np.int64)
    case = Case(
        zeros, np.array([shape]), zeros, np.ones(32, np.int64), (None,) * 32,
        [bytes(range(size))], strides, bytes(size), strides, 8, 8, bytes(8),
    )  # fmt: skip
    assert case.run(calls, True) == case.expected(True)
    assert case.run(calls, False) == case.expected(False)


@both
def test_broadcast_source(calls: Calls) -> None:
    """A value of stride 0 fills chunks, as when a scalar is assigned."""
    case = replace(
        plain(8, 2), array=b"12345678", array_strides=np.array([0]), out=np.zeros((2, 1), np.int64)
    )
    assert case.run(calls, False)[1] == [b"12345678" * 8] * 2


@both
def test_unaligned_memory(calls: Calls) -> None:
    for itemsize in (2, 4, 8, 16):
        case = plain(itemsize, 2)
        case = replace(
            case, first=1, chunk_first=3, array=case.array + b"\0",
            chunks=[c + b"\0\0\0" for c in case.chunks if c is not None],
            swap_unit=min(itemsize, 8), step=np.array([-2]), start=np.array([[7], [6]]),
            count=np.array([[4], [3]]),
        )  # fmt: skip
        assert case.run(calls, True) == case.expected(True)
        assert case.run(calls, False) == case.expected(False)


@both
def test_rows_outside_their_lists_are_refused(calls: Calls) -> None:
    where = (np.array([0, 1]), np.array([0, 1]))
    for start, count in ((0, 3), (-1, 1), (2, 1), (2**62, 2**62)):
        case = replace(
            plain(), lists=(where,), start=np.array([[start]]), count=np.array([[count]])
        )
        with pytest.raises(ValueError, match="lists"):
            case.run(calls, True)
    fine = replace(plain(), lists=(where,), start=np.array([[9]]), count=np.array([[0]]))
    assert fine.run(calls, True)[0] == fine.array


@both
def test_wrong_arguments_are_refused(calls: Calls) -> None:
    case = plain()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"fill": b"abc"}, "fill"),
        ({"itemsize": 0, "fill": b""}, "fill"),
        ({"swap_unit": 3}, "swap_unit"),
        ({"swap_unit": 8}, "swap_unit"),
        ({"lists": ()}, "lists"),
        ({"lists": ((np.array([0]), np.array([0, 1])),)}, "out_index"),
        ({"start": np.zeros((2, 1), np.int64)}, "start"),
        ({"chunk_strides": np.zeros(2, np.int64)}, "chunk_strides"),
        ({"step": np.ones(65, np.int64)}, "64"),
    ]
    for changes, message in wrong:
        with pytest.raises(ValueError, match=message):
            replace(case, **changes).run(calls, True)
    with pytest.raises(TypeError, match="int64"):
        replace(case, step=np.ones(1, np.int32)).run(calls, True)
