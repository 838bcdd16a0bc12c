"""scatter_N and gather_N, emulated, against NumPy indexing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cuzarr.cuda.kernels import tile_table
from tests.emulation.driver import Driver
from tests.emulation.runtime import extent

ITEMS = {1: "u1", 2: "i2", 4: "f4", 8: "f8", 16: "c16"}


class Case:
    """Rows between some chunks and an array, with what NumPy makes of them."""

    def __init__(self, rng, item, n, chunk_shape, lists, *, order="C", swap=0, missing=(),
                 chunk_offset=0, array_offset=0, array_step=1, negative=False, gap=0,
                 slack=2):  # fmt: skip
        self.item, self.n, self.swap, self.missing = item, n, swap, set(missing)
        self.dtype = np.dtype(ITEMS[item])
        self.chunk_shape, s = chunk_shape, len(chunk_shape)
        self.chunk_offset, self.array_offset = chunk_offset, array_offset
        lengths = [max(c, 1) for c in chunk_shape]
        raw = rng.integers(0, 256, (n, *chunk_shape, item), np.uint8)
        self.chunks = [raw[i].view(self.dtype)[..., 0] for i in range(n)]
        self.chunks = [np.asarray(c, order=order) for c in self.chunks]
        self.step = np.ones(s, np.int64)
        self.start = np.zeros((n, s), np.int64)
        self.count = np.zeros((n, s), np.int64)
        self.out = np.zeros((n, s), np.int64)
        self.lists = [None] * s
        for a in range(s):
            if lists[a]:
                sizes = rng.integers(0, lengths[a] + 2, n)
                first = np.cumsum(sizes) - sizes
                index = rng.integers(0, lengths[a], sizes.sum())
                out = np.concatenate([rng.permutation(int(k)) for k in sizes] + [[]])
                self.lists[a] = (index.astype(np.int64), out.astype(np.int64))
                self.start[:, a], self.count[:, a] = first, sizes
            else:
                step = int(rng.choice([1, 1, 2, 3, -1, -2]))
                most = -(-lengths[a] // abs(step))
                count = rng.integers(0 if rng.random() < 0.1 else 1, most + 1, n)
                if rng.random() < 0.5:
                    step, count = 1, np.full(n, lengths[a])
                reach = np.maximum(count - 1, 0) * abs(step)
                low = rng.integers(0, lengths[a] - reach)
                self.step[a] = step
                self.start[:, a] = low if step > 0 else low + reach
                self.count[:, a] = count
                self.out[:, a] = rng.integers(0, gap + 1, n)
        top = [length + slack + gap for length in lengths]
        self.slot = top[0] if s else 0  # rows are kept apart along the first axis
        if s:
            if self.lists[0] is not None:
                index, out = self.lists[0]
                for i in range(n):
                    where = slice(self.start[i, 0], self.start[i, 0] + self.count[i, 0])
                    out[where] += i * self.slot
            else:
                self.out[:, 0] += np.arange(n) * self.slot
            top[0] = self.slot * n
            top[-1] *= array_step
        self.base = rng.integers(0, 256, (*top, item), np.uint8).view(self.dtype)[..., 0]
        view = self.base
        if s:
            view = view[..., ::array_step]
            view = view[..., ::-1] if negative else view
        self.view = view
        self.fill = rng.integers(0, 256, item, np.uint8).view(self.dtype)[0]

    def pairs(self, i):
        """Index of row i in its chunk and in the array."""
        chunk, array = [], []
        for a in range(len(self.chunk_shape)):
            e = np.arange(self.count[i, a])
            if self.lists[a] is not None:
                index, out = self.lists[a]
                chunk.append(index[self.start[i, a] + e])
                array.append(out[self.start[i, a] + e])
            else:
                chunk.append(self.start[i, a] + e * self.step[a])
                array.append(self.out[i, a] + e)
        return np.ix_(*chunk), np.ix_(*array)

    def swapped(self, values):
        if not self.swap:
            return values
        raw = np.frombuffer(values.tobytes(), np.uint8).reshape(-1, self.swap)
        return np.frombuffer(raw[:, ::-1].tobytes(), self.dtype).reshape(values.shape)

    def run(self, verb, seed, grid=0, tiles=0):
        """Return the array's base and the chunks after the kernel."""
        s, n = len(self.chunk_shape), self.n
        with Driver(seed) as device:
            chunk_ptrs = []
            for i, chunk in enumerate(self.chunks):
                flat = chunk.ravel(order="K") if chunk.size else chunk.reshape(0)
                chunk_ptrs.append(
                    0 if i in self.missing else device.put(flat, offset=self.chunk_offset)
                )
            base = device.put(self.base, offset=self.array_offset)
            first = self.view.ctypes.data - self.base.ctypes.data
            low, high = -first, self.base.nbytes - first
            assert (low, high) != (0, 0)
            strides = self.chunks[0].strides
            table = []
            for a in range(s):
                pointers = [0, 0]
                if self.lists[a] is not None:
                    pointers = [device.put(x) for x in self.lists[a]]
                table.append([self.step[a], strides[a], self.view.strides[a], *pointers])
            tile = np.arange(n + 1) * tiles if tiles else tile_table(
                self.count.prod(axis=1) * self.item, 8192)  # fmt: skip
            fill = np.frombuffer((self.fill.tobytes() * 16)[:16], np.uint64)
            bad = device.filled(8, 0xFF)
            device.run(
                f"{verb}_{self.item}", grid or -(-int(tile[-1]) // 8),
                device.table(chunk_ptrs, np.uint64), device.put(self.start), device.put(self.count),
                device.put(self.out), device.put(np.array(table, np.int64).reshape(s, 5)), 0,
                device.put(tile), n, s, 0, base + first, low, high,
                self.chunks[0].nbytes, fill[0], fill[1], self.swap, bad, 0,
            )  # fmt: skip
            assert device.get(bad, 1, np.uint64)[0] == 2**64 - 1
            array = device.get(base, self.base.shape, self.dtype)
            found = [None if p == 0 else device.get(p, c.nbytes)
                     for p, c in zip(chunk_ptrs, self.chunks, strict=True)]  # fmt: skip
            return array, found

    def check_scatter(self, seed=0, **how):
        expected = self.base.copy()
        view = _same_view(expected, self.base, self.view)
        for i, chunk in enumerate(self.chunks):
            inside, outside = self.pairs(i)
            values = self.swapped(chunk[inside]) if i not in self.missing else self.fill
            view[outside] = values
        array, _ = self.run("scatter", seed, **how)
        np.testing.assert_array_equal(_bits(array), _bits(expected))

    def check_gather(self, seed=0):
        _, found = self.run("gather", seed)
        for i, chunk in enumerate(self.chunks):
            if i in self.missing:
                continue
            expected = chunk.copy(order="K")
            inside, outside = self.pairs(i)
            if all(np.unique(index).size == index.size for index in inside):  # else any may win
                expected[inside] = self.swapped(self.view[outside])
                np.testing.assert_array_equal(
                    found[i], expected.ravel(order="K").view(np.uint8).reshape(-1)
                )


def _bits(array):
    return np.ascontiguousarray(array).view(np.uint8)


def _same_view(base, old_base, old_view):
    offset = old_view.ctypes.data - old_base.ctypes.data
    return np.ndarray(old_view.shape, base.dtype, base, offset, old_view.strides)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_scatter_and_gather_are_numpy_indexing(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    item = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    s = data.draw(st.integers(0, 4))
    n = data.draw(st.integers(1, 5)) if s else 1
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(s))
    lists = [data.draw(st.sampled_from([False, False, True])) for _ in range(s)]
    swap = data.draw(
        st.sampled_from({1: [0], 2: [0, 2], 4: [0, 4], 8: [0, 8, 4], 16: [0, 8]}[item])
    )
    case = Case(
        rng, item, n, shape, lists,
        order=data.draw(st.sampled_from("CF")), swap=swap,
        missing=data.draw(st.sets(st.integers(0, n - 1), max_size=1)),
        chunk_offset=data.draw(st.sampled_from([0, 0, 16, 8, 4, 1])),
        array_offset=data.draw(st.sampled_from([0, 0, 8, item, 1])),
        array_step=data.draw(st.sampled_from([1, 1, 1, 2])),
        negative=data.draw(st.booleans()), gap=data.draw(st.integers(0, 2)),
    )  # fmt: skip
    seed = data.draw(st.integers(0, 7))
    case.check_scatter(seed)
    case.check_gather(seed)


@pytest.mark.parametrize("item", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("missing", [(), (1,)])
def test_wide_units_for_contiguous_rows(item, missing):
    """Rows of many pieces, whole chunks and part of them, over several warps and blocks."""
    rng = np.random.default_rng(item)
    case = Case(rng, item, 3, (40, 512), [False, False], missing=missing)
    case.step[:] = 1
    case.start[:] = [[0, 0], [3, 16], [1, 5]]
    case.count[:] = [[40, 512], [30, 256], [20, 301]]
    case.out[:, 1] = [0, 0, 2]
    case.check_scatter(seed=1)
    case.check_scatter(seed=2, grid=1)  # a grid too small strides over its tasks
    case.check_scatter(seed=3, tiles=1)  # a table of one tile each, whatever the size
    case.check_gather(seed=3)


def test_sixteen_axes_that_do_not_merge():
    rng = np.random.default_rng(0)
    case = Case(rng, 2, 2, (2,) * 16, [False] * 16, slack=0)
    case.step[:] = rng.choice([1, -1], 16)
    case.count[:] = 2
    case.start[:] = np.where(case.step > 0, 0, 1)
    case.out[:] = 0
    case.out[:, 0] = [0, 2]
    case.check_scatter(seed=1)
    case.check_gather(seed=1)


def test_swap_reverses_units_of_every_width():
    for item, swap in [(2, 2), (4, 4), (8, 8), (8, 4), (16, 8)]:
        for shape in [(64,), (3,), (5, 7)]:
            rng = np.random.default_rng(swap)
            case = Case(rng, item, 2, shape, [False] * len(shape), swap=swap)
            case.check_scatter()
            case.check_gather()


def _points(device, chunks, index, out_index, ptr, array, item, flat, chunk_bytes, stride, base=7):
    n = len(ptr) - 1
    count = np.diff(ptr)
    tile = tile_table(count * item, 8192)
    axes = [[1, stride, item, device.put(index), device.put(out_index)]]
    bad = device.filled(8, 0xFF)
    total = len(out_index) * item
    device.run(
        f"scatter_{item}", -(-int(tile[-1]) // 8), device.table(chunks, np.uint64),
        device.put(ptr[:-1, None]), device.put(count[:, None]),
        device.put(np.zeros((n, 1), np.int64)), device.put(np.array(axes, np.int64)),
        device.put(flat) if len(flat) else 0, device.put(tile),
        n, 1, len(flat), array, 0, total, chunk_bytes, 0, 0, 0, bad, base,
    )  # fmt: skip
    return bad


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_points_in_transposed_chunks(order):
    rng = np.random.default_rng(5)
    shape, n = (4, 5, 6), 3
    stored = rng.random((n, *(shape[a] for a in order)))
    logical = stored.transpose(0, *(1 + np.argsort(order)))
    ptr = np.array([0, 1, 40, 100])
    index = rng.integers(0, 120, 100)
    out_index = rng.permutation(100)
    expected = np.empty(100)
    for i in range(n):
        rows = slice(ptr[i], ptr[i + 1])
        expected[out_index[rows]] = logical[i].ravel()[index[rows]]
    flat = np.array(list(zip(shape, logical.strides[1:], strict=True)), np.int64)
    with Driver(1) as device:
        where = device.put(stored)
        array = device.alloc(800)
        chunks = [where + i * 960 for i in range(n)]
        bad = _points(device, chunks, index, out_index, ptr, array, 8, flat, 960, 0)
        assert device.get(bad, 1, np.uint64)[0] == 2**64 - 1
        np.testing.assert_array_equal(device.get(array, 100, np.float64), expected)


@pytest.mark.parametrize(
    ("position", "flat"),
    [(10, ()), (-1, ()), (2**62, ()), (10, ((2, 20), (5, 4))), (-1, ((10, 4),))],
)  # fmt: skip
def test_a_list_that_leads_outside_is_reported_and_not_followed(position, flat):
    with Driver(1) as device:
        chunks = [device.put(np.arange(10, dtype="f4")) for _ in range(3)]
        index = np.array([0, 1, 2, position, 4, 5], np.int64)
        array = device.filled(24, 0)
        bad = _points(device, chunks, index, np.arange(6), np.array([0, 2, 4, 6]), array, 4,
                      np.array(flat, np.int64).reshape(-1, 2), 40, 4)  # fmt: skip
        assert device.get(bad, 1, np.uint64)[0] == 7 + 1
        np.testing.assert_array_equal(device.get(array, 6, "f4"), [0, 1, 2, 0, 4, 5])


@pytest.mark.parametrize("start", [(0, 0, 7), (0, 0, -1)])
def test_a_row_that_leads_outside_is_reported_and_left_out(start):
    with Driver(1) as device:
        chunks = [device.put(np.arange(10, dtype="f4")) for _ in range(3)]
        array = device.filled(60, 0)
        bad = device.filled(8, 0xFF)
        device.run(
            "scatter_4", 1, device.table(chunks, np.uint64), device.put(np.array(start)[:, None]),
            device.put(np.full((3, 1), 5)), device.put(np.array([[0], [5], [10]])),
            device.put(np.array([[1, 4, 4, 0, 0]])), 0, device.table(range(4)), 3, 1, 0, array, 0,
            60, 40, 0, 0, 0, bad, 100,
        )  # fmt: skip
        assert device.get(bad, 1, np.uint64)[0] == 102
        np.testing.assert_array_equal(
            device.get(array, 15, "f4"), [*range(5), *range(5), 0, 0, 0, 0, 0]
        )


def test_gather_from_a_broadcast_value():
    with Driver(2) as device:
        value = device.put(np.float32(3.5))
        chunk = device.filled(4 * 6 * 8, 0)
        device.run(
            "gather_4", 1, device.table([chunk], np.uint64), device.put([[1, 2]]),
            device.put([[3, 4]]), device.put([[0, 0]]),
            device.put([[1, 32, 0, 0, 0], [1, 4, 0, 0, 0]]),
            0, device.table([0, 1]), 1, 2, 0, value, 0, 4, 192, 0, 0, 0, 0, 0,
        )  # fmt: skip
        expected = np.zeros((6, 8), "f4")
        expected[1:4, 2:6] = 3.5
        np.testing.assert_array_equal(device.get(chunk, (6, 8), "f4"), expected)


def test_rows_without_elements_touch_nothing():
    with Driver(3) as device:
        array = device.filled(16, 9)
        for count in ([[0, 2]], [[2, 0]]):
            device.run(
                "scatter_4", 1, device.table([device.put(np.zeros(4, "f4"))], np.uint64),
                device.put([[0, 0]]), device.put(count), device.put([[0, 0]]),
                device.put([[1, 8, 8, 0, 0], [1, 4, 4, 0, 0]]), 0, device.table([0, 1]), 1, 2, 0,
                array, 0, 16, 16, 0, 0, 0, 0, 0,
            )  # fmt: skip
        assert (device.get(array, 16) == 9).all()


def test_extent_of_strided_arrays():
    for shape, strides in itertools.product([(3, 4)], [(16, 4), (-16, 4), (16, -4), (0, 4)]):
        low, high = extent(shape, strides, 4)
        reach = [i * strides[0] + j * strides[1] for i in range(3) for j in range(4)]
        assert (low, high) == (min(reach), max(reach) + 4)
