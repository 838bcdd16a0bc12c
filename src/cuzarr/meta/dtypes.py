"""Data types: v2 typestr <-> numpy dtype <-> v3 ``data_type``.

1. :func:`from_v2` and :func:`to_v2`: ``"<f4"``, ``"|S5"``, ``"<M8[ns]"``, ``"|O"``, and lists of
   fields.
2. :func:`from_v3` and :func:`to_v3`: ``"float32"``, ``"r16"`` and the extension names that are
   in use, such as ``{"name": "fixed_length_utf32", "configuration": {"length_bytes": 20}}``.

A variable-length string is :data:`STRING`, and variable-length bytes are ``dtype("O")``; what the
elements of that are, the serializer of the chain says (:class:`~cuzarr.meta.spec.ArraySpec` has
no other place for it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np

from cuzarr.meta import ml_types
from cuzarr.meta.problems import Problems, brief, integer, is_list, named, show
from cuzarr.meta.spec import JSON

DType: TypeAlias = np.dtype[Any]

_CORE = {
    "bool": "?",
    "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
    "float16": "f2", "float32": "f4", "float64": "f8", "complex64": "c8", "complex128": "c16",
}  # fmt: skip
_CORE_NAMES = {np.dtype(code): name for name, code in _CORE.items()}
_ALIASES = {"complex_float32": "complex64", "complex_float64": "complex128"}
#: Variable-length strings: NumPy's own type where it has one (2.0), else objects.
STRING: DType = np.dtypes.StringDType() if hasattr(np.dtypes, "StringDType") else np.dtype("O")
#: v3 names of variable-length types, with the serializer that each needs.
VARIABLE = {"string": "vlen-utf8", "variable_length_bytes": "vlen-bytes", "bytes": "vlen-bytes"}
_VARIABLE_NAMES = {"vlen-utf8": "string", "vlen-bytes": "variable_length_bytes"}

_TYPESTR = re.compile(r"([<>|]?)([biufcmMSUVO])(\d{0,10})(\[[^\]]*\])?", re.ASCII)
_SIZES = {
    "b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16),
    "m": (8,), "M": (8,),
}  # fmt: skip
_TIME = re.compile(r"\[(\d{0,10})([A-Za-zμ]+)\]", re.ASCII)
_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "μs", "ns", "ps", "fs", "as", "generic")
_MAX_ITEMSIZE = 2**31 - 1  # of numpy


def from_v2(value: JSON, place: str, problems: Problems) -> DType | None:
    """Parse a v2 ``dtype``: a typestr, or a list of ``[name, dtype]``, ``[name, dtype, shape]``."""
    if isinstance(value, str):
        if value in ml_types.BITS:
            return ml_types.from_name(value, place, problems)
        return _from_typestr(value, place, problems)
    if not is_list(value) or not value:
        problems.add(place, f"expected a typestr or a list of fields, found {show(value)}")
        return None
    fields: list[tuple[str, DType, tuple[int, ...]]] = []
    for i, field in enumerate(value):
        at = f"{place}[{i}]"
        if not is_list(field) or len(field) not in (2, 3) or not isinstance(field[0], str):
            problems.add(at, f"expected [name, dtype], found {show(field)}")
            continue
        inner = from_v2(field[1], f"{at}[1]", problems)
        shape = field[2] if len(field) == 3 else []
        if not is_list(shape) or not all(0 < (integer(n) or 0) < 2**31 for n in shape):
            problems.add(f"{at}[2]", f"expected a shape, found {show(shape)}")
        elif inner is not None and inner.hasobject:
            problems.add(f"{at}[1]", "objects inside a structured type are not supported")
        elif inner is not None:
            fields.append((field[0], inner, tuple(shape)))
    if len(fields) != len(value):
        return None
    return _structured(fields, place, problems)


def to_v2(dtype: DType) -> JSON:
    """Return the v2 form of a dtype."""
    if ml_types.is_ml(dtype):
        return dtype.name
    if dtype.names is None:
        return "|O" if dtype.kind == "T" else dtype.str
    fields: list[JSON] = []
    for name in dtype.names:
        base, shape = _field(dtype, name)
        fields.append([name, to_v2(base), list(shape)] if shape else [name, to_v2(base)])
    return fields


def from_v3(value: JSON, place: str, problems: Problems) -> tuple[DType, str | None] | None:
    """Parse a v3 ``data_type``.

    Returns
    -------
    (dtype, serializer) or None
        The dtype in native byte order, and the serializer that a variable-length type needs.
    """
    extension = named(value, place, problems)
    if extension is None:
        return None
    name, configuration = extension
    if name in VARIABLE:
        return STRING if name == "string" else np.dtype("O"), VARIABLE[name]
    dtype: DType | None
    name = _ALIASES.get(name, name)
    if name in _CORE:
        dtype = np.dtype(_CORE[name])
    elif name in ml_types.BITS:
        dtype = ml_types.from_name(name, place, problems)
    elif re.fullmatch(r"r[1-9]\d{0,9}", name, re.ASCII):
        bits = int(name[1:])
        if bits % 8:
            problems.add(place, f"{name!r}: raw bits come in multiples of 8")
        dtype = None if bits % 8 else np.dtype(f"V{bits // 8}")
    elif name in _EXTENSIONS:
        dtype = _EXTENSIONS[name](configuration, f"{place}.configuration", problems)
    else:
        problems.add(place, f"the data type {name!r} is not supported")
        dtype = None
    return None if dtype is None else (dtype, None)


def to_v3(dtype: DType, serializer: str | None = None) -> JSON:
    """Return the v3 form of a dtype; raises ``ValueError`` where there is none.

    Parameters
    ----------
    dtype : numpy.dtype
    serializer : str or None
        Name of the array-to-bytes codec, which tells strings from bytes for ``dtype("O")``.
    """
    if ml_types.is_ml(dtype):
        return dtype.name
    if native(dtype) in _CORE_NAMES:
        return _CORE_NAMES[native(dtype)]
    if dtype.kind == "T":
        return "string"
    if dtype.kind == "O":
        if serializer in _VARIABLE_NAMES:
            return _VARIABLE_NAMES[serializer]
        raise ValueError("objects have no v3 data type; dtype=str and dtype=bytes have one")
    if dtype.names is not None:
        fields = []
        for name in dtype.names:
            base, shape = _field(dtype, name)
            if shape:
                raise ValueError(f"field {name!r}: a field with a shape has no v3 data type")
            fields.append({"name": name, "data_type": to_v3(base)})
        return {"name": "struct", "configuration": {"fields": fields}}
    if dtype.kind in "mM":
        unit, scale = np.datetime_data(dtype)
        name = "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64"
        return {"name": name, "configuration": {"unit": unit, "scale_factor": scale}}
    lengths = {"U": "fixed_length_utf32", "S": "null_terminated_bytes", "V": "raw_bytes"}
    if dtype.kind in lengths and dtype.itemsize:
        return {"name": lengths[dtype.kind], "configuration": {"length_bytes": dtype.itemsize}}
    raise ValueError(f"the numpy dtype {dtype} has no v3 data type")


def element_type(value: JSON) -> DType | None:
    """Parse the data type in the configuration of a filter: a typestr or a v3 name."""
    if not isinstance(value, str) or not value:
        return None
    if value in _CORE:
        return np.dtype(_CORE[value])
    text = value if value[0] in "<>|" else "<" + value.removeprefix("=")
    found = _from_typestr(text, text, Problems())
    return None if found is None or found.hasobject else found


def native(dtype: DType) -> DType:
    """Return a dtype in the byte order of the machine."""
    return dtype if dtype.hasobject else dtype.newbyteorder("=")


def is_string(dtype: object) -> bool:
    """Whether a dtype is NumPy's type of variable-length strings, whatever its missing value."""
    return isinstance(dtype, np.dtype) and dtype.kind == "T"


