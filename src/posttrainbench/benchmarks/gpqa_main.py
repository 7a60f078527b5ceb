"""`gpqa_main`: 448 graduate-level questions with four choices each, answered after a chain of thought.

Prompt and scorer are Inspect's for multiple choice. The data set names the right choice first, so the choices
are shuffled once, with a fixed seed and over the whole set: an item looks the same in every split and run.
Choices are followed by their place, never by their text: three items have two choices with equal text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from posttrainbench.datasets.catalog import GPQA_MAIN
from posttrainbench.datasets.folder import read_zipped_csv
from posttrainbench.protocols import TestItem
from posttrainbench.scoring.splits import select

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask
    from inspect_ai.dataset import Sample

MAX_TOKENS = 16_000
SHUFFLE_SEED = 42  # inspect_evals' own for this family; the paper drew a new order each time
(ARCHIVE,) = GPQA_MAIN.files
MEMBER = "dataset/gpqa_main.csv"


@dataclass(frozen=True, slots=True)
class Question:
    """A row of the authors' table: the columns that matter."""

    id: Annotated[str, Field(validation_alias="Record ID")]
    text: Annotated[str, Field(validation_alias="Question")]
    correct: Annotated[str, Field(validation_alias="Correct Answer")]
    wrong_1: Annotated[str, Field(validation_alias="Incorrect Answer 1")]
    wrong_2: Annotated[str, Field(validation_alias="Incorrect Answer 2")]
    wrong_3: Annotated[str, Field(validation_alias="Incorrect Answer 3")]
    explanation: Annotated[str, Field(validation_alias="Explanation")]
    domain: Annotated[str, Field(validation_alias="High-level domain")]


class GpqaMain:
    """448 questions; there is no train split."""

    name = GPQA_MAIN.benchmark
    title = "GPQA main: graduate-level science, multiple choice"
    hub_id = GPQA_MAIN.hub_id
    test_files = ("*",)  # its other files hold the same questions

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item."""
        return GPQA_MAIN.digest

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "dev", "sealed" or "test" (dev + sealed); "train" is empty."""
        if split == "train":
            return ()
        rows = select(self.name, _questions(), lambda row: row.id, split)
        return tuple(TestItem(row.id, row.text, row.explanation, row.correct) for row in rows)

    def inspect_task(self, split: str) -> InspectTask:
        """Question and choices in the user message, one completion that ends with a letter."""
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset
        from inspect_ai.model import GenerateConfig
        from inspect_ai.scorer import choice
        from inspect_ai.solver import multiple_choice

        everything = MemoryDataset([_sample(row) for row in _questions()], name=self.name)
        everything.shuffle_choices(seed=SHUFFLE_SEED)
        samples = () if split == "train" else select(self.name, tuple(everything), _id_of, split)
        return Task(
            dataset=MemoryDataset(list(samples), name=self.name),
            solver=multiple_choice(cot=True),
            scorer=choice(),
            config=GenerateConfig(max_tokens=MAX_TOKENS),
            metadata={"choice_shuffle_seed": SHUFFLE_SEED},
            name=self.name,
        )


def _questions() -> tuple[Question, ...]:
    return read_zipped_csv(ARCHIVE, MEMBER, Question)


def _sample(row: Question) -> Sample:
    from inspect_ai.dataset import Sample

    choices = [row.correct, row.wrong_1, row.wrong_2, row.wrong_3]
    return Sample(row.text, choices=choices, target="A", id=row.id, metadata={"part": row.domain})


def _id_of(sample: Sample) -> str:
    return str(sample.id)
