"""What to put into a report of a problem."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TextIO

from cuzarr import native
from cuzarr.config import config
from cuzarr.cuda.probe import probe

_PACKAGES = (
    "cuzarr", "numpy", "numcodecs", "donfig", "google-crc32c", "typing-extensions", "ml-dtypes",
    "cupy-cuda12x", "cupy-cuda13x", "nvidia-nvcomp-cu12", "nvidia-nvcomp-cu13",
    "nvidia-libnvcomp-cu12", "nvidia-libnvcomp-cu13", "nvidia-cuda-nvrtc", "kvikio-cu12",
    "kvikio-cu13", "zarr", "fsspec", "obstore", "torch", "dask", "xarray",
)  # fmt: skip


def debug_info() -> dict[str, str]:
    """Return the platform, the devices, and the versions of the packages that are installed."""
    found = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "native extension": "yes" if native.HAVE_NATIVE else "no",
        "device": f"{config.get('device')}: {probe().reason}",
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def print_debug_info(file: TextIO | None = None) -> None:
    """Print :func:`debug_info`.

    Parameters
    ----------
    file : text file or None
        Default standard output.
    """
    for label, text in debug_info().items():
        print(f"{label}: {text}", file=file or sys.stdout)
