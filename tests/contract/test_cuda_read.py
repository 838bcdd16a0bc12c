"""Selections, waves, memory limits, streams and stores of a read on the emulated device."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from cuzarr.cuda.fetch import copy_bytes, copy_pieces
from cuzarr.cuda.streams import WORK_STREAMS
from cuzarr.engine.read import read
from cuzarr.errors import (
    ChunkDecodeError,
    DeviceError,
    DeviceMemoryError,
    StoreError,
)
from cuzarr.plan import plan_basic, plan_coordinate, plan_mask, plan_orthogonal
from cuzarr.storage.base import Values
from cuzarr.storage.local import LocalStore
from cuzarr.storage.memory import MemoryStore
from tests.contract.cuda_cases import Stored, close, device_backend, emulated_backend, noise, smooth
from tests.contract.test_cuda_decode import BIG, CRC, LITTLE, ZSTD, blosc

SHAPE, CHUNKS = (23, 17, 9), (5, 6, 4)
CHAINS = [
    [LITTLE],
    [LITTLE, blosc()],
    [BIG, ZSTD],
    [("transpose", {"order": [2, 0, 1]}), LITTLE, blosc("zstd", "bitshuffle")],
    [("transpose", {"order": [2, 1, 0]}), BIG, ("gzip", {"level": 1})],
]


@pytest.fixture(params=CHAINS, ids=["plain", "blosc", "big", "transposed", "host"])
def stored(request: pytest.FixtureRequest) -> Stored:
    return Stored(smooth(SHAPE, "f4"), CHUNKS, request.param, fill_value=-1).encode_all()


def same(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


BASIC = [
    (slice(None), slice(None), slice(None)),
    (slice(3, 19), slice(2, 16), slice(1, 8)),
    (slice(1, 23, 3), slice(None, None, 7), slice(0, 9, 2)),
    (slice(None, None, -1), slice(15, 2, -4), slice(8, None, -1)),
    (7, slice(None), slice(None)),
    (22, 16, 8),
    (slice(4, 4), slice(None), slice(None)),
]


@pytest.mark.parametrize("key", BASIC, ids=str)
def test_basic(stored: Stored, key: Any) -> None:
    plan = plan_basic(key, SHAPE, CHUNKS)
    same(stored.read(device_backend(2), plan), stored.data[key].reshape(plan.out_shape))


def test_orthogonal(stored: Stored) -> None:
    rows, columns = np.array([22, 0, 5, 5, 13, -1]), np.array([3, 16, 2, 0])
    backend = device_backend(3)
    plan = plan_orthogonal((rows, columns, slice(None)), SHAPE, CHUNKS)
    same(stored.read(backend, plan), stored.data[np.ix_(rows, columns, np.arange(9))])
    plan = plan_orthogonal((rows, slice(1, 17, 5), np.array([0, 8])), SHAPE, CHUNKS)
    same(stored.read(backend, plan), stored.data[np.ix_(rows, range(1, 17, 5), [0, 8])])
    close(backend)


def test_points(stored: Stored) -> None:
    rng = np.random.default_rng(5)
    points = tuple(rng.integers(-n, n, 300) for n in SHAPE)
    backend = device_backend(1)
    same(stored.read(backend, plan_coordinate(points, SHAPE, CHUNKS)), stored.data[points])
    mask = rng.random(SHAPE) < 0.05
    same(stored.read(backend, plan_mask(mask, SHAPE, CHUNKS)), stored.data[mask])
    close(backend)


def test_points_are_sent_in_parts_that_fit_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(smooth((1000,), "f8"), (50,), [LITTLE, blosc()]).encode_all()
    points = np.random.default_rng(0).integers(0, 1000, 5000)
    plan = plan_coordinate((points,), (1000,), (50,))
    backend = emulated_backend(1, budget=64 * 1024)  # room for 512 points at a time
    launches: list[str] = []
    launch = backend.runtime.launch

    def counted(kernel: str, *args: Any, **kwargs: Any) -> None:
        launches.append(kernel)
        launch(kernel, *args, **kwargs)

    monkeypatch.setattr(backend.runtime, "launch", counted)
    same(stored.read(backend, plan), stored.data[points])
    assert launches.count("scatter_8") >= 5000 // 512
    backend.runtime.close()


def test_arrays_without_dimensions() -> None:
    for codecs in ([LITTLE], [BIG, ZSTD]):
        stored = Stored(np.array(3.5), (), codecs, fill_value=2.5).encode_all()
        assert stored.read(device_backend(), plan_basic((), (), ())) == 3.5
        stored.store.delete([stored.key(())])
        assert stored.read(device_backend(), plan_basic((), (), ())) == 2.5


@pytest.mark.parametrize("view", ["transposed", "reversed", "every second", "offset"])
def test_given_output_with_any_strides(stored: Stored, view: str) -> None:
    backend = emulated_backend(2)
    runtime = backend.runtime
    plan = plan_basic((slice(2, 20), slice(1, 17), slice(None)), SHAPE, CHUNKS)
    shape = plan.shape
    makes = {
        "transposed": lambda: runtime.empty(shape[::-1], np.dtype("f4")).T,
        "reversed": lambda: runtime.empty(shape, np.dtype("f4"))[::-1, :, ::-1],
        "every second": lambda: runtime.to_device(
            np.zeros((shape[0] * 2, shape[1], shape[2] * 3), "f4")
        )[::2, :, ::3],
        "offset": lambda: runtime.empty((*shape[:2], shape[2] + 1), np.dtype("f4"))[..., 1:],
    }
    out = makes[view]()
    found = read(stored.job(plan), stored.address, backend, out)
    assert found.ptr == out.ptr
    if view == "offset":  # to_host reads the gaps too
        parts = [runtime.to_host(out[i, j]) for i in range(shape[0]) for j in range(shape[1])]
        same(np.stack(parts).reshape(shape), stored.data[2:20, 1:17])
    else:
        same(runtime.to_host(out), stored.data[2:20, 1:17])


# ---- waves and limits


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("budget", "slab"), [
    (1 << 12, 1 << 14), (1 << 14, 1 << 14), (1 << 16, 1 << 14),
    (1 << 20, 1 << 12), (1 << 20, 1 << 13),  # several waves are decoded at the same time
])  # fmt: skip
def test_many_waves(stored: Stored, budget: int, slab: int, seed: int) -> None:
    backend = device_backend(seed, budget=budget, slab_bytes=slab)
    same(stored.read(backend), stored.data)
    close(backend)


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_waves_of_a_selection_share_lists(stored: Stored, seed: int, empty: bool) -> None:
    """The lists go up on the first work stream; the waves of the others wait for them."""
    rows = np.array([22, 0, 5, 5, 13, -1])
    plan = plan_orthogonal((rows, slice(None), np.array([8, 1])), SHAPE, CHUNKS)
    backend = device_backend(seed, budget=1 << 20, slab_bytes=1 << 12)
    expected = stored.data[np.ix_(rows, np.arange(17), [8, 1])]
    if empty:  # nothing else is uploaded then
        stored.store.delete(list(stored.store.list("")))
        expected = np.full_like(expected, -1)
    same(stored.read(backend, plan), expected)
    close(backend)


@pytest.mark.parametrize("seed", range(2))
def test_waves_take_the_work_streams_in_turn(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(smooth((64, 1024), "f4"), (1, 1024), [LITTLE, blosc()]).encode_all()
    backend = emulated_backend(seed, slab_bytes=1 << 14)
    used: list[Any] = []
    launch = backend.runtime.launch

    def noted(kernel: str, grid: int, block: int, args: Any, stream: Any, **more: Any) -> None:
        if kernel == "check_statuses":
            used.append(stream)
        launch(kernel, grid, block, args, stream, **more)

    monkeypatch.setattr(backend.runtime, "launch", noted)
    same(stored.read(backend), stored.data)
    assert len(used) > WORK_STREAMS
    assert len(set(map(id, used))) == WORK_STREAMS
    assert used[:WORK_STREAMS] == used[WORK_STREAMS : 2 * WORK_STREAMS]
    backend.runtime.close()


def test_a_large_read_has_several_waves_a_small_one_has_one() -> None:
    stored = Stored(np.zeros((64, 8), "u1"), (1, 8), [LITTLE])
    backend = emulated_backend()
    assert backend.begin_read(stored.job(stored.plan()), None).wave_chunks >= 64
    mib = 2**20
    large = Stored(np.broadcast_to(np.uint8(0), (512, mib)), (1, mib), [LITTLE])
    steps = backend.begin_read(large.job(large.plan()), None)
    assert steps.wave_chunks == 512 // 8
    backend.runtime.close(check=False)


@pytest.mark.parametrize("codecs", [[LITTLE], [LITTLE, blosc()], [LITTLE, ZSTD], [LITTLE, CRC],
                                    [LITTLE, ("gzip", {"level": 1})]])  # fmt: skip
def test_device_memory_stays_within_the_budget(codecs: Any) -> None:
    stored = Stored(smooth((64, 4096), "f4"), (1, 2048), codecs).encode_all()
    budget = 1 << 18
    backend = emulated_backend(1, budget=budget)
    same(stored.read(backend), stored.data)
    output = stored.data.nbytes
    assert backend.runtime.peak <= output + budget
    backend.runtime.close()


def test_a_chunk_larger_than_the_budget_is_decoded_on_the_host() -> None:
    stored = Stored(smooth((4, 100_000), "f4"), (1, 50_000), [LITTLE, blosc()]).encode_all()
    for options in ({"budget": 1 << 18}, {"slab_bytes": 1 << 17}):
        backend = device_backend(1, **options)
        same(stored.read(backend), stored.data)
        assert stored.where() == {"blosc": "host"}
        assert "a chunk needs" in stored.report[0].why
        close(backend)


def test_nvcomp_gets_temporary_memory_within_the_budget() -> None:
    """A header may name zstd where the configuration says lz4, so the estimate knows nothing."""
    data = smooth((128, 1024), "f4")
    stored = Stored(data, (1, 1024), [LITTLE, blosc("lz4")])
    other = Stored(data, (1, 1024), [LITTLE, blosc("zstd")])
    stored.encode_all(lambda chunk: bytes(other.chain.encode("", chunk)))
    backend = emulated_backend(1, budget=1 << 20)
    same(stored.read(backend), data)
    assert stored.where() == {"blosc (zstd)": "device"}
    assert len(backend.runtime.nvcomp.calls) > 1


def test_out_of_device_memory_names_the_sizes() -> None:
    """The result fits, but no single chunk beside it."""
    stored = Stored(smooth((512, 512), "f4"), (64, 64), [LITTLE, ZSTD]).encode_all()
    capacity = stored.data.nbytes + 2**14
    backend = emulated_backend(1, capacity=capacity)
    for _ in range(2):
        with pytest.raises(DeviceMemoryError, match=rf"\d+ bytes asked for, \d+ of {capacity}"):
            stored.read(backend)
        gc.collect()
    backend.runtime.close()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("codecs", [[], [ZSTD], [blosc()], [("gzip", {"level": 1})]])
@pytest.mark.parametrize("slab", [1 << 28, 1 << 16])
def test_waves_are_halved_where_device_memory_is_short(codecs: Any, seed: int, slab: int) -> None:
    stored = Stored(smooth((512, 512), "f4"), (64, 64), [LITTLE, *codecs]).encode_all()
    backend = emulated_backend(seed, capacity=stored.data.nbytes + 2**17, slab_bytes=slab)
    gc.collect()
    same(stored.read(backend), stored.data)
    assert backend.runtime.peak <= backend.runtime.capacity
    gc.collect()
    backend.runtime.close()


def test_later_waves_are_as_small_as_the_halves() -> None:
    stored = Stored(smooth((512, 512), "f4"), (64, 64), [LITTLE, ZSTD]).encode_all()
    backend = emulated_backend(1, capacity=stored.data.nbytes + 2**18, slab_bytes=1 << 18)
    steps = backend.begin_read(stored.job(stored.plan()), None)
    before = steps.wave_chunks
    wave = stored.address.wave(0, stored.plan().rows(0, before))
    steps.scatter(steps.decode(steps.fetch(wave)))
    assert steps.wave_chunks <= before // 2
    steps.abort()
    del steps
    gc.collect()
    backend.runtime.close()


def test_more_dimensions_than_the_kernels_take() -> None:
    stored = Stored(np.zeros((1,) * 17, "f4"), (1,) * 17, [LITTLE]).encode_all()
    with pytest.raises(DeviceError, match="at most 16"):
        stored.read(device_backend())


# ---- streams


@pytest.mark.parametrize("seed", range(6))
def test_a_read_is_ordered_on_the_caller_stream(seed: int) -> None:
    """The caller's stream writes the output until the read starts, and reads it right after."""
    stored = Stored(smooth((40, 40), "f4"), (16, 16), [LITTLE, blosc()]).encode_all()
    backend = emulated_backend(seed)
    runtime = backend.runtime
    with runtime.current_stream(runtime.new_stream()) as stream:
        out = runtime.empty((40, 40), np.dtype("f4"))
        runtime.memset(out.ptr, 0, out.nbytes, stream)
        read(stored.job(stored.plan()), stored.address, backend, out)
        raw = runtime.read(out.ptr, out.nbytes, stream)
    assert raw.tobytes() == stored.data.tobytes()
    del out
    runtime.close()


