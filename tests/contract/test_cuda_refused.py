"""Writes to parts of chunks that a device refuses: the host decodes them, as it does for a read.

1. Each layout holds chunks that the device decodes, and one that it refuses and the host decodes.
2. A chunk that the host cannot decode either is named, and nothing is stored.
3. Booleans that cannot be are refused before the value is written over or beside them.
"""

from __future__ import annotations

import gc
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import ChunkDecodeError
from cuzarr.plan import plan_basic
from cuzarr.storage import MemoryStore
from tests.contract.cuda_cases import Stored, emulated_backend, smooth
from tests.contract.test_cuda_decode import LITTLE
from tests.contract.test_cuda_decode_containers import ZLIB, zlib_and_zeros
from tests.contract.test_cuda_write import host_read
from tests.devices import to_numpy, use_device

DATA = np.arange(40 * 60, dtype="f4").reshape(40, 60)
CHUNKS = (10, 20)
AT = (1, 1)  #: of the chunk that is encoded by hand
HERE = (slice(10, 20), slice(20, 40))  #: its elements
GZIP = {"name": "gzip", "configuration": {"level": 1}}
ZLIB_SPEC = {"name": "numcodecs.zlib", "configuration": {"level": 1}}
LAYOUTS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2, "compressors": {"id": "zlib", "level": 1}},
    "v2-F": {"zarr_format": 2, "compressors": {"id": "gzip", "level": 1}, "order": "F"},
    "v3": {"compressors": GZIP},
    "shards": {"compressors": GZIP, "shards": (20, 60)},
    "shards-zlib": {"compressors": ZLIB_SPEC, "shards": (20, 40)},
}

Encode = Callable[[bytes], bytes]


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refused(kind: str) -> Encode:
    """Return an encoder of what the host decodes and no device does."""
    if kind == "zlib":
        return lambda raw: zlib.compress(raw) + bytes(8)
    return lambda raw: gzip.compress(b"") + gzip.compress(raw)


