"""Files that the native code writes: the same as chunk by chunk, with all that may go wrong."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr import native
from cuzarr.codecs.zstd import ZstdCodec
from cuzarr.errors import InvalidKeyError, ReadOnlyError, StoreError
from cuzarr.host.layout import native_codec
from cuzarr.storage import LocalStore
from cuzarr.storage.base import BytesLike, RequestBatch

ZSTD = {"name": "zstd", "configuration": {"level": 1}}
CRC32C = {"name": "crc32c"}

LAYOUTS: list[tuple[str, dict[str, Any]]] = [
    ("zstd", {"compressors": [ZSTD]}),
    ("zstd with checksums", {"compressors": [
        {"name": "zstd", "configuration": {"level": -3, "checksum": True}}, CRC32C]}),
    ("raw", {"compressors": None}),
    ("raw with checksum", {"compressors": [CRC32C]}),
    ("big-endian", {"compressors": [ZSTD],
                    "serializer": {"name": "bytes", "configuration": {"endian": "big"}}}),
    ("transposed", {"compressors": [ZSTD], "filters": [
        {"name": "transpose", "configuration": {"order": [1, 0]}}]}),
    ("blosc", {"compressors": [{"name": "blosc", "configuration": {
        "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 4, "blocksize": 0}}]}),
    ("v2 blosc", {"zarr_format": 2, "compressors": numcodecs.Blosc("zstd", 3, -1)}),
    ("v2 columns", {"zarr_format": 2, "compressors": numcodecs.Zstd(2), "order": "F"}),
    ("rectilinear", {"compressors": [ZSTD], "chunks": [[7, 3, 10], [30]]}),
    ("shards", {"compressors": [ZSTD], "chunks": (3, 4), "shards": (9, 8)}),
    ("shards, index first", {"compressors": None, "chunks": (3, 4), "shards": {
        "shape": (12, 16), "index_location": "start"}}),
    ("shards of one chunk", {"compressors": [ZSTD, CRC32C], "chunks": (6, 10), "shards": (6, 10)}),
    ("shards, plain index", {"chunks": (10, 8), "filters": None, "compressors": None,
        "serializer": cuzarr.codecs.ShardingCodec(
            chunk_shape=(5, 4), codecs=["bytes", ZSTD],
            index_codecs=[{"name": "bytes", "configuration": {"endian": "little"}}])}),
    ("shards, big index", {"chunks": (10, 8), "filters": None, "compressors": None,
        "serializer": cuzarr.codecs.ShardingCodec(
            chunk_shape=(5, 4), codecs=["bytes", ZSTD],
            index_codecs=[{"name": "bytes", "configuration": {"endian": "big"}}, "crc32c"])}),
    ("rectilinear shards", {"compressors": [ZSTD], "chunks": (2, 5),
                            "shards": [[8, 4, 8], [10, 20]]}),
]  # fmt: skip


needs_native = pytest.mark.skipif(not native.HAVE_NATIVE, reason="the C extension was not built")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that the keys are added to that native calls write."""
    keys: list[str] = []
    write_wave = native.write_wave

    def noting(root: Any, names: bytes, offsets: Any, *arguments: Any) -> Any:
        ends = offsets.tolist()
        keys.extend(names[a:b].decode() for a, b in itertools.pairwise(ends))
        return write_wave(root, names, offsets, *arguments)

    monkeypatch.setattr(native, "write_wave", noting)
    return keys


def stored(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*") if path.is_file()
    }  # fmt: skip


@pytest.mark.parametrize("write_empty", [False, True])
@pytest.mark.parametrize("options", [o for _, o in LAYOUTS], ids=[n for n, _ in LAYOUTS])
def test_native_files_are_those_of_the_codec_chain(
    options: dict[str, Any],
    write_empty: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: list[str],
) -> None:
    value = np.arange(600, dtype="f4").reshape(20, 30)
    value[7:14, 8:16] = value[15:, 25:] = np.nan
    folders = [tmp_path / "native", tmp_path / "chain"]
    for folder in folders:
        if folder.name == "chain":
            monkeypatch.setattr(native, "encoders_available", frozenset)
        z = cuzarr.create_array(
            folder, shape=(20, 30), dtype="f4", fill_value=np.nan, device="cpu",
            **{"chunks": (7, 8)} | options, config={"write_empty_chunks": write_empty},
        )  # fmt: skip
        z[...] = np.float32(3)
        z[...] = value
        z[3:15, 5:] = value[3:15, 5:].astype(">f4")
        z.oindex[[1, 0, 2, 3, 4, 5, 6, 7], :] = value[[1, 0, 2, 3, 4, 5, 6, 7]]
        np.testing.assert_array_equal(z[...], value)
    assert stored(folders[0]) == stored(folders[1])
    lacks = "big" in str(getattr(options.get("serializer"), "index_codecs", ""))
    assert bool(calls) == (native.HAVE_NATIVE and not lacks)


