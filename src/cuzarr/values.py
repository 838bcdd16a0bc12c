"""Values to write and arrays to read into, reshaped so that they fit a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from cuzarr.errors import ShapeMismatchError
from cuzarr.host.backend import to_numpy
from cuzarr.plan.chunk_plan import ChunkPlan

_PROTOCOLS = ("__array__", "__dlpack__", "__cuda_array_interface__")


def fit_value(value: Any, plan: ChunkPlan, dtype: np.dtype[Any]) -> Any:
    """Return ``value`` with a shape that broadcasts to ``plan.shape``.

    Parameters
    ----------
    value : scalar, nested list, NumPy, CuPy or torch array
        Its shape must broadcast to ``plan.out_shape``, as in NumPy's assignment.
    plan : ChunkPlan
    dtype : numpy.dtype
        Of the array; Python values become it at once.

    Raises
    ------
    ShapeMismatchError
    """
    if callable(getattr(value, "detach", None)):  # torch: values alone, no graph, no lazy conjugate
        value = value.detach().resolve_conj().resolve_neg()
    if isinstance(value, np.generic):  # NumPy checks the range of a scalar, not of an array
        scalar = np.empty((), dtype)
        scalar[()] = value
        value = scalar
    if not hasattr(value, "shape") or not hasattr(value, "reshape"):
        foreign = any(hasattr(value, name) for name in _PROTOCOLS)
        value = to_numpy(value) if foreign else np.asarray(value, dtype)
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


def subarrays_as_field(value: Any, dtype: np.dtype[Any], field: str) -> Any:
    """Return a value for a field whose elements are arrays as structured elements of that field."""
    base, shape = dtype[field].subdtype or (dtype[field], ())
    given = np.asarray(to_numpy(value), base)
    ndim = max(0, given.ndim - len(shape))
    elements = np.empty(given.shape[:ndim], [(field, base, shape)])
    elements[field] = given
    return elements


def fit_out(out: Any, plan: ChunkPlan, dtype: np.dtype[Any], device: str) -> Any:
    """Return a view of ``out`` of ``plan.shape``, or None where only a copy has that shape.

    Parameters
    ----------
    out : array of ``plan.out_shape`` and ``dtype``
    plan : ChunkPlan
    dtype : numpy.dtype
    device : str
        "cpu" or "cuda:N": where ``out`` must live.

    Raises
    ------
    ShapeMismatchError
    TypeError, ValueError
        It is no array of that device, or read-only.
    """
    on_host = isinstance(out, np.ndarray)
    if on_host != (device == "cpu") or not hasattr(out, "shape") or not hasattr(out, "dtype"):
        raise TypeError(f"out must be an array on {device}, not {type(out).__name__}")
    if tuple(out.shape) != plan.out_shape or out.dtype != dtype:
        raise ShapeMismatchError(
            f"out has shape {tuple(out.shape)} and data type {out.dtype}, the selection "
            f"{plan.out_shape} and {dtype}"
        )
    if on_host and not out.flags.writeable:
        raise ValueError("out is read-only")
    flattened = plan.points is not None and plan.shape != plan.out_shape
    return None if flattened and not out.flags.c_contiguous else out.reshape(plan.shape)


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
