"""The program inside an evaluation sandbox: reads a ScoreJob, writes result.json beside it.

Usage: python -m posttrainbench.cli.inside JOB.json MODEL [FILE of a benchmark that comes with its suite]

The paths come as arguments: where nothing isolates, they are the host's, and only arguments are rewritten.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from posttrainbench.cli.members import benchmark_named, engine_named, own_benchmark
from posttrainbench.flows.sample_progress import Progress
from posttrainbench.flows.score import ScoreJob, score
from posttrainbench.stores.codec import from_json, to_json
from posttrainbench.stores.files import write_atomic

RECORDED = ("inspect-ai", "transformers", "torch", "safetensors")


def main(job_path: str, model: str, own_file: str = "") -> None:
    """Answer one job."""
    start_lightly()
    out = Path(job_path).parent
    job = from_json(ScoreJob, Path(job_path).read_text(), job_path)
    versions = tuple(_versions(*RECORDED, *(("vllm",) if job.engine == "vllm" else ())))
    own = replace(job.own, module=own_file) if job.own is not None and own_file else job.own
    benchmark = own_benchmark(own) if own is not None else benchmark_named(job.benchmark)
    engine = engine_named(job.engine)
    result = score(benchmark, engine, job, Path(model), out, _tell, versions)
    write_atomic(out / "result.json", to_json(result))


def _versions(*names: str) -> Iterator[tuple[str, str]]:
    """(package, version) of those that are installed; a program alone on the PATH has none to tell."""
    for name in names:
        with suppress(PackageNotFoundError):
            yield name, version(name)


def start_lightly() -> None:
    """Leave out what an evaluation does not need: for a small model, starting is most of its time."""
    gc.set_threshold(200_000, 20, 100)  # imports make objects that stay: looking for garbage costs a third
    from inspect_ai._util import entrypoints, zipfile
    from inspect_ai.agent._acp import transport

    # Inspect would import every evaluation that any package registers. We name ours ourselves.
    entrypoints._inspect_ai_eps_loaded_all = True
    # Each sample's log would be compressed by twelve threads, started and ended for it, at 3 ms of CPU.
    zipfile._ZSTD_THREADS = 0
    # Each sample would be open to a client who steers agents: tasks and copied events for nobody.
    transport._acp_live_active.set(True)
    os.environ.setdefault("INSPECT_TRACE_LEVEL", "warning")  # a trace file that nobody reads
    os.environ.setdefault("INSPECT_LOG_LEVEL", "error")
    os.environ.setdefault("INSPECT_EVAL_CTL_SERVER", "false")  # nobody steers an evaluation from outside


def _tell(progress: Progress) -> None:
    print(progress.line, flush=True)  # noqa: T201 - read by whoever started the sandbox


if __name__ == "__main__":
    main(*sys.argv[1:])
