"""The engine: addresses, waves, and what is left behind when something fails halfway."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.engine.address import PlainAddress, describe_status
from cuzarr.engine.batch import EncodedWave, Job, Wave
from cuzarr.engine.read import read
from cuzarr.engine.report import DevicePlan, PlacementRecord, summarize
from cuzarr.engine.write import write
from cuzarr.errors import ChunkDecodeError, ReadOnlyError, ShardIndexError, StoreError
from cuzarr.meta.spec import ChunkKeyEncoding
from cuzarr.plan import plan_basic
from cuzarr.plan.chunk_plan import PlanRows
from cuzarr.storage import LocalStore, MemoryStore
from cuzarr.storage.base import Names, RequestBatch, Status, Values

DATA = np.arange(1, 401, dtype="i4").reshape(20, 20)


class TroubleStore:
    """A store whose calls can be made to fail, slow down, or be counted."""

    read_only = False
    parallel_safe = True

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.before: Callable[[str, list[str]], None] = lambda verb, keys: None
        self.statuses: dict[str, int] = {}

    def __str__(self) -> str:
        return "trouble://"

    def get_many(self, batch: RequestBatch) -> Values:
        keys = batch.key_list()
        self.before("get_many", keys)
        found = self.inner.get_many(batch)
        values = list(found.values)
        for i, key in enumerate(keys):
            if key in self.statuses:
                found.statuses[i], found.sizes[i], values[i] = self.statuses[key], -1, None
        return Values(values, found.sizes, found.statuses)

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        self.before("get", [key])
        return self.inner.get(key, start, length)

    def set_many(self, keys: Any, values: Any) -> None:
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def set(self, key: str, value: Any) -> None:
        self.before("set", [key])
        self.inner.set(key, value)

    def delete(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.before("delete", keys)
        self.inner.delete(keys)

    def delete_dir(self, prefix: str) -> None:
        self.inner.delete_dir(prefix)

    def exists(self, key: str) -> bool:
        return self.inner.exists(key)

    def size(self, key: str) -> int | None:
        return self.inner.size(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return self.inner.list(prefix)

    def list_dir(self, prefix: str = "") -> Names:
        return self.inner.list_dir(prefix)

    def close(self) -> None:
        self.inner.close()


def small_waves() -> Any:
    return cuzarr.config.set({"host.wave_chunks": 3, "host.run_bytes": 100, "host.threads": 2})


def array(store: Any = None, **options: Any) -> cuzarr.Array:
    options.setdefault("chunks", (3, 4))
    return cuzarr.create_array(store, data=DATA, device="cpu", **options)


# Addresses


@pytest.mark.parametrize(
    ("encoding", "coords", "keys"),
    [
        (ChunkKeyEncoding(), [[0, 1], [12, 345]], ["a/c/0/1", "a/c/12/345"]),
        (ChunkKeyEncoding("default", "."), [[0, 1]], ["a/c.0.1"]),
        (ChunkKeyEncoding("v2", "."), [[0, 1]], ["a/0.1"]),
        (ChunkKeyEncoding("v2", "/"), [[0, 1]], ["a/0/1"]),
        (ChunkKeyEncoding("v2", "."), [[]], ["a/0"]),
        (ChunkKeyEncoding(), [[]], ["a/c"]),
        (ChunkKeyEncoding(), [[2**62]], [f"a/c/{2**62}"]),
    ],
)
def test_plain_addresses(
    encoding: ChunkKeyEncoding, coords: list[list[int]], keys: list[str]
) -> None:
    batch = PlainAddress("a/", encoding).keys(np.array(coords, np.int64))
    assert batch.key_list() == keys
    assert batch.starts.tolist() == [0] * len(keys)
    assert batch.lengths.tolist() == [-1] * len(keys)


def test_statuses_in_words() -> None:
    assert describe_status(Status.MISSING) == "no such key"
    assert describe_status(Status.SHORT) == "the object ends before the requested range"
    assert describe_status(Status.NO_SPACE) == "larger than the memory given"
    assert describe_status(Status.ERRNO + 13) == os.strerror(13)


def test_waves_and_jobs_are_taken_apart() -> None:
    z = array()
    plan = plan_basic(..., z.shape, z.chunks)
    address = z._target.address
    wave = address.wave(4, plan.rows(0, plan.n_chunks))
    part = wave.take(slice(2, 4))
    assert (len(wave), len(part), part.index) == (35, 2, 4)
    assert part.requests.key_list() == ["c/0/2", "c/0/3"]
    assert wave.take(np.array([3, 0])).requests.key_list() == ["c/0/3", "c/0/0"]


# Waves of any size give the same bytes


LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v3": {"zarr_format": 3},
    "raw": {"compressors": None},
    "gzip": {"compressors": [{"name": "gzip", "configuration": {"level": 1}}]},
    "shards": {"chunks": (2, 2), "shards": (6, 8)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", [(1, 1), (2, 1000), (7, 96), (1000, 10**6)])
def test_any_wave_size(layout: str, sizes: tuple[int, int], monkeypatch: Any) -> None:
    monkeypatch.setattr("cuzarr.host.write_pass._WAVE_BYTES", sizes[0] * 48)
    plain = array(**LAYOUTS[layout])
    with cuzarr.config.set(
        {"host.wave_chunks": sizes[0], "host.run_bytes": sizes[1], "host.threads": 2}
    ):
        z = array(**LAYOUTS[layout])
        assert z.store.store_dict == plain.store.store_dict  # type: ignore[attr-defined]
        np.testing.assert_array_equal(z[...], DATA)
        np.testing.assert_array_equal(z[17:2:-4, ::3], DATA[17:2:-4, ::3])
        rows = [0, 19, 7, 7]
        np.testing.assert_array_equal(z.vindex[rows, rows], DATA[rows, rows])
        np.testing.assert_array_equal(z.oindex[[0, 19, 7], [1, 5]], DATA[[0, 19, 7]][:, [1, 5]])
        z[1:19:2, 3:18] = 0
        plain[1:19:2, 3:18] = 0
        assert z.store.store_dict == plain.store.store_dict  # type: ignore[attr-defined]


# The order of calls that a backend sees


class LoggingPass:
    """A read pass that writes down what is asked of it, and may fail."""

    wave_chunks = 4
    ahead = 0

    def __init__(self, fail_at: str = "") -> None:
        self.log: list[str] = []
        self.fail_at = fail_at

    def _note(self, what: str) -> None:
        self.log.append(what)
        if what == self.fail_at:
            raise RuntimeError(what)

    def fetch(self, wave: Wave) -> int:
        self._note(f"fetch {wave.index} ({len(wave)})")
        return wave.index

    def decode(self, fetched: int) -> int:
        self._note(f"decode {fetched}")
        return fetched

    def scatter(self, decoded: int) -> None:
        self._note(f"scatter {decoded}")

    def gather(self, wave: Wave) -> Wave:
        self._note(f"gather {wave.index} ({len(wave)})")
        return wave

    def encode(self, gathered: Wave) -> EncodedWave:
        self._note(f"encode {gathered.index}")
        return EncodedWave(
            gathered, [b"x"] * len(gathered),
            release=lambda: self.log.append(f"release {gathered.index}"),
        )  # fmt: skip

    def finish(self) -> Any:
        self._note("finish")
        return np.zeros((20, 1))

    def abort(self) -> None:
        self.log.append("abort")


class LoggingBackend:
    name = "logging"

    def __init__(self, steps: LoggingPass) -> None:
        self.steps = steps

    def begin_read(self, job: Job, out: Any) -> Any:
        return self.steps

    def begin_write(self, job: Job, value: Any, write_empty_chunks: bool) -> Any:
        return self.steps


def job_of(z: cuzarr.Array, selection: Any) -> Job:
    plan = plan_basic(selection, z.shape, z.chunks)
    return Job(z.store, z._target.chain, plan, z.dtype, z._target.fill_value)


def test_the_next_wave_is_fetched_before_this_one_is_decoded() -> None:
    z = array(chunks=(2, 20))
    job, steps = job_of(z, (slice(None), 3)), LoggingPass()
    backend: Any = LoggingBackend(steps)
    assert read(job, z._target.address, backend).shape == (20,)
    assert steps.log == [
        "fetch 0 (4)", "fetch 1 (4)", "decode 0", "scatter 0", "fetch 2 (2)", "decode 1",
        "scatter 1", "decode 2", "scatter 2", "finish",
    ]  # fmt: skip


@pytest.mark.parametrize("fail_at", ["fetch 1 (4)", "decode 0", "scatter 2", "finish"])
def test_a_failing_read_is_aborted(fail_at: str) -> None:
    z = array(chunks=(2, 20))
    steps = LoggingPass(fail_at)
    backend: Any = LoggingBackend(steps)
    with pytest.raises(RuntimeError, match=fail_at[:5]):
        read(job_of(z, ...), z._target.address, backend)
    assert steps.log[-2:] == [fail_at, "abort"]


@pytest.mark.parametrize("fail_at", ["gather 1 (4)", "encode 0", "finish"])
@pytest.mark.parametrize("layout", ["v3", "shards"])
def test_a_failing_write_is_aborted(fail_at: str, layout: str) -> None:
    options = {"chunks": (2, 20)} if layout == "v3" else {"chunks": (2, 20), "shards": (4, 20)}
    z = array(**options)  # type: ignore[arg-type]
    steps = LoggingPass(fail_at)
    backend: Any = LoggingBackend(steps)
    with pytest.raises(RuntimeError, match=fail_at[:5]):
        write(job_of(z, ...), z._target.address, backend, DATA, write_empty_chunks=False)
    assert steps.log[-2:] == [fail_at, "abort"]


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
def test_waves_are_gathered_ahead_and_their_memory_given_back_when_stored(ahead: int) -> None:
    store = TroubleStore()
    z = array(store, chunks=(2, 20))
    steps = LoggingPass()
    steps.ahead, steps.wave_chunks = ahead, 3
    store.before = lambda verb, keys: steps.log.extend(["set"] * len(keys) if verb == "set" else [])
    backend: Any = LoggingBackend(steps)
    write(job_of(z, ...), z._target.address, backend, DATA, write_empty_chunks=False)
    log = steps.log
    gathers = [log.index(f"gather {wave} ({n})") for wave, n in enumerate((3, 3, 3, 1))]
    encodes = [log.index(f"encode {wave}") for wave in range(4)]
    for wave, at in enumerate(encodes):
        assert [gather < at for gather in gathers].count(True) == min(wave + ahead + 1, 4)
    at = [log.index(f"release {wave}") for wave in range(4)]
    stored = [log[:position].count("set") for position in at]
    assert stored == [3, 6, 9, 10]
    assert log[-1] == "finish"


def test_nothing_is_fetched_for_nothing() -> None:
    store = TroubleStore()
    z = array(store)
    store.before = lambda verb, keys: pytest.fail(f"{verb} {keys}")
    assert z[3:3].shape == (0, 20)
    assert z.oindex[[], 2:4].shape == (0, 2)
    assert z.vindex[[], []].shape == (0,)
    z[3:3] = 5
    z.vindex[[], []] = 5


# Stores that fail


def test_errors_of_a_store_are_its_own() -> None:
    store = TroubleStore()
    z = array(store)

    def fail(verb: str, keys: list[str]) -> None:
        if "c/3/2" in keys:
            raise StoreError(f"no way to {keys[0]}")

    store.before = fail
    with small_waves(), pytest.raises(StoreError, match="no way to"):
        z[...]
    np.testing.assert_array_equal(z[:9], DATA[:9])
    with small_waves(), pytest.raises(StoreError, match="no way to"):
        z[9:12] = 0


def test_statuses_of_a_store_become_errors() -> None:
    store = TroubleStore()
    z = array(store)
    store.statuses = {"c/3/2": Status.ERRNO + 5}
    with small_waves(), pytest.raises(StoreError, match=rf"'c/3/2': {os.strerror(5)}"):
        z[...]
    store.statuses = {"c/3/2": Status.SHORT}
    with pytest.raises(ChunkDecodeError, match="'c/3/2': read: truncated: the object ends before"):
        z[...]
    store.statuses = {"c/3/2": Status.MISSING}
    assert (z[9:12, 8:12] == 0).all()
    sharded = array(store, chunks=(2, 2), shards=(6, 8), overwrite=True)
    store.statuses = {"c/1/1": Status.ERRNO + 5}
    with pytest.raises(StoreError, match=rf"cannot read 'c/1/1': {os.strerror(5)}"):
        sharded[...]
    store.statuses = {"c/1/1": Status.SHORT}
    with pytest.raises(ShardIndexError, match="'c/1/1'.*truncated: shorter than its index"):
        sharded[...]


class KeyByKey:
    """A store as a user writes one, which raises whatever it likes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.error: Exception | None = None

    def get(self, key: str) -> bytes | None:
        if self.error is not None and key.startswith("c/"):
            raise self.error
        return self.objects.get(key)

    def set(self, key: str, value: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.objects[key] = value

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def list(self, prefix: str) -> list[str]:
        return [key for key in self.objects if key.startswith(prefix)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_store_of_the_user(layout: str) -> None:
    store = KeyByKey()
    z = array(store, **LAYOUTS[layout])
    z[3, 4:9] = -1
    expected = DATA.copy()
    expected[3, 4:9] = -1
    np.testing.assert_array_equal(cuzarr.open_array(store, "r", device="cpu")[...], expected)
    assert z.nshards_initialized > 1
    z.resize(3, 4)
    assert z.nshards_initialized == 1


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(5, "disk"), KeyError("c/0/0")])
def test_a_store_of_the_user_that_raises(error: Exception) -> None:
    store = KeyByKey()
    z = array(store)
    store.error = error
    if isinstance(error, KeyError):
        assert (z[...] == 0).all()
    else:
        with pytest.raises(StoreError, match="cannot read 'c/"):
            z[...]
    with pytest.raises(StoreError, match="cannot write 'c/"):
        z[...] = 1
    store.error = None
    np.testing.assert_array_equal(z[...], DATA)


