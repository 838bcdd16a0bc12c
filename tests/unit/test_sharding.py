"""Shards: the index, absent and nested chunks, and what a partial write leaves as it was."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.codecs.base import ChunkType
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.registry import build_codec
from cuzarr.codecs.sharding import ABSENT, ShardIndex, ShardingCodec
from cuzarr.errors import ChecksumError, ChunkDecodeError, MetadataError, ShardIndexError
from cuzarr.meta.spec import CodecSpec
from cuzarr.storage import MemoryStore
from cuzarr.storage.base import RequestBatch, Values

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
CRC = {"name": "crc32c"}
ZSTD = {"name": "zstd", "configuration": {"level": 1}}
SHARD = ChunkType((4, 6), np.dtype("<i4"), np.int32(0))
DATA = np.arange(1, 81, dtype="<i4").reshape(8, 10)


def sharding(**changes: Any) -> dict[str, Any]:
    configuration = {"chunk_shape": [2, 3], "codecs": [LITTLE], **changes}
    return {"name": "sharding_indexed", "configuration": configuration}


def codec(**changes: Any) -> ShardingCodec:
    entry = sharding(**changes)
    built = build_codec(CodecSpec(entry["name"], entry["configuration"]))
    assert isinstance(built, ShardingCodec)
    return built


def array(store: Any = None, *, data: Any = DATA, **changes: Any) -> cuzarr.Array:
    around = changes.pop("around", lambda inner: [inner])
    return cuzarr.create_array(
        store, data=data, chunks=(4, 6), codecs=around(sharding(**changes)), fill_value=0,
        device="cpu",
    )  # fmt: skip


def index_of(z: cuzarr.Array) -> ShardIndex:
    index = z._target.address.index  # type: ignore[union-attr]
    assert isinstance(index, ShardIndex)
    return index


class CountingStore(MemoryStore):
    """Notes what is asked for."""

    def __init__(self, store_dict: Any = None, **options: Any) -> None:
        super().__init__(store_dict, **options)
        self.asked: list[tuple[str, str, int]] = []

    def get_many(self, batch: RequestBatch) -> Values:
        found = super().get_many(batch)
        for key, size in zip(batch.key_list(), found.sizes.tolist(), strict=True):
            self.asked.append(("get_many", key, size))
        return found

    def get(self, key: str, start: int = 0, length: int = -1) -> bytes | None:
        found = super().get(key, start, length)
        self.asked.append(("get", key, -1 if found is None else len(found)))
        return found

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        self.asked.append(("set", key, len(value)))


# Configuration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunk_shape": None}, "chunk_shape must be a list of positive integers, not None"),
        ({"chunk_shape": [2, 0]}, r"not \[2, 0\]"),
        ({"chunk_shape": [2, True]}, r"not \[2, True\]"),
        ({"chunk_shape": "23"}, "not '23'"),
        ({"codecs": []}, r"codecs must be a list of codecs, not \[\]"),
        ({"codecs": {"name": "bytes"}}, "codecs must be a list of codecs"),
        ({"codecs": None}, "codecs must be a list of codecs, not None"),
        ({"index_codecs": []}, r"index_codecs must be a list of codecs, not \[\]"),
        ({"codecs": [5]}, r"codecs\[0\] must be a name, or an object with name and configuration"),
        ({"codecs": [LITTLE, {"name": 3}]}, r"codecs\[1\] must be a name"),
        ({"codecs": [{"name": "bytes", "configuration": 1}]}, r"codecs\[0\] must be a name"),
        ({"index_location": "middle"}, "index_location must be one of start, end, not 'middle'"),
        ({"depth": 2}, "unknown configuration 'depth'"),
        ({"codecs": [{"name": "magic"}]}, r"configuration.codecs\[0\]: unknown codec 'magic'"),
        ({"codecs": [LITTLE, {"name": "zstd", "configuration": {"level": 99}}]}, "level must be"),
        ({"index_codecs": ["magic"]}, r"configuration.index_codecs\[0\]: unknown codec 'magic'"),
    ],
)
def test_refused_configurations(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec(**changes)


def test_configuration_round_trip() -> None:
    given = {
        "chunk_shape": [2, 3],
        "codecs": [BIG, ZSTD | {"configuration": {"level": 1, "checksum": False}}],
        "index_codecs": [BIG],
        "index_location": "start",
    }
    built = codec(**given)
    assert built.configuration() == given
    assert codec(**built.configuration()) == built
    short = codec(codecs=[LITTLE, "crc32c"])
    assert short.configuration()["codecs"] == [LITTLE, CRC]
    assert short.configuration()["index_codecs"] == [LITTLE, CRC]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunk_shape": [2]}, "chunk_shape has 1 dimensions, the shard 2"),
        ({"chunk_shape": [3, 3]}, r"\(3, 3\) does not divide the shard shape \(4, 6\)"),
        ({"index_codecs": [LITTLE, ZSTD]}, "index_codecs must give an index of fixed size"),
        ({"index_codecs": [CRC]}, "codec 'crc32c' cannot stand there"),
        ({"codecs": [LITTLE, LITTLE]}, "codec 'bytes' cannot stand there"),
    ],
)
def test_shards_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        array(**changes)


# The index


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("index_codecs", [[LITTLE, CRC], [LITTLE], [BIG], [BIG, CRC, CRC]])
def test_index_in_every_form(location: str, index_codecs: list[Any]) -> None:
    store = MemoryStore()
    z = array(store, index_location=location, index_codecs=index_codecs, codecs=[LITTLE, ZSTD])
    np.testing.assert_array_equal(z[...], DATA)
    assert (z.chunks, z.shards, z.cdata_shape) == ((2, 3), (4, 6), (4, 4))
    index = index_of(z)
    shard = store.get("c/0/0")
    assert shard is not None
    size = 4 * 16 + 4 * index_codecs.count(CRC)
    assert (index.slots, index.nbytes) == (4, size)
    raw = shard[-size:] if location == "end" else shard[:size]
    dtype = ">u8" if index_codecs[0] == BIG else "<u8"
    entries = np.frombuffer(raw, dtype, 8).reshape(4, 2)
    np.testing.assert_array_equal(index.parse("c/0/0", raw, len(shard)), entries)
    assert entries[0, 0] == (0 if location == "end" else size)
    for slot, (row, column) in enumerate(itertools.product((0, 2), (0, 3))):
        offset, length = entries[slot].tolist()
        inner = z._target.chain.decode("", shard[offset : offset + length])
        np.testing.assert_array_equal(inner, DATA[row : row + 2, column : column + 3])
    z[3, 4] = -1  # rewrites the shard
    expected = DATA.copy()
    expected[3, 4] = -1
    np.testing.assert_array_equal(z[...], expected)


def test_split_and_join_are_inverse() -> None:
    for location in ("start", "end"):
        index = codec(index_location=location).index(SHARD)
        chunks = [b"first", None, b"", b"the last"]
        shard = index.join("k", chunks)
        assert [None if c is None else bytes(c) for c in index.split("k", shard)] == chunks
        entries = index.parse("k", shard[-index.nbytes :] if index.at_end else shard[:68])
        assert entries[1].tolist() == [ABSENT, ABSENT]


def test_bad_indexes_name_the_shard() -> None:
    index = codec(index_codecs=[LITTLE]).index(SHARD)
    shard = index.join("k", [b"abcd"] * 4)
    with pytest.raises(ShardIndexError, match="'k': sharding_indexed: truncated: 63 bytes"):
        index.split("k", shard[-63:])
    with pytest.raises(ShardIndexError, match="truncated: 0 bytes, less than its index"):
        index.split("k", b"")
    with pytest.raises(ShardIndexError, match="'k': sharding_indexed: the index has 3 bytes"):
        index.parse("k", b"abc")
    for offset, size in ((77, 4), (2**63, 1), (1, 2**63), (ABSENT, 4), (4, ABSENT), (80, 1)):
        entries = np.array([[offset, size], [0, 4], [4, 4], [8, 4]], np.uint64)
        with pytest.raises(ShardIndexError, match=f"names bytes {offset} to .*of 80 bytes"):
            index.parse("k", entries.tobytes(), 80)
    with pytest.raises(ShardIndexError, match=r"outside the shard$"):
        index.parse("k", np.full(8, 2**62 + 1, np.uint64).tobytes())
    checked = codec().index(SHARD)
    with pytest.raises(ChecksumError, match="'k': crc32c"):
        checked.parse("k", bytes(68))


def test_an_index_that_does_not_decode() -> None:
    index = codec().index(SHARD)
    broken = CodecChain(
        index.chain.chunk, (), index.chain.serializer, index.chain.serialized, (), None
    )
    short = ShardIndex(broken, at_end=True, nbytes=60)
    with pytest.raises(ShardIndexError, match="'k': sharding_indexed: index: expected 64 decoded"):
        short.parse("k", bytes(60))


# Whole shards: inside other shards, or below other codecs


def encoded_around(inner: dict[str, Any]) -> list[Any]:
    return [inner, ZSTD]


def transposed_around(inner: dict[str, Any]) -> list[Any]:
    inner["configuration"]["chunk_shape"] = [3, 2]
    return [{"name": "transpose", "configuration": {"order": [1, 0]}}, inner]


def nested(inner: dict[str, Any]) -> list[Any]:
    deepest = inner["configuration"]["codecs"] + [CRC]
    middle = sharding(chunk_shape=[1, 3], codecs=deepest, index_location="start")
    inner["configuration"]["codecs"] = [middle]
    return [inner]


@pytest.mark.parametrize("around", [encoded_around, transposed_around, nested])
def test_shards_that_are_decoded_whole(around: Any) -> None:
    store = MemoryStore()
    z = array(store, around=around)
    np.testing.assert_array_equal(z[...], DATA)
    np.testing.assert_array_equal(z[1:7:2, ::-3], DATA[1:7:2, ::-3])
    np.testing.assert_array_equal(z.vindex[[7, 0], [9, 0]], DATA[[7, 0], [9, 0]])
    z[2:5, 4:7] = 0
    expected = DATA.copy()
    expected[2:5, 4:7] = 0
    np.testing.assert_array_equal(cuzarr.open_array(store, device="cpu")[...], expected)
    assert z.nshards_initialized == 4
    shard = store.get("c/0/0")
    assert shard is not None
    store.set("c/0/0", bytes(len(shard)))
    with pytest.raises(ChunkDecodeError, match="'c/0/0'"):
        z[...]


def test_errors_inside_nested_shards_name_the_outer_key() -> None:
    store = MemoryStore()
    z = array(store, around=nested)
    shard = store.get("c/0/0")
    assert shard is not None
    at = shard.index(DATA[0, :3].tobytes())
    store.set("c/0/0", shard[:at] + b"\xff" + shard[at + 1 :])
    with pytest.raises(ChecksumError, match="chunk 'c/0/0': crc32c"):
        z[...]
    with pytest.raises(ChecksumError, match="chunk 'c/0/0'"):
        z[0, 1] = 3


def test_absent_chunks_of_whole_shards_are_fill_value() -> None:
    built = codec()
    chunk = ChunkType((4, 6), np.dtype("<i4"), np.int32(7))
    first = built.inner_chain(chunk).encode("", np.ones((2, 3), "<i4"))
    shard = built.index(chunk).join("", [first, None, None, None])
    expected = np.full((4, 6), 7)
    expected[:2, :3] = 1
    np.testing.assert_array_equal(built.decode(shard, chunk), expected)


# Absent chunks


def test_absent_chunks_and_shards() -> None:
    store = CountingStore()
    z = cuzarr.create_array(
        store, shape=(8, 10), dtype="i4", chunks=(2, 3), shards=(4, 6), fill_value=9, device="cpu"
    )
    assert (z[...] == 9).all()
    z[0, 0] = 1
    z[1, 4] = 9  # stays the fill value: not stored
    shard = store.get("c/0/0")
    assert shard is not None
    slots = index_of(z).split("c/0/0", shard)
    assert [chunk is not None for chunk in slots] == [True, False, False, False]
    expected = np.full((8, 10), 9)
    expected[0, 0] = 1
    np.testing.assert_array_equal(z[...], expected)
    z[0, 0] = 9
    assert store.get("c/0/0") is None
    assert z.nshards_initialized == 0
    with cuzarr.config.set({"write_empty_chunks": True}):
        z[0, 0] = 9
    assert z.nshards_initialized == 1


def test_chunks_outside_the_array_are_not_stored() -> None:
    store = MemoryStore()
    z = array(store, codecs=[LITTLE])
    shard = store.get("c/0/1")  # columns 6 to 11 of 10: all four chunks hold some element
    assert shard is not None
    assert all(chunk is not None for chunk in index_of(z).split("", shard))
    z = cuzarr.create_array(
        store, data=DATA[:, :8], chunks=(2, 3), shards=(4, 12), device="cpu", overwrite=True
    )
    shard = store.get("c/0/0")
    assert shard is not None
    stored = [chunk is not None for chunk in index_of(z).split("", shard)]
    assert stored == [True, True, True, False] * 2


# Writes


def test_a_partial_write_keeps_the_bytes_of_other_chunks() -> None:
    store = MemoryStore()
    array(store, codecs=[LITTLE, ZSTD])
    index = index_of(cuzarr.open_array(store, device="cpu"))
    # Stored by another writer, at another level: a decode and encode would change the bytes.
    shard = store.get("c/0/0")
    assert shard is not None
    chunks: list[Any] = list(index.split("", shard))
    foreign = build_codec(CodecSpec("zstd", {"level": 19, "checksum": True}))
    chunks[1] = foreign.encode(DATA[:2, 3:6].tobytes(), 4)  # type: ignore[attr-defined]
    store.set("c/0/0", index.join("", [*chunks[:2], chunks[2], chunks[3]]))
    z = cuzarr.open_array(store, device="cpu")
    z[3, 0] = 5
    shard = store.get("c/0/0")
    assert shard is not None
    after = index.split("", shard)
    assert [bytes(a) == bytes(b) for a, b in zip(after, chunks, strict=True)] == [  # type: ignore[arg-type]
        True, True, False, True,
    ]  # fmt: skip
    expected = DATA.copy()
    expected[3, 0] = 5
    np.testing.assert_array_equal(z[...], expected)


def test_one_read_and_one_write_per_shard() -> None:
    store = CountingStore()
    z = array(store, codecs=[LITTLE])
    store.asked.clear()
    with cuzarr.config.set({"host.threads": 2}):
        z[1:7, 1:9] = 5
    whole = [entry for entry in store.asked if entry[0] == "get"]
    assert sorted(key for _, key, _ in whole) == ["c/0/0", "c/0/1", "c/1/0", "c/1/1"]
    written = [key for kind, key, _ in store.asked if kind == "set"]
    assert sorted(written) == ["c/0/0", "c/0/1", "c/1/0", "c/1/1"]
    store.asked.clear()
    z[:4] = 6  # whole shards: nothing but their indexes is read
    assert [entry for entry in store.asked if entry[0] == "get"] == []
    assert {size for kind, _, size in store.asked if kind == "get_many"} == {68}


def test_a_shard_that_cannot_be_read_is_not_overwritten() -> None:
    store = MemoryStore()
    z = array(store, codecs=[LITTLE, CRC])
    shard = bytearray(store.get("c/0/0") or b"")
    shard[0] ^= 1  # in the first chunk
    store.set("c/0/0", shard)
    with pytest.raises(ChecksumError, match="'c/0/0'"):
        z[0, 1] = 5
    assert store.get("c/0/0") == bytes(shard)
    z[2, 2] = 5  # another chunk of the shard: the bad one keeps its bytes
    after = store.get("c/0/0")
    assert after is not None
    assert after[: 2 * 3 * 4 + 4] == bytes(shard[: 2 * 3 * 4 + 4])
    z[:2, :3] = 1  # overwritten whole: it is not read
    assert (z[:2, :3] == 1).all()


# The cache of indexes


def test_indexes_are_kept_by_readers_alone() -> None:
    store = CountingStore()
    array(store)
    for mode, times in (("r", 1), ("r+", 2)):
        z = cuzarr.open_array(store, mode, device="cpu")  # type: ignore[arg-type]
        store.asked.clear()
        for _ in range(2):
            np.testing.assert_array_equal(z[:4, :6], DATA[:4, :6])
        indexes = [entry for entry in store.asked if entry[2] == 68]
        assert len(indexes) == times


def test_a_writer_sees_what_others_wrote() -> None:
    store = MemoryStore()
    one, two = array(store), cuzarr.open_array(store, "r+", device="cpu")
    two[...]
    one[0, 0] = -5
    two[0, 1] = -6
    assert one[0, :2].tolist() == [-5, -6]


def test_kept_indexes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuzarr.engine.address._INDEX_BYTES", 3 * 68)
    store = CountingStore()
    array(store, data=np.arange(1, 193, dtype="i4").reshape(8, 24))
    z = cuzarr.open_array(store, "r", device="cpu")
    expected = np.arange(1, 193).reshape(8, 24)
    for _ in range(3):
        np.testing.assert_array_equal(z[...], expected)
        np.testing.assert_array_equal(z[:, 20], expected[:, 20])
        assert len(z._target.address._cache) <= 3  # type: ignore[union-attr, arg-type]


def test_missing_shards_are_remembered_too() -> None:
    store = CountingStore()
    cuzarr.create_array(
        store, shape=(8, 6), dtype="i4", chunks=(2, 3), shards=(4, 6), fill_value=3, device="cpu"
    )
    z = cuzarr.open_array(store, "r", device="cpu")
    store.asked.clear()
    for _ in range(3):
        assert (z[...] == 3).all()
    assert len(store.asked) == 2


def test_many_slots_cost_nothing_until_they_are_stored() -> None:
    z = cuzarr.create_array(
        None, shape=(2**50,), dtype="u1", chunks=(1,), shards=(2**40,), device="cpu"
    )
    assert z[2**49 : 2**49 + 3].tolist() == [0, 0, 0]
    assert z.vindex[[0, 2**45]].tolist() == [0, 0]


def test_codecs_of_another_library() -> None:
    class Foreign:
        def to_dict(self) -> dict[str, Any]:
            return {"name": "gzip", "configuration": {"level": 3}}

    made = ShardingCodec(chunk_shape=(2,), codecs=[{"name": "bytes"}, Foreign()])
    assert made.configuration()["codecs"][1] == Foreign().to_dict()


def test_a_write_of_many_waves_of_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Selections of all kinds, in waves of a few inner chunks, equal NumPy's."""
    monkeypatch.setattr("cuzarr.host.write_pass._WAVE_BYTES", 0)
    expected = np.zeros((60, 47), "i4")
    z = cuzarr.create_array(
        None, shape=expected.shape, dtype="i4", chunks=(4, 3), shards=(12, 9), fill_value=0
    )
    with cuzarr.config.set({"host.threads": 1}):  # waves of 4 inner chunks
        for k, key in enumerate(
            ((slice(None), slice(None)), (slice(50, 3, -3), slice(1, 40, 2)), (slice(7), 5))
        ):
            value = np.arange(expected[key].size, dtype="i4").reshape(expected[key].shape) + k
            expected[key] = value
            z[key] = value
        rows, columns = np.array([59, 2, 3, 30]), np.array([46, 0, 20])
        expected[np.ix_(rows, columns)] = -1
        z.oindex[rows, columns] = -1
    assert np.array_equal(z[...], expected)


def test_a_huge_sharded_array_is_written_in_waves() -> None:
    store = MemoryStore()
    z = cuzarr.create_array(
        store, shape=(2**20, 2**20), dtype="u1", chunks=(2**9, 2**9), shards=(2**11, 2**11)
    )
    far = slice(None, None, 2**16)
    z[far, far] = 0  # nothing is stored of what is all fill value
    assert list(store.list("c")) == []
    value = np.arange(256, dtype="u1").reshape(16, 16)
    z[far, far] = value
    assert np.array_equal(z[far, far], value)
    assert len(list(store.list("c"))) == 255  # that of value 0 is not there
