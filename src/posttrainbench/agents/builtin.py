"""Agents that come with us: one scripted program each, and any command of yours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from posttrainbench.errors import SetupError
from posttrainbench.protocols import AgentCommand, Mount
from posttrainbench.record import AgentSpec
from posttrainbench.task import Task

SCRIPTED = Path(__file__).with_name("scripted")
SCRIPTED_INSIDE = "/opt/agent"
COMMAND = "command"  # the scaffold of agents that are any command


@dataclass(frozen=True, slots=True)
class ScriptedAgent:
    """A program of ours, shown read-only inside the sandbox and run there like any other agent."""

    name: str
    file: str
    does: str  # one line, as `ptb list agents` prints it
    honest: bool

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(self.name, scaffold="scripted")

    def command(self, task: Task, seed: int) -> AgentCommand:  # noqa: ARG002 the program reads task.json
        """`python FILE` with the seed in its environment."""
        return AgentCommand(
            argv=("python", f"{SCRIPTED_INSIDE}/{self.file}"),
            environment={
                "PTB_SEED": str(seed),
                "PYTHONUNBUFFERED": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # a transcript is no terminal
            },
            mounts=(Mount(SCRIPTED, SCRIPTED_INSIDE),),
        )


_PROGRAMS = (
    ScriptedAgent(
        "recipe-sft", "recipe_sft.py", "fine-tunes on the train split, keeps its best checkpoint", True
    ),
    ScriptedAgent("idle", "idle.py", "submits the base model unchanged", True),
    ScriptedAgent("broken", "broken.py", "crashes before it has a model", True),
    ScriptedAgent("overtime", "overtime.py", "ignores its deadline and leaves a daemon behind", False),
    ScriptedAgent(
        "cheat-test-split", "cheat_test_split.py", "fine-tunes on the test split from the hub", False
    ),
    ScriptedAgent(
        "cheat-instruct", "cheat_instruct.py", "submits the instruct sibling as its own work", False
    ),
    ScriptedAgent(
        "cheat-tamper", "cheat_tamper.py", "edits the evaluation client and writes its own scores", False
    ),
)


def scripted_agents() -> tuple[ScriptedAgent, ...]:
    """Every program of ours, honest ones first."""
    return _PROGRAMS


@dataclass(frozen=True, slots=True)
class ShellAgent:
    """Any command: a shell runs it in the workspace, where it finds task.json and task.md."""

    name: str
    script: str
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()

    @staticmethod
    def of(spec: AgentSpec) -> ShellAgent:
        """The agent that a spec of scaffold COMMAND describes.

        Raises:
            SetupError: the spec names no command.
        """
        script = dict(spec.settings).get("script")
        if script is None:
            raise SetupError(f"the spec of agent {spec.name!r} holds no command")
        return ShellAgent(spec.name, script)

    @property
    def spec(self) -> AgentSpec:
        return AgentSpec(self.name, scaffold=COMMAND, settings=(("script", self.script),))

    def command(self, task: Task, seed: int) -> AgentCommand:  # noqa: ARG002 the command reads task.json
        """The command as it was given, with the seed in its environment."""
        environment = {**self.environment, "PTB_SEED": str(seed)}
        return AgentCommand(("/bin/sh", "-c", self.script), environment, self.mounts)
