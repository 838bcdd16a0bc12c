"""Every error of bad input, by its message: it says what is wrong and names the key."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import errors

DATA = np.arange(24, dtype="i4").reshape(4, 6)
CHECKED = [{"name": "crc32c"}]


def stored(path: Path, **options: Any) -> cuzarr.Array:
    options.setdefault("chunks", (2, 3))
    return cuzarr.create_array(str(path), data=DATA, **options)


def spoil(path: Path, change: Any) -> None:
    path.write_bytes(change(path.read_bytes()))


def rewrite(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))


def test_missing_node_names_path_and_store(tmp_path: Path) -> None:
    with pytest.raises(
        errors.NodeNotFoundError, match=r"no array or group at '/' in file://.*nope"
    ):
        cuzarr.open(str(tmp_path / "nope"), "r")
    with pytest.raises(errors.ArrayNotFoundError, match=r"no array at 'x/y' in file://"):
        cuzarr.open_array(str(tmp_path), "r", path="x/y")
    with pytest.raises(errors.GroupNotFoundError, match=r"no group at '/' in file://"):
        cuzarr.open_group(str(tmp_path), "r")
    root = cuzarr.create_group(str(tmp_path / "g"))
    with pytest.raises(KeyError, match=r"group '/' in file://.* has no member 'a/b'"):
        root["a/b"]
    with pytest.raises(FileNotFoundError):
        root["a/b"]
    with pytest.raises(KeyError, match="has no member 'a'"):
        del root["a"]


def test_wrong_node_type(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    cuzarr.create_group(str(tmp_path / "g"))
    with pytest.raises(TypeError, match=r"an array, not a group, is stored at '/' in file://"):
        cuzarr.open_group(str(tmp_path / "a"), "r")
    with pytest.raises(errors.NodeTypeError, match=r"a group, not an array, is stored at '/'"):
        cuzarr.open_array(str(tmp_path / "g"), "r")


def test_metadata_lists_all_problems(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    rewrite(tmp_path / "a/zarr.json", shape=[-1, 6], data_type="int33", codecs=[{"name": 5}])
    with pytest.raises(errors.MetadataError) as caught:
        cuzarr.open_array(str(tmp_path / "a"), "r")
    assert caught.value.key == "zarr.json"
    assert len(caught.value.problems) >= 3
    for place in ("shape", "data_type", "codecs[0]"):
        assert any(place in problem for problem in caught.value.problems), place


def test_metadata_that_is_not_json(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    spoil(tmp_path / "a/zarr.json", lambda text: text[:40])
    with pytest.raises(errors.MetadataError, match=r"invalid metadata in 'zarr.json'"):
        cuzarr.open_array(str(tmp_path / "a"), "r")


def test_unknown_codec(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "magic"}]
    rewrite(tmp_path / "a/zarr.json", codecs=codecs)
    with pytest.raises(
        errors.UnknownCodecError, match=r"codecs\[1\]: unknown codec 'magic'; known"
    ):
        cuzarr.open_array(str(tmp_path / "a"), "r")


def test_bad_codec_configurations_are_all_listed(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    codecs = [
        {"name": "bytes", "configuration": {"endian": "middle"}},
        {"name": "zstd", "configuration": {"level": 99}},
    ]
    rewrite(tmp_path / "a/zarr.json", codecs=codecs)
    with pytest.raises(errors.MetadataError, match=r"codecs\[0\].*endian(.|\n)*codecs\[1\].*level"):
        cuzarr.open_array(str(tmp_path / "a"), "r")


def test_inner_codecs_keep_their_places(tmp_path: Path) -> None:
    stored(tmp_path / "a", chunks=(2, 3), shards=(4, 6))
    document = json.loads((tmp_path / "a/zarr.json").read_text())
    document["codecs"][0]["configuration"]["codecs"].append({"name": "magic"})
    (tmp_path / "a/zarr.json").write_text(json.dumps(document))
    with pytest.raises(errors.UnknownCodecError, match=r"codecs\[0\].configuration.codecs\[\d\]"):
        cuzarr.open_array(str(tmp_path / "a"), "r")


@pytest.mark.parametrize(
    ("compressors", "change", "codec"),
    [
        ([{"name": "zstd"}], lambda b: b[:-3], "zstd"),
        ([{"name": "zstd"}], lambda b: b"\0" * len(b), "zstd"),
        ([{"name": "blosc", "configuration": {"cname": "lz4"}}], lambda b: b[:-1], "blosc"),
        ([{"name": "blosc", "configuration": {"cname": "lz4"}}], lambda b: b[:7], "blosc"),
        ([{"name": "gzip", "configuration": {"level": 1}}], lambda b: b[:-9], "gzip"),
        (None, lambda b: b[:-1], "bytes"),
        (None, lambda b: b + b"\0", "bytes"),
    ],
)
def test_truncated_or_corrupt_chunk_names_key_and_codec(
    tmp_path: Path, compressors: Any, change: Any, codec: str
) -> None:
    z = stored(tmp_path / "a", compressors=compressors, chunks=(2, 6))
    spoil(tmp_path / "a/c/1/0", change)
    with pytest.raises(errors.ChunkDecodeError, match=f"chunk 'c/1/0': {codec}: ") as caught:
        z[...]
    assert caught.value.key == "c/1/0"
    assert caught.value.codec == codec
    np.testing.assert_array_equal(z[:2], DATA[:2])  # the other chunk is still there


def test_checksum_mismatch(tmp_path: Path) -> None:
    z = stored(tmp_path / "a", compressors=CHECKED)
    spoil(tmp_path / "a/c/0/1", lambda b: bytes([b[0] ^ 1]) + b[1:])
    with pytest.raises(errors.ChecksumError, match=r"chunk 'c/0/1': crc32c: stored checksum 0x"):
        z[...]


def test_bad_shard_index(tmp_path: Path) -> None:
    z = stored(tmp_path / "a", chunks=(2, 3), shards=(4, 6))
    shard = tmp_path / "a/c/0/0"
    whole = shard.read_bytes()
    spoil(shard, lambda b: b[:10])
    with pytest.raises(errors.ShardIndexError, match="chunk 'c/0/0': sharding_indexed: truncated"):
        z[...]
    shard.write_bytes(whole[:-4] + bytes(4))
    with pytest.raises(errors.ChecksumError, match="chunk 'c/0/0': crc32c: stored checksum"):
        z[...]


def test_shard_index_that_points_outside(tmp_path: Path) -> None:
    index = [{"name": "bytes", "configuration": {"endian": "little"}}]
    z = cuzarr.create_array(
        str(tmp_path / "a"),
        data=DATA,
        chunks=(4, 6),
        codecs=[
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [2, 3],
                    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
                    "index_codecs": index,
                },
            }
        ],
    )
    shard = tmp_path / "a/c/0/0"
    whole = shard.read_bytes()
    for offset, size in ((10_000, 24), (2**63, 24), (90, 2**40)):
        entry = np.array([offset, size], "<u8").tobytes()
        shard.write_bytes(whole[:-64] + entry + whole[-48:])
        with pytest.raises(errors.ChunkDecodeError, match="'c/0/0'"):
            z[...]
        with pytest.raises(errors.ChunkDecodeError, match="'c/0/0'"):
            z[0, 0] = 5  # a partial write must not lose the rest
        assert shard.read_bytes()[-64:-48] == entry


def test_index_out_of_bounds() -> None:
    z = cuzarr.array(DATA)
    with pytest.raises(IndexError, match=r"4.*axis 0.*4"):
        z[4]
    with pytest.raises(errors.BoundsCheckError):
        z.oindex[[0, -5], :]
    with pytest.raises(errors.BoundsCheckError):
        z.vindex[[0], [6]]
    with pytest.raises(errors.SelectionError):
        z[1, 2, 3]
    with pytest.raises(errors.SelectionError):
        z["name"]


def test_read_only(tmp_path: Path) -> None:
    stored(tmp_path / "g/a")
    z = cuzarr.open_array(str(tmp_path / "g/a"), "r")
    root = cuzarr.open_group(str(tmp_path / "g2"), "w")
    for write in (
        lambda: z.__setitem__(0, 1),
        lambda: z.attrs.update(a=1),
        lambda: z.resize(1, 1),
        lambda: z.append(DATA),
    ):
        with pytest.raises(PermissionError, match=r"array '/' in file://.* was opened for reading"):
            write()
    np.testing.assert_array_equal(z[...], DATA)
    root = cuzarr.open_group(str(tmp_path / "g2"), "r")
    with pytest.raises(errors.ReadOnlyError, match="group '/' in .* was opened for reading"):
        root.create_group("x")
    with pytest.raises(errors.ReadOnlyError, match="read-only"):
        cuzarr.create_array(z.store, name="b", shape=1, dtype="i4")


def test_shape_mismatch() -> None:
    z = cuzarr.array(DATA)
    with pytest.raises(ValueError, match=r"value of shape \(5,\) to a selection of shape \(4, 6\)"):
        z[...] = np.zeros(5)
    with pytest.raises(
        errors.ShapeMismatchError, match=r"cannot append shape \(4, 5\) to \(4, 6\)"
    ):
        z.append(np.zeros((4, 5)))
    with pytest.raises(errors.ShapeMismatchError, match=r"out has shape \(3,\)"):
        z.get_basic_selection(0, out=np.zeros(3, "i4"))
    with pytest.raises(errors.ShapeMismatchError, match="float64"):
        z.get_basic_selection(0, out=np.zeros(6))
    np.testing.assert_array_equal(z[...], DATA)


def test_existing_nodes_are_not_lost(tmp_path: Path) -> None:
    stored(tmp_path / "a")
    for create in (
        lambda: stored(tmp_path / "a"),
        lambda: cuzarr.create_group(str(tmp_path / "a")),
        lambda: cuzarr.open_array(str(tmp_path / "a"), "w-", shape=1),
        lambda: cuzarr.create_array(str(tmp_path), name="a/b", shape=1, dtype="i4"),
    ):
        with pytest.raises(errors.ContainsArrayError, match="array is (already )?stored at"):
            create()
    np.testing.assert_array_equal(cuzarr.open_array(str(tmp_path / "a"))[...], DATA)


def test_no_device() -> None:
    pytest.importorskip("cuzarr.cuda.probe")
    with pytest.raises(errors.NoDeviceError, match=r"device 'cuda:99' is not there: "):
        cuzarr.array(DATA, device="cuda:99")
    with pytest.raises(ValueError, match=r"device='gpu' is not"):
        cuzarr.array(DATA, device="gpu")


def test_remote_store_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(errors.MissingPackageError, match="fsspec"):
        cuzarr.open("s3://bucket/x", "r")


def test_attributes_that_are_not_json() -> None:
    z = cuzarr.array(DATA)
    with pytest.raises(TypeError, match="attribute 'x' cannot be stored as JSON: object"):
        z.attrs["x"] = object()
    with pytest.raises(TypeError, match="attribute names must be strings, not 1"):
        z.attrs[1] = 2  # type: ignore[index]
    assert z.attrs.asdict() == {}


def every_error(kind: type[errors.CuzarrError]) -> list[type[errors.CuzarrError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in every_error(below))]


@pytest.mark.parametrize("kind", every_error(errors.CuzarrError))
def test_errors_survive_pickling(kind: type[errors.CuzarrError]) -> None:
    """Or a worker process could not say what went wrong."""
    arguments: tuple[Any, ...] = ("what went wrong",)
    if issubclass(kind, errors.MetadataError):
        arguments = ("a/zarr.json", ["shape: is missing", "codecs: is empty"])
    elif issubclass(kind, errors.ChunkError):
        arguments = ("c/0", "zstd", "bad")
    error = kind(*arguments)
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is kind
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    assert kind.__doc__
