"""Group: the hierarchy, and creating, changing and removing members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from cuzarr import display, hierarchy, nodes
from cuzarr.aio import AsyncGroup
from cuzarr.array import Array
from cuzarr.attrs import check_attributes
from cuzarr.errors import ContainsNodeError, NodeNotFoundError, NodeTypeError
from cuzarr.making import like, make_array
from cuzarr.members import Members
from cuzarr.meta.spec import ArraySpec, GroupSpec, NodeSpec, ZarrFormat
from cuzarr.options import open_options
from cuzarr.storage.base import Store
from cuzarr.storage.prefix import join, normalize_path
from cuzarr.storage.resolve import StoreLike, as_store

_MISSING = object()


class Group(Members):
    """A group of arrays and groups.

    Made by ``cuzarr.open_group``, ``cuzarr.create_group`` and their kin, not by calling it.

    Parameters
    ----------
    store : Store
    path : str
    spec : GroupSpec
    read_only : bool
    device : str or None
        For the arrays below it that are given none.
    """

    def __init__(
        self, store: Store, path: str, spec: GroupSpec, *, read_only: bool, device: str | None
    ) -> None:
        self._store, self._path, self._spec = store, path, spec
        self._read_only, self._device = read_only, device

    @classmethod
    def open(
        cls,
        store: StoreLike,
        zarr_format: ZarrFormat | None = None,
        use_consolidated: nodes.Consolidation = None,
    ) -> Self:
        """Open the group at the root of a store."""
        opened = as_store(store)
        spec = nodes.read_group(opened, "", zarr_format, use_consolidated)
        return cls(opened, "", spec, read_only=opened.read_only, device=None)

    @classmethod
    def from_store(
        cls,
        store: StoreLike,
        *,
        attributes: Mapping[str, Any] | None = None,
        zarr_format: ZarrFormat = 3,
        overwrite: bool = False,
    ) -> Self:
        """Create a group at the root of a store."""
        opened = as_store(store)
        spec = GroupSpec(check_attributes(attributes), zarr_format)
        nodes.create_node(opened, "", spec, overwrite=overwrite)
        return cls(opened, "", spec, read_only=False, device=None)

    # What it is

    @property
    def metadata(self) -> GroupSpec:
        """The description that the metadata documents give."""
        return self._spec

    @property
    def async_group(self) -> AsyncGroup:
        """The same group, for ``await``."""
        return AsyncGroup(self)

    # Creating

    def create_group(
        self,
        name: str,
        overwrite: bool = False,
        *,
        attributes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Create a group below this one, in its format; groups between them are created too."""
        self._check_writable()
        path = self._child_path(name)
        spec = GroupSpec(check_attributes(attributes), self.zarr_format)
        nodes.create_node(self._store, path, spec, overwrite=overwrite)
        return type(self)(self._store, path, spec, read_only=False, device=self._device)

    def create_groups(self, *names: str, **options: Any) -> tuple[Self, ...]:
        """Create several groups."""
        return tuple(self.create_group(name, **options) for name in names)

    def require_group(self, name: str, overwrite: bool = False) -> Self:
        """Return the group ``name``, creating it where it is missing."""
        if overwrite or name not in self:
            try:
                return self.create_group(name, overwrite=overwrite)
            except ContainsNodeError:
                if name not in self:  # else somebody else was faster
                    raise
        return self.get_group(name)

    def require_groups(self, *names: str) -> tuple[Self, ...]:
        """Return several groups, creating those that are missing."""
        return tuple(self.require_group(name) for name in names)

    def create_array(
        self,
        name: str,
        *,
        device: str | None = None,
        zarr_format: ZarrFormat | None = None,
        **options: Any,
    ) -> Array:
        """Create an array below this group.

        Parameters are those of ``cuzarr.create_array``; the format is this group's unless given.
        """
        self._check_writable()
        zarr_format, options = open_options(zarr_format, options)
        return make_array(
            self._store,
            self._child_path(name),
            device=self._device if device is None else device,
            zarr_format=zarr_format or self.zarr_format,
            **options,
        )

    def create(self, name: str, **options: Any) -> Array:
        """Create an array; ``dtype`` defaults to float64. Other parameters as there."""
        if options.get("data") is None and options.get("dtype") is None:
            options["dtype"] = "f8"
        return self.create_array(name, **options)

    def create_dataset(self, name: str, **options: Any) -> Array:
        """Do as :meth:`create`, by h5py's name."""
        return self.create(name, **options)

    def create_hierarchy(
        self, nodes: Mapping[str, Any], *, overwrite: bool = False
    ) -> Iterator[tuple[str, Array | Group]]:
        """Create many arrays and groups below this one; see ``cuzarr.create_hierarchy``."""
        self._check_writable()
        below = {self._child_path(path): metadata for path, metadata in nodes.items()}
        created = new_nodes(self._store, "", below, overwrite=overwrite, device=self._device)
        skip = len(self._path) + 1 if self._path else 0
        return ((path[skip:], node) for path, node in created if path != self._path)

    def require_array(
        self, name: str, *, shape: Any, dtype: Any = None, exact: bool = False, **options: Any
    ) -> Array:
        """Return the array ``name``, creating it where it is missing.

        Parameters
        ----------
        name : str
        shape : int or sequence of int
        dtype : data type or None
        exact : bool
            Whether an array that is there must have that very data type.
        **options
            As in :meth:`create_array`, where it is created.

        Raises
        ------
        NodeTypeError
            It is there with another shape, or with a data type that ``dtype`` cannot be cast to.
        """
        if name not in self:
            try:
                return self.create(name, shape=shape, dtype=dtype, **options)
            except ContainsNodeError:
                if name not in self:  # else somebody else was faster
                    raise
        found = self.get_array(name)
        wanted = (shape,) if isinstance(shape, int) else tuple(shape)
        if found.shape != wanted:
            raise NodeTypeError(f"array {found.name!r} has shape {found.shape}, not {wanted}")
        if dtype is None:
            return found
        if found.dtype != np.dtype(dtype) if exact else not np.can_cast(found.dtype, dtype):
            raise NodeTypeError(
                f"array {found.name!r} has data type {found.dtype}, not {np.dtype(dtype)}"
            )
        return found

    def require_dataset(
        self, name: str, shape: Any, dtype: Any = None, exact: bool = False, **options: Any
    ) -> Array:
        """Do as :meth:`require_array`, by h5py's name."""
        return self.require_array(name, shape=shape, dtype=dtype, exact=exact, **options)

    def array(self, name: str, data: Any, **options: Any) -> Array:
        """Create an array that holds ``data``."""
        return self.create_array(name, data=data, **options)

    def zeros(self, name: str, **options: Any) -> Array:
        """Create an array with fill value 0."""
        return self.create(name, fill_value=0, **options)

    def ones(self, name: str, **options: Any) -> Array:
        """Create an array with fill value 1."""
        return self.create(name, fill_value=1, **options)

    def empty(self, name: str, **options: Any) -> Array:
        """Create an array whose contents do not matter yet."""
        return self.create(name, **options)

    def full(self, name: str, fill_value: Any, **options: Any) -> Array:
        """Create an array with a fill value."""
        return self.create(name, fill_value=fill_value, **options)

    def zeros_like(self, name: str, data: Any, **options: Any) -> Array:
        """Create an array like ``data`` with fill value 0."""
        return self._create_like(name, data, {"fill_value": 0, **options})

    def ones_like(self, name: str, data: Any, **options: Any) -> Array:
        """Create an array like ``data`` with fill value 1."""
        return self._create_like(name, data, {"fill_value": 1, **options})

    def empty_like(self, name: str, data: Any, **options: Any) -> Array:
        """Create an array like ``data`` whose contents do not matter yet."""
        return self._create_like(name, data, options)

    def full_like(self, name: str, data: Any, **options: Any) -> Array:
        """Create an array like ``data``; ``fill_value`` is that of ``data`` unless given."""
        return self._create_like(name, data, options)

    def _create_like(self, name: str, data: Any, options: dict[str, Any]) -> Array:
        options = {"zarr_format": self.zarr_format, **options}
        return self.create(name, **{**like(data, options), **options})

    # Changing it

    def __setitem__(self, name: str, value: Any) -> None:
        """Store ``value`` as an array, replacing what is there."""
        self.create_array(name, data=value, overwrite=True)

    def __delitem__(self, name: str) -> None:
        self._check_writable()
        path = self._child_path(name)
        if name not in self and nodes.find_node(self._store, path) is None:
            raise NodeNotFoundError(f"group {self.name!r} in {self._store} has no member {name!r}")
        self._store.delete_dir(path)
        self._forget(name)

    def move(self, source: str, dest: str) -> None:
        """Give a member another path below this group.

        Raises
        ------
        NodeNotFoundError
            There is no such member.
        ContainsArrayError, ContainsGroupError
            Something is at ``dest``.
        """
        self._check_writable()
        hierarchy.move_node(self._store, self._child_path(source), self._child_path(dest))
        self._forget(source)

    def _forget(self, name: str) -> None:
        """Remove a member from the consolidated metadata that the group was opened with."""
        if self._spec.consolidated is not None:
            self._spec.consolidated.remove(normalize_path(name))
            nodes.write_node(self._store, self._path, self._spec)

    def clear(self) -> None:
        """Remove every member; attributes stay."""
        for name in list(self.keys()):
            del self[name]

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        """Remove a member and return its data, an array in memory; of a group, a dict of them."""
        if name not in self:
            if default is _MISSING:
                raise NodeNotFoundError(f"group {self.name!r} has no member {name!r}")
            return default
        found = _in_memory(self[name])
        del self[name]
        return found

    def popitem(self) -> tuple[str, Any]:
        """Remove any member; return its name and its data as :meth:`pop` does."""
        for name in self.keys():
            return name, self.pop(name)
        raise NodeNotFoundError(f"group {self.name!r} is empty")

    def setdefault(self, name: str, default: Any) -> Array | Group:
        """Return a member, storing ``default`` as an array where it is missing."""
        if name in self:
            return self[name]
        return self.create_array(name, data=default)

    def update(self, other: Any = (), /, **arrays: Any) -> None:
        """Store many arrays, replacing those that are there."""
        for name, value in {**dict(other), **arrays}.items():
            self[name] = value

    async def update_attributes_async(self, new_attributes: Mapping[str, Any]) -> Group:
        """Change attributes and return the group."""
        await self.async_group.update_attributes(new_attributes)
        return self

    def _child_path(self, name: str) -> str:
        relative = normalize_path(name)
        if not relative:
            raise ValueError(f"a member of group {self.name!r} needs a name")
        return join(self._path, relative)

    # Looking at it

    def tree(
        self,
        expand: bool | None = None,  # noqa: ARG002  # of the widget of zarr-python 2
        level: int | None = None,
        *,
        max_nodes: int = 500,
        plain: bool = False,
    ) -> display.Tree:
        """Return the hierarchy below this group; prints as text, shows as HTML in a notebook.

        Parameters
        ----------
        expand : None
            Has no meaning here.
        level : int or None
            Levels shown; None = all.
        max_nodes : int
            Of the text; a last line tells that there are more.
        plain : bool
            Without HTML.
        """
        return display.tree(self, level, max_nodes=max_nodes, plain=plain)

    @property
    def info(self) -> display.Info:
        """A short report; prints as text."""
        return display.group_info(self, complete=False)

    def info_complete(self) -> display.Info:
        """Return the report with what takes a listing of everything below."""
        return display.group_info(self, complete=True)

    def info_items(self) -> list[tuple[str, str]]:
        """Return the rows of :attr:`info`."""
        return list(self.info.rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._store, self._path, self._spec, self._read_only, self._device)

    def __repr__(self) -> str:
        return f"<Group {display.location(self._store, self._path)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _unpickle(
    store: Store, path: str, spec: GroupSpec, read_only: bool, device: str | None
) -> Group:
    return Group(store, path, spec, read_only=read_only, device=device)


def new_nodes(
    store: Store,
    root: str,
    metadata: Mapping[str, Any],
    *,
    overwrite: bool,
    device: str | None,
) -> list[tuple[str, Array | Group]]:
    """Create many nodes and the groups between them; see ``cuzarr.create_hierarchy``."""
    specs = {
        join(root, normalize_path(path)): hierarchy.as_spec(given, path)
        for path, given in metadata.items()
    }
    created = hierarchy.create_nodes(store, specs, overwrite=overwrite)
    return [(path, _node(store, path, spec, device)) for path, spec in created]


def _node(store: Store, path: str, spec: NodeSpec, device: str | None) -> Array | Group:
    if isinstance(spec, ArraySpec):
        return Array(store, path, spec, read_only=False, device=device)
    return Group(store, path, spec, read_only=False, device=device)


def _in_memory(node: Array | Group) -> Any:
    if isinstance(node, Array):
        return node[...]
    return {name: _in_memory(member) for name, member in node.items()}


AsyncGroup.wraps = Group
