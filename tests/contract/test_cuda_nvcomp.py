"""The binding of libnvcomp, against the library of the wheel: it loads without a device."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cuzarr.cuda import nvcomp
from cuzarr.errors import DeviceError, MissingPackageError


@pytest.fixture(scope="module")
def library() -> nvcomp.NvCompLibrary:
    found = nvcomp.find_library()
    if found is None:
        pytest.skip("no nvidia-libnvcomp wheel here")
    return nvcomp.NvCompLibrary(found)


def test_version(library: nvcomp.NvCompLibrary) -> None:
    assert library.version[0] in nvcomp.MAJORS
    assert f"libnvcomp.so.{library.version[0]}" in library.path
    assert library.cuda_version >= 12000


def test_every_symbol_is_bound_when_the_library_is_loaded(library: nvcomp.NvCompLibrary) -> None:
    assert set(library._formats) == set(nvcomp.FORMATS)


@pytest.mark.parametrize(("fmt", "expected"), [
    ("LZ4", (1, 1, 1)), ("Zstd", (1, 1, 8)), ("Gzip", (1, 1, 1)), ("Deflate", (4, 1, 1)),
    ("Snappy", (1, 1, 1)),
])  # fmt: skip
def test_alignments(
    library: nvcomp.NvCompLibrary, fmt: str, expected: tuple[int, int, int]
) -> None:
    """The options struct is passed by value, so an answer at all says that it arrived."""
    assert library.alignments(fmt) == expected


def test_zstd_wants_about_three_times_the_decoded_bytes(library: nvcomp.NvCompLibrary) -> None:
    total = 1000 * 65536
    assert 2.5 < library.decompress_temp_bytes("Zstd", 1000, 65536, total) / total < 4
    assert library.decompress_temp_bytes("LZ4", 1000, 65536, total) < total // 100


def test_an_empty_batch_is_refused(library: nvcomp.NvCompLibrary) -> None:
    with pytest.raises(DeviceError, match="decompression of 0 LZ4 streams"):
        library.decompress("LZ4", 0, 0, 0, 0, 0, 0, 0, 0, 0, None)


def test_status_texts(library: nvcomp.NvCompLibrary) -> None:
    assert "decompressed" in library.status_text(12)


def test_limits_are_those_of_the_headers(library: nvcomp.NvCompLibrary) -> None:
    folder = Path(library.path).parent.parent / "include" / "nvcomp"
    if not folder.is_dir():
        pytest.skip("the library came without headers")
    for fmt, limit in nvcomp.MAX_STREAM.items():
        text = (folder / f"{fmt.lower()}.h").read_text()
        name = f"nvcomp{fmt}(?:Naive)?DecompressionMaxAllowedChunkSize"
        shift, minus = re.findall(name + r" = \(1ull << (\d+)\)( - 1)?", text)[0]
        assert limit == (1 << int(shift)) - bool(minus)


def test_the_backend_is_the_first_word_of_the_options(library: nvcomp.NvCompLibrary) -> None:
    options = nvcomp._options()
    assert ctypes.sizeof(options) == 64
    assert bytes(options) == b"\x02\0\0\0" + bytes(60)


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    path = tmp_path / "libnvcomp.so.6"
    path.write_bytes(b"not ELF")
    with pytest.raises(MissingPackageError, match=re.escape(str(path))):
        nvcomp.NvCompLibrary(path)


def test_an_older_version_is_refused(
    library: nvcomp.NvCompLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvcomp.NvCompLibrary, "_properties", lambda _: ((4, 2, 0), 12000))
    text = r"4\.2\.0 .* is not supported: install 5\.x or 6\.x"
    with pytest.raises(MissingPackageError, match=text):
        nvcomp.NvCompLibrary(library.path)


def test_a_library_without_a_symbol(library: nvcomp.NvCompLibrary) -> None:
    with pytest.raises(MissingPackageError, match="has no nvcompBatchedLzmaDecompressAsync"):
        library._bind("nvcompBatchedLzmaDecompressAsync", [])


def test_the_newest_major_of_the_wheels_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = tmp_path / "lib64"
    lib.mkdir()
    monkeypatch.setattr(nvcomp, "_wheel_folders", lambda: [tmp_path / "lib", lib])
    (lib / "libnvcomp.so.5").touch()
    assert nvcomp.find_library() == str(lib / "libnvcomp.so.5")
    (lib / "libnvcomp.so.6").touch()
    assert nvcomp.find_library() == str(lib / "libnvcomp.so.6")


def test_a_regular_package_nvidia_does_not_hide_the_wheel(
    library: nvcomp.NvCompLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path(library.path).parent not in nvcomp._wheel_folders():
        pytest.skip("the library is of no wheel")
    (tmp_path / "nvidia").mkdir()
    (tmp_path / "nvidia" / "__init__.py").touch()
    for name in [name for name in sys.modules if name.partition(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.util.find_spec("nvidia.libnvcomp") is None
    assert nvcomp.find_library() == library.path


def test_without_wheels_the_loader_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvcomp, "_wheel_folders", list)
    asked: list[str] = []

    def load(name: str, mode: int) -> Any:
        asked.append(name)
        if name.endswith("5"):
            return object()
        raise OSError(name)

    monkeypatch.setattr(nvcomp.ctypes, "CDLL", load)
    assert nvcomp.find_library() == "libnvcomp.so.5"
    assert asked == ["libnvcomp.so.6", "libnvcomp.so.5"]


def test_five_has_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """5.x: GetTempSizeAsync, without a stream. The symbols are those of 5.3."""
    calls: list[tuple[str, int]] = []

    class Function:
        argtypes: Any = None
        restype: Any = None

        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, *args: Any) -> int:
            calls.append((self.name, len(args)))
            if self.name == "nvcompGetProperties":
                args[0]._obj.version = 5300
            return 0

    class Five:
        def __getattr__(self, name: str) -> Function:
            if name.endswith("GetTempSize"):
                raise AttributeError(name)
            return Function(name)

    monkeypatch.setattr(nvcomp.ctypes, "CDLL", lambda *_, **__: Five())
    found = nvcomp.NvCompLibrary("libnvcomp.so.5")
    assert found.version == (5, 3, 0)
    found.decompress_temp_bytes("Zstd", 1, 2, 3)
    assert calls[-1] == ("nvcompBatchedZstdDecompressGetTempSizeAsync", 5)
    found.decompress("Zstd", 1, 2, 3, 4, 5, 6, 7, 8, 9, None)
    assert calls[-1] == ("nvcompBatchedZstdDecompressAsync", 11)


def test_no_library_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, mode: int) -> Any:
        raise OSError(name)

    monkeypatch.setattr(nvcomp, "_wheel_folders", list)
    monkeypatch.setattr(nvcomp.ctypes, "CDLL", refuse)
    assert nvcomp.find_library() is None
    assert nvcomp.load.__wrapped__() is None


def test_a_library_that_gives_no_version(
    library: nvcomp.NvCompLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_bind", lambda *_: lambda _: 7)
    with pytest.raises(MissingPackageError, match=r"gives no version \(status 7\)"):
        library._properties()
