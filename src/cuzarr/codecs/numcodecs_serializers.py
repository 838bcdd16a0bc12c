"""numcodecs codecs that make bytes of an array: objects (json2, msgpack2...), pcodec, zfpy.

1. Objects that a chunk itself describes (its shape and data type stand in it) are put together
   here, after these have been checked: numcodecs would allocate whatever a damaged chunk asks for.
2. ``pickle`` can run any code, so it is decoded only where ``cuzarr.config`` says ``allow_pickle``.
3. A codec that is not known here is given the array, as Zarr v2 does with its filters.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayBytesCodec, Bytes, ChunkType
from cuzarr.codecs.numcodecs_adapter import NumcodecsCodec, as_bytes
from cuzarr.config import config as settings

_COUNT_BYTES = 4


@dataclass(frozen=True)
class NumcodecsSerializer(NumcodecsCodec, ArrayBytesCodec):
    """A numcodecs codec that is given arrays."""

    config: Mapping[str, Any]

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        return cls(cls.checked(configuration))

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> Bytes:
        """Encode the array, in C order."""
        elements = array.astype(object) if array.dtype.kind == "T" else array
        return as_bytes(self.inner.encode(np.asarray(elements, order="C")))

    def decode(self, data: Bytes, chunk: ChunkType) -> npt.NDArray[Any]:
        """Decode to an array of the chunk's shape and data type."""
        return fit_elements(self.elements(data, chunk), chunk)

    def elements(self, data: Bytes, chunk: ChunkType) -> Any:
        """Return the decoded elements, in any shape."""
        try:
            return self.inner.decode(np.frombuffer(data, np.uint8))
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of a codec written in Rust
                raise
            raise ValueError(str(error)) from error


class JsonCodec(NumcodecsSerializer):
    """``json2``: a JSON list of the elements, their data type and their shape."""

    def elements(self, data: Bytes, chunk: ChunkType) -> Any:
        """Return the decoded elements."""
        text = bytes(data).decode(self.config.get("encoding", "utf-8"))
        try:
            items = json.loads(text, strict=bool(self.config.get("strict", True)))
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return described_elements(items, chunk)


class MsgpackCodec(NumcodecsSerializer):
    """``msgpack2``: the same as MessagePack."""

    def elements(self, data: Bytes, chunk: ChunkType) -> Any:
        """Return the decoded elements."""
        import msgpack  # noqa: PLC0415  # optional; numcodecs has the codec only with it

        raw = bool(self.config.get("raw", False))
        items = msgpack.unpackb(bytes(data), raw=raw)
        return described_elements(items, chunk)


class PickleCodec(NumcodecsSerializer):
    """``pickle``: a pickled array."""

    def elements(self, data: Bytes, chunk: ChunkType) -> Any:
        """Unpickle, if that is allowed."""
        # "is": an environment variable that says "no" is a string, and true.
        if settings.get("allow_pickle") is not True:
            raise ValueError(
                "a pickle can run any code when it is read: if you trust whoever wrote the data, "
                "allow it by cuzarr.config.set({'allow_pickle': True})"
            )
        return pickle.loads(data)  # noqa: S301  # the user allowed it


class VlenArrayCodec(NumcodecsSerializer):
    """``vlen-array``: one-dimensional arrays of different lengths."""

    def elements(self, data: Bytes, chunk: ChunkType) -> Any:
        """Return the decoded arrays."""
        expected = prod(chunk.shape)
        raw = memoryview(data).cast("B")
        count = int.from_bytes(raw[:_COUNT_BYTES], "little")
        if raw.nbytes < _COUNT_BYTES or count != expected:
            raise ValueError(f"expected {expected} elements, the chunk says {count}")
        return self.inner.decode(raw) if count else np.empty(0, object)


class ZfpyCodec(NumcodecsSerializer):
    """``zfpy``: zfp with its header."""

    def elements(self, data: Bytes, chunk: ChunkType) -> Any:
        """Return the decoded elements."""
        import zfpy  # noqa: PLC0415  # optional; numcodecs has the codec only with it

        raw = bytes(data)
        header = zfpy.header(raw)
        size = prod(int(header[f"n{axis}"]) or 1 for axis in "xyzw")
        if size != prod(chunk.shape):
            raise ValueError(f"expected {prod(chunk.shape)} elements, the chunk says {size}")
        # zfp reads on behind bytes that were cut off: let it read zeros.
        return self.inner.decode(raw + bytes(2 * chunk.nbytes + 4096))


SERIALIZERS: dict[str, type[NumcodecsSerializer]] = {
    "json2": JsonCodec,
    "msgpack2": MsgpackCodec,
    "pickle": PickleCodec,
    "vlen-array": VlenArrayCodec,
    "zfpy": ZfpyCodec,
}


def described_elements(items: Any, chunk: ChunkType) -> npt.NDArray[Any]:
    """Return the array of ``[element, ..., dtype, shape]``, as numcodecs lays out json2."""
    if not isinstance(items, list) or len(items) < 2:
        raise ValueError("expected a list of elements, their data type and shape")
    *elements, dtype, shape = items
    lengths = shape if isinstance(shape, list) else [shape]
    good = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in lengths)
    if not good or prod(lengths) != prod(chunk.shape):
        raise ValueError(f"expected {prod(chunk.shape)} elements, the chunk says {shape!r}"[:120])
    if not isinstance(dtype, str):
        raise ValueError(f"{dtype!r} is not a data type"[:120])  # noqa: TRY004
    array = np.empty(tuple(lengths), np.dtype(dtype))
    if lengths:
        if len(elements) != lengths[0]:
            raise ValueError(f"{len(elements)} elements for a first axis of {lengths[0]}")
        if array.size:
            array[...] = _nested(elements, array.ndim) if array.dtype.hasobject else elements
    else:
        array[()] = elements[0]
    return array


def fit_elements(found: Any, chunk: ChunkType) -> npt.NDArray[Any]:
    """Return decoded elements as an array of the chunk's shape and data type."""
    raw = isinstance(found, bytes | bytearray | memoryview)
    array = np.frombuffer(found, np.uint8) if raw else np.asarray(found)
    if array.dtype != chunk.dtype:
        if chunk.dtype.hasobject:
            if array.dtype.kind not in "OUST":
                raise ValueError(f"expected {chunk.dtype}, found {array.dtype} elements")
            array = array.astype(chunk.dtype)
        elif array.dtype.hasobject:
            raise ValueError(f"expected {chunk.dtype}, found objects")
        else:
            array = np.ascontiguousarray(array).reshape(-1).view(chunk.dtype)
    if array.size != prod(chunk.shape):
        raise ValueError(f"expected {prod(chunk.shape)} elements, found {array.size}")
    return array.reshape(chunk.shape)


def _nested(elements: list[Any], depth: int) -> npt.NDArray[Any]:
    """Return nested lists as an object array of ``depth`` dimensions; deeper lists are elements."""
    if depth == 1:
        array = np.empty(len(elements), object)
        array[:] = elements
        return array
    return np.stack([_nested(inner, depth - 1) for inner in elements])
