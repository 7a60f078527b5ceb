"""Reads the task and fetches from the hub, in one file.

A program's part, not a package: the scripted agents beside it say `import fetch`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_AND_CONFIG = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What these programs need of task.json."""

    base_model: str
    base_model_revision: str
    benchmark_hub_id: str
    final_model: Path
    deadline_unix_s: int


def read_assignment(path: Path = Path("task.json")) -> Assignment:
    """The task in the current folder."""
    task = json.loads(path.read_text(encoding="utf-8"))
    return Assignment(
        task["base_model"],
        task["base_model_revision"],
        task["benchmark_hub_id"],
        Path(task["final_model"]),
        int(task["deadline_unix_s"]),
    )


def fetch_model(hub_id: str, revision: str = "main") -> Path:
    """The folder of a model's files, downloaded from the hub."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(WEIGHTS_AND_CONFIG)))


def fetch_rows(hub_id: str, file: str) -> list[dict[str, str]]:
    """The rows of one JSON-lines file of a data set."""
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download(hub_id, file, repo_type="dataset"))
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def submit(model: Path, final_model: Path) -> None:
    """Copies a model's folder to where it counts, complete or not at all."""
    aside = final_model.with_name(final_model.name + ".writing")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(model, aside)
    shutil.rmtree(final_model, ignore_errors=True)
    aside.rename(final_model)


def submit_base(task: Assignment) -> None:
    """Submits the base model as it is."""
    submit(fetch_model(task.base_model, task.base_model_revision), task.final_model)
    print(f"submitted {task.base_model} unchanged", flush=True)
