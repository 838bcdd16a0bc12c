"""Random sequences of calls against a plain dict."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cuzarr.storage.base import RequestBatch, Status, reads_into
from tests.contract.store_cases import MAKERS

# Few names, so that calls meet; "d" and "f" never swap roles, which file systems do not allow.
KEYS = st.builds(
    lambda parents, name: "/".join((*parents, name)),
    st.lists(st.sampled_from(["d", "d.e", "dé"]), max_size=2),
    st.sampled_from(["f", "0.0", "f g", ".zarray"]),
)
PREFIXES = st.sampled_from(["", "d", "d/d", "d.e", "dé/d", "f", "d/f", "none"])
VALUES = st.binary(max_size=40)
RANGES = st.tuples(KEYS, st.integers(-45, 45), st.integers(-1, 45))


def expected_range(value: bytes | None, start: int, length: int) -> tuple[int, bytes | None]:
    if value is None:
        return Status.MISSING, None
    first = start if start >= 0 else len(value) + start
    last = len(value) if length == -1 else first + length
    if first < 0 or first > len(value) or last > len(value):
        return Status.SHORT, None
    return Status.OK, value[first:last]


class StoreMachine(RuleBasedStateMachine):
    name = "memory"

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = MAKERS[self.name](Path(self.folder.name))
        self.model: dict[str, bytes] = {}

    def teardown(self):
        self.store.close()
        self.folder.cleanup()

    @rule(items=st.dictionaries(KEYS, VALUES, max_size=4))
    def set_many(self, items):
        self.store.set_many(list(items), list(items.values()))
        self.model.update(items)

    @rule(keys=st.lists(KEYS, max_size=3))
    def delete(self, keys):
        self.store.delete(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(prefix=PREFIXES)
    def delete_dir(self, prefix):
        if prefix.endswith("f"):
            return  # whether a file is its own directory is not part of the contract
        self.store.delete_dir(prefix)
        self.model = {
            key: value for key, value in self.model.items() if not self.below(key, prefix)
        }

    @rule(
        requests=st.lists(RANGES, max_size=6), threads=st.integers(1, 3), room=st.integers(0, 300)
    )
    def read(self, requests, threads, room):
        keys = [key for key, _, _ in requests]
        batch = RequestBatch.of(keys, [r[1] for r in requests], [r[2] for r in requests])
        expected = [expected_range(self.model.get(k), a, n) for k, a, n in requests]
        got = self.store.get_many(batch)
        assert got.statuses.tolist() == [status for status, _ in expected]
        assert [None if v is None else bytes(v) for v in got.values] == [v for _, v in expected]
        assert got.sizes.tolist() == [-1 if v is None else len(v) for _, v in expected]
        if reads_into(self.store):
            slab = np.full(room, 0xEE, np.uint8)
            placed = self.store.read_into(batch, memoryview(slab), threads=threads)
            for i, (status, value) in enumerate(expected):
                if status != Status.OK:
                    assert placed.statuses[i] == status
                    continue
                assert placed.sizes[i] == len(value)
                if placed.statuses[i] == Status.OK:
                    at = int(placed.positions[i])
                    assert at % 16 == 0
                    assert slab[at : at + len(value)].tobytes() == value
                else:
                    assert placed.statuses[i] == Status.NO_SPACE

    @rule(key=KEYS)
    def one_key(self, key):
        assert self.store.get(key) == self.model.get(key)
        assert self.store.exists(key) == (key in self.model)
        assert self.store.size(key) == (len(self.model[key]) if key in self.model else None)

    @rule(prefix=PREFIXES)
    def list_prefix(self, prefix):
        below = [key for key in self.model if self.below(key, prefix)]
        assert sorted(self.store.list(prefix)) == sorted(below)
        skip = len(prefix) + 1 if prefix else 0
        assert self.store.list_dir(prefix) == sorted({key[skip:].split("/")[0] for key in below})

    @invariant()
    def lists_every_key(self):
        assert sorted(self.store.list()) == sorted(self.model)

    @staticmethod
    def below(key: str, prefix: str) -> bool:
        return not prefix or key.startswith(f"{prefix}/")


@pytest.mark.parametrize("name", MAKERS)
def test_any_sequence_of_calls(name: str):
    machine = type("Machine", (StoreMachine,), {"name": name})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
