"""What the stores that serve one key after another have in common.

A store gives ``_read`` (a range, or the status that tells why not), ``set``, ``size`` and ``list``;
:class:`ByKey` makes the batches of them, and the questions that they can answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import local
from typing import Any

import numpy as np

from cuzarr.errors import CuzarrError
from cuzarr.storage.base import BytesLike, Names, RequestBatch, Status, Values, offers
from cuzarr.storage.prefix import batch_keys, check_batch, check_key, check_prefix
from cuzarr.storage.status import count_bytes, errno_status, refuse_write, status_error

_asked = local()  #: which stores a thread asks by a ``get`` of their own


class ByKey:
    """The part of a store that is the same for all that read and write key by key."""

    read_only: bool

    def get_many(self, batch: RequestBatch) -> Values:
        """Read many byte ranges, one after another."""
        check_batch(batch)
        values: list[BytesLike | None] = []
        statuses: list[int] = []
        starts, lengths = batch.starts.tolist(), batch.lengths.tolist()
        own_get, own_many = (not offers(self, "_read", verb) for verb in ("get", "get_many"))
        read = self._read_by_get if own_get and not own_many else self._read
        with self._reading():
            for key, start, length in zip(batch_keys(batch), starts, lengths, strict=True):
                value, status = read(key, start, length)
                values.append(value)
                statuses.append(status)
        sizes = np.array(count_bytes(values), np.int64)
        return Values(values, sizes, np.array(statuses, np.int32))

    def set_many(self, keys: Sequence[str], values: Sequence[BytesLike]) -> None:
        """Write many whole objects."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        """Read one byte range, or None where the key is missing."""
        check_key(key)
        with self._reading():
            value, status = self._read(key, start, length)
        if status == Status.MISSING:
            return None
        if value is None:
            raise status_error(self, key, status)
        return bytes(value)

    def set(self, key: str, value: BytesLike) -> None:
        """Write one whole object."""
        raise NotImplementedError

    def exists(self, key: str) -> bool:
        """Whether the key is stored."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Bytes stored at a key, or None where it is missing."""
        raise NotImplementedError

    def list(self, prefix: str = "") -> Iterator[str]:
        """Every key under ``prefix`` ("" = all)."""
        raise NotImplementedError

    def list_dir(self, prefix: str = "") -> Names:
        """Names of the direct children of ``prefix``, sorted."""
        skip = len(check_prefix(prefix)) + 1 if prefix.rstrip("/") else 0
        return sorted({key[skip:].partition("/")[0] for key in self.list(prefix)})

    def _read(self, key: str, start: int, length: int) -> tuple[BytesLike | None, int]:
        """Read a range of a checked key; else None, and the status that tells why not."""
        raise NotImplementedError

    def _read_by_get(self, key: str, start: int, length: int) -> tuple[BytesLike | None, int]:
        """Read a range with the ``get`` of a subclass, which may ask for a batch itself."""
        inside = _asked.__dict__.setdefault("stores", set[int]())
        if id(self) in inside:
            return self._read(key, start, length)
        inside.add(id(self))
        try:
            whole = (start, length) == (0, -1)
            value = self.get(key) if whole else self.get(key, start, length)
        except CuzarrError:
            raise
        except OSError as error:
            return None, errno_status(error)
        finally:
            inside.discard(id(self))
        return value, Status.MISSING if value is None else Status.OK

    def _reading(self) -> AbstractContextManager[Any]:
        """Enclose the reads of a call."""
        return nullcontext()

    def _check_writable(self, key: str) -> None:
        if self.read_only:
            raise refuse_write(self, key)
        check_key(key)
