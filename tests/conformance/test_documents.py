"""Every metadata document of the real data set parses, and is written back unchanged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cuzarr import meta
from cuzarr.errors import MetadataError

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CUZARR_TEST_DATA", ROOT.parent / "shared" / "data"))

#: Documents that are refused, by the end of their path, and what the refusal says.
REFUSED = {
    "zarr_implementations/examples/zarrita.zr3/zarr.json": "zarr_format: expected 3",
}


def documents() -> list[str]:
    names = (".zarray", ".zgroup", "zarr.json")
    found = (path for name in names for path in DATA.rglob(name))
    return sorted(str(path.relative_to(DATA)) for path in found) if DATA.is_dir() else []


@pytest.mark.skipif(not DATA.is_dir(), reason="no data set (CUZARR_TEST_DATA)")
def test_the_data_set_has_documents_of_both_formats() -> None:
    names = {Path(path).name for path in documents()}
    assert names == {".zarray", ".zgroup", "zarr.json"}


@pytest.mark.parametrize("path", documents())
def test_document_survives(path: str) -> None:
    document = meta.load_json((DATA / path).read_bytes(), path)
    reason = next((why for end, why in REFUSED.items() if path.endswith(end)), None)
    if reason is not None:
        with pytest.raises(MetadataError, match=reason):
            meta.v3.parse(document, path)
        return
    name = Path(path).name
    if name == "zarr.json":
        written = meta.v3.document(meta.v3.parse(document, path))
    else:
        zattrs = (DATA / path).with_name(".zattrs")
        attrs = meta.load_json(zattrs.read_bytes(), str(zattrs)) if zattrs.exists() else None
        parse = meta.v2.parse_array if name == ".zarray" else meta.v2.parse_group
        all_written = meta.v2.documents(parse(document, attrs, path))
        assert all_written.get(".zattrs", {}) == (attrs or {})
        written = all_written[name]
    assert json.loads(meta.dump_json(written)) == document


def test_digests_name_the_shapes_that_documents_have() -> None:
    digests = DATA / "digests.json"
    if not digests.exists():
        pytest.skip("no data set (CUZARR_TEST_DATA)")
    for path, facts in json.loads(digests.read_bytes()).items():
        node = DATA / path
        if (node / ".zarray").exists():
            document = meta.load_json((node / ".zarray").read_bytes(), path)
            spec = meta.v2.parse_array(document, None, path)
        else:
            document = meta.load_json((node / "zarr.json").read_bytes(), path)
            spec = meta.v3.parse(document, path)
        assert list(spec.shape) == facts["shape"], path
