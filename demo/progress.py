"""A progress bar on standard error: one line on a terminal, nothing where there is none."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

WIDTH = 28


class Progress:
    """Show how many of ``total`` units are done.

    Parameters
    ----------
    title : str
    total : int
        Units, here bytes.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, max(total, 1), 0
        self.shown = sys.stderr.isatty()
        self.started = time.perf_counter()

    def advance(self, units: int, what: str = "") -> None:
        """Count further units; ``what`` names the step just done."""
        self.done += units
        if self.shown:
            share = min(self.done / self.total, 1.0)
            bar = "#" * round(WIDTH * share)
            line = f"\r{self.title} [{bar:<{WIDTH}}] {share:4.0%} {what[:30]:<30}"
            print(line, end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        self.advance(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.perf_counter() - self.started
        if self.shown:
            print("\r" + " " * (WIDTH + 60) + "\r", end="", file=sys.stderr, flush=True)
