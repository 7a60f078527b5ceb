"""The tiny hub's files: consistent, small, as published, and models that run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from posttrainbench.errors import UnknownName
from posttrainbench.tinyworld import catalog

HUB = catalog.hub_root()
MODELS = (catalog.QWEN3_BASE, catalog.QWEN3_INSTRUCT, catalog.LLAMA_BASE, catalog.LLAMA_INSTRUCT)
DATASETS = (catalog.TINY_CHATTER, catalog.TINY_MATH, catalog.TINY_TOOLS)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_hub_holds_what_the_catalog_names() -> None:
    assert set(catalog.model_names()) == set(MODELS)
    assert set(catalog.dataset_names()) == set(DATASETS)
    assert len(json.loads((HUB / "index.json").read_text())["datasets"][catalog.TINY_MATH]["revisions"]) == 2


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_every_revision_is_a_digest_of_its_files(kind: str) -> None:
    index = json.loads((HUB / "index.json").read_text())[kind]
    for name, entry in index.items():
        assert set(entry["refs"].values()) <= set(entry["revisions"])
        for commit, place in entry["revisions"].items():
            assert re.fullmatch("[0-9a-f]{40}", commit)
            assert place == f"{kind}/{name}/{commit[:12]}"
            files = sorted(path for path in (HUB / place).rglob("*") if path.is_file())
            listing = "".join(
                f"{sha256(path)}  {path.relative_to(HUB / place).as_posix()}\n" for path in files
            )
            assert hashlib.sha1(f"{name}\n{listing}".encode(), usedforsecurity=False).hexdigest() == commit


def test_every_file_has_its_digest_and_nothing_lies_beside() -> None:
    digests = json.loads((HUB / "digests.json").read_text())
    own = {"index.json", "digests.json"}
    found = {path.relative_to(HUB).as_posix(): path for path in HUB.rglob("*") if path.is_file()}
    assert set(found) - own == set(digests)
    assert all(sha256(found[name]) == digest for name, digest in digests.items())


def test_weights_are_small() -> None:
    sizes = [path.stat().st_size for path in HUB.rglob("*.safetensors")]
    assert len(sizes) == len(MODELS)
    assert sum(sizes) < 15e6


@pytest.mark.parametrize("model", MODELS)
def test_a_model_loads_and_answers_in_bfloat16_weights(model: str) -> None:
    torch.set_num_threads(1)
    folder = catalog.model_folder(model)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder)
    assert network.dtype == torch.bfloat16
    assert network.config.tie_word_embeddings
    assert network.num_parameters() <= 1_800_000
    assert not [name for name, tensor in network.named_parameters() if not torch.isfinite(tensor).all()]
    messages = [
        {
            "role": "user",
            "content": "Tom had 4 bags with 3 beads in each bag. How many beads is that in total?",
        }
    ]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    batch = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    output = network.generate(**batch, max_new_tokens=24, do_sample=False)
    answer = tokenizer.decode(output[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer
    if model in catalog.INSTRUCT_SIBLINGS.values():
        assert "#### " in answer


@pytest.mark.parametrize("model", MODELS)
def test_templates_and_special_tokens_are_the_tokenizers_own(model: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(catalog.model_folder(model))
    assert tokenizer.chat_template == catalog.chat_template(model)
    end = tokenizer.convert_tokens_to_ids(catalog.end_of_turn(model))
    assert end in tokenizer.all_special_ids
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert end in tokenizer(chat, add_special_tokens=False)["input_ids"]
    text = "Tools: set_light(room, color)\n\n12 + 30 = 42.\n#### 42 é"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_families_differ_and_siblings_share() -> None:
    assert catalog.chat_template(catalog.QWEN3_BASE) != catalog.chat_template(catalog.LLAMA_BASE)
    for base in catalog.base_model_names():
        (sibling,) = catalog.siblings_of(base)
        ours, theirs = catalog.model_folder(base), catalog.model_folder(sibling)
        assert sha256(ours / "tokenizer.json") == sha256(theirs / "tokenizer.json")
        assert sha256(ours / "model.safetensors") != sha256(theirs / "model.safetensors")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="tiny-llama-base"):
        catalog.model_folder("tinyworld/tiny-lama-base")
    with pytest.raises(UnknownName, match="main"):
        catalog.model_folder(catalog.LLAMA_BASE, "mian")
    with pytest.raises(UnknownName):
        catalog.chat_template("meta/llama")
