"""The README's Python examples run, in order, as one program in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python( gpu)?\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUZARR_DEVICE", "cpu")
    namespace: dict[str, object] = {}
    for _, source in (block for block in BLOCKS if not block[0]):
        exec(compile(source, f"README.md:{_line(source)}", "exec"), namespace)


@pytest.mark.gpu
def test_the_gpu_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for _, source in BLOCKS[:-1]:
        exec(compile(source, f"README.md:{_line(source)}", "exec"), namespace)


def test_the_gpu_examples_are_python():
    sources = [source for gpu, source in BLOCKS if gpu]
    assert sources
    for source in sources:
        compile(source, "README.md", "exec")


def test_linked_files_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text())
    missing = [link for link in links if not (README.parent / link).exists()]
    assert links
    assert not missing


def _line(source: str) -> int:
    text = README.read_text()
    return text.count("\n", 0, text.index(source)) + 1
