"""Feed damaged chunks to the CUDA backend on the emulated device.

1. Arrays of every codec that a device decodes are stored, and all their chunks but a few damaged
   at random: headers more often than bodies, with checksums made good again now and then. Of shards
   it is the index that is damaged, or the inner chunks.
2. Those whose headers let them through to the device are read there in one call, as they are or
   through a ``DeviceStore``; where that fails, once more without what the host refuses, too.
3. What the host decodes must be the same on the device, which may refuse more of what is damaged.
   What the host refuses the device must refuse, unless nvCOMP does not define what comes of it.
4. The emulation fails on an access outside what a kernel may touch; under AddressSanitizer
   (``run_emulation.sh --fuzz``) the sanitizer does.

Usage: ``fuzz_device.py COUNT [SEED]``: COUNT damaged objects.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

import cuzarr
from cuzarr import cuda, native
from cuzarr.errors import ChunkDecodeError
from cuzarr.storage import MemoryStore
from tests.asan.fuzz_native import damage
from tests.devices import to_numpy, use_device

CHUNKS = 24  #: of an array
ROUND = 60  #: reads per emulated device
CRC_BYTES = 4


def _blosc(cname: str, shuffle: str, blocksize: int = 0) -> list[dict[str, Any]]:
    configuration = {"cname": cname, "clevel": 5, "shuffle": shuffle, "blocksize": blocksize}
    return [{"name": "blosc", "configuration": configuration}]


def _named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


ZSTD = [{"name": "zstd", "configuration": {"level": 3, "checksum": True}}]
CASES: dict[str, dict[str, Any]] = {
    **{
        f"blosc {cname} {shuffle}": {"compressors": _blosc(cname, shuffle, 512)}
        for cname in ("lz4", "zstd", "zlib", "blosclz")
        for shuffle in ("noshuffle", "shuffle", "bitshuffle")
    },
    "zstd": {"compressors": _named("zstd")},
    "zstd with checksum": {"compressors": ZSTD},
    "gzip": {"compressors": _named("gzip")},
    "v2 zlib": {"zarr_format": 2, "compressor": {"id": "zlib", "level": 5}},
    "v2 gzip": {"zarr_format": 2, "compressor": {"id": "gzip", "level": 5}},
    "v2 lz4": {"zarr_format": 2, "compressor": {"id": "lz4", "acceleration": 1}},
    "v2 shuffle, zlib": {
        "zarr_format": 2,
        "filters": [{"id": "shuffle", "elementsize": 4}],
        "compressor": {"id": "zlib", "level": 1},
    },
    "v2 delta, checksums": {
        "zarr_format": 2,
        "compressor": {"id": "lz4"},
        "filters": [{"id": "delta", "dtype": "<u4"}, {"id": "crc32"}, {"id": "fletcher32"}],
    },
    "filters": {
        "filters": [
            {"name": "scale_offset", "configuration": {"scale": 1, "offset": 0}},
            {"name": "cast_value", "configuration": {"data_type": "float64"}},
        ],
        "compressors": _named("numcodecs.adler32"),
    },
    "raw": {"compressors": None},
    "crc32c": {"compressors": _named("crc32c")},
    "zstd, crc32c": {"compressors": _named("zstd", "crc32c")},
    "lz4, crc32c": {"compressors": _blosc("lz4", "shuffle", 512) + _named("crc32c")},
    "shards": {"compressors": _named("zstd"), "shards": 4},
    "shards of lz4": {"compressors": _blosc("lz4", "shuffle", 512), "shards": 4},
    "shards of crc32c": {"compressors": _named("crc32c"), "shards": 4},
}


class Case:
    """An array, its undamaged objects, and what they hold."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.name = name
        self.sharded = name.startswith("shards")
        self.length = length = int(rng.choice([50, 200, 400]))
        options = dict(CASES[name])
        if self.sharded:
            options["shards"] *= length
        pool = rng.integers(0, 2**32, 30, dtype=np.uint32)
        repeated = pool[rng.integers(0, 30, CHUNKS * length // 10 + 1)]
        self.values = np.repeat(repeated, 10)[: CHUNKS * length]
        noisy = rng.random(CHUNKS) < 0.3
        for chunk in np.flatnonzero(noisy).tolist():  # streams that are stored raw
            part = rng.integers(0, 2**32, length, dtype=np.uint32)
            self.values[chunk * length : (chunk + 1) * length] = part
        self.store = MemoryStore()
        cuzarr.create_array(self.store, data=self.values, chunks=length, device="cpu", **options)
        documents = ("zarr.json", ".zarray", ".zattrs")
        self.good = {
            key: bytes(value)
            for key, value in self.store.store_dict.items()
            if key.rpartition("/")[2] not in documents
        }

    def spoil(self, rng: np.random.Generator) -> int:
        """Store damaged objects; return how many."""
        count = 0
        for key, data in self.good.items():
            if rng.random() < 0.1:
                self.store.store_dict[key] = data
                continue
            count += 1
            if self.sharded and rng.random() < 0.15:
                self.store.store_dict[key] = _spoil_index(data, 4, rng)
                continue
            spoiled = damage(data, rng)
            if "crc32c" in self.name and len(spoiled) > CRC_BYTES and rng.random() < 0.5:
                spoiled = _with_crc(spoiled[:-CRC_BYTES])
            self.store.store_dict[key] = spoiled
        return count

    def on_host(self) -> dict[int, np.ndarray[Any, Any] | ChunkDecodeError]:
        """Return what each chunk is on the host."""
        array = cuzarr.open_array(self.store, mode="r", device="cpu")
        found: dict[int, np.ndarray[Any, Any] | ChunkDecodeError] = {}
        for chunk in range(CHUNKS):
            try:
                found[chunk] = array[self.part(chunk)]
            except ChunkDecodeError as error:
                found[chunk] = error
        return found

    def intact(self, key: str) -> bool:
        """Whether an object is as it was written."""
        return bool(self.store.store_dict[key] == self.good[key])

    def part(self, chunk: int) -> slice:
        """Return the elements of a chunk."""
        return slice(chunk * self.length, (chunk + 1) * self.length)

    def key(self, chunk: int) -> str:
        """Return the key of the object that holds a chunk."""
        names = list(self.good)
        number = chunk // 4 if self.sharded else chunk
        return next(name for name in names if name.rpartition("/")[2] == str(number))


def fuzz(count: int, seed: int) -> Counter[str]:
    """Read ``count`` damaged objects; return how often each outcome came."""
    rng = np.random.default_rng(seed)
    seen: Counter[str] = Counter()
    done = 0
    while done < count:
        cases = [Case(name, rng) for name in CASES]
        mode: Any = "trusted" if rng.random() < 0.2 else "checked"
        with use_device("emulated", int(rng.integers(1, 100)), device_decode=mode) as device:
            runtime = cuda.open_backend(0).runtime
            runtime.nvcomp.on_undefined = "garbage"
            for _ in range(ROUND):
                case = cases[int(rng.integers(len(cases)))]
                done += case.spoil(rng)
                for outcome in check(case, device, runtime.nvcomp, rng.random() < 0.25):
                    seen[f"{case.name}: {outcome}"] += 1
            gc.collect()
            runtime.close()
        print(f"{done} so far", file=sys.stderr, flush=True)
    seen["damaged objects"] = done
    return seen


def check(case: Case, device: str, nvcomp: Any, through: bool) -> Iterator[str]:
    """Read every chunk on a device and on the host; yield what came of each.

    Parameters
    ----------
    nvcomp : object
        Its ``undefined`` changes when a stream is decoded that nvCOMP does not define.
    through : bool
        Read through a ``DeviceStore``.
    """
    host = case.on_host()
    try:
        store = cuzarr.DeviceStore.from_store(case.store, device=device)
    except ChunkDecodeError as error:  # the index of a shard
        if error.key not in {case.key(c) for c in host if isinstance(host[c], ChunkDecodeError)}:
            raise
        yield "index refused"
        return
    taken = store.resident.places(store.chunk_table(""), CHUNKS)
    array = cuzarr.open_array(store if through else case.store, mode="r", device=device)
    left = [chunk for chunk in range(CHUNKS) if not taken[chunk]]
    for chunk in left[:1]:  # the host decodes it, or says why not
        yield _one(case, array, chunk, host[chunk])
    yield from ["left to the host"] * len(left[1:])
    wanted = [chunk for chunk in range(CHUNKS) if taken[chunk]]
    while wanted:
        undefined = nvcomp.undefined
        try:
            starts = [[chunk * case.length] for chunk in wanted]
            found = to_numpy(array.boxes(starts, (case.length,)))
        except ChunkDecodeError as error:
            named = [chunk for chunk in wanted if case.key(chunk) == error.key]
            if not named or case.intact(error.key):
                raise AssertionError(f"{case.name}: a good chunk is refused") from error
            lenient = not any(isinstance(host[chunk], ChunkDecodeError) for chunk in named)
            yield "refused by the device alone" if lenient else "refused"
            # The others went through the same calls, and are not asked for again.
            bad = {c for c in wanted if isinstance(host[c], ChunkDecodeError)} | set(named)
            yield from ["in one call with others"] * (len(bad) - len(named))
            wanted = [chunk for chunk in wanted if chunk not in bad]
            continue
        for chunk, part in zip(wanted, found, strict=True):
            expected = host[chunk]
            if not isinstance(expected, ChunkDecodeError):
                assert part.tobytes() == expected.tobytes(), f"{case.name}: chunk {chunk} differs"
                yield "read"
                continue
            if nvcomp.undefined == undefined:
                raise AssertionError(f"{case.name}: read what the host refuses: {expected}")
            yield "not defined by nvCOMP"
        return


def _one(case: Case, array: Any, chunk: int, expected: Any) -> str:
    try:
        found = to_numpy(array[case.part(chunk)])
    except ChunkDecodeError as error:
        if not isinstance(expected, ChunkDecodeError) or error.key != case.key(chunk):
            raise AssertionError(f"{case.name}: the host reads what is refused") from error
        return "refused by the host"
    assert not isinstance(expected, ChunkDecodeError), f"{case.name}: read what the host refuses"
    assert found.tobytes() == expected.tobytes(), f"{case.name}: chunk {chunk} differs"
    return "read by the host"


def _spoil_index(data: bytes, slots: int, rng: np.random.Generator) -> bytes:
    """Damage the index of a shard; its checksum is right afterwards, or not."""
    begin = len(data) - 16 * slots - CRC_BYTES
    entries = np.frombuffer(data[begin:-CRC_BYTES], "<u8").copy()
    extremes = [0, 1, len(data), len(data) - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(entries)))
        kind = rng.random()
        if kind < 0.5:
            entries[at] = extremes[int(rng.integers(len(extremes)))]
        elif kind < 0.8:
            entries[at] = np.uint64(rng.integers(0, len(data) + 10))
        else:
            entries[at] ^= np.uint64(1 << int(rng.integers(64)))
    index = entries.tobytes()
    whole = data[:begin] + (_with_crc(index) if rng.random() < 0.8 else index + data[-CRC_BYTES:])
    return whole[: int(rng.integers(0, len(whole)))] if rng.random() < 0.05 else whole


def _with_crc(data: bytes) -> bytes:
    return data + native.crc32c(data).to_bytes(CRC_BYTES, "little")


def main() -> int:
    """Run; any finding is an error."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for name, times in sorted(fuzz(count, seed).items()):
        print(f"  {name:60} {times}")
    print(f"{count} damaged objects, seed {seed}: no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main())
