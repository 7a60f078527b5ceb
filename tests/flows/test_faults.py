"""What goes wrong between an agent, its LLM and the host ends as the rules say, with the reason on record.

The LLM is scripted, the client a few lines that know nothing of outages; everything else is as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from posttrainbench.agents.builtin import ShellAgent
from posttrainbench.budget import Budget, Spend
from posttrainbench.cli.setup_run import make_run, members_of, task_of
from posttrainbench.errors import FailureKind
from posttrainbench.flows import solve as solve_module
from posttrainbench.flows.deadline import Clock
from posttrainbench.flows.evaluate import Evaluator
from posttrainbench.flows.prepare import TASK_JSON, fill, prepare
from posttrainbench.flows.run import Members, run
from posttrainbench.flows.solve import Solver, solve
from posttrainbench.gateways.model_apis import Hold, ModelApi
from posttrainbench.gateways.policy import Protected
from posttrainbench.gateways.prices import Price, Prices
from posttrainbench.gateways.socket_gateway import Llm, SocketGateway
from posttrainbench.layout import AttemptLayout
from posttrainbench.ledger import Scalar, check_chain
from posttrainbench.record import Failure, Solved, SolveEnd
from posttrainbench.sandboxes.bubblewrap import Bubblewrap
from posttrainbench.stores.runs import RunStore
from posttrainbench.suites import load_suite
from posttrainbench.task import ModelRef, Policy, Rules, Task
from posttrainbench.tinyworld import catalog

sys.path.insert(0, str(Path(__file__).parent.parent / "contract"))

from scripted_llm import INPUT, OUTPUT, REAL_KEY, ScriptedLlm, scripted_llm

# Two minutes without an answer are seven tries of ours; here in a hundredth of the time.
HUNDREDTH = Hold(most_s=36, first_s=0.01, longest_s=0.6)
TWO_MINUTES_OF_TRIES = 7
CLIENT = textwrap.dedent("""
    import json, os, sys, urllib.error, urllib.request
    url = os.environ["PTB_GATEWAY"] + "/llm/openai/v1/responses"
    def call():
        body = json.dumps({"model": "m", "input": [], "stream": True}).encode()
        asked = urllib.request.Request(url, body, {"content-type": "application/json"})
        try:
            said = urllib.request.urlopen(asked, timeout=60).read()
        except urllib.error.HTTPError as refused:
            sys.exit("API error: " + json.load(refused)["error"]["message"])
        except Exception as broken:
            said = b""
        return b"response.completed" in said
    wanted, patience = int(sys.argv[1]), int(sys.argv[2])
    while wanted and patience >= 0:
        if call():
            wanted -= 1
        else:
            patience -= 1
    print("answered" if not wanted else "gave up", flush=True)
    sys.exit(bool(wanted))
