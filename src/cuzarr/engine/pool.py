"""The one thread pool of the process, shared by both backends; remade in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Lock, local
from typing import Any

from cuzarr.config import config

_pools: dict[int, ThreadPoolExecutor] = {}
_state = {"lock": Lock()}
_thread = local()


def threads() -> int:
    """Return the configured number of host threads (``host.threads``, or the usable processors)."""
    if config.get("host.threads") is None:
        return len(os.sched_getaffinity(0))
    return config.count("host.threads")


def pool() -> Executor:
    """Return the pool.

    A task must not wait for other tasks of it, so a task is given an executor that runs what it
    submits at once: a store may read arrays to answer a request.
    """
    if getattr(_thread, "is_worker", False):
        return _INLINE
    count = threads()
    with _state["lock"]:
        if count not in _pools:
            _pools[count] = _Pool(count, "cuzarr", _begin_worker)
        return _pools[count]


def beside(store: Any) -> Executor:
    """Return where to wait for a store: a thread, unless an answer from memory is there sooner."""
    return _INLINE if getattr(store, "in_memory", False) else pool()


def abandon(futures: Iterable[Future[Any]]) -> None:
    """Cancel what has not started, then wait for the rest; errors are dropped."""
    running = [future for future in futures if not future.cancel()]
    for future in running:
        future.exception()


class _Inline(Executor):
    """Runs a task when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the task and return its result or error as a future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # it is raised by whoever asks for the result
            future.set_exception(error)
        return future


_INLINE = _Inline()


class _Pool(ThreadPoolExecutor):
    """Runs tasks at once when threads can no longer be started: in handlers of ``atexit``."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the task on a thread, if there can be one."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError as error:  # raised before the task is in the queue
            if "shutdown" not in str(error):
                raise
            return _INLINE.submit(fn, *args, **kwargs)


def _begin_worker() -> None:
    _thread.is_worker = True


def _after_fork() -> None:
    _state["lock"] = Lock()
    _pools.clear()


os.register_at_fork(after_in_child=_after_fork)
