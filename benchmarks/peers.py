"""Adapters: one class per library, the same few verbs.

1. :meth:`Peer.missing` says why a library cannot take part at all, :meth:`Peer.cannot` why not in
   one case; neither is ever silent in the report.
2. :meth:`Peer.open` makes a new array object; the ``read_*`` and ``write`` verbs are what is timed.
3. :func:`all_peers` lists them, cuzarr first.

Every library runs with the settings that its documentation recommends, on all cores, without a
cache of decoded chunks (each repetition would otherwise measure the cache).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.cases import WINDOW, Case, Inputs
from benchmarks.data import Float32, Layout

CORES = len(os.sched_getaffinity(0))


class Peer:
    """A library that reads and writes arrays; the verbs here are those of zarr's own interface."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]

    def missing(self) -> str | None:
        """Return why the library cannot be used here, or None."""
        for package in self.packages:
            try:
                import_module(package)
            except ImportError as error:
                return f"{package} cannot be imported: {error}"
        return None

    def cannot(self, case: Case, layout: Layout) -> str | None:
        """Return why the library cannot do a case, or None."""
        return None

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages."""
        found = {}
        for package in self.packages:
            try:
                found[package] = version(package.partition(".")[0])
            except PackageNotFoundError:
                module = import_module(package.partition(".")[0])
                found[package] = str(getattr(module, "__version__", "unknown"))
        return found

    def scope(self) -> AbstractContextManager[Any]:
        """Return what must be active around every call, entered outside the timing."""
        return contextlib.nullcontext()

    def open(self, path: Path, layout: Layout, *, write: bool = False) -> Any:
        """Open the array at ``path`` with nothing cached."""
        raise NotImplementedError

    def load(self, objects: dict[str, bytes]) -> Any:
        """Return a store in memory with these objects; raises ``NotImplementedError``."""
        raise NotImplementedError(f"{self.name} has no store in memory")

    def open_loaded(self, store: Any, layout: Layout) -> Any:
        """Open the array in a store of :meth:`load`."""
        raise NotImplementedError

    def full(self, array: Any, inputs: Inputs) -> Any:
        """Read all of it."""
        return array[...]

    def strided(self, array: Any, inputs: Inputs) -> Any:
        """Read every fourth element along both axes."""
        return array[::4, ::4]

    def rows(self, array: Any, inputs: Inputs) -> Any:
        """Read the rows."""
        return array.oindex[inputs.rows]

    def points(self, array: Any, inputs: Inputs) -> Any:
        """Read the points."""
        return array.vindex[inputs.points]

    def windows(self, array: Any, inputs: Inputs) -> list[Any]:
        """Read the windows, one after another."""
        return [array[window] for window in inputs.windows()]

    def boxes(self, array: Any, inputs: Inputs) -> Any:
        """Read the windows in one call; one after another where there is no such call."""
        return self.windows(array, inputs)

    def write(self, array: Any, value: Float32) -> None:
        """Write all of it."""
        array[...] = value

    def members(self, path: Path) -> list[tuple[str, tuple[int, ...]]]:
        """Open a group and its arrays; return their names and shapes."""
        raise NotImplementedError

    def append(self, array: Any, rows: Float32) -> None:
        """Append the rows one after another."""
        for k in range(len(rows)):
            array.append(rows[k : k + 1])


class Cuzarr(Peer):
    """cuzarr on the host."""

    name = "cuzarr"
    packages = ("cuzarr",)
    device: ClassVar[str] = "cpu"

    def missing(self) -> str | None:
        reason = super().missing()
        if reason is None and not hasattr(import_module("cuzarr"), "open_array"):
            return "this version of cuzarr has no open_array"
        return reason

    def open(self, path: Path, layout: Layout, *, write: bool = False) -> Any:
        cuzarr: Any = import_module("cuzarr")
        return cuzarr.open_array(str(path), mode="r+" if write else "r", device=self.device)

    def members(self, path: Path) -> list[tuple[str, tuple[int, ...]]]:
        cuzarr: Any = import_module("cuzarr")
        group = cuzarr.open_group(str(path), mode="r", device=self.device)
        return [(name, array.shape) for name, array in group.arrays()]

    def boxes(self, array: Any, inputs: Inputs) -> Any:
        return array.boxes(inputs.corners, (WINDOW, WINDOW))

    def load(self, objects: dict[str, bytes]) -> Any:
        storage: Any = import_module("cuzarr.storage.memory")
        store = storage.MemoryStore()
        store.set_many(list(objects), list(objects.values()))
        return store

    def open_loaded(self, store: Any, layout: Layout) -> Any:
        cuzarr: Any = import_module("cuzarr")
        return cuzarr.open_array(store, mode="r", device=self.device)


class ZarrPython(Peer):
    """zarr-python as it comes."""

    name = "zarr"
    packages: ClassVar[tuple[str, ...]] = ("zarr",)
    settings: ClassVar[dict[str, Any]] = {}

    def scope(self) -> AbstractContextManager[Any]:
        zarr: Any = import_module("zarr")
        return zarr.config.set(self.settings)  # type: ignore[no-any-return]

    def open(self, path: Path, layout: Layout, *, write: bool = False) -> Any:
        zarr: Any = import_module("zarr")
        return zarr.open_array(str(path), mode="r+" if write else "r")

    def members(self, path: Path) -> list[tuple[str, tuple[int, ...]]]:
        zarr: Any = import_module("zarr")
        group = zarr.open_group(str(path), mode="r")
        return [(name, array.shape) for name, array in group.arrays()]

    def load(self, objects: dict[str, bytes]) -> Any:
        buffers: Any = import_module("zarr.core.buffer.cpu")
        storage: Any = import_module("zarr.storage")
        wrapped = {key: buffers.Buffer.from_bytes(value) for key, value in objects.items()}
        return storage.MemoryStore(wrapped)

    def open_loaded(self, store: Any, layout: Layout) -> Any:
        zarr: Any = import_module("zarr")
        return zarr.open_array(store, mode="r")


class ZarrFused(ZarrPython):
    """zarr-python with its opt-in synchronous pipeline (zarr 3.4 and newer)."""

    name = "zarr-fused"
    settings: ClassVar[dict[str, Any]] = {
        "codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"
    }

    def missing(self) -> str | None:
        reason = super().missing()
        if reason is None and not hasattr(
            import_module("zarr.core.codec_pipeline"), "FusedCodecPipeline"
        ):
            return f"zarr {version('zarr')} has no FusedCodecPipeline"
        return reason


class Zarrs(ZarrPython):
    """zarrs (Rust) as a codec pipeline of zarr-python."""

    name = "zarrs"
    packages = ("zarrs", "zarr")
    settings: ClassVar[dict[str, Any]] = {
        "codec_pipeline.path": "zarrs.ZarrsCodecPipeline",
        # zarrs hands what it does not support to zarr-python without a word: see ``cannot``.
        "codec_pipeline.strict": True,
    }

    def cannot(self, case: Case, layout: Layout) -> str | None:
        if case.operation in ("rows", "points", "strided", "strings"):
            return f"zarrs does no reads of {case.operation}: it hands them to zarr-python"
        if case.operation == "members":
            return "zarrs reads chunks alone: zarr-python lists and opens"
        return None

    def load(self, objects: dict[str, bytes]) -> Any:
        raise NotImplementedError("zarrs takes no store in memory from Python")


class ZarrCuzarr(ZarrPython):
    """cuzarr as a codec pipeline of zarr-python."""

    name = "zarr-cuzarr"
    packages = ("cuzarr.interop.zarr", "zarr")
    settings: ClassVar[dict[str, Any]] = {
        "codec_pipeline.path": "cuzarr.interop.zarr.CodecPipeline"
    }

    def cannot(self, case: Case, layout: Layout) -> str | None:
        if case.operation == "members":
            return "a codec pipeline lists and opens nothing: zarr-python does"
        return None


class TensorStore(Peer):
    """TensorStore: all cores for copies, its default of at least four for files."""

    name = "tensorstore"
    packages = ("tensorstore",)

    def open(self, path: Path, layout: Layout, *, write: bool = False) -> Any:
        ts: Any = import_module("tensorstore")
        # A context per object: a shared one would keep the metadata of the object before.
        spec = self._spec({"driver": "file", "path": f"{path}/"}, layout)
        return ts.open(spec, context=self._context(), read=True, write=write).result()

    def load(self, objects: dict[str, bytes]) -> Any:
        ts: Any = import_module("tensorstore")
        context = self._context()
        store = ts.KvStore.open({"driver": "memory"}, context=context).result()
        for key, value in objects.items():
            store.write(key, value).result()
        return context

    def open_loaded(self, store: Any, layout: Layout) -> Any:
        ts: Any = import_module("tensorstore")
        return ts.open(self._spec({"driver": "memory"}, layout), context=store, read=True).result()

    def _spec(self, kvstore: dict[str, Any], layout: Layout) -> dict[str, Any]:
        return {"driver": "zarr" if layout.zarr_format == 2 else "zarr3", "kvstore": kvstore}

    def _context(self) -> Any:
        ts: Any = import_module("tensorstore")
        return ts.Context(
            {
                "cache_pool": {"total_bytes_limit": 0},
                "data_copy_concurrency": {"limit": CORES},
                "file_io_concurrency": {"limit": max(4, CORES)},
                "file_io_sync": False,  # no other library here calls fsync
            }
        )

    def cannot(self, case: Case, layout: Layout) -> str | None:
        if case.operation in ("members", "strings"):
            return f"TensorStore has no {'groups' if case.operation == 'members' else 'strings'}"
        return None

    def full(self, array: Any, inputs: Inputs) -> Any:
        return array.read().result()

    def strided(self, array: Any, inputs: Inputs) -> Any:
        return array[::4, ::4].read().result()

    def rows(self, array: Any, inputs: Inputs) -> Any:
        return array.oindex[inputs.rows].read().result()

    def points(self, array: Any, inputs: Inputs) -> Any:
        return array.vindex[inputs.points].read().result()

    def windows(self, array: Any, inputs: Inputs) -> list[Any]:
        return [array[window].read().result() for window in inputs.windows()]

    def write(self, array: Any, value: Float32) -> None:
        array.write(value).result()

    def append(self, array: Any, rows: Float32) -> None:
        for k in range(len(rows)):
            array = array.resize(exclusive_max=(k + 1, rows.shape[1])).result()
            array[k : k + 1].write(rows[k : k + 1]).result()


def all_peers() -> dict[str, Peer]:
    """Return every adapter by name."""
    peers = (Cuzarr(), ZarrPython(), ZarrFused(), Zarrs(), ZarrCuzarr(), TensorStore())
    return {peer.name: peer for peer in peers}


def usable(names: list[str] | None = None) -> Iterator[tuple[Peer, str | None]]:
    """Yield the adapters asked for, each with the reason why it is missing, or None."""
    known = all_peers()
    unknown = set(names or ()) - set(known)
    if unknown:
        raise ValueError(f"unknown peers {sorted(unknown)}; known: {sorted(known)}")
    for name in names or known:
        yield known[name], known[name].missing()
