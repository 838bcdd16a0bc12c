"""The data: one field of float32, stored once per layout.

1. :func:`field` makes what a model or an instrument gives: a few smooth waves plus noise, stored at
   the precision of the measurement (1/256). It compresses about 2 to 1, which
   :func:`stored_bytes` measures for each layout and the report states.
2. A big array is the same 256 MiB tile under itself several times: the tile is encoded once by
   zarr-python, then its chunk files are copied under the other names, so that every chunk is a file
   of its own in the page cache while the data is made in seconds.
3. :func:`ensure` makes the store of a layout, or finds the one of an earlier run with the same
   parameters.

The stores are written by zarr-python and its codecs, for every reader alike.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

TILE_BYTES = 256 << 20
VERSION = 1  #: raise it when the data or the way it is stored changes
_DISCARDED = "discarded-"
_UNITS = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array is cut and encoded.

    Attributes
    ----------
    name : str
        Folder of its store.
    zarr_format : int
    chunk : int
        Rows of the chunks (of the inner chunks, where sharded), and columns where they are square.
    shard : int or None
        Edge of the square shards.
    codec : str
        "none", "zstd" (level 3), "gzip" (level 5), "blosc-lz4", "blosc-zstd" (level 5, byte
        shuffle) or "blosc-zstd-bits" (bit shuffle).
    wide : bool
        Chunks have all columns: each is one piece of the array.
    """

    name: str
    zarr_format: int
    chunk: int
    shard: int | None
    codec: str
    wide: bool = False

    def chunk_shape(self, columns: int) -> tuple[int, int]:
        """Return the shape of the (inner) chunks of an array of so many columns."""
        return self.chunk, columns if self.wide else self.chunk


@dataclass(frozen=True, slots=True)
class Extent:
    """Size of the array: ``tiles`` copies of a tile of ``rows`` x ``columns`` float32."""

    rows: int
    columns: int
    tiles: int

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the array."""
        return self.rows * self.tiles, self.columns

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded array."""
        return self.rows * self.tiles * self.columns * 4


def parse_size(text: str) -> int:
    """Return bytes of "256MiB", "4 GiB", "65536"."""
    match = re.fullmatch(r"\s*(\d+)\s*([kmg]ib)?\s*", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"size {text!r}: write it as 256MiB or 4GiB")
    return int(match[1]) * _UNITS[(match[2] or "").upper()]


def extent(nbytes: int) -> Extent:
    """Return the array of at least ``nbytes`` (a square tile, repeated above 256 MiB)."""
    if nbytes >= TILE_BYTES:
        edge, tiles = 8192, -(-nbytes // TILE_BYTES)
    else:
        edge, tiles = 512, 1
        while edge * edge * 4 < nbytes:
            edge *= 2
    return Extent(edge, edge, tiles)


def field(rows: int, columns: int, seed: int = 0) -> Float32:
    """Return a (rows, columns) float32 field of smooth waves and noise, rounded to 1/256."""
    rng = np.random.default_rng(seed)
    y = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, columns, dtype=np.float32)[None, :]
    out = rng.standard_normal((rows, columns), np.float32)
    out *= np.float32(0.5)
    out += np.float32(288)
    for k in range(1, 6):
        amplitude = np.float32(rng.normal() * 12 / k)
        fy, fx = rng.integers(1, 4 * k, 2)
        py, px = rng.uniform(0, 2 * np.pi, 2)
        wave_y = np.sin(2 * np.pi * fy * y + py).astype(np.float32)
        wave_x = np.cos(2 * np.pi * fx * x + px).astype(np.float32)
        out += amplitude * wave_y * wave_x
    out *= np.float32(256)
    np.round(out, out=out)
    out /= np.float32(256)
    return out


