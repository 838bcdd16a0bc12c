"""Creating arrays and groups in the spellings of zarr-python 2, zarr-python 3 and h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr import codecs, errors, storage
from cuzarr.meta.problems import show
from cuzarr.meta.spec import ArraySpec

DATA = np.arange(24, dtype="i2").reshape(4, 6)


def test_positional_forms_of_2() -> None:
    z = cuzarr.zeros((4, 6), (2, 3), "i2", zarr_format=2)
    assert (z.shape, z.chunks, z.dtype) == ((4, 6), (2, 3), np.dtype("i2"))
    z = cuzarr.create(10, 5, "f4", None, zarr_format=2, fill_value=7)
    assert (z.shape, z.chunks, z.compressor) == ((10,), (5,), None)
    assert cuzarr.create(10, True, zarr_format=2).dtype == "f8"
    z = cuzarr.open_array({}, "w", (4, 6), (2, 3), "i2")
    assert (z.shape, z.chunks, z.dtype) == ((4, 6), (2, 3), np.dtype("i2"))
    assert cuzarr.group({}, True).path == ""


def test_default_compressor_of_2() -> None:
    before = cuzarr.storage.default_compressor
    assert cuzarr.zeros(3, zarr_format=2).compressor == before == numcodecs.Blosc()
    cuzarr.storage.default_compressor = numcodecs.Zstd(level=3)
    try:
        assert cuzarr.zeros(3, zarr_format=2).compressor == numcodecs.Zstd(level=3)
        assert cuzarr.zeros(3, zarr_format=2, compressor="default").compressor.level == 3
        assert cuzarr.zeros(3, zarr_format=2, compressor=None).compressor is None
        assert cuzarr.zeros(3, zarr_format=2, compressors=[]).compressor is None
        assert cuzarr.zeros(3, zarr_format=3).compressors[0].level == 0
    finally:
        cuzarr.storage.default_compressor = before


def test_spellings_of_h5py() -> None:
    root = cuzarr.group(zarr_format=2)
    z = root.create_dataset("a", shape=5, compression="gzip", compression_opts=4, fillvalue=9)
    assert z.compressor == numcodecs.GZip(level=4)
    assert z[0] == 9
    assert z.dtype == "f8"
    z = root.create_dataset("b", data=DATA, compression="zstd", compression_opts={"level": 2})
    assert z.compressor == numcodecs.Zstd(level=2)
    assert root.create_dataset("c", data=DATA, compression=None).compressor is None
    with pytest.raises(ValueError, match="nosuchcodec"):
        root.create_dataset("d", data=DATA, compression="nosuchcodec")
    with pytest.raises(TypeError, match="fletcher32= is h5py's"):
        root.create_dataset("d", data=DATA, fletcher32=True)
    assert root.require_dataset("a", 5, "f8") == root["a"]
    with pytest.raises(errors.NodeTypeError, match="data type float64, not float32"):
        root.require_dataset("a", 5, "f4", True)


def test_other_spellings() -> None:
    z = cuzarr.group().create_array("a", shape=6, dtype="i4", chunk_shape=(2,))
    assert z.chunks == (2,)
    plain = cuzarr.zeros(3, dtype="i4", zarr_format=2, object_codec=None)
    assert plain.filters is None


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("synchronizer", "one writer at a time"),
        ("chunk_store", "one store"),
        ("meta_array", "device="),
        ("storage_options", ""),
        ("storage_transformers", "knows none"),
    ],
)
def test_what_would_be_missed_is_refused(option: str, message: str) -> None:
    for call in (
        lambda **o: cuzarr.zeros(3, **o),
        lambda **o: cuzarr.open({}, mode="w", shape=3, **o),
        lambda **o: cuzarr.group(**o),
        lambda **o: cuzarr.group().create_array("a", shape=3, dtype="i1", **o),
    ):
        with pytest.raises(TypeError, match=rf"{option}= is not supported: .*{message}"):
            call(**{option: [object()]})
        call(**{option: None})


def test_needless_options_are_taken() -> None:
    z = cuzarr.zeros(3, cache_metadata=False, cache_attrs=True, zarr_version=2, read_only=True)
    assert z.zarr_format == 2
    assert z.read_only
    with pytest.raises(TypeError, match="zarr_version=2 and zarr_format=3 disagree"):
        cuzarr.group(zarr_version=2, zarr_format=3)
    with pytest.raises(TypeError, match="open_group has no parameter 'shap'"):
        cuzarr.open_group({}, "w", shap=3)


def test_misspelt_options_are_refused() -> None:
    store: dict[str, Any] = {}
    cuzarr.open(store, "w", shape=3, dtype="i1")
    for call, option, meant in (
        (lambda **o: cuzarr.open(store, **o), "mdoe", "mode"),
        (lambda **o: cuzarr.open_array(store, **o), "mdoe", "mode"),
        (lambda **o: cuzarr.open_group({}, **o), "mdoe", "mode"),
        (lambda **o: cuzarr.open({}, "w", shape=3, **o), "chunk", "chunks"),
        (lambda **o: cuzarr.create_array({}, **o), "shpae", "shape"),
        (lambda **o: cuzarr.zeros(3, **o), "compresor", "compressor"),
        (lambda **o: cuzarr.group().create_array("a", shape=3, **o), "fil_value", "fill_value"),
    ):
        message = rf"has no parameter '{option}': did you mean '{meant}'\?"
        with pytest.raises(TypeError, match=message):
            call(**{option: "r"})
    with pytest.raises(TypeError, match="open has no parameter 'qqq'$"):
        cuzarr.open(store, qqq=1)
    with pytest.raises(TypeError, match="open_group has no parameter 'compression'"):
        cuzarr.open_group({}, compression="gzip")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_like(zarr_format: Any) -> None:
    options: dict[str, Any] = {"shards": (4, 6)} if zarr_format == 3 else {"order": "F"}
    a = cuzarr.array(
        DATA, chunks=(2, 3), zarr_format=zarr_format, fill_value=5, **options,
        compressors=[{"id": "zlib", "level": 1} if zarr_format == 2 else codecs.GzipCodec(3)],
    )  # fmt: skip
    for made in (cuzarr.empty_like(a), cuzarr.open_like(a, {}), cuzarr.full_like(a)):
        assert made.metadata == a.metadata
    for make, value in ((cuzarr.zeros_like, 0), (cuzarr.ones_like, 1)):
        made = make(a)
        assert made[0, 0] == made.fill_value == value
        assert made.chunks == a.chunks
        assert made.compressors == a.compressors
        assert made.shards == a.shards
    assert cuzarr.full_like(a, fill_value=8, dtype="f4", shape=(9, 9))[8, 8] == 8
    other = cuzarr.zeros_like(a, zarr_format=5 - zarr_format)
    assert other.zarr_format == 5 - zarr_format
    assert other.chunks == a.chunks
    plain = cuzarr.zeros_like(a, compressors=None)
    assert plain.compressors == ()


def test_like_of_others() -> None:
    z = cuzarr.ones_like(DATA)
    assert (z.shape, z.dtype, z[0, 0]) == (DATA.shape, DATA.dtype, 1)
    assert cuzarr.empty_like([1.5, 2.5]).dtype == "f8"
    assert cuzarr.zeros_like(Stored((2, 8))).chunks == (2, 8)
    assert cuzarr.zeros_like(Stored(((2, 4), (3, 5)))).chunks == (6, 8)  # those of dask
    root = cuzarr.group(zarr_format=2)
    a = cuzarr.zeros((4, 4), chunks=(2, 2), zarr_format=3)
    for name in ("zeros_like", "ones_like", "empty_like", "full_like"):
        made = getattr(root, name)(name, data=a)
        assert made.chunks == (2, 2)
        assert made.zarr_format == 2
    assert root["ones_like"][0, 0] == 1


def test_array_of_an_array_keeps_its_storage() -> None:
    a = cuzarr.array(DATA, chunks=(2, 3), compressors=[codecs.GzipCodec(2)])
    b = cuzarr.array(a)
    assert b.chunks == a.chunks
    assert b.compressors == a.compressors
    assert np.array_equal(b[...], DATA)
    assert cuzarr.array(a, chunks=(4, 6)).chunks == (4, 6)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_from_array(zarr_format: Any) -> None:
    a = cuzarr.array(DATA, chunks=(2, 3), attributes={"k": 1}, fill_value=3)
    b = cuzarr.from_array({}, data=a, name="x/y", zarr_format=zarr_format)
    assert np.array_equal(b[...], DATA)
    assert (b.path, b.chunks, b.fill_value, dict(b.attrs)) == ("x/y", (2, 3), 3, {"k": 1})
    c = cuzarr.from_array({}, data=a, chunks=(4, 2), compressors=None, write_data=False)
    assert c.chunks == (4, 2)
    assert c.compressors == ()
    assert c[0, 1] == 3
    d = cuzarr.from_array({}, data=DATA, chunks="auto")
    assert np.array_equal(d[...], DATA)


class Stored:
    """An array of another library, which notes the bytes of each read."""

    shape, dtype = (6, 8), np.dtype("i4")

    def __init__(self, chunks: Any) -> None:
        self.chunks = chunks
        self.sizes: list[int] = []

    def __getitem__(self, key: Any) -> Any:
        found = np.arange(48, dtype="i4").reshape(6, 8)[key]
        self.sizes.append(found.nbytes)
        return found


class Unequal(Stored):
    """One that refuses to tell the shape of its chunks, as zarr-python's of several lengths."""

    def __init__(self) -> None:
        self.sizes = []

    @property
    def chunks(self) -> Any:
        raise NotImplementedError

    read_chunk_sizes = ((2, 4), (8,))


