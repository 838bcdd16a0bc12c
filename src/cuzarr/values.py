"""Values to write and arrays to read into, reshaped so that they fit a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cuzarr.codecs.impossible import what_is_impossible
from cuzarr.engine.backend import Backend
from cuzarr.errors import ShapeMismatchError
from cuzarr.host.backend import to_numpy
from cuzarr.plan.chunk_plan import ChunkPlan

PROTOCOLS = ("__array__", "__dlpack__", "__cuda_array_interface__")


def fit_value(
    value: Any,
    plan: ChunkPlan,
    dtype: np.dtype[Any],
    place: Callable[[Any], Any] | None = None,
) -> Any:
    """Return ``value`` with a shape that broadcasts to ``plan.shape``.

    Parameters
    ----------
    value : scalar, nested list, NumPy, CuPy or torch array
        Its shape must broadcast to ``plan.out_shape``, as in NumPy's assignment.
    plan : ChunkPlan
    dtype : numpy.dtype
        Of the array; Python values become it at once.
    place : callable or None
        Makes an array of the device of what has no more than ``__cuda_array_interface__``.

    Raises
    ------
    ShapeMismatchError
    ValueError
        It holds what no element can be: booleans other than 0 and 1, code points that do not exist.
    TypeError
        It holds NaN, or what else is no text and stands for none, for an array of texts.
    """
    if dtype.kind == "O" and plan.out_shape == () and getattr(value, "shape", None) != ():
        element = np.empty((), dtype)  # whatever it is, it is one object
        element[()] = value
        value = element
    value = _as_array(value, dtype, place)
    if isinstance(value, np.ndarray) and value.dtype.kind == dtype.kind:
        cause = what_is_impossible(value)
        if cause:
            raise ValueError(f"cannot write what could not be read: {cause}")
    shape = tuple(value.shape)
    while len(shape) > len(plan.out_shape) and shape[0] == 1:
        shape = shape[1:]
    padded = (1,) * (len(plan.out_shape) - len(shape)) + shape
    fits = len(padded) == len(plan.out_shape) and all(
        n in (1, wanted) for n, wanted in zip(padded, plan.out_shape, strict=True)
    )
    if not fits:
        raise ShapeMismatchError(
            f"cannot write a value of shape {tuple(value.shape)} to a selection of shape "
            f"{plan.out_shape}"
        )
    if plan.points is not None or plan.shape == (0,):
        if padded == plan.out_shape:
            return value.reshape(plan.shape)
        if all(n == 1 for n in padded):
            return value.reshape((1,))
        return np.broadcast_to(to_numpy(value).reshape(padded), plan.out_shape).reshape(plan.shape)
    return value.reshape(_with_dropped_axes(padded, plan))


def _as_array(value: Any, dtype: np.dtype[Any], place: Callable[[Any], Any] | None) -> Any:
    """Return an array of any library as it is, all else as one of NumPy; texts for texts."""
    if callable(getattr(value, "detach", None)):  # torch: values alone, no graph, no lazy conjugate
        value = value.detach().resolve_conj().resolve_neg()
    if isinstance(value, np.generic):  # NumPy checks the range of a scalar, not of an array
        scalar = np.empty((), dtype)
        scalar[()] = _text(value) if dtype.kind == "T" else value
        value = scalar
    if not hasattr(value, "shape") or not hasattr(value, "reshape"):
        foreign = any(hasattr(value, name) for name in PROTOCOLS)
        on_device = getattr(value, "__cuda_array_interface__", None) is not None
        take = place if place is not None and on_device else to_numpy
        if foreign or dtype.kind != "T" or isinstance(value, str):
            value = take(value) if foreign else np.asarray(value, dtype)
        else:
            objects = np.empty(np.asarray(value, dtype).shape, object)
            objects[...] = value
            value = objects
    if dtype.kind == "T":
        value = to_numpy(value)
        if _may_miss(value.dtype):
            value = _texts(value, dtype)
    return value


def _may_miss(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "OfcmM" or (dtype.kind == "T" and hasattr(dtype, "na_object"))


def _texts(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return objects as texts; None is the empty one, as numcodecs writes it.

    NumPy would make words of what is missing: "None", "nan".
    """
    items = value.reshape(-1) if value.dtype.kind in "fcmM" else value.astype(object).reshape(-1)
    texts = [_text(item) for item in items]
    return np.array(texts, dtype).reshape(value.shape)


