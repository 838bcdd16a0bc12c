"""Bytes that are no boolean, or no text: the chunk is named, however it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr import values
from cuzarr.codecs.impossible import may_be_impossible, what_is_impossible
from cuzarr.errors import ChunkDecodeError
from cuzarr.storage import LocalStore
from tests.devices import to_numpy, use_device

BOOLEAN, TEXT = "a boolean has the value 7", "a text has the code point 0x110000"
RECORD = np.dtype([("n", "i4"), ("t", "U2"), ("b", "?", (2,))])


def bad(dtype: Any, byte: bytes) -> bytes:
    """One element of a data type whose last bytes are wrong."""
    return bytes(np.dtype(dtype).itemsize - len(byte)) + byte


CASES = [
    ("?", b"\x07", BOOLEAN),
    ("<U3", b"\x00\x00\x11\x00", TEXT),
    (">U3", b"\x00\x11\x00\x00", TEXT),
    (RECORD, b"\x07", BOOLEAN),
]


@pytest.mark.parametrize(("dtype", "byte", "message"), CASES, ids=["bool", "<U", ">U", "record"])
@pytest.mark.parametrize("compressor", [None, {"id": "zlib", "level": 1}, {"id": "bz2"}], ids=str)
def test_the_chunk_is_named(
    dtype: Any, byte: bytes, message: str, compressor: Any, tmp_path: Any
) -> None:
    z = cuzarr.create_array(
        tmp_path, shape=(9,), dtype=dtype, chunks=(3,), zarr_format=2, compressor=compressor,
        filters=None, fill_value=None,
    )  # fmt: skip
    z[...] = np.zeros(9, dtype)
    size = np.dtype(dtype).itemsize
    chunk = bytes(2 * size) + bad(dtype, byte)
    codec = z.compressor
    LocalStore(tmp_path).set("1", chunk if codec is None else codec.encode(chunk))
    for key in (slice(None), slice(None, None, -1), [5, 0, 5], slice(5, 6)):
        with pytest.raises(ChunkDecodeError, match=f"chunk '1': bytes: {message}"):
            z[key]
    with pytest.raises(ChunkDecodeError, match=message):
        z.get_basic_selection(out=np.empty((9, 2), dtype)[:, 0])
    if compressor is None:
        assert len(z[:5]) == 5  # what is wrong was not asked for
    assert len(z[6:]) == 3


def test_what_may_be_wrong() -> None:
    assert [may_be_impossible(np.dtype(t)) for t in ("?", "U1", RECORD)] == [True] * 3
    assert not any(may_be_impossible(np.dtype(t)) for t in ("i4", "S3", "V2", "f8", "U", "M8[s]"))
    for good in (
        np.array([], "?"),
        np.array([True]),
        np.array(["\U0010ffff"]),
        np.zeros(2, RECORD),
    ):
        assert what_is_impossible(good) == ""


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (3, 5)},
        {"chunks": (3, 5), "shards": (6, 10)},
        {"chunks": [[3, 4], [5, 6]]},
        {"chunks": (3, 5), "zarr_format": 2, "order": "F"},
    ],
    ids=["v3", "shards", "unequal", "F"],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_the_chunk_is_named_on_a_device(
    device_kind: str, options: dict[str, Any], compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = {} if compressed else {"compressors": None}
    data = np.arange(77).reshape(7, 11) % 2 == 0
    wrong = data.copy()
    wrong.view("u1")[4, 7] = 7
    with monkeypatch.context() as careless:
        careless.setattr(values, "what_is_impossible", lambda _: "")
        z = cuzarr.create_array({}, data=wrong, **options, **packed, device="cpu")
    key = "c/0/0" if "shards" in options else "1.1" if "zarr_format" in options else "c/1/1"
    with use_device(device_kind) as device:
        there = z.to_device(device)
        for selection in (..., (slice(None, None, -1), slice(7, 8)), ([4, 0], slice(None))):
            with pytest.raises(ChunkDecodeError, match="a boolean has the value 7") as caught:
                there[selection]
            assert caught.value.key == key
        with pytest.raises(ChunkDecodeError, match="a boolean"):
            there.vindex[[4, 0], [7, 0]]
        with pytest.raises(ChunkDecodeError, match="a boolean"):
            there.boxes([[0, 0], [3, 6]], (2, 2))
        assert (to_numpy(there[:3]) == data[:3]).all()
        assert (to_numpy(there[:, :5]) == data[:, :5]).all()
        there[...] = data
        assert (to_numpy(there[...]) == data).all()


def test_what_no_element_can_be_is_not_written() -> None:
    flags = np.array([[0, 1, 7], [1, 0, 1]], "u1").view("?")
    texts = np.array([[0x110000], [65]], "<u4").view("<U1").reshape(2)
    records = np.zeros(2, RECORD)
    records["b"] = flags[:, 1:]
    for bad, message in ((flags, BOOLEAN), (flags.T, BOOLEAN), (texts, TEXT), (records, BOOLEAN)):
        z = cuzarr.create_array({}, shape=bad.shape, dtype=bad.dtype, chunks=1, zarr_format=2)
        with pytest.raises(ValueError, match=f"cannot write what could not be read: {message}"):
            z[...] = bad
        assert z.nchunks_initialized == 0
        z[...] = np.zeros_like(bad)
    z = cuzarr.create_array({}, shape=(2, 3), dtype="?")
    z[...] = flags.view("u1")  # numbers become booleans
    assert z[...].tolist() == [[False, True, True], [True, False, True]]
