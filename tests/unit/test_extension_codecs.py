"""``scale_offset``, ``cast_value`` and ``packbits``: by their definitions, and in arrays."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import cuzarr
from cuzarr.codecs.base import ChunkType
from cuzarr.codecs.cast_value import CastValueCodec
from cuzarr.codecs.casting import cast
from cuzarr.codecs.chain import CodecChain
from cuzarr.codecs.registry import build_codec
from cuzarr.errors import ChunkDecodeError, ChunkEncodeError, MetadataError
from cuzarr.meta.spec import CodecSpec

ROUNDINGS = ("nearest-even", "towards-zero", "towards-positive", "towards-negative", "nearest-away")
BYTES = CodecSpec("bytes", {"endian": "little"})


def chain_of(dtype: Any, *codecs: CodecSpec, n: int = 5, fill: Any = 1) -> CodecChain:
    dtype = np.dtype(dtype)
    return CodecChain.bind(codecs, ChunkType((n,), dtype, np.array(fill, dtype)[()]))


def scaled(dtype: str, fill: Any = 10, **configuration: Any) -> CodecChain:
    return chain_of(dtype, CodecSpec("scale_offset", configuration), BYTES, fill=fill)


# -- scale_offset


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
def test_scale_offset_of_floats(dtype: str) -> None:
    chain = scaled(dtype, offset=10, scale=0.5)
    values = np.array([1.5, -2, np.inf, np.nan, 1e4], dtype)
    kind = np.dtype(dtype).newbyteorder("=").type
    stored = np.frombuffer(chain.encode("k", values), chain.serialized.dtype.newbyteorder("<"))
    with np.errstate(all="ignore"):
        expected = (values.astype(kind) - kind(10)) * kind(0.5)
        back = expected / kind(0.5) + kind(10)
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_array_equal(chain.decode("k", chain.encode("k", values)), back)
    assert chain.serialized.fill_value == 0


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i8", "<u8", ">i4"])
def test_scale_offset_of_integers_is_exact(dtype: str) -> None:
    info = np.iinfo(dtype)
    chain = scaled(dtype, offset=10, scale=3)
    values = np.array([10, 11, 20, 30, 40], dtype)
    stored = np.frombuffer(chain.encode("k", values), np.dtype(dtype).newbyteorder("<"))
    assert stored.tolist() == [0, 3, 30, 60, 90]
    np.testing.assert_array_equal(chain.decode("k", chain.encode("k", values)), values)
    with pytest.raises(ChunkEncodeError, match="encoded, an element would be"):
        chain.encode("k", np.full(5, info.max, dtype))
    with pytest.raises(ChunkDecodeError, match="not a multiple of the scale 3"):
        chain.decode("k", np.full(5, 4, np.dtype(dtype).newbyteorder("<")).tobytes())
    largest = np.full(5, info.max - info.max % 3, np.dtype(dtype).newbyteorder("<"))
    assert (chain.decode("k", largest.tobytes()) == info.max // 3 + 10).all()


def test_scale_offset_of_types_of_few_bits() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array([-4, -3, -2, 0, 3], "i4").astype(ml_dtypes.int4)
    chain = chain_of(values.dtype, CodecSpec("scale_offset", {"offset": -1, "scale": 1}), BYTES)
    assert (chain.decode("k", chain.encode("k", values)) == values).all()
    with pytest.raises(ChunkEncodeError, match="would be 8, which is no int4"):
        chain.encode("k", np.full(5, 7, "i4").astype(ml_dtypes.int4))
    brain = np.array([1, 2, 3, 4, 5]).astype(ml_dtypes.bfloat16)
    chain = chain_of(brain.dtype, CodecSpec("scale_offset", {"scale": 2}), BYTES)
    assert (chain.decode("k", chain.encode("k", brain)) == brain).all()


def test_scale_offset_may_leave_the_data_type_in_between() -> None:
    chain = scaled("i1", fill=0, offset=-1, scale=-1)
    values = np.array([127, 0, 1, -2, 5], "i1")
    stored = np.array([-128, -1, -2, 1, -6], "i1")
    np.testing.assert_array_equal(np.frombuffer(chain.encode("k", values), "i1"), stored)
    np.testing.assert_array_equal(chain.decode("k", stored.tobytes()), values)
    with pytest.raises(ChunkDecodeError, match="decoded, an element would be -129"):
        scaled("i1", fill=0, offset=-2).decode("k", np.full(5, -127, "i1").tobytes())
    far = scaled("i8", fill=-(2**62), offset=-(2**62), scale=2)
    with pytest.raises(ChunkEncodeError, match=str(2**63)):
        far.encode("k", np.zeros(5, "i8"))


def test_configuration_of_scale_offset() -> None:
    for configuration, shown in [
        ({}, {}),
        ({"offset": 0, "scale": 1}, {}),
        ({"offset": "0x3f800000", "scale": "Infinity"},) * 2,
        ({"offset": -1.5, "scale": 0.1},) * 2,
    ]:
        assert build_codec(CodecSpec("scale_offset", configuration)).configuration() == shown
    chain = scaled("<f4", offset="0x3f800000")
    assert np.frombuffer(chain.encode("k", np.full(5, 3, "f4")), "f4").tolist() == [2.0] * 5
    for dtype, configuration, message in [
        ("<i4", {"offset": 1.5}, "offset: expected an integer"),
        ("<i4", {"scale": 0}, "scale must not be 0"),
        ("u1", {"offset": 300}, "out of range"),
        ("u1", {"offset": 20}, "encoded, an element would be -10"),
        ("<c8", {}, "takes integers and floats"),
        ("<f4", {"factor": 1}, "unknown configuration 'factor'"),
        ("<f4", {"scale": [1]}, "scale must be a number"),
        ("<f4", {"scale": True}, "scale must be a number"),
    ]:
        with pytest.raises(ValueError, match=message):
            scaled(dtype, **configuration)


# -- cast_value


def value_of(target: np.dtype, bits: int) -> Fraction | None:
    with np.errstate(invalid="ignore"):
        found = float(np.array(bits, f"u{target.itemsize}").view(target).astype("f8"))
    return Fraction(found) if np.isfinite(found) else None


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("target", ["float16", "bfloat16", "float8_e5m2", "float8_e4m3fn"])
def test_rounding_to_floats_by_its_definition(target: str, rounding: Any) -> None:
    """Every rounding against exact fractions and a list of all positive values of the target."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, target, target))
    top = 2 ** (8 * dtype.itemsize - 1)
    table = [value_of(dtype, bits) for bits in range(top)]
    finite = [v for v in table if v is not None]
    assert finite == sorted(finite)
    rng = np.random.default_rng(1)
    at = rng.integers(0, len(finite) - 2, 300)
    between = [float(finite[i] + (finite[i + 1] - finite[i]) * Fraction(1, 2)) for i in at[:100]]
    inside = [
        float(finite[i] + (finite[i + 1] - finite[i]) * Fraction(float(w)))
        for i, w in zip(at[100:], rng.random(200), strict=True)
    ]
    values = np.array([*between, *inside, float(finite[-1]), 0.0], "f8")
    values[::2] *= -1
    found = cast(values, dtype, rounding, "error").astype("f8")
    sorted_values = np.array(list(map(float, finite)))
    for value, got in zip(values.tolist(), found.tolist(), strict=True):
        exact = abs(Fraction(value))
        i = int(np.searchsorted(sorted_values, float(exact), "right")) - 1
        lower, upper = finite[i], finite[min(i + 1, len(finite) - 1)]
        if lower == exact or rounding == "towards-zero":
            wanted = lower
        elif rounding == "towards-positive":
            wanted = lower if value < 0 else upper
        elif rounding == "towards-negative":
            wanted = upper if value < 0 else lower
        elif exact - lower != upper - exact:
            wanted = lower if exact - lower < upper - exact else upper
        else:
            wanted = upper if rounding == "nearest-away" or i % 2 else lower
        assert abs(Fraction(got)) == wanted, (value, got)
        assert np.signbit(got) == np.signbit(value)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding_of_large_integers(rounding: Any) -> None:
    values = [2**53 + 1, 2**53 + 3, 2**62 + 257, 2**63 - 1, -(2**53) - 1, -(2**62) - 255, 5]
    found = cast(np.array(values, "i8"), np.dtype("f8"), rounding, "error")
    for value, got in zip(values, found.tolist(), strict=True):
        size = abs(value)
        shift = max(0, size.bit_length() - 53)
        lower = size >> shift << shift
        upper = lower + (1 << shift)
        wanted = lower
        if lower != size:
            tie = 2 * (size - lower) - (upper - lower)
            odd = (lower >> shift) & 1
            wanted = {
                "towards-zero": lower,
                "towards-positive": upper if value > 0 else lower,
                "towards-negative": lower if value > 0 else upper,
                "nearest-away": upper if tie >= 0 else lower,
                "nearest-even": upper if tie > 0 or (tie == 0 and odd) else lower,
            }[rounding]
        assert int(got) == (wanted if value > 0 else -wanted)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("nearest-even", [0, 2, 2, 0, -2, -2, 0]),
        ("towards-zero", [0, 1, 2, 0, -1, -2, 0]),
        ("towards-positive", [1, 2, 3, 0, -1, -2, 1]),
        ("towards-negative", [0, 1, 2, -1, -2, -3, 0]),
        ("nearest-away", [1, 2, 3, -1, -2, -3, 0]),
    ],
)
def test_rounding_to_integers(rounding: Any, expected: list[int]) -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999999999999994])
    assert cast(values, np.dtype("i1"), rounding, "error").tolist() == expected


