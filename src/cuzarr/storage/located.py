"""Where the bytes of a batch lie in memory, as columns of addresses.

1. A store whose objects are in memory says so itself (:class:`Locating`), without a Python object
   per request.
2. Of any other the values of ``get_many`` are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.errors import StoreError
from cuzarr.storage.base import Int32, Int64, RequestBatch, Store, Values, offers


@dataclass(frozen=True, slots=True)
class Located:
    """Answer to a batch of ``n`` requests.

    Attributes
    ----------
    pointers : (n,) uint64
        Host addresses; 0 unless the status is ``Status.OK``.
    sizes : (n,) int64
        Bytes; -1 unless the status is ``Status.OK``.
    statuses : (n,) int32
        :class:`~cuzarr.storage.base.Status`.
    owners : object
        The addresses hold as long as it lives.
    """

    pointers: npt.NDArray[np.uint64]
    sizes: Int64
    statuses: Int32
    owners: Any

    @classmethod
    def of(cls, answer: Values, batch: RequestBatch) -> Located:
        """Locate the values that a store gave."""
        owners, pointers, sizes, found = native.value_addresses(list(answer.values))
        if (found < 0).any():
            key = batch.key(int(np.argmin(found)))
            raise StoreError(f"the value of {key!r} is no contiguous buffer of bytes")
        return cls(pointers, sizes, answer.statuses, owners)


class Locating(Protocol):
    """Optional capability: objects lie in memory."""

    in_memory: bool  #: whether they do; if not, ``locate`` reads them first

    def locate(self, batch: RequestBatch) -> Located:
        """Find many byte ranges."""
        ...


def is_locating(store: Any) -> TypeGuard[Locating]:
    """Whether a store is a :class:`Locating`, in all that it reads."""
    return offers(store, "locate", "get", "get_many")


def locate(store: Store, batch: RequestBatch) -> Located:
    """Return where the bytes of a batch lie, once they were read.

    Raises
    ------
    InvalidKeyError
    StoreError
        A value is no contiguous buffer of bytes, or the store failed as a whole.
    """
    if is_locating(store):
        return store.locate(batch)
    return Located.of(store.get_many(batch), batch)
