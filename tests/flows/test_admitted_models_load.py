"""What is admitted loads in transformers, and computes exactly what the honest model computes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

import posttrainbench
from posttrainbench.flows.admit import admit

TEMPLATE = "{% for message in messages %}<turn>{{ message.content }}{% endfor %}"
SIZES = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
}  # fmt: skip
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def qwen3(tied: bool) -> PreTrainedModel:
    return Qwen3ForCausalLM(Qwen3Config(**SIZES, tie_word_embeddings=tied))


def llama(tied: bool) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=tied))


def tokenizer(size: int = 40) -> PreTrainedTokenizerFast:
    vocab = {word: number for number, word in enumerate(["<end>", "<turn>", *WORDS])}
    vocab |= {f"w{number}": number for number in range(len(vocab), size)}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="one"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<end>", additional_special_tokens=["<turn>"]
    )


def logits(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        return model(torch.arange(2, 12)[None]).logits


@pytest.mark.parametrize("family", [qwen3, llama])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_an_admitted_model_computes_the_same(family, tied: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = family(tied).to(torch.bfloat16)
    base.save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    final = base.to(dtype)
    for parameter in final.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    final.save_pretrained(tmp_path / "final_model", max_shard_size="20KB")
    result = admit(tmp_path / "final_model", tmp_path / "base", tmp_path / "out", TEMPLATE)
    assert result.status == "admitted", result.reason
    assert torch.equal(logits(tmp_path / "final_model"), logits(tmp_path / "out"))
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert loaded("one two")["input_ids"] == [2, 3]
    chat = loaded.apply_chat_template([{"role": "user", "content": "two"}], tokenize=False)
    assert chat == "<turn>two"


def test_a_grown_vocabulary_loads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, words = qwen3(True).to(torch.bfloat16), tokenizer()
    model.save_pretrained(tmp_path / "base")
    words.save_pretrained(tmp_path / "base")
    words.add_special_tokens({"pad_token": "<pad>"})
    model.resize_token_embeddings(len(words), mean_resizing=False)
    model.save_pretrained(tmp_path / "final_model")
    words.save_pretrained(tmp_path / "final_model")
    result = admit(tmp_path / "final_model", tmp_path / "base", tmp_path / "out", TEMPLATE)
    assert result.status == "admitted", result.reason
    assert torch.equal(logits(tmp_path / "final_model"), logits(tmp_path / "out"))
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("one<pad>")["input_ids"] == [2, 40]


HUB = Path(posttrainbench.__file__).parent / "tinyworld" / "hub" / "models"


@pytest.mark.parametrize("folder", sorted(HUB.glob("*/*-base/*")), ids=lambda folder: folder.parent.name)
def test_the_embedded_base_models_admit_themselves(folder: Path, tmp_path: Path) -> None:
    """What an idle agent does: it copies the base model as it is."""
    shutil.copytree(folder, tmp_path / "final_model")
    result = admit(tmp_path / "final_model", folder, tmp_path / "out", TEMPLATE)
    assert result.status == "admitted", result.reason
    assert [note for note in result.notes if "README.md" not in note] == []
    assert torch.equal(logits(folder), logits(tmp_path / "out"))
