"""Reads on the emulated device that go wrong: failing stores and devices, bad options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuzarr.cuda.read_pass import raise_first
from cuzarr.engine.batch import Job
from cuzarr.errors import (
    ChecksumError,
    ChunkDecodeError,
    DeviceError,
    StoreError,
)
from cuzarr.storage.base import Status, Values
from cuzarr.storage.memory import MemoryStore
from tests.contract.cuda_cases import Stored, device_backend, emulated_backend, smooth
from tests.contract.test_cuda_decode import LITTLE, ZSTD


class FailingStore(MemoryStore):
    """Answers some keys with a status of its own."""

    status = int(Status.OK)

    def get_many(self, batch: Any) -> Values:
        found = super().get_many(batch)
        statuses = np.where(np.arange(len(batch)) == 2, self.status, found.statuses)
        return Values(found.values, found.sizes, statuses.astype(np.int32))


@pytest.mark.parametrize(("status", "error", "text"), [
    (Status.ERRNO + 13, StoreError, "Permission denied"),
    (Status.SHORT, ChunkDecodeError, "truncated"),
])  # fmt: skip
def test_store_failures_name_the_key(status: int, error: type[Exception], text: str) -> None:
    stored = Stored(smooth((64,), "f4"), (16,), [LITTLE, ZSTD], store=FailingStore()).encode_all()
    stored.store.status = int(status)
    with pytest.raises(error, match=text) as failure:
        stored.read(device_backend())
    assert repr(stored.key((2,))) in str(failure.value)


@pytest.mark.parametrize(("options", "text"), [
    ({"device_decode": "fast"}, "device_decode must be one of checked, trusted, host"),
    ({"placement": {"LZ5": 1}}, "unknown formats"),
])  # fmt: skip
def test_options_are_checked(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        device_backend(1, **options)


def test_a_device_that_fails_while_an_error_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(smooth((64,), "f4"), (16,), [LITTLE, ZSTD], store=FailingStore()).encode_all()
    stored.store.status = int(Status.SHORT)
    backend = emulated_backend()
    steps = backend.begin_read(stored.job(stored.plan()), None)

    def fail(_: Any) -> None:
        raise DeviceError("the device is lost")

    monkeypatch.setattr(backend.runtime, "wait_event", fail)
    steps.abort()  # never raises
    monkeypatch.undo()
    del steps
    backend.runtime.close()


def test_words_of_kernels_become_errors() -> None:
    """A chunk that the device alone finds bad, and a plan that leads outside."""
    stored = Stored(smooth((64,), "f4"), (16,), [LITTLE, ZSTD]).encode_all()
    backend = emulated_backend()
    steps = backend.begin_read(stored.job(stored.plan()), None)
    wave = stored.address.wave(0, stored.plan().rows(0, 4))
    steps.scatter(steps.decode(steps.fetch(wave)))
    none = 2**64 - 1
    job, decoder = stored.job(stored.plan()), steps._decoder
    raise_first(job, decoder, [none, none, none], [])
    with pytest.raises(ChunkDecodeError, match="zstd: on the device: the decoder reported"):
        raise_first(job, decoder, [2, none, none], [])
    with pytest.raises(ChecksumError, match=r"'a/c/1'.*on the device"):
        raise_first(job, decoder, [2, 1, none], [])
    with pytest.raises(DeviceError, match="chunk 3 of the call: the plan reaches outside"):
        raise_first(job, decoder, [none, none, 3], [])
    with pytest.raises(IndexError):
        raise_first(job, decoder, [77, none, none], [])
    steps.finish()
    del steps, decoder
    backend.runtime.close()


@pytest.mark.parametrize("dtype", ["V3", "S4", "M8[s]", np.dtype([("a", "i4")]), np.longdouble])
def test_elements_that_cannot_live_on_a_device(dtype: Any) -> None:
    zero = np.zeros(1, dtype)[0]
    stored = Stored(np.zeros(4, dtype), (2,), [LITTLE], fill_value=zero)
    job = Job(stored.store, stored.chain, stored.plan(), stored.data.dtype, stored.data[0])
    for begin in (lambda b: b.begin_read(job, None), lambda b: b.begin_write(job, 0, True)):
        with pytest.raises(DeviceError, match="cannot be on a device"):
            begin(device_backend())
