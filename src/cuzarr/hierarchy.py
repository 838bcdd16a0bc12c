"""Many nodes at once: creating a hierarchy, moving a part of one.

1. :func:`as_spec` reads what may describe a node.
2. :func:`create_nodes` checks everything first, then writes every document with one batch.
3. :func:`move_node` copies the objects of a node and deletes the old ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cuzarr import meta, nodes
from cuzarr.errors import ContainsArrayError, NodeNotFoundError
from cuzarr.meta import v2, v3
from cuzarr.meta.spec import ArraySpec, GroupSpec, NodeSpec, ZarrFormat
from cuzarr.storage.base import RequestBatch, Store
from cuzarr.storage.prefix import join
from cuzarr.storage.status import status_error

_BATCH_BYTES = 64 << 20


def as_spec(given: Any, path: str) -> NodeSpec:
    """Return the spec that ``given`` describes.

    Parameters
    ----------
    given : ArraySpec, GroupSpec, mapping, or object with ``to_dict``
        A mapping is a metadata document: of v3, or a ``.zarray`` or ``.zgroup`` with the
        attributes under ``attributes``.
    path : str
        For errors.

    Raises
    ------
    TypeError
    MetadataError
    """
    if isinstance(given, ArraySpec | GroupSpec):
        return given
    document = given.to_dict() if callable(getattr(given, "to_dict", None)) else given
    if not isinstance(document, Mapping):
        raise TypeError(f"node {path!r}: expected metadata, found {type(given).__name__}")
    document = dict(document)
    if document.get("zarr_format") != 2:
        return v3.parse(document, join(path, nodes.V3_KEY))
    attributes = document.pop("attributes", None)
    document.pop("node_type", None)
    if "shape" in document:
        return v2.parse_array(document, attributes, join(path, nodes.V2_ARRAY))
    return v2.parse_group({"zarr_format": 2}, attributes, join(path, nodes.V2_GROUP))


def create_nodes(
    store: Store, specs: Mapping[str, NodeSpec], *, overwrite: bool
) -> list[tuple[str, NodeSpec]]:
    """Write many nodes, and the groups between them; return all that were written, sorted.

    Raises
    ------
    ContainsArrayError, ContainsGroupError
        Something is there, and ``overwrite`` is False; or an array would have members. Nothing
        was written.
    InvalidKeyError
        A part of a path is the name of a document.
    """
    for path in specs:
        nodes.refuse_document(path)
    wanted = dict(specs)
    for path, spec in list(wanted.items()):
        for parent in parents(path):
            if isinstance(wanted.get(parent), ArraySpec):
                raise ContainsArrayError(f"cannot create {path!r}: {parent!r} is an array")
            wanted.setdefault(parent, GroupSpec(zarr_format=spec.zarr_format))
    there = dict(zip(wanted, nodes.find_nodes(store, list(wanted)), strict=True))
    for path, found in there.items():
        if found is None:
            continue
        if path not in specs:
            if isinstance(found, ArraySpec):
                raise ContainsArrayError(f"cannot create nodes below {path!r}: it is an array")
            del wanted[path]
        elif not overwrite:
            nodes.refuse_existing(store, path)
    if overwrite:
        for path in specs:
            store.delete_dir(path)
    keys: list[str] = []
    values: list[bytes] = []
    for path, spec in sorted(wanted.items()):
        documents = nodes.v3_documents(spec) if spec.zarr_format == 3 else v2.documents(spec)
        keys += [join(path, name) for name in documents]
        values += [meta.dump_json(document) for document in documents.values()]
    store.set_many(keys, values)
    return sorted(wanted.items())


def move_node(store: Store, source: str, dest: str) -> None:
    """Move a node and everything below it.

    Raises
    ------
    NodeNotFoundError
        Nothing is at ``source``.
    ContainsArrayError, ContainsGroupError
        Something is at ``dest``, or an array is above it.
    ValueError
        ``dest`` is below ``source``.
    InvalidKeyError
        A part of ``dest`` is the name of a document.
    """
    nodes.refuse_document(dest)
    if f"{dest}/".startswith(f"{source}/"):
        raise ValueError(f"cannot move {source!r} to {dest!r}: that is the same place or below it")
    spec = nodes.find_node(store, source)
    if spec is None:
        raise NodeNotFoundError(f"no array or group at {source!r} in {store}")
    nodes.refuse_existing(store, dest)
    _require_parents(store, dest, spec.zarr_format)
    skip = len(source)
    for batch in batches(store, sorted(store.list(source))):
        answer = store.get_many(RequestBatch.of(batch))
        values = []
        for key, value, status in zip(batch, answer.values, answer.statuses.tolist(), strict=True):
            if value is None:
                raise status_error(store, key, status)
            values.append(value)
        store.set_many([dest + key[skip:] for key in batch], values)
    store.delete_dir(source)


def parents(path: str) -> Iterator[str]:
    """Yield the paths above a path, from the root: ``""``, ``"a"`` for ``"a/b"``."""
    if path:
        yield ""
    for i, letter in enumerate(path):
        if letter == "/":
            yield path[:i]


def _require_parents(store: Store, path: str, zarr_format: ZarrFormat) -> None:
    above = list(parents(path))
    for parent, found in zip(above, nodes.find_nodes(store, above), strict=True):
        if isinstance(found, ArraySpec):
            raise ContainsArrayError(f"cannot move to {path!r}: {parent!r} is an array")
        if found is None:
            nodes.write_node(store, parent, GroupSpec(zarr_format=zarr_format))


def batches(store: Store, keys: Iterable[str]) -> Iterator[list[str]]:
    """Cut keys into batches of about 64 MiB of values."""
    batch: list[str] = []
    size = 0
    for key in keys:
        size += store.size(key) or 0
        batch.append(key)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
