"""The members of a group: looking them up, listing them and walking through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from cuzarr import nodes
from cuzarr.array import Array
from cuzarr.errors import (
    ArrayNotFoundError,
    GroupNotFoundError,
    InvalidKeyError,
    NodeNotFoundError,
    NodeTypeError,
)
from cuzarr.meta.spec import ArraySpec, GroupSpec, NodeSpec
from cuzarr.node import Node
from cuzarr.storage.prefix import join, normalize_path


class Members(Node):
    """The part of :class:`~cuzarr.Group` that reads.

    Names may be paths: ``group["a/b"]``. Members are read from the store when they are asked for,
    unless the group was opened with consolidated metadata: then these say what there is.
    """

    _spec: GroupSpec
    _device: str | None

    def __getitem__(self, path: str) -> Array | Self:
        relative = normalize_path(path)
        spec = self._find(relative)
        if spec is None:
            held = "" if self._spec.consolidated is None else " in its consolidated metadata"
            raise NodeNotFoundError(
                f"group '/{self._path}' in {self._store} has no member {path!r}{held}"
            )
        return self._member(join(self._path, relative), spec)

    def get(self, path: str, default: Any = None) -> Any:
        """Return a member, or ``default`` where there is none."""
        try:
            return self[path]
        except NodeNotFoundError:
            return default

    def get_array(self, path: str) -> Array:
        """Return a member that is an array.

        Raises
        ------
        ArrayNotFoundError
        NodeTypeError
            It is a group.
        """
        found = self.get(path)
        if isinstance(found, Array):
            return found
        if found is None:
            raise ArrayNotFoundError(
                f"group '/{self._path}' in {self._store} has no array {path!r}"
            )
        raise NodeTypeError(f"{path!r} below '/{self._path}' is a group, not an array")

    def get_group(self, path: str) -> Self:
        """Return a member that is a group.

        Raises
        ------
        GroupNotFoundError
        NodeTypeError
            It is an array.
        """
        found = self.get(path)
        if isinstance(found, type(self)):
            return found
        if found is None:
            raise GroupNotFoundError(
                f"group '/{self._path}' in {self._store} has no group {path!r}"
            )
        raise NodeTypeError(f"{path!r} below '/{self._path}' is an array, not a group")

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, str):
            return False
        try:
            return self._find(normalize_path(path)) is not None
        except InvalidKeyError:  # no node has such a path
            return False

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.keys())

    def members(
        self, max_depth: int | None = 0, *, use_consolidated_for_children: bool = True
    ) -> tuple[tuple[str, Array | Self], ...]:
        """Return (name, member) pairs, sorted.

        Parameters
        ----------
        max_depth : int or None
            0 = direct members; None = all below; names are relative paths.
        use_consolidated_for_children : bool
            Whether groups below may be listed from consolidated metadata of their own.

        Raises
        ------
        ValueError
            ``max_depth`` is negative.
        """
        if max_depth is not None and max_depth < 0:
            raise ValueError(f"max_depth must be None or at least 0, not {max_depth}")
        found: list[tuple[str, Array | Self]] = []
        for name, spec in self._children(own_members=use_consolidated_for_children):
            member = self._member(join(self._path, name), spec)
            found.append((name, member))
            if not isinstance(member, Array) and (max_depth is None or max_depth > 0):
                below = member.members(
                    None if max_depth is None else max_depth - 1,
                    use_consolidated_for_children=use_consolidated_for_children,
                )
                found += [(f"{name}/{inner}", node) for inner, node in below]
        return tuple(found)

    def nmembers(self, max_depth: int | None = 0) -> int:
        """Return the number of members."""
        return len(self.members(max_depth))

    def keys(self) -> Iterator[str]:
        """Iterate over the names of the direct members."""
        if self._spec.consolidated is not None:
            return iter(self._spec.consolidated.names())
        return iter([name for name, _ in self._children()])

    def values(self) -> Iterator[Array | Self]:
        """Iterate over the direct members."""
        return (member for _, member in self.members())

    def items(self) -> Iterator[tuple[str, Array | Self]]:
        """Iterate over (name, member) pairs."""
        return iter(self.members())

    def arrays(self, recurse: bool = False) -> Iterator[tuple[str, Array]]:
        """Iterate over (name, array) pairs; ``recurse`` adds those of groups below, by path."""
        found = self.members(None if recurse else 0)
        return ((name, node) for name, node in found if isinstance(node, Array))

    def array_keys(self, recurse: bool = False) -> Iterator[str]:
        """Iterate over the names of the arrays."""
        return (name for name, _ in self.arrays(recurse))

    def array_values(self) -> Iterator[Array]:
        """Iterate over the arrays."""
        return (node for _, node in self.arrays())

    def groups(self) -> Iterator[tuple[str, Self]]:
        """Iterate over (name, group) pairs of the direct members."""
        return ((name, node) for name, node in self.members() if not isinstance(node, Array))

    def group_keys(self) -> Iterator[str]:
        """Iterate over the names of the groups."""
        return (name for name, _ in self.groups())

    def group_values(self) -> Iterator[Self]:
        """Iterate over the groups."""
        return (node for _, node in self.groups())

    def visititems(self, func: Callable[[str, Array | Self], Any]) -> Any:
        """Call ``func(path, node)`` for all below; the first answer that is not None ends it."""
        for name, node in self.members(None):
            answer = func(name, node)
            if answer is not None:
                return answer
        return None

    def visit(self, func: Callable[[str], Any]) -> Any:
        """Call ``func(path)`` for all below; the first answer that is not None ends it."""
        return self.visititems(lambda name, _: func(name))

    def visitkeys(self, func: Callable[[str], Any]) -> Any:
        """Do as :meth:`visit`."""
        return self.visit(func)

    def visitvalues(self, func: Callable[[Array | Self], Any]) -> Any:
        """Call ``func(node)`` for all below; the first answer that is not None ends it."""
        return self.visititems(lambda _, node: func(node))

    def _find(self, path: str) -> NodeSpec | None:
        if self._spec.consolidated is not None:
            return self._spec.consolidated.get(path) if path else self._spec
        return nodes.find_member(self._store, join(self._path, path))

    def _children(self, *, own_members: bool = True) -> list[tuple[str, NodeSpec]]:
        held = self._spec.consolidated
        if held is None:
            return nodes.children(self._store, self._path, own_members=own_members)
        found = ((name, held.get(name)) for name in held.names())
        return [(name, spec) for name, spec in found if spec is not None]

    def _member(self, path: str, spec: NodeSpec) -> Array | Self:
        if isinstance(spec, ArraySpec):
            return Array(self._store, path, spec, read_only=self._read_only, device=self._device)
        return type(self)(  # type: ignore[call-arg]  # the constructor of Group
            self._store, path, spec, read_only=self._read_only, device=self._device
        )
