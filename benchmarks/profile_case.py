"""Where the time of one case goes: samples of every thread, in one process.

1. Run the case until ``--seconds`` are used, with a thread that notes the Python stack of all the
   others about once a millisecond (:class:`Sampler`); calls that release the GIL are seen too, as
   the line that made them.
2. Print ms of wall and processor time per run, then the lines and functions in ms per run and
   thread: "self" is where a stack ends, "total" is anywhere in it.

With ``--cprofile`` the calling thread is traced instead: exact counts, but slower code.

Usage: ``python -m benchmarks.profile_case CASE [--peer cuzarr] [--seconds 5] [--size 256MiB]``
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from benchmarks import data
from benchmarks.cases import Inputs
from benchmarks.peers import all_peers
from benchmarks.run import ALL_CASES, Bench

TOP = 25


class Sampler(threading.Thread):
    """Counts the places where the stacks of the other threads are."""

    def __init__(self, interval: float = 0.001) -> None:
        super().__init__(daemon=True)
        self.active = False
        self.samples = 0
        self.own: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self._interval = interval
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._interval):
            if self.active:
                self.samples += 1
                for thread, frame in sys._current_frames().items():
                    if thread != self.ident:
                        self._count(frame)

    def finish(self) -> None:
        """End the thread."""
        self._ended.set()
        self.join()

    def _count(self, leaf: FrameType) -> None:
        self.own[f"{_place(leaf)}:{leaf.f_lineno}"] += 1
        seen = set()
        frame: FrameType | None = leaf
        while frame is not None:
            seen.add(_place(frame))
            frame = frame.f_back
        self.total.update(seen)


def main(arguments: list[str] | None = None) -> None:
    """Profile a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Formatter)
    parser.add_argument("case", choices=ALL_CASES)
    parser.add_argument("--peer", choices=all_peers(), default="cuzarr")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--size", type=data.parse_size, default="256MiB")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "cuzarr-bench")
    parser.add_argument("--cprofile", action="store_true")
    options = parser.parse_args(arguments)
    size = data.extent(options.size)
    tile = data.field(size.rows, size.columns)
    bench = Bench(size, tile, Inputs.draw(size.shape), options.data, {})
    trial = bench.trial(ALL_CASES[options.case], all_peers()[options.peer])
    sampler, tracer = Sampler(), cProfile.Profile()
    sampler.start()
    runs, wall, processor = 0, 0.0, 0.0
    end = time.monotonic() + options.seconds
    while runs < 2 or time.monotonic() < end:  # the first run only warms up
        with trial.scope():
            state = trial.prepare()
            before = sum(os.times()[:2])
            begun = time.perf_counter()
            if runs:
                sampler.active = not options.cprofile
                if options.cprofile:
                    tracer.enable()
            trial.run(state)
            tracer.disable()
            sampler.active = False
            if runs:
                wall += time.perf_counter() - begun
                processor += sum(os.times()[:2]) - before
            trial.cleanup()
        runs += 1
    sampler.finish()
    data.sweep(options.data)
    counted = runs - 1
    print(
        f"{options.case}, {options.peer}: {counted} runs, {1e3 * wall / counted:.1f} ms each, "
        f"processor {1e3 * processor / counted:.1f} ms"
    )
    if options.cprofile:
        pstats.Stats(tracer).sort_stats("tottime").print_stats(TOP)
        return
    if sampler.samples:
        scale = 1e3 * wall / counted / sampler.samples
        for name, counter in (("self", sampler.own), ("total", sampler.total)):
            print(f"\n{name:>9}  ms per run, summed over threads")
            for place, count in counter.most_common(TOP):
                print(f"{count * scale:9.1f}  {place}")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keep the line breaks of the module docstring."""


def _place(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{path.parent.name}/{path.name}:{frame.f_code.co_qualname}"


if __name__ == "__main__":
    main()
