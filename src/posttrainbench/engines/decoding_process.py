"""Decoding in a process of its own: Inspect's Python and the model's steps would wait for one another in one.

Requests and replies are lines of JSON on the pipes of `decoding_program.py`. That program ends when its
standard input does: when the engine's user lets go of it, or dies in whatever way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from posttrainbench.engines.token_limits import Lowered
from posttrainbench.engines.tool_calls import Spoken, WrittenCall

PROGRAM = "posttrainbench.engines.decoding_program"


@dataclass(frozen=True, slots=True)
class Request:
    """One conversation to go on with, in the shapes that chat templates know."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]]
    max_tokens: int
    sampling: Mapping[str, Any]  # fields of Sampling: what is asked other than the model's own settings
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said; `cut` when the token limit ended it."""

    spoken: Spoken
    n_prompt: int  # tokens
    n_tokens: int
    cut: bool
    lowered: Lowered | None = None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Reply:
        """A reply from its JSON."""
        spoken, lowered = told.pop("spoken"), told.pop("lowered")
        calls = tuple(WrittenCall(**call) for call in spoken["calls"])
        return cls(Spoken(spoken["text"], calls), lowered=Lowered(**lowered) if lowered else None, **told)


class NotDecoded(Exception):
    """A request without a reply: it does not fit, the model cannot be loaded, or the process has ended."""


class DecodingProcess:
    """A model folder's decoder, in a process that starts at once; replies come as they are ready."""

    def __init__(self, model: Path, chat_template: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", PROGRAM, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        self.pid = process.pid
        self._numbers = count()
        self._lines: SimpleQueue[object] = SimpleQueue()  # to be written; None: nothing more will come
        self._open = _Open()
        # Threads that know the pipes but not this object: when nobody has it any more, the process ends.
        for work, arguments in ((_write, (process.stdin, self._lines)), (_read, (process, self._open))):
            threading.Thread(target=work, args=arguments, name="decoding", daemon=True).start()
        self.close = weakref.finalize(self, self._lines.put, None)  # replies that are still open fail
        self._lines.put(chat_template)

    def submit(self, request: Request) -> Future[Reply]:
        """The reply to come; it fails with NotDecoded. One that is cancelled is not decoded any further."""
        number, reply = next(self._numbers), Future[Reply]()
        if self._open.add(number, reply):
            self._lines.put({"number": number, **asdict(request)})
            reply.add_done_callback(partial(self._give_up, number))
        return reply

    def _give_up(self, number: int, reply: Future[Reply]) -> None:
        if reply.cancelled():
            self._lines.put({"cancelled": number})


class _Open:
    """Requests that have no reply yet, and why no more will come, once that is so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replies: dict[int, Future[Reply]] = {}
        self._ended: str | None = None

    def add(self, number: int, reply: Future[Reply]) -> bool:
        """Whether a reply may come; else it has failed by now."""
        with self._lock:
            if self._ended is None:
                self._replies[number] = reply
                return True
        reply.set_exception(NotDecoded(self._ended))
        return False

    def answer(self, told: dict[str, Any]) -> None:
        """Hand out one reply."""
        with self._lock:
            reply = self._replies.pop(told.pop("number"))
        if not reply.set_running_or_notify_cancel():
            return
        if "error" in told:
            reply.set_exception(NotDecoded(told["error"]))
        else:
            reply.set_result(Reply.of(told))

    def end(self, why: str) -> None:
        """Fail what is open, and what may be asked yet."""
        with self._lock:
            self._ended, replies = why, list(self._replies.values())
        for reply in replies:
            if reply.set_running_or_notify_cancel():
                reply.set_exception(NotDecoded(why))


def _write(pipe: IO[bytes], lines: SimpleQueue[object]) -> None:
    try:
        with pipe:
            while (line := lines.get()) is not None:
                pipe.write(json.dumps(line).encode() + b"\n")
                if lines.empty():
                    pipe.flush()
    except BrokenPipeError:
        pass  # it has ended, and whoever reads says so


def _read(process: subprocess.Popen[bytes], waiting: _Open) -> None:
    assert process.stdout is not None
    why = ""
    with process.stdout:
        for line in process.stdout:
            told = json.loads(line)
            if "not_loaded" in told:
                why = told["not_loaded"]
            else:
                waiting.answer(told)
    waiting.end(why or f"the decoding process ended with status {process.wait()}")
    process.wait()
