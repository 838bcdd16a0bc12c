"""Every store that the contract suite is run over."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from pathlib import Path

from cuzarr.storage import (
    FsspecStore,
    GpuMemoryStore,
    LocalStore,
    LoggingStore,
    MemoryStore,
    ObjectStore,
    Store,
    WrapperStore,
    ZipStore,
    as_store,
)
from cuzarr.storage.adapter import BatchAdapter
from cuzarr.storage.async_base import (
    AsyncStore,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)


class PlainMapping(MutableMapping):
    """A mapping that is no dict, and whose values are views."""

    def __init__(self):
        self.inner = {}

    def __getitem__(self, key: str) -> memoryview:
        return memoryview(self.inner[key])

    def __setitem__(self, key: str, value: bytes) -> None:
        self.inner[key] = bytearray(value)

    def __delitem__(self, key: str) -> None:
        del self.inner[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


class OneKeyStore:
    """The least that a user has to write."""

    def __init__(self):
        self.objects = {}

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def set(self, key: str, value: bytes) -> None:
        self.objects[key] = value

    def delete(self, key: str) -> None:
        del self.objects[key]  # a KeyError for a missing key is forgiven

    def list(self, prefix: str) -> Iterable[str]:
        return (key for key in self.objects if key.startswith(prefix))


class RangeStore(OneKeyStore):
    """One that can also read a part of an object, from many threads."""

    parallel_safe = True

    def list(self, prefix: str) -> Iterable[str]:
        return [key for key in tuple(self.objects) if key.startswith(prefix)]

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        value = self.objects.get(key)
        if value is None:
            return None
        if start < 0:
            assert length == -1
            return value[start:]  # all of a shorter object, as HTTP answers
        assert length > 0
        return value[start : start + length]


class AwaitedStore(AsyncStore):
    """A store written for zarr-python, which ends ranges at the end of the object as its do."""

    supports_writes = supports_deletes = supports_listing = True

    def __init__(self):
        super().__init__()
        self.objects = {}

    async def get(self, key, prototype, byte_range=None):
        value = self.objects.get(key)
        if value is None:
            return None
        match byte_range:
            case RangeByteRequest(start, end):
                value = value[start:end]
            case OffsetByteRequest(offset):
                value = value[offset:]
            case SuffixByteRequest(suffix):
                value = value[-suffix:]
        return prototype.buffer.from_bytes(value)

    async def set(self, key, value):
        self.objects[key] = value.to_bytes()

    async def delete(self, key):
        del self.objects[key]  # a KeyError for a missing key is forgiven

    async def exists(self, key):
        return key in self.objects

    async def list(self):
        for key in tuple(self.objects):
            yield key

    async def list_prefix(self, prefix):
        for key in tuple(self.objects):
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix):
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in {key[len(start) :].partition("/")[0] for key in self.objects
                     if key.startswith(start)}:  # fmt: skip
            yield name


MAKERS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda tmp: MemoryStore(),
    "mapping": lambda tmp: MemoryStore(PlainMapping()),
    "local": lambda tmp: LocalStore(tmp / "root"),
    "local-fsync": lambda tmp: LocalStore(tmp / "root", fsync=True),
    "local-links": lambda tmp: LocalStore(str(tmp / "root") + "/", follow_links=True),
    "adapter": lambda tmp: BatchAdapter(OneKeyStore()),
    "wrapper": lambda tmp: WrapperStore(LocalStore(tmp / "root")),
    "logging": lambda tmp: LoggingStore(MemoryStore(), "ERROR"),
    "gpu-memory": lambda tmp: GpuMemoryStore(),
    "zip": lambda tmp: ZipStore(tmp / "objects.zip", "w"),
    "zip-deflate": lambda tmp: ZipStore(tmp / "objects.zip", "w", zipfile.ZIP_DEFLATED),
    "adapter-range": lambda tmp: BatchAdapter(RangeStore()),
    "async": lambda tmp: as_store(AwaitedStore()),
}
if importlib.util.find_spec("zarr") is not None:
    import zarr.storage

    from cuzarr.interop.zarr import as_zarr_store

    MAKERS["zarr-memory"] = lambda tmp: as_store(zarr.storage.MemoryStore())
    MAKERS["there-and-back"] = lambda tmp: as_store(as_zarr_store(LocalStore(tmp / "root")))

if importlib.util.find_spec("fsspec") is not None:
    import fsspec

    MAKERS["fsspec"] = lambda tmp: as_store(FsspecStore(fsspec.filesystem("memory"), path=str(tmp)))

if importlib.util.find_spec("obstore") is not None:
    import obstore.store

    MAKERS["object"] = lambda tmp: as_store(ObjectStore(obstore.store.MemoryStore()))


def files_below(path: Path) -> list[str]:
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))
