"""The functions below ``native.calls``: both sides refuse columns that do not fit together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuzarr import native
from cuzarr.native import twin_files, twin_wave
from cuzarr.native.calls import Calls
from cuzarr.native.tables import CODECS, DecodeStatus
from tests.contract.native_cases import both, bytes_column
from tests.contract.test_native_decode import zstd_frame

RAW = CODECS.index("raw")


def wave(**changes: Any) -> tuple[Any, ...]:
    """Return the arguments of ``read_wave`` for one chunk of two int64, of which one is wanted."""
    out, chunk = np.zeros(2, np.int64), np.array([3, 4], np.int64)
    given: dict[str, Any] = {
        "source": (np.array([chunk.ctypes.data], np.uint64), np.array([16])),
        "present": np.ones(1, np.bool_),
        "nbytes": 16, "limit": 0, "shape": np.array([2]), "first": np.array([0, 1]),
        "rows": (
            np.array([[1]]), np.array([[1]]), np.array([[0]]), np.array([1]), (None,),
            np.array([8]), out.ctypes.data, np.array([8]), 8, 0, bytes(8),
        ),
        "statuses": np.zeros(1, np.int32),
        **changes,
    }  # fmt: skip
    order = (given["source"], given["present"], RAW, False, given["nbytes"], given["limit"])
    rest = (given["shape"], given["rows"], given["first"], 1, given["statuses"])
    return (*order, *rest), (out, chunk)


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"first": np.array([0, 1, 1])},
        {"first": np.array([1, 1])},
        {"first": np.array([0, -1])},
        {"nbytes": -1},
        {"limit": -1},
        {"present": np.ones(2, np.bool_)},
        {"shape": np.array([2, 2])},
    ],
    ids=str,
)
def test_waves_that_do_not_fit_together(calls: Calls, changes: dict[str, Any]) -> None:
    good, (out, _chunk) = wave()
    calls._do.read_wave(*good)
    assert out.tolist() == [4, 0]
    bad, (out, _chunk) = wave(**changes)
    with pytest.raises(ValueError, match=r".+"):
        calls._do.read_wave(*bad)
    assert out.tolist() == [0, 0]


def test_memory_that_the_twin_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(twin_wave.np, "empty", refuse)
    assert twin_wave._Room(16).address() == 0


@both
def test_streams_of_chunks_that_changed(calls: Calls) -> None:
    _kept, ptrs, sizes = bytes_column([b"no blosc"])
    column, raw = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    for first in (np.array([1, 1]), np.array([0, 2])):
        with pytest.raises(ValueError, match="first: not ascending"):
            calls._do.blosc_fill(ptrs, sizes, first, column, column, column, column, column, raw)
    with pytest.raises(ValueError, match="changed while they were parsed"):
        calls._do.blosc_fill(
            ptrs, sizes, np.array([0, 1]), column, column, column, column, column, raw
        )


@both
@pytest.mark.parametrize("short", [0, 1, 2])
def test_answers_of_another_length(calls: Calls, short: int, tmp_path: Path) -> None:
    one = np.zeros(1, np.int64)
    answers: list[Any] = [np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int32)]
    answers[short] = answers[short][:0]
    with pytest.raises(ValueError, match="expected 1 items, found 0"):
        calls._do.read_files(
            os.fsencode(tmp_path), b"k", np.array([0, 1]), one, one, bytearray(16), 1, *answers
        )


def test_a_file_that_shrinks_or_fails_while_the_twin_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "k").write_bytes(b"abcd")
    opened = twin_files._Opened(os.fsencode(tmp_path))
    opened.switch(b"k")
    target = memoryview(bytearray(8))
    assert opened.read(target, 0) == native.tables.READ_SHORT

    def fail(*_: Any) -> int:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(twin_files.os, "preadv", fail)
    assert opened.read(target, 0) == native.tables.READ_ERRNO + 5
    opened.close()


@both
def test_frames_whose_sizes_add_up_to_too_much(calls: Calls) -> None:
    size = (2**63 - 1).to_bytes(8, "little")
    huge = (0xFD2FB528).to_bytes(4, "little") + b"\xe0" + size + b"\x01\0\0"
    _kept, ptrs, sizes = bytes_column([zstd_frame(b"a") + huge, huge])
    assert calls.zstd_frames(ptrs, sizes).statuses.tolist()[0] == DecodeStatus.HEADER
