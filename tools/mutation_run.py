"""Run tests against one changed line, over and over, in forked children.

1. :class:`Server` is a plugin of pytest: once the tests are collected, it runs them on the
   unchanged code and notes which of them touch which lines, then judges the mutants of functions.
   A child is forked for each, gives the live functions their changed code (:func:`patch`), and
   runs the tests that touch the line, the fastest first, until one fails.
2. :func:`judge_import` is for what runs when a module is imported: its child imports the changed
   module in place of the file, and collects and runs all tests anew.
3. A child that exceeds its time is killed, and so is its mutant.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import hypothesis
import pytest
from mutants import Mutant

MEMORY = 32 * 2**30  #: address space of a child: a mutant may ask for any size


class Verdict(NamedTuple):
    """``killed``, ``timeout``, ``survived`` or ``untested``."""

    mutant: Mutant
    word: str


@dataclass(eq=False)
class Server:
    """Judge the mutants of functions in children of a process that has collected the tests.

    ``answers`` is where the verdicts go; ``times`` are the seconds of each test on the unchanged
    code, the fastest first.
    """

    mutants: list[Mutant]
    files: list[str]
    examples: int
    jobs: int
    end: float
    folder: Path
    every_test: bool
    answers: Callable[[Verdict], None]
    times: dict[str, float] = field(default_factory=dict)
    failed: bool = False

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Limit the examples of property tests."""
        limit_examples(items, self.examples)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note and print a failure."""
        if report.failed:
            print(f"\n{report.nodeid} failed: {report.longreprtext[-1000:]}", flush=True)
            self.failed = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Judge the mutants in place of running the tests."""
        items = {item.nodeid: item for item in session.items}
        self.times, lines = self._baseline(items)
        originals = {path: Path(path).read_text() for path in self.files}

        def start(mutant: Mutant) -> tuple[Callable[[], int], float] | None:
            by_line = lines[mutant.file]
            touching = {*by_line.get(mutant.line, ()), *by_line.get(mutant.statement, ())}
            names = [n for n in self.times if n in touching or self.every_test]
            if not names:
                return None

            def work() -> int:
                patch(mutant, originals[mutant.file])
                self._run([items[name] for name in names])
                return int(self.failed)

            return work, 10 + 5 * sum(self.times[n] for n in names)

        for verdict in in_children(self.mutants, start, self.jobs, self.end, self.folder):
            self.answers(verdict)
        return True

    def _run(self, items: list[Any]) -> None:
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return

    def _baseline(
        self, items: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, dict[int, set[str]]]]:
        """Return the seconds of each test, and the tests of each line of each file."""
        answer, log = self.folder / "baseline", self.folder / "baseline.log"

        def work() -> int:
            touched: dict[str, defaultdict[int, set[str]]] = {
                str(Path(file).resolve()): defaultdict(set) for file in self.files
            }
            running = ""

            def trace(frame: FrameType, event: str, _: Any) -> Any:
                found = touched.get(frame.f_code.co_filename)
                if found is None:
                    return None
                if event == "line":
                    found[frame.f_lineno].add(running)
                return trace

            threading.settrace(trace)
            times = {}
            ordered = list(items.values())
            for item, following in zip(ordered, [*ordered[1:], None], strict=True):
                running, begun = item.nodeid, time.perf_counter()
                sys.settrace(trace)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                sys.settrace(None)
                times[running] = time.perf_counter() - begun
            lines = {file: dict(touched[str(Path(file).resolve())]) for file in self.files}
            answer.write_bytes(pickle.dumps((times, lines)))
            return int(self.failed)

        if os.waitstatus_to_exitcode(os.waitpid(_child(work, log), 0)[1]):
            text = log.read_text()
            raise pytest.UsageError(f"the tests fail on the unchanged code:\n{text[-3000:]}")
        times, lines = pickle.loads(answer.read_bytes())
        return dict(sorted(times.items(), key=lambda entry: entry[1])), lines


