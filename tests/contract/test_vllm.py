"""The vllm engine around a stand-in for `vllm`: real processes, HTTP and completions of a tiny model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import VLLM_STAND_IN, program

from posttrainbench.benchmarks.tiny_tools import TinyTools
from posttrainbench.budget import GIB, Limits
from posttrainbench.engines.graphics_memory import seen_gpus
from posttrainbench.engines.transformers import TransformersEngine
from posttrainbench.engines.vllm import VLLMEngine, arguments
from posttrainbench.errors import SetupError
from posttrainbench.flows.evaluate import Evaluator
from posttrainbench.flows.score import ScoreJob, score
from posttrainbench.protocols import Benchmark, Engine, Mount
from posttrainbench.record import Score
from posttrainbench.sandboxes.bubblewrap import Bubblewrap
from posttrainbench.stores.samples import read_samples
from posttrainbench.tinyworld import catalog

QWEN3, LLAMA = (catalog.model_folder(name) for name in (catalog.QWEN3_INSTRUCT, catalog.LLAMA_INSTRUCT))
GONE_S = 20.0


@pytest.fixture
def engine(stand_in: None, tmp_path: Path) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(tmp_path)
    yield engine
    engine.close()


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def started(log: Path) -> list[int]:
    """The processes that the stand-in's log and its lifeline tell of."""
    helper = int(re.search(r"helper (\d+)", log.read_text())[1])  # type: ignore[index]
    told = f"{log.parent}/chat_template.jinja".encode()
    servers = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if told in _bytes(path)]
    return [helper, *servers]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def all_gone(pids: list[int]) -> bool:
    until = time.monotonic() + GONE_S
    while any(map(is_alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(is_alive, pids))


def scores(engine: Engine, benchmark: Benchmark, model: Path, template: str, out: Path) -> dict[str, float]:
    out.mkdir()
    job = ScoreJob(benchmark.name, "dev", engine.name, template, limit=12)
    result = score(benchmark, engine, job, model, out)
    assert isinstance(result.outcome, Score), result.outcome
    return {sample.id: sample.value for sample in read_samples(out)}


def test_the_same_task_scores_the_same_and_everything_ends(engine: VLLMEngine, tmp_path: Path) -> None:
    benchmark, template = TinyTools(), catalog.chat_template(catalog.LLAMA_INSTRUCT)
    served = scores(engine, benchmark, LLAMA, template, tmp_path / "served")
    pids = started(tmp_path / "vllm.log")
    assert len(pids) >= 3, "the helper, the server and its lifeline"
    engine.close()
    assert all_gone(pids)
    assert served == scores(TransformersEngine(), benchmark, LLAMA, template, tmp_path / "here")
    assert sum(served.values()) > 6, "a comparison of failures would say nothing"


def test_nothing_is_left_when_whoever_started_it_is_killed(stand_in: None, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from posttrainbench.engines.vllm import VLLMEngine\n"
        "VLLMEngine(Path(sys.argv[1])).inspect_model(Path(sys.argv[2]), '')\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    asker = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), str(QWEN3)], stdout=subprocess.PIPE
    )
    assert asker.stdout is not None
    assert asker.stdout.readline() == b"ready\n"
    pids = started(tmp_path / "vllm.log")
    assert all(map(is_alive, pids))
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    asker.stdout.close()
    assert all_gone(pids)


def test_a_server_that_ends_early_is_an_error_with_what_it_said(
    engine: VLLMEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "fails")
    with pytest.raises(SetupError) as caught:
        engine.inspect_model(QWEN3, "")
    assert "status 1: ValueError: no room for the cache; RuntimeError: Engine core" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all_gone(started(tmp_path / "vllm.log"))


def test_a_server_that_never_gets_ready_is_given_up(
    stand_in: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "hangs")
    with pytest.raises(SetupError, match="not ready within 2 s"):
        VLLMEngine(tmp_path, start_s=2).inspect_model(QWEN3, "")
    assert all_gone(started(tmp_path / "vllm.log"))


def test_without_vllm_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"pip install 'posttrainbench\[vllm\]'"):
        VLLMEngine(tmp_path).inspect_model(QWEN3, "")


def test_inside_the_sandbox_with_its_log_beside_the_score(tmp_path: Path) -> None:
    """The sandbox has a loopback of its own, and ends with all that was started in it."""
    shown = program(tmp_path / "bin", "vllm", '#!/bin/sh\nexec python /stand_in/vllm_stand_in.py "$@"\n')
    (shown / VLLM_STAND_IN.name).write_bytes(VLLM_STAND_IN.read_bytes())
    evaluator = Evaluator(
        Bubblewrap(),
        "tiny_math",
        "vllm",
        catalog.chat_template(catalog.QWEN3_INSTRUCT),
        Limits(memory_bytes=3 * GIB),
        timeout_s=120,
        mounts=(Mount(shown, "/stand_in"),),
        environment={"PATH": "/stand_in:/opt/venv/bin:/usr/bin:/bin"},
    )
    result = evaluator.score(QWEN3, "dev", tmp_path / "out", limit=12)
    assert isinstance(result.outcome, Score), (tmp_path / "out" / "output.log").read_text()[-2000:]
    assert result.outcome.mean > 0.5
    assert "--port" in (tmp_path / "out" / "vllm.log").read_text()


# --- what it is told ----------------------------------------------------------------------------------------


def option(words: tuple[str, ...], name: str) -> str:
    return words[words.index(name) + 1]


def test_each_family_has_its_tool_parser(tmp_path: Path) -> None:
    """Llama 3's needs a token that some of its tokenizers lack; then we read the calls."""
    parsers = [option(arguments(model, Path("t"), 1), "--tool-call-parser") for model in (QWEN3, LLAMA)]
    assert parsers == ["hermes", "hermes"]
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer.json").write_text('{"added_tokens": [{"content": "<|python_tag|>"}]}')
    assert option(arguments(tmp_path, Path("t"), 1), "--tool-call-parser") == "llama3_json"


def test_without_a_gpu_it_computes_in_full_precision() -> None:
    words = arguments(QWEN3, Path("t"), 1)
    assert option(words, "--dtype") == "float32"
    assert "--gpu-memory-utilization" not in words


def test_it_takes_what_the_fullest_of_its_gpus_has_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "0, GPU-aa, 70000, 80000\\n1, GPU-bb, 40000, 80000\\n2, GPU-cc, 8000, 80000"
    folder = program(tmp_path / "bin", "nvidia-smi", f'#!/bin/sh\nprintf "{told}\\n"\n')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-b")
    assert [gpu.index for gpu in seen_gpus()] == ["0", "1"]
    words = arguments(QWEN3, Path("t"), 1)
    assert 0.4 < float(option(words, "--gpu-memory-utilization")) < 0.5
    assert option(words, "--dtype") == "bfloat16"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert seen_gpus() == ()
