"""Arrays and groups for ``await``: each operation is one hop to a thread.

The work is the same as that of :class:`~cuzarr.Array` and :class:`~cuzarr.Group`, whose batches
are parallel already; what is won is that the event loop goes on meanwhile. What needs no store is
answered at once: every attribute that is no method is that of the array or group.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from cuzarr.array import Array
    from cuzarr.group import Group

T = TypeVar("T")


class AsyncArray:
    """An array for ``await``.

    Parameters
    ----------
    array : Array
    """

    wraps: ClassVar[type[Array]]  #: set where ``Array`` is defined

    def __init__(self, array: Array) -> None:
        self.array = array

    @classmethod
    async def open(cls, store: Any, zarr_format: Any = None, *, config: Any = None) -> AsyncArray:
        """Open the array at the root of a store."""
        return cls(await hop(cls.wraps.open, store, zarr_format, config=config))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the array; its methods are here for those that take time."""
        if name == "array" or name.startswith("_"):  # not there yet: a copy is being unpickled
            raise AttributeError(name)
        found = getattr(self.array, name)
        if callable(found) and hasattr(type(self.array), name):
            raise AttributeError(f"AsyncArray has no method {name!r}; use .array.{name}")
        return found

    def __repr__(self) -> str:
        return repr(self.array).replace("<Array", "<AsyncArray", 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncArray) and self.array == other.array

    __hash__ = None  # type: ignore[assignment]  # equal arrays may change

    async def getitem(self, selection: Any, *, prototype: Any = None) -> Any:
        """Read what ``array[selection]`` reads."""
        return await hop(_on(self.array, prototype).__getitem__, selection)

    async def setitem(self, selection: Any, value: Any, prototype: Any = None) -> None:
        """Write what ``array[selection] = value`` writes."""
        await hop(_on(self.array, prototype).__setitem__, selection, value)

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes as they are now; :meth:`update_attributes` changes them."""
        return self.array.attrs.asdict()

    async def get_basic_selection(self, selection: Any = ..., **options: Any) -> Any:
        """Read integers and slices."""
        return await hop(self.array.get_basic_selection, selection, **options)

    async def get_orthogonal_selection(self, selection: Any, **options: Any) -> Any:
        """Read one selector per dimension."""
        return await hop(self.array.get_orthogonal_selection, selection, **options)

    async def get_coordinate_selection(self, selection: Any, **options: Any) -> Any:
        """Read single elements."""
        return await hop(self.array.get_coordinate_selection, selection, **options)

    async def get_mask_selection(self, mask: Any, **options: Any) -> Any:
        """Read the elements where a boolean array is True."""
        return await hop(self.array.get_mask_selection, mask, **options)

    async def get_block_selection(self, selection: Any, **options: Any) -> Any:
        """Read whole chunks."""
        return await hop(self.array.get_block_selection, selection, **options)

    @property
    def oindex(self) -> AsyncIndexer:
        """``await array.oindex.getitem(selection)``."""
        return AsyncIndexer(self.array.oindex)

    @property
    def vindex(self) -> AsyncIndexer:
        """``await array.vindex.getitem(selection)``."""
        return AsyncIndexer(self.array.vindex)

    @property
    def blocks(self) -> AsyncIndexer:
        """``await array.blocks.getitem(selection)``."""
        return AsyncIndexer(self.array.blocks)

    async def resize(self, new_shape: Any, delete_outside_chunks: bool = True) -> None:
        """Change the length of each dimension."""
        await hop(self.array.resize, new_shape, delete_outside_chunks=delete_outside_chunks)

    async def append(self, data: Any, axis: int = 0) -> tuple[int, ...]:
        """Append along an axis and return the new shape."""
        return await hop(self.array.append, data, axis)

    async def update_attributes(self, new_attributes: Mapping[str, Any]) -> AsyncArray:
        """Change attributes and return the array."""
        await hop(self.array.update_attributes, new_attributes)
        return self

    async def nchunks_initialized(self) -> int:
        """Return the number of stored objects."""
        return await hop(lambda: self.array.nchunks_initialized)

    async def nbytes_stored(self) -> int:
        """Return the bytes of the stored objects."""
        return await hop(self.array.nbytes_stored)

    async def info_complete(self) -> Any:
        """Return the report with what takes a listing of the store."""
        return await hop(self.array.info_complete)

    def with_config(self, config: Any) -> AsyncArray:
        """Return the same stored array with another configuration."""
        return AsyncArray(self.array.with_config(config))

    def to_device(self, device: str) -> AsyncArray:
        """Return the same stored array with its results on another device."""
        return AsyncArray(self.array.to_device(device))


class AsyncIndexer:
    """``getitem`` and ``setitem`` for one kind of selection."""

    def __init__(self, indexer: Any) -> None:
        self._indexer = indexer

    async def getitem(self, selection: Any) -> Any:
        """Read."""
        return await hop(self._indexer.__getitem__, selection)

    async def setitem(self, selection: Any, value: Any) -> None:
        """Write."""
        await hop(self._indexer.__setitem__, selection, value)


class AsyncGroup:
    """A group for ``await``.

    Parameters
    ----------
    group : Group
    """

    wraps: ClassVar[type[Group]]  #: set where ``Group`` is defined

    def __init__(self, group: Group) -> None:
        self.group = group

    @classmethod
    async def open(
        cls, store: Any, zarr_format: Any = None, use_consolidated: Any = None
    ) -> AsyncGroup:
        """Open the group at the root of a store."""
        return cls(await hop(cls.wraps.open, store, zarr_format, use_consolidated))

    @classmethod
    async def from_store(cls, store: Any, **options: Any) -> AsyncGroup:
        """Create a group at the root of a store."""
        return cls(await hop(cls.wraps.from_store, store, **options))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the group; its methods are here for those that take time."""
        if name == "group" or name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self.group, name)
        if callable(found) and hasattr(type(self.group), name):
            raise AttributeError(f"AsyncGroup has no method {name!r}; use .group.{name}")
        return found

    def __repr__(self) -> str:
        return repr(self.group).replace("<Group", "<AsyncGroup", 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncGroup) and self.group == other.group

    __hash__ = None  # type: ignore[assignment]  # equal groups may change

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes as they are now; :meth:`update_attributes` changes them."""
        return self.group.attrs.asdict()

    # Reading

    async def getitem(self, key: str) -> AsyncArray | AsyncGroup:
        """Return a member."""
        found: AsyncArray | AsyncGroup = as_async(await hop(self.group.__getitem__, key))
        return found

    async def get(self, key: str, default: Any = None) -> Any:
        """Return a member, or ``default`` where there is none."""
        return as_async(await hop(self.group.get, key, default))

    async def get_array(self, path: str) -> AsyncArray:
        """Return a member that is an array."""
        return AsyncArray(await hop(self.group.get_array, path))

    async def get_group(self, path: str) -> AsyncGroup:
        """Return a member that is a group."""
        return AsyncGroup(await hop(self.group.get_group, path))

    async def contains(self, member: str) -> bool:
        """Whether there is such a member."""
        return await hop(self.group.__contains__, member)

    async def members(
        self, max_depth: int | None = 0, *, use_consolidated_for_children: bool = True
    ) -> AsyncIterator[tuple[str, AsyncArray | AsyncGroup]]:
        """Iterate over (name, member) pairs."""
        for name, node in await hop(
            self.group.members,
            max_depth,
            use_consolidated_for_children=use_consolidated_for_children,
        ):
            yield name, as_async(node)

    async def nmembers(self, max_depth: int | None = 0) -> int:
        """Return the number of members."""
        return await hop(self.group.nmembers, max_depth)

    async def keys(self) -> AsyncIterator[str]:
        """Iterate over the names of the members."""
        for name in await _listed(self.group.keys):
            yield name

    async def arrays(self) -> AsyncIterator[tuple[str, AsyncArray]]:
        """Iterate over (name, array) pairs."""
        for name, array in await _listed(self.group.arrays):
            yield name, AsyncArray(array)

    async def array_keys(self) -> AsyncIterator[str]:
        """Iterate over the names of the arrays."""
        for name, _ in await _listed(self.group.arrays):
            yield name

    async def array_values(self) -> AsyncIterator[AsyncArray]:
        """Iterate over the arrays."""
        for _, array in await _listed(self.group.arrays):
            yield AsyncArray(array)

    async def groups(self) -> AsyncIterator[tuple[str, AsyncGroup]]:
        """Iterate over (name, group) pairs."""
        for name, group in await _listed(self.group.groups):
            yield name, AsyncGroup(group)

    async def group_keys(self) -> AsyncIterator[str]:
        """Iterate over the names of the groups."""
        for name, _ in await _listed(self.group.groups):
            yield name

    async def group_values(self) -> AsyncIterator[AsyncGroup]:
        """Iterate over the groups."""
        for _, group in await _listed(self.group.groups):
            yield AsyncGroup(group)

    async def tree(self, *args: Any, **options: Any) -> Any:
        """Return the hierarchy below."""
        return await hop(self.group.tree, *args, **options)

    async def info_complete(self) -> Any:
        """Return the report with what takes a listing of everything below."""
        return await hop(self.group.info_complete)

    # Writing

    async def create_group(self, name: str, **options: Any) -> AsyncGroup:
        """Create a group."""
        return AsyncGroup(await hop(self.group.create_group, name, **options))

    async def require_group(self, name: str, overwrite: bool = False) -> AsyncGroup:
        """Return a group, creating it where it is missing."""
        return AsyncGroup(await hop(self.group.require_group, name, overwrite))

    async def require_groups(self, *names: str) -> tuple[AsyncGroup, ...]:
        """Return several groups, creating those that are missing."""
        found = await hop(self.group.require_groups, *names)
        return tuple(AsyncGroup(group) for group in found)

    async def create_array(self, name: str, **options: Any) -> AsyncArray:
        """Create an array."""
        return await _make(self.group.create_array, name, options)

    async def require_array(self, name: str, **options: Any) -> AsyncArray:
        """Return an array, creating it where it is missing."""
        return await _make(self.group.require_array, name, options)

    async def zeros(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array with fill value 0."""
        return await _make(self.group.zeros, name, options)

    async def ones(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array with fill value 1."""
        return await _make(self.group.ones, name, options)

    async def empty(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array whose contents do not matter yet."""
        return await _make(self.group.empty, name, options)

    async def full(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array with a fill value."""
        return await _make(self.group.full, name, options)

    async def zeros_like(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array like another with fill value 0."""
        return await _make(self.group.zeros_like, name, options)

    async def ones_like(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array like another with fill value 1."""
        return await _make(self.group.ones_like, name, options)

    async def empty_like(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array like another whose contents do not matter yet."""
        return await _make(self.group.empty_like, name, options)

    async def full_like(self, *, name: str, **options: Any) -> AsyncArray:
        """Create an array like another with a fill value."""
        return await _make(self.group.full_like, name, options)

    async def create_hierarchy(
        self, nodes: Mapping[str, Any], *, overwrite: bool = False
    ) -> AsyncIterator[tuple[str, AsyncArray | AsyncGroup]]:
        """Create many arrays and groups below this one."""
        created = await _listed(lambda: self.group.create_hierarchy(nodes, overwrite=overwrite))
        for path, node in created:
            yield path, as_async(node)

    async def setitem(self, key: str, value: Any) -> None:
        """Store an array, replacing what is there."""
        await hop(self.group.__setitem__, key, value)

    async def delitem(self, key: str) -> None:
        """Remove a member."""
        await hop(self.group.__delitem__, key)

    async def move(self, source: str, dest: str) -> None:
        """Give a member another path below this group."""
        await hop(self.group.move, source, dest)

    async def update_attributes(self, new_attributes: Mapping[str, Any]) -> AsyncGroup:
        """Change attributes and return the group."""
        await hop(self.group.update_attributes, new_attributes)
        return self


async def hop(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call a function in a thread and wait for it."""
    import asyncio  # noqa: PLC0415  # half of what importing cuzarr takes; a caller has it already

    return await asyncio.to_thread(function, *args, **options)


def as_async(node: Any) -> Any:
    """Return the asynchronous form of an array or a group; other values as they are."""
    for kind in (AsyncArray, AsyncGroup):
        if isinstance(node, kind.wraps):
            return kind(node)  # type: ignore[arg-type]  # the class that it wraps
    return node


def as_sync(node: Any) -> Any:
    """Return what an asynchronous array or group is over; other values as they are."""
    if isinstance(node, AsyncArray):
        return node.array
    return node.group if isinstance(node, AsyncGroup) else node


def _on(array: Array, prototype: Any) -> Array:
    return array if prototype is None else array.for_prototype(prototype)


async def _listed(found: Callable[[], Iterable[T]]) -> list[T]:
    return await hop(lambda: list(found()))


async def _make(create: Callable[..., Array], name: str, options: dict[str, Any]) -> AsyncArray:
    return AsyncArray(await hop(create, name, **options))