OUTSIDE: list[tuple[str, list[Any], str, str, Any]] = [
    ("f8", [300.0, -5.0, 255.7], "u1", "clamp", [255, 0, 255]),
    ("f8", [300.0, -5.0, 255.7], "u1", "wrap", [44, 251, 0]),
    ("f8", [300.0], "u1", "error", "300.0 is outside 0 to 255"),
    ("f8", [1e19, -(2.0**63) - 2048, 2.0**64 + 4096], "i8", "wrap",
     [-8446744073709551616, 2**63 - 2048, 4096]),
    ("f8", [2.0**63, -(2.0**63), 2.0**64], "i8", "clamp", [2**63 - 1, -(2**63), 2**63 - 1]),
    ("f8", [2.0**63], "i8", "error", "is outside"),
    ("i8", [300, -5], "u1", "wrap", [44, 251]),
    ("i8", [300, -5], "i1", "clamp", [127, -5]),
    ("u8", [2**64 - 1], "i8", "wrap", [-1]),
    ("u8", [2**64 - 1], "i8", "clamp", [2**63 - 1]),
    ("i8", [-1], "u8", "clamp", [0]),
    ("i8", [-1], "u8", "error", "-1 is outside 0 to"),
    ("f8", [np.nan], "u1", "clamp", "nan has no integer value"),
    ("f8", [np.inf], "u1", "clamp", "inf has no integer value"),
    ("f8", [65519.0, 65520.0, -1e6], "f2", "clamp", [65504.0, np.inf, -np.inf]),
    ("f8", [65520.0], "f2", "error", "65520.0 is outside -65504.0 to 65504.0"),
    ("i4", [100000], "f2", "clamp", [np.inf]),
    ("f8", [np.inf, -np.inf, -0.0], "f2", "error", [np.inf, -np.inf, -0.0]),
    ("f8", [], "u1", "error", []),
    ("i8", [3, 200], "u1", "error", [3, 200]),
    ("i2", [], "u1", "error", []),
]  # fmt: skip


