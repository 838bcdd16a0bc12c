"""Part "table": one short table from the documents of the other parts.

1. :func:`merge` reads ``NAME.json`` of every part that ran into one document.
2. :func:`render` prints GB/s of decoded data per case: cuzarr, zarr-python on the GPU, the best CPU
   library plus an upload, kvikio, the physical limit, and what they are of each other.
3. The merged document is ``report.json``, the text ``report.txt``.

Documents of a dry run are printed under a line that says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, MORE_CASES
from benchmarks.report import align

PARTS = (
    "tests", "limits", "kernels", "placement", "read", "peers", "kvikio", "more", "safety",
)  # fmt: skip
DRY_RUN = "DRY RUN ON THE HOST: these figures say nothing about any GPU"


def main(arguments: list[str] | None = None) -> int:
    """Print the table and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.table")
    parser.add_argument("--out", type=Path, required=True, help="folder of the documents")
    options = parser.parse_args(arguments)
    report = merge(options.out)
    if not report["parts"]:
        print(f"no part has left a document in {options.out}")
        return 1
    text = render(report)
    print(text)
    (options.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.out / "report.txt").write_text(text + "\n")
    return 0


def merge(folder: Path) -> dict[str, Any]:
    """Return {"parts": {name: document}, ...}; a part that left no document is listed as such."""
    found = {
        name: json.loads(path.read_text())
        for name in PARTS
        if (path := folder / f"{name}.json").exists()
    }
    measured = [part for name, part in found.items() if name != "tests"]
    newest = max(measured or found.values(), key=lambda part: part["date"], default=None)
    parts = {name: part for name, part in found.items() if _goes_with(name, part, newest)}
    return {
        "dry_run": any(part["dry_run"] for part in parts.values()),
        "not_run": [name for name in PARTS if name not in parts],
        "parts": parts,
    }


def _goes_with(name: str, part: dict[str, Any], newest: Any) -> bool:
    """Whether a document belongs beside the newest one: same machine, commit and array."""
    keys = ["dry_run", "commit", "device"] + ([] if name == "tests" else ["array"])
    return all(part[key] == newest[key] for key in keys)


def render(report: dict[str, Any]) -> str:
    """Return the report as text."""
    parts = report["parts"]
    lines = [DRY_RUN, ""] if report["dry_run"] else []
    first = next(iter(parts.values()))
    device = {k: v for part in parts.values() for k, v in part["device"].items()}
    # kvikio runs beside another zarr, which has a line of its own.
    usual = {
        k: v for n, part in parts.items() if n != "kvikio" for k, v in part["versions"].items()
    }
    versions = usual or first["versions"]
    lines.append(
        f"{device['gpu']}, {first['machine']['cores']} cores of {first['machine']['processor']}, "
        f"commit {first['commit']}, {first['date']}"
    )
    lines.append("  ".join(f"{k} {v}" for k, v in {**device, **versions}.items() if k != "gpu"))
    if "kvikio" in parts.get("kvikio", {}):
        beside = parts["kvikio"]["versions"]
        about = parts["kvikio"]["kvikio"]
        lines.append(
            f"kvikio {beside['kvikio']} with zarr {beside['zarr']}, {about['threads']} threads, "
            f"GPUDirect Storage: {about['gds']}"
        )
    for name, run in parts.get("tests", {}).get("runs", {}).items():
        lines.append(f"tests, {name}: {run['summary']}")
    terms = parts.get("limits", {}).get("terms") or parts.get("more", {}).get("terms")
    if terms:
        speeds = f"{terms['upload_gbs']:.1f} GB/s, device copy {terms['copy_gbs']:.0f} GB/s"
        lines.append(f"pinned upload {speeds}")
    rows = [_HEADER, *_rows(parts)]
    if len(rows) > 1:
        lines += ["", *align(rows), ""]
        lines.append("limit: the slowest of read, upload, nvCOMP + one copy, measured here.")
    for name in ("limits", "more"):
        if parts.get(name, {}).get("terms"):
            lines += ["", *align(_term_rows(parts[name]["terms"]))]
    fuzz = parts.get("safety", {}).get("fuzz", {}).get("output", "")
    if fuzz:
        lines += ["", *fuzz.strip().splitlines()[-1:]]
    kernels = parts.get("kernels", {}).get("kernels", {})
    if kernels:
        lines += ["", *align(_kernel_rows(kernels))]
    lines += [f"part {name} has not run" for name in report["not_run"]]
    return "\n".join([*lines, *_notes(parts)])


