"""What was typed -> a RunSpec and its members."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from posttrainbench.cli.members import agent_of, aids_for, benchmark_named, gateway, sandbox_named
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.flows.run import Members
from posttrainbench.record import AgentSpec, RunSpec
from posttrainbench.stores.runs import RunStore
from posttrainbench.task import ModelRef, Suite, Task
from posttrainbench.templates.families import FAMILIES, template_of
from posttrainbench.tinyworld import catalog

RECORDED = ("posttrainbench", "inspect-ai", "transformers", "torch", "safetensors", "huggingface-hub")


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


def chat_template_of(base: ModelRef) -> str:
    """The Jinja text of a base model's chat template: the suite's, or the one known for it.

    Raises:
        SetupError: none is known; the text says what to write into the suite.
    """
    if not base.chat_template and base.hub_id in catalog.model_names():
        return catalog.chat_template(base.hub_id)
    try:
        return template_of(base.hub_id, base.chat_template)
    except UnknownName:
        raise SetupError(
            f"no chat template is known for {base.hub_id}; write chat_template = "
            f"{' or '.join(map(repr, FAMILIES))}, or a .jinja file, beside its hub_id in the suite"
        ) from None


def make_run(root: Path, suite: Suite, task: Task, agent: AgentSpec, seed: int, sandbox: str) -> RunStore:
    """The run directory of an agent on a task, made now or found as it is."""
    spec = RunSpec(
        run_id=f"{agent.name}--{task.base_model.short}--{task.benchmark}--s{seed}",
        suite=suite.name,
        suite_digest=suite.digest,
        task=task,
        data_digest=benchmark_named(task.benchmark).data_digest,
        agent=agent,
        seed=seed,
        sandbox=sandbox,
        engine="transformers",
        versions=(
            ("python", platform.python_version()),
            *((name, version(name)) for name in RECORDED),
        ),
    )
    store = RunStore(root / spec.run_id)
    store.create(spec, suite)
    return store


def members_of(spec: RunSpec) -> Members:
    """The members that a spec names, and the folders that they need."""
    base = spec.task.base_model
    sandbox, benchmark = sandbox_named(spec.sandbox), benchmark_named(spec.task.benchmark)
    return Members(
        agent=agent_of(spec.agent),
        sandbox=sandbox,
        gateway=gateway(),
        benchmark=benchmark,
        aids=aids_for(benchmark, sandbox),
        base=catalog.model_folder(base.hub_id, base.revision),
        siblings=tuple((name, catalog.model_folder(name)) for name in catalog.siblings_of(base.hub_id)),
        chat_template=chat_template_of(base),
    )