@pytest.mark.parametrize(("source", "values", "target", "mode", "expected"), OUTSIDE)
def test_out_of_range(source: str, values: Any, target: str, mode: Any, expected: Any) -> None:
    for order in "<>":
        array = np.array(values, source).astype(np.dtype(source).newbyteorder(order))
        wanted = np.dtype(target).newbyteorder(order)
        if isinstance(expected, str):
            with pytest.raises(ValueError, match=expected):
                cast(array, wanted, "nearest-even", mode)
        else:
            found = cast(array, wanted, "nearest-even", mode)
            assert found.dtype == wanted
            assert found.tolist() == expected


def test_types_of_few_bits() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    int4, fn = np.dtype(ml_dtypes.int4), np.dtype(ml_dtypes.float8_e4m3fn)
    values = np.array([7, 8, -9, 23], "i4")
    assert cast(values, int4, "nearest-even", "wrap").astype(int).tolist() == [7, -8, 7, 7]
    assert cast(values, int4, "nearest-even", "clamp").astype(int).tolist() == [7, 7, -8, 7]
    with pytest.raises(ValueError, match="8 is outside -8 to 7"):
        cast(values, int4, "nearest-even", "error")
    assert cast(np.array([-8, 7], int4), np.dtype("f8"), "nearest-even", "error").tolist() == [
        -8,
        7,
    ]
    assert cast(np.array([1e9]), fn, "nearest-even", "clamp").astype("f8").tolist() == [448.0]
    with pytest.raises(ValueError, match="inf has no float8_e4m3fn value"):
        cast(np.array([np.inf]), fn, "nearest-even", "clamp")


def casted(dtype: str, fill: Any = 1, **configuration: Any) -> CodecChain:
    return chain_of(dtype, CodecSpec("cast_value", configuration), BYTES, fill=fill)


