#!/usr/bin/env python3
"""Asks for an evaluation of a checkpoint: `python evaluate.py --model final_model [--json]`.

A thin client: the evaluation itself runs outside, on items that are not here. It scores what would be
submitted, so editing this file changes what is printed and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parent
TIMEOUT_S = 24 * 3600  # queries wait for their turn; the run's own deadline comes first


def main() -> int:
    parser = argparse.ArgumentParser(description="Score a checkpoint on the items that you may query.")
    parser.add_argument("--model", default="final_model", help="a folder within the workspace")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    arguments = parser.parse_args()
    path = workspace_path(arguments.model)
    if path is None:
        return fail(f"{arguments.model} is not a folder within {WORKSPACE}")
    answer = ask(path)
    if arguments.json:
        print(json.dumps(answer))
        return 1 if answer.get("error") else 0
    if answer.get("error"):
        return fail(answer["error"])
    print(sentence(answer))
    return 0


def workspace_path(model: str) -> str | None:
    """The path of a folder relative to the workspace, None when it lies elsewhere or does not exist."""
    folder = Path(model) if Path(model).exists() else WORKSPACE / model
    folder = folder.resolve()
    if not folder.is_dir() or not folder.is_relative_to(WORKSPACE):
        return None
    return folder.relative_to(WORKSPACE).as_posix()


def ask(path: str) -> dict:
    """The service's answer: score, stderr, n, error."""
    gateway = os.environ.get("PTB_GATEWAY")
    if not gateway:
        return {"error": "PTB_GATEWAY is not set; evaluations are only possible within a run"}
    body = json.dumps({"path": path}).encode()
    request = urllib.request.Request(gateway + "/evaluate", body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as refused:
        return read_refusal(refused)
    except (OSError, ValueError) as failed:
        return {"error": f"the evaluation service cannot be reached: {failed}"}


def read_refusal(refused: urllib.error.HTTPError) -> dict:
    try:
        return json.load(refused)
    except ValueError:
        return {"error": f"the evaluation service answered with status {refused.code}"}


def sentence(answer: dict) -> str:
    """`score 0.412 ± 0.049 on 100 dev items`."""
    stderr = "" if answer.get("stderr") is None else f" ± {answer['stderr']:.3f}"
    return f"score {answer['score']:.3f}{stderr} on {answer['n']} {query_split()} items"


def query_split() -> str:
    try:
        return json.loads((WORKSPACE / "task.json").read_text())["query_split"]
    except (OSError, ValueError, KeyError):
        return "benchmark"


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
