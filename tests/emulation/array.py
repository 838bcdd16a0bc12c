"""An array of the emulated device: the host sees shape and strides, never the elements."""

from __future__ import annotations

import math
from types import EllipsisType
from typing import Any, NoReturn

import numpy as np

from tests.emulation.device import EmulationError


class HostAccessError(EmulationError, TypeError):
    """Host code read a device array as if it were host memory."""


class EmulatedArray:
    """A view of device memory.

    Parameters
    ----------
    runtime : EmulatedRuntime
    buffer : DeviceBuffer
        Kept alive by the view.
    ptr : int
    shape, strides : tuple of int
    dtype : numpy.dtype
    """

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, runtime: Any, buffer: Any, ptr: int, shape: tuple[int, ...],
                 strides: tuple[int, ...], dtype: np.dtype[Any]) -> None:  # fmt: skip
        self.runtime, self.buffer, self.ptr = runtime, buffer, ptr
        self.shape, self.strides, self.dtype = shape, strides, dtype

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.runtime.number  # kDLCUDA

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def T(self) -> EmulatedArray:
        return self.transpose()

    @property
    def c_contiguous(self) -> bool:
        return self._model().flags.c_contiguous

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return self.shape[0]

    def reshape(self, *shape: Any) -> EmulatedArray:
        """Return a view of another shape; an error where that needs a copy."""
        wanted = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        new = tuple(int(n) for n in wanted)
        if -1 in new:
            rest = math.prod(n for n in new if n != -1)
            new = tuple(self.size // rest if n == -1 else n for n in new)
        if math.prod(new) != self.size:
            raise ValueError(f"cannot reshape {self.shape} into {new}")
        kept = [(n, stride) for n, stride in zip(self.shape, self.strides, strict=True) if n != 1]
        if self.c_contiguous:
            strides = c_strides(new, self.itemsize)
        elif [n for n in new if n != 1] == [n for n, _ in kept]:
            left = iter(kept)
            strides = tuple(self.itemsize if n == 1 else next(left)[1] for n in new)
        else:
            raise ValueError("reshape of a device array would need a copy")
        return EmulatedArray(self.runtime, self.buffer, self.ptr, new, strides, self.dtype)

    def transpose(self, *axes: Any) -> EmulatedArray:
        """Return a view with its axes permuted."""
        model = self._model()
        return self._like(model, model.transpose(*axes))

    def __getitem__(self, key: Any) -> EmulatedArray:
        """Return a view: integers, slices, an ellipsis and new axes."""
        parts = key if isinstance(key, tuple) else (key,)
        basic = int | slice | np.integer | EllipsisType | None
        if not all(isinstance(p, basic) for p in parts):
            raise TypeError("the emulated array has no fancy indexing")
        full = parts if any(p is Ellipsis for p in parts) else (*parts, Ellipsis)
        model = self._model()
        return self._like(model, model[full])

    def __repr__(self) -> str:
        return f"<device array {self.shape} {self.dtype} on {self.runtime.name}>"

    def _model(self) -> np.ndarray[Any, Any]:
        """Return an array of the same geometry over one element of nothing, never read."""
        return np.lib.stride_tricks.as_strided(
            np.empty(1, self.dtype), self.shape, self.strides, writeable=False
        )

    def _like(self, model: np.ndarray[Any, Any], view: np.ndarray[Any, Any]) -> EmulatedArray:
        moved = view.__array_interface__["data"][0] - model.__array_interface__["data"][0]
        return EmulatedArray(
            self.runtime, self.buffer, self.ptr + moved, view.shape, view.strides, self.dtype
        )

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise HostAccessError(
            "host code tried to read or write a device array; use runtime.to_host or a kernel"
        )

    __array__ = __iter__ = __bool__ = __int__ = __float__ = __complex__ = __index__ = _refuse
    __setitem__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __contains__ = item = tolist = tobytes = __buffer__ = _refuse


def c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides in bytes of a C-contiguous array."""
    strides = [itemsize] * len(shape)
    for a in range(len(shape) - 2, -1, -1):
        strides[a] = strides[a + 1] * shape[a + 1]
    return tuple(strides)
