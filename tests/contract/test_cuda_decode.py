"""Every device step against NumPy, bit for bit, on the emulated device."""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

import numcodecs.blosc
import numcodecs.zstd
import numpy as np
import pytest

from cuzarr.errors import ChecksumError, ChunkDecodeError
from cuzarr.host.backend import HostBackend
from tests.contract.blosc_writer import blosc_container, memcpyed_container
from tests.contract.cuda_cases import Stored, close, device_backend, emulated_backend, noise, smooth
from tests.emulation import nvcomp as emulated_nvcomp

LITTLE = ("bytes", {"endian": "little"})
BIG = ("bytes", {"endian": "big"})
CRC = ("crc32c", {})
ZSTD = ("zstd", {"level": 3, "checksum": False})


def blosc(cname: str = "lz4", shuffle: str = "shuffle", typesize: int = 4, **other: Any) -> Any:
    configuration = {"cname": cname, "clevel": 5, "shuffle": shuffle, "typesize": typesize,
                     "blocksize": 0, **other}  # fmt: skip
    return ("blosc", configuration)


def check(stored: Stored, seed: int = 1, **options: Any) -> None:
    """Read everything on the device and compare the bytes."""
    backend = device_backend(seed, **options)
    found = stored.read(backend)
    assert found.tobytes() == stored.data.astype(found.dtype).tobytes()
    close(backend)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "codecs", [[], [CRC], [ZSTD], [ZSTD, CRC], [blosc()], [blosc("zstd"), CRC]]
)
def test_device_steps_in_any_order_of_events(codecs: Any, seed: int) -> None:
    stored = Stored(smooth((100, 70), "f4"), (32, 20), [LITTLE, *codecs]).encode_all()
    check(stored, seed)
    assert set(stored.where().values()) == {"device"}


