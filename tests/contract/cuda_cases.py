"""Arrays in memory for the tests of the CUDA backend: built, read and written without metadata.

1. :class:`Stored` holds a store, a codec chain and a grid, and encodes chunks with any encoder.
2. ``read`` and ``write`` run the engine with a given backend, on a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cuzarr.codecs.base import ChunkType
from cuzarr.codecs.chain import CodecChain
from cuzarr.cuda.backend import CudaBackend
from cuzarr.cuda.placement import MIN_STREAMS
from cuzarr.engine.address import PlainAddress
from cuzarr.engine.batch import Job
from cuzarr.engine.read import read
from cuzarr.engine.write import write
from cuzarr.meta.spec import ChunkKeyEncoding, CodecSpec
from cuzarr.plan import ChunkPlan, full_plan
from cuzarr.storage.memory import MemoryStore
from tests.emulation.runtime import EmulatedRuntime

#: Every wave goes to the device, however few streams it has.
ALWAYS = dict.fromkeys(MIN_STREAMS, 0)
_EMULATED = {"nvcomp", "capacity", "on_undefined"}  # options of the emulated device
_real = {"device": False}


def use_real_device(wanted: bool) -> None:
    """Make :func:`device_backend` give the real device, or the emulated one."""
    _real["device"] = wanted


def device_backend(seed: int = 1, **options: Any) -> CudaBackend:
    """Return a backend on the device under test; placement sends everything there by default."""
    if not _real["device"] or _EMULATED & set(options):
        return emulated_backend(seed, **options)
    from cuzarr.cuda.cupy_runtime import CupyRuntime

    options.setdefault("placement", ALWAYS)
    options.setdefault("encode", "device")
    options.setdefault("budget", 4 << 30)  # nvCOMP's zstd wants more than one GiB to compress
    return CudaBackend(CupyRuntime(0), **options)


def close(backend: CudaBackend) -> None:
    """Run what the emulated device still has queued; fails on memory that is still held."""
    if isinstance(backend.runtime, EmulatedRuntime):
        backend.runtime.close()


def emulated_backend(seed: int = 1, **options: Any) -> CudaBackend:
    """Return a backend on an emulated device, for tests that look inside or misuse it."""
    device = {name: options.pop(name) for name in _EMULATED & set(options)}
    options.setdefault("placement", ALWAYS)
    options.setdefault("encode", "device")
    return CudaBackend(EmulatedRuntime(seed, **device), **options)


@dataclass
class Stored:
    """An array in a store.

    Parameters
    ----------
    data : array
        The elements, in the dtype of the array (byte order included).
    chunks : tuple of int
    codecs : sequence of (name, configuration)
    fill_value : scalar
    """

    data: np.ndarray[Any, Any]
    chunks: tuple[int, ...]
    codecs: Sequence[tuple[str, dict[str, Any]]]
    fill_value: Any = 0
    store: Any = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        fill = self.data.dtype.type(self.fill_value)
        specs = [CodecSpec(name, configuration) for name, configuration in self.codecs]
        self.chain = CodecChain.bind(specs, ChunkType(self.chunks, self.data.dtype, fill))
        self.address = PlainAddress("a/", ChunkKeyEncoding())

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(-(-n // c) for n, c in zip(self.data.shape, self.chunks, strict=True))

    def chunk(self, coords: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Return one chunk of the data, the fill value outside."""
        full = np.full(self.chunks, self.fill_value, self.data.dtype)
        index = tuple(slice(k * c, (k + 1) * c) for k, c in zip(coords, self.chunks, strict=True))
        part = self.data[index]
        full[tuple(slice(0, n) for n in part.shape)] = part
        return full

    def key(self, coords: tuple[int, ...]) -> str:
        return "a/" + "/".join(["c", *map(str, coords)])

    def encode_all(self, encode: Callable[[np.ndarray[Any, Any]], bytes] | None = None) -> Stored:
        """Store every chunk, with the chain or with an encoder of the chunk."""
        for coords in np.ndindex(self.grid):
            key, chunk = self.key(coords), self.chunk(coords)
            value = self.chain.encode(key, chunk) if encode is None else encode(chunk)
            self.store.set(key, bytes(value))
        return self

    def job(self, plan: ChunkPlan, *, native: bool = True) -> Job:
        dtype = self.data.dtype.newbyteorder("=") if native else self.data.dtype
        fill = np.dtype(dtype).type(self.fill_value)
        return Job(self.store, self.chain, plan, dtype, fill)

    def plan(self) -> ChunkPlan:
        return full_plan(self.data.shape, self.chunks)

    def read(self, backend: CudaBackend, plan: ChunkPlan | None = None) -> np.ndarray[Any, Any]:
        """Read on a device and return a host copy."""
        job = self.job(plan or self.plan())
        found = read(job, self.address, backend)
        self.report = job.report
        return backend.runtime.to_host(found)

    def write(self, backend: Any, plan: ChunkPlan, value: Any, *, empty: bool = True) -> Job:
        job = self.job(plan)
        write(job, self.address, backend, value, write_empty_chunks=empty)
        return job

    def where(self) -> dict[str, str]:
        """Return step -> place of the last read."""
        return {record.step: record.where for record in self.report}


def smooth(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return data that compresses: a slow wave with a little noise."""
    rng = np.random.default_rng(seed)
    n = int(np.prod(shape))
    values = np.sin(np.arange(n) / 50) * 50 + rng.integers(0, 3, n)
    kind = np.dtype(dtype)
    if kind.kind == "c":
        return (values + 1j * values[::-1]).astype(kind).reshape(shape)
    if kind.kind == "b":
        return (values > 0).reshape(shape)
    return (
        np.abs(values).astype(kind).reshape(shape)
        if kind.kind == "u"
        else values.astype(kind).reshape(shape)
    )


def noise(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return data that does not compress."""
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(raw, dtype).reshape(shape)
