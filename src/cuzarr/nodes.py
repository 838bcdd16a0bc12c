"""Metadata documents in a store: reading, writing and listing nodes.

1. :func:`read_node` asks for the documents of both formats in one batch; v3 wins where both are.
   The consolidated metadata of a group come with the same batch.
2. :func:`write_node` writes the documents of one node, and of groups above it that are missing.
3. :func:`children` lists the direct members of a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

import numpy as np

from cuzarr import meta
from cuzarr.engine.address import describe_status
from cuzarr.errors import (
    ArrayNotFoundError,
    ContainsArrayError,
    ContainsGroupError,
    CuzarrError,
    GroupNotFoundError,
    InvalidKeyError,
    NodeNotFoundError,
    NodeTypeError,
    StoreError,
)
from cuzarr.meta import v2, v3
from cuzarr.meta.consolidated import (
    V2_KEY,
    Consolidated,
    consolidated_key,
    parse_documents,
    with_consolidated,
    without_consolidated,
)
from cuzarr.meta.spec import ArraySpec, GroupSpec, NodeSpec, ZarrFormat
from cuzarr.storage.base import RequestBatch, Status, Store
from cuzarr.storage.prefix import join

V3_KEY, V2_ARRAY, V2_GROUP, V2_ATTRS = "zarr.json", ".zarray", ".zgroup", ".zattrs"
DOCUMENTS = (V3_KEY, V2_ARRAY, V2_GROUP, V2_ATTRS)
Consolidation = bool | str | None  #: False, True or a name of .zmetadata; None = where it is there


def find_node(
    store: Store,
    path: str,
    zarr_format: ZarrFormat | None = None,
    use_consolidated: Consolidation = False,
) -> NodeSpec | None:
    """Return the node at ``path``, or None.

    Parameters
    ----------
    store : Store
    path : str
    zarr_format : {2, 3} or None
    use_consolidated : bool, str or None
        Whether a group takes its members from its consolidated metadata: True requires them, None
        takes them where they are. A name is that of the v2 document.

    Raises
    ------
    MetadataError
        Its document is wrong; lists every problem. Or there are no consolidated metadata.
    """
    extra = use_consolidated if isinstance(use_consolidated, str) else V2_KEY
    names = _names(zarr_format)
    if use_consolidated is not False and zarr_format != 3:
        names = (*names, extra)
    documents = _read_documents(store, [path], names)[0]
    zmetadata = documents.pop(extra, None)
    spec = parse_documents(documents, path)
    if not isinstance(spec, GroupSpec):
        return spec
    key = join(path, consolidated_key(spec.zarr_format, use_consolidated))
    return with_consolidated(spec, zmetadata, key, use_consolidated)


def find_nodes(
    store: Store, paths: list[str], zarr_format: ZarrFormat | None = None
) -> list[NodeSpec | None]:
    """Return the nodes at many paths, with one batch of requests."""
    found = _read_documents(store, paths, _names(zarr_format))
    return [parse_documents(documents, path) for path, documents in zip(paths, found, strict=True)]


def _names(zarr_format: ZarrFormat | None) -> tuple[str, ...]:
    if zarr_format is None:
        return DOCUMENTS
    return DOCUMENTS[:1] if zarr_format == 3 else DOCUMENTS[1:]


def _read_documents(
    store: Store, paths: list[str], names: tuple[str, ...]
) -> list[dict[str, dict[str, object]]]:
    """Return, per path, the documents that are there, with one batch of requests."""
    batch = RequestBatch.of([join(path, name) for path in paths for name in names])
    answer = store.get_many(batch)
    for i in np.flatnonzero(answer.statuses > Status.MISSING).tolist():
        cause = describe_status(int(answer.statuses[i]))
        raise StoreError(f"cannot read {batch.key(i)!r}: {cause}")
    found = []
    for i, path in enumerate(paths):
        row = answer.values[i * len(names) : (i + 1) * len(names)]
        documents = {
            name: meta.load_json(bytes(data), join(path, name))
            for name, data in zip(names, row, strict=True)
            if data is not None
        }
        found.append(documents)
    return found


def read_node(store: Store, path: str, zarr_format: ZarrFormat | None = None) -> NodeSpec:
    """Return the node at ``path``; raises ``NodeNotFoundError``."""
    spec = find_node(store, path, zarr_format)
    if spec is None:
        raise NodeNotFoundError(_nothing("array or group", store, path, zarr_format))
    return spec


def read_array(store: Store, path: str, zarr_format: ZarrFormat | None = None) -> ArraySpec:
    """Return the array at ``path``; raises ``ArrayNotFoundError`` or ``NodeTypeError``."""
    spec = find_node(store, path, zarr_format)
    if spec is None:
        raise ArrayNotFoundError(_nothing("array", store, path, zarr_format))
    if isinstance(spec, GroupSpec):
        raise NodeTypeError(f"a group, not an array, is stored {_describe(store, path, None)}")
    return spec


def read_group(
    store: Store,
    path: str,
    zarr_format: ZarrFormat | None = None,
    use_consolidated: Consolidation = False,
) -> GroupSpec:
    """Return the group at ``path``; raises ``GroupNotFoundError`` or ``NodeTypeError``."""
    spec = find_node(store, path, zarr_format, use_consolidated)
    if spec is None:
        raise GroupNotFoundError(_nothing("group", store, path, zarr_format))
    if isinstance(spec, ArraySpec):
        raise NodeTypeError(f"an array, not a group, is stored {_describe(store, path, None)}")
    return spec


def find_member(store: Store, path: str) -> NodeSpec | None:
    """Return a member of a group, or None; a v3 group brings its own consolidated metadata."""
    return _with_own_members(find_nodes(store, [path])[0], path)


def refuse_existing(store: Store, path: str) -> None:
    """Raise ``ContainsArrayError`` or ``ContainsGroupError`` if a node is stored at ``path``."""
    spec = find_node(store, path)
    if isinstance(spec, ArraySpec):
        raise ContainsArrayError(f"an array is already stored {_describe(store, path, None)}")
    if isinstance(spec, GroupSpec):
        raise ContainsGroupError(f"a group is already stored {_describe(store, path, None)}")


def refuse_document(path: str) -> None:
    """Raise ``InvalidKeyError`` if a part of the path of a new node is the name of a document."""
    for part in path.split("/"):
        if part in (*DOCUMENTS, V2_KEY):
            raise InvalidKeyError(f"invalid path {path!r}: {part!r} is kept for a document")


def write_node(store: Store, path: str, spec: NodeSpec) -> None:
    """Write the documents of a node, consolidated metadata that a group has among them.

    A v2 attributes document that is empty now is removed.
    """
    documents = v3_documents(spec) if spec.zarr_format == 3 else v2.documents(spec)
    if isinstance(spec, GroupSpec) and spec.consolidated is not None:
        if spec.zarr_format == 3:
            documents[V3_KEY]["consolidated_metadata"] = spec.consolidated.v3_value()
        else:
            documents[V2_KEY] = spec.consolidated.v2_document(documents)
    store.set_many(
        [join(path, name) for name in documents],
        [meta.dump_json(document) for document in documents.values()],
    )
    if spec.zarr_format == 2 and V2_ATTRS not in documents:
        store.delete([join(path, V2_ATTRS)])


def write_shape(store: Store, path: str, spec: ArraySpec) -> ArraySpec:
    """Write the document of a stored array of which nothing but the shape has changed.

    Returns
    -------
    ArraySpec
        ``document`` is what is stored now. Nothing of it is parsed again, where lengths of chunks
        do not depend on the shape.
    """
    if _stored_chunks(spec) != list(spec.chunk_shape):
        write_node(store, path, spec)
        return spec
    name = V3_KEY if spec.zarr_format == 3 else V2_ARRAY
    document = {**spec.document, "shape": list(spec.shape)}
    if spec.zarr_format == 3:
        document["attributes"] = dict(spec.attributes)
    store.set_many([join(path, name)], [meta.dump_shaped(document, spec.shape)])
    return replace(spec, document=document)


def _stored_chunks(spec: ArraySpec) -> object:
    """Return the lengths of equal chunks in the document that a spec was parsed from."""
    if spec.zarr_format == 2:
        return spec.document.get("chunks")
    grid = spec.document.get("chunk_grid")
    if not isinstance(grid, dict) or grid.get("name") != "regular":
        return None
    configuration = grid.get("configuration")
    return configuration.get("chunk_shape") if isinstance(configuration, dict) else None


def v3_documents(spec: NodeSpec) -> dict[str, dict[str, object]]:
    """Return the one document of a v3 node under its key."""
    return {V3_KEY: v3.document(spec)}


def create_node(store: Store, path: str, spec: NodeSpec, *, overwrite: bool) -> None:
    """Write a new node and the groups above it that are missing.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
        Something is there, and ``overwrite`` is False; or an array stands above ``path``.
    InvalidKeyError
        A part of ``path`` is the name of a document.
    """
    refuse_document(path)
    above = list(_parents(path))
    missing = []
    for parent, found in zip(above, find_nodes(store, above) if above else [], strict=True):
        if isinstance(found, ArraySpec):
            where = _describe(store, parent, None)
            raise ContainsArrayError(f"cannot create {path!r}: an array is stored {where}")
        if found is None:
            missing.append(parent)
    if overwrite:
        store.delete_dir(path)
    else:
        refuse_existing(store, path)
    for parent in missing:
        write_node(store, parent, GroupSpec(zarr_format=spec.zarr_format))
    write_node(store, path, spec)


def children(
    store: Store, path: str, zarr_format: ZarrFormat | None = None, *, own_members: bool = True
) -> list[tuple[str, NodeSpec]]:
    """Return names and specs of the direct members of a group, sorted by name.

    ``own_members`` is whether groups among them bring consolidated metadata of their own.
    """
    names = [name for name in store.list_dir(path) if name not in (*DOCUMENTS, V2_KEY)]
    paths = [join(path, name) for name in names]
    specs = find_nodes(store, paths, zarr_format) if names else []
    found = []
    for name, full, spec in zip(names, paths, specs, strict=True):
        if isinstance(spec, GroupSpec) and not own_members:
            spec = without_consolidated(spec)
        spec = _with_own_members(spec, full)
        if spec is not None:
            found.append((name, spec))
    return found


def descendants(store: Store, path: str, zarr_format: ZarrFormat) -> list[tuple[str, NodeSpec]]:
    """Return relative paths and specs of all nodes of a format below a group, as stored."""
    found: list[tuple[str, NodeSpec]] = []
    groups = [""]
    while groups:
        group = groups.pop()
        for name, spec in children(store, join(path, group), zarr_format, own_members=False):
            relative = join(group, name)
            found.append((relative, spec))
            if isinstance(spec, GroupSpec):
                groups.append(relative)
    return sorted(found, key=lambda item: item[0])


def consolidate(store: Store, path: str, spec: GroupSpec, name: str | None) -> GroupSpec:
    """Write the consolidated metadata of a group; return its spec with them.

    ``name`` is that of the v2 document; None is the usual one.
    """
    members = descendants(store, path, spec.zarr_format)
    key = join(path, consolidated_key(spec.zarr_format, name))
    held = Consolidated.of(members, key)
    spec = replace(spec, consolidated=held)
    if spec.zarr_format == 3:
        write_node(store, path, spec)
    else:
        document = held.v2_document(v2.documents(spec))
        store.set(key, meta.dump_json(document, key))
    return spec


def chunk_coords(
    spec: ArraySpec, path: str, keys: Iterable[str]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield, of the keys below the array at ``path``, those of chunks with their coordinates."""
    encoding, prefix = spec.key_encoding, f"{path}/" if path else ""
    for key in keys:
        parts = key[len(prefix) :].split(encoding.separator)
        if encoding.name == "default":
            if parts[0] != "c":
                continue
            parts = parts[1:]
        elif spec.ndim == 0 and parts == ["0"]:
            parts = []
        if len(parts) == spec.ndim and all(part.isdecimal() for part in parts):
            yield key, tuple(map(int, parts))


