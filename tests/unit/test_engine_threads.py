"""Threads, forked children and the thread pool of the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import native
from cuzarr.codecs.chain import CodecChain
from cuzarr.engine import pool as pools
from cuzarr.engine.pool import pool, threads
from cuzarr.errors import StoreError
from tests.unit.test_engine import DATA, KeyByKey, TroubleStore, array, small_waves


def test_many_threads_on_one_array() -> None:
    """Readers and writers of different chunks do not disturb each other."""
    for options in ({}, {"chunks": (1, 2), "shards": (2, 20)}, {"zarr_format": 2}):
        z = cuzarr.zeros((40, 20), dtype="i8", **{"chunks": (2, 5), "device": "cpu"} | options)  # type: ignore[arg-type, operator]
        errors: list[str] = []

        def work(row: int, z: cuzarr.Array = z, errors: list[str] = errors) -> None:
            rows = slice(2 * row, 2 * row + 2)
            for turn in range(1, 6):
                z[rows] = turn * 1000 + row
                if not (z[rows] == turn * 1000 + row).all():
                    errors.append(f"row {row}, turn {turn}")
                z.vindex[[2 * row], [turn]] = -turn
                if z[2 * row, turn] != -turn:
                    errors.append(f"point of row {row}, turn {turn}")

        with ThreadPoolExecutor(8) as workers:
            list(workers.map(work, range(20)))
        assert errors == []
        expected = np.repeat(5000 + np.arange(20), 2)[:, None] + np.zeros(20, int)
        expected[::2, 5] = -5
        np.testing.assert_array_equal(z[...], expected)


def test_a_forked_child_has_its_own_threads() -> None:
    z = array(chunks=(1, 2))
    with small_waves():
        np.testing.assert_array_equal(z[...], DATA)  # the parent's pool runs
        readable, writable = os.pipe()
        with warnings.catch_warnings():  # Python 3.12 warns of forks with threads: the point here
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:  # no assertion leaves the child
            try:
                same = bool((z[...] == DATA).all())
                z[...] = 5
                same &= bool((z[...] == 5).all())
                os.write(writable, b"1" if same else b"0")
            finally:
                os._exit(0)
        os.close(writable)
        with os.fdopen(readable, "rb") as answer:
            found = answer.read()
        os.waitpid(child, 0)
        assert found == b"1"
        np.testing.assert_array_equal(z[...], DATA)


def test_a_child_forked_while_codecs_are_looked_for_finds_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native.calls, "_available", None)
    with native.calls._lock:  # another thread is in its first read or write
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            signal.alarm(30)  # ends a child that waits for ever
            try:
                os._exit(0 if "raw" in native.codecs_available() else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
    assert status == 0


def run_script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in an interpreter of its own."""
    script = f"import atexit, threading, time\nimport numpy as np\nimport cuzarr\n{text}"
    return subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("work", ["z[...] = value", "z[...]"])
