"""Every store that places bytes into given memory: the same values as ``get_many``."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from cuzarr.errors import InvalidKeyError
from cuzarr.storage import Store
from cuzarr.storage.base import RequestBatch, Status, reads_into
from cuzarr.storage.view import read_only_view
from tests.contract.store_cases import MAKERS


@pytest.fixture(params=[name for name in MAKERS if name.startswith("local")])
def placer(request: pytest.FixtureRequest, tmp_path: Path):
    made = MAKERS[request.param](tmp_path)
    assert reads_into(made)
    return made


@pytest.mark.parametrize("threads", [1, 3])
def test_read_into_equals_get_many(placer: Store, threads: int):
    rng = np.random.default_rng(threads)
    names = [f"n{i // 9}/c/{i}" for i in range(60)]
    for name in names[::2]:
        placer.set(name, rng.bytes(int(rng.integers(0, 90))))
    keys = [names[i] for i in rng.integers(0, len(names), 200)]
    starts = rng.integers(-50, 50, 200).tolist()
    lengths = rng.integers(-1, 40, 200).tolist()
    batch = RequestBatch.of(keys, starts, lengths)
    expected = placer.get_many(batch)
    slab = bytearray(200 * 112)
    placed = placer.read_into(batch, memoryview(slab), threads=threads)
    np.testing.assert_array_equal(placed.statuses, expected.statuses)
    ok = expected.statuses == Status.OK
    np.testing.assert_array_equal(placed.sizes[ok], expected.sizes[ok])
    assert (placed.positions[ok] % 16 == 0).all()
    assert placed.used <= len(slab)
    spans = []
    for i in np.flatnonzero(ok).tolist():
        position, size = int(placed.positions[i]), int(placed.sizes[i])
        assert slab[position : position + size] == bytes(expected.values[i])
        assert position + size <= placed.used
        spans.append((position, position + size))
    spans = sorted(span for span in spans if span[0] < span[1])
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))


@pytest.mark.parametrize("room", [0, 15, 16, 47, 48, 63, 64, 1000])
def test_a_full_slab_says_what_is_needed(placer: Store, room: int):
    sizes = [10, 40, 0, 16, 200]
    keys = [f"k{i}" for i in range(len(sizes))]
    placer.set_many(keys, [bytes([i]) * size for i, size in enumerate(sizes)])
    slab = bytearray(b"\xee" * (room + 64))
    placed = placer.read_into(RequestBatch.of(keys), memoryview(slab)[:room])
    assert placed.used <= room
    assert slab[room:] == b"\xee" * 64
    for i, size in enumerate(sizes):
        assert placed.sizes[i] == size
        assert placed.statuses[i] in (Status.OK, Status.NO_SPACE)
        if placed.statuses[i] == Status.OK:
            at = int(placed.positions[i])
            assert slab[at : at + size] == bytes([i]) * size
    assert (placed.statuses == Status.NO_SPACE).any() == (room < 1000)
    assert (placed.statuses[0] == Status.OK) == (room >= 10)


def test_read_into_of_an_empty_batch(placer: Store):
    placed = placer.read_into(RequestBatch.of([]), memoryview(bytearray(16)))
    assert len(placed.statuses) == 0
    assert placed.used == 0


def test_read_into_checks_keys(placer: Store, tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"secret")
    placer.set("a", b"x")
    for key in ("../secret", str(tmp_path / "secret"), "a/../../secret"):
        with pytest.raises(InvalidKeyError, match=r"secret"):
            placer.read_into(RequestBatch.of(["a", key]), memoryview(bytearray(64)))


def test_read_into_through_the_read_only_view(placer: Store):
    placer.set("a", b"value")
    slab = bytearray(16)
    placed = read_only_view(placer).read_into(RequestBatch.of(["a"]), memoryview(slab), threads=2)
    assert placed.sizes.tolist() == [5]
    assert slab[:5] == b"value"
