"""The one thread pool of the process, shared by both backends; remade in a forked child."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from cuzarr.config import config

_pools: dict[int, ThreadPoolExecutor] = {}
_state = {"lock": Lock()}


def threads() -> int:
    """Return the configured number of host threads (``host.threads``, or the usable processors)."""
    wanted = config.get("host.threads")
    if wanted is None:
        return len(os.sched_getaffinity(0))
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise ValueError(f"host.threads must be a positive integer or None, not {wanted!r}")
    return wanted


def pool() -> ThreadPoolExecutor:
    """Return the pool; tasks must not wait for other tasks of it."""
    count = threads()
    with _state["lock"]:
        if count not in _pools:
            _pools[count] = ThreadPoolExecutor(count, thread_name_prefix="cuzarr")
        return _pools[count]


def _after_fork() -> None:
    _state["lock"] = Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_after_fork)
