"""What Apptainer is told, word by word: it could not be had, so what it makes of it is unproven."""

from __future__ import annotations

from pathlib import Path

import pytest

from posttrainbench.budget import Limits
from posttrainbench.errors import SandboxUnavailable, SetupError
from posttrainbench.protocols import HOME, WORKSPACE, Mount, SandboxJob
from posttrainbench.sandboxes.apptainer import Apptainer, arguments, environment


def job(*mounts: Mount, **changes: object) -> SandboxJob:
    return SandboxJob(("python", "work.py"), WORKSPACE, Limits(), mounts, **changes)  # type: ignore[arg-type]


def binds(told: list[str]) -> list[str]:
    return [after for word, after in zip(told, told[1:], strict=False) if word == "--bind"]  # noqa: RUF007


def test_it_is_told_to_contain_everything(tmp_path: Path) -> None:
    given = job(Mount(tmp_path, WORKSPACE, writable=True), Mount(tmp_path, "/opt/tools"))
    told = arguments(given, "agent.sif", tmp_path / "scratch", "word")
    options = told[: told.index("agent.sif")]
    assert {"--containall", "--cleanenv", "--no-home", "--userns", "--no-privs"} <= set(options)
    assert options[options.index("--network") + 1] == "none"
    assert binds(told) == [
        f"{tmp_path}/scratch/home:{HOME}:rw",
        f"{tmp_path}:{WORKSPACE}:rw",
        f"{tmp_path}:/opt/tools:ro",
    ]
    assert told[-2:] == ["python", "work.py"]
    assert "--nv" not in told
    assert "--nv" in arguments(job(gpus=1), "agent.sif", tmp_path, "word")


def test_a_path_that_it_cannot_be_told_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="colon"):
        arguments(job(Mount(tmp_path / "a:rw", "/opt/a")), "agent.sif", tmp_path, "word")


def test_nothing_of_our_environment_goes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_KEY", "secret")
    monkeypatch.setenv("APPTAINERENV_PROVIDER_KEY", "secret")
    given = environment(job(environment={"MODEL": "a,b\nc"}))
    assert "secret" not in given.values()
    assert given["APPTAINERENV_MODEL"] == "a,b\nc"
    assert {name for name in given if not name.startswith("APPTAINERENV_")} == {"PATH"}


def test_where_it_is_missing_that_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="not installed"):
        Apptainer().isolation()
