"""Write a data set, let another library read it, read it back on the device at hand, verify it all.

1. Make six variables in memory: the truth.
2. Write them with cuzarr: one Zarr v2 group, one v3 group with shards.
3. Open and compare them with zarr-python, where it is installed.
4. Open them with ``device="auto"``; say which device was chosen and why.
5. Read whole arrays, slices, lists, points and random training windows, and compare every result.
6. Print throughput, compression ratios, chunks read, and where each step ran.

``python demo/demo.py [--out FOLDER] [--device auto]``; exits with an error if anything differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from dataset import LAYOUTS, Layout, variables
from progress import Progress

import cuzarr

Truth = Mapping[str, npt.NDArray[Any]]
WINDOWS, WINDOW = 48, (4, 128, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description="cuzarr's demo")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    options = parser.parse_args()
    print(f"cuzarr {cuzarr.__version__}, NumPy {np.__version__}, {os.cpu_count()} processors\n")
    truth = variables()
    shutil.rmtree(options.out, ignore_errors=True)
    write(truth, options.out)
    compare_with_zarr_python(truth, options.out)
    arrays = open_all(options.out, options.device)
    read(truth, arrays)
    print("\nEvery read equals the data in memory.")


def write(truth: Truth, out: Path) -> None:
    """Write every variable and report its size on disk."""
    groups = {
        name: cuzarr.create_group(
            out / name, zarr_format=int(name[-1]), attributes={"title": "made for the demo"}
        )
        for name in dict.fromkeys(layout.group for layout in LAYOUTS)
    }
    print("Writing              MB     MB/s  ratio  files")
    total = sum(array.nbytes for array in truth.values())
    with Progress("writing", total) as progress:
        for layout in LAYOUTS:
            data = truth[layout.name]
            array = groups[layout.group].create_array(
                layout.name,
                shape=data.shape,
                dtype=data.dtype,
                attributes=layout.attributes,
                **layout.options,
            )
            seconds = timed(lambda array=array, data=data: array.__setitem__(..., data))[0]
            progress.advance(data.nbytes, layout.name)
            folder = out / layout.group / layout.name
            files = [path for path in folder.rglob("*") if path.is_file()]
            stored = sum(path.stat().st_size for path in files)
            print(
                f"  {layout.name:12} {data.nbytes / 1e6:8.1f} {data.nbytes / seconds / 1e6:8.0f} "
                f"{data.nbytes / stored:6.1f} {len(files):6}  {layout.says}"
            )


def compare_with_zarr_python(truth: Truth, out: Path) -> None:
    """Let zarr-python read what was written."""
    try:
        import zarr  # noqa: PLC0415
    except ImportError:
        print("\nzarr-python is not installed: its reading of these files is not checked")
        return
    for layout in LAYOUTS:
        found = zarr.open_group(out / layout.group, mode="r")[layout.name][...]
        must_equal(found, truth[layout.name], f"{layout.name} as zarr-python reads it")
    print(f"\nzarr-python {zarr.__version__} reads all {len(LAYOUTS)} arrays: equal")


def open_all(out: Path, device: str) -> dict[str, cuzarr.Array]:
    """Open both groups and say which device was chosen, and why."""
    arrays = {
        layout.name: cuzarr.open_group(out / layout.group, mode="r", device=device)[layout.name]
        for layout in LAYOUTS
    }
    print("\nDevice")
    chosen: dict[tuple[str, str], list[str]] = {}
    for name, array in arrays.items():
        chosen.setdefault((str(array.device), str(array.device_reason)), []).append(name)
    for (where, why), names in chosen.items():
        print(f"  {where} for {', '.join(names)}: {why}")
    return arrays


def read(truth: Truth, arrays: Mapping[str, cuzarr.Array]) -> None:
    """Read, verify and report."""
    cases = [case for layout in LAYOUTS for case in cases_of(layout, truth[layout.name])]
    tally = Tally()
    print("\nReading                                    MB     ms    MB/s  chunks  decoded MB")
    with Progress("reading", sum(case.expected.nbytes for case in cases)) as progress:
        for case in cases:
            array = arrays[case.variable]
            target = getattr(array, case.how) if case.how else array
            seconds, chunks, decoded, results = 0.0, 0, 0, []
            for key in case.keys:
                took, result = timed(lambda target=target, key=key: target[key])
                seconds += took
                results.append(host(result))
                read_chunks, read_bytes = tally.add(array.device_plan.records)
                chunks, decoded = chunks + read_chunks, decoded + read_bytes
            found = np.stack(results) if len(results) > 1 else results[0]
            must_equal(found, case.expected, f"{case.variable} {case.label}")
            progress.advance(case.expected.nbytes, case.variable)
            size = case.expected.nbytes / 1e6
            speed = f"{size / seconds:7.0f}" if size > 1 else "       "
            print(
                f"  {case.variable:8} {case.label:26} {size:7.1f} {seconds * 1e3:6.1f} {speed}"
                f" {chunks:7} {decoded / 1e6:11.1f}"
            )
    print("\nWhere each step ran    chunks      MB")
    print(tally)


class Tally:
    """Adds up where the steps of many reads ran."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], list[int]] = {}

    def add(self, records: Sequence[Any]) -> tuple[int, int]:
        """Add one call's records; return its chunks and decoded bytes, each chunk counted once."""
        per_step: dict[str, list[int]] = {}
        for r in records:
            for count in (
                self.rows.setdefault((r.step, r.where, r.why), [0, 0]),
                per_step.setdefault(r.step.partition(" ")[0], [0, 0]),
            ):
                count[0] += r.chunks
                count[1] += r.nbytes
        most = max(per_step.values(), default=[0, 0])
        return most[0], most[1]

    def __str__(self) -> str:
        return "\n".join(
            f"  {step:12} {where:6} {chunks:7} {nbytes / 1e6:7.0f}  {why}"
            for (step, where, why), (chunks, nbytes) in sorted(self.rows.items())
        )


