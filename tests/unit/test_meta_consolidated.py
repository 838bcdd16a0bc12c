"""Consolidated metadata as an object: members of both formats, views, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cuzarr.errors import MetadataError
from cuzarr.meta import v2, v3
from cuzarr.meta.consolidated import (
    Consolidated,
    consolidated_key,
    parse_documents,
    with_consolidated,
    without_consolidated,
)
from cuzarr.meta.spec import ArraySpec, GroupSpec
from tests.unit.test_meta_v2 import zarray
from tests.unit.test_meta_v3 import array_document

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {"g": 1}}
ARRAY = array_document(attributes={"a": 1})
ZARRAY = zarray(dimension_separator="/")
ZGROUP = {"zarr_format": 2}
INLINE = {"kind": "inline", "must_understand": False}


def of_v3(**members: Any) -> Consolidated:
    value = {**INLINE, "metadata": {path.replace("_", "/"): m for path, m in members.items()}}
    return Consolidated.from_v3(value, "r/zarr.json")


def of_v2(metadata: Any, version: Any = 1) -> Consolidated:
    return Consolidated.from_v2(
        {"zarr_consolidated_format": version, "metadata": metadata}, "r/.zmetadata"
    )


def problems_of(call: Any, *arguments: Any) -> tuple[str, ...]:
    with pytest.raises(MetadataError) as caught:
        call(*arguments)
    return caught.value.problems


def nested() -> Consolidated:
    return of_v3(b=GROUP, b_c=GROUP, b_c_x=ARRAY, a=ARRAY, bc=ARRAY)


def test_members() -> None:
    found = nested()
    assert found.names() == ["a", "b", "bc"]
    assert list(found.metadata) == ["a", "b", "bc", "b/c", "b/c/x"]
    assert isinstance(found.metadata["b/c/x"], ArraySpec)
    assert isinstance(found.metadata["b"], GroupSpec)
    assert found.metadata["b"].attributes == {"g": 1}
    for missing in ("c", "b/x", "", "b/"):
        assert found.get(missing) is None
    assert found.get("b") is found.get("b")


def test_views_of_groups_below() -> None:
    found = nested()
    below = found.get("b")
    assert isinstance(below, GroupSpec)
    view = below.consolidated_metadata
    assert view is below.consolidated is not None
    assert view.names() == ["c"]
    assert list(view.metadata) == ["c", "c/x"]
    assert view.get("c/x") is found.get("b/c/x")
    assert view.get("") is below
    assert view.get("x") is None
    assert view.to_dict() == {**INLINE, "metadata": {"c": GROUP, "c/x": ARRAY}}
    assert view.key == found.key == "r/zarr.json"


def test_removing() -> None:
    found = nested()
    below = found.get("b")
    assert isinstance(below, GroupSpec)
    assert below.consolidated is not None
    assert found.get("b/c/x") is not None
    found.remove("b/c")
    for path in ("b/c", "b/c/x"):
        assert found.get(path) is None
    assert list(found.metadata) == list(found.v3_value()["metadata"]) == ["a", "b", "bc"]
    assert below.consolidated.names() == []
    found.remove("b")
    assert found.names() == ["a", "bc"]
    again = nested()
    view = again.get("b")
    assert isinstance(view, GroupSpec)
    assert view.consolidated is not None
    view.consolidated.remove("c/x")
    assert list(again.metadata) == ["a", "b", "bc", "b/c"]


def test_order_is_by_depth_then_by_name() -> None:
    paths = ["Z", "a", "B", "ﬁ", "fz", "a/a", "B/a"]
    found = Consolidated.from_v3({**INLINE, "metadata": dict.fromkeys(paths[::-1], GROUP)}, "k")
    assert list(found.v3_value()["metadata"]) == ["a", "B", "ﬁ", "fz", "Z", "a/a", "B/a"]
    assert found.names() == sorted(["Z", "a", "B", "ﬁ", "fz"])


def test_members_of_v2_in_a_document_of_v3() -> None:
    array, group = {**ZARRAY, "attributes": {"x": 1}}, {**ZGROUP, "attributes": None}
    found = of_v3(a=array, g=group)
    spec = found.get("a")
    assert isinstance(spec, ArraySpec)
    assert spec.attributes == {"x": 1}
    assert spec.document == ZARRAY
    assert isinstance(found.get("g"), GroupSpec)
    assert found.to_dict()["metadata"] == {"a": array, "g": {**ZGROUP, "attributes": {}}}


def test_documents_of_v2() -> None:
    metadata = {
        ".zgroup": ZGROUP, ".zattrs": {"r": 1}, "a/.zarray": ZARRAY, "a/.zattrs": {"x": 1},
        "b/.zgroup": ZGROUP, "b/other": {"y": 1}, "c/.else": {}, "d/.zattrs": {"z": 1},
    }  # fmt: skip
    found = of_v2(metadata)
    assert found.names() == ["a", "b", "d"]
    assert list(found.metadata) == ["a", "b"]
    assert found.metadata["a"].attributes == {"x": 1}
    own = {".zgroup": ZGROUP, ".zattrs": {"r": 2}}
    assert found.v2_document(own) == {
        "metadata": {
            **own, "a/.zarray": ZARRAY, "a/.zattrs": {"x": 1}, "b/.zgroup": ZGROUP,
            "d/.zattrs": {"z": 1},
        },
        "zarr_consolidated_format": 1,
    }  # fmt: skip
    assert found.v3_value()["metadata"] == {
        "a": {**ZARRAY, "attributes": {"x": 1}},
        "b": {**ZGROUP, "attributes": {}},
        "d": {"attributes": {"z": 1}},
    }


def test_made_of_specs() -> None:
    array = v2.parse_array(ZARRAY, {"x": 1}, "k")
    group = v3.parse({**GROUP, "consolidated_metadata": {**INLINE, "metadata": {"q": 1}}}, "k")
    found = Consolidated.of([("a", array), ("g", group), ("g/x", v3.parse(ARRAY, "k"))], "k")
    empty = {**INLINE, "metadata": {}}
    assert found.v3_value() == {
        **INLINE,
        "metadata": {
            "a": {**ZARRAY, "attributes": {"x": 1}},
            "g": {**GROUP, "consolidated_metadata": empty},
            "g/x": ARRAY,
        },
    }
    assert found.metadata["a"] == array


@pytest.mark.parametrize(
    ("value", "problems"),
    [
        (5, ("consolidated_metadata: expected an object, found 5",)),
        ({"metadata": {}}, ("consolidated_metadata.kind: expected 'inline', found null",)),
        ({"kind": "far", "metadata": {}},
         ("consolidated_metadata.kind: expected 'inline', found \"far\"",)),
        ({"kind": "inline"}, ("consolidated_metadata.metadata: expected an object, found null",)),
        ({"kind": "inline", "metadata": {"a": 5, "b/..": {}, "c": GROUP, "/": {}}},
         ("consolidated_metadata.metadata['a']: expected an object, found 5",
          "consolidated_metadata.metadata['b/..']: is not the path of a member",
          "consolidated_metadata.metadata['/']: is not the path of a member")),
    ],
)  # fmt: skip
def test_wrong_documents_of_v3(value: Any, problems: Any) -> None:
    assert problems_of(Consolidated.from_v3, value, "k") == problems


def test_wrong_documents_of_v2() -> None:
    for version, found in ((2, "2"), (None, "null"), (True, "true")):
        assert problems_of(of_v2, {}, version) == (
            f"zarr_consolidated_format: expected 1, found {found}",
        )
    assert problems_of(of_v2, 5) == ("metadata: expected an object, found 5",)
    assert problems_of(of_v2, {"a/.zarray": 5, "./.zgroup": {}}) == (
        "metadata['a/.zarray']: expected an object, found 5",
        "metadata['./.zgroup']: is not the path of a member",
    )


def test_long_paths_are_cut() -> None:
    for path, document in (("x" * 90, 5), ("x" * 90 + "/..", {})):
        (problem,) = problems_of(of_v2, {path: document})
        assert problem.split(": ")[0] == f"metadata['{'x' * 56}...]"


def test_a_wrong_member_is_named() -> None:
    found = of_v3(a={**ARRAY, "shape": 5}, g=GROUP)
    assert isinstance(found.get("g"), GroupSpec)
    with pytest.raises(MetadataError) as caught:
        found.get("a")
    assert caught.value.key == "r/zarr.json:a/zarr.json"
    old = of_v2({"a/.zarray": {}, "g/.zgroup": {}})
    for path, name in (("a", ".zarray"), ("g", ".zgroup")):
        with pytest.raises(MetadataError) as caught:
            old.get(path)
        assert caught.value.key == f"r/.zmetadata:{path}/{name}"


def test_documents_of_one_node() -> None:
    both = {"zarr.json": ARRAY, ".zarray": ZARRAY, ".zgroup": ZGROUP, ".zattrs": {"x": 1}}
    found = parse_documents(both, "")
    assert (found.zarr_format if found else 0) == 3
    del both["zarr.json"]
    found = parse_documents(both, "")
    assert isinstance(found, ArraySpec)
    assert found.attributes == {"x": 1}
    del both[".zarray"]
    found = parse_documents(both, "")
    assert isinstance(found, GroupSpec)
    assert found.attributes == {"x": 1}
    assert parse_documents({".zattrs": {}}, "") is None
    with pytest.raises(MetadataError) as caught:
        parse_documents({"zarr.json": {}}, "")
    assert caught.value.key == "zarr.json"


def test_opening_with_and_without() -> None:
    value = {**INLINE, "metadata": {"a": ARRAY}}
    spec = v3.parse({**GROUP, "consolidated_metadata": value}, "k")
    assert isinstance(spec, GroupSpec)
    assert spec.consolidated is None
    for wanted in (None, True, "name"):
        found = with_consolidated(spec, None, "key", wanted)
        assert found.consolidated is not None
        assert found.consolidated.key == "key"
        assert found.document == spec.document
    plain = with_consolidated(found, None, "key", wanted=False)
    assert plain.consolidated is None
    assert plain == without_consolidated(spec) == spec
    assert plain.document == GROUP
    assert with_consolidated(plain, None, "key", None).consolidated is None
    with pytest.raises(MetadataError, match="there are no consolidated metadata"):
        with_consolidated(plain, None, "key", wanted=True)
    old = v2.parse_group(ZGROUP, None, "k")
    assert with_consolidated(old, None, "key", None).consolidated is None
    document = {"zarr_consolidated_format": 1, "metadata": {"a/.zarray": ZARRAY}}
    opened = with_consolidated(old, document, "key", None)
    assert opened.consolidated is not None
    assert opened.consolidated.names() == ["a"]


def test_where_they_are() -> None:
    assert consolidated_key(3, "name") == "zarr.json"
    assert consolidated_key(2, "name") == "name"
    assert consolidated_key(2, None) == consolidated_key(2, wanted=True) == ".zmetadata"


def test_nodes_as_one_document() -> None:
    array = v2.parse_array(ZARRAY, {"x": 1}, "k")
    assert array.to_dict() == {**ZARRAY, "attributes": {"x": 1}}
    assert v2.parse_group(ZGROUP, None, "k").to_dict() == {**ZGROUP, "attributes": {}}
    assert v3.parse(ARRAY, "k").to_dict() == ARRAY
    assert v3.parse(GROUP, "k").to_dict() == GROUP
    assert v3.parse(GROUP, "k").consolidated_metadata is None
    assert array.ndim == 2
