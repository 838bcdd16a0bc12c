"""``make bench``: run the cases for every library and report.

1. Make the stores (or find those of an earlier run) and draw the random selections.
2. Per case, run all libraries in turn in this one process, page cache warm; check every result
   against the field itself, outside the timing.
3. Print one table, write ``bench.json`` and ``bench.png``.

The exit status is not zero when any library gave a wrong value or cuzarr failed.

Usage: ``python -m benchmarks.run [--size 256MiB] [--repeats 5] [--cases a,b] [--peers a,b]``
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases, data, measure, memory, objects, report
from benchmarks.cases import CASES, LAYOUTS, Case, Inputs
from benchmarks.objects import OBJECT_CASES, OBJECT_LAYOUTS
from benchmarks.peers import Peer, all_peers, usable

OUT = Path(__file__).resolve().parent / "out"
ALL_CASES = CASES | OBJECT_CASES
ALL_LAYOUTS = LAYOUTS | OBJECT_LAYOUTS


@dataclass(slots=True)
class Bench:
    """One run: the data and the libraries that take part."""

    size: data.Extent
    tile: data.Float32
    inputs: Inputs
    folder: Path
    peers: dict[str, Peer]

    def store(self, case: Case) -> Path:
        """Return the path of what a case reads, or writes anew."""
        if case.name in OBJECT_CASES:
            return objects.ensure(self.folder, OBJECT_LAYOUTS[case.layout])
        return data.ensure(self.folder, LAYOUTS[case.layout], self.size, self.tile)

    def trial(self, case: Case, peer: Peer) -> measure.Trial:
        """Return what ``peer`` has to do in ``case``."""
        layout = ALL_LAYOUTS[case.layout]
        path = self.store(case)
        scope = peer.scope
        if case.name in OBJECT_CASES:
            return self._object_trial(case, peer, path)
        check = partial(self._check, case.operation)
        if case.operation == "open":
            run = partial(open_often, peer, path, layout)
            return measure.Trial(peer.name, lambda: None, lambda _: run(), check, scope)
        if case.operation == "write":
            return self._write_trial(case, peer, path)
        verb = getattr(peer, case.operation)
        return measure.Trial(
            peer.name,
            partial(peer.open, path, layout),
            lambda array: verb(array, self.inputs),
            check,
            scope,
        )

    def _object_trial(self, case: Case, peer: Peer, path: Path) -> measure.Trial:
        layout, operation = OBJECT_LAYOUTS[case.layout], case.operation
        check = partial(objects.check, operation)
        if operation == "members":
            listing = partial(peer.members, path)
            return measure.Trial(peer.name, lambda: None, lambda _: listing(), check, peer.scope)
        if operation == "strings":
            opening = partial(peer.open, path, layout)
            read = partial(peer.full, inputs=self.inputs)
            return measure.Trial(peer.name, opening, read, check, peer.scope)
        target, rows = self.folder / f"appended-by-{peer.name}", objects.blocks()

        def prepare() -> Any:
            copy_metadata(path, target)
            return peer.open(target, layout, write=True)

        def check_stored(_: Any) -> None:
            reader = self._other_reader(peer)
            with reader.scope():
                check(reader.full(reader.open(target, layout), self.inputs))

        return measure.Trial(
            peer.name,
            prepare,
            lambda array: peer.append(array, rows),
            check_stored,
            peer.scope,
            partial(data.discard, target),
        )

    def _write_trial(self, case: Case, peer: Peer, source: Path) -> measure.Trial:
        layout = LAYOUTS[case.layout]
        target = self.folder / f"written-by-{peer.name}"
        value = np.tile(self.tile, (self.size.tiles, 1)) if self.size.tiles > 1 else self.tile

        def prepare() -> Any:
            copy_metadata(source, target)
            return peer.open(target, layout, write=True)

        def check(result: Any) -> None:
            reader = self._other_reader(peer)
            with reader.scope():
                self._check("full", reader.full(reader.open(target, layout), self.inputs))

        return measure.Trial(
            peer.name,
            prepare,
            lambda array: peer.write(array, value),
            check,
            peer.scope,
            partial(data.discard, target),
        )

    def _other_reader(self, writer: Peer) -> Peer:
        """Return another library than the one that wrote, the fast one if there is a choice."""
        known = all_peers()
        for name in ("tensorstore", "zarr"):
            if name != writer.name and known[name].missing() is None:
                return known[name]
        return known["zarr"]

    def _check(self, operation: str, result: Any) -> None:
        cases.check(operation, result, self.tile, self.size, self.inputs)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit status."""
    options = _parse(arguments)
    size = data.extent(options.size)
    bench = Bench(
        size, data.field(size.rows, size.columns), Inputs.draw(size.shape), options.data, {}
    )
    missing = {}
    for peer, reason in usable(options.peers):
        if reason is None:
            bench.peers[peer.name] = peer
        else:
            missing[peer.name] = reason
    document = report.head(size, missing, {n: p.versions() for n, p in bench.peers.items()})
    for case in options.cases:
        _progress(f"{case.name}: {case.title}")
        peak = options.memory == "all" or (options.memory == "some" and case.name in memory.CASES)
        document["cases"].append(run_case(bench, case, options.repeats, peak=peak))
    options.out.mkdir(parents=True, exist_ok=True)
    print(report.table(document))
    report.write(document, options.out, plot=not options.no_plot)
    errors = report.errors(document)
    print("\n".join(errors), file=sys.stderr)
    return 1 if errors else 0


