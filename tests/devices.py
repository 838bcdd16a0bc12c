"""The devices that tests of the public interface run on: host, emulated, cuda.

``use_device(kind)`` makes ``cuda:0`` stand for the emulated device, or leaves the real one, and
gives the name to pass as ``device=``; :func:`to_numpy` brings a result of any of them to the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from cuzarr import cuda
from cuzarr import device as device_module
from cuzarr.config import config
from cuzarr.cuda.backend import CudaBackend
from cuzarr.cuda.placement import MIN_STREAMS, Mode
from cuzarr.cuda.probe import Probe
from tests.emulation.array import EmulatedArray
from tests.emulation.runtime import EmulatedRuntime

#: Every wave goes to the device, however few streams it has.
ALWAYS = dict.fromkeys(MIN_STREAMS, 0)


@contextmanager
def use_device(
    kind: str,
    seed: int = 1,
    device_decode: Mode = "checked",
    on_undefined: str = "raise",
    **options: Any,
) -> Iterator[str]:
    """Yield the device name of ``kind``: "host", "emulated" or "cuda".

    ``on_undefined`` is of the emulated device, ``options`` are those of its backend.
    """
    if kind != "emulated":
        here = {
            "placement": ALWAYS, "device_decode": device_decode, "small_bytes": 0,
            "encode": "device",
        }  # fmt: skip
        with config.set({f"cuda.{key}": value for key, value in here.items()}):
            yield "cpu" if kind == "host" else "cuda:0"
        return
    runtime = EmulatedRuntime(seed, on_undefined=on_undefined)
    options.setdefault("encode", "device")
    backend = CudaBackend(runtime, placement=ALWAYS, device_decode=device_decode, **options)
    with (
        mock.patch.object(cuda, "open_backend", return_value=backend),
        mock.patch.object(device_module, "probe", return_value=Probe(1, "1 emulated device")),
    ):
        yield "cuda:0"


@contextmanager
def use_two_devices(seed: int = 1, **options: Any) -> Iterator[tuple[CudaBackend, CudaBackend]]:
    """Make "cuda:0" and "cuda:1" stand for two emulated devices; yields their backends."""
    first, second = (
        CudaBackend(EmulatedRuntime(seed + i, number=i), placement=ALWAYS, **options)
        for i in range(2)
    )
    found = Probe(2, "2 emulated devices")
    with (
        mock.patch.object(cuda, "open_backend", side_effect=lambda n, _=None: (first, second)[n]),
        mock.patch.object(device_module, "probe", return_value=found),
    ):
        yield first, second


def to_numpy(value: Any) -> Any:
    """Return a result as a NumPy array or scalar."""
    if isinstance(value, EmulatedArray):
        return value.runtime.to_host(value)
    return value if isinstance(value, np.ndarray | np.generic) else value.get()
