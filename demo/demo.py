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
from collections.abc import Callable, Mapping
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
    total = sum(expected.nbytes for _, _, _, expected in cases)
    print("\nReading                                    MB     MB/s   ms  chunks")
    with Progress("reading", total) as progress:
        for layout, label, get, expected in cases:
            array = arrays[layout.name]
            seconds, result = timed(lambda get=get, array=array: get(array))
            must_equal(host(result), expected, f"{layout.name} {label}")
            progress.advance(expected.nbytes, layout.name)
            print(
                f"  {layout.name:8} {label:26} {expected.nbytes / 1e6:7.1f} "
                f"{expected.nbytes / seconds / 1e6:8.0f} {seconds * 1e3:4.0f}"
            )
    print("\nWhere each step ran")
    for layout in LAYOUTS:
        print(f"  {layout.name:8} {arrays[layout.name].device_plan}")


Case = tuple[Layout, str, Callable[[cuzarr.Array], Any], npt.NDArray[Any]]


def cases_of(layout: Layout, data: npt.NDArray[Any]) -> list[Case]:
    """Return what is read of one variable: a label, the read, and the truth."""
    rng = np.random.default_rng(7)
    cases: list[Case] = [(layout, "all", lambda a: a[...], data)]
    if data.ndim == 3:
        days = rng.permutation(data.shape[0])[:10]
        points = [rng.integers(0, n, 5000) for n in data.shape]
        cases += [
            (layout, "one place, all times", lambda a: a[:, 200, 300], data[:, 200, 300]),
            (layout, "every third day, backwards", lambda a: a[::-12], data[::-12]),
            (layout, "10 days in any order", lambda a: a.oindex[days], data[days]),
            (layout, "5000 points", lambda a: a.vindex[tuple(points)], data[tuple(points)]),
        ]
    if data.dtype == np.float32:
        corners = [
            [int(rng.integers(0, n - w + 1)) for n, w in zip(data.shape, WINDOW, strict=True)]
            for _ in range(WINDOWS)
        ]
        keys = [
            tuple(slice(c, c + w) for c, w in zip(corner, WINDOW, strict=True))
            for corner in corners
        ]
        expected = np.stack([data[key] for key in keys])
        label = f"{WINDOWS} windows of {'x'.join(map(str, WINDOW))}"
        cases.append((layout, label, lambda a: [a[key] for key in keys], expected))
    return cases


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that ``work`` took, the device's included, and its result."""
    started = time.perf_counter()
    result = work()
    wait(result)
    return time.perf_counter() - started, result


def wait(result: Any) -> None:
    """Wait for the device that holds ``result``."""
    last = result[-1] if isinstance(result, list) else result
    stream = getattr(getattr(last, "device", None), "synchronize", None)
    if stream is not None:
        stream()


def host(result: Any) -> npt.NDArray[Any]:
    """Return a result as a NumPy array; CuPy's have ``get``."""
    if isinstance(result, list):
        return np.stack([host(item) for item in result])
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
