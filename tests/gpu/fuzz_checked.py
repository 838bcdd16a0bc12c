"""Feed damaged chunks to nvCOMP on a real device, in child processes, and count what comes of them.

nvCOMP defines what it does with a damaged stream for LZ4 alone. ``device_decode="checked"`` gives
it only streams whose headers, sizes and stored checksums hold; what is left may come back as other
bytes, or as a fault of the device that ends the process's use of it. This says how often.

1. Children run the damage of ``tests/asan/fuzz_device.py`` with seeds of their own, each until it
   has its share or loses the device; then the next one begins.
2. A chunk that the host reads must be read, with the same bytes; one that it refuses should be
   refused: where it is not, that is counted as "not noticed".

Usage: ``fuzz_checked.py [SECONDS] [SEED] [CHILDREN AT A TIME]``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

CHILD_READS = 60  #: arrays of 24 chunks
UNNOTICED = "not defined by nvCOMP"


class Unknown:
    """The real nvCOMP does not say which streams it does not define."""

    def __init__(self) -> None:
        self._asked = 0

    @property
    def undefined(self) -> int:
        """Another number each time."""
        self._asked += 1
        return self._asked


def child(seed: int, until: float) -> int:
    """Run one child; prints a line of JSON per array."""
    from cuzarr.errors import DeviceError
    from tests.asan.fuzz_device import CASES, Case, check
    from tests.devices import use_device

    rng = np.random.default_rng(seed)
    cases = [Case(name, rng) for name in CASES]
    with use_device("cuda") as device:
        for _ in range(CHILD_READS):
            if time.time() > until:
                break
            case = cases[int(rng.integers(len(cases)))]
            count = case.spoil(rng)
            seen: Counter[str] = Counter()
            try:
                seen.update(check(case, device, Unknown(), rng.random() < 0.2))
            except DeviceError as error:
                print(json.dumps([case.name, count, {**seen, "device lost": 1}, str(error)]))
                return 0
            print(json.dumps([case.name, count, seen, ""]), flush=True)
    return 0


def run(seed: int, until: float) -> list[Any]:
    """Start one child; returns its lines, and one more where it died."""
    command = [sys.executable, "-m", "tests.gpu.fuzz_checked", "--child", str(seed), str(until)]
    limit = max(1.0, until - time.time()) + 20
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        return [["?", 0, {"hung": 1}, str(error)]]
    lines: list[Any] = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "["]
    if done.returncode:
        ended = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        finding = "AssertionError" in done.stderr
        lines.append(["?", 0, {"finding" if finding else "died": 1}, f"seed {seed}: {ended[0]}"])
    return lines


def main() -> int:
    """Run; exit status 1 where the bytes of a good chunk were wrong."""
    if sys.argv[1:2] == ["--child"]:
        return child(int(sys.argv[2]), float(sys.argv[3]))
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    until = time.time() + seconds
    table: dict[str, Counter[str]] = {}
    causes: Counter[str] = Counter()
    total = children = 0

    def keep_running(worker: int) -> list[list[Any]]:
        found = []
        for number in range(1000):
            if time.time() >= until:
                break
            found.append(run(seed + 1000 * worker + number, until))
        return found

    with ThreadPoolExecutor(workers) as pool:
        for runs in pool.map(keep_running, range(workers)):
            children += len(runs)
            for name, count, seen, cause in (line for lines in runs for line in lines):
                table.setdefault(name, Counter()).update(seen)
                total += count
                causes.update([cause] if cause else [])
    everything = sum(table.values(), Counter())
    for name, row in sorted(table.items()):
        shown = ", ".join(
            f"{k.replace(UNNOTICED, 'not noticed')} {n}" for k, n in sorted(row.items())
        )
        print(f"{name:24} {shown}")
    for cause, times in causes.most_common(12):
        print(f"  {times} times: {cause[:300]}")
    print(f"{total} damaged objects, {children} children, seed {seed}: {dict(everything)}")
    return int(bool(everything["finding"]))


if __name__ == "__main__":
    sys.exit(main())
