"""The program inside an evaluation sandbox: reads a ScoreJob, writes result.json beside the log.

Usage: python -m posttrainbench.cli.inside JOB.json
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

from posttrainbench.cli.members import benchmark_named, engine_named
from posttrainbench.flows.score import ScoreJob, ScoreResult, score
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic

RECORDED = ("inspect-ai", "transformers", "torch", "safetensors")


def main(job_path: str) -> None:
    """Answer one job."""
    job = from_json(ScoreJob, Path(job_path).read_text(), job_path)
    out = Path(job.out)
    benchmark, engine = benchmark_named(job.benchmark), engine_named(job.engine)
    outcome = score(benchmark, engine, Path(job.model), job.chat_template, job.split, out)
    result = ScoreResult(outcome, tuple((name, version(name)) for name in RECORDED))
    write_atomic(out / "result.json", to_json(result))


if __name__ == "__main__":
    main(sys.argv[1])
