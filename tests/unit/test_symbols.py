"""Looking for codec functions: what is missing, or answers wrongly, is left out."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from cuzarr.native import symbols
from cuzarr.native.symbols import Functions, find_functions

NAMES = (
    "LZ4_decompress_safe", "LZ4_decompress_safe_partial", "ZSTD_createDCtx", "ZSTD_freeDCtx",
    "ZSTD_decompressDCtx", "ZSTD_decompressBegin", "ZSTD_nextSrcSizeToDecompress",
    "ZSTD_decompressContinue", "ZSTD_versionNumber", "blosclz_decompress", "uncompress",
    *symbols._ZSTD_ENCODER.values(),
)  # fmt: skip


class Library:
    """A library whose functions all answer the same."""

    def __init__(self, answer: int, *missing: str) -> None:
        self.functions = {name: _function(answer) for name in NAMES if name not in missing}

    def __getitem__(self, name: str) -> Any:
        if name not in self.functions:
            raise AttributeError(name)
        return self.functions[name]


def _function(answer: int) -> Any:
    def function(*args: Any) -> int:
        return answer

    return function


def test_all_are_found_in_numcodecs() -> None:
    found = find_functions()
    assert all(found.addresses())
    assert found.codecs == {"raw", "lz4", "zstd", "blosc"}


@pytest.mark.parametrize(
    "library", [Library(0), Library(3), Library(0, *NAMES)], ids=["zero", "three", "none"]
)
def test_functions_that_answer_wrongly(monkeypatch: pytest.MonkeyPatch, library: Any) -> None:
    monkeypatch.setattr(symbols, "_library", lambda name: library)
    assert find_functions() == Functions()
    assert Functions().codecs == {"raw"}


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert symbols._library("no.such.module") is None
    monkeypatch.setattr(symbols, "_library", lambda name: None)
    assert find_functions() == Functions()


def test_a_library_of_old_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole chunks are decoded all the same where the steps of zstd and partial LZ4 are missing."""
    real = symbols._library("numcodecs.blosc")
    newer = {"LZ4_decompress_safe_partial", "ZSTD_nextSrcSizeToDecompress"}

    class Old:
        def __getitem__(self, name: str) -> Any:
            if name in newer:
                raise AttributeError(name)
            return real[name]

    monkeypatch.setattr(symbols, "_library", lambda name: Old())
    found = find_functions()
    assert (found.lz4_partial, found.zstd_begin, found.zstd_step) == (0, 0, 0)
    assert found.codecs == {"raw", "lz4", "zstd", "blosc"}


@pytest.mark.parametrize("wrong", ["length", "bytes"])
def test_a_partial_decoder_that_returns_another_text(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def partial(source: bytes, out: Any, size: int, wanted: int, room: int) -> int:
        ctypes.memset(out, ord("x"), wanted)
        return wanted if wrong == "bytes" else wanted + 1

    library = Library(0)
    library.functions["LZ4_decompress_safe_partial"] = partial
    monkeypatch.setattr(symbols, "_library", lambda name: library)
    assert find_functions().lz4_partial == 0


def test_a_zstd_context_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not symbols._zstd_works(Library(0))
    assert not symbols._zstd_steps_work(Library(0))
    assert not symbols._zstd_encodes(Library(0))


@pytest.mark.parametrize("packed", [0, -1, 16, 40, 10_000])
def test_a_blosc_that_makes_no_container(packed: int) -> None:
    library = Library(0)
    library.functions["blosc_compress_ctx"] = _function(packed)
    assert not symbols._blosc_encodes(library)


def test_a_zstd_context_that_does_nothing_right() -> None:
    assert not symbols._zstd_steps_work(Library(3))
    assert not symbols._zstd_encodes(Library(3))
    steps = Library(1)
    steps.functions["ZSTD_decompressBegin"] = _function(0)
    steps.functions["ZSTD_nextSrcSizeToDecompress"] = _function(10_000)  # more than there is
    assert not symbols._zstd_steps_work(steps)


@pytest.mark.parametrize("newer", ["numcodecs.zstd", "backports.zstd._zstd"])
def test_the_newest_zstd_encodes(monkeypatch: pytest.MonkeyPatch, newer: str) -> None:
    pytest.importorskip("backports.zstd")
    find = symbols._library
    libraries = {name: find(name) for name in ("numcodecs.zstd", "backports.zstd._zstd")}

    class Versioned:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, symbol: str) -> Any:
            if symbol == "ZSTD_versionNumber":
                return _function(10507 if self.name == newer else 10506)
            return libraries[self.name][symbol]

    monkeypatch.setattr(symbols, "_library", lambda n: Versioned(n) if n in libraries else find(n))
    expected = symbols._address(libraries[newer], "ZSTD_compress2")
    assert find_functions().zstd_encode == expected