def run_case(bench: Bench, case: Case, repeats: int, *, peak: bool = False) -> dict[str, Any]:
    """Measure one case with every library; returns its part of the report."""
    layout = ALL_LAYOUTS[case.layout]
    reasons = {n: r for n, p in bench.peers.items() if (r := p.cannot(case, layout)) is not None}
    trials = [bench.trial(case, p) for n, p in bench.peers.items() if n not in reasons]
    outcomes = measure.interleave(trials, repeats)
    data.sweep(bench.folder)
    outcomes.update({n: measure.Outcome(n, reason=r) for n, r in reasons.items()})
    of_object = case.name in OBJECT_CASES
    nbytes = (
        objects.decoded_bytes(case.operation)
        if of_object
        else cases.result_bytes(case.operation, bench.size, bench.inputs)
    )
    part = report.case_part(
        case,
        nbytes,
        None if of_object else bench.size.nbytes,
        data.stored_bytes(bench.store(case)),
        {name: outcomes[name] for name in bench.peers},
    )
    if peak and not of_object and case.operation not in ("open", "write"):
        part["peak_limit_mib"] = memory.limit(nbytes)
        part["peak_mib"] = {
            trial.peer: memory.peak_of(case.name, trial.peer, bench.folder, bench.size)
            for trial in trials
        }
    return part


def open_often(peer: Peer, path: Path, layout: data.Layout) -> tuple[Any, Any]:
    array = None
    for _ in range(cases.OPENS):
        array = peer.open(path, layout)
    assert array is not None
    return array.shape, getattr(array.dtype, "numpy_dtype", array.dtype)


def copy_metadata(source: Path, target: Path) -> None:
    """Make ``target`` the array ``source`` without chunks: the same metadata for every writer."""
    data.discard(target)
    target.mkdir(parents=True)
    for name in (".zarray", ".zattrs", "zarr.json"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=data.parse_size, default="256MiB", help="of the array")
    parser.add_argument("--repeats", type=int, default=5, help="counted rounds per case")
    parser.add_argument("--cases", default=",".join(ALL_CASES), help="names, comma-separated")
    parser.add_argument("--peers", default=None, help="names, comma-separated (default: all)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    parser.add_argument("--data", type=Path, default=None, help="folder of the stores")
    parser.add_argument(
        "--memory",
        choices=("none", "some", "all"),
        default="some",
        help=f"cases whose peak memory is measured (some: {', '.join(memory.CASES)})",
    )
    parser.add_argument("--no-plot", action="store_true", help="leave out bench.png")
    options = parser.parse_args(arguments)
    unknown = set(options.cases.split(",")) - set(ALL_CASES)
    if unknown:
        parser.error(f"unknown cases {sorted(unknown)}; known: {', '.join(ALL_CASES)}")
    options.cases = [ALL_CASES[name] for name in options.cases.split(",")]
    options.peers = options.peers.split(",") if options.peers else None
    options.data = options.data or Path(tempfile.gettempdir()) / "cuzarr-bench"
    return options


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
