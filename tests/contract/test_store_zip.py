"""What only an archive can get wrong: its table, its members, its end."""

from __future__ import annotations

import errno
import io
import os
import pickle
import struct
import threading
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest

import cuzarr
from cuzarr.errors import ReadOnlyError, StoreError, StoreExistsError, StoreNotFoundError
from cuzarr.storage import ZipStore, as_store
from cuzarr.storage.base import RequestBatch, Status

VALUE = bytes(range(256)) * 40


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An archive as another program writes it: directory entries, an old duplicate."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", request.param) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("a/", b"")
        file.writestr("a/0", b"an older value")
        file.writestr("a/0", VALUE)
        file.writestr("é", b"1")
    return path


def test_reading_what_others_wrote(archive: Path):
    with ZipStore(archive) as store:
        assert store.read_only
        assert sorted(store.list()) == ["a/0", "é"]
        assert store.list_dir() == ["a", "é"]
        assert store.get("a/0") == VALUE
        assert store.get("a/0", 300, 4) == VALUE[300:304]
        assert store.get("a/0", -3) == VALUE[-3:]
        assert store.get("a") is None
        with pytest.raises(ReadOnlyError, match=r"'a/0'.*read-only"):
            store.set("a/0", b"")
        with pytest.raises(ReadOnlyError):
            store.delete_dir("a")
    with pytest.raises(StoreError, match="is closed"):
        store.get("a/0")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_others_read_what_was_written(tmp_path: Path, compression: int):
    path = tmp_path / "x.zip"
    with ZipStore(path, "w", compression) as store:
        store.set_many(["a/0", "a/1", "é"], [b"old", b"deleted", b"1"])
        store.set("a/0", VALUE)
        store.delete(["a/1"])
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert sorted(file.namelist()) == ["a/0", "é"]
        assert file.read("a/0") == VALUE
        assert file.getinfo("a/0").compress_type == compression


def test_appending_and_deleting_after_reopening(tmp_path: Path):
    path = tmp_path / "x.zip"
    with ZipStore(path, "x") as store:
        store.set_many(["a", "b"], [b"1", b"2"])
    with pytest.raises(StoreError, match="cannot open"):
        ZipStore(path, "x")
    with ZipStore(path, "a") as store:
        assert store.get("a") == b"1"
        store.set("c", b"3")
        store.set("a", b"11")
    with ZipStore(path, "a") as store:
        store.delete(["b", "none"])
    with ZipStore(path) as store:
        assert {key: store.get(key) for key in store.list()} == {"a": b"11", "c": b"3"}
    with ZipStore(path, "a") as store:
        store.delete_dir("")
    with ZipStore(path) as store:
        assert list(store.list()) == []
    with ZipStore(path, "w") as store:
        store.set("new", b"")
    with ZipStore(path) as store:
        assert list(store.list()) == ["new"]


