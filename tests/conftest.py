"""Options of the suite.

``--device host | emulated | cuda`` picks where the parametrised tests run; without it, on the host
and on the emulated device. Tests marked ``gpu`` are skipped on a machine without a usable device,
and with ``--device cuda`` they fail there instead.

A test that names no device runs on the host: on a machine with one, "auto" would be another test
there than everywhere else.

Hypothesis has no deadline per example: a busy machine is no failure. A test whose id holds an
address is refused, since processes that run the suite together must agree on the ids.
"""

from __future__ import annotations

import os

import hypothesis
import pytest

from cuzarr.config import config
from cuzarr.cuda.probe import probe
from tests.emulation.runtime import OPEN

hypothesis.settings.register_profile("cuzarr", deadline=None)
hypothesis.settings.load_profile("cuzarr")

KINDS = ("host", "emulated", "cuda")

if probe().count:
    os.environ.setdefault("CUZARR_DEVICE", "cpu")  # for child processes too
    config.refresh()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", choices=KINDS, help="where the parametrised tests run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise tests that take ``device_kind``."""
    if "device_kind" in metafunc.fixturenames:
        picked = metafunc.config.getoption("--device")
        metafunc.parametrize("device_kind", [picked] if picked else ["host", "emulated"])


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Close the emulated devices that a test left open: they do what is queued, and are checked.

    They share one memory and a history of its bytes, which are kept until the last one is closed.
    """
    for runtime in list(OPEN):
        runtime.close(check=runtime.scheduler.failure is None, held=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if unstable:
        raise pytest.UsageError(f"ids differ in every process, give ids=: {unstable}")
    if config.getoption("--device") == "cuda":
        return
    found = probe()
    for item in items:
        if item.get_closest_marker("gpu") and found.count == 0:
            item.add_marker(pytest.mark.skip(reason=found.reason))
