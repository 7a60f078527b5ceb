"""Which engine a run takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from posttrainbench.cli.members import run_engine
from posttrainbench.errors import SetupError, UnknownName


def test_a_run_takes_vllm_where_it_is_installed_and_a_gpu_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_engine(None, gpus=0) == "transformers"
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert run_engine(None, gpus=1) == "vllm"
    assert run_engine(None, gpus=0) == "transformers"


def test_a_run_takes_the_engine_that_was_asked_for() -> None:
    assert run_engine("transformers", gpus=1) == "transformers"
    assert run_engine("vllm", gpus=0) == "vllm"
    with pytest.raises(UnknownName, match="vllm"):
        run_engine("vlm", gpus=0)
    with pytest.raises(SetupError, match="a folder"):
        run_engine("openai", gpus=0)
