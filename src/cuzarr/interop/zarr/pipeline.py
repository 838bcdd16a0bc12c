"""A codec pipeline for zarr-python, whose chunks the engine of this library reads and writes.

1. zarr-python hands over all chunks of a selection at once: byte getters, and which part of each
   chunk goes where. ``batch_plan`` makes a plan of them, ``sources`` finds where they are.
2. The engine runs in a thread, as it does for an array of this library: in few native calls on the
   host, or on the device of the output, where that is an array of CuPy.
3. What is not known here (codecs, data types of Python objects, forms of selections) is done by
   zarr-python's own pipeline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from zarr.abc.codec import CodecPipeline as TheirPipeline
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.registry import register_pipeline

from cuzarr.device import Device, open_backend
from cuzarr.engine.address import ShardAddress
from cuzarr.engine.backend import Backend
from cuzarr.engine.batch import Job
from cuzarr.engine.pool import pool
from cuzarr.engine.read import Read, read_each
from cuzarr.engine.target import Target
from cuzarr.engine.write import write
from cuzarr.host.backend import to_numpy
from cuzarr.interop.zarr.batch_plan import Item, UnknownSelectionError, plan_batch
from cuzarr.interop.zarr.bound import bind_codecs
from cuzarr.interop.zarr.sources import KeyAddress, KeyShardAddress, open_source
from cuzarr.plan.chunk_plan import ChunkPlan
from cuzarr.storage.base import Store
from cuzarr.storage.memory import MemoryStore
from cuzarr.values import fit_value

_KEPT = 64  #: bound chunk types; an array of a regular grid has one
_DEVICE_KINDS = "biufc"
Group = tuple[Target, list[int]]  #: chunks of one type: their numbers in the request


@dataclass(frozen=True)
class CodecPipeline(TheirPipeline):
    """Reads and writes the chunks of arrays of zarr-python.

    Attributes
    ----------
    theirs : BatchedCodecPipeline
        zarr-python's own pipeline of the same codecs, for what is not known here.
    """

    theirs: Any
    _bound: dict[Any, Target | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def from_codecs(cls, codecs: Iterable[Any]) -> Self:
        """Make a pipeline of codecs in the order of encoding."""
        return cls(BatchedCodecPipeline.from_codecs(codecs))

    def evolve_from_array_spec(self, array_spec: Any) -> Self:
        """Return the pipeline whose codecs know the chunks that they are for."""
        return type(self)(self.theirs.evolve_from_array_spec(array_spec))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.theirs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.theirs,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "theirs":
            raise AttributeError(name)
        return getattr(self.theirs, name)  # array_bytes_codec and its like

    @property
    def supports_partial_decode(self) -> bool:
        """Whether the chunks are shards, of which less than the whole is read."""
        return bool(self.theirs.supports_partial_decode)

    @property
    def supports_partial_encode(self) -> bool:
        """Whether the chunks are shards, whose untouched inner chunks keep their bytes."""
        return bool(self.theirs.supports_partial_encode)

    def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
        """Raise where the codecs do not fit the array."""
        self.theirs.validate(shape=shape, dtype=dtype, chunk_grid=chunk_grid)

    def compute_encoded_size(self, byte_length: int, array_spec: Any) -> int:
        """Return the encoded bytes of a chunk, where the codecs tell."""
        return int(self.theirs.compute_encoded_size(byte_length, array_spec))

    async def read(
        self, batch_info: Iterable[Item], out: Any, drop_axes: tuple[int, ...] = ()
    ) -> Any:
        """Read parts of chunks into an output.

        Returns
        -------
        tuple of {"status": "present" or "missing"}
            Which of the two it was is looked up for arrays that refuse missing chunks; for others
            all are called present.
        """
        items = list(batch_info)
        loop = asyncio.get_running_loop()
        found = await asyncio.to_thread(self._read, items, out.as_ndarray_like(), drop_axes, loop)
        if found is None:
            return await self.theirs.read(items, out, drop_axes)
        return found

    async def write(
        self, batch_info: Iterable[Item], value: Any, drop_axes: tuple[int, ...] = ()
    ) -> None:
        """Write a value to parts of chunks, which keep the rest."""
        items = list(batch_info)
        loop = asyncio.get_running_loop()
        array = value.as_ndarray_like()
        if not await asyncio.to_thread(self._write, items, array, drop_axes, loop):
            await self.theirs.write(items, value, drop_axes)

    async def decode(self, chunk_bytes_and_specs: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Decode whole chunks; None stays None."""
        chunks = list(chunk_bytes_and_specs)
        found = await asyncio.to_thread(self._decode, chunks)
        return list(await self.theirs.decode(chunks)) if found is None else found

    async def encode(self, chunk_arrays_and_specs: Iterable[tuple[Any, Any]]) -> list[Any]:
        """Encode whole chunks; None stays None."""
        chunks = list(chunk_arrays_and_specs)
        found = await asyncio.to_thread(self._encode, chunks)
        return list(await self.theirs.encode(chunks)) if found is None else found

    def _read(
        self, items: Sequence[Item], out: Any, drop_axes: tuple[int, ...], loop: Any
    ) -> tuple[Any, ...] | None:
        """Read; None where that is zarr-python's to do."""
        if not items:
            return ()
        groups = self._groups(items)
        if groups is None or not all(_fits(target, out) for target, _ in groups):
            return None
        store, keys = open_source([item[0] for item in items], loop)
        try:
            reads = [
                _plan_read(target, [items[i] for i in which], store, [keys[i] for i in which],
                           out, drop_axes)
                for target, which in groups
            ]  # fmt: skip
        except UnknownSelectionError:
            return None
        _run(reads)
        strict = getattr(items[0][1].config, "read_missing_chunks", True) is False
        there = [store.exists(key) for key in keys] if strict else [True] * len(keys)
        return tuple({"status": "present" if found else "missing"} for found in there)

    def _write(
        self, items: Sequence[Item], value: Any, drop_axes: tuple[int, ...], loop: Any
    ) -> bool:
        """Write; False where that is zarr-python's to do."""
        if not items:
            return True
        groups = self._groups(items)
        if groups is None:
            return False
        store, keys = open_source([item[0] for item in items], loop)
        try:
            plans = _plan_groups(groups, items, drop_axes)
        except UnknownSelectionError:
            return False
        backend = _backend_of(value)
        if backend.name != "cpu" and not all(map(_on_device, groups, plans)):
            value, backend = backend.to_host(value), _host()
        for (target, which), plan in zip(groups, plans, strict=True):
            dtype, config = target.chain.chunk.dtype, items[which[0]][1].config
            if backend.name != "cpu":
                dtype = dtype.newbyteorder("=")
            write(
                Job(store, target.chain, plan, dtype, target.fill_value),
                _address(target, [keys[i] for i in which], store, [items[i] for i in which]),
                backend,
                fit_value(value, plan, dtype),
                write_empty_chunks=config.write_empty_chunks,
            )
        return True

    def _decode(self, chunks: Sequence[tuple[Any, Any]]) -> list[Any] | None:
        """Decode chunks as one read into an array, one above another."""
        which = [i for i, (data, _) in enumerate(chunks) if data is not None]
        decoded: list[Any] = [None] * len(chunks)
        if not which:
            return decoded
        spec = chunks[which[0]][1]
        target = self._target(spec)
        uniform = all(chunks[i][1].shape == spec.shape for i in which)
        if target is None or not uniform or not spec.shape:
            return None
        length, rest = spec.shape[0], spec.shape[1:]
        buffer = spec.prototype.nd_buffer.create(
            shape=(length * len(which), *rest), dtype=spec.dtype.to_native_dtype()
        )
        keys = [str(i) for i in which]
        values = {key: chunks[int(key)][0].as_numpy_array() for key in keys}
        whole = tuple(slice(0, n) for n in spec.shape)
        places = [slice(n * length, (n + 1) * length) for n in range(len(which))]
        items: list[Item] = [
            (None, spec, whole, (place, *whole[1:]), True) for place in places
        ]  # fmt: skip
        out = buffer.as_ndarray_like()
        if not _fits(target, out):
            return None
        _run([_plan_read(target, items, MemoryStore(values), keys, out, ())])
        for i, place in zip(which, places, strict=True):
            decoded[i] = buffer[place]
        return decoded

    def _encode(self, chunks: Sequence[tuple[Any, Any]]) -> list[Any] | None:
        """Encode chunks, several at a time."""
        targets = [None if array is None else self._target(spec) for array, spec in chunks]
        if any(
            target is None and array is not None
            for target, (array, _) in zip(targets, chunks, strict=True)
        ):
            return None

        def one(number: int) -> Any:
            (array, spec), target = chunks[number], targets[number]
            if target is None:
                return None
            values = np.asarray(to_numpy(array.as_ndarray_like()), target.outer.chunk.dtype)
            data = target.outer.encode(f"chunk {number}", np.ascontiguousarray(values))
            return spec.prototype.buffer.from_bytes(bytes(data))

        return list(pool().map(one, range(len(chunks))))

    def _groups(self, items: Sequence[Item]) -> list[Group] | None:
        """Return the items by what their chunks are; None where one of them is not known."""
        groups: dict[int, Group] = {}
        last: Any = None
        which: list[int] = []
        for i, item in enumerate(items):
            if item[1] is not last:
                last = item[1]
                target = self._target(last)
                if target is None:
                    return None
                which = groups.setdefault(id(target), (target, []))[1]
            which.append(i)
        return list(groups.values())

    def _target(self, spec: Any) -> Target | None:
        dtype = spec.dtype.to_native_dtype()
        key = spec.shape, dtype, dtype.str, repr(spec.fill_value), spec.order
        if key not in self._bound:
            if len(self._bound) >= _KEPT:
                self._bound.clear()
            self._bound[key] = bind_codecs(tuple(self.theirs), spec)
        return self._bound[key]