def packed(dtype: DType) -> DType:
    """Return a structured dtype without padding: documents have no place for offsets."""
    if dtype.names is None:
        return dtype
    fields = []
    for name in dtype.names:
        base, shape = _field(dtype, name)
        fields.append((name, packed(base), shape))
    return np.dtype(fields)


def _from_typestr(text: str, place: str, problems: Problems) -> DType | None:
    match = _TYPESTR.fullmatch(text)
    if match is None:
        problems.add(place, f"{brief(text)} is not a typestr, such as '<f4'")
        return None
    order, kind, digits, unit = match.groups()
    if kind == "O":
        if digits or unit:
            problems.add(place, f"{text!r} is not a typestr: objects are '|O'")
            return None
        return np.dtype("O")
    size = int(digits or 0)
    if kind in _SIZES and size not in _SIZES[kind]:
        problems.add(place, f"{text!r}: numbers of that size are not supported")
    elif not 0 < size * (4 if kind == "U" else 1) <= _MAX_ITEMSIZE:
        problems.add(place, f"{text!r}: a length from 1 to {_MAX_ITEMSIZE} bytes is needed")
    elif order not in ("<", ">") and (kind == "U" or (kind in _SIZES and size > 1)):
        problems.add(place, f"{text!r} does not say its byte order ('<' or '>')")
    elif unit is not None and kind not in "mM":
        problems.add(place, f"{text!r}: only datetime64 and timedelta64 have a unit")
    else:
        plain = np.dtype(f"{order}{kind}{size}")
        return plain if unit is None else _with_unit(plain, unit, text, place, problems)
    return None


