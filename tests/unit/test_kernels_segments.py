"""Copies, fills, checksums and status reduction, emulated."""

from __future__ import annotations

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuzarr.cuda.kernels import tile_table
from tests.emulation.driver import Driver

SIZES = [0, 1, 3, 4, 15, 16, 17, 31, 64, 100, 1000, 16383, 16384, 16385, 40001]
NO_BAD = 2**64 - 1


def upload_segments(device, segments, offsets):
    return [
        device.put(np.frombuffer(s, np.uint8), offset=o)
        for s, o in zip(segments, offsets, strict=True)
    ]


def random_segments(rng, sizes):
    return [rng.integers(0, 256, int(n), np.uint8).tobytes() for n in sizes]


def check_copy(segments, source_offsets, target_offsets, seed=0, grid=0, tile=16384):
    sizes = np.array([len(s) for s in segments], np.int64)
    tiles = tile_table(sizes, tile)
    with Driver(seed) as device:
        source = upload_segments(device, segments, source_offsets)
        target = [device.alloc(len(s), o) for s, o in zip(segments, target_offsets, strict=True)]
        device.run(
            "copy_segments", grid or -(-int(tiles[-1]) // 8), device.table(source, np.uint64),
            device.table(target, np.uint64), device.put(sizes), device.put(tiles), len(segments),
        )  # fmt: skip
        for p, s in zip(target, segments, strict=True):
            assert device.get(p, len(s)).tobytes() == s


@pytest.mark.parametrize("source_offset", range(16))
def test_copies_of_every_pair_of_alignments(source_offset):
    rng = np.random.default_rng(source_offset)
    sizes = [int(n) for n in rng.integers(0, 120, 16)]
    check_copy(random_segments(rng, sizes), [source_offset] * 16, range(16), seed=source_offset)


def test_copies_of_every_size():
    rng = np.random.default_rng(1)
    segments = random_segments(rng, SIZES)
    for how in ({}, {"grid": 1}, {"tile": 1 << 40}, {"tile": 77}):
        check_copy(segments, rng.integers(0, 16, len(SIZES)).tolist(),
                   rng.integers(0, 16, len(SIZES)).tolist(), **how)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 31), st.integers(0, 31)), min_size=1,
                max_size=6), st.integers(0, 7))  # fmt: skip
def test_copies_at_random(items, seed):
    rng = np.random.default_rng(len(items))
    segments = random_segments(rng, [n for n, _, _ in items])
    check_copy(segments, [o for _, o, _ in items], [o for _, _, o in items], seed)


