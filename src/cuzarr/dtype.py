"""Data types as objects, under the names of zarr-python: ``create_array(dtype=Int32())``.

NumPy's data types do the same and are what arrays have; these only know both of their spellings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from cuzarr.errors import MetadataError
from cuzarr.meta import dtypes, fill
from cuzarr.meta.problems import Problems
from cuzarr.meta.spec import JSON, ZarrFormat

Endianness = Literal["little", "big"]


@dataclass(frozen=True)
class ZDType:
    """A data type."""

    code: ClassVar[str]
    serializer: ClassVar[str | None] = None

    def to_native_dtype(self) -> np.dtype[Any]:
        """Return the NumPy data type."""
        big = getattr(self, "endianness", "little") == "big"
        return np.dtype(self.code).newbyteorder(">" if big else "<")

    def to_json(self, zarr_format: ZarrFormat) -> JSON:
        """Return the form of a metadata document; v3 ones do not have the byte order."""
        native = self.to_native_dtype()
        return dtypes.to_v2(native) if zarr_format == 2 else dtypes.to_v3(native, self.serializer)

    @classmethod
    def from_native_dtype(cls, dtype: Any) -> Self:
        """Return the object of a NumPy data type; ``TypeError`` if it is another type."""
        found = parse_dtype(dtype, zarr_format=3)
        if not isinstance(found, cls):
            raise TypeError(f"{np.dtype(dtype)} is not {cls.__name__}")
        return found

    @property
    def item_size(self) -> int:
        """Bytes per element."""
        return self.to_native_dtype().itemsize

    def default_scalar(self) -> Any:
        """Return the fill value of new arrays."""
        return fill.default(self.to_native_dtype(), self.serializer)


@dataclass(frozen=True)
class Bool(ZDType):
    """True or False."""

    code: ClassVar[str] = "?"


@dataclass(frozen=True)
class Int8(ZDType):
    """Whole numbers of 1 byte."""

    code: ClassVar[str] = "i1"


@dataclass(frozen=True)
class UInt8(ZDType):
    """Whole numbers of 1 byte, from 0."""

    code: ClassVar[str] = "u1"


@dataclass(frozen=True, kw_only=True)
class _Ordered(ZDType):
    endianness: Endianness = "little"


@dataclass(frozen=True, kw_only=True)
class Int16(_Ordered):
    """Whole numbers of 2 bytes."""

    code: ClassVar[str] = "i2"


@dataclass(frozen=True, kw_only=True)
class UInt16(_Ordered):
    """Whole numbers of 2 bytes, from 0."""

    code: ClassVar[str] = "u2"


@dataclass(frozen=True, kw_only=True)
class Int32(_Ordered):
    """Whole numbers of 4 bytes."""

    code: ClassVar[str] = "i4"


@dataclass(frozen=True, kw_only=True)
class UInt32(_Ordered):
    """Whole numbers of 4 bytes, from 0."""

    code: ClassVar[str] = "u4"


@dataclass(frozen=True, kw_only=True)
class Int64(_Ordered):
    """Whole numbers of 8 bytes."""

    code: ClassVar[str] = "i8"


@dataclass(frozen=True, kw_only=True)
class UInt64(_Ordered):
    """Whole numbers of 8 bytes, from 0."""

    code: ClassVar[str] = "u8"


@dataclass(frozen=True, kw_only=True)
class Float16(_Ordered):
    """Floating-point numbers of 2 bytes."""

    code: ClassVar[str] = "f2"


@dataclass(frozen=True, kw_only=True)
class Float32(_Ordered):
    """Floating-point numbers of 4 bytes."""

    code: ClassVar[str] = "f4"


@dataclass(frozen=True, kw_only=True)
class Float64(_Ordered):
    """Floating-point numbers of 8 bytes."""

    code: ClassVar[str] = "f8"


@dataclass(frozen=True, kw_only=True)
class Complex64(_Ordered):
    """Complex numbers of 8 bytes."""

    code: ClassVar[str] = "c8"


@dataclass(frozen=True, kw_only=True)
class Complex128(_Ordered):
    """Complex numbers of 16 bytes."""

    code: ClassVar[str] = "c16"


@dataclass(frozen=True, kw_only=True)
class _Time(_Ordered):
    unit: str = "generic"
    scale_factor: int = 1

    def to_native_dtype(self) -> np.dtype[Any]:
        """Return the NumPy data type."""
        order = ">" if self.endianness == "big" else "<"
        return np.dtype(
            f"{order}{self.code}"
            if self.unit == "generic"
            else f"{order}{self.code}[{self.scale_factor}{self.unit}]"
        )


@dataclass(frozen=True, kw_only=True)
class DateTime64(_Time):
    """Moments, counted in a unit from 1970."""

    code: ClassVar[str] = "M8"


@dataclass(frozen=True, kw_only=True)
class TimeDelta64(_Time):
    """Lengths of time, counted in a unit."""

    code: ClassVar[str] = "m8"


@dataclass(frozen=True, kw_only=True)
class _Sized(ZDType):
    length: int

    def to_native_dtype(self) -> np.dtype[Any]:
        """Return the NumPy data type."""
        return np.dtype(f"{self.code}{self.length}")


@dataclass(frozen=True, kw_only=True)
class NullTerminatedBytes(_Sized):
    """Bytes up to a length."""

    code: ClassVar[str] = "S"


@dataclass(frozen=True, kw_only=True)
class RawBytes(_Sized):
    """Bytes of a length, without meaning."""

    code: ClassVar[str] = "V"


@dataclass(frozen=True, kw_only=True)
class FixedLengthUTF32(_Sized):
    """Text up to a length."""

    endianness: Endianness = "little"
    code: ClassVar[str] = "U"

    def to_native_dtype(self) -> np.dtype[Any]:
        """Return the NumPy data type."""
        return np.dtype(f"{'>' if self.endianness == 'big' else '<'}U{self.length}")


@dataclass(frozen=True)
class VariableLengthUTF8(ZDType):
    """Text of any length."""

    code: ClassVar[str] = "T"
    serializer: ClassVar[str | None] = "vlen-utf8"

    def to_native_dtype(self) -> np.dtype[Any]:
        """Return the NumPy data type."""
        return dtypes.STRING


@dataclass(frozen=True)
class VariableLengthBytes(ZDType):
    """Bytes of any length."""

    code: ClassVar[str] = "O"
    serializer: ClassVar[str | None] = "vlen-bytes"

    def to_native_dtype(self) -> np.dtype[Any]:
        """Return the NumPy data type."""
        return np.dtype("O")


@dataclass(frozen=True, kw_only=True)
class Struct(ZDType):
    """Fields with names.

    Attributes
    ----------
    fields : tuple of (name, ZDType)
    """

    fields: tuple[tuple[str, ZDType], ...]

    def to_native_dtype(self) -> np.dtype[Any]:
        """Return the NumPy data type."""
        return np.dtype([(name, inner.to_native_dtype()) for name, inner in self.fields])


Structured = Struct  # the older of two spellings of the same

_KINDS: dict[str, type[ZDType]] = {
    str(np.dtype(kind.code)): kind
    for kind in (
        Bool, Int8, UInt8, Int16, UInt16, Int32, UInt32, Int64, UInt64, Float16, Float32, Float64,
        Complex64, Complex128,
    )
}  # fmt: skip


def parse_dtype(dtype_spec: Any, *, zarr_format: ZarrFormat) -> ZDType:
    """Return the object of a data type.

    Parameters
    ----------
    dtype_spec : object
        What ``numpy.dtype`` takes, ``str`` or ``bytes`` for variable lengths, or the form of a
        document of ``zarr_format``.
    zarr_format : {2, 3}

    Raises
    ------
    MetadataError
        There is no such data type.
    """
    if isinstance(dtype_spec, ZDType):
        return dtype_spec
    if dtype_spec in (str, bytes):
        return VariableLengthUTF8() if dtype_spec is str else VariableLengthBytes()
    if isinstance(dtype_spec, Mapping) or (
        zarr_format == 3 and isinstance(dtype_spec, str) and not _is_numpy(dtype_spec)
    ):
        problems = Problems("")
        found = dtypes.from_v3(dtype_spec, "dtype", problems)
        if found is None:
            raise problems.error()
        native, serializer = found
        if serializer is not None:
            return VariableLengthUTF8() if serializer == "vlen-utf8" else VariableLengthBytes()
        return _of(native)
    try:
        native = np.dtype([tuple(field) for field in dtype_spec]
                          if isinstance(dtype_spec, list) else dtype_spec)  # fmt: skip
    except (TypeError, ValueError) as error:
        raise MetadataError("", [f"dtype: {error}"]) from error
    return _of(native)


def _of(native: np.dtype[Any]) -> ZDType:
    if native.kind == "T":
        return VariableLengthUTF8()
    order: dict[str, Any] = {"endianness": "big" if native.str[0] == ">" else "little"}
    kind = _KINDS.get(str(native.newbyteorder("=")))
    if kind is not None:
        return kind(**order) if issubclass(kind, _Ordered) else kind()
    if native.kind in "mM":
        unit, scale = np.datetime_data(native)
        made: type[_Time] = DateTime64 if native.kind == "M" else TimeDelta64
        return made(unit=unit, scale_factor=scale, **order)
    if native.names is not None:
        fields = native.fields
        assert fields is not None
        return Struct(fields=tuple((name, _of(fields[name][0])) for name in native.names))
    if native.kind == "U":
        return FixedLengthUTF32(length=native.itemsize // 4, **order)
    if native.kind in "SV":
        return (NullTerminatedBytes if native.kind == "S" else RawBytes)(length=native.itemsize)
    raise MetadataError("", [f"dtype: {native} has no object of its own; pass it to create_array"])


def _is_numpy(text: str) -> bool:
    try:
        np.dtype(text)
    except TypeError:
        return False
    return True
