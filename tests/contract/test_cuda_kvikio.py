"""``cuda.fetch="kvikio"``: files read straight into (emulated) device memory."""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

import cuzarr
from cuzarr import cuda, errors
from cuzarr.cuda.kvikio_fetch import KvikioReading
from tests.contract.test_devices import LAYOUTS, SELECTIONS, SHAPE, data, expected_of, same_bits
from tests.devices import use_device


class Future:
    def __init__(self, count: int) -> None:
        self._count = count

    def get(self) -> int:
        return self._count


class CuFile:
    """kvikio's file, whose threads know no streams: it writes when it is called."""

    settings: list[dict[str, Any]]
    opened: list[str]
    read: list[int]

    def __init__(self, path: str, flags: str) -> None:
        assert flags == "r"
        self.opened.append(path)
        self._file = os.open(path, os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        os.close(self._file)

    def pread(self, piece: Any, size: int, file_offset: int) -> Future:
        interface = piece.__cuda_array_interface__
        assert (interface["shape"], interface["typestr"]) == ((size,), "|u1")
        found = np.frombuffer(os.pread(self._file, size, file_offset), np.uint8)
        runtime = cuda.open_backend(0).runtime
        stream = runtime.new_stream()
        runtime.upload(interface["data"][0], found, len(found), stream)
        runtime.wait_event(runtime.record(stream))
        self.read.append(len(found))
        return Future(len(found))


@pytest.fixture
def kvikio(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[CuFile]]:
    module, defaults = types.ModuleType("kvikio"), types.ModuleType("kvikio.defaults")
    monkeypatch.setattr(CuFile, "settings", [], raising=False)
    vars(defaults).update(set=CuFile.settings.append)
    vars(module).update(CuFile=CuFile, defaults=defaults)
    monkeypatch.setitem(sys.modules, "kvikio", module)
    monkeypatch.setitem(sys.modules, "kvikio.defaults", defaults)
    monkeypatch.setattr(CuFile, "opened", [], raising=False)
    monkeypatch.setattr(CuFile, "read", [], raising=False)
    with cuzarr.config.set({"host.threads": 3}):
        yield CuFile


@pytest.mark.parametrize("seed", [0, 2, 3])
@pytest.mark.parametrize(
    "layout",
    [
        "v2 blosc",
        "v2 raw",
        "v2 zlib",
        "v3 zstd",
        "v3 raw",
        "v3 checksum",
        "v3 shards",
        "v3 transpose",
    ],
)
def test_layouts(kvikio: type[CuFile], tmp_path: Path, layout: str, seed: int) -> None:
    path = tmp_path / "z"
    expected = data("f4")
    cuzarr.create_array(str(path), data=expected, device="cpu", **LAYOUTS[layout])
    with use_device("emulated", seed, fetch="kvikio", slab_bytes=1 << 13) as device:
        z = cuzarr.open(str(path), device=device)
        for kind, key in SELECTIONS.values():
            same_bits(getattr(z, f"get_{kind}_selection")(key), expected_of(kind, key, expected))
        assert {r.where for r in z.device_plan.records} == {"device"}
        assert len(kvikio.opened) > 9
        assert kvikio.settings[-1] == {"num_threads": 3}
        z[3:20, 5:44] = 7
        expected[3:20, 5:44] = 7
        same_bits(z[...], expected)


def test_raw_chunks_never_touch_the_host(
    kvikio: type[CuFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "z"
    cuzarr.create_array(str(path), data=data("f4"), device="cpu", **LAYOUTS["v3 raw"])
    with use_device("emulated", fetch="kvikio") as device:
        z = cuzarr.open(str(path), device=device)

        def never(*args: Any, **more: Any) -> None:
            raise AssertionError("a chunk was downloaded, or read by the host")

        monkeypatch.setattr("cuzarr.cuda.kvikio_fetch.KvikioReading._download", never)
        monkeypatch.setattr(type(z.store), "read_into", never)
        same_bits(z[...], data("f4"))


def test_missing_chunks_and_links(kvikio: type[CuFile], tmp_path: Path) -> None:
    path = tmp_path / "z"
    expected = data("f4")
    cuzarr.create_array(str(path), data=expected, fill_value=5, device="cpu", **LAYOUTS["v3 zstd"])
    (path / "c/0/1").unlink()
    expected[:16, 20:40] = 5
    (path / "c/2/2").rename(path / "moved")
    (path / "c/2/2").symlink_to("../../moved")
    with use_device("emulated", fetch="kvikio") as device:
        same_bits(cuzarr.open(str(path), device=device)[...], expected)


def test_chunks_that_are_larger_than_expected(kvikio: type[CuFile], tmp_path: Path) -> None:
    """They do not fit in the slab: some are bytes objects, and decoded on the host."""
    path = tmp_path / "z"
    noise = np.random.default_rng(0).integers(0, 2**32, (16, 500), dtype="u4")
    z = cuzarr.create_array(str(path), data=noise, chunks=(1, 500), device="cpu")
    for i in range(16):
        skippable = b"\x50\x2a\x4d\x18" + (4000).to_bytes(4, "little") + bytes(4000)
        name = path / f"c/{i}/0"
        name.write_bytes(name.read_bytes() + skippable)
    same_bits(z[...], noise)
    with use_device("emulated", fetch="kvikio", slab_bytes=1 << 14) as device:
        z = cuzarr.open(str(path), device=device)
        same_bits(z[...], noise)
        assert 0 < len(kvikio.read) < 16


@pytest.mark.parametrize("layout", ["v3 raw", "v3 zstd", "v3 shards", "v3 checksum"])
def test_damage_names_the_key(kvikio: type[CuFile], tmp_path: Path, layout: str) -> None:
    path = tmp_path / "z"
    cuzarr.create_array(str(path), data=data("f4"), device="cpu", **LAYOUTS[layout])
    key = "c/1/1"
    whole = (path / key).read_bytes()
    (path / key).write_bytes(whole[:-5])
    with use_device("emulated", fetch="kvikio") as device:
        z = cuzarr.open(str(path), device=device)
        with pytest.raises(errors.ChunkDecodeError, match=f"'{key}'"):
            z[...]
        same_bits(z[:8], data("f4")[:8])


@pytest.mark.parametrize("layout", ["v3 raw", "v3 zstd", "v2 blosc"])
def test_an_empty_file_is_a_bad_chunk(kvikio: type[CuFile], tmp_path: Path, layout: str) -> None:
    cuzarr.create_array(tmp_path, data=data("f4"), device="cpu", **LAYOUTS[layout])
    key = "1.1" if layout.startswith("v2") else "c/1/1"
    (tmp_path / key).write_bytes(b"")
    for slab in (1 << 12, 1 << 20):  # alone in its wave, and among others
        with use_device("emulated", fetch="kvikio", slab_bytes=slab) as device:
            z = cuzarr.open(tmp_path, device=device)
            with pytest.raises(errors.ChunkDecodeError, match=f"'{key}'"):
                z[...]
            same_bits(z[:16], data("f4")[:16])


def test_nothing_is_left_of_waves_behind_a_bad_one(
    kvikio: type[CuFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wave that was read ahead gives back its memory, on the host too."""
    cuzarr.create_array(tmp_path, data=data("f4"), device="cpu", **LAYOUTS["v3 zstd"])
    bad, pread = (tmp_path / "c/0/0").stat().st_ino, CuFile.pread
    download, downloaded = KvikioReading._download, threading.Event()

    def short(self: CuFile, piece: Any, size: int, at: int) -> Future:
        read = pread(self, piece, size, at).get()
        if os.fstat(self._file).st_ino == bad:
            assert downloaded.wait(60)
            read -= 1
        return Future(read)

    def noted(self: KvikioReading, total: int) -> None:
        download(self, total)
        downloaded.set()

    monkeypatch.setattr(CuFile, "pread", short)
    monkeypatch.setattr(KvikioReading, "_download", noted)
    with use_device("emulated", fetch="kvikio", slab_bytes=1 << 12) as device:
        z = cuzarr.open(tmp_path, device=device)
        with pytest.raises(errors.ChunkDecodeError, match="'c/0/0'.*ends before"):
            z[...]
        shared = cuda.open_backend(0).shared
        assert shared.device_slabs is not None
        assert len(kvikio.opened) > 1
        assert len(shared.slabs._idle) == len(shared.slabs._made) > 0
        assert len(shared.device_slabs._idle) == 2
        same_bits(z[16:], data("f4")[16:])


@pytest.mark.parametrize("layout", ["v3 raw", "v3 shards"])
def test_chunks_that_are_all_missing(kvikio: type[CuFile], tmp_path: Path, layout: str) -> None:
    options = {"shape": SHAPE, "dtype": "f4", "fill_value": 3, **LAYOUTS[layout]}
    cuzarr.create_array(tmp_path, device="cpu", **options)
    with use_device("emulated", fetch="kvikio") as device:
        same_bits(cuzarr.open(tmp_path, device=device)[...], np.full(SHAPE, 3, "f4"))
    assert kvikio.read == []


def test_a_shard_that_was_cut_off(kvikio: type[CuFile], tmp_path: Path) -> None:
    """Its index is at the start, and names bytes that are not there."""
    sharding = cuzarr.codecs.ShardingCodec(
        chunk_shape=(5, 10), codecs=["bytes"], index_location="start"
    )
    cuzarr.create_array(
        tmp_path, data=np.arange(200).reshape(10, 20), chunks=(10, 20), serializer=sharding,
        compressors=None, device="cpu",
    )  # fmt: skip
    path = tmp_path / "c/0/0"
    path.write_bytes(path.read_bytes()[:-1])
    with use_device("emulated", fetch="kvikio") as device:
        z = cuzarr.open(tmp_path, device=device)
        with pytest.raises(errors.ChunkDecodeError, match="'c/0/0'.*ends before"):
            z[...]
        same_bits(z[:5], np.arange(100).reshape(5, 20))


def test_a_file_that_shrinks_while_it_is_read(
    kvikio: type[CuFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "z"
    cuzarr.create_array(str(path), data=data("f4"), device="cpu", **LAYOUTS["v3 raw"])
    pread = CuFile.pread
    monkeypatch.setattr(
        CuFile,
        "pread",
        lambda self, piece, size, at: Future(pread(self, piece, size, at).get() - 1),
    )
    with use_device("emulated", fetch="kvikio") as device:
        z = cuzarr.open(str(path), device=device)
        with pytest.raises(errors.ChunkDecodeError, match="'c/0/0'.*ends before"):
            z[...]


def test_kvikio_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kvikio", None)
    path = tmp_path / "z"
    cuzarr.create_array(str(path), data=data("f4"), device="cpu", **LAYOUTS["v3 raw"])
    with use_device("emulated", fetch="kvikio") as device:
        z = cuzarr.open(str(path), device=device)
        with pytest.raises(errors.MissingPackageError, match='cuda.fetch="kvikio" needs kvikio'):
            z[...]
    with pytest.raises(ValueError, match='cuda.fetch must be "native" or "kvikio"'):
        use_device("emulated", fetch="other").__enter__()
