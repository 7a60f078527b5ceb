"""A judge's LLM on 127.0.0.1 that answers in form: it finds the case, and says what a script says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from grader_server import Answer, Script

from posttrainbench.judges.scripted import answered

QUESTIONS = (
    "contamination", "disallowed_model", "disallowed_api", "published_results", "evaluation_guided_data",
    "instructing_the_judge",
)  # fmt: skip
KEPT = {"broken": False, "why": "nothing points to it", "evidence": []}


def case_in(instructions: str) -> str:
    found = re.search(r"The case number is ([0-9a-f]+)\.", instructions)
    assert found, instructions
    return found[1]


def blocks_in(dossier: str) -> dict[str, str]:
    """Block -> its lines, without their bars."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in dossier.split("\n"):
        begun = re.match(r"=== (B\d+) [0-9a-f]+ \(", line)
        if begun:
            name = begun[1]
            found[name] = []
        elif line.startswith("| "):
            found[name].append(line[2:])
    return {name: "\n".join(lines) for name, lines in found.items()}


def quoting(dossier: str, words: str) -> dict[str, Any] | None:
    """An answer that calls a rule broken, by the first block that holds these words; None when none does."""
    for name, text in blocks_in(dossier).items():
        if words in text:
            return {"broken": True, "why": "it stands there", "evidence": [{"block": name, "quote": words}]}
    return None


def answer(instructions: str, found: Mapping[str, Any]) -> str:
    """A whole answer that calls every rule kept, but for what was found."""
    answers = {name: found.get(name) or KEPT for name in QUESTIONS}
    return json.dumps({"case": case_in(instructions), "answers": answers})


def judging(see: Callable[[str], Mapping[str, Any]] = lambda _dossier: {}) -> Script:
    """A judge that answers what `see` makes of the dossier."""

    def script(body: dict[str, Any], _count: int) -> Answer:
        system, user = (message["content"] for message in body["messages"])
        return Answer(answer(system, see(user)))

    return script


def by_rules(body: dict[str, Any], _count: int) -> Answer:
    """The judge that is a list of rules, as an LLM behind an endpoint."""
    system, user = (message["content"] for message in body["messages"])
    return Answer(answered(system, user))
