"""`ptb rank`: the records of a folder of runs -> a leaderboard, on the terminal or as a file."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from posttrainbench.errors import PtbError, SetupError, UnknownName
from posttrainbench.leaderboard import Leaderboard, PublishedFigures
from posttrainbench.ranking.aggregate import only_suite
from posttrainbench.ranking.aggregate import rank as rank_records
from posttrainbench.ranking.baselines import kind_of, measured_references
from posttrainbench.ranking.bootstrap import Answers, Drawn, draw_entries, draw_published, with_rank_ranges
from posttrainbench.ranking.comparison import Comparison, compare
from posttrainbench.ranking.policy import CountingPolicy, counting_policy
from posttrainbench.ranking.published import references_of
from posttrainbench.record import RunRecord, RunSpec
from posttrainbench.report import wording
from posttrainbench.report.exports import to_csv, to_json, to_markdown
from posttrainbench.report.leaderboard import LeaderboardView
from posttrainbench.report.picture import leaderboard_svg
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.published import published_figures, read_baselines, read_figures
from posttrainbench.stores.runs import RunStore, find_runs
from posttrainbench.stores.samples import samples_of
from posttrainbench.suites import load_suite, suite_names
from posttrainbench.suites.loading import read_references
from posttrainbench.task import Reference, Suite

DIGEST = re.compile(r"[0-9a-f]{6,64}")
FILE_WIDTH = 120  # columns of a table that goes to a file
TEXTS: dict[str, Callable[[Leaderboard], str]] = {
    "json": to_json,
    "csv": to_csv,
    "markdown": to_markdown,
    "svg": leaderboard_svg,
}
FORMATS = ("table", *TEXTS)


RANK_DRAWS, COMPARE_DRAWS = 1000, 10_000
BOOTSTRAP_SEED = 0  # the same runs, the same figures
PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed after `ptb rank`, but for where the answer goes."""

    runs: Path
    suite: str | None = None
    policy: str = "paper"
    references: Path | None = None
    beside: str | None = None  # "published", or a table of overall scores


def rank(
    runs: Path,
    suite: str | None,
    policy: str,
    format_: str,
    out: Path | None,
    references: Path | None = None,
    beside: str | None = None,
) -> None:
    """Print the leaderboard of the runs below `runs`, or write it to `out`.

    Raises:
        SetupError: no records, records of several suites, an unknown format, policy or suite.
    """
    if format_ not in FORMATS:
        raise UnknownName("format", format_, FORMATS)
    board = ranked(Asked(runs, suite, policy, references, beside)).board
    if format_ == "table":
        _table(board, out)
    elif out is None:
        print(TEXTS[format_](board), end="")  # noqa: T201 - what was asked for
    else:
        _write(out, TEXTS[format_](board))


def compare_two(asked: Asked, first: str, second: str, as_json: bool, draws: int = COMPARE_DRAWS) -> None:
    """Print how likely one agent of the leaderboard is really ahead of another.

    Raises:
        SetupError: as `rank`; or one of the two has no total to compare.
    """
    found = ranked(asked, draws)
    comparison = compare(_drawn(found, first, draws), _drawn(found, second, draws))
    if as_json:
        print(json.dumps(asdict(comparison), indent=2, allow_nan=False))  # noqa: T201 - what was asked for
    else:
        _print_comparison(comparison)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A leaderboard and the draws behind its ranges of ranks."""

    board: Leaderboard
    drawn: tuple[Drawn, ...]


def ranked(asked: Asked, draws: int = RANK_DRAWS) -> Ranked:
    """The leaderboard that was asked for, with ranges of ranks, and what others published beside it.

    Raises:
        SetupError: see `rank`. A run that cannot be read is an error too: to pass over it would hide it.
    """
    policy = counting_policy(asked.policy)
    suite, found = _runs_of(asked.runs, asked.suite)
    finished = [record for _, record in found if record is not None]
    unfinished = [
        store.spec() for store, record in found if record is None and not kind_of(store.spec().agent)
    ]
    given = _references(asked.references, suite) if asked.references else ()
    references = (*given, *measured_references(finished))
    disputed = {store.spec().run_id for store, _ in found if store.disputes()}
    board = rank_records(suite, _of_agents(finished), policy, unfinished, references, disputed)
    drawn = draw_entries(board, _answers(found), draws, BOOTSTRAP_SEED)
    board = replace(with_rank_ranges(board, drawn), published=_beside(asked.beside, suite))
    return Ranked(board, drawn)


def _of_agents(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records without those that measure a baseline: they are no entries, but references."""
    return [record for record in records if kind_of(record.spec.agent) is None]


