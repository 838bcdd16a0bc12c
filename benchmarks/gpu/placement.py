"""Part "placement": how long a device and the host threads take for so many streams.

1. For each format and stream size, batches of 1, 4, 16... streams are decoded by one nvCOMP call
   and by as many host threads as cuzarr uses.
2. The least number that pays is where the device, with the upload of the encoded bytes, is faster
   than the host, with the upload of the decoded ones.

The table belongs in ``cuzarr/cuda/placement.py``. Values are checked against what was encoded.
"""

from __future__ import annotations

import statistics
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.part import Part
from benchmarks.peers import CORES

ROUNDS = 1
DISTINCT = 32
MOST = 1 << 28  #: decoded bytes of a batch
COUNTS = tuple(4**k for k in range(2, 8))
#: Format of nvCOMP, codec of the host, bytes of a stream.
STREAMS = tuple(
    (fmt, nbytes) for fmt in ("LZ4", "Zstd", "Deflate") for nbytes in (1 << 16, 1 << 18, 1 << 20)
)
_UPLOAD_GBS = 50


def main(arguments: list[str] | None = None) -> int:
    """Run the part; returns the exit status."""
    part = Part("placement", arguments)
    part.document["errors"] = []
    table: dict[str, Any] = {}
    part.document["placement"] = table
    if part.device.dry_run:
        part.document["missing"] = {"placement": "a dry run has no device to compare with"}
        return part.finish()
    planes = np.ascontiguousarray(part.tile.reshape(-1).view(np.uint8)[: 1 << 27].reshape(-1, 4).T)
    with ThreadPoolExecutor(CORES) as pool:
        for fmt, nbytes in STREAMS:
            if part.left <= 0:
                part.document["errors"].append(f"{fmt} of {nbytes} bytes: no time left")
                continue
            table[f"{fmt} {nbytes}"] = _streams(part, pool, fmt, nbytes, planes)
    return part.finish()


def _streams(
    part: Part, pool: ThreadPoolExecutor, fmt: str, nbytes: int, planes: npt.NDArray[np.uint8]
) -> dict[str, Any]:
    """Measure one format and size: ms by number of streams, and the least number that pays."""
    plain = [_piece(planes, k, nbytes) for k in range(DISTINCT)]
    encoded = list(pool.map(lambda piece: _encode(fmt, piece), plain))
    rows: dict[str, Any] = {"encoded": sum(map(len, encoded)) / (DISTINCT * nbytes)}
    least = None
    for n in COUNTS:
        if n * nbytes > MOST:
            break
        device = _device_ms(part, fmt, encoded, plain, n)
        host = _host_ms(part, pool, fmt, encoded, nbytes, n)
        up = n * nbytes / _UPLOAD_GBS / 1e6
        rows[str(n)] = {"device_ms": device, "host_ms": host}
        # What follows a host's decoding is the upload of more bytes.
        pays = device + up * rows["encoded"] < host + up
        least = (least if least is not None else n) if pays else None
    rows["least"] = least
    cells = "  ".join(
        f"{n}: {found['device_ms']:.2f}|{found['host_ms']:.2f}"
        for n, found in rows.items()
        if isinstance(found, dict)
    )
    print(f"{fmt:8}{nbytes:8} bytes ({rows['encoded']:.2f}), device|host ms: {cells}  -> {least}")
    return rows


def _piece(planes: npt.NDArray[np.uint8], k: int, nbytes: int) -> bytes:
    """Return what a byte shuffle leaves of some elements: the planes of their bytes in turn."""
    quarter = nbytes // 4
    return np.ascontiguousarray(planes[:, k * quarter : (k + 1) * quarter]).tobytes()


def _encode(fmt: str, piece: bytes) -> bytes:
    from numcodecs import lz4, zstd

    if fmt == "LZ4":
        return bytes(lz4.compress(piece))[4:]
    if fmt == "Zstd":
        return bytes(zstd.compress(piece, 3))
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(piece) + compressor.flush()


def _device_ms(part: Part, fmt: str, encoded: list[bytes], plain: list[bytes], n: int) -> float:
    from benchmarks.gpu.limits import _nvcomp_decoder

    xp, nbytes = part.device.xp, len(plain[0])
    room = np.array([-(-len(piece) // 16) * 16 for piece in encoded])
    at = np.concatenate(([0], np.cumsum(room)))
    block = np.zeros(int(at[-1]), np.uint8)
    for start, piece in zip(at.tolist(), encoded, strict=False):
        block[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
    copies = -(-n // DISTINCT)
    device = xp.tile(xp.asarray(block), copies)
    starts = (at[:-1] + len(block) * np.arange(copies)[:, None]).reshape(-1)[:n]
    lengths = np.tile([len(piece) for piece in encoded], copies)[:n]
    out = xp.zeros(n * nbytes, np.uint8)
    targets = nbytes * np.arange(n, dtype=np.int64)
    run, finish = _nvcomp_decoder(
        part, fmt, device, starts, lengths, out, targets, np.full(n, nbytes, np.int64)
    )
    ms = _median(lambda: part.device.timed(run))
    finish()
    last = (n - 1) % DISTINCT
    if out[(n - 1) * nbytes :].get().tobytes() != plain[last]:
        part.document["errors"].append(f"{fmt} of {nbytes} bytes, {n} streams: wrong bytes")
    return ms


def _host_ms(
    part: Part, pool: ThreadPoolExecutor, fmt: str, encoded: list[bytes], nbytes: int, n: int
) -> float:
    from cuzarr import native

    out = part.device.pinned(n * nbytes)
    decode: Callable[[int, int], None]
    if fmt == "Deflate":

        def decode(first: int, last: int) -> None:
            for k in range(first, last):
                found = zlib.decompress(encoded[k % DISTINCT], -15, nbytes)
                out[k * nbytes : (k + 1) * nbytes] = np.frombuffer(found, np.uint8)
    else:
        whole = [nbytes.to_bytes(4, "little") + e if fmt == "LZ4" else e for e in encoded]
        arrays = [np.frombuffer(piece, np.uint8) for piece in whole]
        pointers = np.array([arrays[k % DISTINCT].ctypes.data for k in range(n)], np.uint64)
        sizes = np.array([arrays[k % DISTINCT].nbytes for k in range(n)], np.int64)
        targets = (out.ctypes.data + nbytes * np.arange(n)).astype(np.uint64)

        def decode(first: int, last: int) -> None:
            part_ = slice(first, last)
            statuses = native.decode_batch(
                fmt.lower(), crc32c=False, src_ptrs=pointers[part_], src_sizes=sizes[part_],
                dst_ptrs=targets[part_], dst_size=nbytes,
            )  # fmt: skip
            assert not statuses.any(), f"{fmt}: the host cannot decode a stream"

    run = min(max(1, (1 << 20) // nbytes), -(-n // CORES))

    def once() -> float:
        begun = time.perf_counter()
        tasks = [pool.submit(decode, i, min(i + run, n)) for i in range(0, n, run)]
        for task in tasks:
            task.result()
        return (time.perf_counter() - begun) * 1e3

    return _median(once)


def _median(measure: Callable[[], float]) -> float:
    measure()
    return statistics.median(measure() for _ in range(ROUNDS))


if __name__ == "__main__":
    sys.exit(main())
