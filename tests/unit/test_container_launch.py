"""What a container engine is told, word by word: what no engine here can be asked to prove."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pytest

from posttrainbench.budget import Limits
from posttrainbench.protocols import HOME, WORKSPACE, Mount, SandboxJob
from posttrainbench.sandboxes import container_launch
from posttrainbench.sandboxes.container_launch import command, run_options, skeleton
from posttrainbench.sandboxes.container_seccomp import seccomp_profile
from posttrainbench.sandboxes.gpus import Gpu, NvidiaDriver
from posttrainbench.sandboxes.python_runtime import PythonRuntime, python_runtime

OWN = PythonRuntime((), (), (), (), Mount(Path("/srv/posttrainbench"), "/opt/ptb/posttrainbench"), ())


def job(folder: Path, **changes: object) -> SandboxJob:
    mounts = (Mount(folder, WORKSPACE, writable=True), Mount(folder, "/opt/tools"))
    return SandboxJob(("sh", "-c", "true"), WORKSPACE, Limits(), mounts, **changes)  # type: ignore[arg-type]


def values(options: list[str], name: str) -> list[str]:
    return [after for option, after in itertools.pairwise(options) if option == name]


def binds(options: list[str]) -> dict[str, tuple[str, bool]]:
    """Path inside -> (path of the host, whether it may be written)."""
    found = {}
    for words in csv.reader(values(options, "--mount")):
        facts = dict(word.partition("=")[::2] for word in words)
        found[facts["destination"]] = facts["source"], "readonly" not in facts
    return found


def test_nothing_may_be_written_but_what_the_job_says(tmp_path: Path) -> None:
    shown = binds(run_options(job(tmp_path), python_runtime(), tmp_path / "kept", "x"))
    assert [inside for inside, (_, writable) in shown.items() if writable] == [WORKSPACE]
    assert shown["/opt/tools"] == (str(tmp_path), False)


def test_a_path_with_a_comma_stays_one_path(tmp_path: Path) -> None:
    folder = tmp_path / "a,readonly"
    folder.mkdir()
    assert binds(run_options(job(folder), OWN, tmp_path / "kept", "x"))[WORKSPACE] == (str(folder), True)


def test_an_image_with_its_own_python_gets_our_package_for_evaluations_alone(tmp_path: Path) -> None:
    agents = binds(run_options(job(tmp_path), OWN, tmp_path / "kept", "x"))
    evaluations = binds(run_options(job(tmp_path, package=True), OWN, tmp_path / "kept", "x"))
    assert set(evaluations) - set(agents) == {"/opt/ptb/posttrainbench"}
    assert not [inside for inside in agents if inside.startswith("/opt/venv")]


def test_a_home_is_given_where_the_job_brings_none(tmp_path: Path) -> None:
    given = values(run_options(job(tmp_path), OWN, tmp_path / "kept", "x"), "--tmpfs")
    assert any(word.startswith(f"{HOME}:") for word in given)


def test_gpus_are_asked_of_the_engine_by_their_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--gpus" not in run_options(job(tmp_path, gpus=0), OWN, tmp_path / "kept", "x")
    two = tuple(Gpu("NVIDIA H100", f"GPU-{n}", Path(f"/dev/nvidia{n}")) for n in range(2))

    class Two(NvidiaDriver):
        def gpus(self) -> tuple[Gpu, ...]:
            return two

    monkeypatch.setattr(container_launch, "HERE", Two())
    assert values(run_options(job(tmp_path, gpus=1), OWN, tmp_path / "kept", "x"), "--gpus") == [
        '"device=GPU-0"'
    ]


def test_what_engines_set_is_dropped_unless_the_job_sets_it() -> None:
    plain = SandboxJob(("true",), "/", Limits())
    through_relay = SandboxJob(("true",), "/", Limits(), environment={"HTTPS_PROXY": "http://127.0.0.1:1"})
    assert {"HOSTNAME", "HTTPS_PROXY", "https_proxy"} <= set(command(plain, "word")[4].split())
    assert "HTTPS_PROXY" not in command(through_relay, "word")[4].split()


def test_a_skeleton_is_made_once_and_by_content(tmp_path: Path) -> None:
    first = skeleton(python_runtime(), tmp_path)
    assert skeleton(python_runtime(), tmp_path) == first
    assert skeleton(OWN, tmp_path) != first
    assert (first / "opt/venv/bin/python").is_symlink()
    assert not list(tmp_path.glob(".*"))


def test_the_filter_refuses_what_seccomp_py_refuses() -> None:
    rules = json.loads(seccomp_profile())["syscalls"]
    whole = {name for rule in rules if not rule["args"] for name in rule["names"]}
    assert {"io_uring_setup", "keyctl", "mount", "bpf"} <= whole
    conditional = [
        (name, tuple(rule["args"][0].items())) for rule in rules if rule["args"] for name in rule["names"]
    ]
    assert sum(name == "chmod" for name, _ in conditional) == 2  # setuid, setgid
    assert sum(name == "socket" for name, _ in conditional) == 14  # 0, 3-9, 11-15, all above 16
