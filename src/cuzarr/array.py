"""Array: attributes, resize and append. No algorithms.

An array is a spec bound to a store (``engine.target``), on a device (``device``); what reads and
writes it is in ``selections``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import prod
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from cuzarr import display, nodes
from cuzarr.aio import AsyncArray
from cuzarr.config import ArrayConfig, config
from cuzarr.description import Description
from cuzarr.device import parse_device
from cuzarr.engine.address import ShardAddress
from cuzarr.engine.pool import beside
from cuzarr.engine.report import DevicePlan
from cuzarr.engine.target import bind
from cuzarr.errors import ShapeMismatchError
from cuzarr.meta import chunk_grid
from cuzarr.meta.problems import MAX_LENGTH
from cuzarr.meta.spec import ArraySpec, ZarrFormat
from cuzarr.plan import grid_shape, pieces, regions
from cuzarr.storage.base import Store
from cuzarr.storage.resolve import StoreLike, as_store

_BATCH_BYTES = 64 << 20  # of what works through a whole array


class Array(Description):
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
        self._cast = None
        self._last_plan = None
        self._rebind(spec)

    @classmethod
    def open(
        cls, store: StoreLike, zarr_format: ZarrFormat | None = None, *, config: Any = None
    ) -> Array:
        """Open the array at the root of a store."""
        opened = as_store(store)
        spec = nodes.read_array(opened, "", zarr_format)
        return cls(opened, "", spec, read_only=opened.read_only, device=None, config=config)

    def _rebind(self, spec: ArraySpec) -> None:
        name = nodes.V3_KEY if spec.zarr_format == 3 else nodes.V2_ARRAY
        key = f"{self._path}/{name}" if self._path else name
        self._target = bind(spec, self._store, self._path, key, cache_indexes=self._read_only)
        self._spec = spec
        self._grid = spec.shape, self._target.grid
        own = self._config.order or (spec.order if spec.zarr_format == 2 else None)
        self._order = own or config.get("order")

    # What it is, beyond what ``Description`` has

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension; assigning resizes."""
        return self._spec.shape

    @shape.setter
    def shape(self, shape: Sequence[int]) -> None:
        self.resize(tuple(shape))

    @property
    def nchunks_initialized(self) -> int:
        """Number of chunks in the stored objects; of a stored shard, all that it has room for."""
        stored = [coords for _, coords in self._stored_objects()]
        address = self._target.address
        if not isinstance(address, ShardAddress):
            return len(stored)
        shards = np.array(stored, np.int64).reshape(len(stored), self.ndim)
        return int(address.chunks_in_array(shards).sum())

    @property
    def nshards_initialized(self) -> int:
        """Number of stored objects: shards, or the chunks of an array without."""
        return sum(1 for _ in self._stored_objects())

    @property
    def initialized(self) -> int:
        """The same as :attr:`nchunks_initialized`, by its older name."""
        return self.nchunks_initialized

    def nbytes_stored(self) -> int:
        """Return the bytes of the stored objects, metadata included."""
        prefix = f"{self._path}/" if self._path else ""
        keys = [prefix + name for name in nodes.DOCUMENTS]
        keys += [key for key, _ in self._stored_objects()]
        return sum(self._store.size(key) or 0 for key in keys)

    @property
    def async_array(self) -> AsyncArray:
        """The same array, for ``await``."""
        return AsyncArray(self)

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
        return self._copy(device=parse_device(device))

    def with_config(self, config: Any) -> Array:
        """Return the same stored array with another :class:`ArrayConfig`; what it omits is kept."""
        return self._copy(config=self._config.updated(ArrayConfig.of(config)))

    def astype(self, dtype: npt.DTypeLike) -> Array:
        """Return a read-only view whose elements are converted as they are read."""
        return self._copy(cast=np.dtype(dtype))

    def for_prototype(self, prototype: Any) -> Array:
        """Return the array on the device of a buffer prototype of ``buffer`` or zarr-python."""
        place = getattr(getattr(prototype, "buffer", None), "__module__", "")
        device = getattr(prototype, "device", "cuda" if place.endswith(".gpu") else "cpu")
        return self if self.device.partition(":")[0] == device else self.to_device(device)

    def _copy(
        self,
        *,
        device: str | None = None,
        config: ArrayConfig | None = None,
        cast: np.dtype[Any] | None = None,
    ) -> Array:
        made = type(self)(
            self._store, self._path, self._spec, read_only=self._read_only,
            device=device or self._wanted, config=config or self._config,
        )  # fmt: skip
        made._cast = self._cast if cast is None else cast
        made._read_only |= made._cast is not None
        return made

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

    def __bool__(self) -> bool:
        return True  # there is an array, whatever its length

    def __iter__(self) -> Iterator[Any]:
        return self.islice()

    def islice(self, start: int | None = None, end: int | None = None) -> Iterator[Any]:
        """Iterate over the first dimension from ``start`` to ``end``, in batches of chunks."""
        if not self.shape:
            raise TypeError("iteration over a zero-dimensional array")
        return self._rows(*slice(start, end).indices(self.shape[0]))

    def _rows(self, first: int, end: int, _: int = 1) -> Iterator[Any]:
        row = max(1, prod(self.shape[1:]) * self.itemsize)
        height = self._spec.chunk_shape[0]
        batch = max(1, _BATCH_BYTES // (row * height)) * height
        for rows in pieces(first, end, self._spec.grid[0], batch):
            yield from self[rows]

    def regions(self, nbytes: int = _BATCH_BYTES) -> Iterator[tuple[slice, ...]]:
        """Yield selections that cover the array in batches of whole stored objects, in C order.

        Parameters
        ----------
        nbytes : int
            A selection holds at most as many bytes, unless one chunk (or shard) is larger.

        Examples
        --------
        >>> import cuzarr
        >>> z = cuzarr.ones((6, 4), chunks=(2, 4), dtype="i4")
        >>> sum(z[region].sum() for region in z.regions(64))
        np.int64(24)
        """
        return regions(self.shape, self._spec.grid, self.itemsize, nbytes)

    def digest(self, hashname: str = "sha1") -> bytes:
        """Return a hash of the metadata and of every element, the same for equal arrays.

        Parameters
        ----------
        hashname : str
            Of ``hashlib``.
        """
        found = hashlib.new(hashname)
        found.update(f"{self.shape}{self.dtype.str}{self.fill_value!r}".encode())
        host = self if self.device == "cpu" else self.to_device("cpu")
        for region in self.regions():
            found.update(np.ascontiguousarray(host[region]).tobytes())
        found.update(json.dumps(self.attrs.asdict(), sort_keys=True).encode())
        return found.digest()

    def hexdigest(self, hashname: str = "sha1") -> str:
        """Return :meth:`digest` as text."""
        return self.digest(hashname).hex()

    # Changing it

    def resize(
        self,
        *shape: int | Sequence[int],
        new_shape: int | Sequence[int] | None = None,
        delete_outside_chunks: bool = True,
    ) -> None:
        """Change the length of each dimension: ``resize(20, 10)`` or ``resize((20, 10))``.

        Elements outside that share a chunk with elements inside are not cleared.

        Parameters
        ----------
        *shape : int or sequence of int
        new_shape : int, sequence of int, or None
            The same by name.
        delete_outside_chunks : bool
            Delete the chunks that are wholly outside.
        """
        self._check_writable()
        if (new_shape is None) != bool(shape):
            raise TypeError("resize needs a shape, once")
        first = new_shape if new_shape is not None else shape[0] if len(shape) == 1 else shape
        spec = self._resized([first] if isinstance(first, int | np.integer) else [*first])
        self._store_shape(spec, delete_outside_chunks=delete_outside_chunks)

    def _store_shape(self, spec: ArraySpec, *, delete_outside_chunks: bool = True) -> None:
        old_grid = grid_shape(self.shape, self._spec.grid)
        grid = grid_shape(spec.shape, spec.grid)
        self._take_shape(nodes.write_shape(self._store, self._path, spec))
        shrunk = any(n < old for n, old in zip(grid, old_grid, strict=True))
        if shrunk and delete_outside_chunks:
            outside = [
                key
                for key, coords in self._chunk_coords()
                if any(c >= n for c, n in zip(coords, grid, strict=True))
            ]
            self._store.delete(outside)

    def _resized(self, shape: Sequence[Any]) -> ArraySpec:
        """Return the description of the array with another shape."""
        if len(shape) != self.ndim:
            raise ShapeMismatchError(
                f"cannot resize {self.ndim} dimensions to shape {tuple(shape)}"
            )
        lengths = []
        for length in shape:
            if not isinstance(length, int | np.integer) or not 0 <= length <= MAX_LENGTH:
                raise ValueError(f"lengths must be integers from 0 to 2**63 - 1, not {length!r}")
            lengths.append(int(length))
        # What a grid of several lengths is grown by must hold whole inner chunks.
        units = self._target.chain.chunk.shape if self.is_sharded else (1,) * self.ndim
        return chunk_grid.resized(self._spec, tuple(lengths), units)

    def _take_shape(self, spec: ArraySpec) -> None:
        if self._target.any_shape:
            self._spec, self._grid = spec, (spec.shape, self._target.grid)
        else:
            self._rebind(spec)

    def append(self, data: Any, axis: int = 0) -> tuple[int, ...]:
        """Append along an axis and return the new shape; other lengths must match.

        Where that fails, the array gets its shape back.
        """
        if isinstance(data, Array):
            data = data[...]  # it may be this one
        data = data if hasattr(data, "shape") else np.asarray(data)
        if not -self.ndim <= index(axis) < self.ndim:
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
        self._check_writable()
        new = list(self.shape)
        new[axis] += shape[axis]
        where = [slice(None)] * self.ndim
        where[axis] = slice(self.shape[axis], None)
        spec = self._resized(new)
        # The document is stored while the chunks are made.
        storing = beside(self._store).submit(nodes.write_shape, self._store, self._path, spec)
        before = self._spec
        self._take_shape(spec)
        try:
            self[tuple(where)] = data
            self._spec = storing.result()
        except BaseException:
            if storing.exception() is None:
                with suppress(Exception):  # the array keeps the shape that is stored
                    self._store_shape(before)
            else:
                self._take_shape(before)
            raise
        return self.shape

    def _chunk_coords(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield key and grid coordinates of every stored object of the array."""
        return nodes.chunk_coords(self._spec, self._path, self._store.list(self._path))

    def _stored_objects(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield those that lie inside the array."""
        grid = grid_shape(self.shape, self._spec.grid)
        for key, coords in self._chunk_coords():
            if all(c < n for c, n in zip(coords, grid, strict=True)):
                yield key, coords

    # Looking at it

    @property
    def info(self) -> display.Info:
        """A short report; prints as text."""
        return display.array_info(self, stored=False)

    def info_complete(self) -> display.Info:
        """Return the report with what takes a listing of the store: bytes and chunks stored."""
        return display.array_info(self, stored=True)

    def info_items(self) -> list[tuple[str, str]]:
        """Return the rows of :attr:`info`."""
        return list(self.info.rows)

    def __reduce__(self) -> tuple[Any, ...]:
        made = self._store, self._path, self._spec, self._read_only, self._wanted, self._config
        return _unpickle, (*made, self._cast)

    def __repr__(self) -> str:
        where = display.location(self._store, self._path)
        return f"<Array {where} shape={self.shape} dtype={self.dtype}>"


def _unpickle(
    store: Store,
    path: str,
    spec: ArraySpec,
    read_only: bool,
    device: str,
    config: ArrayConfig,
    cast: np.dtype[Any] | None,
) -> Array:
    made = Array(store, path, spec, read_only=read_only, device=device, config=config)
    made._cast = cast
    return made


AsyncArray.wraps = Array
