#!/usr/bin/env python3
"""Says whether files here hold test items: `python check_overlap.py FILE... [--json]`.

A thin client: the check runs outside, where the items are. It names lines of your own files, never an item.
Answers are limited and recorded: check what you mean to train on, once it is ready.
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
TIMEOUT_S = 3600


def main() -> int:
    parser = argparse.ArgumentParser(description="Look for the benchmark's test items in files.")
    parser.add_argument("files", nargs="+", help="files within the workspace")
    parser.add_argument("--json", action="store_true", help="print one answer a line as JSON")
    arguments = parser.parse_args()
    answers = [{"file": name, **check(name)} for name in arguments.files]
    for answer in answers:
        print(json.dumps(answer) if arguments.json else sentence(answer))
    if any(answer.get("error") for answer in answers):
        return 2
    return 1 if any(answer["flagged"] for answer in answers) else 0


def check(name: str) -> dict:
    """The service's answer on one file: flagged, places, error."""
    path = (Path(name) if Path(name).exists() else WORKSPACE / name).resolve()
    if not path.is_file() or not path.is_relative_to(WORKSPACE):
        return {"error": f"not a file within {WORKSPACE}"}
    gateway = os.environ.get("PTB_GATEWAY")
    if not gateway:
        return {"error": "PTB_GATEWAY is not set; checks are only possible within a run"}
    body = json.dumps({"path": path.relative_to(WORKSPACE).as_posix()}).encode()
    request = urllib.request.Request(gateway + "/overlap", body, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as refused:
        try:
            return json.load(refused)
        except ValueError:
            return {"error": f"the service answered with status {refused.code}"}
    except (OSError, ValueError) as failed:
        return {"error": f"the service cannot be reached: {failed}"}


def sentence(answer: dict) -> str:
    """`data.jsonl: no test items found`, `data.jsonl: test items at line 3, line 17 and elsewhere`."""
    if answer.get("error"):
        return f"{answer['file']}: not checked: {answer['error']}"
    if not answer["flagged"]:
        return f"{answer['file']}: no test items found"
    places = [*answer["places"], *(["elsewhere"] if answer["more"] else [])]
    return f"{answer['file']}: test items at {', '.join(places)}; leave them out"


if __name__ == "__main__":
    sys.exit(main())
