"""Symbolic links in a local store: inner ones are followed, none leads outside."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cuzarr.errors import StoreError
from cuzarr.storage import LocalStore
from cuzarr.storage import local as local_module
from cuzarr.storage.base import RequestBatch, Status
from tests.contract.store_cases import files_below


@pytest.fixture
def linked(tmp_path: Path) -> LocalStore:
    """A store with links that stay inside, and some that lead outside."""
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "secret").write_bytes(b"secret")
    (outside / "deep" / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "real" / "c").mkdir(parents=True)
    (root / "real" / "c" / "0").write_bytes(b"chunk")
    (root / "dir").symlink_to("real")
    (root / "absolute").symlink_to(root / "real")
    (root / "file").symlink_to("real/c/0")
    (root / "broken").symlink_to("real/none")
    (root / "loop").symlink_to("loop")
    (root / "out").symlink_to(outside)
    (root / "real" / "out").symlink_to("../../outside/deep")
    (root / "outfile").symlink_to("../outside/secret")
    # a neighbour whose name starts like the root's
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "secret").write_bytes(b"secret")
    (root / "neighbour").symlink_to("../root-2")
    return LocalStore(root)


OUTSIDE = ["out/secret", "out/deep/secret", "real/out/secret", "dir/out/secret", "outfile",
           "neighbour/secret"]  # fmt: skip


@pytest.mark.parametrize("key", ["dir/c/0", "absolute/c/0", "file"])
def test_links_that_stay_inside_are_followed(linked: LocalStore, key: str):
    assert linked.get(key) == b"chunk"
    assert linked.get(key, 1, 2) == b"hu"
    assert linked.exists(key)
    assert linked.size(key) == 5
    batch = RequestBatch.of(["real/c/0", key, "none", key], [0, 0, 0, -2])
    slab = bytearray(64)
    placed = linked.read_into(batch, memoryview(slab))
    assert placed.statuses.tolist() == [Status.OK, Status.OK, Status.MISSING, Status.OK]
    assert placed.sizes.tolist() == [5, 5, -1, 2]
    assert (placed.positions[[0, 1, 3]] % 16 == 0).all()
    assert len(set(placed.positions[[0, 1, 3]].tolist())) == 3
    for i, value in ((0, b"chunk"), (1, b"chunk"), (3, b"nk")):
        at = int(placed.positions[i])
        assert slab[at : at + len(value)] == value
        assert at + len(value) <= placed.used <= 64


def test_a_linked_object_and_a_full_slab(linked: LocalStore):
    slab = bytearray(20)
    placed = linked.read_into(RequestBatch.of(["real/c/0", "file"]), memoryview(slab))
    assert placed.statuses.tolist() == [Status.OK, Status.NO_SPACE]
    assert placed.sizes.tolist() == [5, 5]
    assert slab[5:] == bytes(15)


@pytest.mark.parametrize("key", OUTSIDE)
def test_links_that_lead_outside_are_refused(linked: LocalStore, key: str):
    slab = memoryview(bytearray(64))
    for call in (
        lambda: linked.get(key),
        lambda: linked.size(key),
        lambda: linked.exists(key),
        lambda: linked.get_many(RequestBatch.of(["real/c/0", key])),
        lambda: linked.read_into(RequestBatch.of(["real/c/0", key]), slab),
        lambda: linked.read_into(RequestBatch.of(["none/x", key, "real/c/0"]), slab),
    ):
        with pytest.raises(StoreError, match=r"leads outside.*follow_links=True"):
            call()
    assert b"secret" not in bytes(slab)


@pytest.mark.parametrize("key", [key for key in OUTSIDE if "/" in key])
def test_nothing_outside_is_written_or_deleted(linked: LocalStore, key: str, tmp_path: Path):
    with pytest.raises(StoreError, match=r"leads outside"):
        linked.set(key, b"overwritten")
    with pytest.raises(StoreError, match=r"leads outside"):
        linked.set(f"{key}-new", b"new")
    with pytest.raises(StoreError, match=r"leads outside"):
        linked.delete([key])
    with pytest.raises(StoreError, match=r"leads outside"):
        linked.delete_dir(key)
    assert files_below(tmp_path / "outside") == ["deep", "deep/secret", "secret"]
    assert (tmp_path / "outside" / "secret").read_bytes() == b"secret"


def test_writing_replaces_a_link_to_a_file(linked: LocalStore, tmp_path: Path):
    linked.set("outfile", b"mine")
    assert linked.get("outfile") == b"mine"
    assert (tmp_path / "outside" / "secret").read_bytes() == b"secret"


def test_delete_dir_does_not_follow_links(linked: LocalStore, tmp_path: Path):
    linked.delete_dir("out")
    linked.delete_dir("real")
    assert "secret" in files_below(tmp_path / "outside")
    linked.delete_dir("")
    assert files_below(tmp_path / "root") == []
    assert files_below(tmp_path / "outside") == ["deep", "deep/secret", "secret"]


def test_listing_follows_inner_links_only(linked: LocalStore):
    expected = ["absolute/c/0", "dir/c/0", "file", "real/c/0"]
    assert sorted(linked.list()) == expected
    assert [key for key in expected if linked.get(key) != b"chunk"] == []
    assert linked.list_dir("real") == ["c"]
    assert {"out", "outfile", "neighbour"}.isdisjoint(linked.list_dir())
    with pytest.raises(StoreError, match=r"leads outside"):
        linked.list_dir("out")


def test_a_link_to_a_directory_above_is_listed_once(linked: LocalStore, tmp_path: Path):
    (tmp_path / "root" / "real" / "up").symlink_to("..")
    keys = list(linked.list())
    assert "real/c/0" in keys
    assert len(keys) < 20


def test_follow_links(linked: LocalStore, tmp_path: Path):
    follow = LocalStore(tmp_path / "root", follow_links=True)
    slab = bytearray(16 * len(OUTSIDE))
    placed = follow.read_into(RequestBatch.of(OUTSIDE), memoryview(slab))
    assert placed.statuses.tolist() == [Status.OK] * len(OUTSIDE)
    for key in OUTSIDE:
        assert follow.get(key) == b"secret"
        assert follow.size(key) == 6
        assert follow.exists(key)
    assert {"out/secret", "out/deep/secret", "outfile", "neighbour/secret"} < set(follow.list())
    assert "out" in follow.list_dir()


@pytest.mark.parametrize("key", ["broken", "loop", "broken/x", "loop/x"])
@pytest.mark.parametrize("follow", [False, True])
def test_links_that_lead_nowhere(linked: LocalStore, tmp_path: Path, key: str, follow: bool):
    store = LocalStore(tmp_path / "root", follow_links=follow)
    statuses = {int(s) for s in store.get_many(RequestBatch.of([key])).statuses}
    statuses |= {
        int(s) for s in store.read_into(RequestBatch.of([key]), memoryview(bytearray(16))).statuses
    }
    assert statuses <= {Status.MISSING, Status.ERRNO + errno.ELOOP}
    assert len(statuses) == 1
    assert "broken" not in store.list()


def test_nothing_is_written_below_a_link_that_leads_nowhere(linked: LocalStore, tmp_path: Path):
    store = LocalStore(tmp_path / "root", follow_links=True)
    with pytest.raises(StoreError, match=r"cannot write 'broken/x' in .*: File exists") as caught:
        store.set("broken/x", b"new")
    assert caught.value.errno == errno.EEXIST
    assert (tmp_path / "root" / "broken").is_symlink()


def test_a_link_is_seen_after_its_directory_was_deleted(linked: LocalStore, tmp_path: Path):
    """What was checked is forgotten when it is deleted."""
    assert linked.get("real/c/0") == b"chunk"
    linked.delete(["real/c/0"])
    (tmp_path / "root" / "real" / "c").symlink_to(tmp_path / "outside")
    with pytest.raises(StoreError, match=r"leads outside"):
        linked.get("real/c/secret")


def test_directories_are_checked_once(linked: LocalStore, monkeypatch: pytest.MonkeyPatch):
    real, calls = os.lstat, []
    monkeypatch.setattr(local_module.os, "lstat", lambda path: calls.append(path) or real(path))
    for _ in range(3):
        linked.get_many(RequestBatch.of(["real/c/0", "real/c/1", "real/c/2"]))
        linked.read_into(RequestBatch.of(["real/c/0", "real/c/1"]), memoryview(bytearray(64)))
    assert len(calls) == 2
