"""Each family's architecture, made small and random, decodes in a changing batch as it does alone.

Gemma 3 looks back over a window in some layers, SmolLM3 has layers without positions: a batch that is padded,
joined and thinned out could get either wrong without anybody noticing.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from posttrainbench.engines.capacity import Capacity
from posttrainbench.tinyworld import catalog

VOCABULARY, WINDOW, END = 1280, 12, 1


def config_of(family: str) -> Any:
    import transformers as hf

    shared: dict[str, Any] = {
        **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4},
        **{
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": 512,
        },
        **{"pad_token_id": 0, "eos_token_id": END, "bos_token_id": 2, "tie_word_embeddings": False},
    }
    if family == "smollm3":
        return hf.SmolLM3Config(**shared, no_rope_layer_interval=2)
    if family in ("qwen3", "llama"):
        return {"qwen3": hf.Qwen3Config, "llama": hf.LlamaConfig}[family](**shared)
    layers = ["sliding_attention", "full_attention"] * 2
    text = hf.Gemma3TextConfig(**shared, sliding_window=WINDOW, layer_types=layers)
    if family == "gemma3_text":
        return text
    seeing = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return hf.Gemma3Config(
        text_config=text.to_dict(),
        vision_config={**seeing, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        **{name: shared[name] for name in ("pad_token_id", "eos_token_id", "bos_token_id")},
        tie_word_embeddings=False,
    )


@pytest.mark.parametrize("family", ["qwen3", "smollm3", "llama", "gemma3_text", "gemma3"])
def test_a_family_decodes_together_as_alone(family: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from posttrainbench.engines.decoding import Decoder, Prompt

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(catalog.model_folder(catalog.QWEN3_INSTRUCT))
    model = AutoModelForCausalLM.from_config(config_of(family)).eval().float()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)  # else it says one token for ever
    settings = model.generation_config
    settings.eos_token_id, settings.pad_token_id, settings.do_sample = END, 0, False
    draw = random.Random(1)
    lengths = [3, 45, 7, 20, 3, 45, 20]
    prompts = [tuple(draw.randrange(5, VOCABULARY) for _ in range(length)) for length in lengths]
    limits = [8 + 5 * (n % 5) for n in range(len(prompts))]
    decoder = Decoder(model, tokenizer, Capacity(rows=3, columns=10**6, forward_tokens=60), threads=1)
    answers = [decoder.submit(Prompt(*asked)) for asked in zip(prompts, limits, strict=True)]
    alone = []
    for prompt, limit in zip(prompts, limits, strict=True):
        tokens = torch.tensor([prompt])
        mask = torch.ones_like(tokens)
        with torch.inference_mode():
            out = model.generate(tokens, attention_mask=mask, max_new_tokens=limit, do_sample=False)
        alone.append([token for token in out[0, len(prompt) :].tolist() if token != END])
    assert [answer.result().text for answer in answers] == [tokenizer.decode(t) for t in alone]
    assert all(len(set(tokens)) > len(tokens) // 3 for tokens in alone), "repetition would prove little"
