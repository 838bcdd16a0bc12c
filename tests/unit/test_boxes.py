"""``Array.boxes`` and ``cuzarr.read``: what property tests do not reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import cuda
from cuzarr.engine.stack import stack_reads
from cuzarr.errors import (
    BoundsCheckError,
    ChecksumError,
    ChunkDecodeError,
    NoDeviceError,
    SelectionError,
    ShapeMismatchError,
)
from cuzarr.storage import LocalStore, MemoryStore
from tests.contract.wave_cases import stacked
from tests.devices import to_numpy, use_device

DATA = np.arange(40 * 50, dtype="f4").reshape(40, 50)
STARTS = np.array([[0, 0], [33, 41], [5, 5], [5, 5], [12, 3]])
CRC = [{"name": "crc32c"}]


@pytest.fixture
def device(device_kind: str) -> Iterator[str]:
    with use_device(device_kind) as name:
        yield name


class Counting(MemoryStore):
    """Counts the keys asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.batches = 0

    def get_many(self, batch: Any) -> Any:
        self.asked += [key for key in batch.key_list() if "zarr.json" not in key]
        self.batches += 1
        return super().get_many(batch)


def array(store: Any = None, device: str = "cpu", **options: Any) -> Any:
    options = {"chunks": (16, 16)} | options
    z = cuzarr.create_array(store or MemoryStore(), shape=DATA.shape, dtype="f4", device=device,
                            **options)  # fmt: skip
    z[...] = DATA
    return z


# Boxes


def test_each_chunk_is_fetched_once(device: str) -> None:
    store = Counting()
    z = array(store, device)
    store.asked.clear()
    found = z.boxes(np.repeat(STARTS, 5, axis=0), (7, 9))
    assert np.array_equal(to_numpy(found), stacked(DATA, np.repeat(STARTS, 5, axis=0), (7, 9)))
    assert len(store.asked) == len(set(store.asked))
    assert "c/0/0" in store.asked


def test_starts_of_any_integers() -> None:
    z = array()
    wanted = stacked(DATA, STARTS, (3, 3))
    for starts in (
        STARTS.tolist(),
        STARTS.astype("u1"),
        STARTS.astype("i2"),
        np.asfortranarray(STARTS),
    ):
        assert np.array_equal(z.boxes(starts, 3), wanted)
    line = cuzarr.array(np.arange(20), chunks=6)
    assert line.boxes([3, 16, 0], 4).tolist() == [[3, 4, 5, 6], [16, 17, 18, 19], [0, 1, 2, 3]]
    assert line.boxes([], 4).shape == (0, 4)
    assert z.boxes([], 4).shape == (0, 4, 4)
    assert cuzarr.array(np.float64(3)).boxes(np.empty((2, 0)), ()).tolist() == [3.0, 3.0]


def test_the_starts_are_not_kept() -> None:
    starts = STARTS.copy()
    z = array()
    z.boxes(starts, 3)
    starts[0] = 1  # still writable


