"""Numbers of one data type as numbers of another: exact, or rounded as asked.

1. Integers to integers are compared with the target's limits.
2. Floats to integers are rounded to whole numbers first, then compared.
3. Anything to floats lies between two neighbours of the target; the rounding picks one of them.
   The neighbours are compared with the number in a type that holds both exactly.

Not a number stays that, and infinities stay infinite, if the target has them: else they are
errors. A finite number outside a floating-point target's range becomes infinite if it is clamped.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cuzarr.meta.dtypes import native
from cuzarr.meta.ml_types import integer_limits, is_integer, is_ml

Rounding = Literal[
    "nearest-even", "towards-zero", "towards-positive", "towards-negative", "nearest-away"
]
OutOfRange = Literal["error", "clamp", "wrap"]
Numbers = npt.NDArray[Any]


def cast(
    values: Numbers, target: np.dtype[Any], rounding: Rounding, outside: OutOfRange
) -> Numbers:
    """Return the values in another data type.

    Parameters
    ----------
    values : array of integers or floats
    target : numpy.dtype
        Of integers or floats; the result has it, byte order included.
    rounding, outside : str
        "wrap" is for integer targets.

    Raises
    ------
    ValueError
        Names the first value that the target has not.
    """
    values = values.astype(native(values.dtype), copy=False)
    if is_ml(values.dtype):  # of which NumPy knows little
        values = values.astype(np.int8 if is_integer(values.dtype) else np.float32)
    plain = native(target)
    if is_ml(plain) and is_integer(plain):
        found = _to_integers(values, np.dtype(np.int8), integer_limits(plain), rounding, outside)
    elif plain.kind in "iu":
        info = np.iinfo(plain)
        found = _to_integers(values, plain, (int(info.min), int(info.max)), rounding, outside)
    else:
        found = _to_floats(values, plain, rounding, outside)
    return found.astype(target, copy=False)


def _to_integers(
    values: Numbers,
    target: np.dtype[Any],
    limits: tuple[int, int],
    rounding: Rounding,
    outside: OutOfRange,
) -> Numbers:
    low, high = limits
    if values.dtype.kind in "iu":
        if not values.size or (low <= int(values.min()) and int(values.max()) <= high):
            return values.astype(target)
        info = np.iinfo(values.dtype)
        below = values < low if low > info.min else np.zeros(values.shape, np.bool_)
        above = values > high if high < info.max else np.zeros(values.shape, np.bool_)
        bits = values.astype(np.int64 if values.dtype.kind == "i" else np.uint64).view(np.uint64)
    else:
        _refuse(values, ~np.isfinite(values), "has no integer value")
        whole = _round(values.astype(np.float64), rounding)
        # Powers of two: exact as floats, where the largest integers are not.
        below, above = whole < float(low), whole >= float(high + 1)
        magnitude = np.fmod(np.abs(whole), 2.0**64).astype(np.uint64)
        bits = np.where(whole < 0, ~magnitude + np.uint64(1), magnitude)
    if outside == "error":
        _refuse(values, below | above, f"is outside {low} to {high}")
    count = high - low + 1
    if outside == "wrap" and count < 2**8:  # a type smaller than its byte
        small = (bits & np.uint64(count - 1)).astype(np.int16)
        return np.where(small > high, small - count, small).astype(target)
    with np.errstate(over="ignore"):
        found: Numbers = bits.astype(f"u{target.itemsize}").view(target)
    if outside == "clamp":
        found = np.where(below, target.type(low), np.where(above, target.type(high), found))
    return found


def _round(values: npt.NDArray[np.float64], rounding: Rounding) -> npt.NDArray[np.float64]:
    """Round to whole numbers."""
    if rounding == "nearest-away":
        down = np.trunc(values)
        return down + np.copysign(np.abs(values - down) >= 0.5, values)
    ufunc = {
        "nearest-even": np.rint,
        "towards-zero": np.trunc,
        "towards-positive": np.ceil,
        "towards-negative": np.floor,
    }[rounding]
    rounded: npt.NDArray[np.float64] = ufunc(values)
    return rounded


def _to_floats(
    values: Numbers, target: np.dtype[Any], rounding: Rounding, outside: OutOfRange
) -> Numbers:
    # 64-bit integers need more than the 53 bits of a double.
    wide = values.dtype.kind in "iu" and values.dtype.itemsize == 8
    exact = values.astype(np.longdouble if wide else np.float64)
    with np.errstate(all="ignore"):
        # NumPy's own rounding: to even, or to the other neighbour where it rounds twice.
        found: Numbers = (exact if target.itemsize == 8 else exact.astype(np.float64)).astype(
            target
        )
        back = found.astype(exact.dtype)
        finite = np.isfinite(exact)
        inexact = finite & (back != exact)
        lost = ~finite & (back != exact) & ~(np.isnan(back) & np.isnan(exact))
    _refuse(values, lost, f"has no {target} value")
    if inexact.any():
        with np.errstate(over="ignore"):
            rounded, beyond = _neighbour(exact[inexact], back[inexact], target, rounding)
        if outside == "error" and beyond.any():
            worst = np.zeros(exact.shape, np.bool_)
            worst[inexact] = beyond
            largest = _largest(target)
            _refuse(values, worst, f"is outside {-largest} to {largest}")
        found[inexact] = rounded
    return found


def _neighbour(
    exact: Numbers, near: Numbers, target: np.dtype[Any], rounding: Rounding
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Pick one of the two neighbours of each number.

    Parameters
    ----------
    exact : (n,) float64 or longdouble
        Finite, none of them a value of the target.
    near : (n,) of the same type
        One of the neighbours, or what stands for infinity.

    Returns
    -------
    (n,) array of the target
        Infinite, or the largest value where there is no infinity, for numbers outside its range.
    (n,) bool
        Which are outside.
    """
    largest = _largest(target)
    magnitude = np.abs(exact)
    # The bits of a float without its sign grow with it, so a neighbour's are one more or one less.
    bits = _bits(np.fmin(np.abs(near), largest), target)  # near may be NaN: no infinity
    lower = bits - (_value(bits, target, exact) > magnitude)
    top = _bits(np.array([largest]), target)[0]
    below = _value(lower, target, exact)
    at_top = lower == top
    other = np.where(at_top, lower - 1, lower + 1)
    step = np.abs(_value(other, target, exact) - below)
    twice = 2 * (magnitude - below)
    negative = exact < 0
    up = {
        "nearest-even": (twice > step) | ((twice == step) & (lower % 2 == 1)),
        "nearest-away": twice >= step,
        "towards-zero": np.zeros(len(exact), np.bool_),
        "towards-positive": ~negative,
        "towards-negative": negative,
    }[rounding]
    beyond = at_top & (up | (twice >= 2 * step))
    chosen = _value(np.where(up & ~at_top, lower + 1, lower), target, exact).astype(np.float64)
    has_infinity = bool(np.isinf(np.float64(np.inf).astype(target).astype(np.float64)))
    chosen[beyond] = np.inf if has_infinity else largest
    return np.copysign(chosen, exact.astype(np.float64)).astype(target), beyond


def _bits(magnitudes: Numbers, target: np.dtype[Any]) -> npt.NDArray[np.int64]:
    stored = magnitudes.astype(np.float64).astype(target).view(f"u{target.itemsize}")
    return stored.astype(np.int64)


def _value(bits: npt.NDArray[np.int64], target: np.dtype[Any], like: Numbers) -> Numbers:
    return bits.astype(f"u{target.itemsize}").view(target).astype(like.dtype)


def _largest(target: np.dtype[Any]) -> float:
    if not is_ml(target):
        return float(np.finfo(target).max)
    import ml_dtypes  # noqa: PLC0415  # optional; there is no such target without it

    limits: Any = ml_dtypes.finfo(target)  # type: ignore[no-untyped-call]
    return float(limits.max)


def _refuse(values: Numbers, bad: npt.NDArray[np.bool_], why: str) -> None:
    if bad.any():
        first = values.reshape(-1)[int(np.argmax(bad.reshape(-1)))]
        raise ValueError(f"{first} {why}")
