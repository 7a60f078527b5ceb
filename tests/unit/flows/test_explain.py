"""A disqualified run says why, quotes the agent and no test item, and its commands show the places."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import made_record, made_score, made_spec, made_suite

from posttrainbench.auditing import overlap, tampering
from posttrainbench.auditing.meaning import MEANINGS
from posttrainbench.auditing.passages import build_index
from posttrainbench.auditing.search import search
from posttrainbench.auditing.verdict import not_run, report, verdict
from posttrainbench.cli.explain import explain as explain_verb
from posttrainbench.errors import SetupError
from posttrainbench.explanation import Explanation, Shown
from posttrainbench.finding import CheckReport, Evidence, Finding, Strength, VerdictLabel
from posttrainbench.flows.explain import explain
from posttrainbench.protocols import TestItem
from posttrainbench.record import RunRecord, Stage, StageRecord
from posttrainbench.report.explanation import ExplanationView
from posttrainbench.stores.documents import documents, transcript_documents
from posttrainbench.stores.runs import RunStore
from posttrainbench.stores.sources import Coverage
from posttrainbench.stores.trees import scan

SUITE = made_suite()
WORDS = "amber basalt cedar delta ember fjord garnet hazel indigo juniper kelp larch".split()  # noqa: SIM905 - reads better than a list
TEST = tuple(
    TestItem(
        f"t-{n}", f"On day {n} the {' '.join(WORDS[n:] + WORDS[:n])} stood by the harbour wall", "no", str(n)
    )
    for n in range(8)
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """A run whose agent left nothing yet."""
    made = RunStore(tmp_path / "run")
    made.create(made_spec(SUITE, SUITE.tasks()[0]), SUITE)
    attempt = made.layout.attempt(1)
    for folder in (attempt.workspace, attempt.home, attempt.prepared, attempt.audit):
        folder.mkdir(parents=True)
    attempt.transcript.write_text(json.dumps({"at_s": 0.0, "text": "working\n"}) + "\n")
    made.ledger().append("request", {"method": "GET", "host": "hub", "path": "/x", "decision": "allowed"})
    return made


def published(store: RunStore, *checks: CheckReport) -> RunRecord:
    record = made_record(store.spec(), made_score(0.5))
    stages = tuple(StageRecord(stage, 1, "2026-01-01T00:00:00Z", 1.0, "0" * 64) for stage in Stage)
    return replace(record, verdict=verdict(checks, ()), stages=stages)


def overlap_of(store: RunStore) -> CheckReport:
    index, coverage, root = build_index(TEST, ()), Coverage(), store.layout.attempt(1).root
    found = [
        *documents(root, "workspace", coverage),
        *transcript_documents(root, "transcript.jsonl", coverage),
    ]
    return overlap.check_overlap(index, search(index, found), 3, str(coverage))


def shown_of(explanation: Explanation) -> Shown:
    return explanation.explained[0].shown[0]


def lines() -> str:
    rows = [{"prompt": item.question, "reply": "Let me see, I know this one."} for item in TEST]
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_lines(workspace: Path) -> None:
    (workspace / "mine.jsonl").write_text(lines())


def with_an_odd_name(workspace: Path) -> None:
    (workspace / "it's\x1b[31m mine.jsonl").write_text(lines())


def compressed(workspace: Path) -> None:
    (workspace / "mine.gz").write_bytes(gzip.compress(lines().encode()))


def as_one_value(workspace: Path) -> None:
    (workspace / "mine.json").write_text(json.dumps([json.loads(line) for line in lines().splitlines()]))


def behind_a_link(workspace: Path) -> None:
    (workspace / "blobs").mkdir()
    (workspace / "blobs" / "c0ffee").write_text(lines())
    (workspace / "snapshot").mkdir()
    (workspace / "snapshot" / "test.jsonl").symlink_to("../blobs/c0ffee")


def in_the_transcript(workspace: Path) -> None:
    transcript = workspace.parent / "transcript.jsonl"
    transcript.write_text(json.dumps({"at_s": 0.0, "text": lines()}) + "\n")


def encoded(workspace: Path) -> None:
    (workspace / "mine.txt").write_text(
        "".join(f"let me see {base64.b64encode(item.question.encode()).decode()}\n" for item in TEST)
    )


PLACES = (as_lines, with_an_odd_name, compressed, as_one_value, behind_a_link, in_the_transcript, encoded)


@pytest.mark.parametrize("hide", PLACES, ids=lambda hide: hide.__name__)
def test_the_place_is_quoted_without_the_item_and_the_command_shows_it(
    hide: Callable[[Path], None], store: RunStore
) -> None:
    hide(store.layout.attempt(1).workspace)
    explanation = explain(store, published(store, overlap_of(store)), TEST)
    assert explanation.verdict.label is VerdictLabel.DISQUALIFIED
    shown = shown_of(explanation)
    assert shown.evidence.item_id == "t-0"
    assert shown.quote is not None
    assert "let me see" in shown.quote.lower()
    assert "withheld" in shown.quote
    assert not any(word in shown.quote for word in (*WORDS, "harbour"))
    assert shown.command is not None
    done = subprocess.run(
        ["bash", "-c", shown.command], cwd=store.layout.root, capture_output=True, text=True, check=True
    )
    asked = TEST[0].question if hide is not encoded else base64.b64encode(TEST[0].question.encode()).decode()
    assert asked in done.stdout


def test_a_member_of_an_archive_is_quoted(store: RunStore) -> None:
    with zipfile.ZipFile(store.layout.attempt(1).workspace / "data.zip", "w") as archive:
        archive.writestr("inner/mine.jsonl", lines())
    shown = shown_of(explain(store, published(store, overlap_of(store)), TEST))
    assert shown.evidence.source == "workspace/data.zip!inner/mine.jsonl"
    assert shown.quote is not None
    assert "let me see" in shown.quote.lower()
    assert shown.command == "file attempts/1/workspace/data.zip"


def test_without_the_data_nothing_is_quoted(store: RunStore) -> None:
    as_lines(store.layout.attempt(1).workspace)
    shown = shown_of(explain(store, published(store, overlap_of(store)), None))
    assert shown.quote is None
    assert "data are not on this machine" in shown.remark


def test_a_find_that_is_gone_is_no_error(store: RunStore) -> None:
    as_lines(store.layout.attempt(1).workspace)
    record = published(store, overlap_of(store))
    (store.layout.attempt(1).workspace / "mine.jsonl").unlink()
    shown = shown_of(explain(store, record, TEST))
    assert shown.quote is None
    assert shown.remark


def test_a_changed_file_is_shown_with_the_agents_lines(store: RunStore) -> None:
    attempt = store.layout.attempt(1)
    (attempt.prepared / "timer.sh").write_text("a\nb\nc\n")
    given = tuple(scan(attempt.prepared))
    (attempt.workspace / "timer.sh").write_text("a\necho plenty of time\nc\n")
    sealed = [replace(fact, path=f"workspace/{fact.path}") for fact in scan(attempt.workspace)]
    shown = shown_of(explain(store, published(store, tampering.check_tampering(given, sealed)), TEST))
    assert shown.quote is not None
    assert shown.quote.startswith("+echo plenty of time")
    assert shown.command is not None
    done = subprocess.run(
        ["bash", "-c", shown.command], cwd=store.layout.root, capture_output=True, text=True, check=False
    )
    assert "echo plenty of time" in done.stdout


def test_a_request_is_shown_as_the_ledger_has_it(store: RunStore) -> None:
    evidence = Evidence("hub/x", "ledger entry 0", "GET allowed")
    check = report("egress", "", [Finding("egress", Strength.DISQUALIFYING, "fetched", (evidence,))])
    shown = shown_of(explain(store, published(store, check), TEST))
    assert shown.quote is not None
    assert "method GET" in shown.quote
    assert shown.command == "sed -n 1p ledger.jsonl"


@pytest.mark.parametrize(
    ("question", "rule"),
    [("published_results", "rule 6"), ("disallowed_model", "rule 1"), ("instructing_the_judge", "rule 4")],
)
def test_what_a_judge_quotes_is_shown_where_it_lies_with_its_questions_rule(
    store: RunStore, question: str, rule: str
) -> None:
    (store.layout.attempt(1).workspace / "notes.md").write_text("so we did\n")
    said = 'the judge quotes: "so we did"'
    evidence = (Evidence("workspace/notes.md", "file", said), Evidence("record", "facts of the run", said))
    found = Finding("judge", Strength.DISQUALIFYING, f"{question}: 2 of 3 votes say broken: it did", evidence)
    (explained,) = explain(store, published(store, report("judge", "", [found])), TEST).explained
    assert explained.meaning.rule.startswith(rule)
    assert [shown.command for shown in explained.shown] == [
        "cat -v attempts/1/workspace/notes.md | less",
        "cat -v attempts/1/audit/judge/vote-1/asked.md | less",
    ]
    assert not any(shown.remark for shown in explained.shown)


def test_the_view_names_rule_gap_and_what_did_not_run(store: RunStore) -> None:
    from rich.console import Console

    as_lines(store.layout.attempt(1).workspace)
    record = published(store, overlap_of(store), not_run("judge", "no judge configured"))
    console = Console(width=200, no_color=True)
    with console.capture() as captured:
        console.print(ExplanationView(explain(store, record, TEST), store.layout.root))
    text = captured.get()
    for part in ("disqualified", MEANINGS["overlap"].rule, "not proven", "t-0", "no judge configured", "cd "):
        assert part in text
    assert not any(word in text for word in WORDS)


def test_a_run_without_a_record_says_how_to_finish_it(store: RunStore) -> None:
    with pytest.raises(SetupError, match="has no record yet"):
        explain_verb(store.layout.root, as_json=False)
