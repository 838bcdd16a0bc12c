"""Mutation tests: change the code in one place, and see whether a test fails.

    PYTHONPATH=src python tools/mutation.py [options] FILE.py ... -- TEST ...

1. :func:`mutants` lists every small change of a source file: another operator, a number one larger,
   a condition negated, a statement or a keyword left out, a value replaced by None.
2. One run of the unchanged code notes which tests touch which lines, and how long they take.
3. For each mutant a forked child imports the changed module in place of the file, and runs the
   tests that touch the line, the fastest first, until one fails. A child that exceeds its time is
   killed, and so is its mutant.
4. What no test notices has survived: it is printed, and written to ``--out`` as a line of JSON.

Texts with a blank in them are messages, and are left alone; so are docstrings, annotations,
decorators and classes' fields.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import pickle
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

PRELOAD = ("numpy", "numcodecs", "hypothesis", "pytest", "_pytest.python", "ml_dtypes", "zarr")
COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change of a file."""

    file: str
    number: int
    line: int
    statement: int  #: the line where its statement starts
    inside: bool  #: of a function: what runs at import is every test's
    change: str
    code: CodeType


def mutants(path: str) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    source = Path(path).read_text()
    sites = list(_sites(ast.parse(source), inside=False))
    number = statement = 0
    for at, (node, inside) in enumerate(sites):
        if isinstance(node, ast.stmt):
            statement = node.lineno
        for change in _changes(node):
            tree = ast.parse(source)
            target = list(_sites(tree, inside=False))[at][0]
            before = _text(node)
            after = _text(change(target))
            ast.fix_missing_locations(tree)
            code = compile(tree, path, "exec")
            yield Mutant(path, number, node.lineno, statement, inside, f"{before}  ->  {after}", code)
            number += 1


