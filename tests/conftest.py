"""The true test sets, for the tests that need them; nothing of them lies in this repository."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ours", deadline=None)  # a busy machine is no defect
settings.load_profile("ours")

HERE = Path(__file__).parent.parent


def real_data_folder() -> Path | None:
    """The folder of `PTB_BENCHMARK_DATA`, or the one beside the project, or None."""
    named = os.environ.get("PTB_BENCHMARK_DATA")
    folder = Path(named) if named else HERE.parent / "shared" / "benchmarks"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def keys_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test signs with the key of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PTB_KEYS", str(tmp_path_factory.mktemp("keys")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the true test sets."""
    folder = real_data_folder()
    if folder is None:
        pytest.skip("needs the true test sets: name their folder in PTB_BENCHMARK_DATA")
    return folder


@pytest.fixture
def with_real_data(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program finds its benchmark data in that folder."""
    monkeypatch.setenv("PTB_DATA", str(real_data))
    return real_data