def test_the_process_may_end_while_another_thread_reads_or_writes(
    work: str, tmp_path: Path
) -> None:
    """The interpreter ends a daemon thread that wants its lock: not in the middle of a call."""
    found = run_script(
        f"""
import sys
value = np.random.default_rng(0).random((256, 128, 128))
z = cuzarr.create_array(sys.argv[1], data=value, chunks=(16, 16, 16), device="cpu",
    compressors=[{{"name": "zstd", "configuration": {{"level": 3}}}}])
cuzarr.config.set({{"host.threads": 2}})
def work():
    while True:
        {work}
kept = [[i] for i in range(2_000_000)]  # the end takes a while
for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.5)
""",
        tmp_path / "a",
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_arrays_can_be_written_and_read_at_exit(tmp_path: Path) -> None:
    found = run_script(
        """
import sys
value = np.arange(4000)
z = cuzarr.create_array(sys.argv[1], data=value, chunks=(10,), device="cpu",
    compressors=[{"name": "gzip", "configuration": {"level": 1}}])
def last():
    z[5:-5] = value[10:]
    print((z[5:-5] == value[10:]).all())
atexit.register(last)
""",
        tmp_path / "a",
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "True\n", "")


def test_a_pool_that_was_shut_down_runs_tasks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = pools._Pool(1)
    ended.shutdown()
    assert ended.submit(threading.get_ident).result() == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        ended.submit(divmod, 1, 0).result()

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    with pytest.raises(RuntimeError, match="start new thread"):  # it may be in the queue already
        pools._Pool(1).submit(threading.get_ident)


def test_the_pool_follows_the_configuration() -> None:
    with cuzarr.config.set({"host.threads": 3}):
        assert threads() == 3
        assert pool() is pool()
        three = pool()
    with cuzarr.config.set({"host.threads": None}):
        assert threads() == len(os.sched_getaffinity(0))
    with cuzarr.config.set({"host.threads": 1}):
        assert pool() is not three
    for wrong in (0, -1, True, "two", 1.5):
        with (
            cuzarr.config.set({"host.threads": wrong}),
            pytest.raises(ValueError, match="host.threads must be a positive integer or None"),
        ):
            threads()


# The report


def test_a_forked_child_forgets_the_pools_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_pools", {})
    before, lock = pool(), pools._state["lock"]
    pools._after_fork()
    assert pools._state["lock"] is not lock
    assert pool() is not before
    before.shutdown()
    pool().shutdown()


@pytest.mark.parametrize("verb", ["read", "write"])
def test_nothing_runs_on_after_the_error_is_seen(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cuzarr.host.read_pass._SMALL_BYTES", 0)
    store = TroubleStore()
    z = array(store, compressors=[{"name": "gzip"}])
    started, raised = threading.Event(), threading.Event()
    late: list[str] = []

    def slow(what: str, keys: list[str]) -> None:
        if keys == ["c/0/0"]:
            started.wait(5)  # for another task
            raise StoreError("first chunk")
        started.set()
        time.sleep(0.02)
        if raised.is_set():
            late.append(keys[0])

    store.before = slow
    options = {"host.threads": 3, "host.run_bytes": 1}
    with cuzarr.config.set(options), pytest.raises(StoreError, match="first chunk"):
        if verb == "read":
            z[...]
        else:
            z[1:-1, 1:-1] = 1  # chunks at the edges are read first
    raised.set()
    time.sleep(0.1)
    assert late == []


def test_a_store_may_read_arrays_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of the pool that starts a read of its own does not wait for the full pool."""
    monkeypatch.setattr("cuzarr.host.read_pass._SMALL_BYTES", 0)
    below = array(compressors=[{"name": "gzip"}])

    class Nested(KeyByKey):
        parallel_safe = True

        def get(self, key: str) -> bytes | None:
            if key.startswith("c/"):
                np.testing.assert_array_equal(below[...], DATA)
                below[0] = DATA[0]
            return super().get(key)

    z = array(Nested(), compressors=[{"name": "gzip"}])
    with cuzarr.config.set({"host.threads": 2, "host.run_bytes": 1}):
        np.testing.assert_array_equal(z[...], DATA)
        z[1:-1, 1:-1] = 5
    assert (z[1:-1, 1:-1] == 5).all()


def test_the_executor_of_a_task_hands_on_errors() -> None:
    def inner() -> bool:
        task = pool().submit(int, "no number")
        return task.done() and isinstance(task.exception(), ValueError)

    assert pool().submit(inner).result()


def test_tasks_are_cancelled_before_any_is_waited_for() -> None:
    running, release, ran = threading.Event(), threading.Event(), []

    def first() -> None:
        running.set()
        release.wait(5)

    with ThreadPoolExecutor(1) as executor:
        tasks = [executor.submit(first), *(executor.submit(ran.append, i) for i in range(9))]
        running.wait(5)
        threading.Timer(0.05, release.set).start()
        pools.abandon(tasks)
    assert ran == []
    assert [task.cancelled() for task in tasks] == [False] + [True] * 9


def test_an_aborted_write_ends_the_tasks_of_all_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two waves are under way when a chunk of the first fails."""
    done: list[str] = []

    def slow(self: Any, key: str, data: Any) -> bytes:
        if key == "c/0/0/0":
            raise RuntimeError("cannot encode")
        time.sleep(0.05)
        done.append(key)
        return b""

    monkeypatch.setattr("cuzarr.host.write_pass._WAVE_BYTES", 1)
    monkeypatch.setattr(CodecChain, "encode", slow)
    with cuzarr.config.set({"host.threads": 2}):
        z = cuzarr.zeros((64, 512, 512), chunks=(1, 512, 512), dtype="f4", device="cpu")
        with pytest.raises(RuntimeError, match="cannot encode"):
            z[...] = 1
        ended = len(done)
        time.sleep(0.2)
    assert ended == len(done) < 16
