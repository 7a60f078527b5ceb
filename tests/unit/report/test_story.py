"""The story tells what matters, in order, of finished and unfinished runs alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath

from made_runs import CRASH, made_record, made_score, made_spec, made_suite
from rich.console import Console

from posttrainbench.budget import Spend
from posttrainbench.finding import (
    CheckReport,
    CheckStatus,
    Evidence,
    Finding,
    Strength,
    Verdict,
    VerdictLabel,
)
from posttrainbench.judgement import Judged, JudgeSpec
from posttrainbench.ledger import LedgerEntry, Scalar, next_entry
from posttrainbench.report.story import Place, Story, story_json
from posttrainbench.report.timeline import LOUD, timeline

SUITE = made_suite()
SPEC = made_spec(SUITE, SUITE.tasks()[0])


def ledger(*events: tuple[str, Mapping[str, Scalar]]) -> tuple[LedgerEntry, ...]:
    entries: list[LedgerEntry] = []
    for second, (kind, data) in enumerate(events):
        last = entries[-1] if entries else None
        entries.append(next_entry(last, f"2026-01-01T00:00:{second:02d}+00:00", kind, data))
    return tuple(entries)


def request(file: str | None, decision: str = "allowed", **more: Scalar) -> tuple[str, dict[str, Scalar]]:
    data: dict[str, Scalar] = {
        "method": "GET",
        "host": "hub",
        "path": f"/datasets/world/data/resolve/main/{file}",
        "status": 200 if decision == "allowed" else 403,
        "decision": decision,
        "reason": "because of the policy",
        "bytes_out": 1500,
        "repo_type": "dataset",
        "repo_id": "world/data",
        "revision": "main",
        "file": file,
    }
    return "request", {**data, **more}


def stage(name: str, event: str = "start", attempt: int = 1) -> tuple[str, dict[str, Scalar]]:
    return "stage", {
        "stage": name,
        "event": event,
        "attempt": attempt,
        "wall_s": 2.5 if event == "end" else None,
    }


def texts(*events: tuple[str, Mapping[str, Scalar]]) -> list[str]:
    return [event.text for event in timeline(ledger(*events))]


def printed(story: Story, width: int = 100) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(story)
    return captured.get()


def test_a_stage_is_told_once_with_its_time() -> None:
    assert texts(stage("solve"), stage("solve", "end")) == ["solve (2.5 s)"]


def test_a_stage_that_did_not_end_says_so() -> None:
    assert texts(stage("solve")) == ["solve: began and did not end"]
    again = (stage("solve"), ("attempt", {"number": 2}), stage("solve", attempt=2), stage("solve", "end", 2))
    assert texts(*again) == ["solve: began and did not end", "attempt 2 takes over", "solve (2.5 s)"]


def test_downloads_of_one_repository_are_one_line_with_their_files() -> None:
    looked = request(None)
    told = texts(looked, request("a.json"), looked, request("b.json"), request("b.json"))
    assert told == ["asked the hub what there is", "dataset world/data@main: a.json, b.json (4.5 kB)"]
    assert timeline(ledger(looked, request("a.json"), looked))[0].count == 2


def test_a_failed_request_is_no_download() -> None:
    (event,) = timeline(ledger(request("a.json", status=404)))
    assert event.kind == "request"


def test_every_denial_is_told_with_its_reason_and_repeats_are_counted() -> None:
    denied = request("test.jsonl", "denied")
    (event,) = timeline(ledger(denied, denied, denied))
    assert event.text == "GET dataset world/data@main test.jsonl: because of the policy"
    assert (event.kind, event.emphasis, event.count) == ("denied", LOUD, 3)


def test_requests_to_other_hosts_are_told() -> None:
    other = request(None, host="example.org", path="/x", repo_type=None, repo_id=None, revision=None)
    assert texts(other, other) == ["GET example.org/x (200)"]


def test_evaluations_have_their_score_or_their_error_and_never_a_made_up_number() -> None:
    scored = ("evaluation", {"path": "m", "score": 0.5, "stderr": 0.05, "n": 100, "error": None})
    failed = ("evaluation", {"path": "m", "score": None, "stderr": None, "n": None, "error": "not a model"})
    assert texts(scored, failed) == ["m: 50.0% ± 5.0 on 100 items", "m: no score: not a model"]


def test_signals_limits_and_unknown_kinds_are_told() -> None:
    told = texts(
        ("signal", {"what": "TERM", "why": "deadline"}),
        ("limit", {"what": "memory", "peak_memory_bytes": 1}),
        ("novelty", {"what": "something", "empty": None}),
    )
    assert told == ["TERM (deadline)", "the memory limit ended the sandbox", "what something"]


def test_an_unreadable_time_is_unknown_rather_than_zero() -> None:
    entries = ledger(stage("solve"))
    (event,) = timeline((replace(entries[0], at_utc="soon"),))
    assert event.at_s is None


def verdict() -> Verdict:
    evidence = tuple(
        Evidence("workspace/train.jsonl", f"line {n}", "the question", f"item-{n}") for n in range(9)
    )
    found = Finding("overlap", Strength.DISQUALIFYING, "9 test items in the agent's files", evidence)
    reports = (
        CheckReport("lineage", CheckStatus.NOT_RUN, "no weights"),
        CheckReport("overlap", CheckStatus.FAILED, "scanned 3 files", (found,)),
    )
    return Verdict(VerdictLabel.DISQUALIFIED, ("overlap",), reports)


def test_a_verdict_comes_with_evidence_that_a_person_can_go_and_see() -> None:
    record = replace(made_record(SPEC, made_score(0.9)), verdict=verdict())
    text = printed(Story(SPEC, record, (), PurePath("runs/x"), (Place("ledger", PurePath("ledger.jsonl")),)))
    for expected in ("disqualified", "workspace/train.jsonl, line 0, item item-0", "and 5 more", "not run"):
        assert expected in text
    assert text.index("scanned 3 files") < text.index("no weights"), "what failed comes first"
    assert "runs/x" in text
    assert "ledger.jsonl" in text


def test_verdicts_of_earlier_judges_stay_to_be_seen() -> None:
    record = made_record(SPEC, made_score(0.5))
    judged = Judged(JudgeSpec("api", "m-1", "llm.example"), "", "", (), Spend())
    earlier = (replace(record, verdict=verdict()), replace(record, judged=judged))
    text = printed(Story(SPEC, record, (), PurePath("x"), earlier=earlier))
    assert "record 1: disqualified, no judge" in text
    assert "record 2: clean, api (m-1) at llm.example" in text


def test_a_failure_shows_its_reason_and_no_percentage() -> None:
    text = printed(Story(SPEC, made_record(SPEC, CRASH), (), PurePath("x")))
    assert "no score: agent crashed" in text
    assert "%" not in text


def test_a_run_without_isolation_says_so() -> None:
    text = printed(Story(SPEC, made_record(SPEC, made_score(0.5), isolated=False), (), PurePath("x")))
    assert "isolation" in text


def test_a_run_without_a_record_has_a_story() -> None:
    story = Story(SPEC, None, ledger(stage("prepare")), PurePath("x"))
    assert "no record yet" in printed(story)
    assert json.loads(story_json(story))["record"] is None
    assert "nothing yet" in printed(Story(SPEC, None, (), PurePath("x")))


def test_hostile_text_is_shown_and_does_nothing() -> None:
    hostile = "\x1b[2J\u202e[bold]x"
    spec = replace(SPEC, agent=replace(SPEC.agent, name=hostile))
    entries = ledger(request(hostile), request(hostile, "denied"), ("evaluation", {"path": hostile}))
    text = printed(Story(spec, None, entries, PurePath(hostile)), width=200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J\\u202e[bold]x" in text


def test_a_long_ledger_is_cut_in_the_middle() -> None:
    events = [("evaluation", {"path": f"m{n}", "score": 0.1, "stderr": None, "n": 5}) for n in range(60)]
    text = printed(Story(SPEC, None, ledger(*events, *[request(None)] * 0), PurePath("x")))
    assert "more, in ledger.jsonl" not in text
    many = tuple(replace(entry, index=n) for n, entry in enumerate(ledger(*events) * 3))
    text = printed(Story(SPEC, None, many, PurePath("x")))
    assert "120 more, in ledger.jsonl" in text
    assert "m0:" in text
    assert "m59:" in text
