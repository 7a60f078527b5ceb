"""The program inside an evaluation sandbox that reads a LikelihoodJob and writes result.json beside it.

Usage: python -m posttrainbench.cli.likelihoods_inside JOB.json MODEL
"""

from __future__ import annotations

import sys
from pathlib import Path

from posttrainbench.cli.members import engine_named
from posttrainbench.flows.evaluate import LikelihoodJob, LikelihoodResult
from posttrainbench.protocols import TellsLikelihoods
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic

OTHERWISE = "transformers"  # reads the same folders, wherever an engine tells no likelihoods


def main(job_path: str, model: str) -> None:
    """Answer one job."""
    job = from_json(LikelihoodJob, Path(job_path).read_text(), job_path)
    engine: object = engine_named(job.engine)
    if not isinstance(engine, TellsLikelihoods):
        engine = engine_named(OTHERWISE)
    assert isinstance(engine, TellsLikelihoods)
    told = engine.log_likelihoods(Path(model), job.chat_template, job.exchanges)
    write_atomic(Path(job_path).parent / "result.json", to_json(LikelihoodResult(told)))


if __name__ == "__main__":
    main(*sys.argv[1:])
