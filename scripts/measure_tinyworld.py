"""Measures the embedded world: what its models score before and after fine-tuning.

    python scripts/measure_tinyworld.py                         everything: about 25 minutes on one core
    python scripts/measure_tinyworld.py --model llama --results build/llama.jsonl
    python scripts/measure_tinyworld.py --table build/*.jsonl   only the table, of results that exist

Greedy decoding on the sealed test items. A fine-tune of "60 s" is the scripted honest agent's recipe within
a budget of 60 s, of which OVERHEAD_S go to imports, loading and saving. Training time is counted in seconds
of one core, so that a busy machine measures the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "src/posttrainbench/agents/scripted")]

import sft  # noqa: E402

from posttrainbench.scoring import final_answer, tool_call  # noqa: E402
from posttrainbench.tinyworld import catalog, world  # noqa: E402
from posttrainbench.tinyworld.items import Item  # noqa: E402

BASES = {"qwen3": catalog.QWEN3_BASE, "llama": catalog.LLAMA_BASE}
BUDGETS_S = (20, 30, 60)
OVERHEAD_S = 10
SEEDS = (0, 1, 2)
SHOTS = 3
BATCH = 100

Complete = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Rules:
    """How a benchmark's completions are scored and how long they may get."""

    is_correct: Callable[[str, str], bool]
    max_new_tokens: int


RULES = {
    "tiny_math": Rules(final_answer.is_correct, 96),
    "tiny_tools": Rules(tool_call.is_correct, 64),
}


@dataclass(frozen=True)
class Result:
    """One measured model on one benchmark: accuracies in [0, 1]."""

    model: str
    benchmark: str
    condition: str
    seed: int
    familiar: float
    novel: float
    steps: int = 0


@torch.inference_mode()
def complete(
    model: Any, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int, stop: str | None = None
) -> list[str]:
    """Greedy completions, up to the end of a turn or of the text, or to `stop`."""
    model.eval()
    ends = [sft.end_of_turn_id(tokenizer), tokenizer.eos_token_id]
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        batch = tokenizer(
            [prompts[at] for at in chosen],
            return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False,
        )  # fmt: skip
        output = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=tokenizer.pad_token_id,
            stop_strings=[stop] if stop else None,
            tokenizer=tokenizer,
        )
        for at, row in zip(chosen, output[:, batch["input_ids"].shape[1] :], strict=True):
            texts[at] = tokenizer.decode(row, skip_special_tokens=True)
    return texts


def chat_prompt(tokenizer: Any, question: str) -> str:
    """The question in the chat format, ready for the answer."""
    message = [{"role": "user", "content": question}]
    return str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))


def few_shot_prompt(tokenizer: Any, benchmark: world.Benchmark, question: str) -> str:
    """SHOTS train items in plain text, no chat format, then the question."""
    shown = world.train_items(benchmark)[:SHOTS]
    examples = "".join(f"{item.question}\n{item.answer}\n\n" for item in shown)
    return f"{tokenizer.bos_token or ''}{examples}{question}\n"


def accuracy(items: Sequence[Item], texts: Sequence[str], rules: Rules, novel: bool) -> float:
    """The share of right answers among the novel, or the familiar, items."""
    right = [
        rules.is_correct(text, item.target)
        for item, text in zip(items, texts, strict=True)
        if item.novel == novel
    ]
    return sum(right) / len(right)


