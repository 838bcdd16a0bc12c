"""An array cut into batches of whole chunks, for what works through all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

from cuzarr.meta.edges import Spacing, begin, find, largest


def regions(
    shape: Sequence[int], block: Sequence[Spacing], itemsize: int, nbytes: int
) -> Iterator[tuple[slice, ...]]:
    """Yield selections that cover an array, each of whole blocks, in C order.

    Parameters
    ----------
    shape : sequence of int
    block : sequence of (int or Edges)
        Of the stored objects.
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
    most = [largest(n) for n in block]
    batch = [min(length, n) for length, n in zip(most, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        others = max(1, itemsize) * prod(batch[:axis]) * prod(batch[axis + 1 :])
        fitting = max(1, nbytes // (others * most[axis])) * most[axis]
        batch[axis] = min(shape[axis], fitting)
    yield from product(*[pieces(0, *axis) for axis in zip(shape, block, batch, strict=True)])


def pieces(first: int, end: int, block: Spacing, batch: int) -> Iterator[slice]:
    """Cut the positions ``first <= i < end`` of an axis between blocks.

    Parameters
    ----------
    first, end : int
    block : int or Edges
    batch : int
        Most elements of a piece: at least the longest block, and whole blocks of one length.
    """
    while first < end:
        limit = int(begin(find(first, block), block)) + batch
        last = end if limit >= end else int(begin(find(limit, block), block))
        yield slice(first, last)
        first = last
