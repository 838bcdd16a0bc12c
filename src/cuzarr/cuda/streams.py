"""Streams of one call: how its work is ordered against the caller's.

1. A call borrows a :class:`Lane`: one stream that uploads, one that computes, both non-blocking.
2. ``begin`` notes how far the caller's stream is. ``join_caller`` makes the work stream wait for
   that, before it touches memory of the caller and not earlier: what is decoded ahead of the first
   scatter overlaps with the caller's work. ``end`` makes the caller's stream wait for the lane.
3. A buffer that was allocated under the upload stream and read on the work stream is dropped only
   after the upload stream waits for the work (``Lane.after_work``).
"""

from __future__ import annotations

from threading import Lock

from cuzarr.cuda.runtime import Event, Runtime, Stream

_KEPT_LANES = 8


class Lane:
    """Two streams.

    Attributes
    ----------
    upload, work : Stream
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.upload = runtime.new_stream()
        self.work = runtime.new_stream()
        self._entry: Event | None = None

    def begin(self, caller: Stream) -> None:
        """Note the work queued on the caller's stream."""
        self._entry = self._runtime.record(caller)

    def join_caller(self) -> None:
        """Make later work wait for what the caller queued before ``begin``."""
        if self._entry is not None:
            self._runtime.stream_wait(self.work, self._entry)
            self._entry = None

    def end(self, caller: Stream) -> Event:
        """Make the caller's stream wait for both streams; returns the event of the work stream."""
        self.join_caller()
        self._runtime.stream_wait(self.work, self._runtime.record(self.upload))
        event = self._runtime.record(self.work)
        self._runtime.stream_wait(caller, event)
        return event

    def work_after_upload(self) -> None:
        """Make later work wait for the uploads queued so far."""
        self._runtime.stream_wait(self.work, self._runtime.record(self.upload))

    def upload_after_work(self) -> None:
        """Make later uploads, and what frees memory of that stream, wait for the work so far."""
        self._runtime.stream_wait(self.upload, self._runtime.record(self.work))


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
        """Take a lane back; its queued work may still run."""
        with self._lock:
            if len(self._idle) < _KEPT_LANES:
                self._idle.append(lane)
