"""The host backend: fetching, decoding in place and chunk by chunk, copying, byte order."""

from __future__ import annotations

import gzip
import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr import native
from cuzarr.codecs.base import ChunkType
from cuzarr.codecs.chain import CodecChain
from cuzarr.engine.batch import Job
from cuzarr.errors import ChunkDecodeError, ChunkEncodeError, StoreError
from cuzarr.host import read_pass
from cuzarr.host.backend import HostBackend, to_numpy
from cuzarr.host.copy import gather_row, scatter_row
from cuzarr.host.fetch import fetch_run, thread_buffer
from cuzarr.host.layout import contiguous_in, host_records, swap_unit
from cuzarr.meta.spec import CodecSpec
from cuzarr.plan import plan_basic, plan_coordinate, plan_orthogonal
from cuzarr.plan.chunk_plan import ChunkPlan
from cuzarr.storage import LocalStore, MemoryStore
from cuzarr.storage.base import Placed, RequestBatch, Status

DATA = np.arange(1, 301, dtype="i4").reshape(15, 20)
GZIP = [{"name": "gzip", "configuration": {"level": 1}}]
ROWS = np.array([14, 0, 7, 7])
COLUMNS = np.array([19, 0, 5, 6])
SELECTIONS: list[tuple[str, Any]] = [
    ("basic", ...),
    ("basic", (slice(None, None, -1), slice(18, 1, -3))),
    ("basic", (3, slice(2, 19, 5))),
    ("orthogonal", (ROWS, slice(3, 17, 4))),
    ("orthogonal", (slice(12, 2, -3), COLUMNS)),
    ("orthogonal", (ROWS, COLUMNS)),
    ("coordinate", (ROWS, COLUMNS)),
]


def plan_of(kind: str, selection: Any, shape: Any, chunks: Any) -> ChunkPlan:
    plans: dict[str, Callable[..., ChunkPlan]] = {
        "basic": plan_basic, "orthogonal": plan_orthogonal, "coordinate": plan_coordinate,
    }  # fmt: skip
    return plans[kind](selection, shape, chunks)


def expected_of(kind: str, selection: Any, data: Any = DATA) -> Any:
    if kind == "orthogonal":
        for axis, item in enumerate(selection):
            data = data[(slice(None),) * axis + (item,)]
        return data
    return data[selection]


