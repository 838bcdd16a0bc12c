"""``cast_value``: store the elements in another numeric data type (zarr-extensions).

1. An element that ``scalar_map`` lists becomes what the map says.
2. Any other becomes the same number, rounded if the target has no such one: ``codecs.casting``.
3. What lies outside the target's range is an error, unless ``out_of_range`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Any, ClassVar, Self, get_args

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayArrayCodec, ChunkType
from cuzarr.codecs.casting import OutOfRange, Rounding, cast
from cuzarr.codecs.configuration import refuse_unknown, take_choice
from cuzarr.codecs.registry import register_codec
from cuzarr.meta import dtypes, fill
from cuzarr.meta.ml_types import is_integer, is_ml
from cuzarr.meta.problems import Problems, is_list

Pairs = tuple[tuple[Any, Any], ...]


@dataclass(frozen=True)
class CastValueCodec(ArrayArrayCodec):
    """Cast to ``data_type`` on encoding, and back on decoding.

    Parameters
    ----------
    data_type : JSON value
        As in a v3 document.
    dtype : numpy.dtype
        The same; computed unless given.
    rounding, out_of_range : str
        See ``codecs.casting``.
    to_stored, from_stored : pairs of JSON values
        The scalar maps of encoding and of decoding.
    scalar_map : mapping
        Both, as in a document: ``{"encode": pairs, "decode": pairs}``.
    """

    data_type: Any
    dtype: np.dtype[Any] = None  # type: ignore[assignment]  # see __post_init__
    rounding: Rounding = "nearest-even"
    out_of_range: OutOfRange = "error"
    to_stored: Pairs = ()
    from_stored: Pairs = ()
    scalar_map: InitVar[Mapping[str, Any] | None] = None
    name: ClassVar[str] = "cast_value"

    def __post_init__(self, scalar_map: Mapping[str, Any] | None) -> None:
        given: Any = self.dtype
        if given is None or scalar_map is not None:
            made = self.from_configuration({
                "data_type": self.data_type, "rounding": self.rounding,
                "out_of_range": self.out_of_range, "scalar_map": _listed(scalar_map),
            })  # fmt: skip
            for name in ("dtype", "rounding", "out_of_range"):
                object.__setattr__(self, name, getattr(made, name))
            if scalar_map is not None:
                object.__setattr__(self, "to_stored", made.to_stored)
                object.__setattr__(self, "from_stored", made.from_stored)

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        refuse_unknown(configuration, "data_type", "rounding", "out_of_range", "scalar_map")
        problems = Problems("")
        found = dtypes.from_v3(configuration.get("data_type"), "data_type", problems)
        if found is None:
            raise ValueError("; ".join(problems.found))
        _check_numeric(found[0])
        given = {name: value for name, value in configuration.items() if value is not None}
        rounding: Any = take_choice(given, "rounding", "nearest-even", get_args(Rounding))
        out_of_range: Any = take_choice(given, "out_of_range", "error", get_args(OutOfRange))
        if out_of_range == "wrap" and not _whole(found[0]):
            raise ValueError(f"out_of_range 'wrap' needs an integer data type, not {found[0]}")
        maps = given.get("scalar_map", {})
        if not isinstance(maps, Mapping) or not set(maps) <= {"encode", "decode"}:
            raise ValueError("scalar_map must be an object with encode and decode")
        return cls(
            configuration["data_type"], found[0], rounding, out_of_range,
            _pairs(maps, "encode"), _pairs(maps, "decode"),
        )  # fmt: skip

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document; what is usual is left out."""
        found: dict[str, Any] = {"data_type": self.data_type}
        if self.rounding != "nearest-even":
            found["rounding"] = self.rounding
        if self.out_of_range != "error":
            found["out_of_range"] = self.out_of_range
        maps = {"encode": self.to_stored, "decode": self.from_stored}
        used = {name: [list(pair) for pair in pairs] for name, pairs in maps.items() if pairs}
        return {**found, "scalar_map": used} if used else found

    def resolve(self, chunk: ChunkType) -> ChunkType:
        """Return the chunk type with the stored data type and the fill value cast to it."""
        _check_numeric(chunk.dtype)
        # Both maps are looked at, so that a wrong one is found before anything is written.
        self.decode_pairs(chunk.dtype)
        filled = self.encode(np.full(1, chunk.fill_value, chunk.dtype), chunk)
        return ChunkType(chunk.shape, self.dtype, filled[0])

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Cast; ``ValueError`` names the first element that cannot be."""
        pairs = _parsed(self.to_stored, chunk.dtype, self.dtype, "encode")
        return self._cast(array, self.dtype, pairs)

    def decode(self, array: npt.NDArray[Any], chunk: ChunkType) -> npt.NDArray[Any]:
        """Cast back."""
        return self._cast(array, chunk.dtype, self.decode_pairs(chunk.dtype))

    def decode_pairs(self, dtype: np.dtype[Any]) -> Pairs:
        """Return the scalar map of decoding as (stored, decoded) numbers; ``dtype`` is decoded."""
        return _parsed(self.from_stored, self.dtype, dtype, "decode")

    def _cast(
        self, array: npt.NDArray[Any], target: np.dtype[Any], pairs: Pairs
    ) -> npt.NDArray[Any]:
        # "wrap" is for one direction where the other leads to floats.
        wraps = self.out_of_range == "wrap" and not _whole(target)
        out_of_range: OutOfRange = "error" if wraps else self.out_of_range
        if not pairs:
            return cast(array, target, self.rounding, out_of_range)
        rest = array.copy()
        where = []
        for key, _ in pairs:
            mapped = np.isnan(array) if key != key else array == key
            where.append(mapped)
            rest[mapped] = 0
        result = cast(rest, target, self.rounding, out_of_range)
        for (_, value), mapped in reversed(list(zip(pairs, where, strict=True))):
            result[mapped] = value
        return result


def _whole(dtype: np.dtype[Any]) -> bool:
    return is_integer(dtype) if is_ml(dtype) else dtype.kind in "iu"


def _check_numeric(dtype: np.dtype[Any]) -> None:
    if (dtype.kind not in "iuf" and not is_ml(dtype)) or dtype.name == "float8_e8m0fnu":
        raise ValueError(f"cast_value takes integers and floats, not {dtype}")


def _listed(scalar_map: Any) -> Any:
    """Return a scalar map whose pairs may be given by a mapping as lists of pairs."""
    if not isinstance(scalar_map, Mapping):
        return scalar_map
    return {
        name: list(pairs.items()) if isinstance(pairs, Mapping) else pairs
        for name, pairs in scalar_map.items()
    }


def _pairs(maps: Mapping[str, Any], name: str) -> Pairs:
    entries = maps.get(name) or ()
    if not is_list(entries) or not all(is_list(pair) and len(pair) == 2 for pair in entries):
        raise ValueError(f"scalar_map.{name} must be a list of [from, to]")
    return tuple((key, value) for key, value in entries)


def _parsed(pairs: Pairs, source: np.dtype[Any], target: np.dtype[Any], name: str) -> Pairs:
    problems = Problems("")
    found = tuple(
        tuple(
            fill.from_json(
                value.removeprefix("+") if isinstance(value, str) else value,
                dtypes.native(dtype), None, 3, f"scalar_map.{name}[{i}]", problems,
            )
            for value, dtype in zip(pair, (source, target), strict=True)
        )
        for i, pair in enumerate(pairs)
    )  # fmt: skip
    if problems.found:
        raise ValueError("cast_value: " + "; ".join(problems.found))
    return tuple((key, value) for key, value in found)


register_codec("cast_value", CastValueCodec)