def _with_own_members(spec: NodeSpec | None, path: str) -> NodeSpec | None:
    if not isinstance(spec, GroupSpec) or "consolidated_metadata" not in spec.document:
        return spec
    return with_consolidated(spec, None, join(path, V3_KEY), None)


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1] if path else []
    yield from (["", *("/".join(parts[: i + 1]) for i in range(len(parts)))] if path else [])


_OTHER: Final[dict[ZarrFormat, ZarrFormat]] = {2: 3, 3: 2}


def _nothing(what: str, store: Store, path: str, zarr_format: ZarrFormat | None) -> str:
    """Say that a node is not there, and what is: another format, or a name much like it."""
    text = f"no {what} {_describe(store, path, zarr_format)}"
    parent, _, name = path.rpartition("/")
    with suppress(CuzarrError):  # of another document, or of a store that cannot list
        other = None if zarr_format is None else find_node(store, path, _OTHER[zarr_format])
        if other is not None:
            kind = "an array" if isinstance(other, ArraySpec) else "a group"
            return f"{text}; {kind} of Zarr format {other.zarr_format} is there"
        near = get_close_matches(name, store.list_dir(parent), 1) if name else []
        if near:
            return f"{text}; did you mean {near[0]!r}?"
    return text


def _describe(store: Store, path: str, zarr_format: ZarrFormat | None) -> str:
    form = "" if zarr_format is None else f" (Zarr format {zarr_format})"
    return f"at {path or '/'!r} in {store}{form}"