def _with_unit(plain: DType, unit: str, text: str, place: str, problems: Problems) -> DType | None:
    match = _TIME.fullmatch(unit)
    scale = int((match and match[1]) or 1)
    if match is None or match[2] not in _UNITS or not 0 < scale < 2**31:
        problems.add(place, f"{text!r}: {unit} is not a unit of time")
        return None
    return plain if match[2] == "generic" else _time(plain.str, match[2], scale)


def _time(code: str, unit: str, scale: int) -> DType:
    return np.dtype(f"{code}[{scale}{'us' if unit == 'μs' else unit}]")


def _field(dtype: DType, name: str) -> tuple[DType, tuple[int, ...]]:
    assert dtype.fields is not None
    inner: DType = dtype.fields[name][0]
    return (inner, ()) if inner.subdtype is None else inner.subdtype


def _structured(
    fields: list[tuple[str, DType, tuple[int, ...]]], place: str, problems: Problems
) -> DType | None:
    # NumPy adds the lengths of fields modulo 2**32, and would place some before the element.
    size = sum(inner.itemsize * prod(shape) for _, inner, shape in fields)
    if size > _MAX_ITEMSIZE:
        problems.add(place, f"not a structured type: {size} bytes per element")
        return None
    try:
        return np.dtype(fields)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        problems.add(place, f"not a structured type: {error}")
        return None


def _length_bytes(configuration: Mapping[str, JSON], place: str, problems: Problems) -> int | None:
    length = integer(configuration.get("length_bytes"))
    if length is None or not 0 < length <= _MAX_ITEMSIZE:
        found = show(configuration.get("length_bytes"))
        problems.add(f"{place}.length_bytes", f"expected a positive integer, found {found}")
        return None
    return length


def _utf32(configuration: Mapping[str, JSON], place: str, problems: Problems) -> DType | None:
    length = _length_bytes(configuration, place, problems)
    if length is not None and length % 4:
        problems.add(f"{place}.length_bytes", f"must be a multiple of 4, found {length}")
        return None
    return None if length is None else np.dtype(f"U{length // 4}")


def _null_terminated(
    configuration: Mapping[str, JSON], place: str, problems: Problems
) -> DType | None:
    length = _length_bytes(configuration, place, problems)
    return None if length is None else np.dtype(f"S{length}")


def _raw(configuration: Mapping[str, JSON], place: str, problems: Problems) -> DType | None:
    length = _length_bytes(configuration, place, problems)
    return None if length is None else np.dtype(f"V{length}")


def _moment(
    code: str, configuration: Mapping[str, JSON], place: str, problems: Problems
) -> DType | None:
    unit, scale = configuration.get("unit"), integer(configuration.get("scale_factor", 1))
    if unit not in _UNITS:
        problems.add(f"{place}.unit", f"expected a unit of time, found {show(unit)}")
    elif scale is None or not 0 < scale < 2**31:
        found = show(configuration.get("scale_factor"))
        problems.add(f"{place}.scale_factor", f"expected a positive integer, found {found}")
    else:
        return np.dtype(code) if unit == "generic" else _time(code, unit, scale)
    return None


def _datetime(configuration: Mapping[str, JSON], place: str, problems: Problems) -> DType | None:
    return _moment("M8", configuration, place, problems)


def _timedelta(configuration: Mapping[str, JSON], place: str, problems: Problems) -> DType | None:
    return _moment("m8", configuration, place, problems)


def _struct(configuration: Mapping[str, JSON], place: str, problems: Problems) -> DType | None:
    """``struct`` has objects for fields; ``structured``, its older spelling, has pairs."""
    value = configuration.get("fields")
    place = f"{place}.fields"
    if not is_list(value) or not value:
        problems.add(place, f"expected a list of fields, found {show(value)}")
        return None
    fields: list[tuple[str, DType, tuple[int, ...]]] = []
    for i, field in enumerate(value):
        at = f"{place}[{i}]"
        if isinstance(field, Mapping) and {"name", "data_type"} <= field.keys():
            name, data_type = field["name"], field["data_type"]
        elif is_list(field) and len(field) == 2:
            name, data_type = field
        else:
            problems.add(at, f"expected a name and a data type, found {show(field)}")
            continue
        inner = from_v3(data_type, f"{at}.data_type", problems)
        if not isinstance(name, str):
            problems.add(f"{at}.name", f"expected a string, found {show(name)}")
        elif inner is not None and inner[0].hasobject:
            problems.add(f"{at}.data_type", "must have a fixed size")
        elif inner is not None:
            fields.append((name, inner[0], ()))
    return _structured(fields, place, problems) if len(fields) == len(value) else None


_EXTENSIONS = {
    "fixed_length_utf32": _utf32,
    "null_terminated_bytes": _null_terminated,
    "raw_bytes": _raw,
    "numpy.datetime64": _datetime,
    "numpy.timedelta64": _timedelta,
    "struct": _struct,
    "structured": _struct,
}
