"""User attributes of a node: a mapping that is stored when it is changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np


class Attributes(MutableMapping[str, Any]):
    """Attributes of an array or group; every change of an attribute is written at once.

    A list or mapping inside one that is changed in place is stored by the next change, as with
    zarr-python: ``attrs["a"] = [*attrs["a"], 1]`` rather than ``attrs["a"].append(1)``.

    Parameters
    ----------
    load : callable
        Returns the current attributes.
    save : callable
        Stores new ones; raises ``ReadOnlyError`` where that is not allowed.
    """

    def __init__(
        self,
        load: Callable[[], Mapping[str, Any]],
        save: Callable[[dict[str, Any]], None],
    ) -> None:
        self._load, self._save = load, save

    def __getitem__(self, key: str) -> Any:
        return self._load()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        changed = dict(self._load())
        del changed[key]
        self._save(changed)

    def __iter__(self) -> Iterator[str]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())

    def __repr__(self) -> str:
        return f"Attributes({self.asdict()!r})"

    def asdict(self) -> dict[str, Any]:
        """Return a copy."""
        return dict(self._load())

    def put(self, values: Mapping[str, Any]) -> None:
        """Replace all attributes."""
        self._save(check_attributes(values))

    def update(self, *others: Any, **values: Any) -> None:
        """Change many attributes with one write."""
        changed = dict(self._load())
        changed.update(check_attributes(dict(*others, **values)))
        self._save(changed)

    def clear(self) -> None:
        """Remove all attributes with one write."""
        self._save({})


def check_attributes(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return attributes as JSON values.

    NumPy scalars and arrays become numbers and lists.

    Raises
    ------
    TypeError
        Names the first attribute that is not JSON.
    """
    given = dict(values or {})
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"attribute names must be strings, not {name!r}")
    try:
        checked: dict[str, Any] = _as_json(given)
    except (TypeError, ValueError, RecursionError):
        return {name: _checked(name, value) for name, value in given.items()}
    return checked


def _checked(name: str, value: Any) -> Any:
    try:
        return _as_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"attribute {name!r} cannot be stored as JSON: {error}") from error


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not a JSON type")
