"""Checksums verified on the device.

Of each kind, ``<kind>_partial`` adds up the tiles of segments and ``<kind>_check`` lowers the word
of the first bad chunk (``kernels/crc32c.cu``, ``kernels/encode.cu``, ``kernels/checks.cu``).
XXH64, of zstd frames, cannot be added up: ``xxh64_check`` does all of it (``kernels/xxh64.cu``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from cuzarr.cuda.kernels import tile_table
from cuzarr.cuda.memory import Tables
from cuzarr.cuda.runtime import Runtime, Stream

Kind = Literal["crc32c", "crc32", "adler32", "fletcher32", "xxh64"]
CODECS: Final[tuple[Kind, ...]] = ("crc32c", "crc32", "adler32", "fletcher32")
STORED_BYTES: Final = 4  #: of a checksum
_TILE = 16384
_GRID = 2048  #: of the CRCs, whose blocks make tables first
_CRCS = ("crc32c", "crc32")


@dataclass(frozen=True, slots=True)
class Segments:
    """What is to be checked, (n,) each.

    Attributes
    ----------
    first, nbytes : uint64, int64
        Device pointers and bytes.
    stored : uint64
        Device pointers of the four stored bytes, of any alignment.
    owner : int32
        Row of the wave.
    """

    first: npt.NDArray[np.uint64]
    nbytes: npt.NDArray[np.int64]
    stored: npt.NDArray[np.uint64]
    owner: npt.NDArray[np.int32]


def add_check(
    runtime: Runtime,
    tables: Tables,
    kind: Kind,
    segments: Segments,
    base: np.uint64,
    first_bad: int,
    *,
    big_endian: bool = False,
) -> Callable[[Tables, Stream], None]:
    """Add the tables of a check; returns what launches it after they were sent.

    Parameters
    ----------
    base : uint64
        Number of row 0 in the call.
    first_bad : int
        Device pointer of the word that is lowered.
    big_endian : bool
        How the stored bytes are ordered, for "adler32".
    """
    n = np.int64(len(segments.owner))
    if kind == "xxh64":
        return _add_xxh64(runtime, tables, segments, base, first_bad)
    crc = kind in _CRCS
    tiles = tile_table(segments.nbytes, _TILE)
    src, nbytes, tile_first, stored, owner = (
        tables.add(column)
        for column in (segments.first, segments.nbytes, tiles, segments.stored, segments.owner)
    )
    sums = tables.add(np.zeros(len(segments.owner) * (1 if crc else 4), np.uint32))
    grid = max(1, min(int(tiles[-1]), _GRID) if crc else int(tiles[-1]))

    def launch(sent: Tables, stream: Stream) -> None:
        at = sent.pointer
        args: list[Any] = [at(src), at(nbytes), at(tile_first), n, at(sums)]
        runtime.launch(f"{kind}_partial", grid, 256, args, stream)
        args = [at(nbytes), at(sums), at(stored), at(owner), n]
        if kind == "fletcher32":
            args = args[1:]
        elif kind == "adler32":
            args.append(np.int32(big_endian))
        args += [base, np.uint64(0), np.uint64(first_bad)]
        runtime.launch(f"{kind}_check", -(-int(n) // 256), 256, args, stream)

    return launch


def _add_xxh64(
    runtime: Runtime, tables: Tables, segments: Segments, base: np.uint64, first_bad: int
) -> Callable[[Tables, Stream], None]:
    columns = (segments.first, segments.nbytes, segments.stored, segments.owner)
    at = [tables.add(column) for column in columns]
    n = len(segments.owner)

    def launch(sent: Tables, stream: Stream) -> None:
        args = (
            *(sent.pointer(offset) for offset in at), np.int64(n), base, np.uint64(0),
            np.uint64(first_bad),
        )  # fmt: skip
        runtime.launch("xxh64_check", -(-n // _XXH64_SEGMENTS), 256, args, stream)

    return launch


_XXH64_SEGMENTS = 64  #: that a block takes
