"""Writes through the emulated device, compared with the host backend's and with NumPy."""

from __future__ import annotations

import copy
import gc
from typing import Any

import numpy as np
import pytest

from cuzarr.cuda import write_value
from cuzarr.cuda.host_encode import is_fill
from cuzarr.engine.batch import Job
from cuzarr.engine.read import read
from cuzarr.errors import (
    ChunkDecodeError,
    ChunkEncodeError,
    DeviceMemoryError,
    ShapeMismatchError,
)
from cuzarr.host.backend import HostBackend
from cuzarr.plan import last_wins, plan_basic, plan_coordinate, plan_orthogonal
from tests.contract.cuda_cases import Stored, close, device_backend, emulated_backend, smooth
from tests.contract.test_cuda_decode import BIG, CRC, LITTLE, ZSTD, blosc

SHAPE, CHUNKS = (23, 17, 9), (5, 6, 4)
CHAINS = {
    "plain": [LITTLE],
    "blosc": [LITTLE, blosc(), CRC],
    "big": [BIG, ZSTD],
    "transposed": [("transpose", {"order": [2, 0, 1]}), LITTLE, blosc("zstd", "bitshuffle")],
    "host": [("transpose", {"order": [2, 1, 0]}), BIG, ("gzip", {"level": 1})],
}


@pytest.fixture(params=list(CHAINS.values()), ids=list(CHAINS))
def codecs(request: pytest.FixtureRequest) -> Any:
    return request.param


def contents(stored: Stored) -> dict[str, bytes]:
    """Return the decoded chunks by key; a device encodes to other bytes than a host."""
    return {key: stored.chain.decode(key, value).tobytes() for key, value in raw(stored).items()}


def raw(stored: Stored) -> dict[str, bytes]:
    return {key: bytes(stored.store.get(key) or b"") for key in stored.store.list("")}


def host_read(stored: Stored) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = read(
        stored.job(stored.plan(), native=False), stored.address, HostBackend()
    )
    return found


def pair(
    codecs: Any, dtype: str = "f4", fill: Any = -1, *, empty: bool = False
) -> tuple[Stored, Stored]:
    """Return two equal arrays, full of data unless ``empty``."""
    found = Stored(smooth(SHAPE, dtype), CHUNKS, codecs, fill_value=fill)
    if not empty:
        found.encode_all()
    other = copy.copy(found)
    other.store = copy.deepcopy(found.store)
    return found, other


SELECTIONS = {
    "all": (slice(None), slice(None), slice(None)),
    "inside": (slice(3, 19), slice(2, 16), slice(1, 8)),
    "stepped": (slice(1, 23, 3), slice(None, None, 7), slice(0, 9, 2)),
    "backwards": (slice(None, None, -1), slice(15, 2, -4), slice(8, None, -1)),
    "row": (slice(7, 8), slice(None), slice(None)),
    "chunks": (slice(5, 15), slice(6, 12), slice(None)),
}


@pytest.mark.parametrize("key", list(SELECTIONS.values()), ids=list(SELECTIONS))
@pytest.mark.parametrize("empty", [False, True])
def test_basic(codecs: Any, key: Any, empty: bool) -> None:
    mine, reference = pair(codecs, empty=empty)
    plan = plan_basic(key, SHAPE, CHUNKS)
    value = np.random.default_rng(1).integers(0, 99, plan.shape).astype("f4")
    backend = device_backend(2)
    mine.write(backend, plan, value)
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)
    close(backend)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_filters_that_a_device_undoes_and_the_host_applies(order: Any) -> None:
    """Chunks that a device decoded lie as the filters leave them, those of the host in C order."""
    chain = [
        ("transpose", {"order": list(order)}),
        ("numcodecs.delta", {"dtype": "<i4"}), LITTLE, ("zstd", {"level": 1}),
    ]  # fmt: skip
    mine, reference = pair(chain, "i4")
    for key in SELECTIONS.values():
        plan = plan_basic(key, SHAPE, CHUNKS)
        value = np.random.default_rng(1).integers(-99, 99, plan.shape).astype("i4")
        backend = device_backend(2)
        mine.write(backend, plan, value)
        reference.write(HostBackend(), plan, value)
        assert contents(mine) == contents(reference)
        close(backend)


