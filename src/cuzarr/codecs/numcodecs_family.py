"""Which numcodecs codec is of which kind, by its id; every id of the numcodecs registry is found.

1. The kinds of numcodecs' own codecs are those that v2 documents are read with
   (``meta.codec_specs``).
2. Any other codec that is registered with numcodecs takes the kind of its place in the chain: it
   is a filter before a serializer, a compressor behind one, and the serializer where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numcodecs.registry

from cuzarr.codecs.base import Codec, Place, UnplacedCodec
from cuzarr.codecs.numcodecs_adapter import (
    PREFIX,
    NumcodecsArrayCodec,
    NumcodecsBytesCodec,
    NumcodecsCodec,
)
from cuzarr.codecs.numcodecs_serializers import SERIALIZERS, NumcodecsSerializer
from cuzarr.codecs.registry import register_family
from cuzarr.codecs.vlen import VlenBytesCodec, VlenUtf8Codec
from cuzarr.meta import codec_specs

#: What to install for the codecs that numcodecs has only with another package.
_PACKAGES = {
    "crc32c": "numcodecs[crc32c]",
    "msgpack2": "numcodecs[msgpack]",
    "pcodec": "numcodecs[pcodec]",
    "zfpy": "numcodecs[zfpy]",
}
#: Ids that are also the name of a step of the CUDA backend.
_DEVICE_STEPS = frozenset(
    ("blosc", "zstd", "gzip", "zlib", "lz4", "shuffle", "crc32", "crc32c", "adler32", "fletcher32")
)
AnyNumcodecs = TypeVar("AnyNumcodecs", bound=NumcodecsCodec)
_subclasses: dict[tuple[type[Any], str], type[Any]] = {}
_VLEN: dict[str, type[Codec]] = {"vlen-utf8": VlenUtf8Codec, "vlen-bytes": VlenBytesCodec}


@dataclass(frozen=True)
class NumcodecsUnplacedCodec(NumcodecsCodec, UnplacedCodec):
    """A codec of which only its name is known."""

    config: Mapping[str, Any]

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document."""
        return cls(cls.checked(configuration))

    def placed(self, place: Place) -> Codec:
        """Return the codec of that kind."""
        if place == "array":
            return _subclass(NumcodecsArrayCodec, self.codec_id)(self.config)
        if place == "bytes":
            return _subclass(NumcodecsBytesCodec, self.codec_id)(self.config)
        return _subclass(NumcodecsSerializer, self.codec_id)(self.config)


def numcodecs_class(name: str) -> type[Codec] | None:
    """Return the class for ``numcodecs.<id>``; None where numcodecs has no such codec.

    Raises
    ------
    ValueError
        It has, once another package is installed; says which.
    """
    identifier = name.removeprefix(PREFIX)
    registry = numcodecs.registry
    if identifier not in registry.codec_registry and identifier not in registry.entries:
        if identifier in _PACKAGES:
            raise ValueError(f"needs another package: pip install '{_PACKAGES[identifier]}'")
        return None
    if identifier in _VLEN:
        return _VLEN[identifier]
    if identifier in codec_specs.SERIALIZERS:
        return _subclass(SERIALIZERS.get(identifier, NumcodecsSerializer), identifier)
    if identifier in codec_specs.ARRAYS:
        return _subclass(NumcodecsArrayCodec, identifier)
    if identifier in codec_specs.BYTES:
        return _subclass(NumcodecsBytesCodec, identifier)
    return _subclass(NumcodecsUnplacedCodec, identifier)


def _subclass(base: type[AnyNumcodecs], identifier: str) -> type[AnyNumcodecs]:
    made = _subclasses.get((base, identifier))
    if made is None:
        members = {
            "name": PREFIX + identifier, "codec_id": identifier, "__module__": __name__,
            "device_step": identifier if identifier in _DEVICE_STEPS else None,
        }  # fmt: skip
        made = type(f"{base.__name__}_{identifier}", (base,), members)
        _subclasses[base, identifier] = made
    return made


register_family(
    PREFIX,
    numcodecs_class,
    lambda: [PREFIX + identifier for identifier in numcodecs.registry.codec_registry],
)