@pytest.fixture(autouse=True)
def fresh_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds the slab that another one left."""
    monkeypatch.setattr("cuzarr.host.fetch._scratch", threading.local())


def array(store: Any = None, data: Any = DATA, **options: Any) -> cuzarr.Array:
    options.setdefault("chunks", (4, 6))
    return cuzarr.create_array(store, data=data, device="cpu", **options)


def job_of(z: cuzarr.Array, plan: ChunkPlan | None = None) -> Job:
    plan = plan_basic(..., z.shape, z.chunks) if plan is None else plan
    return Job(z.store, z._target.chain, plan, z.dtype, z._target.fill_value)


def wave_of(z: cuzarr.Array) -> Any:
    plan = plan_basic(..., z.shape, z.chunks)
    return z._target.address.wave(0, plan.rows(0, plan.n_chunks))


class SlabStore(MemoryStore):
    """A store that places bytes in memory it is given, and is neither files nor a mapping."""

    in_memory = False

    def __init__(self) -> None:
        super().__init__()
        self.slabs: list[int] = []
        self.change: Callable[[int, Placed], None] = lambda call, placed: None

    def read_into(self, batch: RequestBatch, slab: memoryview, *, threads: int = 1) -> Placed:
        self.slabs.append(slab.nbytes)
        values = self.get_many(batch)
        at, n = 0, len(batch)
        placed = Placed(np.full(n, -1), values.sizes.copy(), values.statuses.copy(), 0)
        for i, value in enumerate(values.values):
            if value is None:
                continue
            if at + len(value) > slab.nbytes:
                placed.statuses[i] = Status.NO_SPACE
                continue
            slab[at : at + len(value)] = value
            placed.positions[i] = at
            at = (at + len(value) + 15) // 16 * 16
        self.change(len(self.slabs), placed)
        return placed


# Copies of rows, the plain way


@pytest.mark.parametrize(("kind", "selection"), SELECTIONS)
def test_rows_are_scattered_and_gathered(kind: str, selection: Any) -> None:
    plan = plan_of(kind, selection, DATA.shape, (4, 6))
    rows = plan.rows(0, plan.n_chunks)
    out = np.full(plan.shape, -1, "i4")
    copied = np.zeros((16, 24), "i4")
    padded = np.zeros((16, 24), "i4")
    padded[:15, :20] = DATA
    value = np.ascontiguousarray(expected_of(kind, selection)).reshape(plan.shape)
    for i in range(plan.n_chunks):
        first, second = rows.coords[i] * (4, 6)
        where = np.s_[first : first + 4, second : second + 6]
        scatter_row(rows, i, padded[where], out)
        chunk = np.zeros((4, 6), "i4")
        gather_row(rows, i, value, chunk)
        copied[where] = chunk
    np.testing.assert_array_equal(out.reshape(plan.out_shape), expected_of(kind, selection))
    touched = np.zeros((15, 20), bool)
    touched[np.isin(DATA, value)] = True
    np.testing.assert_array_equal(copied[:15, :20], np.where(touched, DATA, 0))
    scatter_row(rows, 0, np.int32(9), out)
    assert (out == 9).any()


# Fetching


def test_what_does_not_fit_is_read_again() -> None:
    store = SlabStore()
    z = array(store, compressors=GZIP)
    store.delete(["c/1/1"])
    for key in ("c/0/2", "c/3/3"):
        store.set(key, store.get(key) + bytes(100_000))  # type: ignore[operator]  # padding
    found = fetch_run(job_of(z), wave_of(z), 100)
    assert len(store.slabs) == 2
    keys = wave_of(z).requests.key_list()
    for i, key in enumerate(keys):
        stored = store.get(key)
        data = found.view(i)
        assert (data is None and stored is None) or bytes(data or b"") == stored, key
    expected = DATA.copy()
    expected[4:8, 6:12] = 0
    np.testing.assert_array_equal(z[...], expected)


def test_a_slab_does_not_grow_with_what_metadata_claims() -> None:
    store = SlabStore()
    z = cuzarr.create_array(store, shape=(2**40,), chunks=(2**40,), dtype="f8", device="cpu")
    assert z[5:7].tolist() == [0, 0]
    assert max(store.slabs) <= 64 * 2**20


def test_encoded_chunks_that_no_codec_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuzarr.host.fetch._KEPT", 1000)
    store = SlabStore()
    z = array(store, compressors=GZIP)
    store.set("c/1/0", store.get("c/1/0") + bytes(10**6))  # type: ignore[operator]
    with pytest.raises(ChunkDecodeError, match=r"'c/1/0': read: 10000\d\d bytes are stored, no"):
        z[...]


def test_an_object_that_grows_while_it_is_read() -> None:
    store = SlabStore()
    z = array(store, compressors=GZIP)
    store.set("c/1/0", store.get("c/1/0") + bytes(10**5))  # type: ignore[operator]

    def grow(call: int, placed: Placed) -> None:
        if call == 2:
            placed.statuses[0] = Status.NO_SPACE

    store.change = grow
    with pytest.raises(StoreError, match="'c/1/0' changed its size while it was read"):
        fetch_run(job_of(z), wave_of(z), 100)


def test_statuses_of_a_slab_store() -> None:
    store = SlabStore()
    z = array(store, compressors=GZIP)
    for status, error, message in (
        (Status.SHORT, ChunkDecodeError, "'c/0/1': read: truncated: the object ends"),
        (Status.ERRNO + 13, StoreError, f"cannot read 'c/0/1': {os.strerror(13)}"),
    ):

        def spoil(call: int, placed: Placed, status: int = status) -> None:
            placed.statuses[1] = status

        store.change = spoil
        with pytest.raises(error, match=message):
            z[...]


def test_objects_of_no_bytes() -> None:
    for store in (MemoryStore(), SlabStore()):
        z = array(store, compressors=GZIP)
        store.set("c/0/0", b"")
        with pytest.raises(ChunkDecodeError, match="'c/0/0': gzip: truncated"):
            z[...]


def test_scratch_is_kept_per_thread() -> None:
    mine = thread_buffer("test", 100)
    assert thread_buffer("test", 50) is mine
    assert thread_buffer("test", 101) is not mine
    other: list[Any] = []
    worker = threading.Thread(target=lambda: other.append(thread_buffer("test", 50)))
    worker.start()
    worker.join()
    assert other[0] is not thread_buffer("test", 50)
    assert thread_buffer("large", 2**27) is not thread_buffer("large", 2**27)


def test_no_chunk_is_stored() -> None:
    z = cuzarr.full((15, 20), 7, dtype="i4", chunks=(2, 3), shards=(4, 6), device="cpu")
    found = fetch_run(job_of(z), wave_of(z), 100)
    assert not found.pointers.any()
    assert (z[...] == 7).all()


# Reads from every kind of store, by every way of decoding


def local(path: Path) -> Any:
    return LocalStore(str(path / "z"))


STORES: dict[str, Callable[[Path], Any]] = {
    "files": local,
    "memory": lambda path: MemoryStore(),
    "slabs": lambda path: SlabStore(),
}
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
SWAPPED = {"name": "bytes", "configuration": {"endian": "big"}}
TRANSPOSED = [{"name": "transpose", "configuration": {"order": [1, 0]}}]
LAYOUTS: dict[str, dict[str, Any]] = {
    "blosc": {"zarr_format": 2},
    "blosc whole rows": {"zarr_format": 2, "chunks": (2, 20)},
    "zstd": {"chunks": (4, 6)},
    "zstd in place": {"chunks": (1, 20)},
    "raw": {"compressors": None},
    "raw in place": {"compressors": None, "chunks": (3, 20)},
    "checked": {"compressors": [{"name": "crc32c"}]},
    "checked zstd": {"compressors": [{"name": "zstd"}, {"name": "crc32c"}]},
    "gzip": {"compressors": GZIP},
    "two compressors": {"compressors": [{"name": "zstd"}, *GZIP]},
    "big-endian": {"serializer": SWAPPED, "compressors": None},
    "order F": {"zarr_format": 2, "order": "F"},
    "transposed gzip": {"filters": TRANSPOSED, "compressors": GZIP},
    "transposed raw": {"filters": TRANSPOSED, "compressors": None},
    "shards": {"chunks": (2, 3), "shards": (4, 6)},
    "transposed shards": {"chunks": (2, 3), "shards": (4, 6), "filters": TRANSPOSED},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("store", STORES)
def test_reads_are_numpy(store: str, layout: str, tmp_path: Path) -> None:
    for dtype in ("i4", ">f8", "c8", "u1"):
        if dtype == ">f8" and LAYOUTS[layout].get("zarr_format") != 2:
            dtype = "f8"
        data = DATA.astype(dtype)
        z = array(STORES[store](tmp_path), data, overwrite=True, **LAYOUTS[layout])
        assert z[...].dtype == np.dtype(dtype)
        for kind, selection in SELECTIONS:
            get = {
                "basic": z.get_basic_selection,
                "orthogonal": z.get_orthogonal_selection,
                "coordinate": z.get_coordinate_selection,
            }[kind]
            np.testing.assert_array_equal(get(selection), expected_of(kind, selection, data))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_chunks_are_fill_value_everywhere(layout: str, tmp_path: Path) -> None:
    options = LAYOUTS[layout]
    for (name, store), fill in itertools.product(STORES.items(), (0, 9)):
        z = array(store(tmp_path / name), fill_value=fill, overwrite=True, **options)
        n, m = z.shards or z.chunks
        expected = DATA.copy()
        z[:n, :m] = expected[:n, :m] = fill  # not stored
        assert z.nshards_initialized < np.prod([-(-15 // n), -(-20 // m)])
        np.testing.assert_array_equal(z[...], expected)
        np.testing.assert_array_equal(z[::-1, ::2], expected[::-1, ::2])
        np.testing.assert_array_equal(z.vindex[ROWS, COLUMNS], expected[ROWS, COLUMNS])
        out = np.full((20, 15), -7, "i4").T
        np.testing.assert_array_equal(z.get_basic_selection(..., out=out), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("store", STORES)
def test_one_bad_chunk_among_good_ones(store: str, layout: str, tmp_path: Path) -> None:
    z = array(STORES[store](tmp_path), **LAYOUTS[layout])
    last = max(z._chunk_coords(), key=lambda pair: pair[1])[0]
    good = z.store.get(last)
    assert good is not None
    z.store.set(last, good[:-1])
    for read in (lambda: z[...], lambda: z[-1], lambda: z.vindex[[0, -1], [0, -1]]):
        with pytest.raises(ChunkDecodeError, match=f"'{last}'"):
            read()
    np.testing.assert_array_equal(z[:1, :3], DATA[:1, :3])
    z.store.set(last, good)
    np.testing.assert_array_equal(z[...], DATA)


def test_foreign_frames_are_decoded_chunk_by_chunk(tmp_path: Path) -> None:
    """Padding, several frames, several members: nothing a batched decoder has to know."""
    half = DATA[:4, :6].tobytes()[:48], DATA[:4, :6].tobytes()[48:]
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    for codec, encoded in (
        ("zstd", skipped + b"".join(numcodecs.zstd.compress(part) for part in half)),
        ("gzip", b"".join(gzip.compress(part) for part in half) + bytes(4)),
    ):
        for name, make in STORES.items():
            store = make(tmp_path / codec / name)
            z = array(store, DATA + 1, compressors=[{"name": codec}])
            store.set("c/0/0", encoded)
            expected = DATA + 1
            expected[:4, :6] -= 1
            np.testing.assert_array_equal(z[...], expected)


def test_a_codec_that_the_native_code_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuzarr.native.codecs_available", lambda: frozenset({"raw"}))
    z = array(compressors=[{"name": "zstd"}])
    np.testing.assert_array_equal(z[1:14, 2:19], DATA[1:14, 2:19])


def test_threads_share_a_read(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 9, (600, 1000), "i4")
    for options in ({}, {"compressors": GZIP}, {"chunks": (10, 50), "shards": (50, 250)}):
        z = cuzarr.create_array(
            str(tmp_path / "z"), data=data, overwrite=True, device="cpu",
            **{"chunks": (50, 70)} | options,  # type: ignore[operator]
        )  # fmt: skip
        for threads in (1, 2, 5):
            with cuzarr.config.set({"host.threads": threads, "host.run_bytes": 30_000}):
                np.testing.assert_array_equal(z[...], data)
                np.testing.assert_array_equal(z[::-7, 3:900], data[::-7, 3:900])


# Facts about layouts


@pytest.mark.parametrize(
    ("chunk", "shape", "expected"),
    [
        ((2, 20), (15, 20), True), ((2, 10), (15, 20), False), ((1, 10), (15, 20), True),
        ((1, 1, 3), (4, 4, 9), True), ((1, 2, 9), (4, 4, 9), True), ((2, 2, 9), (4, 4, 9), False),
        ((), (), True), ((1, 1), (3, 3), True),
    ],
)  # fmt: skip
def test_contiguous_pieces(chunk: Any, shape: Any, expected: bool) -> None:
    out = np.zeros(shape)
    assert contiguous_in(out, chunk) == expected
    if len(shape) == 2:
        assert not contiguous_in(np.zeros(shape[::-1]).T, chunk)


def test_swap_units() -> None:
    assert swap_unit(np.dtype("<i4"), np.dtype("<i4")) == 0
    assert swap_unit(np.dtype(">i4"), np.dtype("<i4")) == 4
    assert swap_unit(np.dtype(">c16"), np.dtype("<c16")) == 8


def test_records_name_every_codec() -> None:
    z = array(filters=TRANSPOSED, compressors=[{"name": "zstd"}, {"name": "crc32c"}])
    steps = [record.step for record in host_records(job_of(z), 3)]
    assert steps == ["crc32c", "zstd", "bytes", "transpose"]


# Writes


def test_memory_that_is_not_there_names_the_chunk() -> None:
    z = cuzarr.create_array(None, shape=(2**50,), chunks=(2**50,), dtype="f8", device="cpu")
    with pytest.raises(ChunkEncodeError, match="cannot encode chunk 'c/0': gather: Unable to all"):
        z[0] = 1


def test_elements_outside_the_array_are_fill_value() -> None:
    z = array(compressors=None, fill_value=-3)
    stored = np.frombuffer(z.store.get("c/3/3") or b"", "<i4").reshape(4, 6)
    np.testing.assert_array_equal(stored[:3, :2], DATA[12:, 18:])
    assert (stored[3] == -3).all()
    assert (stored[:, 2:] == -3).all()


@pytest.mark.parametrize("dtype", ["i1", "u2", "f4", "f8", "c16", "?"])
def test_fill_value_is_recognised_by_its_bits(dtype: str) -> None:
    z = cuzarr.zeros((4, 4), dtype=dtype, chunks=(2, 2), device="cpu")
    z[...] = 0
    assert z.nchunks_initialized == 0
    z[1, 1] = 1
    z[2, 2] = 1
    z[2, 2] = 0
    assert z.nchunks_initialized == 1
    if np.dtype(dtype).kind in "fc":
        z[3, 3] = -0.0
        assert z.nchunks_initialized == 2


def test_a_write_of_nothing_stores_nothing() -> None:
    chain = CodecChain.bind(
        [CodecSpec("bytes", {"endian": "little"})],
        ChunkType((4, 6), np.dtype("i4"), np.int32(0)),
    )
    plan = plan_basic((slice(3, 3), ...), (15, 20), (4, 6))
    job = Job(MemoryStore(), chain, plan, np.dtype("i4"), np.int32(0))
    steps = HostBackend().begin_write(job, np.zeros(plan.shape, "i4"), write_empty_chunks=True)
    steps.finish()
    steps.abort()
    assert HostBackend().begin_read(job, None).finish().size == 0


# Values of other libraries


def test_arrays_of_a_device_come_to_the_host() -> None:
    class Cupy:
        __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012

        def get(self) -> Any:
            return np.arange(3)

    class Exchange:
        def __dlpack__(self, **_: Any) -> Any:
            return np.arange(4).__dlpack__()

        def __dlpack_device__(self) -> Any:
            return np.arange(4).__dlpack_device__()

    class Tensor:
        __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012

        def cpu(self) -> Any:
            return np.arange(5)

    class Other:
        __cuda_array_interface__: dict[str, Any] = {}  # noqa: RUF012

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.arange(2)

    assert to_numpy(Other()).tolist() == [0, 1]
    assert to_numpy(Cupy()).tolist() == [0, 1, 2]
    assert to_numpy(Tensor()).tolist() == [0, 1, 2, 3, 4]
    assert to_numpy(Exchange()).tolist() == [0, 1, 2, 3]
    assert to_numpy([1, 2]).tolist() == [1, 2]
    given = np.arange(3)
    assert to_numpy(given) is given
    z = cuzarr.zeros(4, dtype="i4", device="cpu")
    z[...] = Exchange()
    assert z[...].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("place", ["memory", "files"])
def test_a_native_call_is_short_and_busies_every_thread(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = cuzarr.ones((8, 2**16), chunks=(1, 2**16), store={} if place == "memory" else tmp_path)
    z[...] = np.arange(8)[:, None]
    chunks: list[int] = []
    read_wave = native.read_wave

    def counted(source: Any, present: Any, *rest: Any) -> Any:
        chunks.append(len(present))
        return read_wave(source, present, *rest)

    monkeypatch.setattr(native, "read_wave", counted)
    for nbytes, expected in ((1, [3, 3, 2]), (2**18 * 10, [5, 3]), (2**28, [8])):
        monkeypatch.setattr(read_pass, "_CALL_BYTES", nbytes)
        with cuzarr.config.set({"host.threads": 3}):
            assert z[:, 7].tolist() == list(range(8))
        assert chunks == expected
        chunks.clear()
