"""An array cut into batches of whole chunks, for what works through all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod


def regions(
    shape: Sequence[int], block: Sequence[int], itemsize: int, nbytes: int
) -> Iterator[tuple[slice, ...]]:
    """Yield selections that cover an array, each of whole blocks, in C order.

    Parameters
    ----------
    shape : sequence of int
    block : sequence of int
        Shape of a stored object.
    itemsize : int
    nbytes : int
        A selection holds at most as many bytes, unless one block is larger.

    Examples
    --------
    >>> for region in regions((4, 6), (2, 3), 1, 12):
    ...     print(region)
    (slice(0, 2, None), slice(0, 6, None))
    (slice(2, 4, None), slice(0, 6, None))
    """
    if 0 in shape:
        return
    batch = [min(length, n) for length, n in zip(block, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        others = max(1, itemsize) * prod(batch[:axis]) * prod(batch[axis + 1 :])
        fitting = max(1, nbytes // (others * block[axis])) * block[axis]
        batch[axis] = min(shape[axis], fitting)
        if batch[axis] < shape[axis]:
            break
    steps = [range(0, length, step) for length, step in zip(shape, batch, strict=True)]
    for first in product(*steps):
        yield tuple(
            slice(a, min(a + step, length))
            for a, step, length in zip(first, batch, shape, strict=True)
        )