def judge_import(
    chosen: list[Mutant], server: Server, tests: list[str], preload: Callable[[], None]
) -> Iterator[Verdict]:
    """Yield the verdicts about what runs at import; every test may touch it."""
    preload()
    limit = 60 + 5 * sum(server.times.values())

    class Order:
        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            limit_examples(items, server.examples)
            items.sort(key=lambda item: server.times.get(item.nodeid, 0))

    def start(mutant: Mutant) -> tuple[Callable[[], int], float]:
        def work() -> int:
            sys.meta_path.insert(0, _Replace(mutant))
            return run_pytest(tests, Order())

        return work, limit

    return in_children(chosen, start, server.jobs, server.end, server.folder)


def run_pytest(tests: list[str], plugin: object) -> int:
    """Run pytest on the host device with nothing that gets in the way of forked children."""
    arguments = ["-x", "-q", "-s", "--assert=plain", "-p", "no:cacheprovider", "--no-header"]
    ignored = ["-p", "no:cov", "-p", "no:xdist", "-p", "no:benchmark", "-W", "default"]
    return int(pytest.main([*arguments, *ignored, "--device", "host", *tests], plugins=[plugin]))


def limit_examples(items: Iterable[Any], most: int) -> None:
    """Let property tests try a few fixed examples."""
    for item in items:
        function = getattr(item, "obj", None)
        function = getattr(function, "__func__", function)
        old = getattr(function, "_hypothesis_internal_use_settings", None)
        if old is not None:
            function._hypothesis_internal_use_settings = hypothesis.settings(
                old,
                max_examples=min(old.max_examples, most),
                database=None,
                derandomize=True,
                phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
            )


def is_patchable(mutant: Mutant, source: str) -> bool:
    """Whether the change is inside of functions, and they keep what they take from outside."""
    changed = list(_changed(compile(source, mutant.file, "exec"), mutant.code))
    return mutant.inside and all(
        len(old.co_freevars) == len(new.co_freevars) for old, new in changed
    )


def patch(mutant: Mutant, source: str) -> None:
    """Give the live functions of a file the code that a mutant has changed.

    Raises
    ------
    RuntimeError
        No function has the code.
    """
    original = compile(source, mutant.file, "exec")
    changed = {
        _place(old): new for old, new in _changed(original, mutant.code) if old.co_name[0] != "<"
    }
    where, count = str(Path(mutant.file).resolve()), 0
    for function in gc.get_objects():
        if type(function) is FunctionType and function.__code__.co_filename == where:
            code = changed.get(_place(function.__code__))
            if code is not None and len(code.co_freevars) == len(function.__code__.co_freevars):
                function.__code__ = code
                count += 1
    if not count:
        raise RuntimeError(f"no live function of {mutant.file}:{mutant.line} to change")


def in_children(
    mutants: list[Mutant],
    start: Callable[[Mutant], tuple[Callable[[], int], float] | None],
    jobs: int,
    end: float,
    folder: Path,
) -> Iterator[Verdict]:
    """Yield verdicts as they come; ``start`` gives a child's work and its seconds, or None."""
    running: dict[int, tuple[Mutant, float, Path]] = {}
    waiting = mutants[::-1]
    while waiting or running:
        if time.monotonic() > end:
            waiting.clear()
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            begun = start(mutant)
            if begun is None:
                yield Verdict(mutant, "untested")
                continue
            log = folder / f"{len(waiting)}.log"
            running[_child(begun[0], log)] = mutant, time.monotonic() + begun[1], log
        time.sleep(0.002)
        for pid, (mutant, limit, log) in list(running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            word = "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
            if not done and time.monotonic() > limit:
                os.killpg(pid, signal.SIGKILL)
                done, word = os.waitpid(pid, 0)[0], "timeout"
            if done:
                del running[pid]
                if "no live function of" in (text := log.read_text(errors="replace")):
                    raise RuntimeError(text[-2000:])
                log.unlink()
                yield Verdict(mutant, word)


def _child(work: Callable[[], int], log: Path) -> int:
    """Fork, and return the process id of a child that works and writes to a log."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        code = work()
    except BaseException as error:
        print(error, flush=True)
    finally:
        os._exit(code)


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


def _changed(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Yield the code objects inside two others that differ, the outer ones too."""
    inside, beside = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (old, new))
    if [c.co_name for c in inside] != [c.co_name for c in beside]:
        return
    for before, after in zip(inside, beside, strict=True):
        if before != after:
            yield before, after
            yield from _changed(before, after)


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno
