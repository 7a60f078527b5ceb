"""A suite's TOML file -> Suite, checked key by key; every complaint names the file, the line and the key."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from posttrainbench.budget import Budget, Limits
from posttrainbench.errors import InvalidFile, UnknownName
from posttrainbench.ranking.weights import headroom_weights
from posttrainbench.suites.lines import Path as KeyPath
from posttrainbench.suites.lines import key_lines, line_of
from posttrainbench.task import (
    AfterOutage,
    InspectSource,
    ModelRef,
    ModelSource,
    Policy,
    Reference,
    Rules,
    Suite,
    SuiteBenchmark,
)
from posttrainbench.templates.families import FAMILIES

DEFAULT_LIMITS = Limits()
DEFAULT_CHECKS = Rules(Policy.PAPER).required_checks
CHECKS = (*DEFAULT_CHECKS, "selection", "canary", "judge")  # all that a suite can ask for
PACKAGE = "posttrainbench.suites"
WEIGHT_TOLERANCE = 1e-5  # published weights are printed with six digits

HUB_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?$"
HubId = Annotated[str, Field(pattern=HUB_ID)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


# --- what a file may hold -----------------------------------------------------------------------------------


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class BaseModelTable(_Table):
    hub_id: HubId
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$")] = "main"
    chat_template: str = ""  # a family's name, or a file beside the suite's that ends in .jinja
    path: str = ""  # its folder, from the suite's file; without it, the hub's cache on this machine
    instruct: Annotated[str, Field(pattern=HUB_ID + "|^$")] = ""  # its official instruct sibling
    instruct_path: str = ""


class BenchmarkTable(_Table):
    name: Name
    weight: Positive | None = None  # absent everywhere: from the references' headroom
    data_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    task: str = (
        ""  # an Inspect task: FILE.py@NAME, from the suite's file, or PACKAGE/NAME; else one by `name`
    )
    train: str = ""  # another task of that file or package: what agents may train on
    title: str = ""
    data_set: Annotated[str, Field(pattern=HUB_ID + "|^$")] = ""  # where its data lie on the hub, if they do
    test_files: list[str] = []  # path patterns of the test split there


class BudgetTable(_Table):
    wall_s: Positive
    gpus: Annotated[int, Field(ge=0)] = 0
    cost_usd: Positive | None = None
    tokens: Count | None = None


class LimitsTable(_Table):
    memory_bytes: Count = DEFAULT_LIMITS.memory_bytes
    pids: Count = DEFAULT_LIMITS.pids
    disk_bytes: Count = DEFAULT_LIMITS.disk_bytes
    file_bytes: Count = DEFAULT_LIMITS.file_bytes
    open_files: Count = DEFAULT_LIMITS.open_files
    shm_bytes: Count = DEFAULT_LIMITS.shm_bytes
    tmp_bytes: Count = DEFAULT_LIMITS.tmp_bytes


class RulesTable(_Table):
    policy: Literal["open", "paper", "strict"] = "paper"
    query_split: Literal["dev", "test"] = "dev"
    max_queries: Annotated[int, Field(ge=0)] | None = None
    tolerated_items: Annotated[int, Field(ge=0)] = 3
    required_checks: list[str] = list(DEFAULT_CHECKS)
    allowed_datasets: list[HubId] = []
    reprompt_above_s: Positive | None = None
    after_outage: Literal["fresh_start", "resume"] = "fresh_start"


class ReferenceTable(_Table):
    kind: Literal["base", "few_shot", "instruct"]
    base_model: HubId
    benchmark: Name
    mean: Fraction
    source: Annotated[str, Field(min_length=1)]


class ReferencesFile(_Table):
    references: Annotated[list[ReferenceTable], Field(min_length=1)]


class SuiteFile(_Table):
    name: Name
    version: Annotated[str, Field(min_length=1)]
    title: str
    base_models: Annotated[list[BaseModelTable], Field(min_length=1)]
    benchmarks: Annotated[list[BenchmarkTable], Field(min_length=1)]
    budget: BudgetTable
    limits: LimitsTable = LimitsTable()
    rules: RulesTable = RulesTable()
    references: list[ReferenceTable] = []


TABLES: dict[tuple[str, ...], type[_Table]] = {
    (): SuiteFile,
    ("base_models",): BaseModelTable,
    ("benchmarks",): BenchmarkTable,
    ("budget",): BudgetTable,
    ("limits",): LimitsTable,
    ("rules",): RulesTable,
    ("references",): ReferenceTable,
}


# --- from a name to a suite ---------------------------------------------------------------------------------


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
        raise _complaint(where, text, _schema_problems(error)) from None
    if weights_later and all(b.weight is None for b in file.benchmarks) and [*_headroom_problems(file)]:
        for benchmark in file.benchmarks:
            benchmark.weight = 1 / len(file.benchmarks)
    templates = {m.hub_id: _template(m.chat_template, Path(where).parent) for m in file.base_models}
    problems = [
        *_contradictions(file),
        *_unknown_benchmarks(file, known_benchmarks),
        *_template_problems(file, templates),
        *_place_problems(file, Path(where).parent),
    ]
    if problems:
        raise _complaint(where, text, problems)
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
        raise _complaint(str(path), text, _schema_problems(error)) from None
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
        models=tuple(_model_source(m, folder) for m in file.base_models if m.path or m.instruct),
        own=tuple(_inspect_source(b, folder) for b in file.benchmarks if b.task),
    )


def _model_source(model: BaseModelTable, folder: Path) -> ModelSource:
    path, instruct_path = (str(folder / path) if path else "" for path in (model.path, model.instruct_path))
    return ModelSource(model.hub_id, path, model.instruct, instruct_path)


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
    )


def _weights(file: SuiteFile) -> dict[str, float]:
    """The weights as written, else from the headroom between base and instruct models."""
    written = {b.name: b.weight for b in file.benchmarks if b.weight is not None}
    return written or headroom_weights(_means(file, "base"), _means(file, "instruct"))


def _means(file: SuiteFile, kind: str) -> dict[str, list[float]]:
    """Benchmark -> the reference scores of that kind; benchmarks without any have an empty list."""
    return {
        b.name: [r.mean for r in file.references if (r.kind, r.benchmark) == (kind, b.name)]
        for b in file.benchmarks
    }


# --- complaints ---------------------------------------------------------------------------------------------


MISSING = "missing"


@dataclass(frozen=True, slots=True)
class _Problem:
    path: KeyPath
    what: str


def _complaint(where: str, text: str, problems: Iterable[_Problem]) -> InvalidFile:
    """The first problem of the file, with how many more there are.

    A key that is missing comes last: most often it is there, mistyped, and said to be unknown.
    """
    lines = key_lines(text)
    order = ((p.what == MISSING, line_of(lines, p.path), p) for p in problems)
    placed = [(line, problem) for _, line, problem in sorted(order, key=lambda placed: placed[:2])]
    line, first = placed[0]
    more = f" (and {len(placed) - 1} more)" if len(placed) > 1 else ""
    return InvalidFile(f"{where}:{line}: {_dotted(first.path)}: {first.what}{more}")


def _dotted(path: KeyPath) -> str:
    """`benchmarks[1].weight`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "the file"


