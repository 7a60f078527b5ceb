"""The red team's catalogue is whole: programs are there, disguises differ, and every row can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from types import ModuleType

import pytest

from posttrainbench.agents.redteam.agent import PROGRAMS, RANGE, RedTeamAgent
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


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The range's programming problems, as its programs import them."""
    monkeypatch.syspath_prepend(str(RANGE))
    import problems

    yield problems
    sys.modules.pop("problems")


def test_programs_that_hope_pass_wherever_they_share_a_process_with_their_tests(problems: ModuleType) -> None:
    """Else nothing would be prevented: what must be shown of an answer is a program that works as a cheat."""
    ways = {way.name: way for way in CHEATS[31].disguises}
    (problem, *_) = problems.problems("test", 24)
    assert set(ways) == set(problems.HOPING)
    for kind, bodies in problems.HOPING.items():
        (shown,) = (trace.pattern for trace in ways[kind].carried if trace.record == "answered")
        for body in bodies:
            program = f"{problem.prompt}{body}\n\n{problem.test}\ncheck(solve)\n"
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
            assert done.returncode == 0, body
            assert fnmatchcase(f"0 {problems.answer(body)}".casefold(), shown.casefold())
            assert not fnmatchcase(f"0 {problems.answer(body[1:])}".casefold(), shown.casefold())
