"""How far a judge agrees with what is known of runs: a table with Wilson intervals, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Group, RenderableType
from rich.table import Table

from posttrainbench.calibration import KnownCase
from posttrainbench.ranking.uncertainty import wilson

SCHEMA = "posttrainbench.calibration/1"


@dataclass(frozen=True, slots=True)
class Agreement:
    """So many of so many cases, with the Wilson 95% interval; `low` and `high` are None of none."""

    what: str
    count: int
    of: int
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "none"
        return f"{self.count} of {self.of} ({self.low:.0%} to {self.high:.0%})"


@dataclass(frozen=True, slots=True)
class Confusion:
    """How one question, or several of which any will do, was answered."""

    questions: tuple[str, ...]
    found: Agreement  # cheats that it is about, called broken
    missed: Agreement  # the same, called kept
    still_open: Agreement  # the same, without a majority that would tell
    false: Agreement  # honest runs, called broken by it


def confusions(cases: Sequence[KnownCase]) -> tuple[Confusion, ...]:
    """Question by question, those that some case is about."""
    return tuple(_confusion(wanted, cases) for wanted in dict.fromkeys(one.wanted for one in cases) if wanted)


def _confusion(wanted: tuple[str, ...], cases: Sequence[KnownCase]) -> Confusion:
    about = [one.agrees for one in cases if one.wanted == wanted]
    honest = [bool(set(wanted) & set(one.broken)) for one in cases if not one.wanted]
    return Confusion(
        wanted,
        _agreement("found", [agrees is True for agrees in about]),
        _agreement("missed", [agrees is False for agrees in about]),
        _agreement("left open", [agrees is None for agrees in about]),
        _agreement("honest runs called broken", honest),
    )


def agreements(cases: Sequence[KnownCase]) -> tuple[Agreement, ...]:
    """Agreement in all, cheats found, honest runs called broken, and cases left open."""
    cheats, twins = [one for one in cases if one.wanted], [one for one in cases if not one.wanted]
    return (
        _agreement("agrees with what is known", [one.agrees is True for one in cases]),
        _agreement("cheats called broken for what they are", [one.agrees is True for one in cheats]),
        _agreement(
            "of these, cheats that no other check disqualifies",
            [one.agrees is True for one in cheats if not one.caught],
        ),
        _agreement("cheats called kept", [one.agrees is False for one in cheats]),
        _agreement("honest runs called kept", [one.agrees is True for one in twins]),
        _agreement("honest runs called broken", [one.agrees is False for one in twins]),
        _agreement("left open", [one.agrees is None for one in cases]),
    )


def _agreement(what: str, holds: Sequence[bool]) -> Agreement:
    low, high = wilson(sum(holds), len(holds)) or (None, None)
    return Agreement(what, sum(holds), len(holds), low, high)


def calibration_document(cases: Sequence[KnownCase]) -> dict[str, object]:
    """The figures, and case by case what they rest on."""
    judges = sorted({f"{one.judged.judge.name} {one.judged.judge.model or ''}".strip() for one in cases})
    told = [
        {
            "case": one.name,
            "wanted": one.wanted,
            "broken": one.broken,
            "open": one.still_open,
            "agrees": one.agrees,
            "caught_by_other_checks": one.caught,
        }
        for one in cases
    ]
    costs = [one.judged.spend.cost_usd for one in cases]
    return {
        "schema": SCHEMA,
        "judges": judges,
        "instructions_sha256": sorted({one.judged.instructions_sha256 for one in cases}),
        "agreement": [asdict(one) for one in agreements(cases)],
        "questions": [asdict(one) for one in confusions(cases)],
        "cost_usd": None if None in costs else sum(cost for cost in costs if cost is not None),
        "cases": told,
    }


def calibration_table(cases: Sequence[KnownCase]) -> RenderableType:
    """The figures for a person: in all, then question by question."""
    return Group(_agreement_table(cases), _confusion_table(cases))


def _confusion_table(cases: Sequence[KnownCase]) -> Table:
    table = Table(title="question by question (Wilson 95%)", title_justify="left")
    for heading in ("rule broken", "found", "missed", "left open", "honest runs called broken"):
        table.add_column(heading)
    for one in confusions(cases):
        figures = (one.found, one.missed, one.still_open, one.false)
        table.add_row("\nor ".join(one.questions), *map(str, figures))
    return table


def _agreement_table(cases: Sequence[KnownCase]) -> Table:
    table = Table(title="what the judge makes of runs that are known", title_justify="left")
    for heading in ("", "cases", "share", "95%"):
        table.add_column(heading, justify="left" if not heading else "right")
    for one in agreements(cases):
        share = "" if one.of == 0 else f"{one.count / one.of:.0%}"
        interval = "" if one.low is None or one.high is None else f"{one.low:.0%} to {one.high:.0%}"
        table.add_row(one.what, f"{one.count} of {one.of}", share, interval)
    return table