@pytest.mark.parametrize("typesize", range(1, 17))
@pytest.mark.parametrize("shuffle", ["noshuffle", "shuffle", "bitshuffle"])
@pytest.mark.parametrize("cname", ["blosclz", "lz4", "lz4hc", "zstd", "zlib"])
def test_blosc(cname: str, shuffle: str, typesize: int) -> None:
    data = np.repeat(smooth((3 * 4096 * typesize // 8 + typesize,), "u1"), 1)
    chunk = 1024 * typesize
    stored = Stored(data, (chunk,), [LITTLE, blosc(cname, shuffle, typesize)]).encode_all()
    check(stored)
    name = "lz4" if cname == "lz4hc" else cname
    assert stored.where()[f"blosc ({name})"] == "device"


@pytest.mark.parametrize("typesize", [1, 2, 3, 4, 7, 8, 12, 16, 17, 255])
@pytest.mark.parametrize("blocks", [(1000, 0), (4096, 0), (4096, 3), (20000, 0), (20000, 2)])
@pytest.mark.parametrize("cname", ["lz4", "snappy", "zstd"])
def test_blosc_leftovers_odd_blocks_and_raw_streams(
    cname: str, blocks: tuple[int, int], typesize: int
) -> None:
    size = 17_003  # leaves a short last block, and bytes behind the last element
    blocksize, raw_every = min(blocks[0], size), blocks[1]
    shuffles = iter([0, 1, 2, 1, 2])

    def encode(chunk: np.ndarray[Any, Any]) -> bytes:
        return blosc_container(
            chunk.tobytes(), typesize=typesize, blocksize=blocksize, cname=cname,
            shuffle=next(shuffles), split=blocksize % typesize == 0, raw_every=raw_every,
        )  # fmt: skip

    stored = Stored(smooth((5 * size,), "u1"), (size,), [LITTLE, blosc(cname)]).encode_all(encode)
    check(stored)
    assert stored.where() == {f"blosc ({cname})": "device"}


def test_checksums_within_blosc_chunks() -> None:
    def encode(chunk: np.ndarray[Any, Any]) -> bytes:
        return blosc_container(
            chunk.tobytes(), typesize=8, blocksize=4096, cname="zstd", shuffle=1, split=False,
            checksum=True,
        )  # fmt: skip

    stored = Stored(smooth((5 * 2048,), "f8"), (2048,), [LITTLE, blosc("zstd")]).encode_all(encode)
    check(stored)
    assert stored.where() == {"blosc (zstd)": "device"}
    key = corrupt(stored, (3,), flipped(-1))  # of the checksum of the last block
    with mock.patch.dict(emulated_nvcomp.DECODERS, {"Zstd": without_checksum}):
        on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


def test_blosc_chunks_of_a_format_that_nobody_knows() -> None:
    stored = Stored(smooth((4 * 1024,), "f8"), (1024,), [LITTLE, blosc("zstd")]).encode_all()
    key = corrupt(stored, (2,), lambda d: d[:2] + bytes([d[2] & 31 | 6 << 5]) + d[3:])
    on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


def test_blosc_chunks_of_every_kind_in_one_wave() -> None:
    """All formats on the device, by nvCOMP or by a kernel."""
    noisy = noise((8192,), "f8")
    data = np.concatenate([smooth((4 * 8192,), "f8"), noisy, noisy, smooth((8192,), "f8")])
    kinds = iter(["lz4", "zstd", "zlib", "blosclz", "memcpyed", "lz4", "lz4hc"])

    def encode(chunk: np.ndarray[Any, Any]) -> bytes:
        kind = next(kinds)
        if kind == "memcpyed":
            return memcpyed_container(chunk.tobytes(), 8)
        return bytes(numcodecs.blosc.compress(chunk, kind.encode(), 5, 1))

    stored = Stored(data, (8192,), [LITTLE, blosc()]).encode_all(encode)
    backend = emulated_backend(2)
    assert stored.read(backend).tobytes() == data.tobytes()
    places = stored.where()
    names = ("blosclz", "lz4", "zlib", "zstd", "raw")
    assert places == {f"blosc ({name})": "device" for name in names}
    assert sorted(fmt for fmt, _ in backend.runtime.nvcomp.calls) == ["Deflate", "LZ4", "Zstd"]


@pytest.mark.parametrize("dtype", ["i1", "u2", "f2", "i4", "f4", "u8", "f8", "c8", "c16", "?"])
@pytest.mark.parametrize("codecs", [[], [blosc()], [ZSTD]])
@pytest.mark.parametrize("end", [LITTLE, BIG])
def test_element_types_and_byte_orders(end: Any, codecs: Any, dtype: str) -> None:
    check(Stored(smooth((37, 11), dtype), (8, 5), [end, *codecs]).encode_all())


@pytest.mark.parametrize("dtype", [">f8", ">c8", ">i2"])
def test_arrays_of_foreign_byte_order_come_in_native_order(dtype: str) -> None:
    stored = Stored(smooth((30, 30), dtype), (7, 11), [BIG, ZSTD]).encode_all()
    stored.store.delete([stored.key((1, 1))])
    stored.data[7:14, 11:22] = 0
    check(stored)


def test_no_byte_codec_copies_straight_from_the_upload() -> None:
    stored = Stored(noise((64, 64), "f4"), (16, 16), [LITTLE]).encode_all()
    backend = device_backend()
    found = stored.read(backend)
    assert found.tobytes() == stored.data.tobytes()
    assert stored.where() == {"copy": "device"}


@pytest.mark.parametrize("level", [-5, 1, 3, 9, 19])
@pytest.mark.parametrize("checksum", [False, True])
def test_zstd_levels(level: int, checksum: bool) -> None:
    codec = ("zstd", {"level": level, "checksum": checksum})
    stored = Stored(smooth((5000,), "f4"), (1024,), [LITTLE, codec]).encode_all()
    check(stored)
    assert stored.where() == {"zstd": "device"}


def zstd_without_size(chunk: np.ndarray[Any, Any]) -> bytes:
    """One frame of raw blocks, its header without a content size (RFC 8878, 3.1.1.1)."""
    data = chunk.tobytes()
    blocks = [data[i : i + 1000] for i in range(0, len(data), 1000)]
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x00, 0x40])  # a window descriptor, no sizes
    for i, block in enumerate(blocks):
        last = int(i == len(blocks) - 1)
        frame += (len(block) << 3 | last).to_bytes(3, "little") + block
    return frame


def zstd_two_frames(chunk: np.ndarray[Any, Any]) -> bytes:
    data = chunk.tobytes()
    half = len(data) // 2
    return b"".join(numcodecs.zstd.compress(part, 3) for part in (data[:half], data[half:]))


def zstd_skippable(chunk: np.ndarray[Any, Any]) -> bytes:
    padding = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    return padding + bytes(numcodecs.zstd.compress(chunk.tobytes(), 3))


@pytest.mark.parametrize("encode", [zstd_two_frames, zstd_skippable])
def test_unusual_zstd_frames_go_to_the_host(encode: Any) -> None:
    stored = Stored(smooth((4096,), "f4"), (1024,), [LITTLE, ZSTD]).encode_all(encode)
    backend = emulated_backend()
    expected = stored.read(backend)
    assert expected.tobytes() == stored.data.tobytes()
    assert stored.where() == {"zstd": "host"}
    assert "unusual frames" in stored.report[0].why
    assert backend.runtime.nvcomp.calls == []


def test_frames_without_content_size() -> None:
    stored = Stored(smooth((4096,), "f4"), (1024,), [LITTLE, ZSTD]).encode_all(zstd_without_size)
    check(stored)
    assert stored.where() == {"zstd": "device"}
    corrupt(stored, (2,), lambda _: zstd_without_size(np.zeros(1000, "f4")))
    with pytest.raises(ChunkDecodeError, match=re.escape(stored.key((2,)))):
        stored.read(device_backend(2))


def without_checksum(data: bytes) -> bytes:
    """Decode a frame as nvCOMP, which does not look at its checksum."""
    return bytes(numcodecs.zstd.decompress(data[:4] + bytes([data[4] & ~4]) + data[5:-4]))


def test_the_checksum_of_a_frame_is_verified() -> None:
    codec = ("zstd", {"level": 3, "checksum": True})
    stored = Stored(smooth((4096,), "f4"), (1024,), [LITTLE, codec]).encode_all()
    key = corrupt(stored, (2,), flipped(-1))

    with mock.patch.dict(emulated_nvcomp.DECODERS, {"Zstd": without_checksum}):
        on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


def test_usual_and_unusual_frames_in_one_wave() -> None:
    kinds = iter([zstd_skippable, zstd_two_frames])

    def encode(chunk: np.ndarray[Any, Any]) -> bytes:
        kind = next(kinds, None)
        return bytes(numcodecs.zstd.compress(chunk.tobytes(), 3)) if kind is None else kind(chunk)

    stored = Stored(smooth((6000,), "f8"), (1000,), [LITTLE, ZSTD]).encode_all(encode)
    check(stored, 3)
    assert [(r.where, r.chunks) for r in stored.report] == [("device", 4), ("host", 2)]


@pytest.mark.parametrize("codecs", [
    [ZSTD, ("gzip", {"level": 1})], [("numcodecs.bz2", {"level": 1})],
    [("numcodecs.jenkins_lookup3", {}), ZSTD], [ZSTD, ("numcodecs.shuffle", {"elementsize": 1})],
    [("numcodecs.shuffle", {"elementsize": 512})],
])  # fmt: skip
def test_chains_without_device_steps(codecs: Any) -> None:
    stored = Stored(smooth((100, 30), "i4"), (16, 16), [LITTLE, *codecs]).encode_all()
    check(stored)
    assert set(stored.where().values()) == {"host"}


@pytest.mark.parametrize(("dtype", "end"), [("f4", LITTLE), (">f8", BIG)])
def test_delta_of_floats_runs_on_the_host(dtype: str, end: Any) -> None:
    delta = ("numcodecs.delta", {"dtype": dtype})
    data = np.floor(smooth((100, 30), dtype))  # sums of which are exact
    stored = Stored(data, (16, 16), [delta, end, ZSTD]).encode_all()
    stored.store.delete([stored.key((1, 1))])
    stored.data[16:32, 16:30] = 0
    check(stored)
    (record,) = stored.report
    assert record.where == "host"
    assert "no device step for numcodecs.delta of" in record.why
    assert "numcodecs.delta" in record.step
    key = corrupt(stored, (2, 0), lambda d: d[:10])
    on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


@pytest.mark.parametrize("mode", ["checked", "trusted", "host"])
@pytest.mark.parametrize(
    "codecs", [[CRC], [ZSTD, CRC], [blosc(), CRC], [blosc("zstd", "bitshuffle")]]
)
def test_modes(codecs: Any, mode: str) -> None:
    stored = Stored(smooth((100, 30), "f4"), (16, 16), [LITTLE, *codecs]).encode_all()
    check(stored, device_decode=mode)
    compressed = codecs != [CRC]
    assert set(stored.where().values()) == {"host" if mode == "host" and compressed else "device"}


def test_without_nvcomp_compressed_chunks_are_decoded_on_the_host() -> None:
    stored = Stored(smooth((5000,), "f4"), (512,), [LITTLE, blosc()]).encode_all()
    check(stored, nvcomp=False)
    assert stored.where() == {"blosc": "host"}
    assert "nvCOMP is not installed" in stored.report[0].why


def test_few_streams_stay_on_the_host() -> None:
    stored = Stored(smooth((8192,), "f4"), (1024,), [LITTLE, ZSTD]).encode_all()
    check(stored, placement={"Zstd": 9})
    assert stored.where() == {"zstd": "host"}
    assert "8 streams, fewer than the 9" in stored.report[0].why
    check(stored, placement={"Zstd": 8})
    assert stored.where() == {"zstd": "device"}


def test_missing_chunks_read_as_the_fill_value() -> None:
    for codecs in ([], [blosc()], [("gzip", {"level": 1})]):
        stored = Stored(smooth((50, 50), "f8"), (20, 20), [LITTLE, *codecs], fill_value=np.nan)
        stored.encode_all()
        stored.store.delete([stored.key((0, 1)), stored.key((2, 2))])
        stored.data[0:20, 20:40] = np.nan
        stored.data[40:, 40:] = np.nan
        check(stored)


def test_everything_missing() -> None:
    stored = Stored(np.full((33,), 7, "i2"), (8,), [LITTLE, blosc()], fill_value=7)
    check(stored)


# ---- what is wrong is said as on the host, and names the key


def corrupt(stored: Stored, coords: tuple[int, ...], change: Any) -> str:
    key = stored.key(coords)
    data = bytearray(stored.store.get(key) or b"")
    stored.store.set(key, bytes(change(data)))
    return key


def flipped(at: int) -> Any:
    def change(data: bytearray) -> bytearray:
        data[at] ^= 0x55
        return data

    return change


def both_errors(stored: Stored, **options: Any) -> tuple[Exception, Exception]:
    """Return the error of the host backend and that of the device."""
    from cuzarr.engine.read import read

    with pytest.raises(ChunkDecodeError) as on_host:
        read(stored.job(stored.plan(), native=False), stored.address, HostBackend())
    backend = device_backend(1, **options)
    with pytest.raises(ChunkDecodeError) as on_device:
        stored.read(backend)
    return on_host.value, on_device.value


@pytest.mark.parametrize("codecs", [[], [CRC], [ZSTD], [blosc()], [blosc("zstd")], [ZSTD, CRC],
                                    [("gzip", {"level": 1})]])  # fmt: skip
@pytest.mark.parametrize(
    "change", [lambda d: d[: len(d) // 2], lambda d: d[:3], lambda d: d + b"x"]
)
def test_truncated_and_overlong_chunks(codecs: Any, change: Any) -> None:
    stored = Stored(smooth((64, 64), "f4"), (16, 16), [LITTLE, *codecs]).encode_all()
    key = corrupt(stored, (2, 1), change)
    on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


def test_corrupt_lz4_stream_is_reported_by_the_decoder() -> None:
    stored = Stored(smooth((64, 64), "f4"), (32, 32), [LITTLE, blosc()]).encode_all()
    key = corrupt(stored, (1, 0), lambda d: d[:40] + b"\xff" * (len(d) - 40))
    on_host, on_device = both_errors(stored)
    assert repr(key) in str(on_device)
    assert str(on_device) == str(on_host)


def test_the_first_of_several_bad_chunks_is_named() -> None:
    stored = Stored(smooth((64, 64), "f4"), (16, 16), [LITTLE, blosc()]).encode_all()
    names = [
        corrupt(stored, coords, lambda d: d[:60] + b"\xff" * (len(d) - 60))
        for coords in ((3, 3), (1, 2))
    ]
    for seed in range(4):
        with pytest.raises(ChunkDecodeError, match=re.escape(names[1])):
            stored.read(device_backend(seed))


@pytest.mark.parametrize("mode", ["checked", "trusted", "host"])
@pytest.mark.parametrize("codecs", [[CRC], [ZSTD, CRC], [blosc(), CRC]])
def test_checksum_mismatch(codecs: Any, mode: str) -> None:
    stored = Stored(smooth((64, 64), "f4"), (16, 16), [LITTLE, *codecs]).encode_all()
    # behind the data: in trusted mode nvCOMP sees the payload before the checksum is looked at
    key = corrupt(stored, (0, 3), flipped(-1))
    on_host, on_device = both_errors(stored, device_decode=mode)
    assert isinstance(on_device, ChecksumError)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)


def test_checked_mode_keeps_corrupt_zstd_from_nvcomp() -> None:
    """The emulated nvCOMP fails on input whose decoding is undefined."""
    stored = Stored(smooth((4096,), "f4"), (512,), [LITTLE, ZSTD, CRC]).encode_all()
    corrupt(stored, (3,), lambda d: d[:20] + bytes(b ^ 0xFF for b in d[20:40]) + d[40:])
    backend = emulated_backend(1, on_undefined="raise")
    with pytest.raises(ChecksumError):
        stored.read(backend)


def test_host_mode_reports_corrupt_zstd() -> None:
    stored = Stored(smooth((4096,), "f4"), (512,), [LITTLE, ZSTD]).encode_all()
    key = corrupt(stored, (3,), lambda d: d[:20] + bytes(b ^ 0xFF for b in d[20:40]) + d[40:])
    with pytest.raises(ChunkDecodeError, match=re.escape(key)):
        stored.read(device_backend(1, device_decode="host"))


def test_a_wrong_content_size_never_reaches_nvcomp() -> None:
    stored = Stored(smooth((4096,), "f4"), (512,), [LITTLE, ZSTD]).encode_all()
    other = bytes(numcodecs.zstd.compress(b"x" * 100, 3))
    key = corrupt(stored, (2,), lambda _: other)
    on_host, on_device = both_errors(stored)
    assert str(on_device) == str(on_host)
    assert repr(key) in str(on_device)
