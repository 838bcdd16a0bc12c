"""Chunks that are one piece of the output, or whose rows are, are decoded there: no copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.cuda.rows import ChunkLayout, DeviceView, RowCopy, _folded
from cuzarr.errors import ChunkDecodeError
from cuzarr.plan import full_plan, plan_basic, plan_orthogonal
from tests.contract.cuda_cases import Stored, close, emulated_backend, noise, smooth
from tests.contract.test_cuda_decode import BIG, CRC, LITTLE, ZSTD, blosc
from tests.contract.test_out import Foreign
from tests.devices import use_device

SHAPE, CHUNKS = (23, 6, 40), (4, 6, 40)
GZIP = ("gzip", {"level": 1})
SCALE = ("scale_offset", {"offset": 3, "scale": 2})
CODECS: dict[str, Any] = {
    "zstd": [LITTLE, ZSTD],
    "gzip": [LITTLE, GZIP],
    "zstd, crc32c": [LITTLE, ZSTD, CRC],
    "Blosc, shuffled": [LITTLE, blosc()],
    "Blosc, bits": [LITTLE, blosc(shuffle="bitshuffle")],
    "Blosc, plain": [LITTLE, blosc("zstd", shuffle="noshuffle")],
    "scaled": [SCALE, LITTLE, ZSTD],
    "scaled, shuffled": [SCALE, LITTLE, blosc()],
}
COPIED: dict[str, Any] = {
    "big-endian": [BIG, ZSTD],
    "transposed": [("transpose", {"order": [2, 1, 0]}), LITTLE, ZSTD],
}


def counted(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the launches of each family of kernels from now on."""
    launches: Counter[str] = Counter()
    launch = backend.runtime.launch

    def noted(kernel: str, *args: Any, **more: Any) -> None:
        launches[kernel.partition("_")[0]] += 1
        launch(kernel, *args, **more)

    monkeypatch.setattr(backend.runtime, "launch", noted)
    return launches


