"""Part "peers": what others make of the same stores, with the result on the device.

1. zarr-python with ``enable_gpu()``: its buffers are on the device, its codecs on the host.
2. The CPU libraries on all cores, plus one upload of the result from pinned memory. That the result
   already lies in pinned memory costs them nothing here: the copy to it is not timed.

A library that is slow reads fewer tiles of the same store, so that the part ends in time; the
document says how many bytes each figure is for, and the table gives bytes per second.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from benchmarks import data, measure
from benchmarks.cases import LAYOUTS, Case
from benchmarks.gpu.part import READS, Part
from benchmarks.peers import Peer, TensorStore, ZarrFused, ZarrPython, Zarrs

STAGING = 256 << 20


class ZarrGpu(ZarrPython):
    """zarr-python with GPU buffers."""

    name: ClassVar[str] = "zarr-gpu"

    def scope(self) -> AbstractContextManager[Any]:
        zarr: Any = import_module("zarr")
        return zarr.config.enable_gpu()  # type: ignore[no-any-return]


class TooSlowError(Exception):
    """A library has no time for a case; the message says how slow it is."""


class Uploader:
    """Takes host results to the device through pinned memory that is allocated once."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._staging = part.device.pinned(min(STAGING, part.size.nbytes))

    def upload(self, result: Any) -> tuple[Any, float]:
        """Return the result on the device and the ms of its copies (one per staging buffer)."""
        if isinstance(result, list):
            done = [self.upload(window) for window in result]
            return [value for value, _ in done], sum(ms for _, ms in done)
        device = self._part.device
        host = np.ascontiguousarray(result)
        target = device.xp.empty(host.shape, host.dtype)
        source, flat = host.reshape(-1).view(np.uint8), target.reshape(-1).view(np.uint8)
        elapsed = 0.0
        for at in range(0, len(source), len(self._staging)):
            piece = self._staging[: min(len(self._staging), len(source) - at)]
            piece[...] = source[at : at + len(piece)]
            into = flat[at : at + len(piece)]
            elapsed += device.timed(lambda into=into, piece=piece: device.copy_in(into, piece))  # type: ignore[misc]
        return target, elapsed


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    part = Part("peers", arguments)
    uploader = Uploader(part)
    gpu = ZarrPython() if part.device.dry_run else ZarrGpu()
    libraries: list[tuple[Peer, bool]] = [(gpu, False)]
    libraries += [(TensorStore(), True), (Zarrs(), True), (ZarrFused(), True)]
    part.document["missing"] = {p.name: r for p, _ in libraries if (r := p.missing()) is not None}
    libraries = [(p, up) for p, up in libraries if p.name not in part.document["missing"]]
    part.make_stores()
    full = [case for case in READS if case.operation == "full"]
    others = [case for case in READS if case.operation != "full"]
    todo = [("page cache", case) for case in full + others] + [("memory", case) for case in full]
    for index, (source, case) in enumerate(todo):
        run_case(part, case, source, libraries, uploader, part.left / (len(todo) - index))
        part.write()  # what was measured stays, should the part be ended
    return part.finish()


def run_case(
    part: Part,
    case: Case,
    source: str,
    libraries: list[tuple[Peer, bool]],
    uploader: Uploader | None,
    seconds: float,
) -> None:
    """Measure one case with every library that can do it, on as many tiles as each has time for.

    Rows and points touch nearly every chunk: who cannot read the array in its time is left out.
    """
    trials, reasons, tiles = [], {}, {}
    for peer, uploads in libraries:
        name = peer.name + "+upload" if uploads else peer.name
        reason = peer.cannot(case, LAYOUTS[case.layout])
        if reason is None and part.left <= 0:
            reason = part.no_time
        if reason is None:
            try:
                trial, tiles[name] = _trial(part, case, source, peer, seconds / len(libraries))
            except TooSlowError as error:
                reason = str(error)
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                trial.peer = name
                if uploads and uploader is not None:
                    trial.then = uploader.upload
                trials.append(trial)
        if reason is not None:
            reasons[name] = reason
    line = part.measure(case, source, trials, seconds)
    for name, result in line["results"].items():
        if case.operation == "full":
            result["bytes"] = tiles[name] * part.tile.nbytes
    for name, reason in reasons.items():
        line["results"][name] = {
            "median_ms": None, "ms": [], "bytes": 0, "reason": reason, "error": None
        }  # fmt: skip


def _trial(
    part: Part, case: Case, source: str, peer: Peer, seconds: float
) -> tuple[measure.Trial, int]:
    """Return the trial and the tiles it reads, chosen by how long the first tile took."""
    layout, path = LAYOUTS[case.layout], part.store(case)
    if source == "memory":
        loaded = peer.load(data.load(path))

        def prepare() -> Any:
            return peer.open_loaded(loaded, layout)
    else:

        def prepare() -> Any:
            return peer.open(path, layout)

    with peer.scope():
        array = prepare()
        begun = time.perf_counter()
        _rows(peer, array, part.size.rows)
        part.device.sync()
        one = time.perf_counter() - begun
    tiles = max(1, min(part.size.tiles, int(seconds / (3 * one))))
    if case.operation in ("rows", "points") and tiles < part.size.tiles:
        raise TooSlowError(f"one of {part.size.tiles} tiles takes {one * 1e3:.0f} ms")
    rows = tiles * part.size.rows

    def run(array: Any) -> Any:
        if case.operation == "full" and tiles < part.size.tiles:
            result = _rows(peer, array, rows)
        else:
            result = getattr(peer, case.operation)(array, part.inputs)
        part.device.sync()
        return result

    check = part.check
    return measure.Trial(
        peer.name, prepare, run, lambda result: check(case.operation, result), peer.scope
    ), tiles


def _rows(peer: Peer, array: Any, rows: int) -> Any:
    part = array[:rows]
    return part.read().result() if isinstance(peer, TensorStore) else part


if __name__ == "__main__":
    sys.exit(main())
