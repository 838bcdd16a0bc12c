"""``write_wave``: what it writes against NumPy and numcodecs, what it refuses, what it leaves."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import pytest

from cuzarr.native import symbols
from cuzarr.native.tables import READ_ERRNO, READ_MISSING, READ_NO_SPACE, WriteChunks, WriteShards
from cuzarr.storage.base import RequestBatch
from tests.contract.native_cases import NATIVE, TWIN

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the C extension was not built")

EDGE = 5
RAW = WriteChunks(
    "raw", False, (), 4 * EDGE * EDGE, np.array([EDGE, EDGE]), np.array([4 * EDGE, 4]), 4, 0,
    np.array(-1, "<i4").tobytes(), False, ".partial-",
)  # fmt: skip
VALUE = np.arange(13 * 17, dtype="<i4").reshape(13, 17)


def numbers(*rows: Any) -> Any:
    return np.array(rows, np.int64)


def grid() -> tuple[list[str], tuple[Any, ...]]:
    """Return the keys of all chunks, and rows that take everything of them that is in VALUE."""
    corners = [(i, j) for i in range(0, 13, EDGE) for j in range(0, 17, EDGE)]
    count = [(min(EDGE, 13 - i), min(EDGE, 17 - j)) for i, j in corners]
    keys = [f"c/{i // EDGE}/{j // EDGE}" for i, j in corners]
    start = np.zeros((len(keys), 2), np.int64)
    return keys, (start, numbers(*count), numbers(*corners), numbers(1, 1), (None, None))


def write(
    root: Path,
    chunks: WriteChunks,
    value: Any = VALUE,
    keys: list[str] | None = None,
    rows: tuple[Any, ...] | None = None,
    threads: int = 3,
    shards: WriteShards | None = None,
) -> Any:
    assert NATIVE is not None
    all_keys, all_rows = grid()
    batch = RequestBatch.of(all_keys if keys is None else keys)
    return NATIVE.write_wave(
        str(root), batch.keys, batch.offsets, chunks, *(all_rows if rows is None else rows),
        value.ctypes.data, np.array(value.strides, np.int64), threads, shards,
    )  # fmt: skip


def expected(value: Any = VALUE) -> dict[str, Any]:
    """Return the chunks by key, padded with -1."""
    padded = np.full((15, 20), -1, "<i4")
    padded[:13, :17] = value
    return {
        f"c/{i}/{j}": padded[i * EDGE :, j * EDGE :][:EDGE, :EDGE]
        for i in range(3) for j in range(4)
    }  # fmt: skip


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("threads", [1, 2, 5, 40])
def test_raw_chunks(tmp_path: Path, threads: int) -> None:
    assert write(tmp_path, RAW, threads=threads).tolist() == [0] * 12
    assert files(tmp_path) == {key: chunk.tobytes() for key, chunk in expected().items()}


def test_any_strides_and_byte_order(tmp_path: Path) -> None:
    big = np.asfortranarray(VALUE[::-1].astype(">i4"))[::-1]
    columns = replace(RAW, strides=np.array([4, 4 * EDGE]), swap_unit=4)
    write(tmp_path, columns, big)
    found = files(tmp_path)
    for key, chunk in expected().items():
        assert found[key] == chunk.T.tobytes(), key


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(
    ("codec", "parameters", "decode"),
    [
        ("raw", (), bytes),
        ("zstd", (1, False), numcodecs.Zstd().decode),
        ("zstd", (-5, True), numcodecs.Zstd().decode),
        *(
            ("blosc", (level, shuffle, 4, block, name, 1), numcodecs.Blosc().decode)
            for name in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
            for level, shuffle, block in ((1, 0, 0), (5, 1, 64), (9, 2, 0), (0, 1, 0))
        ),
    ],
)
def test_encoded_chunks(
    tmp_path: Path, codec: str, parameters: Any, decode: Any, checksum: bool
) -> None:
    write(tmp_path, replace(RAW, codec=codec, parameters=parameters, crc32c=checksum))
    found = files(tmp_path)
    for key, chunk in expected().items():
        data = found[key]
        if checksum:
            assert google_crc32c.value(data[:-4]) == int.from_bytes(data[-4:], "little")
            data = data[:-4]
        assert decode(data) == chunk.tobytes()


def test_frames_of_blosc_are_those_of_numcodecs(tmp_path: Path) -> None:
    write(tmp_path, replace(RAW, codec="blosc", parameters=(5, 1, 4, 0, "lz4", 1)))
    encode = numcodecs.Blosc("lz4", 5, 1).encode
    assert files(tmp_path) == {key: encode(chunk.copy()) for key, chunk in expected().items()}


@pytest.mark.parametrize("inside", [2, 3, 8])
def test_blosc_with_several_threads_for_a_chunk(tmp_path: Path, inside: int) -> None:
    value = np.arange(2**20, dtype="<i4").reshape(2, -1)
    chunks = replace(
        RAW, codec="blosc", parameters=(5, 1, 4, 0, "zstd", inside), nbytes=2**21,
        shape=np.array([1, 2**19]), strides=np.array([2**21, 4]),
    )  # fmt: skip
    batch = RequestBatch.of(["0", "1"])
    assert NATIVE is not None
    statuses = NATIVE.write_wave(
        str(tmp_path), batch.keys, batch.offsets, chunks, np.zeros((2, 2), np.int64),
        np.array([[1, 2**19]] * 2), np.array([[0, 0], [1, 0]]), np.ones(2, np.int64), (None, None),
        value.ctypes.data, np.array(value.strides), 2,
    )  # fmt: skip
    assert statuses.tolist() == [0, 0]
    for name in (0, 1):
        data = numcodecs.Blosc().decode((tmp_path / str(name)).read_bytes())
        assert data == value[name].tobytes()


def test_what_does_not_compress_fits(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-(2**31), 2**31, VALUE.shape, np.int64).astype("<i4")
    for codec, parameters, decode in (
        ("zstd", (3, True), numcodecs.Zstd().decode),
        ("blosc", (9, 1, 4, 0, "zstd", 1), numcodecs.Blosc().decode),
    ):
        write(tmp_path, replace(RAW, codec=codec, parameters=parameters, crc32c=True), noise)
        for key, chunk in expected(noise).items():
            assert decode(files(tmp_path)[key][:-4]) == chunk.tobytes()


@pytest.mark.parametrize("write_empty", [False, True])
def test_chunks_of_fill_value(tmp_path: Path, write_empty: bool) -> None:
    value = VALUE.copy()
    value[:5, 5:10] = -1
    value[10:, 15:] = -1  # a corner that reaches over the end
    statuses = write(tmp_path, replace(RAW, write_empty=write_empty), value)
    empty = [] if write_empty else [1, 11]
    assert np.flatnonzero(statuses == READ_MISSING).tolist() == empty
    assert (np.delete(statuses, empty) == 0).all()
    assert len(files(tmp_path)) == 12 - len(empty)


def test_a_file_is_replaced_and_never_changed(tmp_path: Path) -> None:
    write(tmp_path, RAW)
    path = tmp_path / "c" / "1" / "1"
    inode = path.stat().st_ino
    with path.open("rb") as old:
        write(tmp_path, RAW, VALUE + 100)
        assert old.read() == expected()["c/1/1"].tobytes()
    assert path.stat().st_ino != inode
    assert path.read_bytes() == (expected()["c/1/1"] + 100).tobytes()
    assert sorted(files(tmp_path)) == sorted(expected())  # no other file is left


def test_files_get_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path, RAW, threads=1)
    finally:
        os.umask(before)
    assert (tmp_path / "c" / "0" / "0").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "c" / "0").stat().st_mode & 0o777 == 0o750


def test_a_link_to_nothing_is_not_tried_for_long(tmp_path: Path) -> None:
    """The file is not found, and the directory is there already."""
    (tmp_path / "c").symlink_to(tmp_path / "nothing")
    keys = [f"c/{i}" for i in range(12)]
    assert (write(tmp_path, RAW, keys=keys) == READ_ERRNO + errno.EEXIST).all()
    assert (write(tmp_path, RAW) == READ_ERRNO + errno.ENOENT).all()
    (tmp_path / "c").unlink()
    (tmp_path / "c").write_bytes(b"")
    assert (write(tmp_path, RAW) == READ_ERRNO + errno.ENOTDIR).all()
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_what_cannot_be_written_has_a_status(tmp_path: Path) -> None:
    (tmp_path / "c" / "0" / "1").mkdir(parents=True)
    (tmp_path / "c" / "2").write_bytes(b"a file where a directory should be")
    statuses = write(tmp_path, RAW)
    assert (statuses[1], set(statuses[8:])) == (
        READ_ERRNO + 21,
        {READ_ERRNO + 20},
    )  # EISDIR, ENOTDIR
    assert (np.delete(statuses, [1, 8, 9, 10, 11]) == 0).all()
    assert len(files(tmp_path)) == 8
    assert (write(tmp_path / "nowhere", RAW) == READ_NO_SPACE).all()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "key", ["", "/etc/x", "a\0b", "x" * 300, "y/" * 3000 + "z", "d/" + "x" * 256]
)
def test_impossible_names_have_a_status(tmp_path: Path, key: str) -> None:
    _, (start, count, out, step, lists) = grid()
    one = (start[:1], count[:1], out[:1], step, lists)
    (status,) = write(tmp_path, RAW, keys=[key], rows=one)
    assert status > READ_ERRNO
    assert files(tmp_path) == {}


TAKEN = """
import sys
from pathlib import Path
from tests.contract.test_native_write import RAW, files, write

