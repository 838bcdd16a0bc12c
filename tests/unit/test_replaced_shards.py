"""A shard that another process replaces between the reading of its index and of its chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import ChunkDecodeError, StoreError
from cuzarr.storage import LocalStore, WrapperStore
from cuzarr.storage.base import RequestBatch, is_file_source
from cuzarr.storage.view import read_only_view
from tests.devices import to_numpy, use_device

SHAPE = (8, 8)
OLD, NEW = np.zeros(SHAPE, "i4"), np.random.default_rng(1).integers(1, 2**31, SHAPE, np.int32)


class Swapping(LocalStore):
    """Replaces shards after an index was read, as often as there are others to take."""

    others: list[Path]

    def get_many(self, batch: RequestBatch) -> Any:
        answer = super().get_many(batch)
        if (batch.starts < 0).any() and self.others:
            other = self.others.pop(0)
            for key in set(batch.key_list()):
                LocalStore(self.root).set(key, (other / key).read_bytes())
        return answer


def stored(folder: Path, values: np.ndarray[Any, Any]) -> Path:
    z = cuzarr.create_array(
        folder, shape=SHAPE, dtype="i4", chunks=(2, 2), shards=(4, 8), fill_value=-1,
        compressors={"name": "zstd", "configuration": {"level": 1}},
    )  # fmt: skip
    z[...] = values
    return folder


@pytest.fixture
def swapping(tmp_path: Path) -> Swapping:
    store = Swapping(stored(tmp_path / "a", OLD))
    store.others = [stored(tmp_path / "b", NEW)]
    return store


@pytest.mark.parametrize("mode", ["r", "r+"])
@pytest.mark.parametrize("kind", ["host", "emulated"])
def test_the_new_values_are_read(swapping: Swapping, mode: Any, kind: str) -> None:
    with use_device(kind) as device:
        z = cuzarr.open_array(swapping, mode, device=device)
        np.testing.assert_array_equal(to_numpy(z[...]), NEW)
        assert swapping.others == []
        np.testing.assert_array_equal(to_numpy(z[3:6, 1:]), NEW[3:6, 1:])


def test_kept_indexes_are_given_up(tmp_path: Path) -> None:
    a, b = stored(tmp_path / "a", OLD), stored(tmp_path / "b", NEW)
    z = cuzarr.open_array(read_only_view(LocalStore(a)), "r")
    np.testing.assert_array_equal(z[:2], OLD[:2])
    LocalStore(a).set("c/0/0", (b / "c/0/0").read_bytes())
    np.testing.assert_array_equal(z[:4], NEW[:4])
    LocalStore(a).delete(["c/0/0"])
    assert (z[:4] == -1).all()


def test_a_store_of_files_that_cannot_tell(tmp_path: Path) -> None:
    class Files(WrapperStore):
        """Lets the native code read files, but knows nothing of their versions."""

        def read_into(self, batch: RequestBatch, slab: memoryview, *, threads: int = 1) -> Any:
            return local.read_into(batch, slab, threads=threads)

        def file_root(self, batch: RequestBatch) -> str:
            return local.file_root(batch)

    local = LocalStore(stored(tmp_path / "a", NEW))
    view = read_only_view(Files(local))
    assert is_file_source(view)
    z = cuzarr.open_array(view, "r")
    np.testing.assert_array_equal(z[3:6], NEW[3:6])
    (tmp_path / "a" / "c/1/0").write_bytes(b"")
    with pytest.raises(ChunkDecodeError, match="c/1/0"):
        z[...]


def test_some_of_many_arrays(swapping: Swapping, tmp_path: Path) -> None:
    other = cuzarr.open_array(stored(tmp_path / "c", OLD + 5))
    z = cuzarr.open_array(swapping, "r")
    found = cuzarr.read([(other, ...), (z, ...), (z, slice(5)), (other, slice(1, 3))])
    for result, expected in zip(found, [OLD + 5, NEW, NEW[:5], (OLD + 5)[1:3]], strict=True):
        np.testing.assert_array_equal(result, expected)


def test_one_that_is_replaced_all_the_time(swapping: Swapping, tmp_path: Path) -> None:
    stored(tmp_path / "c", OLD)
    swapping.others = [tmp_path / name for name in "bcbc" * 5]
    with pytest.raises(StoreError, match="replaced again and again while they are read"):
        cuzarr.open_array(swapping, "r")[...]
    assert 0 < len(swapping.others) < 20


def test_one_that_is_replaced_twice(swapping: Swapping, tmp_path: Path) -> None:
    swapping.others = [tmp_path / "b", stored(tmp_path / "c", OLD)]
    np.testing.assert_array_equal(cuzarr.open_array(swapping, "r")[...], OLD)


def test_one_that_is_replaced_by_a_bad_one(swapping: Swapping, tmp_path: Path) -> None:
    path = tmp_path / "b" / "c/0/0"
    path.write_bytes(b"\xff" * 40 + path.read_bytes()[40:])
    with pytest.raises(ChunkDecodeError, match="c/0/0"):
        cuzarr.open_array(swapping, "r")[...]
    assert swapping.others == []


def test_errors_of_what_did_not_change_are_raised(swapping: Swapping, tmp_path: Path) -> None:
    swapping.others = []
    path = tmp_path / "a" / "c/0/0"
    path.write_bytes(b"\xff" * 40 + path.read_bytes()[40:])
    with pytest.raises(ChunkDecodeError, match="c/0/0"):
        cuzarr.open_array(swapping, "r")[...]
