"""Grades of a rubric: read from a grader's reply, and turned into points."""

from __future__ import annotations

import json

import pytest

from posttrainbench.scoring.rubric import Criterion, parse_grade, points_share, shares_by_tag

RUBRIC = (
    Criterion("names a tide", 5, ("axis:accuracy", "level:example")),
    Criterion("asks back", 3, ("axis:context",)),
    Criterion("invents a moon", -4, ("axis:accuracy",)),
    Criterion("shouts", -2, ("axis:tone",)),
)


@pytest.mark.parametrize(
    "reply",
    [
        '{"explanation": "yes", "criteria_met": true}',
        '```json\n{"explanation": "yes", "criteria_met": true}\n```',
        '```\n{"criteria_met": true}\n```',
        'Here it is:\n```json\n{"criteria_met": true}\n```\nThat is all.',
        '{"criteria_met": false} on a second look {"criteria_met": true}',
        '{"explanation": "braces { in } strings", "criteria_met": true}',
        '{"criteria_met": true, "nested": {"criteria": "no field here"}}',
    ],
)
def test_a_grade_is_found_however_it_is_wrapped(reply: str) -> None:
    assert parse_grade(reply) is True
    assert parse_grade(reply.replace("true", "false")) is False


@pytest.mark.parametrize(
    "reply",
    ["", "{", "true", '{"criteria_met": "true"}', '{"criteria_met": 1}', '{"criteria_met": null}', "{}",
     '{"criteria_met": tr', '[{"other": true}]', "{" * 10000, "[" * 100000],
)  # fmt: skip
def test_no_grade_is_not_a_grade_of_not_met(reply: str) -> None:
    assert parse_grade(reply) is None


def test_points_are_achieved_over_possible() -> None:
    assert points_share(RUBRIC, (True, True, False, False)) == 1.0
    assert points_share(RUBRIC, (True, False, False, False)) == 5 / 8
    assert points_share(RUBRIC, (False, False, True, True)) == -6 / 8
    assert points_share(RUBRIC, (False,) * 4) == 0.0


def test_nothing_to_gain_is_no_share() -> None:
    assert points_share(RUBRIC[2:], (True, True)) is None


def test_an_axis_has_the_share_of_its_own_criteria() -> None:
    shares = shares_by_tag(RUBRIC, (True, False, True, True), "axis:")
    assert shares == {"axis:accuracy": 1 / 5, "axis:context": 0.0}  # nothing is to be gained on tone


def test_a_grade_for_each_criterion_or_an_error() -> None:
    with pytest.raises(ValueError, match="argument"):
        points_share(RUBRIC, (True,))


def test_a_graders_own_json_is_read_back() -> None:
    reply = json.dumps({"explanation": 'quotes " and \\ and \n', "criteria_met": False})
    assert parse_grade(reply) is False
