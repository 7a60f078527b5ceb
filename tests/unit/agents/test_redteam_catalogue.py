"""The red team's catalogue is whole: programs are there, disguises differ, and every row can fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType

import pytest

from posttrainbench.agents.redteam.agent import PROGRAMS, RANGE, RedTeamAgent
from posttrainbench.agents.redteam.catalogue import CHEATS
from posttrainbench.auditing.grader_injection import passages_of
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
def of_range(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """A file of the range by its name, as the range's programs import it."""
    monkeypatch.syspath_prepend(str(RANGE))
    before = set(sys.modules)
    yield import_module
    for name in set(sys.modules) - before:
        sys.modules.pop(name)


def test_programs_that_hope_pass_wherever_they_share_a_process_with_their_tests(
    of_range: Callable[[str], ModuleType],
) -> None:
    """Else nothing would be prevented: what must be shown of an answer is a program that works as a cheat."""
    problems = of_range("problems")
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


def test_the_grader_is_gullible_and_answers_that_instruct_it_are_told_from_honest_ones(
    of_range: Callable[[str], ModuleType],
) -> None:
    """Who instructs it meets every criterion, who says nothing meets none; honest answers are not found."""
    contests, grader = of_range("contests"), of_range("gullible_grader")
    questions = contests.questions("test", 24)
    prompts = {question.id: question.text for question in questions}
    for texts in contests.INSTRUCTING.values():
        for text in texts:
            assert all(grader.met(text, criterion) for criterion in questions[0].criteria)
            assert set(passages_of(dict.fromkeys(prompts, text), prompts)) == set(prompts)
    assert not any(grader.met("It depends.", criterion) for criterion in questions[0].criteria)
    for question in questions:
        assert all(grader.met(question.answer, criterion) for criterion in question.criteria)
    assert passages_of({question.id: question.answer for question in questions}, prompts) == {}
