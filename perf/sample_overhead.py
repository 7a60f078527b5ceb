"""What our harness costs per sample, in CPU time, at 256 requests in flight; and what scoring GSM8K costs.

    PTB_DATA=... python perf/sample_overhead.py [--json]

The scripted server is a process of its own and answers almost at once, so all the CPU time of this process is
ours and Inspect's: prompts, requests, replies, scores, logs. What an evaluation costs once (imports, loading
the data, the header of the log) is taken off by the difference between a short and a whole evaluation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

from serving import serving

from posttrainbench.cli.inside import start_lightly
from posttrainbench.cli.members import benchmark_named
from posttrainbench.engines.openai import OpenAIEngine, Server
from posttrainbench.flows.score import ScoreJob, score
from posttrainbench.record import Score

SET, FEW = "gsm8k", 256
AT_MOST_MS, SCORING_AT_MOST_S = 5.0, 1.0


def evaluation_cpu_s(url: str, limit: int | None) -> tuple[float, int]:
    """CPU time of an evaluation, and its samples."""
    benchmark, job = benchmark_named(SET), ScoreJob(SET, "test", "openai", "", limit)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        result = score(benchmark, OpenAIEngine(Server(url)), job, Path("scripted"), Path(out))
        spent = time.process_time() - began
    assert isinstance(result.outcome, Score), result.outcome
    return spent, result.outcome.n


def scoring_cpu_s() -> tuple[float, int]:
    """CPU time of the scorer over every test item, answered with its own gold solution."""
    from inspect_ai.model import ModelName, ModelOutput
    from inspect_ai.scorer import Target
    from inspect_ai.solver import TaskState

    benchmark = benchmark_named(SET)
    task, items = benchmark.inspect_task("test"), benchmark.items("test")
    states = [
        TaskState(
            model=ModelName("none/none"),
            sample_id=sample.id or 0,
            epoch=1,
            input=sample.input,
            messages=[],
            target=Target(sample.target),
            output=ModelOutput.from_content("none", f"{item.answer}\n\nANSWER: {item.target}"),
        )
        for sample, item in zip(task.dataset, items, strict=True)
    ]
    (scorer,) = task.scorer or ()

    async def all_of_them() -> None:
        for state in states:
            await scorer(state, state.target)

    began = time.process_time()
    asyncio.run(all_of_them())
    return time.process_time() - began, len(states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    start_lightly()
    with serving("model", speed=1000.0) as url:
        evaluation_cpu_s(url, 16)  # imports
        few_s, few = evaluation_cpu_s(url, FEW)
        whole_s, whole = evaluation_cpu_s(url, None)
    scoring_s, scored = scoring_cpu_s()
    found = {
        "per_sample_ms": 1000 * (whole_s - few_s) / (whole - few),
        "whole_evaluation_cpu_s": whole_s,
        "samples": whole,
        "scoring_cpu_s": scoring_s,
        "scored": scored,
        "load": os.getloadavg()[0],
    }
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{SET}, {whole} samples, 256 in flight: {found['per_sample_ms']:.2f} ms of CPU per sample", end="")
    print(f" (aim: below {AT_MOST_MS:g}); {whole_s:.1f} s for all; load {found['load']:.1f}")
    print(f"scoring {scored} answers: {scoring_s:.2f} s of CPU (aim: below {SCORING_AT_MOST_S:g})")


if __name__ == "__main__":
    main()
