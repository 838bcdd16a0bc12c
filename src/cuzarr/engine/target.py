"""An array as the engine sees it: the chain of its decoded unit, and where the units are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from cuzarr.codecs.base import ChunkType, Codec
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.registry import build_codecs
from cuzarr.codecs.sharding import ShardingCodec
from cuzarr.engine.address import PlainAddress, ShardAddress
from cuzarr.engine.batch import Job
from cuzarr.engine.resident import Resident, ResidentAddress, resident_address
from cuzarr.errors import MetadataError
from cuzarr.meta.codec_specs import serializer_name
from cuzarr.meta.edges import Edges, Spacing
from cuzarr.meta.fill import read_as
from cuzarr.meta.spec import ArraySpec
from cuzarr.plan.unequal import split_by_shape
from cuzarr.storage.base import Store

_KEPT_CHAINS: Final = 256


@dataclass(frozen=True)
class Target:
    """What the engine needs of an array.

    Attributes
    ----------
    chain : CodecChain
        Of a chunk; of an inner chunk, where the array is sharded.
    outer : CodecChain
        Of a stored object; the same as ``chain`` unless sharded.
    grid : tuple of (int or Edges)
        Of the decoded units, one entry per dimension.
    address : PlainAddress or ShardAddress
    fill_value : numpy scalar
    chain_of : callable or None
        Gives the chain of a chunk shape, where the decoded units have several; ``chain`` and
        ``outer`` are then those of the longest lengths.
    any_shape : bool
        Whether the target holds for the array in any shape.
    """

    chain: CodecChain
    outer: CodecChain
    grid: tuple[Spacing, ...]
    address: PlainAddress | ShardAddress
    fill_value: np.generic
    chain_of: Callable[[tuple[int, ...]], CodecChain] | None = None
    any_shape: bool = False

    def parts(self, job: Job) -> Iterator[Job] | None:
        """Cut a job into jobs for chunks of one shape; None where all have one."""
        if self.chain_of is None:
            return None
        chain_of = self.chain_of
        return (
            replace(job, chain=chain_of(shape), plan=plan)
            for shape, plan in split_by_shape(job.plan, self.grid)
        )

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
        if not isinstance(sharding, ShardingCodec) or outer.array_codecs or outer.byte_codecs:
            kept = resident_address(store, path, address, spec.shape, spec.grid)
            any_shape = not isinstance(store, Resident)
            return _of_chunks(spec, codecs, outer, kept or address, any_shape=any_shape)
        per_shard = _chunks_per_shard(sharding, chunk, spec.grid)
        index = sharding.index(chunk)
        shards = ShardAddress(
            address, store, index, spec.shape, sharding.chunk_shape, per_shard,
            cache=cache_indexes, index_of=None if spec.edges is None else index.resized,
        )  # fmt: skip
        kept = resident_address(
            store, path, address, spec.shape, sharding.chunk_shape, shards.chunks_per_shard
        )
        inner = sharding.inner_chain(chunk)
        return Target(inner, outer, sharding.chunk_shape, kept or shards, fill)
    except (ValueError, TypeError) as error:
        raise MetadataError(key, [f"codecs: {error}"]) from error


def _of_chunks(
    spec: ArraySpec,
    codecs: Sequence[Codec],
    chain: CodecChain,
    address: PlainAddress,
    *,
    any_shape: bool,
) -> Target:
    """Return the target of an array whose stored objects are its chunks."""
    chunk = chain.chunk
    if spec.edges is None:
        return Target(
            chain, chain, spec.chunk_shape, address, chunk.fill_value, any_shape=any_shape
        )

    @lru_cache(maxsize=_KEPT_CHAINS)
    def chain_of(shape: tuple[int, ...]) -> CodecChain:
        return CodecChain.bind(codecs, replace(chunk, shape=shape))

    return Target(chain, chain, spec.edges, address, chunk.fill_value, chain_of)


def _chunks_per_shard(
    sharding: ShardingCodec, chunk: ChunkType, grid: tuple[Spacing, ...]
) -> tuple[Spacing, ...]:
    """Count the inner chunks of the shards along each dimension; all lengths must be divisible."""
    counts: list[Spacing] = []
    for a, count in enumerate(sharding.chunks_per_shard(chunk)):
        edges, inner = grid[a], sharding.chunk_shape[a]
        if not isinstance(edges, Edges):
            counts.append(count)
            continue
        for length in edges.distinct():
            if length % inner:
                raise ValueError(
                    f"the inner chunk length {inner} does not divide the shard length {length} "
                    f"along axis {a}"
                )
        counts.append(edges.divided(inner))
    return tuple(counts)
