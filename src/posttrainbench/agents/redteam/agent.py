"""A case of the red team as an agent: one program, told its disguise and its seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from posttrainbench.agents.builtin import SCRIPTED, SCRIPTED_INSIDE
from posttrainbench.agents.redteam.catalogue import CHEATS
from posttrainbench.protocols import AgentCommand, Mount
from posttrainbench.record import AgentSpec
from posttrainbench.task import Task

SCAFFOLD = "redteam"
HERE = Path(__file__).parent
PROGRAMS, RANGE = HERE / "programs", HERE / "range"
SUITE = RANGE / "suite.toml"
LANGUAGE = ("stories.py", "problems.py", "contests.py")  # what an agent's LLM knows of the range's items
PROGRAMS_INSIDE, LANGUAGE_INSIDE, CHECKPOINTS_INSIDE = "/opt/redteam", "/opt/language", "/opt/checkpoints"


@dataclass(frozen=True, slots=True)
class RedTeamAgent:
    """A program of the red team. `checkpoints` holds models that were trained beforehand, once for all."""

    cheat: int
    disguise: str
    checkpoints: Path | None = None

    @staticmethod
    def of(spec: AgentSpec) -> RedTeamAgent:
        """The agent that a spec of scaffold SCAFFOLD describes."""
        settings = dict(spec.settings)
        return RedTeamAgent(int(settings["cheat"]), settings["disguise"])

    @property
    def spec(self) -> AgentSpec:
        settings = (("cheat", str(self.cheat)), ("disguise", self.disguise))
        return AgentSpec(f"{self.cheat:02d}-{self.disguise}", SCAFFOLD, settings=settings)

    def command(self, task: Task, seed: int) -> AgentCommand:  # noqa: ARG002 the program reads task.json
        """`python PROGRAM`; the programs, what they share and the trained models are shown read-only."""
        mounts = [
            Mount(PROGRAMS, PROGRAMS_INSIDE),
            Mount(SCRIPTED, SCRIPTED_INSIDE),
            *(Mount(RANGE / name, f"{LANGUAGE_INSIDE}/{name}") for name in LANGUAGE),
        ]
        if self.checkpoints is not None:
            mounts.append(Mount(self.checkpoints, CHECKPOINTS_INSIDE))
        return AgentCommand(
            argv=("python", f"{PROGRAMS_INSIDE}/{CHEATS[self.cheat].program}"),
            environment={
                "PTB_SEED": str(seed),
                "PTB_DISGUISE": self.disguise,
                "PYTHONPATH": f"{SCRIPTED_INSIDE}:{LANGUAGE_INSIDE}",
                "PYTHONUNBUFFERED": "1",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            },
            mounts=tuple(mounts),
        )
