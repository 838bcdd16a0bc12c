"""Writing on the host: how chunks are built from the value, and who stores them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr import native
from cuzarr.engine import write as engine_write
from cuzarr.errors import (
    ChunkDecodeError,
    ChunkEncodeError,
    StoreError,
)
from cuzarr.host import write_pass
from cuzarr.host.layout import moves_bytes
from cuzarr.storage import LocalStore, MemoryStore
from cuzarr.storage.base import BytesLike

ZSTD = {"name": "zstd", "configuration": {"level": 1}}
GZIP = {"name": "gzip", "configuration": {"level": 1}}
CRC32C = {"name": "crc32c"}
BIG = 300_000  #: elements of a chunk of which each is a task of its own


class Watched(LocalStore):
    """Notes who stores what; a key in ``broken`` cannot be written."""

    def __init__(self, root: Path, broken: str = "") -> None:
        super().__init__(root)
        self.broken = broken
        self.sets: list[tuple[str, str]] = []
        self.deletes: list[str] = []

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        for key, value in zip(keys, values, strict=True):
            self.sets.append((key, threading.current_thread().name))
            if key == self.broken:
                raise StoreError(f"cannot write {key!r}")
            super().set_many([key], [value])

    def delete(self, keys: Any) -> None:
        keys = list(keys)
        self.deletes += keys
        super().delete(keys)


def noise(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 2**31, n, dtype=np.int32)


@pytest.fixture
def chunked(tmp_path: Path) -> tuple[Watched, cuzarr.Array]:
    """Return a store and an array of 12 chunks in it."""
    store = Watched(tmp_path / "store")
    z = cuzarr.create_array(
        store, shape=(12 * BIG,), chunks=(BIG,), dtype="i4", compressors=[ZSTD], device="cpu"
    )
    store.sets.clear()
    return store, z


def test_tasks_encode_and_store_every_chunk_once(chunked: tuple[Watched, cuzarr.Array]) -> None:
    store, z = chunked
    value = noise(12 * BIG)
    with cuzarr.config.set({"host.threads": 3}):
        z[:] = value
    assert sorted(key for key, _ in store.sets) == sorted(f"c/{i}" for i in range(12))
    assert all(name.startswith("cuzarr") for _, name in store.sets)
    np.testing.assert_array_equal(z[:], value)
    for i in (0, 5, 11):
        data = numcodecs.Zstd().decode(Path(store.root, f"c/{i}").read_bytes())
        assert data == value[i * BIG : (i + 1) * BIG].tobytes()


@pytest.mark.skipif(not native.HAVE_NATIVE, reason="the C extension was not built")
@pytest.mark.parametrize(
    ("selection", "codec", "expected"),
    [
        (np.s_[:], ZSTD, [4, 16, 16, 16, 8]),
        (np.s_[5:-5], ZSTD, [4, 4, 16, 16, 16, 4]),
        (np.s_[::2], ZSTD, [4] * 15),
        (np.s_[:], GZIP, [4] * 15),
    ],
)
def test_waves_grow_where_nothing_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selection: Any, codec: Any, expected: list[int]
) -> None:
    sizes: list[int] = []
    gather = write_pass.HostWritePass.gather

    def noting(self: Any, wave: Any) -> Any:
        sizes.append(len(wave))
        return gather(self, wave)

    monkeypatch.setattr(write_pass.HostWritePass, "gather", noting)
    monkeypatch.setattr(write_pass, "_WAVE_BYTES", 0)
    monkeypatch.setattr(write_pass, "_NATIVE_BYTES", 0)
    z = cuzarr.create_array(
        tmp_path / "a", shape=(600,), chunks=(10,), dtype="i4", compressors=[codec], device="cpu"
    )
    value = np.arange(1, 601, dtype="i4")
    with cuzarr.config.set({"host.threads": 1}):
        z[selection] = value[selection]
    assert sizes == expected
    np.testing.assert_array_equal(z[selection], value[selection])


@pytest.mark.parametrize("kind", ["basic", "few", "points"])
def test_a_wave_has_no_more_shards_than_fit_whole(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """One chunk of each is written, but all of a shard is read and kept until it is stored."""
    shards: list[int] = []
    gather = write_pass.HostWritePass.gather

    def noting(self: Any, wave: Any) -> Any:
        shards.append(len(wave.inner.names))
        return gather(self, wave)

    monkeypatch.setattr(write_pass.HostWritePass, "gather", noting)
    monkeypatch.setattr(write_pass, "_WAVE_BYTES", 0)
    n = 3 if kind == "few" else 11
    z = cuzarr.create_array(
        MemoryStore(), shape=(40 * n - 20,), chunks=(10,), shards=(40,), dtype="i4", device="cpu"
    )
    z[:] = 7
    shards.clear()
    with cuzarr.config.set({"host.threads": 2}):  # eight chunks: two shards
        if kind == "points":
            z.vindex[np.arange(0, 40 * n - 20, 40)[::-1]] = 1
        else:
            z[::40] = 1
    assert shards == ([2, 1] if n == 3 else [2, 2, 2, 2, 2, 1])
    expected = np.full(40 * n - 20, 7)
    expected[::40] = 1
    np.testing.assert_array_equal(z[:], expected)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_an_array_of_one_element_is_cast_as_numpy_does(shape: Any) -> None:
    """NumPy checks the range of scalars, and not that of arrays."""
    z = cuzarr.zeros(shape, chunks=shape, dtype="i2", device="cpu")
    z[...] = np.full(shape, 70000, "i4")
    assert z[...].reshape(-1).tolist() == [70000 - 2**16]
    with pytest.raises(OverflowError):
        z[...] = 70000


def test_chunks_of_nothing_but_fill_value_are_deleted(
    chunked: tuple[Watched, cuzarr.Array],
) -> None:
    store, z = chunked
    z[:] = 1
    value = noise(12 * BIG).reshape(12, BIG)
    value[::2] = 0
    store.sets.clear()
    z[:] = value.reshape(-1)
    assert sorted(store.deletes) == sorted(f"c/{i}" for i in range(0, 12, 2))
    assert sorted(key for key, _ in store.sets) == sorted(f"c/{i}" for i in range(1, 12, 2))
    assert sorted(store.list("c")) == sorted(f"c/{i}" for i in range(1, 12, 2))
    np.testing.assert_array_equal(z[:], value.reshape(-1))


def test_shards_of_other_codecs_and_other_stores_are_left_to_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []
    kept = engine_write._Storing.store

    def store(self: Any, keys: list[str], values: Any, release: Any) -> None:
        stored.extend(key for key, value in zip(keys, values, strict=True) if value is not None)
        kept(self, keys, values, release)

    monkeypatch.setattr(engine_write._Storing, "store", store)
    value = noise(4 * BIG)
    for place, shards in ((LocalStore(tmp_path / "a"), (2 * BIG,)), (MemoryStore(), None)):
        stored.clear()
        z = cuzarr.create_array(
            place, shape=(4 * BIG,), chunks=(BIG,), shards=shards, dtype="i4",
            compressors=[GZIP], device="cpu",
        )  # fmt: skip
        z[:] = value
        assert stored == [f"c/{i}" for i in range(2 if shards else 4)]
        np.testing.assert_array_equal(z[:], value)


@pytest.mark.parametrize("codecs", [[ZSTD, ZSTD], [ZSTD, CRC32C], [ZSTD, ZSTD, CRC32C]])
@pytest.mark.parametrize("chunk", [BIG, 1000])
def test_frames_of_any_size_after_frames_of_any_other(
    tmp_path: Path, codecs: Any, chunk: int
) -> None:
    """Long, short, and longer than their content."""
    value = noise(10 * chunk, 3)
    value[chunk : 3 * chunk] = 7
    value[4 * chunk : 5 * chunk] //= 2**20
    z = cuzarr.create_array(
        LocalStore(tmp_path), shape=value.shape, chunks=(chunk,), dtype="i4", compressors=codecs,
        device="cpu",
    )  # fmt: skip
    with cuzarr.config.set({"host.threads": 2}):
        for turn in range(2):
            z[:] = value[::-1] if turn else value
            np.testing.assert_array_equal(z[:], value[::-1] if turn else value)
    assert z[9 * chunk] == value[chunk - 1]
    z[9 * chunk] = 5  # a single chunk, in part
    assert (z[9 * chunk], z[9 * chunk + 1]) == (5, value[chunk - 2])


def test_a_chunk_that_cannot_be_stored_ends_the_write(tmp_path: Path) -> None:
    store = Watched(tmp_path, broken="c/3")
    z = cuzarr.create_array(
        store, shape=(40 * BIG,), chunks=(BIG,), dtype="i4", compressors=[ZSTD], device="cpu"
    )
    store.sets.clear()
    with (
        cuzarr.config.set({"host.threads": 2}),
        pytest.raises(StoreError, match="cannot write 'c/3'"),
    ):
        z[:] = noise(40 * BIG)
    seen = len(store.sets)
    assert seen < 40
    found = sorted(store.list("c"))
    assert "c/3" not in found
    assert sorted(store.list("c")) == found  # nothing goes on behind the error
    assert len(store.sets) == seen
    assert not [key for key in store.list() if "partial" in key]


def test_what_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    z = cuzarr.create_array(
        store, shape=(3 * BIG,), chunks=(BIG,), dtype="i4", compressors=[ZSTD], device="cpu"
    )
    z[:] = noise(3 * BIG)
    store.set("c/2", b"nonsense")
    with pytest.raises(ChunkDecodeError, match="'c/2'"):
        z[5 : 2 * BIG + 5] = 1
    assert store.get("c/2") == b"nonsense"
    z[2 * BIG :] = 1  # the whole of it needs no reading
    assert (z[2 * BIG :] == 1).all()


def test_a_codec_that_fails_names_the_chunk(
    chunked: tuple[Watched, cuzarr.Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, z = chunked

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(native, "zstd_compress", fail)
    with pytest.raises(ChunkEncodeError, match="'c/0': zstd: no luck"):
        z[:] = 1
    assert not list(store.list("c"))


VALUES: list[tuple[str, Any]] = [
    ("same", lambda v: v),
    ("swapped", lambda v: v.astype(v.dtype.newbyteorder())),
    ("wider", lambda v: v.astype("f8" if v.dtype.kind == "f" else "i8")),
    ("negative strides", lambda v: np.ascontiguousarray(v[::-1, ::-1])[::-1, ::-1]),
    ("columns", np.asfortranarray),
    ("every second", lambda v: np.repeat(v, 2, axis=1)[:, ::2]),
    ("read-only", lambda v: np.frombuffer(v.tobytes(), v.dtype).reshape(v.shape)),
    ("unaligned", lambda v: np.frombuffer(b"x" + v.tobytes(), v.dtype, offset=1).reshape(v.shape)),
]


@pytest.mark.parametrize("dtype", ["i4", ">i4", "f2", "c16", "M8[s]", "S5", "U3", "V7", "i2,f8"])
@pytest.mark.parametrize("change", [c for _, c in VALUES], ids=[n for n, _ in VALUES])
def test_any_value_is_written_as_numpy_assigns_it(
    dtype: str, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The native copy and that of NumPy give the same chunks, for every kind of selection."""
    kind = np.dtype(dtype)
    if change is VALUES[2][1] and kind.kind not in "if":
        pytest.skip("there is no wider form of it")
    raw = np.random.default_rng(1).integers(65, 90, 600 * kind.itemsize, np.uint8)
    if kind.kind == "U":
        raw = np.frombuffer("".join(map(chr, raw[:1800])).encode("utf-32-le"), np.uint8)
    source = np.frombuffer(raw.tobytes(), kind).reshape(20, 30)
    value = change(source)
    rows, columns = np.array([17, 3, 4, 12]), np.array([1, 29, 8])
    whole, mask = np.s_[:, :], source.view(np.uint8).reshape(20, 30, -1)[..., 0] % 3 == 0
    found = []
    for have in (True, False):
        monkeypatch.setattr(native, "HAVE_NATIVE", have and native.HAVE_NATIVE)
        z = cuzarr.create_array(
            MemoryStore(), shape=(20, 30), chunks=(7, 8), dtype=kind, fill_value=None,
            zarr_format=2, compressors=None, device="cpu",
        )  # fmt: skip
        z[whole] = value
        z[2:19:3, 28:1:-1] = value[:6, 1:28]
        z.oindex[rows, columns] = value[4:8, 3:6]
        z.vindex[rows[:3], columns] = value[5, 7:10]
        z.vindex[mask] = value[mask][::-1]
        z[0] = value[5, 5]
        found.append(z[...])
    expected = source.copy()
    expected[2:19:3, 28:1:-1] = source[:6, 1:28]
    expected[np.ix_(rows, columns)] = source[4:8, 3:6]
    expected[rows[:3], columns] = source[5, 7:10]
    expected[mask] = source[mask][::-1]
    expected[0] = source[5, 5]
    for array in found:
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("value", "chunk", "same"),
    [
        ("i4", "i4", True), ("<i4", ">i4", True), ("i4", "u4", False), ("i4", "i8", False),
        ("M8[s]", "M8[ms]", False), ("U3", "<U3", True), (">U3", "<U3", False),
        ("O", "O", False), ("S0", "S0", False), ("i2,f8", "i2,f8", True),
    ],
)  # fmt: skip
def test_what_the_native_code_copies(value: str, chunk: str, same: bool) -> None:
    assert moves_bytes(np.dtype(value), np.dtype(chunk)) is same
    text = np.dtypes.StringDType()
    assert not moves_bytes(text, text)


@pytest.mark.parametrize("files", [False, True])
def test_a_repeated_index_leaves_the_fill_value_beyond_the_array(
    tmp_path: Path, files: bool
) -> None:
    """As many indices as the chunk is wide, and fewer columns that they name."""
    place = tmp_path / "a" if files else MemoryStore()
    for _ in range(20):
        junk = np.full((3, 3), 0x41414141, "i4")
        del junk
        z = cuzarr.create_array(
            place, shape=(3, 2), chunks=(3, 3), dtype="i4", fill_value=7, overwrite=True,
            compressors=[GZIP], device="cpu",
        )  # fmt: skip
        z.oindex[np.arange(3), [0, 1, 0]] = np.arange(9).reshape(3, 3)
        z.resize((3, 3))
        assert z[:, 2].tolist() == [7, 7, 7]