CodecPipeline.__module__ = "cuzarr.interop.zarr"  # the name by which zarr-python is told of it
register_pipeline(CodecPipeline)


def _plan(
    target: Target,
    items: Sequence[Item],
    drop_axes: tuple[int, ...],
    out_shape: tuple[int, ...] | None,
) -> ChunkPlan:
    outer = target.outer.chunk.shape
    return plan_batch(items, outer, target.chain.chunk.shape, drop_axes, out_shape)


def _plan_groups(
    groups: Sequence[Group], items: Sequence[Item], drop_axes: tuple[int, ...]
) -> list[ChunkPlan]:
    """Plan a write: what all groups fill together is the shape of the value."""
    parts = [[items[i] for i in which] for _, which in groups]
    plans = [
        _plan(target, part, drop_axes, None)
        for (target, _), part in zip(groups, parts, strict=True)
    ]
    if len(plans) == 1:
        return plans
    shape = tuple(map(max, *(plan.out_shape for plan in plans)))
    return [
        _plan(target, part, drop_axes, shape)
        for (target, _), part in zip(groups, parts, strict=True)
    ]


def _plan_read(
    target: Target,
    items: Sequence[Item],
    store: Store,
    keys: Sequence[str],
    out: Any,
    drop_axes: tuple[int, ...],
) -> Read:
    """Plan the read of chunks of one type into an array of the host or a device."""
    plan = _plan(target, items, drop_axes, tuple(out.shape))
    job = Job(store, target.chain, plan, out.dtype, target.fill_value)
    address = _address(target, keys, store, items)
    return Read(job, address, _backend_of(out), out.reshape(plan.shape))


