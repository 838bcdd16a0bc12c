"""``out=``: memory of the caller, of any library, filled in place."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import cuda, errors
from cuzarr.cuda.exchange import is_read_only
from cuzarr.host.backend import HostBackend
from tests.contract.test_devices import data, same_bits
from tests.devices import to_numpy, use_device
from tests.emulation.runtime import EmulatedRuntime

WINDOW = np.s_[3:33, 5:45]
EXPECTED = data("f4")[WINDOW]


class Foreign:
    """An array of another library in emulated memory, which that library uses on its own stream."""

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: str,
        *,
        writable: bool = True,
        view: Any = ...,
        **more: Any,
    ) -> None:
        runtime = cuda.open_backend(0).runtime
        assert isinstance(runtime, EmulatedRuntime)
        self.runtime, self.stream = runtime, runtime.new_stream()
        whole = runtime.empty(shape, np.dtype(dtype))
        runtime.stream_wait(self.stream, runtime.record(runtime.caller_stream()))
        runtime.memset(whole.ptr, 0x11, whole.nbytes, self.stream)  # still queued
        self.whole, self.array = whole, whole[view]
        self.__cuda_array_interface__ = {
            "shape": self.array.shape, "typestr": self.array.dtype.str, "version": 3,
            "data": (self.array.ptr, not writable), "strides": self.array.strides,
            "stream": self.stream.number, **more,
        }  # fmt: skip

    def to_host(self) -> np.ndarray[Any, Any]:
        """Return the whole memory as the library sees it, on its stream."""
        whole = self.whole
        raw = self.runtime.read(whole.ptr, whole.nbytes, self.stream)
        return raw.view(whole.dtype).reshape(whole.shape)


@pytest.fixture(params=["device", "small"])
def emulated(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An array on the emulated device; small reads are left to the host, or not."""
    options: dict[str, Any] = {"host": HostBackend()} if request.param == "small" else {}
    with use_device("emulated", seed=3, **options) as device:
        yield cuzarr.create_array(None, data=data("f4"), chunks=(16, 20), device=device)


def test_memory_of_another_library(emulated: Any) -> None:
    out = Foreign(EXPECTED.shape, "f4")
    assert emulated.get_basic_selection(WINDOW, out=out) is out
    same_bits(out.to_host(), EXPECTED)
    boxes = Foreign((2, 4, 5), "f4")
    emulated.boxes([[0, 0], [30, 41]], (4, 5), out=boxes)
    same_bits(boxes.to_host(), np.stack([data("f4")[:4, :5], data("f4")[30:34, 41:46]]))


def test_what_libraries_say_of_their_memory() -> None:
    class Older:
        """One whose capsule is that of DLPack before 1.0, which has no flags."""

        def __dlpack__(self, **_: Any) -> Any:
            return np.arange(3).__dlpack__()

    class Refusing:
        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("no")

    fixed = np.arange(3)
    fixed.setflags(write=False)
    assert is_read_only(fixed)
    for value in (np.arange(3), Older(), Refusing(), object()):
        assert not is_read_only(value)


def test_views(emulated: Any) -> None:
    """The gaps stay as they were."""
    out = Foreign((60, 90), "f4", view=np.s_[::-2, 10:90:2])
    emulated.get_basic_selection(WINDOW, out=out)
    whole = out.to_host()
    same_bits(whole[::-2, 10:90:2], EXPECTED)
    gaps = np.ones(whole.shape, np.bool_)
    gaps[::-2, 10:90:2] = False
    assert (whole[gaps].view("u4") == 0x11111111).all()
    row = Foreign((50,), "f4")
    emulated.get_basic_selection(7, out=row)
    same_bits(row.to_host(), data("f4")[7])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Foreign((30, 41), "f4"), errors.ShapeMismatchError, r"\(30, 41\) and .*float32"),
        (lambda: Foreign((30, 40), "f8"), errors.ShapeMismatchError, "float64"),
        (lambda: Foreign((30, 40), "f4", writable=False), ValueError, "out is read-only"),
        (lambda: Foreign((30, 40), "f4", strides=(0, 4)), ValueError, "out is broadcast"),
        (lambda: np.empty((30, 40), "f4"), TypeError, "must be an array on cuda:0, not ndarray"),
        (lambda: [1, 2], TypeError, "must be an array on cuda:0, not list"),
    ],
    ids=["shape", "dtype", "read-only", "broadcast", "host", "list"],
)  # fmt: skip
def test_what_cannot_be_filled(emulated: Any, make: Any, error: Any, match: str) -> None:
    out = make()
    with pytest.raises(error, match=match):
        emulated.get_basic_selection(WINDOW, out=out)
    if isinstance(out, Foreign):
        out.to_host()  # waits for its library, which nothing else does