def test_reads_one_after_another_reuse_slabs_and_streams() -> None:
    stored = Stored(smooth((60, 60), "f4"), (16, 16), [LITTLE, blosc()]).encode_all()
    backend = emulated_backend(3)
    pinned: list[int] = []
    allocate = backend.runtime.pinned
    backend.runtime.pinned = lambda n: (pinned.append(n), allocate(n))[1]
    for _ in range(8):
        same(stored.read(backend), stored.data)
    first = len(pinned)
    streams = len(backend.runtime.scheduler.streams)
    for _ in range(8):
        same(stored.read(backend), stored.data)
    assert len(pinned) == first
    assert len(backend.runtime.scheduler.streams) == streams
    backend.runtime.close()


def test_an_aborted_read_leaves_nothing_behind() -> None:
    stored = Stored(smooth((60, 60), "f4"), (16, 16), [LITTLE, ("gzip", {"level": 1})]).encode_all()
    stored.store.set(stored.key((2, 2)), b"no gzip")
    backend = device_backend(2, budget=1 << 13)
    for _ in range(3):
        with pytest.raises(ChunkDecodeError):
            stored.read(backend)
    stored.store.set(stored.key((2, 2)), stored.chain.encode("", stored.chunk((2, 2))))
    same(stored.read(backend), stored.data)
    gc.collect()  # the errors hold their frames in cycles
    close(backend)


