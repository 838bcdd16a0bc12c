"""What the parts share: options, the time budget, the data, the document they write.

1. :class:`Part` is made from the command line; it knows the device, the array and the clock.
2. :meth:`Part.store` makes the stores at the size of the report.
3. :meth:`Part.measure` runs trials until their share of the budget is used up; what had no time is
   in the document with that reason.
4. :meth:`Part.finish` writes ``NAME.json`` and returns the exit status: not zero for wrong values.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases, data, machine, measure
from benchmarks.cases import ALL_LAYOUTS, CASES, LAYOUTS, Case, Inputs
from benchmarks.gpu.device import open_device

#: Reads in the order in which a short budget is spent.
READS = [c for c in CASES.values() if c.operation not in ("open", "write", "strided")]
MAX_ROUNDS = 5


class Part:
    """One part of the report.

    Attributes
    ----------
    size : Extent
    tile : (rows, columns) float32 NumPy array
    device_tile : the same on the device
    """

    def __init__(self, name: str, arguments: list[str] | None = None) -> None:
        options = _parse(name, arguments)
        self.name = name
        self.started = time.monotonic()
        self.budget: float = options.budget
        self.out: Path = options.out
        self.folder: Path = options.data
        self.device = open_device(dry_run=options.dry_run)
        self.size = data.extent(options.size)
        self.tile = data.field(self.size.rows, self.size.columns)
        self.device_tile = self.device.xp.asarray(self.tile)
        self.inputs = Inputs.draw(self.size.shape)
        self.document: dict[str, Any] = {
            "part": name,
            "dry_run": self.device.dry_run,
            "date": machine.now(),
            "commit": machine.commit(),
            "machine": machine.machine(),
            "device": self.device.describe(),
            "versions": machine.versions(),
            "array": {"shape": list(self.size.shape), "bytes": self.size.nbytes},
            "cases": [],
        }

    @property
    def left(self) -> float:
        """Seconds left of the budget."""
        return self.budget - (time.monotonic() - self.started)

    @property
    def no_time(self) -> str:
        """Why a case was not run."""
        return f"no time left of {self.budget:.0f} s"

    def store(self, case: Case) -> Path:
        """Return the stored array of a case."""
        return data.ensure(self.folder, ALL_LAYOUTS[case.layout], self.size, self.tile)

    def make_stores(self) -> None:
        """Make every store now, so that no case is charged for it."""
        for layout in LAYOUTS.values():
            data.ensure(self.folder, layout, self.size, self.tile)

    def check(self, operation: str, result: Any) -> None:
        """Compare a result with the field, where the result lives; it may be some leading tiles."""
        size = self.size
        if operation == "full":
            assert result.shape[0] % size.rows == 0, f"shape {result.shape}"
            size = data.Extent(size.rows, size.columns, result.shape[0] // size.rows)
        first = result[0] if isinstance(result, list) else result
        on_host = isinstance(first, np.ndarray | np.generic | tuple)
        cases.check(
            operation, result, self.tile if on_host else self.device_tile, size, self.inputs
        )

    def measure(
        self, case: Case, source: str, trials: Sequence[measure.Trial], seconds: float
    ) -> dict[str, Any]:
        """Run trials in turn and add their line to the document; returns the line."""
        line: dict[str, Any] = {
            "name": case.name,
            "source": source,
            "bytes": cases.result_bytes(case.operation, self.size, self.inputs),
            "results": {},
        }
        self.document["cases"].append(line)
        if self.left <= 0:
            outcomes = {t.peer: measure.Outcome(t.peer, reason=self.no_time) for t in trials}
        else:
            outcomes = measure.interleave(trials, MAX_ROUNDS, seconds=min(seconds, self.left))
        for name, outcome in outcomes.items():
            line["results"][name] = {
                "median_ms": outcome.median,
                "ms": [round(ms, 3) for ms in outcome.ms],
                "bytes": line["bytes"],
                "reason": outcome.reason,
                "error": outcome.error,
            }
        return line

    def write(self) -> None:
        """Write the document as it is."""
        self.document["seconds"] = round(time.monotonic() - self.started, 1)
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{self.name}.json"
        path.write_text(json.dumps(self.document, indent=1) + "\n")

    def finish(self) -> int:
        """Write the document; return 1 where a value was wrong or cuzarr failed."""
        data.sweep(self.folder)
        self.write()
        bad = [
            f"{line['name']} from {line['source']}: {name}: {result['error']}"
            for line in self.document["cases"]
            for name, result in line["results"].items()
            if result["error"]
            and (name.startswith("cuzarr") or result["error"].startswith("AssertionError"))
        ]
        bad += self.document.get("errors", [])
        for text in bad:
            print(f"{self.name}: WRONG: {text}")
        return 1 if bad else 0


def _parse(name: str, arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.gpu.{name}")
    parser.add_argument("--size", type=data.parse_size, default="4GiB")
    parser.add_argument("--budget", type=float, default=90, help="seconds")
    parser.add_argument("--out", type=Path, required=True, help="folder of the documents")
    parser.add_argument("--data", type=Path, default=None, help="folder of the stores")
    parser.add_argument("--dry-run", action="store_true", help="on the host; no GPU figures")
    options = parser.parse_args(arguments)
    chosen = os.environ.get("CUZARR_BENCH_DATA")
    options.data = options.data or Path(chosen or Path(tempfile.gettempdir()) / "cuzarr-bench")
    return options
