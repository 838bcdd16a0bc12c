"""Every kernel compiles for every architecture, with NVRTC alone: no driver, no GPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cuzarr.cuda import kernels
from cuzarr.errors import DeviceError, MissingPackageError
from tests.emulation.build import load

ARCHS = ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"]
SMALL = {
    "a.cuh": "#define N 3\n",
    "a.cu": '#include "a.cuh"\nextern "C" __global__ void k(int* p) { *p = N; }\n',
}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A tiny set of sources, an empty cache, and a count of the compilations."""
    sources = dict(SMALL)
    compiled = []
    original = kernels.Nvrtc.compile

    def count(self, *args):
        compiled.append(args)
        return original(self, *args)

    monkeypatch.setattr(kernels, "kernel_sources", lambda: dict(sources))
    monkeypatch.setattr(kernels.Nvrtc, "compile", count)
    monkeypatch.setenv("CUZARR_CACHE_DIR", str(tmp_path))
    kernels._compiled.cache_clear()
    yield sources, compiled, tmp_path
    kernels._compiled.cache_clear()


@pytest.mark.parametrize("arch", ARCHS)
def test_every_kernel_compiles_without_spills_or_warnings(arch):
    nvrtc = kernels.find_nvrtc()
    options = (*kernels.OPTIONS, f"-arch={arch}", "--ptxas-options=-v")
    cubin, log = nvrtc.compile(kernels.kernel_sources(), options)
    assert cubin[:4] == b"\x7fELF"
    assert "warning" not in log, log
    for name in load().kernels:  # the names that the emulation found by preprocessing
        assert name.encode() + b"\0" in cubin
    assert max(spills(log, "copy_plane")) == 0, log  # the loops that move most of the data
    # What is done once per tile may keep a few registers in the stack.
    assert max(spills(log, "")) <= 128, log


def spills(log, function):
    """Bytes that each function whose name contains ``function`` spills, from the log of ptxas."""
    pattern = r"properties for (\S+)\n.*?(\d+) bytes spill stores"
    found = [int(spilled) for name, spilled in re.findall(pattern, log) if function in name]
    assert found
    return found


def test_options_keep_the_bits_of_ieee_arithmetic():
    assert {"-ftz=false", "-fmad=false", "-prec-div=true", "-prec-sqrt=true"} <= set(
        kernels.OPTIONS
    )


def test_the_key_depends_on_all_that_makes_a_cubin():
    keys = [
        kernels.cache_key(SMALL, ("-a",), (13, 0)),
        kernels.cache_key({**SMALL, "a.cuh": "#define N 4\n"}, ("-a",), (13, 0)),
        kernels.cache_key({**SMALL, "b.cu": ""}, ("-a",), (13, 0)),
        kernels.cache_key(SMALL, ("-b",), (13, 0)),
        kernels.cache_key(SMALL, ("-a",), (13, 1)),
    ]
    assert len(set(keys)) == len(keys)
    assert kernels.cache_key(dict(reversed(SMALL.items())), ("-a",), (13, 0)) == keys[0]


def test_a_cubin_is_compiled_once_per_machine(small):
    _, compiled, folder = small
    first = kernels.compile_kernels("sm_80")
    kernels._compiled.cache_clear()  # as another process would
    assert kernels.compile_kernels("sm_80") == first
    assert len(compiled) == 1
    assert kernels.compile_kernels("sm_90") != first
    assert len(list(folder.iterdir())) == 2


def test_a_changed_header_is_compiled_again(small):
    sources, compiled, _ = small
    first = kernels.compile_kernels("sm_80")
    sources["a.cuh"] = "#define N 4\n"
    assert kernels.compile_kernels("sm_80") != first
    assert len(compiled) == 2


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_cache_entry_is_not_believed(small, damage):
    _, compiled, folder = small
    first = kernels.compile_kernels("sm_80")
    (kept,) = folder.iterdir()
    good = kept.read_bytes()
    kept.write_bytes(good[:-1] + b"?" if damage is None else damage)
    kernels._compiled.cache_clear()
    assert kernels.compile_kernels("sm_80") == first
    assert kept.read_bytes() == good
    assert len(compiled) == 2


