"""Part "kvikio": kvikio's GDSStore under the zarr-python that it asks for (older than 3.2).

1. The shell script runs it with the wheels of ``.whl/kvikio/`` laid over the others. The stores are
   those of the other parts. kvikio gets as many threads as there are cores; its default is one.
2. cuzarr with ``cuda.fetch="kvikio"`` beside it, in the same rounds.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.cases import CASES
from benchmarks.data import Layout
from benchmarks.gpu.others import ZarrGpu, run_case
from benchmarks.gpu.part import READS, Part
from benchmarks.gpu.read import CuzarrOnDevice
from benchmarks.peers import CORES, ZarrPython


class Kvikio(ZarrGpu):
    """zarr-python with GPU buffers that kvikio reads into."""

    name: ClassVar[str] = "kvikio"
    packages: ClassVar[tuple[str, ...]] = ("kvikio", "zarr")

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run

    def scope(self) -> AbstractContextManager[Any]:
        return ZarrPython.scope(self) if self._dry_run else super().scope()

    def missing(self) -> str | None:
        try:
            # kvikio's wheel loads its logger only where cuda-pathfinder is installed as well.
            import_module("rapids_logger").load_library()
            import_module("kvikio.zarr")
        except Exception as error:  # kvikio loads shared libraries: OSError, RuntimeError
            return f"kvikio.zarr cannot be imported: {type(error).__name__}: {error}"
        return super().missing()

    def open(self, path: Path, layout: Layout, *, write: bool = False) -> Any:
        zarr: Any = import_module("zarr")
        store = import_module("kvikio.zarr").GDSStore(path, read_only=not write)
        return zarr.open_array(store, mode="r+" if write else "r")


class CuzarrByKvikio(CuzarrOnDevice):
    """cuzarr, whose files kvikio reads into device memory."""

    name: ClassVar[str] = "cuzarr-kvikio"

    def scope(self) -> AbstractContextManager[Any]:
        cuzarr: Any = import_module("cuzarr")
        return cuzarr.config.set({"cuda.fetch": "kvikio"})  # type: ignore[no-any-return]


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    os.environ.setdefault("KVIKIO_NTHREADS", str(CORES))
    part = Part("kvikio", arguments)
    peer = Kvikio(dry_run=part.device.dry_run)
    reason = peer.missing()
    if reason is not None:
        part.document["missing"] = {"kvikio": reason}
        return part.finish()
    part.document["versions"].update(peer.versions())
    part.document["kvikio"] = {"threads": CORES, "gds": _gds()}
    part.make_stores()
    wanted = [case for case in READS if case.operation == "full"] + [CASES["windows-shards"]]
    share = part.left / len(wanted)
    ours = CuzarrByKvikio(part.device.name)
    libraries = [(peer, False), (ours, False)] if not part.device.dry_run else [(peer, False)]
    for case in wanted:
        run_case(part, case, "page cache", libraries, None, share)
        part.write()  # what was measured stays, should the part be ended
    return part.finish()


def _gds() -> str:
    """Return whether kvikio says that GPUDirect Storage is used."""
    try:
        preferred = import_module("kvikio.defaults").is_compat_mode_preferred()
    except Exception as error:
        return f"unknown ({error})"
    return "no, compatibility mode" if preferred else "yes"


if __name__ == "__main__":
    sys.exit(main())
