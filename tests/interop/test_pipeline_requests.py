"""Requests to the codec pipeline that zarr-python hands over seldom, or that it alone can serve.

1. Selections and codecs that are not known here are zarr-python's own to read and write.
2. Byte getters need not belong to a store.
3. What an array does not ask of its pipeline, other callers do.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numcodecs
import numpy as np
import pytest

from cuzarr.errors import MissingPackageError

zarr = pytest.importorskip("zarr", minversion="3.1")

from zarr.abc.codec import BytesBytesCodec  # noqa: E402
from zarr.core.buffer import default_buffer_prototype  # noqa: E402
from zarr.core.codec_pipeline import BatchedCodecPipeline  # noqa: E402

from cuzarr.interop.zarr.batch_plan import UnknownSelectionError, plan_batch  # noqa: E402
from cuzarr.interop.zarr.pipeline import CodecPipeline  # noqa: E402
from cuzarr.interop.zarr.sources import open_source  # noqa: E402

pytestmark = pytest.mark.interop
OURS = {"codec_pipeline.path": "cuzarr.interop.zarr.CodecPipeline"}
SHAPE, CHUNKS = (10, 6), (4, 3)
DATA = np.arange(60, dtype="i4").reshape(SHAPE)


@pytest.fixture(autouse=True)
def ours() -> Iterator[None]:
    with zarr.config.set(OURS):
        yield


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what zarr-python's own pipeline is asked for."""
    calls: list[str] = []
    for verb in ("read", "write", "decode", "encode"):
        original = getattr(BatchedCodecPipeline, verb)

        async def noted(*args: Any, verb: str = verb, original: Any = original, **kw: Any) -> Any:
            calls.append(verb)
            return await original(*args, **kw)

        monkeypatch.setattr(BatchedCodecPipeline, verb, noted)
    return calls


def made(store: Any = None, **options: Any) -> Any:
    options = {"shape": SHAPE, "chunks": CHUNKS, "dtype": "i4", **options}
    z = zarr.create_array(zarr.storage.MemoryStore() if store is None else store, **options)
    z[...] = DATA
    return z


def spec_of(z: Any, shape: tuple[int, ...] = CHUNKS, **changes: Any) -> Any:
    from zarr.core.array_spec import ArraySpec

    prototype = default_buffer_prototype()
    spec = ArraySpec(
        shape, z.metadata.dtype, z.metadata.fill_value, z.async_array.config, prototype
    )
    return replace(spec, **changes)


def pipeline_of(z: Any) -> Any:
    found = z.async_array.codec_pipeline
    assert type(found) is CodecPipeline
    return found


def buffer(array: Any) -> Any:
    return default_buffer_prototype().nd_buffer.from_numpy_array(array)


# -- selections


def item(taken: Any, target: Any, getter: Any = None, spec: Any = None) -> Any:
    return getter, spec, taken, target, False


ALL = slice(0, 4)
HALF = slice(0, 8, 2)


@pytest.mark.parametrize(
    ("items", "shape", "out_shape", "message"),
    [
        ([item(ALL, (ALL,))], (4,), (4,), "of a chunk of 1 dimensions"),
        ([item((ALL,), (ALL, ALL))], (4, 4), (4, 4), "of a chunk of 2 dimensions"),
        ([item((ALL, 1), (ALL,))], (4, 4), (4, 4), "1 dimensions to an output"),
        ([item((np.array([1, 2]),), (np.array([0, 1, 2]),))], (4,), (3,), "2 elements to 3 places"),
        ([item((ALL,), (HALF,))], (4,), (8,), "output slice"),
        ([item((ALL,), (slice(0, 3),))], (4,), (4,), "4 elements to slice"),
        ([item((np.arange(3), np.arange(2)), slice(0, 3))], (4, 4), (3,), "coordinates"),
        ([item((np.arange(3),), slice(0, 3))], (4, 4), (3,), "coordinates"),
        ([item((np.arange(3),), np.array([0, 1, 3]))], (4,), (3,), "more places than"),
        ([item((np.arange(3),), np.arange(3))], (4,), (4,), "3 points to an output of"),
    ],
)  # fmt: skip
def test_what_no_plan_is_made_of(items: Any, shape: Any, out_shape: Any, message: str) -> None:
    with pytest.raises(UnknownSelectionError, match=message):
        plan_batch(items, shape, shape, (), out_shape)


def test_every_second_place_of_an_output(asked: list[str]) -> None:
    z = made()
    pipeline, spec = pipeline_of(z), spec_of(z)
    taken, target = (slice(0, 4), slice(0, 3)), (slice(0, 8, 2), slice(0, 3))
    items = [item(taken, target, z.store_path / "c/0/1", spec)]
    out = np.full((8, 3), -1, "i4")
    asked.clear()
    asyncio.run(pipeline.read(items, buffer(out)))
    assert asked[0] == "read"
    np.testing.assert_array_equal(out[::2], DATA[:4, 3:])
    assert (out[1::2] == -1).all()
    value = np.arange(24, dtype="i4").reshape(8, 3)
    asked.clear()
    asyncio.run(pipeline.write(items, buffer(value)))
    assert asked[0] == "write"
    np.testing.assert_array_equal(z[:4, 3:], value[::2])


