"""The benchmark itself: it runs at a small size, reports every library, catches errors."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter

import numpy as np
import pytest

from benchmarks import cases, data, measure, memory, objects, report, run
from benchmarks.cases import LAYOUTS, Inputs
from benchmarks.peers import all_peers

READERS = [name for name, peer in all_peers().items() if peer.missing() is None]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="module")
def small():
    size = data.extent(1 << 20)
    return size, data.field(size.rows, size.columns), Inputs.draw(size.shape)


def test_smoke_run_measures_every_case_with_every_library(stores, tmp_path, capsys, monkeypatch):
    for name, few in (("APPENDS", 12), ("MEMBERS", 5), ("STRINGS", 1500)):
        monkeypatch.setattr(objects, name, few)
    options = ["--size", "16MiB", "--repeats", "1", "--no-plot", "--memory", "none"]
    status = run.main([*options, "--data", str(stores), "--out", str(tmp_path)])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    document = json.loads((tmp_path / "bench.json").read_text())
    assert [case["name"] for case in document["cases"]] == list(run.ALL_CASES)
    assert document["array"]["bytes"] == 16 << 20
    for case in document["cases"]:
        assert case["name"] in printed.out
        for name, result in case["results"].items():
            assert result["error"] is None, f"{case['name']}: {name}: {result['error']}"
            assert (result["median_ms"] is None) == (result["reason"] is not None)


@pytest.mark.parametrize("operation", ["full", "strided", "rows", "points", "windows"])
@pytest.mark.parametrize("name", READERS)
def test_peers_agree_on_a_repeated_tile(stores, small, name, operation):
    tiny, tile, _ = small
    size = data.Extent(tiny.rows, tiny.columns, 3)
    inputs = Inputs.draw(size.shape)
    for layout in (LAYOUTS["v2-blosc-1m"], LAYOUTS["v3-blosc-64k"]):
        path = data.ensure(stores, layout, size, tile)
        peer = all_peers()[name]
        case = cases.Case("any", layout.name, operation, "")
        if peer.cannot(case, layout):
            continue
        with peer.scope():
            result = getattr(peer, operation)(peer.open(path, layout), inputs)
        cases.check(operation, result, tile, size, inputs)


@pytest.mark.parametrize("operation", ["full", "strided", "rows", "points", "windows"])
def test_check_refuses_a_wrong_value(small, operation):
    size, tile, inputs = small
    right = {
        "full": tile,
        "strided": tile[::4, ::4],
        "rows": tile[inputs.rows],
        "points": tile[inputs.points],
        "windows": [tile[window] for window in inputs.windows()],
    }[operation]
    cases.check(operation, right, tile, size, inputs)
    wrong = [part.copy() for part in right]
    wrong[-1] = wrong[-1] + np.float32(1)
    value = wrong if operation == "windows" else np.array(wrong)
    with pytest.raises(AssertionError, match="wrong values"):
        cases.check(operation, value, tile, size, inputs)


def test_a_repeated_tile_must_be_whole(stores, small):
    tiny, tile, _ = small
    with pytest.raises(ValueError, match="no whole chunk grid"):
        data.ensure(stores, LAYOUTS["v3-shards"], data.Extent(tiny.rows, tiny.columns, 2), tile)


def test_data_compresses_about_two_to_one(stores, small):
    size, tile, _ = small
    stored, files = data.stored_bytes(data.ensure(stores, LAYOUTS["v3-blosc-64k"], size, tile))
    assert files == 16 + 1
    assert 1.7 < size.nbytes / stored < 3.5


def test_interleave_takes_turns_and_keeps_errors():
    order = []

    def trial(name, *, fails=False):
        def go(_):
            order.append(name)
            if fails:
                raise OSError("disk on fire")
            return name

        return measure.Trial(name, lambda: None, go, lambda _: None, contextlib.nullcontext)

    outcomes = measure.interleave([trial("a"), trial("b"), trial("c", fails=True)], 2)
    # the first round is not counted
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert [sorted(order[3:5]), sorted(order[5:])] == [["a", "b"]] * 2
    assert len(outcomes["a"].ms) == len(outcomes["b"].ms) == 2
    assert outcomes["c"].ms == []
    assert outcomes["c"].error == "OSError: disk on fire"


def test_no_peer_always_comes_behind_the_same_one():
    order = []
    trials = [
        measure.Trial(
            name, lambda: None, lambda _, n=name: order.append(n), lambda _: None,
            contextlib.nullcontext,
        )
        for name in "abcde"
    ]  # fmt: skip
    measure.interleave(trials, 7)
    first = list(order)
    rounds = [order[i : i + 5] for i in range(0, 40, 5)]
    assert all(sorted(names) == list("abcde") for names in rounds)
    pairs = Counter(pair for names in rounds for pair in itertools.pairwise(names))
    assert max(pairs.values()) <= 4
    order.clear()
    measure.interleave(trials, 7)
    assert order == first  # every run has the same turns


def test_what_was_written_is_put_aside_and_deleted_at_the_end(tmp_path):
    written = tmp_path / "written" / "c"
    written.mkdir(parents=True)
    (written / "0").write_bytes(b"12345")
    inode = (written / "0").stat().st_ino
    data.discard(tmp_path / "written")
    data.discard(tmp_path / "written")  # nothing is there any more
    assert not written.exists()
    (aside,) = tmp_path.glob("*/c/0")
    assert (aside.stat().st_ino, aside.stat().st_size) == (inode, 0)
    (tmp_path / "kept").mkdir()
    data.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_ratio_is_ours_over_the_fastest_peer():
    times = {"ours": [2.0, 3, 4], "slow": [9.0], "fast": [1.0, 2, 90], "absent": []}
    outcomes = {name: measure.Outcome(name, ms) for name, ms in times.items()}
    assert measure.ratio(outcomes, "ours", ["slow", "fast", "absent"]) == 1.5
    assert measure.ratio(outcomes, "absent", ["slow"]) is None


@pytest.mark.parametrize(("text", "nbytes"), [("256MiB", 256 << 20), ("4 gib", 4 << 30), ("7", 7)])
def test_parse_size(text, nbytes):
    assert data.parse_size(text) == nbytes


def test_parse_size_refuses_other_units():
    with pytest.raises(ValueError, match="write it as 256MiB"):
        data.parse_size("4GB")


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        run.main(["--cases", "nonsense"])
    assert "known: v2-blosc" in capsys.readouterr().err
    with pytest.raises(ValueError, match="unknown peers"):
        run.main(["--size", "1MiB", "--peers", "nonsense"])


@pytest.mark.parametrize(
    ("operation", "right"),
    [
        ("members", objects.members()),
        ("append", objects.blocks()),
        ("strings", objects.strings()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_check_of_objects_refuses_a_wrong_value(operation, right):
    objects.check(operation, right)
    wrong = list(right) if operation == "members" else right.copy()
    wrong[-1] = wrong[0]
    with pytest.raises(AssertionError, match=r"wrong values|members"):
        objects.check(operation, wrong)


def test_too_much_memory_is_an_error(stores, tmp_path, capsys, monkeypatch):
    options = ["--size", "16MiB", "--repeats", "1", "--no-plot", "--peers", "cuzarr,zarr"]
    options += ["--cases", "strided", "--data", str(stores), "--out", str(tmp_path)]
    assert run.main(options) == 0
    assert "peak memory (MiB)" in capsys.readouterr().out
    (case,) = json.loads((tmp_path / "bench.json").read_text())["cases"]
    assert case["peak_limit_mib"] == memory.limit(1 << 20) == 65.3
    assert 0 < case["peak_mib"]["cuzarr"] < case["peak_limit_mib"]
    case["peak_mib"]["cuzarr"] = 70.0
    (error,) = report.errors({"missing": {}, "cases": [case]})
    assert "70.0 MiB are more than it may use" in error
    monkeypatch.setattr(memory, "BUDGET", -(1 << 30))
    assert run.main(options) == 1
