"""cuzarr: Zarr v2 and v3 arrays on the CPU and the GPU, behind one NumPy-like interface."""

from cuzarr import codecs, errors, storage
from cuzarr.api import (
    array,
    create,
    create_array,
    create_group,
    empty,
    full,
    group,
    load,
    ones,
    open,  # noqa: A004
    open_array,
    open_group,
    save,
    zeros,
)
from cuzarr.array import Array
from cuzarr.config import config
from cuzarr.group import Group

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Group",
    "__version__",
    "array",
    "codecs",
    "config",
    "create",
    "create_array",
    "create_group",
    "empty",
    "errors",
    "full",
    "group",
    "load",
    "ones",
    "open",
    "open_array",
    "open_group",
    "save",
    "storage",
    "zeros",
]
