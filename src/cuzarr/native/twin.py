"""The Python twin of ``_native``: same functions, same arguments, same results.

It is the oracle of the contract tests and the fallback where the extension was not built. Memory
given by address is wrapped by ctypes; the codecs are those of numcodecs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from cuzarr.native import formats
from cuzarr.native.tables import (
    CODECS,
    MAX_AXES,
    READ_ERRNO,
    READ_MISSING,
    READ_NO_SPACE,
    READ_OK,
    READ_SHORT,
    SLAB_ALIGN,
    Buffer,
    DecodeStatus,
    Int32,
    Int64,
    Lists,
    UInt64,
)

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def read_files(
    root: bytes, keys: bytes, offsets: Int64, starts: Int64, lengths: Int64, slab: Buffer,
    threads: int, positions: Int64, sizes: Int64, statuses: Int32, /,
) -> int:  # fmt: skip
    """Read on the calling thread alone: more threads only queue for the GIL."""
    del threads
    n, bounds = len(starts), offsets.tolist()
    if b"\0" in root:
        raise ValueError("root: contains a NUL byte")
    for name, column, expected in (
        ("offsets", offsets, n + 1), ("lengths", lengths, n), ("positions", positions, n),
        ("sizes", sizes, n), ("statuses", statuses, n),
    ):  # fmt: skip
        if len(column) != expected:
            raise ValueError(f"{name}: expected {expected} items, found {len(column)}")
    if bounds[0] < 0 or bounds[-1] > len(keys):
        raise ValueError("offsets: outside the keys")
    if np.any(np.diff(offsets) < 0):
        raise ValueError("offsets: not ascending")
    if n and int(lengths.min()) < -1:
        raise ValueError("lengths: less than -1")
    target = memoryview(slab).cast("B")
    if target.readonly:
        raise BufferError("slab: read-only")
    used, opened = 0, _Opened(root)
    positions[:], sizes[:] = -1, -1
    try:
        for i, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            opened.switch(keys[first:last])
            status = opened.status
            if status == READ_OK:
                status, place, size = _read_one(
                    opened, int(starts[i]), int(lengths[i]), target, used
                )
                if status == READ_OK:
                    positions[i] = place
                if status in (READ_OK, READ_NO_SPACE):
                    sizes[i] = size
                if place >= 0:
                    used = place + size
            statuses[i] = status
    finally:
        opened.close()
    return min(-(-used // SLAB_ALIGN) * SLAB_ALIGN, len(target))


def format_keys(
    prefix: bytes, coords: Int64, n: int, d: int, is_default: int, separator: int, suffix: bytes,
    offsets: Int64, /,
) -> bytes:  # fmt: skip
    """Write chunk keys."""
    if d > MAX_AXES:
        raise ValueError("coords: not (n, d) with d of at most 32")
    if coords.size and int(coords.min()) < 0:
        raise ValueError("coords: negative")
    between = chr(separator)
    lead = f"c{between}" if is_default else ""
    if d == 0:
        keys = [prefix + (b"c" if is_default else b"0") + suffix] * n
    else:
        keys = [
            prefix + (lead + between.join(map(str, row))).encode() + suffix
            for row in coords.tolist()
        ]
    offsets[0] = 0
    np.cumsum([len(key) for key in keys], out=offsets[1:])
    return b"".join(keys)


def copy_rows(
    scatter: bool, start: Int64, count: Int64, out: Int64, step: Int64, lists: Lists,
    chunk_ptrs: UInt64, chunk_strides: Int64, array_ptr: int, array_strides: Int64, itemsize: int,
    swap_unit: int, fill: bytes, /,
) -> None:  # fmt: skip
    """Copy row by row with NumPy views of the memory."""
    axes, n = len(step), len(chunk_ptrs)
    if axes > MAX_AXES:
        raise ValueError("step: more than 32 axes")
    if len(lists) != axes:
        raise ValueError("lists: expected one entry per axis")
    if itemsize < 1 or len(fill) != itemsize:
        raise ValueError("fill: expected itemsize bytes")
    if swap_unit not in (0, 2, 4, 8) or (swap_unit and itemsize % swap_unit):
        raise ValueError("swap_unit: expected 0, 2, 4 or 8, a divisor of itemsize")
    for name, column, size in (
        ("start", start, n * axes), ("count", count, n * axes), ("out", out, n * axes),
        ("chunk_strides", chunk_strides, axes), ("array_strides", array_strides, axes),
    ):  # fmt: skip
        if column.size != size:
            raise ValueError(f"{name}: expected {size} items, found {column.size}")
    for a, pair in enumerate(lists):
        last = start[:, a] + count[:, a]
        if pair is not None and np.any(
            (count[:, a] > 0) & ((start[:, a] < 0) | (last > len(pair[0])))
        ):
            raise ValueError("lists: a row reaches outside")
        if pair is not None and len(pair[0]) != len(pair[1]):
            raise ValueError(
                f"out_index: expected {len(pair[0])} items, found {len(pair[1])}"
            )
    sides = (chunk_strides.tolist(), array_strides.tolist())
    for i, chunk_ptr in enumerate(chunk_ptrs.tolist()):
        rows = list(
            zip(start[i].tolist(), count[i].tolist(), out[i].tolist(), step.tolist(), lists,
                strict=True)
        )  # fmt: skip
        if any(row[1] <= 0 for row in rows) or not (chunk_ptr or scatter):
            continue
        where = [_positions(*row) for row in rows]
        in_array = _view(array_ptr, [w[1] for w in where], sides[1], itemsize, swap_unit)
        if not chunk_ptr:
            in_array.write(np.frombuffer(fill, in_array.dtype))
            continue
        in_chunk = _view(chunk_ptr, [w[0] for w in where], sides[0], itemsize, swap_unit)
        source, target = (in_chunk, in_array) if scatter else (in_array, in_chunk)
        items = source.read()
        target.write(items.byteswap() if swap_unit else items)


def decode_batch(
    codec: int, crc32c: bool, src_ptrs: UInt64, src_sizes: Int64, dst_ptrs: UInt64, dst_size: int,
    lo: Int64 | None, hi: Int64 | None, statuses: Int32, /,
) -> None:  # fmt: skip
    """Decode chunk by chunk with numcodecs."""
    n = len(src_ptrs)
    if dst_size < 0:
        raise ValueError("dst_size: negative")
    if (lo is None) != (hi is None):
        raise ValueError("lo, hi: expected both or none")
    for name, column in (
        ("src_sizes", src_sizes), ("dst_ptrs", dst_ptrs), ("statuses", statuses), ("lo", lo),
        ("hi", hi),
    ):  # fmt: skip
        if column is not None and len(column) != n:
            raise ValueError(f"{name}: expected {n} items, found {len(column)}")
    if lo is not None and hi is not None and np.any((lo < 0) | (lo > hi) | (hi > dst_size)):
        raise ValueError("lo, hi: outside the decoded chunk")
    if np.any((src_ptrs != 0) & ((src_sizes < 0) | ((dst_ptrs == 0) & (dst_size > 0)))):
        raise ValueError("src_sizes, dst_ptrs: negative size or null destination")
    statuses[:] = DecodeStatus.OK
    for i in np.flatnonzero(src_ptrs).tolist():
        first, last = (0, dst_size) if lo is None or hi is None else (int(lo[i]), int(hi[i]))
        source = memory(int(src_ptrs[i]), int(src_sizes[i])).toreadonly()
        target = memory(int(dst_ptrs[i]), dst_size)
        try:
            if crc32c:
                source = _checked(source)
            _DECODERS[CODECS[codec]](source, target, first, last)
        except formats.FormatError as error:
            statuses[i] = error.status
        except (RuntimeError, ValueError):  # what the codecs of numcodecs raise
            statuses[i] = DecodeStatus.CORRUPT


def crc32c(data: Buffer, /) -> int:
    """Return the CRC-32C of contiguous bytes."""
    return int(google_crc32c.value(bytes(data)))


def memory(address: int, size: int) -> memoryview:
    """Wrap ``size`` bytes at an address."""
    if size == 0:
        return memoryview(bytearray())
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


class _Opened:
    """The file of the current key; consecutive requests with one key share it."""

    def __init__(self, root: bytes) -> None:
        self._root, self._key, self._fd = root, None, -1  # type: bytes, bytes | None, int
        self.status, self.size = READ_OK, 0

    def switch(self, key: bytes) -> None:
        if key == self._key:
            return
        self.close()
        self._key = key
        self.status = self._open(key)

    def _open(self, key: bytes) -> int:
        if not key:
            return READ_MISSING
        if b"\0" in key or key.startswith(b"/"):
            return READ_ERRNO + errno.EINVAL
        try:
            # O_NONBLOCK: opening a named pipe must not wait for a writer
            self._fd = os.open(
                self._root + b"/" + key, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            )
            info = os.fstat(self._fd)
        except OSError as error:
            return _status_of(error)
        self.size = info.st_size
        if stat.S_ISDIR(info.st_mode):
            return READ_MISSING
        return READ_OK if stat.S_ISREG(info.st_mode) else READ_ERRNO + errno.EINVAL

    def read(self, target: memoryview, start: int) -> int:
        try:
            while len(target):
                got = os.preadv(self._fd, [target], start)
                if got == 0:
                    return READ_SHORT  # the file shrank since fstat
                target, start = target[got:], start + got
        except OSError as error:
            return _status_of(error)
        return READ_OK

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def _status_of(error: OSError) -> int:
    return READ_MISSING if error.errno in _MISSING else READ_ERRNO + (error.errno or 0)


def _read_one(
    opened: _Opened, start: int, size: int, slab: memoryview, used: int
) -> tuple[int, int, int]:
    """Return status, position (-1 where nothing was allocated) and size."""
    if start < 0:
        start += opened.size
    if start < 0 or start > opened.size:
        return READ_SHORT, -1, -1
    if size < 0:
        size = opened.size - start
    if size > opened.size - start:
        return READ_SHORT, -1, -1
    place = -(-used // SLAB_ALIGN) * SLAB_ALIGN
    if size > len(slab) - place:
        return READ_NO_SPACE, -1, size
    return opened.read(slab[place : place + size], start), place, size


@dataclass(frozen=True, slots=True)
class _View:
    """Items in memory: those that ``key`` picks of ``items``."""

    items: npt.NDArray[Any]
    key: tuple[Any, ...]
    dtype: np.dtype[Any]

    def read(self) -> npt.NDArray[Any]:
        return np.asarray(self.items[self.key])

    def write(self, values: npt.NDArray[Any]) -> None:
        self.items[self.key] = values if self.items.ndim else values.reshape(())


def _positions(
    start: int, count: int, out: int, step: int, pair: tuple[Int64, Int64] | None
) -> tuple[Int64, Int64]:
    if pair is not None:
        return pair[0][start : start + count], pair[1][start : start + count]
    steps = np.arange(count, dtype=np.int64)
    return start + step * steps, out + steps


def _view(
    address: int, positions: list[Int64], strides: list[int], itemsize: int, unit: int
) -> _View:
    """View what lies between the lowest and the highest position of every axis."""
    lows = [int(p.min()) for p in positions]
    spans = [int(p.max()) - low for p, low in zip(positions, lows, strict=True)]
    reach = [span * stride for span, stride in zip(spans, strides, strict=True)]
    below = sum(min(r, 0) for r in reach)
    size = sum(max(r, 0) for r in reach) + itemsize - below
    base = address + sum(low * stride for low, stride in zip(lows, strides, strict=True))
    dtype = np.dtype(f"u{unit}" if unit else f"V{itemsize}")
    units = (itemsize // unit,) if unit else ()
    items: npt.NDArray[Any] = np.ndarray(
        tuple(span + 1 for span in spans) + units, dtype, memory(base + below, size), -below,
        (*strides, *((unit,) if unit else ())),
    )  # fmt: skip
    key = np.ix_(*(p - low for p, low in zip(positions, lows, strict=True))) if positions else ()
    return _View(items, key, dtype)


def _checked(source: memoryview) -> memoryview:
    if len(source) < 4:
        raise formats.FormatError(DecodeStatus.TRUNCATED)
    body = source[:-4]
    if crc32c(body) != int.from_bytes(source[-4:], "little"):
        raise formats.FormatError(DecodeStatus.CHECKSUM)
    return body


def _decode_raw(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    if len(source) != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    target[lo:hi] = source[lo:hi]


def _decode_blosc(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    from numcodecs import blosc

    header = formats.blosc_header(source)
    if header.nbytes != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    if lo >= hi:
        return
    if not header.memcpyed:
        for block in range(header.blocks):
            formats.blosc_block(source, header, block)
    blosc.decompress(source, np.frombuffer(target, np.uint8))


def _decode_zstd(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    del lo, hi
    from numcodecs import zstd

    info = formats.zstd_scan(source)
    if info.status != DecodeStatus.OK:
        raise formats.FormatError(info.status)
    if info.content_size not in (-1, len(target)):
        raise formats.FormatError(DecodeStatus.SIZE)
    parts = [zstd.decompress(source[first:last]) for first, last in info.frames]
    if sum(map(len, parts)) != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    target[:] = b"".join(parts)


def _decode_lz4(source: memoryview, target: memoryview, lo: int, hi: int) -> None:
    del lo, hi
    from numcodecs import lz4

    if len(source) < 4:
        raise formats.FormatError(DecodeStatus.TRUNCATED)
    size = int.from_bytes(source[:4], "little", signed=True)
    if size < 0 or len(source) > 2**31 - 1:
        raise formats.FormatError(DecodeStatus.HEADER)
    if size != len(target):
        raise formats.FormatError(DecodeStatus.SIZE)
    target[:] = lz4.decompress(source)


_DECODERS = {"raw": _decode_raw, "blosc": _decode_blosc, "zstd": _decode_zstd, "lz4": _decode_lz4}
