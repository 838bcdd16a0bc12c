"""Reads that may not meet a chunk that is not stored: ``read_missing_chunks`` is False.

One byte of every object of a wave is asked for, in one batch: the answers of stores say which are
not there, on the way to every backend. Of a stored shard any inner chunk may be missing: a writer
leaves out those that are all fill value.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cuzarr.engine.batch import Wave
from cuzarr.errors import ChunkNotFoundError
from cuzarr.storage.base import RequestBatch, Status, Store

_NAMED: Final = 8


def refuse_missing(store: Store, wave: Wave) -> None:
    """Raise ``ChunkNotFoundError`` for the objects of a wave that are not stored."""
    keys = list(dict.fromkeys(wave.requests.key_list()))
    answer = store.get_many(RequestBatch.of(keys, [0] * len(keys), [1] * len(keys)))
    missing = [keys[i] for i in np.flatnonzero(answer.statuses == Status.MISSING)]
    if missing:
        more = ", ".join(map(repr, missing[1:_NAMED]))
        others = f", and neither are {len(missing) - 1} more of this read: {more}" if more else ""
        dots = ", ..." if len(missing) > _NAMED else ""
        raise ChunkNotFoundError(
            missing[0], "read_missing_chunks", f"it is not stored{others}{dots}"
        )
