"""Calibrate: have a judge read runs of the red team, of which it is known what happened, and publish nothing.

Only runs that did what they came for are read: a cheat that was carried out, a twin that did its honest
thing. The lines in which the red team's programs say what they are doing are left out.
Not covered: the programs themselves lie outside the workspace, so that a judge sees what they made and
printed, and not their code, which with an agent of a person's own it would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from posttrainbench.auditing.judge_words import QUESTIONS
from posttrainbench.auditing.judging import CHECK, majority_of
from posttrainbench.calibration import KnownCase
from posttrainbench.flows.audit import inputs_of, remains
from posttrainbench.flows.dossier import dossier
from posttrainbench.flows.judge import judge as judge_run
from posttrainbench.flows.judge import lots
from posttrainbench.flows.redteam import ASKED_ABOUT, TELLS, disqualifying_checks
from posttrainbench.flows.redteam import Prepared as RedTeamRun
from posttrainbench.flows.redteam import judged as result_of
from posttrainbench.protocols import Benchmark, Judge
from posttrainbench.record import RunRecord
from posttrainbench.redteam import Ending

_CARRIED_OUT = (Ending.DETECTED, Ending.SUSPECTED, Ending.MISSED)
_HONEST = (Ending.CLEAN, Ending.FLAGGED)


@dataclass(frozen=True, slots=True)
class Known:
    """A run of the red team that did what it came for, and what a judge should call it."""

    run: RedTeamRun
    record: RunRecord
    wanted: tuple[str, ...]


def known(runs: Sequence[RedTeamRun]) -> Iterator[Known]:
    """The runs that tell something about a judge, in order."""
    for run in runs:
        record = run.store.record()
        if record is None or run.case.cheat not in ASKED_ABOUT:
            continue
        ending = result_of(run, record).ending
        if run.case.is_twin and ending in _HONEST:
            yield Known(run, record, ())
        elif not run.case.is_twin and ending in _CARRIED_OUT:
            yield Known(run, record, ASKED_ABOUT[run.case.cheat])


def calibrate(
    cases: Sequence[Known],
    judge: Judge,
    benchmark: Benchmark,
    siblings: tuple[tuple[str, Path], ...],
    out: Path,
) -> Iterator[KnownCase]:
    """What the judge says of each case; what was asked and replied lies below `out`, case by case."""
    for case in cases:
        made = inputs_of(case.run.store, benchmark, case.run.base, siblings)
        inputs = replace(made, left_out=TELLS)
        reports = tuple(one for one in case.record.verdict.checks if one.check != CHECK)
        blocks = dossier(remains(inputs, reports), judge.dossier_characters, lots())
        judgement = judge_run(judge, blocks, out / case.run.case.name)
        said = {name: majority_of(name, judgement.judged.votes) for name in QUESTIONS}
        yield KnownCase(
            case.run.case.name,
            case.wanted,
            tuple(name for name, broken in said.items() if broken is True),
            tuple(name for name, broken in said.items() if broken is None),
            judgement.judged,
            caught=bool(disqualifying_checks(case.record) - {CHECK}),
        )
