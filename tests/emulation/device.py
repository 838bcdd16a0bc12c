"""The emulated device's memory and history, in Python: one per process, shared by all runtimes.

1. :meth:`Device.begin` opens an operation with its place in a stream and its vector clock.
2. :meth:`Device.access` and :meth:`Device.launch` check every byte touched against that history
   (``device.cpp``) and raise :class:`EmulationError` with both sides of a conflict in words.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
import os
import sys
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.emulation.build import KERNELS, REPOSITORY, load

READ, WRITE, ATOMIC = 0, 1, 2
WORK, ALLOC, FREE = 0, 1, 2
FRESH_POISON, FREED_POISON, HOST_POISON = 0xAB, 0xDD, 0xA5

_ARENA = int(os.environ.get("CUZARR_EMULATION_BYTES", str(2 << 30)))
_HERE, _ROOT = str(Path(__file__).parent), str(REPOSITORY) + "/"
_FAULTS = {
    1: "outside any allocation",
    2: "memory that was given back",
    3: "memory that was never written",
    4: "bytes whose last write no event orders before it",
    5: "bytes that an operation not ordered before it has read",
    6: "host memory from a kernel",
    7: "a barrier that not all threads of the warp or block reach",
    8: "a misaligned address",
}


class EmulationError(AssertionError):
    """The code under test did something that a real device does not allow."""


class UndefinedBehaviourError(EmulationError):
    """A stream reached nvCOMP that it does not define the decoding of."""


class _Violation(ctypes.Structure):
    _fields_ = (
        ("fault", ctypes.c_int32), ("mode", ctypes.c_int32), ("address", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64), ("other", ctypes.c_uint32), ("thread", ctypes.c_uint32),
        ("block", ctypes.c_uint32),
    )  # fmt: skip


class Device:
    """The library with its arena, and words for what happened in it."""

    def __init__(self, kernels: Path = KERNELS) -> None:
        library = load(kernels)
        self.cdll, self.kernels = library.cdll, library.kernels
        self.base = int(self.cdll.emu_reserve(_ARENA))
        if not self.base:
            raise MemoryError(f"cannot reserve {_ARENA} bytes: set CUZARR_EMULATION_BYTES lower")
        self.lock = threading.RLock()
        self.users = 0
        self._clear()

    def _clear(self) -> None:
        self.labels: dict[int, str] = {}
        self.bump = self.base + 4096
        self.streams = 0
        self.starts: list[int] = []
        self.sites: dict[int, tuple[int, str]] = {}

    def join(self) -> None:
        """Count a runtime in."""
        with self.lock:
            self.users += 1

    def leave(self) -> None:
        """Count a runtime out; the last one takes all memory and history with it."""
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.cdll.emu_reset((self.bump - self.base + 4095) // 4096 * 4096)
                self._clear()

    def new_stream(self) -> int:
        """Return a stream number."""
        self.streams += 1
        return self.streams - 1

    def reserve(self, nbytes: int) -> int:
        """Return the address of fresh memory, with at least 64 bytes of nothing behind it."""
        size = (nbytes + 64 + 255) // 256 * 256
        if self.bump + size > self.base + _ARENA:
            raise MemoryError(
                f"the emulation's {_ARENA} bytes are used up: close runtimes after use, "
                "or set CUZARR_EMULATION_BYTES"
            )
        address = self.bump
        self.bump += size
        bisect.insort(self.starts, address)
        return address

    def begin(self, stream: int, seq: int, kind: int, clock: npt.NDArray[np.int64],
              label: str) -> None:  # fmt: skip
        """Open an operation; what follows is checked as its doing."""
        self.label = label
        number = self.cdll.emu_begin(stream, seq, kind, clock.ctypes.data, len(clock))
        self.labels[number] = label

    def access(self, address: int, nbytes: int, mode: int, *, strict: bool = True) -> None:
        """Check an access of the open operation; raises :class:`EmulationError`."""
        if self.cdll.emu_access(address, nbytes, mode, strict):
            raise EmulationError(self._explain())

    def view(self, address: int, nbytes: int, mode: int) -> npt.NDArray[np.uint8]:
        """Check an access and return the bytes, for use inside the operation alone."""
        self.access(address, nbytes, mode)
        return raw_bytes(address, nbytes)

    def launch(self, entry: int, words: npt.NDArray[np.uint64], grid: int, block: int,
               seed: int) -> None:  # fmt: skip
        """Run a kernel as the open operation."""
        if self.cdll.emu_launch(entry, words.ctypes.data, len(words), grid, block, seed):
            raise EmulationError(self._explain(kernel=True))

    def describe(self, address: int) -> str:
        """Say which allocation an address belongs to, or is next to."""
        at = bisect.bisect_right(self.starts, address) - 1
        if at < 0 or self.starts[at] not in self.sites:
            return f"{address:#x}"
        start = self.starts[at]
        nbytes, site = self.sites[start]
        return f"byte {address - start} of the {nbytes} bytes allocated at {site}"

    def _explain(self, *, kernel: bool = False) -> str:
        v = _Violation()
        self.cdll.emu_violation(ctypes.byref(v))
        verb = {READ: "reads", WRITE: "writes", ATOMIC: "updates"}[v.mode]
        if v.fault == 7:
            return f"{self.label}, block {v.block}: {_FAULTS[7]}"
        where = f", block {v.block} thread {v.thread}," if kernel else ""
        text = f"{self.label}{where} {verb} {v.bytes} bytes of {_FAULTS[v.fault]}: "
        text += self.describe(v.address) if v.fault != 6 else f"{v.address:#x}"
        if v.other:
            text += f"; the other operation is {self.labels.get(v.other, '?')}"
        return text


@functools.cache
def device(kernels: Path = KERNELS) -> Device:
    """Return the process's device for a directory of kernels."""
    return Device(kernels)


def raw_bytes(address: int, nbytes: int) -> npt.NDArray[np.uint8]:
    """View memory unchecked."""
    if nbytes == 0:
        return np.empty(0, np.uint8)
    return np.frombuffer((ctypes.c_uint8 * int(nbytes)).from_address(int(address)), np.uint8)


def call_site() -> str:
    """Return file:line of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename.removeprefix(_ROOT)}:{frame.f_lineno}"
