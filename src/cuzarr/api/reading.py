"""Reading many arrays in one call.

1. Every request is planned as ``array[selection]`` would be.
2. Small reads that differ in their arrays alone run as one (``engine.stack``); the others follow
   each other, the next one being fetched while the one before is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cuzarr.array import Array
from cuzarr.device import parse_device
from cuzarr.engine.read import read_each
from cuzarr.engine.stack import stack_reads
from cuzarr.plan.chunk_plan import ChunkPlan
from cuzarr.selections import Pending


def read(requests: Iterable[tuple[Array, Any]], *, device: str | None = None) -> list[Any]:
    """Read selections of many arrays in one call: the variables of a training sample.

    Each result is that of ``array[selection]``. Small results of arrays that are alike (one store,
    one data type, one chain of codecs, one shape) are views of one array.

    Parameters
    ----------
    requests : iterable of (Array, selection)
        Everything that square brackets take; the same array may occur more than once.
    device : str, optional
        Where the results live: "auto", "cpu", "cuda" or "cuda:N". None takes each array's own.

    Returns
    -------
    list
        In the order of the requests.

    Raises
    ------
    ChunkDecodeError
        Names the key of a bad chunk.
    SelectionError, BoundsCheckError
        A note says of which request.

    Examples
    --------
    >>> import cuzarr
    >>> root = cuzarr.group()
    >>> u = root.create_array("u", shape=(4, 6), chunks=(2, 6), dtype="f4", fill_value=1)
    >>> v = root.create_array("v", shape=(4, 6), chunks=(2, 6), dtype="f4", fill_value=2)
    >>> [field.sum() for field in cuzarr.read([(u, 0), (v, slice(2))])]
    [np.float32(6.0), np.float32(24.0)]
    """
    wanted = None if device is None else parse_device(device)
    given = list(requests)  # keeps the selections alive, by which the plans are known
    plans: dict[Any, ChunkPlan] = {}
    pending = [_pending(number, entry, wanted, plans) for number, entry in enumerate(given)]
    stacks = stack_reads([one.read for one in pending])
    results: list[Any] = [None] * len(pending)
    found = read_each([stack.read() for stack in stacks])
    for stack, result in zip(stacks, found, strict=True):
        for number, part in zip(stack.numbers, stack.results(result), strict=True):
            results[number] = pending[number].take(part)
    return results


def _pending(number: int, entry: Any, device: str | None, plans: dict[Any, ChunkPlan]) -> Pending:
    if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[0], Array):
        raise TypeError(f"request {number}: expected (array, selection), not {entry!r}"[:200])
    array: Array = entry[0]
    try:
        if device is not None and array.device != device:
            array = array.to_device(device)
        return array.pending(entry[1], plans)
    except Exception as error:
        error.add_note(f"request {number}: {array!r}")
        raise
