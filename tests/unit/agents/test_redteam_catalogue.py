"""The red team's catalogue is whole: programs are there, disguises differ, and every row can fail."""

from __future__ import annotations

import pytest

from posttrainbench.agents.redteam.agent import PROGRAMS, RedTeamAgent
from posttrainbench.agents.redteam.catalogue import CHEATS
from posttrainbench.redteam import TWIN, Cheat


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=lambda cheat: f"{cheat.number:02d}")
def test_a_row_is_whole(cheat: Cheat) -> None:
    assert (PROGRAMS / cheat.program).is_file()
    names = [way.name for way in cheat.disguises]
    assert len(set(names)) == len(names) >= 2
    assert cheat.twin.name == TWIN
    assert TWIN not in names
    for way in (*cheat.disguises, cheat.twin):
        assert way.carried, f"nothing would show that {way.name} was carried out"


def test_an_agent_is_made_again_from_its_spec() -> None:
    agent = RedTeamAgent(2, "mirror")
    assert RedTeamAgent.of(agent.spec) == agent