def test_orthogonal(codecs: Any) -> None:
    mine, reference = pair(codecs)
    key = (np.array([22, 0, 5, 13]), slice(1, 17, 5), np.array([8, 2]))
    plan = plan_orthogonal(key, SHAPE, CHUNKS)
    value = smooth(plan.shape, "f4", 3)
    mine.write(device_backend(3), plan, value)
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)


def test_points(codecs: Any) -> None:
    mine, reference = pair(codecs)
    rng = np.random.default_rng(5)
    points = tuple(rng.integers(0, n, 200) for n in SHAPE)
    plan = last_wins(plan_coordinate(points, SHAPE, CHUNKS))
    value = np.arange(200, dtype="f4")
    mine.write(device_backend(1), plan, value)
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)
    expected = mine.data.copy()
    expected[points] = value
    np.testing.assert_array_equal(host_read(mine), expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budget", [1 << 12, 1 << 15])
def test_many_waves(codecs: Any, budget: int, seed: int) -> None:
    mine, reference = pair(codecs)
    plan = plan_basic((slice(1, 22), slice(None), slice(None)), SHAPE, CHUNKS)
    value = smooth(plan.shape, "f4", 9)
    backend = device_backend(seed, budget=budget, slab_bytes=1 << 14)
    mine.write(backend, plan, value)
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)
    close(backend)


def test_a_wave_may_hold_more_chunks_than_fit() -> None:
    """Waves of sharded arrays hold whole shards; the pass cuts them itself."""
    mine, reference = pair([LITTLE, ZSTD])
    plan = plan_basic((slice(1, 22), slice(None), slice(None)), SHAPE, CHUNKS)
    value = smooth(plan.shape, "f4", 9)
    backend = device_backend(1, budget=1 << 14, slab_bytes=1 << 14)
    job = mine.job(plan)
    steps = backend.begin_write(job, value, True)
    wave = mine.address.wave(0, plan.rows(0, plan.n_chunks))
    assert len(wave) > 2 * steps.wave_chunks
    encoded = steps.encode(steps.gather(wave))
    steps.finish()
    reference.write(HostBackend(), plan, value)
    keys = encoded.wave.requests.key_list()
    for key, value in zip(keys, encoded.values, strict=True):
        mine.store.set(key, bytes(value))
    encoded.release()
    assert contents(mine) == contents(reference)
    del steps, encoded
    close(backend)


@pytest.mark.parametrize("seed", range(4))
def test_waves_are_halved_where_device_memory_is_short(codecs: Any, seed: int) -> None:
    mine, reference = pair(codecs)
    plan = plan_basic((slice(1, 22), slice(None), slice(None)), SHAPE, CHUNKS)
    value = smooth(plan.shape, "f4", 9)
    backend = emulated_backend(seed, capacity=value.nbytes + 2**13)
    mine.write(backend, plan, value)
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)
    gc.collect()
    backend.runtime.close()


def test_out_of_device_memory_names_the_sizes() -> None:
    mine, _ = pair([LITTLE, ZSTD])
    backend = emulated_backend(1, capacity=mine.data.nbytes + 2**9)
    with pytest.raises(DeviceMemoryError, match=r"\d+ bytes asked for"):
        mine.write(backend, mine.plan(), mine.data)
    gc.collect()
    backend.runtime.close()


# ---- values


