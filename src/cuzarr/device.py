"""Which device an array uses, and why.

1. :func:`parse_device` checks what the user asked for: "auto", "cpu", "cuda" or "cuda:N".
2. :func:`resolve` answers for one data type, from the machine and the data type alone; asking for
   a device by name that is not there is an error, "auto" gives the reason for what it chose.
3. :func:`open_backend` makes the backend.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from cuzarr import cuda
from cuzarr.config import config
from cuzarr.cuda.probe import probe
from cuzarr.engine.backend import Backend
from cuzarr.errors import NoDeviceError
from cuzarr.host.backend import HostBackend

_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")
_DEVICE_KINDS = "biufc"


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the reason for it.

    Attributes
    ----------
    name : str
        "cpu" or "cuda:N".
    reason : str
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return self.name


def parse_device(wanted: str | None) -> str:
    """Return the device asked for; None stands for ``cuzarr.config``'s.

    Raises
    ------
    ValueError
        Not a device name.
    NoDeviceError
        A CUDA device that is not there.
    """
    origin = "device="
    if wanted is None:
        wanted, origin = config.get("device"), "cuzarr.config device="
    if isinstance(wanted, Device):
        wanted = wanted.name
    if not isinstance(wanted, str) or not _NAME.fullmatch(wanted):
        raise ValueError(f'{origin}{wanted!r} is not "auto", "cpu", "cuda" or "cuda:N"')
    if wanted.startswith("cuda"):
        number = int(wanted.partition(":")[2] or 0)
        found = probe()
        if number >= found.count:
            raise NoDeviceError(f"device {wanted!r} is not there: {found.reason}")
        return f"cuda:{number}"
    return wanted


def resolve(wanted: str, dtype: np.dtype[Any], here: str | None = None) -> Device:
    """Return the device for arrays of ``dtype``.

    Parameters
    ----------
    wanted : str
        What :func:`parse_device` gave.
    dtype : numpy.dtype
    here : str or None
        The device that the store is on.
    """
    if wanted == "cpu":
        return Device("cpu", 'device="cpu" was asked for')
    # CuPy has no types of other packages, some of which call themselves floats (ml_dtypes).
    own = dtype.isbuiltin != 2
    lives_there = own and dtype.kind in _DEVICE_KINDS and dtype.itemsize <= 16
    if wanted != "auto":
        if not lives_there:
            raise NoDeviceError(f"data type {dtype} cannot live on {wanted}: use device='cpu'")
        return Device(wanted, f'device="{wanted}" was asked for')
    if not lives_there:
        return Device("cpu", f"auto: data type {dtype} cannot live on a CUDA device")
    if here is not None:
        return Device(here, "auto: the store keeps its chunks there")
    found = probe()
    if found.count == 0:
        return Device("cpu", f"auto: {found.reason}")
    return Device("cuda:0", f"auto: {found.reason}")


def open_backend(device: Device) -> Backend:
    """Return the backend of a device; one per device and process."""
    if device.name == "cpu":
        return _host()
    return cuda.open_backend(int(device.name.partition(":")[2]), _host())


@cache
def _host() -> HostBackend:
    return HostBackend()
