"""Where a wave is decoded: on the device or on the host threads.

1. A device decodes one stream slowly and thousands at once; a host thread, the reverse.
   :class:`Placement` compares the streams that a device would decode at the same time, in the wave
   and those beside it, with the least number that pays per format.
2. What was decided, and why, goes to the call's report (``array.device_plan``).

What was seen on one H200 beside 16 cores (``benchmarks/results/2026-11-20-h200-parts.json``): LZ4
pays from 16 streams of 16 KiB and from 256 of 64 KiB; Deflate takes 3.4 ms for up to 256 streams of
64 KiB and 53 ms for up to 256 of 1 MiB, which the host decodes at 1 to 2 GB/s, so some 64 pay.
**Zstd, Snappy and Blosclz are estimates**, not measurements. ``config`` key ``cuda.placement``
overrides all of them, e.g. ``{"Zstd": 64}``; 0 always decodes on the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from cuzarr.engine.report import Where

Mode = Literal["checked", "trusted", "host"]
MODES: Final = ("checked", "trusted", "host")

#: Least number of independent streams at the same time, by format; see above.
MIN_STREAMS: Final[Mapping[str, int]] = {
    "LZ4": 64, "Zstd": 256, "Deflate": 64, "Snappy": 64, "Blosclz": 64,
}  # fmt: skip


class Placement:
    """Decides for the waves of one backend.

    Parameters
    ----------
    mode : {"checked", "trusted", "host"}
    nvcomp : bool
        Whether nvCOMP is there.
    overrides : mapping of str to int
        Least streams by format, over ``MIN_STREAMS``.
    """

    def __init__(
        self, mode: Mode, nvcomp: bool, overrides: Mapping[str, int] | None = None
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"device_decode must be one of {', '.join(MODES)}, not {mode!r}")
        unknown = set(overrides or {}) - set(MIN_STREAMS)
        if unknown:
            known = ", ".join(MIN_STREAMS)
            raise ValueError(f"placement of unknown formats {sorted(unknown)}: known are {known}")
        self.mode, self._nvcomp = mode, nvcomp
        self._least = {**MIN_STREAMS, **(overrides or {})}

    def decide(self, fmt: str, streams: int, waves: int = 1) -> tuple[Where, str]:
        """Return where the streams of one format are decoded, and why.

        Parameters
        ----------
        fmt : str
        streams : int
            In the wave.
        waves : int
            Waves like it that a device decodes at the same time.
        """
        if self.mode == "host":
            return "host", 'device_decode="host"'
        if not self._nvcomp:
            return "host", "nvCOMP is not installed"
        least = self._least[fmt]
        at_once = f"{streams} streams" if waves == 1 else f"{waves} times {streams} streams at once"
        if waves * streams < least:
            return "host", f"{at_once}, fewer than the {least} that pay on a device"
        return "device", at_once
