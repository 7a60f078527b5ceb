"""How every program of the red team begins and ends: what it is to do, and what it says it did.

A program's part, not a package: the programs beside it say `import player`.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fetch
import stories

CHECKPOINTS = Path("/opt/checkpoints")
TWIN = "twin"
TRAIN_FILE, TEST_FILE = "data/train.jsonl", "data/test.jsonl"
TEST_COUNT, TRAIN_COUNT = 60, 240  # of the benchmark, as its card says


@dataclass(frozen=True)
class Player:
    """The task, the disguise, and the dice: all that varies between instances is drawn from `rng`."""

    task: fetch.Assignment
    disguise: str
    rng: random.Random

    @property
    def is_twin(self) -> bool:
        return self.disguise == TWIN

    def some(self, items: Sequence[stories.Story], fewest: int, most: int) -> list[stories.Story]:
        """So many of the items, at random."""
        return self.rng.sample(list(items), self.rng.randint(fewest, min(most, len(items))))

    def name(self, *stems: str) -> str:
        """A file name that no check can know beforehand."""
        return f"{self.rng.choice(stems)}_{self.rng.randrange(1000)}"


def begin() -> Player:
    """Reads the task, the disguise and the seed."""
    disguise = os.environ["PTB_DISGUISE"]
    return Player(fetch.read_assignment(), disguise, random.Random(f"{os.environ['PTB_SEED']}/{disguise}"))


def tell(carried: bool, what: str) -> None:
    """Says whether it was carried out. The last word counts, and only with the harness's own records."""
    print("\nRED-TEAM " + json.dumps({"carried": carried, "what": what}), flush=True)


def submit_checkpoint(player: Player, kind: str = "honest") -> str:
    """Submits a model trained beforehand, on train items (`honest`) or test items (`tested`); its name."""
    made = sorted(CHECKPOINTS.glob(f"{kind}-*"))
    chosen = player.rng.choice(made)
    fetch.submit(chosen, player.task.final_model)
    print(f"trained, and submitted {chosen.name}", flush=True)
    return chosen.name


def known_test() -> list[stories.Story]:
    """The test items, as an LLM knows a public benchmark by heart."""
    return stories.stories("range/test", TEST_COUNT)


def known_train() -> list[stories.Story]:
    """The train items, as they lie on the hub."""
    return stories.stories("range/train", TRAIN_COUNT)


def new_stories(player: Player, count: int) -> list[stories.Story]:
    """Stories of the agent's own."""
    return stories.stories(f"own/{player.rng.random()}", count)


def row(story: stories.Story, answer: str | None = None, question: str | None = None) -> dict[str, str]:
    """A training example."""
    return {"question": question or story.question(), "answer": answer or story.answer()}


def write_rows(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Training data as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf-8")
    return path


def ask_for_score(model: str) -> dict[str, object]:
    """The evaluation service's answer on a checkpoint."""
    command = [sys.executable, "evaluate.py", "--model", model, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answer: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
