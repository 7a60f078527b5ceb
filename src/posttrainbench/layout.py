"""Where each thing lies in a run directory.

RUN/
  spec.json                what the run is asked to be; written once
  suite.json               the suite whose digest the spec names, as it was then; written once
  record.json              link to the newest of records/
  records/K.json           published outcomes; K=1 first, more when a stage was run again; never overwritten
  disputes/                signed notes of people who hold something against a verdict
  ledger.jsonl             what happened, in order, hash-chained
  attempts/N/              all that attempt N wrote
    owner.json             who works on it
    heartbeat              changes while that worker lives
    stages/STAGE.json      what a finished stage left, written last and at once
    logs/                  what the stage's processes printed
    prepared/              the workspace as the agent will find it (stage prepare)
    workspace/             the agent's folder (stage solve), a snapshot from seal on
    home/                  the agent's home folder (stage solve)
    transcript.jsonl       the agent's own stream, time-stamped (stage solve)
    transcript.eval        the same for `inspect view` (made by `ptb show --eval`)
    monitor.jsonl          what the agent's sandbox took of the machine, over time (stage solve)
    downloads/             files that the gateway's hub handed out, but weights (stage solve)
    calls.jsonl.zst        requests and answers of its LLM (stage solve)
    manifest.jsonl         every entry of workspace/ and home/ with its digest (stage seal)
    admitted_model/        what is evaluated (stage admit)
    evaluation/            the Inspect .eval log, result.json (stage evaluate)
    audit/                 findings.json, evidence (stage audit)
      judge/vote-K/        what a judge was asked, and what it replied
    queries/K/             evaluations that the agent asked for (stage solve)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from posttrainbench.record import Stage

FINAL_MODEL = "final_model"  # in the agent's workspace, as the paper names it


@dataclass(frozen=True, slots=True)
class AttemptLayout:
    """The paths of one attempt."""

    root: Path

    @property
    def number(self) -> int:
        return int(self.root.name)

    @property
    def owner(self) -> Path:
        return self.root / "owner.json"

    @property
    def heartbeat(self) -> Path:
        return self.root / "heartbeat"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def prepared(self) -> Path:
        return self.root / "prepared"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def final_model(self) -> Path:
        return self.workspace / FINAL_MODEL

    @property
    def transcript(self) -> Path:
        return self.root / "transcript.jsonl"

    @property
    def transcript_log(self) -> Path:
        return self.root / "transcript.eval"

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"

    @property
    def calls(self) -> Path:
        return self.root / "calls.jsonl.zst"

    @property
    def monitor(self) -> Path:
        return self.root / "monitor.jsonl"

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.jsonl"

    @property
    def admitted_model(self) -> Path:
        return self.root / "admitted_model"

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    def query(self, number: int) -> Path:
        return self.root / "queries" / str(number)

    def stage(self, stage: Stage) -> Path:
        return self.root / "stages" / f"{stage}.json"


@dataclass(frozen=True, slots=True)
class RunLayout:
    """The paths of one run directory."""

    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def suite(self) -> Path:
        return self.root / "suite.json"

    @property
    def record(self) -> Path:
        return self.root / "record.json"

    @property
    def records(self) -> Path:
        return self.root / "records"

    @property
    def disputes(self) -> Path:
        return self.root / "disputes"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.jsonl"

    @property
    def attempts(self) -> Path:
        return self.root / "attempts"

    def attempt(self, number: int) -> AttemptLayout:
        return AttemptLayout(self.attempts / str(number))
