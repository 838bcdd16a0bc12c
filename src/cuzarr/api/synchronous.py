"""The functions of ``cuzarr``, under the import path of zarr-python."""

from cuzarr.api import *  # noqa: F403  # the same names
from cuzarr.api import __all__ as __all__
