"""Mutation tests: change the code in one place, and see whether a test fails.

    PYTHONPATH=src python tools/mutation.py [options] FILE.py ... -- TEST ...

1. ``mutants.py`` lists every small change of the files.
2. One run of the unchanged code notes which tests touch which lines, and how long they take.
3. For each mutant a forked child imports the changed module in place of the file, and runs the
   tests that touch the line, the fastest first, until one fails. A child that exceeds its time is
   killed, and so is its mutant.
4. What no test notices has survived: it is printed, and written to ``--out`` as a line of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import pickle
import random
import signal
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest
from mutants import Mutant, mutants

# What the tests import besides cuzarr: once, before the children are forked.
PRELOAD = ("numpy", "numcodecs", "_pytest.python", "ml_dtypes", "zarr")


class _Replace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import one file from a code object."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        parts = Path(mutant.file).with_suffix("").parts
        self.name = ".".join(parts[parts.index("cuzarr") :]).removesuffix(".__init__")

    def find_spec(self, fullname: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        where = str(Path(self.mutant.file).resolve())
        package = [str(Path(where).parent)] if where.endswith("__init__.py") else None
        return importlib.util.spec_from_file_location(
            fullname, where, loader=self, submodule_search_locations=package
        )

    def exec_module(self, module: Any) -> None:
        exec(self.mutant.code, module.__dict__)


class _Picked:
    """Plugin: run the tests of a list, in its order; all where it is None."""

    def __init__(self, names: list[str] | None, examples: int) -> None:
        self.names, self.examples = names, examples
        self.times: dict[str, float] = {}
        self.touched: dict[str, defaultdict[int, set[str]]] = {}
        self.test = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.names is not None:
            order = {name: i for i, name in enumerate(self.names)}
            kept = [item for item in items if item.nodeid in order]
            items[:] = sorted(kept, key=lambda item: order[item.nodeid])
        for item in items:
            function = getattr(item, "obj", None)
            function = getattr(function, "__func__", function)
            old = getattr(function, "_hypothesis_internal_use_settings", None)
            if old is not None:
                function._hypothesis_internal_use_settings = hypothesis.settings(
                    old,
                    max_examples=min(old.max_examples, self.examples),
                    database=None,
                    derandomize=True,
                    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
                )

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.test = nodeid
        self.times[nodeid] = time.perf_counter()

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        """Note the lines of the files that the running test executes."""
        lines = self.touched.get(frame.f_code.co_filename)
        if lines is None:
            return None
        if event == "line" and self.test:
            lines[frame.f_lineno].add(self.test)
        return self.trace

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.times[nodeid] = time.perf_counter() - self.times[nodeid]


def _run_tests(tests: list[str], plugin: _Picked) -> int:
    arguments = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "--no-header"]
    ignored = ["-p", "no:cov", "-p", "no:xdist", "-p", "no:benchmark", "-W", "default"]
    return int(pytest.main([*arguments, *ignored, "--device", "host", *tests], plugins=[plugin]))


def _child(work: Callable[[], int], log: Path) -> int:
    """Fork, and return the process id of a child that works and writes to a log."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.setpgid(0, 0)
        code = work()
    finally:
        os._exit(code)


def _baseline(
    files: list[str], tests: list[str], examples: int, folder: Path
) -> tuple[dict[str, float], dict[str, dict[int, set[str]]]]:
    """Return the seconds of each test, and the tests of each line of each file."""
    answer = folder / "baseline"

    def work() -> int:
        plugin = _Picked(None, examples)
        plugin.touched = {str(Path(file).resolve()): defaultdict(set) for file in files}
        threading.settrace(plugin.trace)
        sys.settrace(plugin.trace)
        code = _run_tests(tests, plugin)
        sys.settrace(None)
        lines = {file: dict(plugin.touched[str(Path(file).resolve())]) for file in files}
        answer.write_bytes(pickle.dumps((plugin.times, lines)))
        return code

    log = folder / "baseline.log"
    code = os.waitstatus_to_exitcode(os.waitpid(_child(work, log), 0)[1])
    if code:
        sys.exit(f"the tests fail on the unchanged code:\n{log.read_text()[-3000:]}")
    times, lines = pickle.loads(answer.read_bytes())
    return times, lines


def _judge(
    chosen: list[Mutant], options: argparse.Namespace, folder: Path
) -> Iterator[tuple[Mutant, str]]:
    """Yield each mutant with ``killed``, ``timeout``, ``survived`` or ``untested``."""
    times, lines = _baseline(options.files, options.tests, options.examples, folder)
    everything = sorted(times, key=times.__getitem__)
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = chosen[::-1]
    end = time.monotonic() + options.seconds
    while waiting or running:
        if time.monotonic() > end:
            waiting.clear()
        while waiting and len(running) < options.jobs:
            mutant = waiting.pop()
            names = everything
            if mutant.inside and not options.all:
                by_line = lines[mutant.file]
                touching = {*by_line.get(mutant.line, ()), *by_line.get(mutant.statement, ())}
                names = [n for n in everything if n in touching]
            if not names:
                yield mutant, "untested"
                continue

            def work(mutant: Mutant = mutant, names: list[str] = names) -> int:
                sys.meta_path.insert(0, _Replace(mutant))
                files = sorted({name.split("::")[0] for name in names})
                return _run_tests(files, _Picked(names, options.examples))

            limit = time.monotonic() + 15 + 4 * sum(times[n] for n in names)
            running[_child(work, folder / f"{len(waiting)}.log")] = mutant, limit
        time.sleep(0.01)
        for pid, (mutant, limit) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            verdict = "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
            if not done and time.monotonic() > limit:
                os.killpg(pid, signal.SIGKILL)
                done, verdict = os.waitpid(pid, 0)[0], "timeout"
            if done:
                del running[pid]
                yield mutant, verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="+", help="sources, then the tests behind --")
    parser.add_argument("--most", type=int, default=None, help="mutants, drawn by chance")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the mutants")
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no mutant after")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--examples", type=int, default=30, help="at most, of a property test")
    parser.add_argument("--all", action="store_true", help="run all tests for every mutant")
    parser.add_argument("--only", help="numbers of mutants, separated by commas")
    parser.add_argument("--out", type=Path, default=None)
    arguments = sys.argv[1:]
    cut = arguments.index("--")
    options = parser.parse_args(arguments[:cut])
    options.tests = arguments[cut + 1 :]
    for name in PRELOAD:
        with suppress(ImportError):
            importlib.import_module(name)

    chosen = [m for file in options.files for m in mutants(file)]
    total = len(chosen)
    random.Random(options.seed).shuffle(chosen)
    if options.only:
        numbers = set(map(int, options.only.split(",")))
        chosen = [m for m in chosen if m.number in numbers]
    chosen = chosen[: options.most]
    counts = dict.fromkeys(("killed", "timeout", "survived", "untested"), 0)
    with tempfile.TemporaryDirectory() as folder:
        for mutant, verdict in _judge(chosen, options, Path(folder)):
            counts[verdict] += 1
            if verdict in ("survived", "untested"):
                place = f"{mutant.file}:{mutant.line} #{mutant.number}"
                print(verdict, place, mutant.change, flush=True)
                if options.out:
                    with options.out.open("a") as out:
                        row = {"verdict": verdict, **mutant._asdict()}
                        del row["code"]
                        out.write(json.dumps(row) + "\n")
    print(
        f"{sum(counts.values())} of {total} mutants:",
        ", ".join(f"{n} {v}" for v, n in counts.items()),
    )


if __name__ == "__main__":
    main()
