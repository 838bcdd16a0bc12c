"""Reading values out of a codec's configuration, with errors that say what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def take_int(
    configuration: Mapping[str, Any], name: str, default: int | None, low: int, high: int
) -> int:
    """Return an integer in ``[low, high]``; ``default`` None means that it must be given."""
    value = configuration.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}, not {value!r}")
    return value


def take_choice(
    configuration: Mapping[str, Any], name: str, default: str | None, choices: tuple[str, ...]
) -> str:
    """Return one of ``choices``."""
    value = configuration.get(name, default)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)


def take_bool(configuration: Mapping[str, Any], name: str, default: bool) -> bool:
    """Return a boolean."""
    value = configuration.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004  # the document is wrong, not the call
            f"{name} must be true or false, not {value!r}"
        )
    return value


def refuse_unknown(configuration: Mapping[str, Any], *known: str) -> None:
    """Refuse keys that would change the meaning of the bytes if they were ignored."""
    unknown = sorted(set(configuration) - set(known))
    if unknown:
        raise ValueError(f"unknown configuration {', '.join(map(repr, unknown))}")
