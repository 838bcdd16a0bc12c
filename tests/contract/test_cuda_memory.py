"""Memory of the emulated device while it is short: who gives it back, and when."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import Any

import numcodecs.zstd
import numpy as np
import pytest

from cuzarr.cuda.decoder import Prepared, WaveDecoder
from cuzarr.cuda.memory import Keeper
from tests.contract.cuda_cases import Stored, emulated_backend, noise
from tests.contract.test_cuda_decode import LITTLE, ZSTD, zstd_two_frames


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spare", [1 << 17, 1 << 18])
def test_a_wave_that_waits_gives_its_upload_back(
    seed: int, spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waves that the host has a share of wait for the next, which may have their memory."""
    count = itertools.count()

    def encode(chunk: np.ndarray[Any, Any]) -> bytes:
        usual = next(count) % 4 < 3
        packed = numcodecs.zstd.compress(chunk.tobytes(), 3)
        return bytes(packed) if usual else zstd_two_frames(chunk)

    given: list[bool] = []
    give = WaveDecoder.take_back_uploads

    def noted(decoder: WaveDecoder) -> None:
        waiting = [one for one in decoder._pending if isinstance(one, Prepared)]
        given.extend(one.upload is not None for one in waiting)
        give(decoder)
        assert [one.upload for one in waiting] == [None] * len(waiting)

    monkeypatch.setattr(WaveDecoder, "take_back_uploads", noted)
    stored = Stored(noise((512, 512), "f4"), (64, 64), [LITTLE, ZSTD]).encode_all(encode)
    backend = emulated_backend(seed, capacity=stored.data.nbytes + spare, slab_bytes=1 << 17)
    np.testing.assert_array_equal(stored.read(backend), stored.data)
    assert any(given)
    gc.collect()
    backend.runtime.close()


def test_memory_is_kept_no_longer_than_its_event() -> None:
    runtime = emulated_backend().runtime
    keeper, stream = Keeper(runtime), runtime.new_stream()
    things = [np.zeros(1) for _ in range(2)]
    held = [weakref.ref(thing) for thing in things]
    first = runtime.record(stream)
    keeper.keep(first, things.pop(0))
    runtime.wait_event(first)
    keeper.keep(runtime.record(stream), things.pop(0))
    assert [ref() is None for ref in held] == [True, False]
    keeper.wait()
    assert held[1]() is None
    runtime.close()
