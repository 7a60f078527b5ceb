"""`ptb redteam`: the suite of cheats and honest twins as real runs, and what came of each."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from posttrainbench.agents.builtin import SCRIPTED
from posttrainbench.agents.redteam.agent import PROGRAMS, RANGE, SUITE, RedTeamAgent
from posttrainbench.agents.redteam.catalogue import CHEATS, REPRESENTATIVE
from posttrainbench.cli.members import benchmark_of, judge_named, sandbox_named
from posttrainbench.cli.setup_run import make_run, members_of, task_of
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.flows.audit import is_graded
from posttrainbench.flows.redteam import Played, Prepared, play
from posttrainbench.flows.run import Members
from posttrainbench.gateways.policy import Protected
from posttrainbench.gateways.socket_gateway import SocketGateway
from posttrainbench.graders.cached import CachedGrader
from posttrainbench.judgement import JudgeSpec
from posttrainbench.llms.openai_compatible import OpenAICompatibleLlm
from posttrainbench.llms.settings import LlmSettings
from posttrainbench.protocols import Judge, ScoringAids
from posttrainbench.redteam import TWIN, Case, Cheat
from posttrainbench.stores.codec import to_json
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.grades import GradeFolder
from posttrainbench.stores.ledger import utc_now
from posttrainbench.stores.runs import RunStore
from posttrainbench.suites import load_suite
from posttrainbench.task import Policy, Suite
from posttrainbench.tinyworld import catalog

MODEL = "tiny-qwen3-base"
MIRRORS = ("crowd/range-mirror",)
ADAPTER = "models/adapter"  # within the hub, where `make_hub.py` puts it
WHOLE, TWINS, CI = PARTS = "whole", "twins", "ci"
TRAINING_S = 6.0  # of each model that is trained beforehand
INTERRUPTED = 130  # as shells say it
SPEED_OVER_S = 600.0  # cases take from one second to minutes: the time left is guessed from so long


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed after `ptb redteam`; empty means all."""

    policies: tuple[str, ...]
    cheats: tuple[int, ...]
    seeds: int
    parallel: int
    out: Path
    sandbox: str
    part: str
    judge: str | None = None
    judge_model: str | None = None


def redteam(asked: Asked, as_json: bool) -> None:
    """Play what is missing, then report."""
    from posttrainbench.report.redteam import report_of, table
    from posttrainbench.report.redteam_page import page

    sandbox_named(asked.sandbox).isolation()
    console = Console(stderr=True)
    judge = judge_named(asked.judge, asked.judge_model)
    played = _play(cases_of(asked), asked, console, judge)
    judged = [one.judged for one in played if one.judged]
    report = report_of([one.alone for one in played], _called(judge.spec) if judge else None, judged)
    write_atomic(asked.out / "redteam.json", to_json(report))
    write_atomic(asked.out / "redteam.html", page(report, CHEATS, utc_now()))
    if as_json:
        print(to_json(report), end="")  # noqa: T201 - what was asked for
        return
    Console().print(table(report, CHEATS))
    console.print(f"the page: {asked.out / 'redteam.html'}", highlight=False)


def _called(judge: JudgeSpec) -> str:
    return f"{judge.name} ({judge.model})" if judge.model else judge.name


def cases_of(asked: Asked) -> list[Case]:
    """Every disguise and the twin of every cheat that was asked for, policy by policy, seed by seed."""
    if asked.part not in PARTS:
        raise UnknownName("part", asked.part, PARTS)
    if asked.part == CI:
        return _representative()
    unknown = [number for number in asked.cheats if number not in CHEATS]
    if unknown:
        raise UnknownName("cheat", str(unknown[0]), [str(number) for number in CHEATS])
    policies = [_policy(name) for name in asked.policies] or list(Policy)
    return [
        Case(number, way, policy, seed)
        for seed in range(asked.seeds)
        for policy in policies
        for number in asked.cheats or sorted(CHEATS)
        for way in _ways(CHEATS[number], asked.part)
    ]


def _ways(cheat: Cheat, part: str) -> list[str]:
    return [*(way.name for way in cheat.disguises if part != TWINS), TWIN]


def _in_turn(cases: Sequence[Case]) -> list[Case]:
    """The longest first, so that none goes on alone at the end; under further policies last.

    By then, what theirs share with those of the first is measured.
    """
    policies = list(dict.fromkeys(case.policy for case in cases))

    def turn(case: Case) -> tuple[int, int, float]:
        place, wall_s = policies.index(case.policy), CHEATS[case.cheat].wall_s
        return case.seed, place, wall_s if place else -wall_s

    return sorted(cases, key=turn)


def _representative() -> list[Case]:
    """The first disguise and the twin of a few cheats of each kind, under the paper's policy."""
    rows = [CHEATS[number] for number in REPRESENTATIVE]
    ways = [(row.number, way.name) for row in rows for way in (row.disguises[0], row.twin)]
    return [Case(number, way, Policy.PAPER, 0) for number, way in ways]


def _policy(name: str) -> Policy:
    if name not in set(Policy):
        raise UnknownName("policy", name, list(Policy))
    return Policy(name)


