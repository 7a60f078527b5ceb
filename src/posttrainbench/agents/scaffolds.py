"""Stock command lines as agents: a row in scaffolds.toml each, installed once, shown read-only inside.

A package's own scripts would run as us, outside any sandbox: none does but the one that a row names.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from posttrainbench.agents.failures import FailureReport, told_failure
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.protocols import AgentCommand, Mount
from posttrainbench.record import AgentSpec
from posttrainbench.task import Task

ROWS = Path(__file__).with_name("scaffolds.toml")
LOCKS = Path(__file__).with_name("locks")  # NAME-VERSION.txt: a Python scaffold with all that it needs
INSIDE = "/opt/scaffold"
_PATH = f"{INSIDE}/node_modules/.bin:/opt/venv/bin:/usr/local/bin:/usr/bin:/bin"
PACKAGES = "packages"  # within a Python scaffold's folder
FOLDER_VARIABLE = "PTB_SCAFFOLDS"
PROMPT = (
    "Your task is described in task.md in the current directory, its rules in rules.md. Read both, then "
    "carry the task out to the end. You work alone: nobody reads along and nobody answers questions. Use "
    "the time that you have; what lies in final_model/ when you stop, or when the time is up, is what counts."
)
EARLIER = (
    "An earlier session of yours worked on this task and stopped. You do not remember it; what it left lies "
    "in this folder. Look at that first."
)


class Scaffold(BaseModel):
    """A row: how one program is installed, started and continued."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    npm: str | None = None  # its package there
    pip: str | None = None  # or there
    version: str  # one that was seen working
    after_install: str | None = None  # a script of the package that must run, and the only one that does
    api: str  # the model API that it speaks to, by its name at the gateway
    transcript: str  # the form of what it prints
    says_version: tuple[str, ...]
    argv: tuple[str, ...]
    resume: tuple[str, ...] = ()  # goes on with its session; empty: it knows none, and starts afresh
    efforts: Mapping[str, str] = {}  # reasoning efforts that it knows -> what it calls them
    environment: Mapping[str, str] = {}
    files: Mapping[str, str] = {}  # within its home
    failures: tuple[FailureReport, ...] = ()  # how its output tells that it failed
    statuses: Mapping[str, str] = {}  # what its exit statuses mean

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.npm is None) == (self.pip is None):
            raise ValueError("name its package: npm or pip, not both")
        return self


@functools.cache
def scaffolds() -> Mapping[str, Scaffold]:
    """Every row, by name."""
    table = tomllib.loads(ROWS.read_text(encoding="utf-8"))
    return {name: Scaffold.model_validate(row) for name, row in table.items()}


def scaffold_named(name: str) -> Scaffold:
    if name not in scaffolds():
        raise UnknownName("scaffold", name, scaffolds())
    return scaffolds()[name]


# --- installing ---------------------------------------------------------------------------------------------


def folder_of(name: str, version: str) -> Path:
    """Where a scaffold at a version is, or would be, installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(os.environ.get(FOLDER_VARIABLE) or cache / "posttrainbench" / "scaffolds")
    return root / f"{name}-{version}"


def install(name: str, version: str | None = None) -> Path:
    """Fetch a scaffold into a folder of its own; at once, so that a half-fetched one is never used.

    Raises:
        SetupError: npm is missing, or it or pip failed; the text holds what it said.
    """
    row = scaffold_named(name)
    version = version or row.version
    folder = folder_of(name, version)
    if folder.exists():
        return folder
    half = folder.with_name(f".{folder.name}.{os.getpid()}")
    half.mkdir(parents=True)
    try:
        if row.npm is not None:
            _install_npm(row, row.npm, version, half)
        else:
            _install_pip(f"{row.pip}=={version}", LOCKS / f"{name}-{version}.txt", half)
        half.rename(folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def _install_npm(row: Scaffold, package: str, version: str, folder: Path) -> None:
    if shutil.which("npm") is None:
        raise SetupError(f"{row.title} comes from npm, which is missing; install Node.js 20 or newer")
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund"]
    _run(["npm", "install", *quiet, "--prefix", str(folder), f"{package}@{version}"])
    if row.after_install is not None:
        _run(["node", row.after_install], folder / "node_modules" / package)


def _install_pip(package: str, lock: Path, folder: Path) -> None:
    """Packages in a folder that only the scaffold's own command puts on its path: what it runs sees ours."""
    wanted = ["--requirement", str(lock)] if lock.is_file() else [package]
    quiet = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
    _run([sys.executable, "-m", "pip", "install", *quiet, "--target", str(folder / PACKAGES), *wanted])