def measure(name: str, benchmark: world.Benchmark, seeds: Sequence[int]) -> Iterator[Result]:
    """Every condition of one family on one benchmark."""
    items = [item for item in world.test_items(benchmark) if item.split == "sealed"]
    rules = RULES[benchmark]
    base = catalog.model_folder(BASES[name])

    def result(model: Any, tokenizer: Any, condition: str, seed: int = 0, steps: int = 0) -> Result:
        plain = condition == "few-shot"  # no token ends a turn in plain text: an empty line does
        if plain:
            prompts = [few_shot_prompt(tokenizer, benchmark, item.question) for item in items]
        else:
            prompts = [chat_prompt(tokenizer, item.question) for item in items]
        texts = complete(model, tokenizer, prompts, rules.max_new_tokens, stop="\n\n" if plain else None)
        if plain:
            texts = [text.strip().split("\n\n")[0] for text in texts]
        familiar, novel = (accuracy(items, texts, rules, novel) for novel in (False, True))
        return Result(name, benchmark, condition, seed, familiar, novel, steps)

    yield result(*sft.load(base), "zero-shot")
    yield result(*sft.load(base), "few-shot")
    for sibling in catalog.siblings_of(BASES[name]):
        yield result(*sft.load(catalog.model_folder(sibling)), "instruct")
    pairs = [sft.Pair(item.question, item.answer) for item in world.train_items(benchmark)]
    for seed in seeds:
        for budget_s in BUDGETS_S:
            model, tokenizer = sft.load(base)
            train_s = budget_s - OVERHEAD_S
            training = sft.Training(
                model, tokenizer, pairs, train_s, sft.Recipe(seed=seed), clock=time.process_time
            )
            while not training.finished:
                training.step()
            yield result(model, tokenizer, f"{budget_s} s", seed, training.steps)


CONDITIONS = ("zero-shot", "few-shot", *(f"{budget_s} s" for budget_s in BUDGETS_S), "instruct")


def table(results: Sequence[Result]) -> str:
    """The Markdown table: points out of 100, mean over seeds ± sample standard deviation."""
    lines = [
        f"| model | benchmark | content | {' | '.join(CONDITIONS)} | format's share of the 60 s gain |",
        "|" + "---|" * (len(CONDITIONS) + 4),
    ]
    for model, benchmark in sorted({(one.model, one.benchmark) for one in results}, reverse=True):
        for content in ("familiar", "novel"):
            scores = {
                condition: [
                    100 * float(getattr(one, content))
                    for one in results
                    if (one.model, one.benchmark, one.condition) == (model, benchmark, condition)
                ]
                for condition in CONDITIONS
            }
            cells = " | ".join(_cell(scores[condition]) for condition in CONDITIONS)
            lines.append(f"| {model} | {benchmark} | {content} | {cells} | {_format_share(scores)} |")
    return "\n".join(lines)


def _cell(scores: Sequence[float]) -> str:
    if not scores:
        return "not measured"
    spread = f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.1f}{spread}"


def _format_share(scores: dict[str, list[float]]) -> str:
    """(few-shot - zero-shot) / (fine-tuned - zero-shot), or a dash where there is no gain to share."""
    if not (scores["zero-shot"] and scores["few-shot"] and scores["60 s"]):
        return "not measured"
    zero = statistics.mean(scores["zero-shot"])
    gain = statistics.mean(scores["60 s"]) - zero
    return f"{(statistics.mean(scores['few-shot']) - zero) / gain:.2f}" if gain > 0 else "-"


def main() -> None:
    """Measures what was asked for, one line of results after another, then prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="+", choices=list(BASES), default=list(BASES))
    parser.add_argument("--benchmark", nargs="+", choices=world.BENCHMARKS, default=list(world.BENCHMARKS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS), help="none: no fine-tunes")
    parser.add_argument("--results", type=Path, default=ROOT / "build/measured.jsonl")
    parser.add_argument(
        "--table", nargs="+", type=Path, help="print the table of these result files, measure nothing"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.table:
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text("")
        for name in arguments.model:
            for benchmark in arguments.benchmark:
                for one in measure(name, benchmark, arguments.seeds):
                    print(one, flush=True)
                    with arguments.results.open("a") as stream:
                        stream.write(json.dumps(asdict(one)) + "\n")
    paths = arguments.table or [arguments.results]
    print(table([Result(**json.loads(line)) for path in paths for line in path.read_text().splitlines()]))


if __name__ == "__main__":
    main()
