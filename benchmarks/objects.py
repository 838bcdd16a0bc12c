"""Cases that are not about one big field: groups, appending, strings.

1. :data:`OBJECT_CASES` by name, on the stores of :data:`OBJECT_LAYOUTS`.
2. :func:`ensure` makes the store of a layout, written by zarr-python, or finds that of an earlier
   run.
3. :func:`check` compares a result with what was stored, outside the timing.
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.cases import Case
from benchmarks.data import Layout

VERSION = 1  #: raise it when the stores change
MEMBERS, APPENDS, WIDTH, STRINGS = 500, 1000, 256, 10_000

OBJECT_LAYOUTS = {
    layout.name: layout
    for zarr_format in (2, 3)
    for layout in (
        Layout(f"group-v{zarr_format}", zarr_format, 10, None, "none"),
        Layout(f"consolidated-v{zarr_format}", zarr_format, 10, None, "none"),
        Layout(f"append-v{zarr_format}", zarr_format, 100, None, "zstd"),
        Layout(f"strings-v{zarr_format}", zarr_format, 1000, None, "zstd"),
    )
}

#: What the operations of these cases do, in words.
OBJECT_OPERATIONS = {
    "members": f"the group opened, its {MEMBERS} arrays listed and opened",
    "append": f"{APPENDS} times one row of {WIDTH} float32, to an empty array",
    "strings": f"{STRINGS} strings of variable length",
}

OBJECT_CASES = {
    case.name: case
    for v in (2, 3)
    for case in (
        Case(f"list-v{v}", f"group-v{v}", "members", f"list {MEMBERS} v{v} arrays"),
        Case(
            f"list-v{v}-consolidated", f"consolidated-v{v}", "members",
            f"list {MEMBERS} v{v} arrays with consolidated metadata",
        ),
        Case(f"append-v{v}", f"append-v{v}", "append", f"append {APPENDS} times to a v{v} array"),
        Case(f"strings-v{v}", f"strings-v{v}", "strings", f"read {STRINGS} strings of v{v}"),
    )
}  # fmt: skip


def members() -> list[tuple[str, tuple[int, ...]]]:
    """Return names and shapes of the arrays of the group, sorted."""
    return [(f"a{k:03d}", (10, k + 1)) for k in range(MEMBERS)]


def strings(seed: int = 2) -> npt.NDArray[Any]:
    """Return (STRINGS,) objects: text of many lengths, some of it not ASCII."""
    rng = np.random.default_rng(seed)
    lengths, greek = rng.integers(0, 40, STRINGS), "αβγδεζηθικλμνξοπρστυφχψω" * 2
    return np.array([f"station {k} {greek[:n]}" for k, n in enumerate(lengths)], object)


def blocks() -> npt.NDArray[np.float32]:
    """Return (APPENDS, WIDTH) float32: what is appended, row by row."""
    return np.random.default_rng(3).normal(0, 1, (APPENDS, WIDTH)).round(2).astype(np.float32)


def ensure(folder: Path, layout: Layout) -> Path:
    """Return the path of a store, writing it unless an earlier run left it complete."""
    path = folder / "objects" / layout.name
    mark = path.with_suffix(".json")
    if mark.exists() and json.loads(mark.read_text()) == VERSION:
        return path
    shutil.rmtree(path, ignore_errors=True)
    mark.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):  # consolidated v3 metadata is no standard yet
        _write(path, layout)
    mark.write_text(json.dumps(VERSION))
    return path


def check(operation: str, result: Any) -> None:
    """Raise ``AssertionError`` unless ``result`` is exactly what was stored."""
    if operation == "members":
        assert sorted(result) == members(), f"{len(result)} members"
        return
    wanted = strings() if operation == "strings" else blocks()
    found = np.asarray(result)
    assert found.shape == wanted.shape, f"{operation}: shape {found.shape}"
    assert bool((found.astype(wanted.dtype) == wanted).all()), f"{operation}: wrong values"


def decoded_bytes(operation: str) -> int:
    """Bytes that an operation moves (0 for listing)."""
    if operation == "members":
        return 0
    if operation == "append":
        return APPENDS * WIDTH * 4
    return sum(len(text.encode()) for text in strings().tolist())


def _write(path: Path, layout: Layout) -> None:
    import zarr  # the reference writer

    form: Any = layout.zarr_format
    kind = layout.name.partition("-")[0]
    if kind in ("group", "consolidated"):
        group = zarr.create_group(str(path), zarr_format=form)
        for name, shape in members():
            group.create_array(name, shape=shape, chunks=(10, 10), dtype="f4", compressors=None)
        if kind == "consolidated":
            zarr.consolidate_metadata(str(path), zarr_format=form)
    elif kind == "append":
        chunks = (layout.chunk, WIDTH)
        zarr.create_array(str(path), shape=(0, WIDTH), chunks=chunks, dtype="f4", zarr_format=form)
    else:
        array = zarr.create_array(
            str(path), shape=(STRINGS,), chunks=(layout.chunk,), dtype=str, zarr_format=form
        )
        array[...] = strings()