def test_copies_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stored source is never read as a whole."""
    monkeypatch.setattr(cuzarr.Array.regions, "__defaults__", (64,))
    for source, options in ((Stored((2, 8)), {}), (Unequal(), {"chunks": (2, 8)})):
        z = cuzarr.array(source, **options)
        assert z.chunks == (2, 8)
        assert np.array_equal(z[...], np.arange(48).reshape(6, 8))
        assert source.sizes == [64, 64, 64]


def test_write_empty_chunks() -> None:
    z = cuzarr.zeros(10, chunks=5, write_empty_chunks=True)
    z[:] = 0
    assert z.nchunks_initialized == 2
    assert z.write_empty_chunks
    z = cuzarr.zeros(10, chunks=5, config={"write_empty_chunks": False})
    with cuzarr.config.set({"array.write_empty_chunks": True}):
        z[:] = 0
        assert z.nchunks_initialized == 0
        other = z.with_config({"order": "F"})
        assert (other.order, other.write_empty_chunks) == ("F", False)
        assert cuzarr.zeros(3).write_empty_chunks
    with pytest.raises(ValueError, match="config: unknown 'ordr'"):
        z.with_config({"ordr": "F"})
    with pytest.raises(ValueError, match="order must be 'C' or 'F', not 'K'"):
        cuzarr.zeros(3, config={"order": "K"})
    with pytest.raises(TypeError, match="write_empty_chunks must be True or False, not 1"):
        cuzarr.zeros(3, config={"write_empty_chunks": 1})


def test_order_of_results() -> None:
    z = cuzarr.array(DATA, chunks=(2, 3), config={"order": "F"}, device="cpu")
    assert z.order == "F"
    found = z[...]
    assert found.flags.f_contiguous
    assert np.array_equal(found, DATA)
    assert np.array_equal(z[1], DATA[1])
    assert z[1, 1] == DATA[1, 1]
    assert np.array_equal(z.vindex[[[0, 1], [2, 3]], [[0, 1], [2, 3]]], [[0, 7], [14, 21]])
    with cuzarr.config.set({"array": {"order": "F"}}):
        assert cuzarr.array(DATA, device="cpu")[...].flags.f_contiguous
    assert z.with_config({"order": "C"})[...].flags.c_contiguous


def test_codec_objects() -> None:
    z = cuzarr.create_array(
        {}, data=DATA, chunks=(2, 3), filters=[codecs.TransposeCodec(order=(1, 0))],
        serializer=codecs.BytesCodec(endian=codecs.Endian.big),
        compressors=[
            codecs.BloscCodec(cname=codecs.BloscCname.lz4, shuffle=codecs.BloscShuffle.bitshuffle),
            codecs.Crc32cCodec(),
        ],
    )  # fmt: skip
    assert [codec["name"] for codec in z.metadata.document["codecs"]] == [
        "transpose", "bytes", "blosc", "crc32c",
    ]  # fmt: skip
    assert np.array_equal(cuzarr.open_array(z.store, mode="r")[...], DATA)
    z = cuzarr.create_array(
        {}, data=DATA, chunks=(4, 6), compressors=None,
        serializer=codecs.ShardingCodec(
            chunk_shape=(2, 3), codecs=["bytes", codecs.ZstdCodec(level=3)],
            index_location=codecs.ShardingCodecIndexLocation.start,
        ),
    )  # fmt: skip
    assert z.chunks == (2, 3)
    assert z.shards == (4, 6)
    assert np.array_equal(cuzarr.open_array(z.store, mode="r")[...], DATA)
    configuration = z.metadata.document["codecs"][0]["configuration"]
    assert configuration["index_location"] == "start"
    assert [codec["name"] for codec in configuration["index_codecs"]] == ["bytes", "crc32c"]
    assert codecs.ShardingCodec(chunk_shape=3).chunk_shape == (3,)
    assert codecs.CastValue(data_type="uint8").dtype == np.uint8


def test_create_hierarchy(tmp_path: Path) -> None:
    array: ArraySpec = cuzarr.array(DATA, chunks=(2, 3)).metadata
    group = cuzarr.create_group(attributes={"k": 1}).metadata
    document = cuzarr.zeros((3,)).metadata.document
    nodes = {"a/b/c": array, "a": group, "d": document}
    made = dict(cuzarr.create_hierarchy(store=tmp_path, nodes=nodes))
    assert list(made) == ["", "a", "a/b", "a/b/c", "d"]
    root = cuzarr.open_group(tmp_path)
    assert root["a/b/c"].metadata == array
    assert dict(root["a"].attrs) == {"k": 1}
    assert root["d"].shape == (3,)
    with pytest.raises(errors.ContainsArrayError, match="'d'"):
        cuzarr.create_hierarchy(store=tmp_path, nodes={"e": group, "d": group})
    assert "e" not in root
    assert list(dict(root["a"].create_hierarchy({"b": array}, overwrite=True))) == ["b"]
    assert root["a/b"].shape == DATA.shape
    with pytest.raises(errors.ContainsArrayError, match="'a/b' is an array"):
        cuzarr.create_hierarchy(store={}, nodes={"a/b": array, "a/b/c": group})
    with pytest.raises(errors.ContainsArrayError, match="below 'd': it is an array"):
        cuzarr.create_hierarchy(store=tmp_path, nodes={"d/x": group})
    with pytest.raises(TypeError, match="node 'x': expected metadata, found int"):
        cuzarr.create_hierarchy(store={}, nodes={"x": 3})
    v2 = {"x": {"zarr_format": 2, "attributes": {"k": 2}}, "x/y": dict(
        cuzarr.zeros((3,), zarr_format=2).metadata.document, attributes={"k": 3})}  # fmt: skip
    made = dict(cuzarr.create_hierarchy(store={}, nodes=v2))
    assert made[""].zarr_format == made["x/y"].zarr_format == 2
    assert dict(made["x"].attrs) == {"k": 2}
    assert dict(made["x/y"].attrs) == {"k": 3}


def test_opening() -> None:
    store = cuzarr.MemoryStore()
    root = cuzarr.Group.from_store(store, attributes={"k": 1}, zarr_format=2)
    assert cuzarr.Group.open(store) == root
    with pytest.raises(errors.ContainsGroupError):
        cuzarr.Group.from_store(store)
    z = root.zeros("a/b", shape=3)
    place = z.store_path
    assert str(place) == f"{store}/a/b"
    assert repr(place) == f"StorePath('{store}/a/b')"
    assert cuzarr.open(place) == z
    assert cuzarr.open_array(root.store_path / "a", path="b") == z
    assert not place.read_only
    below = cuzarr.storage.MemoryStore()
    z = cuzarr.array(DATA, store=below)
    assert cuzarr.Array.open(below) == z
    with pytest.raises(errors.NodeTypeError, match="a group, not an array"):
        cuzarr.open_array(store, mode="a", shape=3)
    with pytest.raises(errors.NodeTypeError, match="a group, not an array"):
        cuzarr.open(store, mode="a", shape=3)


def test_write_data() -> None:
    z = cuzarr.create_array({}, data=DATA, write_data=False)
    assert z.shape == DATA.shape
    assert z.nchunks_initialized == 0


def test_h5py_filters_are_refused() -> None:
    with pytest.raises(TypeError, match="shuffle= is h5py's"):
        cuzarr.group().create_dataset("a", shape=3, dtype="i4", compression="gzip", shuffle=True)


def test_fill_values_of_strings_and_bytes() -> None:
    for dtype, codec in (("str", "VLenUTF8"), ("bytes", "VLenBytes")):
        del codec
        assert not cuzarr.zeros(2, dtype=dtype)[0]
        with pytest.raises(ValueError, match="fill_value"):
            cuzarr.create_array(None, shape=2, dtype=dtype, fill_value=5)


def test_v2_codecs_that_are_none() -> None:
    with pytest.raises(ValueError, match="filters"):
        cuzarr.create_array(None, shape=2, dtype="i4", zarr_format=2, filters=[object()])


def test_values_that_no_json_holds_are_named_by_their_type() -> None:
    assert show(object()) == "a object"
    assert show("x" * 100) == '"' + "x" * 56 + "..."


@pytest.mark.parametrize("name", ["synchronizer", "chunk_store", "meta_array"])
def test_empty_options_that_would_be_missed_are_refused(name: str) -> None:
    given = {"synchronizer": object(), "chunk_store": {}, "meta_array": np.empty(0)}[name]
    cuzarr.open_group({}, mode="w", **{name: None})
    with pytest.raises(TypeError, match=f"{name}= is not supported"):
        cuzarr.open_group({}, mode="w", **{name: given})
    with pytest.raises(TypeError, match=f"{name}= is not supported"):
        cuzarr.zeros(3, **{name: given})


@pytest.mark.parametrize("kind", ["local", "memory", "zip", "remote"])
def test_an_array_does_not_overwrite_itself(kind: str, tmp_path: Path) -> None:
    """To overwrite a path deletes what is there, which may be the data to be written."""
    mapping: dict[str, bytes] = {}
    if kind == "remote":
        pytest.importorskip("fsspec")
    archive = storage.ZipStore(tmp_path / "x.zip", "w") if kind == "zip" else None
    url = f"memory://{tmp_path}"

    def store() -> Any:
        return {"local": tmp_path / "x", "memory": mapping, "zip": archive, "remote": url}[kind]

    root = cuzarr.open_group(store(), mode="w")
    root.create_array("a/b", data=DATA, chunks=(2, 3))
    for mode in ("r", "r+"):
        z = cuzarr.open_array(store(), mode=mode, path="a/b")
        for path in ("a/b", "a"):
            with pytest.raises(ValueError, match="cannot overwrite 'a.*pass data=array"):
                cuzarr.create_array(store(), name=path, data=z, overwrite=True)
            with pytest.raises(ValueError, match="cannot overwrite"):
                cuzarr.from_array(store(), name=path, data=z, overwrite=True)
    with pytest.raises(ValueError, match="cannot overwrite"):
        root["a/b"] = root["a/b"]
    with pytest.raises(ValueError, match="cannot overwrite"):
        cuzarr.copy(z, root["a"], name="b", if_exists="replace")
    np.testing.assert_array_equal(cuzarr.open_array(store(), path="a/b")[...], DATA)
    root["a/c"] = z
    root["a/b"] = z[...]
    np.testing.assert_array_equal(root["a/c"][...], DATA)
    again = cuzarr.from_array(
        store(), name="a/b", data=root["a/b"], chunks=DATA.shape, overwrite=True, write_data=False
    )
    assert again.chunks == DATA.shape
    assert not again[...].any()
    cuzarr.save_group(store() if kind != "zip" else archive, root["a/c"], path="a")
    np.testing.assert_array_equal(cuzarr.open_group(store())["a/arr_0"][...], DATA)
    if archive is not None:
        archive.close()


def test_places_of_stores_around_others(tmp_path: Path) -> None:
    local = storage.LocalStore(tmp_path)
    inner = storage.LocalStore(tmp_path / "a")
    z = cuzarr.create_array(storage.LoggingStore(inner), data=DATA)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for store, name in ((local, "a"), (storage.LocalStore(tmp_path / "link"), None)):
        with pytest.raises(ValueError, match="cannot overwrite"):
            cuzarr.create_array(store, name=name, data=z, overwrite=True)
    cuzarr.create_array(local, name="ab", data=z, overwrite=True)
    np.testing.assert_array_equal(z[...], DATA)