def test_scalar_maps_come_first() -> None:
    maps = {
        "encode": [["NaN", 0], ["+Infinity", 254], [1.5, 42], ["-Infinity", 255]],
        "decode": [[0, "NaN"], [42, 1.5], [254, "Infinity"], [255, "-Infinity"]],
    }
    chain = casted("<f8", data_type="uint8", out_of_range="clamp", scalar_map=maps)
    values = np.array([np.nan, np.inf, -np.inf, 1.5, 300.0])
    assert bytes(chain.encode("k", values)) == bytes([0, 254, 255, 42, 255])
    found = chain.decode("k", bytes([0, 254, 255, 42, 7]))
    np.testing.assert_array_equal(found, [np.nan, np.inf, -np.inf, 1.5, 7])
    with pytest.raises(ValueError, match="nan has no integer value"):
        casted("<f8", fill=np.nan, data_type="uint8", out_of_range="clamp")


def test_scalar_maps_may_be_mappings() -> None:
    maps = {"encode": {-1: 255}, "decode": [[255, -1]]}
    codec = CastValueCodec(data_type="uint8", scalar_map=maps)
    z = cuzarr.create_array(None, shape=3, dtype="i4", filters=[codec], compressors=None)
    z[...] = [-1, 5, 7]
    assert z[...].tolist() == [-1, 5, 7]
    assert bytes(z.store.get("c/0")) == b"\xff\x05\x07"
    for wrong in ({"both": {}}, {"encode": 3}, [[-1, 255]]):
        with pytest.raises(ValueError, match="scalar_map"):
            CastValueCodec(data_type="uint8", scalar_map=wrong)  # type: ignore[arg-type]


def test_configuration_of_cast_value() -> None:
    for configuration in (
        {"data_type": "uint8"},
        {"data_type": "int16", "rounding": "towards-zero", "out_of_range": "wrap"},
        {"data_type": "float32", "scalar_map": {"encode": [[1, 2.5]]}},
    ):
        assert build_codec(CodecSpec("cast_value", configuration)).configuration() == configuration
    usual = {"data_type": "uint8", "rounding": "nearest-even", "out_of_range": None}
    assert build_codec(CodecSpec("cast_value", usual)).configuration() == {"data_type": "uint8"}
    for dtype, configuration, message in [
        ("<i4", {}, "data_type"),
        ("<i4", {"data_type": "complex64"}, "not complex64"),
        ("<c8", {"data_type": "float32"}, "not complex64"),
        ("<i4", {"data_type": "float32", "out_of_range": "wrap"}, "needs an integer data type"),
        ("<i4", {"data_type": "float32", "rounding": "up"}, "rounding must be one of"),
        ("<i4", {"data_type": "float32", "to": 1}, "unknown configuration 'to'"),
        ("<i4", {"data_type": "u", "to": 1}, "unknown configuration|not supported"),
        ("<i4", {"data_type": "uint8", "scalar_map": []}, "must be an object"),
        ("<i4", {"data_type": "uint8", "scalar_map": {"encode": [[1]]}}, "must be a list of"),
        ("<i4", {"data_type": "uint8", "scalar_map": {"encode": [[1.5, 1]]}}, "expected an integ"),
        ("<i4", {"data_type": "uint8", "scalar_map": {"decode": [[999, 1]]}}, "out of range"),
    ]:
        with pytest.raises(ValueError, match=message):
            casted(dtype, **configuration)


def test_an_array_of_scaled_and_cast_values() -> None:
    filters = [
        {"name": "scale_offset", "configuration": {"offset": -10, "scale": 10}},
        {"name": "cast_value", "configuration": {
            "data_type": "uint16", "out_of_range": "clamp",
            "scalar_map": {"encode": [["NaN", 0]], "decode": [[0, "NaN"]]}}},
    ]  # fmt: skip
    for shards in (None, (8,)):
        array = cuzarr.create_array(
            None, shape=(10,), chunks=(4,), shards=shards, dtype="f8", filters=filters,
            fill_value=float("nan"),
        )  # fmt: skip
        values = np.round(np.linspace(-9.5, 50, 8), 1)
        array[1:9] = values
        expected = np.full(10, np.nan)
        expected[1:9] = values
        np.testing.assert_allclose(array[...], expected, rtol=1e-12)
        again = cuzarr.open_array(array.store)
        np.testing.assert_array_equal(again[::-1], array[...][::-1])
        with pytest.raises(ChunkEncodeError, match="inf has no integer value"):
            array[0] = np.inf


