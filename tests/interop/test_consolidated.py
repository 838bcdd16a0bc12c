"""Consolidated metadata between cuzarr and zarr-python."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import cuzarr

zarr = pytest.importorskip("zarr", minversion="3.1")
pytestmark = pytest.mark.interop
formats = pytest.mark.parametrize("zarr_format", [2, 3])
NAMES = ["a", "b", "b/c", "b/c/x", "b/empty"]


def fill(root: Any) -> None:
    root.create_array("a", shape=(4,), chunks=(2,), dtype="i4", fill_value=3)
    below = root.create_group("b").create_group("c", attributes={"n": 1})
    below.create_array("x", shape=(2,), dtype="f8", attributes={"units": "K"})
    root["b"].create_group("empty")


def quietly(call: Any, *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that v3 does not specify it
        return call(*args, **options)


@formats
def test_zarr_python_uses_what_cuzarr_wrote(zarr_format: Any, tmp_path: Path) -> None:
    root = cuzarr.create_group(tmp_path / "r", zarr_format=zarr_format, attributes={"t": 1})
    fill(root)
    cuzarr.consolidate_metadata(tmp_path / "r")
    root.create_array("late", shape=(1,), dtype="i4")
    group = quietly(zarr.open_group, tmp_path / "r", mode="r", use_consolidated=True)
    assert sorted(name for name, _ in group.members(None)) == NAMES
    assert group["b/c/x"].attrs["units"] == "K"
    assert dict(group.attrs) == {"t": 1}
    assert list(group["b/empty"].keys()) == []


@formats
def test_cuzarr_uses_what_zarr_python_wrote(zarr_format: Any, tmp_path: Path) -> None:
    root = quietly(zarr.create_group, tmp_path / "r", zarr_format=zarr_format, attributes={"t": 1})
    quietly(fill, root)
    quietly(zarr.consolidate_metadata, tmp_path / "r")
    quietly(root.create_array, "late", shape=(1,), dtype="i4")
    group = cuzarr.open_consolidated(tmp_path / "r")
    assert [name for name, _ in group.members(None)] == NAMES
    assert group["b/c/x"].attrs["units"] == "K"
    assert group["a"][...].tolist() == [3] * 4
    assert dict(group.attrs) == {"t": 1}
    group.attrs["more"] = 2
    del group["b/c"]
    theirs = quietly(zarr.open_group, tmp_path / "r", mode="r", use_consolidated=True)
    assert sorted(name for name, _ in theirs.members(None)) == ["a", "b", "b/empty"]
    assert dict(theirs.attrs) == {"t": 1, "more": 2}


@formats
def test_both_write_the_same(zarr_format: Any, tmp_path: Path) -> None:
    root = cuzarr.create_group(tmp_path / "r", zarr_format=zarr_format)
    fill(root)
    name = "zarr.json" if zarr_format == 3 else ".zmetadata"
    documents = []
    for library in (cuzarr, zarr):
        quietly(library.consolidate_metadata, tmp_path / "r")
        documents.append(json.loads((tmp_path / "r" / name).read_text()))
    assert plain(documents[0]) == plain(documents[1])


def plain(document: Any) -> Any:
    """Return a document without what only zarr-python writes: empty values, and v3 fields in v2."""
    if "zarr_consolidated_format" in document:
        metadata = document["metadata"]
        for key in [
            key for key, value in metadata.items() if key.endswith(".zattrs") and not value
        ]:
            del metadata[key]
        for value in metadata.values():
            value.pop("consolidated_metadata", None)
    else:
        for value in document["consolidated_metadata"]["metadata"].values():
            assert value.pop("storage_transformers", []) == []
    return document


@formats
def test_handles_behave_as_in_zarr_python(zarr_format: Any, tmp_path: Path) -> None:
    """What a group that was opened with consolidated metadata sees of later changes."""
    seen = []
    for library in (cuzarr, zarr):
        path = tmp_path / library.__name__
        fill(quietly(library.create_group, path, zarr_format=zarr_format))
        quietly(library.consolidate_metadata, path)
        group = quietly(library.open_group, path)
        quietly(group.create_array, "new", shape=(1,), dtype="i4")
        facts = ["new" in group, sorted(group)]
        group["b/c/x"].attrs["later"] = 1
        facts.append(dict(quietly(library.open_group, path)["b/c/x"].attrs))
        del group["a"]
        facts.append(sorted(group))
        facts.append(sorted(quietly(library.open_group, path)))
        facts.append(sorted(quietly(library.open_group, path, use_consolidated=False)))
        group.attrs["t"] = 2
        again = quietly(library.open_group, path)
        facts += [dict(again.attrs), sorted(again)]
        seen.append(facts)
    assert seen[0] == seen[1]
