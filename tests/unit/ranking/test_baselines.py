"""Runs that measure a baseline are references, never entries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_runs import CRASH, made_record, made_score, made_spec, made_suite

from posttrainbench.ranking.baselines import KINDS, kind_of, measured_references
from posttrainbench.record import AgentSpec, RunRecord
from posttrainbench.suites.loading import read_references
from posttrainbench.suites.writing import references_toml
from posttrainbench.task import Reference

SUITE = made_suite()


def measured(kind: str, mean: float | None, seed: int = 0, task: int = 0) -> RunRecord:
    agent = AgentSpec(f"baseline-{kind}", "baseline", settings=(("kind", kind),))
    spec = replace(made_spec(SUITE, SUITE.tasks()[task], f"baseline-{kind}", seed), agent=agent)
    return made_record(spec, CRASH if mean is None else made_score(mean))


def test_only_the_baseline_scaffold_measures_baselines() -> None:
    assert [kind_of(measured(kind, 0.5).spec.agent) for kind in KINDS] == list(KINDS)
    assert kind_of(AgentSpec("baseline-base", "scripted", settings=(("kind", "base"),))) is None
    assert kind_of(AgentSpec("odd", "baseline", settings=(("kind", "best"),))) is None


def test_a_reference_is_the_mean_over_seeds_and_a_failure_is_none() -> None:
    records = [measured("base", 0.2), measured("base", 0.4, seed=1), measured("instruct", None)]
    (found,) = measured_references(
        [*records, made_record(made_spec(SUITE, SUITE.tasks()[0]), made_score(0.9))]
    )
    assert (found.kind, found.benchmark, found.mean) == ("base", "maths", pytest.approx(0.3))
    assert "2 seeds" in found.source


def test_what_is_written_is_read_again(tmp_path) -> None:
    odd = Reference("few_shot", "me/model", "maths", 1e-7, 'a "quoted" source, ünïcode and a \\ backslash')
    references = (*measured_references([measured("base", 0.0), measured("instruct", 1.0, task=1)]), odd)
    (tmp_path / "references.toml").write_text(references_toml(references), encoding="utf-8")
    assert read_references(tmp_path / "references.toml") == references