def test_a_fill_value_that_cannot_be_cast_is_refused() -> None:
    with pytest.raises(MetadataError, match="nan has no integer value"):
        cuzarr.create_array(
            None, shape=(2,), dtype="f4", fill_value=float("nan"),
            filters=[{"name": "cast_value", "configuration": {"data_type": "int8"}}],
        )  # fmt: skip


# -- packbits


def packed_by_hand(values: np.ndarray, first: int, last: int) -> bytes:
    """Return the bits of unsigned numbers, one after another from the lowest bit on."""
    total = at = 0
    for value in values.tolist():
        total |= (value >> first & (1 << last - first + 1) - 1) << at
        at += last - first + 1
    return total.to_bytes(-(-at // 8), "little")


@pytest.mark.parametrize("padding", ["none", "first_byte", "last_byte"])
@pytest.mark.parametrize(("first", "last"), [(None, None), (0, 4), (3, 10), (2, 2)])
def test_packed_integers(first: Any, last: Any, padding: str) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, 13).astype(">u2")
    configuration = {"padding_encoding": padding, "first_bit": first, "last_bit": last}
    codec = CodecSpec("packbits", configuration)
    chain = chain_of(">u2", codec, n=13)
    low, high = first or 0, 15 if last is None else last
    bits = packed_by_hand(values, low, high)
    spare = bytes([-13 * (high - low + 1) % 8])
    bits = {"none": bits, "first_byte": spare + bits, "last_byte": bits + spare}[padding]
    assert bytes(chain.encode("k", values)) == bits
    mask = (1 << high + 1) - (1 << low)
    np.testing.assert_array_equal(chain.decode("k", bits), values & mask)
    for wrong in (bits[:-1], bits + b"\0"):
        with pytest.raises(ChunkDecodeError, match="expected .* bytes, found"):
            chain.decode("k", wrong)
    if padding == "first_byte":
        with pytest.raises(ChunkDecodeError, match="bits of padding, found 9"):
            chain.decode("k", b"\x09" + bits[1:])


def test_signed_integers_keep_their_sign() -> None:
    values = np.array([-3, 3, -8, 7, 0], "<i4")
    chain = chain_of("<i4", CodecSpec("packbits", {"last_bit": 3}))
    packed = chain.encode("k", values)
    assert memoryview(packed).nbytes == 3
    np.testing.assert_array_equal(chain.decode("k", packed), values)


@pytest.mark.parametrize("dtype", ["bool", "complex64", "float32", "int64"])
def test_packed_arrays(dtype: str) -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(7, 5)) * 3 + (1j if dtype == "complex64" else 0)).astype(dtype)
    serializer = {"name": "packbits", "configuration": {"padding_encoding": "first_byte"}}
    array = cuzarr.create_array(
        None, shape=(7, 5), chunks=(3, 4), dtype=dtype, serializer=serializer, compressors=None
    )
    array[...] = values
    np.testing.assert_array_equal(array[...], values)
    np.testing.assert_array_equal(array[::-2, 1], values[::-2, 1])
    if dtype == "bool":
        assert array.store.size("c/0/0") == 1 + 2


def test_packed_ml_types() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name, nbytes in [("int4", 3), ("uint2", 2), ("float6_e2m3fn", 4), ("bfloat16", 10)]:
        dtype = np.dtype(getattr(ml_dtypes, name))
        values = np.array([1, -2 if name[0] != "u" else 2, 0, 1, 3], "f4").astype(dtype)
        chain = chain_of(dtype, CodecSpec("packbits"))
        packed = chain.encode("k", values)
        assert memoryview(packed).nbytes == nbytes
        assert (chain.decode("k", packed) == values).all()


def test_configuration_of_packbits() -> None:
    for dtype, configuration, message in [
        ("<i4", {"last_bit": 32}, "bits 0 to 32 of int32, which has 32 bits"),
        ("<i4", {"first_bit": 4, "last_bit": 3}, "bits 4 to 3"),
        ("S3", {}, "takes numbers and bool"),
        ("<i4", {"padding_encoding": "x"}, "must be one of"),
        ("<i4", {"first_bit": -1}, "first_bit must be an integer"),
        ("<i4", {"bit": 1}, "unknown configuration"),
    ]:
        with pytest.raises((ValueError, ChunkEncodeError), match=message):
            chain_of(dtype, CodecSpec("packbits", configuration)).encode("k", np.zeros(5, dtype))
    full = {"padding_encoding": "last_byte", "first_bit": 1, "last_bit": 2}
    assert build_codec(CodecSpec("packbits", full)).configuration() == full
    assert build_codec(CodecSpec("packbits", {"first_bit": None})).configuration() == {}
