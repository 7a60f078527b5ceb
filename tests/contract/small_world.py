"""A hub with a handful of small files, and a gateway over it, for tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posttrainbench.budget import Budget, Spend
from posttrainbench.gateways.interceptor import Internet
from posttrainbench.gateways.policy import Protected
from posttrainbench.gateways.socket_gateway import RELAY, Llm, Patience, RunningSocketGateway, SocketGateway
from posttrainbench.protocols import EvaluationAnswer, GatewayJob, OverlapAnswer
from posttrainbench.sandboxes.unisolated import on_host
from posttrainbench.task import ModelRef, Policy, Rules, Task

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train.jsonl
  - split: test
    path: data/test.jsonl
---
# Word problems
"""
WEIGHTS_BYTES = 3_000_000


def rows(split: str, count: int = 20) -> bytes:
    return "".join(
        json.dumps({"question": f"{split} question {i}", "answer": f"#### {i}"}) + "\n" for i in range(count)
    ).encode()


def make_hub(root: Path) -> Path:
    """A hub folder with two models and three data sets."""
    index: dict[str, dict[str, Any]] = {"models": {}, "datasets": {}}
    math = {"README.md": CARD.encode(), "data/train.jsonl": rows("train"), "data/test.jsonl": rows("test")}
    repositories = [
        ("models", "w/tiny-base", {"config.json": b"{}", "model.safetensors": os.urandom(WEIGHTS_BYTES)}),
        ("models", "w/tiny-instruct", {"config.json": b"{}", "model.safetensors": b"instruct"}),
        ("datasets", "w/math", math),
        ("datasets", "w/chatter", {"data/train.jsonl": rows("chatter")}),
        ("datasets", "w/other", {"data/train.jsonl": rows("other")}),
    ]
    for number, (group, name, files) in enumerate(repositories):
        commit = f"{number + 1:040x}"
        folder = root / group / name / commit[:12]
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        revisions = {commit: str(folder.relative_to(root))}
        index[group][name] = {"refs": {"main": commit}, "revisions": revisions}
    (root / "index.json").write_text(json.dumps(index))
    (root / "secret.txt").write_text("not in any repository")
    return root


def score_everything(path: str) -> EvaluationAnswer:
    if path == "no_model":
        return EvaluationAnswer(None, None, None, "no_model holds no weights")
    return EvaluationAnswer(0.412, 0.049, 100)


@dataclass
class World:
    """A gateway that listens, and the ledger entries that it wrote."""

    job: GatewayJob
    gateway: RunningSocketGateway
    entries: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def requests(self, **wanted: object) -> list[dict[str, Any]]:
        found = [data for kind, data in self.entries if kind == "request"]
        return [data for data in found if all(data[name] == value for name, value in wanted.items())]

    def evaluations(self) -> list[dict[str, Any]]:
        return [data for kind, data in self.entries if kind == "evaluation"]

    def connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(20)
        peer.connect(str(self.job.socket))
        return peer

    def send(self, raw: bytes) -> bytes:
        """All that comes back on a connection of its own until the gateway closes it."""
        with self.connect() as peer:
            try:
                peer.sendall(raw)
                peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it may have hung up in the middle: what it said before is what we want
            return read_all(peer)

    def wait_for(self, condition: Callable[[], object], wall_s: float = 10) -> None:
        until_s = time.monotonic() + wall_s
        while not condition():
            assert time.monotonic() < until_s, "it never came to pass"
            time.sleep(0.01)

    def relayed(self, *command: str) -> list[str]:
        """The argv that runs `command` behind the relay, as a sandbox would."""
        return [sys.executable, "-I", "-S", str(RELAY), "--socket", str(self.job.socket), "--", *command]

    def run(
        self, *command: str, home: Path, cwd: Path | None = None, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.relayed(*command),
            env=self.environment(home),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def environment(self, home: Path) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        door = self.gateway.door
        told = {name: on_host(value, door.mounts) for name, value in door.environment.items()}
        return {"PATH": path, "HOME": str(home), "PYTHONUNBUFFERED": "1", **told}


def read_all(peer: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            data = peer.recv(1 << 16)
        except ConnectionError:
            return received
        if not data:
            return received
        received += data


@contextmanager
def open_world(
    policy: Policy,
    hub: Path,
    evaluate: Callable[[str], EvaluationAnswer] = score_everything,
    max_queries: int | None = None,
    patience: Patience | None = None,
    task: Task | None = None,
    protected: Protected | None = None,
    internet: Internet | None = None,
    llm: Llm | None = None,
    budget: Budget | None = None,
    calls: Path | None = None,
    check_overlap: Callable[[str], OverlapAnswer] | None = None,
    spent: Spend | None = None,
    plant: Callable[[bytes], bytes] | None = None,
) -> Iterator[World]:
    rules = Rules(policy, max_queries=max_queries, allowed_datasets=("w/chatter",))
    task = task or Task(ModelRef("w/tiny-base"), "math", budget or Budget(60), rules)
    protected = protected or Protected("w/math", ("data/test.jsonl",))
    entries: list[tuple[str, dict[str, Any]]] = []
    with tempfile.TemporaryDirectory(prefix="gw-") as short:
        job = GatewayJob(
            Path(short) / "gateway.sock",
            policy,
            task,
            evaluate,
            lambda kind, data: entries.append((kind, dict(data))),
            calls,
            spent or Spend(),
            plant,
            check_overlap=check_overlap,
        )
        gateway = SocketGateway({task.benchmark: protected}, hub, patience, internet=internet, llm=llm).open(
            job
        )
        try:
            yield World(job, gateway, entries)
        finally:
            gateway.close()
