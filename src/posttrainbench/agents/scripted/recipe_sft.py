"""The honest agent: fine-tunes the base model on the train split while time lasts, submits the best it got.

It knows the task only from `task.json` and the hub. While it trains, it asks for evaluations in the
background and submits what scored best so far, so that a deadline never finds it without a whole model.
"""

from __future__ import annotations

import os
import time

STARTED_S = time.monotonic()  # before the slow imports: they are part of the budget
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import json  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402

import sft  # noqa: E402
from fetch import fetch_model, fetch_rows, read_assignment, submit  # noqa: E402
from transformers.utils import logging  # noqa: E402

RESERVE_S = 2.5  # to save, submit and leave
QUERY_S = 10.0  # what an evaluation takes, until one has been seen
QUERY_AT = (0.4, 0.75)  # of the training time; the end asks once more, if there is time for the answer
CHECKPOINTS = Path("checkpoints")


@dataclass
class Query:
    """An evaluation that runs while training goes on."""

    checkpoint: Path
    process: subprocess.Popen[str]
    asked_s: float

    @classmethod
    def ask(cls, checkpoint: Path) -> Query:
        command = [sys.executable, "evaluate.py", "--model", str(checkpoint), "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return cls(checkpoint, process, time.monotonic())

    @property
    def answered(self) -> bool:
        return self.process.poll() is not None

    def score(self) -> float | None:
        """The score in the answer, None when the service gave none."""
        output = self.process.stdout.read() if self.process.stdout else ""
        try:
            answer = json.loads(output.strip().splitlines()[-1])
        except (IndexError, ValueError):
            answer = {"error": f"no answer, exit status {self.process.returncode}"}
        score = answer.get("score")
        said = f"dev score {score:.3f}" if isinstance(score, float | int) else answer.get("error")
        print(f"{self.checkpoint.name}: {said}", flush=True)
        return float(score) if isinstance(score, float | int) else None


class Submission:
    """What lies in `final_model/`: the best scored checkpoint, or the newest while nothing is scored."""

    def __init__(self, final_model: Path) -> None:
        self.final_model = final_model
        self.best: float | None = None

    def offer(self, checkpoint: Path, score: float | None) -> None:
        """Submits the checkpoint unless a better one is there; no score yields to any score."""
        if self.best is not None and (score is None or score < self.best):
            return
        submit(checkpoint, self.final_model)
        self.best = score
        print(f"submitted {checkpoint.name}", flush=True)


class Attempt:
    """One training run with its queries, which must be over by `end_s` on the monotonic clock."""

    def __init__(self, training: sft.Training, submission: Submission, end_s: float) -> None:
        self.training = training
        self.submission = submission
        self.end_s = end_s
        self.query: Query | None = None
        self.query_s = QUERY_S
        self.answers = 0
        self.due = list(QUERY_AT)

    @property
    def left_s(self) -> float:
        return self.end_s - time.monotonic()

    def run(self) -> None:
        """Trains to the end, asking on the way; then submits the last checkpoint or the best one."""
        while not self.training.finished:
            self.training.step()
            self._listen()
            if self.due and self.training.fraction >= self.due[0]:
                self._ask_on_the_way()
        last = self._checkpoint()
        self._listen()
        if self.answers == 0 or self.left_s < self.query_s or self._busy_past(self.left_s - self.query_s):
            self._forget()
            self._offer_last(last)
            return
        self.query = Query.ask(last)
        self._wait(self.left_s)
        if self.query is not None:  # no answer in time
            self._forget()
            self._offer_last(last)

    def _ask_on_the_way(self) -> None:
        """Saves a checkpoint; asks for its score unless one is awaited or the answer would come too late."""
        self.due.pop(0)
        checkpoint = self._checkpoint()
        if self.submission.best is None:
            self.submission.offer(checkpoint, None)
        if self.query is None and self.left_s > self.query_s:
            self.query = Query.ask(checkpoint)

    def _listen(self) -> None:
        """Takes an answer that has come, and learns from it how long answers take."""
        if self.query is None or not self.query.answered:
            return
        query, self.query = self.query, None
        score = query.score()
        if score is None:
            self.due.clear()  # refused or out of order: ask no more
            return
        self.answers += 1
        self.query_s = 1.3 * (time.monotonic() - query.asked_s)
        self.submission.offer(query.checkpoint, score)
        self._leave_time_for_the_last_query()

    def _leave_time_for_the_last_query(self) -> None:
        """Ends training earlier, so that the last checkpoint gets a score too, where that costs little."""
        planned_s = self.left_s - self.query_s + self.training.elapsed_s
        if planned_s > 0.8 * self.training.wall_s:
            self.training.wall_s = min(self.training.wall_s, planned_s)

    def _offer_last(self, last: Path) -> None:
        """The last checkpoint, unscored: its learning rate came to rest, so it beats scores from mid-way."""
        self.submission.best = None
        self.submission.offer(last, None)

    def _checkpoint(self) -> Path:
        path = CHECKPOINTS / f"step-{self.training.steps}"
        self.training.checkpoint(path)
        return path

    def _busy_past(self, wait_s: float) -> bool:
        """Whether an earlier query is still unanswered after a wait."""
        self._wait(wait_s)
        return self.query is not None

    def _wait(self, wait_s: float) -> None:
        until_s = time.monotonic() + wait_s
        while self.query is not None and time.monotonic() < until_s:
            self._listen()
            time.sleep(0.1)

    def _forget(self) -> None:
        if self.query is not None:
            self.query.process.kill()
            self.query.process.wait()
            self.query = None


def main() -> None:
    """The whole agent, from the task to the submission."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    task = read_assignment()
    end_s = time.monotonic() + task.deadline_unix_s - time.time() - RESERVE_S
    base = fetch_model(task.base_model, task.base_model_revision)
    rows = fetch_rows(task.benchmark_hub_id, "data/train.jsonl")
    pairs = [sft.Pair(row["question"], row["answer"]) for row in rows]
    print(f"{len(pairs)} train items, {end_s - time.monotonic():.0f} s to train", flush=True)
    model, tokenizer = sft.load(base)
    recipe = sft.Recipe(seed=int(os.environ.get("PTB_SEED", "0")))
    training = sft.Training(model, tokenizer, pairs, end_s - time.monotonic(), recipe)
    Attempt(training, Submission(task.final_model), end_s).run()
    print(f"done after {training.steps} steps, {time.monotonic() - STARTED_S:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
