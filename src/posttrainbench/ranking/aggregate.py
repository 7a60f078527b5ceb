"""Records -> leaderboard.

Per seed: the mean over base models of sum(weight x what counts). Over seeds: mean and sample deviation.
An entry with a cell that counts as nothing has no total; the mean over the rest is partial and ranks nowhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from posttrainbench.errors import InvalidFile, SetupError
from posttrainbench.leaderboard import (
    BenchmarkColumn,
    Cell,
    CellRun,
    Counted,
    Entry,
    Estimate,
    Leaderboard,
    PartEstimate,
    ReferenceTotal,
    RunOutcome,
)
from posttrainbench.ranking.policy import CountingPolicy, count
from posttrainbench.ranking.uncertainty import estimate_over_seeds, weighted_stderr
from posttrainbench.record import AgentSpec, RunRecord, RunSpec, Score
from posttrainbench.task import Reference, Suite


@dataclass(frozen=True, slots=True)
class _Value:
    """What one run adds to some mean; `fixed` values (reference scores) carry no error of the run."""

    mean: float
    stderr: float | None
    fixed: bool


_Read = Callable[[CellRun], _Value | None]
_RunKey = tuple[AgentSpec, str, str, int]


@dataclass(frozen=True, slots=True)
class _Runs:
    """What is ranked: one record per finished run, and the runs that have none yet."""

    finished: Mapping[_RunKey, RunOutcome]
    waiting: Mapping[_RunKey, RunSpec]

    def seeds(self) -> dict[AgentSpec, tuple[int, ...]]:
        """Agent -> the seeds that it was started with."""
        found: dict[AgentSpec, set[int]] = {}
        for agent, _, _, seed in (*self.finished, *self.waiting):
            found.setdefault(agent, set()).add(seed)
        return {agent: tuple(sorted(seeds)) for agent, seeds in found.items()}


class SeveralSuites(SetupError):
    """Records of more than one suite digest, which are never ranked together."""

    def __init__(self, records: Sequence[RunRecord]) -> None:
        counts = Counter((record.spec.suite, record.spec.suite_digest) for record in records)
        found = ", ".join(f"{name} {digest[:12]} ({n} runs)" for (name, digest), n in sorted(counts.items()))
        super().__init__(f"these runs belong to {len(counts)} suites: {found}; choose one with --suite")


def only_suite(records: Sequence[RunRecord]) -> tuple[str, str]:
    """The name and digest of the one suite that the records belong to.

    Raises:
        SeveralSuites: they belong to more than one.
        SetupError: there is no record.
    """
    suites = {(record.spec.suite, record.spec.suite_digest) for record in records}
    if not suites:
        raise SetupError("no published record to rank; `ptb demo` or `ptb run` makes some")
    if len({digest for _, digest in suites}) > 1:
        raise SeveralSuites(records)
    return min(suites)


def rank(
    suite: Suite,
    records: Sequence[RunRecord],
    policy: CountingPolicy,
    unfinished: Sequence[RunSpec] = (),
    references: Sequence[Reference] = (),
    disputed: Collection[str] = (),
) -> Leaderboard:
    """The leaderboard of `suite` under `policy`; the order of the arguments' items does not matter.

    Args:
        records: published records, all of this suite's digest; the newest of each run counts.
        unfinished: runs without a record: their cells are missing rather than absent without a word.
        references: scores for cells of which the suite itself holds none.
        disputed: ids of runs against whose verdict somebody left a note; it is shown, and changes no number.

    Raises:
        SeveralSuites: a record belongs to another suite digest.
        InvalidFile: a record is of a task or of data that the suite does not hold.
    """
    _check_suite(suite, records)
    newest = [replace(run, disputed=run.run_id in disputed) for run in _newest_of_each_run(records)]
    waiting = {_key(spec): spec for spec in unfinished if spec.suite_digest == suite.digest}
    board = _board(suite, policy, _Runs({_outcome_key(run): run for run in newest}, waiting), references)
    return replace(board, superseded=len(records) - len(newest))


def rank_outcomes(
    suite: Suite, outcomes: Sequence[RunOutcome], policy: CountingPolicy, references: Sequence[Reference] = ()
) -> Leaderboard:
    """As `rank`, for runs that come from elsewhere than our own records; each run at most once.

    Raises:
        InvalidFile: a run is of a task that the suite does not hold.
    """
    for run in outcomes:
        _check_task(suite, run.run_id, run.base_model, run.benchmark)
    return _board(suite, policy, _Runs({_outcome_key(run): run for run in outcomes}, {}), references)


def _board(suite: Suite, policy: CountingPolicy, runs: _Runs, references: Sequence[Reference]) -> Leaderboard:
    known = {_cell_of(reference) for reference in suite.references}
    more = tuple(reference for reference in references if _cell_of(reference) not in known)
    whole = replace(suite, references=(*suite.references, *more))
    seeds = runs.seeds()
    labels = _labels(seeds)
    entries = [_entry(whole, policy, runs, agent, seeds[agent]) for agent in seeds]
    return Leaderboard(
        suite=suite.name,
        suite_version=suite.version,
        suite_title=suite.title,
        suite_digest=suite.digest,
        policy=policy.name,
        policy_text=policy.text,
        base_models=tuple(model.hub_id for model in suite.base_models),
        benchmarks=tuple(benchmark.name for benchmark in suite.benchmarks),
        weights=tuple(benchmark.weight for benchmark in suite.benchmarks),
        references=_references(whole),
        entries=_ranked([replace(entry, label=labels[entry.agent]) for entry in entries]),
        superseded=0,
        reference_sources=tuple(dict.fromkeys(reference.source for reference in more)),
    )


def _cell_of(reference: Reference) -> tuple[str, str, str]:
    return (reference.kind, reference.base_model, reference.benchmark)


def _check_suite(suite: Suite, records: Sequence[RunRecord]) -> None:
    strangers = [record for record in records if record.spec.suite_digest != suite.digest]
    if strangers:
        raise SeveralSuites(records)
    meant = {benchmark.name: benchmark.data_digest for benchmark in suite.benchmarks}
    seen: dict[str, RunSpec] = {}  # the first run on each benchmark
    for spec in (record.spec for record in records):
        _check_task(suite, spec.run_id, spec.task.base_model.hub_id, spec.task.benchmark)
        if meant[spec.task.benchmark] not in ("", spec.data_digest):
            raise InvalidFile(
                f"run {spec.run_id}: scored on other {spec.task.benchmark} data than suite {suite.name} means"
            )
        if seen.setdefault(spec.task.benchmark, spec).data_digest != spec.data_digest:
            other = seen[spec.task.benchmark].run_id
            raise InvalidFile(
                f"runs {other} and {spec.run_id}: scored on different {spec.task.benchmark} data"
            )


def _check_task(suite: Suite, run_id: str, base_model: str, benchmark: str) -> None:
    models = [model.hub_id for model in suite.base_models]
    if base_model not in models or benchmark not in [b.name for b in suite.benchmarks]:
        task = f"{base_model.rsplit('/', 1)[-1]}/{benchmark}"
        raise InvalidFile(f"run {run_id}: task {task} is not in suite {suite.name}")


def _key(spec: RunSpec) -> _RunKey:
    return (spec.agent, spec.task.base_model.hub_id, spec.task.benchmark, spec.seed)


def _outcome_key(run: RunOutcome) -> _RunKey:
    return (run.agent, run.base_model, run.benchmark, run.seed)


def _newest_of_each_run(records: Iterable[RunRecord]) -> tuple[RunOutcome, ...]:
    oldest_first = sorted(records, key=lambda record: (record.published_utc, record.spec.run_id))
    return tuple(
        _outcome_of(record) for record in {_key(record.spec): record for record in oldest_first}.values()
    )


def _outcome_of(record: RunRecord) -> RunOutcome:
    spec = record.spec
    return RunOutcome(
        run_id=spec.run_id,
        agent=spec.agent,
        base_model=spec.task.base_model.hub_id,
        benchmark=spec.task.benchmark,
        seed=spec.seed,
        outcome=record.outcome,
        verdict=record.verdict.label,
        isolated=record.solved.isolation.isolated,
    )


def _labels(agents: Iterable[AgentSpec]) -> dict[AgentSpec, str]:
    """Agents of one name differ in something: the label says in what."""
    specs = list(agents)
    names = Counter(spec.name for spec in specs)
    return {
        spec: spec.name if names[spec.name] == 1 else f"{spec.name} ({_settings(spec)})" for spec in specs
    }


def _settings(spec: AgentSpec) -> str:
    return ", ".join((spec.scaffold, spec.agent_model or "no model", *(f"{k}={v}" for k, v in spec.settings)))


# --- one entry ----------------------------------------------------------------------------------------------


def _entry(
    suite: Suite, policy: CountingPolicy, runs: _Runs, agent: AgentSpec, seeds: tuple[int, ...]
) -> Entry:
    cells: list[Cell] = []
    for model in suite.base_models:
        for benchmark in suite.benchmarks:
            keys = [(agent, model.hub_id, benchmark.name, seed) for seed in seeds]
            weight = benchmark.weight / len(suite.base_models)
            in_cell = tuple(_cell_run(suite, policy, runs, key) for key in keys)
            cells.append(_cell(model.hub_id, benchmark.name, weight, in_cell))
    missing = tuple(
        f"{cell.name} seed {run.seed}: {run.why}"
        for cell in cells
        for run in cell.runs
        if run.counted is Counted.NOTHING
    )
    submitted = _mean(cells, _own_score)
    return Entry(
        label=agent.name,
        agent=agent,
        rank=None,
        total=_mean(cells, _what_counts),
        partial=_mean_of_the_rest(cells) if missing else None,
        submitted=submitted.mean if submitted else None,
        parts=_parts(cells),
        columns=tuple(_column(benchmark.name, cells) for benchmark in suite.benchmarks),
        cells=tuple(cells),
        missing=missing,
    )


def _cell_run(suite: Suite, policy: CountingPolicy, runs: _Runs, key: _RunKey) -> CellRun:
    _, model, benchmark, seed = key
    run, waiting = runs.finished.get(key), runs.waiting.get(key)
    if run is None:
        run_id = waiting.run_id if waiting else None
        why = "not finished" if waiting else "no run"
        return CellRun(seed, run_id, None, None, None, Counted.NOTHING, None, None, why)
    counting = count(policy, run.outcome, run.verdict, suite.reference("base", model, benchmark))
    return CellRun(
        seed=seed,
        run_id=run.run_id,
        outcome=run.outcome,
        verdict=run.verdict,
        isolated=run.isolated,
        counted=counting.counted,
        value=counting.value,
        stderr=counting.stderr,
        why=f"{counting.why}; disputed" if run.disputed else counting.why,
        disputed=run.disputed,
    )


def _cell(model: str, benchmark: str, weight: float, runs: tuple[CellRun, ...]) -> Cell:
    bare = Cell(model, benchmark, weight, runs, None, ())
    return replace(bare, estimate=_mean([bare], _what_counts), parts=_parts([bare]))


def _column(benchmark: str, cells: Sequence[Cell]) -> BenchmarkColumn:
    return BenchmarkColumn(
        benchmark, _mean([cell for cell in cells if cell.benchmark == benchmark], _what_counts)
    )


def _parts(cells: Sequence[Cell]) -> tuple[PartEstimate, ...]:
    """The parts that every run of every cell knows of its own score; a reference score has none."""
    outcomes = [run.outcome for cell in cells for run in cell.runs]
    names = {part.name for outcome in outcomes if isinstance(outcome, Score) for part in outcome.parts}
    estimates = ((name, _mean(cells, _part_reader(name))) for name in sorted(names))
    return tuple(PartEstimate(name, estimate) for name, estimate in estimates if estimate is not None)


# --- what is read from a run --------------------------------------------------------------------------------


def _what_counts(run: CellRun) -> _Value | None:
    if run.value is None:
        return None
    return _Value(run.value, run.stderr, fixed=run.counted is Counted.BASE)


def _own_score(run: CellRun) -> _Value | None:
    if not isinstance(run.outcome, Score):
        return None
    return _Value(run.outcome.mean, run.outcome.stderr, fixed=False)


def _part_reader(name: str) -> _Read:
    def read(run: CellRun) -> _Value | None:
        if run.counted is not Counted.OWN or not isinstance(run.outcome, Score):
            return None
        found = next((part for part in run.outcome.parts if part.name == name), None)
        return _Value(found.mean, found.stderr, fixed=False) if found else None

    return read


# --- weighted means -----------------------------------------------------------------------------------------


def _mean(cells: Sequence[Cell], read: _Read) -> Estimate | None:
    """The weighted mean of the cells over the seeds, or None when a single value is not there."""
    rows = _values_by_seed(cells, read)
    if any(value is None for row in rows for _, value in row):
        return None
    return _over_seeds(rows)


def _mean_of_the_rest(cells: Sequence[Cell]) -> float | None:
    """The weighted mean of what counts, weights normalised over it; None when nothing does.

    It carries no uncertainty: each seed may lack other cells, so the spread would compare unlike things.
    """
    rest = _over_seeds(_values_by_seed(cells, _what_counts))
    return rest.mean if rest else None


def _values_by_seed(cells: Sequence[Cell], read: _Read) -> list[list[tuple[Cell, _Value | None]]]:
    seeds = range(len(cells[0].runs))
    return [[(cell, read(cell.runs[position])) for cell in cells] for position in seeds]


def _over_seeds(rows: Sequence[Sequence[tuple[Cell, _Value | None]]]) -> Estimate | None:
    known = [[(cell, value) for cell, value in row if value is not None] for row in rows]
    measured = [_weighted(row) for row in known if row]
    if not measured:
        return None
    if all(value.fixed for row in known for _, value in row):
        # Reference scores alone: that they do not vary over seeds says nothing of the agent.
        return Estimate(measured[0][0], len(measured), None, None, None)
    return estimate_over_seeds([mean for mean, _ in measured], [stderr for _, stderr in measured])


def _weighted(row: Sequence[tuple[Cell, _Value]]) -> tuple[float, float | None]:
    whole = math.fsum(cell.weight for cell, _ in row)
    mean = math.fsum(cell.weight / whole * value.mean for cell, value in row)
    errors: dict[str, list[tuple[float, float | None]]] = {}
    for cell, value in row:
        if not value.fixed:
            errors.setdefault(cell.benchmark, []).append((cell.weight / whole, value.stderr))
    return mean, weighted_stderr(errors)


# --- the whole board ----------------------------------------------------------------------------------------


def _ranked(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Complete entries by total, then incomplete ones by name; equal totals share a rank, ordered by name."""
    by_name = sorted(entries, key=lambda entry: entry.label)
    complete = sorted(
        (e for e in by_name if e.total), key=lambda e: e.total.mean if e.total else 0.0, reverse=True
    )
    totals = [entry.total.mean for entry in complete if entry.total]
    placed = [
        replace(entry, rank=totals.index(total) + 1) for entry, total in zip(complete, totals, strict=True)
    ]
    return (*placed, *(entry for entry in by_name if not entry.total))


def _references(suite: Suite) -> tuple[ReferenceTotal, ...]:
    """The totals of the reference models for which every cell is known."""
    kinds = sorted({reference.kind for reference in suite.references})
    totals = ((kind, _reference_total(suite, kind)) for kind in kinds)
    return tuple(ReferenceTotal(kind, total) for kind, total in totals if total is not None)


def _reference_total(suite: Suite, kind: str) -> float | None:
    cells = [
        (benchmark.weight, suite.reference(kind, model.hub_id, benchmark.name))
        for model in suite.base_models
        for benchmark in suite.benchmarks
    ]
    known = [(weight, reference.mean) for weight, reference in cells if reference]
    if len(known) < len(cells):
        return None
    return math.fsum(weight * mean for weight, mean in known) / math.fsum(weight for weight, _ in known)
