"""The functions of ``cuzarr`` for ``await``: each is one hop to a thread.

Arrays and groups come back as :class:`AsyncArray` and :class:`AsyncGroup`, and may be given so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any

from cuzarr import api
from cuzarr.aio import AsyncArray, AsyncGroup, as_async, as_sync, hop

__all__ = api.__all__


def _asynchronous(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    @wraps(function)
    async def call(*args: Any, **options: Any) -> Any:
        given = {name: as_sync(value) for name, value in options.items()}
        return as_async(await hop(function, *map(as_sync, args), **given))

    return call


async def create_hierarchy(
    *, store: Any = None, nodes: Any, overwrite: bool = False
) -> AsyncIterator[tuple[str, AsyncArray | AsyncGroup]]:
    """Create many arrays and groups with one batch of writes; see ``cuzarr.create_hierarchy``."""
    created = await hop(
        lambda: list(api.create_hierarchy(store=store, nodes=nodes, overwrite=overwrite))
    )
    for path, node in created:
        yield path, as_async(node)


array = _asynchronous(api.array)
consolidate_metadata = _asynchronous(api.consolidate_metadata)
copy = _asynchronous(api.copy)
copy_all = _asynchronous(api.copy_all)
copy_store = _asynchronous(api.copy_store)
create = _asynchronous(api.create)
create_array = _asynchronous(api.create_array)
create_group = _asynchronous(api.create_group)
empty = _asynchronous(api.empty)
empty_like = _asynchronous(api.empty_like)
from_array = _asynchronous(api.from_array)
full = _asynchronous(api.full)
full_like = _asynchronous(api.full_like)
group = _asynchronous(api.group)
load = _asynchronous(api.load)
ones = _asynchronous(api.ones)
ones_like = _asynchronous(api.ones_like)
open = _asynchronous(api.open)  # noqa: A001  # the name of the field
open_array = _asynchronous(api.open_array)
open_consolidated = _asynchronous(api.open_consolidated)
open_group = _asynchronous(api.open_group)
open_like = _asynchronous(api.open_like)
read = _asynchronous(api.read)
save = _asynchronous(api.save)
save_array = _asynchronous(api.save_array)
save_group = _asynchronous(api.save_group)
tree = _asynchronous(api.tree)
zeros = _asynchronous(api.zeros)
zeros_like = _asynchronous(api.zeros_like)
