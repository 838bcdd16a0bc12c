"""Streams, events, and the order in which queued work really runs.

1. Every call queues an item on its stream with a vector clock: how far into every stream the item
   is ordered. Streams, events and host waits join clocks; nothing else does.
2. Items run late: when the host waits for an event, what the event needs runs first, in an order
   drawn from the seed among all that the events allow, with other ready work mixed in.
3. An item that fails ends the runtime: the error is raised where the host notices, and at close.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tests.emulation.device import WORK, Device, call_site

Clock = npt.NDArray[np.int64]


@dataclass(eq=False)
class Event:
    """A place in a stream: done when the items queued before it have run."""

    stream: Stream
    position: int
    clock: Clock

    @property
    def done(self) -> bool:
        return self.stream.executed >= self.position


@dataclass(eq=False)
class _Item:
    label: str
    run: Callable[[], None] | None = None
    wait: Event | None = None
    kind: int = WORK
    seq: int = 0
    clock: Clock = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(eq=False)
class Stream:
    """Work in order."""

    owner: object  #: the runtime
    number: int
    clock: Clock
    queue: deque[_Item] = field(default_factory=deque)
    queued: int = 0
    executed: int = 0
    free: dict[int, list[int]] = field(default_factory=dict)  #: addresses by size class

    def __repr__(self) -> str:
        return f"stream {self.number}"


class Scheduler:
    """The streams of one runtime and the host's own clock."""

    def __init__(self, device: Device, owner: object, seed: int, early: float) -> None:
        self.device, self.owner = device, owner
        self.random = random.Random(seed)
        self.early = early
        self.streams: list[Stream] = []
        self.host: Clock = np.zeros(0, np.int64)
        self.failure: BaseException | None = None

    def new_stream(self) -> Stream:
        number = self.device.new_stream()
        stream = Stream(self.owner, number, np.zeros(number + 1, np.int64))
        self.streams.append(stream)
        return stream

    def push(self, stream: Stream, label: str, run: Callable[[], None], kind: int = WORK) -> None:
        """Queue work."""
        self._check_alive()
        stream.queued += 1
        stream.clock = joined(stream.clock, self.host).copy()
        stream.clock[stream.number] = stream.queued
        text = f"{label} ({stream}, queued at {call_site()})"
        stream.queue.append(_Item(text, run, None, kind, stream.queued, stream.clock))
        if self.random.random() < self.early:
            self.run_one()

    def record(self, stream: Stream) -> Event:
        self._check_alive()
        return Event(stream, stream.queued, joined(stream.clock, self.host))

    def stream_wait(self, stream: Stream, event: Event) -> None:
        self._check_alive()
        stream.queued += 1
        stream.clock = joined(stream.clock, event.clock)
        stream.queue.append(_Item("wait", wait=event))

    def host_wait(self, event: Event) -> None:
        """Run what the event needs, and some of what is ready besides."""
        self._check_alive()
        while not event.done:
            if self.random.random() < 0.25 and self.run_one():
                continue
            self._run_towards(event)
        self.host = joined(self.host, event.clock)

    def poll(self, event: Event) -> bool:
        """Whether an event is done; every question lets the device run one item more."""
        self._check_alive()
        if event.done:
            self.host = joined(self.host, event.clock)
            return True
        self.run_one()
        return False

    def run_one(self) -> bool:
        """Run one ready item of any stream; False where none is."""
        ready = [s for s in self.streams if self._ready(s)]
        if not ready:
            return False
        self._run_head(self.random.choice(ready))
        return True

    def drain(self) -> None:
        """Run everything that is queued."""
        while self.run_one():
            pass

    def _ready(self, stream: Stream) -> bool:
        if not stream.queue:
            return False
        wait = stream.queue[0].wait
        return wait is None or wait.done

    def _run_towards(self, event: Event) -> None:
        while True:
            wait = event.stream.queue[0].wait
            if wait is None or wait.done:
                break
            event = wait
        self._run_head(event.stream)

    def _run_head(self, stream: Stream) -> None:
        item = stream.queue.popleft()
        if item.run is not None:
            try:
                self.device.begin(stream.number, item.seq, item.kind, item.clock, item.label)
                item.run()
            except BaseException as error:
                self.failure = error
                raise
        stream.executed += 1

    def _check_alive(self) -> None:
        if self.failure is not None:
            raise self.failure


def joined(a: Clock, b: Clock) -> Clock:
    """Return the later of two clocks, entry by entry."""
    if len(a) < len(b):
        a, b = b, a
    result = a.copy()
    np.maximum(result[: len(b)], b, out=result[: len(b)])
    return result