@needs_native
@pytest.mark.parametrize("shards", [None, (14,)])
@pytest.mark.parametrize("every", [1, 3])
def test_what_the_native_code_leaves_is_done_chunk_by_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: Any, every: int
) -> None:
    """Files that it says it could not write, and that are not there."""
    write_wave = native.write_wave

    def leave_some(root: Any, keys: bytes, offsets: Any, *arguments: Any) -> Any:
        statuses = write_wave(root, keys, offsets, *arguments)
        for i in range(0, len(statuses), every):
            Path(root, keys[offsets[i] : offsets[i + 1]].decode()).unlink(missing_ok=True)
            statuses[i] = 3
        return statuses

    z = cuzarr.create_array(
        tmp_path / "a", shape=(100,), chunks=(7,), shards=shards, dtype="i4", compressors=[ZSTD],
        device="cpu",
    )  # fmt: skip
    value = np.arange(1, 101, dtype="i4")
    value[14:21] = value[21:28] = 0
    z[:] = 5
    monkeypatch.setattr(native, "write_wave", leave_some)
    z[:] = value
    np.testing.assert_array_equal(z[:], value)
    empty = (2, 3) if shards is None else (1,)
    files = range(15 if shards is None else 8)
    assert sorted(z.store.list("c")) == sorted(f"c/{i}" for i in files if i not in empty)


@needs_native
@pytest.mark.parametrize("shards", [None, (10,)])
@pytest.mark.parametrize("how", ["file", "directory", "link"])
def test_errors_of_native_files_name_the_key(
    tmp_path: Path, how: str, shards: Any, calls: list[str]
) -> None:
    (tmp_path / "outside").mkdir()
    z = cuzarr.create_array(
        LocalStore(tmp_path / "store"), name="a", shape=(20,), chunks=(5,), shards=shards,
        dtype="i4", compressors=None, device="cpu",
    )  # fmt: skip
    place = tmp_path / "store" / "a" / "c"
    if how == "file":
        place.write_bytes(b"")
    elif how == "directory":
        (place / "1").mkdir(parents=True)
    else:
        place.symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match="a/c") as caught:
        z[:] = np.arange(1, 21, dtype="i4")
    assert ("leads outside" in str(caught.value)) == (how == "link")
    assert ("a/c/1" in calls) == (how != "link")  # a link is seen before
    assert not list((tmp_path / "outside").iterdir())
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


def test_a_name_that_is_too_long_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="x{300}"):
        cuzarr.create_array(tmp_path, name="x" * 300, shape=(10,), chunks=(5,), dtype="i4")


