"""``read_files`` and ``format_keys``: the extension and its twin against plain Python."""

from __future__ import annotations

import errno
import os
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuzarr.native import tables
from cuzarr.native.calls import Calls
from cuzarr.storage.base import RequestBatch, Status
from tests.contract.native_cases import NATIVE, TWIN, both


def read(
    calls: Calls, root: Path, batch: RequestBatch, room: int = 1 << 20, threads: int = 1
) -> tuple[list[bytes | None], list[int], list[int], int]:
    """Read a batch; values are None where the status is not OK."""
    slab = bytearray(b"\xa5" * room)
    positions, sizes, statuses, used = calls.read_files(
        str(root), batch.keys, batch.offsets, batch.starts, batch.lengths, slab, threads
    )
    values: list[bytes | None] = []
    for position, size, status in zip(positions, sizes, statuses, strict=True):
        if status == Status.OK:
            assert position % tables.SLAB_ALIGN == 0
            assert position + size <= used <= room
            values.append(bytes(slab[position : position + size]))
        else:
            assert position == -1
            values.append(None)
    assert slab[used:] == b"\xa5" * (room - used)
    return values, sizes.tolist(), statuses.tolist(), used


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i in range(20):
        path = tmp_path / f"c/{i % 3}/{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes((i * 7 + k) % 256 for k in range(i * 31)))
    return tmp_path


def test_statuses_equal_those_of_the_store() -> None:
    assert tables.READ_OK == Status.OK
    assert tables.READ_MISSING == Status.MISSING
    assert tables.READ_SHORT == Status.SHORT
    assert tables.READ_NO_SPACE == Status.NO_SPACE
    assert tables.READ_ERRNO == Status.ERRNO


@both
@pytest.mark.parametrize("threads", [1, 4, 1000])
def test_whole_files(calls: Calls, root: Path, threads: int) -> None:
    keys = [f"c/{i % 3}/{i}" for i in range(20)]
    values, sizes, statuses, _ = read(calls, root, RequestBatch.of(keys), threads=threads)
    assert values == [(root / key).read_bytes() for key in keys]
    assert sizes == [i * 31 for i in range(20)]
    assert statuses == [Status.OK] * 20


@both
def test_ranges(calls: Calls, root: Path) -> None:
    data = (root / "c/1/10").read_bytes()
    assert len(data) == 310
    cases: list[tuple[int, int, Any]] = [
        (0, -1, data), (0, 0, b""), (0, 310, data), (5, 7, data[5:12]), (300, 10, data[300:]),
        (310, -1, b""), (310, 0, b""), (-4, -1, data[-4:]), (-4, 4, data[-4:]),
        (-10, 3, data[-10:-7]), (-310, -1, data),
        (311, -1, Status.SHORT), (300, 11, Status.SHORT), (-311, -1, Status.SHORT),
        (-4, 5, Status.SHORT), (0, 2**63 - 1, Status.SHORT), (2**63 - 1, -1, Status.SHORT),
        (-(2**63), -1, Status.SHORT),
    ]  # fmt: skip
    batch = RequestBatch.of(
        ["c/1/10"] * len(cases), [case[0] for case in cases], [case[1] for case in cases]
    )
    values, sizes, statuses, _ = read(calls, root, batch)
    for (start, length, expected), value, size, status in zip(
        cases, values, sizes, statuses, strict=True
    ):
        if isinstance(expected, bytes):
            assert (status, value, size) == (Status.OK, expected, len(expected)), (start, length)
        else:
            assert (status, value, size) == (expected, None, -1), (start, length)


@both
def test_what_is_not_there_is_missing(calls: Calls, root: Path) -> None:
    batch = RequestBatch.of(["nope", "c/0/0/below-a-file", "c", "c/0", ""])
    assert read(calls, root, batch)[2] == [Status.MISSING] * 5
    batch = RequestBatch.of(["c/0/0", "c/1/1"])
    assert read(calls, root / "no-such-root", batch)[2] == [Status.MISSING] * 2


