"""What each key of a suite's file may say alone, but not beside the others or the files around it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from posttrainbench.ranking.weights import headroom_weights
from posttrainbench.suites.complaints import Problem, nearest
from posttrainbench.suites.lines import Path as KeyPath
from posttrainbench.suites.tables import CHECKS, OWN_KEYS, SuiteFile, means
from posttrainbench.templates.families import FAMILIES

WEIGHT_TOLERANCE = 1e-5  # published weights are printed with six digits


def contradictions(
    file: SuiteFile, templates: Mapping[str, str | None], folder: Path, known: tuple[str, ...] | None
) -> Iterator[Problem]:
    """Every one.

    Args:
        templates: of each base model, what is known of its chat template; None: it cannot be read.
        folder: where the suite's file lies.
        known: the benchmarks that are installed; None: names are not compared with any.
    """
    yield from _within(file)
    yield from _unknown_benchmarks(file, known)
    yield from _template_problems(file, templates)
    yield from _place_problems(file, folder)


def _within(file: SuiteFile) -> Iterator[Problem]:
    shorts = [model.hub_id.rsplit("/", 1)[-1] for model in file.base_models]
    yield from _twice("base_models", "hub_id", shorts)
    yield from _twice("benchmarks", "name", [benchmark.name for benchmark in file.benchmarks])
    yield from _weight_problems(file)
    if (file.rules.policy, file.rules.query_split) == ("strict", "test"):
        what = "under 'strict' the final score comes from items that nobody could query: should be 'dev'"
        yield Problem(("rules", "query_split"), what)
    for position, check in enumerate(file.rules.required_checks):
        if check not in CHECKS:
            yield Problem(
                ("rules", "required_checks", position), f"no check {check!r}; {nearest(check, CHECKS)}"
            )
    yield from _reference_problems(file)


def _twice(table: str, key: str, names: list[str]) -> Iterator[Problem]:
    for position, name in enumerate(names):
        if name in names[:position]:
            yield Problem((table, position, key), f"{name!r} is there twice")


def _weight_problems(file: SuiteFile) -> Iterator[Problem]:
    weights = [benchmark.weight for benchmark in file.benchmarks if benchmark.weight is not None]
    if not weights:
        yield from headroom_problems(file)
    elif len(weights) < len(file.benchmarks):
        position = next(n for n, benchmark in enumerate(file.benchmarks) if benchmark.weight is None)
        yield Problem(("benchmarks", position, "weight"), "missing: give all weights or none")
    elif abs(math.fsum(weights) - 1.0) > WEIGHT_TOLERANCE:
        yield Problem(("benchmarks", 0, "weight"), f"the weights sum to {math.fsum(weights):.6g}, not 1")


def headroom_problems(file: SuiteFile) -> Iterator[Problem]:
    """Why no weights follow from a suite's references."""
    base, instruct = means(file, "base"), means(file, "instruct")
    for position, benchmark in enumerate(file.benchmarks):
        counts = {len(base[benchmark.name]), len(instruct[benchmark.name])}
        if counts != {len(file.base_models)}:
            what = (
                "missing, and it cannot follow from references: base and instruct scores are needed for each"
            )
            yield Problem(
                ("benchmarks", position, "weight"), f"{what} base model (`ptb baseline` measures them)"
            )
            return
    try:
        headroom_weights(base, instruct)
    except ValueError as error:
        yield Problem(("references",), f"no weights follow from these: {error}")


def _reference_problems(file: SuiteFile) -> Iterator[Problem]:
    models = [model.hub_id for model in file.base_models]
    benchmarks = [benchmark.name for benchmark in file.benchmarks]
    seen: set[tuple[str, str, str]] = set()
    for position, reference in enumerate(file.references):
        path: KeyPath = ("references", position)
        if reference.base_model not in models:
            what = f"{reference.base_model!r} is no base model of this suite"
            yield Problem((*path, "base_model"), f"{what}; {nearest(reference.base_model, models)}")
        if reference.benchmark not in benchmarks:
            what = f"{reference.benchmark!r} is no benchmark of this suite"
            yield Problem((*path, "benchmark"), f"{what}; {nearest(reference.benchmark, benchmarks)}")
        cell = (reference.kind, reference.base_model, reference.benchmark)
        if cell in seen:
            yield Problem(path, f"a second {reference.kind!r} score of one cell")
        seen.add(cell)


def _template_problems(file: SuiteFile, templates: Mapping[str, str | None]) -> Iterator[Problem]:
    for position, model in enumerate(file.base_models):
        path: KeyPath = ("base_models", position, "chat_template")
        if templates[model.hub_id] is None:
            yield Problem(path, f"cannot read {model.chat_template!r}, or it is empty")
        elif not model.chat_template.endswith(".jinja") and model.chat_template not in ("", *FAMILIES):
            what = f"no chat template {model.chat_template!r}"
            yield Problem(path, f"{what}; known: {', '.join(FAMILIES)}, or a file that ends in .jinja")


def _place_problems(file: SuiteFile, folder: Path) -> Iterator[Problem]:
    """What a suite's file says to lie beside it, and does not."""
    for position, model in enumerate(file.base_models):
        for key, path in (("path", model.path), ("instruct_path", model.instruct_path)):
            if path and not (folder / path / "config.json").is_file():
                what = f"{path!r} is no model folder: there is no {folder / path / 'config.json'}"
                yield Problem(("base_models", position, key), what)
        for place, one in enumerate(model.derivatives):
            names = ("config.json", "adapter_config.json")
            if one.path and not any((folder / one.path / name).is_file() for name in names):
                what = f"{one.path!r} is no folder of a model or an adapter: there is no {' or '.join(names)}"
                yield Problem(("base_models", position, "derivatives", place, "path"), what)
        if model.instruct_path and not model.instruct:
            yield Problem(("base_models", position, "instruct_path"), "also give its name: instruct = ...")
    for position, benchmark in enumerate(file.benchmarks):
        at: KeyPath = ("benchmarks", position)
        path = benchmark.task.rpartition("@")[0]
        if not benchmark.task:
            given = [k for k in OWN_KEYS if getattr(benchmark, k)]
            yield from (Problem((*at, key), "only beside a `task` of the suite's own") for key in given)
        elif not re.fullmatch(r".+\.py@\w+|[\w.-]+/[\w.-]+", benchmark.task):
            yield Problem((*at, "task"), "should be FILE.py@NAME or PACKAGE/NAME")
        elif path and not (folder / path).is_file():
            yield Problem((*at, "task"), f"there is no file {folder / path}")


def _unknown_benchmarks(file: SuiteFile, known: tuple[str, ...] | None) -> Iterator[Problem]:
    for position, benchmark in enumerate(file.benchmarks):
        if benchmark.task and known is not None and benchmark.name in known:
            what = "is the name of an installed benchmark; give yours another"
            yield Problem(("benchmarks", position, "name"), f"{benchmark.name!r} {what}")
        elif not benchmark.task and known is not None and benchmark.name not in known:
            yield Problem(
                ("benchmarks", position, "name"),
                f"no benchmark {benchmark.name!r} is installed; {nearest(benchmark.name, known)}",
            )
