"""Part "limits": the terms of the physical limit, on the same machine and the same bytes.

1. read: the files of each layout into pinned memory, with as many threads as cuzarr uses.
2. upload: pinned memory to the device, and copy: device to device, both in large pieces.
3. nvcomp: raw nvCOMP over the streams of the first tile, no cuzarr code between, all in one call.
4. Per case: no read can be faster than the slowest of (read, upload, nvcomp + one copy), since the
   first two overlap with the third; the table compares cuzarr with that.

Decoded streams are checked: all statuses and sizes, and the values of the first chunks.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import data
from benchmarks.cases import ALL_LAYOUTS, Case
from benchmarks.gpu import blosc_streams
from benchmarks.gpu.batches import Batch, chunk_corners, gather
from benchmarks.gpu.part import READS, Part
from benchmarks.peers import CORES

ROUNDS = 5
COPY_BYTES = 1 << 30


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    part = Part("limits", arguments)
    part.document["errors"] = []
    part.make_stores()
    terms: dict[str, Any] = {"threads": CORES}
    terms["upload_gbs"], terms["copy_gbs"] = copies(part)
    terms["layouts"] = {}
    for case in [c for c in READS if c.operation == "full"]:
        if part.left <= 0:
            part.document["errors"].append(f"{case.name}: no time left")
            break
        terms["layouts"][case.layout] = layout_terms(part, case, terms)
    part.document["terms"] = terms
    return part.finish()


def layout_terms(part: Part, case: Case, terms: dict[str, Any]) -> dict[str, Any]:
    """Return the ms of each term for a full read, and their limit."""
    path = part.store(case)
    stored, files = data.stored_bytes(path)
    found: dict[str, Any] = {
        "stored_bytes": stored,
        "files": files,
        "read_ms": _read_ms(part, path, stored),
        "upload_ms": stored / terms["upload_gbs"] / 1e6,
        "copy_ms": part.size.nbytes / terms["copy_gbs"] / 1e6,
        "nvcomp_ms": 0.0,
    }
    layout = ALL_LAYOUTS[case.layout]
    if layout.codec != "none":
        try:
            found["nvcomp_ms"], found["nvcomp_streams"] = _nvcomp_ms(part, path, layout)
        except AssertionError as error:
            part.document["errors"].append(f"{case.name}: nvcomp: {error}")
            found["nvcomp_ms"] = None
    if found["nvcomp_ms"] is not None:
        decode = found["nvcomp_ms"] + found["copy_ms"]
        found["limit_ms"] = max(found["read_ms"], found["upload_ms"], decode)
        found["limit_memory_ms"] = max(found["upload_ms"], decode)
    return found


def copies(part: Part) -> tuple[float, float]:
    """Return GB/s of pinned memory to device, and of device to device (bytes copied)."""
    device = part.device
    nbytes = min(COPY_BYTES, part.size.nbytes)
    pinned = device.pinned(nbytes)
    pinned[...] = np.resize(as_bytes(part.tile), nbytes)
    target = device.xp.empty(nbytes, np.uint8)
    other = device.xp.empty_like(target)

    def duplicate() -> None:
        device.copy(other, target)

    upload = _median(lambda: device.timed(lambda: device.copy_in(target, pinned)))
    copy = _median(lambda: device.timed(duplicate))
    if not bool((other == device.xp.asarray(pinned)).all()):
        part.document["errors"].append("copies: wrong bytes")
    return nbytes / upload / 1e6, nbytes / copy / 1e6


def _read_ms(part: Part, path: Path, stored: int) -> float:
    """Return ms to read every chunk file into pinned memory, a slab at a time."""
    from cuzarr.storage.base import RequestBatch
    from cuzarr.storage.local import LocalStore

    names = sorted(str(f.relative_to(path)) for f in path.rglob("*") if f.is_file())
    sizes = np.array([(path / name).stat().st_size for name in names])
    slab = part.device.pinned(int(min(stored + 16 * len(names), 1 << 30)))
    waves, at, used = [], 0, 0
    for index, size in enumerate(sizes.tolist()):
        if used + size + 16 > len(slab):
            waves.append(RequestBatch.of(names[at:index]))
            at, used = index, 0
        used += size + 16
    waves.append(RequestBatch.of(names[at:]))
    store = LocalStore(path, read_only=True)
    view = memoryview(slab)

    def once() -> float:
        def read() -> None:
            for wave in waves:
                placed = store.read_into(wave, view, threads=CORES)
                assert not placed.statuses.any(), "a chunk file could not be read"

        return _host_timed(read)

    return _median(once)


def _nvcomp_ms(part: Part, path: Path, layout: data.Layout) -> tuple[float, int]:
    """Return ms for the whole array and the number of streams, from as many tiles as fit a call."""
    batch = gather(path, layout, part.size)
    device, xp = part.device, part.device.xp
    copies = max(1, min(part.size.tiles, (1 << 30) // batch.total))
    shift = np.arange(copies, dtype=np.int64)[:, None]
    encoded = xp.asarray(np.tile(batch.encoded, copies))
    out = xp.zeros(batch.total * copies, np.uint8)
    starts = (batch.starts + shift * len(batch.encoded)).reshape(-1)
    targets = (batch.targets + shift * batch.total).reshape(-1)
    lengths, decoded = np.tile(batch.lengths, copies), np.tile(batch.decoded, copies)
    decode = _host_decoder if device.dry_run else _nvcomp_decoder
    run, finish = decode(part, batch.fmt, encoded, starts, lengths, out, targets, decoded)
    ms = _median(lambda: device.timed(run))
    finish()
    _check_decoded(part, layout, batch, out)
    return ms * part.size.tiles / copies, len(starts)


def _nvcomp_decoder(
    part: Part,
    fmt: str,
    encoded: Any,
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    out: Any,
    targets: npt.NDArray[np.int64],
    decoded: npt.NDArray[np.int64],
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what queues one batched call, and what checks its statuses and sizes."""
    from cuzarr.cuda.cupy_runtime import CupyRuntime

    xp = part.device.xp
    nvcomp = CupyRuntime(0).nvcomp
    if nvcomp is None:
        raise AssertionError("nvCOMP is not installed")
    n = len(starts)
    temp_bytes = nvcomp.decompress_temp_bytes(fmt, n, int(decoded.max()), int(decoded.sum()))
    temp = xp.empty(max(1, temp_bytes), np.uint8)
    in_ptrs = xp.asarray(starts.astype(np.uint64) + np.uint64(encoded.data.ptr))
    out_ptrs = xp.asarray(targets.astype(np.uint64) + np.uint64(out.data.ptr))
    in_bytes, capacity = (
        xp.asarray(lengths.astype(np.uint64)),
        xp.asarray(decoded.astype(np.uint64)),
    )
    actual, statuses = xp.zeros(n, np.uint64), xp.full(n, -1, np.int32)
    stream = xp.cuda.get_current_stream()

    def run() -> None:
        nvcomp.decompress(
            fmt, in_ptrs.data.ptr, in_bytes.data.ptr, capacity.data.ptr, actual.data.ptr, n,
            temp.data.ptr, temp_bytes, out_ptrs.data.ptr, statuses.data.ptr, stream,
        )  # fmt: skip

    def finish() -> None:
        part.device.sync()
        assert not bool(statuses.any()), "a stream has an error status"
        assert bool((actual == capacity).all()), "a stream has another decoded size"

    return run, finish


