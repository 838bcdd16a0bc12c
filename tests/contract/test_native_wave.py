"""``read_wave``: the extension and its twin against NumPy indexing of the stored values."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuzarr.native import tables
from cuzarr.native.calls import Calls
from cuzarr.native.tables import DECODED, DecodeStatus
from cuzarr.plan import plan_basic, plan_orthogonal
from cuzarr.storage.base import RequestBatch, Status
from tests.contract.native_cases import NATIVE, TWIN, both
from tests.contract.wave_cases import (
    CODECS,
    DTYPES,
    Stored,
    all_rows,
    bits,
    file_source,
    random_plan,
    random_values,
    read,
)

needs_native = pytest.mark.skipif(NATIVE is None, reason="the C extension was not built")


def random_case(seed: int) -> tuple[np.random.Generator, Stored, Any, Any, Any]:
    """Return a stored array, a plan, its rows, and the expected result."""
    rng = np.random.default_rng(seed)
    large = seed % 4 == 0
    shape = (230, 310) if large else tuple(rng.integers(1, 40, int(rng.integers(1, 4))).tolist())
    chunk_shape = (200, 150) if large else tuple(int(rng.integers(1, n + 2)) for n in shape)
    stored = Stored(
        random_values(rng, shape, DTYPES[int(rng.integers(len(DTYPES)))]), chunk_shape,
        CODECS[int(rng.integers(4))], bool(rng.random() < 0.25), "F" if rng.random() < 0.2 else "C",
    )  # fmt: skip
    stored.write(0.2, rng, blocksize=int(rng.choice([0, 1024, 8192])))
    plan, pick = random_plan(rng, shape, chunk_shape)
    while plan.points is not None and stored.order == "F":  # the host makes offsets of those
        plan, pick = random_plan(rng, shape, chunk_shape)
    return rng, stored, plan, all_rows(plan), pick(stored.values)


@both
@pytest.mark.parametrize("seed", range(120))
def test_random_selections(calls: Calls, seed: int, tmp_path: Path) -> None:
    rng, stored, plan, rows, expected = random_case(seed)
    native_order = stored.dtype.newbyteorder("=")
    kept, memory = stored.memory(rows)
    for source in (stored.files(tmp_path, rows), memory):
        out = np.full(plan.shape, 7, np.uint8).astype(native_order, copy=False)
        out = np.frombuffer(b"\xa5" * (out.size * native_order.itemsize + 1), np.uint8)[1:].copy()
        out = out.view(native_order).reshape(plan.shape)
        threads = int(rng.integers(1, 5))
        assert read(calls, source, stored.chunks(out), rows, out, threads=threads) == [0] * len(
            rows
        )
        assert bits(out) == bits(expected.astype(native_order).reshape(plan.shape))
    del kept


@both
@pytest.mark.parametrize("codec", CODECS)
def test_whole_chunks_decode_in_place(calls: Calls, codec: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stored = Stored(random_values(rng, (40, 30), "<f4"), (7, 30), codec)
    stored.write(0.3, rng)
    rows = all_rows(plan_basic(..., (40, 30), (7, 30)))
    guarded = np.zeros((42, 30), "<f4")
    out = guarded[1:-1]
    chunks = stored.chunks(out, in_place=True)
    assert read(calls, stored.files(tmp_path, rows), chunks, rows, out) == [0] * 6
    assert bits(out) == bits(stored.values)
    assert not guarded[[0, -1]].any()
    part = all_rows(plan_basic((slice(3, 40), slice(None)), (40, 30), (7, 30)))
    out[...] = 0
    assert read(calls, stored.files(tmp_path, part), chunks, part, out) == [0] * 6
    assert bits(out[:37]) == bits(stored.values[3:])


@both
def test_no_dimensions_and_no_rows(calls: Calls, tmp_path: Path) -> None:
    stored = Stored(np.array(2.5), (), "zstd").write(0, np.random.default_rng(0))
    rows = all_rows(plan_basic((), (), ()))
    out = np.zeros(())
    source = stored.files(tmp_path, rows)
    assert read(calls, source, stored.chunks(out, in_place=True), rows, out) == [0]
    assert out == 2.5
    none = rows.take(slice(0, 0))
    assert read(calls, stored.files(tmp_path, none), stored.chunks(out), none, out) == []


@both
def test_known_missing_rows_are_not_read(calls: Calls, tmp_path: Path) -> None:
    stored = Stored(np.arange(12.0), (4,), fill=np.float64(-1)).write(0, np.random.default_rng(0))
    rows = all_rows(plan_basic(..., (12,), (4,)))
    source = stored.files(tmp_path, rows)
    (tmp_path / "c/1").write_bytes(b"not looked at")
    out = np.zeros(12)
    present = np.array([True, False, True])
    assert read(calls, source, stored.chunks(out), rows, out, present=present) == [0] * 3
    assert out.tolist() == [0, 1, 2, 3, -1, -1, -1, -1, 8, 9, 10, 11]


@both
@pytest.mark.parametrize("codec", CODECS)
def test_statuses_of_files(calls: Calls, codec: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stored = Stored(random_values(rng, (8, 1000), "<f4"), (1, 1000), codec).write(0, rng)
    rows = all_rows(plan_basic(..., (8, 1000), (1, 1000)))
    root, keys, offsets, starts, lengths = stored.files(tmp_path, rows)
    good = (tmp_path / "c/0/0").read_bytes()
    (tmp_path / "c/1/0").unlink()  # missing: fill value
    (tmp_path / "c/2/0").unlink()
    (tmp_path / "c/2/0").mkdir()  # a directory is no object
    (tmp_path / "c/3/0").unlink()
    (tmp_path / "c/3/0").symlink_to(tmp_path / "c/0/0")
    (tmp_path / "c/4/0").write_bytes(good[:-1])
    (tmp_path / "c/5/0").write_bytes(good + bytes(3 * stored.nbytes))
    (tmp_path / "c/6/0").write_bytes(b"")
    lengths = lengths.copy()
    lengths[7] = len((tmp_path / "c/7/0").read_bytes()) + 1
    out = np.full((8, 1000), np.nan, "<f4")
    chunks = stored.chunks(out, limit=2 * stored.nbytes)
    statuses = read(calls, (root, keys, offsets, starts, lengths), chunks, rows, out)
    assert statuses[:4] == [0, 0, 0, Status.ERRNO + errno.ELOOP]
    cut = DecodeStatus.SIZE if codec == "raw" else DecodeStatus.TRUNCATED
    if codec == "lz4":
        cut = DecodeStatus.CORRUPT
    empty = DecodeStatus.SIZE if codec == "raw" else DecodeStatus.TRUNCATED
    assert statuses[4:] == [DECODED + cut, Status.NO_SPACE, DECODED + empty, Status.SHORT]
    assert bits(out[0]) == bits(stored.values[0])
    assert not out[1:3].any()


@both
def test_a_missing_root_has_no_chunks(calls: Calls, tmp_path: Path) -> None:
    stored = Stored(np.ones(4), (4,), fill=np.float64(5)).write(0, np.random.default_rng(0))
    rows = all_rows(plan_basic(..., (4,), (4,)))
    out = np.zeros(4)
    source = file_source(tmp_path / "nowhere", RequestBatch.of(["c/0"]))
    assert read(calls, source, stored.chunks(out), rows, out) == [0]
    assert out.tolist() == [5] * 4
    (tmp_path / "file").write_bytes(b"")
    source = file_source(tmp_path / "file", RequestBatch.of(["c/0"]))
    assert read(calls, source, stored.chunks(out), rows, out) == [0]


@both
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("threads", [1, 4])
def test_ranges_of_one_file(calls: Calls, codec: str, threads: int, tmp_path: Path) -> None:
    """Inner chunks of a shard: neighbours, gaps, any order, absent ones, one past the end."""
    rng = np.random.default_rng(5)
    stored = Stored(random_values(rng, (200, 500), "<f4"), (1, 500), codec, fill=np.float32(3))
    stored.write(0, rng)
    order = rng.permutation(200) if threads > 1 else np.arange(200)
    body, ranges = b"", {}
    for row in order.tolist():
        data = stored.encoded[row, 0]
        assert data is not None
        body += bytes(int(rng.choice([0, 0, 0, 7, 5000])))
        ranges[row] = (len(body), len(data))
        body += data
    (tmp_path / "shard").write_bytes(body)
    present = rng.random(200) < 0.9
    starts = [ranges[row][0] for row in range(200)]
    lengths = [ranges[row][1] for row in range(200)]
    starts[17], present[17] = len(body) - lengths[17] + 1, True
    starts[18], lengths[18], present[18] = 2**62, 2**62, True
    rows = all_rows(plan_basic(..., (200, 500), (1, 500)))
    out = np.zeros((200, 500), "<f4")
    source = file_source(tmp_path, RequestBatch.of(["shard"] * 200, starts, lengths))
    found = read(calls, source, stored.chunks(out), rows, out, present=present, threads=threads)
    expected = np.where(present[:, None], stored.values, np.float32(3))
    assert [i for i in range(200) if found[i]] == [17, 18]
    assert found[17] == found[18] == Status.SHORT
    keep = np.setdiff1d(np.arange(200), [17, 18])
    assert bits(out[keep]) == bits(expected[keep])


def blosc_parts(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the header and the blocks of a Blosc chunk whose blocks are in order."""
    nbytes, blocksize = (int.from_bytes(data[a : a + 4], "little") for a in (4, 8))
    count = -(-nbytes // blocksize)
    table = np.frombuffer(data, "<u4", count, 16).tolist()
    return data[:16], [data[a:b] for a, b in zip(table, [*table[1:], len(data)], strict=True)]


def join_blosc(header: bytes, blocks: list[bytes], order: list[int]) -> bytes:
    """Return a Blosc chunk with the blocks in another order."""
    starts, body = [0] * len(blocks), b""
    for b in order:
        starts[b] = 16 + 4 * len(blocks) + len(body)
        body += blocks[b]
    total = 16 + 4 * len(blocks) + len(body)
    return header[:12] + total.to_bytes(4, "little") + np.array(starts, "<u4").tobytes() + body


@both
@pytest.mark.parametrize("order", ["back", "random", "shared"])
def test_blosc_blocks_in_any_order(calls: Calls, order: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stored = Stored(random_values(rng, (300, 100), "<f4"), (300, 100), "blosc")
    stored.write(0, rng, blocksize=4096)
    data = stored.encoded[0, 0]
    assert data is not None
    header, blocks = blosc_parts(data)
    count = len(blocks)
    assert count > 20
    ranking = list(range(count))[::-1] if order == "back" else rng.permutation(count).tolist()
    again = join_blosc(header, blocks, ranking)
    if order == "shared":  # two blocks of the same bytes, stored once
        table = np.frombuffer(again, "<u4", count, 16).copy()
        table[5] = table[9]
        again = again[:16] + table.tobytes() + again[16 + 4 * count :]
        flat = stored.values.reshape(-1)
        flat[5 * 1024 : 6 * 1024] = flat[9 * 1024 : 10 * 1024]
    stored.encoded[0, 0] = again
    for key in (slice(3, 7), slice(52, 60), slice(95, 120), slice(290, 300), slice(0, 300, 90)):
        rows = all_rows(plan_basic((key, slice(10, 20)), (300, 100), (300, 100)))
        expected = stored.values[key, 10:20]
        out = np.zeros(expected.shape, "<f4")
        assert read(calls, stored.files(tmp_path, rows), stored.chunks(out), rows, out) == [0]
        assert bits(out) == bits(expected)


@needs_native
def test_only_needed_parts_are_read(tmp_path: Path) -> None:
    """What lies elsewhere may be damaged; the size of the whole may not."""
    assert NATIVE is not None
    rng = np.random.default_rng(2)
    for codec in ("raw", "blosc"):
        stored = Stored(random_values(rng, (400, 100), "<f4"), (400, 100), codec)
        stored.write(0, rng, blocksize=8192)
        rows = all_rows(plan_orthogonal(([2, 3, 399], slice(None)), (400, 100), (400, 100)))
        source = stored.files(tmp_path, rows)
        path = tmp_path / "c/0/0"
        data = path.read_bytes()
        middle = len(data) // 2
        path.write_bytes(data[: middle - 9000] + bytes(18000) + data[middle + 9000 :])
        out = np.zeros((3, 100), "<f4")
        assert read(NATIVE, source, stored.chunks(out), rows, out) == [0]
        assert bits(out) == bits(stored.values[[2, 3, 399]])
        for damaged in (data[:-1], data + b"\0"):
            path.write_bytes(damaged)
            (status,) = read(NATIVE, source, stored.chunks(out), rows, out)
            assert status > DECODED
        whole = all_rows(plan_basic(..., (400, 100), (400, 100)))
        path.write_bytes(data[: middle - 9000] + bytes(18000) + data[middle + 9000 :])
        out = np.zeros((400, 100), "<f4")
        (status,) = read(NATIVE, source, stored.chunks(out), whole, out)
        assert status == (0 if codec == "raw" else DECODED + DecodeStatus.CORRUPT)


@needs_native
@pytest.mark.parametrize("codec", ["blosc", "zstd", "lz4"])
@pytest.mark.parametrize("crc32c", [False, True])
def test_damaged_chunks(codec: str, crc32c: bool, tmp_path: Path) -> None:
    """The native code finds what the twin finds, but for parts that it does not look at."""
    assert NATIVE is not None
    rng = np.random.default_rng(11)
    stored = Stored(random_values(rng, (120, 60), "<f4"), (120, 60), codec, crc32c)
    stored.write(0, rng, blocksize=2048)
    good = stored.encoded[0, 0]
    assert good is not None
    unnoticed = 0
    for k in range(60):
        data = bytearray(good)
        if k % 5 == 0:
            data = data[: int(rng.integers(0, len(data)))]
        else:
            at = int(rng.integers(0, 64 if k % 2 else len(data)))
            data[at] ^= 1 << int(rng.integers(0, 8))
        stored.encoded[0, 0] = bytes(data)
        a, b = sorted(rng.integers(0, 121, 2).tolist())
        key = (slice(a, max(b, a + 1)), slice(None)) if k % 3 else (slice(None), slice(None))
        rows = all_rows(plan_basic(key, (120, 60), (120, 60)))
        if len(rows) == 0:
            continue
        shape = stored.values[key].shape
        outs = [np.zeros(shape, "<f4") for _ in range(3)]
        kept, memory = stored.memory(rows)
        chunks = stored.chunks(outs[0])
        files = stored.files(tmp_path, rows)
        (twin,) = read(TWIN, files, chunks, rows, outs[0])
        (from_file,) = read(NATIVE, files, chunks, rows, outs[1])
        (from_memory,) = read(NATIVE, memory, chunks, rows, outs[2])
        del kept
        if twin == 0:
            assert from_file == from_memory == 0
            assert bits(outs[0]) == bits(outs[1]) == bits(outs[2])
        elif k % 3 == 0 or crc32c:
            assert from_file > DECODED
            assert from_memory > DECODED
        else:
            unnoticed += from_file == 0
    assert (unnoticed > 0) == (codec == "blosc" and not crc32c)


@both
def test_a_row_outside_its_chunk_is_refused(calls: Calls, tmp_path: Path) -> None:
    stored = Stored(np.arange(12.0), (4,)).write(0, np.random.default_rng(0))
    rows = all_rows(plan_basic(..., (12,), (4,)))
    source = stored.files(tmp_path, rows)
    out = np.zeros(40)
    chunks = stored.chunks(out)
    for start, count in ((1, 4), (-1, 2), (4, 1), (2**61, 2), (-(2**62), 1), (0, 5)):
        rows.start[1], rows.count[1] = start, count
        with pytest.raises(ValueError, match="rows: outside the chunk"):
            read(calls, source, chunks, rows, out)
    rows.start[1], rows.count[1] = 0, 0  # empty: nothing to do
    assert read(calls, source, chunks, rows, out) == [0, 0, 0]
    listed = all_rows(plan_orthogonal(([0, 3, 5],), (12,), (4,)))
    assert listed.lists[0] is not None
    for bad in (-1, 4, 2**62):
        index = listed.lists[0][0].copy()
        index[1] = bad
        lists = ((index, listed.lists[0][1]),)
        with pytest.raises(ValueError, match="rows: outside the chunk"):
            calls.read_wave(
                stored.files(tmp_path, listed), np.ones(2, np.bool_), chunks, listed.start,
                listed.count, listed.out, listed.step, lists, out.ctypes.data,
                np.array(out.strides), 1,
            )  # fmt: skip


@both
def test_columns_must_fit_together(calls: Calls, tmp_path: Path) -> None:
    stored = Stored(np.arange(12.0), (4,)).write(0, np.random.default_rng(0))
    rows = all_rows(plan_basic(..., (12,), (4,)))
    out = np.zeros(12)
    chunks = stored.chunks(out)
    source = stored.files(tmp_path, rows)
    kept, memory = stored.memory(rows)
    bad_sources = [
        (source[0], source[1], source[2][:-1], *source[3:]),
        (*source[:3], source[3][:-1], source[4]),
        (*source[:4], source[4] - 1),
        ("nul\0", *source[1:]),
        (source[0], source[1][:-1], *source[2:]),
        (memory[0][:-1], memory[1]),
        (memory[0], memory[1][:-1]),
        (memory[0], memory[1] - 100),
    ]
    for bad in bad_sources:
        with pytest.raises(ValueError, match=r".+"):
            read(calls, bad, chunks, rows, out)
    with pytest.raises(ValueError, match=r".+"):
        read(calls, source, chunks, rows, out, present=np.ones(2, np.bool_))
    with pytest.raises(ValueError, match=r".+"):
        calls.read_wave(
            source, np.ones(3, np.bool_), chunks, rows.start, rows.count, rows.out, rows.step,
            (None, None), out.ctypes.data, np.array(out.strides), 1,
        )  # fmt: skip
    with pytest.raises(ValueError, match="not available"):
        read(calls, source, _with_codec(chunks, "gzip"), rows, out)
    with pytest.raises(TypeError, match="int64"):
        read(calls, (memory[0], memory[1].astype(np.int32)), chunks, rows, out)
    del kept


def _with_codec(chunks: tables.WaveChunks, codec: str) -> tables.WaveChunks:
    values = {name: getattr(chunks, name) for name in chunks.__slots__}
    return tables.WaveChunks(**{**values, "codec": codec})


@needs_native
def test_many_callers_at_once(tmp_path: Path) -> None:
    assert NATIVE is not None
    rng = np.random.default_rng(4)
    stored = Stored(random_values(rng, (300, 256), "<f4"), (10, 64), "zstd").write(0.1, rng)
    rows = all_rows(plan_basic(..., (300, 256), (10, 64)))
    source = stored.files(tmp_path, rows)
    bad: list[int] = []

    def many() -> None:
        for threads in (2, 5, 3, 100):
            out = np.zeros((300, 256), "<f4")
            statuses = read(NATIVE, source, stored.chunks(out), rows, out, threads=threads)
            if any(statuses) or bits(out) != bits(stored.values):
                bad.append(threads)

    callers = [threading.Thread(target=many) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not bad


@needs_native
def test_a_forked_child_makes_its_own_threads(tmp_path: Path) -> None:
    assert NATIVE is not None
    rng = np.random.default_rng(4)
    stored = Stored(random_values(rng, (64, 64), "<f4"), (4, 64), "blosc").write(0, rng)
    rows = all_rows(plan_basic(..., (64, 64), (4, 64)))
    source = stored.files(tmp_path, rows)
    out = np.zeros((64, 64), "<f4")
    chunks = stored.chunks(out)
    assert read(NATIVE, source, chunks, rows, out, threads=4) == [0] * 16
    out[...] = 0
    child = os.fork()
    if child == 0:
        same = read(NATIVE, source, chunks, rows, out, threads=4) == [0] * 16
        os._exit(0 if same and bits(out) == bits(stored.values) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_native
def test_files_that_change_while_they_are_read(tmp_path: Path) -> None:
    """Values are old or new, or the status says that something is wrong; nothing worse."""
    assert NATIVE is not None
    rng = np.random.default_rng(9)
    stored = Stored(random_values(rng, (400, 100), "<f4"), (400, 100), "blosc")
    stored.write(0, rng, blocksize=4096)
    rows = all_rows(plan_basic((slice(0, 400, 40), slice(None)), (400, 100), (400, 100)))
    source = stored.files(tmp_path, rows)
    path, data, stop = tmp_path / "c/0/0", stored.encoded[0, 0], threading.Event()
    assert data is not None

    def shrink_and_grow() -> None:
        while not stop.is_set():
            os.truncate(path, 5000)
            with path.open("r+b") as file:
                file.write(data)

    writer = threading.Thread(target=shrink_and_grow)
    writer.start()
    try:
        for _ in range(300):
            out = np.zeros((10, 100), "<f4")
            (status,) = read(NATIVE, source, stored.chunks(out), rows, out)
            assert status == 0 or status == Status.SHORT or status > DECODED
    finally:
        stop.set()
        writer.join()


@both
def test_scratch_of_large_chunks(calls: Calls, tmp_path: Path) -> None:
    values = np.zeros((3, 20 * 2**20), np.uint8)
    values[:, ::4099] = 9
    stored = Stored(values, (1, 20 * 2**20), "zstd").write(0, np.random.default_rng(0))
    rows = all_rows(
        plan_basic((slice(None), slice(None, None, 4099)), *[values.shape, stored.chunk_shape])
    )
    out = np.zeros((3, len(range(0, values.shape[1], 4099))), np.uint8)
    assert read(calls, stored.files(tmp_path, rows), stored.chunks(out), rows, out) == [0] * 3
    assert (out == 9).all()
