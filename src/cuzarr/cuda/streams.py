"""Streams of one call: how its work is ordered against the caller's.

1. A call borrows a :class:`Lane`: one stream that uploads and several that compute, all
   non-blocking. Waves take the work streams in turn: a decoder with few streams to decode leaves
   most of a device idle, so a few waves are decoded at the same time.
2. ``begin`` notes how far the caller's stream is. ``join_caller`` makes a work stream wait for
   that, before it touches memory of the caller and not earlier: what is decoded ahead of the first
   scatter overlaps with the caller's work.
3. What all waves share (lists, the words of the first bad chunk) is set up on ``first``; other work
   streams wait for it (``ready``).
4. All memory of a wave is allocated under its work stream. The upload stream, which fills part of
   it, waits for what that stream was given before (``upload_after``), since the memory may be that
   of an earlier wave; the work stream waits for the upload.
5. ``collect`` makes ``first`` wait for the other work streams, ``end`` the caller's stream for all.
"""

from __future__ import annotations

from threading import Lock

from cuzarr.cuda.runtime import Event, Runtime, Stream

WORK_STREAMS = 4  #: waves that are decoded at the same time, at most
_KEPT_LANES = 8


class Lane:
    """Streams of a call.

    Attributes
    ----------
    upload, first : Stream
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.upload = runtime.new_stream()
        self.first = runtime.new_stream()
        self._works = [self.first]
        self._entry: Event | None = None
        self._ready: Event | None = None
        self._used: set[int] = set()
        self._joined: set[int] = set()

    def begin(self, caller: Stream) -> None:
        """Note the work queued on the caller's stream."""
        self._entry = self._runtime.record(caller)
        self._ready = None
        self._used, self._joined = {0}, set()

    def ready(self) -> None:
        """Make the other work streams wait for what was queued on ``first`` so far."""
        self._ready = self._runtime.record(self.first)

    def work(self, turn: int) -> Stream:
        """Return the work stream of a turn, ``0 <= turn < WORK_STREAMS``."""
        while len(self._works) <= turn:
            self._works.append(self._runtime.new_stream())
        stream = self._works[turn]
        if turn not in self._used:
            self._used.add(turn)
            if self._ready is not None:
                self._runtime.stream_wait(stream, self._ready)
        return stream

    def upload_after(self, turn: int) -> None:
        """Make later uploads wait for what was queued on a work stream so far."""
        self._runtime.stream_wait(self.upload, self._runtime.record(self._works[turn]))

    def join_caller(self, turn: int) -> None:
        """Make later work of a turn wait for what the caller queued before ``begin``."""
        if self._entry is not None and turn not in self._joined:
            self._runtime.stream_wait(self._works[turn], self._entry)
            self._joined.add(turn)

    def collect(self) -> Stream:
        """Make ``first`` wait for the other work streams, and return it."""
        for turn in sorted(self._used - {0}):
            self._runtime.stream_wait(self.first, self._runtime.record(self._works[turn]))
        return self.first

    def end(self, caller: Stream) -> Event:
        """Make the caller's stream wait for everything; returns the event it waits for."""
        self.join_caller(0)
        first = self.collect()
        self._runtime.stream_wait(first, self._runtime.record(self.upload))
        event = self._runtime.record(first)
        self._runtime.stream_wait(caller, event)
        return event

    def drain(self) -> None:
        """Make the host wait for everything, so that all memory given back can be used again."""
        first = self.collect()
        self._runtime.stream_wait(first, self._runtime.record(self.upload))
        self._runtime.wait_event(self._runtime.record(first))


class LanePool:
    """Lanes that are kept: CuPy's pool caches memory per stream, so streams are reused too."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._idle: list[Lane] = []
        self._lock = Lock()

    def take(self) -> Lane:
        """Borrow a lane."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Lane(self._runtime)

    def give(self, lane: Lane) -> None:
        """Take a lane back; nothing of it may be running."""
        with self._lock:
            if len(self._idle) < _KEPT_LANES:
                self._idle.append(lane)
