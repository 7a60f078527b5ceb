"""Baselines: no agent at work, but a known model handed in as it is, so that it is scored like any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from posttrainbench.protocols import AgentCommand, Mount
from posttrainbench.record import BASELINE, AgentSpec
from posttrainbench.task import Task

MODEL_INSIDE = "/opt/baseline"


@dataclass(frozen=True, slots=True)
class BaselineAgent:
    """Copies a model of the host to final_model/."""

    kind: str  # of reference score: "base", "few_shot" or "instruct"
    model: Path

    @staticmethod
    def spec_of(kind: str) -> AgentSpec:
        """What a run records of it. Where the model lies is the host's business."""
        return AgentSpec(f"baseline-{kind.replace('_', '-')}", scaffold=BASELINE, settings=(("kind", kind),))

    @property
    def spec(self) -> AgentSpec:
        return self.spec_of(self.kind)

    def command(self, task: Task, seed: int) -> AgentCommand:  # noqa: ARG002 there is nothing to choose
        """`cp` of everything; what is not a model's, admission leaves out."""
        mount, inside = _shown(self.model)
        return AgentCommand(("cp", "-rL", inside, "final_model"), mounts=(mount,))


def _shown(model: Path) -> tuple[Mount, str]:
    """The model's folder as the sandbox sees it: a hub's cache is links to files two folders above."""
    model = model.resolve()
    if any(path.is_symlink() for path in model.iterdir()):
        whole = model.parent.parent
        return Mount(whole, MODEL_INSIDE), f"{MODEL_INSIDE}/{model.relative_to(whole)}"
    return Mount(model, MODEL_INSIDE), MODEL_INSIDE
