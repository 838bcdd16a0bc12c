"""Configuration: ``cuzarr.config``, in code, as a context manager, and from the environment.

``cuzarr.config.set({"device": "cpu"})``, ``with cuzarr.config.set({...}):``,
``cuzarr.config.get("device")``, ``cuzarr.config.reset()``; ``CUZARR_DEVICE=cpu`` in the
environment sets the same key, ``__`` standing for a dot (``CUZARR_HOST__THREADS=4``).

===========================  =========  ==========================================================
key                          default    meaning
===========================  =========  ==========================================================
device                       "auto"     "auto", "cpu", "cuda" or "cuda:N"
default_zarr_format          3          format of new arrays and groups without a parent
allow_pickle                 False      read arrays of pickled objects: runs code that they hold
write_empty_chunks           False      store chunks that are all fill value
read_missing_chunks          True       chunks that are not stored read as the fill value; False:
                                        reading one raises ``ChunkNotFoundError``
order                        "C"        memory order of NumPy arrays that reads return
host.threads                 None       threads of the host backend; None = processors we may use
host.run_bytes               1048576    decoded bytes that one task of the host backend handles
host.wave_chunks             65536      chunks planned at a time on the host
async.concurrency            64         requests at a time to a store object of zarr-python
cuda.budget                  None       bytes of device scratch per call; None = a sixteenth of the
                                        device's memory, from 1 to 8 GiB
cuda.slab_bytes              268435456  bytes of each pinned slab
cuda.fetch                   "native"   what reads the files of a local store for a device:
                                        "native", or "kvikio" (into device memory)
cuda.device_decode           "checked"  "checked", "trusted" or "host"
cuda.placement               {}         overrides of the placement table (``cuda.placement``)
cuda.encode                  "auto"     where chunks of a write are encoded: "auto", "host" or
                                        "device" (wherever it has the codecs)
cuda.small_bytes             None       bytes of chunks up to which the host reads for a device's
                                        array; None = 1 MiB for each host thread
===========================  =========  ==========================================================

The keys of zarr-python that mean the same are understood: ``array.order``,
``array.write_empty_chunks``, ``array.read_missing_chunks``, ``array.allow_unsafe_pickle_decode``,
``async.concurrency`` and ``threading.max_workers``. Its other keys can be set, and do nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Literal, Self

import donfig

DEFAULTS: dict[str, Any] = {
    "device": "auto",
    "default_zarr_format": 3,
    "allow_pickle": False,
    "write_empty_chunks": False,
    "read_missing_chunks": True,
    "order": "C",
    "host": {"threads": None, "run_bytes": 2**20, "wave_chunks": 65536},
    "async": {"concurrency": 64},
    "cuda": {
        "budget": None,
        "slab_bytes": 2**28,
        "fetch": "native",
        "device_decode": "checked",
        "placement": {},
        "encode": "auto",
        "small_bytes": None,
    },
}


_CHOICES: dict[str, tuple[Any, ...]] = {
    "write_empty_chunks": (False, True),
    "read_missing_chunks": (False, True),
    "order": ("C", "F"),
    "cuda.fetch": ("native", "kvikio"),
    "cuda.device_decode": ("checked", "trusted", "host"),
    "cuda.encode": ("auto", "host", "device"),
}

ALIASES = {
    "array.allow_unsafe_pickle_decode": "allow_pickle",
    "array.order": "order",
    "array.read_missing_chunks": "read_missing_chunks",
    "array.write_empty_chunks": "write_empty_chunks",
    "threading.max_workers": "host.threads",
}


class Config(donfig.Config):  # type: ignore[misc]  # donfig has no types
    """The configuration of cuzarr: ``get``, ``set``, ``reset``."""

    def get(self, key: str, *default: Any) -> Any:
        """Return the value of a key; ``KeyError`` where it is not there and has no default."""
        name = ALIASES.get(key, key)
        found: Any = self.config
        try:
            for part in name.split("."):
                found = found[part]
        except (KeyError, TypeError, IndexError):  # other spellings, defaults, the error
            return super().get(name, *default)
        return found

    def count(self, key: str) -> int:
        """Return the value of a key that must be a positive integer; ``ValueError`` if not."""
        value = self.get(key)
        whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or value < 1:
            section, _, name = key.partition(".")
            unset = " or None" if DEFAULTS[section][name] is None else ""
            raise ValueError(f"{key} must be a positive integer{unset}, not {value!r}")
        return int(value)

    def set(self, arg: Mapping[str, Any] | None = None, **values: Any) -> Any:
        """Set values, for good or for the length of a ``with``: ``set({"host.threads": 4})``.

        Raises
        ------
        ValueError
            A choice that there is not, or a key of a section of ours that is unknown.
        """
        given = {**(arg or {}), **{name.replace("__", "."): v for name, v in values.items()}}
        renamed = dict(_renamed(given))
        for key, value in renamed.items():
            _check(key, value)
        return super().set(renamed)

    def reset(self) -> None:
        """Go back to the defaults and the environment."""
        self.clear()
        self.refresh()

    def enable_gpu(self) -> Any:
        """Put the results of arrays opened from now on, or in the ``with``, on the GPU."""
        return self.set({"device": "cuda"})


@dataclass(frozen=True, slots=True)
class ArrayConfig:
    """What an array does differently from the configuration: ``array.with_config({...})``.

    Attributes
    ----------
    order : {"C", "F"} or None
        Memory order of the NumPy arrays that reads return; None takes ``cuzarr.config``'s.
    write_empty_chunks : bool or None
        Store chunks that are all fill value; None takes ``cuzarr.config``'s.
    read_missing_chunks : bool or None
        Read chunks that are not stored as the fill value; None takes ``cuzarr.config``'s.
    """

    order: Literal["C", "F"] | None = None
    write_empty_chunks: bool | None = None
    read_missing_chunks: bool | None = None

    def __post_init__(self) -> None:
        if self.order not in (None, "C", "F"):
            raise ValueError(f"config: order must be 'C' or 'F', not {self.order!r}")
        for name in ("write_empty_chunks", "read_missing_chunks"):
            value = getattr(self, name)
            if not isinstance(value, bool | None):
                raise TypeError(f"config: {name} must be True or False, not {value!r}")

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return the config that a mapping, an object with the same attributes or None means.

        Raises
        ------
        ValueError, TypeError
            A value is wrong, or a key is unknown.
        """
        names = cls.__slots__
        if given is None:
            return cls()
        if not isinstance(given, Mapping):
            return cls(*(getattr(given, name, None) for name in names))
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise ValueError(f"config: unknown {', '.join(map(repr, unknown))}; known are {names}")
        return cls(**given)

    def updated(self, other: ArrayConfig) -> ArrayConfig:
        """Return the config with all that another one decides."""
        new = {name: getattr(other, name) for name in self.__slots__}
        return replace(self, **{name: value for name, value in new.items() if value is not None})


