"""The seven full sets through the real evaluation, against servers with realistic times.

    PTB_DATA=... python perf/seven_sets.py [--speed X] [--json]

`ptb evaluate` runs as a person would run it: all benchmarks together, the evaluated model and the grader each
a scripted server in a process of its own (perf/llm_server.py; how long its completions are and how fast it
is, is made up). Their clocks run `speed` times as fast as ours, so our own overhead weighs that much more.

- ideal: work / capacity, of the slower of the two servers; nothing can be faster;
- paper: the same completions at the paper's schedule (1 in flight for Arena-Hard and HealthBench, 2 for
  GSM8K, 6 for the others, one benchmark after another), simulated with the server's own batching. Time for
  grades is left out, which favours the paper. A few samples of one benchmark are also run at that schedule,
  to see that the simulation tells the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_server import PACES, Batch, Pace
from serving import serving, stats

SETS = ("arena_hard_writing", "healthbench_easy", "aime2025", "gpqa_main", "bfcl", "gsm8k", "humaneval")
PAPER_IN_FLIGHT = {"written": 1, "gsm8k": 2, "gpqa_main": 6, "aime2025": 6, "bfcl": 6, "humaneval": 6}
SAMPLED, SAMPLED_LIMIT = "arena_hard_writing", 6  # measured at one in flight
AT_MOST_IDEAL, AT_LEAST_PAPER = 1.15, 10.0


def evaluate(
    benchmarks: Sequence[str], urls: tuple[str, str], out: Path, *options: str
) -> tuple[list[dict[str, Any]], float, float]:
    """What `ptb evaluate --json` said of each benchmark, its own wall time, and its CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = [sys.executable, "-m", "posttrainbench.cli.main", "evaluate", "--engine", "openai", "--json"]
    argv += ["--benchmark", ",".join(benchmarks), "--model", "scripted", "--base-url", urls[0]]
    argv += ["--grader-url", urls[1], "--grader", "scripted-grader", "--out", str(out), *options]
    grades = {"PTB_GRADER_CACHE": str(out / "grades")}
    done = subprocess.run(argv, env=os.environ | grades, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the evaluation failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(done.stdout)
    documents = told.get("evaluations", [told])
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return documents, documents[0]["wall_s"], cpu_s


def one_after_another_s(lengths: Sequence[int], in_flight: int, pace: Pace) -> float:
    """How long completions of these lengths take with so many in flight, by the server's own batching."""
    batch, left = Batch(pace), list(reversed(lengths))

    def ask() -> None:
        if left:
            batch.add(left.pop() + pace.first_token_steps, ask)

    for _ in range(min(in_flight, len(left))):
        ask()
    while (next_s := batch.next_s()) is not None:
        batch.advance(next_s)
    return batch.now_s


def measure(speed: float, folder: Path) -> dict[str, Any]:
    with serving("model", speed) as model, serving("grader", speed) as grader:
        documents, wall_s, cpu_s = evaluate(SETS, (model, grader), folder / "together")
        asked, graded = stats(model), stats(grader)
        options = ("--in-flight", "1", "--limit", str(SAMPLED_LIMIT))
        few, _, _ = evaluate([SAMPLED], (model, grader), folder / "paper", *options)
        sample = stats(model)
    pace = PACES["model"]
    assert all(document["outcome"]["kind"] == "score" for document in (*documents, *few))
    paper = {
        kind: one_after_another_s(some, PAPER_IN_FLIGHT[kind], pace)
        for kind, some in asked["lengths"].items()
    }
    sampled = sample["lengths"]["written"]
    return {
        "speed": speed,
        "samples": sum(len(some) for some in asked["lengths"].values()),
        "tokens": sum(sum(some) for some in asked["lengths"].values()),
        "grades": sum(len(some) for some in graded["lengths"].values()),
        "ideal_s": max(asked["ideal_s"], graded["ideal_s"]),
        "grader_ideal_s": graded["ideal_s"],
        "wall_s": wall_s * speed,
        "model_busy_s": asked["busy_s"],
        "most_in_flight": asked["most_in_flight"],
        "paper_s": sum(paper.values()),
        "paper_by_kind_s": paper,
        "sampled_at_paper_s": sample["busy_s"],
        "sampled_simulated_s": one_after_another_s(sampled, 1, pace),
        "cpu_s": cpu_s,
        "load": os.getloadavg()[0],
    }


def show(found: dict[str, Any]) -> None:
    to_ideal, to_paper = found["wall_s"] / found["ideal_s"], found["paper_s"] / found["wall_s"]
    print(f"{found['samples']} samples, {found['tokens']} tokens, {found['grades']} grades")
    print(f"(seconds of the servers' clocks, which run {found['speed']:g} times as fast as ours)")
    print(f"{'ideal: work / capacity':44} {found['ideal_s']:9.1f} s")
    print(f"{'all seven together':44} {found['wall_s']:9.1f} s   {to_ideal:.2f} x ideal")
    print(f"{'  of this, the model server had work':44} {found['model_busy_s']:9.1f} s")
    print(f"{'the schedule of the paper, simulated':44} {found['paper_s']:9.1f} s   {to_paper:.1f} x ours")
    print(
        f"{f'{SAMPLED_LIMIT} samples one at a time: measured':44} {found['sampled_at_paper_s']:9.1f} s   "
        f"simulated {found['sampled_simulated_s']:.1f} s"
    )
    print(f"at most {found['most_in_flight']} in flight; CPU of the whole command {found['cpu_s']:.1f} s,")
    print(f"{1000 * found['cpu_s'] / found['samples']:.1f} ms per sample; load {found['load']:.1f}")
    kept = to_ideal <= AT_MOST_IDEAL and to_paper >= AT_LEAST_PAPER
    print(f"aims: at most {AT_MOST_IDEAL} x ideal, at least {AT_LEAST_PAPER:g} x below the paper's: {kept}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.speed, Path(folder))
    found["measured_in_s"] = time.monotonic() - started
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)


if __name__ == "__main__":
    main()
