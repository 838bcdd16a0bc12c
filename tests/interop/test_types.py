"""Texts, bytes, times, records, small floats: between cuzarr, zarr-python and TensorStore."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.meta.dtypes import STRING

zarr = pytest.importorskip("zarr", minversion="3.1")
pytestmark = [
    pytest.mark.interop,
    pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification"),
    pytest.mark.filterwarnings("ignore:.*V3 specification"),
]

SHAPE, CHUNKS = (7, 5), (3, 2)
WRITTEN = (slice(2, 6), slice(None))
RECORD = np.dtype([("a", "<i4"), ("b", "<f8"), ("s", "S3"), ("u", "<U2")])
DTYPES: list[tuple[str, Any, Any]] = [
    ("string", str, ""),
    ("string", str, "leer"),
    ("bytes", "variable_length_bytes", b""),
    ("bytes", "variable_length_bytes", b"\0x"),
    ("utf32", "<U4", "ab"),
    ("null-terminated", "S4", b"xy"),
    ("datetime", "<M8[ms]", np.datetime64(17, "ms")),
    ("timedelta", "<m8[10ns]", np.timedelta64("NaT", "ns")),
    ("raw", "V3", b"abc"),
    ("record", RECORD, (1, 2.5, b"q", "é")),
]
types = pytest.mark.parametrize(
    ("kind", "dtype", "fill"), DTYPES, ids=[f"{kind}-{fill!r}" for kind, _, fill in DTYPES]
)
formats = pytest.mark.parametrize("zarr_format", [2, 3])
NEW_RECORDS = tuple(int(n) for n in zarr.__version__.split(".")[:2]) >= (3, 2)


def values(kind: str, dtype: Any) -> np.ndarray:
    rng = np.random.default_rng(4)
    if kind in ("string", "bytes"):
        texts = ["".join(rng.choice(list("abß日🐍"), n)) for n in rng.integers(0, 9, 35)]
        out = np.empty(35, object)
        out[:] = texts if kind == "string" else [text.encode() for text in texts]
        out = out.reshape(SHAPE)
        return out.astype(STRING) if kind == "string" else out
    dtype = np.dtype(dtype)
    if kind == "record":
        out = np.zeros(SHAPE, dtype)
        for name in dtype.names:
            out[name] = rng.integers(0, 99, SHAPE).astype(dtype[name])
        return out
    if kind in ("utf32", "null-terminated"):
        return rng.integers(0, 9999, SHAPE).astype(dtype)
    if kind == "raw":
        return rng.integers(0, 256, (*SHAPE, 3), np.uint8).view(dtype).reshape(SHAPE)
    return rng.integers(-(10**6), 10**6, SHAPE).view(dtype)


def create(library: Any, path: Path, kind: str, dtype: Any, fill: Any, zarr_format: int) -> Any:
    if kind == "raw" and library is zarr:
        fill = np.void(fill)
    elif kind == "bytes" and library is zarr:
        dtype = zarr.dtype.VariableLengthBytes()
    elif kind == "record" and library is zarr:
        fill = np.array(fill, RECORD)[()]
    options: dict[str, Any] = {}
    if zarr_format == 2:
        options["compressors"] = {"id": "zlib", "level": 1}
        options["chunk_key_encoding"] = {"name": "v2", "separator": "."}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr-python says that these types may change
        return library.create_array(
            path, shape=SHAPE, chunks=CHUNKS, dtype=dtype, fill_value=fill,
            zarr_format=zarr_format, **options,
        )  # fmt: skip


def same(found: Any, expected: np.ndarray) -> None:
    found = np.asarray(found)
    if expected.dtype.kind in "OT":
        assert found.dtype == expected.dtype
        assert found.tolist() == expected.tolist()
    else:
        assert found.astype(expected.dtype).tobytes() == expected.tobytes()


def exchanged(kind: str, dtype: Any, fill: Any) -> np.ndarray:
    new = values(kind, dtype)
    expected = np.empty(SHAPE, new.dtype)
    expected[...] = np.void(fill) if kind == "raw" else np.array(fill, new.dtype)
    expected[WRITTEN] = new[WRITTEN]
    return expected


@formats
@types
def test_zarr_python_reads_what_cuzarr_writes(
    kind: str, dtype: Any, fill: Any, zarr_format: int, tmp_path: Path
) -> None:
    if kind == "record" and zarr_format == 3 and not NEW_RECORDS:
        pytest.skip("this zarr-python does not know the data type 'struct'")
    expected = exchanged(kind, dtype, fill)
    array = create(cuzarr, tmp_path / "a", kind, dtype, fill, zarr_format)
    array[WRITTEN] = expected[WRITTEN]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(zarr.open_array(tmp_path / "a", mode="r")[...], expected)


@formats
@types
def test_cuzarr_reads_what_zarr_python_writes(
    kind: str, dtype: Any, fill: Any, zarr_format: int, tmp_path: Path
) -> None:
    expected = exchanged(kind, dtype, fill)
    theirs = create(zarr, tmp_path / "a", kind, dtype, fill, zarr_format)
    theirs[WRITTEN] = expected[WRITTEN]
    array = cuzarr.open_array(tmp_path / "a", mode="r")
    same(array[...], expected)
    same(array[5:0:-2, 1:4], expected[5:0:-2, 1:4])
    assert array.dtype == theirs.dtype
    if kind == "record":
        for name in RECORD.names:
            same(array[name], expected[name])
            same(array.get_orthogonal_selection(([5, 2], slice(1, 3)), fields=name),
                 expected[name][np.ix_([5, 2], [1, 2])])  # fmt: skip


@formats
@types
def test_both_write_the_same_document(
    kind: str, dtype: Any, fill: Any, zarr_format: int, tmp_path: Path
) -> None:
    if kind == "record" and zarr_format == 3 and not NEW_RECORDS:
        pytest.skip("this zarr-python does not know the data type 'struct'")
    name = ".zarray" if zarr_format == 2 else "zarr.json"
    documents = []
    for library in (cuzarr, zarr):
        create(library, tmp_path / library.__name__, kind, dtype, fill, zarr_format)
        documents.append(json.loads((tmp_path / library.__name__ / name).read_text()))
    ours, theirs = documents
    assert theirs.pop("storage_transformers", []) == []
    if kind == "raw" and zarr_format == 3 and not NEW_RECORDS:
        theirs.pop("fill_value")  # a base64 of its own
        ours.pop("fill_value")
    assert ours == theirs


def test_zarr_python_reads_records_of_which_cuzarr_wrote_a_field(tmp_path: Path) -> None:
    expected = values("record", RECORD)
    array = create(cuzarr, tmp_path / "a", "record", RECORD, 0, 2)
    array[...] = expected
    array["b", 1:4] = 2.5
    expected["b"][1:4] = 2.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(zarr.open_array(tmp_path / "a", mode="r")[...], expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    "name",
    ["bfloat16", "int4", "int2", "float8_e4m3fn", "float8_e5m2", "float8_e3m4", "float8_e4m3fnuz",
     "float8_e4m3b11fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn"],
)  # fmt: skip
def test_small_types_with_tensorstore(name: str, zarr_format: int, tmp_path: Path) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    if name == "float4_e2m1fn" and zarr_format == 2:
        pytest.skip("TensorStore takes no number for the fill value of this type in v2")
    dtype = np.dtype(getattr(ml_dtypes, name))
    driver = "zarr" if zarr_format == 2 else "zarr3"
    data = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    data = (data % 4 - 2 if name.startswith("int") else data / 64 + 1).astype(dtype)

    def spec(path: Path) -> dict[str, Any]:
        return {"driver": driver, "kvstore": {"driver": "file", "path": str(path)}}

    layout = tensorstore.ChunkLayout(read_chunk_shape=CHUNKS)
    theirs = tensorstore.open(
        spec(tmp_path / "theirs"), create=True, dtype=getattr(tensorstore, name), shape=SHAPE,
        chunk_layout=layout,
    ).result()  # fmt: skip
    theirs[1:6].write(data[1:6]).result()
    expected = theirs.read().result()
    array = cuzarr.open_array(tmp_path / "theirs", mode="r")
    assert array.dtype == dtype
    assert (array[...] == expected).all()
    assert (array[1:6, ::-1] == data[1:6, ::-1]).all()

    ours = cuzarr.create_array(
        tmp_path / "ours", shape=SHAPE, chunks=CHUNKS, dtype=dtype, zarr_format=zarr_format
    )
    ours[1:6] = data[1:6]
    found = tensorstore.open(spec(tmp_path / "ours"), open=True).result().read().result()
    assert found.dtype == dtype
    assert (found[1:6] == data[1:6]).all()


def test_big_endian_bfloat16_with_tensorstore(tmp_path: Path) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    ml_dtypes = pytest.importorskip("ml_dtypes")
    data = np.arange(35).reshape(SHAPE).astype(ml_dtypes.bfloat16)
    ours = cuzarr.create_array(
        tmp_path / "a", shape=SHAPE, chunks=CHUNKS, dtype=data.dtype,
        serializer={"name": "bytes", "configuration": {"endian": "big"}},
    )  # fmt: skip
    ours[...] = data
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "a")}}
    assert (tensorstore.open(spec).result().read().result() == data).all()


def test_strings_in_shards(tmp_path: Path) -> None:
    expected = values("string", str)
    ours = cuzarr.create_array(
        tmp_path / "ours", shape=SHAPE, chunks=CHUNKS, shards=(6, 4), dtype=str
    )
    ours[...] = expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(zarr.open_array(tmp_path / "ours", mode="r")[...], expected)
        theirs = zarr.create_array(
            tmp_path / "theirs", shape=SHAPE, chunks=CHUNKS, shards=(6, 4), dtype=str
        )
        theirs[...] = expected
    same(cuzarr.open_array(tmp_path / "theirs")[...], expected)