class Seeing(LocalStore):
    """Notes what it is given."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.seen: list[str] = []


class OwnSet(Seeing):
    """Has a ``set`` of its own."""

    def set(self, key: str, value: BytesLike) -> None:
        self.seen.append(key)
        super().set(key, value)


class OwnSetMany(Seeing):
    """Has a ``set_many`` of its own."""

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        self.seen += keys
        super().set_many(keys, values)


class Passing:
    """Passes everything on, whatever its name."""

    def __init__(self, inner: LocalStore) -> None:
        self.inner, self.seen = inner, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        self.seen += keys
        self.inner.set_many(keys, values)


def own_instance(root: Path) -> LocalStore:
    """Return a store of which one instance has its own ``set_many``."""
    store: Any = Seeing(root)

    def set_many(keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        store.seen.extend(keys)
        LocalStore.set_many(store, keys, values)

    store.set_many = set_many
    return store


@pytest.mark.parametrize(
    "make", [OwnSet, OwnSetMany, own_instance, lambda root: Passing(LocalStore(root))]
)
def test_stores_that_write_for_themselves_are_asked(
    tmp_path: Path, make: Any, calls: list[str]
) -> None:
    store = make(tmp_path)
    z = cuzarr.create_array(store, shape=(9,), chunks=(3,), dtype="i4", device="cpu")
    store.seen.clear()
    z[:] = np.arange(1, 10, dtype="i4")
    assert sorted(store.seen) == ["c/0", "c/1", "c/2"]
    assert calls == []
    np.testing.assert_array_equal(z[:], np.arange(1, 10))


@pytest.mark.parametrize("fsync", [False, True])
def test_files_that_are_to_be_flushed_are_not_written_natively(
    tmp_path: Path, fsync: bool, calls: list[str]
) -> None:
    store = LocalStore(tmp_path, fsync=fsync)
    z = cuzarr.create_array(store, shape=(9,), chunks=(3,), dtype="i4", device="cpu")
    z[:] = np.arange(1, 10, dtype="i4")
    assert bool(calls) == (native.HAVE_NATIVE and not fsync)
    np.testing.assert_array_equal(z[:], np.arange(1, 10))


def test_keys_that_may_not_be_written_are_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.write_root(RequestBatch.of(["a/b"])) == str(tmp_path)
    assert store.write_root(RequestBatch.of(["a/.cuzarr-partial-1"])) is None
    for key in ("../a", "a//b", "/a"):
        with pytest.raises(InvalidKeyError):
            store.write_root(RequestBatch.of([key]))
    with pytest.raises(ReadOnlyError, match="c/0"):
        LocalStore(tmp_path, read_only=True).write_root(RequestBatch.of(["c/0"]))


class OwnZstd(ZstdCodec):
    """Does something else, as a subclass may."""

    def encode(self, data: Any, itemsize: int) -> Any:
        return bytes(super().encode(bytes(255 - byte for byte in bytes(data)), itemsize))

    def decode(self, data: Any, size: int | None, out: Any) -> Any:
        return bytes(255 - byte for byte in bytes(super().decode(data, size, None)))


def test_chains_that_the_native_code_lacks(tmp_path: Path, calls: list[str]) -> None:
    gzip = {"name": "gzip", "configuration": {"level": 1}}
    for codecs in ([ZSTD, ZSTD], [CRC32C, ZSTD], [gzip], [OwnZstd(1)]):
        z = cuzarr.create_array(
            tmp_path / "a", shape=(8,), chunks=(4,), dtype="i4", device="cpu", overwrite=True,
            compressors=[ZSTD] if isinstance(codecs[0], OwnZstd) else codecs,
        )  # fmt: skip
        if isinstance(codecs[0], OwnZstd):
            chain = replace(z._target.chain, byte_codecs=tuple(codecs))
            z._target = replace(z._target, chain=chain)
        assert native_codec(z._target.chain) is None
        z[:] = np.arange(8, dtype="i4")
        np.testing.assert_array_equal(z[:], np.arange(8))
    assert calls == []
    data = numcodecs.Zstd().decode((tmp_path / "a" / "c" / "1").read_bytes())
    assert data == bytes(255 - byte for byte in np.arange(4, 8, dtype="<i4").tobytes())


@pytest.mark.parametrize("threads", [1, 2, 3, 2**31, 2**70])
@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_any_number_of_threads_is_taken(tmp_path: Path, threads: int, chunks: int) -> None:
    """Fewer chunks than threads: several compress one."""
    value = np.arange(chunks * 2**18, dtype="i4")
    z = cuzarr.create_array(
        tmp_path / "a", shape=value.shape, chunks=(2**18,), dtype="i4", device="cpu",
        compressors=[cuzarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")],
    )  # fmt: skip
    with cuzarr.config.set({"host.threads": threads}):
        z[:] = value
        np.testing.assert_array_equal(z[:], value)
    for i in range(chunks):
        data = numcodecs.Blosc().decode((tmp_path / "a" / "c" / str(i)).read_bytes())
        assert data == value[i * 2**18 : (i + 1) * 2**18].tobytes()


@needs_native
@pytest.mark.parametrize("shards", [None, (2**22,)])
def test_ctrl_c_ends_a_native_write(
    tmp_path: Path, shards: Any, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a call, not behind it."""

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    z = cuzarr.create_array(
        tmp_path / "a", shape=(2**25,), chunks=(2**20,), shards=shards, dtype="u1", device="cpu",
        compressors=[{"name": "zstd", "configuration": {"level": 19}}],
    )  # fmt: skip
    value = np.random.default_rng(0).integers(0, 128, 2**25, np.uint8)
    before = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
    write_wave = native.write_wave

    def starting(*arguments: Any) -> Any:
        timer.start()
        return write_wave(*arguments)

    monkeypatch.setattr(native, "write_wave", starting)
    try:
        with cuzarr.config.set({"host.threads": 2}), pytest.raises(Stop):
            z[:] = value
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert len(calls) == (32 if shards is None else 8)  # the whole of it in one call
    assert len(list(z.store.list("c"))) < len(calls)  # half, where one thread gets little time
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


def test_a_value_that_changes_meanwhile_leaves_chunks_that_can_be_decoded(tmp_path: Path) -> None:
    value = np.zeros(2**22, "u1")
    z = cuzarr.create_array(
        tmp_path / "a", shape=value.shape, chunks=(2**16,), dtype="u1", device="cpu",
        compressors=[{"name": "zstd", "configuration": {"level": 1, "checksum": True}}],
    )  # fmt: skip
    done: list[int] = []

    def change() -> None:
        while not done:
            np.add(value, 1, out=value)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(8):
            z[:] = value
            assert z[:].shape == value.shape  # every checksum is right
    finally:
        done.append(1)
        thread.join()