def leaderboard_of(root: Path, suite: str | None, policy: CountingPolicy) -> Leaderboard:
    """The leaderboard of one suite's runs below `root`; `suite` is a name, a file or the start of a digest.

    Raises:
        SetupError: see `rank`.
    """
    return ranked(Asked(root, suite, policy.name)).board


def _runs_of(root: Path, suite: str | None) -> tuple[Suite, list[tuple[RunStore, RunRecord | None]]]:
    """The one suite that was meant, and its runs with their records."""
    if not root.exists():
        raise SetupError(f"{root} does not exist; name a folder of runs, or make some: ptb demo")
    stores = list(find_runs(root))
    specs = [store.spec() for store in stores]
    digests = _digests_of(suite, specs)
    chosen = [store for store, spec in zip(stores, specs, strict=True) if spec.suite_digest in digests]
    records = [(store, store.record()) for store in chosen]
    finished = [record for _, record in records if record is not None]
    if chosen and not finished:
        raise SetupError(f"none of the {len(chosen)} runs below {root} has a record; continue: ptb run RUN")
    _, digest = only_suite(finished)
    whole = next(store for store in chosen if store.spec().suite_digest == digest).suite()
    return whole, records


def _answers(found: Sequence[tuple[RunStore, RunRecord | None]]) -> Answers:
    """What single answers scored, of the newest record of each run; runs that kept none are not in it."""
    newest_last = sorted(
        ((store, record) for store, record in found if record is not None),
        key=lambda pair: (pair[1].published_utc, pair[1].spec.run_id),
    )
    answers = {}
    for store, record in newest_last:
        spec = record.spec
        key = (spec.agent, spec.task.base_model.hub_id, spec.task.benchmark, spec.seed)
        answers[key] = samples_of(store, record)
    return {key: known for key, known in answers.items() if known}


def _references(path: Path, suite: Suite) -> tuple[Reference, ...]:
    """Reference scores from a TOML file of ours, or from a folder of the benchmark's own tables."""
    if path.is_dir():
        tables = read_baselines(path)
        source = str(path)
        return tuple(r for kind, table in tables.items() for r in references_of(suite, kind, table, source))
    return read_references(path)


def _beside(beside: str | None, suite: Suite) -> PublishedFigures | None:
    if beside is None:
        return None
    if beside == PUBLISHED:
        return published_figures(suite.name)
    return read_figures(Path(beside), suite.name)


def _drawn(found: Ranked, label: str, draws: int) -> Drawn:
    """The draws of the agent of that name; with published figures beside, it may be one of theirs."""
    ours = {one.label: one for one in found.drawn}
    if label in ours:
        return ours[label]
    published = found.board.published.entries if found.board.published else ()
    theirs = {entry.label: entry for entry in published}
    if label in theirs:
        return draw_published(theirs[label], draws, BOOTSTRAP_SEED + 1)
    if any(entry.label == label for entry in found.board.entries):
        raise SetupError(f"agent {label!r} has no total to compare: some of its cells count as nothing")
    raise UnknownName("agent", label, (*ours, *theirs))


def _print_comparison(comparison: Comparison) -> None:
    answer, *more = wording.comparison_lines(comparison)
    console = Console()
    console.print(answer, style="bold", markup=False, highlight=False)
    for line in more:
        console.print(line, style="dim", markup=False, highlight=False)


def _digests_of(suite: str | None, specs: Sequence[RunSpec]) -> set[str]:
    """The suite digests that were asked for, among those of the runs; every one of them for None.

    A name means all suites of that name, with whatever budget or policy, unless one is as it is shipped.
    """
    digests = {spec.suite_digest for spec in specs}
    if suite is None or not specs:
        return digests
    if DIGEST.fullmatch(suite) and (found := {digest for digest in digests if digest.startswith(suite)}):
        return found
    if suite.endswith(".toml") or "/" in suite:
        found = {load_suite(suite).digest} & digests
        if not found:
            raise SetupError(f"none of these runs belongs to the suite in {suite} as it is now")
        return found
    by_name = {spec.suite_digest for spec in specs if spec.suite == suite}
    if not by_name:
        raise UnknownName("suite among these runs:", suite, {spec.suite for spec in specs})
    shipped = {load_suite(suite).digest} if suite in suite_names() else set()
    return by_name & shipped or by_name


def _table(board: Leaderboard, out: Path | None) -> None:
    if out is None:
        width = None if sys.stdout.isatty() else FILE_WIDTH
        Console(width=width).print(LeaderboardView(board))
        return
    console = Console(width=FILE_WIDTH, force_terminal=False, no_color=True, legacy_windows=False)
    with console.capture() as captured:
        console.print(LeaderboardView(board))
    _write(out, captured.get())


def _write(out: Path, text: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, text)
    except OSError as error:
        raise PtbError(f"cannot write {out}: {error.strerror or error}") from None
