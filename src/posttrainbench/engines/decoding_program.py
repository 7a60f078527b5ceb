"""The program that decodes beside an evaluation; `decoding_process.py` starts it and says why.

Usage: python -m posttrainbench.engines.decoding_program MODEL, with requests on standard input

The first line is the chat template, each further one a request with its number, or the number of one that
nobody waits for any more. It ends when its standard input does.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import traceback
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

gc.set_threshold(200_000, 20, 100)  # the imports below make objects that stay: a fifth of their time

from posttrainbench.engines.decoding import Completion, DoesNotFit, Prompt  # noqa: E402
from posttrainbench.engines.decoding_process import Reply, Request  # noqa: E402
from posttrainbench.engines.loaded_model import LoadedModel  # noqa: E402
from posttrainbench.engines.tool_calls import taken_apart  # noqa: E402


class Conversations:
    """Requests on their way through a model."""

    def __init__(self, loaded: LoadedModel, replies: Lines) -> None:
        self._loaded, self._replies = loaded, replies
        self._open: dict[int, Future[Completion]] = {}

    def read(self, told: dict[str, Any]) -> None:
        """Begin what a line asks for, or give up what it cancels."""
        if "cancelled" in told:
            if open_one := self._open.get(told["cancelled"]):
                open_one.cancel()
            return
        number = told.pop("number")
        try:
            self._begin(number, Request(**told))
        except Exception as error:  # belongs to whoever asked
            self._replies.tell(number=number, error=_said(error))

    def _begin(self, number: int, request: Request) -> None:
        loaded = self._loaded
        tokens = loaded.render(request.messages, request.tools)
        sampling = replace(loaded.sampling, **request.sampling)
        prompt = Prompt(tokens, request.max_tokens, sampling, tuple(request.stop), request.seed)
        formats = loaded.tool_formats if request.tools else ()

        def tell(done: Future[Completion]) -> None:
            self._open.pop(number)
            if done.cancelled():
                self._replies.tell(number=number, error="cancelled")
            elif error := done.exception():
                self._replies.tell(number=number, error=_said(error))
            else:
                said = done.result()
                spoken = taken_apart(said.text, formats)
                reply = Reply(spoken, len(tokens), said.n_tokens, said.cut, said.lowered)
                self._replies.tell(number=number, **asdict(reply))

        self._open[number] = answer = loaded.decoder.submit(prompt)
        answer.add_done_callback(tell)


class Lines:
    """Lines of JSON, each written whole; any thread may."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def tell(self, **told: Any) -> None:
        """Write one."""
        line = json.dumps(told).encode() + b"\n"
        with self._lock:
            self._pipe.write(line)
            self._pipe.flush()


def main(model: str) -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for whoever asks; then our input ends
    replies = Lines(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no reply
    requests = sys.stdin.buffer
    chat_template = json.loads(requests.readline() or "null")
    try:
        conversations = Conversations(LoadedModel(Path(model), chat_template), replies)
    except Exception as error:
        traceback.print_exc()
        replies.tell(not_loaded=_said(error))
        return
    for line in requests:
        conversations.read(json.loads(line))
    os._exit(0)  # in the middle of a step: nobody waits for it


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, DoesNotFit) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(*sys.argv[1:])