def _renamed(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield keys as cuzarr spells them; sections that have aliases are taken apart."""
    for key, value in values.items():
        full = f"{prefix}{key}"
        if isinstance(value, Mapping) and any(alias.startswith(f"{full}.") for alias in ALIASES):
            yield from _renamed(value, f"{full}.")
        else:
            yield ALIASES.get(full, full), value


def _check(key: str, value: Any) -> None:
    key = key.replace("-", "_")  # as donfig does
    section, _, rest = key.partition(".")
    if section in ("host", "cuda") and not rest:
        if not isinstance(value, Mapping):
            raise ValueError(f"{section} must be a mapping of settings, not {value!r}")
        for name, setting in value.items():
            _check(f"{section}.{name}", setting)
        return
    name = rest.partition(".")[0]
    if section in ("host", "cuda") and name not in DEFAULTS[section]:
        near = difflib.get_close_matches(name, DEFAULTS[section], 1)
        hint = f": did you mean {section}.{near[0]}?" if near else ""
        raise ValueError(f"there is no setting {section}.{name}{hint}")
    choices = _CHOICES.get(key, (value,))
    if value not in choices:
        raise ValueError(f"{key} must be one of {', '.join(map(repr, choices))}, not {value!r}")


config = Config("cuzarr", defaults=[DEFAULTS], paths=[])
