"""What a run would be, before it is one: for people and for scripts. No key stands in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from posttrainbench.budget import GIB, Budget, Limits, Spend
from posttrainbench.flows.prepare import duration
from posttrainbench.record import AgentSpec, Guarantee

STARTED_LATER = "(made when the run starts)"


@dataclass(frozen=True, slots=True)
class PlannedMount:
    """A path of the host, and where the agent finds it."""

    host: str
    inside: str
    writable: bool


@dataclass(frozen=True, slots=True)
class PlannedEndpoint:
    """A model API: what it is called inside, where it lies, which variable must hold its key."""

    inside: str
    base_url: str
    key_variable: str
    key_is_set: bool
    model: str
    usd_per_million_input: float | None  # None: nobody knows the price
    usd_per_million_cached: float | None
    usd_per_million_output: float | None


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """What one part of a run may take of the disk; None: it depends on something that is not here."""

    what: str
    at_most_bytes: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that `ptb run` would do with the same words."""

    run_dir: str
    goes_on: bool  # the directory holds this run already
    suite: str
    suite_version: str
    suite_digest: str
    base_model: str
    base_model_revision: str
    base_folder: str | None
    benchmark: str
    query_split: str
    max_queries: int | None
    final_split: str
    engine: str
    graders: tuple[str, ...]
    agent: AgentSpec
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    mounts: tuple[PlannedMount, ...]
    sandbox: str
    guarantees: tuple[Guarantee, ...]
    images: tuple[str, ...]  # of containers
    limits: Limits
    reprompt_above_s: float | None  # who stops with more time left is told to go on; None: is not
    after_outage: str
    policy: str
    passes: str
    internet: str
    endpoints: tuple[PlannedEndpoint, ...]
    budget: Budget
    spent: Spend
    disk: tuple[DiskNeed, ...]
    disk_free_bytes: int
    stages: tuple[str, ...]
    missing: tuple[str, ...]  # each a sentence that holds the fix


def plan_text(plan: Plan) -> Group:
    """The plan for a terminal; nothing in it is cut, so that it can be copied."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, lines in _facts(plan):
        table.add_row(name, Text("\n".join(lines)))
    return Group(table, Text(""), _missing(plan))


def _missing(plan: Plan) -> Text:
    if not plan.missing:
        return Text("Nothing is missing here: the same command without --plan starts it.", style="green")
    lines = "\n".join(f"  - {text}" for text in plan.missing)
    return Text(f"Missing on this machine:\n{lines}", style="yellow")


def _facts(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    yield "run", [f"{plan.run_dir}{' (goes on where it stopped)' if plan.goes_on else ''}"]
    yield "suite", [f"{plan.suite} {plan.suite_version}, digest {plan.suite_digest[:16]}"]
    where = plan.base_folder or "not here"
    yield "base model", [f"{plan.base_model} at {plan.base_model_revision} ({where})"]
    queries = "any number" if plan.max_queries is None else str(plan.max_queries)
    yield (
        "benchmark",
        [
            f"{plan.benchmark}: the agent may query {plan.query_split} items ({queries} of queries), "
            f"the final score comes from {plan.final_split} items",
            f"answers by {plan.engine}" + "".join(f", graded by {name}" for name in plan.graders),
        ],
    )
    settings = "".join(f", {name} {value}" for name, value in plan.agent.settings if name != "script")
    yield "agent", [f"{plan.agent.name} ({plan.agent.scaffold}{settings})"]
    yield "command", [shlex.join(plan.command)] if plan.command else ["unknown until it is installed"]
    yield "environment", [f"{name}={value}" for name, value in plan.environment] or ["nothing beside PATH"]
    yield (
        "mounts",
        [f"{mount.host} -> {mount.inside}{' (writable)' if mount.writable else ''}" for mount in plan.mounts],
    )
    yield "sandbox", [plan.sandbox, *(_guarantee(each) for each in plan.guarantees)]
    yield "images", list(plan.images) or ["none: this sandbox needs no container image"]
    yield "limits", [_limits(plan.limits)]
    yield "going on", [_going_on(plan)]
    yield "policy", [f"{plan.policy}: {plan.passes}", f"internet: {plan.internet}"]
    yield "model API", [_endpoint(each) for each in plan.endpoints] or ["none: this agent has no LLM of ours"]
    yield "budget", [_budget(plan.budget), *_spent(plan.spent)]
    yield "disk", [*(_need(each) for each in plan.disk), f"free there: {_size(plan.disk_free_bytes)}"]
    yield "stages", [", ".join(plan.stages)]


def _going_on(plan: Plan) -> str:
    if plan.reprompt_above_s is None:
        early = "not told to go on when it stops early"
    else:
        early = f"told to go on when it stops with more than {duration(plan.reprompt_above_s)} left"
    return f"{early}; after an outage that it did not survive: {plan.after_outage.replace('_', ' ')}"


def _guarantee(guarantee: Guarantee) -> str:
    return f"{'holds' if guarantee.holds else 'DOES NOT HOLD'}: {guarantee.name} ({guarantee.how})"


def _limits(limits: Limits) -> str:
    return (
        f"{_size(limits.memory_bytes)} of memory, {_size(limits.disk_bytes)} of disk, "
        f"files of {_size(limits.file_bytes)}, {limits.pids} processes, {_size(limits.tmp_bytes)} for "
        f"temporary files and {_size(limits.shm_bytes)} of shared memory beside the disk"
    )


def _endpoint(endpoint: PlannedEndpoint) -> str:
    key = f"key in {endpoint.key_variable}: {'set' if endpoint.key_is_set else 'NOT SET'}"
    if endpoint.usd_per_million_input is None or endpoint.usd_per_million_output is None:
        price = "price unknown, so that its cost is not counted"
    else:
        cached = (
            "" if endpoint.usd_per_million_cached is None else f", {endpoint.usd_per_million_cached:g} cached"
        )
        price = (
            f"USD per million tokens: {endpoint.usd_per_million_input:g} in{cached}, "
            f"{endpoint.usd_per_million_output:g} out"
        )
    return f"{endpoint.inside} -> {endpoint.base_url} ({key})\n{endpoint.model}: {price}"


def _budget(budget: Budget) -> str:
    usd = "no limit in USD" if budget.cost_usd is None else f"{budget.cost_usd:g} USD of model calls"
    tokens = "no limit in tokens" if budget.tokens is None else f"{budget.tokens} tokens"
    return f"{duration(budget.wall_s)}, {budget.gpus} GPU(s), {usd}, {tokens}"


def _spent(spend: Spend) -> Iterator[str]:
    if spend.wall_s or spend.tokens:
        cost = "unknown cost" if spend.cost_usd is None else f"{spend.cost_usd:.2f} USD"
        yield f"of which earlier attempts took {duration(spend.wall_s or 0)}, {spend.tokens} tokens, {cost}"


def _need(need: DiskNeed) -> str:
    size = "unknown until the base model is here" if need.at_most_bytes is None else _size(need.at_most_bytes)
    return f"{need.what}: at most {size}" if need.at_most_bytes is not None else f"{need.what}: {size}"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.3g} GiB"