# Writes that fail halfway


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_write_that_fails_halfway_leaves_old_or_new_chunks(layout: str) -> None:
    store = TroubleStore()
    z = array(store, **LAYOUTS[layout])
    before = dict(store.inner.store_dict)
    complete = TroubleStore()
    whole = array(complete, **LAYOUTS[layout])
    whole[...] = -DATA
    after = dict(complete.inner.store_dict)
    writes = 0

    def fail(verb: str, keys: list[str]) -> None:
        nonlocal writes
        writes += verb == "set"
        if writes > 3:
            raise StoreError("disk full")

    store.before = fail
    with small_waves(), pytest.raises(StoreError, match="disk full"):
        z[...] = -DATA
    assert set(store.inner.store_dict) == set(before)
    for key, value in store.inner.store_dict.items():
        assert value in (before[key], after[key]), key
    store.before = lambda verb, keys: None
    found = z[...]
    assert set(np.unique(found / DATA)) <= {-1.0, 1.0}


def test_nothing_is_stored_after_the_error_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuzarr.host.write_pass._WAVE_BYTES", 1)
    store = TroubleStore()
    z = array(store)
    raised = threading.Event()
    late: list[str] = []

    def slow(verb: str, keys: list[str]) -> None:
        if verb == "set" and keys == ["c/0/0"]:
            raise StoreError("first chunk")
        if verb == "set":
            time.sleep(0.02)
            if raised.is_set():
                late.append(keys[0])

    store.before = slow
    with cuzarr.config.set({"host.threads": 3}), pytest.raises(StoreError, match="first chunk"):
        z[...] = 1
    raised.set()
    time.sleep(0.1)
    assert late == []


