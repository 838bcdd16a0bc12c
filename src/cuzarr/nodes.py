"""Metadata documents in a store: reading, writing and listing nodes.

1. :func:`read_node` asks for the documents of both formats in one batch; v3 wins where both are.
2. :func:`write_node` writes the documents of one node, and of groups above it that are missing.
3. :func:`children` lists the direct members of a group.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cuzarr import meta
from cuzarr.engine.address import describe_status
from cuzarr.errors import (
    ArrayNotFoundError,
    ContainsArrayError,
    ContainsGroupError,
    GroupNotFoundError,
    NodeNotFoundError,
    NodeTypeError,
    StoreError,
)
from cuzarr.meta import v2, v3
from cuzarr.meta.spec import ArraySpec, GroupSpec, NodeSpec, ZarrFormat
from cuzarr.storage.base import RequestBatch, Status, Store
from cuzarr.storage.prefix import join

V3_KEY, V2_ARRAY, V2_GROUP, V2_ATTRS = "zarr.json", ".zarray", ".zgroup", ".zattrs"
DOCUMENTS = (V3_KEY, V2_ARRAY, V2_GROUP, V2_ATTRS)


def find_node(store: Store, path: str, zarr_format: ZarrFormat | None = None) -> NodeSpec | None:
    """Return the node at ``path``, or None.

    Raises
    ------
    MetadataError
        Its document is wrong; lists every problem.
    """
    return find_nodes(store, [path], zarr_format)[0]


def find_nodes(
    store: Store, paths: list[str], zarr_format: ZarrFormat | None = None
) -> list[NodeSpec | None]:
    """Return the nodes at many paths, with one batch of requests."""
    names = (
        DOCUMENTS if zarr_format is None else DOCUMENTS[:1] if zarr_format == 3 else DOCUMENTS[1:]
    )
    batch = RequestBatch.of([join(path, name) for path in paths for name in names])
    answer = store.get_many(batch)
    for i in np.flatnonzero(answer.statuses > Status.MISSING).tolist():
        cause = describe_status(int(answer.statuses[i]))
        raise StoreError(f"cannot read {batch.key(i)!r}: {cause}")
    found: list[NodeSpec | None] = []
    for i, path in enumerate(paths):
        row = answer.values[i * len(names) : (i + 1) * len(names)]
        documents = {
            name: meta.load_json(bytes(data), join(path, name))
            for name, data in zip(names, row, strict=True)
            if data is not None
        }
        found.append(_parse(path, documents))
    return found


def read_node(store: Store, path: str, zarr_format: ZarrFormat | None = None) -> NodeSpec:
    """Return the node at ``path``; raises ``NodeNotFoundError``."""
    spec = find_node(store, path, zarr_format)
    if spec is None:
        raise NodeNotFoundError(f"no array or group {_describe(store, path, zarr_format)}")
    return spec


def read_array(store: Store, path: str, zarr_format: ZarrFormat | None = None) -> ArraySpec:
    """Return the array at ``path``; raises ``ArrayNotFoundError`` or ``NodeTypeError``."""
    spec = find_node(store, path, zarr_format)
    if spec is None:
        raise ArrayNotFoundError(f"no array {_describe(store, path, zarr_format)}")
    if isinstance(spec, GroupSpec):
        raise NodeTypeError(f"a group, not an array, is stored {_describe(store, path, None)}")
    return spec


def read_group(store: Store, path: str, zarr_format: ZarrFormat | None = None) -> GroupSpec:
    """Return the group at ``path``; raises ``GroupNotFoundError`` or ``NodeTypeError``."""
    spec = find_node(store, path, zarr_format)
    if spec is None:
        raise GroupNotFoundError(f"no group {_describe(store, path, zarr_format)}")
    if isinstance(spec, ArraySpec):
        raise NodeTypeError(f"an array, not a group, is stored {_describe(store, path, None)}")
    return spec


def refuse_existing(store: Store, path: str) -> None:
    """Raise ``ContainsArrayError`` or ``ContainsGroupError`` if a node is stored at ``path``."""
    spec = find_node(store, path)
    if isinstance(spec, ArraySpec):
        raise ContainsArrayError(f"an array is already stored {_describe(store, path, None)}")
    if isinstance(spec, GroupSpec):
        raise ContainsGroupError(f"a group is already stored {_describe(store, path, None)}")


def write_node(store: Store, path: str, spec: NodeSpec) -> None:
    """Write the documents of a node; a v2 attributes document that is empty now is removed."""
    documents = v3_documents(spec) if spec.zarr_format == 3 else v2.documents(spec)
    store.set_many(
        [join(path, name) for name in documents],
        [meta.dump_json(document) for document in documents.values()],
    )
    if spec.zarr_format == 2 and V2_ATTRS not in documents:
        store.delete([join(path, V2_ATTRS)])


def v3_documents(spec: NodeSpec) -> dict[str, dict[str, object]]:
    """Return the one document of a v3 node under its key."""
    return {V3_KEY: v3.document(spec)}


def create_node(store: Store, path: str, spec: NodeSpec, *, overwrite: bool) -> None:
    """Write a new node and the groups above it that are missing.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
        Something is there, and ``overwrite`` is False; or an array stands above ``path``.
    """
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
    store: Store, path: str, zarr_format: ZarrFormat | None = None
) -> list[tuple[str, NodeSpec]]:
    """Return names and specs of the direct members of a group, sorted by name."""
    names = [name for name in store.list_dir(path) if name not in DOCUMENTS]
    specs = find_nodes(store, [join(path, name) for name in names], zarr_format) if names else []
    return [(name, spec) for name, spec in zip(names, specs, strict=True) if spec is not None]


def _parse(path: str, documents: dict[str, dict[str, object]]) -> NodeSpec | None:
    if V3_KEY in documents:
        return v3.parse(documents[V3_KEY], join(path, V3_KEY))
    attributes = documents.get(V2_ATTRS)
    if V2_ARRAY in documents:
        return v2.parse_array(documents[V2_ARRAY], attributes, join(path, V2_ARRAY))
    if V2_GROUP in documents:
        return v2.parse_group(documents[V2_GROUP], attributes, join(path, V2_GROUP))
    return None


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1] if path else []
    yield from (["", *("/".join(parts[: i + 1]) for i in range(len(parts)))] if path else [])


def _describe(store: Store, path: str, zarr_format: ZarrFormat | None) -> str:
    form = "" if zarr_format is None else f" (Zarr format {zarr_format})"
    return f"at {path or '/'!r} in {store}{form}"
