"""What a suite's TOML file may hold, table by table; what the tables say of each other: `contradictions`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from posttrainbench.budget import Limits
from posttrainbench.task import Policy, Rules

DEFAULT_LIMITS = Limits()
DEFAULT_CHECKS = Rules(Policy.PAPER).required_checks
OWN_KEYS = ("train", "title", "data_set", "test_files", "scored_like")  # of a benchmark with a `task`
CHECKS = (*DEFAULT_CHECKS, "selection", "grader_injection", "canary", "judge")  # all that a suite can ask for

HUB_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$"
HubId = Annotated[str, Field(pattern=HUB_ID)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class DerivativeTable(Table):
    hub_id: HubId
    path: str = ""  # as a base model's


class BaseModelTable(Table):
    hub_id: HubId
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$")] = "main"
    chat_template: str = ""  # a family's name, or a file beside the suite's that ends in .jinja
    path: str = ""  # its folder, from the suite's file; without it, the hub's cache on this machine
    instruct: Annotated[str, Field(pattern=HUB_ID + "|^$")] = ""  # its official instruct sibling
    instruct_path: str = ""
    derivatives: list[DerivativeTable] = []  # models and adapters made of it that nobody may submit either


class BenchmarkTable(Table):
    name: Name
    weight: Positive | None = None  # absent everywhere: from the references' headroom
    data_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    task: str = (
        ""  # an Inspect task: FILE.py@NAME, from the suite's file, or PACKAGE/NAME; else one by `name`
    )
    train: str = ""  # another task of that file or package: what agents may train on
    title: str = ""
    data_set: Annotated[str, Field(pattern=HUB_ID + "|^$")] = ""  # where its data lie on the hub, if they do
    test_files: list[str] = []  # path patterns of the test split there
    scored_like: str = ""  # the installed benchmark that executes or grades answers as its own


class BudgetTable(Table):
    wall_s: Positive
    gpus: Annotated[int, Field(ge=0)] = 0
    cost_usd: Positive | None = None
    tokens: Count | None = None


class LimitsTable(Table):
    memory_bytes: Count = DEFAULT_LIMITS.memory_bytes
    pids: Count = DEFAULT_LIMITS.pids
    disk_bytes: Count = DEFAULT_LIMITS.disk_bytes
    file_bytes: Count = DEFAULT_LIMITS.file_bytes
    open_files: Count = DEFAULT_LIMITS.open_files
    shm_bytes: Count = DEFAULT_LIMITS.shm_bytes
    tmp_bytes: Count = DEFAULT_LIMITS.tmp_bytes


class RulesTable(Table):
    policy: Literal["open", "paper", "strict"] = "paper"
    query_split: Literal["dev", "test"] = "dev"
    max_queries: Annotated[int, Field(ge=0)] | None = None
    tolerated_items: Annotated[int, Field(ge=0)] = 3
    required_checks: list[str] = list(DEFAULT_CHECKS)
    allowed_datasets: list[HubId] = []
    reprompt_above_s: Positive | None = None
    after_outage: Literal["fresh_start", "resume"] = "fresh_start"


class ReferenceTable(Table):
    kind: Literal["base", "few_shot", "instruct"]
    base_model: HubId
    benchmark: Name
    mean: Fraction
    source: Annotated[str, Field(min_length=1)]


class ReferencesFile(Table):
    references: Annotated[list[ReferenceTable], Field(min_length=1)]


class SuiteFile(Table):
    name: Name
    version: Annotated[str, Field(min_length=1)]
    title: str
    base_models: Annotated[list[BaseModelTable], Field(min_length=1)]
    benchmarks: Annotated[list[BenchmarkTable], Field(min_length=1)]
    budget: BudgetTable
    limits: LimitsTable = LimitsTable()
    rules: RulesTable = RulesTable()
    references: list[ReferenceTable] = []


TABLES: dict[tuple[str, ...], type[Table]] = {
    (): SuiteFile,
    ("base_models",): BaseModelTable,
    ("base_models", "derivatives"): DerivativeTable,
    ("benchmarks",): BenchmarkTable,
    ("budget",): BudgetTable,
    ("limits",): LimitsTable,
    ("rules",): RulesTable,
    ("references",): ReferenceTable,
}


def means(file: SuiteFile, kind: str) -> dict[str, list[float]]:
    """Benchmark -> the reference scores of that kind; benchmarks without any have an empty list."""
    return {
        b.name: [r.mean for r in file.references if (r.kind, r.benchmark) == (kind, b.name)]
        for b in file.benchmarks
    }
