"""``zstd_compress``: the extension and its twin against numcodecs, and from many threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numcodecs
import numpy as np
import pytest

from cuzarr.native.calls import Calls
from cuzarr.native.symbols import Functions, find_functions
from tests.contract.native_cases import NATIVE, both

try:
    from backports import zstd
except ImportError:  # Python 3.14 and later
    zstd = None

SIZES = (0, 1, 100, 70_000, 1 << 20)


def noisy(size: int, seed: int = 0) -> bytes:
    """Return bytes that compress about two to one."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 4, size).astype(np.int8)).tobytes()


def frame(calls: Calls, data: bytes, level: int, *, checksum: bool = False) -> bytes:
    """Return what the library of the twin, or the newer one that the extension finds, makes."""
    if calls is NATIVE and zstd is not None:
        options = {
            zstd.CompressionParameter.compression_level: level,
            zstd.CompressionParameter.checksum_flag: checksum,
        }
        return bytes(zstd.compress(data, options=options))
    return bytes(numcodecs.zstd.compress(data, level, checksum))


@both
@pytest.mark.parametrize("checksum", [False, True])
def test_frames_equal_those_of_the_library(calls: Calls, checksum: bool) -> None:
    """Levels and sizes change from call to call: nothing of the last one may remain."""
    for level in (3, -7, 0, 9, 1, 3):
        for size in SIZES:
            data = noisy(size, level % 5)
            found = calls.zstd_compress(data, level, checksum=checksum)
            assert found == frame(calls, data, level, checksum=checksum)
            assert size == 0 or numcodecs.zstd.decompress(found) == data


@both
def test_a_large_context_does_not_stay(calls: Calls) -> None:
    data = noisy(17 << 20)
    assert numcodecs.zstd.decompress(calls.zstd_compress(data, 1)) == data  # much room
    part = data[:100_000]
    assert calls.zstd_compress(part, 19) == frame(calls, part, 19)
    assert calls.zstd_compress(part, 1) == frame(calls, part, 1)


@both
def test_threads_have_contexts_of_their_own(calls: Calls) -> None:
    parts = [noisy(50_000 + 1000 * k, k) for k in range(40)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda part: calls.zstd_compress(part, 3), parts))
    assert found == [frame(calls, part, 3) for part in parts]


@both
def test_any_contiguous_buffer_is_taken(calls: Calls) -> None:
    array = np.arange(5000, dtype=">u4").reshape(50, 100)
    expected = frame(calls, array.tobytes(), 3)
    assert calls.zstd_compress(array, 3) == expected
    assert calls.zstd_compress(memoryview(bytearray(array.tobytes())), 3) == expected
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        calls.zstd_compress(array[:, ::2], 3)


@pytest.mark.skipif(NATIVE is None, reason="the C extension was not built")
def test_without_the_functions_numcodecs_compresses() -> None:
    assert NATIVE is not None
    found = find_functions()
    data = noisy(1000)
    try:
        NATIVE._do.set_codecs(*found.addresses()[:10])
        assert NATIVE._do.zstd_compress(data, 3, False) is None
        assert NATIVE.zstd_compress(data, 3) == bytes(numcodecs.zstd.compress(data, 3, False))
    finally:
        NATIVE._do.set_codecs(*found.addresses())
    assert NATIVE._do.zstd_compress(data, 3, False) is not None
    assert Functions().codecs == {"raw"}
