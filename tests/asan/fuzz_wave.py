"""Feed damaged chunks to the native reading of waves, with random selections.

1. Chunks, in memory and in files, are damaged as in ``fuzz_native``; those in memory lie between
   pages that may not be touched. So does the output.
2. Statuses must be those of the list, and the output outside the selection must stay.
3. Undamaged chunks must give the values that NumPy selects.

Usage: ``fuzz_wave.py COUNT [SEED]``.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from cuzarr import native
from cuzarr.native.calls import Calls
from cuzarr.native.tables import DECODED, DecodeStatus
from cuzarr.storage.base import RequestBatch
from tests.asan.fuzz_native import Guarded, damage
from tests.contract.wave_cases import (
    CODECS,
    Stored,
    all_rows,
    file_source,
    random_plan,
    random_values,
    read,
)

SHAPES = (((150, 130), (150, 130)), ((3000,), (3000,)), ((20, 30, 25), (20, 30, 25)))


def fuzz(calls: Calls, count: int, seed: int, root: Path) -> Counter[str]:
    """Read ``count`` chunks; return how often each status came."""
    rng = np.random.default_rng(seed)
    good = []
    for shape, chunk_shape in SHAPES:
        for codec in CODECS:
            for dtype in ("<f4", "|u1", "<f8"):
                for blocksize in (512, 4096, 0):
                    stored = Stored(random_values(rng, shape, dtype), chunk_shape, codec)
                    good.append(stored.write(0, rng, blocksize))
    largest = max(len(data or b"") for stored in good for data in stored.encoded.values())
    source = Guarded(largest + 100)
    target = Guarded(max(stored.nbytes for stored in good))
    (root / "c").mkdir()
    seen: Counter[str] = Counter()
    for k in range(count):
        stored = good[int(rng.integers(len(good)))]
        plan, pick = random_plan(rng, stored.values.shape, stored.chunk_shape)
        rows = all_rows(plan)
        if len(rows) == 0:
            continue
        (data,) = stored.encoded.values()
        assert data is not None
        whole = k % 8 == 0
        if not whole:
            data = damage(data, rng)
        size = int(np.prod(plan.shape)) * stored.dtype.itemsize
        if size > target.room:
            continue
        address = target.place(b"\xa5" * size, bool(k & 1))
        out = np.frombuffer(target.view(address, size), stored.dtype).reshape(plan.shape)
        if k & 2:
            ptr = np.array([source.place(data, bool(k & 4))], np.uint64)
            (status,) = read(calls, (ptr, np.array([len(data)])), stored.chunks(out), rows, out)
        else:
            (root / "c/0").write_bytes(data)
            files = file_source(root, RequestBatch.of(["c/0"]))
            (status,) = read(calls, files, stored.chunks(out), rows, out, threads=2)
        if whole:
            assert status == 0
            assert out.tobytes() == np.ascontiguousarray(pick(stored.values)).tobytes()
        name = DecodeStatus(status - DECODED).name if status > DECODED else str(status)
        seen[f"{stored.codec} {name}"] += 1
    return seen


def main() -> int:
    """Run; exit status 1 where the extension was not built."""
    if native.extension is None:
        print("the extension was not built")
        return 1
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as root:
        seen = fuzz(native.native_calls(native.extension), count, seed, Path(root))
    print(f"{count} chunks, seed {seed}, {native.extension.__file__}")
    for name, times in sorted(seen.items()):
        print(f"  {name:24} {times}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
