"""Two texts that users of Zarr learn from, run as they are written.

1. The snippets of a text are one session: later ones use the names of earlier ones.
2. ``import zarr`` gives cuzarr. Files appear in a temporary directory.
3. What a text prints is compared where it holds values: arrays, shapes, lists, attributes, trees
   and rows of ``info``; of a repr the path, the shape and the data type.

The texts are no part of the project: ``CUZARR_TEST_SEEDS`` names their folder.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr

FOLDER = Path(
    os.environ.get("CUZARR_TEST_SEEDS")
    or Path(__file__).resolve().parents[2].parent / "shared" / "seeds"
)
TUTORIAL = FOLDER / "000_5f08aa7a61204aea.txt"  # of zarr-python 2
NOTES = FOLDER / "004_14dfbb870e781280.txt"  # of zarr-python 3, in Markdown

# Source -> reason. A source that is not in the text any more fails the test.
EXCEPTIONS = {
    "all(z.oindex[[0, 2], :] == z[[0, 2], :])": "wrong in the text: all() of a 2-d array is "
    "ambiguous to NumPy",
    "blosc.list_compressors()": "numcodecs is built without snappy nowadays",
    "import bsddb3": "a package that is not maintained any more",
    "store = zarr.DBMStore('data/example.bdb', open=bsddb3.btopen)": "needs bsddb3",
    "store = zarr.LMDBStore('data/example.lmdb')": "a store that cuzarr does not have: pass a "
    "MutableMapping",
    "store = zarr.SQLiteStore('data/example.sqldb')": "a store that cuzarr does not have: pass a "
    "MutableMapping",
}
AFTER_MISSING_STORE = 4  # statements that use the store of an exception
SIGNATURES = ("zarr.array(data=None", "require_group(name: str")  # for reading, not for running

# Rows of info that do not depend on who wrote the chunks.
INFO_ROWS = {
    "Name", "Data type", "Shape", "Chunk shape", "Order", "Read-only", "Compressor", "Filters",
    "No. bytes", "Chunks initialized", "No. members", "No. arrays", "No. groups", "Arrays",
    "Groups",
}  # fmt: skip

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the texts are not on this machine")


@pytest.fixture
def as_zarr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in sys.modules if name == "zarr" or name.startswith("zarr.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "zarr", cuzarr)
    monkeypatch.setitem(sys.modules, "zarr.storage", cuzarr.storage)
    monkeypatch.chdir(tmp_path)
    before = cuzarr.storage.default_compressor
    with cuzarr.config.set({"device": "cpu"}):
        yield
    cuzarr.storage.default_compressor = before


@pytest.mark.slow
def test_tutorial(as_zarr: None) -> None:
    compared = 0
    unused = set(EXCEPTIONS)
    skip = 0
    names: dict[str, Any] = {}
    with cuzarr.config.set({"default_zarr_format": 2}):
        for source, printed in sessions(TUTORIAL.read_text(encoding="utf-8")):
            if source in EXCEPTIONS:
                unused.discard(source)
                skip = AFTER_MISSING_STORE if "Store(" in source else 0
            elif skip:
                skip -= 1
            else:
                value = run(source, names)
                if source.endswith(".info"):  # which counted chunks in zarr-python 2
                    value = run(f"{source}_complete()", names)
                compared += matches(value, printed, source)
    assert not unused
    assert compared >= 60


def test_notes(as_zarr: None) -> None:
    # What the text leaves to the reader: a store to open, an archive, two stores to copy between.
    cuzarr.create_array("path/to/file", name="meta/episode_ends", data=np.arange(3))
    with cuzarr.ZipStore("my_data.zip", mode="w") as archive:
        cuzarr.create_array(archive, name="array", data=np.arange(3))
    names: dict[str, Any] = {
        "source": cuzarr.MemoryStore(), "dest": cuzarr.MemoryStore(), "sys": sys,
        "ZipStore": cuzarr.ZipStore,
    }  # fmt: skip
    compared = 0
    said = io.StringIO()
    for source, printed in notes(NOTES.read_text(encoding="utf-8")):
        if source.startswith(SIGNATURES):
            continue
        with contextlib.redirect_stdout(said):
            value = run(source, names)
        shown = said.getvalue() if source.startswith("print(") else value
        compared += matches(shown, printed, source)
        if printed or not source.startswith("print("):
            said = io.StringIO()
    names["store"].close()
    assert compared >= 14
    assert np.array_equal(names["array1_loaded"][:10, :10], np.ones((10, 10)))
    assert sorted(names["root"].keys()) == ["foo", "meta"]
    # The listing of files that the text shows.
    top = Path("data/group.zarr")
    found = {path.parent.relative_to(top) for path in top.rglob("zarr.json")}
    listed = ("foo", "foo/bar", "foo/bar/baz", "meta", "meta/episode_ends")
    assert found == {Path("."), *map(Path, listed)}
    assert zipfile.is_zipfile("data.zip")


def run(source: str, names: dict[str, Any]) -> Any:
    """Run one statement; return the value of an expression."""
    tree = ast.parse(source)
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
        return eval(compile(source, source, "eval"), names)
    exec(compile(source, source, "exec"), names)
    return names.get(assigned(tree))


def assigned(tree: ast.Module) -> str:
    """Return the name that a statement assigns to: the texts show what it holds below it."""
    last = tree.body[-1] if tree.body else None
    target = last.targets[0] if isinstance(last, ast.Assign) else None
    return target.id if isinstance(target, ast.Name) else ""


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """Yield (source, printed) of the prompts in a text."""
    source: list[str] = []
    printed: list[str] = []
    for line in [*text.splitlines(), ">>> "]:
        if line.startswith(">>>"):
            if source:
                yield "\n".join(source).strip(), "\n".join(printed)
            source, printed = [line[4:]], []
        elif line.startswith("...") and source and not printed:
            source.append(line[4:])
        elif source and not line.strip():
            printed.append("\0")  # what comes after an empty line is prose
        elif source and "\0" not in printed:
            printed.append(line)


def notes(text: str) -> Iterator[tuple[str, str]]:
    """Yield (source, printed) of the statements in the Python blocks of a text."""
    for block in re.findall(r"```py\n(.*?)```", text, re.DOTALL):
        lines = block.splitlines()
        if block.startswith(SIGNATURES):
            yield block, ""
            continue
        body = ast.parse(block).body
        ends = [statement.lineno - 1 for statement in body[1:]] + [len(lines)]
        for statement, end in zip(body, ends, strict=True):
            after = takewhile(lambda line: line[:1] == "#", lines[statement.end_lineno : end])
            printed = "\n".join(line[2:] for line in after)
            yield ast.get_source_segment(block, statement) or "", printed


def matches(value: Any, printed: str, source: str) -> bool:
    """Compare a value with what the text prints; return whether there was something to compare."""
    printed = printed.partition("\0")[0].strip("\n")
    if not printed or printed.startswith("TODO"):
        return False
    if printed.lstrip().startswith("array("):
        same_array(np.asarray(value), printed)
    elif isinstance(value, cuzarr.Array | cuzarr.Group) or re.match("<(Group|Array) ", printed):
        same_nodes(value if isinstance(value, str) else [value], printed)
    elif "└" in printed:
        # zarr-python 2 indents by one more, and the first text left the root out.
        wanted = textwrap.dedent(printed.removeprefix("/\n")).splitlines()
        assert str(value).strip().splitlines()[-len(wanted) - 1 :] == ["/", *wanted]
    elif " : " in printed:
        same_info(value, printed)
    elif isinstance(value, str) and source.startswith("print("):
        assert value.split() == printed.split()
    elif re.match(r"[\[(']", printed):
        assert value == ast.literal_eval(printed), source
    elif re.match(r"\w+\(", printed):  # a codec
        assert "".join(repr(value).split()) == "".join(printed.split()) or same_codec(
            value, printed
        )
    else:
        return False
    return True


def same_array(found: np.ndarray[Any, Any], printed: str) -> None:
    """Compare an array with its repr, of which rows in the middle may be left out."""
    if "..." not in printed:
        wanted = eval(printed, {**vars(np)})
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype
        return
    assert rows(repr(found)) == rows(printed)
    assert re.findall(r"dtype=\w+", repr(found)) == re.findall(r"dtype=\w+", printed)


def rows(text: str) -> list[list[str]]:
    """Return the numbers of each line of an array's repr, without the line that is dots."""
    lines = re.split(r"\],\s*(?:shape|dtype)=", text)[0].splitlines()
    return [row for row in (re.findall(r"\d+|\.\.\.", line) for line in lines) if row != ["..."]]


