"""Which cases `ptb redteam` plays."""

from __future__ import annotations

from pathlib import Path

import pytest

from posttrainbench.agents.redteam.catalogue import CHEATS
from posttrainbench.cli.redteam import Asked, cases_of
from posttrainbench.errors import UnknownName
from posttrainbench.task import Policy


def asked(part: str, seeds: int = 1) -> Asked:
    return Asked(("paper",), (), seeds, 1, Path(), "bwrap", part)


def test_the_whole_is_every_disguise_and_every_twin() -> None:
    cases = cases_of(asked("whole"))
    assert len(cases) == sum(len(cheat.disguises) + 1 for cheat in CHEATS.values())
    assert {case.policy for case in cases} == {Policy.PAPER}


def test_the_twins_are_one_for_each_cheat_and_seed() -> None:
    cases = cases_of(asked("twins", seeds=5))
    assert all(case.is_twin for case in cases)
    assert {(case.cheat, case.seed) for case in cases} == {(n, seed) for n in CHEATS for seed in range(5)}


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownName, match="twins"):
        cases_of(asked("twin"))
