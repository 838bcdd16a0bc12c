"""Whatever the data type, fill value, chunks, shards, codecs and selections: an array is NumPy's.

1. A case describes an array and some operations; each reads or writes by one kind of selection.
2. The same operations run on a NumPy array; every read gives the same bits, and so does the array
   when it is opened again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import cuzarr
from cuzarr import native
from cuzarr.storage import LocalStore, MemoryStore
from tests.devices import to_numpy

DTYPES = ("i4", "f4", "c8", "?", "i1", "u1", "i2", "u2", "u4", "i8", "u8", "f2", "f8", "c16")
CALLS = ("blosc_streams", "codecs_available", "decode_batch", "encoders_available", "format_keys",
         "read_files", "read_wave", "zstd_frames")  # fmt: skip
_names = itertools.count()


@dataclasses.dataclass
class Operation:
    """One read or write."""

    kind: str  #: "basic", "orthogonal", "coordinate" or "mask"
    key: Any
    write: bool
    seed: int
    scalar: bool


@dataclasses.dataclass
class Case:
    """An array and what is done with it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    options: dict[str, Any]
    operations: list[Operation]
    wave_chunks: int
    on_files: bool


# Arrays


@st.composite
def v2_codecs(draw: Any, dtype: np.dtype[Any]) -> dict[str, Any]:
    blosc = st.builds(
        lambda cname, shuffle, blocksize: {
            "id": "blosc", "cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": blocksize,
        },
        st.sampled_from(["lz4", "lz4hc", "zstd", "zlib", "blosclz"]),
        st.integers(0, 2),
        st.sampled_from([0, 64]),
    )  # fmt: skip
    others = [
        None,
        {"id": "zlib", "level": 1},
        {"id": "zstd", "level": 1},
        {"id": "bz2", "level": 1},
    ]
    options: dict[str, Any] = {
        "compressor": draw(blosc | st.sampled_from([*others, {"id": "lz4", "acceleration": 1}])),
        "order": draw(st.sampled_from("CF")),
        "dimension_separator": draw(st.sampled_from("./")),
    }
    if dtype.kind in "iu" and draw(st.booleans()):
        options["filters"] = [{"id": "delta", "dtype": dtype.str}]
    return options


@st.composite
def v3_codecs(draw: Any, ndim: int) -> dict[str, Any]:
    blosc = st.builds(
        lambda cname, shuffle: {
            "name": "blosc", "configuration": {"cname": cname, "clevel": 5, "shuffle": shuffle},
        },
        st.sampled_from(["lz4", "zstd", "zlib"]),
        st.sampled_from(["noshuffle", "shuffle", "bitshuffle"]),
    )  # fmt: skip
    plain = st.sampled_from([
        {"name": "zstd", "configuration": {"level": 1, "checksum": True}},
        {"name": "gzip", "configuration": {"level": 1}},
        {"name": "crc32c"},
    ])  # fmt: skip
    options: dict[str, Any] = {
        "compressors": draw(st.lists(blosc | plain, max_size=2)) or None,
        "chunk_key_encoding": draw(st.sampled_from(["default", "v2"])),
    }
    endian = draw(st.sampled_from(["big", "little", None]))
    if endian is not None:
        options["serializer"] = {"name": "bytes", "configuration": {"endian": endian}}
    if ndim > 1 and draw(st.booleans()):
        order = list(draw(st.permutations(range(ndim))))
        options["filters"] = [{"name": "transpose", "configuration": {"order": order}}]
    return options


@st.composite
def fill_values(draw: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return draw(st.booleans())
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return draw(st.sampled_from([0, 1, int(info.min), int(info.max)]))
    return draw(st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("-inf")]))


@st.composite
def cases(draw: Any) -> Case:
    ndim = draw(st.integers(0, 3))
    shape = tuple(draw(st.integers(0, 12)) for _ in range(ndim))
    chunks = tuple(draw(st.integers(1, 6)) for _ in shape)
    listed = draw(st.booleans())  # lengths of chunks, or of shards, one by one
    zarr_format = draw(st.sampled_from([2, 3]))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if zarr_format == 2 and draw(st.booleans()):
        dtype = dtype.newbyteorder(">")
    options: dict[str, Any] = {
        "zarr_format": zarr_format,
        "chunks": chunks,
        "fill_value": draw(fill_values(dtype)),
        **draw(v2_codecs(dtype) if zarr_format == 2 else v3_codecs(ndim)),
    }
    if zarr_format == 3 and ndim and draw(st.booleans()):
        options["shards"] = tuple(n * draw(st.integers(1, 3)) for n in chunks)
        if listed:
            options["shards"] = [
                draw(lengths(n, unit)) for n, unit in zip(shape, chunks, strict=True)
            ]
    elif zarr_format == 3 and listed:
        options["chunks"] = [draw(lengths(n, 1) | st.integers(1, 6)) for n in shape]
    operations = draw(st.lists(operation(shape), min_size=2, max_size=6))
    waves = draw(st.sampled_from([1, 3, 65536]))
    return Case(shape, dtype, options, operations, waves, draw(st.booleans()))


