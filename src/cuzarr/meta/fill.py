"""Fill values: the JSON forms of both formats to and from NumPy scalars.

1. :func:`from_json` parses the form that the data type has in its format, and what real writers
   put there instead (``0.0`` for an integer, ``0`` for a string in v2).
2. :func:`to_json` writes the form of the format.
3. :func:`from_user` casts what a user passed, :func:`default` is used where they passed none.
4. :func:`same` compares bits, so that a NaN equals itself and a ``-0.0`` is not a ``0.0``.
5. :func:`read_as` is what the elements of a missing chunk read as.

v2 ``null`` is None: the array has no fill value and reads as :func:`default`. v3 knows no ``null``.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from cuzarr.meta import ml_types
from cuzarr.meta.dtypes import native
from cuzarr.meta.problems import Problems, brief, integer, is_list, show
from cuzarr.meta.spec import JSON, ZarrFormat

DType: TypeAlias = np.dtype[Any]

_SPECIAL = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
_INFINITE = {np.inf: "Infinity", -np.inf: "-Infinity"}
_NAT = -(2**63)
_NAMES: dict[str | None, str] = {"vlen-utf8": "string", "vlen-bytes": "bytes"}
#: Kinds of values that a user may give for a kind of data type; text is "nan", "2020-01-01"...
_CASTS = {
    "b": "biuf", "i": "biuf", "u": "biuf", "f": "biufU", "c": "biufcU", "M": "iMU", "m": "imU",
    "U": "U",
}  # fmt: skip


def from_json(
    value: JSON,
    dtype: DType,
    serializer: str | None,
    zarr_format: ZarrFormat,
    place: str,
    problems: Problems,
) -> np.generic | None:
    """Parse a fill value; None where it is v2 ``null``, and where it is wrong.

    Parameters
    ----------
    value : JSON value
    dtype : numpy.dtype
    serializer : str or None
        Name of the array-to-bytes codec, which tells strings from bytes for ``dtype("O")``.
    zarr_format : {2, 3}
    place, problems
        Where to note what is wrong.
    """
    if value is None and zarr_format == 2:
        return None
    try:
        return _parse(value, dtype, serializer, zarr_format)
    except _WrongFillError as error:
        at = f"{place}.{error.place}" if error.place else place
        kind = error.kind if error.place else _name(dtype, serializer)
        problems.add(at, f"{error} (the data type is {kind})")
        return None


def to_json(value: Any, dtype: DType, zarr_format: ZarrFormat) -> JSON:
    """Return the JSON form of a fill value."""
    if value is None:
        return None
    kind = dtype.kind
    if kind in "OT":
        if isinstance(value, bytes):
            return _base64(bytes(value))
        return value.item() if isinstance(value, np.generic) else value
    if ml_types.is_ml(dtype):
        integers = ml_types.is_integer(dtype)
        return int(value) if integers else _float_to_json(value, zarr_format)
    if kind == "b":
        return bool(value)
    if kind in "iu":
        return int(value)
    if kind == "f":
        return _float_to_json(value, zarr_format)
    if kind == "c":
        parts = np.asarray(value, native(dtype))
        return [_float_to_json(part[()], zarr_format) for part in (parts.real, parts.imag)]
    if kind in "mM":
        return int(np.asarray(value, native(dtype)).view(np.int64))
    if kind == "U":
        return str(value)
    if kind == "S":
        return _base64(bytes(value))
    if zarr_format == 3 and dtype.names is not None:
        element = np.asarray(value, dtype)
        return {name: to_json(element[name][()], element[name].dtype, 3) for name in dtype.names}
    return _base64(np.asarray(value, dtype).tobytes())


def from_user(value: object, dtype: DType, serializer: str | None) -> np.generic:
    """Cast a user's fill value to the dtype.

    Raises
    ------
    ValueError
        It does not fit.
    """
    wrong = f"{brief(value)} is no {_name(dtype, serializer)} value"
    kind = dtype.kind
    if kind in "OT":
        return _object_from_user(value, "vlen-utf8" if kind == "T" else serializer, wrong)
    if ml_types.is_ml(dtype):
        return _ml_from_user(value, dtype, wrong)
    if kind in "SV" and dtype.names is None:
        return _bytes_from_user(value, dtype, wrong)
    if kind == "U" and _is_zero(value):
        return np.str_("")
    try:
        with np.errstate(all="ignore"):
            given = np.asarray(value, dtype if isinstance(value, tuple) else None)  # of records
            if kind in "fc" and given.dtype.kind == "O":
                given = given.astype("f8")  # an integer of more than 64 bits
            if dtype.names is not None and given.dtype.names is None:
                fields: Any = value
                zero = given.ndim == 0 and given == 0
                given = np.asarray(0 if zero else tuple(fields), dtype)
            if given.dtype.kind not in _CASTS.get(kind, given.dtype.kind):
                raise ValueError(wrong)
            cast = given.astype(dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(wrong) from error
    if cast.ndim:
        raise ValueError(f"{wrong}: it is not a scalar")
    if (kind in "biu" and not np.array_equal(cast, given)) or (
        kind == "U" and str(given[()]) != str(cast[()])
    ):
        raise ValueError(f"{wrong}: it does not fit")
    return _scalar(cast)


def default(dtype: DType, serializer: str | None) -> np.generic | None:
    """Return the fill value of an array whose creator named none: zero, empty, or NaT.

    It is None for objects of any kind, which only v2 has.
    """
    if dtype.kind == "T" or serializer == "vlen-utf8":
        return np.str_("")
    if dtype.kind == "O":
        return np.bytes_(b"") if serializer == "vlen-bytes" else None
    if dtype.kind in "mM":
        return _moment(_NAT, dtype)
    return _scalar(np.zeros((), dtype))


def read_as(value: Any, dtype: DType, serializer: str | None) -> Any:
    """Return the element that a fill value stands for; None in an array of no known objects."""
    if value is None:
        value = default(dtype, serializer)
    return value.item() if dtype.kind in "OT" and isinstance(value, np.generic) else value


def same(a: np.generic | None, b: np.generic | None, dtype: DType) -> bool:
    """Whether two fill values have the same bits."""
    if a is None or b is None:
        return a is b
    if dtype.hasobject:
        return type(a) is type(b) and bool(a == b)
    return np.asarray(a, dtype).tobytes() == np.asarray(b, dtype).tobytes()


def _name(dtype: DType, serializer: str | None) -> str:
    if dtype.kind not in "OT":
        return str(dtype)
    return _NAMES.get(serializer, str(dtype))


class _WrongFillError(ValueError):
    """The value does not fit the data type; ``place`` is the field of a structured one."""

    def __init__(self, message: str, place: str = "", kind: object = "") -> None:
        super().__init__(message)
        self.place, self.kind = place, kind


def _parse(
    value: JSON, dtype: DType, serializer: str | None, zarr_format: ZarrFormat
) -> np.generic:
    kind = dtype.kind
    if kind in "OT":
        return _object(value, "vlen-utf8" if kind == "T" else serializer, zarr_format)
    if ml_types.is_ml(dtype):
        return _ml(value, dtype)
    if kind == "b":
        return _bool(value, zarr_format)
    if kind in "iu":
        return _integer(value, dtype)
    if kind == "f":
        return _float(value, dtype)
    if kind == "c":
        return _complex(value, dtype, zarr_format)
    if kind in "mM":
        return _moment(_ticks(value), dtype)
    if kind == "U":
        text = _text(value, zarr_format)
        if len(text) > dtype.itemsize // 4:
            raise _WrongFillError(f"{show(value)} is longer than the data type")
        return np.str_(text)
    if dtype.names is not None:
        return _structured(value, dtype, zarr_format)
    data = _raw(value, zarr_format)
    if kind == "S":
        data = data.rstrip(b"\0")
        if len(data) > dtype.itemsize:
            raise _WrongFillError(f"{show(value)} is longer than the data type")
        return np.bytes_(data)
    return np.void(_exactly(data, dtype.itemsize, value))


def _bool(value: JSON, zarr_format: ZarrFormat) -> np.generic:
    if isinstance(value, bool) or (zarr_format == 2 and value in (0, 1)):
        return np.bool_(value)
    raise _WrongFillError(f"expected true or false, found {show(value)}")


def _whole(value: JSON) -> int:
    number = integer(value)
    if isinstance(value, float) and value.is_integer():
        number = int(value)
    if number is None:
        raise _WrongFillError(f"expected an integer, found {show(value)}")
    return number


def _integer(value: JSON, dtype: DType) -> np.generic:
    number = _whole(value)
    limits = np.iinfo(dtype)
    if not limits.min <= number <= limits.max:
        raise _WrongFillError(f"{show(value)} is out of range")
    return dtype.type(number)  # type: ignore[no-any-return]


def _float(value: JSON, dtype: DType) -> np.generic:
    if isinstance(value, str):
        if value in _SPECIAL:
            return dtype.type(_SPECIAL[value])  # type: ignore[no-any-return]
        digits = 2 * dtype.itemsize
        if not re.fullmatch(f"0x[0-9a-fA-F]{{{digits}}}", value):
            raise _WrongFillError(
                "expected a number, 'NaN', 'Infinity', '-Infinity' or '0x' with "
                f"{digits} hexadecimal digits, found {show(value)}"
            )
        bits = np.array(int(value, 0), np.dtype(f"u{dtype.itemsize}"))
        return _scalar(bits.view(native(dtype)))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongFillError(f"expected a number, found {show(value)}")
    try:
        with np.errstate(over="ignore"):
            return np.float64(value).astype(native(dtype))
    except OverflowError:
        raise _WrongFillError(f"{show(value)} is out of range") from None


def _complex(value: JSON, dtype: DType, zarr_format: ZarrFormat) -> np.generic:
    part = np.dtype(f"f{dtype.itemsize // 2}")
    if zarr_format == 2 and not is_list(value):
        value = [value, 0.0]
    if not is_list(value) or len(value) != 2:
        raise _WrongFillError(f"expected [real, imaginary], found {show(value)}")
    parts = np.array([_float(v, part) for v in value], part)
    return _scalar(parts.view(native(dtype)).reshape(()))


def _ticks(value: JSON) -> int:
    ticks = _NAT if value == "NaT" else integer(value)
    if isinstance(value, float) and value.is_integer():
        ticks = int(value)
    if ticks is None or not _NAT <= ticks < 2**63:
        raise _WrongFillError(f"expected a 64-bit integer or 'NaT', found {show(value)}")
    return ticks


def _moment(ticks: int, dtype: DType) -> np.generic:
    return _scalar(np.array(ticks, np.int64).view(native(dtype)))


def _ml(value: JSON, dtype: DType) -> np.generic:
    if not ml_types.is_integer(dtype):
        if value == 0 and dtype.name == "float8_e8m0fnu":  # has no zero: the smallest is meant
            return _scalar(np.zeros((), dtype))
        found = _float(value, dtype)
        if value == "NaN" and not np.isnan(found):
            raise _WrongFillError("there is no NaN")
        return found
    number = _whole(value)
    low, high = ml_types.integer_limits(dtype)
    if not low <= number <= high:
        raise _WrongFillError(f"{show(value)} is out of range")
    return _scalar(np.array(number).astype(dtype))


def _text(value: JSON, zarr_format: ZarrFormat) -> str:
    if isinstance(value, str):
        return value
    if zarr_format == 2 and integer(value) == 0:  # what the first v2 writers put for "empty"
        return ""
    raise _WrongFillError(f"expected a string, found {show(value)}")


def _raw(value: JSON, zarr_format: ZarrFormat) -> bytes:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _WrongFillError(f"{show(value)} is not base64: {error}") from None
    if zarr_format == 2 and integer(value) == 0:
        return b""
    if is_list(value) and zarr_format == 3:  # r* and bytes of the specification
        numbers = [integer(byte) for byte in value]
        if all(n is not None and 0 <= n < 256 for n in numbers):
            return bytes(value)
        raise _WrongFillError(f"expected a list of bytes, found {show(value)}")
    raise _WrongFillError(f"expected base64, found {show(value)}")


def _exactly(data: bytes, size: int, value: JSON) -> bytes:
    if not data:
        return bytes(size)
    if len(data) != size:
        raise _WrongFillError(f"{show(value)} is {len(data)} bytes, expected {size}")
    return data


def _structured(value: JSON, dtype: DType, zarr_format: ZarrFormat) -> np.generic:
    if zarr_format == 2 or not isinstance(value, Mapping):
        data = _exactly(_raw(value, zarr_format), dtype.itemsize, value)
        return _scalar(np.frombuffer(data, dtype).reshape(()))
    assert dtype.names is not None
    assert dtype.fields is not None
    if set(value) != set(dtype.names):
        raise _WrongFillError(f"expected the fields {', '.join(dtype.names)}, found {show(value)}")
    element = np.zeros((), dtype)
    for name in dtype.names:
        try:
            element[name] = _parse(value[name], dtype.fields[name][0], None, zarr_format)
        except _WrongFillError as error:
            place = f"{name}.{error.place}" if error.place else name
            kind = error.kind or dtype.fields[name][0]
            raise _WrongFillError(str(error), place, kind) from None
    return _scalar(element)


def _object(value: JSON, serializer: str | None, zarr_format: ZarrFormat) -> np.generic:
    if serializer == "vlen-utf8":
        return np.str_(_text(value, zarr_format))
    if serializer == "vlen-bytes":
        return np.bytes_(_raw(value, zarr_format))
    if isinstance(value, (bool, float, str)):
        return _scalar(np.asarray(value))
    number = integer(value)
    if number is not None and -(2**63) <= number < 2**63:
        return np.int64(number)
    raise _WrongFillError(f"expected a scalar, found {show(value)}")


def _object_from_user(value: object, serializer: str | None, wrong: str) -> np.generic:
    if serializer == "vlen-bytes":
        if isinstance(value, bytes):
            return np.bytes_(value)
        if _is_zero(value):
            return np.bytes_(b"")
    elif serializer == "vlen-utf8":
        if isinstance(value, str):
            return np.str_(value)
        if _is_zero(value):
            return np.str_("")
    elif isinstance(value, (bool, int, float, str, np.generic)):
        return _scalar(np.asarray(value))
    raise ValueError(wrong)


def _ml_from_user(value: object, dtype: DType, wrong: str) -> np.generic:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever has a number, and "nan"
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(wrong) from error
    if ml_types.is_integer(dtype):
        low, high = ml_types.integer_limits(dtype)
        if not (number.is_integer() and low <= number <= high):
            raise ValueError(f"{wrong}: it does not fit")
    return _scalar(np.array(number).astype(dtype))


def _bytes_from_user(value: object, dtype: DType, wrong: str) -> np.generic:
    if isinstance(value, np.void):
        value = value.tobytes()
    elif isinstance(value, str) and value.isascii():
        value = value.encode()
    elif _is_zero(value):
        value = b""
    if not isinstance(value, (bytes, bytearray)):
        raise ValueError(wrong)  # noqa: TRY004
    if len(value) > dtype.itemsize or (dtype.kind == "V" and len(value) not in (0, dtype.itemsize)):
        raise ValueError(f"{wrong}: {len(value)} bytes for {dtype.itemsize}")
    return np.bytes_(value) if dtype.kind == "S" else np.void(bytes(value) or bytes(dtype.itemsize))


def _is_zero(value: object) -> bool:
    """Whether a user's value is the number that stands for an empty text or bytes."""
    return isinstance(value, (int, float, np.integer, np.floating)) and value == 0


def _scalar(array: Any) -> np.generic:
    """Return the element of a zero-dimensional array."""
    element: np.generic = array[()]
    return element


def _float_to_json(value: Any, zarr_format: ZarrFormat) -> JSON:
    number = float(value)
    if math.isnan(number):
        kind = np.dtype(type(value))
        bits = value.view(f"u{kind.itemsize}")
        if zarr_format == 2 or bits == kind.type(np.nan).view(f"u{kind.itemsize}"):
            return "NaN"
        return f"0x{int(bits):0{2 * kind.itemsize}x}"
    return _INFINITE.get(number, number)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
