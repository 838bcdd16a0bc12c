"""The contract of the store: one suite for every implementation."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from cuzarr.errors import CuzarrError, InvalidKeyError, ReadOnlyError, StoreError
from cuzarr.storage import (
    FsspecStore,
    LocalStore,
    MemoryStore,
    Store,
    WrapperStore,
    ZipStore,
)
from cuzarr.storage.base import RequestBatch, Status, reads_into
from cuzarr.storage.resolve import as_store
from cuzarr.storage.view import read_only_view
from tests.contract.store_cases import MAKERS

HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "..",
    ".",
    "../up",
    "a/../../up",
    "a/..",
    "a/./b",
    "a//b",
    "a/",
    "a\0b",
    "..\\up",
    "a\\..\\..\\up",
    "lone \udc80 surrogate",
]


@pytest.fixture(params=list(MAKERS))
def store(request: pytest.FixtureRequest, tmp_path: Path):
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()


def test_set_then_get_one_key(store: Store):
    assert store.get("a/b/c") is None
    store.set("a/b/c", b"hello")
    assert store.get("a/b/c") == b"hello"
    assert type(store.get("a/b/c")) is bytes
    assert store.exists("a/b/c")
    assert store.size("a/b/c") == 5


@pytest.mark.parametrize("key", ["a", "a/b"])
def test_a_directory_is_no_object(store: Store, key: str):
    store.set("a/b/c", b"hello")
    assert store.get(key) is None
    assert not store.exists(key)
    assert store.size(key) is None
    store.delete([key])
    assert store.get("a/b/c") == b"hello"


def test_below_an_object_is_nothing(store: Store):
    store.set("a", b"hello")
    assert store.get("a/b") is None
    assert not store.exists("a/b")
    store.delete(["a/b"])
    assert (
        store.get_many(RequestBatch.of(["a/b", "a/b/c"])).statuses.tolist() == [Status.MISSING] * 2
    )


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, -1, b"0123456789"),
        (0, 10, b"0123456789"),
        (0, 0, b""),
        (3, 4, b"3456"),
        (3, -1, b"3456789"),
        (10, -1, b""),
        (10, 0, b""),
        (-4, -1, b"6789"),
        (-4, 2, b"67"),
        (-4, 4, b"6789"),
        (-10, -1, b"0123456789"),
        (-10, 3, b"012"),
    ],
)
def test_range(store: Store, start: int, length: int, expected: bytes):
    store.set("key", b"0123456789")
    assert store.get("key", start, length) == expected
    values = store.get_many(RequestBatch.of(["key"], [start], [length]))
    assert bytes(values.values[0]) == expected
    assert values.sizes.tolist() == [len(expected)]
    assert values.statuses.tolist() == [Status.OK]


@pytest.mark.parametrize(
    ("start", "length"), [(0, 11), (9, 2), (11, -1), (11, 0), (-11, -1), (-11, 2), (-4, 5)]
)
def test_range_past_the_end(store: Store, start: int, length: int):
    store.set("some/key", b"0123456789")
    values = store.get_many(RequestBatch.of(["some/key"], [start], [length]))
    assert values.values[0] is None
    assert values.sizes.tolist() == [-1]
    assert values.statuses.tolist() == [Status.SHORT]
    with pytest.raises(StoreError, match=r"'some/key'.* ends before the requested range"):
        store.get("some/key", start, length)


@pytest.mark.parametrize(
    "key",
    ["größe/日本語/🎈", "with space/a b", "dots.in.it/0.0.0", ".zarray", "a/.zattrs", "c:d/e"],
)
def test_names(store: Store, key: str):
    store.set(key, key.encode())
    assert store.get(key) == key.encode()
    assert list(store.list()) == [key]
    assert store.list_dir() == [key.split("/", maxsplit=1)[0]]
    assert store.get_many(RequestBatch.of([key])).sizes.tolist() == [len(key.encode())]


def test_empty_value(store: Store):
    store.set("empty", b"")
    assert store.get("empty") == b""
    assert store.exists("empty")
    assert store.size("empty") == 0
    values = store.get_many(RequestBatch.of(["empty", "none"]))
    assert bytes(values.values[0]) == b""
    assert values.sizes.tolist() == [0, -1]
    assert values.statuses.tolist() == [Status.OK, Status.MISSING]


def test_overwrite_with_less_and_more(store: Store):
    for value in (b"x" * 100, b"y", b"", b"z" * 70_000):
        store.set("k", value)
        assert store.get("k") == value
    assert list(store.list()) == ["k"]


@pytest.mark.parametrize(
    "value",
    [
        bytearray(b"\1\0\2\0"),
        memoryview(b"\1\0\2\0"),
        np.array([1, 2], "<i2"),
        np.array([[1], [2]], "<i2"),
        memoryview(b"__\1\0\2\0__")[2:6],
    ],
    ids=["bytearray", "memoryview", "array", "matrix", "slice"],
)
def test_values_of_any_buffer_type(store: Store, value: object):
    store.set("k", value)
    assert store.get("k") == b"\1\0\2\0"


def test_an_empty_array_is_an_empty_value(store: Store):
    store.set("k", np.empty((0, 3), "f8"))
    assert store.get("k") == b""


@pytest.mark.parametrize("value", [np.arange(6)[::2], "text", 5, None], ids=str)
def test_a_value_that_is_no_flat_buffer_is_refused(store: Store, value: object):
    with pytest.raises(StoreError, match=r"'some/key'.* contiguous buffer"):
        store.set("some/key", value)
    assert list(store.list()) == []


def test_the_caller_may_reuse_its_buffer(store: Store):
    buffer = bytearray(b"before")
    store.set("k", buffer)
    buffer[:] = b"behind"
    assert store.get("k") == b"before"


def test_delete(store: Store):
    store.set_many(["a/x", "a/y", "b"], [b"1", b"2", b"3"])
    store.delete(["a/x", "missing", "no/such/dir"])
    assert sorted(store.list()) == ["a/y", "b"]
    store.delete([])
    store.delete(iter(["a/y"]))
    assert sorted(store.list()) == ["b"]
    assert store.list_dir() == ["b"]
    store.set("a", b"where a directory was")
    assert store.get("a") == b"where a directory was"


def test_delete_dir(store: Store):
    store.set_many(["a/x", "a/b/y", "ab", "a.b/z", "c/d"], [b"1"] * 5)
    store.delete_dir("a")
    assert sorted(store.list()) == ["a.b/z", "ab", "c/d"]
    assert store.list_dir() == ["a.b", "ab", "c"]
    store.delete_dir("a")
    store.delete_dir("c/")
    store.delete_dir("no/such")
    assert store.list_dir() == ["a.b", "ab"]
    store.delete_dir("")
    assert list(store.list()) == []
    store.set("a/x", b"again")
    assert store.get("a/x") == b"again"


def test_list(store: Store):
    assert list(store.list()) == []
    assert list(store.list("a")) == []
    keys = ["a/b/0", "a/b/1", "a/bc", "abc/0", "zarr.json", "a/zarr.json"]
    store.set_many(keys, [b""] * len(keys))
    assert sorted(store.list()) == sorted(keys)
    assert sorted(store.list("a")) == ["a/b/0", "a/b/1", "a/bc", "a/zarr.json"]
    assert sorted(store.list("a/b/")) == ["a/b/0", "a/b/1"]
    assert list(store.list("a/bc")) == []
    assert list(store.list("none/at/all")) == []


def test_list_dir(store: Store):
    assert store.list_dir() == []
    store.set_many(["a/b/0", "a/b/1", "a/c", "zarr.json", "é/x"], [b""] * 5)
    assert store.list_dir() == ["a", "zarr.json", "é"]
    assert store.list_dir("a") == ["b", "c"]
    assert store.list_dir("a/") == ["b", "c"]
    assert store.list_dir("a/b") == ["0", "1"]
    assert store.list_dir("a/c") == []
    assert store.list_dir("none/at/all") == []


def test_a_batch_equals_its_single_calls(store: Store):
    rng = np.random.default_rng(7)
    names = [f"n{i // 7}/c/{i}" for i in range(40)]
    for name in names[::2]:
        store.set(name, rng.bytes(int(rng.integers(0, 60))))
    keys = [names[i] for i in rng.integers(0, len(names), 300)]
    starts, lengths = rng.integers(-50, 50, 300), rng.integers(-1, 40, 300)
    batch = RequestBatch.of(keys, starts.tolist(), lengths.tolist())
    values = store.get_many(batch)
    assert values.sizes.dtype == np.int64
    assert values.statuses.dtype == np.int32
    seen = set()
    for i, key in enumerate(keys):
        status = values.statuses[i]
        seen.add(int(status))
        if status == Status.SHORT:
            with pytest.raises(StoreError):
                store.get(key, int(starts[i]), int(lengths[i]))
            continue
        single = store.get(key, int(starts[i]), int(lengths[i]))
        assert status == (Status.MISSING if single is None else Status.OK)
        assert values.sizes[i] == (-1 if single is None else len(single))
        assert single == (None if values.values[i] is None else bytes(values.values[i]))
    assert seen == {Status.OK, Status.MISSING, Status.SHORT}


def test_an_empty_batch(store: Store):
    values = store.get_many(RequestBatch.of([]))
    assert len(values.values) == len(values.sizes) == len(values.statuses) == 0
    store.set_many([], [])


def test_a_part_of_a_batch(store: Store):
    store.set_many(["a/0", "a/1", "a/2"], [b"0", b"11", b"222"])
    batch = RequestBatch.of(["a/0", "a/1", "a/2"])
    assert store.get_many(batch.take(slice(1, 3))).sizes.tolist() == [2, 3]
    assert store.get_many(batch.take(np.array([2, 0]))).sizes.tolist() == [3, 1]


def test_keys_and_values_of_unequal_number(store: Store):
    with pytest.raises(ValueError, match=r"zip"):
        store.set_many(["a", "b"], [b"1"])


@pytest.mark.parametrize("key", HOSTILE, ids=repr)
def test_hostile_keys_are_refused(store: Store, key: str, tmp_path: Path):
    calls = [
        lambda: store.get(key),
        lambda: store.set(key, b"x"),
        lambda: store.delete([key]),
        lambda: store.exists(key),
        lambda: store.size(key),
    ]
    if "\udc80" not in key:
        calls.append(lambda: store.get_many(RequestBatch.of(["good/0", key, "good/1"])))
        calls.append(lambda: store.get_many(RequestBatch.of([key])))
    for call in calls:
        with pytest.raises(InvalidKeyError, match=r"invalid key"):
            call()
    for call in (store.delete_dir, store.list_dir, lambda prefix: list(store.list(prefix))):
        if key.rstrip("/") not in ("", "a"):
            with pytest.raises(InvalidKeyError, match=r"invalid key"):
                call(key)
    assert not (tmp_path / "up").exists()
    assert list(store.list()) == []


def test_a_batch_that_is_not_utf8_is_refused(store: Store):
    batch = RequestBatch(b"a\xff", np.array([0, 2]), np.zeros(1, np.int64), np.full(1, -1))
    with pytest.raises(CuzarrError):
        store.get_many(batch)


def test_bad_key_boundaries_hide_nothing(store: Store):
    """A mark at the end of one key and one at the start of the next are two good keys."""
    store.set_many([".a", "b.", "c"], [b"1", b"2", b"3"])
    assert store.get_many(RequestBatch.of(["b.", ".a", "c"])).sizes.tolist() == [1, 1, 1]


def test_read_only_view(store: Store):
    store.set("a/b", b"value")
    view = read_only_view(store)
    assert view.read_only
    assert read_only_view(view) is view
    assert reads_into(view) == reads_into(store)
    assert str(view) == str(store)
    assert "ReadOnly" in repr(view)
    view.set_many([], [])
    view.delete([])
    check_refuses_writes(view)
    assert view.get("a/b", 1, 2) == b"al"
    assert view.exists("a/b")
    assert view.size("a/b") == 5
    assert list(view.list()) == ["a/b"]
    assert view.list_dir("a") == ["b"]
    assert view.get_many(RequestBatch.of(["a/b"])).sizes.tolist() == [5]
    view.close()
    assert store.get("a/b") == b"value"


@pytest.mark.parametrize("name", MAKERS)
def test_read_only_store(name: str, tmp_path: Path):
    made = MAKERS[name](tmp_path)
    made.set("a/b", b"value")
    made.read_only = True
    check_refuses_writes(made)
    assert made.get("a/b") == b"value"


def check_refuses_writes(store: Store) -> None:
    for call in (
        lambda: store.set("a/b", b"x"),
        lambda: store.set_many(["a/b"], [b"x"]),
        lambda: store.delete(["a/b"]),
        lambda: store.delete_dir("a/b"),
    ):
        with pytest.raises(ReadOnlyError, match=r"'a/b'.* is read-only"):
            call()
    with pytest.raises(ReadOnlyError):
        store.delete_dir("")
    assert store.get("a/b") == b"value"


def test_as_store_keeps_a_store(store: Store):
    assert as_store(store) is store
    view = as_store(store, read_only=True)
    assert view.read_only
    assert not store.read_only
    assert str(view) == str(store)
    assert as_store(view) is view


def test_equality_and_hash(store: Store):
    assert store == store
    assert store != object()
    assert len({store, store}) == 1
    assert read_only_view(store) == read_only_view(store)
    assert read_only_view(store) != store
    assert hash(read_only_view(store)) == hash(read_only_view(store))


def test_pickle_keeps_the_objects(store: Store):
    if isinstance(store, ZipStore) or str(store).startswith("object_store:"):
        pytest.skip("an archive that is written, or obstore's memory, belongs to one process")
    store.set("a/b", b"value")
    again = pickle.loads(pickle.dumps(store))
    assert again.get("a/b") == b"value"
    assert again.read_only == store.read_only
    assert again.parallel_safe == store.parallel_safe
    again.set("a/c", b"writes too")


def test_text_names_the_kind_and_place(store: Store):
    assert "://" in str(store)
    assert str(store) in repr(store) or "BatchAdapter" in repr(store)


# -- many at once ----------------------------------------------------------------------------


def test_threads_see_whole_values_only(store: Store):
    """Eight threads write, read, list and delete; every value read was written as a whole."""
    if isinstance(getattr(store, "inner", None), FsspecStore):
        pytest.skip("fsspec's memory cannot be listed while another thread deletes")
    keys = [f"d{i}/c/{j}" for i in range(2) for j in range(3)]
    problems: list[object] = []
    begin = threading.Barrier(8)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            begin.wait()
            for _ in range(40):
                key = keys[rng.integers(len(keys))]
                match rng.integers(5):
                    case 0 | 1:
                        store.set(key, bytes([rng.integers(256)]) * int(rng.integers(1, 3000)))
                    case 2:
                        store.delete([key])
                    case 3:
                        if not set(store.list()) <= set(keys):
                            problems.append("a key that nobody wrote is listed")
                        if not set(store.list_dir("d0/c")) <= {"0", "1", "2"}:
                            problems.append("a name that nobody wrote is listed")
                    case _:
                        values = store.get_many(RequestBatch.of(keys)).values
                        if any(value and len(set(bytes(value))) != 1 for value in values):
                            problems.append("torn value")
        except Exception as error:
            problems.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert problems == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_reads(store: Store):
    if str(store).startswith("object_store:"):
        pytest.skip("obstore does not survive a fork: test_remote_stores.py tests the error")
    store.set("a/b", b"value")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, store.get("a/b") or b"nothing")
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(pid, 0)
    assert os.read(read_end, 100) == b"value"
    os.close(read_end)


def test_a_store_over_the_same_objects_that_refuses_writes(store: Store) -> None:
    change = getattr(store, "with_read_only", None)
    if change is None:  # it can only be opened again
        assert not isinstance(store, LocalStore | MemoryStore | WrapperStore)
        with pytest.raises(NotImplementedError, match="open it again"):
            WrapperStore(store).with_read_only(True)
        return
    store.set("a", b"old")
    reader = change(True)
    assert type(reader) is type(store)
    assert (reader.read_only, store.read_only) == (True, False)
    store.set("a", b"new")
    assert reader.get("a") == b"new"
    for refused in (lambda: reader.set("a", b""), lambda: reader.delete(["a"])):
        with pytest.raises(ReadOnlyError):
            refused()
    writer = reader.with_read_only()
    assert writer == store
    writer.set("a", b"newest")
    assert store.get("a") == b"newest"
