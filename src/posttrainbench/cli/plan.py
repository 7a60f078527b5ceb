"""`ptb run --plan`: what the same words would do, as the members that would do it tell; nothing is made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from posttrainbench.budget import Spend
from posttrainbench.cli.base_models import base_folder, instruct_sibling
from posttrainbench.cli.members import (
    agent_of,
    aids_for,
    benchmark_of,
    has_internet,
    model_api_name,
    sandbox_named,
)
from posttrainbench.cli.run import Asked, chosen
from posttrainbench.cli.setup_run import spec_of
from posttrainbench.errors import SetupError
from posttrainbench.flows.prepare import policy_text
from posttrainbench.flows.solve import sandbox_job
from posttrainbench.flows.spent import spent
from posttrainbench.gateways.interceptor import PYTHON, Internet
from posttrainbench.gateways.model_access import endpoint, prices_from
from posttrainbench.gateways.socket_gateway import door
from posttrainbench.layout import AttemptLayout
from posttrainbench.protocols import Benchmark, SandboxJob
from posttrainbench.record import RunSpec, Stage
from posttrainbench.report.plan import (
    STARTED_LATER,
    DiskNeed,
    Plan,
    PlannedEndpoint,
    PlannedMount,
    plan_text,
)
from posttrainbench.sandboxes.container import Container
from posttrainbench.sandboxes.gpus import HERE
from posttrainbench.stores.codec import to_json
from posttrainbench.stores.runs import RunStore
from posttrainbench.stores.transcripts import HEAD_BYTES, TAIL_BYTES
from posttrainbench.task import Suite

Found = TypeVar("Found")


def plan(asked: Asked, as_json: bool) -> None:
    """Print the plan of a run that is there already, or of one that would be made."""
    gathered = of_run(RunStore(asked.run_dir)) if asked.run_dir else of_new(asked)
    if as_json:
        print(to_json(gathered), end="")  # noqa: T201 - what was asked for
    else:
        Console(soft_wrap=False).print(plan_text(gathered))


def of_run(store: RunStore) -> Plan:
    """The plan of a run that goes on."""
    spec, suite = store.spec(), store.suite()
    gathering = Gathering()
    benchmark = gathering.get(lambda: benchmark_of(suite, spec.task.benchmark))
    return gathering.plan(store, spec, suite, benchmark)


def of_new(asked: Asked) -> Plan:
    """The plan of a run whose directory is not made yet."""
    suite, task, agent = chosen(asked)
    gathering = Gathering()
    benchmark = benchmark_of(suite, task.benchmark)
    data_digest = gathering.get(lambda: benchmark.data_digest) or ""
    spec = spec_of(suite, task, agent.spec, asked.seed, asked.sandbox, asked.engine, data_digest)
    return gathering.plan(RunStore(asked.out / spec.run_id), spec, suite, benchmark)


@dataclass
class Gathering:
    """Facts as they are found; what cannot be had is written down instead of stopping it."""

    missing: list[str] = field(default_factory=list)

    def get(self, find: Callable[[], Found]) -> Found | None:
        try:
            return find()
        except SetupError as lacking:
            self.missing.append(str(lacking))
            return None

    def plan(self, store: RunStore, spec: RunSpec, suite: Suite, benchmark: Benchmark | None) -> Plan:
        """The whole of it."""
        task = spec.task
        base = self.get(lambda: base_folder(suite, task.base_model))
        self.get(lambda: instruct_sibling(suite, task.base_model))
        sandbox = sandbox_named(spec.sandbox)
        isolation = self.get(sandbox.isolation)
        job = self.job(spec, store.layout.attempt(store.attempts() + 1))
        self.gpus(spec)
        endpoints = self.endpoints(spec)
        aids = self.get(lambda: aids_for(benchmark, sandbox)) if benchmark else None
        disk = _disk(spec, base)
        free_bytes = shutil.disk_usage(_nearest(store.layout.root)).free
        needed_bytes = sum(need.at_most_bytes or 0 for need in disk)
        if free_bytes < needed_bytes:
            self.missing.append(
                f"up to {needed_bytes / 1e9:.0f} GB of disk may be needed at {store.layout.root}, "
                f"{free_bytes / 1e9:.0f} are free: choose another --out"
            )
        return Plan(
            run_dir=str(store.layout.root),
            goes_on=store.layout.spec.exists(),
            suite=suite.name,
            suite_version=suite.version,
            suite_digest=suite.digest,
            base_model=task.base_model.hub_id,
            base_model_revision=task.base_model.revision,
            base_folder=str(base) if base else None,
            benchmark=task.benchmark,
            query_split=task.rules.query_split,
            max_queries=task.rules.max_queries,
            final_split="sealed" if task.rules.query_split == "dev" else "test",
            engine=spec.engine,
            graders=(aids.grader.name,) if aids and aids.grader else (),
            agent=spec.agent,
            command=job.argv if job else (),
            environment=tuple(sorted(job.environment.items())) if job else (),
            mounts=tuple(PlannedMount(str(m.host), m.inside, m.writable) for m in job.mounts) if job else (),
            sandbox=spec.sandbox,
            guarantees=isolation.guarantees if isolation else (),
            images=(sandbox.image,) if isinstance(sandbox, Container) else (),
            limits=task.limits,
            reprompt_above_s=task.rules.reprompt_above_s,
            after_outage=task.rules.after_outage,
            policy=task.rules.policy,
            passes=policy_text(task, benchmark.hub_id if benchmark else ""),
            internet=self.internet(spec),
            endpoints=endpoints,
            budget=task.budget,
            spent=spent(store.ledger_entries()) if store.layout.spec.exists() else Spend(),
            disk=disk,
            disk_free_bytes=free_bytes,
            stages=tuple(Stage),
            missing=tuple(dict.fromkeys(self.missing)),
        )

    def job(self, spec: RunSpec, attempt: AttemptLayout) -> SandboxJob | None:
        """What the sandbox would be told; None while the scaffold is not installed."""
        command = self.get(lambda: agent_of(spec.agent).command(spec.task, spec.seed))
        if command is None:
            return None
        far = has_internet(spec.agent, spec.task.base_model)
        authority = Path(STARTED_LATER, "authority.pem") if far else None
        return sandbox_job(spec.task, door(Path(STARTED_LATER, "gateway.sock"), authority), attempt, command)

    def gpus(self, spec: RunSpec) -> None:
        there = len(HERE.gpus())
        if there < spec.task.budget.gpus:
            self.missing.append(
                f"the budget has {spec.task.budget.gpus} GPU(s), this machine shows {there}: "
                "`ptb doctor` says why"
            )

    def internet(self, spec: RunSpec) -> str:
        if not has_internet(spec.agent, spec.task.base_model):
            return "none; the hub alone is there"
        self.get(Internet().check)
        return f"through mitmproxy ({PYTHON}), TLS opened, every request on the ledger"

    def endpoints(self, spec: RunSpec) -> tuple[PlannedEndpoint, ...]:
        name, model = model_api_name(spec.agent), spec.agent.agent_model
        if name is None or model is None:
            return ()
        place = endpoint(os.environ, name)
        if not place.is_open:
            self.missing.append(f"no key: set {place.variable} (it stays outside the sandbox)")
        prices = self.get(lambda: prices_from(os.environ))
        price = prices.per_million(place.provider, model) if prices else None
        if price is None and spec.task.budget.cost_usd is not None:
            self.missing.append(
                f"a budget in USD needs the price of {model}: name it in a table (PTB_PRICES)"
            )
        told = (price.input, price.cached, price.output) if price else (None, None, None)
        inside = f"$PTB_GATEWAY/llm/{name}"
        return (PlannedEndpoint(inside, place.base_url, place.variable, place.is_open, model, *told),)


def _disk(spec: RunSpec, base: Path | None) -> tuple[DiskNeed, ...]:
    """What a run may take of its disk, most of it for a while only."""
    model_bytes = (
        sum(file.stat().st_size for file in base.rglob("*.safetensors") if file.is_file()) if base else None
    )
    return (
        DiskNeed("the agent's workspace and home, held to its limit", spec.task.limits.disk_bytes),
        DiskNeed("the admitted final model", model_bytes),
        DiskNeed("a checkpoint that the agent asks a score for, while it is evaluated", model_bytes),
        DiskNeed("the transcript", HEAD_BYTES + TAIL_BYTES),
    )


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.exists())
