"""Chunks encoded on a device: read back by the host backend, by the device and by zarr-python."""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

import cuzarr
from cuzarr.engine.read import read
from cuzarr.errors import ChunkEncodeError, DeviceError
from cuzarr.host.backend import HostBackend
from cuzarr.plan import plan_basic
from tests.contract.cuda_cases import (
    Stored,
    close,
    device_backend,
    emulated_backend,
    noise,
    smooth,
)
from tests.contract.test_cuda_decode import BIG, CRC, LITTLE, blosc
from tests.devices import to_numpy, use_device
from tests.emulation.runtime import EmulatedRuntime

SHAPE, CHUNKS = (50, 61), (16, 20)


def codec(name: str, **configuration: Any) -> tuple[str, dict[str, Any]]:
    return name, configuration


CODECS = {
    "bytes": [],
    "crc32c": [CRC],
    "zstd": [codec("zstd", level=3)],
    "zstd crc32c": [codec("zstd", level=-5), CRC],
    "numcodecs zstd": [codec("numcodecs.zstd", level=1)],
    "gzip": [codec("gzip", level=1), CRC],
    "gzip 9": [codec("gzip", level=9)],
    "numcodecs gzip": [codec("numcodecs.gzip", level=5)],
    "zlib": [codec("numcodecs.zlib", level=4)],
    "lz4": [codec("numcodecs.lz4", acceleration=1)],
    "numcodecs blosc": [codec("numcodecs.blosc", cname="lz4", clevel=3, shuffle=-1)],
    "blosc lz4": [blosc()],
    "blosc lz4 bit": [blosc("lz4", "bitshuffle"), CRC],
    "blosc lz4 none": [blosc("lz4", "noshuffle")],
    "blosc zstd": [blosc("zstd", "shuffle")],
    "blosc zstd bit": [blosc("zstd", "bitshuffle")],
}
DTYPES = ["?", "i1", "<u2", ">i4", "<f4", ">f8", "<c8", "c16"]


def host_read(stored: Stored) -> np.ndarray[Any, Any]:
    job = stored.job(stored.plan(), native=False)
    found: np.ndarray[Any, Any] = read(job, stored.address, HostBackend())
    return found


def written(stored: Stored, backend: Any, value: Any = None, **options: Any) -> set[str]:
    """Write everything, return where it was encoded."""
    data = stored.data if value is None else value
    job = stored.write(backend, stored.plan(), data, **options)
    return {record.where for record in job.report if record.step.startswith("encode")}


@pytest.mark.parametrize("make", [smooth, noise], ids=["smooth", "noise"])
@pytest.mark.parametrize("codecs", list(CODECS.values()), ids=list(CODECS))
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_codec_of_every_type(codecs: Any, dtype: str, make: Any) -> None:
    if make is noise and dtype == "?":
        make = smooth
    endian = BIG if dtype[0] == ">" else LITTLE
    stored = Stored(make(SHAPE, dtype), CHUNKS, [endian, *codecs])
    backend = device_backend(3)
    assert written(stored, backend) == {"device"}
    assert host_read(stored).tobytes() == stored.data.tobytes()
    found = stored.read(backend)
    assert found.tobytes() == stored.data.astype(found.dtype).tobytes()
    del found
    close(backend)


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
@pytest.mark.parametrize("codecs", [[], [CRC], [blosc()]], ids=["bytes", "crc32c", "blosc"])
def test_transposed_and_swapped_chunks_are_made_by_the_gather(codecs: Any, order: Any) -> None:
    chain = [("transpose", {"order": list(order)}), BIG, *codecs]
    mine = Stored(smooth(SHAPE, "<i4"), CHUNKS, chain)
    reference = Stored(mine.data, CHUNKS, chain).encode_all()
    backend = device_backend(2)
    assert written(mine, backend) == {"device"}
    np.testing.assert_array_equal(host_read(mine), mine.data)
    for key in reference.store.list(""):
        ours, theirs = (
            bytes(stored.chain.decode_bytes(key, stored.store.get(key)))
            for stored in (mine, reference)
        )
        assert ours == theirs
    close(backend)


