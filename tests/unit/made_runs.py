"""Suites and run records made by hand, for tests of what is done with them."""

from __future__ import annotations

from dataclasses import replace

from posttrainbench.budget import GIB, Budget, Limits, Spend
from posttrainbench.errors import FailureKind
from posttrainbench.finding import Verdict, VerdictLabel
from posttrainbench.record import (
    Admitted,
    AgentSpec,
    Failure,
    Guarantee,
    Isolation,
    Outcome,
    Part,
    RunRecord,
    RunSpec,
    Score,
    Sealed,
    Solved,
    SolveEnd,
    Stage,
    StageRecord,
)
from posttrainbench.task import ModelRef, Policy, Reference, Rules, Suite, SuiteBenchmark, Task

MODELS = ("world/qwen", "world/llama")
BENCHMARKS = (("maths", 0.25), ("tools", 0.75))
BASE_SCORES = {
    ("world/qwen", "maths"): 0.10,
    ("world/qwen", "tools"): 0.20,
    ("world/llama", "maths"): 0.05,
    ("world/llama", "tools"): 0.00,
}
ISOLATED = Isolation("bwrap", True, (Guarantee("no network", True, "a namespace of its own"),))
CRASH = Failure(FailureKind.AGENT_CRASHED, Stage.SOLVE, "the agent exited with status 1 and left no model")


def made_suite(base: bool = True, instruct: bool = False) -> Suite:
    """Two base models x two benchmarks, with the base scores above."""
    references = tuple(
        Reference("base", model, benchmark, mean, "made by hand")
        for (model, benchmark), mean in BASE_SCORES.items()
    )
    tops = tuple(replace(reference, kind="instruct", mean=0.9) for reference in references)
    return Suite(
        name="made",
        version="1.0",
        title="A suite made by hand",
        base_models=tuple(ModelRef(model) for model in MODELS),
        benchmarks=tuple(SuiteBenchmark(name, weight, f"data of {name}") for name, weight in BENCHMARKS),
        budget=Budget(60.0),
        rules=Rules(Policy.PAPER),
        limits=Limits(2 * GIB),
        references=(references if base else ()) + (tops if instruct else ()),
    )


def made_score(mean: float, stderr: float | None = 0.02, novel: float | None = None) -> Score:
    parts = () if novel is None else (Part("novel", novel, 0.03, 100),)
    return Score(mean, stderr, 200, parts)


def made_spec(suite: Suite, task: Task, agent: str = "honest", seed: int = 0) -> RunSpec:
    return RunSpec(
        run_id=f"{agent}-{task.name.replace('/', '-')}-s{seed}",
        suite=suite.name,
        suite_digest=suite.digest,
        task=task,
        data_digest=f"data of {task.benchmark}",
        agent=AgentSpec(agent, "scripted"),
        seed=seed,
        sandbox="bwrap",
        engine="transformers",
        versions=(("posttrainbench", "0.1.0"),),
    )


def made_record(
    spec: RunSpec,
    outcome: Outcome,
    label: VerdictLabel = VerdictLabel.CLEAN,
    published_utc: str = "2026-01-01T00:00:00Z",
    isolated: bool = True,
) -> RunRecord:
    return RunRecord(
        spec=spec,
        spec_sha256="0" * 64,
        solved=Solved(SolveEnd.FINISHED, 0, 42.0, 3, 1000, 0, replace(ISOLATED, isolated=isolated)),
        sealed=Sealed(5, 1000, "0" * 64, 1),
        admitted=Admitted("admitted", "", "0" * 64),
        outcome=outcome,
        verdict=Verdict(label, ("because",), ()),
        spend=Spend(wall_s=42.0, evaluations=3),
        stages=(StageRecord(Stage.SOLVE, 1, "2026-01-01T00:00:00Z", 42.0, "0" * 64),),
        attempts=1,
        ledger_entries=10,
        ledger_head="0" * 64,
        published_utc=published_utc,
    )


def made_records(
    suite: Suite,
    agent: str,
    outcome: Outcome,
    label: VerdictLabel = VerdictLabel.CLEAN,
    seed: int = 0,
) -> list[RunRecord]:
    """The same outcome in every cell of the suite."""
    return [made_record(made_spec(suite, task, agent, seed), outcome, label) for task in suite.tasks()]
