"""A store that keeps encoded chunks in device memory.

1. :meth:`DeviceStore.from_store` walks the arrays of any store, and sends up every chunk that the
   device can decode (``cuda.filling``). Documents, and what only the host can decode, are copied to
   host memory as they are.
2. An array opened from it reads from there: nothing is fetched, uploaded or parsed
   (``cuda.resident``). Its bytes can be had as well, as from any store: they are downloaded then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from cuzarr import nodes
from cuzarr.cuda.backend import CudaBackend
from cuzarr.cuda.filling import Filler
from cuzarr.cuda.probe import FORKED, was_forked
from cuzarr.cuda.resident import ResidentChunks
from cuzarr.device import Device, open_backend, parse_device
from cuzarr.engine.resident import ChunkTable
from cuzarr.engine.target import bind
from cuzarr.errors import NodeNotFoundError, NoDeviceError, StoreError
from cuzarr.meta.spec import ArraySpec
from cuzarr.plan.grid import grid_shape
from cuzarr.storage.base import BytesLike, RequestBatch, Status, Store, Values
from cuzarr.storage.memory import MemoryStore
from cuzarr.storage.prefix import batch_keys, check_batch, check_key, join, normalize_path
from cuzarr.storage.resolve import StoreLike, as_store
from cuzarr.storage.status import span, status_error

_BATCH = 1024  #: objects that are copied to the host at a time


@dataclass(frozen=True, slots=True)
class _OnDevice:
    """An object in device memory."""

    address: int
    nbytes: int


class DeviceStore(MemoryStore):
    """Encoded chunks in the memory of a device; read-only.

    Data that would not fit decoded stay there compressed, and reads decode at the speed of the
    device, without touching the bus. Made by :meth:`from_store`.

    What goes where: chunks that the device can decode (``array.device_plan`` says which), in device
    memory, with the tables of their streams; shards as a whole. Metadata documents, objects of
    arrays that have no place on a device, of codecs without a device step, and single chunks with
    unusual headers, in host memory: reads decode these on the host.

    A read of a few chunks (``cuda.small_bytes``) is the host's here too, by a download: a device
    decodes a single stream at some tens of MB/s. 0 keeps all of them on the device.

    An array opened from the store is on its device, unless another is asked for; another device, or
    the host, gets the bytes by a download.

    Attributes
    ----------
    device : str
        "cuda:N".
    nbytes : int
        Bytes of device memory that the chunks take.
    host_nbytes : int
        Bytes of the objects in host memory.
    chunks : int
        Chunks in device memory (inner chunks, where an array is sharded).
    decoded_nbytes : int
        What they decode to.
    """

    def __init__(self, device: str, objects: dict[str, Any], filler: Filler) -> None:
        super().__init__(objects, read_only=True)
        self.in_memory = False
        self.device = device
        self.resident: ResidentChunks = filler.finish()
        self.nbytes, self.decoded_nbytes = filler.nbytes, filler.decoded_nbytes
        self.host_nbytes = sum(len(v) for v in objects.values() if isinstance(v, bytes))
        self.chunks = filler.chunks
        self._runtime = self.resident.runtime
        self._stream = self._runtime.new_stream()
        self._tables: dict[str, ChunkTable] = {}

    @classmethod
    def from_store(
        cls,
        store: StoreLike,
        path: str = "",
        *,
        budget: int | None = None,
        device: str = "cuda",
    ) -> Self:
        """Fill a store from another one.

        Parameters
        ----------
        store : path, mapping or Store
        path : str
            The array or group to take, with everything below it; it is the root of the new store.
        budget : int, optional
            Bytes of device memory that the chunks may take; as many as there are by default.
        device : str
            "cuda" or "cuda:N".

        Raises
        ------
        DeviceMemoryError
            The chunks do not fit; the message names the sizes. Nothing stays in device memory.
        NodeNotFoundError
            There is no array or group at ``path``.
        NoDeviceError
        ShardIndexError, ChecksumError
            The index of a shard is bad. A chunk that is bad raises when it is read.

        Examples
        --------
        >>> resident = cuzarr.DeviceStore.from_store("data.zarr")  # doctest: +SKIP
        >>> resident  # doctest: +SKIP
        DeviceStore(cuda:0, 4096 chunks, 1.9 GiB of 4.0 GiB decoded, ratio 2.1)
        >>> cuzarr.open(resident)[:1000]  # doctest: +SKIP
        """
        if budget is not None and (isinstance(budget, bool) or budget < 0):
            raise ValueError(f"budget={budget!r} is no number of bytes")
        name = parse_device(device)
        if not name.startswith("cuda"):
            raise ValueError(f'device={device!r}: a DeviceStore needs "cuda" or "cuda:N"')
        backend = cast("CudaBackend", open_backend(Device(name, "a DeviceStore was asked for")))
        source, root = as_store(store, read_only=True), normalize_path(path)
        prefix = f"{root}/" if root else ""
        keys = list(source.list(root))
        filler = Filler(backend, source, budget)
        tables: dict[str, ChunkTable] = {}
        for full, spec in _arrays(source, root, keys):
            document = nodes.V3_KEY if spec.zarr_format == 3 else nodes.V2_ARRAY
            target = bind(spec, source, full, join(full, document), cache_indexes=False)
            if filler.takes(target):
                names, coords = _stored(spec, full, keys)
                tables[full[len(prefix) :]] = filler.add(target, spec.shape, names, coords)
        objects: dict[str, Any] = {
            key[len(prefix) :]: _OnDevice(*place) for key, place in filler.device.items()
        }
        rest = [key for key in keys if key not in filler.device and key not in filler.host]
        for found in (filler.host.items(), _read(source, rest)):
            objects.update((key[len(prefix) :], value) for key, value in found)
        made = cls(name, objects, filler)
        made._tables = tables
        return made

    @property
    def ratio(self) -> float:
        """Decoded bytes per byte of device memory; 1 where there are none."""
        return self.decoded_nbytes / self.nbytes if self.nbytes else 1.0

    def chunk_table(self, path: str) -> ChunkTable | None:
        """Return where the chunks of the array at ``path`` are, or None: they are on the host."""
        return self._tables.get(path)

    def __str__(self) -> str:
        return f"{self.device}://{id(self)}"

    def __repr__(self) -> str:
        if self.resident.closed:
            return f"DeviceStore({self.device}, closed)"
        return (
            f"DeviceStore({self.device}, {self.chunks} chunks, {_size(self.nbytes)} of "
            f"{_size(self.decoded_nbytes)} decoded, ratio {self.ratio:.1f})"
        )

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a DeviceStore cannot be pickled: its chunks are in the memory of this process's "
            "device; open the store that it was filled from"
        )

    def get_many(self, batch: RequestBatch) -> Values:
        """Read many byte ranges; what is in device memory is downloaded."""
        check_batch(batch)
        values: list[BytesLike | None] = []
        statuses: list[int] = []
        queued = False
        for key, start, length in zip(
            batch_keys(batch), batch.starts.tolist(), batch.lengths.tolist(), strict=True
        ):
            value, status, downloads = self._get(key, start, length)
            values.append(value)
            statuses.append(status)
            queued |= downloads
        if queued:
            self._runtime.wait_event(self._runtime.record(self._stream))
        sizes = np.array([-1 if v is None else len(v) for v in values], np.int64)
        return Values(values, sizes, np.array(statuses, np.int32))

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        """Read one byte range, or None where the key is missing."""
        check_key(key)
        answer = self.get_many(RequestBatch.of([key], [start], [length]))
        value, status = answer.values[0], int(answer.statuses[0])
        if status not in (Status.OK, Status.MISSING):
            raise status_error(self, key, status)
        return None if value is None else bytes(value)

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        check_key(key)
        found = self.store_dict.get(key)
        return found.nbytes if isinstance(found, _OnDevice) else super().size(key)

    def close(self) -> None:
        """Give the device memory back; reads of what was there fail from now on."""
        self.resident.close()

    def _get(self, key: str, start: int, length: int) -> tuple[BytesLike | None, int, bool]:
        """Return a value, its status, and whether it is still on its way."""
        found = self.store_dict.get(key)
        if not isinstance(found, _OnDevice):
            return *self._read(key, start, length), False
        bounds = span(found.nbytes, start, length)
        if bounds is None:
            return None, Status.SHORT, False
        if self.resident.closed:
            raise StoreError(f"cannot read {key!r}: {self} is closed")
        if was_forked():
            raise NoDeviceError(f"cannot read {key!r} in {self}: {FORKED}")
        first, last = bounds
        value: npt.NDArray[np.uint8] = np.empty(last - first, np.uint8)
        self._runtime.download(value, found.address + first, last - first, self._stream)
        return value.data, Status.OK, True


def _arrays(source: Store, root: str, keys: Sequence[str]) -> Iterator[tuple[str, ArraySpec]]:
    """Yield paths and specs of the arrays below ``root``."""
    folders = {key.rpartition("/")[0] for key in keys if key.rpartition("/")[2] in nodes.DOCUMENTS}
    paths = sorted(folders)
    found = nodes.find_nodes(source, paths) if paths else []
    if root not in folders:
        raise NodeNotFoundError(f"no array or group at {root or '/'!r} in {source}")
    for path, spec in zip(paths, found, strict=True):
        if isinstance(spec, ArraySpec):
            yield path, spec


def _stored(
    spec: ArraySpec, path: str, keys: Iterable[str]
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return keys and grid coordinates of the stored objects of an array, in C order."""
    prefix = f"{path}/" if path else ""
    grid = grid_shape(spec.shape, spec.grid)
    below = (key for key in keys if key.startswith(prefix))
    found = sorted(
        (coords, key)
        for key, coords in nodes.chunk_coords(spec, path, below)
        if all(c < n for c, n in zip(coords, grid, strict=True))
    )
    names = [key for _, key in found]
    return names, np.array([c for c, _ in found], np.int64).reshape(len(names), spec.ndim)


def _read(source: Store, keys: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for first in range(0, len(keys), _BATCH):
        names = keys[first : first + _BATCH]
        answer = source.get_many(RequestBatch.of(names))
        for key, value, status in zip(names, answer.values, answer.statuses.tolist(), strict=True):
            if value is None and status != Status.MISSING:  # it may be deleted meanwhile
                raise status_error(source, key, status)
            if value is not None:
                yield key, bytes(value)


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes >= 2**30 else f"{nbytes / 2**20:.1f} MiB"
