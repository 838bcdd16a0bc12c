"""Where zarr-python's chunks are: its stores as stores of the engine, and its keys as an address.

1. :func:`open_source` looks at the byte getters of a request. Files and memory are read by the
   native code, a store of cuzarr as itself; any other store answers in zarr-python's event loop,
   which it may be bound to, many requests at a time.
2. :class:`KeyAddress` and :class:`KeyShardAddress` turn the coordinates of ``batch_plan`` into keys
   and byte ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from zarr.core.buffer.cpu import buffer_prototype
from zarr.storage import LocalStore as TheirLocalStore
from zarr.storage import MemoryStore as TheirMemoryStore
from zarr.storage import StorePath

from cuzarr.codecs.sharding import ShardIndex
from cuzarr.engine.address import PlainAddress, ShardAddress
from cuzarr.engine.batch import Wave
from cuzarr.interop.zarr.store import ZarrStore
from cuzarr.meta.spec import ChunkKeyEncoding
from cuzarr.plan.chunk_plan import Int64, PlanRows
from cuzarr.storage.base import BytesLike, RequestBatch, Store
from cuzarr.storage.local import LocalStore
from cuzarr.storage.memory import MemoryStore
from cuzarr.storage.zarr_adapter import ZarrStoreAdapter


def open_source(getters: Sequence[Any], loop: Any) -> tuple[Store, list[str]]:
    """Return a store, and the key in it of each byte getter.

    Parameters
    ----------
    getters : sequence of byte getters or setters
        At least one.
    loop : asyncio.AbstractEventLoop
        zarr-python's; the store waits for it, and so is used in another thread.
    """
    first = getters[0]
    if not isinstance(first, StorePath) or any(
        getattr(getter, "store", None) is not first.store for getter in getters
    ):
        keys = [str(i) for i in range(len(getters))]
        return ZarrStoreAdapter(_Getters(dict(zip(keys, getters, strict=True))), loop=loop), keys
    keys, store = [getter.path for getter in getters], first.store
    if type(store) is TheirLocalStore:  # it follows links
        return LocalStore(store.root, read_only=store.read_only, follow_links=True), keys
    if type(store) is TheirMemoryStore:
        return _Buffers(store, keys), keys
    if type(store) is ZarrStore:
        return store.store, keys
    return ZarrStoreAdapter(store, loop=loop), keys


class _Buffers(MemoryStore):
    """Some keys of a memory store of zarr-python, whose values are buffers.

    They are looked up at once; what is written goes to both.
    """

    def __init__(self, theirs: Any, keys: Sequence[str]) -> None:
        self._buffers = theirs._store_dict  # no other way is synchronous in 3.1
        found = ((key, self._buffers.get(key)) for key in keys)
        values = {
            key: memoryview(value.as_numpy_array()).cast("B")
            for key, value in found
            if value is not None
        }
        super().__init__(values, read_only=theirs.read_only)

    def set(self, key: str, value: BytesLike) -> None:
        super().set(key, value)
        self._buffers[key] = buffer_prototype.buffer.from_bytes(self.store_dict[key])

    def delete(self, keys: Any) -> None:
        for key in keys:
            super().delete([key])
            self._buffers.pop(key, None)


class _Getters:
    """Byte getters that belong to no store, such as those of chunks inside a decoded shard."""

    def __init__(self, getters: dict[str, Any]) -> None:
        self.getters = getters

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:  # noqa: ARG002
        return await self.getters[key].get(prototype=buffer_prototype, byte_range=byte_range)

    async def set(self, key: str, value: Any) -> None:
        await self.getters[key].set(value)

    async def delete(self, key: str) -> None:
        await self.getters[key].delete()

    async def exists(self, key: str) -> bool:
        return await self.get(key, None) is not None

    async def getsize(self, key: str) -> int:
        value = await self.get(key, None)
        if value is None:
            raise FileNotFoundError(key)
        return len(value)


class KeyAddress(PlainAddress):
    """The first coordinate of a chunk is the number of its key.

    Parameters
    ----------
    keys : sequence of str
    """

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__("", ChunkKeyEncoding())
        self._all = RequestBatch.of(keys)

    def keys(self, coords: Int64) -> RequestBatch:
        """Return requests for whole objects."""
        number = coords[:, 0]
        if len(number) and (np.diff(number) == 1).all():
            return self._all.take(slice(int(number[0]), int(number[-1]) + 1))
        return self._all.take(number)

    def wave(self, index: int, rows: PlanRows) -> Wave:
        """Return a wave with one request per chunk."""
        return Wave(index, rows, self.keys(rows.coords), np.ones(len(rows), np.bool_))


class KeyShardAddress(ShardAddress):
    """Chunks are byte ranges of shards, whose numbers are their first coordinate.

    Parameters
    ----------
    keys : sequence of str
        Of the shards.
    store : Store
    index : ShardIndex
    shard_shape, chunk_shape, chunks_per_shard : tuple of int
    whole : sequence of bool
        What is written of a shard is all of it that lies inside the array.
    """

    def __init__(
        self,
        keys: Sequence[str],
        store: Store,
        index: ShardIndex,
        shard_shape: tuple[int, ...],
        chunk_shape: tuple[int, ...],
        chunks_per_shard: tuple[int, ...],
        whole: Sequence[bool],
    ) -> None:
        super().__init__(
            KeyAddress(keys), store, index, (len(keys), *shard_shape), (1, *chunk_shape),
            (1, *chunks_per_shard), cache=False,
        )  # fmt: skip
        self._whole = np.array(whole, np.bool_)

    def chunks_in_array(self, shard_coords: Int64) -> Int64:
        """Count the inner chunks of each shard, which may be more than lie inside the array.

        None is counted of a shard that is written as a whole: then it is not read first.
        """
        return np.where(self._whole[shard_coords[:, 0]], 0, self.index.slots)
