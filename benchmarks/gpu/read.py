"""Part "read": cuzarr on the device.

1. Every read case from the page cache, then the full reads from memory, and from a ``DeviceStore``.
2. Opening, and writing from device memory.

The clock starts on an idle device and stops when the result is complete on it.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, ClassVar

from benchmarks import data, measure
from benchmarks.cases import ALL_LAYOUTS, CASES, Case
from benchmarks.gpu.part import READS, Part
from benchmarks.peers import Cuzarr, Peer, all_peers
from benchmarks.run import copy_metadata, open_often


class CuzarrOnDevice(Cuzarr):
    """cuzarr with ``device=``."""

    name: ClassVar[str] = "cuzarr"

    def __init__(self, device: str) -> None:
        self.device = device  # type: ignore[misc]


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    part = Part("read", arguments)
    peer = CuzarrOnDevice(part.device.name)
    reason = peer.missing()
    if reason is not None:
        part.document["errors"] = [reason]
        return part.finish()
    part.make_stores()
    share = part.left / (len(READS) + 13)
    for case in READS:
        part.measure(case, "page cache", [read_trial(part, case, peer)], share)
    for case in [c for c in READS if c.operation == "full"]:
        part.measure(case, "memory", [memory_trial(part, case, peer)], share)
    if not part.device.dry_run:
        for case in [c for c in READS if c.operation == "full"]:
            part.measure(case, "device memory", [resident_trial(part, case, peer)], share)
    opening = CASES["open-shards"]
    part.measure(opening, "page cache", [_open_trial(part, opening, peer)], share)
    writing = CASES["write-zstd"]
    part.measure(writing, "device", [write_trial(part, writing, peer)], share)
    return part.finish()


def read_trial(part: Part, case: Case, peer: Peer) -> measure.Trial:
    """Return the trial of reading a stored array."""
    layout, path = ALL_LAYOUTS[case.layout], part.store(case)
    return _trial(part, case, peer, lambda: peer.open(path, layout))


def memory_trial(part: Part, case: Case, peer: Peer) -> measure.Trial:
    """Return the trial of reading from a store in memory, filled when the case begins."""
    layout, path = ALL_LAYOUTS[case.layout], part.store(case)
    loaded: list[Any] = []

    def prepare() -> Any:
        if not loaded:
            loaded.append(peer.load(data.load(path)))
        return peer.open_loaded(loaded[0], layout)

    return _trial(part, case, peer, prepare)


def resident_trial(part: Part, case: Case, peer: Peer) -> measure.Trial:
    """Return the trial of reading from a ``DeviceStore``, filled when the case begins."""
    import cuzarr

    filled: list[Any] = []

    def prepare() -> Any:
        if not filled:
            store = cuzarr.DeviceStore.from_store(str(part.store(case)), device=part.device.name)
            filled.append(cuzarr.open_array(store, mode="r", device=part.device.name))
        return filled[0]

    return _trial(part, case, peer, prepare)


def _trial(part: Part, case: Case, peer: Peer, prepare: Any) -> measure.Trial:
    verb = getattr(peer, case.operation)

    def opened() -> Any:
        array = prepare()
        part.device.sync()
        return array

    def run(array: Any) -> Any:
        result = verb(array, part.inputs)
        part.device.sync()
        return result

    return measure.Trial(
        peer.name, opened, run, lambda result: part.check(case.operation, result), peer.scope
    )


def _open_trial(part: Part, case: Case, peer: Peer) -> measure.Trial:
    path, layout = part.store(case), ALL_LAYOUTS[case.layout]
    return measure.Trial(
        peer.name,
        lambda: None,
        lambda _: open_often(peer, path, layout),
        lambda result: part.check("open", result),
        peer.scope,
    )


def write_trial(part: Part, case: Case, peer: Peer) -> measure.Trial:
    """Return the trial of writing from device memory into an empty store."""
    layout, source = ALL_LAYOUTS[case.layout], part.store(case)
    target = part.folder / f"written-by-{peer.name}"
    value = part.device.xp.tile(part.device_tile, (part.size.tiles, 1))

    def prepare() -> Any:
        copy_metadata(source, target)
        array = peer.open(target, layout, write=True)
        part.device.sync()
        return array

    def check(_: Any) -> None:
        reader = all_peers()["tensorstore"]
        if reader.missing() is not None:
            reader = all_peers()["zarr"]
        part.check("full", reader.full(reader.open(target, layout), part.inputs))

    return measure.Trial(
        peer.name,
        prepare,
        lambda array: peer.write(array, value),
        check,
        peer.scope,
        partial(data.discard, target),
    )


if __name__ == "__main__":
    sys.exit(main())
