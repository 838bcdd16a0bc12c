"""Codecs of the numcodecs registry and of other packages, in every place of a chain."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numcodecs
import numcodecs.registry
import numpy as np
import pytest
from numcodecs.abc import Codec

import cuzarr
from cuzarr.codecs import numcodecs as by_name
from cuzarr.codecs import registry
from cuzarr.codecs.base import BytesBytesCodec
from cuzarr.errors import ChunkDecodeError, MetadataError, UnknownCodecError

SHAPE, CHUNKS = (7, 5), (3, 2)
FLOATS = np.linspace(-3, 9, 35).reshape(SHAPE)
BOOLS = FLOATS > 2
TEXTS = np.array(["ja", "nein", "", "ja", "ja"] * 7, object).reshape(SHAPE)

#: Per id: configuration, values, and the error that is allowed.
V2: dict[str, tuple[dict[str, Any], np.ndarray, float]] = {
    "adler32": ({}, FLOATS, 0),
    "astype": ({"encode_dtype": "<f4", "decode_dtype": "<f8"}, FLOATS, 1e-6),
    "base64": ({}, FLOATS, 0),
    "bitround": ({"keepbits": 12}, FLOATS, 1e-3),
    "blosc": ({"cname": "zstd", "clevel": 1, "shuffle": 2}, FLOATS, 0),
    "bz2": ({"level": 1}, FLOATS, 0),
    "categorize": ({"labels": ["ja", "nein"], "dtype": "|O", "astype": "|u1"}, TEXTS, 0),
    "crc32": ({}, FLOATS, 0),
    "crc32c": ({}, FLOATS, 0),
    "delta": ({"dtype": "<i4", "astype": "<i2"}, np.arange(35, dtype="<i4").reshape(SHAPE), 0),
    "fixedscaleoffset": (
        {"offset": 0, "scale": 1000, "dtype": "<f8", "astype": "<i4"}, FLOATS, 1e-3,
    ),
    "fletcher32": ({}, FLOATS, 0),
    "gzip": ({"level": 1}, FLOATS, 0),
    "jenkins_lookup3": ({}, FLOATS, 0),
    "json2": ({}, TEXTS, 0),
    "lz4": ({"acceleration": 1}, FLOATS, 0),
    "lzma": ({"format": 1, "check": -1, "preset": 1, "filters": None}, FLOATS, 0),
    "msgpack2": ({}, TEXTS, 0),
    "packbits": ({}, BOOLS, 0),
    "pcodec": ({"level": 8}, FLOATS, 0),
    "pickle": ({"protocol": 4}, TEXTS, 0),
    "quantize": ({"digits": 3, "dtype": "<f8", "astype": "<f4"}, FLOATS, 1e-3),
    "shuffle": ({"elementsize": 8}, FLOATS, 0),
    "vlen-array": ({"dtype": "<i4"}, TEXTS, 0),
    "vlen-bytes": ({}, TEXTS, 0),
    "vlen-utf8": ({}, TEXTS, 0),
    "zfpy": ({"mode": 4, "tolerance": 1e-3, "rate": -1, "precision": -1}, FLOATS, 1e-2),
    "zlib": ({"level": 1}, FLOATS, 0),
    "zstd": ({"level": 1}, FLOATS, 0),
}  # fmt: skip
MADE_OF_OBJECTS = {
    "vlen-array": lambda text: np.arange(len(text), dtype="i4"),
    "vlen-bytes": str.encode,
}
FILTERS = {
    "astype", "bitround", "categorize", "delta", "fixedscaleoffset", "json2", "msgpack2",
    "packbits", "pickle", "quantize", "vlen-array", "vlen-bytes", "vlen-utf8",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _pickles() -> Any:
    with cuzarr.config.set({"allow_pickle": True}):
        yield


def installed(identifier: str) -> bool:
    found = numcodecs.registry
    return identifier in found.codec_registry or identifier in found.entries


def test_every_codec_of_the_registry_is_tested() -> None:
    own = {name for name, cls in numcodecs.registry.codec_registry.items()
           if cls.__module__.startswith("numcodecs")}  # fmt: skip
    assert own <= set(V2)


def close(found: Any, expected: np.ndarray, error: float) -> bool:
    if expected.dtype.kind == "O":
        return all(np.array_equal(a, b) for a, b in zip(found.flat, expected.flat, strict=True))
    return bool(np.allclose(found, expected, rtol=0, atol=error))


@pytest.mark.parametrize("place", ["alone", "with a compressor", "before a checksum"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("identifier", sorted(V2))
def test_v2(identifier: str, order: Any, place: str) -> None:
    if not installed(identifier):
        pytest.skip("needs another package")
    configuration, values, error = V2[identifier]
    codec = {"id": identifier, **configuration}
    if identifier in MADE_OF_OBJECTS:
        made = np.empty(35, object)
        made[:] = [MADE_OF_OBJECTS[identifier](text) for text in TEXTS.flat]
        values = made.reshape(SHAPE)
    options: dict[str, Any] = {"filters": [codec], "compressor": None}
    if place == "with a compressor":
        options["compressor"] = {"id": "zlib", "level": 1}
    elif place == "before a checksum":
        options["filters"] = [codec, {"id": "crc32"}]
    elif identifier not in FILTERS:
        options = {"compressor": codec}
    array = cuzarr.create_array(
        {}, shape=SHAPE, chunks=CHUNKS, dtype=values.dtype, zarr_format=2, order=order,
        fill_value=None, **options,
    )  # fmt: skip
    array[...] = values
    array[2:5, 1:] = values[2:5, 1:]
    again = cuzarr.open_array(array.store)
    assert close(again[...], values, error)
    assert close(again[::-2, [1, 3]], values[::-2][:, [1, 3]], error)


#: Per name: place, configuration, values, error.
V3: dict[str, tuple[str, dict[str, Any], np.ndarray, float]] = {
    f"numcodecs.{name}": (
        "serializer" if name in ("pcodec", "zfpy", "json2", "pickle", "msgpack2")
        else "filters" if name in FILTERS else "compressors",
        configuration, values, error,
    )
    for name, (configuration, values, error) in V2.items()
    if values is not TEXTS
}  # fmt: skip
V3["numcodecs.json2"] = ("serializer", {}, np.arange(35, dtype="<i4").reshape(SHAPE), 0)
V3["numcodecs.delta"] = ("filters", {"dtype": "int32"}, V3["numcodecs.delta"][2], 0)
V3["numcodecs.shuffle"] = ("compressors", {}, FLOATS, 0)
V3["numcodecs.fixedscaleoffset"] = ("filters", {"offset": 0, "scale": 8}, np.round(FLOATS), 0)


@pytest.mark.parametrize("shards", [None, (6, 4)])
@pytest.mark.parametrize("name", sorted(V3))
def test_v3(name: str, shards: Any) -> None:
    place, configuration, values, error = V3[name]
    if not installed(name.removeprefix("numcodecs.")):
        pytest.skip("needs another package")
    array = cuzarr.create_array(
        {}, shape=SHAPE, chunks=CHUNKS, shards=shards, dtype=values.dtype,
        **{"compressors": None, place: {"name": name, "configuration": configuration}},
    )  # fmt: skip
    array[...] = values
    again = cuzarr.open_array(array.store)
    assert close(again[...], values, error)
    assert close(again[::-2, 3], values[::-2, 3], error)
    shown = {"filters": again.filters, "compressors": again.compressors}.get(
        place, [again.serializer]
    )
    assert [codec.name for codec in shown] == [name]


def test_shuffle_takes_its_element_size_from_the_data_type() -> None:
    packed = []
    for configuration in ({}, {"elementsize": 8}, {"elementsize": 4}):
        array = cuzarr.create_array(
            {}, shape=SHAPE, chunks=SHAPE, dtype="f8",
            compressors={"name": "numcodecs.shuffle", "configuration": configuration},
        )  # fmt: skip
        array[...] = FLOATS
        packed.append(array.store.get("c/0/0"))
    assert packed[0] == packed[1] != packed[2]


def test_a_codec_that_needs_another_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = numcodecs.registry.codec_registry
    without = {name: cls for name, cls in registered.items() if name != "pcodec"}
    monkeypatch.setattr(numcodecs.registry, "codec_registry", without)
    for options in (
        {"zarr_format": 2, "compressor": {"id": "pcodec"}},
        {"serializer": "numcodecs.pcodec"},
    ):
        with pytest.raises(UnknownCodecError, match=r"pip install 'numcodecs\[pcodec\]'"):
            cuzarr.create_array({}, shape=SHAPE, dtype="f8", **options)


def test_codecs_by_the_names_of_zarr_python() -> None:
    z = cuzarr.create_array(
        None, shape=SHAPE, dtype="f8", filters=by_name.FixedScaleOffset(offset=0, scale=8),
        compressors=[by_name.LZ4(acceleration=2), by_name.CRC32()],
    )  # fmt: skip
    z[...] = np.round(FLOATS)
    np.testing.assert_array_equal(cuzarr.open_array(z.store)[...], np.round(FLOATS))
    assert [codec.name for codec in z.compressors] == ["numcodecs.lz4", "numcodecs.crc32"]
    assert z.compressors[0].configuration() == {"acceleration": 2}
    assert by_name.LZ4.__qualname__ == "LZ4"
    assert {name for name in by_name.__all__ if not callable(getattr(by_name, name))} == set()
    with pytest.raises(AttributeError, match="has no attribute 'LZ5'"):
        _ = by_name.LZ5


def test_a_name_whose_codec_needs_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = numcodecs.registry.codec_registry
    without = {name: cls for name, cls in registered.items() if name != "pcodec"}
    monkeypatch.setattr(numcodecs.registry, "codec_registry", without)
    with pytest.raises(AttributeError, match=r"codec PCodec: .*pip install 'numcodecs\[pcodec\]'"):
        _ = by_name.PCodec


def test_unknown_codecs_and_wrong_configurations() -> None:
    with pytest.raises(UnknownCodecError, match="unknown codec 'numcodecs.nothing'; known are"):
        cuzarr.create_array({}, shape=SHAPE, dtype="f8", compressors="numcodecs.nothing")
    with pytest.raises(MetadataError, match="numcodecs refuses the configuration"):
        cuzarr.create_array(
            {}, shape=SHAPE, dtype="f8", zarr_format=2, compressor={"id": "zlib", "speed": 1}
        )


@pytest.mark.parametrize("identifier", ["pcodec", "zfpy", "vlen-array", "msgpack2", "packbits"])
def test_damaged_chunks(identifier: str) -> None:
    if not installed(identifier):
        pytest.skip("needs another package")
    configuration, values, _ = V2[identifier]
    dtype = object if identifier == "vlen-array" else values.dtype
    store: dict[str, bytes] = {}
    array = cuzarr.create_array(
        store, shape=SHAPE, chunks=SHAPE, dtype=dtype, zarr_format=2, compressor=None,
        filters=[{"id": identifier, **configuration}], fill_value=None,
    )  # fmt: skip
    if identifier != "vlen-array":
        array[...] = values
    good = store.get("0.0", b"\x23\0\0\0")
    for bad in (b"", b"\0" * 7, good[:-1], good[: len(good) // 2], b"\xff" * 40):
        store["0.0"] = bad
        with suppress(ChunkDecodeError):  # and no other error
            array[...]


# -- codecs of others


class Rotate(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Adds 1 to every byte: works on arrays and on bytes, as many codecs do."""

    codec_id = "test_rotate"

    def encode(self, buf: Any) -> bytes:
        return (np.frombuffer(np.ascontiguousarray(buf), np.uint8) + 1).tobytes()

    def decode(self, buf: Any, out: Any = None) -> np.ndarray:
        return np.frombuffer(buf, np.uint8) - 1


