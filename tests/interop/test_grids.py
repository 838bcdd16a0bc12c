"""Rectilinear chunk grids that zarr-python writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import MetadataError

zarr = pytest.importorskip("zarr", minversion="3.2")
pytestmark = pytest.mark.interop


@pytest.mark.parametrize("edges", [[[3, 3, 3], [5]], [[2, 2, 3], [5]]], ids=str)
def test_rectilinear_grids_of_zarr_python(edges: Any, tmp_path: Path) -> None:
    shape = (sum(edges[0]), 5)
    values = np.arange(5 * shape[0], dtype="i4").reshape(shape)
    with zarr.config.set({"array.rectilinear_chunks": True}):
        theirs = zarr.create_array(tmp_path / "a", shape=shape, chunks=edges, dtype="i4")
        theirs[...] = values
    grid = json.loads((tmp_path / "a" / "zarr.json").read_text())["chunk_grid"]["name"]
    if grid == "rectilinear" and len(set(edges[0])) > 1:
        with pytest.raises(MetadataError, match="chunks of different lengths are not supported"):
            cuzarr.open_array(tmp_path / "a")
    else:
        np.testing.assert_array_equal(cuzarr.open_array(tmp_path / "a")[...], values)
