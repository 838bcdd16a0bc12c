"""Array-to-array codecs as steps of a device, in the order of decoding.

1. What works element by element becomes one :class:`Program` for ``filter_elements``; neighbours
   share one (``kernels/filters.cu``). Transposes are strides, hence no step.
2. Delta of integers is a :class:`Delta`, a sum over the chunk (``kernels/delta.cu``).
3. Quantize and bitround change nothing when they decode; their types may.

The bits are those of the codecs on the host. What these leave to the compiler (floats cast to
integers by NumPy), or calculate in an order of their own (sums of floats), stays there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cuzarr.codecs.base import ArrayArrayCodec, ChunkType
from cuzarr.codecs.bytes import BytesCodec
from cuzarr.codecs.cast_value import CastValueCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.numcodecs_adapter import NumcodecsArrayCodec
from cuzarr.codecs.scale_offset import ScaleOffsetCodec
from cuzarr.codecs.stacked import StackedChain
from cuzarr.codecs.transpose import TransposeCodec
from cuzarr.cuda.rows import ChunkLayout, c_strides, swap_unit

DType = np.dtype[Any]

#: Number of a type in ``kernels/elements.cuh``.
TYPES: Final = {
    name: number
    for number, name in enumerate(
        ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
    )
}
_CAST, _UNSCALE, _UNSCALE_WHOLE, _CAST_VALUE = 1, 2, 3, 4
_ROUNDINGS = ("nearest-even", "towards-zero", "towards-positive", "towards-negative",
              "nearest-away")  # fmt: skip
_OUTSIDE = ("error", "clamp", "wrap")
with np.errstate(invalid="ignore"):
    #: What the host's arithmetic gives for what is undefined: its sign differs between CPUs.
    _NAN = float(np.subtract(np.array([np.inf]), np.inf)[0])


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a program.

    Attributes
    ----------
    before, after : numpy.dtype
    parameters : tuple of int
        Four words, as the kernel wants them.
    pairs : tuple of (int, int)
        Of a scalar map.
    """

    code: int
    before: DType
    after: DType
    parameters: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """Operations on each element; ``swap``: the elements come in foreign byte order."""

    operations: tuple[Operation, ...]
    swap: bool

    @property
    def after(self) -> DType:
        """Type of the results."""
        return self.operations[-1].after

    def words(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the program for the kernel."""
        steps, pairs = [], []
        for operation in self.operations:
            parameters = (*operation.parameters, 0, 0, 0, 0)[:4]
            steps.append((
                operation.code, TYPES[_name(operation.before)], TYPES[_name(operation.after)],
                *parameters, len(operation.pairs),
            ))  # fmt: skip
            pairs += [word for pair in operation.pairs for word in pair]
        flat = [word for step in steps for word in step] + pairs
        return np.array([word % 2**64 for word in flat], np.uint64).view(np.int64)


@dataclass(frozen=True, slots=True)
class Delta:
    """Differences of integers."""

    before: DType
    after: DType
    swap: bool


ElementStep = Program | Delta
Elements = tuple[tuple[ElementStep, ...], ChunkLayout]


def element_steps(chain: CodecChain) -> Elements | str:
    """Return the steps of a chain and the layout that they lead to, or why there are none."""
    if chain.layout is not None:
        layout = chain.layout
        swap = swap_unit(layout.dtype)
        return (), ChunkLayout(layout.shape, layout.strides, layout.nbytes, swap)
    try:
        return _Walk(chain).result()
    except _NoStepError as error:
        return str(error)


class _NoStepError(Exception):
    """A device cannot take a codec; says which, and why if that is not plain."""


class _Walk:
    """The array codecs of a chain, in the order of decoding."""

    def __init__(self, chain: CodecChain) -> None:
        self._chain = chain
        serialized = chain.serialized
        if not isinstance(chain.serializer, BytesCodec):
            raise _NoStepError(f"no device step for {chain.serializer.name}")
        self._dtype = serialized.dtype.newbyteorder("=")
        if _name(self._dtype) not in TYPES:
            raise _NoStepError(f"no device step for elements of type {serialized.dtype}")
        self._swap = swap_unit(chain.serializer.stored_dtype(serialized.dtype)) != 0
        self._steps: list[ElementStep] = []
        self._turns: list[tuple[int, ...]] = []

    def result(self) -> Elements:
        chain = self._chain
        for codec, decoded in reversed(chain.array_codecs):
            self._take(codec, decoded)
        chunk = chain.chunk
        strides = c_strides(chain.serialized.shape, chunk.dtype.itemsize)
        for order in self._turns:
            strides = tuple(strides[i] for i in np.argsort(order))
        if isinstance(chain, StackedChain):
            strides = (0, *strides)
        swap = self._dtype.itemsize if self._swap else 0
        return tuple(self._steps), ChunkLayout(chunk.shape, strides, chunk.nbytes, swap)

    def _take(self, codec: ArrayArrayCodec, decoded: ChunkType) -> None:
        if isinstance(codec, TransposeCodec):
            self._turns.append(tuple(codec.order))
        elif isinstance(codec, NumcodecsArrayCodec) and codec.codec_id == "delta":
            self._take_delta(codec, decoded)
        else:
            before, after = self._dtype, decoded.dtype.newbyteorder("=")
            if _name(after) not in TYPES:
                raise _NoStepError(f"no device step for elements of type {decoded.dtype}")
            if isinstance(codec, NumcodecsArrayCodec) and codec.codec_id in _NUMCODECS:
                _check_types(codec, _NUMCODECS[codec.codec_id], decoded.dtype)
            for operation in _operations(codec, before, after):
                self._add(operation)
        self._dtype = decoded.dtype.newbyteorder("=")

    def _take_delta(self, codec: NumcodecsArrayCodec, decoded: ChunkType) -> None:
        _check_types(codec, "dtype", decoded.dtype)
        # Of uint64 and a signed type NumPy adds doubles.
        kinds = self._dtype.kind, np.result_type(self._dtype, decoded.dtype).kind
        if not set(kinds) <= set("iu"):
            raise _NoStepError(f"no device step for {codec.name} of {decoded.dtype}")
        if self._turns:
            raise _NoStepError(f"no device step for {codec.name} in front of a transpose")
        after = decoded.dtype.newbyteorder("=")
        self._steps.append(Delta(self._dtype, after, self._swap))
        self._swap = False

    def _add(self, operation: Operation) -> None:
        if self._steps and isinstance(self._steps[-1], Program):
            before = self._steps[-1]
            self._steps[-1] = Program((*before.operations, operation), before.swap)
        else:
            self._steps.append(Program((operation,), self._swap))
            self._swap = False


def _operations(codec: ArrayArrayCodec, before: DType, after: DType) -> Sequence[Operation]:
    """Return what decodes an element-by-element codec."""
    if isinstance(codec, ScaleOffsetCodec):
        return _scale_offset(codec, after)
    if isinstance(codec, CastValueCodec):
        return [_cast_value(codec, before, after)]
    if isinstance(codec, NumcodecsArrayCodec) and codec.codec_id in _NUMCODECS:
        if codec.codec_id == "fixedscaleoffset":
            return _fixed_scale_offset(codec, before, after)
        return _cast(codec, before, after)
    raise _NoStepError(f"no device step for {codec.name}")


#: Attribute that holds the decoded type, if there is one.
_NUMCODECS = {
    "astype": "decode_dtype", "bitround": "", "fixedscaleoffset": "dtype", "quantize": "dtype",
}  # fmt: skip


def _cast(codec: ArrayArrayCodec, before: DType, after: DType) -> list[Operation]:
    if before == after:
        return []
    if before.kind == "f" and after.kind in "iu":
        raise _NoStepError(f"no device step for {codec.name} of {before} to {after}")
    return [Operation(_CAST, before, after)]


def _fixed_scale_offset(codec: NumcodecsArrayCodec, before: DType, after: DType) -> list[Operation]:
    scale, offset = codec.inner.scale, codec.inner.offset
    try:  # NumPy chooses the type
        with np.errstate(all="ignore"):
            quotient = np.ones(1, before) / scale
            kind, other = quotient.dtype, (quotient + offset).dtype
            numbers = [kind.type(scale), kind.type(offset)]
    except (TypeError, ValueError, OverflowError) as error:
        raise _NoStepError(f"no device step for {codec.name}: {error}") from error
    if kind != other or kind not in _FLOATS or not np.isfinite(numbers).all():
        raise _NoStepError(f"no device step for {codec.name} in {other}")
    unscale = Operation(_UNSCALE, kind, kind, (*map(_bits, numbers), _bits(_NAN)))
    return [*_cast(codec, before, kind), unscale, *_cast(codec, kind, after)]


_FLOATS = (np.float16, np.float32, np.float64)


def _scale_offset(codec: ScaleOffsetCodec, dtype: DType) -> list[Operation]:
    offset, scale = codec.scalars(dtype)
    if dtype.kind in "iu":
        return [Operation(_UNSCALE_WHOLE, dtype, dtype, (int(scale), int(offset)))]
    if np.isnan(offset) or np.isnan(scale):
        raise _NoStepError(f"no device step for {codec.name} with NaN")
    return [Operation(_UNSCALE, dtype, dtype, (_bits(scale), _bits(offset), _bits(_NAN)))]


def _cast_value(codec: CastValueCodec, before: DType, after: DType) -> Operation:
    rounding, outside = _ROUNDINGS.index(codec.rounding), _OUTSIDE.index(codec.out_of_range)
    if after.kind == "f":
        if rounding and not np.can_cast(before, after, "safe"):
            raise _NoStepError(f"no device step for {codec.name} that rounds {codec.rounding}")
        outside = min(outside, 1) if codec.out_of_range != "wrap" else 0
    pairs = tuple(
        (_word(key, before), _word(value, after)) for key, value in codec.decode_pairs(after)
    )
    return Operation(_CAST_VALUE, before, after, (rounding, outside), pairs)


def _check_types(codec: NumcodecsArrayCodec, attribute: str, decoded: DType) -> None:
    """Refuse a configuration whose types are not those of the chunk: numcodecs reinterprets."""
    if attribute and np.dtype(getattr(codec.inner, attribute)) != decoded:
        raise _NoStepError(f"no device step for {codec.name} of other types than the chunk's")


def _word(value: Any, dtype: DType) -> int:
    return _bits(value) if dtype.kind == "f" else int(value)


def _bits(value: Any) -> int:
    """Return the bits of a float as a double."""
    return int(np.float64(value).view(np.uint64))


def _name(dtype: DType) -> str:
    return f"{dtype.kind}{dtype.itemsize}"