# ---- containers


def parse_blosc(data: bytes) -> tuple[int, int, int, int]:
    """Return flags, typesize, decoded and block size; the container must decode."""
    version, _, flags, typesize, nbytes, blocksize, cbytes = struct.unpack_from("<BBBBIII", data)
    assert (version, cbytes) == (2, len(data))
    assert len(numcodecs.Blosc().decode(data)) == nbytes
    return flags, typesize, nbytes, blocksize


def blosc_of(data: np.ndarray[Any, Any], **options: Any) -> tuple[int, int, int, int]:
    """Write one chunk with Blosc on a device and return what its header says."""
    configuration = {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": None}
    configuration |= {"blocksize": 0, **options}
    stored = Stored(data, data.shape, [LITTLE, ("blosc", configuration)])
    backend = device_backend(1)
    assert written(stored, backend) == {"device"}
    close(backend)
    (key,) = stored.store.list("")
    value = stored.store.get(key)
    assert numcodecs.Blosc().decode(value) == data.tobytes()
    return parse_blosc(bytes(value))


def test_blosc_of_lz4_is_split_into_planes() -> None:
    data = smooth((100_000,), "<i4")
    assert blosc_of(data) == (0x21, 4, 400_000, 4 * 32768)
    assert blosc_of(data, typesize=8)[1:] == (8, 400_000, 8 * 32768)
    assert blosc_of(data, shuffle="bitshuffle") == (0x34, 4, 400_000, 65536)
    assert blosc_of(data, shuffle="noshuffle") == (0x30, 4, 400_000, 65536)
    assert blosc_of(data, cname="zstd") == (0x91, 4, 400_000, 65536)
    assert blosc_of(data, blocksize=5000) == (0x21, 4, 400_000, 4992)
    assert blosc_of(data[:500], blocksize=64) == (0x31, 4, 2000, 64)  # too short to split
    assert blosc_of(data, blocksize=10**6) == (0x21, 4, 400_000, 400_000)


def test_blosc_shuffles_bits_of_bytes_where_it_may_choose() -> None:
    for dtype, flags in (("u1", 0x34), ("<i2", 0x21)):
        assert blosc_of(smooth((70_000,), dtype), shuffle="autoshuffle")[0] == flags
    assert blosc_of(smooth((70_000,), "u1"))[0] == 0x30  # there are no planes


def test_blosc_stores_what_does_not_get_shorter() -> None:
    assert blosc_of(noise((10_000,), "<u4"))[0] & 2
    assert blosc_of(smooth((10_000,), "<u4"), clevel=0)[0] & 2
    assert blosc_of(np.zeros(31, "<u4"))[0] & 2  # below 128 bytes
    mixed = np.concatenate((noise((70_000,), "u1"), np.zeros(70_000, "u1")))
    flags, *_ = blosc_of(mixed)  # streams of both kinds
    assert not flags & 2


def test_blosc_shuffles_elements_of_odd_sizes() -> None:
    data = smooth((30_000,), "<i4")
    for typesize in (1, 2, 3, 5, 16, 17, 100, 255, 256):
        for shuffle in ("shuffle", "bitshuffle"):
            found = blosc_of(data, typesize=typesize, shuffle=shuffle)
            fits = typesize <= 255 and data.nbytes % typesize == 0
            assert found[1] == (typesize if fits else 1)


def test_a_zstd_frame_states_its_content_size() -> None:
    stored = Stored(smooth((4096,), "<i4"), (4096,), [LITTLE, ("zstd", {"level": 0})])
    backend = device_backend(1)
    written(stored, backend)
    close(backend)
    (key,) = stored.store.list("")
    assert len(numcodecs.Zstd().decode(stored.store.get(key))) == 16384  # needs the size


def test_zlib_is_the_inside_of_a_gzip_member(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(smooth((4096,), "<i4"), (4096,), [LITTLE, codec("numcodecs.zlib", level=1)])
    backend = emulated_backend(1)
    written(stored, backend)
    assert [call[0] for call in backend.runtime.nvcomp.made] == ["Gzip"]
    (key,) = stored.store.list("")
    assert numcodecs.Zlib().decode(stored.store.get(key)) == stored.data.tobytes()
    monkeypatch.setattr("cuzarr.cuda.device_encode.GZIP_MAGIC", b"\x1f\x8b\x08\x04")
    with pytest.raises(DeviceError, match="begin with 1f8b0800"):
        written(stored, backend)
    backend.runtime.close(check=False)


# ---- where


def reasons(backend: Any, codecs: Any, data: np.ndarray[Any, Any] | None = None) -> str:
    stored = Stored(smooth(SHAPE, "<i4") if data is None else data, CHUNKS, [LITTLE, *codecs])
    job = stored.write(backend, stored.plan(), stored.data)
    np.testing.assert_array_equal(host_read(stored), stored.data)
    record = next(r for r in job.report if r.step.startswith("encode") and r.where == "host")
    return f"{record.step}: {record.why}"


@pytest.mark.parametrize(("codecs", "text"), [
    ([codec("numcodecs.bz2", level=1)], "encode numcodecs.bz2: no device encoder for numcodecs.b"),
    ([blosc("blosclz")], "encode blosc: no device encoder for blosclz"),
    ([blosc("lz4hc"), CRC], "encode blosc, crc32c: no device encoder for lz4hc"),
    ([codec("zstd", level=1, checksum=True)], "encode zstd: no device encoder for checksums in fr"),
    ([codec("gzip", level=0)], "encode gzip: no device encoder for stored blocks"),
    ([codec("zstd", level=1), codec("gzip", level=1)], "no device encoder for zstd, gzip"),
], ids=["bz2", "blosclz", "lz4hc", "checksum", "stored", "two"])  # fmt: skip
def test_what_a_device_cannot_encode_the_host_does(codecs: Any, text: str) -> None:
    backend = device_backend(1)
    assert text in reasons(backend, codecs)
    close(backend)


@pytest.mark.parametrize(("options", "codecs", "text"), [
    ({"encode": "host"}, [CRC], 'cuda.encode is "host"'),
    ({"encode": "auto"}, [CRC], "too small a write for a device"),
    ({"encode": "auto", "small_bytes": 0}, [codec("zstd", level=3)], "16 streams or parts at once"),
    ({"encode": "auto", "small_bytes": 0}, [codec("zstd", level=19)], "level 19 of zstd is more"),
    ({"encode": "auto", "small_bytes": 0}, [blosc("zstd", clevel=9)], "level 9 of blosc is more"),
    ({"nvcomp": False}, [codec("zstd", level=3)], "nvCOMP is not installed"),
    ({"budget": 4000}, [codec("gzip", level=3)], "more device memory than cuda.budget"),
], ids=["host", "small", "few", "level", "clevel", "without", "budget"])  # fmt: skip
def test_what_the_host_encodes_better(options: Any, codecs: Any, text: str) -> None:
    backend = emulated_backend(1, **options)
    assert text in reasons(backend, codecs)
    backend.runtime.close()


def test_enough_streams_go_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cuzarr.cuda.encoder.MIN_STREAMS, "Zstd", 16)
    stored = Stored(smooth(SHAPE, "<i4"), CHUNKS, [LITTLE, codec("zstd", level=3)])
    backend = emulated_backend(1, encode="auto", small_bytes=0)
    assert written(stored, backend) == {"device"}
    backend.runtime.close()


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError, match="encode must be one of auto, host, device, not 'gpu'"):
        emulated_backend(1, encode="gpu")