def same_nodes(values: Any, printed: str) -> None:
    """Compare nodes with ``<zarr.core.Array '/foo' (2,) int32>`` or ``<Array x://.../foo ...>``."""
    shown = re.findall(r"<[^>]*>", values if isinstance(values, str) else repr(values))
    for text, wanted in zip(shown, re.findall(r"<[^>]*>", printed), strict=True):
        old = re.fullmatch(r"<zarr\.\w+\.(\w+)(?: '(.*?)')?(?: (\(.*\)) (\w+))?>", wanted)
        if old:
            kind, path, shape, dtype = old.groups()
            path = (path or "").rstrip("/")
        else:
            kind, path = re.match(r"<(\w+) \w+://[^/> ]*([^> ]*)", wanted).groups()
            shape, dtype = (
                re.findall(rf"{name}=(.*?)(?: dtype|>)", wanted) for name in ("shape", "dtype")
            )
            shape, dtype = "".join(shape), "".join(dtype)
        assert text.startswith(f"<{kind} ")
        assert (path or "").split("/group.zarr")[-1] in text
        assert not shape or f"shape={shape} dtype={dtype}>" in text


def same_info(value: Any, printed: str) -> None:
    """Compare rows of a report."""
    rows = dict(value.rows)
    compared = 0
    wanted: dict[str, str] = {}
    last = ""
    for line in printed.splitlines():
        label, _, text = line.partition(" : ")
        label = label.strip().replace("Filter [0]", "Filters") or last
        wanted[label] = f"{wanted.get(label, '')} {text.strip()}".replace("= ", "=").strip()
        last = label
    for label, text in wanted.items():
        if label in INFO_ROWS and label in rows:
            assert rows[label] == text, label
            compared += 1
    assert compared >= 5


def same_codec(value: Any, printed: str) -> bool:
    """Compare a codec with its repr of another release, where the order of keys may differ."""
    return sorted(re.findall(r"[\w.]+", repr(value))) == sorted(re.findall(r"[\w.]+", printed))