@pytest.mark.parametrize(
    ("starts", "box", "error", "text"),
    [
        ([[0, 0], [39, 0]], (2, 2), BoundsCheckError, r"box 1 of shape \(2, 2\) at \(39, 0\)"),
        ([[-1, 0]], (2, 2), BoundsCheckError, "box 0"),
        ([[0, 0]], (41, 1), BoundsCheckError, "box 0"),
        (np.array([[2**63, 0]], "u8"), (1, 1), BoundsCheckError, "outside"),
        ([[0, 0, 0]], (2, 2), SelectionError, r"shape \(n, 2\)"),
        ([0, 1], (2, 2), SelectionError, r"shape \(n, 2\)"),
        ([[0.0, 1.0]], (2, 2), SelectionError, "integers, not float64"),
        ([[True, False]], (2, 2), SelectionError, "integers, not bool"),
        ([[0, 0]], (2,), SelectionError, "2 lengths"),
        ([[0, 0]], ((2, 2),), SelectionError, "2 lengths"),
        ([[0, 0]], (2, -1), SelectionError, "negative"),
        ([[0, 0]], (2.0, 1), SelectionError, "integers"),
    ],
)
def test_wrong_boxes(starts: Any, box: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        array().boxes(starts, box)


def test_out(device: str) -> None:
    z = array(device=device)
    out = z.boxes(STARTS, (3, 4))
    assert z.boxes(STARTS[::-1], (3, 4), out=out) is out
    assert np.array_equal(to_numpy(out), stacked(DATA, STARTS[::-1], (3, 4)))
    with pytest.raises(ShapeMismatchError, match=r"\(5, 3, 4\)"):
        z.boxes(STARTS[:4], (3, 4), out=out)


def test_out_with_any_strides() -> None:
    out = np.zeros((4, 10, 3), "f4").T[:, ::2]
    array().boxes(STARTS[:3], (5, 4), out=out)
    assert np.array_equal(out, stacked(DATA, STARTS[:3], (5, 4)))
    assert array().with_config({"order": "F"}).boxes(STARTS, 2).flags.f_contiguous


def test_whole_chunks_are_boxes() -> None:
    z = array()
    found = z.boxes([[16, 32], [0, 0], [0, 16], [0, 0]], 16)
    assert np.array_equal(found, stacked(DATA, [[16, 32], [0, 0], [0, 16], [0, 0]], (16, 16)))


def test_objects_fields_and_views() -> None:
    words = np.array([f"w{i}" for i in range(30)], object)
    z = cuzarr.create_array(MemoryStore(), shape=(30,), chunks=(7,), dtype=str, fill_value="")
    z[:20] = words[:20]
    words[20:] = ""
    assert z.boxes([3, 18, 3], 5).tolist() == [words[i : i + 5].tolist() for i in (3, 18, 3)]
    kind = np.dtype([("a", "i4"), ("b", "f8"), ("c", "u1", (2,))])
    rows = np.zeros(20, kind)
    rows["a"], rows["b"], rows["c"] = range(20), range(20), np.arange(40).reshape(20, 2)
    s = cuzarr.create_array(MemoryStore(), shape=(20,), chunks=(6,), dtype=kind, zarr_format=2)
    s[...] = rows
    assert (s.boxes([4, 11], 3) == np.stack([rows[4:7], rows[11:14]])).all()
    assert s.boxes([4, 11], 3, fields="a").tolist() == [[4, 5, 6], [11, 12, 13]]
    assert s.boxes([4, 11], 3, fields="c").tolist() == [
        rows["c"][4:7].tolist(), rows["c"][11:14].tolist(),
    ]  # fmt: skip
    view = array().astype("f8")
    assert view.boxes(STARTS, 2).dtype == np.float64
    assert np.array_equal(view.boxes(STARTS, 2), stacked(DATA, STARTS, (2, 2)))


@pytest.mark.parametrize("options", [{}, {"compressors": CRC}, {"compressors": [{"name": "gzip"}]}])
def test_a_corrupt_chunk_is_named(device: str, options: Any) -> None:
    store = MemoryStore()
    z = array(store, device, **options)
    data = bytearray(store.get("c/1/2") or b"")
    data[:12] = b"\xff" * 12
    store.set("c/1/2", bytes(data))
    z.boxes([[0, 0], [20, 10]], 6)
    for _ in range(2):
        with pytest.raises(ChunkDecodeError, match="c/1/2"):
            z.boxes([[0, 0], [20, 40], [21, 39]], 6)
    if device != "cpu":
        idle = cuda.open_backend(0).shared.lanes._idle
        assert len({id(lane) for lane in idle}) == len(idle), "a lane was given back twice"


def test_device_tables_stay_within_the_budget() -> None:
    with use_device("emulated") as device:
        cuda.open_backend(0).shared.__dict__["budget"] = 1 << 16
        z = array(device=device)
        starts = np.random.default_rng(0).integers(0, 35, (300, 2))
        assert np.array_equal(to_numpy(z.boxes(starts, 5)), stacked(DATA, starts, (5, 5)))


# Many arrays


def group(n: int, device: str = "cpu", store: Any = None, **options: Any) -> list[Any]:
    root = cuzarr.create_group(store or MemoryStore(), device=device)
    made = []
    for i in range(n):
        z = root.create_array(
            f"v{i}", shape=DATA.shape, dtype="f4", **{"chunks": (16, 16)} | options
        )
        z[...] = DATA + i
        made.append(z)
    return made


def test_alike_arrays_are_one_batch(device: str) -> None:
    store = Counting()
    arrays = group(5, device, store)
    store.asked.clear()
    store.batches = 0
    found = cuzarr.read([(z, np.s_[3:9, 10:40]) for z in arrays])
    for i, part in enumerate(found):
        assert np.array_equal(to_numpy(part), DATA[3:9, 10:40] + i)
    assert store.batches == 1
    assert len(store.asked) == len(set(store.asked)) == 5 * 3
    assert all(z.device_plan.records == arrays[0].device_plan.records for z in arrays)
    assert sum(r.chunks for r in arrays[0].device_plan.records if r.step == "zstd") == 15


def test_what_is_not_alike_is_read_apart(device: str) -> None:
    first, second = group(2, device)
    (other,) = group(1, device, compressors=CRC)
    other[:16] = -1
    words = cuzarr.create_array(MemoryStore(), shape=(3,), dtype=str)
    words[...] = ["a", "b", "c"]
    lists, points = ([1, 30], [3, 3]), np.s_[[1, 2], [3, 4]]
    found = cuzarr.read([
        (first, np.s_[1:3]), (second, np.s_[1:3]), (second, np.s_[3:1:-1]), (other, np.s_[1:3]),
        (words, 1), (first, lists), (first, points), (second, (5, 7)), (first, (5, 7)),
        (first, np.s_[4:4]),
    ])  # fmt: skip
    expected = [
        DATA[1:3], DATA[1:3] + 1, DATA[3:1:-1] + 1, np.full((2, 50), -1), "b",
        DATA[[1, 30], [3, 3]], DATA[[1, 2], [3, 4]], DATA[5, 7] + 1, DATA[5, 7], DATA[4:4],
    ]  # fmt: skip
    for part, wanted in zip(found, expected, strict=True):
        part = part if isinstance(part, str) else to_numpy(part)
        assert np.array_equal(part, wanted)
    assert isinstance(found[7], np.float32)
    assert cuzarr.read([]) == []


def test_lists_of_one_selection_are_stacked(device: str) -> None:
    store = Counting()
    arrays = group(4, device, store)
    selection = ([30, 2, 2, 17], slice(None, None, 3))
    store.batches = 0
    found = cuzarr.read([(z, selection) for z in arrays])
    assert store.batches == 1
    for i, part in enumerate(found):
        assert np.array_equal(to_numpy(part), DATA[[30, 2, 2, 17], ::3] + i)


def test_shards_and_missing_chunks(device: str) -> None:
    arrays = group(3, device, chunks=(8, 8), shards=(16, 16), fill_value=np.nan)
    arrays[1][:16] = np.nan
    found = cuzarr.read([(z, np.s_[5:30, 7:33]) for z in arrays])
    for i, part in enumerate(found):
        wanted = DATA + i
        if i == 1:
            wanted[:16] = np.nan
        assert np.array_equal(to_numpy(part), wanted[5:30, 7:33], equal_nan=True)


def test_a_large_read_is_not_stacked() -> None:
    root = cuzarr.create_group(MemoryStore(), device="cpu")
    large = [root.create_array(f"l{i}", shape=(3000, 1000), dtype="f4", chunks=(3000, 1000))
             for i in range(2)]  # fmt: skip
    found = cuzarr.read([(z, ...) for z in large])
    assert all(part.base is None or part.base.size == part.size for part in found)


def test_stacks_keep_the_order_of_their_first_members() -> None:
    a, b = group(2)
    (c,) = group(1, compressors=None)
    pending = [z.pending(np.s_[:3], {}).read for z in (a, c, b)]
    stacks = stack_reads(pending)
    assert [stack.numbers for stack in stacks] == [[0, 2], [1]]


def test_requests_are_checked() -> None:
    (z,) = group(1)
    for wrong in (z, (z,), [z, 0], ("v0", 0)):
        with pytest.raises(TypeError, match="request 1: expected"):
            cuzarr.read([(z, 0), wrong])
    with pytest.raises(BoundsCheckError) as caught:
        cuzarr.read([(z, 0), (z, 40)])
    assert "request 1" in caught.value.__notes__[0]
    with pytest.raises(NoDeviceError):
        cuzarr.read([(z, 0)], device="cuda:9")


def test_a_device_for_all() -> None:
    (host,) = group(1)
    with use_device("emulated") as device:
        (there,) = group(1, device)
        for found in cuzarr.read([(host, 3), (there, 3)], device=device):
            assert not isinstance(found, np.ndarray)
        for found in cuzarr.read([(host, 3), (there, 3)], device="cpu"):
            assert np.array_equal(found, DATA[3])


def test_bad_chunks_of_many_arrays_are_named(device: str, tmp_path: Any) -> None:
    store = LocalStore(str(tmp_path))
    arrays = group(4, device, store, compressors=CRC)
    (tmp_path / "v2/c/0/1").write_bytes(b"\0" * 1028)
    with pytest.raises(ChecksumError, match="v2/c/0/1"):
        cuzarr.read([(z, np.s_[:20]) for z in arrays])
    with pytest.raises(ChecksumError, match="v2/c/0/1"):
        cuzarr.read([(z, (slice(None, 20 + i), slice(None))) for i, z in enumerate(arrays)])
    found = cuzarr.read([(z, np.s_[16:]) for z in arrays])
    assert np.array_equal(to_numpy(found[3]), DATA[16:] + 3)
