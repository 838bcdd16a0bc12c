"""Group: the hierarchy. Members are read from the store when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np

from cuzarr import display, nodes
from cuzarr.array import Array
from cuzarr.attrs import Attributes, check_attributes
from cuzarr.errors import NodeNotFoundError, NodeTypeError, ReadOnlyError
from cuzarr.meta.create import new_array_spec
from cuzarr.meta.spec import ArraySpec, GroupSpec, NodeSpec, ZarrFormat
from cuzarr.storage.base import Store
from cuzarr.storage.prefix import join, normalize_path


class Group:
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
        self.attrs = Attributes(lambda: self._spec.attributes, self._save_attributes)

    @property
    def store(self) -> Store:
        """The store that holds it."""
        return self._store

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
        return self._spec.zarr_format

    @property
    def metadata(self) -> GroupSpec:
        """The description that the metadata documents give."""
        return self._spec

    # Members

    def __getitem__(self, path: str) -> Array | Group:
        full = join(self._path, normalize_path(path))
        spec = nodes.find_node(self._store, full)
        if spec is None:
            raise NodeNotFoundError(f"group {self.name!r} in {self._store} has no member {path!r}")
        return self._member(full, spec)

    def get(self, path: str, default: Any = None) -> Any:
        """Return a member, or ``default`` where there is none."""
        try:
            return self[path]
        except NodeNotFoundError:
            return default

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        return nodes.find_node(self._store, join(self._path, normalize_path(path))) is not None

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __len__(self) -> int:
        return len(self._children())

    def members(self, max_depth: int | None = 0) -> tuple[tuple[str, Array | Group], ...]:
        """Return (name, member) pairs, sorted.

        Parameters
        ----------
        max_depth : int or None
            0 = direct members; None = all below; names are relative paths.
        """
        found: list[tuple[str, Array | Group]] = []
        for name, spec in self._children():
            member = self._member(join(self._path, name), spec)
            found.append((name, member))
            if isinstance(member, Group) and (max_depth is None or max_depth > 0):
                below = member.members(None if max_depth is None else max_depth - 1)
                found += [(f"{name}/{inner}", node) for inner, node in below]
        return tuple(found)

    def keys(self) -> Iterator[str]:
        """Iterate over the names of the direct members."""
        return iter([name for name, _ in self._children()])

    def values(self) -> Iterator[Array | Group]:
        """Iterate over the direct members."""
        return (member for _, member in self.members())

    def items(self) -> Iterator[tuple[str, Array | Group]]:
        """Iterate over (name, member) pairs."""
        return iter(self.members())

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Iterate over (name, array) pairs of the direct members."""
        return ((name, node) for name, node in self.members() if isinstance(node, Array))

    def array_keys(self) -> Iterator[str]:
        """Iterate over the names of the arrays."""
        return (name for name, _ in self.arrays())

    def array_values(self) -> Iterator[Array]:
        """Iterate over the arrays."""
        return (node for _, node in self.arrays())

    def groups(self) -> Iterator[tuple[str, Group]]:
        """Iterate over (name, group) pairs of the direct members."""
        return ((name, node) for name, node in self.members() if isinstance(node, Group))

    def group_keys(self) -> Iterator[str]:
        """Iterate over the names of the groups."""
        return (name for name, _ in self.groups())

    def group_values(self) -> Iterator[Group]:
        """Iterate over the groups."""
        return (node for _, node in self.groups())

    def nmembers(self, max_depth: int | None = 0) -> int:
        """Return the number of members."""
        return len(self.members(max_depth))

    def _children(self) -> list[tuple[str, NodeSpec]]:
        return nodes.children(self._store, self._path)

    def _member(self, path: str, spec: NodeSpec) -> Array | Group:
        if isinstance(spec, ArraySpec):
            return Array(self._store, path, spec, read_only=self._read_only, device=self._device)
        return Group(self._store, path, spec, read_only=self._read_only, device=self._device)

    # Creating

    def create_group(
        self,
        name: str,
        *,
        overwrite: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> Group:
        """Create a group below this one, in its format; groups between them are created too."""
        self._check_writable()
        path = self._child_path(name)
        spec = GroupSpec(check_attributes(attributes), self.zarr_format)
        nodes.create_node(self._store, path, spec, overwrite=overwrite)
        return Group(self._store, path, spec, read_only=False, device=self._device)

    def require_group(self, name: str, overwrite: bool = False) -> Group:
        """Return the group ``name``, creating it where it is missing."""
        if not overwrite:
            found = self.get(name)
            if isinstance(found, Group):
                return found
            if found is not None:
                raise NodeTypeError(f"{name!r} below {self.name!r} is an array, not a group")
        return self.create_group(name, overwrite=overwrite)

    def create_array(
        self,
        name: str,
        *,
        shape: Any = None,
        dtype: Any = None,
        data: Any = None,
        overwrite: bool = False,
        device: str | None = None,
        zarr_format: ZarrFormat | None = None,
        **options: Any,
    ) -> Array:
        """Create an array below this group.

        Parameters are those of ``cuzarr.create_array``; the format is this group's unless given.
        """
        self._check_writable()
        return make_array(
            self._store,
            self._child_path(name),
            shape=shape,
            dtype=dtype,
            data=data,
            overwrite=overwrite,
            device=self._device if device is None else device,
            zarr_format=zarr_format or self.zarr_format,
            **options,
        )

    def require_array(self, name: str, *, shape: Any, dtype: Any = None, **options: Any) -> Array:
        """Return the array ``name``, creating it where it is missing.

        Raises
        ------
        NodeTypeError
            It is there with another shape, or with a data type that ``dtype`` cannot be cast to.
        """
        found = self.get(name)
        if found is None:
            return self.create_array(name, shape=shape, dtype=dtype, **options)
        if not isinstance(found, Array):
            raise NodeTypeError(f"{name!r} below {self.name!r} is a group, not an array")
        wanted = (shape,) if isinstance(shape, int) else tuple(shape)
        if found.shape != wanted:
            raise NodeTypeError(f"array {found.name!r} has shape {found.shape}, not {wanted}")
        if dtype is not None and not np.can_cast(found.dtype, dtype):
            raise NodeTypeError(
                f"array {found.name!r} has data type {found.dtype}, not {np.dtype(dtype)}"
            )
        return found

    def create(self, name: str, **options: Any) -> Array:
        """Create an array; the same as :meth:`create_array`."""
        return self.create_array(name, **options)

    def array(self, name: str, data: Any, **options: Any) -> Array:
        """Create an array that holds ``data``."""
        return self.create_array(name, data=data, **options)

    def zeros(self, name: str, *, shape: Any, **options: Any) -> Array:
        """Create an array with fill value 0."""
        return self.full(name, shape=shape, fill_value=0, **options)

    def ones(self, name: str, *, shape: Any, **options: Any) -> Array:
        """Create an array with fill value 1."""
        return self.full(name, shape=shape, fill_value=1, **options)

    def empty(self, name: str, *, shape: Any, **options: Any) -> Array:
        """Create an array whose contents do not matter yet."""
        options.setdefault("dtype", "f8")
        return self.create_array(name, shape=shape, **options)

    def full(self, name: str, *, shape: Any, fill_value: Any, **options: Any) -> Array:
        """Create an array with a fill value."""
        options.setdefault("dtype", "f8")
        return self.create_array(name, shape=shape, fill_value=fill_value, **options)

    def __setitem__(self, name: str, value: Any) -> None:
        """Store ``value`` as an array, replacing what is there."""
        self.create_array(name, data=value, overwrite=True)

    def __delitem__(self, name: str) -> None:
        self._check_writable()
        if name not in self:
            raise NodeNotFoundError(f"group {self.name!r} in {self._store} has no member {name!r}")
        self._store.delete_dir(self._child_path(name))

    def update_attributes(self, values: Mapping[str, Any]) -> Group:
        """Change attributes and return the group."""
        self.attrs.update(values)
        return self

    def _child_path(self, name: str) -> str:
        relative = normalize_path(name)
        if not relative:
            raise ValueError(f"a member of group {self.name!r} needs a name")
        return join(self._path, relative)

    def _save_attributes(self, attributes: dict[str, Any]) -> None:
        self._check_writable()
        spec = replace(self._spec, attributes=check_attributes(attributes))
        nodes.write_node(self._store, self._path, spec)
        self._spec = spec

    def _check_writable(self) -> None:
        if self._read_only or self._store.read_only:
            raise ReadOnlyError(f"group {self.name!r} in {self._store} was opened for reading")

    # Looking at it

    def tree(self, level: int | None = None) -> display.Tree:
        """Return the hierarchy below this group; prints as text.

        Parameters
        ----------
        level : int or None
            Levels shown; None = all.
        """
        return display.tree(self, level)

    @property
    def info(self) -> display.Info:
        """A short report; prints as text."""
        return display.group_info(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._store, self._path, self._spec, self._read_only, self._device)

    def __repr__(self) -> str:
        return f"<Group {display.location(self._store, self._path)}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Group)
            and self._store == other._store
            and self._path == other._path
            and self._spec == other._spec
        )

    __hash__ = None  # type: ignore[assignment]  # equal groups may change

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _unpickle(
    store: Store, path: str, spec: GroupSpec, read_only: bool, device: str | None
) -> Group:
    return Group(store, path, spec, read_only=read_only, device=device)


