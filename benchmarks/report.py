"""The report of ``make bench``: one document, printed as a table, written as JSON and as a plot.

1. :func:`head` and :func:`case_part` build the document from the measurements.
2. :func:`table` prints it: medians in ms, ours against the fastest peer, zarr-python against ours.
3. :func:`write` saves ``bench.json`` and, where matplotlib is installed, ``bench.png``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import cases, machine, measure
from benchmarks.cases import Case
from benchmarks.data import Extent
from benchmarks.objects import OBJECT_OPERATIONS

OURS = "cuzarr"
BASELINE = "zarr"


def head(
    size: Extent, missing: dict[str, str], versions: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """Return a document without cases."""
    return {
        "date": machine.now(),
        "commit": machine.commit(),
        "machine": machine.machine(),
        "versions": machine.versions(),
        "peers": versions,
        "missing": missing,
        "array": {"shape": list(size.shape), "dtype": "float32", "bytes": size.nbytes},
        "cases": [],
    }


def case_part(
    case: Case,
    nbytes: int,
    decoded: int | None,
    stored: tuple[int, int],
    outcomes: dict[str, measure.Outcome],
) -> dict[str, Any]:
    """Return the document's part of one case; times in ms, sizes in bytes.

    ``nbytes`` are those of the result, ``decoded`` those of the whole array, if it is one.
    """
    others = [name for name in outcomes if OURS not in name]  # zarr-cuzarr is no peer either
    baseline = outcomes[BASELINE].median if BASELINE in outcomes else None
    ours = outcomes[OURS].median if OURS in outcomes else None
    return {
        "name": case.name,
        "title": case.title,
        "operation": (cases.OPERATIONS | OBJECT_OPERATIONS)[case.operation],
        "bytes": nbytes,
        "decoded_bytes": decoded,
        "stored_bytes": stored[0],
        "stored_files": stored[1],
        "results": {
            name: {
                "median_ms": outcome.median,
                "ms": [round(ms, 3) for ms in outcome.ms],
                "reason": outcome.reason,
                "error": outcome.error,
            }
            for name, outcome in outcomes.items()
        },
        "ours_over_fastest_peer": measure.ratio(outcomes, OURS, others),
        "baseline_over_ours": baseline / ours if baseline and ours else None,
    }


def errors(document: dict[str, Any]) -> list[str]:
    """Return what makes the run a failure: our errors, and anyone's wrong values."""
    found = [f"{name}: {why}" for name, why in document["missing"].items() if name == OURS]
    for case in document["cases"]:
        peak = case.get("peak_mib", {}).get(OURS)
        if peak is not None and peak > case["peak_limit_mib"]:
            found.append(f"{case['name']}: {OURS}: {peak} MiB are more than it may use")
    return found + [
        f"{case['name']}: {name}: {result['error']}"
        for case in document["cases"]
        for name, result in case["results"].items()
        if result["error"] and (name == OURS or result["error"].startswith("AssertionError"))
    ]


def table(document: dict[str, Any]) -> str:
    """Return the report as text."""
    names = list(document["peers"])
    rows = [["case (median ms)", *names, f"{OURS}/fastest", f"{BASELINE}/{OURS}", "ratio"]]
    notes = [f"{name} takes no part: {reason}" for name, reason in document["missing"].items()]
    for case in document["cases"]:
        row = [case["name"]]
        for name in names:
            result = case["results"][name]
            median = result["median_ms"]
            row.append("-" if median is None else _ms(median))
            why = result["error"] or result["reason"]
            if why:
                notes.append(f"{case['name']}: {name}: {why}")
        row += [_ratio(case["ours_over_fastest_peer"]), _ratio(case["baseline_over_ours"])]
        decoded = case["decoded_bytes"]
        row.append(_ratio(decoded / case["stored_bytes"] if decoded else None))
        rows.append(row)
    host, array = document["machine"], document["array"]
    lines = [
        f"{array['bytes'] / 2**20:.0f} MiB float32 {array['shape']}, commit {document['commit']}",
        f"{host['cores']} cores of {host['processor']}, Python {host['python']}",
        "  ".join(f"{package} {v}" for package, v in document["versions"].items()),
        "",
        *align(rows),
        "",
        f"{OURS}/fastest below 1: no peer is faster. ratio: decoded / stored bytes.",
    ]
    peaks = [case for case in document["cases"] if "peak_mib" in case]
    if peaks:
        header = ["peak memory (MiB)", *names, f"{OURS} may use"]
        body = [
            [c["name"], *(_peak(c["peak_mib"].get(n)) for n in names), _peak(c["peak_limit_mib"])]
            for c in peaks
        ]
        lines += ["", *align([header, *body])]
    return "\n".join([*lines, *notes])


def align(rows: list[list[str]]) -> list[str]:
    """Return rows as lines: first column left, the others right, a rule under the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    lines.insert(1, "-" * len(lines[0]))
    return lines


def write(document: dict[str, Any], folder: Path, *, plot: bool = True) -> None:
    """Write ``bench.json``, and ``bench.png`` where matplotlib is installed."""
    (folder / "bench.json").write_text(json.dumps(document, indent=1) + "\n")
    if not plot:
        return
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plot: matplotlib is not installed")
        return
    mpl.use("agg")
    _plot(document, folder / "bench.png")


def _plot(document: dict[str, Any], path: Path) -> None:
    """Draw one group of bars per case: time over that of zarr-python, shorter is better."""
    from matplotlib import pyplot as plt

    names = list(document["peers"])
    shown = [c for c in document["cases"] if c["results"].get(BASELINE, {}).get("median_ms")]
    if not shown:
        print(f"no plot: {BASELINE} was not measured")
        return
    figure, axes = plt.subplots(figsize=(9, 1 + 0.6 * len(shown)), layout="constrained")
    height = 0.85 / len(names)
    for k, name in enumerate(names):
        ratios = []
        for case in shown:
            median = case["results"][name]["median_ms"]
            base = case["results"][BASELINE]["median_ms"]
            ratios.append(float("nan") if median is None else median / base)
        places = [i + k * height for i in range(len(shown))]
        axes.barh(places, ratios, height=height, label=name)
    axes.set_yticks([i + 0.4 for i in range(len(shown))], [c["name"] for c in shown])
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel(f"time / time of {BASELINE} (shorter is faster)")
    axes.set_title(f"{document['array']['bytes'] / 2**20:.0f} MiB, commit {document['commit']}")
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _peak(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
