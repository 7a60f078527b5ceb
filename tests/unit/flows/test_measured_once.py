"""Equal models, asked in the same way, are evaluated once, also by two runs at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from posttrainbench.budget import Limits
from posttrainbench.flows.evaluate import OUT, Evaluator
from posttrainbench.flows.score import ScoreResult
from posttrainbench.protocols import SandboxEnd, SandboxJob
from posttrainbench.record import Score
from posttrainbench.stores.codec import to_json


class Ended:
    """A sandbox whose command has ended."""

    def wait(self, timeout_s: float) -> SandboxEnd:
        return SandboxEnd(0, None, None, 0)


class Evaluates:
    """A sandbox in which every evaluation comes to the same."""

    name = "evaluates"

    def __init__(self) -> None:
        self.started = 0

    def start(self, job: SandboxJob, on_output: Callable[[bytes], None]) -> Ended:
        self.started += 1
        on_output(b"at work\n")
        time.sleep(0.2)  # long enough for another to begin, were it let
        out = next(mount.host for mount in job.mounts if mount.inside == OUT)
        (out / "result.json").write_text(to_json(ScoreResult(Score(0.5, 0.1, 10), ())))
        return Ended()


def model(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def test_equal_models_are_evaluated_once(tmp_path: Path) -> None:
    sandbox, measured = Evaluates(), tmp_path / "measured"
    measured.mkdir()
    evaluator = Evaluator(sandbox, "tiny_math", "transformers", "", Limits(), measured=measured)  # type: ignore[arg-type]
    models = [model(tmp_path / name, b"the same") for name in ("one", "other")]

    def evaluated(folder: Path) -> ScoreResult:
        return evaluator.score(folder, "dev", tmp_path / f"{folder.name}-out")

    with ThreadPoolExecutor(2) as runs:
        first, second = runs.map(evaluated, models)
    assert first == second == ScoreResult(Score(0.5, 0.1, 10), ())
    assert sandbox.started == 1
    evaluated(model(tmp_path / "third", b"another"))
    evaluator.score(models[0], "sealed", tmp_path / "sealed-out")
    assert sandbox.started == 3, "other weights and other items are measured"
