"""Array: attributes, resize and append. No algorithms.

An array is a spec bound to a store (``engine.target``), on a device (``device``); what reads and
writes it is in ``selections``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numcodecs
import numpy as np
import numpy.typing as npt

from cuzarr import display, nodes
from cuzarr.attrs import Attributes, check_attributes
from cuzarr.config import ArrayConfig, config
from cuzarr.device import parse_device
from cuzarr.engine.report import DevicePlan
from cuzarr.engine.target import bind
from cuzarr.errors import ShapeMismatchError
from cuzarr.meta import v2
from cuzarr.meta.spec import ArraySpec, ZarrFormat
from cuzarr.plan import grid_shape
from cuzarr.selections import Selections
from cuzarr.storage.base import Store


class Array(Selections):
    """A chunked, compressed N-dimensional array in a store.

    Made by ``cuzarr.open_array``, ``cuzarr.create_array`` and their kin, not by calling it.

    Parameters
    ----------
    store : Store
    path : str
    spec : ArraySpec
    read_only : bool
    device : str or None
        "auto", "cpu", "cuda" or "cuda:N"; None takes ``cuzarr.config``'s.
    config : ArrayConfig, mapping or None

    Raises
    ------
    UnknownCodecError, MetadataError
        The codecs of the document cannot be built.
    NoDeviceError
        The device is not there.
    """

    def __init__(
        self,
        store: Store,
        path: str,
        spec: ArraySpec,
        *,
        read_only: bool,
        device: str | None,
        config: Any = None,
    ) -> None:
        self._store, self._path, self._read_only = store, path, read_only
        self._wanted, self._config = parse_device(device), ArrayConfig.of(config)
        self._device = None
        self._last_plan = None
        self._rebind(spec)
        self.attrs = Attributes(lambda: self._spec.attributes, self._save_attributes)

    def _rebind(self, spec: ArraySpec) -> None:
        name = nodes.V3_KEY if spec.zarr_format == 3 else nodes.V2_ARRAY
        key = f"{self._path}/{name}" if self._path else name
        self._target = bind(spec, self._store, self._path, key, cache_indexes=self._read_only)
        self._spec = spec
        self._grid = spec.shape, self._target.chunk_shape
        own = self._config.order or (spec.order if spec.zarr_format == 2 else None)
        self._order = own or config.get("order")

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension; assigning resizes."""
        return self._spec.shape

    @shape.setter
    def shape(self, shape: Sequence[int]) -> None:
        self.resize(tuple(shape))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements."""
        return self._spec.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._spec.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self._spec.shape)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self._spec.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements, decoded."""
        return self.size * self.itemsize

    @property
    def chunks(self) -> tuple[int, ...]:
        """Chunk shape: of the inner chunks, where the array is sharded."""
        return self._target.chunk_shape

    @property
    def shards(self) -> tuple[int, ...] | None:
        """Shard shape, or None where the array is not sharded."""
        return self._spec.chunk_shape if self._target.chain is not self._target.outer else None

    @property
    def cdata_shape(self) -> tuple[int, ...]:
        """Number of chunks along each dimension."""
        return grid_shape(self.shape, self.chunks)

    @property
    def nchunks(self) -> int:
        """Number of chunks that the array has when all are stored."""
        return prod(self.cdata_shape)

    @property
    def nchunks_initialized(self) -> int:
        """Number of stored objects (shards, where the array is sharded)."""
        return sum(1 for _ in self._chunk_keys())

    def nbytes_stored(self) -> int:
        """Return the bytes of the stored objects, metadata included."""
        prefix = f"{self._path}/" if self._path else ""
        keys = [prefix + name for name in nodes.DOCUMENTS]
        return sum(self._store.size(key) or 0 for key in [*keys, *self._chunk_keys()])

    @property
    def fill_value(self) -> np.generic | None:
        """Value of chunks that are not stored."""
        return self._spec.fill_value

    @property
    def order(self) -> str:
        """Memory order of v2 chunks, "C" or "F"."""
        return self._spec.order

    @property
    def dimension_names(self) -> tuple[str | None, ...] | None:
        """Names of the dimensions, or None."""
        return self._spec.dimension_names

    @property
    def zarr_format(self) -> ZarrFormat:
        """2 or 3."""
        return self._spec.zarr_format

    @property
    def metadata(self) -> ArraySpec:
        """The description that the metadata document gives."""
        return self._spec

    @property
    def compressor(self) -> Any:
        """The numcodecs compressor of a v2 array, or None."""
        return codec_objects(v2.v2_compressor(self._spec))

    @property
    def compressors(self) -> tuple[Any, ...]:
        """Bytes-to-bytes codecs (of the inner chunks, where the array is sharded)."""
        if self.zarr_format == 2:
            return () if self.compressor is None else (self.compressor,)
        return self._target.chain.byte_codecs

    @property
    def filters(self) -> Any:
        """Array-to-array codecs; of a v2 array the numcodecs filters, or None."""
        if self.zarr_format == 2:
            found = v2.v2_filters(self._spec)
            return None if not found else [codec_objects(entry) for entry in found]
        return tuple(codec for codec, _ in self._target.chain.array_codecs)

    @property
    def serializer(self) -> Any:
        """The array-to-bytes codec, or None for a v2 array."""
        return None if self.zarr_format == 2 else self._target.chain.serializer

    # Where it is

    @property
    def store(self) -> Store:
        """The store that holds it."""
        return self._store

    @property
    def path(self) -> str:
        """Path in the store, without a leading slash."""
        return self._path

    @property
    def name(self) -> str:
        """Path with a leading slash."""
        return f"/{self._path}"

    @property
    def basename(self) -> str:
        """Last part of the path."""
        return self._path.rpartition("/")[2]

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._read_only

    # On which device

    @property
    def device(self) -> str:
        """Where results live: "cpu" or "cuda:N". Resolved at the first data access."""
        return self._resolved().name

    @property
    def device_reason(self) -> str:
        """Why results live there."""
        return self._resolved().reason

    @property
    def device_plan(self) -> DevicePlan:
        """Where each step of the last read or write ran, and why."""
        return self._last_plan or DevicePlan(self.device, self.device_reason, ())

    def to_device(self, device: str) -> Array:
        """Return the same stored array with its results on another device."""
        return Array(self._store, self._path, self._spec, read_only=self._read_only, device=device)

    # As a sequence

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("a stored array cannot become a NumPy array without a copy")
        host = self if self.device == "cpu" else self.to_device("cpu")
        found: npt.NDArray[Any] = np.asarray(host[...])
        return found if dtype is None else found.astype(dtype)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a zero-dimensional array")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.shape:
            raise TypeError("iteration over a zero-dimensional array")
        rows = self.chunks[0]
        for first in range(0, self.shape[0], rows):
            yield from self[first : first + rows]

    # Changing it

    def resize(self, *shape: int | Sequence[int]) -> None:
        """Change the length of each dimension; chunks wholly outside are deleted.

        Elements outside that share a chunk with elements inside are not cleared.
        """
        self._check_writable()
        first = shape[0] if len(shape) == 1 else shape
        new = (first,) if isinstance(first, int | np.integer) else tuple(first)
        if len(new) != self.ndim:
            raise ShapeMismatchError(f"cannot resize {self.ndim} dimensions to shape {new}")
        lengths = []
        for length in new:
            if not isinstance(length, int | np.integer) or length < 0:
                raise ValueError(f"lengths must be integers of at least 0, not {length!r}")
            lengths.append(int(length))
        old_grid = grid_shape(self.shape, self._spec.chunk_shape)
        grid = grid_shape(lengths, self._spec.chunk_shape)
        spec = replace(self._spec, shape=tuple(lengths))
        nodes.write_node(self._store, self._path, spec)
        self._rebind(spec)
        if any(n < old for n, old in zip(grid, old_grid, strict=True)):
            outside = [
                key
                for key, coords in self._chunk_coords()
                if any(c >= n for c, n in zip(coords, grid, strict=True))
            ]
            self._store.delete(outside)

    def append(self, data: Any, axis: int = 0) -> tuple[int, ...]:
        """Append along an axis and return the new shape; other lengths must match."""
        data = data if hasattr(data, "shape") else np.asarray(data)
        if not -self.ndim <= axis < self.ndim:
            raise ValueError(f"axis {axis} is outside an array of {self.ndim} dimensions")
        axis %= self.ndim
        shape = tuple(data.shape)
        expected = list(self.shape)
        if len(shape) == self.ndim:
            expected[axis] = shape[axis]
        if shape != tuple(expected):
            raise ShapeMismatchError(
                f"cannot append shape {shape} to {self.shape} along axis {axis}: "
                "all other lengths must match"
            )
        old = self.shape[axis]
        new = list(self.shape)
        new[axis] += shape[axis]
        self.resize(tuple(new))
        where = [slice(None)] * self.ndim
        where[axis] = slice(old, None)
        self[tuple(where)] = data
        return self.shape

    def update_attributes(self, values: Mapping[str, Any]) -> Array:
        """Change attributes and return the array."""
        self.attrs.update(values)
        return self

    def _save_attributes(self, attributes: dict[str, Any]) -> None:
        self._check_writable()
        spec = replace(self._spec, attributes=check_attributes(attributes))
        nodes.write_node(self._store, self._path, spec)
        self._spec = spec

    def _chunk_coords(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield key and grid coordinates of every stored object of the array."""
        encoding = self._spec.key_encoding
        prefix = f"{self._path}/" if self._path else ""
        for key in self._store.list(self._path):
            parts = key[len(prefix) :].split(encoding.separator)
            if encoding.name == "default":
                if parts[0] != "c":
                    continue
                parts = parts[1:]
            elif self.ndim == 0 and parts == ["0"]:
                parts = []
            if len(parts) == self.ndim and all(part.isdecimal() for part in parts):
                yield key, tuple(map(int, parts))

    def _chunk_keys(self) -> Iterator[str]:
        grid = grid_shape(self.shape, self._spec.chunk_shape)
        for key, coords in self._chunk_coords():
            if all(c < n for c, n in zip(coords, grid, strict=True)):
                yield key

    # Looking at it

    @property
    def info(self) -> display.Info:
        """A short report; prints as text."""
        return display.array_info(self, stored=False)

    def info_complete(self) -> display.Info:
        """Return the report with what takes a listing of the store: bytes and chunks stored."""
        return display.array_info(self, stored=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._store, self._path, self._spec, self._read_only, self._wanted)

    def __repr__(self) -> str:
        where = display.location(self._store, self._path)
        return f"<Array {where} shape={self.shape} dtype={self.dtype}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Array)
            and self._store == other._store
            and self._path == other._path
            and self._spec == other._spec
        )

    __hash__ = None  # type: ignore[assignment]  # equal arrays may change


def _unpickle(store: Store, path: str, spec: ArraySpec, read_only: bool, device: str) -> Array:
    return Array(store, path, spec, read_only=read_only, device=device)


def codec_objects(config: Mapping[str, Any] | None) -> Any:
    """Return the numcodecs codec of a v2 configuration, or None."""
    return None if config is None else numcodecs.get_codec(dict(config))
