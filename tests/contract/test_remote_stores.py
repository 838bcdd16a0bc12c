"""Stores by URL: fsspec's memory, and servers on this machine; many requests at a time."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import cuzarr
from cuzarr.config import config
from cuzarr.errors import ChunkDecodeError, MissingPackageError, ReadOnlyError, StoreError
from cuzarr.storage import FsspecStore, LoggingStore, ObjectStore, WrapperStore, as_store
from cuzarr.storage.base import RequestBatch, Status

fsspec = pytest.importorskip("fsspec")
MemoryFileSystem = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem
DATA = np.arange(60 * 50, dtype="i4").reshape(60, 50)
OPTIONS: list[dict[str, Any]] = [
    {"chunks": (16, 20)},
    {"chunks": (16, 20), "zarr_format": 2},
    {"chunks": (4, 5), "shards": (16, 20)},
]
options = pytest.mark.parametrize("made", OPTIONS, ids=["v3", "v2", "shards"])


class Quiet(SimpleHTTPRequestHandler):
    """A server that knows no ranges: it answers with the whole file."""

    active = most = 0
    lock = threading.Lock()

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        with self.lock:
            type(self).active += 1
            type(self).most = max(self.most, self.active)
        time.sleep(0.005)
        try:
            self.answer()
        finally:
            with self.lock:
                type(self).active -= 1

    def answer(self) -> None:
        super().do_GET()


class Ranges(Quiet):
    """A server that knows them."""

    active = most = 0

    def answer(self) -> None:
        wanted, path = self.headers.get("Range"), Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().answer()
            return
        data = path.read_bytes()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(data) - int(last))
        end = int(last) + 1 if first and last else len(data)
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206)
        part = data[start:end]
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)


@contextmanager
def serve(handler: type[Quiet], root: Path) -> Iterator[str]:
    handler.most = handler.active = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=os.fspath(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@options
@pytest.mark.parametrize("handler", [Ranges, Quiet], ids=["ranges", "no-ranges"])
def test_http(made: dict[str, Any], handler: type[Quiet], tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    root = cuzarr.open_group(tmp_path / "x.zarr", mode="w", zarr_format=made.get("zarr_format", 3))
    root.create_array("a", data=DATA[:, :], **{k: v for k, v in made.items() if k != "zarr_format"})
    with serve(handler, tmp_path) as url:
        z = cuzarr.open_array(f"{url}/x.zarr/a", mode="r", device="cpu")
        np.testing.assert_array_equal(z[...], DATA)
        np.testing.assert_array_equal(z[3:40:5, 7], DATA[3:40:5, 7])
        group = cuzarr.open_group(f"{url}/x.zarr", device="cpu")
        assert group.read_only
        assert list(group.array_keys()) == ["a"]
        with pytest.raises(ReadOnlyError):
            cuzarr.create_group(f"{url}/y.zarr")
        with pytest.raises(FileNotFoundError):
            cuzarr.open_array(f"{url}/nothing", mode="r")


def test_requests_overlap_up_to_the_limit(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    cuzarr.create_array(tmp_path, data=DATA, chunks=(5, 5))
    with serve(Ranges, tmp_path) as url, config.set({"async.concurrency": 4}):
        z = cuzarr.open_array(url, mode="r", device="cpu")
        np.testing.assert_array_equal(z[...], DATA)
        assert 1 < Ranges.most <= 4 * max(1, os.cpu_count() or 1)


def test_truncated_chunk_is_named(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    cuzarr.create_array(tmp_path, data=DATA, chunks=(16, 20))
    chunk = tmp_path / "c" / "1" / "2"
    chunk.write_bytes(chunk.read_bytes()[:-5])
    with serve(Ranges, tmp_path) as url, pytest.raises(ChunkDecodeError, match="c/1/2"):
        cuzarr.open_array(url, mode="r", device="cpu")[...]


@options
def test_memory_of_fsspec(made: dict[str, Any], tmp_path: Path) -> None:
    url = f"memory://{tmp_path}"
    z = cuzarr.create_array(f"{url}/a", shape=DATA.shape, dtype="i4", fill_value=7, **made)
    z[10:30] = DATA[10:30]
    expected = np.full_like(DATA, 7)
    expected[10:30] = DATA[10:30]
    for store in (f"{url}/a", fsspec.get_mapper(f"{url}/a"), FsspecStore.from_url(f"{url}/a")):
        found = cuzarr.open_array(store, mode="r", device="cpu")
        np.testing.assert_array_equal(found[...], expected)
    with pytest.raises(FileNotFoundError):
        cuzarr.open_array(f"{url}/b", mode="r")


def test_storage_options(tmp_path: Path) -> None:
    seen = {}

    class Told(MemoryFileSystem):
        protocol = "told-for-a-test"

        def __init__(self, secret: str = "", **kwargs: Any) -> None:
            super().__init__(**kwargs)
            seen["secret"] = secret

    fsspec.register_implementation("told-for-a-test", Told, clobber=True)
    url = f"told-for-a-test://{tmp_path}"
    given = {"secret": "x"}
    cuzarr.create_array(f"{url}/a", data=DATA, chunks=(20, 20), storage_options=given)
    assert seen == {"secret": "x"}
    for opening in (cuzarr.open, cuzarr.open_array):
        found = opening(f"{url}/a", mode="r", storage_options=given)
        np.testing.assert_array_equal(found[...], DATA)
    cuzarr.save(f"{url}/b", DATA, storage_options=given)
    cuzarr.save_group(f"{url}/c", DATA, storage_options=given)
    group = cuzarr.open_group(f"{url}/c", mode="r", storage_options=given)
    np.testing.assert_array_equal(group["arr_0"][...], DATA)


def test_store_of_obstore() -> None:
    obstore = pytest.importorskip("obstore.store")
    memory = obstore.MemoryStore()
    cuzarr.create_array(memory, name="x", data=DATA, chunks=(20, 20))
    z = cuzarr.open_array(cuzarr.storage.ObjectStore(memory), path="x", mode="r", device="cpu")
    np.testing.assert_array_equal(z[...], DATA)
    with pytest.raises(TypeError, match="expected a store of obstore, found dict"):
        cuzarr.storage.ObjectStore({})


def test_errors_of_a_file_system_name_the_key() -> None:
    class Broken(MemoryFileSystem):
        def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> bytes:
            raise RuntimeError("no answer")

    store = as_store(FsspecStore(Broken(), path="/broken"))
    with pytest.raises(StoreError, match=r"'a/b'.*RuntimeError: no answer"):
        store.get("a/b")


def test_a_file_system_that_answers_in_other_ways(tmp_path: Path) -> None:
    class Odd(MemoryFileSystem):
        """Knows no sizes, refuses ranges behind the end, and says that nothing is there."""

        def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
            return {**super().info(path, **kwargs), "size": None}

        def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> bytes:
            data = super().cat_file(path, **kwargs)
            if start is not None and start >= len(data):
                raise OSError(22, "The requested range is not satisfiable")
            if start == 1:
                raise OSError(5, "Input/output error")
            return data[slice(start, end)]

        def find(self, path: str, *args: Any, **kwargs: Any) -> Any:
            found = super().find(path, *args, **kwargs)
            if not found:
                raise FileNotFoundError(path)
            return found

    store = as_store(FsspecStore(Odd(), path=f"/{tmp_path.name}-odd"))
    assert list(store.list()) == []
    store.set("a/b", b"0123")
    assert list(store.list()) == ["a/b"]
    assert store.size("a/b") == 4
    batch = RequestBatch.of(["a/b"] * 5, [0, 2, 4, 5, 1], [-1, -1, -1, -1, 2])
    answer = store.get_many(batch)
    assert [value and bytes(value) for value in answer.values] == [b"0123", b"23", b"", None, None]
    assert answer.statuses.tolist()[2:] == [Status.OK, Status.SHORT, Status.ERRNO + 5]


def test_stores_of_fsspec_as_objects(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    upath = SimpleNamespace(fs=files, path=f"/{tmp_path.name}-upath")  # of universal_pathlib
    store = FsspecStore.from_upath(upath)
    cuzarr.create_array(store, data=DATA, chunks=(20, 20))
    assert repr(store) == f"FsspecStore('memory://{tmp_path.name}-upath')"
    reader = store.with_read_only(True)
    assert reader.read_only
    assert reader != store
    assert reader.with_read_only() == store
    assert hash(reader.with_read_only()) == hash(store)
    np.testing.assert_array_equal(cuzarr.open_array(reader, device="cpu")[...], DATA)
    with pytest.raises(ReadOnlyError):
        as_store(reader).set("k", b"")


def test_a_file_system_that_waits_for_its_own_loop(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    cuzarr.create_array(tmp_path, data=DATA, chunks=(20, 20))
    waiting = fsspec.filesystem("http", skip_instance_cache=True)
    assert not waiting.asynchronous
    with serve(Ranges, tmp_path) as url:
        store = FsspecStore(waiting, path=url)
        assert store.fs.asynchronous
        np.testing.assert_array_equal(cuzarr.open_array(store, "r", device="cpu")[...], DATA)


def test_stores_of_obstore_as_objects(tmp_path: Path) -> None:
    obstore = pytest.importorskip("obstore.store")
    store = ObjectStore(obstore.LocalStore(tmp_path))
    adapted = as_store(store)
    adapted.set("a/b", b"0123")
    assert (tmp_path / "a" / "b").read_bytes() == b"0123"
    adapted.delete(["a/b", "a/b", "nothing"])
    assert not adapted.exists("a/b")
    assert repr(store).startswith("ObjectStore(LocalStore(")
    reader = store.with_read_only(True)
    assert reader.read_only
    assert reader != store
    assert reader.with_read_only() == store
    with pytest.raises(ReadOnlyError):
        as_store(reader).set("k", b"")


class Azure(Ranges):
    """A container of Azure, which knows no ranges that are counted from the end."""

    asked: ClassVar[list[str]] = []

    def end_headers(self) -> None:
        self.send_header("ETag", '"1"')
        if self.command == "GET":
            self.send_header("Last-Modified", self.date_time_string(0))
        super().end_headers()

    def answer(self) -> None:
        self.asked.append(self.headers.get("Range") or self.headers.get("x-ms-range"))
        super().answer()


def test_the_end_of_an_object_in_azure(tmp_path: Path) -> None:
    obstore = pytest.importorskip("obstore.store")
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "k").write_bytes(b"0123456789")
    Azure.asked.clear()
    with serve(Azure, tmp_path) as url:
        azure = obstore.AzureStore(
            "box", account_name="name", endpoint=url, skip_signature=True,
            client_options={"allow_http": True},
        )  # fmt: skip
        answer = as_store(ObjectStore(azure)).get_many(RequestBatch.of(["k"] * 2, [-3, -20]))
    assert bytes(answer.values[0] or b"") == b"789"
    assert answer.statuses.tolist() == [Status.OK, Status.SHORT]
    assert sorted(Azure.asked) == ["bytes=0-9", "bytes=7-9"]


def test_obstore_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    obstore = pytest.importorskip("obstore.store")
    store = as_store(ObjectStore(obstore.MemoryStore()))
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingPackageError, match="needs the package obstore"):
        store.get("k")


def test_wrapper_and_log(caplog: pytest.LogCaptureFixture) -> None:
    class Counting(WrapperStore):
        keys = 0

        def get_many(self, batch: Any) -> Any:
            self.keys += len(batch)
            return super().get_many(batch)

    inner = Counting({})
    z = cuzarr.create_array(inner, data=DATA, chunks=(20, 20))
    before = inner.keys
    np.testing.assert_array_equal(z[...], DATA)
    assert inner.keys - before == 9
    logged = LoggingStore(inner, "INFO")
    with caplog.at_level("INFO", logger="cuzarr.storage"):
        cuzarr.open_array(logged, mode="r", device="cpu")[0, 0]
    assert logged.counter["get_many"] >= 1
    assert "get_many(1 requests)" in caplog.text


def test_a_log_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    text = io.StringIO()
    logged = LoggingStore({"k": b"0"}, "INFO", logging.StreamHandler(text))
    with caplog.at_level("INFO"):
        assert logged.get("k") == b"0"
    assert ".get('k')" in text.getvalue()
    assert caplog.text == ""


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_obstore_in_a_forked_child_is_an_error_and_no_endless_wait() -> None:
    obstore = pytest.importorskip("obstore")
    store = as_store(ObjectStore(obstore.store.MemoryStore()))
    store.set("a/b", b"value")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            store.get("a/b")
        except StoreError as error:
            os.write(write_end, str(error).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(pid, 0)
    assert b"spawn" in os.read(read_end, 1000)
    os.close(read_end)


@pytest.mark.parametrize("opened", ["url", "mapper"])
def test_references_to_parts_of_other_files(opened: str, tmp_path: Path) -> None:
    """As kerchunk writes them: names without a root, chunks that lie within other files."""
    raw = np.arange(10, dtype="<i8").tobytes()
    (tmp_path / "file.nc").write_bytes(b"header" + raw)
    zarray = {
        "zarr_format": 2, "shape": [10], "chunks": [5], "dtype": "<i8", "compressor": None,
        "fill_value": 0, "order": "C", "filters": None,
    }  # fmt: skip
    references = {
        ".zgroup": '{"zarr_format": 2}',
        "v/.zarray": json.dumps(zarray),
        "v/.zattrs": '{"units": "K"}',
        "v/0": [str(tmp_path / "file.nc"), 6, 40],
        "v/1": [str(tmp_path / "file.nc"), 46, 40],
    }
    options = {"fo": {"version": 1, "refs": references}, "remote_protocol": "file"}
    if opened == "url":
        root = cuzarr.open_group("reference://", mode="r", storage_options=options)
    else:
        mapper = fsspec.filesystem("reference", **options).get_mapper("")
        root = cuzarr.open_group(mapper, mode="r")
    assert list(root) == ["v"]
    assert root["v"][...].tolist() == list(range(10))
    assert root["v"][4:6].tolist() == [4, 5]
    assert dict(root["v"].attrs) == {"units": "K"}
    assert root["v"].nchunks_initialized == 2
