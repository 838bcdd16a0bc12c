"""What ``z[key]`` means, as in zarr-python: basic where it can be, else fancy or orthogonal.

1. No array in the key: basic.
2. One boolean array of the array's shape: a mask.
3. Integers and integer arrays for every dimension: coordinates, broadcast against each other.
4. One array among integers and slices, or arrays for every dimension with a boolean one among
   them: orthogonal. This differs from NumPy, which moves dimensions in the first case and
   broadcasts in the second.
5. Several arrays among slices are refused: ``oindex`` and ``vindex`` say which is meant.

Beyond zarr-python, ``...`` may stand beside an array, lists may be empty or nested, and a boolean
array may select along the first dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cuzarr.errors import SelectionError
from cuzarr.meta.edges import Spacing
from cuzarr.plan.chunk_plan import ChunkPlan
from cuzarr.plan.points import plan_coordinate_items, plan_mask
from cuzarr.plan.selection import normalise_key
from cuzarr.plan.separable import plan_basic, plan_items

_PLAIN = frozenset((int, slice, type(Ellipsis)))


def plan_item(key: Any, shape: Sequence[int], chunk_shape: Sequence[Spacing]) -> ChunkPlan:
    """Plan what ``z[key]`` selects.

    Parameters
    ----------
    key : object
    shape : sequence of int
    chunk_shape : sequence of (int or Edges)

    Raises
    ------
    SelectionError
        The key is not supported, or ambiguous.
    BoundsCheckError
        An index outside the array.
    """
    entries = key if isinstance(key, tuple) else (key,)
    if _PLAIN.issuperset(map(type, entries)):
        return plan_basic(key, shape, chunk_shape)
    items = normalise_key(key, len(shape))
    arrays = [item for item in items if isinstance(item, np.ndarray)]
    if len(entries) == 1 and arrays and arrays[0].ndim > 1 and arrays[0].dtype.kind == "b":
        return plan_mask(arrays[0], shape, chunk_shape)
    # One 1-d array among integers selects the same either way, and an axis is the cheaper form.
    several = len(arrays) > 1 or any(array.ndim != 1 for array in arrays)
    integers = not any(isinstance(item, slice) for item in items) and not any(
        array.dtype.kind == "b" for array in arrays
    )
    if several and integers:
        return plan_coordinate_items(items, shape, chunk_shape)
    if 1 < len(arrays) < len(items):
        raise SelectionError(
            "several index arrays beside slices or integers are ambiguous: use oindex[...] to "
            "apply them dimension by dimension, vindex[...] to select single elements"
        )
    return plan_items(items, shape, chunk_shape)


def is_scalar(plan: ChunkPlan, key: Any = ()) -> bool:
    """Tell whether the result is a scalar: no dimension is left, and ``key`` holds no ``...``."""
    entries = key if isinstance(key, tuple) else (key,)
    return not plan.out_shape and not any(entry is Ellipsis for entry in entries)
