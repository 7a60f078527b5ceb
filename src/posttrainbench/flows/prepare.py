"""Prepare: what the agent will find in its workspace.

task.json alone names the deadline, which nobody knows before the agent starts; so it is written last (`fill`)
and is no part of what tampering is measured against.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from string import Template

from posttrainbench.budget import GIB
from posttrainbench.layout import FINAL_MODEL
from posttrainbench.protocols import Benchmark
from posttrainbench.record import FileFact, Prepared
from posttrainbench.stores.files import write_atomic
from posttrainbench.task import Policy, Task

TEMPLATES = Path(__file__).parent.parent / "workspace"
TASK_JSON = "task.json"
PROGRAMS = ("evaluate.py", "check_overlap.py", "timer.sh")
TEXTS = ("task.md", "rules.md")


def prepare(task: Task, benchmark: Benchmark, folder: Path) -> Prepared:
    """Write the workspace into `folder`, task.json left out; its files by content."""
    rendered = render(task, benchmark.title, benchmark.hub_id, deadline_unix_s=0)
    folder.mkdir(parents=True, exist_ok=True)
    given = {path: text for path, text in rendered.items() if path != TASK_JSON}
    for path, text in given.items():
        _write(folder / path, text)
    return Prepared(tuple(_fact(path, text) for path, text in sorted(given.items())))


def fill(task: Task, benchmark: Benchmark, workspace: Path, deadline_unix_s: float) -> None:
    """Write task.json, which names the deadline, into a workspace whose agent is about to start or at work.

    An agent may have put a link in its place: it is replaced, never followed.
    """
    rendered = render(task, benchmark.title, benchmark.hub_id, deadline_unix_s)
    write_atomic(workspace / TASK_JSON, rendered[TASK_JSON])


def render(task: Task, benchmark_title: str, benchmark_hub_id: str, deadline_unix_s: float) -> dict[str, str]:
    """What the agent finds: path within the workspace -> text."""
    facts = _task_facts(task, benchmark_title, benchmark_hub_id, deadline_unix_s)
    words = _words(task, benchmark_title, benchmark_hub_id)
    texts = {name: Template(_template(name)).substitute(words) for name in TEXTS}
    programs = {name: _template(name) for name in PROGRAMS}
    return {**texts, **programs, TASK_JSON: json.dumps(facts, indent=2) + "\n"}


def _task_facts(
    task: Task, benchmark_title: str, benchmark_hub_id: str, deadline_unix_s: float
) -> dict[str, object]:
    budget = task.budget
    return {
        "base_model": task.base_model.hub_id,
        "base_model_revision": task.base_model.revision,
        "benchmark": task.benchmark,
        "benchmark_hub_id": benchmark_hub_id,
        "benchmark_title": benchmark_title,
        "budget": {
            "wall_s": budget.wall_s,
            "gpus": budget.gpus,
            "cost_usd": budget.cost_usd,
            "tokens": budget.tokens,
        },
        "deadline_unix_s": int(deadline_unix_s),  # whole seconds, so that a shell can read it
        "final_model": FINAL_MODEL,
        "policy": task.rules.policy,
        "query_split": task.rules.query_split,
        "max_queries": task.rules.max_queries,
    }


def _words(task: Task, benchmark_title: str, benchmark_hub_id: str) -> dict[str, str]:
    """What the templates leave open."""
    rules = task.rules
    sealed = "The final score comes from other items, which nobody can query."
    return {
        "base_model": task.base_model.hub_id,
        "base_model_revision": task.base_model.revision,
        "benchmark_title": benchmark_title,
        "benchmark_place": f"on the hub as data set `{benchmark_hub_id}`"
        if benchmark_hub_id
        else "whose data are on no hub",
        "wall_time": duration(task.budget.wall_s),
        "hardware": f"{task.budget.gpus} GPU(s)" if task.budget.gpus else "no GPU",
        "limits": _limits(task),
        "final_model": FINAL_MODEL,
        "query_split": rules.query_split,
        "queries": "as often as you like"
        if rules.max_queries is None
        else f"at most {rules.max_queries} times",
        "final_split": sealed if rules.query_split == "dev" else "The final score comes from the same items.",
        "policy_text": policy_text(task, benchmark_hub_id),
    }


def _limits(task: Task) -> str:
    limits, budget = task.limits, task.budget
    texts = [
        f"{limits.memory_bytes / GIB:g} GiB of memory",
        f"{limits.disk_bytes / GIB:g} GiB of disk",
        f"{limits.pids} processes",
    ]
    if budget.cost_usd is not None:
        texts.append(f"{budget.cost_usd:g} USD for model calls")
    if budget.tokens is not None:
        texts.append(f"{budget.tokens} tokens of model calls")
    return ", ".join(texts)


def policy_text(task: Task, benchmark_hub_id: str) -> str:
    """What the policy lets an agent have, as it reads it."""
    policy = task.rules.policy
    if policy is Policy.OPEN:
        return "everything that the hub has; the rules above hold all the same."
    if policy is Policy.PAPER and not benchmark_hub_id:
        return "everything that the hub has."
    if policy is Policy.PAPER:
        return (
            f"everything that the hub has but the test split of `{benchmark_hub_id}`; fetch files by name, "
            "since a plain `load_dataset` asks for every split and is refused."
        )
    datasets = ", ".join(
        f"`{name}`" for name in dict.fromkeys(filter(None, (benchmark_hub_id, *task.rules.allowed_datasets)))
    )
    return (
        f"the base model and the train splits of {datasets}, nothing else; fetch files by name, "
        "since a plain `load_dataset` asks for every split and is refused."
    )


def duration(wall_s: float) -> str:
    """Seconds as people say them: `10 hours`, `1 hour 30 minutes`, `45 seconds`."""
    whole_s = round(wall_s)
    counts = (("hour", whole_s // 3600), ("minute", whole_s % 3600 // 60), ("second", whole_s % 60))
    return " ".join(f"{n} {unit}{'' if n == 1 else 's'}" for unit, n in counts if n) or "0 seconds"


def _template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    if path.name in PROGRAMS:
        path.chmod(0o755)


def _fact(path: str, text: str) -> FileFact:
    content = text.encode()
    return FileFact(path, "file", len(content), hashlib.sha256(content).hexdigest())
