"""A leaderboard with one entry of every kind, under hostile names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_runs import CRASH, made_record, made_records, made_score, made_spec, made_suite

from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import Leaderboard
from posttrainbench.ranking.aggregate import rank
from posttrainbench.ranking.policy import PAPER

HOSTILE = '=A|<script>[bold red]\x1b[31m\u202e`@all`\n# head http://x"'


@pytest.fixture
def board() -> Leaderboard:
    suite = made_suite(instruct=True)
    records = [
        *made_records(suite, "honest", made_score(0.61, novel=0.5), seed=0),
        *made_records(suite, "honest", made_score(0.63, novel=0.52), seed=1),
        *made_records(suite, "cheat", made_score(0.97), VerdictLabel.DISQUALIFIED),
        *made_records(suite, "broken", CRASH),
        *made_records(suite, "unchecked", made_score(0.3), VerdictLabel.UNKNOWN),
        *made_records(suite, "odd", made_score(0.2), VerdictLabel.SUSPICIOUS),
        *made_records(suite, "half", made_score(0.5))[:2],
        *made_records(suite, HOSTILE, made_score(0.4)),
    ]
    loose = [made_record(made_spec(suite, task, "loose"), made_score(0.1)) for task in suite.tasks()]
    loose = [
        replace(r, solved=replace(r.solved, isolation=replace(r.solved.isolation, isolated=False)))
        for r in loose
    ]
    waiting = [made_spec(suite, task, "slow") for task in suite.tasks()]
    disputed = {record.spec.run_id for record in records if record.spec.agent.name == "cheat"}
    return rank(suite, [*records, *loose], PAPER, waiting, disputed=disputed)
