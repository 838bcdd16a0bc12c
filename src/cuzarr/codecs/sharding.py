"""``sharding_indexed``: many inner chunks in one object (v3 codec "sharding-indexed", version 1.0).

1. :class:`ShardIndex` reads and writes the index: offset and size of every inner chunk.
2. :class:`ShardingCodec` binds the inner chain; the engine addresses inner chunks itself
   (``plan.shards``), so ``decode`` and ``encode`` of a whole shard are only the way of shards
   within shards, and of chains with codecs around the sharding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from cuzarr.codecs.base import ArrayBytesCodec, Bytes, ChunkType, Codec
from cuzarr.codecs.bytes import BytesCodec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.configuration import refuse_unknown, take_choice
from cuzarr.codecs.crc32c import Crc32cCodec
from cuzarr.codecs.registry import build_codecs, register_codec
from cuzarr.errors import ChecksumError, ChunkDecodeError, ShardIndexError
from cuzarr.meta.spec import CodecSpec

ABSENT = np.uint64(2**64 - 1)  #: offset and size of an inner chunk that is not stored
_INDEX_CODECS = (CodecSpec("bytes", {"endian": "little"}), CodecSpec("crc32c"))


@dataclass(frozen=True)
class ShardIndex:
    """Reads and writes the index of shards of one array.

    Attributes
    ----------
    chain : CodecChain
        Codecs of the index.
    at_end : bool
    nbytes : int
        Encoded size of the index in bytes.
    """

    chain: CodecChain
    at_end: bool
    nbytes: int

    @property
    def slots(self) -> int:
        """Inner chunks of a shard."""
        return int(np.prod(self.chain.chunk.shape[:-1], dtype=np.int64))

    def resized(self, chunks_per_shard: tuple[int, ...]) -> ShardIndex:
        """Return the index of a shard of another number of chunks."""
        chunk = self.chain.chunk
        if chunk.shape[:-1] == chunks_per_shard:
            return self
        codecs: list[Codec] = [codec for codec, _ in self.chain.array_codecs]
        codecs += [self.chain.serializer, *self.chain.byte_codecs]
        chain = CodecChain.bind(codecs, replace(chunk, shape=(*chunks_per_shard, 2)))
        return bound_index(chain, self.at_end)

    def parse(
        self, key: str, data: Bytes, shard_bytes: int | None = None
    ) -> npt.NDArray[np.uint64]:
        """Decode an index.

        Parameters
        ----------
        key : str
            Of the shard, for errors.
        data : bytes-like
            The ``nbytes`` bytes of the index.
        shard_bytes : int or None
            Size of the shard, where it is known: entries must lie inside.

        Returns
        -------
        (slots, 2) uint64 array
            Offset and size in bytes; both 2**64 - 1 for an inner chunk that is not stored.
        """
        if memoryview(data).nbytes != self.nbytes:
            found = memoryview(data).nbytes
            raise ShardIndexError(
                key, "sharding_indexed", f"the index has {found} bytes, expected {self.nbytes}"
            )
        try:
            entries = np.array(self.chain.decode(key, data), np.uint64).reshape(self.slots, 2)
        except ChecksumError:
            raise
        except ChunkDecodeError as error:
            raise ShardIndexError(key, "sharding_indexed", f"index: {error.cause}") from error
        stored = entries[(entries != ABSENT).any(axis=1)]
        end = stored[:, 0] + stored[:, 1]
        bad = (stored[:, 0] > 2**62) | (stored[:, 1] > 2**62)
        if shard_bytes is not None:
            bad |= end > shard_bytes
        if bad.any():
            offset, size = stored[int(np.argmax(bad))].tolist()
            raise ShardIndexError(
                key,
                "sharding_indexed",
                f"the index names bytes {offset} to {offset + size}, outside the shard"
                + ("" if shard_bytes is None else f" of {shard_bytes} bytes"),
            )
        return entries

    def entries(self, key: str, shard: Bytes) -> npt.NDArray[np.uint64]:
        """Return what ``parse`` does, from a whole shard."""
        view = memoryview(shard)
        if view.nbytes < self.nbytes:
            raise ShardIndexError(
                key, "sharding_indexed", f"truncated: {view.nbytes} bytes, less than its index"
            )
        raw = view[-self.nbytes :] if self.at_end else view[: self.nbytes]
        return self.parse(key, raw, view.nbytes)

    def split(self, key: str, shard: Bytes) -> list[memoryview | None]:
        """Return the encoded inner chunks of a whole shard, None where not stored."""
        view, entries = memoryview(shard), self.entries(key, shard)
        missing = (entries == ABSENT).all(axis=1).tolist()
        return [
            None if absent else view[offset : offset + size]
            for absent, (offset, size) in zip(missing, entries.tolist(), strict=True)
        ]

    def join(self, key: str, chunks: Sequence[Bytes | None]) -> bytes:
        """Assemble a shard from its encoded inner chunks, in the order of their slots."""
        sizes = [-1 if c is None else memoryview(c).nbytes for c in chunks]
        index = self.encode(key, np.array(sizes, np.int64))
        body: Iterable[Bytes] = (c for c in chunks if c is not None)
        return b"".join([*body, index] if self.at_end else [index, *body])

    def encode(self, key: str, sizes: npt.NDArray[np.int64]) -> Bytes:
        """Return the index of chunks that lie behind one another; a size of -1 is not stored."""
        absent = sizes < 0
        counted = np.where(absent, 0, sizes).astype(np.uint64)
        offsets = np.cumsum(counted) - counted
        if not self.at_end:
            offsets += np.uint64(self.nbytes)
        entries = np.stack([offsets, counted], axis=1)
        entries[absent] = ABSENT
        return self.chain.encode(key, entries.reshape(self.chain.chunk.shape))


@dataclass(frozen=True)
class ShardingCodec(ArrayBytesCodec):
    """Inner chunks with codecs of their own, and an index.

    Parameters
    ----------
    chunk_shape : tuple of int
        Of the inner chunks; divides the shape of the shard.
    codecs, index_codecs : tuple of Codec
        Names and objects of a document become codecs.
    index_location : {"end", "start"}
        The index follows the chunks, or precedes them.
    """

    chunk_shape: tuple[int, ...]
    codecs: tuple[Codec, ...] = (BytesCodec(),)
    index_codecs: tuple[Codec, ...] = (BytesCodec(), Crc32cCodec())
    index_location: Literal["start", "end"] = "end"
    name: ClassVar[str] = "sharding_indexed"
    device_step: ClassVar[str | None] = "sharding_indexed"

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> Self:
        """Build from a document; problems of the inner codecs keep their places."""
        refuse_unknown(configuration, "chunk_shape", "codecs", "index_codecs", "index_location")
        shape = configuration.get("chunk_shape")
        if not isinstance(shape, list | tuple) or not all(
            isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape
        ):
            raise ValueError(f"chunk_shape must be a list of positive integers, not {shape!r}")
        location = take_choice(configuration, "index_location", "end", ("start", "end"))
        chains = []
        for name, default in (("codecs", None), ("index_codecs", _INDEX_CODECS)):
            entries = configuration.get(name, default)
            if not isinstance(entries, list | tuple) or not entries:
                raise ValueError(f"{name} must be a list of codecs, not {entries!r}")
            specs = [_codec_spec(entry, f"{name}[{i}]") for i, entry in enumerate(entries)]
            chains.append(tuple(build_codecs("", specs, f"configuration.{name}")))
        return cls(tuple(shape), chains[0], chains[1], "end" if location == "end" else "start")

    def configuration(self) -> dict[str, Any]:
        """Return the configuration for a document."""
        return {
            "chunk_shape": list(self.chunk_shape),
            "codecs": [codec.to_dict() for codec in self.codecs],
            "index_codecs": [codec.to_dict() for codec in self.index_codecs],
            "index_location": str(self.index_location),
        }

    def __post_init__(self) -> None:
        given_shape: Any = self.chunk_shape
        shape = (given_shape,) if isinstance(given_shape, int) else tuple(given_shape)
        object.__setattr__(self, "chunk_shape", shape)
        for name in ("codecs", "index_codecs"):
            given = enumerate(getattr(self, name))
            built = tuple(_codec(entry, f"{name}[{i}]") for i, entry in given)
            object.__setattr__(self, name, built)

    @property
    def at_end(self) -> bool:
        """Whether the index follows the chunks."""
        return self.index_location == "end"

    def chunks_per_shard(self, chunk: ChunkType) -> tuple[int, ...]:
        """Return the number of inner chunks along each dimension of a shard."""
        if len(self.chunk_shape) != len(chunk.shape):
            raise ValueError(
                f"chunk_shape has {len(self.chunk_shape)} dimensions, the shard {len(chunk.shape)}"
            )
        for outer, inner in zip(chunk.shape, self.chunk_shape, strict=True):
            if outer % inner:
                raise ValueError(
                    f"the inner chunk shape {self.chunk_shape} does not divide the shard shape "
                    f"{chunk.shape}"
                )
        return tuple(o // i for o, i in zip(chunk.shape, self.chunk_shape, strict=True))

    def inner_chain(self, chunk: ChunkType) -> CodecChain:
        """Bind the inner codecs; ``chunk`` is the type of the shard."""
        self.chunks_per_shard(chunk)
        inner = ChunkType(self.chunk_shape, chunk.dtype, chunk.fill_value)
        return CodecChain.bind(self.codecs, inner)

    def index(self, chunk: ChunkType) -> ShardIndex:
        """Bind the index codecs; ``chunk`` is the type of the shard."""
        shape = (*self.chunks_per_shard(chunk), 2)
        chain = CodecChain.bind(self.index_codecs, ChunkType(shape, np.dtype("u8"), ABSENT))
        return bound_index(chain, self.at_end)

    def decode(self, data: Bytes, chunk: ChunkType) -> npt.NDArray[Any]:
        """Decode a whole shard."""
        chain, index = self.inner_chain(chunk), self.index(chunk)
        whole = np.full(chunk.shape, chunk.fill_value, chunk.dtype)
        for where, encoded in zip(self._regions(chunk), index.split("", data), strict=True):
            if encoded is not None:
                whole[where] = chain.decode("", encoded)
        return whole

    def encode(self, array: npt.NDArray[Any], chunk: ChunkType) -> Bytes:
        """Encode a whole shard; every inner chunk is stored."""
        chain, index = self.inner_chain(chunk), self.index(chunk)
        return index.join("", [chain.encode("", array[where]) for where in self._regions(chunk)])

    def _regions(self, chunk: ChunkType) -> Iterable[tuple[slice, ...]]:
        for coords in np.ndindex(self.chunks_per_shard(chunk)):
            yield tuple(
                slice(c * n, (c + 1) * n) for c, n in zip(coords, self.chunk_shape, strict=True)
            )


def bound_index(chain: CodecChain, at_end: bool) -> ShardIndex:
    """Return the index that a chain encodes; ``ValueError`` where its size is not fixed."""
    size = chain.decoded_size
    for codec in chain.byte_codecs:
        size = None if size is None else codec.encoded_size(size)
    if size is None:
        raise ValueError("index_codecs must give an index of fixed size: bytes and checksums")
    return ShardIndex(chain, at_end, size)


def _codec(given: Any, place: str) -> Codec:
    if isinstance(given, Codec):
        return given
    if callable(getattr(given, "to_dict", None)):  # a codec of zarr-python
        given = given.to_dict()
    return build_codecs("", [_codec_spec(given, place)], place)[0]


def _codec_spec(entry: Any, place: str) -> CodecSpec:
    if isinstance(entry, CodecSpec):
        return entry
    if isinstance(entry, str):
        return CodecSpec(entry)
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        configuration = entry.get("configuration", {})
        if isinstance(configuration, Mapping):
            return CodecSpec(entry["name"], configuration)
    raise ValueError(f"{place} must be a name, or an object with name and configuration")


register_codec("sharding_indexed", ShardingCodec)
