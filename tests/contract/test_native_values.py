"""``find_values``, ``value_addresses`` and ``copy_values``: both implementations."""

from __future__ import annotations

import ctypes
import threading

import numpy as np
import pytest

from cuzarr.native import tables
from cuzarr.storage.base import RequestBatch
from tests.contract.native_cases import both

VALUES = {
    "a/0": bytes(range(200)),
    "a/1": b"",
    "b": bytearray(b"0123456789"),
    "ü": memoryview(b"abcdef")[1:4],
    "array": np.arange(5, dtype="<i2"),
    "strided": memoryview(b"abcdef")[::2],
    "number": 5,
}


def found(owners, pointers, sizes, statuses):
    """Return the bytes, or the status, of each answer."""
    assert len(owners) == len(pointers)
    return [
        ctypes.string_at(int(p), int(n)) if s == tables.READ_OK else int(s)
        for p, n, s in zip(pointers, sizes, statuses, strict=True)
    ]


@both
def test_values_are_found_where_they_lie(calls):
    keys = ["a/0", "a/0", "a/1", "missing", "b", "b", "ü", "array", "a/0", "a/0", "a/0"]
    starts = [0, 3, 0, 0, -4, 2, 0, 2, 190, -201, 201]
    lengths = [-1, 5, -1, -1, -1, 0, 2, 4, 11, 1, -1]
    batch = RequestBatch.of(keys, starts, lengths)
    answer = calls.find_values(VALUES, batch.keys, batch.offsets, batch.starts, batch.lengths)
    short, missing = tables.READ_SHORT, tables.READ_MISSING
    whole = VALUES["a/0"]
    array = VALUES["array"].tobytes()
    assert found(*answer) == [
        whole, whole[3:8], b"", missing, b"6789", b"", b"bc", array[2:6], short, short, short,
    ]  # fmt: skip
    bad = answer[3] != tables.READ_OK
    assert (answer[1][bad] == 0).all()
    assert (answer[2][bad] == -1).all()
    assert answer[1][0] == np.frombuffer(whole, np.uint8).ctypes.data


@both
def test_what_has_no_contiguous_buffer_is_left_to_the_caller(calls):
    batch = RequestBatch.of(["strided", "number", "b"])
    answer = calls.find_values(VALUES, batch.keys, batch.offsets, batch.starts, batch.lengths)
    assert found(*answer) == [-1, -1, b"0123456789"]
    assert answer[0][:2] == [None, None]


@both
def test_owners_hold_the_memory_in_place(calls):
    growing = bytearray(b"0123456789")
    batch = RequestBatch.of(["k"])
    columns = (batch.keys, batch.offsets, batch.starts, batch.lengths)
    answer = calls.find_values({"k": growing}, *columns)
    with pytest.raises(BufferError):
        growing.extend(b"more")
    assert found(*answer) == [b"0123456789"]
    del answer
    growing.extend(b"more")
    kept = calls.find_values({"k": b"of the dict alone"}, *columns)  # the dict is gone
    assert found(*kept) == [b"of the dict alone"]


@both
def test_addresses_of_a_list(calls):
    values = [b"abc", None, bytearray(b"de"), "text", b""]
    assert found(*calls.value_addresses(values)) == [
        b"abc", tables.READ_MISSING, b"de", -1, b"",
    ]  # fmt: skip
    assert calls.value_addresses([])[0] == []
    with pytest.raises(TypeError, match="values: expected a list"):
        calls.value_addresses((b"abc",))


@both
@pytest.mark.parametrize("threads", [1, 8])
def test_copies_of_many_sizes(calls, threads):
    rng = np.random.default_rng(threads)
    sizes = [*rng.integers(0, 3000, 200).tolist(), 5 << 18, (1 << 18) + 1, 1 << 18]
    values = [rng.bytes(size) if size % 5 else None for size in sizes]
    owners, pointers, lengths, _ = calls.value_addresses(values)
    room = -(-np.maximum(lengths, 0) // 16) * 16
    positions = np.cumsum(room) - room
    slab = np.full(int(room.sum()) + 64, 0xA5, np.uint8)
    calls.copy_values(pointers, lengths, positions, slab, threads)
    for value, position in zip(values, positions.tolist(), strict=True):
        if value is not None:
            assert slab[position : position + len(value)].tobytes() == value
    assert (slab[-64:] == 0xA5).all()
    assert len(owners) == len(values)


@both
def test_copies_stay_inside_the_slab(calls):
    owners, pointers, sizes, _ = calls.value_addresses([b"0123456789"])
    slab = np.zeros(16, np.uint8)
    for position in (-1, 7, 2**62):
        with pytest.raises(ValueError, match="positions: outside the slab"):
            calls.copy_values(pointers, sizes, np.array([position]), slab)
    calls.copy_values(pointers, sizes, np.array([6]), slab)
    assert slab.tobytes() == bytes(6) + b"0123456789"
    with pytest.raises(BufferError):
        calls.copy_values(pointers, sizes, np.array([0]), bytes(16))
    assert owners


@both
def test_columns_that_do_not_fit_are_refused(calls):
    batch = RequestBatch.of(["a", "b"])
    columns = [batch.keys, batch.offsets, batch.starts, batch.lengths]
    with pytest.raises(TypeError, match="mapping: expected a dict"):
        calls.find_values([], *columns)
    with pytest.raises(ValueError, match="lengths"):
        calls.find_values({}, *columns[:3], np.array([-2, -1]))
    with pytest.raises(ValueError, match="offsets"):
        calls.find_values({}, b"a", *columns[1:])
    with pytest.raises(UnicodeDecodeError):
        calls.find_values({}, b"\xff\xff", *columns[1:])


@both
def test_a_dict_that_changes_meanwhile(calls):
    values = {f"k{i}": bytes([i % 251]) * 100 for i in range(300)}
    batch = RequestBatch.of(list(values))
    columns = (batch.keys, batch.offsets, batch.starts, batch.lengths)
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            for i in range(300):
                values[f"k{i}"] = bytes([i % 251]) * 100

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(20):
            answer = found(*calls.find_values(values, *columns))
            assert answer == [bytes([i % 251]) * 100 for i in range(300)]
    finally:
        stop.set()
        writer.join()
