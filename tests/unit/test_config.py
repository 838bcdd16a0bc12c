"""cuzarr.config: keys, those of zarr-python, and the reports of a problem."""

from __future__ import annotations

import io
import subprocess
import sys

import numcodecs
import numpy as np
import pytest

import cuzarr
from cuzarr import errors, registry
from cuzarr.config import ArrayConfig
from cuzarr.debug import debug_info, print_debug_info


def test_keys_of_zarr_python() -> None:
    with cuzarr.config.set({"array.write_empty_chunks": True, "threading": {"max_workers": 3}}):
        assert cuzarr.config.get("write_empty_chunks") is True
        assert cuzarr.config.get("array.write_empty_chunks") is True
        assert cuzarr.config.get("host.threads") == 3
    assert cuzarr.config.get("host.threads") is None
    with cuzarr.config.set(array__order="F", json_indent=4):
        assert cuzarr.config.get("order") == "F"
        assert cuzarr.config.get("json_indent") == 4
    assert cuzarr.config.get("order") == "C"
    assert cuzarr.config.get("nothing", 5) == 5
    with pytest.raises(KeyError):
        cuzarr.config.get("nothing")


def test_reset() -> None:
    cuzarr.config.set({"order": "F"})
    cuzarr.config.reset()
    assert cuzarr.config.get("array.order") == "C"


def test_enable_gpu() -> None:
    with cuzarr.config.enable_gpu():
        assert cuzarr.config.get("device") == "cuda"


def test_environment() -> None:
    code = "import cuzarr; print(cuzarr.config.get('order'), cuzarr.config.get('host.threads'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        env={"CUZARR_ORDER": "F", "CUZARR_HOST__THREADS": "2", "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout.split() == ["F", "2"]


def test_array_config() -> None:
    class Theirs:
        order = "F"
        write_empty_chunks = True

    assert ArrayConfig.of(Theirs()) == ArrayConfig("F", True)
    assert ArrayConfig.of(None) == ArrayConfig.of({}) == ArrayConfig()


def test_debug_info() -> None:
    file = io.StringIO()
    print_debug_info(file)
    lines = file.getvalue().splitlines()
    assert f"python: {sys.version.split()[0]}" in lines
    assert any(line.startswith("numpy: ") for line in lines)
    assert len(lines) == len(debug_info())
    assert cuzarr.print_debug_info is print_debug_info


def test_modules_are_found_without_an_import() -> None:
    code = "import cuzarr; cuzarr.dtype.Int8; cuzarr.abc.__name__; cuzarr.api.asynchronous.open"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="module 'cuzarr' has no attribute 'nothing'"):
        _ = cuzarr.nothing
    with pytest.raises(AttributeError, match=r"module 'cuzarr.api' has no attribute 'nothing'"):
        _ = cuzarr.api.nothing


def test_registry() -> None:
    assert registry.get_codec_class("zstd") is cuzarr.codecs.ZstdCodec
    with pytest.raises(KeyError):
        registry.get_codec_class("nothing")


def test_errors_by_the_names_of_zarr_python() -> None:
    with pytest.raises(errors.ArrayIndexError):
        cuzarr.zeros(3)[5]
    with pytest.raises(errors.BaseZarrError):
        cuzarr.open_array({}, mode="r")
    with pytest.raises(errors.MetadataValidationError):
        cuzarr.zeros(3, dtype="nothing")


@pytest.mark.parametrize("key", ["host.wave_chunks", "host.run_bytes"])
@pytest.mark.parametrize("value", [0, -1, "x", 1.5, True, None])
def test_counts_must_be_positive_integers(key: str, value: object) -> None:
    z = cuzarr.create_array({}, data=range(100), chunks=(7,), dtype="i4", device="cpu")
    wrapped = cuzarr.create_array(
        {}, data=range(100), chunks=(7,), dtype="i4", compressors=[{"name": "gzip"}], device="cpu"
    )
    with cuzarr.config.set({key: value}):
        with pytest.raises(ValueError, match=rf"{key} must be a positive integer, not {value!r}"):
            wrapped[...]
        if key == "host.wave_chunks":
            with pytest.raises(ValueError, match=key):
                z[:50] = 1
    assert z[...].tolist() == list(range(100))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"order": "X"}, "order must be one of 'C', 'F', not 'X'"),
        ({"array.order": "X"}, "order must be one of"),
        ({"write_empty_chunks": "yes"}, "write_empty_chunks must be one of False, True"),
        ({"array": {"read_missing_chunks": None}}, "read_missing_chunks must be one of"),
        ({"cuda.fetch": "gds"}, "cuda.fetch must be one of 'native', 'kvikio'"),
        ({"host.thread": 4}, r"no setting host.thread: did you mean host.threads\?"),
        ({"host": {"nothing": 4}}, "no setting host.nothing"),
        ({"cuda": {"slab_byte": 4}}, "did you mean cuda.slab_bytes"),
        ({"cuda": {"fetch": "gds"}}, "cuda.fetch must be one of"),
        ({"cuda": None}, "cuda must be a mapping of settings, not None"),
    ],
)
def test_settings_that_are_not_there(given: dict[str, object], message: str) -> None:
    before = cuzarr.config.get("order"), cuzarr.config.get("host.threads")
    with pytest.raises(ValueError, match=message):
        cuzarr.config.set(given)
    assert (cuzarr.config.get("order"), cuzarr.config.get("host.threads")) == before


def test_names_of_numcodecs_are_there_as_they_were() -> None:
    assert cuzarr.Blosc is numcodecs.Blosc
    assert cuzarr.codecs.Delta is numcodecs.Delta
    with pytest.raises(AttributeError, match=r"'TempStore' \(a LocalStore in"):
        _ = cuzarr.storage.TempStore
    with pytest.raises(AttributeError, match=r"'nothing'$"):
        _ = cuzarr.codecs.nothing


@pytest.mark.parametrize(
    "given",
    [
        {"cuda.placement.zstd": "host"},
        {"host.wave-chunks": 70000},
        {"host.wave_chunks": 1e5},
        {"host": {"threads": 2, "wave-chunks": 3}},
        {"host.run_bytes": np.int64(64)},
    ],
)
def test_settings_of_other_spellings(given: dict[str, object]) -> None:
    with cuzarr.config.set(given):
        assert cuzarr.create_array({}, data=range(9), chunks=(2,), device="cpu")[...].sum() == 36
