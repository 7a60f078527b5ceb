"""What a run without an honest score counts as."""

from __future__ import annotations

import pytest
from made_runs import CRASH, made_score

from posttrainbench.errors import UnknownName
from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import Counted
from posttrainbench.ranking.policy import EXCLUDE, PAPER, count, counting_policy
from posttrainbench.task import Reference

BASE = Reference("base", "world/qwen", "maths", 0.1, "made by hand")


@pytest.mark.parametrize("label", [VerdictLabel.CLEAN, VerdictLabel.SUSPICIOUS, VerdictLabel.UNKNOWN])
@pytest.mark.parametrize("policy", [PAPER, EXCLUDE])
def test_a_score_that_is_not_disqualified_counts_as_itself(policy, label) -> None:
    counting = count(policy, made_score(0.7, 0.05), label, BASE)
    assert (counting.counted, counting.value, counting.stderr) == (Counted.OWN, 0.7, 0.05)


def test_an_unknown_verdict_says_so() -> None:
    assert "did not run" in count(PAPER, made_score(0.7), VerdictLabel.UNKNOWN, BASE).why


@pytest.mark.parametrize("own", [0.9, 0.0])
def test_under_paper_a_disqualified_score_is_replaced_upwards_and_downwards(own: float) -> None:
    counting = count(PAPER, made_score(own), VerdictLabel.DISQUALIFIED, BASE)
    assert (counting.counted, counting.value, counting.stderr) == (Counted.BASE, 0.1, None)


def test_under_paper_a_failure_counts_as_the_base_score_and_says_why() -> None:
    counting = count(PAPER, CRASH, VerdictLabel.CLEAN, BASE)
    assert counting.value == 0.1
    assert counting.why == "failed: agent crashed; counts as the base score"


def test_a_base_score_that_nobody_measured_is_not_made_up() -> None:
    counting = count(PAPER, CRASH, VerdictLabel.CLEAN, None)
    assert (counting.counted, counting.value) == (Counted.NOTHING, None)
    assert "no base score known" in counting.why


def test_exclude_leaves_out_what_does_not_count() -> None:
    for outcome, label in ((CRASH, VerdictLabel.CLEAN), (made_score(0.9), VerdictLabel.DISQUALIFIED)):
        assert count(EXCLUDE, outcome, label, BASE).counted is Counted.NOTHING


def test_an_unknown_policy_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'paper'"):
        counting_policy("papers")