def test_an_output_of_other_elements(asked: list[str]) -> None:
    z = made()
    whole = (slice(0, 4), slice(0, 3))
    items = [item(whole, whole, z.store_path / "c/0/0", spec_of(z))]
    out = np.zeros((4, 3), "f8")
    asked.clear()
    asyncio.run(pipeline_of(z).read(items, buffer(out)))
    assert asked[0] == "read"
    np.testing.assert_array_equal(out, DATA[:4, :3])


def test_no_chunks() -> None:
    z = made()
    out = np.full((1,), 7, "i4")
    assert asyncio.run(pipeline_of(z).read([], buffer(out))) == ()
    asyncio.run(pipeline_of(z).write([], buffer(out)))
    assert out.tolist() == [7]
    np.testing.assert_array_equal(z[...], DATA)


def test_chunks_of_two_shapes_in_one_write(asked: list[str]) -> None:
    z = made()
    pipeline, value = pipeline_of(z), np.arange(7 * 3, dtype="i4").reshape(7, 3)
    shapes, keys = [(4, 3), (3, 3)], ["c/0/0", "c/9/9"]
    parts = [(slice(0, n), slice(0, 3)) for n, _ in shapes]
    places = [(slice(0, 4), slice(0, 3)), (slice(4, 7), slice(0, 3))]
    items = [
        item(part, place, z.store_path / key, spec_of(z, shape))
        for part, place, key, shape in zip(parts, places, keys, shapes, strict=True)
    ]
    asked.clear()
    asyncio.run(pipeline.write(items, buffer(value)))
    out = np.zeros_like(value)
    asyncio.run(pipeline.read(items, buffer(out)))
    np.testing.assert_array_equal(out, value)
    np.testing.assert_array_equal(z[:4, :3], value[:4])
    assert asked == []


# -- codecs


class Reverse(BytesBytesCodec):
    """A codec that belongs to neither zarr-python nor numcodecs."""

    is_fixed_size = True

    def to_dict(self) -> dict[str, Any]:
        return {"name": "reverse-for-a-test"}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        return input_byte_length

    async def _decode_single(self, data: Any, chunk_spec: Any) -> Any:
        return chunk_spec.prototype.buffer.from_bytes(data.to_bytes()[::-1])

    async def _encode_single(self, data: Any, chunk_spec: Any) -> Any:
        return chunk_spec.prototype.buffer.from_bytes(data.to_bytes()[::-1])


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": [Reverse()]},
        # an array of bytes, which is refused here
        {"zarr_format": 2, "filters": [numcodecs.Zlib(1), numcodecs.Delta("u1")],
         "compressors": None},
    ],
    ids=["v3", "v2"],
)  # fmt: skip
def test_codecs_that_are_not_known(options: dict[str, Any], asked: list[str]) -> None:
    z = made(**options)
    assert asked[0] == "write"
    np.testing.assert_array_equal(z[...], DATA)
    asked.clear()
    chunk, spec = buffer(DATA[:4, :3]), spec_of(z)

    async def there_and_back() -> Any:
        encoded = await pipeline_of(z).encode([(chunk, spec), (None, spec)])
        return encoded, await pipeline_of(z).decode([(encoded[0], spec)])

    encoded, decoded = asyncio.run(there_and_back())
    assert encoded[1] is None
    np.testing.assert_array_equal(decoded[0].as_numpy_array(), DATA[:4, :3])
    assert {"encode", "decode"} <= set(asked)


def test_shards_behind_a_codec_that_is_not_known() -> None:
    """zarr-python takes such a shard apart, and hands over getters of the chunks in it."""
    inner = zarr.codecs.ShardingCodec(chunk_shape=(2, 3), codecs=[zarr.codecs.BytesCodec()])
    store = zarr.storage.MemoryStore()
    with pytest.warns(zarr.errors.ZarrUserWarning):
        z = made(store, chunks=(4, 6), serializer=inner, compressors=[Reverse()], fill_value=-1)
    z[3:5] = 7
    z[:2, :3] = -1  # a chunk that is not stored
    expected = DATA.copy()
    expected[3:5], expected[:2, :3] = 7, -1
    np.testing.assert_array_equal(z[...], expected)
    np.testing.assert_array_equal(z[1:7, 2], expected[1:7, 2])


