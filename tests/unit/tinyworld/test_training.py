"""The scripted agents' training loop: what carries loss, when it ends, what it leaves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import posttrainbench
from posttrainbench.tinyworld import catalog

PROGRAMS = Path(posttrainbench.__file__).parent / "agents" / "scripted"
BASES = catalog.base_model_names()


@pytest.fixture(autouse=True)
def _programs_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROGRAMS))


@pytest.mark.parametrize("base", BASES)
def test_only_the_answer_and_its_end_of_turn_carry_loss(base: str) -> None:
    import sft

    tokenizer = AutoTokenizer.from_pretrained(catalog.model_folder(base))
    pairs = [
        sft.Pair("Set an alarm.", 'set_alarm(day="Monday", hour=3)'),
        sft.Pair("Hi", "1 + 1 = 2.\n#### 2"),
    ]
    for pair, example in zip(pairs, sft.encode(tokenizer, pairs), strict=True):
        answer = tokenizer.decode(example.ids[example.answer_start :])
        assert answer == pair.answer + catalog.end_of_turn(base)
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": pair.question}], add_generation_prompt=True, tokenize=False
        )
        assert tokenizer.decode(example.ids[: example.answer_start]) == prompt


def test_padding_carries_no_loss() -> None:
    import sft

    tokenizer = AutoTokenizer.from_pretrained(catalog.model_folder(BASES[0]))
    pairs = [sft.Pair("a", "b"), sft.Pair("a much longer question", "and 12 + 30 = 42 for an answer")]
    ids, labels, mask = next(sft.batches(tokenizer, pairs, sft.Recipe(batch_size=2)))
    assert ids.shape == labels.shape == mask.shape
    assert torch.all(labels[mask == 0] == sft.IGNORED)
    assert torch.all(labels[labels != sft.IGNORED] == ids[labels != sft.IGNORED])


def test_training_learns_ends_in_time_and_leaves_a_whole_model(tmp_path: Path) -> None:
    import sft

    model, tokenizer = sft.load(catalog.model_folder(BASES[0]))
    pairs = [sft.Pair(f"Say {word}.", word) for word in ("apples", "red", "Lima", "Monday")]
    begun_s = time.monotonic()
    training = sft.Training(model, tokenizer, pairs, wall_s=2.0, recipe=sft.Recipe(batch_size=4))
    training.step()
    first_loss = training.loss
    while not training.finished:
        training.step()
    assert time.monotonic() - begun_s < 4.0
    assert training.loss < first_loss
    folder = tmp_path / "final_model"
    training.checkpoint(folder)
    training.checkpoint(folder)  # over an older one
    assert [path.name for path in tmp_path.iterdir()] == ["final_model"]
    assert (folder / "model.safetensors").stat().st_size < 4_000_000  # tied embeddings are saved once
    saved = AutoModelForCausalLM.from_pretrained(folder)
    assert saved.dtype == torch.bfloat16
    end = tokenizer.convert_tokens_to_ids(catalog.end_of_turn(BASES[0]))
    assert end in saved.generation_config.eos_token_id
    assert AutoTokenizer.from_pretrained(folder).chat_template == catalog.chat_template(BASES[0])
