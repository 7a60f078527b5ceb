"""What an agent is asked to do: tasks, the rules they are done under, and the suites that freeze them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from posttrainbench.budget import Budget, Limits
from posttrainbench.digest import content_digest


class AfterOutage(StrEnum):
    """How an agent goes on that stopped because its LLM gave no answer any more."""

    FRESH_START = "fresh_start"  # a new session, since a failed trace in its context makes the next try worse
    RESUME = "resume"


class Policy(StrEnum):
    """What the gateway lets out of an agent's sandbox."""

    OPEN = "open"  # everything, logged
    PAPER = "paper"  # everything but the target benchmark's test split, logged
    STRICT = "strict"  # an allow-list: the base model and the named data sets' train splits


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model on a hub: repository id and the revision that is meant."""

    hub_id: str
    revision: str = "main"
    chat_template: str = ""  # a family's name or a Jinja text; empty: the family that is known for hub_id

    @property
    def short(self) -> str:
        """The id without its owner: `tiny-qwen3-base` of `tinyworld/tiny-qwen3-base`."""
        return self.hub_id.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Rules:
    """What an agent may do, and how much of it is tolerated."""

    policy: Policy
    query_split: str = "dev"  # what the evaluation service answers on: "dev" (sealed) or "test" (the paper)
    max_queries: int | None = None
    tolerated_items: int = 3  # test items that may turn up by accident
    required_checks: tuple[str, ...] = ("admission", "lineage", "overlap", "tampering", "egress")
    allowed_datasets: tuple[str, ...] = ()  # what `strict` lets through beside the base model
    reprompt_above_s: float | None = None  # who stops with more time left is told to go on; None: is not
    after_outage: AfterOutage = AfterOutage.FRESH_START


@dataclass(frozen=True, slots=True)
class Task:
    """Base model x benchmark x budget x rules."""

    base_model: ModelRef
    benchmark: str
    budget: Budget
    rules: Rules
    limits: Limits = field(default_factory=Limits)

    @property
    def name(self) -> str:
        """`tiny-qwen3-base/tiny_math`: what people call this cell of the suite."""
        return f"{self.base_model.short}/{self.benchmark}"


@dataclass(frozen=True, slots=True)
class SuiteBenchmark:
    """One benchmark of a suite: its weight in the aggregate and the digest of the data that is meant."""

    name: str
    weight: float
    data_digest: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A known score of a base model on a benchmark, with where it comes from."""

    kind: str  # "base" (zero-shot), "few_shot", "instruct"
    base_model: str
    benchmark: str
    mean: float
    source: str


@dataclass(frozen=True, slots=True)
class Derivative:
    """A published model or adapter that was made of a base model. Its path is as a model source's."""

    hub_id: str
    path: str = ""  # its folder; empty: the hub's cache


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a suite says of a base model beside its name. Paths are of this machine and part of no digest."""

    hub_id: str
    path: str = ""  # its folder; empty: the hub's cache
    instruct: str = ""  # hub id of its official instruct sibling; empty: none is known
    instruct_path: str = ""
    derivatives: tuple[Derivative, ...] = ()  # which nobody may submit, as the instruct sibling

    @property
    def placeless(self) -> ModelSource:
        """The same on every machine: without paths."""
        derivatives = tuple(replace(one, path="") for one in self.derivatives)
        return replace(self, path="", instruct_path="", derivatives=derivatives)


@dataclass(frozen=True, slots=True)
class InspectSource:
    """An Inspect task that a suite brings along as a benchmark, and where agents could find its data."""

    benchmark: str
    module: str  # the path of a Python file on this machine, part of no digest; or an installed package
    task: str  # the name of the task in it
    train: str = ""  # the name of another task in it, whose samples agents may train on
    title: str = ""
    hub_id: str = ""
    test_files: tuple[str, ...] = ()
    scored_like: str = ""  # the installed benchmark that scores its answers outside; "": the task's scorer

    @property
    def is_file(self) -> bool:
        return self.module.endswith(".py")


@dataclass(frozen=True, slots=True)
class Suite:
    """A frozen set of tasks; leaderboards compare equal digests only."""

    name: str
    version: str
    title: str
    base_models: tuple[ModelRef, ...]
    benchmarks: tuple[SuiteBenchmark, ...]
    budget: Budget
    rules: Rules
    limits: Limits
    references: tuple[Reference, ...] = ()
    models: tuple[ModelSource, ...] = ()  # of base models of which there is more to say than their names
    own: tuple[InspectSource, ...] = ()  # benchmarks that come with the suite

    @property
    def digest(self) -> str:
        """64 hex digits over all that a score depends on; the same on every machine."""
        models = tuple(model.placeless for model in self.models)
        own = tuple(replace(source, module="") if source.is_file else source for source in self.own)
        return content_digest(replace(self, models=models, own=own))

    def model_source(self, hub_id: str) -> ModelSource:
        """What the suite says of a base model beside its name."""
        return next((model for model in self.models if model.hub_id == hub_id), ModelSource(hub_id))

    def own_source(self, benchmark: str) -> InspectSource | None:
        """The Inspect task that the suite brings along under that name, or None."""
        return next((source for source in self.own if source.benchmark == benchmark), None)

    def tasks(self) -> tuple[Task, ...]:
        """Every base model x benchmark, in the suite's order."""
        return tuple(
            Task(model, benchmark.name, self.budget, self.rules, self.limits)
            for model in self.base_models
            for benchmark in self.benchmarks
        )

    def varied(
        self,
        wall_s: float | None = None,
        policy: Policy | None = None,
        cost_usd: float | None = None,
        query_split: str | None = None,
    ) -> Suite:
        """This suite with another budget or other rules: another version, hence another digest.

        Under `strict`, agents query the dev split and no other.
        """
        budget = replace(
            self.budget,
            wall_s=self.budget.wall_s if wall_s is None else float(wall_s),
            cost_usd=self.budget.cost_usd if cost_usd is None else float(cost_usd),
        )
        policy = self.rules.policy if policy is None else policy
        asked = self.rules.query_split if query_split is None else query_split
        rules = replace(self.rules, policy=policy, query_split="dev" if policy is Policy.STRICT else asked)
        if (budget, rules) == (self.budget, self.rules):
            return self
        version = f"{self.version}+{budget.wall_s:g}s-{rules.policy}"
        version += "" if budget.cost_usd == self.budget.cost_usd else f"-{budget.cost_usd:g}usd"
        version += "" if rules.query_split == self.rules.query_split else f"-queries-{rules.query_split}"
        return replace(self, version=version, budget=budget, rules=rules)

    def reference(self, kind: str, base_model: str, benchmark: str) -> Reference | None:
        """The known score of one cell, or None when nobody measured it."""
        wanted = (kind, base_model, benchmark)
        return next((r for r in self.references if (r.kind, r.base_model, r.benchmark) == wanted), None)
