"""What arrays and groups have in common: their place in a store, and user attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from cuzarr import nodes
from cuzarr.attrs import Attributes, check_attributes
from cuzarr.errors import ReadOnlyError
from cuzarr.meta.spec import ZarrFormat
from cuzarr.storage.base import Store
from cuzarr.storage.path import StorePath


class Node:
    """The part of :class:`~cuzarr.Array` and :class:`~cuzarr.Group` that is the same for both."""

    _store: Store
    _path: str
    _spec: Any  #: ArraySpec or GroupSpec
    _read_only: bool

    @property
    def store(self) -> Store:
        """The store that holds it."""
        return self._store

    @property
    def store_path(self) -> StorePath:
        """The store and the path in it."""
        return StorePath(self._store, self._path)

    @property
    def path(self) -> str:
        """Path in the store, without a leading slash; "" for the root."""
        return self._path

    @property
    def name(self) -> str:
        """Path with a leading slash."""
        return f"/{self._path}"

    @property
    def basename(self) -> str:
        """Last part of the path."""
        return self._path.rpartition("/")[2]

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._read_only

    @property
    def zarr_format(self) -> ZarrFormat:
        """2 or 3."""
        found: ZarrFormat = self._spec.zarr_format
        return found

    @property
    def attrs(self) -> Attributes:
        """User attributes; a change is stored at once, assigning replaces all of them."""
        return Attributes(self._load_attributes, self._save_attributes)

    @attrs.setter
    def attrs(self, values: Mapping[str, Any]) -> None:
        self.attrs.put(values)

    def update_attributes(self, new_attributes: Mapping[str, Any]) -> Self:
        """Change attributes; return the array or group."""
        self.attrs.update(new_attributes)
        return self

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Node)
            and self._store == other._store
            and self._path == other._path
            and bool(self._spec == other._spec)
        )

    __hash__ = None  # type: ignore[assignment]  # equal nodes may change

    def _load_attributes(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._spec.attributes
        return found

    def _save_attributes(self, attributes: dict[str, Any]) -> None:
        self._check_writable()
        spec = replace(self._spec, attributes=check_attributes(attributes))
        nodes.write_node(self._store, self._path, spec)
        self._spec = spec

    def _check_writable(self) -> None:
        if self._read_only or self._store.read_only:
            kind = type(self).__name__.lower()
            raise ReadOnlyError(f"{kind} {self.name!r} in {self._store} was opened for reading")
