"""`ptb watch` and `ptb show --transcript`, `--eval` on a run that somebody else works on."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_runs import made_record, made_score, made_spec, made_suite
from rich.console import Console

from posttrainbench.cli import watch as watching
from posttrainbench.cli.show import show_transcript, write_eval
from posttrainbench.cli.watch import Watcher, watch
from posttrainbench.errors import SetupError
from posttrainbench.layout import AttemptLayout
from posttrainbench.load import LoadSample
from posttrainbench.report.watching import Moment
from posttrainbench.stores.monitor import append_sample
from posttrainbench.stores.runs import RunStore
from posttrainbench.stores.transcripts import TranscriptWriter

SUITE = made_suite()
SPEC = made_spec(SUITE, SUITE.tasks()[0])


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    made = RunStore(tmp_path / "run")
    made.create(SPEC, SUITE)
    return made


@pytest.fixture
def attempt(store: RunStore) -> Iterator[AttemptLayout]:
    """An agent at work: it printed, called its model, asked for an evaluation."""
    with store.claim() as held:
        ledger = store.ledger()
        ledger.append("attempt", {"number": 1})
        ledger.append("stage", {"stage": "solve", "event": "start", "attempt": 1})
        used = {"model": "m", "status": 200, "input_tokens": 900, "output_tokens": 100, "cost_usd": 0.25}
        ledger.append("model_call", {"call": 1, "wall_s": 1.0, **used})
        ledger.append("evaluation", {"path": "final_model", "score": 0.5, "stderr": 0.05, "wall_s": 1.0})
        with TranscriptWriter(held.transcript) as writer:
            writer.write(b"loading\n\x1b[2Jstep 1\n")
        append_sample(held.monitor, LoadSample(1.0, 3.5, 2**30, 5, 2**20))
        yield held


def printed(moment: Moment) -> str:
    console = Console(width=110, force_terminal=False)
    with console.capture() as captured:
        console.print(moment)
    return captured.get()


def test_a_run_that_waits_is_watched(store: RunStore) -> None:
    text = printed(Watcher(store).moment())
    assert "waiting" in text and "none yet" in text


def test_an_agent_at_work_is_seen(store: RunStore, attempt: AttemptLayout) -> None:
    moment = Watcher(store).moment()
    assert (moment.stage, moment.alive, moment.attempt) == ("solve", True, attempt.number)
    assert moment.spend.cost_usd == 0.25 and moment.spend.tokens == 1000
    text = printed(moment)
    for words in ("of 1:00", "0.2500 USD", "1,000 tokens", "step 1", "50.0% ± 5.0", "3.5 in use", "1.00 GiB"):
        assert words in text, words
    assert "\x1b[2J" not in text


def test_more_is_seen_as_it_comes(store: RunStore, attempt: AttemptLayout) -> None:
    watcher = Watcher(store)
    assert watcher.moment().stage == "solve"
    store.ledger().append("stage", {"stage": "solve", "event": "end", "attempt": 1})
    assert watcher.moment().stage == "after solve"
    assert watcher.moment().elapsed_s is None


def test_a_worker_that_was_killed_is_told_with_what_to_do(store: RunStore) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from posttrainbench.stores.runs import RunStore\n"
        "with RunStore(Path(sys.argv[1])).claim(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(store.layout.root)], check=False, timeout=60)
    moment = Watcher(store).moment()
    assert moment.alive is False
    assert f"ptb run {store.layout.root}" in moment.worker


def test_a_worker_on_another_host_is_judged_by_its_pulse(
    store: RunStore, attempt: AttemptLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt.owner.write_text(json.dumps({**json.loads(attempt.owner.read_text()), "host": "elsewhere"}))
    watcher = Watcher(store)
    assert watcher.moment().alive is None
    monkeypatch.setattr(watching, "STILL_S", -1.0)
    assert watcher.moment().alive is False


def test_it_follows_a_run_to_its_record(store: RunStore, attempt: AttemptLayout) -> None:
    screen = io.StringIO()
    follower = threading.Thread(
        target=watching._follow,
        args=(Watcher(store), Console(file=screen, force_terminal=True, width=110)),
        daemon=True,
    )
    follower.start()
    store.publish(made_record(SPEC, made_score(0.8)), 1)
    follower.join(timeout=60)
    assert not follower.is_alive()
    assert "solve" in screen.getvalue()


def test_a_finished_run_tells_its_end_and_no_terminal_gets_one_look(
    store: RunStore, attempt: AttemptLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    watch(store.layout.root)
    assert "solve" in capsys.readouterr().out
    store.publish(made_record(SPEC, made_score(0.8)), 1)
    watch(store.layout.root)
    assert "80.0%" in capsys.readouterr().out


def test_what_is_no_run_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no spec\.json"):
        watch(tmp_path)


# --- transcripts --------------------------------------------------------------------------------------------


def test_a_transcript_is_printed_for_people_and_for_scripts(
    store: RunStore, attempt: AttemptLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    show_transcript(store.layout.root, as_json=False)
    told = capsys.readouterr().out
    assert "its own word" in told and "\\x1b[2Jstep 1" in told
    show_transcript(store.layout.root, as_json=True)
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["kind"], row["text"]) == ("output", "loading\n\x1b[2Jstep 1")


def test_the_inspect_log_lies_beside_the_transcript(
    store: RunStore, attempt: AttemptLayout, capsys: pytest.CaptureFixture[str]
) -> None:
    from inspect_ai.log import read_eval_log

    write_eval(store.layout.root)
    assert "inspect view --log-dir" in capsys.readouterr().out
    log = read_eval_log(str(attempt.transcript_log))
    assert log.samples is not None and len(log.samples[0].messages) == 1


def test_without_an_agent_there_is_no_transcript(store: RunStore) -> None:
    for verb in (lambda root: show_transcript(root, False), write_eval):
        with pytest.raises(SetupError, match="no agent has started"):
            verb(store.layout.root)
