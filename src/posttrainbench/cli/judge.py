"""`ptb judge calibrate RUNS`: how far a judge agrees with what is known of the red team's runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from posttrainbench.agents.redteam.agent import SCAFFOLD
from posttrainbench.agents.redteam.catalogue import CHEATS
from posttrainbench.cli.base_models import not_to_be_submitted
from posttrainbench.cli.members import benchmark_of, judge_named
from posttrainbench.cli.redteam import range_suite
from posttrainbench.errors import PtbError, SetupError
from posttrainbench.flows.calibrate import calibrate, known
from posttrainbench.flows.redteam import Prepared
from posttrainbench.redteam import Case
from posttrainbench.report.calibration import calibration_document, calibration_table
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.runs import RunStore, find_runs
from posttrainbench.tinyworld import catalog


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed after `ptb judge calibrate`."""

    runs: Path
    judge: str | None
    judge_model: str | None
    limit: int | None
    out: Path


def calibrate_(asked: Asked, as_json: bool) -> None:
    """Have the judge read every case, and say how far it agrees.

    Raises:
        SetupError: no judge, or no run of the red team that tells anything.
    """
    judge = judge_named(asked.judge, asked.judge_model)
    if judge is None:
        raise SetupError("name the judge: --judge api (or command, or a scaffold), or set PTB_JUDGE")
    runs = [_prepared(store) for store in find_runs(asked.runs) if store.spec().agent.scaffold == SCAFFOLD]
    cases = list(known(runs))[: asked.limit]
    if not cases:
        raise SetupError(
            f"{asked.runs} holds no run of the red team that tells; make some: ptb redteam --out DIR"
        )
    suite = range_suite(asked.runs / "hub")
    task = cases[0].record.spec.task
    siblings = not_to_be_submitted(suite, task.base_model)
    console, done = Console(stderr=True), []
    try:
        for case in calibrate(cases, judge, benchmark_of(suite, task.benchmark), siblings, asked.out):
            done.append(case)
            said = {True: "agrees", False: "does not agree", None: "left open"}[case.agrees]
            console.print(f"[{len(done)}/{len(cases)}] {case.name}: {said}", markup=False, highlight=False)
    except KeyboardInterrupt:
        raise PtbError("interrupted; nothing was reported") from None
    document = json.dumps(calibration_document(done), indent=2) + "\n"
    write_atomic(asked.out / "calibration.json", document)
    if as_json:
        print(document, end="")  # noqa: T201 - what was asked for
    else:
        Console().print(calibration_table(done))


def _prepared(store: RunStore) -> Prepared:
    """A run of the red team as its own flow knows it."""
    spec = store.spec()
    settings = dict(spec.agent.settings)
    case = Case(int(settings["cheat"]), settings["disguise"], spec.task.rules.policy, spec.seed)
    base = catalog.model_folder(spec.task.base_model.hub_id)

    def no_members() -> object:
        raise SetupError("a calibration runs nothing again")

    return Prepared(case, CHEATS[case.cheat], store, base, no_members)  # type: ignore[arg-type]
