"""An Inspect task that a suite brings along, as a benchmark: from a Python file or an installed package.

Its samples are the test set; ids decide which of them agents may query. The file is the suite's author's, and
is run on the trusted side as well as in the evaluation sandbox; no agent ever sees it.

Not covered: tasks that need a network or Inspect's own sandboxes: an evaluation has none of them. Answers are
graded or executed where an installed benchmark does that for its own: see `OwnScoredOutside`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from posttrainbench.digest import content_digest
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.protocols import ScoredOutside, ScoringAids, TestItem
from posttrainbench.scoring.splits import select
from posttrainbench.task import InspectSource

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import Scorer as InspectScorer


class OwnBenchmark:
    """The benchmark that an `InspectSource` describes; its module is run when something of it is asked."""

    def __init__(self, source: InspectSource) -> None:
        self.source = source
        self.name = source.benchmark
        self.title = source.title or source.benchmark
        self.hub_id = source.hub_id
        self.test_files = source.test_files
        self._items: dict[str, tuple[TestItem, ...]] = {}

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item, and over the file that scores them."""
        items = [[item.id, item.question, item.target] for item in self.items("test")]
        code = (
            hashlib.sha256(Path(self.source.module).read_bytes()).hexdigest() if self.source.is_file else ""
        )
        return content_digest({"items": items, "code": code})

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "train" (none, unless the source names a task of them), "dev", "sealed" or "test"."""
        if split not in self._items:  # making them changes the process's folder, which threads share
            self._items[split] = tuple(_item(sample) for sample in self._samples(split))
        return self._items[split]

    def inspect_task(self, split: str) -> InspectTask:
        """The task as its author wrote it, over the samples of a split.

        Raises:
            SetupError: it cannot be loaded, or needs what an evaluation has not.
        """
        from inspect_ai import task_with
        from inspect_ai.dataset import MemoryDataset

        task = self._task(self.source.train if split == "train" else self.source.task)
        if task.sandbox is not None:
            raise SetupError(f"{self._place} needs an Inspect sandbox, which an evaluation cannot offer")
        samples = MemoryDataset(list(self._samples(split)), name=self.name)
        return task_with(task, dataset=samples, name=self.name)

    def _samples(self, split: str) -> Sequence[Sample]:
        if split == "train":
            return _numbered(self._task(self.source.train)) if self.source.train else ()
        return select(
            self.name, _numbered(self._task(self.source.task)), lambda sample: str(sample.id), split
        )

    @property
    def _place(self) -> str:
        return f"{self.source.module}@{self.source.task}"

    def _task(self, name: str) -> InspectTask:
        """A task, made anew: Inspect changes what it is given."""
        from inspect_ai import Task

        found = getattr(self._module, name, None)
        if not callable(found):
            raise UnknownName(f"task in {self.source.module}", name, _task_names(self._module))
        try:
            with _beside(self.source):
                made = found()
        except Exception as error:
            raise SetupError(f"task {name} of {self.source.module} breaks: {_told(error)}") from error
        if not isinstance(made, Task):
            raise SetupError(f"{name} of {self.source.module} makes no Inspect task; decorate it with @task")
        return made

    @cached_property
    def _module(self) -> ModuleType:
        try:
            if not self.source.is_file:
                return _package(self.source.module)
            with _beside(self.source):
                return _loaded(Path(self.source.module))
        except SetupError:
            raise
        except Exception as error:
            raise SetupError(f"{self.source.module} cannot be loaded: {_told(error)}") from error


class OwnScoredOutside(OwnBenchmark):
    """An own benchmark whose answers an installed one scores: its samples carry what that scorer reads."""

    def __init__(self, source: InspectSource, model: ScoredOutside) -> None:
        super().__init__(source)
        self.aids = model.aids
        self._model = model

    def scorer(self, aids: ScoringAids) -> InspectScorer:
        """The installed benchmark's scorer.

        Raises:
            SetupError: an aid is missing.
        """
        return self._model.scorer(aids)


def _package(name: str) -> ModuleType:
    """The module in which an installed package registers its Inspect tasks."""
    points = {point.name: point.value for point in entry_points(group="inspect_ai")}
    if name not in points:
        raise UnknownName("package with Inspect tasks", name, points)
    return import_module(points[name].partition(":")[0])


def _loaded(file: Path) -> ModuleType:
    name = f"posttrainbench_own_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise SetupError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and Inspect's registry look for it there
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _beside(source: InspectSource) -> Iterator[None]:
    """While open, the file's folder is where relative paths and imports lead, as when Inspect runs it."""
    if not source.is_file:
        yield
        return
    folder = str(Path(source.module).parent)
    sys.path.insert(0, folder)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _task_names(module: ModuleType) -> list[str]:
    from inspect_ai.util import registry_info

    def is_task(value: Any) -> bool:
        with contextlib.suppress(Exception):
            return bool(registry_info(value).type == "task")
        return False

    return [name for name, value in vars(module).items() if callable(value) and is_task(value)]


def _numbered(task: InspectTask) -> tuple[Sample, ...]:
    """The task's samples; those without an id get their place in the data set."""
    return tuple(
        sample if sample.id is not None else sample.model_copy(update={"id": place})
        for place, sample in enumerate(task.dataset, 1)
    )


def _item(sample: Sample) -> TestItem:
    asked = sample.input if isinstance(sample.input, str) else "\n\n".join(m.text for m in sample.input)
    target = sample.target if isinstance(sample.target, str) else "\n".join(sample.target)
    return TestItem(str(sample.id), asked, target, target)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
