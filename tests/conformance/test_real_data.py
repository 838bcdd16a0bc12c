"""Arrays that other implementations wrote, against digests on which other readers agreed.

The data is not part of the repository: its folder is named by the environment variable
``CUZARR_TEST_DATA``, or is ``shared/data`` beside the repository. Its README describes
``digests.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr

DATA = Path(
    os.environ.get("CUZARR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")
).resolve()
DIGESTS: dict[str, dict[str, Any]] = (
    json.loads((DATA / "digests.json").read_text()) if (DATA / "digests.json").is_file() else {}
)

pytestmark = pytest.mark.skipif(not DIGESTS, reason=f"no digests.json in {DATA}")


def digest(values: np.ndarray) -> str:
    """Return the SHA-256 of values, as the README of the data defines it."""
    if values.dtype.kind == "O" or values.dtype.kind == "T":
        items = [v.decode("latin-1") if isinstance(v, bytes) else v for v in values.ravel()]
        return hashlib.sha256(json.dumps(items).encode()).hexdigest()
    if values.dtype.kind in "iufcmMU":
        values = values.astype(values.dtype.newbyteorder("<"))
    return hashlib.sha256(values.tobytes()).hexdigest()


@pytest.mark.parametrize("key", sorted(DIGESTS))
def test_array(key: str):
    """Open, read everything, and compare; then read it row by row."""
    expected = DIGESTS[key]
    array = cuzarr.open_array(DATA / key, mode="r")
    assert array.shape == tuple(expected["shape"])
    assert array.zarr_format == int(expected["format"][1:])
    values = np.asarray(array[...])
    assert values.shape == array.shape
    assert values.dtype == array.dtype
    assert digest(values) == expected["sha256"]
    if values.ndim:
        rows = [np.asarray(array[i]) for i in range(len(values))]
        np.testing.assert_array_equal(np.stack(rows) if rows else values, values)
        np.testing.assert_array_equal(np.asarray(array[::-1]), values[::-1])


def test_every_group_of_the_data_lists_its_arrays():
    """The arrays of a hierarchy are those that the digests name, and maybe more."""
    for root in ("zarrita_js/fixtures/v2/data.zarr", "zarrita_js/fixtures/v3/data.zarr"):
        names = {key.removeprefix(f"{root}/") for key in DIGESTS if key.startswith(f"{root}/")}
        assert names
        group = cuzarr.open_group(DATA / root, mode="r")
        top = {name.split("/", maxsplit=1)[0] for name in names}
        assert top <= set(group)
