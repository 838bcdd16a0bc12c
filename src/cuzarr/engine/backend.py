"""The backend: waist 3 of the design. ``host`` and ``cuda`` implement it; ``engine`` drives it.

A read: ``begin_read`` once, then per wave ``fetch``, ``decode``, ``scatter``, then ``finish``.
A write: ``begin_write`` once, then per wave ``gather``, ``encode``, then ``finish``. The engine
gathers up to ``ahead`` waves before it has the first of them encoded.

What ``fetch`` and ``decode`` return belongs to the backend: it may be data, futures, or a recipe
that ``scatter`` runs (the host backend fuses the three over short runs of chunks, which stay in
cache). The engine calls ``fetch`` of wave ``k + 1`` before ``decode`` of wave ``k``.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from cuzarr.engine.batch import EncodedWave, Job, Wave

AnyArray = Any  #: numpy.ndarray on the host, cupy.ndarray on a device


class ReadPass(Protocol):
    """One read call on one backend."""

    wave_chunks: int  #: chunks per wave that the memory budget allows, at least 1

    def fetch(self, wave: Wave) -> Any:
        """Start or do the reading of a wave's encoded chunks."""
        ...

    def decode(self, fetched: Any) -> Any:
        """Start or do the decoding of what ``fetch`` returned."""
        ...

    def scatter(self, decoded: Any) -> None:
        """Copy the selected elements of a decoded wave to the output, fill value where missing."""
        ...

    def finish(self) -> AnyArray:
        """Wait, raise ``ChunkDecodeError`` for the first bad chunk, return the output.

        The output has ``plan.shape``; the engine reshapes it to ``plan.out_shape``.
        """
        ...

    def abort(self) -> None:
        """Drop everything in flight after an error; never raises."""
        ...


class WritePass(Protocol):
    """One write call on one backend."""

    wave_chunks: int
    ahead: int  #: waves that may be gathered and not yet encoded, beside the one that is

    def gather(self, wave: Wave) -> Any:
        """Build the decoded chunks of a wave from the value.

        Rows that are not complete are first fetched and decoded from ``wave.requests``; elements
        outside the array, or of a chunk that was missing, are the fill value. Rows that are
        complete may be encoded and stored at once; ``encode`` leaves them out.
        """
        ...

    def encode(self, gathered: Any) -> EncodedWave:
        """Encode what is not stored; None for chunks that are all fill value, if so configured."""
        ...

    def finish(self) -> None:
        """Wait and raise the first error."""
        ...

    def abort(self) -> None:
        """Drop everything in flight after an error; never raises."""
        ...


class Backend(Protocol):
    """The verbs of one device."""

    name: str  #: "cpu" or "cuda:N"

    def new_output(self, job: Job) -> AnyArray:
        """Return a new C-contiguous array for the result of a read."""
        ...

    def place(self, job: Job, value: AnyArray) -> AnyArray:
        """Return a value to write as an array of the device, for several writes of parts of it."""
        ...

    def begin_read(self, job: Job, out: AnyArray | None) -> ReadPass:
        """Start a read; ``out`` is an array of ``plan.shape`` on the device, or None."""
        ...

    def adopt(self, out: Any) -> AnyArray:
        """Return an array of any library as one of the device over the same memory.

        Work of the call comes after what its library has queued on it.

        Raises
        ------
        TypeError
            It is no array, or not in the memory of this kind of device.
        ValueError
            It is on another device, or read-only.
        """
        ...

    def wait(self) -> None:
        """Return when all that was queued on the caller's stream is done."""
        ...

    def to_host(self, array: AnyArray) -> npt.NDArray[Any]:
        """Return an array of the device as a NumPy array; waits."""
        ...

    def begin_write(self, job: Job, value: AnyArray, write_empty_chunks: bool) -> WritePass:
        """Start a write of ``value``, of ``plan.shape`` (or broadcast to it), on any device."""
        ...
