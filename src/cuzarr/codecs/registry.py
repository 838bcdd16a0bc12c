"""Names to codecs.

1. Each codec module registers its classes under their v3 names.
2. :func:`build_codecs` turns the specs of a metadata document into codecs and collects every
   problem with its place before it raises once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cuzarr.codecs.base import Codec
from cuzarr.errors import MetadataError, UnknownCodecError
from cuzarr.meta.spec import CodecSpec

_codecs: dict[str, type[Codec]] = {}
AnyCodecClass = TypeVar("AnyCodecClass", bound=type[Codec])


def register_codec(name: str, codec: type[Codec]) -> None:
    """Make ``codec`` known under a v3 name; a later registration replaces an earlier one."""
    _codecs[name] = codec


def registered_codecs() -> tuple[str, ...]:
    """Return every registered name, sorted."""
    return tuple(sorted(_codecs))


def build_codec(spec: CodecSpec) -> Codec:
    """Build one codec.

    Raises
    ------
    KeyError
        The name is not registered.
    ValueError
        The configuration is wrong; the message says what.
    """
    return _codecs[spec.name].from_configuration(spec.configuration)


def build_codecs(key: str, specs: Sequence[CodecSpec], place: str = "codecs") -> list[Codec]:
    """Build the codecs of the document at store key ``key``.

    Raises
    ------
    UnknownCodecError
        At least one name is not registered.
    MetadataError
        At least one configuration is wrong.
    """
    built: list[Codec] = []
    problems: list[str] = []
    unknown = False
    for i, spec in enumerate(specs):
        try:
            built.append(build_codec(spec))
        except KeyError:
            unknown = True
            known = ", ".join(registered_codecs())
            problems.append(f"{place}[{i}]: unknown codec {spec.name!r}; known are {known}")
        except MetadataError as error:
            unknown |= isinstance(error, UnknownCodecError)
            problems += [f"{place}[{i}].{problem}" for problem in error.problems]
        except (ValueError, TypeError) as error:
            problems.append(f"{place}[{i}] ({spec.name}): {error}")
    if problems:
        raise (UnknownCodecError if unknown else MetadataError)(key, problems)
    return built
