"""The transformers engine at real size against a bare `generate` loop: random weights, made on the spot.

    PTB_DATA=... python perf/real_size.py [--size 1.7B|4B|tiny] [--benchmark B] [--limit N] [--repeats N]

For a machine with a GPU. Nothing is downloaded: the weights are random, in the shape of Qwen3's published
configurations, and the tokenizer is the embedded world's, so the text is nonsense and as long as its limit.
That is the same work for both sides. `tiny` only shows that this program runs, on any machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from engine_vs_generate import measure, show

from posttrainbench.cli.inside import start_lightly
from posttrainbench.tinyworld import catalog

SHAPES = {  # Qwen3's published configurations
    "1.7B": {
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
    },
    "4B": {
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
    },
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 16},
}
VOCABULARY = 151_936


def make(size: str, folder: Path) -> None:
    """A model folder with random weights."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    embedded = catalog.model_folder(catalog.QWEN3_INSTRUCT)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if (embedded / name).is_file():
            shutil.copy(embedded / name, folder / name)
    shape = SHAPES[size] | {"vocab_size": 4096 if size == "tiny" else VOCABULARY}
    config = Qwen3Config(
        **shape,
        num_key_value_heads=8,
        head_dim=16 if size == "tiny" else 128,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen3ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    shutil.copy(embedded / "generation_config.json", folder / "generation_config.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SHAPES, default="1.7B")
    parser.add_argument("--benchmark", default="tiny_math")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=2)
    asked = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    start_lightly()
    with tempfile.TemporaryDirectory() as folder:
        make(asked.size, Path(folder))
        template = (Path(folder) / "chat_template.jinja").read_text()
        found = measure(Path(folder), template, asked.benchmark, asked.limit, asked.repeats)
    show(found | {"model": f"random Qwen3 {asked.size}"})
    for pair in found["pairs"]:
        rates = {side: found["samples"] / pair[side]["wall_s"] for side in ("loop", "evaluation")}
        print(f"samples/s: loop {rates['loop']:.2f}, evaluation {rates['evaluation']:.2f}")


if __name__ == "__main__":
    main()
