"""Boxes, and many arrays in one call, against NumPy: any layout, device, wave size."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cuzarr
from cuzarr.plan import boxes as boxes_module
from cuzarr.plan import plan_boxes
from cuzarr.storage import LocalStore, MemoryStore
from tests.contract.wave_cases import stacked
from tests.property.test_arrays import (
    Case,
    Operation,
    calls_of,
    cases,
    fill_of,
    operation,
    same_bits,
    selected,
    values,
)

_names = itertools.count()


def written(case: Case, folder: Path, device: str) -> tuple[Any, Any]:
    """Return a stored array, of which some parts were written, and NumPy's."""
    store = LocalStore(str(folder / str(next(_names)))) if case.on_files else MemoryStore()
    z = cuzarr.create_array(
        store, shape=case.shape, dtype=case.dtype, device=device, **case.options
    )
    expected = np.full(case.shape, fill_of(case), case.dtype)
    for op in case.operations[:2]:
        where = selected(np.arange(expected.size).reshape(case.shape), op)
        value = values(case, op, where.shape)
        getattr(z, f"set_{op.kind}_selection")(op.key, value)
        expected.reshape(-1)[where.reshape(-1)] = np.broadcast_to(value, where.shape).reshape(-1)
    return z, expected


@st.composite
def windows(draw: Any, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    box = tuple(draw(st.integers(0, n)) for n in shape)
    n = draw(st.integers(0, 12))
    columns = [
        draw(hnp.arrays(np.int64, n, elements=st.integers(0, size - length)))
        for size, length in zip(shape, box, strict=True)
    ]
    return (np.stack(columns, axis=1) if columns else np.empty((n, 0), np.int64)), box


@pytest.mark.parametrize("calls", ["native", "twin"])
def test_boxes_are_numpy_windows(
    device: str, calls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @settings(
        max_examples=200 if device == "cpu" else 40,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(cases(), st.data(), st.sampled_from([1, 3, 2**16]))
    def check(case: Case, data: Any, most_rows: int) -> None:
        monkeypatch.setattr(boxes_module, "_MOST_ROWS", most_rows)
        z, expected = written(case, tmp_path, device)
        starts, box = data.draw(windows(case.shape))
        wanted = stacked(expected, starts, box)
        with cuzarr.config.set({"host.wave_chunks": case.wave_chunks, "host.run_bytes": 200}):
            same_bits(z.boxes(starts, box), wanted)
            out = z.boxes(starts[::-1], box)
            assert z.boxes(starts, box, out=out) is out
            same_bits(out, wanted)

    with calls_of(calls):
        check()


def test_many_arrays_are_read_as_each_alone(device: str, tmp_path: Path) -> None:
    @settings(
        max_examples=100 if device == "cpu" else 20,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(cases(), cases(), st.data())
    def check(case: Case, other: Case, data: Any) -> None:
        root = cuzarr.create_group(MemoryStore(), device=device)
        pairs = []
        for i, kind in enumerate((case, case, other, case)):
            z = root.create_array(f"a{i}", shape=kind.shape, dtype=kind.dtype, **kind.options)
            expected = values(kind, Operation("basic", ..., True, i, False), kind.shape)
            z[...] = expected
            pairs.append((z, expected))
        key = data.draw(operation(case.shape).filter(lambda op: op.kind == "basic")).key
        same = [(z, e) for z, e in pairs if e.shape == case.shape]
        with cuzarr.config.set({"host.wave_chunks": case.wave_chunks}):
            found = cuzarr.read([(z, key) for z, _ in same])
        for result, (_, expected) in zip(found, same, strict=True):
            same_bits(result, np.asarray(expected[key]))
        found = cuzarr.read([(z, ...) for z, _ in pairs])
        for result, (_, expected) in zip(found, pairs, strict=True):
            same_bits(result, expected)

    check()


@given(st.data())
def test_every_row_of_a_plan_lies_in_its_chunk_and_box(data: Any) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 2**61), max_size=3)))
    box = tuple(data.draw(st.integers(1, min(n, 40))) for n in shape)
    chunk = tuple(data.draw(st.integers(7, 2**61)) for _ in shape)
    n = data.draw(st.integers(1, 9))
    starts = np.array(
        [[data.draw(st.integers(0, a - b)) for a, b in zip(shape, box, strict=True)]
         for _ in range(n)], np.int64,
    ).reshape(n, len(shape))  # fmt: skip
    plan = plan_boxes(starts, box, shape, chunk)
    rows = plan.rows(0, plan.n_chunks)
    counted = np.zeros(n, object)
    for i in range(len(rows)):
        for r in rows.of(i):
            number = int(rows.out[r, 0])
            assert (rows.start[r, 0], rows.count[r, 0]) == (0, 1)
            corner = [c * k for c, k in zip(rows.coords[i].tolist(), chunk, strict=True)]
            inside, outside = rows.start[r, 1:].tolist(), rows.out[r, 1:].tolist()
            first = [c + e for c, e in zip(corner, inside, strict=True)]
            assert first == [a + e for a, e in zip(starts[number].tolist(), outside, strict=True)]
            assert all(
                s >= 0 and c > 0 and s + c <= k
                for s, c, k in zip(rows.start[r, 1:], rows.count[r, 1:], chunk, strict=True)
            )
            counted[number] += int(np.prod(rows.count[r, 1:]))
    assert (counted == int(np.prod(box))).all()
    assert len(np.unique(rows.coords, axis=0)) == len(rows) if shape else len(rows) == 1


def test_a_huge_plan_has_bounded_waves() -> None:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 900, (500_000, 1))
    plan = plan_boxes(starts, 8, (908,), (908,))
    seen = first = 0
    while first < plan.n_chunks:
        last = plan.wave_end(first, 65536)
        rows = plan.rows(first, last)
        assert len(rows.start) <= 2**18
        seen += len(rows.start)
        first = last
    assert seen == 500_000
