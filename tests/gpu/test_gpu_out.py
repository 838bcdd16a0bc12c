"""``out=`` with the memory of torch and CuPy: their streams are not ours."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cuzarr
from tests.contract.test_devices import data, same_bits
from tests.devices import use_device

pytestmark = pytest.mark.gpu

WINDOW = np.s_[3:33, 5:45]
EXPECTED = data("f4")[WINDOW]


@pytest.fixture(params=["device", "small"])
def array(request: pytest.FixtureRequest) -> Iterator[Any]:
    with use_device("cuda") as device:
        small = {"cuda.small_bytes": 1 << 20} if request.param == "small" else {}
        with cuzarr.config.set(small):
            yield cuzarr.create_array(None, data=data("f4"), chunks=(16, 20), device=device)


@pytest.fixture
def torch() -> Any:
    found = pytest.importorskip("torch")
    if not found.cuda.is_available():
        pytest.skip("torch without CUDA")
    return found


def test_torch_on_a_busy_stream(array: Any, torch: Any) -> None:
    """What torch has queued on the memory runs before, what it queues then runs after."""
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(10):
            busy = torch.ones(1 << 26, device="cuda")
            out = torch.empty(EXPECTED.shape, device="cuda")
            for _ in range(20):
                busy *= 1.0001
            out.fill_(-1)
            assert array.get_basic_selection(WINDOW, out=out) is out
            same_bits((out * 2).cpu().numpy(), EXPECTED * 2)


def test_torch_views(array: Any, torch: Any) -> None:
    whole = torch.full((90, 60), -7.0, device="cuda")
    out = whole.T[::2, 10:90:2]
    assert out.shape == EXPECTED.shape
    array.get_basic_selection(WINDOW, out=out)
    same_bits(out.cpu().numpy(), EXPECTED)
    assert int((whole == -7).sum()) == whole.numel() - EXPECTED.size
    boxes = torch.empty((2, 4, 5), device="cuda")
    array.boxes([[0, 0], [30, 41]], (4, 5), out=boxes)
    same_bits(boxes.cpu().numpy(), np.stack([data("f4")[:4, :5], data("f4")[30:34, 41:46]]))


def test_torch_that_cannot_be_filled(array: Any, torch: Any) -> None:
    with pytest.raises(TypeError, match="out cannot be filled: .*grad"):
        array.get_basic_selection(
            WINDOW, out=torch.zeros((30, 40), device="cuda", requires_grad=True)
        )
    with pytest.raises(TypeError, match="must be an array on cuda:0, not Tensor"):
        array.get_basic_selection(WINDOW, out=torch.zeros((30, 40)))
    with pytest.raises(cuzarr.errors.ShapeMismatchError, match="float64"):
        array.get_basic_selection(
            WINDOW, out=torch.zeros((30, 40), dtype=torch.float64, device="cuda")
        )


def test_the_cuda_array_interface_with_a_stream(array: Any) -> None:
    cupy = pytest.importorskip("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        busy = cupy.ones(1 << 26, "f4")
        for _ in range(20):
            busy *= np.float32(1.0001)
        memory = cupy.full(EXPECTED.shape, -1, "f4")
    described = {**memory.__cuda_array_interface__, "version": 3, "stream": stream.ptr}
    out = SimpleNamespace(__cuda_array_interface__=described)
    assert array.get_basic_selection(WINDOW, out=out) is out
    with stream:
        same_bits(cupy.asnumpy(memory * 2), EXPECTED * 2)
    out.__cuda_array_interface__ = {**described, "data": (described["data"][0], True)}
    with pytest.raises(ValueError, match="read-only"):
        array.get_basic_selection(WINDOW, out=out)


def test_cupy_views(array: Any) -> None:
    cupy = pytest.importorskip("cupy")
    out = cupy.full((60, 90), -7, "f4")[::-2, 10:90:2]
    assert array.get_basic_selection(WINDOW, out=out) is out
    same_bits(cupy.asnumpy(out), EXPECTED)
    points = cupy.zeros((3, 8), "f4")[:, ::2]
    rows, columns = np.arange(12).reshape(3, 4), np.arange(12, 24).reshape(3, 4)
    array.get_coordinate_selection((rows, columns), out=points)
    same_bits(cupy.asnumpy(points), data("f4")[rows, columns])
    with pytest.raises(ValueError, match="out is broadcast"):
        array.get_basic_selection(WINDOW, out=cupy.broadcast_to(cupy.zeros(40, "f4"), (30, 40)))
