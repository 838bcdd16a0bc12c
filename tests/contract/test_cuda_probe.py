"""The probe: what it says on machines of every kind, and that it creates no CUDA state."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cuzarr.cuda import probe as probing
from cuzarr.cuda.probe import Driver, Probe, count_visible, cupy_problem, probe, query_driver

UUIDS = ("GPU-aaaa-1", "GPU-bbbb-2")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    probe.cache_clear()
    yield
    probe.cache_clear()


def machine(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | None, problem: str | None = None
) -> None:
    monkeypatch.setattr(probing, "query_driver", lambda: driver)
    monkeypatch.setattr(probing, "cupy_problem", lambda _: problem)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, None)
    assert probe() == Probe(0, "no NVIDIA driver was found")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, Driver(UUIDS, (13, 0)))
    assert probe() == Probe(2, "2 NVIDIA devices")
    probe.cache_clear()
    machine(monkeypatch, Driver(UUIDS[:1], (13, 0)))
    assert probe() == Probe(1, "1 NVIDIA device")
    machine(monkeypatch, None)
    assert probe().count == 1  # the answer is kept


def test_a_driver_without_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, Driver((), (13, 0)))
    assert probe() == Probe(0, "the NVIDIA driver has no device")


def test_devices_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, Driver(UUIDS, (12, 8)), "CuPy is not installed: ...")
    assert probe() == Probe(0, "2 NVIDIA devices, but CuPy is not installed: ...")


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles"])
def test_hidden_by_the_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    machine(monkeypatch, Driver(UUIDS, (13, 0)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert probe() == Probe(0, f"CUDA_VISIBLE_DEVICES={value!r} hides every device")


def test_shown_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, Driver(UUIDS, (13, 0)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert probe().count == 1
    probe.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert probe().reason == "the NVIDIA driver has no device that CUDA_VISIBLE_DEVICES='7' shows"


@pytest.mark.parametrize(("visible", "count"), [
    ("0", 1), ("0,1", 2), ("1,0", 2), ("0,5,1", 1), ("GPU-bbbb", 1), ("GPU-bbbb-2,GPU-aaaa-1", 2),
    ("GPU-cccc", 0), ("MIG-1/2/3", 1), ("0, 1", 2), ("-1,0", 0), ("0,,1", 1),
])  # fmt: skip
def test_count_visible(visible: str, count: int) -> None:
    assert count_visible(visible, UUIDS) == count


def test_cupy_is_looked_up_but_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing.importlib.util, "find_spec", lambda _: None)
    assert cupy_problem((12, 8)) == "CuPy is not installed: pip install 'cuzarr[cuda12]'"
    assert cupy_problem((13, 0)) == "CuPy is not installed: pip install 'cuzarr[cuda13]'"
    monkeypatch.setattr(probing.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(probing, "_installed", lambda name: name == "cupy-cuda13x")
    assert cupy_problem((13, 0)) is None
    assert "needs a newer driver (this one runs CUDA 12.8)" in str(cupy_problem((12, 8)))
    assert probing.importlib.util.find_spec("cupy") is not None
    assert "cupy" not in sys.modules or sys.modules["cupy"] is not None


class Nvml:
    """Stands for libnvidia-ml with two devices; ``fail`` names a function that fails."""

    def __init__(self, fail: str = "") -> None:
        self.fail, self.calls = fail, []

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> int:
            self.calls.append(name)
            if name == self.fail:
                return 999
            if name == "nvmlDeviceGetCount_v2":
                args[0]._obj.value = 2
            if name == "nvmlSystemGetCudaDriverVersion_v2":
                args[0]._obj.value = 12080
            if name == "nvmlDeviceGetUUID":
                args[1].value = b"GPU-x"
            return 0

        return call


def test_nvml_is_asked_and_shut_down() -> None:
    nvml = Nvml()
    assert query_driver(lambda name: nvml) == Driver(("GPU-x", "GPU-x"), (12, 8))
    assert nvml.calls[0] == "nvmlInit_v2"
    assert nvml.calls[-1] == "nvmlShutdown"


@pytest.mark.parametrize(
    "function", ["nvmlInit_v2", "nvmlDeviceGetCount_v2", "nvmlSystemGetCudaDriverVersion_v2"]
)
def test_nvml_that_fails_means_no_driver(function: str) -> None:
    assert query_driver(lambda name: Nvml(function)) is None


@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID"])
def test_a_device_without_uuid_counts(function: str) -> None:
    assert query_driver(lambda name: Nvml(function)) == Driver(("", ""), (12, 8))


def test_no_libraries() -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    assert query_driver(missing) is None


def test_a_container_without_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        status = 0

        def cuDriverGetVersion(self, version: Any) -> int:
            version._obj.value = 13000
            return self.status

    def only_libcuda(name: str) -> Any:
        if name == "libcuda.so.1":
            return Cuda()
        raise OSError(name)

    monkeypatch.setattr(probing, "_PROC", tmp_path / "gpus")
    assert query_driver(only_libcuda) == Driver((), (13, 0))
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    assert query_driver(only_libcuda) == Driver(("",), (13, 0))
    Cuda.status = 1
    assert query_driver(only_libcuda) is None


def _reason(queue: Any) -> None:
    queue.put(probe().reason)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_stays_on_the_cpu() -> None:
    code = (
        "import multiprocessing as m, cuzarr.cuda.probe as p\n"
        "def child(q): q.put(p.probe())\n"
        "c = m.get_context('fork'); q = c.SimpleQueue()\n"
        "w = c.Process(target=child, args=(q,)); w.start(); print(q.get()); w.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "count=0" in done.stdout
    assert "this process was forked" in done.stdout


def test_a_spawned_child_asks_again() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    child = context.Process(target=_reason, args=(queue,))
    child.start()
    assert "forked" not in queue.get()
    child.join()


def test_importing_the_backend_imports_neither_cupy_nor_nvcomp() -> None:
    code = (
        "import sys, cuzarr, cuzarr.cuda, cuzarr.cuda.probe as p; p.probe()\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('cupy', 'nvidia', 'kvikio')])\n"
        "print([l for l in open('/proc/self/maps') if 'nvcomp' in l or 'nvrtc' in l])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_distributions_that_are_installed() -> None:
    assert probing._installed("numpy")
    assert not probing._installed("no-such-distribution")


def test_a_device_that_nvml_cannot_name() -> None:
    class Nvml:
        handle, uuid = 0, 0

        def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
            return self.handle

        def nvmlDeviceGetUUID(self, handle: Any, text: Any, size: int) -> int:
            text.value = b"GPU-1"
            return self.uuid

    nvml = Nvml()
    assert probing._uuid(nvml, 0) == "GPU-1"
    nvml.uuid = 3
    assert probing._uuid(nvml, 0) == ""
    nvml.handle = 3
    assert probing._uuid(nvml, 0) == ""


def test_a_forked_process_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, Driver(UUIDS, (13, 0)))
    monkeypatch.setitem(probing._fork, "done", False)
    assert probe().count == 2
    probing._after_fork()
    assert probe() == Probe(0, probing.FORKED)
