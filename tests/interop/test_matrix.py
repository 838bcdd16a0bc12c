"""Every numeric data type and every edge shape, between each writer and each reader.

1. :data:`WRITERS` and :data:`READERS` say how zarr-python, its pipeline over zarrs, TensorStore and
   cuzarr write and read an array that is described by its document's terms.
2. :func:`test_numbers` crosses data types with layouts; :func:`test_edges` crosses shapes with
   layouts. In each, every writer's array is read by cuzarr, and cuzarr's by every reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr

zarr = pytest.importorskip("zarr", minversion="3.1")
tensorstore = pytest.importorskip("tensorstore")
pytestmark = pytest.mark.interop

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip

#: shape, chunks
EDGES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((), ()),
    ((0,), (4,)),
    ((5, 0, 3), (2, 1, 2)),
    ((1,), (1,)),
    ((1,), (100,)),
    ((7,), (7,)),
    ((8,), (7,)),
    ((6, 1, 9), (4, 1, 4)),
    ((3, 4), (10, 10)),
    ((2, 3, 2, 3, 2), (2, 2, 1, 3, 2)),
]


def _v3(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


BYTES = _v3("bytes", endian="little")
INDEX = [BYTES, _v3("crc32c")]


@dataclass(frozen=True)
class Layout:
    """A chain of codecs; for shards, that of the inner chunks and of the index."""

    name: str
    zarr_format: int
    codecs: tuple[dict[str, Any], ...] = ()
    compressor: dict[str, Any] | None = None
    separator: str = "."
    order: str = "C"
    endian: str = "<"
    shards: bool = False
    index: tuple[dict[str, Any], ...] = tuple(INDEX)
    index_location: str = "end"


#: The fill value of every array, in its data type.
FILL = 7

LAYOUTS = [
    Layout("v2-raw", 2),
    Layout("v2-raw-nested", 2, separator="/"),
    Layout("v2-raw-big", 2, endian=">"),
    Layout("v2-raw-fortran", 2, order="F"),
    Layout(
        "v2-blosc-lz4", 2,
        compressor={"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
    ),
    Layout(
        "v2-blosc-zstd-bits", 2,
        compressor={"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 2, "blocksize": 0},
    ),
    Layout("v2-zlib", 2, compressor={"id": "zlib", "level": 1}),
    Layout("v2-zstd", 2, compressor={"id": "zstd", "level": 1}),
    Layout("v3-raw", 3, (BYTES,)),
    Layout("v3-raw-big", 3, (_v3("bytes", endian="big"),)),
    Layout("v3-gzip", 3, (BYTES, _v3("gzip", level=1))),
    Layout("v3-zstd", 3, (BYTES, _v3("zstd", level=1, checksum=True))),
    Layout("v3-crc32c", 3, (BYTES, _v3("crc32c"))),
    Layout("v3-shards-raw", 3, (BYTES,), shards=True),
    Layout("v3-shards-start", 3, (BYTES, _v3("crc32c")), shards=True, index_location="start"),
    Layout("v3-shards-zstd-start", 3, (BYTES, _v3("zstd", level=1, checksum=False)), shards=True,
           index_location="start"),
    Layout("v3-shards-gzip-plain-index", 3, (BYTES, _v3("gzip", level=1)), shards=True,
           index=(BYTES,)),
]  # fmt: skip
layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


def document(layout: Layout, dtype: str, shape: tuple, chunks: tuple) -> dict[str, Any]:
    """Return the metadata document of an array."""
    if layout.zarr_format == 2:
        native = np.dtype(dtype)
        return {
            "zarr_format": 2, "shape": list(shape), "chunks": list(chunks),
            "dtype": native.newbyteorder(layout.endian).str if native.itemsize > 1 else native.str,
            "compressor": layout.compressor, "filters": None, "order": layout.order,
            "fill_value": bool(FILL) if dtype == "bool" else _json(dtype),
            "dimension_separator": layout.separator,
        }  # fmt: skip
    grid, codecs = list(chunks), list(layout.codecs)
    if layout.shards:
        grid = [2 * length for length in chunks]
        codecs = [
            _v3(
                "sharding_indexed", chunk_shape=list(chunks), codecs=codecs,
                index_codecs=list(layout.index), index_location=layout.index_location,
            )
        ]  # fmt: skip
    return {
        "zarr_format": 3, "node_type": "array", "shape": list(shape), "data_type": dtype,
        "chunk_grid": _v3("regular", chunk_shape=grid),
        "chunk_key_encoding": _v3("default", separator="/"),
        "fill_value": _json(dtype), "codecs": codecs, "attributes": {},
    }  # fmt: skip


def _json(dtype: str) -> Any:
    kind = np.dtype(dtype).kind
    if kind == "b":
        return True
    return [float(FILL), 0.0] if kind == "c" else float(FILL) if kind == "f" else FILL


def values_for(dtype: str, shape: tuple) -> np.ndarray:
    """Return values with every bit in use, NaNs and infinities among the floats."""
    rng = np.random.default_rng(3)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return rng.random(shape) > 0.5
    if kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    values = rng.normal(size=shape)
    if kind == "c":
        values = values + 1j * rng.normal(size=shape)
    flat = np.asarray(values).astype(dtype).reshape(-1)
    flat[::5] = np.nan
    flat[1::7] = -np.inf
    flat[2::11] = -0.0
    return flat.reshape(shape)


# -- the four --------------------------------------------------------------------------------


def put_document(path: Path, layout: Layout, *rest: Any) -> None:
    path.mkdir()
    name = ".zarray" if layout.zarr_format == 2 else "zarr.json"
    (path / name).write_text(json.dumps(document(layout, *rest)))


def open_tensorstore(path: Path, layout: Layout) -> Any:
    driver = "zarr" if layout.zarr_format == 2 else "zarr3"
    spec = {"driver": driver, "kvstore": {"driver": "file", "path": str(path)}}
    return tensorstore.open(spec, open=True).result()


def write_cuzarr(path: Path, layout: Layout, values: np.ndarray) -> None:
    cuzarr.open_array(path, mode="r+")[...] = values


def write_zarr(path: Path, layout: Layout, values: np.ndarray) -> None:
    zarr.open_array(path, mode="r+")[...] = values


def write_zarrs(path: Path, layout: Layout, values: np.ndarray) -> None:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        write_zarr(path, layout, values)


def write_tensorstore(path: Path, layout: Layout, values: np.ndarray) -> None:
    open_tensorstore(path, layout)[...] = values


def read_cuzarr(path: Path, layout: Layout) -> Any:
    return cuzarr.open_array(path, mode="r", device="cpu")[...]


def read_zarr(path: Path, layout: Layout) -> Any:
    return zarr.open_array(path, mode="r")[...]


def read_zarrs(path: Path, layout: Layout) -> Any:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        return read_zarr(path, layout)


def read_tensorstore(path: Path, layout: Layout) -> Any:
    return open_tensorstore(path, layout).read().result()


Writer = Callable[[Path, Layout, np.ndarray], None]
Reader = Callable[[Path, Layout], Any]
WRITERS: dict[str, Writer] = {
    "zarr": write_zarr,
    "zarrs": write_zarrs,
    "tensorstore": write_tensorstore,
    "cuzarr": write_cuzarr,
}
READERS: dict[str, Reader] = {
    "zarr": read_zarr,
    "zarrs": read_zarrs,
    "tensorstore": read_tensorstore,
    "cuzarr": read_cuzarr,
}


def beyond(peer: str, role: str, layout: Layout, dtype: str, shape: tuple) -> bool:
    """Whether a peer itself fails here, whoever is on the other side.

    zarrs 0.2 reads no byte-swapped or Fortran-ordered v2 chunks, and byte-swapped complex numbers
    wrongly; zarr-python 3.1, and zarrs through it, cannot write a shard without dimensions, nor
    zarrs a transpose of none.
    """
    if role == "writer":
        no_transpose = peer == "zarrs" and layout.order == "F"
        return shape == () and (no_transpose or (peer in ("zarr", "zarrs") and layout.shards))
    swapped_complex = layout.name == "v3-raw-big" and dtype.startswith("complex")
    return peer == "zarrs" and (
        layout.name in ("v2-raw-big", "v2-raw-fortran") or swapped_complex
    )  # fmt: skip


def exchange(tmp: Path, layout: Layout, dtype: str, shape: tuple, chunks: tuple) -> list[str]:
    """Write with each writer, read with cuzarr; write with cuzarr, read with each reader."""
    values, problems = values_for(dtype, shape), []
    pairs = [(writer, "cuzarr") for writer in WRITERS]
    pairs += [("cuzarr", reader) for reader in READERS if reader != "cuzarr"]
    made: dict[str, Exception | None] = {}
    for writer, reader in pairs:
        if beyond(writer, "writer", layout, dtype, shape) or beyond(
            reader, "reader", layout, dtype, shape
        ):
            continue
        path = tmp / writer
        if writer not in made:
            put_document(path, layout, dtype, shape, chunks)
            made[writer] = attempt(WRITERS[writer], path, layout, values)
        if made[writer] is not None:
            found: Any = made[writer]
        else:
            found = attempt(READERS[reader], path, layout)
        if not same(found, values):
            problems.append(f"{writer} -> {reader}: {found!r}")
    return problems


def attempt(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:
        return error


def same(found: Any, values: np.ndarray) -> bool:
    """Whether two arrays hold the same bits."""
    if isinstance(found, Exception):
        return False
    found = np.asarray(found)
    native = values.dtype.newbyteorder("=")
    return (
        found.shape == values.shape
        and found.dtype.newbyteorder("=") == native
        and found.astype(native).tobytes() == values.astype(native).tobytes()
    )


@layouts
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers(layout: Layout, dtype: str, tmp_path: Path):
    assert exchange(tmp_path, layout, dtype, (9, 10), (4, 3)) == []


@layouts
@pytest.mark.parametrize(("shape", "chunks"), EDGES, ids=str)
def test_edges(layout: Layout, shape: tuple, chunks: tuple, tmp_path: Path):
    assert exchange(tmp_path, layout, "int32", shape, chunks) == []
