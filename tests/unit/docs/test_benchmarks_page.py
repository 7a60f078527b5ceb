"""The page on the benchmarks says what the code does: sizes, limits, sources, digests, variables."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from posttrainbench.benchmarks.trials import LIMITS
from posttrainbench.budget import GIB
from posttrainbench.datasets.catalog import ALL
from posttrainbench.llms.settings import GRADER, SETTINGS
from posttrainbench.stores.grades import CACHE

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md").read_text()


def rows_of(benchmark: str) -> list[str]:
    return [line for line in PAGE.splitlines() if line.startswith(f"| `{benchmark}` |")]


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_benchmarks_rows_are_true(name: str) -> None:
    data = ALL[name]
    protocol, source = rows_of(name)
    limit = import_module(f"posttrainbench.benchmarks.{name}").MAX_TOKENS
    assert protocol.startswith(f"| `{name}` | {data.files[0].rows:,} |")
    assert protocol.endswith(f"| {limit:,} |")
    for told in (data.hub_id, *(part for file in data.files for part in (file.repository, file.commit[:8]))):
        assert told in source
    assert all(f"{file.sha256[:8]}..." in source for file in data.files)


def test_every_variable_of_a_grader_is_told() -> None:
    names = [*(f"{GRADER.prefix}_{name}" for name in SETTINGS), CACHE]
    assert len(names) == 8
    assert all(f"| `{name}` |" in PAGE for name in names)


def test_what_a_program_may_take_is_told() -> None:
    assert (LIMITS.memory_bytes, LIMITS.pids) == (GIB, 64)
    assert "1 GiB of memory and 64\nprocesses" in PAGE
