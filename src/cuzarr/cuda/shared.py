"""What the calls of one CUDA backend share: runtime, memory pools, limits, placement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cuzarr.cuda.memory import DeviceSlabs, SlabPool
from cuzarr.cuda.placement import Placement
from cuzarr.cuda.runtime import Runtime
from cuzarr.cuda.streams import LanePool

Fetch = Literal["native", "kvikio"]
MAX_WAVE_CHUNKS = 65536  #: per wave, so that its tables stay a few megabytes
_SLABS = 4  #: kept: one is read into, one is uploaded, two hold what host threads decoded
_TABLE_SLAB_BYTES = 64 * 2**20  #: kept for tables and small results


@dataclass(frozen=True)
class Shared:
    """State of a backend.

    Attributes
    ----------
    runtime : Runtime
    budget : int
        Bytes of device scratch per call.
    slab_bytes : int
        Bytes of each pinned slab.
    small_bytes : int
        Chunks and results of a read up to which the host backend does it, if there is one.
    placement : Placement
    fetch : {"native", "kvikio"}
        What reads the files of a store.
    slabs, table_slabs : SlabPool
    lanes : LanePool
    device_slabs : DeviceSlabs or None
        What kvikio reads into.
    """

    runtime: Runtime
    budget: int
    slab_bytes: int
    small_bytes: int
    placement: Placement
    fetch: Fetch = "native"
    slabs: SlabPool = field(init=False)
    table_slabs: SlabPool = field(init=False)
    lanes: LanePool = field(init=False)
    device_slabs: DeviceSlabs | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slabs", SlabPool(self.runtime, _SLABS * self.slab_bytes))
        object.__setattr__(self, "table_slabs", SlabPool(self.runtime, _TABLE_SLAB_BYTES))
        object.__setattr__(self, "lanes", LanePool(self.runtime))
        if self.fetch not in ("native", "kvikio"):
            raise ValueError(f'cuda.fetch must be "native" or "kvikio", not {self.fetch!r}')
        device_slabs = DeviceSlabs(self.runtime) if self.fetch == "kvikio" else None
        object.__setattr__(self, "device_slabs", device_slabs)