def corrupt(kind: str) -> Encode:
    """Return an encoder of what nobody decodes; its header and last bytes are right."""

    def encode(raw: bytes) -> bytes:
        made = bytearray(zlib.compress(raw) if kind == "zlib" else gzip.compress(raw))
        made[len(made) // 2] ^= 0xFF
        return bytes(made)

    return encode


def make(
    layout: str, encoder: Callable[[str], Encode], data: np.ndarray[Any, Any] = DATA
) -> tuple[MemoryStore, str]:
    """Return a store with the array, one chunk of it encoded by hand, and the key of that one."""
    options = LAYOUTS[layout]
    store = MemoryStore()
    z = cuzarr.create_array(store, data=data, chunks=CHUNKS, device="cpu", **options)
    raw = data[HERE].tobytes("F" if layout == "v2-F" else "C")
    value = encoder("zlib" if "zlib" in str(options) else "gzip")(raw)
    if z.shards is None:
        key = "1.1" if z.metadata.zarr_format == 2 else "c/1/1"
        store.set(key, value)
        return store, key
    per_shard = [s // c for s, c in zip(z.shards, CHUNKS, strict=True)]
    (row, i), (column, j) = (divmod(k, n) for k, n in zip(AT, per_shard, strict=True))
    key = f"c/{row}/{column}"
    index = z._target.address.index  # type: ignore[union-attr]
    chunks = list(index.split(key, store.get(key)))
    chunks[i * per_shard[1] + j] = value
    store.set(key, index.join(key, chunks))
    return store, key


def objects(store: MemoryStore) -> dict[str, bytes]:
    return {key: bytes(store.get(key) or b"") for key in store.list("")}


SELECTIONS: list[Any] = [
    (slice(12, 15), slice(25, 30)),  # inside the chunk
    (slice(5, 35, 3), slice(None, None, -7)),
    ([1, 14, 39], slice(3, 50)),
    (slice(10, 25), slice(20, 45)),  # the chunk as a whole: it is not read
]


@pytest.mark.parametrize("key", SELECTIONS, ids=["inside", "stepped", "rows", "whole"])
def test_the_host_decodes_what_the_device_refuses(layout: str, key: Any, device_kind: str) -> None:
    store, _ = make(layout, refused)
    expected = DATA.copy()
    value = -np.arange(expected[key].size, dtype="f4").reshape(expected[key].shape)
    expected[key] = value
    with use_device(device_kind, on_undefined="garbage") as device:
        z = cuzarr.open_array(store, device=device)
        z.oindex[key] = value
        places = {(record.step, record.where, record.why[:13]) for record in z.device_plan.records}
        np.testing.assert_array_equal(to_numpy(z[...]), expected)
    np.testing.assert_array_equal(cuzarr.open_array(store, device="cpu")[...], expected)
    if device_kind == "emulated":
        steps = {step for step, where, why in places if (where, why) == ("host", "on the device")}
        assert bool(steps) == (key is not SELECTIONS[3])


@pytest.mark.parametrize("kind", ["host", "emulated"])  # what nvCOMP does is not defined
def test_what_nobody_decodes_is_named_and_nothing_is_stored(layout: str, kind: str) -> None:
    store, name = make(layout, corrupt)
    before = objects(store)
    with use_device(kind, on_undefined="garbage") as device:
        z = cuzarr.open_array(store, device=device)
        with pytest.raises(ChunkDecodeError) as caught:
            z[12:15, 25:30] = 1
        assert caught.value.key == name
        assert objects(store) == before
        z[10:20, 20:40] = 1  # the chunk as a whole is not read
        assert (to_numpy(z[10:20, 20:40]) == 1).all()


@pytest.mark.parametrize("budget", [1 << 13, 1 << 15, 1 << 20])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("encode", ["host", "device"])
def test_waves_that_are_under_way(encode: Any, seed: int, budget: int) -> None:
    """The words of the first refused chunk are those of every wave behind it, too."""
    stored = Stored(smooth((9000,), "f4"), (100,), [LITTLE, ZLIB]).encode_all()
    for k in (7, 8, 40, 77):
        stored.store.set(stored.key((k,)), zlib_and_zeros(stored.chunk((k,))))
    plan = plan_basic((slice(3, 8990, 2),), (9000,), (100,))
    backend = emulated_backend(
        seed, on_undefined="garbage", encode=encode, budget=budget, slab_bytes=1 << 14
    )
    value = smooth(plan.shape, "f4", 5)
    job = stored.write(backend, plan, value)
    expected = stored.data.copy()
    expected[3:8990:2] = value
    np.testing.assert_array_equal(host_read(stored), expected)
    decoded = [record for record in job.report if "zlib" in record.step.split("encode")[0]]
    assert {record.where for record in decoded} == {"device", "host"}
    gc.collect()
    backend.runtime.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_corrupt_chunk_behind_a_refused_one(seed: int) -> None:
    stored = Stored(smooth((1000,), "f4"), (100,), [LITTLE, ZLIB]).encode_all()
    stored.store.set(stored.key((2,)), zlib_and_zeros(stored.chunk((2,))))
    stored.store.set(stored.key((6,)), corrupt("zlib")(stored.chunk((6,)).tobytes()))
    before = objects(stored.store)
    backend = emulated_backend(seed, on_undefined="garbage")
    with pytest.raises(ChunkDecodeError) as caught:
        stored.write(backend, plan_basic((slice(3, 990, 2),), (1000,), (100,)), 1.0)
    assert caught.value.key == stored.key((6,))
    assert objects(stored.store) == before
    del caught
    gc.collect()
    backend.runtime.close()


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("fault", [False, True])
def test_booleans_that_cannot_be(
    layout: str, compressed: bool, fault: bool, device_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DATA % 3 == 0
    data.view("u1")[13, 33] = 7 if fault else 1
    options = dict(LAYOUTS[layout])
    if not compressed:
        options["compressors"] = None
    store = MemoryStore()
    with monkeypatch.context() as careless:  # as other libraries are
        careless.setattr("cuzarr.values.what_is_impossible", lambda _: "")
        cuzarr.create_array(store, data=data, chunks=CHUNKS, device="cpu", **options)
    before = objects(store)
    with use_device(device_kind) as device:
        z = cuzarr.open_array(store, device=device)
        for key in ((slice(1, 3), slice(2, 30)), (slice(None), 5)):  # other chunks
            z[key] = data[key]
        after = objects(store)
        for key in ((slice(9, 12), slice(20, 30)), (13, 33), ([11, 39], slice(21, 23))):
            if not fault:
                z.oindex[key] = True
                continue
            with pytest.raises(ChunkDecodeError, match="a boolean has the value 7") as caught:
                z.oindex[key] = True
            assert caught.value.key in before
            assert objects(store) == after
        z[HERE] = False  # as a whole it is not read
        assert not to_numpy(z[HERE]).any()
