"""Every small change of a source file, for ``tools/mutation.py``.

1. :func:`mutants` walks through the expressions and statements of a file.
2. :func:`_changes` says how each may be changed: another operator, a number one larger, a letter
   before a text, a condition negated, a statement, bound or keyword left out, a value replaced by
   None. A text that is searched for a letter loses its last one.
3. Texts with a blank in them are messages, and are left alone; so are docstrings, annotations,
   decorators, errors raised, names of types, and lists of names.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
ORDER = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
KEPT = ("cast", "TypeVar", "overload")


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
            yield Mutant(
                path, number, node.lineno, statement, inside, f"{before}  ->  {after}", code
            )
            number += 1


def _sites(node: ast.AST, *, inside: bool) -> Iterator[tuple[Any, bool]]:
    """Yield what may be changed, in the order of the text."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if field == "keywords" and child.arg == "strict":
                continue  # of zip: a check of the code itself
            if not isinstance(child, ast.AST) or _is_left_alone(child):
                continue
            if isinstance(child, (ast.expr, ast.stmt)):
                if field == "comparators" and isinstance(node.ops[-1], (ast.In, ast.NotIn)):
                    child.searched = True
                yield child, inside
            # Defaults run where the function is defined, its body where it is called.
            default = isinstance(node, ast.FunctionDef) and field == "args"
            below = isinstance(child, ast.FunctionDef) or (inside and not default)
            yield from _sites(child, inside=below)


def _is_left_alone(child: ast.AST) -> bool:
    if isinstance(child, (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    if isinstance(child, ast.Assign):
        return ast.unparse(child.targets[0]) == "__all__"
    if isinstance(child, ast.AnnAssign):
        return ast.unparse(child.annotation) == "TypeAlias"
    if isinstance(child, ast.If):
        return "TYPE_CHECKING" in ast.unparse(child.test)
    called = child.func if isinstance(child, ast.Call) else None
    name = getattr(called, "id", getattr(called, "attr", ""))
    return name in KEPT


def _changes(node: Any) -> Iterator[Callable[[Any], ast.AST]]:  # noqa: C901  (a table)
    """Yield the functions that change a node in place, and return what it became."""
    match node:
        case ast.Compare():
            for i, operator in enumerate(node.ops):
                yield _set("ops", i, COMPARE[type(operator)]())
                if type(operator) in ORDER:
                    yield _set("ops", i, ORDER[type(operator)]())
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
            searched = getattr(node, "searched", False)
            yield lambda n: _assign(n, "value", n.value[:-1] if searched else f"X{n.value}")
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
                if keyword.arg not in (None, "strict"):
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
    places = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    kept = {name: getattr(node, name) for name in places}
    node.__class__ = other.__class__
    node.__dict__ = {**copy.copy(other.__dict__), **kept}
    return node  # type: ignore[no-any-return]


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split("\n")[0]