def test_an_array_of_another_device(emulated: Any) -> None:
    with EmulatedRuntime(number=1) as other:
        out = other.empty((30, 40), np.dtype("f4"))
        with pytest.raises(ValueError, match="out is on cuda:1, the array on cuda:0"):
            emulated.get_basic_selection(WINDOW, out=out)
        del out


# ---- on the host


@pytest.fixture
def host() -> Any:
    return cuzarr.create_array(None, data=data("f4"), chunks=(16, 20), device="cpu")


@pytest.mark.parametrize("view", [np.s_[:], np.s_[::-1, ::-1], np.s_[::3]], ids=str)
def test_numpy_views(host: Any, view: Any) -> None:
    whole = np.zeros((111, 50), "f4") if view == np.s_[::3] else np.zeros((37, 50), "f4")
    out = whole[view]
    assert host.get_basic_selection(..., out=out) is out
    same_bits(out, data("f4"))


def test_points_into_a_view(host: Any) -> None:
    out = np.zeros((3, 8), "f4")[:, ::2]
    rows, columns = np.arange(12).reshape(3, 4), np.arange(12, 24).reshape(3, 4)
    assert host.get_coordinate_selection((rows, columns), out=out) is out
    same_bits(out, data("f4")[rows, columns])


def test_a_cast_view(host: Any) -> None:
    out = np.zeros((30, 40), "f8")
    assert host.astype("f8").get_basic_selection(WINDOW, out=out) is out
    same_bits(out, EXPECTED.astype("f8"))
    with pytest.raises(errors.ShapeMismatchError, match="float32"):
        host.astype("f8").get_basic_selection(WINDOW, out=np.zeros((30, 40), "f4"))


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_torch_tensors_on_the_host(host: Any) -> None:
    import torch

    out = torch.zeros((40, 30)).T
    assert host.get_basic_selection(WINDOW, out=out) is out
    same_bits(out.numpy(), EXPECTED)
    with pytest.raises(TypeError, match="out cannot be filled: .*requires? grad"):
        host.get_basic_selection(WINDOW, out=torch.zeros((30, 40), requires_grad=True))
    with pytest.raises(errors.ShapeMismatchError, match="float64"):
        host.get_basic_selection(WINDOW, out=torch.zeros((30, 40), dtype=torch.float64))


def test_what_cannot_be_filled_on_the_host(host: Any) -> None:
    out = np.zeros((30, 40), "f4")
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        host.get_basic_selection(WINDOW, out=out)
    with pytest.raises(TypeError, match="must be an array on cpu, not list"):
        host.get_basic_selection(WINDOW, out=[1])
    overlapping = np.lib.stride_tricks.as_strided(np.zeros(40, "f4"), (30, 40), (0, 4))
    with pytest.raises(ValueError, match="out is broadcast"):
        host.get_basic_selection(WINDOW, out=overlapping)


def test_memory_that_is_used_again(device_kind: str) -> None:
    with use_device(device_kind) as device:
        z = cuzarr.create_array(None, data=data("f4"), chunks=(16, 20), device=device)
        out = z[:10]
        for first in (10, 20, 5):
            assert z.get_basic_selection(np.s_[first : first + 10], out=out) is out
            same_bits(to_numpy(out), data("f4")[first : first + 10])
