"""A place in a store: what ``array.store_path`` gives, and what may stand for a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cuzarr.storage.base import Store
from cuzarr.storage.prefix import join, normalize_path


@dataclass(frozen=True)
class StorePath:
    """A store and a path in it.

    Attributes
    ----------
    store : Store
    path : str
        "" for the root.
    """

    store: Store
    path: str = ""

    def __truediv__(self, name: str) -> StorePath:
        return StorePath(self.store, join(self.path, normalize_path(name)))

    def __str__(self) -> str:
        text = str(self.store)
        return f"{text.rstrip('/')}/{self.path}" if self.path else text

    def __repr__(self) -> str:
        return f"StorePath({str(self)!r})"

    @property
    def read_only(self) -> bool:
        """Whether the store refuses writes."""
        return self.store.read_only

    @staticmethod
    def matches(given: Any) -> bool:
        """Tell a store path, of this library or zarr-python, from a store."""
        return (
            hasattr(given, "store") and isinstance(getattr(given, "path", None), str)
            and not hasattr(given, "list_dir") and not hasattr(given, "shape")
        )  # fmt: skip
