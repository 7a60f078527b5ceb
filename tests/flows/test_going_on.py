"""An agent that stops early, or whose LLM is gone: it goes on in a real sandbox, and all is on record."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from posttrainbench.budget import Budget
from posttrainbench.flows.evaluate import Evaluator
from posttrainbench.flows.solve import Solver, solve
from posttrainbench.gateways.model_apis import Hold, ModelApi
from posttrainbench.gateways.policy import Protected
from posttrainbench.gateways.socket_gateway import Llm, SocketGateway
from posttrainbench.layout import AttemptLayout
from posttrainbench.ledger import Scalar
from posttrainbench.protocols import AgentCommand
from posttrainbench.record import AgentSpec, Solved, SolveEnd
from posttrainbench.sandboxes.bubblewrap import Bubblewrap
from posttrainbench.task import AfterOutage, ModelRef, Policy, Rules, Task
from posttrainbench.tinyworld import catalog

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))

from scripted_llm import REAL_KEY, scripted_llm

ASK = """python -c "
import os, urllib.request as r
r.urlopen(r.Request(os.environ['PTB_GATEWAY'] + '/llm/openai/v1/chat/completions',
    b'{\\"model\\": \\"m\\", \\"messages\\": []}', {'content-type': 'application/json'})).read()"
"""


@dataclass
class Stubborn:
    """Runs `first`, then `more` each time that it is told to go on."""

    first: str
    more: str
    keeps_session: bool = True
    spec: AgentSpec = field(default_factory=lambda: AgentSpec("stubborn", "stubborn"))
    told: list[str] = field(default_factory=list)

    def command(self, task: Task, seed: int) -> AgentCommand:
        return AgentCommand(("/bin/sh", "-c", self.first))

    def resume(self, task: Task, seed: int, told: str) -> AgentCommand:
        self.told.append(told)
        return AgentCommand(("/bin/sh", "-c", self.more))

    def failure(self, exit_code: int | None, output: str) -> str | None:
        return "it said so" if output.endswith("FAILED\n") else None


Entries = list[tuple[str, dict[str, Scalar]]]


def solved(agent: Stubborn, tmp_path: Path, rules: Rules, llm: Llm | None = None) -> tuple[Solved, Entries]:
    task = Task(ModelRef(catalog.QWEN3_BASE), "tiny_math", Budget(60), rules)
    protected = {"tiny_math": Protected(catalog.TINY_MATH, ("data/test.jsonl",))}
    base, sandbox = catalog.model_folder(catalog.QWEN3_BASE), Bubblewrap()
    (tmp_path / "prepared").mkdir()
    attempt = AttemptLayout(tmp_path / "1")
    attempt.root.mkdir()
    entries: Entries = []

    def log(kind: str, data: Mapping[str, Scalar]) -> None:
        entries.append((kind, dict(data)))

    evaluator = Evaluator(sandbox, "tiny_math", "transformers", "", task.limits)
    gateway = SocketGateway(protected, llm=llm)
    solver = Solver(agent, sandbox, gateway, evaluator, base, task, 0, lambda workspace, at_s: None)
    return solve(solver, tmp_path / "prepared", attempt, log), entries


REPROMPTING = Rules(Policy.PAPER, reprompt_above_s=1)


def test_an_agent_that_stops_early_goes_on_until_it_does_nothing_any_more(tmp_path: Path) -> None:
    once = "test -e $HOME/second || { touch $HOME/second; echo two >> final_model/weights; }"
    agent = Stubborn("mkdir final_model; touch $HOME/first", f"test -e $HOME/first && {once}")
    record, entries = solved(agent, tmp_path, REPROMPTING)
    assert [turn.how for turn in record.turns] == ["start", *["resume"] * 4]
    assert [turn.idle for turn in record.turns] == [False, False, True, True, True]
    assert {turn.end for turn in record.turns} == {SolveEnd.FINISHED}
    assert record.end is SolveEnd.FINISHED
    assert (tmp_path / "1/workspace/final_model/weights").read_text() == "two\n"
    assert len(agent.told) == 4 and "of your time are left" in agent.told[0]
    starts = [data for kind, data in entries if kind == "turn" and data["event"] == "start"]
    ends = [data for kind, data in entries if kind == "turn" and data["event"] == "end"]
    assert [data["how"] for data in starts] == [turn.how for turn in record.turns]
    assert all(data["exit_code"] == 0 for data in ends)
    assert [turn.at_s for turn in record.turns] == sorted(turn.at_s for turn in record.turns)


def test_an_agent_that_is_not_to_be_reprompted_has_one_turn(tmp_path: Path) -> None:
    record, _ = solved(Stubborn("true", "true"), tmp_path, Rules(Policy.PAPER))
    assert [turn.how for turn in record.turns] == ["start"]


def test_a_failure_that_an_agent_tells_of_is_a_crash_even_with_status_0(tmp_path: Path) -> None:
    record, _ = solved(Stubborn("echo FAILED", ""), tmp_path, Rules(Policy.PAPER))
    assert (record.end, record.exit_code, record.reason) == (SolveEnd.CRASHED, 0, "it said so")


@pytest.mark.parametrize("after", AfterOutage)
def test_after_an_outage_it_goes_on_as_the_rules_say(after: AfterOutage, tmp_path: Path) -> None:
    first = f"touch $HOME/session; ls $HOME >> homes; {ASK}"
    agent = Stubborn(first, f"ls $HOME >> homes; {ASK}")
    with scripted_llm() as provider:
        provider.faults = [529, 529]
        api = ModelApi("openai", provider.base_url, REAL_KEY)
        hold = Hold(most_s=0.1, first_s=0.1)
        rules = replace(Rules(Policy.PAPER), after_outage=after)
        record, _ = solved(agent, tmp_path, rules, Llm((api,), hold=hold))
    how = "fresh_start" if after is AfterOutage.FRESH_START else "resume"
    assert [(turn.how, turn.end) for turn in record.turns] == [
        ("start", SolveEnd.LLM_FAILED),
        (how, SolveEnd.FINISHED),
    ]
    assert "529" in record.turns[0].reason
    kept = list((tmp_path / "1/home").glob("earlier-*/home/session"))
    assert len(kept) == (1 if how == "fresh_start" else 0)
    assert (tmp_path / "1/workspace/homes").read_text() == "session\n" * 2


def test_a_refused_key_is_not_tried_forever(tmp_path: Path) -> None:
    with scripted_llm() as provider:
        provider.faults = [401] * 10
        api = ModelApi("openai", provider.base_url, REAL_KEY)
        record, _ = solved(Stubborn(ASK, ASK), tmp_path, REPROMPTING, Llm((api,)))
    assert [turn.end for turn in record.turns] == [SolveEnd.LLM_FAILED] * 3
    assert record.end is SolveEnd.LLM_FAILED