def _text(item: Any) -> str:
    if isinstance(item, str):
        return item
    if item is None:
        return ""
    if isinstance(item, bytes):
        return item.decode()
    if _is_missing(item):
        raise TypeError(f"cannot write {item!r} to an array of texts, which has no missing value")
    return str(item)


def _is_missing(item: Any) -> bool:
    """Whether an object is not equal to itself, as NaN, NaT and the missing value of pandas."""
    try:
        return not bool(item == item)
    except (TypeError, ValueError):  # no truth value
        return True


def subarrays_as_field(value: Any, dtype: np.dtype[Any], field: str) -> Any:
    """Return a value for a field whose elements are arrays as structured elements of that field."""
    base, shape = dtype[field].subdtype or (dtype[field], ())
    given = np.asarray(to_numpy(value), base)
    ndim = max(0, given.ndim - len(shape))
    elements = np.empty(given.shape[:ndim], [(field, base, shape)])
    elements[field] = given
    return elements


@dataclass(frozen=True, slots=True)
class Output:
    """Memory of the caller that a read fills.

    Attributes
    ----------
    given : array
        As the caller gave it: what the call returns.
    array : array
        The same memory as an array of the backend, of ``plan.out_shape``.
    target : array or None
        View of it of ``plan.shape``; None where only a copy has that shape.
    """

    given: Any
    array: Any
    target: Any

    @classmethod
    def of(cls, given: Any, plan: ChunkPlan, dtype: np.dtype[Any], backend: Backend) -> Output:
        """Check what the caller gave as ``out``.

        Raises
        ------
        ShapeMismatchError
            Its shape or data type is not that of the selection.
        TypeError
            It is no array of the backend's device.
        ValueError
            It is on another device, read-only, or several of its elements are one.
        """
        array = backend.adopt(given)
        if tuple(array.shape) != plan.out_shape or array.dtype != dtype:
            raise ShapeMismatchError(
                f"out has shape {tuple(array.shape)} and data type {array.dtype}, the selection "
                f"{plan.out_shape} and {dtype}"
            )
        steps = zip(array.shape, array.strides, strict=True)
        if 0 not in array.shape and any(n > 1 and step == 0 for n, step in steps):
            raise ValueError("out is broadcast: several of its elements are one")
        flattened = plan.points is not None and plan.shape != plan.out_shape
        copied = flattened and not _c_contiguous(array)
        return cls(given, array, None if copied else array.reshape(plan.shape))

    def fill(self, result: Any, backend: Backend) -> Any:
        """Return what the caller gave, filled, once ``result`` is known; ``target`` is so by then.

        Who uses an array of another library has it on streams that this one does not know: the call
        returns when all is written.
        """
        if result is not None:
            self.array[...] = result
        if self.array is not self.given:
            backend.wait()
        return self.given


def _c_contiguous(array: Any) -> bool:
    expected = array.dtype.itemsize
    for n, step in zip(reversed(array.shape), reversed(array.strides), strict=True):
        if n != 1 and step != expected:
            return False
        expected *= n
    return True


def _with_dropped_axes(padded: tuple[int, ...], plan: ChunkPlan) -> tuple[int, ...]:
    """Insert length 1 for the dimensions that integers dropped from ``plan.out_shape``."""
    full: list[int] = []
    kept = 0
    for length in plan.shape:
        if kept < len(padded) and plan.out_shape[kept] == length:
            full.append(padded[kept])
            kept += 1
        else:
            full.append(1)
    return tuple(full)
