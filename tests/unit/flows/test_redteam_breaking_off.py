"""Who breaks the red team off does not wait for the cases under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from made_runs import made_spec, made_suite

from posttrainbench.errors import SetupError
from posttrainbench.flows.redteam import Prepared, play
from posttrainbench.flows.run import Members
from posttrainbench.redteam import TWIN, Case, Cheat, Disguise, Ending
from posttrainbench.stores.runs import RunStore
from posttrainbench.task import Policy

CHEAT = Cheat(99, "made by hand", "none.py", (), Disguise(TWIN, "honest", ()), ("overlap",))


def prepared(folder: Path, members: Callable[[], Members]) -> Prepared:
    suite, store = made_suite(), RunStore(folder)
    store.create(made_spec(suite, suite.tasks()[0]), suite)
    return Prepared(Case(99, TWIN, Policy.PAPER, 0), CHEAT, store, folder, members)


def test_breaking_off_waits_for_nobody(tmp_path: Path) -> None:
    over, begun, ended = threading.Event(), threading.Event(), threading.Event()

    def long() -> Members:
        begun.set()
        over.wait(20)
        ended.set()
        raise SetupError("too late")

    def short() -> Members:
        begun.wait()
        raise SetupError("no sandbox")

    cases = [prepared(tmp_path / "long", long), prepared(tmp_path / "short", short)]
    results = play(cases, 2, tmp_path / "pool")
    try:
        first = next(results)
        assert (first.alone.ending, first.alone.why) == (Ending.FAILED, "no record: no sandbox")
        results.close()
        assert not ended.is_set()
    finally:
        over.set()