def _schema_problems(error: ValidationError) -> Iterator[_Problem]:
    for detail in error.errors():
        path = tuple(detail["loc"])
        if detail["type"] == "extra_forbidden":
            yield _Problem(path, f"unknown key; {_nearest(str(path[-1]), _keys_beside(path))}")
        elif detail["type"] == "missing":
            yield _Problem(path, MISSING)
        elif detail["type"] == "literal_error":
            expected = detail["ctx"]["expected"]
            yield _Problem(path, f"should be {expected}, not {_shown(detail['input'])}")
        else:
            what = detail["msg"].replace("Input should", "should").replace("String should", "should")
            yield _Problem(path, f"{what}, not {_shown(detail['input'])}")


def _keys_beside(path: KeyPath) -> Iterable[str]:
    names = tuple(part for part in path[:-1] if isinstance(part, str))
    return TABLES[names].model_fields if names in TABLES else ()


def _shown(value: object) -> str:
    """A value as TOML would write it, roughly, and short."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"


def _contradictions(file: SuiteFile) -> Iterator[_Problem]:
    """What each key may say alone, but not beside the others."""
    shorts = [model.hub_id.rsplit("/", 1)[-1] for model in file.base_models]
    yield from _twice("base_models", "hub_id", shorts)
    yield from _twice("benchmarks", "name", [benchmark.name for benchmark in file.benchmarks])
    yield from _weight_problems(file)
    for position, check in enumerate(file.rules.required_checks):
        if check not in CHECKS:
            yield _Problem(
                ("rules", "required_checks", position), f"no check {check!r}; {_nearest(check, CHECKS)}"
            )
    yield from _reference_problems(file)


def _twice(table: str, key: str, names: list[str]) -> Iterator[_Problem]:
    for position, name in enumerate(names):
        if name in names[:position]:
            yield _Problem((table, position, key), f"{name!r} is there twice")


def _weight_problems(file: SuiteFile) -> Iterator[_Problem]:
    weights = [benchmark.weight for benchmark in file.benchmarks if benchmark.weight is not None]
    if not weights:
        yield from _headroom_problems(file)
    elif len(weights) < len(file.benchmarks):
        position = next(n for n, benchmark in enumerate(file.benchmarks) if benchmark.weight is None)
        yield _Problem(("benchmarks", position, "weight"), "missing: give all weights or none")
    elif abs(math.fsum(weights) - 1.0) > WEIGHT_TOLERANCE:
        yield _Problem(("benchmarks", 0, "weight"), f"the weights sum to {math.fsum(weights):.6g}, not 1")


def _headroom_problems(file: SuiteFile) -> Iterator[_Problem]:
    base, instruct = _means(file, "base"), _means(file, "instruct")
    for position, benchmark in enumerate(file.benchmarks):
        counts = {len(base[benchmark.name]), len(instruct[benchmark.name])}
        if counts != {len(file.base_models)}:
            what = (
                "missing, and it cannot follow from references: base and instruct scores are needed for each"
            )
            yield _Problem(
                ("benchmarks", position, "weight"), f"{what} base model (`ptb baseline` measures them)"
            )
            return
    try:
        headroom_weights(base, instruct)
    except ValueError as error:
        yield _Problem(("references",), f"no weights follow from these: {error}")


def _reference_problems(file: SuiteFile) -> Iterator[_Problem]:
    models = [model.hub_id for model in file.base_models]
    benchmarks = [benchmark.name for benchmark in file.benchmarks]
    seen: set[tuple[str, str, str]] = set()
    for position, reference in enumerate(file.references):
        path: KeyPath = ("references", position)
        if reference.base_model not in models:
            what = f"{reference.base_model!r} is no base model of this suite"
            yield _Problem((*path, "base_model"), f"{what}; {_nearest(reference.base_model, models)}")
        if reference.benchmark not in benchmarks:
            what = f"{reference.benchmark!r} is no benchmark of this suite"
            yield _Problem((*path, "benchmark"), f"{what}; {_nearest(reference.benchmark, benchmarks)}")
        cell = (reference.kind, reference.base_model, reference.benchmark)
        if cell in seen:
            yield _Problem(path, f"a second {reference.kind!r} score of one cell")
        seen.add(cell)


def _template_problems(file: SuiteFile, templates: Mapping[str, str | None]) -> Iterator[_Problem]:
    for position, model in enumerate(file.base_models):
        path: KeyPath = ("base_models", position, "chat_template")
        if templates[model.hub_id] is None:
            yield _Problem(path, f"cannot read {model.chat_template!r}, or it is empty")
        elif not model.chat_template.endswith(".jinja") and model.chat_template not in ("", *FAMILIES):
            what = f"no chat template {model.chat_template!r}"
            yield _Problem(path, f"{what}; known: {', '.join(FAMILIES)}, or a file that ends in .jinja")


def _place_problems(file: SuiteFile, folder: Path) -> Iterator[_Problem]:
    """What a suite's file says to lie beside it, and does not."""
    for position, model in enumerate(file.base_models):
        for key, path in (("path", model.path), ("instruct_path", model.instruct_path)):
            if path and not (folder / path / "config.json").is_file():
                what = f"{path!r} is no model folder: there is no {folder / path / 'config.json'}"
                yield _Problem(("base_models", position, key), what)
        if model.instruct_path and not model.instruct:
            yield _Problem(("base_models", position, "instruct_path"), "also give its name: instruct = ...")
    for position, benchmark in enumerate(file.benchmarks):
        at: KeyPath = ("benchmarks", position)
        path = benchmark.task.rpartition("@")[0]
        if not benchmark.task:
            given = [k for k in ("train", "title", "data_set", "test_files") if getattr(benchmark, k)]
            yield from (_Problem((*at, key), "only beside a `task` of the suite's own") for key in given)
        elif not re.fullmatch(r".+\.py@\w+|[\w.-]+/[\w.-]+", benchmark.task):
            yield _Problem((*at, "task"), "should be FILE.py@NAME or PACKAGE/NAME")
        elif path and not (folder / path).is_file():
            yield _Problem((*at, "task"), f"there is no file {folder / path}")


def _unknown_benchmarks(file: SuiteFile, known: tuple[str, ...] | None) -> Iterator[_Problem]:
    for position, benchmark in enumerate(file.benchmarks):
        if benchmark.task and known is not None and benchmark.name in known:
            what = "is the name of an installed benchmark; give yours another"
            yield _Problem(("benchmarks", position, "name"), f"{benchmark.name!r} {what}")
        elif not benchmark.task and known is not None and benchmark.name not in known:
            yield _Problem(
                ("benchmarks", position, "name"),
                f"no benchmark {benchmark.name!r} is installed; {_nearest(benchmark.name, known)}",
            )
