"""What a sandbox took of the machine over time: one sample a line."""

from __future__ import annotations

from pathlib import Path

from posttrainbench.errors import InvalidFile
from posttrainbench.load import LoadSample
from posttrainbench.stores.codec import from_json, to_line


def append_sample(path: Path, sample: LoadSample) -> None:
    """Add a sample to a file, which is made with the first."""
    with path.open("a", encoding="utf-8") as file:
        file.write(to_line(sample))


def read_samples(path: Path) -> tuple[LoadSample, ...]:
    """The samples of a file in order, none without a file; a line that was cut off is left out."""
    if not path.exists():
        return ()
    samples = []
    for line in path.read_bytes().splitlines():
        try:
            samples.append(from_json(LoadSample, line))
        except InvalidFile:
            continue
    return tuple(samples)