def test_what_nvcomp_refuses_the_host_does(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = emulated_backend(1)

    def refuse(*_: Any) -> int:
        raise DeviceError("nvCOMP refused the size")

    monkeypatch.setattr(backend.runtime.nvcomp, "compress_bound", refuse)
    assert "nvCOMP refused the size" in reasons(backend, [codec("zstd", level=3)])
    backend.runtime.close()


def test_a_stream_that_is_too_long_for_nvcomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cuzarr.cuda.encoder.MAX_STREAM, "LZ4", 1000)
    backend = emulated_backend(1)
    text = reasons(backend, [codec("numcodecs.lz4", acceleration=1)])
    assert "a stream of 1280 bytes is too long for nvCOMP" in text
    backend.runtime.close()


# ---- chunks of nothing but the fill value, errors, memory


@pytest.mark.parametrize("where", ["device", "host"])
@pytest.mark.parametrize("fill", [0, -1, 7])
@pytest.mark.parametrize("codecs", [[], [CRC], [codec("zstd", level=1)], [blosc()]], ids=str)
def test_chunks_of_the_fill_value_are_dropped(codecs: Any, fill: int, where: str) -> None:
    data = np.full(SHAPE, fill, ">i4")
    data[20, 30] = 1
    stored = Stored(data, CHUNKS, [BIG, *codecs], fill_value=fill).encode_all()
    backend = device_backend(2, encode=where)
    assert written(stored, backend, empty=False) == {where}
    assert list(stored.store.list("")) == [stored.key((1, 1))]
    np.testing.assert_array_equal(host_read(stored), data)
    written(stored, backend, np.full(SHAPE, fill, ">i4"), empty=False)
    assert list(stored.store.list("")) == []
    close(backend)


