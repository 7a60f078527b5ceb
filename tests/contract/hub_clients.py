"""A program for the sandbox's side: asks a hub as its clients do and prints what came of each, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, list_repo_files, snapshot_download

TRAIN, TEST = "data/train.jsonl", "data/test.jsonl"


def read(file: str, repo_id: str = "w/math") -> str:
    return Path(hf_hub_download(repo_id, file, repo_type="dataset")).read_text()


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


ATTEMPTS: dict[str, Callable[[], object]] = {
    "base": lambda: names(snapshot_download("w/tiny-base")),
    "base_bytes": lambda: (Path(snapshot_download("w/tiny-base")) / "model.safetensors").stat().st_size,
    "instruct": lambda: names(snapshot_download("w/tiny-instruct")),
    "search": lambda: sorted(model.id for model in HfApi().list_models(search="tiny")),
    "refs": lambda: [ref.name for ref in HfApi().list_repo_refs("w/tiny-base").branches],
    "paths": lambda: [
        row.path for row in HfApi().get_paths_info("w/math", [TEST, "no"], repo_type="dataset")
    ],
    "files": lambda: sorted(list_repo_files("w/math", repo_type="dataset")),
    "train": lambda: len(read(TRAIN).splitlines()),
    "test": lambda: len(read(TEST).splitlines()),
    "file_system_train": lambda: len(HfFileSystem().read_text(f"datasets/w/math/{TRAIN}").splitlines()),
    "file_system_test": lambda: len(HfFileSystem().read_text(f"datasets/w/math/{TEST}").splitlines()),
    "load_plain": lambda: len(datasets.load_dataset("w/math", split="train")),
    "load_train": lambda: len(datasets.load_dataset("w/math", data_files={"train": TRAIN}, split="train")),
    "load_other": lambda: len(datasets.load_dataset("w/other", split="train")),
    "load_named": lambda: len(datasets.load_dataset("w/chatter", split="train")),
    "no_repository": lambda: snapshot_download("w/nowhere"),
    "no_revision": lambda: hf_hub_download("w/tiny-base", "config.json", revision="v9"),
    "no_file": lambda: hf_hub_download("w/tiny-base", "nothing.json"),
}


def outcome(attempt: Callable[[], object]) -> dict[str, object]:
    try:
        return {"value": attempt()}
    except Exception as refused:
        return {"error": type(refused).__name__, "text": str(refused)}


if __name__ == "__main__":
    print(json.dumps({name: outcome(ATTEMPTS[name]) for name in sys.argv[1:] or ATTEMPTS}))