@pytest.mark.parametrize("seed", range(3))
def test_large_host_values_go_through_the_slabs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_value, "_PIECE_BYTES", 1000)
    mine, reference = pair([LITTLE, blosc()])
    plan = plan_basic((slice(2, 20), slice(1, 17), slice(None)), SHAPE, CHUNKS)
    value = smooth(plan.shape, "f8", 4)[::-1]
    backend = device_backend(seed, slab_bytes=1 << 14)
    mine.write(backend, plan, value)
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)
    close(backend)


def device_value(runtime: Any, value: np.ndarray[Any, Any], how: str) -> Any:
    if how == "contiguous":
        return runtime.to_device(value)
    if how == "transposed":
        return runtime.to_device(np.ascontiguousarray(value.T)).T
    if how == "reversed":
        return runtime.to_device(np.ascontiguousarray(value[::-1, :, ::-1]))[::-1, :, ::-1]
    assert how == "strided"
    wide = np.repeat(np.repeat(value, 2, axis=0), 3, axis=2)
    return runtime.to_device(wide)[::2, :, ::3]


@pytest.mark.parametrize("how", ["contiguous", "transposed", "reversed", "strided"])
def test_values_on_the_device(how: str) -> None:
    mine, reference = pair([LITTLE, blosc()])
    plan = plan_basic((slice(2, 20), slice(1, 17), slice(None)), SHAPE, CHUNKS)
    value = smooth(plan.shape, "f4", 4)
    backend = emulated_backend(2)
    mine.write(backend, plan, device_value(backend.runtime, value, how))
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)
    backend.runtime.close()


@pytest.mark.parametrize("value", [
    7, np.float32(2.5), np.array(3), np.arange(9, dtype="i2"), np.arange(17.0)[:, None],
    np.broadcast_to(np.arange(9.0), (18, 17, 9)),
    np.arange(18 * 17, dtype=">f8").reshape(18, 17, 1), [[[1], [2]]],
], ids=["int", "scalar", "0-d", "row", "column", "broadcast", "big", "list"])  # fmt: skip
def test_values_broadcast_without_being_copied(value: Any) -> None:
    mine, reference = pair([LITTLE])
    key = (slice(2, 20), slice(0, 2) if isinstance(value, list) else slice(None), slice(None))
    plan = plan_basic(key, SHAPE, CHUNKS)
    backend = device_backend(1)
    mine.write(backend, plan, value)
    reference.write(HostBackend(), plan, np.broadcast_to(np.asarray(value), plan.shape))
    assert contents(mine) == contents(reference)
    close(backend)


def test_a_large_broadcast_value_takes_one_element_of_device_memory() -> None:
    stored = Stored(np.zeros((512, 512), "f8"), (64, 64), [LITTLE])
    backend = emulated_backend(1, budget=1 << 18, slab_bytes=1 << 18)
    stored.write(backend, stored.plan(), np.broadcast_to(np.float64(3), (512, 512)))
    assert backend.runtime.peak < 1 << 19
    assert (host_read(stored) == 3).all()


def test_a_value_of_another_shape() -> None:
    stored, _ = pair([LITTLE], empty=True)
    for value in (np.zeros((3, 9)), np.zeros((1, 1, 1, 1))):
        with pytest.raises(ShapeMismatchError, match="does not fit a selection"):
            stored.write(device_backend(), stored.plan(), value)


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">c8", "u1", "?", "c16"])
def test_element_types(dtype: str) -> None:
    mine, reference = pair([BIG, ZSTD], dtype, fill=0)
    plan = plan_basic((slice(1, 22), slice(None), slice(3, 9)), SHAPE, CHUNKS)
    value = smooth(plan.shape, dtype, 2)
    mine.write(device_backend(2), plan, value)
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)


# ---- empty chunks


