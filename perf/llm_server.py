"""An OpenAI-compatible server that takes the time a real one would take, and no more CPU than it must.

    python perf/llm_server.py model|grader [--speed X]

It prints its address and serves until its standard input closes. A completion's length is drawn from its
request's digest, so the same requests mean the same work in every run. `model` decodes as a GPU does: all
streams in a batch take each step together, a step takes longer the more there are, and beyond 256 they wait.
`grader` is an API: each stream at the same pace, up to 1,000 at once. `GET /stats` tells the work done.

Lengths and times are made up, in the shape of a small reasoning model on one H100 and of a small hosted one.
Nobody measured them; a ratio of two schedules depends on them only a little.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import heapq
import json
import math
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SPREAD = 0.5  # of the logarithm of a length


@dataclass(frozen=True)
class Pace:
    """How fast a server decodes: a step gives every stream in the batch one token."""

    places: int  # streams in a batch; more wait
    step_s: float  # with one stream
    step_more_s: float  # for each further stream
    first_token_steps: int  # a prompt takes as long as so many tokens

    def step_with(self, streams: int) -> float:
        """Seconds per step with so many streams."""
        return self.step_s + self.step_more_s * max(0, streams - 1)

    def ideal_s(self, steps: float) -> float:
        """Work divided by capacity: as if every place were taken all the time."""
        return steps * self.step_with(self.places) / self.places


PACES = {
    "model": Pace(places=256, step_s=0.006, step_more_s=0.000043, first_token_steps=20),  # 17 ms when full
    "grader": Pace(places=1000, step_s=0.010, step_more_s=0.0, first_token_steps=100),
}
MEAN_TOKENS = {  # of a completion, before the request's own limit
    "aime2025": 12_000,
    "gpqa_main": 5_000,
    "gsm8k": 1_000,
    "humaneval": 1_500,
    "written": 1_500,  # Arena-Hard and HealthBench
    "bfcl": 300,
    "criterion": 500,
    "comparison": 1_200,
}


def kind_of(body: Mapping[str, Any]) -> str:
    """Which benchmark, or which question to a grader, a request belongs to, by its form."""
    limit, asked = body.get("max_tokens"), str(body["messages"][-1]["content"])
    if limit is None:
        return "criterion" if "criteria_met" in asked else "comparison"
    if "tools" in body:
        return "bfcl"
    if limit == 4000:
        return "gsm8k" if body["messages"][0]["role"] == "system" else "humaneval"
    if limit == 16_384:
        return "written"
    return "gpqa_main" if "multiple choice" in asked else "aime2025"


def tokens_of(body: Mapping[str, Any]) -> int:
    """How many tokens the completion of a request has."""
    digest = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
    mean = MEAN_TOKENS[kind_of(body)]
    drawn = random.Random(digest).lognormvariate(math.log(mean) - SPREAD**2 / 2, SPREAD)
    return max(1, min(int(drawn), body.get("max_tokens") or 100_000))


TEXT = "Let us see what this is about, and think about it before we say more. "
SAYS = {
    "criterion": '{"explanation": "It is said.", "criteria_met": true}',
    "comparison": "Both have their points. My verdict: [[A>B]]",
}


def completion(body: Mapping[str, Any], tokens: int) -> bytes:
    """A reply of about the size that so many tokens have."""
    text = SAYS.get(kind_of(body)) or TEXT * (tokens * 4 // len(TEXT)) + "ANSWER: 7"
    prompt = sum(len(str(message["content"])) for message in body["messages"]) // 4
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    reply = {"id": "1", "object": "chat.completion", "model": body["model"], "created": 0}
    return json.dumps(reply | {"choices": [choice], "usage": usage}).encode()


class Batch:
    """Continuous batching on any clock: jobs come with their steps, and leave when these are done."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.steps = 0.0  # taken since the beginning
        self.now_s = 0.0
        self.waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self.active: list[
            tuple[float, int, Callable[[], None]]
        ] = []  # (step at which it is done, order, then)
        self._order = 0

    def add(self, steps: float, done: Callable[[], None]) -> None:
        """Wait for a place; `advance` calls `done`."""
        self.waiting.append((steps, done))
        self._fill()

    def next_s(self) -> float | None:
        """When the next job is done, or None when there is none."""
        if not self.active:
            return None
        return self.now_s + (self.active[0][0] - self.steps) * self.pace.step_with(len(self.active))

    def advance(self, to_s: float) -> None:
        """Let the time pass; each job that ends makes room, and the others faster, at its own moment."""
        while (next_s := self.next_s()) is not None and next_s <= to_s:
            self.now_s, self.steps = max(self.now_s, next_s), self.active[0][0]
            heapq.heappop(self.active)[2]()
            self._fill()
        self.steps += max(0.0, to_s - self.now_s) / self.pace.step_with(len(self.active))
        self.now_s = max(self.now_s, to_s)

    def _fill(self) -> None:
        while self.waiting and len(self.active) < self.pace.places:
            steps, done = self.waiting.popleft()
            self._order += 1
            heapq.heappush(self.active, (self.steps + steps, self._order, done))