def test_a_status_of_nvcomp_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(smooth(SHAPE, "<i4"), CHUNKS, [LITTLE, codec("zstd", level=3)])
    backend = emulated_backend(1)
    nvcomp = backend.runtime.nvcomp
    genuine = nvcomp.compress

    def failing(*args: Any) -> None:
        genuine(*args)
        statuses, stream = args[-2:]
        backend.runtime.memset(statuses + 12, 1, 4, stream)

    monkeypatch.setattr(nvcomp, "compress", failing)
    with pytest.raises(ChunkEncodeError, match="nvCOMP reported status 16843009") as failure:
        written(stored, backend)
    assert "a/c/0/3" in str(failure.value)
    del failure
    gc.collect()
    backend.runtime.close()


def test_the_host_takes_over_where_nothing_is_left_to_put_chunks_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = Stored(smooth(SHAPE, "<i4"), CHUNKS, [LITTLE, codec("zstd", level=3)])
    backend = emulated_backend(1)

    def short(*_: Any) -> None:
        raise cuzarr.errors.DeviceMemoryError("no memory")

    monkeypatch.setattr(cuzarr.cuda.write_pass.DeviceEncode, "pack", short)
    assert written(stored, backend) == {"host"}
    np.testing.assert_array_equal(host_read(stored), stored.data)
    gc.collect()
    backend.runtime.close()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget", [1 << 16, 1 << 18])
def test_waves_in_any_order(budget: int, seed: int) -> None:
    stored = Stored(smooth((200, 61), "<i4"), CHUNKS, [LITTLE, blosc("zstd"), CRC]).encode_all()
    plan = plan_basic((slice(3, 190), slice(1, 60)), stored.data.shape, CHUNKS)
    value = smooth(plan.shape, "<i4", 5)
    backend = device_backend(seed, budget=budget, slab_bytes=1 << 14)
    job = stored.write(backend, plan, value)
    places = {r.where for r in job.report if r.step.startswith("encode")}
    assert places == {"device"} or not isinstance(backend.runtime, EmulatedRuntime)
    expected = stored.data.copy()
    expected[3:190, 1:60] = value
    np.testing.assert_array_equal(host_read(stored), expected)
    close(backend)


# ---- the public interface: shards, and other readers


@pytest.fixture(params=["host", "emulated"])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    wanted = request.config.getoption("--device")
    if wanted == "cuda" and request.param == "host":
        pytest.skip("the host is tested without --device cuda")
    with use_device("cuda" if wanted == "cuda" else request.param) as name:
        yield name


