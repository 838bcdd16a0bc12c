"""The same data as in the tests beside this one, decoded on a device: the bits of the host.

1. Arrays that other implementations wrote, whole and in part.
2. The fixtures of numcodecs, each as the one chunk of a v2 array.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.storage import MemoryStore
from tests.conformance.test_numcodecs_fixtures import FIXTURES, fixtures, installed, is_filter, load
from tests.conformance.test_real_data import DATA, DIGESTS
from tests.devices import to_numpy, use_device

#: Codecs whose steps a device has: none of their usual chunks may be left to the host.
ON_DEVICE = {"zlib", "gzip", "lz4", "shuffle", "crc32", "adler32", "crc32c", "zstd", "blosc"}


def same_bits(found: Any, expected: Any) -> bool:
    """Whether two results are equal bit for bit; the host keeps the byte order of the array."""
    one, other = (
        value.astype(value.dtype.newbyteorder("="))
        for value in (np.asarray(to_numpy(found)), np.asarray(expected))
    )
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def lives_there(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc" and dtype.itemsize <= 16 and dtype.char not in "gG"


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
@pytest.mark.parametrize("path", fixtures())
def test_fixture(path: str, device_kind: str) -> None:
    config, array, encoded = load(path)
    if not installed(config["id"]) or not lives_there(array.dtype):
        pytest.skip("no such codec here, or no such elements on a device")
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
