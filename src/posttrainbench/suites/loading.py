"""A suite's TOML file -> Suite, checked key by key; every complaint names the file, the line and the key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from posttrainbench.budget import Budget, Limits
from posttrainbench.errors import InvalidFile, UnknownName
from posttrainbench.ranking.weights import headroom_weights
from posttrainbench.suites.complaints import complaint, schema_problems
from posttrainbench.suites.contradictions import contradictions, headroom_problems
from posttrainbench.suites.tables import BaseModelTable, BenchmarkTable, ReferencesFile, SuiteFile, means
from posttrainbench.task import (
    AfterOutage,
    Derivative,
    InspectSource,
    ModelRef,
    ModelSource,
    Policy,
    Reference,
    Rules,
    Suite,
    SuiteBenchmark,
)

PACKAGE = "posttrainbench.suites"


def suite_names() -> tuple[str, ...]:
    """The suites that come with the package, sorted."""
    files = (entry.name for entry in resources.files(PACKAGE).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def load_suite(
    name_or_path: str | Path, known_benchmarks: Iterable[str] | None = None, weights_later: bool = False
) -> Suite:
    """The suite of that name, or in that file: whatever ends in .toml or has a slash is a path.

    Args:
        known_benchmarks: the benchmarks that are installed; None: names are not compared with any.
        weights_later: a suite with neither weights nor the references that they follow from weighs all alike:
            it is read to measure those references.

    Raises:
        UnknownName: no such suite comes with the package; the text has the nearest.
        InvalidFile: the file cannot be read or holds what no suite may; "file:line: key: what is wrong".
    """
    known = None if known_benchmarks is None else tuple(known_benchmarks)
    name = str(name_or_path)
    if isinstance(name_or_path, Path) or name.endswith(".toml") or "/" in name:
        return read_suite(_text_of(Path(name)), name, known, weights_later)
    if name not in suite_names():
        raise UnknownName("suite", name, suite_names())
    file = resources.files(PACKAGE) / f"{name}.toml"
    return read_suite(file.read_text(encoding="utf-8"), f"{name}.toml", known)


def read_suite(
    text: str, where: str, known_benchmarks: tuple[str, ...] | None = None, weights_later: bool = False
) -> Suite:
    """The suite that a TOML text holds.

    Args:
        where: what complaints call the text, say its path.

    Raises:
        InvalidFile: see `load_suite`.
    """
    table = _toml(text, where)
    try:
        file = SuiteFile.model_validate(table)
    except ValidationError as error:
        raise complaint(where, text, schema_problems(error)) from None
    if weights_later and all(b.weight is None for b in file.benchmarks) and [*headroom_problems(file)]:
        for benchmark in file.benchmarks:
            benchmark.weight = 1 / len(file.benchmarks)
    templates = {m.hub_id: _template(m.chat_template, Path(where).parent) for m in file.base_models}
    problems = [*contradictions(file, templates, Path(where).parent, known_benchmarks)]
    if problems:
        raise complaint(where, text, problems)
    return _suite(file, templates, Path(where).resolve().parent)


def read_references(path: Path) -> tuple[Reference, ...]:
    """The reference scores in a TOML file that holds nothing else: what `ptb baseline --write` leaves.

    Raises:
        InvalidFile: as `load_suite`.
    """
    text = _text_of(path)
    try:
        file = ReferencesFile.model_validate(_toml(text, str(path)))
    except ValidationError as error:
        raise complaint(str(path), text, schema_problems(error)) from None
    return tuple(Reference(**reference.model_dump()) for reference in file.references)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidFile(f"{path}: not a text in UTF-8") from None
    except OSError as error:
        raise InvalidFile(f"{path}: {error.strerror or error}") from None


def _toml(text: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", str(error), re.DOTALL)
        line, what = (found[2], found[1]) if found else (str(text.count("\n") + 1), str(error))
        raise InvalidFile(f"{where}:{line}: {what}") from None


def _template(named: str, folder: Path) -> str | None:
    """What a suite holds of a base model's chat template: a name, or a file's text; None: no text."""
    if not named.endswith(".jinja"):
        return named
    try:
        return (folder / named).read_text(encoding="utf-8") or None
    except (OSError, UnicodeDecodeError):
        return None


def _suite(file: SuiteFile, templates: Mapping[str, str | None], folder: Path) -> Suite:
    weights = _weights(file)
    return Suite(
        name=file.name,
        version=file.version,
        title=file.title,
        base_models=tuple(
            ModelRef(model.hub_id, model.revision, templates[model.hub_id] or "")
            for model in file.base_models
        ),
        benchmarks=tuple(SuiteBenchmark(b.name, weights[b.name], b.data_digest) for b in file.benchmarks),
        budget=Budget(**file.budget.model_dump()),
        rules=Rules(
            policy=Policy(file.rules.policy),
            query_split=file.rules.query_split,
            max_queries=file.rules.max_queries,
            tolerated_items=file.rules.tolerated_items,
            required_checks=tuple(file.rules.required_checks),
            allowed_datasets=tuple(file.rules.allowed_datasets),
            reprompt_above_s=file.rules.reprompt_above_s,
            after_outage=AfterOutage(file.rules.after_outage),
        ),
        limits=Limits(**file.limits.model_dump()),
        references=tuple(Reference(**reference.model_dump()) for reference in file.references),
        models=tuple(
            _model_source(m, folder) for m in file.base_models if m.path or m.instruct or m.derivatives
        ),
        own=tuple(_inspect_source(b, folder) for b in file.benchmarks if b.task),
    )


def _model_source(model: BaseModelTable, folder: Path) -> ModelSource:
    path, instruct_path = (str(folder / path) if path else "" for path in (model.path, model.instruct_path))
    derivatives = tuple(
        Derivative(one.hub_id, str(folder / one.path) if one.path else "") for one in model.derivatives
    )
    return ModelSource(model.hub_id, path, model.instruct, instruct_path, derivatives)


def _inspect_source(benchmark: BenchmarkTable, folder: Path) -> InspectSource:
    file, at, name = benchmark.task.rpartition("@")
    module = str(folder / file) if at else benchmark.task.rpartition("/")[0]
    return InspectSource(
        benchmark=benchmark.name,
        module=module,
        task=name if at else benchmark.task.rpartition("/")[2],
        train=benchmark.train,
        title=benchmark.title,
        hub_id=benchmark.data_set,
        test_files=tuple(benchmark.test_files),
        scored_like=benchmark.scored_like,
    )


def _weights(file: SuiteFile) -> dict[str, float]:
    """The weights as written, else from the headroom between base and instruct models."""
    written = {b.name: b.weight for b in file.benchmarks if b.weight is not None}
    return written or headroom_weights(means(file, "base"), means(file, "instruct"))
