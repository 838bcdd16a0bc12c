"""Ctrl-C ends a large read: the native code looks for signals between chunks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import cuzarr
from cuzarr import native

READING = """
import signal, sys
import cuzarr

signal.signal(signal.SIGINT, signal.default_int_handler)
z = cuzarr.open_array(sys.argv[1], "r")
print("reading", flush=True)
while True:
    z[...]
"""


def test_ctrl_c_ends_a_large_read(tmp_path: Path) -> None:
    z = cuzarr.create_array(tmp_path / "a", shape=(64, 2**20), dtype="u1", chunks=(1, 2**20))
    z[...] = np.random.default_rng(0).integers(0, 9, z.shape, np.uint8)
    child = subprocess.Popen(
        [sys.executable, "-c", READING, str(tmp_path / "a")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "reading\n"
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=60)
    finally:
        child.kill()
    assert error.rstrip().endswith("KeyboardInterrupt")
    assert child.returncode == -signal.SIGINT


class Stop(Exception):
    """Raised by a signal handler."""


@pytest.mark.skipif(not native.HAVE_NATIVE, reason="the native extension is not built")
def test_a_handler_that_raises_ends_one_native_call(tmp_path: Path) -> None:
    # One call: its chunks are far more than what is decoded between two looks for signals.
    n = 200_000
    z = cuzarr.create_array(tmp_path / "a", shape=(n * 64,), dtype="u1", chunks=64)
    z[:64] = 1
    os.remove(tmp_path / "a" / "c" / "0")
    done = []

    def stop(*_: object) -> None:
        done.append(1)
        raise Stop

    before = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        with pytest.raises(Stop):
            while True:
                z[...]
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)
    assert done == [1]
    np.testing.assert_array_equal(z[:200], np.zeros(200, "u1"))