@st.composite
def lengths(draw: Any, length: int, unit: int) -> list[int]:
    """Lengths that cover an axis, each of whole units."""
    left, found = max(1, -(-length // unit)), []
    while left:
        found.append(draw(st.integers(1, left)))
        left -= found[-1]
    return [n * unit for n in found]


# Selections


def slices(n: int) -> Any:
    bound = st.none() | st.integers(-n - 2, n + 2)
    return st.builds(slice, bound, bound, st.none() | st.integers(-4, 4).filter(bool))


def lists(n: int) -> Any:
    if n == 0:
        return st.just(np.empty(0, np.int64))
    return hnp.arrays(np.int64, st.integers(0, 9), elements=st.integers(-n, n - 1))


def integers(n: int) -> Any:
    return st.integers(-n, n - 1) if n else st.nothing()


@st.composite
def operation(draw: Any, shape: tuple[int, ...]) -> Operation:
    kind = draw(st.sampled_from(["basic", "orthogonal", "coordinate", "mask"]))
    key: Any
    if kind == "basic":
        key = tuple(draw(integers(n) | slices(n)) for n in shape)
        key = key[: draw(st.integers(0, len(key)))]
        key = (*key, ...) if draw(st.booleans()) else key
    elif kind == "orthogonal":
        key = tuple(draw(integers(n) | slices(n) | lists(n) | hnp.arrays(bool, n)) for n in shape)
    elif kind == "mask":
        key = draw(hnp.arrays(bool, shape))
    else:
        points = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=4))
        if 0 in shape or not shape:
            kind, key = "basic", ()
        else:
            key = tuple(
                draw(hnp.arrays(np.int64, points, elements=st.integers(-n, n - 1))) for n in shape
            )
    if kind == "mask" and not shape:
        kind, key = "basic", ...
    return Operation(kind, key, draw(st.booleans()), draw(st.integers(0, 999)), draw(st.booleans()))


def selected(positions: np.ndarray[Any, Any], op: Operation) -> np.ndarray[Any, Any]:
    """Positions of the selected elements in the flattened array, in the shape of the result."""
    if op.kind != "orthogonal":
        return np.asarray(positions[op.key])
    for axis in reversed(range(positions.ndim)):  # an integer drops its axis, never one before it
        positions = positions[(slice(None),) * axis + (op.key[axis],)]
    return np.asarray(positions)


def values(case: Case, op: Operation, shape: tuple[int, ...]) -> Any:
    """Any bits of the data type, NaNs of every payload among them; or mostly the fill value."""
    rng = np.random.default_rng(op.seed)
    shape = () if op.scalar else shape
    size = int(np.prod(shape)) * case.dtype.itemsize
    found = rng.integers(0, 2 if case.dtype.kind == "b" else 256, size, np.uint8)
    found = found.view(case.dtype).reshape(shape)
    if op.seed % 3 == 0:
        found = np.where(rng.random(shape) < 0.9, fill_of(case), found).astype(case.dtype)
    return found


def fill_of(case: Case) -> np.ndarray[Any, Any]:
    return np.array(case.options["fill_value"]).astype(case.dtype)


def taken(array: np.ndarray[Any, Any], where: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.reshape(-1)[where.reshape(-1)].reshape(where.shape)


def same_bits(found: Any, expected: np.ndarray[Any, Any]) -> None:
    host = np.asarray(to_numpy(found))
    assert host.shape == expected.shape
    assert host.dtype == expected.dtype or not isinstance(found, np.ndarray)
    assert host.astype(expected.dtype).tobytes() == expected.tobytes()


def run(case: Case, device: str, folder: Path) -> None:
    """Run the operations on an array and on NumPy's."""
    store = LocalStore(str(folder / str(next(_names)))) if case.on_files else MemoryStore()
    z = cuzarr.create_array(
        store, shape=case.shape, dtype=case.dtype, device=device, **case.options
    )
    expected = np.full(case.shape, fill_of(case), case.dtype)
    positions = np.arange(expected.size).reshape(case.shape)
    with cuzarr.config.set({"host.wave_chunks": case.wave_chunks, "host.run_bytes": 200}):
        for op in case.operations:
            where = selected(positions, op)
            if op.write:
                value = values(case, op, where.shape)
                getattr(z, f"set_{op.kind}_selection")(op.key, value)
                expected.reshape(-1)[where.reshape(-1)] = np.broadcast_to(
                    value, where.shape
                ).reshape(-1)
            else:
                found = getattr(z, f"get_{op.kind}_selection")(op.key)
                same_bits(found, taken(expected, where))
        same_bits(z[...], expected)
        reopened = cuzarr.open_array(store, "r", device=device)
        for op in case.operations:
            where = selected(positions, op)
            found = getattr(reopened, f"get_{op.kind}_selection")(op.key)
            same_bits(found, taken(expected, where))
        same_bits(reopened[...], expected)


@contextlib.contextmanager
def calls_of(which: str) -> Iterator[None]:
    """Put the native functions, or those of their twin, in place."""
    if which == "native":
        if not native.HAVE_NATIVE:
            pytest.skip("the native extension is not built")
        yield
        return
    twin = native.twin_calls()
    with contextlib.ExitStack() as stack:
        for name in CALLS:
            stack.enter_context(mock.patch.object(native, name, getattr(twin, name)))
        yield


@pytest.mark.parametrize("calls", ["native", "twin"])
def test_an_array_is_numpy(device: str, calls: str, tmp_path: Path) -> None:
    @settings(
        max_examples=250 if device == "cpu" else 40,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(cases())
    def check(case: Case) -> None:
        run(case, device, tmp_path)

    with calls_of(calls):
        check()
