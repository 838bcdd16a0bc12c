"""Any JSON as a v2 document is parsed or refused, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cuzarr.errors import MetadataError
from cuzarr.meta import dump_json, load_json, v2
from tests.unit.test_meta_v2 import TYPES, parse, rewritten

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["<f4", "|O", "|S3", "<M8[ns]", "|V2", "blosc", "delta", "vlen-utf8", "AAA=",
                       "zstd", "F", "categorize", "astype", "pcodec", "a"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "level", "cname", "shuffle", "clevel", "dtype", "astype",
                         "encode_dtype", "typesize", "checksum"]),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
FIELDS = [
    "zarr_format", "shape", "chunks", "dtype", "compressor", "filters", "fill_value", "order",
    "dimension_separator",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=9))
def test_any_json_parses_or_is_refused(changes: dict[str, Any]) -> None:
    try:
        spec = parse(**changes)
    except MetadataError as error:
        assert error.problems  # noqa: PT017
    else:
        assert v2.parse_array(v2.documents(spec)[".zarray"], None, "k").codecs == spec.codecs


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([dtype for dtype, *_ in TYPES]), JSON_VALUES)
def test_any_fill_value_parses_or_is_refused(dtype: str, value: Any) -> None:
    try:
        spec = parse(dtype=dtype, fill_value=value)
    except MetadataError as error:
        assert all(problem.startswith("fill_value") for problem in error.problems)  # noqa: PT017
    else:
        again = v2.parse_array(load_json(dump_json(rewritten(spec)), "k"), None, "k")
        # v2 has one NaN: bits of others are lost, values are not.
        np.testing.assert_array_equal(np.asarray(again.fill_value), np.asarray(spec.fill_value))
