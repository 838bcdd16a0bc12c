"""The kernels for blosclz and snappy streams, emulated: valid, damaged and hostile ones."""

from __future__ import annotations

import numcodecs.blosc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cuzarr.codecs.blosc_snappy import decompress_snappy
from tests.contract.blosc_writer import snappy_stream
from tests.emulation.driver import Driver


def decompress(kernel, streams, sizes, seed=0):
    """Return (status, actual, output) of each stream."""
    with Driver(seed) as device:
        sources = [device.put(np.frombuffer(s, "u1"), offset=i % 4) for i, s in enumerate(streams)]
        targets = [device.alloc(n, i % 3) for i, n in enumerate(sizes)]
        n = len(streams)
        actual, statuses = device.filled(8 * n, 0xFF), device.filled(4 * n, 0xFF)
        device.run(
            kernel, 1, device.table(sources, np.uint64),
            device.table([len(s) for s in streams], np.uint64), device.table(sizes, np.uint64),
            actual, n, device.table(targets, np.uint64), statuses,
        )  # fmt: skip
        return list(zip(
            device.get(statuses, n, np.int32).tolist(), device.get(actual, n, np.uint64).tolist(),
            [device.get(t, size).tobytes() for t, size in zip(targets, sizes, strict=True)],
            strict=True,
        ))  # fmt: skip


def blosclz_stream(data: bytes) -> bytes | None:
    """Return the one stream of a Blosc chunk, or None where it is stored raw."""
    packed = bytes(numcodecs.blosc.compress(data, b"blosclz", 9, 0, len(data)))
    if packed[2] & 2 or packed[2] >> 5 != 0:
        return None
    at = int.from_bytes(packed[16:20], "little")
    size = int.from_bytes(packed[at : at + 4], "little")
    return None if size == len(data) else packed[at + 4 : at + 4 + size]


def texts() -> list[bytes]:
    rng = np.random.default_rng(3)
    block = rng.bytes(40)
    far = block + rng.bytes(9000) + block + rng.bytes(30_000) + block * 40
    return [
        bytes(100_000), b"abc" * 20_000, far, bytes(range(256)) * 300,
        np.cumsum(rng.integers(-2, 3, 30_000)).astype("i4").tobytes(),
        rng.integers(0, 3, 50_000, "u1").tobytes(),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_blosclz(seed):
    pairs = [(data, blosclz_stream(data)) for data in texts()]
    pairs = [(data, stream) for data, stream in pairs if stream is not None]
    assert len(pairs) >= 5
    found = decompress(
        "blosclz_decompress", [s for _, s in pairs], [len(d) for d, _ in pairs], seed
    )
    assert found == [(0, len(data), data) for data, _ in pairs]


@pytest.mark.parametrize("seed", range(3))
def test_snappy(seed):
    data = [*texts(), b"", b"x", b"y" * 61, bytes(70)]
    streams = [snappy_stream(text) for text in data]
    found = decompress("snappy_decompress", streams, [len(text) for text in data], seed)
    assert found == [(0, len(text), text) for text in data]


def test_far_matches_of_blosclz():
    """Distance 8192 + 5, which takes sixteen bits behind the largest short one."""
    head = np.random.default_rng(0).bytes(8192 + 5)
    stream = b"".join(
        bytes([len(part) - 1]) + part for part in (head[i : i + 32] for i in range(0, 8197, 32))
    )
    match = bytes([0b111_11111, 10, 255]) + (8197 - 8192).to_bytes(2, "big")
    length = 6 + 10 + 3
    stream += match + b"\x00z"
    expected = head + head[:length] + b"z"
    ((status, actual, found),) = decompress("blosclz_decompress", [stream], [len(expected)])
    assert (status, actual) == (0, len(expected))
    assert found == expected


def oracle(kernel: str, stream: bytes, size: int) -> bytes | None:
    """Return what the host's decoder makes of a stream, or None where it refuses."""
    if kernel == "snappy_decompress":
        try:
            return bytes(decompress_snappy(memoryview(stream), size))
        except ValueError:
            return None
    header = bytes([2, 1, 0x10, 1])
    total = 16 + 4 + 4 + len(stream)
    header += b"".join(n.to_bytes(4, "little") for n in (size, size, total, 20, len(stream)))
    try:
        return bytes(numcodecs.blosc.decompress(header + stream))
    except RuntimeError:
        return None


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["blosclz_decompress", "snappy_decompress"]), st.data())
def test_damaged_streams(kernel, data):
    """The emulation fails on any access outside; the answer is that of the host's decoder."""
    rng = np.random.default_rng(data.draw(st.integers(0, 50)))
    text = rng.integers(0, 4, 700, "u1").tobytes() + b"pq" * 150
    made = blosclz_stream(text) if kernel.startswith("blosclz") else snappy_stream(text)
    stream = bytearray(made or b"")
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(stream), len(stream) - 1, len(stream) // 2, 3]))
    changed = bytes(stream[:cut])
    ((status, actual, found),) = decompress(kernel, [changed], [len(text)])
    expected = oracle(kernel, changed, len(text))
    if status == 0 and actual == len(text):
        assert found == expected
    else:
        assert expected is None