_HEADER = [
    "GB/s of decoded data", "from", "cuzarr ms", "cuzarr", "zarr-gpu", "CPU + upload", "(which)",
    "kvikio", "limit", "cuzarr/limit", "cuzarr/best other",
]  # fmt: skip


def _rows(parts: dict[str, Any]) -> list[list[str]]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    times: dict[tuple[str, str], float] = {}
    for part in ("read", "peers", "kvikio", "more"):
        for line in parts.get(part, {}).get("cases", []):
            key = (line["name"], line["source"])
            speeds = found.setdefault(key, {})
            for name, result in line["results"].items():
                if result["median_ms"] is not None:
                    # Opening gives no bytes: it is counted as one, so that ratios hold.
                    speeds[name] = max(1, result["bytes"]) / result["median_ms"] / 1e6
                    if name == "cuzarr":
                        times[key] = result["median_ms"]
    measured = [parts[name] for name in ("limits", "more") if name in parts]
    layouts: dict[str, Any] = {}
    for part_ in measured:
        layouts |= part_.get("terms", {}).get("layouts", {})
    size = measured[0]["array"]["bytes"] if measured else 0
    rows = []
    for (name, source), speeds in found.items():
        ours = speeds.get("cuzarr")
        uploads = {n: s for n, s in speeds.items() if n.endswith("+upload")}
        best = max(uploads, key=lambda n: uploads[n]) if uploads else None
        others = [s for n, s in speeds.items() if n != "cuzarr"]
        limit = _limit(name, source, layouts, size)
        rows.append(
            [
                name,
                source,
                f"{times[name, source]:.1f}" if (name, source) in times else "-",
                _gbs(ours),
                _gbs(speeds.get("zarr-gpu")),
                _gbs(speeds[best] if best else None),
                best.removesuffix("+upload") if best else "-",
                _gbs(speeds.get("kvikio")),
                _gbs(limit),
                "-" if not ours or not limit else f"{100 * ours / limit:.0f} %",
                "-" if not ours or not others else f"{ours / max(others):.1f} x",
            ]
        )
    return rows


def _limit(name: str, source: str, layouts: dict[str, Any], size: int) -> float | None:
    """Return the limit of a full read in GB/s."""
    case = (CASES | MORE_CASES).get(name)
    terms = None if case is None else layouts.get(case.layout)
    if case is None or case.operation != "full" or terms is None:
        return None
    ms = terms.get("limit_memory_ms" if source == "memory" else "limit_ms")
    if source == "device memory" and ms:
        ms = terms["nvcomp_ms"] + terms["copy_ms"]
    return None if not ms else float(size / ms / 1e6)


def _term_rows(terms: dict[str, Any]) -> list[list[str]]:
    columns = ("read_ms", "upload_ms", "nvcomp_ms", "copy_ms", "limit_ms")
    rows = [["terms of the limit (ms)", *(c.removesuffix("_ms") for c in columns), "streams"]]
    for name, found in terms["layouts"].items():
        cells = ["-" if found.get(c) is None else f"{found[c]:.1f}" for c in columns]
        rows.append([name, *cells, str(found.get("nvcomp_streams", "-"))])
    return rows


def _kernel_rows(kernels: dict[str, Any]) -> list[list[str]]:
    rows = [["kernels, GB/s read and written", "GB/s", "of a copy"]]
    for name, found in kernels.items():
        rows.append([name, f"{found['gbs']:.0f}", f"{100 * found['of_copy']:.0f} %"])
    return rows


def _notes(parts: dict[str, Any]) -> list[str]:
    notes = []
    for part, document in parts.items():
        notes += [f"{part}: {text}" for text in document.get("errors", [])]
        notes += [f"{part}: {n} is missing: {r}" for n, r in document.get("missing", {}).items()]
        reasons: dict[tuple[str, str], list[str]] = {}
        for line in document["cases"]:
            for name, result in line["results"].items():
                why = result["error"] or result["reason"]
                if why:
                    where = f"{line['name']} from {line['source']}"
                    reasons.setdefault((name, why.splitlines()[0][:120]), []).append(where)
                elif name != "cuzarr" and 0 < result["bytes"] < line["bytes"]:
                    less = f"measured on {result['bytes'] / 2**20:.0f} MiB"
                    reasons.setdefault((name, less), []).append(line["name"])
        notes += [f"{part}: {n}: {why} ({', '.join(at)})" for (n, why), at in reasons.items()]
    return notes


def _gbs(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
