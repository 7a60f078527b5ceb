"""GPUs in the sandboxes, with stand-ins: a made-up driver folder, device files that lead to /dev/null."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox_rooms import Room

from posttrainbench.sandboxes.bubblewrap import Bubblewrap
from posttrainbench.sandboxes.gpus import NvidiaDriver

MODEL = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NvidiaDriver:
    """Three GPUs; the second's device file is not there for us."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    told, devices, libraries = tmp_path / "gpus", tmp_path / "dev", tmp_path / "driver"
    for n in range(3):
        (told / f"0000:0{n}:00.0").mkdir(parents=True)
        text = f"Model: \t\t {MODEL}\nIRQ: 7\nGPU UUID: \t GPU-{n}{n}\nDevice Minor: \t {n}\n"
        (told / f"0000:0{n}:00.0" / "information").write_text(text)
    devices.mkdir()
    for name in ("nvidia0", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (devices / name).symlink_to("/dev/null")
    libraries.mkdir()
    for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libother.so"):
        (libraries / name).write_text(name)
    return NvidiaDriver(told, devices, (libraries,))


def test_the_gpus_are_those_whose_device_files_are_ours(driver: NvidiaDriver) -> None:
    assert [(gpu.model, gpu.uuid) for gpu in driver.gpus()] == [(MODEL, "GPU-00"), (MODEL, "GPU-22")]


@pytest.mark.parametrize(("chosen", "uuids"), [("1", ["GPU-22"]), ("GPU-0", ["GPU-00"]), ("", []), ("7", [])])
def test_a_schedulers_choice_holds(
    driver: NvidiaDriver, monkeypatch: pytest.MonkeyPatch, chosen: str, uuids: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert [gpu.uuid for gpu in driver.gpus()] == uuids


SHOW = (
    'for f in /dev/nvidia* /opt/nvidia/*; do echo "$f"; done; echo "ids=$CUDA_VISIBLE_DEVICES"\n'
    'test -c /dev/nvidia0 && echo written > /dev/nvidia0 && echo usable; cat /opt/nvidia/libcuda.so.1\n'
    'case ":$LD_LIBRARY_PATH:" in *:/opt/nvidia:*) echo; echo searched;; esac\n'
)  # fmt: skip


def test_a_sandbox_sees_as_many_gpus_as_its_job_says(bwrap: Room, driver: NvidiaDriver) -> None:
    room = replace(bwrap, sandbox=Bubblewrap(driver=driver))
    seen = room.run("sh", "-c", SHOW, gpus=1).output.split()
    devices = [line for line in seen if line.startswith("/dev/")]
    assert devices == ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"]
    assert [line for line in seen if line.startswith("/opt/")] == [
        "/opt/nvidia/libcuda.so.1",
        "/opt/nvidia/libnvidia-ml.so.1",
    ]
    assert {"ids=GPU-00", "usable", "libcuda.so.1", "searched"} <= set(seen)


def test_a_job_without_gpus_sees_none(bwrap: Room, driver: NvidiaDriver) -> None:
    room = replace(bwrap, sandbox=Bubblewrap(driver=driver))
    seen = room.run("sh", "-c", "ls /dev; ls /opt; echo ids=$CUDA_VISIBLE_DEVICES").output
    assert "nvidia" not in seen
    assert "ids=\n" in seen


def test_python_still_finds_its_library_beside_the_drivers(bwrap: Room, driver: NvidiaDriver) -> None:
    room = replace(bwrap, sandbox=Bubblewrap(driver=driver))
    assert room.run("python", "-c", "print('runs')", gpus=2).output == "runs\n"


def test_a_gpus_device_file_keeps_its_mode(bwrap: Room, driver: NvidiaDriver) -> None:
    """Started by root, the user inside owns the host's device files: the mode would be everybody's."""
    device = driver.devices / "nvidia0"
    device.unlink()
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # what /dev/null is
        device.open("wb").close()
    except PermissionError:
        pytest.skip("no device files may be made here")
    device.chmod(0o666)
    room = replace(bwrap, sandbox=Bubblewrap(driver=driver))
    room.run("sh", "-c", "chmod 600 /dev/nvidia0", gpus=1)
    assert stat.S_IMODE(device.stat().st_mode) == 0o666
