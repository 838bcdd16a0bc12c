"""zarr-python with the codec pipeline of cuzarr, against zarr-python with its own.

1. What one writes the other reads: every layout of the exchange matrix, whole and in part.
2. Every kind of selection, of files, memory and other stores, reads and writes what NumPy does.
3. zarr-python's own pipeline is asked for nothing but what is not known here.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr.errors import ChunkDecodeError
from tests.devices import to_numpy, use_device
from tests.emulation.array import EmulatedArray
from tests.interop.test_matrix import DTYPES, EDGES, LAYOUTS, Layout, document

zarr = pytest.importorskip("zarr", minversion="3.1")

from zarr.core.buffer import default_buffer_prototype  # noqa: E402
from zarr.core.codec_pipeline import BatchedCodecPipeline  # noqa: E402

from cuzarr.interop.zarr import CodecPipeline, as_zarr_store  # noqa: E402

pytestmark = pytest.mark.interop
OURS = {"codec_pipeline.path": "cuzarr.interop.zarr.CodecPipeline"}
THEIRS = {"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}
SHAPE, CHUNKS = (37, 50, 11), (10, 16, 4)
OPTIONS: dict[str, dict[str, Any]] = {
    "v3": {},
    "v3-raw": {"compressors": None},
    "v3-transposed": {"filters": [zarr.codecs.TransposeCodec(order=(2, 0, 1))]},
    "v2": {"zarr_format": 2},
    "v2-fortran": {"zarr_format": 2, "order": "F", "compressors": numcodecs.Blosc()},
    "v2-delta": {"zarr_format": 2, "filters": [numcodecs.Delta("f4")]},
    "shards": {"shards": (20, 32, 8)},
}
options = pytest.mark.parametrize("name", OPTIONS)


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    with zarr.config.set(OURS):
        yield


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let zarr-python's own pipeline do nothing, unless it is the one chosen."""
    for verb in ("read", "write"):
        original = getattr(BatchedCodecPipeline, verb)

        async def chosen(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            if zarr.config.get("codec_pipeline.path") != THEIRS["codec_pipeline.path"]:
                raise AssertionError("zarr-python's own pipeline was asked")
            return await original(*args, **kwargs)

        monkeypatch.setattr(BatchedCodecPipeline, verb, chosen)


def values(shape: tuple[int, ...] = SHAPE, dtype: str = "f4") -> Any:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def create(store: Any, name: str, **more: Any) -> Any:
    return zarr.create_array(
        store, shape=SHAPE, chunks=CHUNKS, dtype="f4", fill_value=3, **OPTIONS[name], **more
    )


def their_view(store: Any) -> Any:
    with zarr.config.set(THEIRS):
        return zarr.open_array(store, mode="r")[...]


@pytest.fixture(params=["local", "memory", "cuzarr", "zip", "logging"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return {
        "local": lambda: zarr.storage.LocalStore(tmp_path / "x"),
        "memory": zarr.storage.MemoryStore,
        "cuzarr": lambda: as_zarr_store(cuzarr.storage.MemoryStore()),
        "zip": lambda: zarr.storage.ZipStore(tmp_path / "x.zip", mode="w"),
        "logging": lambda: zarr.storage.LoggingStore(zarr.storage.MemoryStore(), "ERROR"),
    }[request.param]()


def test_its_name_is_known_without_an_import(tmp_path: Path) -> None:
    """The entry point is what zarr-python finds it by, where cuzarr is installed."""
    assert zarr.registry.get_pipeline_class() is CodecPipeline
    code = (
        "import sys, zarr\n"
        f"zarr.config.set({OURS!r})\n"
        "print(zarr.registry.get_pipeline_class().__name__)"
    )
    from importlib.metadata import entry_points

    if not entry_points(group="zarr.codec_pipeline", name="cuzarr"):
        pytest.skip("cuzarr is not installed")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "CodecPipeline"


@pytest.mark.usefixtures("alone")
@options
def test_selections(store: Any, name: str) -> None:
    a = values()
    z = create(store, name)
    z[...] = a
    for key in (np.s_[:], np.s_[3:30, ::3, 5], np.s_[..., 3], np.s_[36:, 49:, 10:], np.s_[2:9]):
        np.testing.assert_array_equal(z[key], a[key])
    assert z[5, 6, 7] == a[5, 6, 7]
    assert z[3:3].shape == (0, 50, 11)
    rows, twice = [3, 1, 30, 1], [1, 1, 5]
    mask = np.random.default_rng(1).random(50) > 0.5
    np.testing.assert_array_equal(z.oindex[rows, :, twice], a[rows][:, :, twice])
    np.testing.assert_array_equal(z.oindex[rows, 4, :], a[rows, 4, :])
    np.testing.assert_array_equal(z.oindex[:, rows, :], a[:, rows, :])
    np.testing.assert_array_equal(z.oindex[5, mask, 2::2], a[5, mask, 2::2])
    points = tuple(np.random.default_rng(2).integers(0, n, (9, 5)) for n in SHAPE)
    np.testing.assert_array_equal(z.vindex[points], a[points])
    np.testing.assert_array_equal(z.vindex[a > 100], a[a > 100])
    side = OPTIONS[name].get("shards", CHUNKS)
    block = a[side[0] : 2 * side[0], :, : side[2]]
    np.testing.assert_array_equal(z.blocks[1, :, 0], block)


@pytest.mark.usefixtures("alone")
@options
def test_writes(store: Any, name: str) -> None:
    if isinstance(store, zarr.storage.ZipStore):
        pytest.skip("a zip archive keeps every version of a chunk")
    expected = np.full(SHAPE, 3, "f4")
    z = create(store, name)

    def check() -> None:
        np.testing.assert_array_equal(z[...], expected)

    check()
    for key, value in [
        (np.s_[3:30, ::3, 5], 7.0),
        (np.s_[2:5], values((3, 50, 11))),
        (np.s_[5, 6, 7], 1),
        (np.s_[4], values((50, 11))),
        (np.s_[:, 20:40], values((37, 20, 11))),
    ]:
        z[key] = expected[key] = value
        check()
    rows = [3, 1, 30]
    z.oindex[rows, 4, :] = expected[rows, 4, :] = values((3, 11))
    check()
    z.oindex[:, rows, :] = expected[:, rows, :] = values((37, 3, 11))
    check()
    points = ([1, 2, 36, 20], [49, 3, 3, 7], [0, 10, 5, 4])
    z.vindex[points] = expected[points] = [5, 6, 7, 8]
    check()
    z.resize((60, 50, 11))
    expected = np.concatenate((expected, np.full((23, 50, 11), 3, "f4")))
    check()
    z.append(values((2, 50, 11)))
    expected = np.concatenate((expected, values((2, 50, 11))))
    check()
    z.resize((7, 50, 11))
    expected = expected[:7]
    check()
    np.testing.assert_array_equal(their_view(store), expected)
    np.testing.assert_array_equal(cuzarr.open_array(store, mode="r", device="cpu")[...], expected)


@options
def test_chunks_of_fill_are_not_stored(name: str) -> None:
    for keep in (False, True):
        store = zarr.storage.MemoryStore()
        z = create(store, name, config={"write_empty_chunks": keep})
        z[...] = 3
        assert (len(store._store_dict) > 2) == keep
        z[...] = 4
        z[:20, :32, :8] = 3
        side = OPTIONS[name].get("shards", CHUNKS)
        stored = int(np.prod([-(-n // c) for n, c in zip(SHAPE, side, strict=True)]))
        gone = 0 if keep else int(np.prod([n // c for n, c in zip((20, 32, 8), side, strict=True)]))
        chunks = [
            key for key in store._store_dict if not key.endswith(("json", ".zarray", ".zattrs"))
        ]
        assert len(chunks) == stored - gone


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_matrix(layout: Layout, dtype: str, tmp_path: Path) -> None:
    """What cuzarr and its pipeline write, the pipeline and cuzarr read; half of it is missing."""
    shape, chunks = EDGES[7]
    a = values(shape, dtype)
    path = tmp_path / "x"
    path.mkdir()
    name = "zarr.json" if layout.zarr_format == 3 else ".zarray"
    (path / name).write_text(json.dumps(document(layout, dtype, shape, chunks)))
    z = zarr.open_array(str(path), mode="r+")
    z[1:4, :, 3:] = a[1:4, :, 3:]
    expected = np.full(shape, z.fill_value, dtype)
    expected[1:4, :, 3:] = a[1:4, :, 3:]
    np.testing.assert_array_equal(z[...], expected)
    np.testing.assert_array_equal(cuzarr.open_array(path, mode="r", device="cpu")[...], expected)
    cuzarr.open_array(path, mode="r+", device="cpu")[...] = a
    np.testing.assert_array_equal(zarr.open_array(str(path), mode="r")[...], a)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize(("shape", "chunks"), EDGES, ids=str)
def test_edges(layout: Layout, shape: tuple, chunks: tuple, tmp_path: Path) -> None:
    a = values(shape)
    name = "zarr.json" if layout.zarr_format == 3 else ".zarray"
    (tmp_path / name).write_text(json.dumps(document(layout, "float32", shape, chunks)))
    z = zarr.open_array(str(tmp_path), mode="r+")
    z[...] = a
    np.testing.assert_array_equal(z[...], a)
    np.testing.assert_array_equal(their_view(str(tmp_path)), a)


@pytest.mark.parametrize("dtype", ["S5", "U3", "M8[s]", "m8[ms]", [("a", "<i4"), ("b", ">f8")]])
@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")
def test_other_elements(dtype: Any) -> None:
    a = np.arange(40).astype("i8").view("V8") if isinstance(dtype, list) else np.arange(40)
    a = np.zeros(40, dtype) if isinstance(dtype, list) else a.astype(dtype)
    if isinstance(dtype, list):
        a["a"] = np.arange(40)
    z = zarr.create_array({}, shape=40, chunks=7, dtype=a.dtype, zarr_format=2, fill_value=None)
    z[3:30] = a[3:30]
    expected = np.zeros_like(a)
    if a.dtype.kind in "mM":
        expected[...] = "NaT"
    expected[3:30] = a[3:30]
    np.testing.assert_array_equal(z[:], expected)


def test_text_is_zarr_pythons_own_to_read() -> None:
    z = zarr.create_array({}, shape=4, chunks=3, dtype=str)
    z[:] = np.array(["a", "bc", "", "ü"], dtype=object)
    assert z[:].tolist() == ["a", "bc", "", "ü"]


def test_unknown_codec_is_zarr_pythons_own() -> None:
    class Reverse(numcodecs.abc.Codec):
        codec_id = "reverse-for-a-test"

        def encode(self, buf: Any) -> bytes:
            return bytes(buf)[::-1]

        def decode(self, buf: Any, out: Any = None) -> bytes:
            return bytes(buf)[::-1]

    numcodecs.register_codec(Reverse)
    store = zarr.storage.MemoryStore()
    z = zarr.create_array(
        store, shape=9, chunks=4, dtype="i2", zarr_format=2, compressors=Reverse()
    )
    z[:] = np.arange(9)
    assert z[:].tolist() == [*range(9)]
    assert store._store_dict["0"].to_bytes() == np.arange(4, dtype="<i2").tobytes()[::-1]


def test_shards_within_shards_and_codecs_around_them() -> None:
    inner = zarr.codecs.ShardingCodec(chunk_shape=(4, 4), codecs=[zarr.codecs.BytesCodec()])
    nested = zarr.codecs.ShardingCodec(chunk_shape=(8, 8), codecs=[inner])
    around = [inner, zarr.codecs.GzipCodec()]
    a = values((20, 30), "i4")
    for serializer, compressors in ((nested, None), (around[0], [around[1]])):
        store = zarr.storage.MemoryStore()
        with pytest.warns(zarr.errors.ZarrUserWarning) if compressors else nullcontext():
            z = zarr.create_array(
                store, shape=a.shape, chunks=(16, 16), dtype="i4", serializer=serializer,
                compressors=compressors,
            )  # fmt: skip
            z[...] = a
            z[3:9, 5] = 7
            expected = a.copy()
            expected[3:9, 5] = 7
            np.testing.assert_array_equal(z[...], expected)
            np.testing.assert_array_equal(their_view(store), expected)


@options
def test_corrupt_chunk_is_named(name: str, tmp_path: Path) -> None:
    z = create(str(tmp_path), name)
    z[...] = values()
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file() and p.name[0] not in ".z")
    files[1].write_bytes(b"\x01\x02\x03")
    with pytest.raises(ChunkDecodeError, match=str(files[1].relative_to(tmp_path))):
        z[...]


def test_missing_chunks_can_be_refused() -> None:
    if not hasattr(zarr.errors, "ChunkNotFoundError"):
        pytest.skip("zarr-python 3.4 brought that")
    z = create(zarr.storage.MemoryStore(), "v3", config={"read_missing_chunks": False})
    z[:10, :16, :4] = 1
    assert z[2, 2, 2] == 1
    with pytest.raises(zarr.errors.ChunkNotFoundError, match="c/1/0/0"):
        z[:12, :16, :4]


def test_pickle_and_comparison(tmp_path: Path) -> None:
    z = create(str(tmp_path), "shards")
    z[...] = values()
    again = pickle.loads(pickle.dumps(z))
    np.testing.assert_array_equal(again[...], values())
    assert isinstance(again.async_array.codec_pipeline, CodecPipeline)
    assert again.async_array.codec_pipeline == z.async_array.codec_pipeline
    assert list(again.async_array.codec_pipeline)


@options
def test_chunks_decoded_and_encoded_alone(name: str) -> None:
    """The parts of the interface that zarr-python calls for chunks inside others."""
    z = create(zarr.storage.MemoryStore(), name)
    pipeline = z.async_array.codec_pipeline
    side = OPTIONS[name].get("shards", CHUNKS)
    prototype = default_buffer_prototype()
    spec = _spec(z, side)
    chunk = prototype.nd_buffer.from_numpy_array(values(side))

    async def both() -> tuple[Any, Any, Any]:
        encoded = await pipeline.encode([(chunk, spec), (None, spec), (chunk, spec)])
        theirs = await pipeline.theirs.decode([(encoded[0], spec)])
        return encoded, await pipeline.decode([(e, spec) for e in encoded]), list(theirs)

    encoded, decoded, theirs = asyncio.run(both())
    assert encoded[1] is None
    assert decoded[1] is None
    for found in (decoded[0], decoded[2], theirs[0]):
        np.testing.assert_array_equal(found.as_numpy_array(), values(side))
    assert pipeline.supports_partial_decode == (name == "shards")
    assert pipeline.supports_partial_encode == (name == "shards")


def _spec(z: Any, side: tuple[int, ...]) -> Any:
    from zarr.core.array_spec import ArraySpec

    config = replace(z.async_array.config, order=getattr(z.metadata, "order", "C"))
    prototype = default_buffer_prototype()
    return ArraySpec(side, z.metadata.dtype, z.metadata.fill_value, config, prototype)


def test_encoded_size_is_known_without_compression() -> None:
    z = create(zarr.storage.MemoryStore(), "v3-raw")
    pipeline = z.async_array.codec_pipeline
    assert pipeline.compute_encoded_size(2560, _spec(z, CHUNKS)) == 2560


def test_zarr_python_alone_reads_as_before(tmp_path: Path) -> None:
    """Importing the pipeline changes nothing for arrays that do not ask for it."""
    with zarr.config.set(THEIRS):
        z = create(str(tmp_path), "v3")
        z[...] = values()
        assert isinstance(z.async_array.codec_pipeline, BatchedCodecPipeline)


def test_rectilinear_chunks(tmp_path: Path) -> None:
    if "array.rectilinear_chunks" not in zarr.config or zarr.__version__ < "3.4":
        pytest.skip("zarr-python 3.4 brought that")
    with zarr.config.set({"array.rectilinear_chunks": True}):
        z = zarr.create_array(
            str(tmp_path), shape=(10, 12), chunks=[[3, 3, 4], [5, 7]], dtype="i4", fill_value=1
        )
        expected = np.ones((10, 12), "i4")
        z[2:9, 3:] = expected[2:9, 3:] = values((7, 9), "i4")
        np.testing.assert_array_equal(z[...], expected)
        np.testing.assert_array_equal(z.oindex[[9, 1], 2:], expected[[9, 1], 2:])
        np.testing.assert_array_equal(
            z.vindex[[9, 1, 5], [0, 11, 5]], expected[[9, 1, 5], [0, 11, 5]]
        )


class Output:
    """An output of zarr-python that lies on a device."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def as_ndarray_like(self) -> Any:
        return self.array


@pytest.mark.parametrize("kind", ["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.usefixtures("alone")
@options
def test_on_a_device(kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays of a device are read and written there: what ``enable_gpu`` hands over."""
    monkeypatch.setattr(EmulatedArray, "__cuda_array_interface__", {}, raising=False)
    a = values()
    z = create(str(tmp_path), name)
    z[...] = a
    from zarr.core.indexing import BasicIndexer, CoordinateIndexer, OrthogonalIndexer

    pipeline, grid = z.async_array.codec_pipeline, _grid(z)
    points = ([1, 2, 36], [49, 3, 3], [0, 10, 5])
    cases = [
        (BasicIndexer(np.s_[3:30, ::3, 5], SHAPE, grid), a[3:30, ::3, 5]),
        (OrthogonalIndexer(([3, 1, 30], 4, slice(None)), SHAPE, grid), a[[3, 1, 30], 4]),
        (CoordinateIndexer(points, SHAPE, grid), a[points]),
    ]
    side = OPTIONS[name].get("shards", CHUNKS)
    with use_device(kind):
        from cuzarr import cuda

        runtime = cuda.open_backend(0).runtime
        for indexer, expected in cases:
            items = [
                (z.store_path / z.metadata.encode_chunk_key(coords), _spec(z, side), *rest)
                for coords, *rest in indexer
            ]
            out = runtime.to_device(np.zeros(expected.shape, "f4"))
            asyncio.run(pipeline.read(items, Output(out), indexer.drop_axes))
            np.testing.assert_array_equal(to_numpy(out), expected)
            value = runtime.to_device(expected + 1)
            asyncio.run(pipeline.write(items, Output(value), indexer.drop_axes))
            asyncio.run(pipeline.read(items, Output(out), indexer.drop_axes))
            np.testing.assert_array_equal(to_numpy(out), expected + 1)
            asyncio.run(pipeline.write(items, Output(expected), indexer.drop_axes))
    np.testing.assert_array_equal(z[...], a)


def _grid(z: Any) -> Any:
    return getattr(z.async_array, "_chunk_grid", None) or z.metadata.chunk_grid
