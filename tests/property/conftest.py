"""Fixtures of the property tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.devices import use_device


@pytest.fixture
def device(device_kind: str) -> Iterator[str]:
    """The name to pass as ``device=``; ``tests.devices.to_numpy`` brings results to the host."""
    with use_device(device_kind) as name:
        yield name
