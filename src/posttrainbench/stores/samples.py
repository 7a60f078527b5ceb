"""What each sample of an evaluation scored: one line each beside the Inspect log, without any text of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from posttrainbench.errors import InvalidFile
from posttrainbench.record import RunRecord, Score, Stage
from posttrainbench.scoring.summary import SampleScore
from posttrainbench.stores.codec import to_line
from posttrainbench.stores.files import write_atomic
from posttrainbench.stores.runs import RunStore
from posttrainbench.stores.trees import read_text

FILE = "samples.jsonl"
CAP_BYTES = 50_000_000

_SAMPLE = TypeAdapter(SampleScore)


def write_samples(folder: Path, samples: Sequence[SampleScore]) -> None:
    """Write the samples of an evaluation into its folder."""
    write_atomic(folder / FILE, "".join(to_line(sample) for sample in samples))


def read_samples(folder: Path) -> tuple[SampleScore, ...]:
    """The samples of an evaluation; none when it kept none.

    Raises:
        InvalidFile: the file is there and cannot be read.
    """
    try:
        lines = read_text(folder, FILE, CAP_BYTES).splitlines()
        return tuple(_SAMPLE.validate_json(line) for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise InvalidFile(f"{folder / FILE} holds no samples: {str(error).splitlines()[0]}") from None


def samples_of(store: RunStore, record: RunRecord) -> dict[str, float]:
    """Item id -> what a run's answer scored, of the evaluation that its record names.

    Empty when that evaluation kept none, or when they are not those of the score: a mean is never explained
    by samples that it was not taken over.
    """
    attempt = next((stage.attempt for stage in record.stages if stage.stage is Stage.EVALUATE), None)
    if attempt is None or not isinstance(record.outcome, Score):
        return {}
    samples = read_samples(store.layout.attempt(attempt).evaluation)
    found = {sample.id: sample.value for sample in samples}
    return found if len(found) == record.outcome.n else {}