def test_chunks_that_are_decoded_one_by_one(asked: list[str]) -> None:
    z = made()
    pipeline = pipeline_of(z)
    one = spec_of(z, ())
    chunks = [(buffer(DATA[:4, :3]), spec_of(z)), (buffer(DATA[:2, :2]), spec_of(z, (2, 2)))]

    async def there_and_back(given: Any) -> Any:
        encoded = await pipeline.encode(given)
        specs = [spec for _, spec in given]
        return await pipeline.decode(zip(encoded, specs, strict=True))

    asked.clear()
    for given in (chunks, [(buffer(DATA[3, 3].reshape(())), one)]):
        found = asyncio.run(there_and_back(given))
        for back, (array, _) in zip(found, given, strict=True):
            np.testing.assert_array_equal(back.as_numpy_array(), array.as_numpy_array())
    assert set(asked) == {"decode"}
    asked.clear()
    assert asyncio.run(pipeline.decode([(None, one), (None, one)])) == [None, None]
    assert asked == []


def test_a_prototype_whose_arrays_have_other_elements() -> None:
    """As those of CuPy, which has no dates."""
    z = made()

    class Theirs(BatchedCodecPipeline):
        async def decode(self, chunk_bytes_and_specs: Any) -> Any:
            return ["decoded by zarr-python" for _ in chunk_bytes_and_specs]

    pipeline = CodecPipeline(Theirs.from_codecs([*pipeline_of(z)]))
    floats = SimpleNamespace(create=lambda shape, dtype: buffer(np.zeros(shape, "f8")))
    spec = spec_of(z, prototype=default_buffer_prototype()._replace(nd_buffer=floats))
    data = z.store._store_dict["c/0/0"]
    assert asyncio.run(pipeline.decode([(data, spec)])) == ["decoded by zarr-python"]
    assert asyncio.run(pipeline.decode([(data, spec_of(z))]))[0].shape == CHUNKS


def test_many_types_of_chunks() -> None:
    z = made()
    pipeline = pipeline_of(z)

    async def sizes() -> list[int]:
        found = []
        for n in range(1, 200):
            (data,) = await pipeline.encode([(buffer(DATA.reshape(-1)[:1]), spec_of(z, (n,)))])
            found.append(len(data))
        return found

    assert len(asyncio.run(sizes())) == 199
    assert 1 <= len(pipeline._bound) <= 64
    np.testing.assert_array_equal(z[...], DATA)


# -- the rest of the interface


def test_what_is_asked_of_the_codecs() -> None:
    z = made(compressors=None)
    pipeline = pipeline_of(z)
    assert isinstance(pipeline.array_bytes_codec, zarr.codecs.BytesCodec)
    with pytest.raises(AttributeError):
        _ = pipeline.nothing
    with pytest.raises(AttributeError, match="_private"):
        _ = pipeline._private
    grid = getattr(z.metadata, "chunk_grid", None)
    about = {"dtype": z.metadata.dtype, "chunk_grid": grid}
    pipeline.validate(shape=SHAPE, **about)
    turned = CodecPipeline.from_codecs([zarr.codecs.TransposeCodec(order=(2, 0, 1)), *pipeline])
    with pytest.raises(ValueError, match="order"):
        turned.validate(shape=SHAPE, **about)


def test_codecs_that_are_told_their_chunks() -> None:
    class Theirs(BatchedCodecPipeline):
        def evolve_from_array_spec(self, array_spec: Any) -> Any:  # fails in zarr-python 3.1
            return self.from_codecs([codec.evolve_from_array_spec(array_spec) for codec in self])

    z = made(compressors=None)
    pipeline = CodecPipeline(Theirs.from_codecs([*pipeline_of(z)]))
    evolved = pipeline.evolve_from_array_spec(spec_of(z, dtype=zarr.dtype.UInt8()))
    assert type(evolved) is CodecPipeline
    assert evolved.array_bytes_codec.endian is None
    assert pipeline.array_bytes_codec.endian is not None


class Getter:
    """A byte getter that belongs to no store."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data

    async def get(self, prototype: Any, byte_range: Any = None) -> Any:
        if self.data is None:
            return None
        start, end = (0, None) if byte_range is None else (byte_range.start, byte_range.end)
        return prototype.buffer.from_bytes(self.data[start:end])

    async def set(self, value: Any) -> None:
        self.data = value.to_bytes()

    async def delete(self) -> None:
        self.data = None


def test_getters_that_belong_to_no_store() -> None:
    getters = [Getter(b"0123"), Getter(None)]

    def use(loop: Any) -> None:
        store, (first, second) = open_source(getters, loop)
        assert (store.get(first, 1, 2), store.get(second)) == (b"12", None)
        assert [store.exists(key) for key in (first, second)] == [True, False]
        assert [store.size(key) for key in (first, second)] == [4, None]
        store.set(second, b"new")
        store.delete([first])

    async def work() -> None:
        await asyncio.to_thread(use, asyncio.get_running_loop())

    asyncio.run(work())
    assert [getter.data for getter in getters] == [None, b"new"]


def test_zarr_python_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cuzarr.interop.zarr")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingPackageError, match="pip install zarr"):
        importlib.import_module("cuzarr.interop.zarr")
