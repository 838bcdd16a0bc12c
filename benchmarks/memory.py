"""Peak memory of one case for one library, in a process of its own.

The high-water mark of the resident set is reset after the array is open, so that the figure is what
the operation itself needs, its result included. Linux only.

A library may use 1.3 times the result, and :data:`BUDGET` for what it has in hand.

Usage: ``python -m benchmarks.memory CASE PEER DATA ROWS COLUMNS TILES`` prints MiB.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import data, peers
from benchmarks.cases import CASES as ALL
from benchmarks.cases import LAYOUTS, Inputs
from benchmarks.machine import ROOT

CASES = ("v3-zstd", "strided")  #: a full read and a strided one
BUDGET = 64 << 20  #: bytes of encoded and decoded chunks that a wave of the host holds


def limit(nbytes: int) -> float:
    """Return the MiB that reading a result of ``nbytes`` may need."""
    return round((1.3 * nbytes + BUDGET) / 2**20, 1)


def peak_of(case: str, peer: str, folder: Path, size: data.Extent) -> float | None:
    """Return MiB above what was resident before the operation, or None where it failed."""
    numbers = [str(n) for n in (size.rows, size.columns, size.tiles)]
    command = [sys.executable, "-m", "benchmarks.memory", case, peer, str(folder), *numbers]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def main(arguments: list[str]) -> None:
    """Run the operation once and print its peak in MiB."""
    case, peer = ALL[arguments[0]], peers.all_peers()[arguments[1]]
    size = data.Extent(*map(int, arguments[3:6]))
    layout = LAYOUTS[case.layout]
    path = Path(arguments[2]) / f"{size.rows}x{size.columns}x{size.tiles}" / layout.name
    inputs = Inputs.draw(size.shape)
    with peer.scope():
        array = peer.open(path, layout)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status_kib("VmRSS")
        result = getattr(peer, case.operation)(array, inputs)
        after = _status_kib("VmHWM")
        del result
    print(round((after - before) / 1024, 1))


def _status_kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