root = Path(sys.argv[1])
(root / "c" / "0").mkdir(parents=True)
for i in range(50):  # the numbers of a process begin at 0
    (root / "c" / "0" / f".partial-{i}").write_bytes(b"mine")
assert write(root, RAW).tolist() == [0] * 12
found = files(root)
assert [found.pop(f"c/0/.partial-{i}") for i in range(50)] == [b"mine"] * 50
assert len(found) == 12
"""


def test_a_name_that_is_taken_is_not_touched(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", TAKEN, str(tmp_path)], check=True)


def test_selections_by_lists_and_steps(tmp_path: Path) -> None:
    """A chunk in any order: a permutation of rows, and columns from the last to the first."""
    order = np.array([3, 0, 4, 1, 2])
    rows = (
        numbers((0, 4)), numbers((5, 5)), numbers((0, 0)), numbers(1, -1),
        ((order, np.arange(5)), None),
    )  # fmt: skip
    write(tmp_path, RAW, keys=["k"], rows=rows)
    chunk = np.empty((5, 5), "<i4")
    chunk[order, ::-1] = VALUE[:5, :5]
    assert (tmp_path / "k").read_bytes() == chunk.tobytes()


def test_many_threads_make_the_same_directories(tmp_path: Path) -> None:
    keys, rows = grid()

    def go(k: int) -> Any:
        deep = [f"a/b{k % 2}/c/{k}/{key}" for key in keys]
        return write(tmp_path, RAW, keys=deep, rows=rows, threads=4)

    with ThreadPoolExecutor(8) as pool:
        for statuses in pool.map(go, range(32)):
            assert (statuses == 0).all()
    assert len(files(tmp_path)) == 32 * 12


def test_a_directory_that_others_remove_is_made_again(tmp_path: Path) -> None:
    keys = grid()[0]
    done: list[int] = []

    def remove() -> None:
        while not done:
            for path in (tmp_path / "c" / "0", tmp_path / "c"):
                try:
                    path.rmdir()
                except OSError:
                    continue
            time.sleep(0.0002)

    with ThreadPoolExecutor(1) as pool:
        removing = pool.submit(remove)
        try:
            for _ in range(200):
                assert (write(tmp_path, RAW, threads=2) == 0).all()
                for key in keys:
                    (tmp_path / key).unlink()
        finally:
            done.append(1)
        removing.result()


def test_rows_outside_their_chunk_write_nothing(tmp_path: Path) -> None:
    start, count, out, step, lists = grid()[1]
    start = start.copy()
    start[5, 1] = 1
    with pytest.raises(ValueError, match="rows: outside the chunk"):
        write(tmp_path, RAW, rows=(start, count, out, step, lists))
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codec": "lz4"}, "codec: 'lz4' is not available here"),
        ({"codec": "blosc", "parameters": (5, 3, 4, 0, "lz4", 1)}, "shuffle: out of range"),
        ({"codec": "blosc", "parameters": (5, 1, 0, 0, "lz4", 1)}, "typesize.*out of range"),
        ({"codec": "blosc", "parameters": (5, 1, 256, 0, "lz4", 1)}, "typesize.*out of range"),
        ({"codec": "blosc", "parameters": (5, 1, 4, -1, "lz4", 1)}, "blocksize.*out of range"),
        ({"codec": "blosc", "parameters": (5, 1, 4, 0, "lz4", 0)}, "threads: less than 1"),
        ({"nbytes": -1}, "nbytes: out of range"),
        ({"nbytes": 2**63 - 1}, "nbytes: out of range"),
        ({"nbytes": 99}, "rows: outside the chunk"),
        ({"shape": np.array([5])}, "shape: expected 2 items, found 1"),
        ({"fill": b"123"}, "fill: expected itemsize bytes"),
        ({"temporary": "a/b"}, "temporary: expected the beginning of a name"),
        ({"temporary": "a\0b"}, "temporary: expected the beginning of a name"),
    ],
)
def test_bad_arguments(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path, replace(RAW, **changes))
    assert files(tmp_path) == {}


def test_bad_types(tmp_path: Path) -> None:
    for changes in ({"codec": "zstd"}, {"codec": "blosc", "parameters": (5, 1, 4, 0, b"lz4", 1)}):
        with pytest.raises(TypeError):
            write(tmp_path, replace(RAW, **changes))
    assert NATIVE is not None
    with pytest.raises(ValueError, match="root: contains a NUL byte"):
        write(Path("a\0b"), RAW)
    keys, rows = grid()
    batch = RequestBatch.of(keys)
    address, strides = VALUE.ctypes.data, np.array(VALUE.strides)
    for offsets in (batch.offsets[::-1].copy(), batch.offsets + 1, batch.offsets - 1):
        with pytest.raises(ValueError, match="offsets: "):
            NATIVE.write_wave(str(tmp_path), batch.keys, offsets, RAW, *rows, address, strides)
    assert files(tmp_path) == {}


def test_an_unknown_compressor_of_blosc_writes_nothing(tmp_path: Path) -> None:
    statuses = write(tmp_path, replace(RAW, codec="blosc", parameters=(5, 1, 4, 0, "nonsense", 1)))
    assert (statuses == READ_NO_SPACE).all()
    assert files(tmp_path) == {}


def test_without_the_functions_or_the_extension(tmp_path: Path) -> None:
    assert NATIVE is not None
    assert NATIVE.encoders_available() == {"raw", "zstd", "blosc"}
    assert TWIN.encoders_available() == frozenset()
    assert symbols.Functions().encoders == {"raw"}
    with pytest.raises(ValueError, match="codec: 'raw' is not available here"):
        TWIN.write_wave(
            str(tmp_path), b"", np.zeros(1, np.int64), RAW, *grid()[1], 0, np.zeros(2, np.int64)
        )
    found = symbols.find_functions()
    try:
        NATIVE._do.set_codecs(*found.addresses()[:10])
        for codec, parameters in (("zstd", (1, False)), ("blosc", (5, 1, 4, 0, "lz4", 1))):
            with pytest.raises(ValueError, match="codec: not available here"):
                write(tmp_path, replace(RAW, codec=codec, parameters=parameters))
    finally:
        NATIVE._do.set_codecs(*found.addresses())
    assert files(tmp_path) == {}


def test_no_chunk_at_all(tmp_path: Path) -> None:
    start, count, out, step, lists = grid()[1]
    none = (start[:0], count[:0], out[:0], step, lists)
    assert write(tmp_path, RAW, keys=[], rows=none).tolist() == []


# Shards

PAIRS = WriteShards(np.array([0, 6, 12]), np.tile(numbers(0, 1, 2, 4, 5, 7), 2), 9, True, True)


def shard_parts(data: bytes, shards: WriteShards) -> list[bytes | None]:
    """Return the chunks of a shard by slot, all of it accounted for."""
    size = 16 * shards.slots
    whole = size + 4 * shards.crc32c
    index = data[-whole:] if shards.at_end else data[:whole]
    if shards.crc32c:
        assert google_crc32c.value(index[:size]) == int.from_bytes(index[size:], "little")
    entries = np.frombuffer(index[:size], "<u8").reshape(-1, 2).tolist()
    found = [None if e == [2**64 - 1] * 2 else data[e[0] : e[0] + e[1]] for e in entries]
    body = data[:-whole] if shards.at_end else data[whole:]
    assert b"".join(part for part in found if part is not None) == body
    return found


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("crc32c", [False, True])
@pytest.mark.parametrize("at_end", [False, True])
def test_shards(tmp_path: Path, at_end: bool, crc32c: bool, threads: int) -> None:
    shards = replace(PAIRS, at_end=at_end, crc32c=crc32c)
    value = VALUE.copy()
    value[:5, 5:10] = -1  # chunk 1 is not stored
    statuses = write(tmp_path, RAW, value, ["s/0", "s/1"], threads=threads, shards=shards)
    assert statuses.tolist() == [0, 0]
    chunks = [chunk.tobytes() for chunk in expected(value).values()]
    for k in (0, 1):
        found = shard_parts((tmp_path / "s" / str(k)).read_bytes(), shards)
        wanted: list[bytes | None] = [None] * 9
        for slot, i in zip((0, 1, 2, 4, 5, 7), range(6 * k, 6 * k + 6), strict=True):
            wanted[slot] = None if i == 1 else chunks[i]
        assert found == wanted
    assert len(files(tmp_path)) == 2


def test_shards_with_nothing_in_them(tmp_path: Path) -> None:
    value = np.full_like(VALUE, -1)
    for at_end in (False, True):
        shards = replace(PAIRS, first=np.array([0, 0, 6, 12]), at_end=at_end)
        statuses = write(tmp_path, RAW, value, ["a", "b", "c"], shards=shards)
        assert statuses.tolist() == [READ_NO_SPACE, READ_MISSING, READ_MISSING]
    assert files(tmp_path) == {}


def test_shards_of_more_parts_than_a_call_takes(tmp_path: Path) -> None:
    n = 3000
    line = np.arange(n, dtype="<i4")
    start, count, out = np.zeros((n, 1), np.int64), np.ones((n, 1), np.int64), np.arange(n)[:, None]
    chunks = replace(RAW, nbytes=4, shape=np.array([1]), strides=np.array([4]))
    shards = WriteShards(np.array([0, n]), np.arange(n), n, True, False)
    rows = (start, count, out, numbers(1), (None,))
    assert write(tmp_path, chunks, line, ["s"], rows, shards=shards).tolist() == [0]
    found = shard_parts((tmp_path / "s").read_bytes(), shards)
    assert b"".join(part or b"" for part in found) == line.tobytes()


def test_a_shard_that_fails_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "s" / "0").mkdir(parents=True)
    before = files(tmp_path)
    statuses = write(tmp_path, RAW, VALUE, ["s/0", "s/1"], shards=PAIRS)
    assert statuses.tolist() == [READ_ERRNO + 21, 0]
    bad = replace(RAW, codec="blosc", parameters=(5, 1, 4, 0, "nonsense", 1))
    assert write(tmp_path, bad, VALUE, ["s/2", "s/3"], shards=PAIRS).tolist() == [READ_NO_SPACE] * 2
    assert files(tmp_path).keys() - before.keys() == {"s/1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"first": np.array([1, 6, 12])}, {"first": np.array([0, 7, 6])},
        {"first": np.array([0, 13, 12])}, {"first": np.array([0, 6, 11])},
        {"first": np.array([], np.int64)}, {"slots": 7}, {"slots": -1}, {"slots": 2**62},
        {"slot": np.arange(11)}, {"slot": np.zeros(12, np.int64)},
        {"slot": np.tile(numbers(0, 1, 2, 4, 5, 2), 2)},
        {"slot": np.tile(numbers(-1, 1, 2, 4, 5, 7), 2)},
    ],
)  # fmt: skip
def test_bad_shards(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"first|slot"):
        write(tmp_path, RAW, VALUE, ["a", "b"], shards=replace(PAIRS, **changes))
    assert files(tmp_path) == {}
