"""`ptb evaluate --benchmark B --model DIR`: one's own model, its score, and what is missing said at once."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from posttrainbench.benchmarks.gsm8k import Gsm8k
from posttrainbench.cli.base_models import chat_template_of
from posttrainbench.cli.evaluate import Asked, evaluate
from posttrainbench.cli.model_folder import chat_template_for, check_model
from posttrainbench.errors import SetupError, UnknownName
from posttrainbench.stores.samples import read_samples
from posttrainbench.suites import load_suite
from posttrainbench.task import ModelRef
from posttrainbench.templates.families import chat_template, family_of
from posttrainbench.tinyworld import catalog

MODEL = catalog.model_folder(catalog.QWEN3_INSTRUCT)


def test_a_model_on_disk_gets_a_score_its_error_its_log_and_its_samples(tmp_path: Path, capsys) -> None:
    asked = Asked("tiny_math", MODEL, split="dev", limit=8, sandbox="none", out=tmp_path)
    evaluate(asked, as_json=True)
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["outcome"]["kind"] == "score"
    assert found["outcome"]["mean"] > 0.5, "the instruct model knows its world"
    assert found["outcome"]["stderr"] is not None
    assert found["outcome"]["n"] == 8
    assert "tiny_math: 8 of 8 samples" in captured.err
    (use,) = found["uses"]
    assert use["output_tokens"] > 0
    assert use["cost_usd"] is None
    samples = read_samples(Path(found["folder"]))
    assert sum(sample.value for sample in samples) / 8 == pytest.approx(found["outcome"]["mean"])
    from inspect_ai.log import read_eval_log

    log = read_eval_log(found["log"])
    assert log.status == "success"
    assert len(log.samples or []) == 8


def test_a_model_that_cannot_be_loaded_ends_without_a_number(tmp_path: Path, capsys) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(MODEL, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(SystemExit) as ended:
        evaluate(Asked("tiny_math", broken, limit=2, sandbox="none", out=tmp_path / "out"), as_json=False)
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "no score" in printed
    assert "%" not in printed


def test_each_evaluation_has_a_folder_of_its_own(tmp_path: Path) -> None:
    from posttrainbench.cli.evaluate import _new_folder

    asked = Asked("tiny_math", MODEL, out=tmp_path)
    assert _new_folder(asked) != _new_folder(asked)


def test_names_that_nobody_knows_get_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'test'"):
        evaluate(Asked("tiny_math", MODEL, split="tset", out=tmp_path), as_json=False)
    with pytest.raises(UnknownName, match="did you mean 'transformers'"):
        evaluate(Asked("tiny_math", MODEL, engine="transformer", out=tmp_path), as_json=False)
    with pytest.raises(UnknownName, match="did you mean 'tiny_math'"):
        evaluate(Asked("tiny_maths", MODEL, out=tmp_path), as_json=False)


def test_missing_data_are_said_with_the_command_that_brings_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PTB_DATA", str(tmp_path / "none"))
    with pytest.raises(SetupError, match="ptb data import"):
        evaluate(Asked("gsm8k", MODEL, out=tmp_path), as_json=False)
    assert not list(tmp_path.iterdir()), "nothing was made before"


def test_what_is_no_model_is_said_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="hf download"):
        check_model(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").touch()
    with pytest.raises(SetupError, match=r"config\.json, \*\.safetensors not found"):
        check_model(tmp_path)
    (tmp_path / "adapter_config.json").touch()
    with pytest.raises(SetupError, match="merge it"):
        check_model(tmp_path)
    check_model(MODEL)


def test_a_chat_template_is_the_models_own_or_the_one_that_was_given(tmp_path: Path) -> None:
    assert chat_template_for(MODEL, None).text == catalog.chat_template(catalog.QWEN3_INSTRUCT)
    with pytest.raises(SetupError, match="--chat-template"):
        chat_template_for(tmp_path, None)
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert chat_template_for(tmp_path, None).text == "{{ messages }}"
    (tmp_path / "mine.jinja").write_text("mine")
    given = chat_template_for(MODEL, str(tmp_path / "mine.jinja"))
    assert (given.text, given.source) == ("mine", str(tmp_path / "mine.jinja"))
    assert chat_template_for(MODEL, "gemma3").text == chat_template("gemma3")
    with pytest.raises(SetupError, match="cannot read"):
        chat_template_for(MODEL, str(tmp_path / "gone.jinja"))


def test_a_suites_base_model_decides_the_chat_template() -> None:
    for model in load_suite("ptb-v1.0").base_models:
        assert chat_template_of(model) == chat_template(family_of(model.hub_id))
    assert chat_template_of(ModelRef(catalog.LLAMA_BASE)) == catalog.chat_template(catalog.LLAMA_BASE)
    assert chat_template_of(ModelRef("own/model", "main", "llama3")) == chat_template("llama3")
    with pytest.raises(SetupError, match="chat_template = 'qwen3' or"):
        chat_template_of(ModelRef("own/model"))


def long_context_model(folder: Path) -> Path:
    """A shipped model that says it can read long prompts: not well, but it answers."""
    shutil.copytree(MODEL, folder)
    for name, key in (
        ("config.json", "max_position_embeddings"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**settings, key: 8192}))
    return folder


@pytest.mark.slow
def test_gsm8k_as_a_person_types_it_and_nothing_of_the_items_is_printed(
    tmp_path: Path, with_real_data: Path
) -> None:
    """Also: Inspect's viewer opens the log."""
    model = long_context_model(tmp_path / "mine")
    typed = ("evaluate", "--benchmark", "gsm8k", "--engine", "transformers", "--model", str(model))
    ended = subprocess.run(
        [sys.executable, "-m", "posttrainbench.cli.main", *typed, "--limit", "8", "--sandbox", "none"],
        capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, "no score"
    assert "gsm8k: 8 of 8 samples" in ended.stderr
    assert re.search(r"gsm8k, test, 8 of 1319 items: \d+\.\d% ± \d+\.\d \(standard error\)", ended.stdout)
    assert "the evaluated model: " in ended.stdout
    assert "no cost" in ended.stdout
    (log,) = (tmp_path / "evaluations").glob("*/*.eval")
    assert str(log) in ended.stdout
    assert str(log.parent) in ended.stdout.split("inspect view start --log-dir ")[1]
    printed = ended.stdout + ended.stderr
    shown = sum(
        _told(text, printed) for item in Gsm8k().items("test") for text in (item.question, item.answer)
    )
    assert shown == 0, "a test item was printed"  # a number: the message must not hold the item itself
    assert _opened_by_the_viewer(log) == "success"


def _told(text: str, printed: str) -> bool:
    """Whether some sentence of `text` was printed."""
    flat = " ".join(printed.split())
    sentences = (" ".join(sentence.split()) for sentence in re.split(r"(?<=[.?!])\s|\n", text))
    return any(len(sentence) >= 20 and sentence in flat for sentence in sentences)


def _opened_by_the_viewer(log: Path) -> str:
    """The status that Inspect's viewer shows of a log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "inspect_ai", "view", "start", "--log-dir", str(log.parent)]
    viewer = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                assert client.get("/").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the viewer does not answer"
                time.sleep(0.2)
        (listed,) = client.get("/api/logs").json()["files"]
        (header,) = client.get("/api/log-headers", params={"file": listed["name"]}).json()
        return str(header["status"])
    finally:
        client.close()
        viewer.terminate()
        viewer.wait(timeout=20)