def test_a_cache_that_cannot_be_written_is_done_without(small, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("CUZARR_CACHE_DIR", str(blocked / "below"))
    assert kernels.compile_kernels("sm_80")[:4] == b"\x7fELF"


def test_the_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("CUZARR_CACHE_DIR", "/own")
    assert kernels.cache_folder() == Path("/own")
    monkeypatch.delenv("CUZARR_CACHE_DIR")
    assert kernels.cache_folder() == Path("/x/cuzarr")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert kernels.cache_folder() == Path.home() / ".cache" / "cuzarr"


def test_an_error_in_a_kernel_is_told_in_nvrtcs_words(small):
    sources, _, _ = small
    sources["a.cu"] = 'extern "C" __global__ void k() { undeclared = 1; }\n'
    with pytest.raises(
        DeviceError, match=r'(?s)cannot compile the kernels .*identifier "undeclared"'
    ):
        kernels.compile_kernels("sm_80")


def test_a_kernel_that_is_nowhere(small):
    assert kernels.cubin("k", "sm_80") == kernels.compile_kernels("sm_80")
    with pytest.raises(DeviceError, match="no kernel 'scatter_3' in a.cuh, a.cu"):
        kernels.cubin("scatter_3", "sm_80")


def test_the_nearest_architecture_of_the_generation_is_taken():
    nvrtc = kernels.Nvrtc("", (12, 4), (75, 80, 86, 90))
    assert nvrtc.target("sm_90") == "sm_90"
    assert nvrtc.target("sm_89") == "sm_86"
    with pytest.raises(DeviceError, match=r"NVRTC 12.4 cannot compile for sm_100: it knows sm_75"):
        nvrtc.target("sm_100")
    with pytest.raises(DeviceError, match="'90' is not an architecture"):
        nvrtc.target("90")


def test_no_nvrtc_says_what_to_install(monkeypatch):
    monkeypatch.setenv("CUZARR_NVRTC", "/nowhere/libnvrtc.so")
    with pytest.raises(MissingPackageError, match=r"install cuzarr\[cuda13\] or cuzarr\[cuda12\]"):
        kernels.find_nvrtc()


def test_nvrtc_is_found_in_both_layouts_of_the_wheels(monkeypatch, tmp_path):
    layouts = ["cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12"]
    for layout in [*layouts, "cuda_nvrtc/lib/libnvrtc.alt.so.12"]:
        path = tmp_path / "nvidia" / layout
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    class Spec:
        submodule_search_locations = (str(tmp_path / "nvidia"),)

    monkeypatch.delenv("CUZARR_NVRTC", raising=False)
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: Spec)
    found = kernels._candidates()
    assert found[:2] == tuple(str(tmp_path / "nvidia" / layout) for layout in layouts)
    assert not any("alt" in name for name in found)


def test_the_version_asked_for_is_preferred(monkeypatch):
    versions = {"a": (13, 0), "b": (12, 4)}
    monkeypatch.setattr(kernels, "_candidates", lambda: ("none", *versions))
    monkeypatch.setattr(
        kernels, "_load", lambda p: kernels.Nvrtc(p, versions[p], (90,)) if p in versions else None
    )
    assert [kernels.find_nvrtc(major).path for major in (None, 12, 13, 11)] == ["a", "b", "a", "a"]


def test_sources_that_are_nowhere_say_where_they_were_sought(monkeypatch, tmp_path):
    place = tmp_path / "site" / "cuzarr" / "cuda" / "kernels.py"
    monkeypatch.setattr(kernels, "__file__", str(place))
    with pytest.raises(DeviceError, match=r"site/cuzarr/_kernels or .*/kernels"):
        kernels.kernel_sources()
    installed = tmp_path / "site" / "cuzarr" / "_kernels"
    installed.mkdir(parents=True)
    (installed / "x.cu").write_text("x")
    (installed / "README.md").write_text("not a source")
    assert kernels.kernel_sources() == {"x.cu": "x"}


def test_a_cache_entry_appears_whole_or_not_at_all(monkeypatch, tmp_path):
    def fail(*_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(kernels.os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        kernels._keep(tmp_path / "cache" / "entry.cubin", b"cubin")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_toolkit_of_the_environment_is_a_candidate(monkeypatch):
    monkeypatch.delenv("CUZARR_NVRTC", raising=False)
    monkeypatch.setenv("CUDA_HOME", "/opt/toolkit")
    assert "/opt/toolkit/lib64/libnvrtc.so" in kernels._candidates()


def test_errors_of_nvrtc_are_told_in_its_words():
    class Library:
        class nvrtcGetErrorString:
            def __new__(cls, status):
                return f"NVRTC_ERROR_{status}".encode()

    with pytest.raises(DeviceError, match="NVRTC_ERROR_5"):
        kernels._check(Library, 5)
