"""The description of a node: waist 1 of the design.

1. ``meta.v2`` and ``meta.v3`` parse a metadata document into an :class:`ArraySpec` or a
   :class:`GroupSpec`; both are v3-shaped, so nothing below ``meta`` asks for the format.
2. Everything else (plans, codecs, engine) reads the spec and never the document.
3. ``meta.v2`` and ``meta.v3`` turn a spec back into the document of its own format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from cuzarr.meta.edges import Spacing

if TYPE_CHECKING:
    from cuzarr.meta.consolidated import Consolidated

ZarrFormat: TypeAlias = Literal[2, 3]
JSON: TypeAlias = Any  #: a value that ``json`` reads and writes


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """One entry of a codec chain: a name and its configuration, as in a v3 document.

    The v2 filters and compressor ``{"id": X, ...}`` become ``numcodecs.X`` with the rest as
    configuration, except that blosc, zstd, gzip of v2 take their v3 names where the two mean the
    same bytes, byte order becomes the ``bytes`` codec and ``order: F`` a ``transpose``.
    """

    name: str
    configuration: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChunkKeyEncoding:
    """How chunk coordinates become a key (v3 core, "Chunk key encoding").

    ``default`` with ``/`` gives ``c/0/1``; ``v2`` with ``.`` gives ``0.1`` (and ``0`` for a
    zero-dimensional array, where ``default`` gives ``c``).
    """

    name: Literal["default", "v2"] = "default"
    separator: Literal["/", "."] = "/"

    def encode(self, chunk_coords: Iterable[int]) -> str:
        """Return the key of a chunk, relative to its array."""
        parts = [str(coord) for coord in chunk_coords]
        if self.name == "default":
            parts.insert(0, "c")
        return self.separator.join(parts) or "0"


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """All that is known of one array, from its metadata document alone.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        What a read returns on the host. Native byte order in v3; as stored in v2 (``>f4``).
    chunk_shape : tuple of int
        Shape of one stored object: of a shard, where the chain has ``sharding_indexed``.
        Every length is at least 1. Where chunks have several lengths, the longest ones.
    fill_value : numpy scalar or None
        None (v2 ``null``) reads as zero, empty, or NaT.
    codecs : tuple of CodecSpec
        In the order of encoding: array to array, one array to bytes, bytes to bytes.
    key_encoding : ChunkKeyEncoding
    attributes : mapping
        JSON values of the user.
    dimension_names : tuple of (str or None), or None
    order : {"C", "F"}
        v2 memory order; always "C" in v3.
    zarr_format : {2, 3}
    document : mapping
        The parsed document as stored (v2: ``.zarray``), so that what is not understood survives.
    edges : tuple of (int or Edges), or None
        The chunk grid, where the chunks along some axis have several lengths.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk_shape: tuple[int, ...]
    fill_value: np.generic | None
    codecs: tuple[CodecSpec, ...]
    key_encoding: ChunkKeyEncoding = ChunkKeyEncoding()
    attributes: Mapping[str, JSON] = field(default_factory=dict)
    dimension_names: tuple[str | None, ...] | None = None
    order: Literal["C", "F"] = "C"
    zarr_format: ZarrFormat = 3
    document: Mapping[str, JSON] = field(default_factory=dict, compare=False)
    edges: tuple[Spacing, ...] | None = None

    def to_dict(self) -> dict[str, JSON]:
        """Return the metadata document; of a v2 array with ``attributes`` among the fields."""
        return WRITERS[self.zarr_format](self)

    @property
    def chunk_key_encoding(self) -> ChunkKeyEncoding:
        """How chunk coordinates become a key, by the name of zarr-python."""
        return self.key_encoding

    def encode_chunk_key(self, chunk_coords: Iterable[int]) -> str:
        """Return the key of a chunk (of a shard, in a sharded array), relative to the array.

        Parameters
        ----------
        chunk_coords : iterable of int
            Coordinates in the grid, one for each dimension; not checked against its shape.
        """
        return self.key_encoding.encode(chunk_coords)

    @property
    def grid(self) -> tuple[Spacing, ...]:
        """The chunks along each dimension: one length, or :class:`Edges`."""
        return self.chunk_shape if self.edges is None else self.edges

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """All that is known of one group from its metadata documents.

    ``consolidated`` holds the members below it, where the group was opened with them: they are
    then taken from there, and the store is not asked.
    """

    attributes: Mapping[str, JSON] = field(default_factory=dict)
    zarr_format: ZarrFormat = 3
    document: Mapping[str, JSON] = field(default_factory=dict, compare=False)
    consolidated: Consolidated | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, JSON]:
        """Return the metadata document; of a v2 group with ``attributes`` among the fields."""
        return WRITERS[self.zarr_format](self)

    @property
    def consolidated_metadata(self) -> Consolidated | None:
        """The members below the group, where it was opened with them."""
        return self.consolidated


NodeSpec: TypeAlias = ArraySpec | GroupSpec
#: What writes a node as one document, by format; the modules of the formats enter themselves.
WRITERS: dict[ZarrFormat, Callable[[NodeSpec], dict[str, JSON]]] = {}
