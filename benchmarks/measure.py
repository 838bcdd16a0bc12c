"""Timing: every peer once, then every peer again, and so on.

1. A :class:`Trial` says how one peer does one case: prepare, run (timed), check, clean up.
2. :func:`interleave` runs a first round that is not counted, then the rounds that are; whatever
   disturbs the machine for a while so disturbs all of them. Each round has an order of its own,
   the same in every run: none always comes behind the same one, and what that has left in caches
   and on the disk.
3. What goes wrong stays in the :class:`Outcome`; a wrong value ends the peer's part in the case.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

Clock = Callable[[], float]


@dataclass(slots=True)
class Trial:
    """One peer on one case. Only ``run`` is timed; it must return when the work is done.

    ``then`` may turn the result into another one and says how many ms that took.
    """

    peer: str
    prepare: Callable[[], Any]
    run: Callable[[Any], Any]
    check: Callable[[Any], None]
    scope: Callable[[], AbstractContextManager[Any]]
    cleanup: Callable[[], None] = lambda: None
    then: Callable[[Any], tuple[Any, float]] = lambda result: (result, 0.0)


@dataclass(slots=True)
class Outcome:
    """What came of a trial: times in ms, or the reason why there are none."""

    peer: str
    ms: list[float] = field(default_factory=list)
    reason: str | None = None  #: why the peer took no part
    error: str | None = None  #: it failed, or its values were wrong

    @property
    def median(self) -> float | None:
        """Median in ms."""
        return statistics.median(self.ms) if self.ms else None


def interleave(
    trials: Sequence[Trial], repeats: int, *, seconds: float | None = None
) -> dict[str, Outcome]:
    """Run the trials in turn, ``repeats`` rounds after one that only warms up.

    ``seconds`` bounds the whole: no new round starts after it (the first counted one always runs).
    """
    outcomes = {trial.peer: Outcome(trial.peer) for trial in trials}
    end = None if seconds is None else time.monotonic() + seconds
    order = random.Random(len(trials))
    for index in range(repeats + 1):
        if index > 1 and end is not None and time.monotonic() > end:
            break
        for trial in order.sample(trials, len(trials)):
            outcome = outcomes[trial.peer]
            if outcome.error is None:
                elapsed = _one(trial, outcome)
                if index > 0 and outcome.error is None:
                    outcome.ms.append(elapsed)
    return outcomes


def ratio(outcomes: dict[str, Outcome], ours: str, peers: Sequence[str]) -> float | None:
    """Return our median over the smallest of the peers' (below 1 = faster than all of them)."""
    medians = [m for name in peers if name in outcomes and (m := outcomes[name].median) is not None]
    mine = outcomes[ours].median if ours in outcomes else None
    return None if mine is None or not medians else mine / min(medians)


def _one(trial: Trial, outcome: Outcome) -> float:
    """Run a trial once; returns ms, notes an error in ``outcome``."""
    elapsed = 0.0
    try:
        with trial.scope():
            state = trial.prepare()
            gc.collect()
            started = time.perf_counter()
            result = trial.run(state)
            elapsed = (time.perf_counter() - started) * 1e3
            result, more = trial.then(result)
            elapsed += more
            trial.check(result)
    except Exception as error:  # a peer that fails is a line of the report, not the end of it
        outcome.error = f"{type(error).__name__}: {error}"
        outcome.ms.clear()
    finally:
        trial.cleanup()
    return elapsed