def test_a_lane_is_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that fails at its end has given its streams back when it is aborted."""
    stored = Stored(smooth((64, 64), "f4"), (32, 32), [LITTLE, blosc()]).encode_all()
    data = bytearray(stored.store.get(stored.key((1, 0))) or b"")
    stored.store.set(stored.key((1, 0)), bytes(data[:40] + b"\xff" * (len(data) - 40)))
    backend = emulated_backend()
    for _ in range(3):
        with pytest.raises(ChunkDecodeError):
            stored.read(backend)
    lanes = backend.shared.lanes
    first, second = lanes.take(), lanes.take()
    assert first is not second
    del first, second, lanes
    gc.collect()
    backend.runtime.close()


# ---- stores


class OneThread(MemoryStore):
    """A store that may not be used from several threads, nor from another one."""

    parallel_safe = False

    def __init__(self) -> None:
        super().__init__()
        self.in_memory = False
        self.threads: set[int] = set()

    def get_many(self, batch: Any) -> Values:
        self.threads.add(threading.get_ident())
        return super().get_many(batch)


class AnyThread(OneThread):
    parallel_safe = True


@pytest.mark.parametrize("kind", [OneThread, AnyThread])
def test_waves_are_read_ahead_where_the_store_allows(kind: Any) -> None:
    stored = Stored(smooth((64, 1024), "f4"), (1, 1024), [LITTLE, ZSTD], store=kind())
    stored.encode_all()
    backend = device_backend(2, slab_bytes=1 << 15)
    same(stored.read(backend), stored.data)
    here = threading.get_ident()
    assert (stored.store.threads == {here}) == (kind is OneThread)
    assert (here in stored.store.threads) == (kind is OneThread)
    close(backend)


class Failing(AnyThread):
    """Fails on a key, from whatever thread."""

    def get_many(self, batch: Any) -> Values:
        if any(key.endswith("/40/0") for key in batch.key_list()):
            raise StoreError("the connection was lost")
        return super().get_many(batch)


@pytest.mark.parametrize("seed", range(4))
def test_a_store_that_fails_in_the_background(seed: int) -> None:
    stored = Stored(smooth((64, 1024), "f4"), (1, 1024), [LITTLE, ZSTD], store=Failing())
    stored.encode_all()
    backend = device_backend(seed, slab_bytes=1 << 15)
    with pytest.raises(StoreError, match="the connection was lost"):
        stored.read(backend)
    stored.store = MemoryStore(stored.store.store_dict)
    same(stored.read(backend), stored.data)
    gc.collect()
    close(backend)


def test_values_in_memory_are_copied_by_several_threads() -> None:
    rng = np.random.default_rng(1)
    sources = [np.frombuffer(rng.bytes(int(n)), np.uint8) for n in rng.integers(0, 3e6, 9)]
    sizes = np.array([len(source) for source in sources], np.int64)
    positions = np.cumsum(sizes + 100) - sizes
    target = np.zeros(int(positions[-1] + sizes[-1]) + 1, np.uint8)
    copy_pieces(target, positions, sources, sizes)
    expected = np.zeros_like(target)
    for at, source in zip(positions.tolist(), sources, strict=True):
        expected[at : at + len(source)] = source
    assert target.tobytes() == expected.tobytes()
    copy_bytes(target, expected[::-1].copy())
    assert target.tobytes() == expected[::-1].tobytes()


@pytest.mark.parametrize("codecs", [[LITTLE], [LITTLE, blosc()], [LITTLE, ZSTD]])
def test_local_files_go_straight_into_pinned_memory(tmp_path: Any, codecs: Any) -> None:
    store = LocalStore(tmp_path)
    stored = Stored(smooth((70, 70), "f4"), (16, 16), codecs, store=store).encode_all()
    store.delete([stored.key((1, 1))])
    stored.data[16:32, 16:32] = 0
    for budget in (1 << 30, 1 << 14):
        backend = device_backend(1, budget=budget)
        same(stored.read(backend), stored.data)
        close(backend)


@pytest.mark.parametrize("local", [True, False])
def test_chunks_that_do_not_fit_in_the_slab_are_decoded_apart(tmp_path: Any, local: bool) -> None:
    """Blosc chunks followed by more blocks than expected: far larger files than decoded chunks."""
    n = 1024
    data = noise((12, n), "u1")

    def inflated(chunk: np.ndarray[Any, Any]) -> bytes:
        blocks = [chunk.tobytes()[i : i + 1] for i in range(n)]
        body = b"".join(b"\x01\0\0\0" + block for block in blocks)
        starts = b"".join((16 + 4 * n + 5 * i).to_bytes(4, "little") for i in range(n))
        sizes = b"".join(k.to_bytes(4, "little") for k in (n, 1, 16 + len(starts) + len(body)))
        return bytes([2, 1, 1 << 5 | 0x10, 1]) + sizes + starts + body

    store = LocalStore(tmp_path) if local else MemoryStore()
    stored = Stored(data, (1, n), [LITTLE, blosc(typesize=1)], store=store).encode_all(inflated)
    backend = device_backend(1, slab_bytes=1 << 16, budget=1 << 20)
    same(stored.read(backend), data)
    places = [(record.where, record.chunks) for record in stored.report]
    assert sum(chunks for _, chunks in places) == 12
    assert {where for where, _ in places} == {"device", "host"}
    close(backend)
