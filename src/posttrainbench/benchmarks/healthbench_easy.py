"""`healthbench_easy`: health conversations, each graded by a rubric of its own, criterion by criterion.

The subset "easy" is the paper's: the 245 conversations of the pinned file, each with something to gain. The
conversation and the grader's prompt are those of inspect_evals' `healthbench`. What differs from there: the
grader sees no thinking and no runaway repetition; a criterion that could not be graded makes the score a
failure (there it counts as not met); a score on an axis is clipped as a mean, not sample by sample.

Source: Arora et al., arXiv 2505.08775.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from posttrainbench.benchmarks.conversation import Turn, as_text
from posttrainbench.datasets.catalog import HEALTHBENCH_EASY
from posttrainbench.datasets.folder import read_rows
from posttrainbench.llm import Message
from posttrainbench.protocols import Grader, ScoringAids, TestItem
from posttrainbench.scoring.graded_text import graded_text
from posttrainbench.scoring.rubric import Criterion, parse_grade, points_share, shares_by_tag
from posttrainbench.scoring.splits import select

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import Score as InspectScore
    from inspect_ai.scorer import Scorer as InspectScorer
    from inspect_ai.solver import TaskState

MAX_TOKENS = 16384
THEME, AXIS = "theme:", "axis:"
(TEST,) = HEALTHBENCH_EASY.files


@dataclass(frozen=True, slots=True)
class RubricItem:
    """One criterion as the data set has it."""

    criterion: str
    points: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ideal:
    """What physicians wrote as a good answer."""

    ideal_completion: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A line of the data set: turns that end with the user's, and what a good answer does."""

    prompt_id: str
    prompt: tuple[Turn, ...]
    rubrics: tuple[RubricItem, ...]
    example_tags: tuple[str, ...]
    ideal_completions_data: Ideal | None


class HealthBenchEasy:
    """245 conversations, 1,873 criteria; there is no train split."""

    name = HEALTHBENCH_EASY.benchmark
    title = "HealthBench Easy: health conversations, graded by rubric"
    hub_id = HEALTHBENCH_EASY.hub_id
    test_files = ("*",)  # the repository holds nothing else
    aids = ("grader",)

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item."""
        return HEALTHBENCH_EASY.digest

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "dev", "sealed" or "test" (dev + sealed); "train" is empty."""
        return tuple(_item(row) for row in self._rows(split))

    def inspect_task(self, split: str) -> InspectTask:
        """The conversation as it is, one completion; scored by `scorer`."""
        from posttrainbench.benchmarks.graded import answered_task

        return answered_task(self.name, [_sample(row) for row in self._rows(split)], MAX_TOKENS)

    def scorer(self, aids: ScoringAids) -> InspectScorer:
        """Points achieved / points possible, as a grader finds each criterion met or not.

        Raises:
            SetupError: there is no grader.
        """
        from posttrainbench.benchmarks.graded import graded_score, grader_of, scored_by

        grader = grader_of(aids, self.name)

        async def by_rubric(state: TaskState) -> InspectScore:
            answer = graded_text(state.output.completion)
            rubric = [
                Criterion(item["criterion"], item["points"], tuple(item["tags"]))
                for item in state.metadata["rubrics"]
            ]
            turns = [Turn(**turn) for turn in state.metadata["conversation"]]
            conversation = as_text((*turns, Turn("assistant", answer)))
            met = await graded(grader, conversation, rubric)
            value = points_share(rubric, met)
            if value is None:
                raise ValueError("a rubric without anything to gain")
            shares = shares_by_tag(rubric, met, AXIS)
            return graded_score(value, answer, shares=shares, why=f"{sum(met)} of {len(met)} criteria met")

        return scored_by("points_share", by_rubric)

    def _rows(self, split: str) -> tuple[Conversation, ...]:
        if split == "train":
            return ()
        return select(self.name, read_rows(TEST, Conversation), lambda row: row.prompt_id, split)


async def graded(grader: Grader, conversation: str, rubric: list[Criterion]) -> list[bool]:
    """Whether each criterion is met, all asked at once.

    Raises:
        GradeUnavailable: one of them could not be graded; the others are finished first, and kept.
    """
    questions = [grader.grade(grader_messages(conversation, criterion), parse_grade) for criterion in rubric]
    answers = await asyncio.gather(*questions, return_exceptions=True)
    met = [answer for answer in answers if isinstance(answer, bool)]
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return met


def grader_messages(conversation: str, criterion: Criterion) -> tuple[Message, ...]:
    """What the grader is asked about one criterion: inspect_evals' system message and template."""
    from inspect import signature

    from inspect_evals.healthbench.scorer import GRADER_TEMPLATE, healthbench_scorer

    system = signature(healthbench_scorer).parameters["judge_system_message"].default
    item = f"[{criterion.points}] {criterion.text}"
    # One pass over the template: what a conversation says must not be filled in a second time.
    before, _, rest = GRADER_TEMPLATE.partition("<<conversation>>")
    between, _, after = rest.partition("<<rubric_item>>")
    return (Message("system", system), Message("user", f"{before}{conversation}{between}{item}{after}"))


def _sample(row: Conversation) -> Sample:
    from inspect_evals.healthbench.dataset import record_to_sample

    record = asdict(row)
    record["prompt"] = [dict(turn) for turn in record["prompt"]]
    record["rubrics"] = [{**item, "tags": list(item["tags"])} for item in record["rubrics"]]
    record["example_tags"] = list(row.example_tags)
    sample = record_to_sample(record)
    theme = next((tag for tag in row.example_tags if tag.startswith(THEME)), "")
    sample.metadata = {**(sample.metadata or {}), "part": theme}
    return sample


def _item(row: Conversation) -> TestItem:
    """The conversation, and what physicians would have answered."""
    ideal = row.ideal_completions_data.ideal_completion if row.ideal_completions_data else ""
    return TestItem(row.prompt_id, "\n\n".join(turn.content for turn in row.prompt), ideal, ideal)
