"""The functions of the package: open, create, save, load, copy."""

from importlib import import_module
from types import ModuleType

from cuzarr.api.copying import copy, copy_all, copy_store
from cuzarr.api.creating import (
    array,
    create,
    create_array,
    create_group,
    create_hierarchy,
    empty,
    empty_like,
    from_array,
    full,
    full_like,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from cuzarr.api.opening import (
    consolidate_metadata,
    group,
    open,  # noqa: A004
    open_array,
    open_consolidated,
    open_group,
    open_like,
)
from cuzarr.api.reading import read
from cuzarr.api.saving import load, save, save_array, save_group, tree

__all__ = [
    "array",
    "consolidate_metadata",
    "copy",
    "copy_all",
    "copy_store",
    "create",
    "create_array",
    "create_group",
    "create_hierarchy",
    "empty",
    "empty_like",
    "from_array",
    "full",
    "full_like",
    "group",
    "load",
    "ones",
    "ones_like",
    "open",
    "open_array",
    "open_consolidated",
    "open_group",
    "open_like",
    "read",
    "save",
    "save_array",
    "save_group",
    "tree",
    "zeros",
    "zeros_like",
]


def __getattr__(name: str) -> ModuleType:
    """Import ``synchronous`` or ``asynchronous`` when it is asked for."""
    if name in ("asynchronous", "synchronous"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
