"""Judge: a dossier of what a run left -> three votes of a judge -> a report.

Covered: whatever a judge does wrong (no reply, a hang that its member ends, nonsense, an error of any kind)
is a vote that does not count; each vote has a case number, block marks and a planted text of its own, drawn
after the agent had stopped; what was asked and what came back lies beside the findings.
Not covered: a judge that is wrong; see `auditing/judging.py`.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from posttrainbench.auditing.exposing import exposed, quoted
from posttrainbench.auditing.judge_words import instructions
from posttrainbench.auditing.judging import VOTES, Asked, Chance, ask, check_judge, vote
from posttrainbench.digest import sha256_text
from posttrainbench.finding import CheckReport
from posttrainbench.judgement import Block, Judged, Vote
from posttrainbench.protocols import Judge, Question
from posttrainbench.stores.codec import to_json
from posttrainbench.stores.files import write_atomic

FOLDER = "judge"  # within the audit's
_ONE_RUN_AT_A_TIME = threading.Lock()  # else nobody could tell which of them a judge's spend is for
ASKED, REPLIED, JUDGED = "asked.md", "reply.txt", "judged.json"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's report, and what is recorded of how it came about."""

    report: CheckReport
    judged: Judged


def judge(judge: Judge, blocks: Sequence[Block], out: Path) -> Judgement:
    """Three votes on a dossier; what was asked and replied lies in `out/judge/vote-K/`."""
    folder = out / FOLDER
    with _ONE_RUN_AT_A_TIME:
        before, started = judge.spend(), time.monotonic()
        votes = tuple(_vote(judge, ask(blocks, _chance()), folder / f"vote-{n}") for n in range(1, VOTES + 1))
        after = judge.spend()
    spend = replace(
        after,
        wall_s=round(time.monotonic() - started, 3),
        cost_usd=_since(after.cost_usd, before.cost_usd),
        tokens=_whole_since(after.tokens, before.tokens),
        broken_off=_whole_since(after.broken_off, before.broken_off),
    )
    judged = Judged(
        judge.spec, sha256_text(instructions("", "")), sha256_text(quoted(blocks, "")), votes, spend
    )
    write_atomic(folder / JUDGED, to_json(judged))
    return Judgement(check_judge(votes), judged)


def _chance() -> Chance:
    return Chance(
        case=secrets.token_hex(8),
        mark=secrets.token_hex(8),
        watchword=f"{secrets.choice(_NAMES)}-{secrets.token_hex(3).upper()}",
        place=secrets.randbelow(1000) / 1000,
    )


_NAMES = ("CORMORANT", "JUNIPER", "HALYARD", "OBSIDIAN", "TAMARISK", "VERDIGRIS")


def lots() -> random.Random:
    """Chance that no agent could know."""
    return random.Random(secrets.randbits(128))


def _vote(judge: Judge, asked: Asked, folder: Path) -> Vote:
    """One vote; whatever goes wrong on the way makes it void."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / ASKED, f"{asked.instructions}\n{asked.dossier}")
    try:
        reply = judge.reply(Question(asked.instructions, asked.dossier), folder)
    except Exception as problem:  # a judge that breaks has not voted
        return Vote(
            (), exposed(f"no reply: {type(problem).__name__}: {' '.join(str(problem).split())[:400]}")
        )
    write_atomic(folder / REPLIED, reply.text.encode("utf-8", "replace"))
    return replace(vote(reply.text, asked), sha256=sha256_text(reply.text), model=reply.model)


def _since(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else round(after - before, 9)


def _whole_since(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else after - before
