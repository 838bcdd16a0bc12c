"""The scripts of the GPU report, tried on the host: no figure of these tests means anything."""

from __future__ import annotations

import json
import os
import subprocess

import numcodecs
import numpy as np
import pytest

from benchmarks.cases import ALL_LAYOUTS, CASES, MORE_CASES
from benchmarks.gpu import (
    blosc_streams,
    kernels,
    kvikio_store,
    limits,
    more,
    others,
    placement,
    read,
    safety,
    suite,
    table,
)
from benchmarks.gpu import part as part_module
from benchmarks.machine import ROOT


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("gpu-stores")


@pytest.fixture
def options(stores, tmp_path):
    dry = ["--dry-run", "--size", "1MiB", "--budget", "60"]
    return [*dry, "--data", str(stores), "--out", str(tmp_path)]


@pytest.fixture
def few_cases(monkeypatch):
    cases = [CASES[name] for name in ("v2-blosc", "shards", "points-shards")]
    for module in (part_module, limits, others, read, kvikio_store):
        monkeypatch.setattr(module, "READS", cases)


def test_parts_run_and_make_one_table(options, few_cases, tmp_path, capsys):
    assert limits.main(options) == 0, capsys.readouterr().out
    assert read.main(options) == 0, capsys.readouterr().out
    for part in (kernels, placement):  # they need a device, and say so
        assert part.main(options) == 0, capsys.readouterr().out
    assert others.main(options) == 0, capsys.readouterr().out
    kvikio_store.main(options)
    assert table.main(["--out", str(tmp_path)]) == 0
    text = (tmp_path / "report.txt").read_text()
    assert text.startswith(table.DRY_RUN)
    assert "part tests has not run" in text
    assert "kernels is missing: a dry run has no device" in text
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["dry_run"] is True
    for name in ("read", "peers"):
        sources = {(c["name"], c["source"]) for c in report["parts"][name]["cases"]}
        assert ("shards", "page cache") in sources
        assert ("shards", "memory") in sources
        for case in report["parts"][name]["cases"]:
            assert case["results"], case
            for library, result in case["results"].items():
                assert result["error"] is None, f"{case['name']}: {library}: {result['error']}"
                assert (result["median_ms"] is None) == (result["reason"] is not None)
    terms = report["parts"]["limits"]["terms"]["layouts"]["v3-shards"]
    assert terms["nvcomp_streams"] == 16
    assert terms["limit_ms"] >= terms["read_ms"] > 0


def test_further_layouts_are_read_and_written(options, tmp_path, monkeypatch, capsys):
    written = {name: ALL_LAYOUTS[name] for name in ("v3-zstd-rows", "v3-blosc-bits")}
    read_ = {name: case for name, case in MORE_CASES.items() if name != "zstd-16m"}
    monkeypatch.setattr(more, "ALL_LAYOUTS", written)
    monkeypatch.setattr(more, "MORE_CASES", read_)  # 1 MiB has no chunk of 16
    assert more.main(options) == 0, capsys.readouterr().out
    assert safety.main(options) == 0
    assert table.main(["--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    found = report["parts"]["more"]
    for name in ("zstd-rows", "blosc-bits", "gzip"):
        assert found["terms"]["layouts"][MORE_CASES[name].layout]["nvcomp_streams"] > 0
    lines = {line["name"]: line for line in found["cases"]}
    assert set(lines) == {*read_, "write v3-zstd-rows", "write v3-blosc-bits"}
    for line in lines.values():
        assert line["results"]["cuzarr"]["error"] is None
        assert line["results"]["cuzarr"]["median_ms"] > 0
    assert "safety: fuzz is missing" in (tmp_path / "report.txt").read_text()


def test_a_wrong_value_is_a_failure(options, few_cases, monkeypatch, capsys, tmp_path):
    right = read.CuzarrOnDevice.points
    monkeypatch.setattr(read.CuzarrOnDevice, "points", lambda *a: right(*a) + np.float32(1))
    assert read.main(options) == 1
    assert "points-shards from page cache: cuzarr: AssertionError" in capsys.readouterr().out
    table.main(["--out", str(tmp_path)])
    assert "wrong values" in capsys.readouterr().out


def test_the_suite_part_reports_failures(options, tmp_path, monkeypatch):
    assert suite.main([*options, "--budget", "120"]) == 0
    found = json.loads((tmp_path / "tests.json").read_text())["runs"]["one file"]
    assert found["counts"]["passed"] > 0
    broken = suite._pytest(["tests/unit/test_plan_item.py", "-k", "nothing_is_called_so"], 60,
                           tmp_path / "tests.log")  # fmt: skip
    assert broken["exit_status"] == 5  # pytest: no tests collected
    cut = suite._pytest(["tests/unit/test_plan_item.py"], 0.0, tmp_path / "tests.log")
    assert cut["exit_status"] == 0 or "timed out" in cut["summary"]


def test_the_table_leaves_out_documents_of_another_run(options, few_cases, tmp_path, stores):
    read.main(options)
    document = json.loads((tmp_path / "read.json").read_text())
    document["date"] = "2000-01-01T00:00:00+00:00"
    document["array"]["bytes"] *= 2
    (tmp_path / "peers.json").write_text(json.dumps(document))
    report = table.merge(tmp_path)
    assert list(report["parts"]) == ["read"]
    assert "peers" in report["not_run"]


def test_an_empty_folder_has_no_table(tmp_path, capsys):
    assert table.main(["--out", str(tmp_path)]) == 1
    assert "no part has left a document" in capsys.readouterr().out


def test_without_a_device_a_part_says_so(options, tmp_path):
    try:
        import cupy
    except ImportError:
        pass
    else:
        if cupy.cuda.is_available():
            pytest.skip("this machine has a device")
    with pytest.raises(SystemExit, match="no GPU report without a CUDA device"):
        read.main([option for option in options if option != "--dry-run"])


@pytest.mark.parametrize("cname", ["lz4", "zstd"])
@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("n", [1, 100, 4099, 300_000])
def test_blosc_streams_cover_the_chunk(cname, shuffle, n):
    rng = np.random.default_rng(n)
    values = (rng.integers(0, 1000, n) / 8).astype(np.float32)
    chunk = bytes(numcodecs.Blosc(cname, 5, shuffle).encode(values))
    found = blosc_streams.streams(chunk)
    decoded = np.zeros(values.nbytes, np.uint8)
    for start, length, target, size in zip(
        found.offsets, found.lengths, found.targets, found.decoded, strict=True
    ):
        piece = chunk[start : start + length]
        if cname == "lz4":
            piece = numcodecs.lz4.decompress(int(size).to_bytes(4, "little") + piece)
        else:
            piece = numcodecs.zstd.decompress(piece)
        decoded[target : target + size] = np.frombuffer(piece, np.uint8)
    for start, target, length in found.raw:
        decoded[target : target + length] = np.frombuffer(chunk, np.uint8, length, start)
    assert blosc_streams.unshuffle(decoded, chunk).view(np.float32).tolist() == values.tolist()


@pytest.mark.parametrize("script", ["gpu_report.sh", "wheels.sh", "bench.sh"])
def test_scripts_parse(script):
    subprocess.run(["bash", "-n", str(ROOT / "benchmarks" / script)], check=True)


def test_the_report_refuses_an_unknown_part(tmp_path):
    command = ["bash", str(ROOT / "benchmarks" / "gpu_report.sh"), "everything"]
    done = subprocess.run(command, env={**os.environ, "OUT": str(tmp_path)}, capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert "unknown part 'everything'" in done.stderr