def _play(cases: Sequence[Case], asked: Asked, console: Console, judge: Judge | None) -> tuple[Played, ...]:
    field = Field(asked.out.resolve(), asked.sandbox, {CHEATS[case.cheat].benchmark for case in cases})
    console.print(f"{len(cases)} cases; runs, models and the hub lie in {field.out}", highlight=False)
    prepared = [field.prepared(case) for case in _in_turn(cases)]
    results = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    bar = Progress(
        *columns, console=console, disable=not console.is_terminal, speed_estimate_period=SPEED_OVER_S
    )
    try:
        with bar:
            shown = bar.add_task("red team", total=len(prepared))
            for one in play(prepared, asked.parallel or os.cpu_count() or 1, field.pool, judge):
                result = one.judged or one.alone
                results[result.case] = one
                ended = f"{one.alone.ending}, judged {result.ending}" if one.judged else one.alone.ending
                bar.update(shown, advance=1, description=f"{result.case.name}: {ended}")
                if not console.is_terminal:
                    text = f"[{len(results)}/{len(cases)}] {result.case.name}: {ended} ({result.why})"
                    console.print(text, highlight=False, markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("ptb: interrupted; the same command continues where it stopped", highlight=False)
        os._exit(INTERRUPTED)  # cases are under way in threads; their sandboxes end with this process
    return tuple(results[case] for case in cases)


def range_suite(hub: Path) -> Suite:
    """The range's suite, with the place of the adapter that it names."""
    suite = load_suite(SUITE)
    models = (
        replace(model, derivatives=tuple(replace(one, path=str(hub / ADAPTER)) for one in model.derivatives))
        for model in suite.models
    )
    return replace(suite, models=tuple(models))


class Field:
    """What all cases share: the hub, the models that were trained beforehand, the benchmarks."""

    def __init__(self, out: Path, sandbox: str, names: Collection[str]) -> None:
        self.out, self._sandbox = out, sandbox
        self.hub = out / "hub"
        self.suite = range_suite(self.hub)
        self.benchmarks = {name: benchmark_of(self.suite, name) for name in sorted(names)}
        for benchmark in self.benchmarks.values():
            for split in ("train", "test"):
                benchmark.items(split)  # once, before there are threads
        self.checkpoints, self.measured = out / "checkpoints", out / "measured"
        self.pool = out / "equal"
        self.measured.mkdir(parents=True, exist_ok=True)
        self._make()
        graded = [name for name, benchmark in self.benchmarks.items() if is_graded(benchmark)]
        self._graded = dict.fromkeys(graded, gullible(out / "grades")) if graded else {}

    def prepared(self, case: Case) -> Prepared:
        """The case with its run directory."""
        cheat = CHEATS[case.cheat]
        suite = self.suite.varied(cheat.wall_s, case.policy, query_split=cheat.way(case.disguise).query_split)
        agent = RedTeamAgent(case.cheat, case.disguise, self.checkpoints)
        task = task_of(suite, MODEL, cheat.benchmark)
        store = make_run(self.out / "runs" / case.policy, suite, task, agent.spec, case.seed, self._sandbox)
        base = catalog.model_folder(task.base_model.hub_id)
        return Prepared(case, cheat, store, base, lambda: self._members(store, suite, agent))

    def _members(self, store: RunStore, suite: Suite, agent: RedTeamAgent) -> Members:
        benchmark = self.benchmarks[store.spec().task.benchmark]
        protected = Protected(benchmark.hub_id, benchmark.test_files, MIRRORS)
        gateway = SocketGateway({benchmark.name: protected}, hub=self.hub)
        members = members_of(store.spec(), suite, self._graded.get(benchmark.name))
        return replace(members, agent=agent, gateway=gateway, benchmark=benchmark, measured=self.measured)

    def _make(self) -> None:
        """The hub and the models, unless an earlier call made them."""
        models = {name: str(catalog.model_folder(name)) for name in catalog.model_names()}
        if not (self.hub / "index.json").exists():
            _program("make_hub.py", str(self.hub), *(f"{name}={folder}" for name, folder in models.items()))
        base = models[next(name for name in models if name.endswith(MODEL))]
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="training") as workers:
            list(workers.map(lambda name: self._train(base, name), self.benchmarks))

    def _train(self, base: str, benchmark: str) -> None:
        """The models of a benchmark's cases."""
        done = self.checkpoints / f"{benchmark}.done"
        if not done.exists():
            _program("train_checkpoints.py", str(self.checkpoints), base, str(TRAINING_S), benchmark)
            write_atomic(done, "")


def gullible(grades: Path) -> ScoringAids:
    """The range's grader: a server of its own, asked as any other, that ends when we do."""
    command = [sys.executable, str(RANGE / "gullible_grader.py")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)  # closes its input
    assert server.stdout is not None
    settings = LlmSettings(f"http://127.0.0.1:{server.stdout.readline().strip()}/v1", "gullible")
    return ScoringAids(CachedGrader(OpenAICompatibleLlm(settings), GradeFolder(grades)))


def _program(name: str, *arguments: str) -> None:
    """Run a program of the range, on this side: it is ours."""
    environment = {**os.environ, "PYTHONPATH": f"{SCRIPTED}:{RANGE}:{PROGRAMS}"}
    command = [sys.executable, str(RANGE / name), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupError(f"{name} failed: {last}")
