"""The indexing of an array: one method to read and one to write for each kind of selection.

1. Each kind makes a plan (``plan``) for ``engine.read`` or ``engine.write``.
2. A read is pending (:class:`Pending`) before the engine runs it, so that several may run as one.
3. ``oindex``, ``vindex`` and ``blocks`` are square brackets for the methods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np

from cuzarr.codecs.fields import FieldsChain, check_fields, fields_dtype
from cuzarr.codecs.stacked import StackedChain
from cuzarr.config import ArrayConfig, config
from cuzarr.device import Device, open_backend, resolve
from cuzarr.engine.backend import AnyArray
from cuzarr.engine.batch import Job
from cuzarr.engine.read import Read, read_each
from cuzarr.engine.report import DevicePlan
from cuzarr.engine.target import Target
from cuzarr.engine.write import write
from cuzarr.host.backend import to_numpy
from cuzarr.meta.edges import Spacing
from cuzarr.meta.spec import ArraySpec
from cuzarr.node import Node
from cuzarr.plan import (
    is_scalar,
    last_wins,
    plan_basic,
    plan_block,
    plan_boxes,
    plan_coordinate,
    plan_item,
    plan_mask,
    plan_orthogonal,
)
from cuzarr.plan.chunk_plan import ChunkPlan
from cuzarr.values import Output, fit_value, subarrays_as_field

Out = AnyArray | None


class Selections(Node):
    """The part of :class:`~cuzarr.Array` that reads and writes.

    ``out`` is an array of the selection's shape and the array's data type, on the array's device,
    strided as you like: of NumPy or CuPy, or of any library that hands its memory over by DLPack or
    ``__cuda_array_interface__`` (torch). It is filled and returned. ``fields`` is a field of a
    structured data type, or a list of them: these alone are read, or written. Square brackets take
    names of fields among their entries. ``prototype`` is zarr-python's way to name a device; writes
    take values of any.
    """

    _spec: ArraySpec
    _target: Target
    _grid: tuple[tuple[int, ...], tuple[Spacing, ...]]  #: shape of the array, and its chunks
    _config: ArrayConfig
    _order: Literal["C", "F"]
    _wanted: str
    _device: Device | None
    _cast: np.dtype[Any] | None
    _last_plan: DevicePlan | None

    # Reading

    def __getitem__(self, key: Any) -> Any:
        fields, key = pop_fields(key) if self._spec.dtype.names else (None, key)
        return self._read(plan_item(key, *self._grid), key, None, fields)

    def get_basic_selection(
        self, selection: Any = ..., out: Out = None, fields: Any = None, *, prototype: Any = None
    ) -> Any:
        """Read integers and slices, stepped or negative; ``out`` is filled where given."""
        return self._read(plan_basic(selection, *self._grid), selection, out, fields, prototype)

    def get_orthogonal_selection(
        self, selection: Any, out: Out = None, fields: Any = None, *, prototype: Any = None
    ) -> Any:
        """Read the outer product of one integer, slice, 1-D list or mask per dimension."""
        plan = plan_orthogonal(selection, *self._grid)
        return self._read(plan, selection, out, fields, prototype)

    def get_coordinate_selection(
        self, selection: Any, out: Out = None, fields: Any = None, *, prototype: Any = None
    ) -> Any:
        """Read single elements: one integer array per dimension, broadcast together."""
        plan = plan_coordinate(selection, *self._grid)
        return self._read(plan, selection, out, fields, prototype)

    def get_mask_selection(
        self, mask: Any, out: Out = None, fields: Any = None, *, prototype: Any = None
    ) -> Any:
        """Read the elements where a boolean array of the same shape is True, in C order."""
        return self._read(plan_mask(mask, *self._grid), mask, out, fields, prototype)

    def get_block_selection(
        self, selection: Any, out: Out = None, fields: Any = None, *, prototype: Any = None
    ) -> Any:
        """Read whole chunks (shards, where there are) by grid coordinates: integers and slices."""
        plan = plan_block(selection, *self._grid, self._spec.grid)
        return self._read(plan, None, out, fields, prototype)

    def boxes(self, starts: Any, shape: Any, *, out: Out = None, fields: Any = None) -> Any:
        """Read many equal boxes at once, stacked: the windows of a training batch.

        Every chunk is fetched and decoded once, however many boxes share it.

        Parameters
        ----------
        starts : (n, ndim) integers
            First element of each box, in any order; boxes may overlap. ``(n,)`` where the array has
            one dimension.
        shape : tuple of int, or int
            Of a box; one integer stands for every dimension.
        out : array of shape (n, *shape), optional
            Filled and returned: memory that is used again from batch to batch.
        fields : str or list of str, optional

        Returns
        -------
        array of shape (n, *shape)
            ``result[i]`` is the box that begins at ``starts[i]``.

        Raises
        ------
        BoundsCheckError
            A box reaches outside the array.

        Examples
        --------
        >>> import cuzarr, numpy
        >>> z = cuzarr.array(numpy.arange(100).reshape(10, 10), chunks=(4, 4))
        >>> z.boxes([[0, 0], [3, 8]], (2, 2)).tolist()
        [[[0, 1], [10, 11]], [[38, 39], [48, 49]]]
        """
        plan = plan_boxes(to_numpy(starts), shape, *self._grid)
        return self._read(plan, None, out, fields)

    def _read(
        self,
        plan: ChunkPlan,
        key: Any,
        out: Out = None,
        fields: Any = None,
        prototype: Any = None,
    ) -> Any:
        if prototype is not None:
            return self.for_prototype(prototype)._read(plan, key, out, fields)
        pending = self._pending(plan, key, out, fields)
        (result,) = read_each((pending.read,))
        return pending.take(result)

    def pending(self, key: Any, plans: dict[Any, ChunkPlan]) -> Pending:
        """Return the read of ``self[key]``; ``plans`` keeps those of keys that live on."""
        if self._spec.dtype.names:
            fields, key = pop_fields(key)
            return self._pending(plan_item(key, *self._grid), key, None, fields)
        known = id(key), self._grid
        if known not in plans:
            plans[known] = plan_item(key, *self._grid)
        return self._pending(plans[known], key)

    def _pending(self, plan: ChunkPlan, key: Any, out: Out = None, fields: Any = None) -> Pending:
        if self._cast is None:
            return self._pending_stored(plan, key, out, fields)
        stored, cast = self._pending_stored(plan, key, None, fields), self._cast
        backend = open_backend(self._resolved())
        dtype = cast if fields is None else stored.read.job.dtype
        given = None if out is None else Output.of(out, plan, dtype, backend)

        def take(result: AnyArray) -> Any:
            found = stored.take(result)
            if given is not None:
                return given.fill(found, backend)
            return found.astype(dtype)

        return Pending(stored.read, take)

    def _pending_stored(self, plan: ChunkPlan, key: Any, out: Any, fields: Any) -> Pending:
        if hasattr(out, "as_ndarray_like"):  # a buffer of zarr-python
            out = out.as_ndarray_like()
        fields = check_fields(fields, self._spec.dtype)
        if isinstance(fields, str) and self._spec.dtype[fields].subdtype is not None:
            return self._pending_subarray(plan, key, out, fields)
        device = self._resolved()
        strict = not self._chosen("read_missing_chunks")
        job, parts = self._jobs(plan, device, lambda job: _reading(job, fields, strict))
        backend = open_backend(device)
        given = None if out is None else Output.of(out, plan, job.dtype, backend)
        target = None if given is None else given.target
        if given is None and self._order == "F" and device.name == "cpu":
            target = np.empty(plan.shape, job.dtype, "F")

        def take(result: AnyArray) -> Any:
            self._last_plan = DevicePlan.of(device.name, device.reason, job.report)
            if given is not None:
                return given.fill(result if target is None else None, backend)
            if key is not None and is_scalar(plan, key):
                return backend.to_host(result)[()]
            return result

        return Pending(Read(job, self._target.address, backend, target, parts), take)

    def _pending_subarray(self, plan: ChunkPlan, key: Any, out: Out, field: str) -> Pending:
        """Read a field whose elements are arrays: their dimensions follow those of the plan."""
        whole = self._pending_stored(plan, key, None, [field])

        def take(result: AnyArray) -> Any:
            found = whole.take(result)[field]
            if out is None:
                return found
            out[...] = found
            return out

        return Pending(whole.read, take)

    def _jobs(
        self, plan: ChunkPlan, device: Device, made: Callable[[Job], Job]
    ) -> tuple[Job, tuple[Job, ...] | None]:
        """Return the job of a plan, and its parts where chunks have several shapes."""
        dtype, target = self._spec.dtype, self._target
        if device.name != "cpu":
            dtype = dtype.newbyteorder("=")
        job = Job(
            self._store, target.chain, plan, dtype, target.fill_value, resident=target.resident
        )
        parts = target.parts(job)
        return made(job), None if parts is None else tuple(map(made, parts))

    # Writing

    def __setitem__(self, key: Any, value: Any) -> None:
        fields, key = pop_fields(key) if self._spec.dtype.names else (None, key)
        self._write(plan_item(key, *self._grid), value, fields)

    def set_basic_selection(
        self, selection: Any, value: Any, fields: Any = None, *, prototype: Any = None
    ) -> None:
        """Write to integers and slices."""
        self._write(plan_basic(selection, *self._grid), value, fields)

    def set_orthogonal_selection(
        self, selection: Any, value: Any, fields: Any = None, *, prototype: Any = None
    ) -> None:
        """Write to the outer product of one selector per dimension."""
        self._write(plan_orthogonal(selection, *self._grid), value, fields)

    def set_coordinate_selection(
        self, selection: Any, value: Any, fields: Any = None, *, prototype: Any = None
    ) -> None:
        """Write single elements; of equal coordinates the last value wins."""
        self._write(plan_coordinate(selection, *self._grid), value, fields)

    def set_mask_selection(
        self, mask: Any, value: Any, fields: Any = None, *, prototype: Any = None
    ) -> None:
        """Write the elements where a boolean array of the same shape is True."""
        self._write(plan_mask(mask, *self._grid), value, fields)

    def set_block_selection(
        self, selection: Any, value: Any, fields: Any = None, *, prototype: Any = None
    ) -> None:
        """Write whole chunks (shards, where there are) by their grid coordinates."""
        plan = plan_block(selection, *self._grid, self._spec.grid)
        self._write(plan, value, fields)

    def _write(self, plan: ChunkPlan, value: Any, fields: Any = None) -> None:
        self._check_writable()
        fields = check_fields(fields, self._spec.dtype)
        device = self._resolved()
        if device.name != "cpu":
            plan = last_wins(plan)  # a device copies in any order
        dtype = self._spec.dtype
        if isinstance(fields, str) and dtype[fields].subdtype is not None:
            value, fields = subarrays_as_field(value, dtype, fields), [fields]
        job, parts = self._jobs(plan, device, lambda job: _writing(job, fields))
        backend = open_backend(device)
        place = None if device.name == "cpu" else partial(backend.place, job)
        write(
            job,
            self._target.address,
            backend,
            fit_value(value, plan, job.dtype, place),
            write_empty_chunks=self._chosen("write_empty_chunks"),
            parts=parts,
        )
        self._last_plan = DevicePlan.of(device.name, device.reason, job.report)

    def _chosen(self, key: str) -> bool:
        """Return a setting of the array, or else of ``cuzarr.config``."""
        own = getattr(self._config, key)
        return bool(config.get(key) if own is None else own)

    def for_prototype(self, prototype: Any) -> Self:
        """Return the array on the device of a buffer prototype of ``buffer`` or zarr-python."""
        raise NotImplementedError

    def _resolved(self) -> Device:
        if self._device is None:
            here = getattr(self._store, "device", None)  # of a store that is on one
            self._device = resolve(self._wanted, self._spec.dtype, here)
        return self._device

    # Brackets

    @property
    def oindex(self) -> Indexer:
        """Orthogonal indexing: ``z.oindex[[0, 2], :]``."""
        return Indexer(self.get_orthogonal_selection, self.set_orthogonal_selection)

    @property
    def vindex(self) -> Indexer:
        """Coordinate or mask indexing: ``z.vindex[[0, 2], [1, 3]]``, ``z.vindex[mask]``."""
        return Indexer(self._get_points, self._set_points)

    @property
    def blocks(self) -> Indexer:
        """Chunk indexing: ``z.blocks[0, 1:3]``."""
        return Indexer(self.get_block_selection, self.set_block_selection)

    def _get_points(self, key: Any, *, fields: Any = None) -> Any:
        get = self.get_mask_selection if _is_mask(key) else self.get_coordinate_selection
        return get(key, fields=fields)

    def _set_points(self, key: Any, value: Any, *, fields: Any = None) -> None:
        set_ = self.set_mask_selection if _is_mask(key) else self.set_coordinate_selection
        set_(key, value, fields=fields)


@dataclass(frozen=True, slots=True)
class Pending:
    """A read that is planned, and what makes the user's result of the engine's.

    Attributes
    ----------
    read : Read
    take : callable
    """

    read: Read
    take: Callable[[AnyArray], Any]


class Indexer:
    """Square brackets for one kind of selection."""

    def __init__(self, get: Any, set_: Any) -> None:
        self._get, self._set = get, set_

    def __getitem__(self, key: Any) -> Any:
        fields, key = pop_fields(key)
        return self._get(key, fields=fields)

    def __setitem__(self, key: Any, value: Any) -> None:
        fields, key = pop_fields(key)
        self._set(key, value, fields=fields)


def _reading(job: Job, fields: Any, refuse_missing: bool) -> Job:
    """Return a job that reads some fields, or boxes."""
    if refuse_missing:
        job = replace(job, refuse_missing=True)
    if fields is not None:
        chain = FieldsChain.of(job.chain, fields)
        fill = chain.chunk.fill_value
        job = replace(job, chain=chain, dtype=chain.chunk.dtype, fill_value=fill)
    if job.plan.boxes is not None:
        job = replace(job, chain=StackedChain.of(job.chain))
    return job


def _writing(job: Job, fields: Any) -> Job:
    """Return a job that writes some fields."""
    if fields is None:
        return job
    return replace(job, dtype=fields_dtype(fields, job.dtype), fields=fields)


def pop_fields(key: Any) -> tuple[Any, Any]:
    """Split a key into names of fields, or None, and the rest: ``"a"``, ``["a", "b"]``, ``"a", 0``.

    One name is a field, several are a list of fields. A key of names alone selects everything.
    """
    entries = key if isinstance(key, tuple) else (key,)
    names: list[str] = []
    rest: list[Any] = []
    several = False
    for entry in entries:
        if isinstance(entry, str):
            names.append(entry)
        elif isinstance(entry, list) and entry and all(isinstance(name, str) for name in entry):
            names += entry
            several = True
        else:
            rest.append(entry)
    if not names:
        return None, key
    fields = names if several or len(names) > 1 else names[0]
    return fields, rest[0] if len(rest) == 1 else tuple(rest)


def _is_mask(key: Any) -> bool:
    if isinstance(key, tuple):
        return len(key) == 1 and _is_mask(key[0])
    dtype = getattr(key, "dtype", None)
    if dtype is None and isinstance(key, list):
        return np.asarray(key).dtype == np.bool_
    return dtype is not None and np.dtype(dtype) == np.bool_
