"""`humaneval`: Python functions to be completed; right when every test passes, in a sandbox of its own.

The prompt, the reading of a completion and the time limit are those of inspect_evals. How an answer is run is
ours (`trials.py`): there, the answer shares a process with the assertions that judge it; here it does not.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from posttrainbench.benchmarks.trials import Trial, TrialEnd, try_answer
from posttrainbench.datasets.catalog import HUMANEVAL
from posttrainbench.datasets.folder import read_rows
from posttrainbench.errors import SetupError
from posttrainbench.protocols import Sandbox, ScoringAids, TestItem
from posttrainbench.scoring.splits import select

if TYPE_CHECKING:
    from inspect_ai import Task as InspectTask
    from inspect_ai.scorer import Score as InspectScore
    from inspect_ai.scorer import Scorer as InspectScorer
    from inspect_ai.scorer import Target
    from inspect_ai.solver import TaskState

MAX_TOKENS = 4000
TRIALS_PER_CORE = 2  # building a sandbox is mostly waiting
(TEST,) = HUMANEVAL.files


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of the data set: a signature with its docstring, a solution's body, and `check(candidate)`."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str


class HumanEval:
    """164 functions, pass@1; there is no train split."""

    name = HUMANEVAL.benchmark
    title = "HumanEval: Python functions"
    hub_id = HUMANEVAL.hub_id
    test_files = ("*",)  # the repository holds nothing else
    aids = ("sandbox",)

    @property
    def data_digest(self) -> str:
        """64 hex digits over every test item."""
        return HUMANEVAL.digest

    def items(self, split: str) -> tuple[TestItem, ...]:
        """The items of "dev", "sealed" or "test" (dev + sealed); "train" is empty."""
        return tuple(
            TestItem(row.task_id, row.prompt, row.canonical_solution, row.canonical_solution)
            for row in self._rows(split)
        )

    def inspect_task(self, split: str) -> InspectTask:
        """The instruction and the signature in the user message, one completion; scored by `scorer`."""
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset
        from inspect_ai.model import GenerateConfig
        from inspect_ai.solver import generate
        from inspect_evals.humaneval.humaneval import record_to_sample

        to_sample = record_to_sample()
        return Task(
            dataset=MemoryDataset([to_sample(asdict(row)) for row in self._rows(split)], name=self.name),
            solver=generate(),
            config=GenerateConfig(max_tokens=MAX_TOKENS),
            name=self.name,
        )

    def scorer(self, aids: ScoringAids) -> InspectScorer:
        """1 when the completion, put behind the prompt, passes every test; else 0.

        Raises:
            SetupError: no sandbox to execute answers in.
        """
        if aids.sandbox is None:
            raise SetupError("humaneval executes what the model wrote: it needs a sandbox, such as bwrap")
        return _executed(aids.sandbox)

    def _rows(self, split: str) -> tuple[Problem, ...]:
        if split == "train":
            return ()
        return select(self.name, read_rows(TEST, Problem), lambda row: row.task_id, split)


def _executed(sandbox: Sandbox) -> InspectScorer:
    from anyio import CapacityLimiter, to_thread
    from inspect_ai.scorer import Score, accuracy, scorer, stderr
    from inspect_evals.humaneval.humaneval import VERIFY_TIMEOUT, find_code

    @scorer(metrics=[accuracy(), stderr()], name="passes_its_tests")
    def executed() -> InspectScorer:
        limiter = CapacityLimiter(TRIALS_PER_CORE * (os.cpu_count() or 1))

        async def score(state: TaskState, target: Target) -> InspectScore:  # noqa: ARG001
            code = find_code(state.output.completion)
            run = partial(try_answer, sandbox, _trial(state, code), VERIFY_TIMEOUT)
            end: TrialEnd = await to_thread.run_sync(run, limiter=limiter)
            return Score(value=float(end.passed), answer=code, explanation=end.reason)

        return score

    return executed()


def _trial(state: TaskState, code: str) -> Trial:
    row = state.metadata
    return Trial(f"{row['prompt']}{code}\n", row["prompt"], row["test"], row["entry_point"])
