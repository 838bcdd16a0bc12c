"""An array as the engine sees it: the chain of its decoded unit, and where the units are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cuzarr.codecs.base import ChunkType
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.registry import build_codecs
from cuzarr.codecs.sharding import ShardingCodec
from cuzarr.engine.address import PlainAddress, ShardAddress
from cuzarr.engine.resident import ResidentAddress, resident_address
from cuzarr.errors import MetadataError
from cuzarr.meta.codec_specs import serializer_name
from cuzarr.meta.fill import read_as
from cuzarr.meta.spec import ArraySpec
from cuzarr.storage.base import Store


@dataclass(frozen=True)
class Target:
    """What the engine needs of an array.

    Attributes
    ----------
    chain : CodecChain
        Of a chunk; of an inner chunk, where the array is sharded.
    outer : CodecChain
        Of a stored object; the same as ``chain`` unless sharded.
    chunk_shape : tuple of int
        Of the decoded unit.
    address : PlainAddress or ShardAddress
    fill_value : numpy scalar
    """

    chain: CodecChain
    outer: CodecChain
    chunk_shape: tuple[int, ...]
    address: PlainAddress | ShardAddress
    fill_value: np.generic

    @property
    def resident(self) -> bool:
        """Whether the store keeps the chunks on a device."""
        return isinstance(self.address, ResidentAddress)


def bind(spec: ArraySpec, store: Store, path: str, key: str, *, cache_indexes: bool) -> Target:
    """Bind a spec to a store.

    Parameters
    ----------
    spec : ArraySpec
    store : Store
    path : str
        Of the array.
    key : str
        Of its metadata document, for errors.
    cache_indexes : bool
        Whether shard indexes may be kept: only while nobody writes.

    Raises
    ------
    UnknownCodecError, MetadataError
    """
    fill = read_as(spec.fill_value, spec.dtype, serializer_name(spec.codecs))
    chunk = ChunkType(spec.chunk_shape, spec.dtype, fill)
    codecs = build_codecs(key, spec.codecs)
    address = PlainAddress(f"{path}/" if path else "", spec.key_encoding)
    try:
        outer = CodecChain.bind(codecs, chunk)
        sharding = outer.serializer
        plain = not isinstance(sharding, ShardingCodec) or outer.array_codecs or outer.byte_codecs
        if plain:
            kept = resident_address(store, path, address, spec.shape, spec.chunk_shape)
            return Target(outer, outer, spec.chunk_shape, kept or address, fill)
        assert isinstance(sharding, ShardingCodec)
        shards = ShardAddress(
            address, store, sharding.index(chunk), spec.shape, sharding.chunk_shape,
            sharding.chunks_per_shard(chunk), cache=cache_indexes,
        )  # fmt: skip
        kept = resident_address(
            store, path, address, spec.shape, sharding.chunk_shape, shards.chunks_per_shard
        )
        inner = sharding.inner_chain(chunk)
        return Target(inner, outer, sharding.chunk_shape, kept or shards, fill)
    except (ValueError, TypeError) as error:
        raise MetadataError(key, [f"codecs: {error}"]) from error
