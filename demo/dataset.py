"""The data set of the demo: what is stored, and the truth that reads are compared with.

1. :func:`variables` makes every array in memory, the same in every run.
2. :data:`LAYOUTS` says how each is stored: two groups, one of Zarr v2 and one of v3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

TIME, LAT, LON = 96, 361, 720  #: six-hourly fields of 24 days on a half-degree grid


@dataclass(frozen=True)
class Layout:
    """Where and how one variable is stored.

    Attributes
    ----------
    group : str
        Folder of its group.
    name : str
    options : mapping
        Keyword arguments of ``Group.create_array``.
    says : str
        The same in words.
    """

    group: str
    name: str
    options: Mapping[str, Any]
    says: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


def blosc(cname: str, shuffle: int) -> dict[str, Any]:
    """Return a v2 Blosc compressor."""
    return {"id": "blosc", "cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": 0}


ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
FIELD = {"chunks": (4, 181, 360)}  #: about 1 MiB
LAYOUTS = (
    Layout("reanalysis.v2", "t2m", {**FIELD, "compressors": blosc("lz4", 1), "fill_value": np.nan},
           "v2, Blosc lz4, byte shuffle, 1 MiB chunks", {"units": "K"}),
    Layout("reanalysis.v2", "wind_u", {**FIELD, "compressors": blosc("zstd", 2)},
           "v2, Blosc zstd, bit shuffle, 1 MiB chunks", {"units": "m s-1"}),
    Layout("reanalysis.v2", "rain", {"chunks": (24, 91, 90), "compressors": blosc("lz4", 2),
                                     "fill_value": False},
           "v2, Blosc lz4, bit shuffle, chunks of nothing but fill left out"),
    Layout("forecast.v3", "t850", {"chunks": (4, 91, 90), "shards": (24, 364, 720),
                                   "compressors": ZSTD, "fill_value": np.nan},
           "v3, zstd, 128 KiB inner chunks in 24 MiB shards", {"units": "K"}),
    Layout("forecast.v3", "station", {"chunks": (16, 512), "compressors": ZSTD, "fill_value": -999},
           "v3, zstd, half of the chunks missing", {"units": "0.1 degC"}),
    Layout("forecast.v3", "images", {"chunks": (8, 128, 128, 3), "shards": (64, 128, 128, 3),
                                     "compressors": ZSTD, "fill_value": 0},
           "v3, zstd, 384 KiB inner chunks in 3 MiB shards"),
)  # fmt: skip


def variables() -> dict[str, npt.NDArray[Any]]:
    """Return every variable by name, deterministic."""
    rng = np.random.default_rng(2026)
    u = _field(rng, 0.0, 9.0)
    rain = (_field(rng, 0.0, 1.0) > 1.2) & (np.arange(TIME)[:, None, None] < TIME // 2)
    station = rng.integers(-300, 400, (64, 4096), "i2")
    station[:, 2048:] = -999
    return {
        "t2m": _field(rng, 288.0, 15.0),
        "wind_u": u,
        "rain": rain,
        "t850": _field(rng, 275.0, 12.0),
        "station": station,
        "images": _images(rng, 256),
    }


def _field(rng: np.random.Generator, mean: float, spread: float) -> npt.NDArray[np.float32]:
    """Return smooth waves that drift in time, with a little noise, to 1/64 of a unit."""
    lat = np.linspace(-np.pi / 2, np.pi / 2, LAT, dtype="f4")[:, None]
    lon = np.linspace(0, 2 * np.pi, LON, endpoint=False, dtype="f4")[None, :]
    noise = rng.standard_normal((LAT, LON), dtype="f4")
    out = np.empty((TIME, LAT, LON), "f4")
    waves = [(k, *rng.uniform(0, 6, 2)) for k in (1, 2, 3, 5, 8)]
    for t in range(TIME):
        level = sum(
            np.sin(k * lon + phase + speed * t / 16, dtype="f4") * np.cos(k * lat) / k
            for k, phase, speed in waves
        )
        out[t] = np.round((mean + spread * (level + 0.02 * np.roll(noise, 7 * t, 1))) * 64) / 64
    return out


def _images(rng: np.random.Generator, n: int) -> npt.NDArray[np.uint8]:
    """Return pictures with a bright disc each."""
    y, x = np.mgrid[:128, :128].astype("f4")
    out = np.empty((n, 128, 128, 3), "u1")
    for i in range(n):
        cy, cx, radius = rng.uniform(20, 108, 3)
        disc = 255 / (1 + np.hypot(y - cy, x - cx) / (4 + radius / 8))
        grain = rng.integers(0, 8, (128, 128, 3))
        out[i] = np.minimum(disc[..., None] * (1.0, 0.8, 0.6) + grain, 255)
    return out