def _host_decoder(
    part: Part,
    fmt: str,
    encoded: Any,
    starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    out: Any,
    targets: npt.NDArray[np.int64],
    decoded: npt.NDArray[np.int64],
) -> tuple[Callable[[], None], Callable[[], None]]:
    """The dry run's decoder: numcodecs, one stream after another."""
    from numcodecs import lz4, zstd

    def run() -> None:
        for start, length, target, size in zip(starts, lengths, targets, decoded, strict=True):
            piece = encoded[start : start + length].tobytes()
            if fmt == "LZ4":
                value = lz4.decompress(int(size).to_bytes(4, "little") + piece)
            elif fmt == "Gzip":
                value = gzip.decompress(piece)
            else:
                value = zstd.decompress(piece)
            out[target : target + size] = np.frombuffer(value, np.uint8)

    return run, lambda: None


def _check_decoded(part: Part, layout: data.Layout, batch: Batch, out: Any) -> None:
    """Compare the first chunks with the field; the streams that were stored raw are put in."""
    wanted_chunks = list(chunk_corners(layout, part.size))[: len(batch.chunks)]
    for index, (chunk, (i, j)) in enumerate(zip(batch.chunks, wanted_chunks, strict=True)):
        device_bytes = out[index * batch.chunk_bytes : (index + 1) * batch.chunk_bytes]
        decoded = np.array(device_bytes.get() if not part.device.dry_run else device_bytes)
        if batch.fmt == "LZ4" or layout.codec.startswith("blosc"):
            for start, target, length in blosc_streams.streams(chunk).raw:
                decoded[target : target + length] = np.frombuffer(chunk, np.uint8, length, start)
            decoded = blosc_streams.unshuffle(decoded, chunk)
        height, width = layout.chunk_shape(part.size.columns)
        wanted = part.tile[i : i + height, j : j + width]
        got = decoded.view(np.float32).reshape(height, width)
        assert (got == wanted).all(), f"chunk {index} of {layout.name} has wrong values"


def as_bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return an array's memory as bytes."""
    return array.reshape(-1).view(np.uint8)


def _host_timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e3


def _median(measure: Callable[[], float]) -> float:
    measure()
    return statistics.median(measure() for _ in range(ROUNDS))


if __name__ == "__main__":
    sys.exit(main())
