"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, and proof that these look."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run_emulation.sh")
STRAY = """
import numpy as np
from tests.emulation.driver import Driver
with Driver() as device:
    source, target = device.filled(64, 1), device.alloc({size})
    device.run("copy_segments", 1, device.table([source], np.uint64),
               device.table([target], np.uint64), device.table([64]), device.table([0, 1]), 1)
    device.get(target, {size})
print("no fault")
"""


@pytest.fixture
def sanitized():
    compiler = shutil.which("g++")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs g++ on Linux")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))}
    environment["PYTHON"] = sys.executable

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *arguments], capture_output=True, text=True, env=environment, check=False
        )

    return run


@pytest.mark.asan
@pytest.mark.slow
def test_kernels(sanitized) -> None:
    done = sanitized("-k", "not numpy_indexing")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.mark.asan
@pytest.mark.slow
def test_damaged_chunks(sanitized) -> None:
    done = sanitized("--fuzz", "1500", "7")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "no finding" in done.stdout


@pytest.mark.asan
@pytest.mark.slow
@pytest.mark.parametrize(("size", "good"), [(64, True), (63, False)])
def test_a_stray_store_is_found(sanitized, size: int, good: bool) -> None:
    done = sanitized("--code", STRAY.format(size=size))
    assert ("no fault" in done.stdout) == good, done.stderr[-4000:]
    assert ("AddressSanitizer" in done.stderr) != good