FILES = {
    "zstd": {"compressors": [{"name": "zstd", "configuration": {"level": 3}}]},
    "gzip": {"compressors": [{"name": "gzip", "configuration": {"level": 5}}]},
    "blosc": {"compressors": [zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle")]},
    "crc32c": {"compressors": [zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()]},
    "shards": {"shards": (32, 60), "compressors": [zarr.codecs.BloscCodec(cname="zstd")]},
    "raw shards": {"shards": (32, 60), "compressors": None},
    "v2 zlib": {"zarr_format": 2, "compressors": numcodecs.Zlib(3)},
    "v2 lz4 F": {"zarr_format": 2, "compressors": numcodecs.LZ4(), "order": "F"},
    "v2 blosc": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
}


@pytest.mark.parametrize("how", list(FILES.values()), ids=list(FILES))
@pytest.mark.parametrize("dtype", ["i2", "f8"])
def test_zarr_python_reads_it(device: str, how: Any, dtype: str, tmp_path: Path) -> None:
    data = smooth((70, 130), dtype)
    path = str(tmp_path / "a")
    z = cuzarr.create_array(
        path, shape=data.shape, chunks=(16, 20), dtype=dtype, device=device, fill_value=3, **how
    )
    z[:] = data
    z[3:40, 11:99] = 5
    data[3:40, 11:99] = 5
    z[::7, 4] = data[::7, 4] = -1
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], data)
    np.testing.assert_array_equal(cuzarr.open_array(path, device="cpu")[:], data)
    np.testing.assert_array_equal(to_numpy(z[:]), data)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_value_may_have_no_more_than_the_cuda_array_interface(read_only: bool) -> None:
    class Bare:
        def __init__(self, array: Any) -> None:
            self.array = array
            self.__cuda_array_interface__ = {
                "data": (array.ptr, read_only), "shape": array.shape, "strides": array.strides,
                "typestr": array.dtype.str, "version": 3,
            }  # fmt: skip

    data = smooth((40, 30), "f4")
    with use_device("emulated") as name:
        z = cuzarr.create_array({}, shape=data.shape, chunks=(8, 30), dtype="f4", device=name)
        to_device = cuzarr.cuda.open_backend(0).runtime.to_device
        z[:, ::-1] = Bare(to_device(data))
        z[:, 4] = Bare(to_device(data[:, 0].astype("i2")))
    expected = data[:, ::-1].copy()
    expected[:, 4] = data[:, 0].astype("i2")
    np.testing.assert_array_equal(cuzarr.open_array(z.store, device="cpu")[:], expected)


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("empty", [False, True])
def test_shards_are_put_together_on_the_device(
    device: str, location: str, empty: bool, tmp_path: Path
) -> None:
    sharding = zarr.codecs.ShardingCodec(
        chunk_shape=(4, 5), codecs=[zarr.codecs.BytesCodec(), zarr.codecs.ZstdCodec(level=1)],
        index_location=location,
    )  # fmt: skip
    path = str(tmp_path / "a")
    zarr.create_array(
        path, shape=(30, 33), chunks=(8, 10), dtype="i4", fill_value=0, serializer=sharding,
        compressors=None,
    )  # fmt: skip
    data = np.zeros((30, 33), "i4")
    with cuzarr.config.set({"write_empty_chunks": empty}):
        z = cuzarr.open_array(path, device=device, mode="r+")
        for key in (np.s_[0:9, 2:20], np.s_[:], np.s_[29, :], np.s_[5:7, 30:33]):
            data[key] = np.arange(data[key].size).reshape(data[key].shape) % 4
            z[key] = data[key]
            np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], data)
        z[8:16] = 0
        data[8:16] = 0
    np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], data)
    assert (Path(path) / "c" / "1" / "0").exists() == empty


@pytest.mark.parametrize("slab_bytes", [1 << 10, 1 << 13, 1 << 20])
def test_shards_of_any_size_and_waves_of_any_size(slab_bytes: int, tmp_path: Path) -> None:
    """A shard that does not fit a wave is joined on the host, the others are one piece."""
    data = smooth((60, 64), "i4")
    with use_device("emulated", slab_bytes=slab_bytes, budget=1 << 20) as name:
        z = cuzarr.create_array(
            str(tmp_path / "a"), shape=data.shape, chunks=(4, 8), shards=(16, 32), dtype="i4",
            device=name,
        )  # fmt: skip
        z[:] = data
        data[2:59, 3:] += 1
        z[2:59, 3:] = data[2:59, 3:]
    np.testing.assert_array_equal(zarr.open_array(str(tmp_path / "a"))[:], data)
