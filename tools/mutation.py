"""Mutation tests: change the code in one place, and see whether a test fails.

    PYTHONPATH=src python tools/mutation.py [options] FILE.py ... -- TEST ...

1. ``mutants.py`` lists every small change of the files.
2. ``mutation_run.py`` runs the tests that touch the line against each.
3. What no test notices has survived: it is printed, and written to ``--out`` as a line of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import pickle
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from mutants import Mutant, mutants
from mutation_run import Server, Verdict, is_patchable, judge_import, run_pytest

# What the tests import besides cuzarr: once, before the children are forked.
PRELOAD = ("numpy", "numcodecs", "_pytest.python", "ml_dtypes", "zarr")


class Report:
    """Counts verdicts; prints and writes those that say something about the tests."""

    def __init__(self, out: Path | None) -> None:
        self.out = out
        self.counts = dict.fromkeys(("killed", "timeout", "survived", "untested"), 0)

    def add(self, verdict: Verdict) -> None:
        """Count a verdict; print and write it where no test failed."""
        mutant, word = verdict
        self.counts[word] += 1
        if word in ("survived", "untested"):
            print(word, f"{mutant.file}:{mutant.line} #{mutant.number}", mutant.change, flush=True)
            if self.out:
                row = {"verdict": word, **mutant._asdict()}
                del row["code"]
                with self.out.open("a") as out:
                    out.write(json.dumps(row) + "\n")


def preload() -> None:
    for name in PRELOAD:
        with suppress(ImportError):
            importlib.import_module(name)


def serve(server: Server, tests: list[str], answer: Path) -> None:
    """Judge the mutants of functions in a process of their own; this one imports no module."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            preload()
            code = run_pytest(tests, server)
            answer.write_bytes(pickle.dumps(server.times))
        finally:
            sys.stdout.flush()
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or not answer.exists():
        sys.exit("the mutants of functions could not be judged")
    server.times = pickle.loads(answer.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="+", help="sources, then the tests behind --")
    parser.add_argument("--most", type=int, default=None, help="mutants, drawn by chance")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the mutants")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no mutant after")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--examples", type=int, default=30, help="at most, of a property test")
    parser.add_argument("--all", action="store_true", help="run all tests for every mutant")
    parser.add_argument("--only", help="FILE:NUMBER of mutants, separated by commas")
    parser.add_argument("--again", type=Path, help="a file of --out: judge what it lists")
    parser.add_argument("--out", type=Path, default=None)
    arguments = sys.argv[1:]
    cut = arguments.index("--")
    options = parser.parse_args(arguments[:cut])
    tests = arguments[cut + 1 :]
    chosen = [m for file in options.files for m in mutants(file)]
    total = len(chosen)
    random.Random(options.seed).shuffle(chosen)
    wanted = _wanted(options)
    if wanted is not None:
        chosen = [m for m in chosen if (m.file, m.number) in wanted]
    chosen = chosen[: options.most]
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        verdicts = folder / "verdicts"
        verdicts.touch()
        report = Report(options.out)
        served = Report(options.out)

        def answer(verdict: Verdict) -> None:
            served.add(verdict)
            with verdicts.open("a") as out:
                out.write(f"{verdict.word}\n")

        sources = {file: Path(file).read_text() for file in options.files}
        patched = [m for m in chosen if is_patchable(m, sources[m.file])]
        numbers = {(m.file, m.number) for m in patched}
        server = Server(
            patched, options.files, options.examples, options.jobs, end,
            folder, options.all, answer,
        )  # fmt: skip
        serve(server, tests, folder / "times")
        for word in verdicts.read_text().split():
            report.counts[word] += 1
        outside: list[Mutant] = [m for m in chosen if (m.file, m.number) not in numbers]
        for verdict in judge_import(outside, server, tests, preload):
            report.add(verdict)
    counts = report.counts
    print(
        f"{sum(counts.values())} of {total} mutants:",
        ", ".join(f"{n} {word}" for word, n in counts.items()),
    )


def _wanted(options: argparse.Namespace) -> set[tuple[str, int]] | None:
    if options.again:
        rows = map(json.loads, options.again.read_text().splitlines())
        return {(row["file"], row["number"]) for row in rows}
    if options.only:
        parts = (part.rpartition(":") for part in options.only.split(","))
        return {(file, int(number)) for file, _, number in parts}
    return None


if __name__ == "__main__":
    main()
