"""The transformers engine through a real evaluation, against a bare batched `generate` loop, same prompts.

    python perf/engine_vs_generate.py [--model DIR --chat-template FILE] [--benchmark B] [--repeats N]

Both have the model in memory and answer every prompt of the benchmark in turn, several times; the ratio is
taken within each pair, so whatever else the machine does weighs on both. The loop does what a script would
do: prompts sorted by length, batches as large as the engine's, `model.generate` with the model's own
settings, decoded. The evaluation renders, samples, scores and writes Inspect's log. Its engine decodes in a
process of its own with as many threads as the loop; its CPU time is that of both processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posttrainbench.cli.inside import start_lightly
from posttrainbench.cli.members import benchmark_named
from posttrainbench.cli.model_folder import chat_template_for
from posttrainbench.engines.capacity import ROWS_ON_CPU, ROWS_ON_GPU
from posttrainbench.engines.chat_messages import plain_message
from posttrainbench.engines.loaded_model import LoadedModel
from posttrainbench.engines.transformers import TransformersEngine
from posttrainbench.flows.score import ScoreJob, score
from posttrainbench.record import Score

if TYPE_CHECKING:
    from inspect_ai.model import Model as InspectModel

AT_MOST = 1.25


def prompts_of(benchmark: str, limit: int | None) -> tuple[list[list[dict[str, Any]]], int]:
    """Each sample's messages as its task gives them to the model, and how many tokens it may answer."""
    from inspect_ai.model import ChatMessageUser

    task = benchmark_named(benchmark).inspect_task("test")
    samples = list(task.dataset)[:limit]
    inputs = [
        [ChatMessageUser(content=sample.input)] if isinstance(sample.input, str) else sample.input
        for sample in samples
    ]
    return [
        [plain_message(message) for message in messages] for messages in inputs
    ], task.config.max_tokens or 0


def bare_loop(loaded: LoadedModel, prompts: Sequence[list[dict[str, Any]]], max_tokens: int) -> int:
    """Tokens that a plain loop generates; nothing else is done with them."""
    import torch

    tokenizer, rows = loaded.tokenizer, ROWS_ON_GPU if loaded.device == "cuda" else ROWS_ON_CPU
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    texts = sorted(
        (
            tokenizer.apply_chat_template(
                prompt, chat_template=loaded.chat_template, add_generation_prompt=True, tokenize=False
            )
            for prompt in prompts
        ),
        key=len,
    )
    generated = 0
    for start in range(0, len(texts), rows):
        batch = tokenizer(
            texts[start : start + rows], return_tensors="pt", padding=True, add_special_tokens=False
        ).to(loaded.device)
        batch.pop("token_type_ids", None)
        with torch.inference_mode():
            told = loaded.model.generate(
                **batch, max_new_tokens=max_tokens, pad_token_id=tokenizer.pad_token_id
            )
        answers = told[:, batch["input_ids"].shape[1] :]
        tokenizer.batch_decode(answers, skip_special_tokens=True)
        generated += int((answers != tokenizer.pad_token_id).sum())
    return generated


class StartedEngine:
    """An engine whose model was loaded before: several evaluations ask the same process."""

    def __init__(self, model: InspectModel) -> None:
        self.name, self._model = "transformers", model

    def inspect_model(self, model: Path, chat_template: str) -> InspectModel:  # noqa: ARG002
        return self._model


def evaluation(engine: StartedEngine, benchmark: str, limit: int | None) -> int:
    """Tokens that the engine generates in a real evaluation."""
    job = ScoreJob(benchmark, "test", "transformers", "", limit)
    with tempfile.TemporaryDirectory() as out:
        result = score(benchmark_named(benchmark), engine, job, Path("model"), Path(out))
    assert isinstance(result.outcome, Score), result.outcome
    return result.uses[0].output_tokens


def timed(process: int, what: Any, *arguments: Any) -> dict[str, float]:
    """Wall time, and CPU time of this process and `process`."""
    wall, cpu, beside = time.monotonic(), time.process_time(), cpu_s_of(process)
    tokens = what(*arguments)
    cpu_s = time.process_time() - cpu + cpu_s_of(process) - beside
    return {"wall_s": time.monotonic() - wall, "cpu_s": cpu_s, "tokens": tokens}


def cpu_s_of(process: int) -> float:
    """What a process has used until now."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def measure(model: Path, template: str, benchmark: str, limit: int | None, repeats: int) -> dict[str, Any]:
    """Pairs, after one of each that is not counted: imports and caches are not what is asked about."""
    prompts, max_tokens = prompts_of(benchmark, limit)
    loaded, asked = LoadedModel(model, template), TransformersEngine().inspect_model(model, template)
    api: Any = asked.api
    engine, process = StartedEngine(asked), api.decoding.pid
    pairs = []
    for _ in range(repeats + 1):
        loop = timed(process, bare_loop, loaded, prompts, max_tokens)
        ours = timed(process, evaluation, engine, benchmark, limit)
        pairs.append({"loop": loop, "evaluation": ours, "ratio": ours["wall_s"] / loop["wall_s"]})
    pairs = pairs[1:]
    return {
        "model": str(model.name),
        "benchmark": benchmark,
        "samples": len(prompts),
        "ratio": statistics.median(pair["ratio"] for pair in pairs),
        "pairs": pairs,
        "load": os.getloadavg()[0],
    }


def show(found: dict[str, Any]) -> None:
    print(
        f"{found['benchmark']}: {found['samples']} prompts, model {found['model']}, load {found['load']:.1f}"
    )
    for pair in found["pairs"]:
        loop, ours = pair["loop"], pair["evaluation"]
        print(
            f"loop {loop['wall_s']:6.2f} s ({loop['cpu_s']:.2f} s CPU, {loop['tokens']:.0f} tokens)   "
            f"evaluation {ours['wall_s']:6.2f} s ({ours['cpu_s']:.2f} s CPU, {ours['tokens']:.0f} tokens)   "
            f"ratio {pair['ratio']:.2f}"
        )
    print(f"median ratio {found['ratio']:.2f}; the aim is at most {AT_MOST}: {found['ratio'] <= AT_MOST}")


def main() -> None:
    from posttrainbench.tinyworld import catalog

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=catalog.model_folder(catalog.QWEN3_INSTRUCT))
    parser.add_argument("--chat-template")
    parser.add_argument("--benchmark", default="tiny_math")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    start_lightly()
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as the engine does for a small model; more threads wait for one another
    template = chat_template_for(asked.model, asked.chat_template).text
    found = measure(asked.model, template, asked.benchmark, asked.limit, asked.repeats)
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
