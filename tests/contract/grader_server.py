"""A grader's endpoint on this machine that does as a script says, over real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 1000, "completion_tokens": 200}


@dataclass(frozen=True)
class Answer:
    """What one request gets: a chat completion that says `text`, or something worse."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None  # instead of a completion
    claimed: int | None = None  # a Content-Length that is not true
    delay_s: float = 0.0
    trickle: bool = False  # a byte now and then, for ever
    usage: dict[str, Any] | None = field(default_factory=lambda: dict(USAGE))


# (request body, how many times it was asked before) -> answer
Script = Callable[[dict[str, Any], int], Answer]


def says(text: str, **changes: Any) -> Script:
    """The same answer to everything."""
    return lambda _body, _count: Answer(text, **changes)


def asked(body: dict[str, Any]) -> str:
    """What the grader was asked last."""
    return str(body["messages"][-1]["content"])


class GraderServer:
    """Requests as they came in, and how many were in flight at most."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times_s: list[float] = []
        self.times_asked: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up
        self.http.socket.listen(512)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # type: ignore[misc]  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    question = json.dumps(body)
                    answer = server.script(body, server.times_asked[question])
                    server.times_asked[question] += 1
                    server.bodies.append(body)
                    server.headers.append(dict(self.headers))
                    server.times_s.append(time.monotonic())
                    server.in_flight += 1
                    server.most_in_flight = max(server.most_in_flight, server.in_flight)
                try:
                    server.closing.wait(answer.delay_s)
                    self._reply(answer)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                finally:
                    with server.lock:
                        server.in_flight -= 1

            def _reply(self, answer: Answer) -> None:
                content = answer.raw
                if content is None:
                    told = {"choices": [{"message": {"role": "assistant", "content": answer.text}}]}
                    told |= {"model": "grader-2025", "usage": answer.usage}
                    content = json.dumps(told).encode()
                self.send_response(answer.status)
                length = answer.claimed or len(content)
                for name, value in {"Content-Length": str(length), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for byte in content if answer.trickle else ():
                    self.wfile.write(bytes([byte]))
                    if server.closing.wait(0.05):
                        return
                self.wfile.write(b"" if answer.trickle else content)
                if answer.claimed is not None:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def serving(script: Script) -> Iterator[GraderServer]:
    """A server while open."""
    server = GraderServer(script)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join()
