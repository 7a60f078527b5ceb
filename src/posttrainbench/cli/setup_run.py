"""What was typed -> a RunSpec and its members."""

from __future__ import annotations

import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from posttrainbench.agents.baseline import BaselineAgent
from posttrainbench.cli.base_models import (
    base_folder,
    chat_template_of,
    instruct_sibling,
    not_to_be_submitted,
)
from posttrainbench.cli.keys import signing_key
from posttrainbench.cli.members import (
    agent_of,
    aids_for,
    benchmark_names,
    benchmark_of,
    gateway,
    run_engine,
    sandbox_named,
)
from posttrainbench.datasets.folder import view_inside
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.flows.few_shot import SHOTS
from posttrainbench.flows.run import Members
from posttrainbench.protocols import Agent, ScoringAids
from posttrainbench.ranking.baselines import kind_of
from posttrainbench.record import AgentSpec, RunSpec
from posttrainbench.sandboxes.gpus import HERE
from posttrainbench.stores.runs import RunStore
from posttrainbench.suites import load_suite, suite_names
from posttrainbench.task import ModelRef, Suite, Task
from posttrainbench.tinyworld import catalog

RECORDED = (
    "posttrainbench", "inspect-ai", "inspect-evals", "transformers", "torch", "safetensors",
    "huggingface-hub", "datasets", "numpy",
)  # fmt: skip


def task_of(suite: Suite, model: str, benchmark: str) -> Task:
    """The suite's task for a base model (full id or short name) and a benchmark.

    Raises:
        UnknownName: the suite has no such model or benchmark.
    """
    models = {ref.short: ref for ref in suite.base_models}
    short = model.rsplit("/", 1)[-1]
    if short not in models:
        raise UnknownName("base model", model, models)
    names = [b.name for b in suite.benchmarks]
    if benchmark not in names:
        raise UnknownName("benchmark", benchmark, names)
    return next(t for t in suite.tasks() if (t.base_model.short, t.benchmark) == (short, benchmark))


def suite_with(name: str | None, model: str, benchmark: str) -> Suite:
    """The suite of that name or file; without one, the newest of ours that has the model and the benchmark.

    Raises:
        UnknownName: none has them.
    """
    if name is not None:
        return load_suite(name, benchmark_names())
    ours = sorted((load_suite(each, benchmark_names()) for each in suite_names()), key=_newest_first)
    short = model.rsplit("/", 1)[-1]
    models = {ref.short: suite for suite in reversed(ours) for ref in suite.base_models}
    if short not in models:
        raise UnknownName("base model", model, models)
    having = [suite for suite in ours if short in {ref.short for ref in suite.base_models}]
    found = next((s for s in having if benchmark in {b.name for b in s.benchmarks}), None)
    if found is None:
        raise UnknownName("benchmark", benchmark, {b.name for suite in having for b in suite.benchmarks})
    return found


def _newest_first(suite: Suite) -> tuple[bool, tuple[int, ...]]:
    """The published ones by version; the embedded world's after them, whose names no other has."""
    return suite.name == "tiny", tuple(-int(part) for part in suite.version.split("."))


def make_run(
    root: Path,
    suite: Suite,
    task: Task,
    agent: AgentSpec,
    seed: int,
    sandbox: str,
    engine: str | None = None,
) -> RunStore:
    """The run directory of an agent on a task, made now or found as it is.

    Without `engine`, one is chosen for this machine; see `run_engine`.
    """
    data_digest = benchmark_of(suite, task.benchmark).data_digest
    spec = spec_of(suite, task, agent, seed, sandbox, engine, data_digest)
    store = RunStore(root / spec.run_id)
    store.create(spec, suite)
    return store


def spec_of(
    suite: Suite,
    task: Task,
    agent: AgentSpec,
    seed: int,
    sandbox: str,
    engine: str | None,
    data_digest: str,
) -> RunSpec:
    """What a run is asked to be, on this machine."""
    gpus = HERE.gpus()[: task.budget.gpus]
    return RunSpec(
        run_id=f"{agent.name}--{task.base_model.short}--{task.benchmark}--s{seed}",
        suite=suite.name,
        suite_digest=suite.digest,
        task=task,
        data_digest=data_digest,
        agent=agent,
        seed=seed,
        sandbox=sandbox,
        engine=run_engine(engine, len(gpus)),
        versions=(*_versions(), *(("gpu", gpu.model) for gpu in gpus)),
    )


def _versions() -> tuple[tuple[str, str], ...]:
    return (("python", platform.python_version()), *((name, version(name)) for name in RECORDED))


def members_of(spec: RunSpec, suite: Suite, aids: ScoringAids | None = None) -> Members:
    """The members that a spec names, and the folders that they need.

    Args:
        aids: what scores answers, in place of what this machine is set up with.

    Raises:
        SetupError: one of them is not on this machine.
    """
    base = spec.task.base_model
    folder = base_folder(suite, base)
    sandbox, benchmark = sandbox_named(spec.sandbox), benchmark_of(suite, spec.task.benchmark)
    own = suite.own_source(spec.task.benchmark)
    data = view_inside()
    members = Members(
        agent=_baseline(spec, suite, folder) or agent_of(spec.agent),
        sandbox=sandbox,
        gateway=gateway(spec.agent, base, (benchmark,) if own else (), _offered(base, folder)),
        benchmark=benchmark,
        aids=aids or aids_for(benchmark, sandbox),
        base=folder,
        siblings=not_to_be_submitted(suite, base),
        chat_template=chat_template_of(base, folder),
        data_mounts=data.mounts,
        data_environment=data.environment,
        own=own,
        key=signing_key(),
        versions=_versions(),
    )
    kind = kind_of(spec.agent)
    if kind == "few_shot":
        return replace(members, chat_template="", shots=SHOTS)
    return replace(members, siblings=()) if kind == "instruct" else members  # it is what is wanted here


def _offered(base: ModelRef, folder: Path) -> dict[ModelRef, Path]:
    """What the hub must offer beside its own models, so that agents find their base model there."""
    return {} if base.hub_id in catalog.model_names() else {base: folder}


def _baseline(spec: RunSpec, suite: Suite, base: Path) -> Agent | None:
    """The agent of a run that measures a baseline, None of any other run."""
    kind = kind_of(spec.agent)
    if kind is None:
        return None
    if kind != "instruct":
        return BaselineAgent(kind, base)
    sibling = instruct_sibling(suite, spec.task.base_model)
    if sibling is None:
        raise SetupError(f"no instruct model of {spec.task.base_model.hub_id} is known: name it in the suite")
    return BaselineAgent(kind, sibling[1])