def ensure(folder: Path, layout: Layout, size: Extent, tile: Float32) -> Path:
    """Return the path of the stored array, writing it unless an earlier run left it complete."""
    path = folder / f"{size.rows}x{size.columns}x{size.tiles}" / layout.name
    # The tile's bytes are a function of the seed, NumPy and VERSION: its sum stands for all three.
    wanted = {"version": VERSION, "sum": float(tile.sum(dtype=np.float64)), **asdict(layout)}
    mark = path.with_suffix(".json")
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return path
    shutil.rmtree(path, ignore_errors=True)
    mark.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    create_empty(path, layout, (size.rows, size.columns))[...] = tile
    if size.tiles > 1:
        _repeat(path, layout, size)
    mark.write_text(json.dumps(wanted))
    return path


def create_empty(path: Path, layout: Layout, shape: tuple[int, int]) -> Any:
    """Create the array without chunks and return it as a ``zarr.Array``."""
    import zarr  # the reference writer, which a dry run of the GPU report does without
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    compressors: Any = None
    if layout.codec == "zstd":
        compressors = ZstdCodec(level=3)
    elif layout.codec == "gzip":
        compressors = GzipCodec(level=5)
    elif layout.codec.startswith("blosc-"):
        _, name, *bits = layout.codec.split("-")
        cname: Any = name
        if layout.zarr_format == 2:
            compressors = Blosc(cname=cname, clevel=5, shuffle=Blosc.SHUFFLE)
        else:
            shuffle: Any = "bitshuffle" if bits else "shuffle"
            compressors = BloscCodec(cname=cname, clevel=5, shuffle=shuffle, typesize=4)
    return zarr.create_array(
        store=str(path),
        shape=shape,
        dtype="float32",
        chunks=layout.chunk_shape(shape[1]),
        shards=None if layout.shard is None else (layout.shard, layout.shard),
        compressors=compressors,
        zarr_format=layout.zarr_format,  # type: ignore[arg-type]
        fill_value=0,
    )


def load(path: Path) -> dict[str, bytes]:
    """Return every object of a stored array by its key."""
    files = [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def stored_bytes(path: Path) -> tuple[int, int]:
    """Return (bytes, files) of a stored array, its metadata included."""
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    return sum(sizes), len(sizes)


def discard(path: Path) -> None:
    """Empty the files of a stored array and put it aside, next to it; :func:`sweep` deletes it.

    For every new file ext4 without a journal looks at each inode that was deleted in the last five
    minutes: deleting at once what one library has written would slow down all that write after it.
    """
    if not path.exists():
        return
    for file in path.rglob("*"):
        if file.is_file():
            os.truncate(file, 0)
    path.rename(path.with_name(f"{_DISCARDED}{uuid.uuid4().hex}"))


def sweep(folder: Path) -> None:
    """Delete what was discarded in a folder."""
    for path in folder.glob(f"{_DISCARDED}*"):
        shutil.rmtree(path)


def _repeat(path: Path, layout: Layout, size: Extent) -> None:
    """Copy the chunks of the first tile under the keys of the others, then enlarge the shape."""
    edge = layout.shard or layout.chunk
    if size.rows % edge:
        raise ValueError(f"layout {layout.name}: a tile of {size.rows} rows is no whole chunk grid")
    bands = size.rows // edge

    def copy(k: int) -> None:
        if layout.zarr_format == 2:
            for name in names:
                row, column = name.split(".")
                shutil.copyfile(path / name, path / f"{int(row) + k * bands}.{column}")
        else:
            for name in names:
                shutil.copytree(path / "c" / name, path / "c" / str(int(name) + k * bands))

    if layout.zarr_format == 2:
        names = [file.name for file in path.iterdir() if file.name[0].isdigit()]
        document = path / ".zarray"
    else:
        names = [folder.name for folder in (path / "c").iterdir()]
        document = path / "zarr.json"
    with ThreadPoolExecutor() as pool:
        list(pool.map(copy, range(1, size.tiles)))
    meta = json.loads(document.read_text())
    meta["shape"] = list(size.shape)
    document.write_text(json.dumps(meta))
