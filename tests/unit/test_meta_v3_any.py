"""Any JSON as a v3 document is parsed or refused, nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cuzarr.errors import MetadataError
from cuzarr.meta import dump_json, load_json, v3
from cuzarr.meta.spec import ArraySpec
from tests.unit.test_meta_v3 import DATA_TYPES, STRUCT, STRUCTURED, array_document, serializer_of

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["float32", "bool", "r8", "string", "struct", "regular", "default", "v2", "bytes", "NaN",
         "0x7fc00000", "numpy.datetime64", "array", "group", "transpose", "AAAA", "NaT"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["name", "configuration", "chunk_shape", "separator", "fields", "data_type",
             "length_bytes", "unit", "scale_factor", "must_understand", "a"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
FIELDS = [
    "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding",
    "fill_value", "codecs", "attributes", "dimension_names", "storage_transformers", "extra",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES, max_size=12))
def test_any_json_parses_or_is_refused(changes: dict[str, Any]) -> None:
    document = array_document(**changes)
    try:
        spec = v3.parse(document, "k")
    except MetadataError as error:
        assert error.problems  # noqa: PT017
    else:
        again = v3.parse(v3.document(spec), "k")
        assert type(again) is type(spec)


ALL_TYPES = [data_type for data_type, _, _, _ in DATA_TYPES] + [STRUCT, STRUCTURED]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ALL_TYPES), JSON_VALUES)
def test_any_fill_value_parses_or_is_refused(data_type: Any, value: Any) -> None:
    try:
        document = array_document(
            data_type=data_type, fill_value=value, codecs=serializer_of(data_type)
        )
        spec = v3.parse(document, "k")
    except MetadataError as error:
        assert all(problem.startswith("fill_value") for problem in error.problems)  # noqa: PT017
    else:
        assert isinstance(spec, ArraySpec)
        written = load_json(dump_json(v3.document(replace(spec, document={}))), "k")
        again = v3.parse(written, "k")
        assert isinstance(again, ArraySpec)
        assert np.asarray(again.fill_value).tobytes() == np.asarray(spec.fill_value).tobytes()
