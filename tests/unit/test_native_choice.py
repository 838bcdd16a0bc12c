"""Which implementation of the native calls is taken: the extension, or the twin without it."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from cuzarr import native
from cuzarr.native import twin


def chosen() -> ModuleType:
    """Return the module as it comes about now, beside the one that is in use."""
    spec = importlib.util.spec_from_file_location("another_native", native.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_twin(module: ModuleType) -> bool:
    assert module.crc32c(b"123456789") == 0xE3069283
    return not module.HAVE_NATIVE and module.extension is None and module.calls._do is twin


def test_an_extension_that_was_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(native, "_native", raising=False)
    monkeypatch.setitem(sys.modules, "cuzarr.native._native", None)
    assert is_twin(chosen())


def test_an_extension_of_older_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    older = ModuleType("cuzarr.native._native")
    names = [*twin.__all__, "write_wave"]
    vars(older).update(dict.fromkeys(names))
    monkeypatch.setattr(native, "_native", older, raising=False)
    assert chosen().extension is older
    for name in names:
        monkeypatch.delattr(older, name)
        assert is_twin(chosen())
        monkeypatch.undo()
        monkeypatch.setattr(native, "_native", older, raising=False)


def test_an_extension_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUZARR_NATIVE", "0")
    module = chosen()
    assert not module.HAVE_NATIVE
    assert module.extension is native.extension
    assert module.calls._do is twin