class Double(Codec):  # type: ignore[misc]
    """Doubles numbers: a filter."""

    codec_id = "test_double"

    def encode(self, buf: Any) -> np.ndarray:
        return np.asarray(buf) * 2

    def decode(self, buf: Any, out: Any = None) -> np.ndarray:
        return np.asarray(buf).view("<i4") // 2


@pytest.mark.parametrize(
    "options",
    [
        {"zarr_format": 2, "compressor": {"id": "test_rotate"}},
        {"zarr_format": 2, "compressor": None, "filters": [{"id": "test_rotate"}]},
        {"zarr_format": 2, "compressor": {"id": "zlib"}, "filters": [{"id": "test_rotate"}]},
        {"zarr_format": 2, "compressor": {"id": "test_rotate"}, "filters": [{"id": "crc32"}]},
        {"zarr_format": 2, "compressor": {"id": "zlib"}, "filters": [{"id": "test_double"}]},
        {"zarr_format": 2, "compressor": {"id": "test_rotate"}, "order": "F"},
        {"zarr_format": 3, "compressors": "numcodecs.test_rotate"},
        {"zarr_format": 3, "compressors": None, "serializer": "numcodecs.test_rotate"},
        {"zarr_format": 3, "codecs": ["numcodecs.test_rotate", "crc32c"]},
        {"zarr_format": 3, "filters": ["numcodecs.test_double"]},
    ],
    ids=str,
)
def test_codecs_that_others_registered_with_numcodecs(options: dict[str, Any]) -> None:
    for cls in (Rotate, Double):
        numcodecs.register_codec(cls)
    try:
        values = np.arange(35, dtype="<i4").reshape(SHAPE)
        array = cuzarr.create_array({}, shape=SHAPE, chunks=CHUNKS, dtype="<i4", **options)
        array[...] = values
        np.testing.assert_array_equal(cuzarr.open_array(array.store)[...], values)
    finally:
        for cls in (Rotate, Double):
            del numcodecs.registry.codec_registry[cls.codec_id]


