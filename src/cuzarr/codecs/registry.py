"""Names to codecs.

1. Each codec module registers its classes under their v3 names; a family of names with a common
   prefix registers a function that makes a class of a name.
2. Packages register codecs by the entry point group ``cuzarr.codecs``; an entry point is loaded
   when a document asks for its name, and a codec registered in code comes before it.
3. :func:`build_codecs` turns the specs of a metadata document into codecs and collects every
   problem with its place before it raises once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import entry_points
from typing import Any

from cuzarr.codecs.base import Codec
from cuzarr.errors import MetadataError, UnknownCodecError
from cuzarr.meta.spec import CodecSpec

ENTRY_POINTS = "cuzarr.codecs"
_codecs: dict[str, type[Codec]] = {}
_families: dict[str, tuple[Callable[[str], type[Codec] | None], Callable[[], Iterable[str]]]] = {}


def register_codec(name: str, codec: type[Codec]) -> None:
    """Make ``codec`` known under a v3 name; a later registration replaces an earlier one.

    Parameters
    ----------
    name : str
        As in the ``name`` of a codec in a ``zarr.json``.
    codec : subclass of ArrayArrayCodec, ArrayBytesCodec or BytesBytesCodec
    """
    given: Any = codec
    if not isinstance(given, type) or not issubclass(given, Codec):
        raise TypeError(f"codec {name!r} must be a subclass of cuzarr.codecs.base.Codec")
    _codecs[name] = codec


def register_family(
    prefix: str,
    make: Callable[[str], type[Codec] | None],
    names: Callable[[], Iterable[str]],
) -> None:
    """Make codecs known under all names with a prefix.

    Parameters
    ----------
    prefix : str
    make : callable
        Returns the class for a name, or None; ``ValueError`` says what is missing.
    names : callable
        Returns the names that :func:`registered_codecs` lists.
    """
    _families[prefix] = make, names


def registered_codecs() -> tuple[str, ...]:
    """Return every registered name, sorted."""
    found = set(_codecs)
    for _, names in _families.values():
        found.update(names())
    found.update(point.name for point in entry_points(group=ENTRY_POINTS))
    return tuple(sorted(found))


def codec_class(name: str) -> type[Codec]:
    """Return the class that is registered under a name.

    Raises
    ------
    KeyError
        There is none.
    ValueError
        There would be, but something is missing or broken; says what.
    """
    if name in _codecs:
        return _codecs[name]
    for prefix, (make, _) in _families.items():
        found = make(name) if name.startswith(prefix) else None
        if found is not None:
            return found
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            register_codec(name, point.load())
        except Exception as error:
            raise ValueError(f"the entry point {point.value!r} is broken: {error}") from error
        return _codecs[name]
    raise KeyError(name)


def build_codec(spec: CodecSpec) -> Codec:
    """Build one codec.

    Raises
    ------
    KeyError
        The name is not registered.
    ValueError
        The configuration is wrong; the message says what.
    """
    return codec_class(spec.name).from_configuration(spec.configuration)


def build_codecs(key: str, specs: Sequence[CodecSpec], place: str = "codecs") -> list[Codec]:
    """Build the codecs of the document at store key ``key``.

    Raises
    ------
    UnknownCodecError
        At least one name is not registered, or its codec cannot be loaded.
    MetadataError
        At least one configuration is wrong.
    """
    built: list[Codec] = []
    problems: list[str] = []
    unknown = False
    for i, spec in enumerate(specs):
        try:
            made = codec_class(spec.name)
        except (KeyError, ValueError) as error:
            unknown = True
            known = f"known are {', '.join(registered_codecs())}"
            why = known if isinstance(error, KeyError) else str(error)
            problems.append(f"{place}[{i}]: unknown codec {spec.name!r}; {why}")
            continue
        try:
            built.append(made.from_configuration(spec.configuration))
        except MetadataError as error:
            unknown |= isinstance(error, UnknownCodecError)
            problems += [f"{place}[{i}].{problem}" for problem in error.problems]
        except (ValueError, TypeError) as error:
            problems.append(f"{place}[{i}] ({spec.name}): {error}")
    if problems:
        raise (UnknownCodecError if unknown else MetadataError)(key, problems)
    return built
