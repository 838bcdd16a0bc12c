"""Which device an array gets, and the reason: from the machine and the data type alone."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import cuzarr
from cuzarr import device as devices
from cuzarr.cuda.probe import Probe
from cuzarr.device import Device, open_backend, parse_device, resolve
from cuzarr.errors import DeviceError, NoDeviceError

TWO = Probe(2, "2 NVIDIA devices")
NONE = Probe(0, "no NVIDIA driver was found")


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "probe", lambda: TWO)


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "probe", lambda: NONE)


@pytest.mark.usefixtures("two_devices")
def test_devices_by_name() -> None:
    assert parse_device("auto") == "auto"
    assert parse_device("cpu") == "cpu"
    assert parse_device("cuda") == "cuda:0"
    assert parse_device("cuda:1") == "cuda:1"
    assert parse_device(Device("cuda:1", "of another array")) == "cuda:1"  # type: ignore[arg-type]
    with pytest.raises(NoDeviceError, match="device 'cuda:2' is not there: 2 NVIDIA devices"):
        parse_device("cuda:2")


@pytest.mark.usefixtures("no_device")
def test_a_device_that_is_not_there_is_an_error() -> None:
    for name in ("cuda", "cuda:0", "cuda:7"):
        with pytest.raises(DeviceError, match=f"device '{name}' is not there: no NVIDIA driver"):
            parse_device(name)
        with pytest.raises(NoDeviceError):
            cuzarr.create_array(None, shape=3, dtype="f4", device=name)
        with pytest.raises(NoDeviceError):
            cuzarr.create_group(None, device=name)


@pytest.mark.parametrize("wrong", ["gpu", "", "CPU", "cuda:", "cuda:-1", "cuda:x", "cpu:0", 0])
def test_names_that_are_no_device(wrong: object) -> None:
    with pytest.raises(ValueError, match=r'device=.* is not "auto", "cpu", "cuda" or "cuda:N"'):
        parse_device(wrong)  # type: ignore[arg-type]
    with (
        cuzarr.config.set({"device": wrong}),
        pytest.raises(ValueError, match="cuzarr.config device="),
    ):
        parse_device(None)


@pytest.mark.usefixtures("two_devices")
@pytest.mark.parametrize(
    ("dtype", "lives"),
    [
        *[(name, True) for name in ("?", "i1", "u8", ">i4", "f2", "f4", "f8", "c8", "c16")],
        *[(name, False) for name in ("S3", "U3", "M8[s]", "m8[D]", "O", "i4,f4", "V8")],
    ],
)
def test_auto_looks_at_the_data_type(dtype: str, lives: bool) -> None:
    kind = np.dtype(dtype)
    if lives:
        assert resolve("auto", kind) == Device("cuda:0", "auto: 2 NVIDIA devices")
        assert resolve("cuda:1", kind) == Device("cuda:1", 'device="cuda:1" was asked for')
    else:
        found = resolve("auto", kind)
        assert found.name == "cpu"
        assert found.reason == f"auto: data type {kind} cannot live on a CUDA device"
        with pytest.raises(NoDeviceError, match="cannot live on cuda:1: use device='cpu'"):
            resolve("cuda:1", kind)
    assert resolve("cpu", kind) == Device("cpu", 'device="cpu" was asked for')


@pytest.mark.usefixtures("no_device")
def test_auto_without_a_device_says_why() -> None:
    z = cuzarr.create_array(None, shape=3, dtype="f4", device="auto")
    assert (z.device, z.device_reason) == ("cpu", "auto: no NVIDIA driver was found")
    assert str(Device("cpu", "why")) == "cpu"


@pytest.mark.usefixtures("two_devices")
def test_a_device_is_resolved_at_the_first_access(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def probe() -> Probe:
        asked.append("probe")
        return TWO

    monkeypatch.setattr(devices, "probe", probe)
    z = cuzarr.create_array(None, shape=3, dtype="f4", device="auto")
    assert asked == []
    assert z.device == "cuda:0"
    assert z.device == "cuda:0"
    assert asked == ["probe"]


@pytest.mark.usefixtures("two_devices")
def test_groups_pass_their_device_on() -> None:
    root = cuzarr.create_group(None, device="cuda:1")
    root.create_array("a/b", shape=3, dtype="f4")
    root.create_array("c", shape=3, dtype="f4", device="cpu")
    assert root["a/b"].device == "cuda:1"
    assert root["a"]["b"].device == "cuda:1"
    assert dict(root.arrays())["c"].device == "cuda:1"  # nothing of the device is stored
    assert root["c"].to_device("cuda:0").device == "cuda:0"
    assert cuzarr.open_group(root.store, device="cpu")["c"].device == "cpu"


@pytest.mark.usefixtures("two_devices")
def test_configuration_is_the_default() -> None:
    with cuzarr.config.set({"device": "cuda:1"}):
        z = cuzarr.create_array(None, shape=3, dtype="f4")
        assert z.device == "cuda:1"
        assert cuzarr.create_array(None, shape=3, dtype="f4", device="cpu").device == "cpu"
        with pytest.raises(NoDeviceError, match="data type .* cannot live on cuda:1"):
            resolve(parse_device(None), np.dtype("S2"))
    assert z.device == "cuda:1"


def test_the_host_backend_is_made_once() -> None:
    backend = open_backend(Device("cpu", ""))
    assert backend is open_backend(Device("cpu", "another reason"))
    assert backend.name == "cpu"


def test_the_backend_of_a_device_gets_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cuzarr.cuda.open_backend", lambda number, host: (number, host.name))
    assert open_backend(Device("cuda:3", "")) == (3, "cpu")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("CUZARR_DEVICE", "cpu", "cpu"),
        ("CUZARR_DEVICE", "cuda:63", "NoDeviceError"),
        ("CUZARR_DEVICE", "tpu", "ValueError"),
        ("CUDA_VISIBLE_DEVICES", "", "cpu"),
    ],
)
def test_environment(variable: str, value: str, expected: str) -> None:
    script = (
        "import cuzarr\n"
        "try:\n"
        "    print(cuzarr.create_array(None, shape=3, dtype='f4').device)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), variable: value}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == expected, found.stderr


def test_importing_and_reading_on_the_host_loads_no_gpu_package() -> None:
    script = (
        "import sys, cuzarr\n"
        "z = cuzarr.zeros(3, device='cpu'); z[...] = 1; z[...]\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'cupy', 'kvikio', 'torch'}))\n"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