@pytest.mark.parametrize("item", [1, 2, 4, 8, 16])
def test_fills_repeat_the_value_from_each_segment_on(item):
    rng = np.random.default_rng(item)
    value = rng.integers(0, 256, item, np.uint8).tobytes()
    low, high = np.frombuffer((value * 16)[:16], np.uint64)
    sizes = np.array(SIZES, np.int64)
    tiles = tile_table(sizes, 16384)
    with Driver(item) as device:
        target = [device.alloc(int(n), i % 16) for i, n in enumerate(sizes)]
        device.run("fill_segments", tiles[-1], device.table(target, np.uint64), device.put(sizes),
                   device.put(tiles), len(sizes), low, high)  # fmt: skip
        for p, n in zip(target, SIZES, strict=True):
            assert device.get(p, n).tobytes() == (value * (n // item + 1))[:n]


def checksums(device, pointers, sizes, grid=0, tile=16384):
    tiles = tile_table(sizes, tile)
    partial = device.filled(4 * len(sizes), 0)
    lengths = device.put(sizes)
    device.run(
        "crc32c_partial", grid or min(int(tiles[-1]), 2048), device.table(pointers, np.uint64),
        lengths, device.put(tiles), len(sizes), partial,
    )  # fmt: skip
    return lengths, partial


@pytest.mark.parametrize("how", [{}, {"grid": 2}, {"tile": 1 << 40}])
def test_checksums_are_those_of_crc32c(how):
    rng = np.random.default_rng(2)
    segments = random_segments(rng, SIZES)
    sizes = np.array(SIZES, np.int64)
    with Driver(5) as device:
        pointers = upload_segments(device, segments, rng.integers(0, 16, len(SIZES)))
        lengths, partial = checksums(device, pointers, sizes, **how)
        target = device.alloc(5 * len(sizes) + 1)
        where = [target + 1 + 5 * i for i in range(len(sizes))]
        device.run("crc32c_store", 1, lengths, partial, device.table(where, np.uint64), len(sizes))
        for p, s in zip(where, segments, strict=True):
            assert int(device.get(p, 4).view("<u4")[0]) == google_crc32c.value(s)


def test_checksum_mismatches_are_reported_by_chunk():
    rng = np.random.default_rng(3)
    segments = random_segments(rng, [100, 0, 70000, 5])
    stored = [s + google_crc32c.value(s).to_bytes(4, "little") for s in segments]
    for flip in range(-1, 4):
        bad = [bytearray(s) for s in stored]
        if flip >= 0:
            bad[flip][len(bad[flip]) // 2] ^= 0x10
        with Driver(1) as device:
            pointers = upload_segments(device, [bytes(s) for s in bad], [3] * 4)
            sizes = np.array([len(s) for s in segments], np.int64)
            lengths, partial = checksums(device, pointers, sizes)
            status, first = device.filled(40, 0), device.filled(8, 0xFF)
            expected = [p + int(n) for p, n in zip(pointers, sizes, strict=True)]
            owner = device.put([9, 7, 5, 8], np.int32)
            device.run("crc32c_check", 1, lengths, partial, device.table(expected, np.uint64),
                       owner, 4, 1000, status, first)  # fmt: skip
            found = device.get(status, 10, np.int32)
            wanted = np.zeros(10, np.int32)
            if flip >= 0:
                wanted[[9, 7, 5, 8][flip]] = 0x30000
            np.testing.assert_array_equal(found, wanted)
            word = int(device.get(first, 1, np.uint64)[0])
            assert word == (NO_BAD if flip < 0 else 1000 + [9, 7, 5, 8][flip])


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 15))
def test_checksums_at_random(data, offset):
    with Driver() as device:
        pointer = device.put(np.frombuffer(data, np.uint8), offset=offset)
        lengths, partial = checksums(device, [pointer], np.array([len(data)], np.int64))
        target = device.alloc(4)
        device.run("crc32c_store", 1, lengths, partial, device.table([target], np.uint64), 1)
        assert int(device.get(target, 1, "<u4")[0]) == google_crc32c.value(data)


@pytest.mark.parametrize("owned", [True, False])
def test_statuses_are_reduced_to_the_worst_of_each_chunk(owned):
    statuses = np.zeros(700, np.int32)
    actual = np.full(700, 10, np.uint64)
    expected = actual.copy()
    statuses[[300, 301]] = [12, 5]
    actual[[302, 650]] = 9
    owner = np.arange(700, dtype=np.int32) // 100
    with Driver(4) as device:
        status, first = device.filled(2800, 0), device.filled(8, 0xFF)
        device.run("check_statuses", 3, device.put(statuses), device.put(actual),
                   device.put(expected), device.put(owner) if owned else 0, 700, 50, status,
                   first)  # fmt: skip
        found = device.get(status, 700, np.int32)
        wanted = np.zeros(700, np.int32)
        if owned:
            wanted[[3, 6]] = 0x20000
        else:
            wanted[[300, 301, 302, 650]] = [0x1000C, 0x10005, 0x20000, 0x20000]
        np.testing.assert_array_equal(found, wanted)
        assert int(device.get(first, 1, np.uint64)[0]) == 50 + (3 if owned else 300)


def test_good_statuses_leave_no_mark():
    with Driver() as device:
        first = device.filled(8, 0xFF)
        device.run("check_statuses", 1, device.filled(40, 0), 0, 0, 0, 10, 0, 0, first)
        assert int(device.get(first, 1, np.uint64)[0]) == NO_BAD


def test_tile_tables_count_tiles():
    sizes = np.array([0, 1, 8192, 8193, 0, 100000])
    np.testing.assert_array_equal(tile_table(sizes, 8192), [0, 0, 1, 2, 4, 4, 17])
    np.testing.assert_array_equal(tile_table(np.zeros(0, np.int64), 8192), [0])