def same(found: Any, expected: Any) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("data", [smooth, noise], ids=["smooth", "noise"])
@pytest.mark.parametrize("codecs", CODECS)
def test_whole_chunks_need_no_copy(codecs: str, data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is what Blosc stores as it is: such chunks are copied from the upload."""
    if data is noise and "scaled" in codecs:
        pytest.skip("no scaled numbers")
    dtype = "i4" if "scaled" in codecs else "f4"
    stored = Stored(data((24, 6, 40), dtype), CHUNKS, CODECS[codecs]).encode_all()
    backend = emulated_backend(2)
    launches = counted(backend, monkeypatch)
    same(stored.read(backend), stored.data)
    header = stored.store.get(stored.key((0, 0, 0)))[:16]
    memcpyed = codecs.startswith("Blosc") and bool(header[2] & 2)
    assert launches["scatter"] == memcpyed
    assert memcpyed or data is smooth or not codecs.startswith("Blosc")
    close(backend)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("codecs", CODECS | COPIED)
@pytest.mark.parametrize(
    "key",
    [
        np.s_[:],
        np.s_[4:12],
        np.s_[3:21],
        np.s_[::-1],
        np.s_[8],
        np.s_[::2],
        np.s_[:, 1:],
        np.s_[5:5],
    ],
    ids=str,
)
def test_parts_and_missing_chunks_are_copied(codecs: str, key: Any, seed: int) -> None:
    """The last chunk reaches beyond the array, and one in the middle is not stored."""
    dtype = "i4" if "scaled" in codecs else "f4"
    stored = Stored(smooth(SHAPE, dtype, seed), CHUNKS, (CODECS | COPIED)[codecs], fill_value=7)
    stored.encode_all()
    stored.store.delete([stored.key((2, 0, 0))])
    stored.data[8:12] = 7
    backend = emulated_backend(seed, slab_bytes=1 << 13)
    plan = plan_basic(key, SHAPE, CHUNKS)
    expected = stored.data[key]
    same(stored.read(backend, plan).reshape(expected.shape), expected)
    close(backend)


@pytest.mark.parametrize("codecs", COPIED)
def test_what_is_turned_on_the_way_is_copied(codecs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(smooth(SHAPE, "f4"), CHUNKS, COPIED[codecs]).encode_all()
    backend = emulated_backend(1)
    launches = counted(backend, monkeypatch)
    same(stored.read(backend), stored.data)
    assert launches["scatter"] == 1
    close(backend)


def test_a_scalar_array(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(np.array(5, "i8"), (), [LITTLE, ZSTD]).encode_all()
    backend = emulated_backend(1)
    launches = counted(backend, monkeypatch)
    same(stored.read(backend), stored.data)
    assert launches["scatter"] == 0
    close(backend)


@pytest.mark.parametrize("codecs", ["zstd, crc32c", "Blosc, shuffled", "scaled, shuffled"])
def test_a_corrupt_chunk_is_named(codecs: str) -> None:
    """The emulation fails on any write outside of a chunk's place."""
    stored = Stored(smooth((24, 6, 40), "i4"), CHUNKS, CODECS[codecs]).encode_all()
    key = stored.key((3, 0, 0))
    value = bytearray(stored.store.get(key))
    value[-20:] = bytes(20)
    stored.store.set(key, bytes(value))
    with pytest.raises(ChunkDecodeError, match=key):
        stored.read(emulated_backend(1))


@pytest.fixture(params=range(4))
def array(request: pytest.FixtureRequest) -> Iterator[cuzarr.Array]:
    with use_device("emulated", seed=request.param) as device:
        yield cuzarr.create_array(
            None, data=smooth((24, 50), "f4"), chunks=(4, 50), device=device,
            compressors={"name": "zstd", "configuration": {"level": 1, "checksum": False}},
        )  # fmt: skip


def test_the_caller_has_done_with_its_memory(array: cuzarr.Array) -> None:
    """What the other library queued on it comes before, in any order that events allow."""
    out = Foreign((26, 50), "f4", view=np.s_[1:25])
    array.get_basic_selection(..., out=out)
    whole = out.to_host()
    same(whole[1:25], smooth((24, 50), "f4"))
    assert (whole[[0, 25]].view("u4") == 0x11111111).all()


@pytest.mark.parametrize(
    ("shape", "view"),
    [
        ((24, 51), np.s_[:, 1:]),
        ((48, 50), np.s_[::2]),
        ((24, 50), np.s_[::-1]),
        ((24, 100), np.s_[:, ::2]),
    ],
    ids=str,
)
def test_views_with_gaps(array: cuzarr.Array, shape: tuple[int, int], view: Any) -> None:
    out = Foreign(shape, "f4", view=view)
    array.get_basic_selection(..., out=out)
    whole = out.to_host()
    same(whole[view], smooth((24, 50), "f4"))
    gaps = np.ones(shape, np.bool_)
    gaps[view] = False
    assert (whole[gaps].view("u4") == 0x11111111).all()


def test_places() -> None:
    """Every second row lies elsewhere; lists and other strides give none."""
    layout = ChunkLayout.native((2, 6), 4)
    view = DeviceView(1000, (5, 6), (24, 4), np.dtype("f4"))
    rows = full_plan((5, 6), (2, 6)).rows(0, 3)

    def places(rows: Any, view: DeviceView = view, layout: ChunkLayout = layout) -> list[int]:
        copy = RowCopy(None, "scatter", view, layout, bytes(4), 0)  # type: ignore[arg-type]
        found = copy.places(rows)
        return [0] * len(rows) if found is None else [int(p) for p in found.pointers]

    assert places(rows) == [1000, 1048, 0]
    apart = DeviceView(1000, (5, 6), (-24, 4), np.dtype("f4"))
    assert places(rows, apart) == [0, 0, 0]
    assert places(rows, view, ChunkLayout((2, 6), (4, 8), 48, 0)) == [0, 0, 0]
    assert places(rows, view, ChunkLayout((2, 6), (24, 4), 48, 4)) == [0, 0, 0]
    assert places(rows, view, ChunkLayout((2, 6), (24, 4), 52, 0)) == [0, 0, 0]
    single = ChunkLayout.native((1, 6), 4)
    assert places(full_plan((5, 6), (1, 6)).rows(0, 5), apart, single) == [
        1000, 976, 952, 928, 904,
    ]  # fmt: skip
    listed = plan_orthogonal((np.array([1, 0, 3, 2]), slice(None)), (5, 6), (2, 6))
    assert set(places(listed.rows(0, 2))) == {0}


SHUFFLED = {name: CODECS[name] for name in ("Blosc, shuffled", "Blosc, bits")}
WIDE = {  # shape, chunks
    "rows": ((24, 96), (8, 32)),
    "rows of planes": ((12, 8, 48), (4, 4, 48)),
    "rows in planes": ((12, 8, 96), (4, 4, 32)),
    "flat chunks": ((9, 10, 64), (1, 10, 16)),
}


@pytest.mark.parametrize("dtype", ["u2", "f4", "i8"])
@pytest.mark.parametrize("codecs", SHUFFLED)
@pytest.mark.parametrize("wide", WIDE)
def test_rows_are_unshuffled_where_they_belong(
    wide: str, codecs: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, chunks = WIDE[wide]
    stored = Stored(smooth(shape, dtype), chunks, SHUFFLED[codecs]).encode_all()
    backend = emulated_backend(3)
    launches = counted(backend, monkeypatch)
    same(stored.read(backend), stored.data)
    assert (launches["scatter"] > 0) == (chunks[-1] * stored.data.itemsize < 64)
    close(backend)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("codecs", [*SHUFFLED, "Blosc, plain", "scaled, shuffled"])
@pytest.mark.parametrize(
    "key",
    [
        np.s_[:],
        np.s_[4:20],
        np.s_[3:21, 32:],
        np.s_[::-1],
        np.s_[:, ::2],
        np.s_[9, 40:80],
        np.s_[5:5],
    ],
    ids=str,
)
def test_rows_beside_parts_and_missing_chunks(codecs: str, key: Any, seed: int) -> None:
    """The last chunks reach beyond the array, one is not stored, and noise is stored as it is."""
    dtype = "i4" if "scaled" in codecs else "f4"
    data = smooth((26, 100), dtype, seed)
    data[:8, 32:64] = noise((8, 32), dtype) if "scaled" not in codecs else 5
    stored = Stored(data, (8, 32), CODECS[codecs], fill_value=7).encode_all()
    stored.store.delete([stored.key((1, 1))])
    stored.data[8:16, 32:64] = 7
    backend = emulated_backend(seed, slab_bytes=1 << 13)
    plan = plan_basic(key, (26, 100), (8, 32))
    expected = stored.data[key]
    same(stored.read(backend, plan).reshape(expected.shape), expected)
    close(backend)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("shape", "view"),
    [
        ((24, 97), np.s_[:, 1:]),
        ((48, 96), np.s_[::2]),
        ((24, 96), np.s_[::-1]),
        ((24, 192), np.s_[:, ::2]),
    ],
    ids=str,
)
def test_rows_of_any_memory(shape: tuple[int, int], view: Any, seed: int) -> None:
    """Rows that are not aligned, or in falling order; what is between them stays."""
    data = smooth((24, 96), "f4")
    with use_device("emulated", seed=seed) as device:
        out = Foreign(shape, "f4", view=view)
        z = cuzarr.create_array(
            None, data=data, chunks=(8, 32), device=device,
            compressors={"name": "blosc", "configuration": {
                "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}},
        )  # fmt: skip
        z.get_basic_selection(..., out=out)
        whole = out.to_host()
    same(whole[view], data)
    gaps = np.ones(shape, np.bool_)
    gaps[view] = False
    assert (whole[gaps].view("u4") == 0x11111111).all()


def test_rows_that_cut_a_block_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 24 and of 40 bytes begin within 16 bytes of a row."""
    codec = ("blosc", {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 4,
                       "blocksize": 40})  # fmt: skip
    stored = Stored(smooth((24, 96), "f4"), (8, 32), [LITTLE, codec]).encode_all()
    header = stored.store.get(stored.key((0, 0)))[:16]
    blocksize = int.from_bytes(header[8:12], "little")
    backend = emulated_backend(1)
    launches = counted(backend, monkeypatch)
    same(stored.read(backend), stored.data)
    assert (launches["scatter"] > 0) == (blocksize % 16 > 0)
    close(backend)


@pytest.mark.parametrize(
    ("shape", "strides", "expected"),
    [
        ((8, 32), (400, 4), (128, 8, 400, 3200)),
        ((4, 8, 32), (3200, 400, 4), (128, 32, 400, 12800)),
        ((4, 8, 32), (9000, 400, 4), (128, 8, 400, 9000)),
        ((4, 8, 32), (9000, -400, 4), (128, 8, -400, 9000)),
        ((4, 1, 32), (9000, 400, 4), (128, 4, 9000, 36000)),
        ((2, 8, 32), (9000, 128, 4), (1024, 2, 9000, 18000)),
        ((8, 32), (128, 4), (1024, 1, 0, 0)),
        ((), (), (4, 1, 0, 0)),
        ((8, 8), (400, 4), None),
        ((8, 17), (400, 4), None),
        ((8, 32), (400, 8), None),
        ((2, 3, 4, 32), (90000, 9000, 400, 4), None),
    ],
)
def test_folding(shape: Any, strides: Any, expected: Any) -> None:
    assert _folded(shape, strides, 4) == expected