class Panicking(Codec):  # type: ignore[misc]
    """Fails as a codec written in Rust does: not with an ``Exception``."""

    codec_id = "test_panicking"

    def encode(self, buf: Any) -> bytes:
        return b""

    def decode(self, buf: Any, out: Any = None) -> Any:
        raise type("PanicException", (BaseException,), {})("assertion failed")


class Giving(Codec):  # type: ignore[misc]
    """Decodes to what the class is told."""

    codec_id = "test_giving"
    gives: Any = None

    def encode(self, buf: Any) -> bytes:
        return b"x"

    def decode(self, buf: Any, out: Any = None) -> Any:
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives


@pytest.mark.parametrize(
    ("dtype", "gives", "message"),
    [
        ("<i4", np.array(["a", "b"], object), "expected int32, found objects"),
        ("<i4", np.arange(3, dtype="<i4"), "expected 2 elements, found 3"),
        ("<i4", b"\0" * 12, "expected 2 elements, found 3"),
        ("O", np.arange(2), "expected object, found int64 elements"),
        ("<i4", KeyboardInterrupt(), ""),
    ],
)
def test_codecs_that_give_something_else(dtype: str, gives: Any, message: str) -> None:
    numcodecs.register_codec(Giving)
    try:
        Giving.gives = gives
        store = {"0": b"x"}
        array = cuzarr.create_array(
            store, shape=(2,), chunks=(2,), dtype=dtype, zarr_format=2, compressor=None,
            filters=[{"id": "test_giving"}], fill_value=None,
        )  # fmt: skip
        store["0"] = b"x"
        if message:
            with pytest.raises(ChunkDecodeError, match=message):
                array[...]
            Giving.gives = np.array(["a", "b"]) if dtype == "O" else b"\0" * 8
            assert array[...].tolist() == (["a", "b"] if dtype == "O" else [0, 0])
        else:
            with pytest.raises(KeyboardInterrupt):
                array[...]
    finally:
        del numcodecs.registry.codec_registry["test_giving"]


