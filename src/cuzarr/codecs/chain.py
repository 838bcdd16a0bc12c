"""A codec chain bound to a chunk type.

1. :meth:`CodecChain.bind` builds the codecs of a spec and checks that they fit together.
2. ``decode`` and ``encode`` run the whole chain on one chunk on the host: the oracle for every
   faster path.
3. ``layout`` says how the bytes of a decoded chunk lie in memory, where byte codecs alone lead to
   it: transposes are strides and byte order is a dtype, so no pass over the data is spent on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import (
    ArrayArrayCodec,
    ArrayBytesCodec,
    Bytes,
    BytesBytesCodec,
    ChecksumMismatch,
    ChunkType,
    Codec,
    UnplacedCodec,
)
from cuzarr.codecs.bytes import BytesCodec
from cuzarr.codecs.impossible import what_is_impossible
from cuzarr.codecs.registry import build_codec
from cuzarr.codecs.transpose import TransposeCodec
from cuzarr.errors import ChecksumError, ChunkDecodeError, ChunkEncodeError, ChunkError
from cuzarr.meta.spec import CodecSpec

#: Kinds whose byte order every copy swaps; of text and records NumPy knows what to swap.
SWAPPED = "iufcmM"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the elements of a decoded chunk are, in the bytes that the byte codecs give.

    Attributes
    ----------
    shape : tuple of int
        Logical chunk shape.
    strides : tuple of int
        Bytes between neighbours along each logical axis.
    dtype : numpy.dtype
        As stored, byte order included.
    nbytes : int
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int

    def view(self, data: Bytes) -> npt.NDArray[Any]:
        """View decoded bytes as the logical chunk."""
        return np.ndarray(self.shape, self.dtype, buffer=data, strides=self.strides)

    @property
    def c_contiguous(self) -> bool:
        """Whether the logical chunk is C-contiguous in the decoded bytes."""
        expected = self.dtype.itemsize
        for length, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if length != 1 and stride != expected:
                return False
            expected *= length
        return True


@dataclass(frozen=True)
class CodecChain:
    """Codecs in encoding order, bound to a decoded chunk type.

    Attributes
    ----------
    chunk : ChunkType
        The decoded chunk.
    array_codecs : tuple of (ArrayArrayCodec, ChunkType)
        Each with the decoded type that it takes.
    serializer : ArrayBytesCodec
    serialized : ChunkType
        What the serializer takes.
    byte_codecs : tuple of BytesBytesCodec
    layout : Layout or None
        None where the array codecs are more than transposes, or the serializer is not ``bytes``.
    """

    chunk: ChunkType
    array_codecs: tuple[tuple[ArrayArrayCodec, ChunkType], ...]
    serializer: ArrayBytesCodec
    serialized: ChunkType
    byte_codecs: tuple[BytesBytesCodec, ...]
    layout: Layout | None

    @classmethod
    def bind(cls, codecs: Sequence[Codec] | Sequence[CodecSpec], chunk: ChunkType) -> Self:
        """Bind codecs to the type of the decoded chunk; ``ValueError`` if they do not fit."""
        built = [build_codec(c) if isinstance(c, CodecSpec) else c for c in codecs]
        array_codecs: list[tuple[ArrayArrayCodec, ChunkType]] = []
        byte_codecs: list[BytesBytesCodec] = []
        serializer: ArrayBytesCodec | None = None
        current = chunk
        for codec in _placed(built):
            if isinstance(codec, ArrayArrayCodec) and serializer is None:
                array_codecs.append((codec, current))
                current = codec.resolve(current)
            elif isinstance(codec, ArrayBytesCodec) and serializer is None:
                serializer = codec
            elif isinstance(codec, BytesBytesCodec) and serializer is not None:
                byte_codecs.append(codec.for_elements(chunk.dtype))
            else:
                raise ValueError(
                    f"codec {codec.name!r} cannot stand there: a chain is array-to-array codecs, "
                    "exactly one array-to-bytes codec, then bytes-to-bytes codecs"
                )
        if serializer is None:
            raise ValueError("the chain has no array-to-bytes codec, such as 'bytes'")
        layout = _layout(chunk, [codec for codec, _ in array_codecs], serializer, current)
        return cls(chunk, tuple(array_codecs), serializer, current, tuple(byte_codecs), layout)

    @property
    def decoded_size(self) -> int | None:
        """Bytes that the byte codecs decode to, where the metadata tells."""
        return self.serialized.nbytes if isinstance(self.serializer, BytesCodec) else None

    def decode_bytes(
        self, key: str, data: Bytes, out: npt.NDArray[np.uint8] | None = None
    ) -> Bytes:
        """Run the byte codecs; the result is ``out`` itself where one of them could fill it."""
        size = self.decoded_size
        sizes = [size]
        for codec in self.byte_codecs[:-1]:
            sizes.append(None if sizes[-1] is None else codec.encoded_size(sizes[-1]))
        for i, codec in reversed(list(enumerate(self.byte_codecs))):
            try:
                data = codec.decode(data, sizes[i], out if i == 0 else None)
            except ChunkError as error:  # of a chunk within, which does not know the key
                raise type(error)(key, error.codec, error.cause) from error
            except ChecksumMismatch as error:
                raise ChecksumError(key, codec.name, str(error)) from error
            except Exception as error:
                raise ChunkDecodeError(key, codec.name, str(error) or repr(error)) from error
        found = memoryview(data).nbytes
        if size is not None and found != size:
            name = self.byte_codecs[0].name if self.byte_codecs else self.serializer.name
            raise ChunkDecodeError(key, name, f"expected {size} decoded bytes, found {found}")
        return data

    def decode(self, key: str, data: Bytes) -> npt.NDArray[Any]:
        """Decode one chunk to an array of ``chunk.shape``; it may be read-only or a view."""
        raw = self.decode_bytes(key, data)
        if self.layout is not None:
            return self._checked(key, self.layout.view(raw))
        name = self.serializer.name
        try:
            array = self.serializer.decode(raw, self.serialized)
            for codec, decoded in reversed(self.array_codecs):
                name = codec.name
                array = codec.decode(array, decoded)
        except ChunkError as error:
            raise type(error)(key, error.codec, error.cause) from error
        except Exception as error:
            raise ChunkDecodeError(key, name, str(error) or repr(error)) from error
        return self._checked(key, array)

    def _checked(self, key: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        cause = what_is_impossible(array)
        if cause:
            raise ChunkDecodeError(key, self.serializer.name, cause)
        return array

    def encode(self, key: str, array: npt.NDArray[Any]) -> Bytes:
        """Encode one chunk of ``chunk.shape`` and ``chunk.dtype``."""
        name = self.serializer.name
        try:
            for codec, decoded in self.array_codecs:
                name = codec.name
                array = codec.encode(array, decoded)
            name = self.serializer.name
            data = self.serializer.encode(array, self.serialized)
        except ChunkError as error:
            raise type(error)(key, error.codec, error.cause) from error
        except Exception as error:
            raise ChunkEncodeError(key, name, str(error) or repr(error)) from error
        return self.encode_bytes(key, data)

    def encode_bytes(self, key: str, data: Bytes) -> Bytes:
        """Run the byte codecs on what the serializer gave; the inverse of ``decode_bytes``."""
        plain = isinstance(self.serializer, BytesCodec)
        itemsize = self.serialized.dtype.itemsize if plain else 1
        for codec in self.byte_codecs:
            try:
                data = codec.encode(data, itemsize)
            except ChunkError as error:
                raise type(error)(key, error.codec, error.cause) from error
            except Exception as error:
                raise ChunkEncodeError(key, codec.name, str(error) or repr(error)) from error
        return data


def _placed(codecs: Sequence[Codec]) -> list[Codec]:
    """Give codecs of no kind of their own that of their place."""
    if not any(isinstance(codec, UnplacedCodec) for codec in codecs):
        return list(codecs)
    last = max((i for i, c in enumerate(codecs) if isinstance(c, ArrayBytesCodec)), default=-1)
    placed: list[Codec] = []
    serialized = False
    for i, codec in enumerate(codecs):
        if isinstance(codec, UnplacedCodec):
            codec = codec.placed("array" if i < last else "bytes" if serialized else "serializer")
        serialized |= isinstance(codec, ArrayBytesCodec)
        placed.append(codec)
    return placed


def _layout(
    chunk: ChunkType,
    array_codecs: Sequence[ArrayArrayCodec],
    serializer: ArrayBytesCodec,
    serialized: ChunkType,
) -> Layout | None:
    if not isinstance(serializer, BytesCodec) or chunk.dtype.hasobject:
        return None
    if not all(isinstance(codec, TransposeCodec) for codec in array_codecs):
        return None
    dtype = serializer.stored_dtype(serialized.dtype)
    if serializer.swaps(dtype) or (dtype != chunk.dtype and chunk.dtype.kind not in SWAPPED):
        return None
    strides = _c_strides(serialized.shape, dtype.itemsize)
    for codec in reversed(array_codecs):
        assert isinstance(codec, TransposeCodec)
        inverse = np.argsort(codec.order)
        strides = tuple(strides[i] for i in inverse)
    return Layout(chunk.shape, strides, dtype, chunk.nbytes)


def _c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize] * len(shape)
    for a in range(len(shape) - 2, -1, -1):
        strides[a] = strides[a + 1] * shape[a + 1]
    return tuple(strides)
