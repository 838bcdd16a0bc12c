"""Consolidated metadata: the documents of all nodes below a group, in one document.

1. v3 keeps them under ``consolidated_metadata`` of the group's ``zarr.json`` (a convention of
   zarr-python, no part of the specification), v2 in a ``.zmetadata`` beside the ``.zgroup``.
2. :class:`Consolidated` holds them and parses each when it is asked for.
3. It is a copy: who adds or changes a member consolidates anew. Only a member that is deleted
   through a group that was opened with consolidated metadata is deleted from it too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from cuzarr.errors import MetadataError
from cuzarr.meta import v2, v3
from cuzarr.meta.problems import Problems, brief, integer, show
from cuzarr.meta.spec import JSON, GroupSpec, NodeSpec, ZarrFormat

V2_KEY = ".zmetadata"
_V2_NAMES = (v2.ZARRAY, v2.ZGROUP, v2.ZATTRS)
#: By path, then by last part of their key.
Documents: TypeAlias = dict[str, dict[str, Mapping[str, JSON]]]


class Consolidated:
    """The members below a group.

    Parameters
    ----------
    key : str
        Store key of the document, for errors.
    documents : dict
        By path relative to the group that was consolidated.
    prefix : str
        Path of the group that is looked at, below that one.
    """

    def __init__(self, key: str, documents: Documents, prefix: str = "") -> None:
        self.key, self._documents, self._prefix = key, documents, prefix
        self._specs: dict[str, NodeSpec] = {}
        self._names: dict[str, list[str]] = {}
        for path in documents:
            parent, _, name = path.rpartition("/")
            self._names.setdefault(parent, []).append(name)
        for names in self._names.values():
            names.sort()

    @classmethod
    def from_v3(cls, value: JSON, key: str) -> Consolidated:
        """Read the ``consolidated_metadata`` of a ``zarr.json``; raises ``MetadataError``."""
        problems = Problems(key)
        place = "consolidated_metadata"
        if not isinstance(value, Mapping):
            problems.refuse(place, f"expected an object, found {show(value)}")
        if value.get("kind") != "inline":
            problems.add(f"{place}.kind", f"expected 'inline', found {show(value.get('kind'))}")
        documents: Documents = {}
        members = _members(value, place, problems)
        for path, document in members.items():
            if document.get("zarr_format") == 2:
                plain = {name: field for name, field in document.items() if name != "attributes"}
                name = v2.ZARRAY if "shape" in document else v2.ZGROUP
                documents[path] = {name: plain, v2.ZATTRS: document.get("attributes") or {}}
            else:
                documents[path] = {v3.ZARR_JSON: document}
        problems.raise_if_any()
        return cls(key, documents)

    @classmethod
    def from_v2(cls, value: Mapping[str, JSON], key: str) -> Consolidated:
        """Read a ``.zmetadata``; raises ``MetadataError``."""
        problems = Problems(key)
        version = value.get("zarr_consolidated_format")
        if integer(version) != 1:
            problems.add("zarr_consolidated_format", f"expected 1, found {show(version)}")
        documents: Documents = {}
        for place, document in _members(value, "", problems).items():
            path, _, name = place.rpartition("/")
            if path and name in _V2_NAMES:
                documents.setdefault(path, {})[name] = document
        problems.raise_if_any()
        return cls(key, documents)

    @classmethod
    def of(cls, members: Iterable[tuple[str, NodeSpec]], key: str) -> Consolidated:
        """Make one of the nodes below a group, by relative path."""
        documents: Documents = {}
        for path, spec in members:
            if spec.zarr_format == 2:
                documents[path] = dict(v2.documents(spec))
                continue
            document = v3.document(spec)
            if isinstance(spec, GroupSpec):
                # Members of groups below are listed here, under their whole path.
                document["consolidated_metadata"] = _inline({})
            documents[path] = {v3.ZARR_JSON: document}
        return cls(key, documents)

    @property
    def metadata(self) -> dict[str, NodeSpec]:
        """Every member below the group, by relative path."""
        found = {path: self.get(path) for path, _ in self._relative()}
        return {path: spec for path, spec in found.items() if spec is not None}

    def to_dict(self) -> dict[str, JSON]:
        """Return the ``consolidated_metadata`` of a ``zarr.json``."""
        return self.v3_value()

    def names(self) -> list[str]:
        """Return the names of the direct members, sorted."""
        return list(self._names.get(self._prefix, ()))

    def get(self, path: str) -> NodeSpec | None:
        """Return the member at a relative path, or None.

        Raises
        ------
        MetadataError
            Its document is wrong.
        """
        full = self._full(path)
        if full not in self._specs:
            documents = self._documents.get(full)
            spec = None if documents is None else parse_documents(documents, f"{self.key}:{full}")
            if spec is None:
                return None
            if isinstance(spec, GroupSpec):
                spec = replace(without_consolidated(spec), consolidated=self._below(full))
            self._specs[full] = spec
        return self._specs[full]

    def remove(self, path: str) -> None:
        """Forget a member and all below it, also in the views of groups above and below."""
        full = self._full(path)
        for found in [p for p in self._documents if p == full or p.startswith(f"{full}/")]:
            del self._documents[found]
            self._specs.pop(found, None)
            parent, _, name = found.rpartition("/")
            self._names[parent].remove(name)

    def v3_value(self) -> dict[str, JSON]:
        """Return the ``consolidated_metadata`` of the group's ``zarr.json``."""
        members: dict[str, JSON] = {}
        for path, documents in self._relative():
            if v3.ZARR_JSON in documents:
                members[path] = dict(documents[v3.ZARR_JSON])
            else:
                document = dict(documents.get(v2.ZARRAY) or documents.get(v2.ZGROUP) or {})
                members[path] = {**document, "attributes": dict(documents.get(v2.ZATTRS, {}))}
        return _inline(members)

    def v2_document(self, own: Mapping[str, Mapping[str, JSON]]) -> dict[str, JSON]:
        """Return the ``.zmetadata`` of the group, whose own documents are given."""
        metadata: dict[str, JSON] = {name: dict(document) for name, document in own.items()}
        for path, documents in self._relative():
            for name, document in documents.items():
                metadata[f"{path}/{name}"] = dict(document)
        return {"metadata": metadata, "zarr_consolidated_format": 1}

    def _full(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix and path else self._prefix or path

    def _below(self, prefix: str) -> Consolidated:
        """Return the view of a group below, which shares everything."""
        view = Consolidated.__new__(Consolidated)
        view.key, view._documents, view._prefix = self.key, self._documents, prefix
        view._specs, view._names = self._specs, self._names
        return view

    def _relative(self) -> list[tuple[str, dict[str, Mapping[str, JSON]]]]:
        skip = len(self._prefix) + 1 if self._prefix else 0
        found = [
            (path[skip:], documents)
            for path, documents in self._documents.items()
            if path[:skip] == (f"{self._prefix}/" if skip else "")
        ]
        return sorted(found, key=lambda item: _rank(item[0]))


def parse_documents(documents: Mapping[str, Mapping[str, Any]], key: str) -> NodeSpec | None:
    """Parse the documents of one node, by the last part of their keys; v3 wins where both are."""
    if v3.ZARR_JSON in documents:
        return v3.parse(documents[v3.ZARR_JSON], _key(key, v3.ZARR_JSON))
    attributes = documents.get(v2.ZATTRS)
    if v2.ZARRAY in documents:
        return v2.parse_array(documents[v2.ZARRAY], attributes, _key(key, v2.ZARRAY))
    if v2.ZGROUP in documents:
        return v2.parse_group(documents[v2.ZGROUP], attributes, _key(key, v2.ZGROUP))
    return None


def with_consolidated(
    spec: GroupSpec, v2_document: Mapping[str, JSON] | None, key: str, wanted: bool | str | None
) -> GroupSpec:
    """Return the spec of a group that is opened with or without its consolidated metadata.

    Parameters
    ----------
    spec : GroupSpec
    v2_document : mapping or None
        The ``.zmetadata`` of a v2 group.
    key : str
        Where the consolidated metadata are, for errors.
    wanted : bool, str or None
        None takes what is there; a name is that of a ``.zmetadata``.

    Raises
    ------
    MetadataError
        They are wrong, or wanted and missing.
    """
    if wanted is False:
        return without_consolidated(spec)
    if spec.zarr_format == 3:
        value = spec.document.get("consolidated_metadata")
        found = None if value is None else Consolidated.from_v3(value, key)
    else:
        found = None if v2_document is None else Consolidated.from_v2(v2_document, key)
    if found is None and wanted:
        raise MetadataError(key, ["there are no consolidated metadata"])
    return replace(spec, consolidated=found)


def without_consolidated(spec: GroupSpec) -> GroupSpec:
    """Return the spec of a group without consolidated metadata, its document too."""
    document = {k: v for k, v in spec.document.items() if k != "consolidated_metadata"}
    return replace(spec, consolidated=None, document=document)


def consolidated_key(zarr_format: ZarrFormat, wanted: bool | str | None) -> str:
    """Return the last part of the key that holds the consolidated metadata of a group."""
    if zarr_format == 3:
        return v3.ZARR_JSON
    return wanted if isinstance(wanted, str) else V2_KEY


def _members(
    value: Mapping[str, JSON], place: str, problems: Problems
) -> dict[str, Mapping[str, JSON]]:
    at = f"{place}.metadata" if place else "metadata"
    metadata = value.get("metadata")
    if not isinstance(metadata, Mapping):
        problems.add(at, f"expected an object, found {show(metadata)}")
        return {}
    members = {}
    for path, document in metadata.items():
        if not isinstance(document, Mapping):
            problems.add(f"{at}[{brief(path)}]", f"expected an object, found {show(document)}")
        elif any(part in ("", ".", "..") for part in path.split("/")):
            problems.add(f"{at}[{brief(path)}]", "is not the path of a member")
        else:
            members[path] = document
    return members


def _inline(members: Mapping[str, JSON]) -> dict[str, JSON]:
    return {"kind": "inline", "must_understand": False, "metadata": dict(members)}


def _rank(path: str) -> tuple[int, str]:
    """Order as zarr-python does: by depth, then by name."""
    return path.count("/"), unicodedata.normalize("NFKC", path).casefold()


def _key(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
