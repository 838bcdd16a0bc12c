"""Part "more": further layouts, and writing from device memory.

1. Layouts that the CPU benchmark has not: large chunks, gzip, bit shuffle, chunks of whole rows.
   Each read from the page cache and from a ``DeviceStore``, beside the terms of its limit.
2. Every layout, those of the other parts too, written from device memory; another library reads
   what was written.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.cases import ALL_LAYOUTS, MORE_CASES, Case
from benchmarks.gpu import limits
from benchmarks.gpu.part import Part
from benchmarks.gpu.read import CuzarrOnDevice, read_trial, resident_trial, write_trial


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    part = Part("more", arguments)
    part.document["errors"] = []
    peer = CuzarrOnDevice(part.device.name)
    reason = peer.missing()
    if reason is not None:
        part.document["errors"].append(reason)
        return part.finish()
    terms: dict[str, Any] = {"layouts": {}}
    terms["upload_gbs"], terms["copy_gbs"] = limits.copies(part)
    part.document["terms"] = terms
    writes = [Case(f"write {name}", name, "write", f"write {name}") for name in ALL_LAYOUTS]
    sources = 1 if part.device.dry_run else 2
    left = sources * len(MORE_CASES) + len(writes)
    for case in MORE_CASES.values():
        part.store(case)
        if part.left > 0:
            terms["layouts"][case.layout] = limits.layout_terms(part, case, terms)
        part.measure(case, "page cache", [read_trial(part, case, peer)], part.left / left)
        if not part.device.dry_run:
            trial = resident_trial(part, case, peer)
            part.measure(case, "device memory", [trial], part.left / left)
        left -= sources
        part.write()  # what was measured stays, should the part be ended
    for case in writes:
        part.measure(case, "device", [write_trial(part, case, peer)], part.left / left)
        left -= 1
        part.write()
    return part.finish()


if __name__ == "__main__":
    sys.exit(main())
