"""cuzarr: Zarr v2 and v3 arrays on the CPU and the GPU, behind one NumPy-like interface."""

from importlib import import_module
from typing import Any

from cuzarr import api, codecs, errors, former, storage
from cuzarr.aio import AsyncArray, AsyncGroup
from cuzarr.api import *  # noqa: F403
from cuzarr.array import Array
from cuzarr.config import config
from cuzarr.debug import print_debug_info
from cuzarr.device_store import DeviceStore
from cuzarr.errors import CopyError
from cuzarr.group import Group
from cuzarr.storage import DirectoryStore, MemoryStore, ZipStore

__version__ = "0.1.0"

__all__ = [
    "Array",
    "AsyncArray",
    "AsyncGroup",
    "CopyError",
    "DeviceStore",
    "DirectoryStore",
    "Group",
    "MemoryStore",
    "ZipStore",
    "__version__",
    "codecs",
    "config",
    "errors",
    "print_debug_info",
    "storage",
]
__all__ += api.__all__

# As in zarr-python they need no import of their own, but take none of the time of this one.
_MODULES = ("abc", "buffer", "dtype", "experimental", "interop", "registry", "types")


def __getattr__(name: str) -> Any:
    """Import a module when it is asked for; find names of zarr-python 2."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    return former.find(__name__, name)
