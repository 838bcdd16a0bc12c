"""Filters undone on the device, against the codecs on the host, bit for bit."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from cuzarr.errors import ChunkDecodeError
from cuzarr.host.backend import HostBackend
from tests.contract.cuda_cases import Stored, close, device_backend, smooth
from tests.contract.test_cuda_decode import BIG, CRC, LITTLE, ZSTD, blosc, both_errors

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
FLOATS = ["f2", "f4", "f8"]


def numcodecs(name: str, **configuration: Any) -> Any:
    return ("numcodecs." + name, configuration)


def scale_offset(scale: Any, offset: Any) -> Any:
    return ("scale_offset", {"scale": scale, "offset": offset})


def cast_value(data_type: str, **configuration: Any) -> Any:
    return ("cast_value", {"data_type": data_type, **configuration})


def extremes(dtype: str, count: int = 3000) -> np.ndarray[Any, Any]:
    """Return random bits, and what is special of a type."""
    rng = np.random.default_rng(4)
    kind = np.dtype(dtype)
    found = np.frombuffer(rng.bytes(count * kind.itemsize), kind).copy()
    if kind.kind == "f":
        bits = found.view(f"u{kind.itemsize}")
        nan = np.isnan(found)  # quiet ones: of others NumPy forgets whether they were
        bits[nan] |= np.array([np.nan], kind).view(bits.dtype)
        found[:8] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, np.finfo(kind).max, -1.5]
        found[8:10] = [np.finfo(kind).smallest_subnormal, -np.finfo(kind).tiny]
        bits[10:12] = np.array([-np.nan, np.nan], kind).view(bits.dtype) | 1
    elif kind.kind in "iu":
        found[:2] = [np.iinfo(kind).min, np.iinfo(kind).max]
    return found


def stored_as(
    values: np.ndarray[Any, Any], dtype: str, codecs: Any, encode: Any = None, fill: Any = 0
) -> Stored:
    """Return an array of ``dtype`` whose stored elements are ``values``, in chunks of 700."""
    stored = Stored(np.zeros(len(values), dtype), (700,), codecs, fill)
    padded = np.zeros(-(-len(values) // 700) * 700, values.dtype)
    padded[: len(values)] = values
    chunks = iter(padded.reshape(-1, 700))
    encode = encode or (lambda chunk: chunk.astype(chunk.dtype.newbyteorder("<")).tobytes())
    return stored.encode_all(lambda _: encode(next(chunks)))


def same_as_on_the_host(stored: Stored, place: str = "device", seed: int = 1) -> None:
    from cuzarr.engine.read import read

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = read(stored.job(stored.plan()), stored.address, HostBackend())
        backend = device_backend(seed)
        found = stored.read(backend)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(
        found.reshape(-1).view(f"V{found.dtype.itemsize}"),
        expected.reshape(-1).view(f"V{found.dtype.itemsize}"),
    )
    assert set(stored.where().values()) == {place}
    close(backend)


@pytest.mark.parametrize("end", [LITTLE, BIG])
@pytest.mark.parametrize("compressor", [[], [ZSTD], [blosc(), CRC]], ids=["raw", "zstd", "blosc"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_delta(dtype: str, compressor: Any, end: Any) -> None:
    data = np.concatenate([extremes(dtype, 9500), smooth((4000,), dtype)]).reshape(135, 100)
    for astype in {dtype, "i8"}:
        codecs = [numcodecs("delta", dtype=dtype, astype=astype), end, *compressor]
        stored = Stored(data, (130, 64), codecs, fill_value=1).encode_all()
        stored.store.delete([stored.key((0, 1))])
        stored.data[:130, 64:] = 1
        if (dtype, astype) == ("u8", "i8"):  # NumPy adds them as doubles
            same_as_on_the_host(stored, "host")
            continue
        same_as_on_the_host(stored, seed=3)
        assert device_result(stored).tobytes() == stored.data.tobytes()


def device_result(stored: Stored) -> np.ndarray[Any, Any]:
    return stored.read(device_backend())


@pytest.mark.parametrize("chunk", [1, 3, 4, 31, 1024, 4095, 4096, 4097, 140_000])
def test_delta_of_chunks_of_any_length(chunk: int) -> None:
    data = np.random.default_rng(chunk).integers(-(2**31), 2**31, 2 * chunk + 1, "i4")
    if chunk < 5:
        data = data[:50]
    stored = Stored(data, (chunk,), [numcodecs("delta", dtype="i4"), LITTLE]).encode_all()
    same_as_on_the_host(stored)
    assert device_result(stored).tobytes() == data.tobytes()


@pytest.mark.parametrize("orders", [[[1, 0, 2]], [[2, 0, 1], [0, 2, 1]]])
def test_filters_behind_transposes(orders: Any) -> None:
    turns = [("transpose", {"order": order}) for order in orders]
    codecs = [*turns, numcodecs("delta", dtype="i2"), LITTLE, ZSTD]
    same_as_on_the_host(Stored(smooth((9, 14, 11), "i2"), (4, 5, 6), codecs).encode_all())
    codecs = [scale_offset(2, 5), *turns, cast_value("int8", out_of_range="wrap"), BIG]
    same_as_on_the_host(Stored(4 * smooth((9, 14, 11), "i2"), (4, 5, 6), codecs).encode_all())


def test_delta_in_front_of_a_transpose_is_summed_on_the_host() -> None:
    codecs = [numcodecs("delta", dtype="i2"), ("transpose", {"order": [1, 0]}), LITTLE]
    stored = Stored(smooth((90, 14), "i2"), (40, 5), codecs).encode_all()
    same_as_on_the_host(stored, "host")
    assert "in front of a transpose" in stored.report[0].why


@pytest.mark.parametrize("end", [LITTLE, BIG])
@pytest.mark.parametrize("astype", ["i1", "u2", "i4", "u8", *FLOATS])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("numbers", [(1000, 10), (-0.25, 0.1), (0, 3), (1e-3, 1e5)], ids=str)
def test_fixedscaleoffset(dtype: str, astype: str, numbers: Any, end: Any) -> None:
    offset, scale = numbers
    if (astype in ("i1", "u2") and abs(scale) > 127) or (astype == "f2" and scale > 65504):
        pytest.skip("no number of that type")
    codec = numcodecs("fixedscaleoffset", offset=offset, scale=scale, dtype=dtype, astype=astype)
    order = ">" if end is BIG else "<"
    same_as_on_the_host(
        stored_as(
            extremes(astype), dtype, [codec, end, ZSTD],
            lambda chunk: zstd(chunk.astype(chunk.dtype.newbyteorder(order))),
        )
    )  # fmt: skip


def zstd(chunk: np.ndarray[Any, Any]) -> bytes:
    from numcodecs import zstd as codec

    return bytes(codec.compress(chunk.tobytes(), 1))


@pytest.mark.parametrize("numbers", [(0, 1e300), (0, float("inf")), (1e6, 1)], ids=str)
def test_numbers_that_the_stored_type_has_not_are_left_to_the_host(numbers: Any) -> None:
    offset, scale = numbers
    codec = numcodecs("fixedscaleoffset", offset=offset, scale=scale, dtype="f4", astype="f2")
    same_as_on_the_host(stored_as(extremes("f2"), "f4", [codec, LITTLE]), "host")


def test_types_other_than_the_chunks_are_left_to_the_host() -> None:
    codec = numcodecs("quantize", digits=1, dtype="<f4")
    stored = stored_as(extremes("f4"), ">f4", [codec, BIG], lambda c: c.byteswap().tobytes())
    found = stored.read(device_backend())
    assert found.shape == stored.data.shape
    assert stored.report[0].why.endswith("of other types than the chunk's")


def test_fixedscaleoffset_to_integers_is_left_to_the_host() -> None:
    codec = numcodecs("fixedscaleoffset", offset=5, scale=1, dtype="i4", astype="u1")
    stored = Stored(smooth((300,), "i4") % 50 + 6, (100,), [codec, LITTLE]).encode_all()
    same_as_on_the_host(stored, "host")


@pytest.mark.parametrize("after", ["?", *INTEGERS, *FLOATS])
@pytest.mark.parametrize("before", ["?", *INTEGERS, *FLOATS])
def test_astype(before: str, after: str) -> None:
    values = extremes("i1") > 0 if before == "?" else extremes(before)
    codec = numcodecs("astype", encode_dtype=before, decode_dtype=after)
    left = before in FLOATS and after in INTEGERS
    end = LITTLE if before not in ("?", "i1", "u1") else ("bytes", {"endian": "little"})
    if left:
        values = np.arange(1000).astype(before) % 100
    same_as_on_the_host(stored_as(values, after, [codec, end]), "host" if left else "device")


@pytest.mark.parametrize("dtype", FLOATS)
def test_quantize_and_bitround(dtype: str) -> None:
    data = smooth((70, 33), dtype) / 7
    for codec in (numcodecs("quantize", digits=2, dtype=dtype), numcodecs("bitround", keepbits=5)):
        same_as_on_the_host(Stored(data, (16, 16), [codec, LITTLE, ZSTD]).encode_all())
    wide = numcodecs("quantize", digits=2, dtype="f8", astype=dtype)
    same_as_on_the_host(Stored(data.astype("f8"), (16, 16), [wide, BIG]).encode_all())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("numbers", [(10, 5), (0.1, -3.7), (1e-4, 0)], ids=str)
def test_scale_offset_of_floats(dtype: str, numbers: Any) -> None:
    same_as_on_the_host(stored_as(extremes(dtype), dtype, [scale_offset(*numbers), LITTLE]))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("numbers", [(1, 0), (1, 3), (3, 100), (-1, -1), (-2, 7)], ids=str)
def test_scale_offset_of_integers(dtype: str, numbers: Any) -> None:
    scale, offset = numbers
    info = np.iinfo(dtype)
    if dtype[0] == "u" and min(numbers) < 0:
        pytest.skip("no number of that type")
    low, high = int(info.min), int(info.max)
    rng = np.random.default_rng(1)
    decoded = rng.integers(low, high, 2500, dtype, endpoint=True)
    decoded[:2] = low, high
    encoded = [(int(v) - offset) * scale for v in decoded]
    fits = np.array([low <= v <= high for v in encoded])
    values = np.array([v for v in encoded if low <= v <= high], dtype)
    assert fits.any()
    fill = decoded[int(np.argmax(fits))]
    codecs = [scale_offset(scale, offset), LITTLE]
    values = np.concatenate([values, np.full(700, encoded[int(np.argmax(fits))], dtype)])
    values = values[: len(values) // 700 * 700]
    same_as_on_the_host(stored_as(values, dtype, codecs, fill=fill))
    # one element of the third chunk that has no value
    for bad in (low, high, low + 1, high - 1):
        decodes = bad % scale == 0 and low <= bad // scale + offset <= high
        fillers = np.full(2800, encoded[int(np.argmax(fits))], dtype)
        fillers[1500] = bad
        stored = stored_as(fillers, dtype, codecs, fill=fill)
        if decodes:
            same_as_on_the_host(stored)
        else:
            on_host, on_device = both_errors(stored)
            assert str(on_device) == str(on_host)
            assert repr(stored.key((2,))) in str(on_device)


NAMES = {dtype: np.dtype(dtype).name for dtype in (*INTEGERS, *FLOATS)}


@pytest.mark.parametrize("outside", ["error", "clamp", "wrap"])
@pytest.mark.parametrize("after", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("before", [*INTEGERS, *FLOATS])
def test_cast_value(before: str, after: str, outside: str) -> None:
    if outside == "wrap" and before in FLOATS:
        pytest.skip("wraps integers alone")
    codec = cast_value(NAMES[before], out_of_range=outside)
    values = extremes(before)
    if before in FLOATS and after in INTEGERS:
        values = values[np.isfinite(values)]
    stored = stored_as(values, after, [codec, LITTLE])
    try:
        stored.chain.decode("", stored.store.get(stored.key((0,))))
    except ChunkDecodeError:
        on_host, on_device = both_errors(stored)
        assert str(on_device) == str(on_host)
        assert outside == "error" or (outside == "wrap" and after in FLOATS)
        stored = stored_as(np.arange(1000).astype(before) % 100, after, [codec, LITTLE])
    same_as_on_the_host(stored)


@pytest.mark.parametrize("outside", ["clamp", "wrap"])
@pytest.mark.parametrize("after", INTEGERS)
@pytest.mark.parametrize("before", FLOATS)
@pytest.mark.parametrize("rounding", ["nearest-even", "towards-zero", "towards-positive",
                                      "towards-negative", "nearest-away"])  # fmt: skip
def test_rounding_to_integers(before: str, after: str, rounding: str, outside: str) -> None:
    """The array is of integers, stored as floats; wrapping is asked of the encoding alone."""
    halves = (np.arange(-700, 700) / 4).astype(before)
    values = np.concatenate([halves, extremes(before)[:1300]])
    values = values[np.isfinite(values)]
    codec = cast_value(NAMES[before], rounding=rounding, out_of_range="clamp")
    stored = stored_as(values, after, [codec, LITTLE])
    if outside == "wrap":
        ((inner, _),) = stored.chain.array_codecs
        object.__setattr__(inner, "out_of_range", "wrap")
    same_as_on_the_host(stored)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_numbers_without_a_value_name_their_chunk(value: float) -> None:
    values = np.ones(2000, "f8")
    values[1999] = value
    stored = stored_as(values, "i4", [cast_value("float64"), LITTLE])
    on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert repr(stored.key((2,))) in str(on_device)


def test_scalar_maps() -> None:
    pairs = {"decode": [["NaN", -1], [3.0, 70], [3.0, 71], ["Infinity", 9], [0.0, 5]]}
    values = np.array([np.nan, 3, np.inf, -0.0, 0, 4, 100, -np.nan] * 100, "f4")
    codec = cast_value("float32", scalar_map=pairs)
    stored = stored_as(values, "i2", [codec, LITTLE])
    same_as_on_the_host(stored)
    assert device_result(stored)[:7].tolist() == [-1, 70, 9, 5, 5, 4, 100]
    back = cast_value("int16", scalar_map={"decode": [[-1, "NaN"], [7, "-Infinity"]]})
    integers = np.array([-1, 7, 3, -32768], "i2").repeat(200)
    same_as_on_the_host(stored_as(integers, "f4", [back, BIG], lambda c: c.byteswap().tobytes()))


def test_roundings_that_the_kernel_has_not_stay_on_the_host() -> None:
    codec = cast_value("float64", rounding="towards-zero", out_of_range="clamp")
    stored = stored_as(extremes("f8"), "f4", [codec, LITTLE])
    same_as_on_the_host(stored, "host")
    assert "rounds towards-zero" in stored.report[0].why


@pytest.mark.parametrize(
    ("dtype", "codec", "why"),
    [
        ("c8", numcodecs("astype", encode_dtype="f4", decode_dtype="c8"), "of type complex64"),
        ("f4", scale_offset(2, "NaN"), "scale_offset with NaN"),
    ],
    ids=["complex", "nan"],
)
def test_filters_that_are_left_to_the_host(dtype: str, codec: Any, why: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = Stored(smooth((3000,), dtype), (700,), [codec, LITTLE]).encode_all()
    same_as_on_the_host(stored, "host")
    assert why in stored.report[0].why


def test_a_filter_whose_numbers_are_none_fails_as_on_the_host() -> None:
    codec = numcodecs("fixedscaleoffset", offset=0, scale="x", dtype="<f4", astype="<f4")
    stored = stored_as(smooth((1400,), "f4"), "f4", [codec, LITTLE])
    on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert "fixedscaleoffset" in str(on_host)


def test_several_filters_in_a_row() -> None:
    codecs = [
        scale_offset(4, 10), cast_value("int32"), numcodecs("delta", dtype="i4"),
        numcodecs("astype", encode_dtype="i8", decode_dtype="i4"), BIG,
        ("numcodecs.shuffle", {"elementsize": 8}), ("numcodecs.zlib", {"level": 1}),
    ]  # fmt: skip
    data = np.floor(smooth((90, 20), "f4")) / 4
    stored = Stored(data, (32, 7), codecs, fill_value=2.5).encode_all()
    stored.store.delete([stored.key((2, 2))])
    stored.data[64:, 14:] = 2.5
    same_as_on_the_host(stored, seed=5)
    assert device_result(stored).tobytes() == stored.data.tobytes()
    filters = stored.report[-1]
    assert filters.step == "numcodecs.astype, numcodecs.delta, cast_value, scale_offset"


def test_chunks_that_the_host_decodes_lie_as_those_of_the_device() -> None:
    """Zstd frames of several parts in a chain of filters and a transpose."""
    codecs = [("transpose", {"order": [1, 0]}), numcodecs("delta", dtype="i4"), LITTLE, ZSTD]
    data = smooth((40, 30), "i4")
    stored = Stored(data, (16, 16), codecs).encode_all()
    plain = Stored(data, (16, 16), codecs[:-1])
    raw = np.frombuffer(plain.chain.encode("", plain.chunk((1, 0))), np.uint8)
    stored.store.set(stored.key((1, 0)), b"".join(zstd(part) for part in np.array_split(raw, 2)))
    found = device_result(stored)
    assert found.tobytes() == data.tobytes()
    assert {record.where for record in stored.report} == {"device", "host"}
