"""Memory of the CUDA backend: pinned slabs that rotate, and the small tables of a wave.

1. :class:`SlabPool` keeps page-locked slabs, since allocating them runs at 1-2 GB/s; a slab is
   handed out again only after the event of its last copy. Waves and tables have a pool each: a
   table that took a wave's slab would make the next wave allocate one.
2. :class:`DeviceSlabs` does the same for device memory that files are read into.
3. :class:`Tables` collects the many small arrays of a wave (pointers, sizes, rows) and sends all of
   them in one copy.
4. :class:`Keeper` holds what must outlive queued work, until its event has happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.runtime import DeviceBuffer, Event, PinnedBuffer, Runtime, Stream

ALIGNMENT = 16  #: bytes; of everything placed in a slab or a table, for 16-byte accesses
_SMALLEST = 1 << 16
_KEPT = 4  #: device slabs


def align(nbytes: int) -> int:
    """Round up to a multiple of ``ALIGNMENT``."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Slab:
    """Page-locked memory on loan from a :class:`SlabPool`.

    Attributes
    ----------
    pinned : PinnedBuffer
    array : (nbytes,) uint8 array
        View of the memory.
    """

    def __init__(self, pinned: PinnedBuffer) -> None:
        self.pinned = pinned
        self.nbytes = pinned.nbytes
        self.array: npt.NDArray[np.uint8] = np.frombuffer(pinned.view, np.uint8)
        self.event: Event | None = None


class SlabPool:
    """Slabs of power-of-two sizes.

    Parameters
    ----------
    runtime : Runtime
    limit : int
        Bytes of slabs that are kept. Below it a new slab is made rather than waited for; above it
        only where no idle one is large enough, as when several calls run at once.
    """

    def __init__(self, runtime: Runtime, limit: int) -> None:
        self._runtime, self._limit = runtime, limit
        self._idle: list[Slab] = []
        self._made: WeakSet[Slab] = WeakSet()
        self._lock = Lock()

    def take(self, nbytes: int) -> Slab:
        """Return a slab of at least ``nbytes``, after the copy that last used it."""
        size = max(_SMALLEST, 1 << max(0, nbytes - 1).bit_length())
        with self._lock:
            fitting = [slab for slab in self._idle if slab.nbytes >= nbytes]
            smallest = sorted(fitting, key=lambda slab: slab.nbytes)
            chosen = next((slab for slab in smallest if self._done(slab)), None)
            if chosen is None and fitting and self._bytes() + size > self._limit:
                chosen = fitting[0]  # the one that was given back first
            if chosen is not None:
                self._idle.remove(chosen)
        if chosen is None:
            chosen = Slab(self._runtime.pinned(size))
            with self._lock:
                self._made.add(chosen)
        elif chosen.event is not None:
            self._runtime.wait_event(chosen.event)
            chosen.event = None
        return chosen

    def _done(self, slab: Slab) -> bool:
        if slab.event is not None and self._runtime.event_done(slab.event):
            slab.event = None
        return slab.event is None

    def give(self, slab: Slab, event: Event | None) -> None:
        """Take a slab back; ``event`` follows the last copy that reads or writes it."""
        slab.event = event
        dropped: list[Slab] = []
        with self._lock:
            self._idle.append(slab)
            while len(self._idle) > 1 and sum(s.nbytes for s in self._idle) > self._limit:
                dropped.append(self._idle.pop(0))
        for old in dropped:
            if old.event is not None:
                self._runtime.wait_event(old.event)

    def _bytes(self) -> int:
        return sum(slab.nbytes for slab in self._made)


class DeviceSlabs:
    """Device memory that files are read into; kept, and handed out again after its last use.

    Parameters
    ----------
    runtime : Runtime
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.stream = runtime.new_stream()
        self._idle: list[tuple[DeviceBuffer, Event]] = []
        self._lock = Lock()

    def take(self, nbytes: int) -> DeviceBuffer:
        """Return memory that nothing queued uses any more."""
        with self._lock:
            at = next((i for i, (b, _) in enumerate(self._idle) if b.nbytes >= nbytes), None)
            found = None if at is None else self._idle.pop(at)
        if found is None:
            size = max(_SMALLEST, 1 << max(0, nbytes - 1).bit_length())
            buffer = self._runtime.alloc(size, self.stream)
            self._runtime.memset(buffer.ptr, 0, size, self.stream)  # gaps are downloaded, too
            found = buffer, self._runtime.record(self.stream)
        self._runtime.wait_event(found[1])  # kvikio knows no streams
        return found[0]

    def give(self, buffer: DeviceBuffer, event: Event) -> None:
        """Take memory back; ``event`` follows its last use."""
        self._runtime.stream_wait(self.stream, event)
        with self._lock:
            self._idle.append((buffer, event))
            dropped = self._idle.pop(0) if len(self._idle) > _KEPT else None
        del dropped


class Tables:
    """Small arrays that go to the device in one copy.

    Parameters
    ----------
    runtime : Runtime
    slabs : SlabPool
    stream : Stream
        Under which the device memory is allocated, and on which the copy is queued.
    """

    def __init__(self, runtime: Runtime, slabs: SlabPool, stream: Stream) -> None:
        self._runtime, self._slabs, self._stream = runtime, slabs, stream
        self._parts: list[tuple[int, npt.NDArray[Any]]] = []
        self._late: list[tuple[int, Callable[[], npt.NDArray[Any]]]] = []
        self._end = self._nbytes = 0
        self._buffer: DeviceBuffer | None = None

    def add(self, array: npt.NDArray[Any]) -> int:
        """Add an array; its place in the device copy is ``pointer(offset)`` after ``send``."""
        offset = self.reserve(array.nbytes)
        self._parts.append((offset, np.ascontiguousarray(array)))
        self._end = self._nbytes
        return offset

    def add_late(self, nbytes: int, make: Callable[[], npt.NDArray[Any]]) -> int:
        """Add an array that holds pointers into these tables: it is made when they are known."""
        offset = self.reserve(nbytes)
        self._late.append((offset, make))
        self._end = self._nbytes
        return offset

    def reserve(self, nbytes: int) -> int:
        """Set device bytes aside that nothing is copied to; returns their offset."""
        offset = self._nbytes
        self._nbytes += align(nbytes)
        return offset

    def send(self) -> None:
        """Allocate and queue the copy."""
        self._buffer = self._runtime.alloc(self._nbytes, self._stream)
        self._parts += [(offset, make()) for offset, make in self._late]
        slab = self._slabs.take(self._end)
        for offset, part in self._parts:
            slab.array[offset : offset + part.nbytes] = part.reshape(-1).view(np.uint8)
        self._runtime.upload(self._buffer.ptr, slab.pinned, self._end, self._stream)
        self._slabs.give(slab, self._runtime.record(self._stream))
        self._parts.clear()
        self._late.clear()

    def pointer(self, offset: int) -> np.uint64:
        """Return the device pointer of what ``add`` or ``reserve`` placed."""
        assert self._buffer is not None
        return np.uint64(self._buffer.ptr + offset)


class Keeper:
    """Objects that queued work still uses, each with the event after which it may go."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kept: deque[tuple[Event, Any]] = deque()

    def keep(self, event: Event, *things: Any) -> None:
        """Hold ``things`` until ``event``; lets go of what is over."""
        while self._kept and self._runtime.event_done(self._kept[0][0]):
            self._kept.popleft()
        self._kept.append((event, things))

    def wait(self) -> None:
        """Wait for everything and let go of it."""
        while self._kept:
            self._runtime.wait_event(self._kept[0][0])
            self._kept.popleft()
