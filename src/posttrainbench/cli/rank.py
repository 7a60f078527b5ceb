"""`ptb rank`: the records of a folder of runs -> a leaderboard, on the terminal or as a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from posttrainbench.errors import PtbError, SetupError, UnknownName
from posttrainbench.leaderboard import Leaderboard
from posttrainbench.ranking.aggregate import only_suite
from posttrainbench.ranking.aggregate import rank as rank_records
from posttrainbench.ranking.policy import CountingPolicy, counting_policy
from posttrainbench.record import RunSpec
from posttrainbench.report.exports import to_csv, to_json, to_markdown
from posttrainbench.report.leaderboard import LeaderboardView
from posttrainbench.report.picture import leaderboard_svg
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.runs import find_runs
from posttrainbench.suites import load_suite, suite_names

DIGEST = re.compile(r"[0-9a-f]{6,64}")
FILE_WIDTH = 120  # columns of a table that goes to a file
TEXTS: dict[str, Callable[[Leaderboard], str]] = {
    "json": to_json,
    "csv": to_csv,
    "markdown": to_markdown,
    "svg": leaderboard_svg,
}
FORMATS = ("table", *TEXTS)


def rank(runs: Path, suite: str | None, policy: str, format_: str, out: Path | None) -> None:
    """Print the leaderboard of the runs below `runs`, or write it to `out`.

    Raises:
        SetupError: no records, records of several suites, an unknown format, policy or suite.
    """
    if format_ not in FORMATS:
        raise UnknownName("format", format_, FORMATS)
    board = leaderboard_of(runs, suite, counting_policy(policy))
    if format_ == "table":
        _table(board, out)
    elif out is None:
        print(TEXTS[format_](board), end="")  # noqa: T201 - what was asked for
    else:
        _write(out, TEXTS[format_](board))


def leaderboard_of(root: Path, suite: str | None, policy: CountingPolicy) -> Leaderboard:
    """The leaderboard of one suite's runs below `root`; `suite` is a name, a file or the start of a digest.

    Raises:
        SetupError: see `rank`. A run that cannot be read is an error too: to pass over it would hide it.
    """
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
    unfinished = [store.spec() for store, record in records if record is None]
    return rank_records(whole, finished, policy, unfinished)


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
        Console().print(LeaderboardView(board))
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