def _run(argv: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise SetupError(f"{argv[0]} failed: {said}")


def trial(name: str) -> AgentCommand:
    """The command that prints a scaffold's version; it needs no network."""
    row = scaffold_named(name)
    return AgentCommand(row.says_version, {"PATH": _PATH}, (Mount(folder_of(name, row.version), INSIDE),))


# --- the agent ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScaffoldAgent:
    """A scaffold with its agent model and effort."""

    name: str
    row: Scaffold
    model: str
    version: str
    effort: str | None = None

    @staticmethod
    def made(
        name: str, model: str | None, effort: str | None = None, version: str | None = None
    ) -> ScaffoldAgent:
        """The agent that a name, a model and an effort make.

        Raises:
            SetupError: no model, or an effort that the scaffold does not know.
        """
        row = scaffold_named(name)
        if model is None:
            raise SetupError(f"{row.title} needs an LLM: --agent-model NAME")
        if effort is not None and effort not in row.efforts:
            known = ", ".join(row.efforts) or "none"
            raise SetupError(f"{row.title} does not know effort {effort!r}; it knows: {known}")
        return ScaffoldAgent(name, row, model, version or row.version, effort)

    @staticmethod
    def of(spec: AgentSpec) -> ScaffoldAgent:
        """The agent that a spec was made from."""
        settings = dict(spec.settings)
        return ScaffoldAgent.made(
            spec.scaffold, spec.agent_model, settings.get("effort"), settings.get("version")
        )

    @property
    def spec(self) -> AgentSpec:
        settings = {"version": self.version} | ({"effort": self.effort} if self.effort else {})
        name = "-".join([self.name, self.model.replace("/", "_"), *([self.effort] if self.effort else [])])
        return AgentSpec(name, self.name, self.model, tuple(settings.items()))

    def command(self, task: Task, seed: int) -> AgentCommand:  # noqa: ARG002 it reads task.md
        """The headless command line, with its files written into its home first.

        Raises:
            SetupError: the scaffold is not installed.
        """
        return self._command(self.row.argv, PROMPT, seed)

    @property
    def keeps_session(self) -> bool:
        return bool(self.row.resume)

    def resume(self, task: Task, seed: int, told: str) -> AgentCommand:  # noqa: ARG002 it reads task.md
        """The command that goes on with its session; where it knows no such, a new one that is told so.

        Raises:
            SetupError: the scaffold is not installed.
        """
        if self.keeps_session:
            return self._command(self.row.resume, told, seed)
        return self._command(self.row.argv, f"{PROMPT}\n\n{EARLIER}\n\n{told}", seed)

    def failure(self, exit_code: int | None, output: str) -> str | None:
        """Why it failed, in its own words; None when it did not."""
        return told_failure(self.row.failures, self.row.statuses, exit_code, output)

    def asked(self, prompt: str) -> AgentCommand:
        """The command line with words of another use than a run.

        Raises:
            SetupError: the scaffold is not installed.
        """
        return self._command(self.row.argv, prompt, seed=0)

    def _command(self, argv: tuple[str, ...], prompt: str, seed: int) -> AgentCommand:
        folder = folder_of(self.name, self.version)
        if not folder.is_dir():
            raise SetupError(
                f"{self.row.title} {self.version} is not installed; run: ptb agents install {self.name}"
            )
        environment = {
            name: self._filled(text) for name, text in self.row.environment.items() if self._has(text)
        }
        script, contents = self._files()
        return AgentCommand(
            argv=("/bin/sh", "-c", script, "sh", *self._words(argv, prompt)),
            environment={
                **environment,
                **contents,
                "PTB_SEED": str(seed),
                "PATH": _PATH,
            },
            mounts=(Mount(folder, INSIDE),),
        )

    def _files(self) -> tuple[str, dict[str, str]]:
        """A shell script that writes the row's files and becomes the command; variables with their contents.

        Variables, because there the relay, which starts the script, puts in the gateway's address.
        """
        steps, contents = [], {}
        for number, (path, text) in enumerate(self.row.files.items()):
            variable = f"PTB_FILE_{number}"
            lines = [line for line in text.strip().splitlines() if self._has(line)]
            contents[variable] = self._filled("\n".join(lines) + "\n")
            folder = str(Path(path).parent)
            steps.append(
                f'mkdir -p "$HOME/{folder}" && printf %s "${variable}" > "$HOME/{path}" && unset {variable}'
            )
        return " && ".join([*steps, 'exec "$@"']), contents

    def _words(self, argv: tuple[str, ...], prompt: str) -> tuple[str, ...]:
        return tuple(prompt if word == "{prompt}" else self._filled(word) for word in argv if self._has(word))

    def _has(self, text: str) -> bool:
        return self.effort is not None or "{effort}" not in text

    def _filled(self, text: str) -> str:
        session = str(uuid.uuid5(uuid.NAMESPACE_OID, "the only session of a run"))
        effort = self.row.efforts[self.effort] if self.effort else ""
        known = {"model": self.model, "effort": effort, "session": session}
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", value)
        return text
