"""Codec chains: v2 ``compressor``, ``filters``, ``order`` and byte order <-> v3-shaped codecs.

1. :func:`from_v2` translates the fields of a ``.zarray`` to a chain: a transpose for ``order: F``,
   the filters, the ``bytes`` codec with the byte order of the dtype where no filter makes bytes,
   the compressor.
2. :func:`to_v2` translates a chain back.
3. :func:`parse_v3` parses the ``codecs`` of a ``zarr.json``; :func:`to_v3` writes them.

A v2 filter says nothing about whether it works on arrays or on bytes, so the ones of numcodecs
are listed here. Any other is given the array if it is the first to make bytes, as in v2, and bytes
behind that; the registry of codecs refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from cuzarr.meta import dtypes, ml_types
from cuzarr.meta.problems import Problems, integer, is_list, named, show
from cuzarr.meta.spec import JSON, CodecSpec

DType: TypeAlias = np.dtype[Any]

BLOSC_CNAMES = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
_SHUFFLES: dict[int | None, str] = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}
_AUTOSHUFFLE = -1

#: numcodecs ids that make bytes of an array.
SERIALIZERS = frozenset(
    ("vlen-utf8", "vlen-bytes", "vlen-array", "json", "json2", "msgpack", "msgpack2", "pickle",
     "pcodec", "zfpy")
)  # fmt: skip
#: numcodecs ids that make bytes of bytes.
BYTES = frozenset(
    ("blosc", "zstd", "lz4", "zlib", "gzip", "bz2", "lzma", "shuffle", "crc32", "crc32c",
     "adler32", "fletcher32", "jenkins_lookup3", "base64", "n5_wrapper")
)  # fmt: skip
#: v3 names of the serializers that have one of their own.
_SERIALIZER_NAMES = {"vlen-utf8": "vlen-utf8", "vlen-bytes": "vlen-bytes"}
#: v2 codecs that are v3 codecs too: the level if none is given, the lowest and the highest in v3.
_LEVELS = {"zstd": (0, -131072, 22), "gzip": (1, 0, 9)}


def from_v2(
    compressor: JSON, filters: JSON, order: str, dtype: DType, ndim: int, problems: Problems
) -> tuple[CodecSpec, ...]:
    """Translate the codecs of a ``.zarray``."""
    stages: list[tuple[str, Mapping[str, JSON]]] = []
    if filters is not None and not is_list(filters):
        problems.add("filters", f"expected a list or null, found {show(filters)}")
        filters = None
    for i, entry in enumerate(filters or ()):
        stages.append((f"filters[{i}]", entry))
    if compressor is not None:
        stages.append(("compressor", compressor))

    codecs = list(_transpose(order, ndim))
    serialized = False
    for place, entry in stages:
        identifier = _identifier(entry, place, problems)
        if identifier is None:
            continue
        if identifier in BYTES and not serialized:
            codecs += bytes_codecs(dtype, problems)
            dtype = dtype if not dtype.hasobject else np.dtype("u1")
            serialized = True
        elif identifier in SERIALIZERS | ARRAYS and serialized:
            problems.add(place, f"{identifier!r} works on arrays, but stands after bytes")
        codecs.append(_codec_from_v2(identifier, entry, dtype, place, problems))
        if identifier in ARRAYS:
            dtype = after_filter(identifier, entry, dtype, place, problems)
        elif identifier not in BYTES:
            serialized, dtype = True, np.dtype("u1")
    if not serialized:
        codecs += bytes_codecs(dtype, problems)
    return tuple(codecs)


def to_v2(
    codecs: Sequence[CodecSpec], ndim: int
) -> tuple[dict[str, JSON] | None, list[dict[str, JSON]] | None, str]:
    """Translate a chain to ``compressor, filters, order``; ``ValueError`` if v2 has no such."""
    order = "C"
    rest = list(codecs)
    if rest[0].name == "transpose":
        if list(rest[0].configuration.get("order", ())) != list(range(ndim))[::-1]:
            raise ValueError("v2 has no transpose but order 'F'")
        order = "F"
        rest.pop(0)
    ids = [codec_to_v2(codec) for codec in rest if codec.name != "bytes"]
    compressor = None
    if rest[-1].name != "bytes" and ids[-1]["id"] not in SERIALIZERS:
        compressor = ids.pop()
    return compressor, ids or None, order


def codec_from_v2(
    entry: Mapping[str, JSON], dtype: DType, problems: Problems, place: str = ""
) -> CodecSpec:
    """Translate one ``{"id": ...}``; ``dtype`` is that of the elements that it is given."""
    identifier = _identifier(entry, place, problems)
    return _codec_from_v2(identifier or "", entry, dtype, place, problems)


def codec_to_v2(codec: CodecSpec) -> dict[str, JSON]:
    """Translate one codec to ``{"id": ...}``; raises ``ValueError`` if v2 has no such codec."""
    configuration = dict(codec.configuration)
    if codec.name == "blosc":
        numbers = {name: number for number, name in _SHUFFLES.items()}
        shuffle = configuration.get("shuffle", "shuffle")
        return {
            "id": "blosc",
            "cname": configuration.get("cname", "lz4"),
            "clevel": configuration.get("clevel", 5),
            "shuffle": numbers.get(shuffle, shuffle),
            "blocksize": configuration.get("blocksize", 0),
        }
    if codec.name == "zstd":
        # Readers older than numcodecs 0.13 refuse the word "checksum".
        checksum = {"checksum": True} if configuration.get("checksum") else {}
        return {"id": "zstd", "level": configuration.get("level", 0), **checksum}
    if codec.name in ("gzip", *_SERIALIZER_NAMES):
        return {"id": codec.name, **configuration}
    if codec.name.startswith("numcodecs."):
        return {"id": codec.name.removeprefix("numcodecs."), **configuration}
    raise ValueError(f"the codec {codec.name!r} does not exist in Zarr v2; use zarr_format=3")


def parse_v3(value: JSON, place: str, problems: Problems) -> tuple[CodecSpec, ...]:
    """Parse a list of codecs; only its form is looked at."""
    if not is_list(value):
        problems.add(place, f"expected a list of codecs, found {show(value)}")
        return ()
    if not value:
        problems.add(place, "is empty: an array-to-bytes codec, such as 'bytes', is needed")
    parsed = (named(entry, f"{place}[{i}]", problems) for i, entry in enumerate(value))
    return tuple(CodecSpec(*entry) for entry in parsed if entry is not None)


def to_v3(codecs: Sequence[CodecSpec]) -> list[JSON]:
    """Return the ``codecs`` of a ``zarr.json``."""
    return [
        {"name": codec.name, "configuration": dict(codec.configuration)}
        if codec.configuration or _keeps_empty(codec.name)
        else {"name": codec.name}
        for codec in codecs
    ]


def _keeps_empty(name: str) -> bool:
    """Whether other readers need the configuration of a codec even where it is empty."""
    return name in _SERIALIZER_NAMES or name.startswith("numcodecs.")


def serializer_name(codecs: Sequence[CodecSpec]) -> str | None:
    """Return the codec that turns elements into bytes, inside shards where there are any."""
    names = SERIALIZERS | {"bytes"}
    for codec in codecs:
        if codec.name.removeprefix("numcodecs.") in names:
            return codec.name
        if codec.name == "sharding_indexed":
            inner = parse_v3(codec.configuration.get("codecs"), codec.name, Problems())
            return serializer_name(inner)
    return None


def is_serializer(codec: CodecSpec) -> bool:
    """Whether a codec makes bytes of an array."""
    identifier = codec.name.removeprefix("numcodecs.")
    return codec.name in ("bytes", "packbits", "sharding_indexed") or identifier in SERIALIZERS


def is_bytes_codec(codec: CodecSpec) -> bool:
    """Whether a codec is known to make bytes of bytes."""
    return codec.name.removeprefix("numcodecs.") in BYTES


def bytes_codecs(dtype: DType, problems: Problems | None = None) -> list[CodecSpec]:
    """Return the ``bytes`` codec of a dtype, with an ``endian`` where the type has a byte order."""
    if dtype.hasobject:
        if problems is not None:
            message = "an object data type needs a filter that makes bytes, such as 'vlen-utf8'"
            problems.add("filters", message)
        return []
    if ml_types.is_ml(dtype) and dtype.itemsize > 1:
        return [CodecSpec("bytes", {"endian": "little"})]
    if dtype.kind in "SV" or dtype.itemsize == 1:
        return [CodecSpec("bytes")]
    return [CodecSpec("bytes", {"endian": {"<": "little", ">": "big"}[dtype.str[0]]})]


def after_filter(
    identifier: str, entry: Mapping[str, JSON], dtype: DType, place: str, problems: Problems
) -> DType:
    """Return the dtype that a filter of arrays makes."""
    if identifier == "packbits":
        return np.dtype("u1")
    if identifier not in ("delta", "fixedscaleoffset", "quantize", "categorize", "astype"):
        return dtype
    field = "encode_dtype" if identifier == "astype" else "astype"
    value = entry.get(field, "|u1" if identifier == "categorize" else entry.get("dtype"))
    if value is None:
        return dtype
    found = dtypes.element_type(value)
    if found is None:
        problems.add(f"{place}.{field}", f"expected a data type, found {show(value)}")
        return dtype
    return found


def blosc_typesize(dtype: DType) -> int:
    """Return the ``typesize`` for a dtype: one byte of the Blosc header; 1 where it is larger."""
    return dtype.itemsize if dtype.itemsize < 256 and not dtype.hasobject else 1


ARRAYS = frozenset(
    ("delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype", "categorize")
)


def _identifier(entry: JSON, place: str, problems: Problems) -> str | None:
    if not isinstance(entry, Mapping):
        problems.add(place, f"expected an object with an id, found {show(entry)}")
        return None
    identifier = entry.get("id")
    if not isinstance(identifier, str) or not identifier:
        found = show(identifier) if "id" in entry else "none"
        problems.add(f"{place}.id" if place else "id", f"expected a string, found {found}")
        return None
    return identifier


def _transpose(order: str, ndim: int) -> list[CodecSpec]:
    if order != "F" or ndim < 2:
        return []
    return [CodecSpec("transpose", {"order": list(range(ndim))[::-1]})]


def _codec_from_v2(
    identifier: str, entry: Mapping[str, JSON], dtype: DType, place: str, problems: Problems
) -> CodecSpec:
    rest = {name: value for name, value in entry.items() if name != "id"}
    at = f"{place}." if place else ""
    if identifier == "blosc":
        return _blosc_from_v2(rest, dtype, at, problems)
    if identifier in _LEVELS:
        usual, low, high = _LEVELS[identifier]
        level = integer(rest.get("level", usual))
        if level is None:
            problems.add(f"{at}level", f"expected an integer, found {show(rest['level'])}")
            level = usual
        if low <= level <= high:  # else numcodecs knows what is meant, and the v3 codec does not
            checksum = {} if identifier == "gzip" else {"checksum": bool(rest.get("checksum"))}
            return CodecSpec(identifier, {"level": level, **checksum})
    if identifier in _SERIALIZER_NAMES:
        return CodecSpec(_SERIALIZER_NAMES[identifier], rest)
    if identifier == "shuffle":
        rest.setdefault("elementsize", 4)  # of numcodecs; in v3 it follows the data type
    return CodecSpec(f"numcodecs.{identifier}", rest)


def _blosc_from_v2(
    rest: Mapping[str, JSON], dtype: DType, at: str, problems: Problems
) -> CodecSpec:
    cname = rest.get("cname", "lz4")
    if cname not in BLOSC_CNAMES:
        found = f"expected one of {', '.join(BLOSC_CNAMES)}, found {show(cname)}"
        problems.add(f"{at}cname", found)
    shuffle = integer(rest.get("shuffle", 1))
    if shuffle == _AUTOSHUFFLE:  # as numcodecs resolves it; the document keeps the -1
        shuffle = 2 if blosc_typesize(dtype) == 1 else 1
    if shuffle not in _SHUFFLES:
        problems.add(f"{at}shuffle", f"expected -1, 0, 1 or 2, found {show(rest['shuffle'])}")
    numbers = {"clevel": rest.get("clevel", 5), "blocksize": rest.get("blocksize", 0)}
    for name, value in numbers.items():
        if integer(value) is None or value < 0:
            problems.add(f"{at}{name}", f"expected a non-negative integer, found {show(value)}")
    typesize = integer(rest.get("typesize"))
    if typesize is None or not 0 < typesize < 256:
        typesize = blosc_typesize(dtype)
    return CodecSpec(
        "blosc",
        {
            "cname": cname,
            "clevel": numbers["clevel"],
            "shuffle": _SHUFFLES.get(shuffle),
            "typesize": typesize,
            "blocksize": numbers["blocksize"],
        },
    )
