"""Published tables -> runs and reference scores, so that they are ranked by the same rules as our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from posttrainbench.errors import FailureKind
from posttrainbench.finding import VerdictLabel
from posttrainbench.leaderboard import PublishedCell, PublishedTable, RunOutcome
from posttrainbench.record import AgentSpec, Failure, Outcome, Score, Stage
from posttrainbench.task import Reference, Suite

_NO_MODEL = ("not stored", "not avl.")  # how the tables say that an agent left nothing to evaluate


def outcomes_of(
    suite: Suite,
    agent: str,
    raw: PublishedTable,
    items: Mapping[str, int],
    final: PublishedTable | None = None,
    seed: int = 0,
) -> tuple[RunOutcome, ...]:
    """The runs that a published table of one run stands for.

    Args:
        raw: scores as they were measured, with notes where there is none.
        items: benchmark -> number of test items behind a score.
        final: the same run after its publisher replaced cells. A cell whose measured number was replaced is
            taken as disqualified: the tables do not say why, and nothing else is replaced in them.
    """
    shorts = {model.short: model.hub_id for model in suite.base_models}
    return tuple(
        RunOutcome(
            run_id=f"published/{raw.name}/{cell.base_model}/{cell.benchmark}",
            agent=AgentSpec(agent, scaffold="published"),
            base_model=shorts[cell.base_model],
            benchmark=cell.benchmark,
            seed=seed,
            outcome=_outcome(cell, items[cell.benchmark]),
            verdict=VerdictLabel.DISQUALIFIED if _replaced(cell, final) else VerdictLabel.UNKNOWN,
        )
        for cell in raw.cells
    )


def references_of(suite: Suite, kind: str, table: PublishedTable, source: str) -> tuple[Reference, ...]:
    """The table's scores as reference scores of the suite's cells; other models' rows are passed over."""
    return tuple(_references(suite, kind, table, source))


def _references(suite: Suite, kind: str, table: PublishedTable, source: str) -> Iterator[Reference]:
    names = {benchmark.name for benchmark in suite.benchmarks}
    shorts = {model.short: model.hub_id for model in suite.base_models}
    for cell in table.cells:
        if cell.base_model in shorts and cell.benchmark in names and cell.value is not None:
            yield Reference(kind, shorts[cell.base_model], cell.benchmark, cell.value, source)


def _outcome(cell: PublishedCell, n: int) -> Outcome:
    """The cell as an outcome. The tables give no standard errors, so there is none."""
    if cell.value is not None:
        return Score(cell.value, None, n)
    if cell.note in _NO_MODEL:
        return Failure(FailureKind.NO_FINAL_MODEL, Stage.SOLVE, f"published as {cell.note!r}")
    return Failure(FailureKind.EVALUATION_FAILED, Stage.EVALUATE, f"published as {cell.note!r}")


def _replaced(cell: PublishedCell, final: PublishedTable | None) -> bool:
    if final is None or cell.value is None:
        return False
    return final.value(cell.base_model, cell.benchmark) != cell.value