def test_a_failed_write_leaves_the_old_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "x.zip"
    with ZipStore(path, "w") as store:
        store.set("a", b"old value")
        real = zipfile._ZipWriteFile.write

        def fail(self: object, data: bytes) -> int:
            real(self, data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(zipfile._ZipWriteFile, "write", fail)
            for key in ("a", "b"):
                with pytest.raises(StoreError, match=rf"cannot write '{key}' in zip://.*No space"):
                    store.set(key, b"new value")
        assert store.get("a") == b"old value"
        assert not store.exists("b")
    with ZipStore(path) as store:
        assert list(store.list()) == ["a"]
        assert store.get("a") == b"old value"


def test_an_interrupted_write_leaves_the_old_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    with ZipStore(tmp_path / "x.zip", "w") as store:
        store.set("a", b"old value")
        with monkeypatch.context() as patch:
            patch.setattr(zipfile._ZipWriteFile, "write", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.set("a", b"new value")
        assert store.get("a") == b"old value"


def test_a_failing_disk(archive: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with ZipStore(archive) as store:
        monkeypatch.setattr(os, "pread", fail)
        statuses = store.get_many(RequestBatch.of(["a/0", "none"])).statuses.tolist()
        assert statuses == [Status.ERRNO + errno.EIO, Status.MISSING]
        with pytest.raises(StoreError, match=r"cannot read 'a/0'.*Input/output error"):
            store.get("a/0")


def test_an_archive_cut_off_while_it_is_read(archive: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.pread
    with ZipStore(archive) as store:
        monkeypatch.setattr(os, "pread", lambda fd, n, at: real(fd, min(n, 30), at))
        assert store.get("a/0") == VALUE
        monkeypatch.setattr(os, "pread", lambda fd, n, at: real(fd, n, at) if n == 30 else b"")
        with pytest.raises(StoreError, match=r"'a/0'.*cut off"):
            store.get("a/0")


def test_as_store(archive: Path):
    store = as_store(archive, read_only=True)
    assert isinstance(store, ZipStore)
    assert store.get("a/0") == VALUE
    assert str(store) == f"zip://{archive}"
    store.close()
    with pytest.raises(StoreError, match=r"ZipStore\(path, mode='w' or 'a'\) and close it"):
        as_store(archive)


def test_pickle_of_a_reader(archive: Path, tmp_path: Path):
    with ZipStore(archive) as store:
        again = pickle.loads(pickle.dumps(store))
        assert again.get("a/0") == VALUE
        again.close()
    with ZipStore(tmp_path / "y.zip", "w") as store, pytest.raises(TypeError, match="one process"):
        pickle.dumps(store)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_shares_the_file_with_its_parent(archive: Path):
    with ZipStore(archive) as store:
        pid = os.fork()
        if pid == 0:
            good = all(store.get("a/0") == VALUE for _ in range(200))
            os._exit(0 if good else 1)
        assert all(store.get("a/0") == VALUE for _ in range(200))
        assert os.waitpid(pid, 0)[1] == 0


def test_threads_read_at_once(archive: Path):
    problems = []

    def read() -> None:
        if any(store.get("a/0", i, 50) != VALUE[i : i + 50] for i in range(200)):
            problems.append("wrong bytes")

    with ZipStore(archive) as store:
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


# -- bad archives ----------------------------------------------------------------------------


def test_a_missing_archive(tmp_path: Path):
    with pytest.raises(StoreError, match=r"cannot open zip://.*none\.zip.*No such file") as caught:
        ZipStore(tmp_path / "none.zip")
    assert caught.value.errno == errno.ENOENT


def test_what_is_no_archive(tmp_path: Path):
    (tmp_path / "x.zip").write_bytes(b"no archive at all")
    with pytest.raises(StoreError, match=r"x\.zip' is no zip archive that can be read"):
        ZipStore(tmp_path / "x.zip")


@pytest.mark.parametrize(
    "name", ["../up", "/absolute", "a/../../up", "a//b", "a\\..\\up", ".", "a/./b"]
)
def test_an_archive_with_a_hostile_name_is_refused(tmp_path: Path, name: str):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("good", b"1")
        file.writestr(name, b"1")
    with pytest.raises(StoreError, match=r"refused the archive zip://.*invalid key"):
        ZipStore(tmp_path / "x.zip")


def patched(archive: Path, edit: object) -> ZipStore:
    """Open an archive after ``edit(data, local, central)``: offsets of the headers of a/0."""
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as file:
        local = file.getinfo("a/0").header_offset
    central = data.rindex(b"PK\1\2", 0, data.rindex(b"a/0") + 1)
    edit(data, local, central)
    archive.write_bytes(data)
    return ZipStore(archive)


def test_a_damaged_member_is_found(archive: Path):
    def damage(data: bytearray, local: int, central: int) -> None:
        data[local + 60] ^= 0xFF

    with patched(archive, damage) as store:
        with pytest.raises(StoreError, match=r"cannot read 'a/0' in zip://"):
            store.get("a/0")
        assert store.get("é") == b"1"


@pytest.mark.parametrize("size", [len(VALUE) - 1, len(VALUE) + 1, 0, 1 << 29, (1 << 32) - 2])
def test_a_wrong_declared_size_is_found(archive: Path, size: int):
    """A bomb inflates to what the table declares and no further, and not beyond the limit."""

    def lie(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<I", data, central + 24, size)

    with (
        patched(archive, lie) as store,
        pytest.raises(StoreError, match=r"'a/0'.*(declares|max_inflated|sizes differ)"),
    ):
        store.get("a/0")


def test_a_bomb_inflates_no_further_than_declared(tmp_path: Path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/0", bytes(1 << 24))
    with ZipStore(path, max_inflated=1 << 20) as store:
        with pytest.raises(StoreError, match=r"inflates to 16777216 bytes, max_inflated=1048576"):
            store.get("a/0")
        with pytest.raises(StoreError, match=r"max_inflated"):
            store.get("a/0", 0, 10)


@pytest.mark.parametrize("where", ["past the end", "in the middle"])
def test_a_wrong_offset_is_found(archive: Path, where: str):
    def lie(data: bytearray, local: int, central: int) -> None:
        offset = len(data) + 1000 if where == "past the end" else local + 5
        struct.pack_into("<I", data, central + 42, offset)

    with patched(archive, lie) as store, pytest.raises(StoreError, match=r"'a/0'.*header is not"):
        store.get("a/0")


def test_a_member_longer_than_the_archive_is_found(archive: Path):
    def lie(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<II", data, central + 20, 1 << 30, 1 << 30)

    with patched(archive, lie) as store:
        for first, length in ((0, -1), (100, 20)):
            with pytest.raises(StoreError, match=r"'a/0'.*behind the end"):
                store.get("a/0", first, length)


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 12), (10, 14), (10, 99)])
def test_encryption_and_other_methods_are_refused(archive: Path, offset: int, value: int):
    def change(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<H", data, central + offset, value)

    with (
        patched(archive, change) as store,
        pytest.raises(StoreError, match=r"'a/0'.*encrypted, or neither stored nor deflated"),
    ):
        store.get("a/0", 1, 2)


def test_an_error_in_a_deflated_stream_is_found(tmp_path: Path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/0", zlib.compress(VALUE))

    def damage(data: bytearray, local: int, central: int) -> None:
        data[local + 33 : local + 37] = b"\xff\xff\xff\xff"

    with patched(path, damage) as store, pytest.raises(StoreError, match=r"cannot read 'a/0'"):
        store.get("a/0")


def test_any_flipped_byte_is_an_error_or_the_right_value(archive: Path):
    original = archive.read_bytes()
    for position in [*range(400), *range(len(original) - 300, len(original))]:
        data = bytearray(original)
        data[position] ^= 0x41
        archive.write_bytes(data)
        try:
            with ZipStore(archive) as store:
                for key in store.list():
                    whole = store.get(key)
                    assert whole in (VALUE, b"1", b"an older value", b"")
        except StoreError:
            continue


@pytest.mark.parametrize(
    ("mode", "compression", "message"), [("rw", 0, "mode is 'rw'"), ("w", 12, "compression must")]
)
def test_bad_arguments(tmp_path: Path, mode: str, compression: int, message: str):
    with pytest.raises(ValueError, match=message):
        ZipStore(tmp_path / "x.zip", mode, compression)
    assert not (tmp_path / "x.zip").exists()


def test_statuses_of_a_batch(archive: Path):
    with ZipStore(archive) as store:
        batch = RequestBatch.of(["a/0", "none", "a/0", "é"], [0, 0, 1 << 40, 0])
        statuses = [Status.OK, Status.MISSING, Status.SHORT, Status.OK]
        assert store.get_many(batch).statuses.tolist() == statuses


def test_archives_that_are_missing_or_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing.zip") as missing:
        ZipStore(tmp_path / "missing.zip", mode="r")
    assert isinstance(missing.value, StoreNotFoundError)
    assert missing.value.errno == errno.ENOENT
    with pytest.raises(FileNotFoundError):
        cuzarr.open_group(tmp_path / "missing.zip", mode="r")
    ZipStore(tmp_path / "there.zip", mode="w").close()
    with pytest.raises(FileExistsError, match="there.zip") as there:
        ZipStore(tmp_path / "there.zip", mode="x")
    assert isinstance(there.value, StoreExistsError)