@both
def test_other_errors_carry_their_errno(calls: Calls, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to(root / "c/1/10")
    keys = ["k" * 300, "c/" * 3000 + "x", "nul\0", "/etc/hosts", "pipe", "link", "c/1/10"]
    expected = [
        errno.ENAMETOOLONG, errno.ENAMETOOLONG, errno.EINVAL, errno.EINVAL, errno.EINVAL,
        errno.ELOOP,
    ]  # fmt: skip
    statuses = read(calls, root, RequestBatch.of(keys))[2]
    assert statuses == [Status.ERRNO + code for code in expected] + [Status.OK]


@both
def test_no_permission(calls: Calls, root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (root / "c/1/10").chmod(0)
    assert read(calls, root, RequestBatch.of(["c/1/10"]))[2] == [Status.ERRNO + errno.EACCES]


@both
def test_full_slab_says_what_is_needed(calls: Calls, root: Path) -> None:
    batch = RequestBatch.of(["c/1/1", "c/1/19", "c/2/2", "c/0/0"])  # 31, 589, 62, 0 bytes
    values, sizes, statuses, used = read(calls, root, batch, room=128)
    assert statuses == [Status.OK, Status.NO_SPACE, Status.OK, Status.OK]
    assert sizes == [31, 589, 62, 0]
    assert values[2] == (root / "c/2/2").read_bytes()
    assert used == 96
    assert read(calls, root, batch, room=0)[2] == [Status.NO_SPACE] * 3 + [Status.OK]


@both
def test_empty_batch(calls: Calls, root: Path) -> None:
    assert read(calls, root, RequestBatch.of([])) == ([], [], [], 0)


@both
def test_slab_may_be_any_writable_memory(calls: Calls, root: Path) -> None:
    batch = RequestBatch.of(["c/1/10"])
    slab = np.zeros((4, 128), np.uint8)
    columns = (batch.offsets, batch.starts, batch.lengths)
    calls.read_files(os.fsencode(root), batch.keys, *columns, slab)
    assert slab.tobytes()[:310] == (root / "c/1/10").read_bytes()
    with pytest.raises((BufferError, ValueError)):
        calls.read_files(str(root), batch.keys, *columns, bytes(64))


@both
def test_wrong_columns_are_refused(calls: Calls, root: Path) -> None:
    batch = RequestBatch.of(["c/1/1", "c/1/10"])
    slab = bytearray(64)

    def call(**changed: Any) -> None:
        columns = {"offsets": batch.offsets, "starts": batch.starts, "lengths": batch.lengths}
        columns |= changed
        calls.read_files(str(root), batch.keys, *columns.values(), slab)

    with pytest.raises(ValueError, match="offsets"):
        call(offsets=batch.offsets[:2])
    with pytest.raises(ValueError, match="lengths"):
        call(lengths=batch.lengths[:1])
    with pytest.raises(TypeError, match="int64"):
        call(starts=batch.starts.astype(np.float64))
    with pytest.raises(ValueError, match="outside the keys"):
        call(offsets=batch.offsets + 5)
    with pytest.raises(ValueError, match="not ascending"):
        call(offsets=np.array([5, 2, 7]))
    with pytest.raises(ValueError, match="less than -1"):
        call(lengths=np.array([-1, -2]))
    with pytest.raises(ValueError, match="NUL"):
        calls.read_files(b"a\0b", b"k", np.array([0, 1]), np.array([0]), np.array([-1]), slab)


@both
def test_file_that_shrinks_is_never_garbage(calls: Calls, tmp_path: Path) -> None:
    path, size, stop = tmp_path / "k", 1 << 18, threading.Event()
    path.write_bytes(b"x" * size)

    def shrink() -> None:
        while not stop.is_set():
            os.truncate(path, 100)
            path.write_bytes(b"x" * size)

    thread = threading.Thread(target=shrink)
    thread.start()
    try:
        for _ in range(100):
            slab = bytearray(size)
            _, sizes, statuses, _ = calls.read_files(
                str(tmp_path), b"k", np.array([0, 1]), np.array([0]), np.array([-1]), slab
            )
            if statuses[0] == Status.OK:
                assert slab[: sizes[0]] == b"x" * int(sizes[0])
            else:
                assert statuses[0] == Status.SHORT
    finally:
        stop.set()
        thread.join()


@pytest.mark.skipif(NATIVE is None, reason="the C extension was not built")
@pytest.mark.parametrize("seed", range(5))
def test_random_batches_agree(root: Path, seed: int) -> None:
    assert NATIVE is not None
    rng = np.random.default_rng(seed)
    names = [f"c/{i % 3}/{i}" for i in range(22)] + ["c/1", "zz"]
    n = 300
    keys = np.repeat(rng.choice(names, n // 3), 3).tolist()
    starts = np.where(rng.random(n) < 0.3, 0, rng.integers(-700, 700, n)).tolist()
    lengths = np.where(rng.random(n) < 0.3, -1, rng.integers(0, 700, n)).tolist()
    batch = RequestBatch.of(keys, starts, lengths)
    expected = read(TWIN, root, batch)
    for threads in (1, 3):
        found = read(NATIVE, root, batch, threads=threads)
        assert found[:3] == expected[:3]
        assert found[3] == expected[3]


@both
@pytest.mark.parametrize("separator", ["/", "."])
def test_keys(calls: Calls, separator: str) -> None:
    coords = np.array([[0, 0, 7], [1, 10, 99], [2**63 - 1, 123456789, 100]])
    for encoding, lead in (("default", ["c"]), ("v2", [])):
        keys, offsets = calls.format_keys("a/b/", coords, encoding, separator, ".x")
        found = [keys[i:j].decode() for i, j in pairwise(offsets)]
        assert found == [
            "a/b/" + separator.join(lead + [str(c) for c in row]) + ".x" for row in coords.tolist()
        ]


@both
def test_keys_without_coordinates_or_chunks(calls: Calls) -> None:
    none = np.empty((1, 0), np.int64)
    assert calls.format_keys("p/", none, "default", "/")[0] == b"p/c"
    assert calls.format_keys("p/", none, "v2", ".")[0] == b"p/0"
    keys, offsets = calls.format_keys("p/", np.empty((0, 3), np.int64), "v2", ".")
    assert (keys, offsets.tolist()) == (b"", [0])


@both
def test_keys_are_utf8_and_coordinates_may_be_strided(calls: Calls) -> None:
    coords = np.arange(12).reshape(4, 3).T[::2]
    keys, offsets = calls.format_keys("é/", coords, "v2", ".")
    assert keys.decode() == "é/0.3.6.9é/2.5.8.11"
    assert offsets.tolist() == [0, 10, 21]


@both
def test_keys_refuse_what_is_no_chunk(calls: Calls) -> None:
    with pytest.raises(ValueError, match="negative"):
        calls.format_keys("", np.array([[0, -1]]), "default", "/")
    with pytest.raises(ValueError, match="encoding"):
        calls.format_keys("", np.array([[0]]), "v3", "/")
    with pytest.raises(ValueError, match="separator"):
        calls.format_keys("", np.array([[0]]), "v2", "-")
    with pytest.raises(ValueError, match="dimensions"):
        calls.format_keys("", np.array([0]), "v2", ".")
    with pytest.raises(ValueError, match="64"):
        calls.format_keys("", np.zeros((1, 65), np.int64), "v2", ".")
