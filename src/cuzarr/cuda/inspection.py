"""The headers of a wave's chunks, read on the host while their bytes are there.

1. Every row gets a place: missing, device or host. A chunk whose header is unusual, or says
   something else than the metadata, goes to the host, whose codecs decode it or name the fault.
2. For the device rows, tables of streams are made: per nvCOMP format, and those stored raw
   (``cuda.containers``, ``cuda.blosc``).
3. Checksums of what streams decode to are listed, and Blosc blocks that are shuffled.

In ``checked`` mode stored checksums in front of a decompression are verified here, before a
decoder sees the bytes: what nvCOMP does with corrupt data is undefined for most formats.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cuzarr import native
from cuzarr.codecs.chain import CodecChain
from cuzarr.cuda.blosc import inspect_blosc
from cuzarr.cuda.checks import STORED_BYTES
from cuzarr.cuda.containers import CONTAINERS, Rows
from cuzarr.cuda.fetch import EncodedWave
from cuzarr.cuda.inspected import DEVICE, Inspection, Int64
from cuzarr.cuda.placement import Placement
from cuzarr.cuda.steps import ChainSteps
from cuzarr.engine.pool import pool, threads


def inspect(
    encoded: EncodedWave,
    steps: ChainSteps,
    chain: CodecChain,
    placement: Placement,
    waves: int = 1,
) -> Inspection:
    """Read the headers of a wave.

    Parameters
    ----------
    waves : int
        Waves like this one that a device decodes at the same time.
    """
    found = Inspection.of(encoded.missing)
    nbytes = steps.layout.nbytes
    if not steps.on_device:
        found.note_host(steps.host_codec, steps.why_not, nbytes)
        return found
    _place(found, encoded, steps, chain, placement, waves)
    if steps.elements:
        device = np.flatnonzero(found.place == DEVICE)
        step = ", ".join(codec.name for codec, _ in reversed(chain.array_codecs))
        found.note(step, "device", "kernels of elements", device, 0, nbytes)
    return found


def _place(
    found: Inspection,
    encoded: EncodedWave,
    steps: ChainSteps,
    chain: CodecChain,
    placement: Placement,
    waves: int,
) -> None:
    nbytes = steps.layout.nbytes
    rows = np.flatnonzero(encoded.positions >= 0)
    if steps.compressor is None:
        fits = rows[encoded.sizes[rows] == steps.coded_nbytes]
        found.place[fits], found.in_place[fits] = DEVICE, encoded.positions[fits]
        step = ", ".join(codec.name for codec in reversed(chain.byte_codecs)) or "copy"
        found.note(step, "device", "no decompression", fits, 0, nbytes)
        found.note_host(steps.host_codec, "not of the size that the metadata gives", nbytes)
        return
    if placement.mode == "host":
        found.note_host(steps.host_codec, placement.decide("LZ4", 0)[1], nbytes)
        return
    rows = rows[encoded.sizes[rows] >= steps.lead + steps.trail]
    if steps.outer:
        if placement.mode == "checked":
            rows = rows[_checksums_hold(encoded, steps, chain, rows)]
        else:
            found.outer[rows] = True
    of = Rows(
        encoded, rows, encoded.positions[rows] + steps.lead,
        encoded.sizes[rows] - steps.lead - steps.trail, steps.coded_nbytes, placement, waves,
    )  # fmt: skip
    if steps.compressor == "blosc":
        inspect_blosc(found, of)
    else:
        CONTAINERS[steps.compressor](found, of)
    found.outer &= found.place == DEVICE


def host_only(encoded: EncodedWave, steps: ChainSteps, why: str) -> Inspection:
    """Leave a wave to the host, whatever its headers say."""
    found = Inspection.of(encoded.missing)
    found.note_host(steps.host_codec, why, steps.layout.nbytes)
    return found


def _checksums_hold(
    encoded: EncodedWave, steps: ChainSteps, chain: CodecChain, rows: Int64
) -> npt.NDArray[np.bool_]:
    """Verify the outer checksums of rows on the pool."""
    holds = np.zeros(len(rows), np.bool_)
    codecs = chain.byte_codecs[: -len(steps.outer) - 1 : -1]

    def check(first: int, last: int) -> None:
        for j in range(first, last):
            data = encoded.view(int(rows[j]))
            if steps.native_codec is not None:  # one CRC-32C
                stored = int.from_bytes(data[-STORED_BYTES:], "little")
                holds[j] = native.crc32c(data[:-STORED_BYTES]) == stored
                continue
            try:
                for codec in codecs:
                    data = memoryview(codec.decode(data, None, None))
            except (ValueError, RuntimeError):
                continue
            holds[j] = True

    run = max(1, -(-len(rows) // threads()))
    tasks = [pool().submit(check, i, min(i + run, len(rows))) for i in range(0, len(rows), run)]
    for task in tasks:
        task.result()
    return holds