@pytest.mark.parametrize(("fill", "dtype"), [(0, "f4"), (np.nan, "f8"), (5, "u1"), (-1, "i2")])
def test_empty_chunks_are_not_stored(fill: Any, dtype: str) -> None:
    data = np.full((20, 20), fill, dtype)
    data[3, 4] = 1
    stored = Stored(data, (8, 8), [LITTLE, ZSTD], fill_value=fill).encode_all()
    stored.write(device_backend(1), stored.plan(), data, empty=False)
    assert list(stored.store.list("")) == [stored.key((0, 0))]
    np.testing.assert_array_equal(host_read(stored), data)


def test_is_fill_compares_bits() -> None:
    zeros = np.zeros(8, "f8")
    raw = zeros.view(np.uint8)
    assert is_fill(raw, zeros[:1].tobytes())
    for at in (0, 3, 7):
        zeros[:] = 0
        zeros[at] = -0.0
        assert not is_fill(raw, np.zeros(1).tobytes())
    assert is_fill(np.zeros(0, np.uint8), b"\0" * 8)
    assert is_fill(np.array([2.5]).view(np.uint8), np.array([2.5]).tobytes())


# ---- errors


def test_a_partly_overwritten_chunk_that_is_corrupt() -> None:
    for codecs, damage in (([LITTLE, ZSTD], b"not zstd"), ([LITTLE, CRC], None)):
        stored, _ = pair(codecs)
        key = stored.key((1, 1, 1))
        whole = bytes(stored.store.get(key) or b"")
        stored.store.set(key, damage or whole[:-1] + bytes([whole[-1] ^ 1]))
        plan = plan_basic((slice(3, 9), slice(None), slice(None)), SHAPE, CHUNKS)
        backend = device_backend(2)
        with pytest.raises(ChunkDecodeError) as failure:
            stored.write(backend, plan, 1.0)
        assert repr(key) in str(failure.value)
        del failure
        gc.collect()
        close(backend)


def test_an_encoder_that_fails_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, _ = pair([LITTLE, ZSTD], empty=True)

    def fail(*_: Any) -> bytes:
        raise RuntimeError("no space for the tables")

    monkeypatch.setattr(type(stored.chain.byte_codecs[0]), "encode", fail)
    with pytest.raises(ChunkEncodeError, match="no space for the tables") as failure:
        stored.write(device_backend(encode="host"), stored.plan(), 1.0)
    assert "a/c/" in str(failure.value)


@pytest.mark.parametrize("seed", range(4))
def test_the_value_may_change_after_the_write_on_its_stream(seed: int) -> None:
    """The caller's stream overwrites the value right after the call."""
    stored, _ = pair([LITTLE], empty=True)
    backend = emulated_backend(seed)
    runtime = backend.runtime
    value = runtime.to_device(stored.data)
    stored.write(backend, stored.plan(), value)
    runtime.memset(value.ptr, 0, value.nbytes, runtime.caller_stream())
    np.testing.assert_array_equal(host_read(stored), stored.data)
    del value
    runtime.close()


def test_what_is_written_is_reported() -> None:
    stored, _ = pair([LITTLE, ZSTD])
    plan = plan_basic((slice(1, 4), slice(None), slice(None)), SHAPE, CHUNKS)
    job: Job = stored.write(device_backend(), plan, 1.0)
    steps = {(record.step, record.where) for record in job.report}
    assert ("gather", "device") in steps
    assert ("encode zstd", "device") in steps
    assert ("zstd", "device") in steps  # of the partly overwritten chunks


@pytest.mark.parametrize("how", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize("dtype", ["f8", "i2", ">i4"])
def test_values_on_the_device_are_cast_there(dtype: str, how: str) -> None:
    mine, reference = pair([LITTLE, ZSTD])
    plan = plan_basic((slice(2, 20), slice(1, 17), slice(None)), SHAPE, CHUNKS)
    value = smooth(plan.shape, dtype, 4)
    backend = emulated_backend(2)
    mine.write(backend, plan, device_value(backend.runtime, value, how))
    reference.write(HostBackend(), plan, value)
    assert contents(mine) == contents(reference)
    backend.runtime.close()
