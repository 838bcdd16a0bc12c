"""What only a store on a file system can get wrong: atomicity, links, odd files, races."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from cuzarr.errors import InvalidKeyError, StoreError
from cuzarr.storage import LocalStore
from cuzarr.storage import files as files_module
from cuzarr.storage import links as links_module
from cuzarr.storage import local as local_module
from cuzarr.storage.base import RequestBatch, Status
from cuzarr.storage.files import TEMPORARY
from tests.contract.store_cases import files_below


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "root")


# -- the root --------------------------------------------------------------------------------


def test_a_missing_root_is_an_empty_store_and_stays_missing(store: LocalStore, tmp_path: Path):
    assert store.get("a") is None
    assert not store.exists("a/b")
    assert list(store.list()) == store.list_dir() == []
    assert store.get_many(RequestBatch.of(["a"])).statuses.tolist() == [Status.MISSING]
    placed = store.read_into(RequestBatch.of(["a", "b/c"]), memoryview(bytearray(16)))
    assert placed.statuses.tolist() == [Status.MISSING] * 2
    store.delete(["a"])
    store.delete_dir("a")
    store.delete_dir("")
    assert files_below(tmp_path) == []


def test_make_root_false(tmp_path: Path):
    store = LocalStore(tmp_path / "no" / "root", make_root=False)
    with pytest.raises(StoreError, match=r"'a/b'.*root .* does not exist"):
        store.set("a/b", b"x")
    assert files_below(tmp_path) == []
    (tmp_path / "no" / "root").mkdir(parents=True)
    store.set("a/b", b"x")
    assert store.get("a/b") == b"x"


def test_a_root_that_is_a_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"x")
    store = LocalStore(tmp_path / "file")
    assert store.get("a") is None
    assert store.list_dir() == []
    with pytest.raises(StoreError, match=r"cannot write 'a' in file://.*file"):
        store.set("a", b"x")


def test_root_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    expected = str(tmp_path / "x")
    for root in ("x", "x/", "./x", tmp_path / "x", str(tmp_path / "y" / ".." / "x")):
        assert LocalStore(root).root == expected
    assert str(LocalStore("x")) == f"file://{expected}"
    assert LocalStore("x") == LocalStore(expected)
    assert LocalStore("x") != LocalStore("x", read_only=True)
    relative = LocalStore("x")
    relative.set("a", b"1")
    monkeypatch.chdir("/")
    assert relative.get("a") == b"1"


def test_the_root_itself_may_be_a_link(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    store = LocalStore(tmp_path / "link")
    store.set("a/b", b"x")
    assert store.get("a/b") == b"x"
    assert list(store.list()) == ["a/b"]
    assert (tmp_path / "real" / "a" / "b").read_bytes() == b"x"
    store.delete_dir("")
    assert (tmp_path / "link").is_symlink()
    assert list(store.list()) == []


# -- atomic replacement ----------------------------------------------------------------------


@pytest.mark.parametrize("function", ["replace", "write", "fsync", "close"])
def test_a_failed_write_leaves_the_old_object_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
):
    store = LocalStore(tmp_path, fsync=True)
    store.set("a/b", b"old")
    real = getattr(os, function)

    def fail(*args: object) -> object:
        if function == "write":
            real(args[0], b"half")
        if function == "close":
            real(*args)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(local_module.os, function, fail)
        with pytest.raises(StoreError, match=r"cannot write 'a/b' in file://.*No space") as caught:
            store.set("a/b", b"new value")
    assert caught.value.errno == errno.ENOSPC
    assert store.get("a/b") == b"old"
    assert files_below(tmp_path) == ["a", "a/b"]


def test_an_interrupted_write_leaves_the_old_object_and_no_rest(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store.set("a/b", b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_module.os, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.set("a/b", b"new value")
    assert store.get("a/b") == b"old"
    assert files_below(tmp_path / "root") == ["a", "a/b"]


def test_short_writes_are_continued(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    real = os.write
    monkeypatch.setattr(local_module.os, "write", lambda fd, data: real(fd, data[:3]))
    store.set("k", b"0123456789")
    assert store.get("k") == b"0123456789"


def test_short_reads_are_continued(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    store.set("k", b"0123456789")
    real = os.pread
    monkeypatch.setattr(local_module.os, "pread", lambda fd, n, at: real(fd, min(n, 3), at))
    assert store.get("k") == b"0123456789"
    assert store.get("k", 1, 8) == b"12345678"


def test_a_file_that_shrinks_under_a_read_is_short(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    store.set("k", b"0123456789")
    real = os.pread
    monkeypatch.setattr(local_module.os, "pread", lambda fd, n, at: real(fd, n, at)[: 4 - at])
    assert store.get_many(RequestBatch.of(["k"])).statuses.tolist() == [Status.SHORT]
    with pytest.raises(StoreError, match=r"ends before"):
        store.get("k")


def test_a_killed_writer_leaves_a_file_that_is_no_key(store: LocalStore, tmp_path: Path):
    store.set("a/b", b"x")
    left = tmp_path / "root" / "a" / f"{TEMPORARY}123-4"
    left.write_bytes(b"half")
    assert list(store.list()) == ["a/b"]
    assert store.list_dir("a") == ["b"]
    with pytest.raises(InvalidKeyError, match=r"temporary files"):
        store.set(f"a/{TEMPORARY}123-4", b"x")
    store.delete_dir("a")
    assert files_below(tmp_path / "root") == []


def test_a_taken_temporary_name_is_not_written_over(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files_module, "_serial", iter([1, 2]))
    taken = tmp_path / "root" / f"{TEMPORARY}{os.getpid()}-{files_module._token}-1"
    taken.parent.mkdir()
    taken.write_bytes(b"somebody else's")
    store.set("k", b"mine")
    assert store.get("k") == b"mine"
    assert taken.read_bytes() == b"somebody else's"


def test_fsync_reaches_file_and_new_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []

    def record(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))

    monkeypatch.setattr(local_module.os, "fsync", record)
    store = LocalStore(tmp_path, fsync=True)
    store.set("a/b/k", b"x")
    assert TEMPORARY in synced[0]
    assert synced[1:] == [str(tmp_path / "a" / "b"), str(tmp_path / "a"), str(tmp_path)]
    synced.clear()
    store.set("a/b/l", b"x")
    assert synced[1:] == [str(tmp_path / "a" / "b")]
    synced.clear()
    LocalStore(tmp_path).set("a/b/m", b"x")
    assert synced == []


def test_open_files_do_not_pile_up(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    store.set("a/k", b"x" * 10)
    before = len(os.listdir("/proc/self/fd"))
    store.get("a/k")
    store.get_many(RequestBatch.of(["a/k", "a", "none", "a/k"], [0, 0, 0, 99]))
    store.read_into(RequestBatch.of(["a/k", "a", "none"]), memoryview(bytearray(4)))
    list(store.list())
    next(store.list())
    monkeypatch.setattr(local_module.os, "replace", lambda *_: os.listdir("/no/such"))
    with pytest.raises(StoreError):
        store.set("a/k", b"new")
    assert len(os.listdir("/proc/self/fd")) == before


def test_writers_and_deleters_race(store: LocalStore):
    """Pruning removes directories that a writer has just made; the writer makes them again."""
    problems: list[BaseException] = []
    stop = threading.Event()

    def write(name: str) -> None:
        try:
            for i in range(150):
                store.set(f"a/b/{name}", b"%d" % i)
        except BaseException as error:
            problems.append(error)

    def delete() -> None:
        try:
            while not stop.is_set():
                store.delete(["a/b/x"])
                store.delete_dir("a/b")
                list(store.list())
        except BaseException as error:
            problems.append(error)

    writers = [threading.Thread(target=write, args=(name,)) for name in "xyz"]
    deleter = threading.Thread(target=delete)
    for thread in (*writers, deleter):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    deleter.join()
    assert problems == []


def test_a_directory_that_vanishes_again_and_again(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(local_module.os, "makedirs", lambda *_, **__: None)
    with pytest.raises(StoreError, match=r"directory of 'a/b' .* vanishes again and again"):
        store.set("a/b", b"x")


def test_delete_dir_keeps_a_directory_that_is_written_to(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store.set_many(["a/b/x", "a/c/x"], [b"1", b"2"])
    real = os.walk

    def walk(*args: object, **options: object):
        for folder, directories, files in real(*args, **options):
            yield folder, directories, files
            if folder.endswith("/b"):
                Path(folder, "late").write_bytes(b"3")

    monkeypatch.setattr(local_module.os, "walk", walk)
    store.delete_dir("a")
    assert list(store.list()) == ["a/b/late"]

    def fail(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(local_module.os, "rmdir", fail)
    with pytest.raises(StoreError, match=r"cannot delete 'a'.*Input/output error"):
        store.delete_dir("a")


def test_what_is_known_of_directories_is_bounded(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(links_module, "_MAX_KNOWN", 3)
    keys = [f"d{i}/k" for i in range(10)]
    store.set_many(keys, [b"x"] * 10)
    assert store.get_many(RequestBatch.of(keys)).sizes.tolist() == [1] * 10
    assert len(store._links._known) <= 3


# -- pruning ---------------------------------------------------------------------------------


def test_delete_prunes_empty_directories_but_not_the_root(store: LocalStore, tmp_path: Path):
    store.set_many(["a/b/c/x", "a/y"], [b"1", b"2"])
    store.delete(["a/b/c/x"])
    assert files_below(tmp_path / "root") == ["a", "a/y"]
    store.delete(["a/y"])
    assert files_below(tmp_path) == ["root"]
    store.set_many(["a/b/c/x", "a/b/d/x"], [b"1", b"2"])
    store.delete_dir("a/b/c")
    assert files_below(tmp_path / "root") == ["a", "a/b", "a/b/d", "a/b/d/x"]
    store.delete_dir("a/b/d")
    assert files_below(tmp_path) == ["root"]


# -- errors of the operating system ----------------------------------------------------------


def test_a_name_that_is_too_long(store: LocalStore):
    long = "n" * 300
    store.set("a", b"x")
    batch = RequestBatch.of(["a", long, f"{long}/x"])
    expected = [Status.OK, *[Status.ERRNO + errno.ENAMETOOLONG] * 2]
    assert store.get_many(batch).statuses.tolist() == expected
    assert store.read_into(batch, memoryview(bytearray(64))).statuses.tolist() == expected
    for call in (lambda: store.get(long), lambda: store.exists(long), lambda: store.size(long)):
        with pytest.raises(StoreError, match=r"cannot read 'nnn.*name too long") as caught:
            call()
        assert caught.value.errno == errno.ENAMETOOLONG
    with pytest.raises(StoreError, match=r"cannot write 'nnn.*name too long"):
        store.set(long, b"x")
    with pytest.raises(StoreError, match=r"cannot delete 'nnn.*name too long"):
        store.delete([long])
    assert store.list_dir() == ["a"]


def test_a_path_of_thousands_of_parts(store: LocalStore):
    deep = "/".join("d" * 3000)
    assert store.get(deep) is None
    with pytest.raises(StoreError, match=r"cannot write 'd/d/d.*name too long"):
        store.set(deep, b"x")


def test_writing_below_an_object(store: LocalStore):
    store.set("a", b"x")
    with pytest.raises(StoreError, match=r"cannot write 'a/b'"):
        store.set("a/b", b"y")
    assert store.get("a") == b"x"


def test_writing_in_the_place_of_a_directory(store: LocalStore, tmp_path: Path):
    store.set("a/b", b"x")
    with pytest.raises(StoreError, match=r"cannot write 'a' in .*[Ii]s a directory"):
        store.set("a", b"y")
    assert files_below(tmp_path / "root") == ["a", "a/b"]


def test_a_failing_disk(store: LocalStore, monkeypatch: pytest.MonkeyPatch):
    store.set("a/b", b"x")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(local_module.os, "pread", fail)
    batch = RequestBatch.of(["none", "a/b"])
    assert store.get_many(batch).statuses.tolist() == [Status.MISSING, Status.ERRNO + errno.EIO]
    with pytest.raises(StoreError, match=r"cannot read 'a/b' in file://.*Input/output error"):
        store.get("a/b")
    monkeypatch.setattr(local_module.os, "scandir", fail)
    with pytest.raises(StoreError, match=r"cannot list 'a'"):
        store.list_dir("a")
    monkeypatch.setattr(local_module.os, "unlink", fail)
    with pytest.raises(StoreError, match=r"cannot delete 'a/b'"):
        store.delete(["a/b"])
    monkeypatch.setattr(local_module.os, "walk", fail)
    with pytest.raises(StoreError, match=r"cannot delete 'a'"):
        store.delete_dir("a")


# -- files that are no objects ---------------------------------------------------------------


def test_a_pipe_is_no_object_and_does_not_block(store: LocalStore, tmp_path: Path):
    store.set("a", b"x")
    os.mkfifo(tmp_path / "root" / "pipe")
    batch = RequestBatch.of(["pipe", "a"])
    expected = [Status.ERRNO + errno.EINVAL, Status.OK]
    assert store.get_many(batch).statuses.tolist() == expected
    assert store.read_into(batch, memoryview(bytearray(16))).statuses.tolist() == expected
    assert not store.exists("pipe")
    assert list(store.list()) == ["a"]
    assert store.list_dir() == ["a"]


def test_a_socket_is_no_object(store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store.set("a", b"x")
    monkeypatch.chdir(tmp_path / "root")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        assert store.get_many(RequestBatch.of(["socket"])).statuses[0] > Status.ERRNO
        assert store.list_dir() == ["a"]


def test_names_that_are_no_keys_are_not_listed(store: LocalStore, tmp_path: Path):
    store.set("a", b"x")
    (tmp_path / "root" / "back\\slash").write_bytes(b"x")
    with open(os.fsencode(tmp_path / "root") + b"/\xff\xfe", "wb") as file:
        file.write(b"x")
    assert store.list_dir() == ["a"]
    assert list(store.list()) == ["a"]


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_directories_that_vanish_while_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    make, calls = os.makedirs, []

    def vanishing(path: str, **options: Any) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise error(2, "gone")
        make(path, **options)

    monkeypatch.setattr(os, "makedirs", vanishing)
    store = LocalStore(tmp_path)
    store.set("a/b", b"1")
    assert store.get("a/b") == b"1"
    assert len(calls) == 2


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StoreError, match="a/b"):
        LocalStore(tmp_path).set("a/b", b"1")
