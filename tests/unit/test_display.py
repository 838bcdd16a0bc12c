"""How arrays and groups look, as text and as HTML."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.display import Info, Tree, byte_count, location


@pytest.fixture
def root() -> Any:
    root = cuzarr.create_group(None, device="cpu")
    root.create_array("a/x", data=np.arange(10, dtype="i4"), chunks=(4,))
    root.create_array("a/b/y", shape=(3, 4), dtype="f8", zarr_format=3)
    root.create_group("e<m>pty")
    return root


def test_trees(root: Any) -> None:
    assert repr(root.tree()).splitlines() == [
        "/",
        "├── a",
        "│   ├── b",
        "│   │   └── y (3, 4) float64",
        "│   └── x (10,) int32",
        "└── e<m>pty",
    ]
    assert repr(root.tree(level=1)).splitlines() == ["/", "├── a", "└── e<m>pty"]
    assert repr(root.tree(level=0)) == "/"
    assert repr(root["a"].tree()).splitlines()[0] == "/a"


def test_trees_as_html(root: Any) -> None:
    html = root.tree()._repr_html_()
    assert "e&lt;m&gt;pty" in html
    assert html.count("<details") == 3
    assert "<summary>/</summary>" in html
    assert Tree("leaf & more")._repr_html_() == "leaf &amp; more"
    assert Tree("plain", plain=True)._repr_html_() is None


def test_large_trees_are_cut() -> None:
    tree = Tree("/", tuple(Tree(f"n{i}") for i in range(9)), max_nodes=4)
    lines = repr(tree).splitlines()
    assert lines == ["/", "├── n0", "├── n1", "├── n2", "├── n3", "... 5 more; see max_nodes="]


def rows(info: Info) -> dict[str, str]:
    return dict(info.rows)


def test_array_reports(root: Any) -> None:
    z = root["a/x"]
    text = repr(z.info)
    assert len({line.index(" : ") for line in text.splitlines()}) == 1  # one column
    found = rows(z.info)
    assert found["Name"] == "/a/x"
    assert found["Shape"] == "(10,)"
    assert found["Data type"] == "int32"
    assert found["Chunk shape"] == "(4,)"
    assert found["Filters"] == "none"
    assert "ZstdCodec" in found["Compressors"]
    assert found["No. bytes"] == "40"
    assert found["Device"] == 'cpu (device="cpu" was asked for)'
    assert "No. bytes stored" not in found
    complete = rows(z.info_complete())
    assert complete["Chunks initialized"] == "3/3"
    assert complete["No. bytes stored"] == byte_count(z.nbytes_stored())
    assert float(complete["Storage ratio"]) > 0


def test_reports_of_shards_and_of_v2() -> None:
    z = cuzarr.create_array(
        None, shape=(9, 8), dtype="f4", chunks=(2, 2), shards=(4, 4), device="cpu"
    )
    z[0, 0] = 1
    found = rows(z.info_complete())
    assert (found["Shard shape"], found["Chunk shape"]) == ("(4, 4)", "(2, 2)")
    assert found["Shards initialized"] == "1/6"
    z = cuzarr.create_array(
        None, data=np.arange(6, dtype="<i4"), zarr_format=2, device="cpu",
        filters=[{"id": "delta", "dtype": "<i4"}], order="F",
    )  # fmt: skip
    found = rows(z.info)
    assert "Delta" in found["Filters"]
    assert "Blosc" in found["Compressor"]
    assert found["Order"] == "F"


def test_group_reports(root: Any) -> None:
    found = rows(root.info)
    assert found["No. members"] == "2"
    assert (found["No. arrays"], found["No. groups"]) == ("0", "2")
    assert found["Groups"] == "a, e<m>pty"
    assert "Arrays" not in found
    assert rows(root["a"].info)["Arrays"] == "x"
    assert rows(root["a/b"].info)["No. arrays"] == "1"
    assert "Groups" not in rows(root["a/b"].info)
    assert "<td>a, e&lt;m&gt;pty</td>" in root.info._repr_html_()
    below = rows(root.info_complete())
    assert below["No. members below"] == "5"
    assert below["No. bytes below"] == str(40 + 96)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"), (1023, "1023"), (1024, "1024 (1.0K)"), (3 * 2**20, f"{3 * 2**20} (3.0M)"),
        (2**60, f"{2**60} (1.0E)"), (2**75, f"{2**75} (32768.0E)"),
    ],
)  # fmt: skip
def test_byte_counts(size: int, text: str) -> None:
    assert byte_count(size) == text


def test_locations() -> None:
    assert location("file://x/", "a/b") == "file://x/a/b"
    assert location("file://x", "") == "file://x"
    root = cuzarr.create_group(None)
    assert repr(root) == f"<Group {root.store}>"
    assert repr(root.create_group("a")) == f"<Group {root.store}/a>"


def test_report_of_an_array_whose_objects_are_gone() -> None:
    z = cuzarr.create_array(None, data=np.arange(10), chunks=5)
    z.store.delete_dir("")
    rows = dict(z.info_complete().rows)
    assert rows["Chunks initialized"] == "0/2"
    assert "Storage ratio" not in rows
