"""``--device cuda`` runs the contract tests of the CUDA backend on the real device."""

from __future__ import annotations

import pytest

from tests.contract import cuda_cases


def pytest_configure(config: pytest.Config) -> None:
    cuda_cases.use_real_device(config.getoption("--device", None) == "cuda")
