"""Part "safety": damaged chunks on the real device, and memory checks by compute-sanitizer.

1. ``tests/gpu/fuzz_checked.py`` feeds damaged chunks to the device in child processes, and counts
   what comes of them.
2. ``compute-sanitizer``, where it is installed, runs a sample of the contract tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import Any

from benchmarks.gpu.part import Part
from benchmarks.machine import ROOT

SAMPLE = [
    "tests/contract/test_cuda_in_place.py", "tests/contract/test_cuda_decode_containers.py",
    "tests/contract/test_cuda_write.py",
]  # fmt: skip
_ERRORS = re.compile(r"ERROR SUMMARY: (\d+) error")


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    given = arguments if arguments is not None else sys.argv[1:]
    part = Part("safety", [*given, "--size=1MiB"])
    part.document["errors"], part.document["missing"] = [], {}
    if part.device.dry_run:
        part.document["missing"]["fuzz"] = "a dry run has no device to lose"
        return part.finish()
    fuzz = [sys.executable, "-m", "tests.gpu.fuzz_checked", str(int(part.left * 0.6)), "1"]
    part.document["fuzz"] = _run(part, "fuzz", fuzz, part.left * 0.6 + 30)
    part.write()
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        part.document["missing"]["sanitizer"] = "compute-sanitizer is not installed"
        return part.finish()
    tests = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sanitizer, "--tool", "memcheck", *tests, "--device", "cuda", *SAMPLE]
    found = _run(part, "sanitizer", command, part.left)
    part.document["sanitizer"] = found
    count = _ERRORS.search(found["output"])
    if count is not None and count[1] != "0":
        part.document["errors"].append(f"compute-sanitizer: {count[0]}")
    return part.finish()


def _run(part: Part, name: str, command: list[str], seconds: float) -> dict[str, Any]:
    """Run a command; what it printed last and its exit status."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=max(1, seconds), check=False
        )
    except subprocess.TimeoutExpired as error:
        text = error.stdout if isinstance(error.stdout, str) else (error.stdout or b"").decode()
        part.document["missing"][name] = f"ended after {seconds:.0f} s"
        return {"exit_status": None, "output": text[-6000:]}
    output = (done.stdout + done.stderr)[-6000:]
    print(output)
    if done.returncode:
        part.document["errors"].append(f"{name}: exit status {done.returncode}")
    return {"exit_status": done.returncode, "output": output}


if __name__ == "__main__":
    sys.exit(main())