@dataclass(frozen=True)
class Case:
    """Some reads of one variable, and what they must give.

    Attributes
    ----------
    variable, label : str
    how : {"", "oindex", "vindex"}
    keys : sequence
        One read each; several results are stacked.
    expected : numpy.ndarray
    """

    variable: str
    label: str
    how: str
    keys: Sequence[Any]
    expected: npt.NDArray[Any]


def cases_of(layout: Layout, data: npt.NDArray[Any]) -> list[Case]:
    """Return what is read of one variable."""
    rng = np.random.default_rng(7)
    name = layout.name
    cases = [Case(name, "all", "", [...], data)]
    if data.ndim == 3:
        days = rng.permutation(data.shape[0])[:10]
        points = tuple(rng.integers(0, n, 5000) for n in data.shape)
        place, back = (slice(None), 200, 300), slice(None, None, -12)
        cases += [
            Case(name, "one place, all times", "", [place], data[place]),
            Case(name, "every third day, backwards", "", [back], data[back]),
            Case(name, "10 times in any order", "oindex", [days], data[days]),
            Case(name, "5000 points", "vindex", [points], data[points]),
        ]
    if data.dtype == np.float32:
        keys = [
            tuple(
                slice(first, first + w)
                for first, w in zip(rng.integers(0, bounds).tolist(), WINDOW, strict=True)
            )
            for bounds in [np.subtract(data.shape, WINDOW) + 1] * WINDOWS
        ]
        label = f"{WINDOWS} windows of {'x'.join(map(str, WINDOW))}"
        cases.append(Case(name, label, "", keys, np.stack([data[key] for key in keys])))
    return cases


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that ``work`` took, the device's included, and its result."""
    started = time.perf_counter()
    result = work()
    wait(result)
    return time.perf_counter() - started, result


def wait(result: Any) -> None:
    """Wait for the device that holds ``result``; the ``device`` of a NumPy array is a string."""
    synchronize = getattr(getattr(result, "device", None), "synchronize", None)
    if synchronize is not None:
        synchronize()


def host(result: Any) -> npt.NDArray[Any]:
    """Return a result as a NumPy array; CuPy's have ``get``."""
    return result.get() if hasattr(result, "get") else np.asarray(result)


def must_equal(found: Any, expected: npt.NDArray[Any], what: str) -> None:
    """Stop with a message unless both are equal in shape, data type and every value."""
    found = np.asarray(found)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        sys.exit(f"{what}: {found.dtype}{found.shape}, not {expected.dtype}{expected.shape}")
    if not np.array_equal(found, expected, equal_nan=expected.dtype.kind == "f"):
        sys.exit(f"{what}: {np.count_nonzero(found != expected)} values differ")


if __name__ == "__main__":
    main()
