"""Structured data types: whole elements and single fields, on every kind of selection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.errors import MetadataError, SelectionError, ShapeMismatchError

PLAIN = np.dtype([("a", "<i4"), ("b", ">f8"), ("s", "S3"), ("t", "<M8[s]"), ("u", "<U2")])
NESTED = np.dtype([("a", "u1"), ("v", "<f4", (2, 3)), ("n", [("x", "<i2"), ("y", "?")])])
SHAPE, CHUNKS = (7, 5), (3, 2)

LAYOUTS: list[dict[str, Any]] = [
    {"zarr_format": 2},
    {"zarr_format": 2, "order": "F", "compressor": None},
    {"zarr_format": 3},
    {"zarr_format": 3, "serializer": {"name": "bytes", "configuration": {"endian": "big"}}},
    {"zarr_format": 3, "shards": (6, 4)},
]
layouts = pytest.mark.parametrize("options", LAYOUTS, ids=str)


def values(dtype: np.dtype, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.zeros(shape, dtype)
    assert dtype.names is not None
    for name in dtype.names:
        inner = dtype[name]
        if inner.names is not None:
            out[name] = values(inner, seed, shape)
        elif inner.base.kind in "SU":
            out[name] = rng.integers(0, 99, out[name].shape).astype(inner)
        else:
            out[name] = rng.integers(0, 2 if inner.base.kind == "b" else 99, out[name].shape)
    return out


def selections(array: Any) -> list[tuple[Any, Any]]:
    """Return (what reads or writes with fields=, the same on NumPy) for every method."""
    mask = np.arange(35).reshape(SHAPE) % 4 == 1
    return [
        ("basic", (slice(None),)),
        ("basic", (slice(5, 0, -2), slice(1, 4))),
        ("basic", (3, slice(None))),
        ("basic", (6, 4)),
        ("orthogonal", ([6, 1], slice(1, 5, 3))),
        ("coordinate", ([6, 0, 3], [0, 4, 2])),
        ("mask", mask),
        ("block", (1, slice(0, 2))),
    ]


def on_numpy(how: str, key: Any, array: Any = None) -> Any:
    if how == "orthogonal":
        return np.ix_(key[0], np.arange(SHAPE[1])[key[1]])
    if how == "block":
        return (
            (slice(3, 6), slice(0, 4)) if array.shards is None else (slice(6, 7), slice(0, 5))
        )  # fmt: skip
    return key


@layouts
@pytest.mark.parametrize("dtype", [PLAIN, NESTED], ids=["plain", "nested"])
def test_whole_elements(dtype: np.dtype, options: dict[str, Any]) -> None:
    if dtype is NESTED and options["zarr_format"] == 3:
        dtype = np.dtype([("a", "u1"), ("n", [("x", "<i2"), ("y", "?")])])
    array = cuzarr.create_array(None, shape=SHAPE, chunks=CHUNKS, dtype=dtype, **options)
    np.testing.assert_array_equal(array[...], np.zeros(SHAPE, dtype))
    expected = np.zeros(SHAPE, array.dtype)
    for seed, (how, key) in enumerate(selections(array)):
        where = on_numpy(how, key, array)
        new = values(dtype, seed)[where]
        expected[where] = new
        getattr(array, f"set_{how}_selection")(key, new)
        np.testing.assert_array_equal(array[...], expected)
        found = getattr(array, f"get_{how}_selection")(key)
        np.testing.assert_array_equal(found, expected[where])
        assert found.dtype == array.dtype
    array[2, 3] = values(dtype, 9)[0, 0].item()
    assert array[2, 3].tobytes() == values(dtype, 9)[0, 0].astype(array.dtype).tobytes()


@layouts
@pytest.mark.parametrize("fields", ["b", "s", "u", ["a"], ["u", "a"], ["t", "b", "s"]], ids=str)
def test_fields(fields: Any, options: dict[str, Any]) -> None:
    array = cuzarr.create_array(
        None, shape=SHAPE, chunks=CHUNKS, dtype=PLAIN, **options,
        fill_value=(7, 1.5, b"xy", np.datetime64(3, "s"), "é"),
    )  # fmt: skip
    expected = np.full(SHAPE, array.fill_value, array.dtype)
    array[:4] = expected[:4] = values(PLAIN)[:4]
    for seed, (how, key) in enumerate(selections(array), 1):
        where = on_numpy(how, key, array)
        get, set_ = (getattr(array, f"{verb}_{how}_selection") for verb in ("get", "set"))
        found = get(key, fields=fields)
        np.testing.assert_array_equal(found, expected[fields][where])
        new = values(PLAIN, seed)[fields][where]
        expected[fields][where] = new
        set_(key, new, fields=fields)
        np.testing.assert_array_equal(array[...], expected)
    out = np.empty((7, 2), found.dtype)
    array.get_basic_selection((slice(None), slice(0, 2)), fields=fields, out=out)
    np.testing.assert_array_equal(out, expected[fields][:, :2])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_fields_between_brackets(zarr_format: Any) -> None:
    array = cuzarr.create_array(
        None, shape=SHAPE, chunks=CHUNKS, dtype=PLAIN, zarr_format=zarr_format
    )  # fmt: skip
    array[...] = expected = values(PLAIN).astype(array.dtype)
    np.testing.assert_array_equal(array["a"], expected["a"])
    np.testing.assert_array_equal(array["b", 2:5, ::-1], expected["b"][2:5, ::-1])
    np.testing.assert_array_equal(array[["a", "u"]], expected[["a", "u"]])
    np.testing.assert_array_equal(array["a", "u", 1], expected[["a", "u"]][1])
    np.testing.assert_array_equal(array.oindex["s", [3, 1], 2:], expected["s"][[3, 1], 2:])
    np.testing.assert_array_equal(array.vindex["t", [3, 1], [0, 4]], expected["t"][[3, 1], [0, 4]])
    mask = expected["a"] > 40
    np.testing.assert_array_equal(array.vindex["a", mask], expected["a"][mask])
    np.testing.assert_array_equal(array.blocks["a", 0, 1], expected["a"][:3, 2:4])
    assert array["a", 1, 2] == expected["a"][1, 2]
    array["a"] = 5
    expected["a"] = 5
    array["u", 1:3] = expected["u"][1:3] = "zz"
    array.oindex["b", [0, 2], 1:3] = 2.5
    expected["b"][np.ix_([0, 2], [1, 2])] = 2.5
    array.vindex["s", [0, 2], [1, 1]] = b"q"
    expected["s"][[0, 2], [1, 1]] = b"q"
    array.blocks["t", 2] = np.datetime64(1, "s")
    expected["t"][6:] = np.datetime64(1, "s")
    array[["a", "u"], 4] = np.array((1, "k"), expected[["a", "u"]].dtype)
    expected["a"][4], expected["u"][4] = 1, "k"
    np.testing.assert_array_equal(array[...], expected)


def test_a_field_of_arrays_adds_their_dimensions() -> None:
    array = cuzarr.create_array(None, shape=SHAPE, chunks=CHUNKS, dtype=NESTED, zarr_format=2)
    array[...] = expected = values(NESTED)
    np.testing.assert_array_equal(array["v"], expected["v"])
    np.testing.assert_array_equal(array["v", 2, 1:3], expected["v"][2, 1:3])
    np.testing.assert_array_equal(array["n"], expected["n"])
    new = np.arange(7 * 5 * 6, dtype="f4").reshape(7, 5, 2, 3)
    array["v"] = expected["v"] = new
    array["v", 1] = expected["v"][1] = new[0, 0]
    np.testing.assert_array_equal(array[...], expected)
    out = np.empty((7, 5, 2, 3), "f4")
    assert array.get_basic_selection(..., fields="v", out=out) is out
    np.testing.assert_array_equal(out, expected["v"])


def test_writing_a_field_keeps_the_others_of_chunks_that_it_covers() -> None:
    store: dict[str, bytes] = {}
    array = cuzarr.create_array(store, shape=(4,), chunks=(2,), dtype=PLAIN, zarr_format=3)
    array[...] = expected = values(PLAIN, shape=(4,)).astype(array.dtype)
    array["a"] = [1, 2, 3, 4]
    expected["a"] = [1, 2, 3, 4]
    np.testing.assert_array_equal(array[...], expected)
    array.set_basic_selection(..., 0, fields=["a"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("z", "there is no field 'z'; the fields are a, b, s, t, u"),
        (["a", "z"], "there is no field 'z'"),
        (["a", "a"], "named twice"),
        (3, "fields must be a name"),
        ([3], "fields must be a name"),
    ],
)
def test_wrong_fields(fields: Any, message: str) -> None:
    array = cuzarr.create_array(None, shape=(4,), chunks=(2,), dtype=PLAIN)
    with pytest.raises(SelectionError, match=message):
        array.get_basic_selection(..., fields=fields)
    with pytest.raises(SelectionError, match=message):
        array.set_basic_selection(..., 0, fields=fields)
    np.testing.assert_array_equal(array.get_basic_selection(..., fields=[]), array[...])


def test_fields_of_plain_arrays() -> None:
    array = cuzarr.create_array(None, shape=(4,), chunks=(2,), dtype="i4")
    with pytest.raises(SelectionError, match="has no fields; 'a' was asked for"):
        array.get_basic_selection(..., fields="a")
    with pytest.raises(SelectionError):
        array["a"]
    structured = cuzarr.create_array(None, shape=(4,), chunks=(2,), dtype=PLAIN)
    with pytest.raises(ShapeMismatchError, match="cannot write"):
        structured["a"] = [1, 2, 3]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_fill_values_are_kept(zarr_format: Any) -> None:
    fill = np.array((1, -0.0, b"ab", np.datetime64("NaT", "s"), "é"), PLAIN)[()]
    array = cuzarr.create_array(
        None, shape=(3,), chunks=(2,), dtype=PLAIN, zarr_format=zarr_format, fill_value=fill
    )
    again = cuzarr.open_array(array.store)
    assert again.fill_value.tobytes() == np.array(fill, again.dtype).tobytes()
    assert again[1].item()[:3] == (1, 0.0, b"ab")
    assert np.isnat(again[0]["t"])
    assert array["u"].tolist() == ["é"] * 3


def test_a_data_type_by_names_and_formats() -> None:
    given = {"names": ["a", "b"], "formats": ["i4", "f8"]}
    for zarr_format in (2, 3):
        z = cuzarr.create_array({}, shape=(2,), dtype=given, zarr_format=zarr_format)
        assert z.dtype == np.dtype([("a", "i4"), ("b", "f8")])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_fill_value_of_nested_records(zarr_format: Any) -> None:
    nested = np.dtype([("a", "i4"), ("s", [("q", "u1"), ("r", "f8")])])
    z = cuzarr.create_array(
        {}, shape=(2,), dtype=nested, fill_value=(1, (2, 0.5)), zarr_format=zarr_format
    )
    again = cuzarr.open_array(z.store, mode="r")
    assert again[0].item() == (1, (2, 0.5))
    assert again.fill_value.item() == (1, (2, 0.5))
    for wrong in ((1, (2,)), (1, 2, 3), ("x", (1, 1)), (1, (300, 0))):
        with pytest.raises(MetadataError, match="fill_value"):
            cuzarr.create_array({}, shape=(2,), dtype=nested, fill_value=wrong)