def test_a_chunk_that_cannot_be_read_is_not_overwritten() -> None:
    store = MemoryStore()
    z = array(store)
    store.set("c/0/0", b"damaged")
    with pytest.raises(ChunkDecodeError, match="'c/0/0'"):
        z[0, 0] = 1
    assert store.get("c/0/0") == b"damaged"
    z[:3, :4] = 1  # a whole chunk is not read first
    assert (z[:3, :4] == 1).all()


def test_read_only_stores_refuse(tmp_path: Any) -> None:
    array(str(tmp_path))
    store = LocalStore(str(tmp_path), read_only=True)
    z = cuzarr.open_array(store, device="cpu")
    with pytest.raises(ReadOnlyError):
        z[0] = 1
    assert z.read_only


def test_reports_add_up() -> None:
    records = [
        PlacementRecord("zstd", "host", "few streams", 2, 2, 100),
        PlacementRecord("zstd", "device", "many streams", 5, 9, 700),
        PlacementRecord("zstd", "host", "another reason", 1, 1, 50),
    ]
    assert summarize(records) == [
        PlacementRecord("zstd", "host", "few streams", 3, 3, 150),
        PlacementRecord("zstd", "device", "many streams", 5, 9, 700),
    ]
    text = str(DevicePlan.of("cuda:0", "because", records))
    assert text.splitlines()[0] == "results on cuda:0 (because)"
    assert "zstd: on the device, 5 chunks, 0.0 MiB (many streams)" in text


def test_rows_can_be_taken() -> None:
    z = array()
    rows = plan_basic(..., z.shape, z.chunks).rows(0, 35)
    some = rows.take(np.array([4, 1]))
    assert isinstance(some, PlanRows)
    assert some.coords.tolist() == [[0, 4], [0, 1]]