def make_array(
    store: Store,
    path: str,
    *,
    shape: Any,
    dtype: Any,
    data: Any,
    overwrite: bool,
    device: str | None,
    zarr_format: ZarrFormat,
    **options: Any,
) -> Array:
    """Create an array node and write ``data`` to it; see ``cuzarr.create_array``."""
    if data is not None:
        data = data if hasattr(data, "shape") and hasattr(data, "dtype") else np.asarray(data)
        shape = tuple(data.shape) if shape is None else shape
        dtype = data.dtype if dtype is None else dtype
    if shape is None:
        raise ValueError("an array needs a shape, or data that has one")
    if dtype is None:
        raise ValueError("an array needs a dtype, or data that has one")
    options["attributes"] = check_attributes(options.get("attributes"))
    key = join(path, nodes.V3_KEY if zarr_format == 3 else nodes.V2_ARRAY)
    spec = new_array_spec(shape, dtype, zarr_format=zarr_format, key=key, **options)
    array = Array(store, path, spec, read_only=False, device=device)
    nodes.create_node(store, path, spec, overwrite=overwrite)
    if data is not None:
        array[...] = data
    return array


def parent_format(store: Store, path: str) -> ZarrFormat | None:
    """Return the format of the nearest group above ``path``, or None."""
    while path:
        path = path.rpartition("/")[0]
        spec = nodes.find_node(store, path)
        if spec is not None:
            return spec.zarr_format
    return None