@dataclass
class Server:
    """One pace, one clock that runs `speed` times as fast as ours, and what was asked."""

    pace: Pace
    speed: float
    batch: Batch = field(init=False)
    lengths: dict[str, list[int]] = field(default_factory=dict)  # tokens of each completion, by kind
    most: int = 0  # in flight
    timer: asyncio.TimerHandle | None = None
    began_s: float | None = None
    ended_s: float = 0.0

    def __post_init__(self) -> None:
        self.batch = Batch(self.pace)

    def clock_s(self) -> float:
        """The server's own time."""
        return time.monotonic() * self.speed

    def ask(self, body: dict[str, Any], reply: Callable[[bytes], None]) -> None:
        """Take a request; `reply` gets its completion when it is time."""
        tokens = tokens_of(body)
        self.lengths.setdefault(kind_of(body), []).append(tokens)
        self.batch.advance(self.clock_s())
        self.began_s = self.began_s or self.batch.now_s
        self.batch.add(tokens + self.pace.first_token_steps, lambda: self._done(body, tokens, reply))
        self.most = max(self.most, len(self.batch.active) + len(self.batch.waiting))
        self._wake()

    def _done(self, body: dict[str, Any], tokens: int, reply: Callable[[bytes], None]) -> None:
        self.ended_s = self.batch.now_s
        reply(completion(body, tokens))

    def _tick(self) -> None:
        self.timer = None
        self.batch.advance(self.clock_s())
        self._wake()

    def _wake(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        next_s = self.batch.next_s()
        if next_s is not None:
            delay_s = max(0.0, (next_s - self.clock_s()) / self.speed)
            self.timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def stats(self) -> dict[str, Any]:
        """All that was asked since the last time, in the server's own seconds; then forget it."""
        steps = sum(sum(some) + len(some) * self.pace.first_token_steps for some in self.lengths.values())
        told = {
            "lengths": self.lengths,
            "steps": steps,
            "ideal_s": self.pace.ideal_s(steps),
            "busy_s": self.ended_s - (self.began_s or 0.0),
            "most_in_flight": self.most,
            "cpu_s": time.process_time(),
        }
        self.lengths, self.most, self.began_s = {}, 0, None
        return told


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as our clients speak it: one request after another, with a length."""

    def __init__(self, server: Server) -> None:
        self.server, self.buffer = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        if head.startswith(b"POST"):
            self.server.ask(json.loads(rest[:length]), self.reply)
        elif head.startswith(b"GET /stats"):
            self.reply(json.dumps(self.server.stats()).encode())
        else:
            self.reply(b'{"data": []}')

    def reply(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def serve(kind: str, speed: float) -> None:
    loop = asyncio.get_running_loop()
    server = Server(PACES[kind], speed)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=PACES)
    parser.add_argument("--speed", type=float, default=1.0)
    asked = parser.parse_args()
    asyncio.run(serve(asked.kind, asked.speed))


if __name__ == "__main__":
    main()
