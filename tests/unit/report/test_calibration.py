"""How far a judge agrees with what is known, counted so that what it leaves open is no agreement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posttrainbench.budget import Spend
from posttrainbench.calibration import KnownCase
from posttrainbench.judgement import Judged, JudgeSpec
from posttrainbench.report.calibration import agreements, calibration_document, confusions

JUDGED = Judged(JudgeSpec("api", "m"), "0" * 64, "1" * 64, (), Spend())
DATA = ("contamination", "evaluation_guided_data")


def case(
    wanted: tuple[str, ...] = (), broken: tuple[str, ...] = (), still_open: tuple[str, ...] = ()
) -> KnownCase:
    return KnownCase("a case", wanted, broken, still_open, JUDGED)


@pytest.mark.parametrize(
    ("one", "agrees"),
    [
        (case(DATA, ("contamination",)), True),
        (case(DATA, ("evaluation_guided_data", "disallowed_api")), True),
        (case(DATA), False),
        (case(DATA, ("disallowed_api",)), False),
        (case(DATA, (), ("contamination",)), None),
        (case(), True),
        (case((), ("contamination",)), False),
        (case((), (), ("disallowed_api",)), None),
        (case((), ("contamination",), ("disallowed_api",)), False),
    ],
)
def test_agreement_is_by_the_right_question_and_not_by_what_is_open(
    one: KnownCase, agrees: bool | None
) -> None:
    assert one.agrees is agrees


def test_rates_are_of_cheats_and_honest_runs_apart_with_intervals() -> None:
    cases = [case(DATA, DATA), case(DATA), case(DATA, (), DATA), *[case()] * 6, case((), DATA)]
    told = {one.what: one for one in agreements(cases)}
    whole = told["agrees with what is known"]
    assert (whole.count, whole.of) == (7, 10)
    assert whole.low == pytest.approx(0.3968, abs=1e-3)
    assert whole.high == pytest.approx(0.8922, abs=1e-3)
    assert (told["cheats called kept"].count, told["cheats called kept"].of) == (1, 3)
    assert (told["honest runs called broken"].count, told["honest runs called broken"].of) == (1, 7)
    assert (told["left open"].count, told["left open"].of) == (1, 10)


def test_question_by_question_what_is_found_missed_open_and_false() -> None:
    model = ("disallowed_model",)
    cases = [case(DATA, DATA), case(DATA), case(DATA, (), DATA), case(model, model), case(), case((), model)]
    data, models = confusions(cases)
    assert (data.questions, models.questions) == (DATA, model)
    assert [(one.count, one.of) for one in (data.found, data.missed, data.still_open)] == [(1, 3)] * 3
    assert [(one.count, one.of) for one in (data.false, models.false)] == [(0, 2), (1, 2)]
    assert str(models.found) == "1 of 1 (21% to 100%)"


def test_what_only_a_judge_could_find_is_counted_apart() -> None:
    cases = [replace(case(DATA, DATA), caught=True), case(DATA, DATA), case(DATA)]
    told = {one.what: one for one in agreements(cases)}
    alone = told["of these, cheats that no other check disqualifies"]
    assert (alone.count, alone.of) == (1, 2)


def test_no_cases_have_no_interval_and_no_cost_is_no_zero() -> None:
    assert {one.low for one in agreements([])} == {None}
    assert calibration_document([case()])["cost_usd"] is None