def _address(
    target: Target, keys: Sequence[str], store: Store, items: Sequence[Item]
) -> KeyAddress | KeyShardAddress:
    shards = target.address
    if not isinstance(shards, ShardAddress):
        return KeyAddress(keys)
    inner = shards.chunk_shape
    per_shard = tuple(n // k for n, k in zip(target.outer.chunk.shape, inner, strict=True))
    return KeyShardAddress(
        keys, store, shards.index, shards.shape, inner, per_shard,
        [item[4] for item in items],
    )  # fmt: skip


def _run(reads: Sequence[Read]) -> None:
    """Read; what a device was given is there when this returns."""
    for _ in read_each(reads):
        pass
    for backend in {id(read.backend): read.backend for read in reads}.values():
        runtime = getattr(backend, "runtime", None)
        if runtime is not None:  # the caller's stream is that of another thread
            runtime.wait_event(runtime.record(runtime.caller_stream()))


def _fits(target: Target, out: Any) -> bool:
    """Whether the elements of an output are those of the chunks, in either byte order."""
    dtype = target.chain.chunk.dtype
    if bool(out.dtype.newbyteorder("=") != dtype.newbyteorder("=")):
        return False
    if isinstance(out, np.ndarray):
        return True
    lives_there = dtype.kind in _DEVICE_KINDS and dtype.char not in "gG"
    return lives_there and hasattr(out, "__cuda_array_interface__")


def _on_device(group: Group, plan: ChunkPlan) -> bool:
    """Whether a device may write: it copies in any order, so no place may be written twice."""
    affine = plan.points is None and not plan.axes
    return affine and group[0].chain.chunk.dtype.kind in _DEVICE_KINDS


def _backend_of(array: Any) -> Backend:
    if isinstance(array, np.ndarray) or not hasattr(array, "__cuda_array_interface__"):
        return _host()
    number = getattr(array, "device", None)
    return open_backend(Device(f"cuda:{getattr(number, 'id', 0)}", "zarr-python's array is there"))


def _host() -> Backend:
    return open_backend(Device("cpu", "zarr-python's array is there"))
