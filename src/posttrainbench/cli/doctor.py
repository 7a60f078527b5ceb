"""`ptb doctor`: what this machine can do, and how to mend what it cannot."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from posttrainbench.budget import Limits
from posttrainbench.cli.members import SANDBOXES, sandbox_named
from posttrainbench.errors import SandboxUnavailable, SetupError
from posttrainbench.protocols import AgentCommand, Sandbox, SandboxJob
from posttrainbench.report.visible import visible
from posttrainbench.sandboxes.gpus import HERE, VISIBLE
from posttrainbench.tinyworld import catalog

LOOK_S = 60.0
DEFAULT_SANDBOX = "bwrap"  # the others are for who asks for them
PACKAGES = ("inspect-ai", "transformers", "torch", "safetensors", "huggingface-hub", "datasets")
LEAST_MEMORY_BYTES = 3 * 1024**3
LEAST_DISK_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Row:
    """One thing about this machine. `needed`: without it nothing runs; else something is only weaker."""

    group: str
    name: str
    holds: bool
    detail: str
    needed: bool = False


def doctor(as_json: bool) -> None:
    """Print every row; exit status 1 when something that is needed does not hold."""
    rows = list(_rows())
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        _print(rows)
    if any(row.needed and not row.holds for row in rows):
        raise typer.Exit(1)


def _rows() -> Iterator[Row]:
    yield from _machine()
    yield from _packages()
    yield from _sandboxes()
    yield _world()
    yield from _agents()


def _machine() -> Iterator[Row]:
    linux = platform.system() == "Linux"
    yield Row("machine", "Linux", linux, f"{platform.system()} {platform.release()}", needed=True)
    yield Row("machine", "cores", True, f"{os.cpu_count()}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    enough = memory >= LEAST_MEMORY_BYTES
    yield Row("machine", "memory", enough, f"{memory / 1024**3:.1f} GiB; the demo needs 3", needed=True)
    free = shutil.disk_usage(Path.cwd()).free
    yield Row(
        "machine", "disk here", free >= LEAST_DISK_BYTES, f"{free / 1024**3:.0f} GiB free; 4 are enough"
    )
    yield _gpus()


def _gpus() -> Row:
    """Which GPUs are ours to use; the driver may tell of more."""
    there, ours = len(list(HERE.told.glob("*"))), HERE.gpus()
    if ours:
        return Row("machine", "GPU", True, ", ".join(gpu.model for gpu in ours))
    if not there:
        return Row("machine", "GPU", False, "none; the tiny suite needs none")
    hidden = (
        "CUDA_VISIBLE_DEVICES hides them" if VISIBLE in os.environ else "their device files are not there"
    )
    fix = "start the container with its GPUs (docker: --gpus all) or mend the variable"
    return Row("machine", "GPU", False, f"{there} NVIDIA, but {hidden}; {fix}")


def _packages() -> Iterator[Row]:
    for name in PACKAGES:
        try:
            yield Row("packages", name, True, version(name), needed=True)
        except PackageNotFoundError:
            yield Row("packages", name, False, "missing; run `make setup`", needed=True)


def _sandboxes() -> Iterator[Row]:
    for name in SANDBOXES:
        if name == "none":
            continue  # it promises nothing, so there is nothing to look at
        try:
            isolation = sandbox_named(name).isolation()
        except SandboxUnavailable as error:
            yield Row(f"sandbox {name}", "starts", False, str(error), needed=name == DEFAULT_SANDBOX)
            continue
        yield Row(f"sandbox {name}", "starts", True, "a trial command ran in it")
        if HERE.gpus():
            yield _gpus_inside(name)
        for guarantee in isolation.guarantees:
            yield Row(f"sandbox {name}", guarantee.name, guarantee.holds, guarantee.how)


def _gpus_inside(sandbox: str) -> Row:
    """Whether the driver's own program finds the GPUs from inside a sandbox."""
    job = SandboxJob(("nvidia-smi", "-L"), "/", Limits(), gpus=len(HERE.gpus()))
    status, text = _inside(sandbox_named(sandbox), job)
    if status == 0:
        return Row(f"sandbox {sandbox}", "GPU", True, f"{text.count('GPU ')} seen inside")
    return Row(f"sandbox {sandbox}", "GPU", False, f"nvidia-smi inside: {visible(text, 200) or 'no answer'}")


def _inside(sandbox: Sandbox, job: SandboxJob) -> tuple[int | None, str]:
    """The exit status of a short command and all that it said, in one line."""
    said: list[bytes] = []
    process = sandbox.start(job, said.append)
    end = process.wait(LOOK_S) or process.stop(0.0)
    return end.exit_code, " ".join(b"".join(said).decode(errors="replace").split())


def _agents() -> Iterator[Row]:
    """What agents with an LLM need: a way to the internet, and the scaffolds themselves."""
    from posttrainbench.agents.scaffolds import folder_of, scaffolds, trial
    from posttrainbench.gateways.interceptor import PYTHON

    there = PYTHON.exists()
    detail = "in an environment of its own" if there else "missing; agents get no internet; run `make setup`"
    yield Row("agents", "mitmproxy", there, detail)
    for name, row in scaffolds().items():
        if folder_of(name, row.version).is_dir():
            yield _scaffold(row.title, row.version, trial(name))
        else:
            detail = f"{row.version} not installed: ptb agents install {name}"
            yield Row("agents", row.title, False, detail)


def _scaffold(title: str, version: str, asked: AgentCommand) -> Row:
    """Whether an installed scaffold starts where agents work, without a network, and is what it should be."""
    try:
        sandbox = sandbox_named(next(iter(SANDBOXES)))
        status, said = _inside(
            sandbox, SandboxJob(asked.argv, "/", Limits(), asked.mounts, asked.environment)
        )
    except SandboxUnavailable:
        return Row("agents", title, True, f"{version}; not tried, since no sandbox works here")
    if status == 0 and version in said:
        return Row("agents", title, True, f"{version} starts in the sandbox")
    return Row("agents", title, False, f"should be {version}, but says: {visible(said, 200) or 'nothing'}")


def _world() -> Row:
    try:
        names = catalog.model_names()
    except (SetupError, OSError) as error:
        return Row("tinyworld", "models", False, str(error), needed=True)
    return Row("tinyworld", "models", True, ", ".join(names), needed=True)


def _print(rows: list[Row]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            table.add_row(f"[bold]{group}[/bold]", "", "")
        mark = "[green]✓[/green]" if row.holds else ("[red]✗[/red]" if row.needed else "[yellow]![/yellow]")
        table.add_row("", f"{mark} {row.name}", row.detail)
    Console().print(table)
