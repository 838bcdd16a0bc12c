"""The same data as in the tests beside this one, decoded on a device: the bits of the host.

1. Arrays that other implementations wrote, whole and in part.
2. The fixtures of numcodecs, each as the one chunk of a v2 array. :data:`LEFT_OUT` counts those
   that are no tests, since there is nothing on a device to compare.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.storage import MemoryStore
from tests.conformance.test_numcodecs_fixtures import (
    FIXTURES,
    OPTIONAL,
    REFUSED,
    fixtures,
    installed,
    is_filter,
    load,
)
from tests.conformance.test_real_data import DATA, DIGESTS
from tests.devices import to_numpy, use_device

#: Codecs whose steps a device has: none of their usual chunks may be left to the host.
ON_DEVICE = {"zlib", "gzip", "lz4", "shuffle", "crc32", "adler32", "crc32c", "zstd", "blosc"}

#: Fixtures that are left out: kinds of elements that have no place on a device (dates, objects,
#: fixed bytes, texts), and codecs that nobody has (``REFUSED``).
LEFT_OUT = {"M": 236, "m": 236, "O": 83, "S": 59, "U": 24, "json": 2}


def same_bits(found: Any, expected: Any) -> bool:
    """Whether two results are equal bit for bit; the host keeps the byte order of the array."""
    one, other = (
        value.astype(value.dtype.newbyteorder("="))
        for value in (np.asarray(to_numpy(found)), np.asarray(expected))
    )
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def lives_there(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc" and dtype.itemsize <= 16 and dtype.char not in "gG"


def reason_to_leave_out(path: str) -> str:
    """Return the key of ``LEFT_OUT`` that a fixture falls under, or the codec that is missing."""
    config, array, _ = load(path)
    if not lives_there(array.dtype):
        return array.dtype.kind
    return "" if installed(config["id"]) else str(config["id"])


REASONS = {path: reason_to_leave_out(path) for path in fixtures()}


@pytest.mark.skipif(not DIGESTS, reason=f"no digests.json in {DATA}")
@pytest.mark.parametrize("key", sorted(DIGESTS))
def test_array(key: str, device_kind: str) -> None:
    host = cuzarr.open_array(DATA / key, mode="r", device="cpu")
    if not lives_there(host.dtype):
        pytest.skip(f"{host.dtype} cannot live on a device")
    with use_device(device_kind) as device:
        array = host.to_device(device)
        assert same_bits(array[...], host[...])
        if host.ndim:
            assert same_bits(array[::-2], host[::-2])


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no fixtures in {DATA}")
def test_no_more_fixtures_are_left_out() -> None:
    assert set(LEFT_OUT) - set("MmOSU") == set(REFUSED)
    missing = {name for name in OPTIONAL if not installed(name)}
    assert Counter(why for why in REASONS.values() if why and why not in missing) == LEFT_OUT


@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no fixtures in {DATA}")
@pytest.mark.parametrize("path", [path for path, why in REASONS.items() if not why])
def test_fixture(path: str, device_kind: str) -> None:
    config, array, encoded = load(path)
    store = MemoryStore()
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    store.set(".zarray", json.dumps({
        "zarr_format": 2, "shape": array.shape, "chunks": array.shape, "dtype": array.dtype.str,
        "order": "F" if fortran else "C", "fill_value": 0,
        "filters": [config] if is_filter(config) else None,
        "compressor": None if is_filter(config) else config,
    }).encode())  # fmt: skip
    store.set(".".join(["0"] * max(1, array.ndim)), encoded)
    host = cuzarr.open_array(store, mode="r", device="cpu")
    allowed = cuzarr.config.set({"allow_pickle": True})
    with allowed, use_device(device_kind) as device:
        view = host.to_device(device)
        assert same_bits(view[...], host[...])
        places = {record.where for record in view.device_plan.records}
    if device_kind != "host" and config["id"] in ON_DEVICE and array.size:
        assert places == {"device"}
