"""Where the steps of a call ran, and why: what ``array.device_plan`` shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Where = Literal["device", "host"]


@dataclass(frozen=True, slots=True)
class PlacementRecord:
    """Where one step of a wave ran.

    Attributes
    ----------
    step : str
        Codec and format, such as "blosc (lz4)", "zstd", "crc32c", "copy".
    where : {"device", "host"}
    why : str
    chunks, streams : int
    nbytes : int
        Decoded bytes.
    """

    step: str
    where: Where
    why: str
    chunks: int
    streams: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """Where the last call on an array ran; prints as a table.

    Attributes
    ----------
    device, reason : str
    records : tuple of PlacementRecord
        Empty before the first read or write.
    """

    device: str
    reason: str
    records: tuple[PlacementRecord, ...]

    @classmethod
    def of(cls, device: str, reason: str, records: Iterable[PlacementRecord]) -> DevicePlan:
        """Build from the records of one call, added up per step and place."""
        return cls(device, reason, tuple(summarize(records)))

    def __str__(self) -> str:
        lines = [f"results on {self.device} ({self.reason})"]
        for r in self.records:
            size = f"{r.chunks} chunks, {r.nbytes / 2**20:.1f} MiB"
            lines.append(f"  {r.step}: on the {r.where}, {size} ({r.why})")
        return "\n".join(lines)


def summarize(records: Iterable[PlacementRecord]) -> list[PlacementRecord]:
    """Add up the records that agree in step and place; the first reason stands for all."""
    found: dict[tuple[str, str], PlacementRecord] = {}
    for record in records:
        key = (record.step, record.where)
        old = found.get(key)
        found[key] = record if old is None else PlacementRecord(
            record.step, record.where, old.why, old.chunks + record.chunks,
            old.streams + record.streams, old.nbytes + record.nbytes,
        )  # fmt: skip
    return list(found.values())