""")


def client(calls: int = 1, patience: int = 0) -> str:
    """A shell command: so many calls, of which `patience` may break off."""
    return f"cat > $HOME/client.py <<'END'\n{CLIENT}\nEND\npython $HOME/client.py {calls} {patience}"


@dataclass
class Solving:
    """The stage that has an agent work, with the ledger that it writes."""

    folder: Path
    llm: ScriptedLlm
    hold: Hold = HUNDREDTH
    budget: Budget = field(default_factory=lambda: Budget(60))
    clock: Clock = field(default_factory=Clock)
    entries: list[tuple[str, dict[str, Scalar]]] = field(default_factory=list)

    @property
    def attempt(self) -> AttemptLayout:
        return AttemptLayout(self.folder / "1")

    def told(self, kind: str) -> list[dict[str, Scalar]]:
        return [data for each, data in self.entries if each == kind]

    def said(self) -> str:
        return self.attempt.transcript.read_text()

    def run(self, script: str, spent: Spend | None = None) -> Solved:
        task = Task(ModelRef(catalog.QWEN3_BASE), "tiny_math", self.budget, Rules(Policy.PAPER))
        benchmark, sandbox = _benchmark(), Bubblewrap()
        prepare(task, benchmark, self.folder / "prepared")
        self.attempt.root.mkdir()

        def log(kind: str, data: Mapping[str, Scalar]) -> None:
            self.entries.append((kind, dict(data)))

        solver = Solver(
            ShellAgent("client", script),
            sandbox,
            gateway_to(self.llm, self.hold),
            Evaluator(sandbox, "tiny_math", "transformers", "", task.limits),
            catalog.model_folder(catalog.QWEN3_BASE),
            task,
            0,
            lambda workspace, at_s: fill(task, benchmark, workspace, at_s),
            clock=self.clock,
        )
        return solve(solver, self.folder / "prepared", self.attempt, log, spent)


def _benchmark() -> object:
    from posttrainbench.cli.members import benchmark_named

    return benchmark_named("tiny_math")


def gateway_to(llm: ScriptedLlm, hold: Hold = HUNDREDTH) -> SocketGateway:
    protected = {"tiny_math": Protected(catalog.TINY_MATH, ("data/test.jsonl",))}
    api = ModelApi("openai", llm.base_url, REAL_KEY)
    return SocketGateway(protected, llm=Llm((api,), Prices({"m": Price(input=1000, output=1000)}), hold))


@pytest.fixture
def llm() -> object:
    with scripted_llm() as running:
        yield running


@pytest.fixture
def solving(tmp_path: Path, llm: ScriptedLlm) -> Solving:
    return Solving(tmp_path, llm)


# --- the LLM ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [529, "drop"])
def test_two_minutes_of_outage_pass_unnoticed(solving: Solving, fault: int | str) -> None:
    solving.llm.faults = [fault] * TWO_MINUTES_OF_TRIES
    solved = solving.run(client(calls=2))
    assert (solved.end, solved.reason) == (SolveEnd.FINISHED, "")
    assert "answered" in solving.said()
    first, second = solving.told("model_call")
    assert (first["tries"], second["tries"]) == (TWO_MINUTES_OF_TRIES + 1, 1)
    assert [data["state"] for data in solving.told("outage")] == ["begins", "ends"]


def test_an_outage_without_end_is_the_llms_failure_not_the_agents(solving: Solving) -> None:
    solving.hold = Hold(most_s=0.1, first_s=0.05, longest_s=0.05)
    solving.llm.faults = ["drop"] * 1000
    solved = solving.run(client())
    assert solved.end is SolveEnd.LLM_FAILED
    assert "did not answer" in solved.reason
    assert "API error: the provider did not answer" in solving.said()


def test_a_refused_key_ends_it_at_once_and_is_not_told_inside(solving: Solving) -> None:
    solving.llm.faults = [401] * 1000
    solved = solving.run(client())
    assert solved.end is SolveEnd.LLM_FAILED
    assert solved.reason == "the provider refused the gateway's key (status 401)"
    assert "API error: the provider refused the gateway's key" in solving.said()
    assert REAL_KEY not in solving.said() + json.dumps(solving.entries)
    assert {data["tries"] for data in solving.told("model_call")} == {1}


def test_an_answer_cut_in_the_middle_is_the_clients_to_repeat(solving: Solving) -> None:
    solving.llm.faults = ["cut"]
    solved = solving.run(client(patience=1))
    assert solved.end is SolveEnd.FINISHED
    assert solved.model_calls is not None
    assert (solved.model_calls.broken_off, solved.model_calls.tokens) == (1, INPUT + OUTPUT)
    assert [data["error"] for data in solving.told("model_call")] == [
        "the answer broke off: RemoteProtocolError",
        None,
    ]


def test_a_client_that_gives_up_on_cut_answers_was_failed_by_its_llm(solving: Solving) -> None:
    solving.llm.faults = ["cut"] * 1000
    solved = solving.run(client())
    assert solved.end is SolveEnd.LLM_FAILED
    assert "broke off" in solved.reason


def test_a_spent_budget_is_told_by_the_client_and_on_record(solving: Solving) -> None:
    solving.budget = Budget(60, cost_usd=2 * (INPUT + OUTPUT) / 1000)
    solved = solving.run(client(calls=5))
    assert solved.end is SolveEnd.BUDGET_SPENT
    assert "2.10 of 2.10 USD" in solved.reason
    assert f"API error: {solved.reason}" in solving.said()
    assert solved.model_calls is not None
    assert (solved.model_calls.cost_usd, len(solving.llm.seen)) == (2.1, 2)


# --- the agent ----------------------------------------------------------------------------------------------


def test_a_killed_agent_crashed_and_the_harness_did_not_do_it(solving: Solving) -> None:
    solved = solving.run("echo working; kill -9 $$")
    assert (solved.end, solved.exit_code) == (SolveEnd.CRASHED, 137)
    assert solved.reason == "something ended it with SIGKILL; it was not the harness"


def test_an_agent_that_hangs_is_cut_off_at_its_deadline_and_its_silence_told(
    solving: Solving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solve_module, "QUIET_S", 2.0)
    solving.budget = Budget(4)
    solved = solving.run("echo thinking; exec sleep 1000")
    assert (solved.end, solved.left_processes) == (SolveEnd.DEADLINE, 0)
    assert solved.reason.startswith("silent for its last ")


# --- the host -----------------------------------------------------------------------------------------------


def test_a_suspended_host_costs_no_time_and_the_timer_is_put_right(solving: Solving, tmp_path: Path) -> None:
    """The agent has put a link to a file of the host where it was told its deadline: nobody follows it."""
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    ready = solving.attempt.workspace / "ready"
    solving.budget = Budget(100)
    solving.clock = Clock(time.monotonic, lambda: time.time() + 36_000 * ready.exists())
    solved = solving.run(
        f"ln -sf {victim} task.json; touch ready; while [ -L task.json ]; do sleep 0.2; done"
    )
    assert (solved.end, victim.read_text()) == (SolveEnd.FINISHED, "as it was")
    told = json.loads((solving.attempt.workspace / TASK_JSON).read_text())
    assert told["deadline_unix_s"] == pytest.approx(time.time() + 36_000 + 100, abs=100)
    assert solving.told("clock")[0]["deadline_moved_s"] == pytest.approx(36_000, abs=2)


def test_what_cannot_be_written_down_stops_the_agent(solving: Solving) -> None:
    class Full(list):  # type: ignore[type-arg]
        def append(self, entry: tuple[str, object]) -> None:
            if entry[0] == "request":
                raise OSError(28, "No space left on device")
            super().append(entry)

    solving.entries = Full()
    ask = "import os, urllib.request as r; r.urlopen(os.environ['PTB_GATEWAY'] + '/rules')"
    began_s = time.monotonic()
    with pytest.raises(OSError, match="No space left"):
        solving.run(f'python -c "{ask}"; sleep 1000')
    assert time.monotonic() - began_s < solving.budget.wall_s


def test_without_time_left_nothing_is_started(solving: Solving) -> None:
    solved = solving.run("touch started", Spend(wall_s=61.0))
    assert (solved.end, solved.exit_code) == (SolveEnd.DEADLINE, None)
    assert solved.reason == "earlier attempts took all of its time"
    assert not (solving.attempt.workspace / "started").exists()


# --- whole runs ---------------------------------------------------------------------------------------------


def make(folder: Path, script: str, cost_usd: float | None = None) -> RunStore:
    suite = load_suite("tiny").varied(cost_usd=cost_usd)
    task = task_of(suite, "tiny-qwen3-base", "tiny_math")
    return make_run(folder, suite, task, ShellAgent("client", script).spec, 0, "bwrap")


def members(store: RunStore, llm: ScriptedLlm) -> Members:
    return replace(members_of(store.spec(), store.suite()), gateway=gateway_to(llm))


@pytest.mark.parametrize(
    ("fault", "cost_usd", "kind", "said"),
    [
        (401, None, FailureKind.INFRASTRUCTURE, "refused the gateway's key"),
        (None, 1.0, FailureKind.NO_FINAL_MODEL, "1.05 of 1.00 USD"),
    ],
)
def test_a_run_without_a_model_says_whose_doing_it_was(
    fault: int | None, cost_usd: float | None, kind: FailureKind, said: str, llm: ScriptedLlm, tmp_path: Path
) -> None:
    llm.faults = [fault] * 1000 if fault else []
    store = make(tmp_path, client(calls=9), cost_usd)
    outcome = run(store, members(store, llm)).outcome
    assert isinstance(outcome, Failure)
    assert outcome.reason_kind is kind
    assert said in outcome.reason


def test_what_was_spent_is_spent_whoever_killed_the_worker(llm: ScriptedLlm, tmp_path: Path) -> None:
    """The worker is killed as by `kill -9` after its first call; the budget is for two in all attempts."""
    store = make(tmp_path, client(calls=2) + " && sleep 1000", cost_usd=2.0)
    worker = subprocess.Popen([sys.executable, __file__, str(store.layout.root), str(llm.port)])
    try:
        wait_for(lambda: any(entry.kind == "model_call" for entry in store.ledger_entries()), worker)
    finally:
        worker.kill()
        worker.wait()
    calls_before = sum(entry.kind == "model_call" for entry in store.ledger_entries())
    record = run(store, members(store, llm))
    assert record.solved.end is SolveEnd.BUDGET_SPENT
    calls = [entry for entry in store.ledger_entries() if entry.kind == "model_call"]
    assert (calls_before, len(calls)) in {(1, 2), (2, 2)}
    assert record.spend.tokens == 2 * (INPUT + OUTPUT)
    assert record.spend.cost_usd == 2.1
    assert record.attempts == 2
    check_chain(store.ledger_entries())


def wait_for(condition: Callable[[], object], worker: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + 120
    while not condition():
        assert worker.poll() is None, "the worker ended"
        assert time.monotonic() < until_s, "it never came to pass"
        time.sleep(0.02)


def _work(run_dir: Path, port: int) -> None:
    store = RunStore(run_dir)
    run(store, members(store, ScriptedLlm(port, lambda asked: None)))  # type: ignore[arg-type, return-value]


if __name__ == "__main__":  # RUN PORT: a worker to be killed
    _work(Path(sys.argv[1]), int(sys.argv[2]))
