"""Configuration: ``cuzarr.config``, in code, as a context manager, and from the environment.

``cuzarr.config.set({"device": "cpu"})``, ``with cuzarr.config.set({...}):``,
``cuzarr.config.get("device")``, ``cuzarr.config.reset()``; ``CUZARR_DEVICE=cpu`` in the
environment sets the same key, ``__`` standing for a dot (``CUZARR_HOST__THREADS=4``).

===========================  =========  ==========================================================
key                          default    meaning
===========================  =========  ==========================================================
device                       "auto"     "auto", "cpu", "cuda" or "cuda:N"
default_zarr_format          3          format of new arrays and groups without a parent
write_empty_chunks           False      store chunks that are all fill value
host.threads                 None       threads of the host backend; None = processors we may use
host.run_bytes               1048576    decoded bytes that one task of the host backend handles
host.wave_chunks             65536      chunks planned at a time on the host
cuda.budget                  1073741824 bytes of device scratch per call
cuda.slab_bytes              268435456  bytes of each pinned slab
cuda.device_decode           "checked"  "checked", "trusted" or "host"
cuda.placement               {}         overrides of the placement table (``cuda.placement``)
===========================  =========  ==========================================================
"""

from __future__ import annotations

from typing import Any

import donfig

DEFAULTS: dict[str, Any] = {
    "device": "auto",
    "default_zarr_format": 3,
    "write_empty_chunks": False,
    "host": {"threads": None, "run_bytes": 2**20, "wave_chunks": 65536},
    "cuda": {
        "budget": 2**30,
        "slab_bytes": 2**28,
        "device_decode": "checked",
        "placement": {},
    },
}


class Config(donfig.Config):  # type: ignore[misc]  # donfig has no types
    """The configuration of cuzarr: ``get``, ``set``, ``reset``."""

    def reset(self) -> None:
        """Go back to the defaults and the environment."""
        self.clear()
        self.refresh()


config = Config("cuzarr", defaults=[DEFAULTS], paths=[])
