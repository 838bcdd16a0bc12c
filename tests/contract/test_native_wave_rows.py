"""``read_wave`` with several rows of one chunk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cuzarr.native.calls import Calls
from cuzarr.native.tables import DECODED, DecodeStatus
from cuzarr.plan import plan_boxes
from tests.contract.native_cases import NATIVE, both
from tests.contract.wave_cases import (
    CODECS,
    Stored,
    all_rows,
    bits,
    random_values,
    read,
    stacked,
)

needs_native = pytest.mark.skipif(NATIVE is None, reason="the C extension was not built")


@both
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("crc32c", [False, True])
def test_rows_of_one_chunk(calls: Calls, codec: str, crc32c: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    stored = Stored(random_values(rng, (300, 200), "<f4"), (160, 150), codec, crc32c)
    stored.write(0, rng, blocksize=4096)
    starts = rng.integers(0, (260, 170), (40, 2))
    starts[0] = starts[7]
    rows = all_rows(plan_boxes(starts, (40, 30), (300, 200), (160, 150)))
    assert len(rows) == 4
    assert rows.first is not None
    assert rows.first[-1] == len(rows.start) > 40
    expected = stacked(stored.values, starts, (40, 30))
    kept, memory = stored.memory(rows)
    for source in (stored.files(tmp_path, rows), memory):
        out = np.zeros((40, 40, 30), "<f4")
        assert read(calls, source, stored.chunks(out), rows, out, threads=2) == [0] * 4
        assert bits(out) == bits(expected)
    few = rows.take(np.array([2, 0]))
    out[...] = 0
    assert read(calls, stored.files(tmp_path, few), stored.chunks(out), few, out) == [0] * 2
    assert not np.array_equal(out, expected)
    assert bits(out[out.all(axis=(1, 2))]) == bits(expected[out.all(axis=(1, 2))])
    del kept


@both
def test_a_bad_chunk_has_one_status(calls: Calls, tmp_path: Path) -> None:
    stored = Stored(np.arange(40.0), (10,), "zstd").write(0, np.random.default_rng(0))
    rows = all_rows(plan_boxes([[0], [5], [12], [8], [30]], 4, (40,), (10,)))
    source = stored.files(tmp_path, rows)
    (tmp_path / "c/0").write_bytes(b"not zstd")
    out = np.zeros((5, 4))
    assert read(calls, source, stored.chunks(out), rows, out) == [
        DECODED + DecodeStatus.HEADER, 0, 0,
    ]  # fmt: skip
    assert out[2].tolist() == [12, 13, 14, 15]
    assert out[4].tolist() == [30, 31, 32, 33]


@both
@pytest.mark.parametrize("first", [[0, 2], [0, 2, 1, 5], [1, 2, 3, 5], [0, 1, 2, 4]])
def test_wrong_rows_of_chunks(calls: Calls, first: list[int], tmp_path: Path) -> None:
    stored = Stored(np.arange(40.0), (10,)).write(0, np.random.default_rng(0))
    rows = all_rows(plan_boxes([[0], [5], [12], [8]], 4, (40,), (10,)))
    rows = replace(rows, first=np.array(first))
    with pytest.raises(ValueError, match="expected"):
        read(calls, stored.files(tmp_path, rows), stored.chunks(out := np.zeros((4, 4))), rows, out)