def _sites(node: ast.AST, *, inside: bool) -> Iterator[tuple[Any, bool]]:
    """Yield what may be changed, in the order of the text."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_left_alone(node, child):
                continue
            if isinstance(child, (ast.expr, ast.stmt)):
                yield child, inside
            yield from _sites(child, inside=inside or isinstance(child, ast.FunctionDef))


def _is_left_alone(parent: ast.AST, child: ast.AST) -> bool:
    if isinstance(child, (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    if isinstance(child, ast.Assign):
        return ast.unparse(child.targets[0]) == "__all__"
    if isinstance(child, ast.If):
        return "TYPE_CHECKING" in ast.unparse(child.test)
    called = child.func if isinstance(child, ast.Call) else None
    name = getattr(called, "id", getattr(called, "attr", ""))
    return name in ("cast", "TypeVar", "overload")


def _changes(node: Any) -> Iterator[Callable[[Any], ast.AST]]:
    """Yield the functions that change a node in place, and return what it became."""
    match node:
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                yield _set("ops", i, COMPARE[type(operator)]())
                flipped = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
                if type(operator) in flipped:
                    yield _set("ops", i, flipped[type(operator)]())
        case ast.BinOp() | ast.AugAssign() if type(node.op) in ARITHMETIC:
            yield _set("op", None, ARITHMETIC[type(node.op)]())
        case ast.BoolOp():
            yield _set("op", None, ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for i in range(len(node.values)):
                yield _drop("values", i)
        case ast.UnaryOp():
            yield _set("op", None, ast.UAdd() if isinstance(node.op, ast.USub) else None)
        case ast.IfExp() | ast.If() | ast.While():
            yield lambda n: _assign(n, "test", ast.UnaryOp(ast.Not(), n.test))
        case ast.Constant(value=bool()):
            yield lambda n: _assign(n, "value", not n.value)
        case ast.Constant(value=int() | float()):
            yield lambda n: _assign(n, "value", n.value + 1)
        case ast.Constant(value=str()) if " " not in node.value:
            yield lambda n: _assign(n, "value", f"{n.value}X")
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield lambda n: _assign(n, "value", ast.Constant(None))
        case ast.Break():
            yield lambda n: _become(n, ast.Continue())
        case ast.Continue():
            yield lambda n: _become(n, ast.Break())
        case ast.Expr(value=ast.Call() | ast.Yield()):
            yield lambda n: _become(n, ast.Pass())
        case ast.Assign() if not _is_none(node.value):
            yield lambda n: _assign(n, "value", ast.Constant(None))
        case ast.Call():
            for i, keyword in enumerate(node.keywords):
                if keyword.arg is not None:
                    yield _drop("keywords", i)
        case ast.Slice():
            for bound in ("lower", "upper", "step"):
                if getattr(node, bound) is not None:
                    yield _set(bound, None, None)


def _set(field: str, i: int | None, value: Any) -> Callable[[Any], ast.AST]:
    def change(node: Any) -> ast.AST:
        if field == "op" and value is None:  # "not x" and "~x" become x
            return _become(node, node.operand)
        if i is None:
            setattr(node, field, value)
        else:
            getattr(node, field)[i] = value
        return node  # type: ignore[no-any-return]

    return change


def _drop(field: str, i: int) -> Callable[[Any], ast.AST]:
    def change(node: Any) -> ast.AST:
        values = getattr(node, field)
        del values[i]
        return _become(node, values[0]) if field == "values" and len(values) == 1 else node

    return change


def _assign(node: Any, field: str, value: Any) -> ast.AST:
    setattr(node, field, value)
    return node  # type: ignore[no-any-return]


def _become(node: Any, other: ast.AST) -> ast.AST:
    kept = {"lineno": node.lineno, "col_offset": node.col_offset}
    node.__class__ = other.__class__
    node.__dict__ = {**copy.copy(other.__dict__), **kept}
    return node  # type: ignore[no-any-return]


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split("\n")[0]


class _Replace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import one file from a code object."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        parts = Path(mutant.file).with_suffix("").parts
        self.name = ".".join(parts[parts.index("cuzarr") :]).removesuffix(".__init__")

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
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
        self.coverage: Any = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        import hypothesis  # noqa: PLC0415  (after the fork)

        if self.names is not None:
            order = {name: i for i, name in enumerate(self.names)}
            items[:] = sorted((i for i in items if i.nodeid in order), key=lambda i: order[i.nodeid])
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
        if self.coverage is not None:
            self.coverage.switch_context(nodeid)
        self.times[nodeid] = time.perf_counter()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.times[nodeid] = time.perf_counter() - self.times[nodeid]


def _run_tests(tests: list[str], plugin: _Picked) -> int:
    import pytest  # noqa: PLC0415  (after the options)

    arguments = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "--no-header"]
    ignored = ["-p", "no:cov", "-p", "no:xdist", "-p", "no:benchmark", "-W", "default"]
    return int(pytest.main([*arguments, *ignored, *tests], plugins=[plugin]))


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
) -> tuple[dict[str, float], dict[str, dict[int, list[str]]]]:
    """Return the seconds of each test, and the tests of each line of each file."""
    answer = folder / "baseline"

    def work() -> int:
        import coverage  # noqa: PLC0415

        plugin = _Picked(None, examples)
        plugin.coverage = coverage.Coverage(
            data_file=None, branch=False, include=files, config_file=False
        )
        plugin.coverage.start()
        code = _run_tests(tests, plugin)
        plugin.coverage.stop()
        data = plugin.coverage.get_data()
        lines = {f: data.contexts_by_lineno(str(Path(f).resolve())) for f in files}
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
    while waiting or running:
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
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn by chance")
    parser.add_argument("--seed", type=int, default=0)
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
        importlib.import_module(name)

    chosen = [m for file in options.files for m in mutants(file)]
    total = len(chosen)
    chosen = [m for m in chosen if random.Random(f"{options.seed}{m.change}{m.number}").random() < options.share]
    if options.only:
        numbers = set(map(int, options.only.split(",")))
        chosen = [m for m in chosen if m.number in numbers]
    counts = dict.fromkeys(("killed", "timeout", "survived", "untested"), 0)
    with tempfile.TemporaryDirectory() as folder:
        for mutant, verdict in _judge(chosen, options, Path(folder)):
            counts[verdict] += 1
            if verdict in ("survived", "untested"):
                print(f"{verdict} {mutant.file}:{mutant.line} #{mutant.number} {mutant.change}", flush=True)
                if options.out:
                    with options.out.open("a") as out:
                        row = {"verdict": verdict, **mutant._asdict()}
                        del row["code"]
                        out.write(json.dumps(row) + "\n")
    print(f"{len(chosen)} of {total} mutants:", ", ".join(f"{n} {v}" for v, n in counts.items()))


if __name__ == "__main__":
    main()
