"""Part "tests": the project's own tests on the real device.

1. What takes a device, with ``--device cuda``.
2. The suite as it runs everywhere, on this machine and its libraries (not with
   ``CUZARR_GPU_TESTS=device``, where time is short).

A run that is cut by its time limit counts as failed: it did not show that the results are right.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.gpu.part import Part
from benchmarks.machine import ROOT
from benchmarks.peers import CORES

_COMMON = [
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:benchmark",
    "--tb=short",
    "-m",
    "not slow and not asan",
]
_ON_DEVICE = ["tests/gpu", "tests/contract", "tests/property"]
_WITH_DEVICE = "cuda or devices or gpu or property"  # of the names of the files
_NOT_HERE = [
    f"--ignore=tests/unit/test_{name}.py" for name in ("benchmarks", "gpu_report", "readme")
]
_PROCESSES = 8  # each has a context of its own on the device
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|deselected)")


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    part = Part("tests", [*(arguments if arguments is not None else sys.argv[1:]), "--size=1MiB"])
    device = "emulated" if part.device.dry_run else "cuda"
    part.out.mkdir(parents=True, exist_ok=True)
    log = part.out / "tests.log"
    log.write_text("")
    runs = {
        f"suite on {device}": ["--device", device, *_ON_DEVICE, "-k", _WITH_DEVICE],
        "suite": ["tests", *_NOT_HERE],
    }
    if os.environ.get("CUZARR_GPU_TESTS") == "device":
        del runs["suite"]
    if part.device.dry_run:  # the suite runs elsewhere: here only the plumbing is tried
        runs = {"one file": ["tests/unit/test_plan_item.py"]}
    part.document["runs"] = {}
    shares = (0.6, 1.0) if len(runs) == 2 else (1.0,)
    for share, (name, extra) in zip(shares, runs.items(), strict=True):
        found = _pytest(extra, part.left * share, log)
        part.document["runs"][name] = found
        if found["exit_status"] != 0:
            part.document.setdefault("errors", []).append(f"{name}: {found['summary']}")
    return part.finish()


def _pytest(extra: list[str], seconds: float, log: Path) -> dict[str, Any]:
    present = [a for a in extra if not a.startswith("tests") or (ROOT / a).exists()]
    several = ["-n", str(min(_PROCESSES, CORES))] if find_spec("xdist") else []
    command = [sys.executable, "-m", "pytest", *_COMMON, *several, *present]
    begun = time.monotonic()
    with log.open("a") as stream:
        stream.write(f"$ pytest {' '.join(present)}\n")
        stream.flush()
        start = log.stat().st_size
        try:
            status = subprocess.run(
                command, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, timeout=max(1, seconds),
                check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            status = 124
    text = log.read_bytes()[start:].decode(errors="replace")
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "no output")
    return {
        "exit_status": status,
        "seconds": round(time.monotonic() - begun, 1),
        "summary": f"timed out after {seconds:.0f} s" if status == 124 else last.strip("= "),
        "counts": {kind: int(number) for number, kind in _COUNT.findall(last)},
        "failures": [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))][
            :40
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