def test_a_panic_is_an_error_of_the_chunk() -> None:
    numcodecs.register_codec(Panicking)
    try:
        store: dict[str, bytes] = {}
        array = cuzarr.create_array(
            store, shape=(2,), chunks=(2,), dtype="i4", zarr_format=2,
            compressor={"id": "test_panicking"},
        )  # fmt: skip
        store["0"] = b"x"
        with pytest.raises(ChunkDecodeError, match="assertion failed"):
            array[...]
    finally:
        del numcodecs.registry.codec_registry["test_panicking"]


def test_spellings_of_the_string_codecs() -> None:
    document = cuzarr.create_array({}, shape=(2,), dtype=str).metadata.document
    document = {**document, "codecs": [{"name": "numcodecs.vlen-utf8", "configuration": {}}]}
    array = cuzarr.open_array({"zarr.json": json.dumps(document).encode()})
    array[...] = ["a", "b"]
    assert array[...].tolist() == ["a", "b"]
    assert array.serializer.configuration() == {}


def test_an_array_of_no_dimensions_through_json() -> None:
    array = cuzarr.create_array(
        {}, shape=(), dtype=object, zarr_format=2, object_codec=numcodecs.JSON()
    )
    array[()] = np.array("x", object)
    assert array[()] == "x"


def test_zfpy_chunks_of_another_size() -> None:
    if not installed("zfpy"):
        pytest.skip("needs another package")
    store: dict[str, bytes] = {}
    codec = {"id": "zfpy", **V2["zfpy"][0]}
    options: dict[str, Any] = {"dtype": "f8", "zarr_format": 2, "compressor": codec}
    cuzarr.create_array(store, shape=(4,), chunks=(4,), **options)[...] = 1
    chunk = store["0"]
    array = cuzarr.create_array(store, shape=(3,), chunks=(3,), overwrite=True, **options)
    store["0"] = chunk
    with pytest.raises(ChunkDecodeError, match="expected 3 elements, the chunk says 4"):
        array[...]


