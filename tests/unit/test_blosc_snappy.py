"""Blosc containers of Snappy streams: every layout, and every kind of damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cuzarr
from cuzarr.codecs.blosc import BloscCodec
from cuzarr.codecs.blosc_snappy import decompress_snappy
from tests.contract.blosc_writer import blosc_container, snappy_stream


def sample(n: int) -> bytes:
    """Return bytes with runs, far repeats and noise."""
    rng = np.random.default_rng(n)
    noise = rng.integers(0, 256, n, np.uint8).tobytes()
    return (b"abc" * 30 + noise[: n // 3] + bytes(n // 3) + noise[: n // 3] + noise)[:n]


@pytest.mark.parametrize("n", [0, 1, 3, 4, 59, 60, 61, 300, 70_000, 200_000])
def test_streams(n: int) -> None:
    data = sample(n)
    assert decompress_snappy(memoryview(snappy_stream(data)), n) == data


@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize(("typesize", "blocksize"), [(1, 512), (4, 4096), (3, 1000), (8, 1024)])
@pytest.mark.parametrize("options", [{}, {"split": False}, {"raw_every": 2}], ids=str)
def test_containers(shuffle: int, typesize: int, blocksize: int, options: dict) -> None:
    data = sample(10_003)
    packed = blosc_container(
        data, typesize=typesize, blocksize=blocksize, shuffle=shuffle, cname="snappy", **options
    )
    assert bytes(BloscCodec().decode(packed, len(data), None)) == data
    for at in range(16, len(packed), 97):
        broken = bytearray(packed)
        broken[at] ^= 0xFF
        try:
            found = BloscCodec().decode(bytes(broken), len(data), None)
        except ValueError:
            continue
        assert memoryview(found).nbytes == len(data)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "truncated"),
        (b"\x80", "truncated"),
        (b"\x05", "expected 4 bytes, the Snappy stream says 5"),
        (b"\x04", "expected 4 bytes, found 0"),
        (b"\x04\x0cab", "truncated Snappy literal"),
        (b"\x04\xf0", "truncated"),
        (b"\x04\x04ab\x01\x03", "from before the start"),
        (b"\x04\x04ab\x01\x00", "from before the start"),
        (b"\x04\x04ab\x0d\x01", "more than the expected 4 bytes"),
        (b"\x04\x04ab\x02\x01", "truncated"),
    ],
)
def test_damaged_streams(stream: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decompress_snappy(memoryview(stream), 4)


def test_containers_in_files(tmp_path: Path) -> None:
    data = np.arange(100, dtype="i4")
    z = cuzarr.create_array(
        str(tmp_path), shape=100, chunks=50, dtype="i4", compressors=[{"name": "blosc"}]
    )
    for i in range(2):
        half = data[50 * i : 50 * i + 50].tobytes()
        packed = blosc_container(half, typesize=4, blocksize=128, cname="snappy")
        z.store.set(f"c/{i}", packed)
    np.testing.assert_array_equal(z[...], data)


def test_a_container_of_no_blocks() -> None:
    header = bytes([2, 1, 0, 1]) + bytes(8) + (16).to_bytes(4, "little")
    with pytest.raises(ValueError, match="expected 4 decoded bytes"):
        BloscCodec().decode(header, 4, None)
    assert memoryview(BloscCodec().decode(header, 0, None)).nbytes == 0
