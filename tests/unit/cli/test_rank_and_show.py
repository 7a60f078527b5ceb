"""`ptb rank`, `ptb show`, `ptb list` on run directories."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import CRASH, made_record, made_score, made_spec, made_suite

from posttrainbench.cli.base_models import base_folder, instruct_sibling
from posttrainbench.cli.listing import LISTINGS, listing
from posttrainbench.cli.rank import FORMATS, Asked, compare_two, leaderboard_of, rank, ranked
from posttrainbench.cli.show import show
from posttrainbench.errors import InvalidFile, SetupError, UnknownName
from posttrainbench.leaderboard import RankRange
from posttrainbench.ranking.policy import PAPER
from posttrainbench.record import AgentSpec, Stage, StageRecord
from posttrainbench.scoring.summary import SampleScore
from posttrainbench.stores.runs import RunStore, find_runs
from posttrainbench.stores.samples import write_samples
from posttrainbench.suites import load_suite
from posttrainbench.task import Suite

SUITE = made_suite()


def put_runs(root: Path, suite: Suite, agent: str, mean: float, published: int = 4) -> list[RunStore]:
    """One run directory per task, the first `published` of them with a record."""
    stores = []
    for number, task in enumerate(suite.tasks()):
        spec = made_spec(suite, task, agent)
        store = RunStore(root / suite.digest[:6] / spec.run_id)
        store.create(spec, suite)
        store.ledger().append("stage", {"stage": "prepare", "event": "start", "attempt": 1})
        if number < published:
            store.publish(made_record(spec, made_score(mean)), 1)
        stores.append(store)
    return stores


def test_a_folder_of_runs_is_ranked_and_unfinished_runs_are_missing(tmp_path: Path) -> None:
    put_runs(tmp_path, SUITE, "good", 0.8)
    put_runs(tmp_path, SUITE, "fair", 0.5)
    put_runs(tmp_path, SUITE, "slow", 0.9, published=1)
    board = leaderboard_of(tmp_path, None, PAPER)
    assert [(entry.label, entry.rank) for entry in board.entries] == [
        ("good", 1),
        ("fair", 2),
        ("slow", None),
    ]
    assert board.suite_digest == SUITE.digest


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_goes_to_the_terminal_or_to_a_file(tmp_path: Path, capsys, format_: str) -> None:
    put_runs(tmp_path / "runs", SUITE, "good", 0.8)
    rank(tmp_path / "runs", None, "paper", format_, None)
    assert "good" in capsys.readouterr().out
    out = tmp_path / "new" / "file"
    rank(tmp_path / "runs", None, "paper", format_, out)
    assert "good" in out.read_text()
    assert capsys.readouterr().out == ""


def keep_samples(store: RunStore, right: int, of: int = 200) -> None:
    """As an evaluation leaves them: the first `right` of the items were answered well."""
    samples = [SampleScore(f"item-{n}", float(n < right)) for n in range(of)]
    store.layout.attempt(1).evaluation.mkdir(parents=True)
    write_samples(store.layout.attempt(1).evaluation, samples)


def put_sampled_runs(root: Path, agent: str, right: int) -> None:
    """Runs that know what each sample scored."""
    for task in SUITE.tasks():
        spec = made_spec(SUITE, task, agent)
        store = RunStore(root / spec.run_id)
        store.create(spec, SUITE)
        record = made_record(spec, made_score(right / 200, 0.035))
        evaluated = StageRecord(Stage.EVALUATE, 1, "2026-01-01T00:00:00Z", 1.0, "0" * 64)
        store.publish(replace(record, stages=(evaluated,)), 1)
        keep_samples(store, right)


def test_agents_are_compared_on_the_items_that_both_answered(tmp_path: Path, capsys) -> None:
    put_sampled_runs(tmp_path, "good", 110)
    put_sampled_runs(tmp_path, "fair", 100)
    compare_two(Asked(tmp_path), "good", "fair", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["first_beats_second"] > 0.99, "ten items more and none fewer"
    assert found["difference"] == pytest.approx(0.05, abs=0.001)
    assert found["items"] == 2 * 200
    compare_two(Asked(tmp_path), "good", "fair", as_json=False)
    printed = capsys.readouterr().out
    assert "good beats fair with probability" in printed
    assert "400 items that both answered" in printed
    ranges = {entry.label: entry.ranks for entry in ranked(Asked(tmp_path)).board.entries}
    assert ranges == {"good": RankRange(1, 1), "fair": RankRange(2, 2)}


def test_samples_that_are_not_those_of_the_score_are_not_used(tmp_path: Path) -> None:
    put_sampled_runs(tmp_path, "good", 110)
    for store in find_runs(tmp_path):
        write_samples(store.layout.attempt(1).evaluation, [SampleScore("item-0", 1.0)])
    (drawn,) = ranked(Asked(tmp_path)).drawn
    assert drawn.items == 0


def test_agents_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    put_runs(tmp_path, SUITE, "good", 0.8)
    put_runs(tmp_path, SUITE, "slow", 0.9, published=1)
    with pytest.raises(UnknownName, match="did you mean 'good'"):
        compare_two(Asked(tmp_path), "goood", "slow", as_json=False)
    with pytest.raises(SetupError, match="'slow' has no total"):
        compare_two(Asked(tmp_path), "good", "slow", as_json=False)


def test_published_figures_stand_beside_runs_of_their_suite_only(tmp_path: Path, capsys) -> None:
    put_runs(tmp_path / "own", SUITE, "good", 0.8)
    with pytest.raises(SetupError, match="no published figures of suite made"):
        rank(tmp_path / "own", None, "paper", "table", None, beside="published")
    paper = load_suite("ptb-v1.0")
    for task in paper.tasks():
        data = {b.name: b.data_digest for b in paper.benchmarks}[task.benchmark]
        spec = replace(made_spec(paper, task, "mine"), data_digest=data or "any")
        store = RunStore(tmp_path / "paper" / spec.run_id)
        store.create(spec, paper)
        store.publish(made_record(spec, made_score(0.2)), 1)
    rank(tmp_path / "paper", None, "paper", "table", None, beside="published")
    printed = capsys.readouterr().out
    order = [printed.index(name) for name in ("Gemini 3.1 Pro", "mine", "Claude Opus 4.5")]
    assert order == sorted(order), "ours stands among theirs, by score"
    assert "published, not run here: Rank et al., arXiv 2603.08640" in printed
    rank(tmp_path / "paper", None, "paper", "markdown", None, beside="published")
    assert "Gemini 3.1 Pro (OpenCode)" in capsys.readouterr().out
    compare_two(Asked(tmp_path / "paper", beside="published"), "mine", "GLM 5 (OpenCode)", as_json=False)
    assert "mine beats GLM 5 (OpenCode)" in capsys.readouterr().out


def test_reference_scores_from_a_file_stand_in_where_the_suite_has_none(tmp_path: Path) -> None:
    bare = made_suite(base=False)
    store = put_runs(tmp_path / "runs", bare, "crashed", 0.5, published=0)
    for one in store:
        one.publish(made_record(one.spec(), CRASH), 1)
    rows = [
        f'[[references]]\nkind = "base"\nbase_model = "{task.base_model.hub_id}"\n'
        f'benchmark = "{task.benchmark}"\nmean = 0.25\nsource = "measured"\n'
        for task in bare.tasks()
    ]
    file = tmp_path / "references.toml"
    file.write_text("\n".join(rows))
    (without,) = ranked(Asked(tmp_path / "runs")).board.entries
    board = ranked(Asked(tmp_path / "runs", references=file)).board
    assert without.total is None
    assert board.entries[0].total is not None
    assert board.entries[0].total.mean == pytest.approx(0.25)
    assert board.reference_sources == ("measured",)
    assert board.suite_digest == bare.digest
    file.write_text(rows[0].replace("mean = 0.25", "mean = 25"))
    with pytest.raises(InvalidFile, match=r"references\.toml:5: references\[0\]\.mean"):
        ranked(Asked(tmp_path / "runs", references=file))


def test_two_suites_are_an_error_until_one_is_chosen(tmp_path: Path) -> None:
    other = replace(SUITE, version="2.0")
    put_runs(tmp_path, SUITE, "good", 0.8)
    put_runs(tmp_path, other, "good", 0.3)
    with pytest.raises(SetupError, match="--suite"):
        leaderboard_of(tmp_path, None, PAPER)
    with pytest.raises(SetupError, match="--suite"):
        leaderboard_of(tmp_path, "made", PAPER)
    for suite, mean in ((SUITE, 0.8), (other, 0.3)):
        (entry,) = leaderboard_of(tmp_path, suite.digest[:10], PAPER).entries
        assert entry.total is not None
        assert entry.total.mean == pytest.approx(mean)


def test_what_cannot_be_ranked_is_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="does not exist"):
        leaderboard_of(tmp_path / "nowhere", None, PAPER)
    with pytest.raises(SetupError, match="ptb demo"):
        leaderboard_of(tmp_path, None, PAPER)
    put_runs(tmp_path, SUITE, "slow", 0.9, published=0)
    with pytest.raises(SetupError, match="has a record"):
        leaderboard_of(tmp_path, None, PAPER)
    with pytest.raises(UnknownName, match="did you mean 'made'"):
        leaderboard_of(tmp_path, "maid", PAPER)
    with pytest.raises(UnknownName, match="did you mean 'markdown'"):
        rank(tmp_path, None, "paper", "markdwon", None)
    with pytest.raises(UnknownName, match="did you mean 'paper'"):
        rank(tmp_path, None, "papr", "json", None)


def test_a_record_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    store = put_runs(tmp_path, SUITE, "good", 0.8)[0]
    (store.layout.records / "1.json").write_text("{")
    with pytest.raises(InvalidFile):
        leaderboard_of(tmp_path, None, PAPER)


def test_show_tells_of_a_finished_and_of_an_unfinished_run(tmp_path: Path, capsys) -> None:
    finished, *_, unfinished = put_runs(tmp_path, SUITE, "good", 0.8, published=1)
    show(finished.layout.root, as_json=False)
    assert "80.0%" in capsys.readouterr().out
    show(unfinished.layout.root, as_json=False)
    assert "no record yet" in capsys.readouterr().out
    show(finished.layout.root, as_json=True)
    assert json.loads(capsys.readouterr().out)["record"]["outcome"]["mean"] == 0.8


def test_show_of_a_folder_that_is_no_run_names_one_within(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no spec\.json"):
        show(tmp_path, as_json=False)
    put_runs(tmp_path, SUITE, "good", 0.8)
    with pytest.raises(SetupError, match=r"ptb show .*good-llama-maths-s0"):
        show(tmp_path, as_json=False)


@pytest.mark.parametrize("what", LISTINGS)
def test_every_list_can_be_printed_and_read_by_a_script(what: str, capsys) -> None:
    listing(what, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert rows
    listing(what, as_json=False)
    assert str(next(iter(rows[0].values()))) in capsys.readouterr().out


def test_an_unknown_list_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'agents'"):
        listing("agent", as_json=False)


def test_baseline_runs_stand_in_for_failed_ones_and_are_no_entries(tmp_path: Path) -> None:
    suite = made_suite(base=False)
    for task in suite.tasks():
        failed = made_spec(suite, task, "unlucky")
        agent = AgentSpec("baseline-base", "baseline", settings=(("kind", "base"),))
        known = replace(made_spec(suite, task, "baseline-base"), agent=agent)
        for spec, outcome in ((failed, CRASH), (known, made_score(0.3))):
            store = RunStore(tmp_path / spec.run_id)
            store.create(spec, suite)
            store.publish(made_record(spec, outcome), 1)
    board = leaderboard_of(tmp_path, None, PAPER)
    (entry,) = board.entries
    assert (entry.label, entry.total.mean if entry.total else None) == ("unlucky", pytest.approx(0.3))
    assert [(r.kind, r.total) for r in board.references] == [("base", pytest.approx(0.3))]
    assert "baseline" in board.reference_sources[0]


def test_baselines_of_models_that_are_not_here_say_how_to_get_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no-cache"))
    suite = load_suite("ptb-v1.0")
    for base in suite.base_models:
        with pytest.raises(SetupError, match=f"hf download {base.hub_id} --revision main"):
            base_folder(suite, base)
        with pytest.raises(SetupError, match=r"hf download [A-Za-z]+/[A-Za-z0-9.-]+ --revision main"):
            instruct_sibling(suite, base)