class Mirror(BytesBytesCodec):
    """Turns the bytes around."""

    name = "test.mirror"

    @classmethod
    def from_configuration(cls, configuration: Any) -> Mirror:
        return cls()

    def configuration(self) -> dict[str, Any]:
        return {}

    def encode(self, data: Any, itemsize: int) -> bytes:
        return bytes(data)[::-1]

    def decode(self, data: Any, size: int | None, out: Any) -> bytes:
        return bytes(data)[::-1]


class EntryPoint:
    """What ``importlib.metadata`` gives."""

    def __init__(self, name: str, target: Any) -> None:
        self.name, self.value, self.target = name, f"package:{name}", target

    def load(self) -> Any:
        if isinstance(self.target, Exception):
            raise self.target
        return self.target


def test_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("test.mirror", Mirror),
        EntryPoint("test.broken", ImportError("no module named 'z'")),
        EntryPoint("test.wrong", dict),
    ]

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == "cuzarr.codecs"
        return [point for point in points if name in (None, point.name)]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    monkeypatch.setattr(registry, "_codecs", dict(registry._codecs))
    assert "test.mirror" in registry.registered_codecs()
    array = cuzarr.create_array({}, shape=(4,), dtype="<i2", compressors="test.mirror")
    array[...] = [1, 2, 3, 4]
    assert array.store.get("c/0") == np.arange(1, 5, dtype="<i2").tobytes()[::-1]
    assert array[...].tolist() == [1, 2, 3, 4]
    for name, why in [("broken", "no module named 'z'"), ("wrong", "must be a subclass")]:
        with pytest.raises(UnknownCodecError, match=f"entry point 'package:test.{name}' .*{why}"):
            cuzarr.create_array({}, shape=(4,), dtype="<i2", compressors=f"test.{name}")


def test_register_codec_takes_codecs_alone() -> None:
    with pytest.raises(TypeError, match="must be a subclass"):
        cuzarr.codecs.register_codec("test.wrong", dict)  # type: ignore[arg-type]
