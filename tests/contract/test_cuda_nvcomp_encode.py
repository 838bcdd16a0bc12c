"""The binding of libnvcomp's compression, against the library of the wheel: no device is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cuzarr.cuda import nvcomp, nvcomp_encode
from cuzarr.cuda.nvcomp_encode import Compression
from cuzarr.errors import DeviceError


@pytest.fixture(scope="module")
def library() -> nvcomp.NvCompLibrary:
    found = nvcomp.find_library()
    if found is None:
        pytest.skip("no nvidia-libnvcomp wheel here")
    return nvcomp.NvCompLibrary(found)


@pytest.fixture(scope="module")
def compression(library: nvcomp.NvCompLibrary) -> Compression:
    return Compression(library)


@pytest.mark.parametrize(("fmt", "expected"), [
    ("LZ4", (1, 1, 2)), ("Zstd", (4, 1, 1)), ("Gzip", (1, 8, 8)),
])  # fmt: skip
def test_alignments(compression: Compression, fmt: str, expected: tuple[int, int, int]) -> None:
    """What the backend gives is at least so aligned: 16 bytes, but for the streams of Blosc."""
    assert compression.alignments(fmt, 0) == expected


def test_bounds(compression: Compression) -> None:
    assert 65536 < compression.bound("LZ4", 0, 65536) < 66000
    assert 65536 < compression.bound("Zstd", 0, 65536) < 65600
    assert compression.bound("Gzip", 2, 65536) > 2 * 65536


def test_temporary_memory_follows_the_algorithm(compression: Compression) -> None:
    total = 100 * 2**20
    found = [compression.temp_bytes("Gzip", a, 100, 2**20, total) / total for a in (0, 1, 2, 4)]
    assert found == sorted(found)
    assert 10 < found[2] < 20
    assert compression.temp_bytes("LZ4", 0, 100, 2**15, 100 << 15) == 100 << 15


def test_what_nvcomp_refuses_is_said(compression: Compression) -> None:
    with pytest.raises(DeviceError, match="size of LZ4 streams of 134217728 bytes"):
        compression.bound("LZ4", 0, 2**27)
    with pytest.raises(DeviceError, match="compression of 0 LZ4 streams"):
        compression.compress("LZ4", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, None)


def test_limits_are_no_more_than_those_of_the_headers(library: nvcomp.NvCompLibrary) -> None:
    folder = Path(library.path).parent.parent / "include" / "nvcomp"
    if not folder.is_dir():
        pytest.skip("the library came without headers")
    for fmt, limit in nvcomp_encode.MAX_STREAM.items():
        text = (folder / f"{fmt.lower()}.h").read_text()
        found = re.search(rf"nvcomp{fmt}CompressionMaxAllowedChunkSize = (.*);", text)
        assert found is not None
        stated = re.sub(r"\(size_t\)|(?<=[0-9A-F])[uUlL]+\b", "", found[1])
        assert limit <= eval(stated)


def test_five_has_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """5.x: GetTempSizeAsync, without a stream."""
    calls: list[tuple[str, int]] = []

    class Library:
        version = (5, 3, 0)

        def _bind(self, name: str, *_: Any) -> Any:
            def call(*args: Any) -> int:
                calls.append((name, len(args)))
                return 0

            return call

        def _check(self, status: int, what: str) -> None:
            assert status == 0

    library: Any = Library()
    found = Compression(library)
    found.temp_bytes("Zstd", 0, 1, 2, 3)
    assert calls == [("nvcompBatchedZstdCompressGetTempSizeAsync", 5)]
    found.compress("Zstd", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, None)
    assert calls[-1] == ("nvcompBatchedZstdCompressAsync", 11)
