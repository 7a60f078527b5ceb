"""Runs that measured a baseline -> reference scores."""

from __future__ import annotations

import math
from collections.abc import Iterable

from posttrainbench.record import BASELINE, AgentSpec, RunRecord, Score
from posttrainbench.task import Reference

KINDS = ("base", "few_shot", "instruct")


def kind_of(agent: AgentSpec) -> str | None:
    """Which kind of reference score a run of this agent measures; None for every other agent."""
    kind = dict(agent.settings).get("kind") if agent.scaffold == BASELINE else None
    return kind if kind in KINDS else None


def measured_references(records: Iterable[RunRecord]) -> tuple[Reference, ...]:
    """The reference scores that baseline runs measured, each the mean over its seeds; failures give none.

    Args:
        records: one per run; those of other agents are passed over.
    """
    scores: dict[tuple[str, str, str], dict[str, float]] = {}
    for record in sorted(records, key=lambda record: record.spec.run_id):
        kind = kind_of(record.spec.agent)
        if kind is not None and isinstance(record.outcome, Score):
            cell = (kind, record.spec.task.base_model.hub_id, record.spec.task.benchmark)
            scores.setdefault(cell, {})[record.spec.run_id] = record.outcome.mean
    return tuple(
        Reference(*cell, math.fsum(runs.values()) / len(runs), _source(cell[0], len(runs)))
        for cell, runs in scores.items()
    )


def _source(kind: str, seeds: int) -> str:
    return f"runs of the {kind} baseline, {seeds} seed{'s' * (seeds > 1)} per cell"
